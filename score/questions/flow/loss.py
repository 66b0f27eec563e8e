"""Part IV, flow matching: Q4.3 the loss, judged by what its class asks `velocity` and by its value.

A is a chunk, A0 noise, a_tau = tau A + (1 - tau) A0 what lies between them, A - A0 the velocity.
"""

import numpy as np

from score.questions.base import Array, Arrays, Rng, as_sent, number_sent, plain, require, wrong
from score.questions.flow import network, policies
from score.questions.flow.network import FELT
from score.questions.flow.policies import MANY, QUESTION_WRONG, TAU_HINT, StudentPolicy
from score.questions.mistakes import (
    Mistakes,
    all_differ,
    bounded,
    first_hint,
    flow_noise_hint,
    hint_where,
)
from score.questions.networks import small


class FlowLoss(policies.PolicyQuestion):
    """The methods `velocity` and `compute_loss` of the class `FlowMatchingPolicy`."""

    name = "Q4.3"

    def inputs(self, rng: Rng, trial: int) -> Arrays:
        inputs = policies.sizes_and_states(rng, trial, MANY)
        return {
            **inputs,
            "chunk": small(rng, *policies.chunk_shape(inputs, MANY), most=4),
            "few_states": small(rng, 6, inputs["state_dim"], most=2),
            "few_chunks": small(rng, *policies.chunk_shape(inputs, 6), most=4),
            "few_tau": rng.uniform(0.05, 0.8, 6).astype(np.float32),
        }

    def outputs(self, policy: StudentPolicy, inputs: Arrays) -> Arrays:
        what = "FlowMatchingPolicy"
        velocity = policies.call_method(inputs, what, lambda: policy.module.velocity)

        def infer(*arguments: Array) -> Array:
            return policy.chunks("velocity", velocity, *arguments, hint=TAU_HINT)

        def draw() -> Arrays:
            """Return the loss of the batch, and the record of the calls of velocity on the way."""
            calls = policy.record_velocity(velocity)
            loss = policy.loss(TAU_HINT)
            for call in calls:
                gradient = call.pop("output").grad
                call["gradient"] = None if gradient is None else plain(gradient)
            return {"loss": loss, "calls": calls}

        sample = [inputs[f"few_{name}"] for name in ("states", "chunks", "tau")]
        felt, few, alone = network.sensitivity(infer, *sample)
        outputs: Arrays = {
            "felt": dict(zip(("state", "a_tau", "tau"), felt, strict=True)),
            "few": few,
            "alone": alone,
            "draws": [draw(), draw(), draw()],
            "unreached": policy.unreached(lambda: infer(*sample)),
        }
        calls = outputs["draws"][-1]["calls"]
        if len(calls) == 1:
            a_tau, tau = (calls[0][name].astype(np.float32) for name in ("a_tau", "tau"))
            if tau.size == MANY and a_tau.shape == inputs["chunk"].shape:
                outputs["by_vector"] = infer(inputs["state"], a_tau, tau.reshape(-1))
        return {**outputs, "network": network.said_by(policy.module, infer, *sample)}

    def judge(self, inputs: Arrays, outputs: Arrays) -> None:
        judge_velocity(inputs, outputs)
        for draw in outputs["draws"]:
            judge_draw(inputs, draw)
        calls = [draw["calls"][0] for draw in outputs["draws"]]
        drawn = [[call[name].ravel() for call in calls] for name in ("tau", "a_tau")]
        said = "Two calls of compute_loss draw the same noise or the same tau."
        require(all(map(all_differ, drawn)), said, "draw both anew in each call, with no seed set.")
        by_vector = as_sent(outputs["by_vector"], *calls[-1]["velocity"].shape)
        same = np.allclose(calls[-1]["velocity"], by_vector, rtol=1e-3, atol=1e-4)
        said = "compute_loss hands velocity a tau that it reads in another way than a tau (B,)."
        require(same, said, TAU_HINT)
        policies.judge_unreached(outputs["unreached"], "the network's input")
        network.judge_network(outputs["network"], "velocity")


# In the grader.


def judge_velocity(inputs: Arrays, outputs: Arrays) -> None:
    """The velocity has to depend on all of its inputs, row by row."""
    _, steps, dims = policies.chunk_shape(inputs, 1)
    for what, size in (("state", inputs["state_dim"]), ("a_tau", steps * dims), ("tau", 1)):
        felt = as_sent(outputs["felt"][what], size)
        hint = f"{what} has to be part of the network's input."
        if what == "tau":
            hint += " Without it the network cannot tell noise from chunk: join it to its input."
        require((felt > FELT).any(), f"The velocity is the same whatever {what}.", hint)
        hint = f"all of {what} is part of the network's input, as it is."
        said = f"Some of the numbers of {what} leave the velocity as it is."
        require((felt > FELT).all(), said, hint)
    first, alone = (as_sent(one, 1, steps, dims) for one in (outputs["few"][:1], outputs["alone"]))
    same = np.allclose(first, alone, rtol=1e-4, atol=1e-5)
    said = "The first sample alone gets another velocity than in a batch."
    hint = "each row of the batch is for itself: flatten from dimension 1 on"
    require(same, said, f"{hint}, and draw nothing here.")


def judge_draw(inputs: Arrays, draw: Arrays) -> None:
    """One call of compute_loss has to draw tau and noise, mix, call velocity once and compare."""
    chunk, calls, loss = inputs["chunk"].astype(float), draw["calls"], number_sent(draw["loss"])
    hint = "once, self.velocity(state, a_tau, tau), for the whole batch."
    require(len(calls) == 1, f"compute_loss calls velocity {len(calls)} times.", hint)
    [call] = calls
    policies.judge_call(inputs, call, inputs["state"])
    if hint := tau_hint(call["tau"].reshape(-1)):
        raise wrong(QUESTION_WRONG, hint)
    tau, a_tau = call["tau"].reshape(-1, 1, 1), call["a_tau"]
    if hint := _interpolation_hint(chunk, a_tau, tau):
        raise wrong("a_tau is not tau A + (1 - tau) A0 with noise A0.", hint)
    mixed = (a_tau - tau * chunk) / np.maximum(1 - tau, 1e-5)  # the noise, up to rounding
    if not _fits_gradient(loss, call, chunk, mixed):
        _judge_value(loss, call, chunk, mixed)


def tau_hint(tau: Array) -> str:
    """Return what keeps tau (B,) from being uniform in [0, 1], one for each sample, or ""."""
    low, high, count, each = tau.min(), tau.max(), len(tau), "one for each sample, torch.rand(B)."
    distance = np.abs(np.sort(tau) - (np.arange(count) + 0.5) / count).max()
    out = f"tau goes from {low:.3g} to {high:.3g}: it is drawn from U(0, 1), torch.rand(B)."
    few = f"few different values of tau are drawn: it is any number from 0 to 1, {each}"
    return first_hint(
        (low == high, f"the whole batch shares one tau: draw {each}"),
        (low < 0 or high > 1, out),
        (len(np.unique(tau)) < count / 2, few),
        # Kolmogorov and Smirnov: a uniform tau is suspected less than once in 10**7.
        (distance > 3 / count**0.5, "tau is not uniform: draw it with torch.rand(B)."),
        (True, ""),
    )


def _interpolation_hint(chunk: Array, a_tau: Array, tau: Array) -> str:
    """Return what a_tau is instead of tau A + (1 - tau) A0, or ""."""
    if np.allclose(a_tau, chunk, atol=1e-4):
        return "a_tau is the chunk itself: mix it with noise."
    if any(np.allclose(a_tau, share * chunk, atol=1e-4) for share in (tau, 1 - tau)):
        return "the noise is left out: it is zero."
    middle = ((tau > 0.05) & (tau < 0.95)).reshape(-1)  # where no division spoils the figures
    a, c, t = a_tau[middle], chunk[middle], tau[middle]
    if not (hint := flow_noise_hint((a - t * c) / (1 - t))):
        return ""
    roots = "the roots are diffusion's: here the two are mixed on a straight line."
    noises = [  # what is noise where chunk and noise were mixed by mistake
        ((a - (1 - t) * c) / t, "tau is reversed: noise is at tau = 0 and the chunk at tau = 1."),
        (a - t * c, "the noise lacks its factor 1 - tau."),
        ((a - c) / (1 - t), "the chunk lacks its factor tau."),
        (a, "a_tau is the noise alone: mix it with the chunk."),
        (a - c, "neither chunk nor noise has its factor."),
        ((a - np.sqrt(t) * c) / np.sqrt(1 - t), roots),
    ]
    mixed = hint_where(noises, lambda noise: not flow_noise_hint(noise))
    return mixed or f"recovered from a_tau, the noise is not right: {hint}"


def _fits_gradient(loss: float, call: Arrays, chunk: Array, mixed: Array) -> bool:
    """Whether the loss and its gradient are those of a squared error, mean or summed.

    The gradient of a squared error is twice the error over the number of terms, so it tells the
    target of each number, and with it the noise, without a division by 1 - tau. AnswerError where
    this noise is another than that in a_tau.
    """
    if call["gradient"] is None:
        return False
    gradient = as_sent(call["gradient"], *chunk.shape)
    tau = call["tau"].reshape(-1, 1, 1)
    for terms in (chunk.size, len(chunk)):
        error = gradient * terms / 2
        noise = chunk - call["velocity"] + error
        mixes = np.allclose(tau * chunk + (1 - tau) * noise, call["a_tau"], rtol=0, atol=1e-3)
        if mixes and np.isclose(loss, np.square(error).sum() / terms, rtol=1e-4):
            return True
        apart = abs(np.corrcoef(noise.flat, mixed.flat)[0, 1]) < 0.2
        if apart and flow_noise_hint(noise) is None:
            said = "The noise in the target is another than that in a_tau."
            raise wrong(said, "draw it once and use it in both.")
    return False


def _judge_value(loss: float, call: Arrays, chunk: Array, noise: Array) -> None:
    """Raise AnswerError for a loss whose gradient is not that of the squared error."""
    error = call["velocity"] - (chunk - noise)
    right = np.isclose(loss, policies.squared_errors(error), rtol=1e-3).any()
    known = [] if right else _mistakes(call, chunk, noise)  # a right value is nobody's mistake
    hint = policies.loss_hint(loss, error, known, rtol=1e-3)
    if not hint and call["gradient"] is None:
        hint = "no torch.no_grad and no .detach() between velocity and loss."
        raise wrong("No gradient reaches the velocity.", hint)
    if not hint and right:
        said = "The value is right, but its gradient is not that of the squared error."
        raise wrong(said, "nothing on the way from the velocity to the loss may be detached.")
    fallback = "it is the squared difference between the velocity and A - A0."
    raise policies.wrong_loss(loss, error, hint or fallback)


def _mistakes(call: Arrays, chunk: Array, noise: Array) -> Mistakes:
    """Yield mistaken differences (B, K, A)."""
    velocity, a_tau = call["velocity"], call["a_tau"]
    right, along = "the velocity is A - A0", "the velocity is A - A0, the same all along the line."
    hint = "the target is A0 - A here, which leads from the chunk to the noise: take A - A0."
    yield velocity - (noise - chunk), hint
    yield velocity - chunk, f"the target is the chunk A here: {right}."
    yield velocity - noise, f"the target is the noise A0 here, as in diffusion: {right}."
    yield velocity - (chunk - a_tau), f"the target is A - a_tau here: {along}"
    yield velocity - (a_tau - noise), f"the target is a_tau - A0 here: {along}"
    yield velocity - (chunk + noise), f"the target is A + A0 here: {right}."
    yield velocity - a_tau, f"the target is a_tau here: {right}."
    yield velocity, "the target is left out: compare the velocity with A - A0."
    yield chunk - noise, "the velocity is left out: compare it with A - A0."
    yield from bounded(velocity, chunk - noise)
