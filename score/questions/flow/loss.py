"""Part IV, flow matching: Q4.3 the loss, judged by what its class asks `velocity` and by its value.

A is a chunk, A0 noise, a_tau = tau A + (1 - tau) A0 what lies between them, A - A0 the velocity.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from score.questions.base import Arrays, Question, Rng, plain, wrong
from score.questions.flow.policy_class import (
    FELT,
    LOSS_HINTS,
    call_method,
    chunk_array,
    draw_chunks,
    draw_states,
    error_hint,
    isolated,
    judge_unreached,
    loss_value,
    make_policy,
    policy_sizes,
    sensitivity,
    squared_errors,
    unreached,
    wrong_loss,
)
from score.questions.flow.velocity import (
    MANY,
    TAU_HINT,
    judge_call,
    record_velocity,
    wrong_question,
)
from score.questions.mistakes import Mistake, flow_noise_hint, hint_of, squared_error


class FlowLoss(Question):
    """The methods `velocity` and `compute_loss` of the class `FlowMatchingPolicy`."""

    name = "Q4.3"

    def inputs(self, rng: Rng, trial: int) -> Arrays:
        sizes = policy_sizes(rng, trial)
        return {
            **sizes,
            "state": draw_states(rng, sizes, MANY),
            "chunk": draw_chunks(rng, sizes, MANY),
            "few_states": draw_states(rng, sizes, 6),
            "few_chunks": draw_chunks(rng, sizes, 6),
            "few_tau": rng.uniform(0.05, 0.8, 6).astype(np.float32),
        }

    def call(self, answer: Any, inputs: Arrays) -> Arrays:
        with isolated(inputs["seed"]):
            policy = make_policy(answer, inputs)
            velocity = call_method(inputs, "FlowMatchingPolicy", lambda: policy.velocity)

            def infer(state: np.ndarray, *more: np.ndarray) -> np.ndarray:
                output = call_method(inputs, "velocity", velocity, state, *more, hint=TAU_HINT)
                return chunk_array(inputs, "velocity", len(state), output)

            sample = [inputs[f"few_{name}"] for name in ("states", "chunks", "tau")]
            felt, few, alone = sensitivity(infer, *sample)
            outputs: Arrays = {
                "felt": dict(zip(("state", "a_tau", "tau"), felt, strict=True)),
                "few": few,
                "alone": alone,
                "draws": [self.draw(policy, velocity, inputs) for _ in range(2)],
                "unreached": unreached(policy, lambda: infer(*sample)),
            }
            calls = outputs["draws"][1]["calls"]
            if len(calls) == 1:
                a_tau, tau = (calls[0][name].astype(np.float32) for name in ("a_tau", "tau"))
                if tau.size == MANY and a_tau.shape == inputs["chunk"].shape:
                    outputs["by_vector"] = infer(inputs["state"], a_tau, tau.reshape(-1))
        return outputs

    def draw(self, policy: Any, velocity: Callable[..., Any], inputs: Arrays) -> Arrays:
        """Return the loss of the batch, and the record of the calls of velocity on the way."""
        calls: list[Arrays] = []
        record_velocity(policy, velocity, calls)
        loss = loss_value(inputs, policy, TAU_HINT)
        for call in calls:
            gradient = call.pop("output").grad
            call["gradient"] = None if gradient is None else plain(gradient)
        return {"loss": loss, "calls": calls}

    def judge(self, inputs: Arrays, outputs: Arrays) -> None:
        judge_velocity(outputs)
        for draw in outputs["draws"]:
            judge_draw(inputs, draw)
        one, other = (draw["calls"][0] for draw in outputs["draws"])
        if any(np.allclose(one[name], other[name]) for name in ("tau", "a_tau")):
            raise wrong(
                "Two calls of compute_loss draw the same noise or the same tau.",
                "draw both anew in each call, with no seed set.",
            )
        if not np.allclose(other["velocity"], outputs["by_vector"], rtol=1e-3, atol=1e-4):
            raise wrong(
                "compute_loss hands velocity a tau that it reads in another way than a tau (B,).",
                TAU_HINT,
            )
        judge_unreached(outputs["unreached"], "the network's input")


# In the grader.


def judge_velocity(outputs: Arrays) -> None:
    """The velocity has to depend on all of its inputs, row by row."""
    for what, felt in outputs["felt"].items():
        if not (felt > FELT).any():
            hint = f"{what} has to be part of the network's input."
            if what == "tau":
                hint += (
                    " Without it the network cannot tell noise from chunk: join it to its input."
                )
            raise wrong(f"The velocity is the same whatever {what}.", hint)
        if not (felt > FELT).all():
            hint = f"all of {what} is part of the network's input."
            raise wrong(f"Some of the numbers of {what} leave the velocity as it is.", hint)
    if not np.allclose(outputs["few"][:1], outputs["alone"], rtol=1e-4, atol=1e-5):
        raise wrong(
            "The first sample alone gets another velocity than in a batch.",
            "each row of the batch is for itself: flatten from dimension 1 on, and draw nothing"
            " here.",
        )


def judge_draw(inputs: Arrays, draw: Arrays) -> None:
    """One call of compute_loss has to draw tau and noise, mix, call velocity once and compare."""
    chunk, calls = inputs["chunk"].astype(float), draw["calls"]
    if len(calls) != 1:
        hint = "once, self.velocity(state, a_tau, tau), for the whole batch."
        raise wrong(f"compute_loss asks velocity {len(calls)} times.", hint)
    [call] = calls
    judge_call(inputs, call, inputs["state"])
    if problem := tau_hint(call["tau"].reshape(-1)):
        wrong_question(problem)
    tau, a_tau = call["tau"].reshape(-1, 1, 1), call["a_tau"]
    if problem := _interpolation_hint(chunk, a_tau, tau):
        raise wrong("a_tau is not tau A + (1 - tau) A0 with noise A0.", problem)
    mixed = (a_tau - tau * chunk) / np.maximum(1 - tau, 1e-5)  # the noise, up to rounding
    if not _fits_gradient(draw["loss"], call, chunk, mixed):
        _judge_value(draw["loss"], call, chunk, mixed)


def tau_hint(tau: np.ndarray) -> str | None:
    """Return what keeps tau (B,) from being uniform in [0, 1], one for each sample, or None."""
    ordered, count = np.sort(tau), len(tau)
    if np.ptp(tau) == 0:
        return "the whole batch shares one tau: draw one for each sample, torch.rand(B)."
    if tau.min() < 0 or tau.max() > 1:
        return (
            f"tau goes from {tau.min():.3g} to {tau.max():.3g}: it is drawn from U(0, 1),"
            " torch.rand(B)."
        )
    if len(np.unique(tau)) < count / 2:
        return (
            "few different values of tau are drawn: it is any number from 0 to 1, one for each"
            " sample, torch.rand(B)."
        )
    # Kolmogorov and Smirnov: a uniform tau is suspected less than once in 10**7.
    if np.abs(ordered - (np.arange(count) + 0.5) / count).max() > 3 / count**0.5:
        return "tau is not uniform: draw it with torch.rand(B)."
    return None


def _interpolation_hint(chunk: np.ndarray, a_tau: np.ndarray, tau: np.ndarray) -> str | None:
    """Return what a_tau is instead of tau A + (1 - tau) A0, or None."""
    if np.allclose(a_tau, chunk, atol=1e-4):
        return "a_tau is the chunk itself: mix it with noise."
    if any(np.allclose(a_tau, share * chunk, atol=1e-4) for share in (tau, 1 - tau)):
        return "the noise is left out: it is zero."
    middle = ((tau > 0.05) & (tau < 0.95)).reshape(-1)  # where no division spoils the figures
    a, c, t = a_tau[middle], chunk[middle], tau[middle]
    hint = flow_noise_hint((a - t * c) / (1 - t))
    if hint is None:
        return None
    noises = (m.hint for m in _noises(a, c, t) if flow_noise_hint(m.value) is None)
    return next(noises, f"recovered from a_tau, the noise is not right: {hint}")


def _noises(a: np.ndarray, c: np.ndarray, t: np.ndarray) -> Iterator[Mistake]:
    """Yield what is noise where the chunk c was mixed with it by mistake."""
    hint = "tau is reversed: noise is at tau = 0 and the chunk at tau = 1."
    yield Mistake((a - (1 - t) * c) / t, hint)
    yield Mistake(a - t * c, "the noise lacks its factor 1 - tau.")
    yield Mistake((a - c) / (1 - t), "the chunk lacks its factor tau.")
    yield Mistake(a, "a_tau is the noise alone: mix it with the chunk.")
    yield Mistake(a - c, "neither chunk nor noise has its factor.")
    hint = "the roots are diffusion's: here the two are mixed on a straight line."
    yield Mistake((a - np.sqrt(t) * c) / np.sqrt(1 - t), hint)


def _fits_gradient(loss: float, call: Arrays, chunk: np.ndarray, mixed: np.ndarray) -> bool:
    """Whether the loss and its gradient are those of a squared error, mean or summed.

    The gradient of a squared error is twice the error over the number of terms, so it tells the
    target of each number, and with it the noise, without a division by 1 - tau. AnswerError where
    this noise is another than that in a_tau.
    """
    if call["gradient"] is None:
        return False
    tau = call["tau"].reshape(-1, 1, 1)
    for terms in (chunk.size, len(chunk)):
        error = call["gradient"] * terms / 2
        noise = chunk - call["velocity"] + error
        mixes = np.allclose(tau * chunk + (1 - tau) * noise, call["a_tau"], rtol=0, atol=1e-3)
        if mixes and np.isclose(loss, np.square(error).sum() / terms, rtol=1e-4):
            return True
        apart = abs(np.corrcoef(noise.flat, mixed.flat)[0, 1]) < 0.2
        if apart and flow_noise_hint(noise) is None:
            raise wrong(
                "The noise in the target is another than that in a_tau.",
                "draw it once and use it in both.",
            )
    return False


def _judge_value(loss: float, call: Arrays, chunk: np.ndarray, noise: np.ndarray) -> None:
    """Raise AnswerError for a loss whose gradient is not that of the squared error."""
    error = call["velocity"] - (chunk - noise)
    hint = error_hint(loss, _mistakes(call, chunk, noise), rtol=1e-3)
    hint = hint or hint_of(loss, squared_error(error, LOSS_HINTS), rtol=1e-3)
    if not hint and call["gradient"] is None:
        raise wrong(
            "No gradient reaches the velocity.",
            "no torch.no_grad and no .detach() between velocity and loss.",
        )
    if not hint and np.isclose(loss, squared_errors(error), rtol=1e-3).any():
        raise wrong(
            "The value is right, but its gradient is not that of the squared error.",
            "nothing on the way from the velocity to the loss may be detached.",
        )
    fallback = "it is the squared difference between the velocity and A - A0."
    raise wrong_loss(loss, error, hint or fallback)


def _mistakes(call: Arrays, chunk: np.ndarray, noise: np.ndarray) -> Iterator[Mistake]:
    """Yield mistaken differences (B, K, A)."""

    def against(target: np.ndarray, hint: str) -> Mistake:
        return Mistake(call["velocity"] - target, hint)

    a_tau, along = call["a_tau"], "the velocity is A - A0, the same all along the line."
    hint = "the target is A0 - A here, which leads from the chunk to the noise: take A - A0."
    yield against(noise - chunk, hint)
    yield against(chunk, "the target is the chunk A here: the velocity is A - A0.")
    hint = "the target is the noise A0 here, as in diffusion: the velocity is A - A0."
    yield against(noise, hint)
    yield against(chunk - a_tau, f"the target is A - a_tau here: {along}")
    yield against(a_tau - noise, f"the target is a_tau - A0 here: {along}")
    yield against(chunk + noise, "the target is A + A0 here: the velocity is A - A0.")
    yield against(a_tau, "the target is a_tau here: the velocity is A - A0.")
    yield against(np.zeros_like(chunk), "the target is left out: compare the velocity with A - A0.")
    yield Mistake(chunk - noise, "the velocity is left out: compare it with A - A0.")


QUESTIONS = (FlowLoss(),)
