"""Part III, the diffusion policy: Q3.4 inference, from noise back to chunks."""

from typing import Any

import numpy as np
import torch
from torch import nn

from score.questions.base import Array, Arrays, Question, Rng, as_array, require, wrong
from score.questions.ddpm.networks import judge_condition, network_inputs, recorded, stand_ins
from score.questions.mistakes import alike, all_differ, diffusion_noise_hint, first_hint
from score.verdict import AnswerError

_SIZES = ("num_diffusion_iters", "pred_horizon", "action_dim")


class DDPMInference(Question):
    """The chain of steps back, with stand-ins for network and scheduler that record their calls."""

    name = "Q3.4"

    def inputs(self, rng: Rng, trial: int) -> Arrays:
        batch, horizon, dims, steps = ((512, 16, 2, 7), (1, 5, 3, 4), (3, 16, 2, 12))[trial]
        inputs = network_inputs(rng, batch, horizon, dims)
        del inputs["naction"]
        return inputs | dict(zip(_SIZES, (steps, horizon, dims)))

    def call(self, answer: Any, inputs: Arrays) -> Arrays:
        batch, sizes = len(inputs["nobs"]), {name: inputs[name] for name in _SIZES}

        def chunks_of(model: nn.Module, scheduler: nn.Module) -> Any:
            arrays = {"nobs": torch.tensor(inputs["nobs"]), "device": torch.device("cpu")}
            called = {"ema_model": model, "ddpm_scheduler": scheduler}
            return answer(**called, batch_size=batch, **arrays, **sizes)

        what, steps = f"ddpm_inference with batch_size {batch}", inputs["num_diffusion_iters"]
        model, scheduler, naction, again = recorded(what, chunks_of, inputs, steps)
        return {
            "naction": as_array("ddpm_inference", naction, "return the tensor naction."),
            "shown": model.calls,
            "denoised": scheduler.denoised,
            "requires_grad": naction.requires_grad,
            "again": again,
        }

    def judge(self, inputs: Arrays, outputs: Arrays) -> None:
        batch, steps, horizon, dims = len(inputs["nobs"]), *(inputs[name] for name in _SIZES)
        shown, denoised, shape = outputs["shown"], outputs["denoised"], (batch, horizon, dims)
        hint = "ema_model(sample=…, timestep=k, global_cond=…) predicts the noise."
        require(shown, "The network is not called.", hint)
        hint = "it takes each step back, from the network's prediction."
        require(denoised, "ddpm_scheduler.denoise is not called.", hint)
        start = shown[0]["sample"]
        needed = f"(batch_size, pred_horizon, action_dim) = {shape} is needed."
        said = f"For {batch} observations the network is shown a chunk of shape {start.shape};"
        hint = "it has to serve a whole batch, not one observation at a time."
        require(start.shape == shape, f"{said} {needed}", hint)
        for call in shown:
            judge_condition(call["condition"], inputs["nobs"])
        judge_steps([call["k"] for call in shown], "The network is called", steps, batch)
        judge_steps([call["k"] for call in denoised], "denoise is called", steps, batch)
        if problem := diffusion_noise_hint(start):
            raise wrong("The noise to start from is wrong.", problem)
        hint = "draw it anew in every call, and seed nothing in here."
        anew = batch == 1 or all_differ([start, *outputs["again"]])
        require(anew, "Two calls start from the same noise.", hint)
        if (found := outputs["naction"].shape) != shape:
            raise AnswerError(f"The result has shape {found}; {needed}")
        judge_chain(inputs, shown, denoised, outputs["naction"])
        recorded = outputs["requires_grad"] or any(call["requires_grad"] for call in shown)
        said, hint = "gradients were recorded.", "do all of it under torch.no_grad()."
        require(not recorded, f"The actions are right, but {said}", hint)


def judge_steps(calls: list[Array], who: str, steps: int, batch: int) -> None:
    """Judge for which steps k something is called. who: "denoise is called", as sentences begin."""
    hint = "k is one number, the same for the whole batch."
    for k in calls:
        one = k.ndim <= 1 and k.size in (1, batch) and np.ptp(k) == 0
        require(one, f"{who} for steps of shape {k.shape}.", hint)
    found, right = [float(k.flat[0]) for k in calls], list(range(steps - 1, -1, -1))
    if found != right:
        named = ", ".join(f"{k:g}" for k in found[:20]) + (", …" if len(found) > 20 else "")
        said = f"{who[0].lower() + who[1:]} for the steps {named}."
        raise wrong(f"With num_diffusion_iters = {steps} {said}", _steps_hint(found, right))


def _steps_hint(found, right):
    steps = len(right)
    if found == right[::-1]:
        noisiest = "the steps go down, from the noisiest to k = 0"
        return f"{noisiest}: reversed(range(num_diffusion_iters))."
    if len(set(found)) == 1 and len(found) == steps > 1:
        return "it gets the same step each time: hand over the k of the loop."
    if found == [k + 1 for k in right] or max(found) >= steps:
        return f"steps are counted from num_diffusion_iters - 1 = {steps - 1} down to 0."
    if found == right[:-1]:
        return "k = 0 is left out: reversed(range(num_diffusion_iters)) ends there."
    if found == right[1:]:
        return "the first step is left out: start at num_diffusion_iters - 1."
    if len(found) > steps:
        return "each step once, for the whole batch."
    return "each step once, from num_diffusion_iters - 1 down to 0."


def judge_chain(inputs: Arrays, shown: Any, denoised: Any, naction: Array) -> None:
    """Every chunk has to follow from the one before, and the result from the last."""
    start = shown[0]["sample"]
    swapped = alike(denoised[0]["pred_epsilon"], start, rtol=1e-5, atol=1e-6)
    hint = "the order is denoise(pred_epsilon, k, a_k)."
    require(not swapped, "denoise is given the chunk for the prediction.", hint)
    network, scheduler = stand_ins(inputs, len(shown))
    network, a = network.double(), torch.tensor(start)
    gets = "denoise(pred_epsilon, k, a_k) gets the network's prediction and the chunk that it was"
    for call, step in zip(shown, denoised):
        at = f"At k = {call['k'].flat[0]:g}"
        if not alike(call["sample"], a):
            hint = _sample_hint(call["sample"], a, start)
            raise wrong(f"{at} the network is shown the wrong chunk.", hint)
        prediction = network(a, call["k"], inputs["nobs"].reshape(len(start), -1)).detach()
        for what, found, right in (("prediction", "pred_epsilon", prediction), ("chunk", "a_k", a)):
            said = f"{at} denoise is given the wrong {what}."
            require(alike(step[found], right), said, f"{gets} made from, as they are.")
        last, a = call["sample"], scheduler.denoise(prediction, call["k"], a)
    hint = "return what the last denoise gave."
    hint = first_hint(
        (
            alike(naction, prediction),
            f"this is the network's last prediction, that is noise: {hint}",
        ),
        (alike(naction, last), f"this is the chunk before the last step: {hint}"),
        (True, hint),
    )
    # A chunk cut off at the end is as right.
    right = alike(naction, a) or alike(naction, a.clamp(-1, 1))
    require(right, "The result is not where the steps end.", hint)


def _sample_hint(sample, right, start):
    hint = "feed the network what denoise gave the step before, as it is."
    new = len(sample) > 1 and diffusion_noise_hint(sample) is None
    return first_hint(
        (alike(sample, start), f"the network is shown the first noise again: {hint}"),
        (new, f"noise is drawn once, before the loop: then {hint}"),
        (alike(sample, right.clamp(-1, 1)), f"nothing is cut off between the steps: {hint}"),
        (True, hint),
    )
