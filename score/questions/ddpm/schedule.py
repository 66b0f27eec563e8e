"""Part III, the diffusion policy: Q3.1 the cosine noise schedule."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from score.questions.base import Arrays, Question, Rng, as_array, require_tensor, wrong
from score.questions.mistakes import Mistake, hint_of
from score.verdict import call_answer

STEPS = 100  # K of the notebook
_OFFSET, _LARGEST = 0.008, 0.999  # s of the notebook, and where betas are cut off
# float32 leaves about 1e-7 of the smallest betas, which are differences of numbers near one. The
# likeliest mistakes are 1e-5 off.
_RTOL, _ATOL = 1e-4, 5e-7


def cosine_schedule(timesteps: int, s: float = _OFFSET) -> np.ndarray:
    """Return the betas (timesteps,) of Nichol and Dhariwal's cosine schedule, in float64."""
    return _betas(_cosine((np.arange(timesteps + 1) / timesteps + s) / (1 + s)))


def is_schedule(betas: np.ndarray, timesteps: int, s: float = _OFFSET) -> bool:
    """Whether these are the schedule's betas, computed in float32 or better."""
    return np.allclose(betas, cosine_schedule(timesteps, s), _RTOL, _ATOL)


def _cosine(x: np.ndarray, power: int = 2) -> np.ndarray:
    return np.cos(x * np.pi / 2) ** power


def _betas(f: np.ndarray) -> np.ndarray:
    return np.clip(1 - f[1:] / f[:-1], 0, _LARGEST)


class Schedule(Question):
    """The function `cosine_beta_schedule`, from a number of steps to betas."""

    name = "Q3.1"

    def inputs(self, rng: Rng, trial: int) -> Arrays:
        """The first is the notebook's own, with s and dtype as they are by default."""
        if trial == 0:
            return {"timesteps": STEPS}
        return {
            "timesteps": int(rng.integers(*((10, 60), (120, 200))[trial - 1])),
            "s": float(rng.uniform(0.004, 0.03)),
            "dtype": ("float32", "float64")[trial - 1],
        }

    def call(self, answer: Any, inputs: Arrays) -> Arrays:
        arguments = {"dtype": getattr(torch, inputs["dtype"])} if "dtype" in inputs else {}
        arguments |= {"s": inputs["s"]} if "s" in inputs else {}
        betas = call_answer("cosine_beta_schedule", answer, inputs["timesteps"], **arguments)
        hint = "return torch.tensor(betas, dtype=dtype)."
        require_tensor("cosine_beta_schedule", betas, hint)
        dtype = str(betas.dtype).removeprefix("torch.")
        return {"betas": as_array("cosine_beta_schedule", betas), "dtype": dtype}

    def judge(self, inputs: Arrays, outputs: Arrays) -> None:
        betas, steps, s = outputs["betas"], inputs["timesteps"], inputs.get("s", _OFFSET)
        dtype, said = inputs.get("dtype", "float32"), f"For timesteps = {steps} and s = {s:.4g}"
        if betas.shape != (steps,):
            raise wrong(
                f"{said} the betas have shape {betas.shape} where ({steps},) is needed.",
                _shape_hint(betas.shape, steps),
            )
        if not is_schedule(betas, steps, s):
            right = cosine_schedule(steps, s)
            at = int(np.argmax(~np.isclose(betas, right, _RTOL, _ATOL)))
            raise wrong(
                f"{said} beta_{at} is {betas[at]:.6g} where {right[at]:.6g} is right.",
                _value_hint(betas, steps, s),
            )
        if outputs["dtype"] != dtype:
            raise wrong(
                f"{said} the betas are right, but of dtype {outputs['dtype']} where {dtype} is"
                " asked for.",
                "torch.tensor(betas, dtype=dtype).",
            )


def _shape_hint(shape: tuple[int, ...], steps: int) -> str:
    if shape == (STEPS,):
        return "the number of steps is fixed: take it from the argument timesteps."
    if shape == (steps + 1,):
        return (
            "f is needed at timesteps + 1 places, and there is one beta between each two of them."
        )
    if shape == (steps - 1,):
        return "timesteps betas need f at timesteps + 1 places, k = 0 to K, both ends included."
    return "one beta for each step, in one dimension."


def _value_hint(betas: np.ndarray, steps: int, s: float) -> str:
    if not np.isfinite(betas).all():
        return "not all of them are finite: nothing may be divided by zero."
    if not betas.any():
        return (
            "all are 0, as they are where f rises: it falls from 1 to 0 (cosine, k = 0 first), and"
            " beta_k = 1 - f(k+1)/f(k)."
        )
    known = [*_angles_mistaken(steps, s), *_ratios_mistaken(steps, s)]
    clipped = [Mistake(np.clip(m.value, 0, _LARGEST), m.hint) for m in known]
    if hint := hint_of(betas, known, rtol=2e-3) or hint_of(betas, clipped, rtol=2e-3):
        return hint
    if np.allclose(betas[:-1], cosine_schedule(steps, s)[:-1], rtol=2e-3):
        return f"only the last is wrong: betas are cut off at {_LARGEST}."
    return (
        "f(k) = cos²((k/K + s) / (1 + s) · pi/2) at k = 0, …, K; beta_k = 1 - f(k+1)/f(k), cut off"
        f" at {_LARGEST}."
    )


def _angles_mistaken(steps: int, s: float) -> Iterator[Mistake]:
    """Yield the betas of a cosine at wrong places, or betas that stand in wrong places."""

    def angle(x: np.ndarray, hint: str, power: int = 2) -> Mistake:
        return Mistake(_betas(_cosine(x, power)), hint)

    k = np.arange(-1, steps + 2)  # one place more at either end than f is needed at
    x, wide = k[1:-1] / steps, (k / steps + s) / (1 + s)
    f, right = _cosine(wide[1:-1]), cosine_schedule(steps, s)
    hint = f"they are not cut off at {_LARGEST}: take np.clip(betas, 0, {_LARGEST})."
    yield Mistake(1 - f[1:] / f[:-1], hint)
    hint = "s = 0.008 is fixed: take it from the argument s."
    yield Mistake(cosine_schedule(steps), hint)
    hint = "s is left out: it keeps the first betas from being too small."
    yield Mistake(cosine_schedule(steps, 0), hint)
    formula = "the angle is (k/K + s) / (1 + s) · pi/2."
    yield angle(x / (1 + s), f"s is missing in the numerator: {formula}")
    yield angle(x + s, f"s is missing in the denominator: {formula}")
    hint = "only k/K is divided by 1 + s: the parentheses of (k/K + s) / (1 + s) are missing."
    yield angle(x / (1 + s) + s, hint)
    hint = "s counts as a number of steps: it is added to k/K, not to k."
    yield angle((x + s / steps) / (1 + s), hint)
    yield angle(wide[2:], "they come one step early: f starts at k = 0, not at k = 1.")
    hint = "they come one step late: the first of them is beta_0 = 1 - f(1)/f(0)."
    yield Mistake(np.append(0, right[:-1]), hint)
    yield angle(wide[:-2], "they come one step late: f starts at k = 0.")
    hint = "k is divided by K + 1 instead of K: f's places run from 0 to 1, both included."
    yield angle((k[1:-1] / (steps + 1) + s) / (1 + s), hint)
    hint = "k is divided by K - 1 instead of K."
    yield angle((k[1:-1] / max(steps - 1, 1) + s) / (1 + s), hint)
    yield Mistake(right[::-1], "they stand in reverse: beta_0 is the smallest.")
    yield angle(wide[1:-1], "the cosine is not squared.", power=1)
    yield angle(wide[1:-1], "the cosine is squared twice.", power=4)
    hint = "the angle is (k/K + s) / (1 + s) times pi/2, not times pi."
    yield angle(2 * wide[1:-1], hint)
    yield Mistake(_betas(np.cos(wide[1:-1]) ** 2), "the factor pi/2 is missing.")
    hint = "sine for cosine: f falls from 1 to 0."
    yield Mistake(_betas(np.sin(wide[1:-1] * np.pi / 2) ** 2), hint)


def _ratios_mistaken(steps: int, s: float) -> Iterator[Mistake]:
    """Yield what else is made of a right f than 1 - f(k+1)/f(k)."""
    f = _cosine((np.arange(steps + 1) / steps + s) / (1 + s))
    right, bar = _betas(f), f / f[0]
    yield Mistake(1 - right, "these are the alphas: beta = 1 - alpha.")
    yield Mistake(f[1:] / f[:-1], "these are ratios of f: beta = 1 - ratio.")
    formula = "beta_k = 1 - alpha_bar_{k+1} / alpha_bar_k."
    yield Mistake(bar[1:], f"this is alpha_bar itself, the cumulative product: {formula}")
    yield Mistake(bar[:-1], f"this is alpha_bar, the cumulative product: {formula}")
    hint = "this is 1 - alpha_bar: divide by the alpha_bar of the step before."
    yield Mistake(1 - bar[1:], hint)
    hint = "this is the difference of neighbouring alpha_bar: divide it by alpha_bar_k."
    yield Mistake(bar[:-1] - bar[1:], hint)
    yield Mistake(np.sqrt(right), "this is the root of beta.")
    yield Mistake(1 - np.sqrt(1 - right), f"the root of the ratio is too much: {formula}")
    hint = "this is the linear schedule of Ho et al.: the cosine one is asked for."
    yield Mistake(np.linspace(1e-4, 0.02, steps), hint)
    inverse = 1 - f[:-1] / np.where(f[1:] < 1e-12, np.inf, f[1:])
    hint = "numerator and denominator are swapped: beta_k = 1 - f(k+1)/f(k)."
    yield Mistake(np.clip(inverse, 0, _LARGEST), hint)


QUESTIONS = (Schedule(),)
