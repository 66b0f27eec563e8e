"""Part IV, flow matching: Q4.4 Euler integration, judged by the calls of `velocity` on the way."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from score.questions.base import Arrays, Question, Rng, plain, wrong
from score.questions.flow.policy_class import (
    call_method,
    chunk_array,
    draw_states,
    isolated,
    listed,
    make_policy,
    policy_sizes,
)
from score.questions.flow.velocity import MANY, TAU_HINT, judge_call, record_velocity
from score.questions.mistakes import Mistake, alike, flow_noise_hint, hint_of
from score.verdict import AnswerError, call_answer

_MISFIT = f"noise, velocity and chunk are all (B, chunk_size, action_dim); {TAU_HINT}"
_FEW, _FEW_STEPS = 5, 3  # states and steps with which the student's own velocity is integrated


class EulerIntegration(Question):
    """The method `sample_actions` of the class `FlowMatchingPolicy`."""

    name = "Q4.4"

    def inputs(self, rng: Rng, trial: int) -> Arrays:
        """runs: pairs of num_steps, None by default, and the number of states."""
        sizes = policy_sizes(rng, trial)
        width = sizes["chunk_size"] * sizes["action_dim"]
        return {
            **sizes,
            "state": draw_states(rng, sizes, MANY),
            "weight": rng.uniform(-1, 1, (sizes["state_dim"], width)).astype(np.float32),
            "runs": [(None, MANY), (1, MANY), (4, MANY), (int(rng.integers(5, 16)), 1)],
        }

    def call(self, answer: Any, inputs: Arrays) -> Arrays:
        with isolated(inputs["seed"]):
            policy = make_policy(answer, inputs)
            velocity, field = getattr(policy, "velocity", None), _field(inputs)
            runs = [
                _integrate(policy, field, inputs, batch, {"num_steps": number} if number else {})
                for number, batch in inputs["runs"]
            ]
            return {"runs": runs, **_integrate_own(policy, velocity, inputs)}

    def judge(self, inputs: Arrays, outputs: Arrays) -> None:
        runs = outputs["runs"]
        judge_counts(
            [len(run["calls"]) for run in runs], [number or 10 for number, _ in inputs["runs"]]
        )
        for run in runs:
            judge_start_and_taus(run["calls"], len(run["chunk"]))
            judge_steps(run["calls"], run["chunk"])
        starts = [run["calls"][0]["a_tau"] for run in runs[:3]]
        if any(np.allclose(starts[0], start) for start in starts[1:]):
            hint = "draw it anew, with no seed set."
            raise wrong("Each call of sample_actions starts from the same noise.", hint)
        if outputs["fails"]:
            raise AnswerError(outputs["fails"])
        own = outputs["own"] or []
        if not all(alike(seen, right, rtol=1e-3, atol=1e-4) for seen, right in own):
            raise wrong(
                "Your velocity reads the tau of sample_actions in another way than a tau (B,).",
                "hand it one tau for each sample, torch.full((B,), i / num_steps).",
            )


def _field(inputs: Arrays) -> Callable[..., Tensor]:
    """Return a velocity of ours, which depends on all that it is given; right whatever the
    student's own is.
    """
    weight, shape = torch.tensor(inputs["weight"]), (inputs["chunk_size"], inputs["action_dim"])

    def field(state: Tensor, a_tau: Tensor, tau: Any) -> Tensor:
        tau = torch.as_tensor(tau, dtype=torch.float32)
        if a_tau.shape != (len(state), *shape) or tau.numel() not in (1, len(state)):
            return torch.zeros_like(a_tau)  # nothing fails here: the shapes are on the record
        tau = tau.reshape(-1, 1, 1)
        return 0.7 * a_tau - 2 * a_tau.tanh() + (state @ weight).reshape(a_tau.shape) + 3 * tau

    return field


def _integrate(
    policy: Any,
    velocity: Callable[..., Any],
    inputs: Arrays,
    batch: int,
    options: dict[str, int],
) -> Arrays:
    """Return the chunks that sample_actions gives with this velocity, and the record of its calls.

    options: arguments of sample_actions.
    """
    calls: list[Arrays] = []
    record_velocity(policy, velocity, calls)
    what, states = "sample_actions", inputs["state"][:batch]
    chunk = call_method(inputs, what, policy.sample_actions, states, hint=_MISFIT, **options)
    for call in calls:
        del call["output"]
        judge_call(inputs, call, states)
    return {"chunk": chunk_array(inputs, what, batch, chunk), "calls": calls}


def _integrate_own(policy: Any, velocity: Any, inputs: Arrays) -> Arrays:
    """Return pairs of what the student's own velocity gave in an integration and what it gives for
    a tau (B,), or why the integration fails. A velocity that fails by itself is for Q4.3 to judge.
    """
    few = torch.tensor(inputs["state"][:_FEW])
    shape = _FEW, inputs["chunk_size"], inputs["action_dim"]
    outputs: Arrays = {"own": None, "fails": None}
    try:
        zeros = torch.zeros(shape), torch.zeros(_FEW)
        if not call_answer("velocity", lambda: velocity(few.clone(), *zeros).shape == shape):
            return outputs
    except AnswerError:
        return outputs
    try:
        run = _integrate(policy, velocity, inputs, _FEW, {"num_steps": _FEW_STEPS})
    except AnswerError as error:
        return {**outputs, "fails": str(error)}
    outputs["own"] = []
    for i, call in enumerate(run["calls"]):
        a_tau, tau = torch.tensor(call["a_tau"]).float(), torch.full((_FEW,), i / _FEW_STEPS)
        by_vector = plain(velocity(few.clone(), a_tau, tau))
        outputs["own"].append((call["velocity"], by_vector))
    return outputs


# In the grader.


def judge_counts(counts: list[int], numbers: list[int]) -> None:
    """Velocity has to be called as often as there are steps, in each run."""
    if not any(counts):
        hint = "self.velocity(state, a, tau) in each step."
        raise wrong("sample_actions never asks for the velocity.", hint)
    if counts == numbers:
        return
    hint = "once in each of the num_steps steps, for the whole batch."
    if counts[1:] == numbers[1:]:
        hint = "num_steps is 10 where it is not given."
    elif len(set(counts)) == 1:
        hint = "num_steps is ignored: as many steps as it says."
    elif counts == [number + 1 for number in numbers]:
        hint = "one step too many: the last starts at tau = (n - 1) / n and ends at 1."
    elif counts == [number - 1 for number in numbers]:
        hint = "one step too few: the last starts at tau = (n - 1) / n and ends at 1."
    elif counts == [2 * number for number in numbers]:
        hint = "Euler's method asks once in a step; Heun's and the midpoint method are others."
    raise wrong(
        f"With num_steps {', '.join(map(str, numbers))} the velocity is asked"
        f" {', '.join(map(str, counts))} times.",
        hint,
    )


def judge_start_and_taus(calls: list[Arrays], batch: int) -> None:
    """An integration has to start from N(0, 1), and to go through tau = i / num_steps."""
    if batch > 1 and (hint := flow_noise_hint(calls[0]["a_tau"])):
        raise wrong("The integration starts from the wrong noise.", hint)
    if any(np.ptp(call["tau"]) > 1e-6 for call in calls):
        raise wrong(
            "The samples of one step have different tau.",
            "nothing is drawn but the noise at the start: tau = i / num_steps for all.",
        )
    number, taus = len(calls), np.array([call["tau"].reshape(-1)[0] for call in calls])
    right = np.arange(number) / number
    if not np.allclose(taus, right, atol=1e-5):
        hint = "tau moves on by 1 / num_steps with each step."
        if not np.allclose(taus, taus[0]):
            fallback = "tau = i / num_steps, i from 0 to num_steps - 1."
            hint = hint_of(taus, _mistaken_taus(number), rtol=1e-4) or fallback
        figures = (listed(f"{tau:.3g}" for tau in values) for values in (taus, right))
        raise wrong(f"In {number} steps tau is {' where '.join(figures)} is right.", hint)


def _mistaken_taus(number: int) -> Iterator[Mistake]:
    i = np.arange(number)
    hint = "the velocity is taken at the START of the step: tau = i / num_steps, i from 0."
    yield Mistake((i + 1) / number, hint)
    up = "noise is at 0, the chunk at 1, so go up."
    yield Mistake(1 - i / number, f"tau runs from 1 to 0: {up}")
    yield Mistake((number - 1 - i) / number, f"tau runs down: {up}")
    yield Mistake(i, "this is the number of the step: divide by num_steps.")
    hint = "the middle of the step is for the midpoint method: Euler's takes the start."
    yield Mistake((i + 0.5) / number, hint)
    hint = "torch.linspace(0, 1, n) ends at 1 itself; the last step starts at (n - 1) / n."
    yield Mistake(i / max(number - 1, 1), hint)


def judge_steps(calls: list[Arrays], chunk: np.ndarray) -> None:
    """Each step has to be the velocity / num_steps, and the last to lead to the result."""
    number, velocities = len(calls), np.array([call["velocity"] for call in calls])
    path = np.array([call["a_tau"] for call in calls] + [chunk])
    # What is done to the result alone has hints of its own.
    inner = slice(None, max(number - 1, 1))
    steps, before = np.diff(path, axis=0)[inner], path[-2]
    if not np.allclose(steps, velocities[inner] / number, rtol=1e-4, atol=1e-4):
        mistakes = _mistaken_steps(velocities[inner], number)
        raise wrong(
            f"The step from one chunk to the next is not the velocity / {number}.",
            hint_of(steps, mistakes, rtol=1e-3, atol=1e-4)
            or "a = a + self.velocity(state, a, tau) / num_steps and nothing else: no noise, no"
            " clipping.",
        )
    if not np.allclose(chunk, before + velocities[-1] / number, rtol=1e-4, atol=1e-4):
        mistakes = _mistaken_results(before, velocities[-1], number)
        raise wrong(
            f"What is returned is not the chunk after {number} steps.",
            hint_of(chunk, mistakes, rtol=1e-3, atol=1e-4)
            or "return the chunk as the last step leaves it, with nothing added.",
        )


def _mistaken_steps(velocities: np.ndarray, number: int) -> Iterator[Mistake]:
    there_are = "there are num_steps steps: divide by num_steps, not by num_steps"
    yield Mistake(velocities, "the velocity is not divided by num_steps.")
    yield Mistake(-velocities / number, "the sign is wrong: add the velocity.")
    hint = "the sign is wrong, and the velocity is not divided by num_steps."
    yield Mistake(-velocities, hint)
    yield Mistake(velocities / (number + 1), f"{there_are} + 1.")
    yield Mistake(velocities / max(number - 1, 1), f"{there_are} - 1.")
    hint = "the step is 0.1 whatever num_steps: divide by num_steps."
    yield Mistake(0.1 * velocities, hint)
    hint = "the step is 0: a = a + self.velocity(state, a, tau) / num_steps."
    yield Mistake(0 * velocities, hint)


def _mistaken_results(before: np.ndarray, velocity: np.ndarray, number: int) -> Iterator[Mistake]:
    last = before + velocity / number
    yield Mistake(velocity, "this is the last velocity: return the chunk that it leads to.")
    yield Mistake(before, "the last step is not taken.")
    yield Mistake(
        last.clip(-1, 1),
        "the chunk is clipped to [-1, 1]: it is scaled by mean and standard deviation and may go"
        " beyond.",
    )
    yield Mistake(before + velocity, "the velocity is not divided by num_steps.")
    yield Mistake(2 * before - last, "the sign is wrong: add the velocity.")


QUESTIONS = (EulerIntegration(),)
