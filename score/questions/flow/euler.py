"""Part IV, flow matching: Q4.4 Euler integration, judged by the calls of `velocity` on the way."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from score.questions.base import Array, Arrays, Rng, as_sent, plain, require, wrong
from score.questions.flow import policies
from score.questions.flow.policies import MANY, TAU_HINT, StudentPolicy
from score.questions.mistakes import alike, all_differ, first_hint, flow_noise_hint, require_close
from score.questions.networks import small
from score.verdict import AnswerError, call_answer

_MISFIT = f"noise, velocity and chunk are all (B, chunk_size, action_dim); {TAU_HINT}"
_FEW, _FEW_STEPS = 5, 3  # states and steps with which the student's own velocity is integrated


class EulerIntegration(policies.PolicyQuestion):
    """The method `sample_actions` of the class `FlowMatchingPolicy`."""

    name = "Q4.4"

    def inputs(self, rng: Rng, trial: int) -> Arrays:
        """runs: pairs of num_steps, None by default, and the number of states."""
        inputs = policies.sizes_and_states(rng, trial, MANY)
        width = inputs["chunk_size"] * inputs["action_dim"]
        weight = small(rng, inputs["state_dim"], width, most=1)
        runs = [(None, MANY), (1, MANY), (4, MANY), (int(rng.integers(5, 16)), 1)]
        return {**inputs, "weight": weight, "runs": runs}

    def outputs(self, policy: StudentPolicy, inputs: Arrays) -> Arrays:
        velocity, field = getattr(policy.module, "velocity", None), _field(inputs)
        runs = [_integrate(policy, field, *run) for run in inputs["runs"]]
        return {"runs": runs, **_integrate_own(policy, velocity, inputs)}

    def judge(self, inputs: Arrays, outputs: Arrays) -> None:
        runs = outputs["runs"]
        numbers = [number or 10 for number, _ in inputs["runs"]]
        judge_counts([len(run["calls"]) for run in runs], numbers)
        for run, (_, batch) in zip(runs, inputs["runs"], strict=True):
            as_sent(run["chunk"], *policies.chunk_shape(inputs, batch))
            for call in run["calls"]:
                policies.judge_call(inputs, call, inputs["state"][:batch])
            judge_start_and_taus(run["calls"], batch)
            judge_steps(run["calls"], run["chunk"])
        starts = [run["calls"][0]["a_tau"] for run in runs[:3]]
        said = "Each call of sample_actions starts from the same noise."
        require(all_differ(starts), said, "draw it anew, with no seed set.")
        if outputs["fails"]:
            raise AnswerError(outputs["fails"])
        same = all(alike(seen, right, rtol=1e-3, atol=1e-4) for seen, right in outputs["own"])
        said = "Your velocity reads the tau of sample_actions in another way than a tau (B,)."
        require(same, said, "hand it one tau for each sample, torch.full((B,), i / num_steps).")


def _field(inputs: Arrays) -> Callable[..., Tensor]:
    """Return a velocity of ours, in place of the student's; it depends on all that it is given."""
    weight = torch.tensor(inputs["weight"])

    def field(state: Tensor, a_tau: Tensor, tau: Any) -> Tensor:
        tau, batch = torch.as_tensor(tau, dtype=torch.float32), len(state)
        if a_tau.shape != policies.chunk_shape(inputs, batch) or tau.numel() not in (1, batch):
            return torch.zeros_like(a_tau)  # nothing fails here: the shapes are on the record
        tau = tau.reshape(-1, 1, 1)
        return 0.7 * a_tau - 2 * a_tau.tanh() + (state @ weight).reshape(a_tau.shape) + 3 * tau

    return field


def _integrate(
    policy: StudentPolicy, velocity: Callable[..., Any], number: int | None, batch: int
) -> Arrays:
    """Return the chunks of sample_actions with this velocity and number of steps, and the calls."""
    what, inputs, method = "sample_actions", policy.inputs, policy.module.sample_actions
    calls, states = policy.record_velocity(velocity), inputs["state"][:batch]
    options = {"num_steps": number} if number else {}
    chunk = policies.call_method(inputs, what, method, states, hint=_MISFIT, **options)
    for call in calls:
        del call["output"]
        policies.judge_call(inputs, call, states)
    return {"chunk": policy.chunk_array(what, batch, chunk), "calls": calls}


def _integrate_own(policy: StudentPolicy, velocity: Any, inputs: Arrays) -> Arrays:
    """Return pairs of what the student's own velocity gave in an integration and what it gives for
    a tau (B,), or why the integration fails. A velocity that fails by itself is for Q4.3 to judge.
    """
    few, zeros = inputs["state"][:_FEW], torch.zeros(policies.chunk_shape(inputs, _FEW))

    def own(a_tau: Tensor, tau: Tensor) -> Tensor:
        return velocity(torch.tensor(few), a_tau, tau)

    try:
        right = call_answer("velocity", lambda: own(zeros, torch.zeros(_FEW)).shape == zeros.shape)
    except AnswerError:
        right = False
    if not right:
        return {"own": [], "fails": None}
    try:
        calls = _integrate(policy, velocity, _FEW_STEPS, _FEW)["calls"]
    except AnswerError as error:
        return {"own": [], "fails": str(error)}
    pairs = []
    for i, call in enumerate(calls):
        a_tau, tau = torch.tensor(call["a_tau"]).float(), torch.full((_FEW,), i / _FEW_STEPS)
        pairs.append((call["velocity"], plain(own(a_tau, tau))))
    return {"own": pairs, "fails": None}


# In the grader.


def judge_counts(counts: list[int], numbers: list[int]) -> None:
    """Velocity has to be called as often as there are steps, in each run."""
    hint = "self.velocity(state, a, tau) in each step."
    require(any(counts), "sample_actions never calls velocity.", hint)
    ends = "the last starts at tau = (n - 1) / n and ends at 1."
    once = "Euler's method calls velocity once in a step;"
    hint = first_hint(
        (counts[1:] == numbers[1:], "num_steps is 10 where it is not given."),
        (len(set(counts)) == 1, "num_steps is ignored: as many steps as it says."),
        (counts == [n + 1 for n in numbers], f"one step too many: {ends}"),
        (counts == [n - 1 for n in numbers], f"one step too few: {ends}"),
        (counts == [2 * n for n in numbers], f"{once} Heun's and the midpoint method are others."),
        (True, "once in each of the num_steps steps, for the whole batch."),
    )
    steps, times = (", ".join(map(str, these)) for these in (numbers, counts))
    require(counts == numbers, f"With num_steps {steps} velocity is called {times} times.", hint)


def judge_start_and_taus(calls: list[Arrays], batch: int) -> None:
    """An integration has to start from N(0, 1), and to go through tau = i / num_steps."""
    if batch > 1 and (hint := flow_noise_hint(calls[0]["a_tau"])):
        raise wrong("The integration starts from the wrong noise.", hint)
    hint = "nothing is drawn but the noise at the start: tau = i / num_steps for all."
    apart = any(np.ptp(call["tau"]) > 1e-6 for call in calls)
    require(not apart, "The samples of one step have different tau.", hint)
    number, taus = len(calls), np.array([call["tau"].flat[0] for call in calls])
    right = np.arange(number) / number
    figures = (policies.listed(f"{tau:.3g}" for tau in values) for values in (taus, right))
    said = f"In {number} steps tau is {' where '.join(figures)} is right."
    up, i = "noise is at 0, the chunk at 1, so go up.", np.arange(number)
    start = "the velocity is taken at the START of the step: tau = i / num_steps, i from 0."
    middle = "the middle of the step is for the midpoint method: Euler's takes the start."
    end = "torch.linspace(0, 1, n) ends at 1 itself; the last step starts at (n - 1) / n."
    known = [
        (np.full(number, taus[0]), "tau moves on by 1 / num_steps with each step."),
        ((i + 1) / number, start),
        (1 - i / number, f"tau runs from 1 to 0: {up}"),
        ((number - 1 - i) / number, f"tau runs down: {up}"),
        (i, "this is the number of the step: divide by num_steps."),
        ((i + 0.5) / number, middle),
        (i / max(number - 1, 1), end),
    ]
    require_close(taus, right, said, known, "tau = i / num_steps, i from 0 to num_steps - 1.")


def judge_steps(calls: list[Arrays], chunk: Array) -> None:
    """Each step has to be the velocity / num_steps, and the last to lead to the result."""
    number, velocities = len(calls), np.array([call["velocity"] for call in calls])
    path = np.array([call["a_tau"] for call in calls] + [chunk])
    # What is done to the result alone has hints of its own.
    inner = slice(None, max(number - 1, 1))
    steps, velocity = np.diff(path, axis=0)[inner], velocities[inner]
    there_are = "there are num_steps steps: divide by num_steps, not by num_steps"
    sign, undivided = "the sign is wrong", "the velocity is not divided by num_steps."
    known = [
        (velocity, undivided),
        (-velocity / number, f"{sign}: add the velocity."),
        (-velocity, f"{sign}, and {undivided}"),
        (velocity / (number + 1), f"{there_are} + 1."),
        (velocity / max(number - 1, 1), f"{there_are} - 1."),
        (0.1 * velocity, "the step is 0.1 whatever num_steps: divide by num_steps."),
        (0 * velocity, "the step is 0: a = a + self.velocity(state, a, tau) / num_steps."),
    ]
    said = f"The step from one chunk to the next is not the velocity / {number}."
    rule = "a = a + self.velocity(state, a, tau) / num_steps"
    hint = f"{rule} and nothing else: no noise, no clipping."
    require_close(steps, velocity / number, said, known, hint, atol=1e-4)
    before, last = path[-2], velocities[-1]
    right = before + last / number
    scaled = "it is scaled by mean and standard deviation and may go beyond."
    known = [
        (last, "this is the last velocity: return the chunk that it leads to."),
        (before, "the last step is not taken."),
        (right.clip(-1, 1), f"the chunk is clipped to [-1, 1]: {scaled}"),
        (before + last, undivided),
        (2 * before - right, f"{sign}: add the velocity."),
    ]
    said = f"What is returned is not the chunk after {number} steps."
    hint = "return the chunk as the last step leaves it, with nothing added."
    require_close(chunk, right, said, known, hint, atol=1e-4)
