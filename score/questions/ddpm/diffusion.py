"""Part III, the diffusion policy: Q3.2 the class DDPM and its tables."""

import inspect
from typing import Any

import numpy as np
import torch
from torch import nn

from pusht.episodes import reproducible
from score.questions.base import Arrays, Question, Rng, as_array, call_with_hints, require, wrong
from score.questions.ddpm.networks import RAISED
from score.questions.ddpm.schedule import STEPS, cosine_schedule, is_schedule
from score.questions.ddpm.steps import Tables, judge_diffuse, judge_mean, judge_noise
from score.questions.mistakes import alike, hint_of
from score.questions.networks import small
from score.verdict import AnswerError, call_answer

_TABLES = "beta_k", "alpha_k", "alpha_k_cumprod"
_BETAS = (
    "it is cosine_beta_schedule(num_timesteps), as it is; mend Q3.1 first if that is not right yet."
)
_AS_TENSORS = slice(0, 3, 2)  # which of the cases denoise is called for with a tensor, too


class DDPM(Question):
    """The class `DDPM`: three tables, `diffuse` with a given noise, `denoise` with its own."""

    name = "Q3.2"

    def inputs(self, rng: Rng, trial: int) -> Arrays:
        """Clean chunks lie within (-1, 1), also as they are guessed on the way, and may be cut off
        there; noisy ones go beyond, and so do means, but at k = 0.
        """
        steps = (STEPS, int(rng.integers(20, 60)), int(rng.integers(120, 160)))[trial]
        chunk = ((16, 2), (5, 3), (64, 4))[trial]
        bar = np.cumprod(1 - cosine_schedule(steps))
        side, batch = (5, 4, 3)[trial], (512, 1024, 64)[trial]
        back = []
        for k in (0, 1, 2, steps // 2, steps - 1):
            clean = small(rng, batch, *chunk)
            noise = small(rng, batch, *chunk, most=2 if k else 0.3)
            a_k = np.sqrt(bar[k]) * clean + np.sqrt(1 - bar[k]) * noise
            back.append({"k": k, "a_k": a_k.astype(np.float32), "epsilon": noise})

        def forth(*shape: int) -> Arrays:
            return {"a_start": small(rng, *shape, most=1), "noise": small(rng, *shape, most=2)}

        # A cube: coefficients that broadcast over the wrong axis raise nothing here.
        cube = forth(side, side, side) | {"k": rng.choice(steps, size=side, replace=False)}
        # Every step; with the noise known, the clean chunk can be had back from each.
        every = forth(steps, *chunk) | {"k": rng.permutation(steps)}
        one = forth(1, *chunk) | {"k": rng.integers(steps, size=1)}
        seeds = rng.integers(2**31, size=2).tolist()
        return {"num_timesteps": steps, "forth": [cube, every, one], "back": back, "seeds": seeds}

    def call(self, answer: Any, inputs: Arrays) -> Arrays:
        hint = 'hand over the class itself, score.check("Q3.2", DDPM).'
        require(not isinstance(answer, nn.Module), "This is one object of the class.", hint)
        arguments = {"clip_denoised": False, "output_bound": 1.0, "device": "cpu"}
        ddpm = _construct(answer, num_timesteps=inputs["num_timesteps"], **arguments)
        outputs: Arrays = {name: _table(ddpm, name) for name in _TABLES}
        outputs.update(forth=[], back=[], tensor_k=[], raised=None)
        try:
            self.use(answer, ddpm, inputs, outputs)
        except AnswerError as error:  # what comes before it is judged first, and may be the reason
            outputs["raised"] = str(error)
        return outputs

    def use(self, answer: Any, ddpm: Any, inputs: Arrays, outputs: Arrays) -> None:
        """Add what the methods of an object give to `outputs`, until one of them raises."""
        dtypes = set()

        def called(what: str, method: str, of: Any, *arguments: Any) -> np.ndarray:
            tensor = call_with_hints(what, getattr(of, method), *arguments, hints=RAISED)
            array = as_array(method, tensor)
            dtypes.add(f"{method} {str(tensor.dtype).removeprefix('torch.')}")
            return array

        def denoised(of: Any, k: Any, case: Arrays, sign: int, seed: int) -> np.ndarray:
            epsilon, a_k = (torch.tensor(sign * case[name]) for name in ("epsilon", "a_k"))
            with reproducible(seed):
                return called(f"denoise with k = {k!r}", "denoise", of, epsilon, k, a_k)

        for case in inputs["forth"]:
            arguments = [torch.tensor(case[name]) for name in ("a_start", "k", "noise")]
            outputs["forth"].append(called("diffuse", "diffuse", ddpm, *arguments))
        (one, other), (last, *_) = inputs["seeds"], inputs["back"]
        for case in inputs["back"]:
            # The sum and difference of the first two, of the same noise, tell it from the mean.
            draws, k = {"plus": (1, one), "minus": (-1, one), "again": (1, other)}, case["k"]
            outputs["back"].append({n: denoised(ddpm, k, case, *draw) for n, draw in draws.items()})
        for case in inputs["back"][_AS_TENSORS]:
            outputs["tensor_k"].append(denoised(ddpm, torch.tensor(case["k"]), case, 1, one))
        # By default the finished chunk may be cut off, which does nothing to one within (-1, 1).
        steps = inputs["num_timesteps"]
        outputs["default"] = denoised(_construct(answer, num_timesteps=steps), 0, last, 1, one)
        outputs["devices"], outputs["dtypes"] = _devices(answer, steps), sorted(dtypes)

    def judge(self, inputs: Arrays, outputs: Arrays) -> None:
        tables = judge_tables(inputs["num_timesteps"], *(outputs[name] for name in _TABLES))
        for case, a_k in zip(inputs["forth"], outputs["forth"]):
            judge_diffuse(case, a_k, tables)
        if outputs["raised"]:
            raise AnswerError(outputs["raised"])
        back = {c["k"]: given for c, given in zip(inputs["back"], outputs["back"], strict=True)}
        for case in inputs["back"]:
            judge_mean(case, back[case["k"]], tables)
        judge_noise(back, tables)
        for case, a in zip(inputs["back"][_AS_TENSORS], outputs["tensor_k"], strict=True):
            same, k = alike(a, back[case["k"]]["plus"], rtol=1e-4, atol=1e-6), case["k"]
            said = f"denoise gives something else for k = torch.tensor({k}) than for k = {k}."
            require(same, said, "treat both alike.")
        same = alike(outputs["default"], back[0]["plus"], rtol=1e-4, atol=1e-5)
        said = "with clip_denoised on, a chunk inside of ± output_bound comes out changed."
        require(same, f"At k = 0, {said}", "clip_denoised only cuts off what lies outside.")
        dtypes, hint = outputs["dtypes"], "keep beta_k, alpha_k and alpha_k_cumprod in float32."
        said = f"From float32 chunks came {' and '.join(dtypes)}, which the network cannot read."
        require(dtypes == ["denoise float32", "diffuse float32"], said, hint)
        to_device = "cosine_beta_schedule(num_timesteps).to(device)."
        for name, device in outputs["devices"].items():
            said = f"self.{name} lies on the {device} when another device is asked for."
            require(device == "meta", said, f"bring the betas to the argument device, {to_device}")


# In the student's process.
def _construct(answer, **arguments):
    """Return an object of the student's class, without arguments that its constructor lacks."""
    try:
        taken = dict(inspect.signature(answer).parameters)
    except (TypeError, ValueError):
        taken = {}
    if taken and not any(p.kind is p.VAR_KEYWORD for p in taken.values()):
        arguments = {name: value for name, value in arguments.items() if name in taken}
    named = ", ".join(f"{name}={value!r}" for name, value in arguments.items())
    return call_answer(f"DDPM({named})", answer, **arguments)


def _table(ddpm, name):
    table = call_answer(f"self.{name}", getattr, ddpm, name, None)
    hint = "__init__ sets self.beta_k, self.alpha_k and self.alpha_k_cumprod."
    require(table is not None, f"DDPM has no {name}.", hint)
    hint, kind = "make it a tensor, so that it can be indexed by one.", type(table).__name__
    require(isinstance(table, torch.Tensor), f"self.{name} is a {kind}.", hint)
    return as_array(f"self.{name}", table)


def _devices(answer, steps):
    """Return where the tables of an object on another device lie.

    torch's "meta" device is one that every machine has. Nothing can be read from it, so that an
    answer may fail there that works on a GPU: then there is nothing to judge.
    """
    try:
        if "device" not in inspect.signature(answer).parameters:
            return {}
        ddpm = answer(num_timesteps=steps, device="meta")
        return {name: getattr(ddpm, name).device.type for name in _TABLES}
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        mixed = isinstance(error, RuntimeError) and (
            "expected device" in str(error) or "same device" in str(error)
        )
        return {"beta_k": "cpu"} if mixed else {}


# In the grader.
def judge_tables(steps: int, beta: np.ndarray, alpha: np.ndarray, bar: np.ndarray) -> Tables:
    """Return the three tables of a DDPM with this many steps; AnswerError where one is wrong.

    What is derived from a table is judged by that table, not by the right one.
    """
    at = f"For num_timesteps = {steps}"
    fixed = "the number of steps is fixed: cosine_beta_schedule(num_timesteps)."
    hint = fixed if beta.shape == (STEPS,) else _BETAS
    require(beta.shape == (steps,), f"{at} self.beta_k has shape {beta.shape}.", hint)
    if not is_schedule(beta, steps):
        betas = cosine_schedule(steps)
        linear = "this is a linear schedule: take your cosine_beta_schedule."
        known = [
            (1 - betas, "these are the alphas: alpha_k = 1 - beta_k."),
            (np.cumprod(1 - betas), "these are the cumulative products of alpha."),
            (np.linspace(1e-4, 0.02, steps), linear),
        ]
        said = f"{at} self.beta_k is not the cosine schedule with s = 0.008."
        raise wrong(said, hint_of(beta, known, rtol=2e-3) or _BETAS)
    for name, table in (("alpha_k", alpha), ("alpha_k_cumprod", bar)):
        said = f"{at} self.{name} has shape {table.shape} where ({steps},) is needed."
        require(table.shape == (steps,), said, "one number for each step.")
    right = np.cumprod(1 - beta)
    # float32 or float64 on the way is the student's choice; where beta is 0.999, that moves 1 -
    # beta by 1.4e-5 of itself.
    if not np.allclose(alpha, 1 - beta, rtol=5e-5, atol=0):
        known = [
            (beta, "alpha_k equals beta_k: it is 1 - beta_k."),
            (np.sqrt(1 - beta), "this is sqrt(1 - beta_k): no root here."),
            (right, "this is the cumulative product: it belongs in alpha_k_cumprod."),
            (1 + beta, "this is 1 + beta_k."),
        ]
        hint = hint_of(alpha, known, rtol=1e-4) or "it is 1 - beta_k, step by step."
        raise wrong(f"{at} self.alpha_k is wrong.", hint)
    if not np.allclose(bar, right, rtol=5e-5, atol=0):
        product = hint_of(bar, _products_mistaken(beta), rtol=1e-4)
        if not product and np.allclose(bar, np.cumprod(beta), rtol=1e-3, atol=1e-30):
            product = "this is the product of the betas: take that of the alphas."
        hint = product or "it is torch.cumprod(self.alpha_k, dim=0)."
        raise wrong(f"{at} self.alpha_k_cumprod is wrong.", hint)
    previous = np.append(1, bar[:-1])
    return Tables(beta, alpha, bar, previous, (1 - previous) / (1 - bar) * beta)


def _products_mistaken(beta):
    alpha, right = 1 - beta, np.cumprod(1 - beta)
    from_end, sum_of_betas = np.cumprod(alpha[::-1]), np.cumsum(beta)
    yield np.cumsum(alpha), "this is the sum: take the product, torch.cumprod(self.alpha_k, dim=0)."
    take = "take the product of the alphas."
    yield sum_of_betas, f"this is the sum of the betas: {take}"
    yield 1 - sum_of_betas, f"this is 1 - the sum of the betas: {take}"
    yield alpha, "this is alpha_k itself: multiply up to step k, torch.cumprod."
    yield 1 - right, "this is 1 - the product of alphas."
    yield from_end[::-1], "the product runs from the wrong end: from step 0 up to k."
    yield right[::-1], "the order is reversed: most is left at k = 0."
    yield from_end, "the product runs over reversed alphas: from step 0 up to k."
    hint = "it lags one step behind: at step k, alpha_k is already in the product."
    yield np.append(1, right[:-1]), hint
    yield np.sqrt(right), "this is the root of the product: take roots in diffuse only."
