"""Part III, the diffusion policy: Q3.3 the loss, the mean squared error of the guessed noise."""

from typing import Any

import numpy as np
import torch
from torch import nn

from score.questions import mistakes
from score.questions.base import Array, Arrays, Rng, as_sent, require, wrong
from score.questions.ddpm.networks import _Scheduler, judge_condition, network_inputs, recorded
from score.questions.ddpm.schedule import STEPS
from score.questions.kinds import NumberQuestion
from score.questions.mistakes import Mistake, Mistakes, all_differ, diffusion_noise_hint

_ENOUGH = 1000  # samples, to judge how their steps and noise are distributed


class DDPMLoss(NumberQuestion):
    """The loss with stand-ins for network and scheduler, which record what they are called with."""

    name, function, leaves = "Q3.3", "ddpm_loss", "the network"
    rtol, hint_rtols = 5e-5, (5e-5,)
    attached_hint = "nothing on the way from the network's prediction to the loss may be detached."
    fallback = (
        "it is the mean, over batch, steps and coordinates, of the squared difference between the"
        " network's prediction and the very noise that was added."
    )

    def inputs(self, rng: Rng, trial: int) -> Arrays:
        """A batch in which every step turns up (but for one in 10^16), a small one, one chunk."""
        return network_inputs(rng, *((4096, 3, 2), (6, 16, 3), (1, 16, 2))[trial])

    def call(self, answer: Any, inputs: Arrays) -> Arrays:
        def loss_of(*stand_ins: nn.Module) -> Any:
            return answer(*stand_ins, *(torch.tensor(inputs[name]) for name in ("nobs", "naction")))

        model, scheduler, loss, again = recorded("ddpm_loss", loss_of, inputs, STEPS)
        return {
            **self.outputs(loss, [model.weight]),
            "shown": _joined(model.calls),
            "diffused": [k.numpy() for k in scheduler.diffused],
            "again": again,
        }

    def judge(self, inputs: Arrays, outputs: Arrays) -> None:
        shown = outputs["shown"]
        hint = "model(sample=…, timestep=…, global_cond=…) predicts the noise."
        require(shown, "The network is not called.", hint)
        naction = inputs["naction"].astype(np.float64)
        k = judge_shown(shown, naction)
        judge_condition(shown["condition"], inputs["nobs"])
        noise = judge_noise(shown["sample"], naction, k, outputs["diffused"])
        again = outputs["again"]
        first = [shown["sample"][: len(sample)] for sample in again[:1]]
        anew = all_differ([*first, *again])
        hint = "draw noise and steps anew in every call, and seed nothing in here."
        require(len(k) == 1 or anew, "Two calls add the same noise.", hint)
        error = as_sent(shown["prediction"], *naction.shape) - noise
        by_weight = (2 * error * shown["sample"]).sum(axis=(0, 1)) / error.size
        known = self.mistakes(shown["prediction"], noise, shown["sample"], naction)
        self.judge_number(inputs, outputs, np.square(error).mean(), [by_weight], known)

    def mistakes(self, prediction: Array, noise: Array, sample: Array, naction: Array) -> Mistakes:
        def square(error: Array, hint: str) -> Mistake:
            return np.square(error).mean(), hint

        hints = mistakes.mean_squared_error_hints("coordinates", "the coordinates")
        yield from mistakes.squared_error(prediction - noise, hints)
        yield from mistakes.mean_squares(mistakes.bounded(prediction, noise))
        predicts = "the network predicts the noise."
        compares = "this compares the prediction with the"
        yield square(prediction - naction, f"{compares} clean chunk: {predicts}")
        yield square(prediction - sample, f"{compares} noisy chunk: {predicts}")
        hint = "this takes the noisy chunk minus the prediction for the clean chunk: compare the"
        yield square(sample - prediction - naction, f"{hint} prediction with the noise.")
        yield square(noise, "the prediction is left out: compare it with the noise.")
        yield square(prediction, "the noise is left out: compare the prediction with it.")
        yield square(prediction + noise, "the prediction has the wrong sign.")


def _joined(calls):
    """Return all calls of a network as one: an answer may show it one sample after the other."""
    if len(calls) < 2:
        return calls[0] if calls else None
    if any(c["condition"] is None or c["k"].shape != (len(c["sample"]),) for c in calls):
        return calls[-1]
    names = ("sample", "k", "condition", "prediction")
    return {name: np.concatenate([call[name] for call in calls]) for name in names}


def judge_shown(shown: Arrays, naction: Array) -> Array:
    """Return the steps (B,) that the network was shown, if chunks and steps have right shapes."""
    shape, batch, k = shown["sample"].shape, len(naction), shown["k"]
    again = " It is called more than once." if shape[0] > batch else ""
    said = f"The network is shown chunks of shape {shape} where {naction.shape} is needed.{again}"
    require(shape == naction.shape, said, "the noisy chunks, one for each in the batch, once.")
    hint = "torch.randint(0, scheduler.num_timesteps, (B,))."
    require(np.array_equal(k, np.round(k)), "The steps are not whole numbers.", hint)  # nan neither
    hint = "one whole number for each sample."
    if batch > 1 and k.size == 1:
        hint = "one step for the whole batch: draw one for each sample."
    said = f"The network is shown steps of shape {k.shape} where ({batch},) is needed."
    require(k.shape == (batch,), said, hint)
    outside = int(k.max() if k.max() >= STEPS else k.min())
    hint = "steps are counted from 0 to num_timesteps - 1."
    require(0 <= outside < STEPS, f"The network is shown step {outside}.", hint)
    k = k.astype(int)
    if batch >= _ENOUGH:
        judge_distribution(k)
    return k


def judge_distribution(k: Array) -> None:
    """All steps have to come up, and as often as each other. k: (B,) of a large batch."""
    hint = "this is one step for the whole batch: draw one for each sample."
    require(np.ptp(k) > 0, f"All samples have the step {k[0]}.", hint)
    counts, expected = np.bincount(k, minlength=STEPS), len(k) / STEPS
    missing = np.flatnonzero(counts == 0)
    several = f"{len(missing)} of the {STEPS} steps"
    which = f"step {missing[0]}" if len(missing) == 1 else several
    hint = "draws from 0 to num_timesteps - 1: its upper end is left out, its lower is not."
    hint = f"torch.randint(0, num_timesteps, (B,)) {hint}"
    require(counts.all(), f"In {len(k)} samples {which} never came up.", hint)
    # The mean is 99 and the deviation 14: one in 10^10 where all are equally likely.
    equally = np.sum((counts - expected) ** 2 / expected) <= 220
    hint = "all are equally likely: torch.randint."
    require(equally, "Some steps come up more often than others.", hint)


def judge_noise(sample: Array, naction: Array, k: Array, diffused: list[Array]) -> Array:
    """Return the noise in samples of steps k; diffused: the steps that the scheduler was given."""
    noised = not np.allclose(sample, naction, atol=1e-6)
    hint = "show it what scheduler.diffuse makes of them."
    require(noised, "The network is shown the clean chunks.", hint)
    added_at = np.concatenate([np.ravel(steps) for steps in diffused]) if diffused else k
    same = added_at.size not in (1, len(k)) or (added_at == k).all()
    said = "The network is shown other steps than those that noise was added for."
    require(same, said, "draw k once, and hand it to both.")
    # In float32, as the answer's arithmetic has it.
    left = _Scheduler(STEPS).alpha_k_cumprod.double().numpy()[k].reshape(-1, 1, 1)
    noise = (sample - np.sqrt(left) * naction) / np.sqrt(1 - left)
    if problem := diffusion_noise_hint(noise):
        pure = len(k) > _ENOUGH and diffusion_noise_hint(sample) is None
        hint = "show it the noisy chunks of scheduler.diffuse."
        require(not pure, "The network is shown nothing but noise.", hint)
        raise wrong("The noise in the chunks that the network is shown is wrong.", problem)
    return noise
