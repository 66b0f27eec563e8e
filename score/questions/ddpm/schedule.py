"""Part III, the diffusion policy: Q3.1 the cosine noise schedule."""

from typing import Any

import numpy as np
import torch

from score.questions.base import Arrays, Question, Rng, as_array, require, wrong
from score.questions.mistakes import hint_of
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


def _cosine(x, power=2):
    return np.cos(x * np.pi / 2) ** power


def _betas(f):
    return np.clip(1 - f[1:] / f[:-1], 0, _LARGEST)


class Schedule(Question):
    """The function `cosine_beta_schedule`, from a number of steps to betas."""

    name = "Q3.1"

    def inputs(self, rng: Rng, trial: int) -> Arrays:
        """The first is the notebook's own, with s and dtype as they are by default."""
        if trial == 0:
            return {"timesteps": STEPS}
        bounds, dtype = (((10, 60), "float32"), ((120, 200), "float64"))[trial - 1]
        steps, s = int(rng.integers(*bounds)), float(rng.uniform(0.004, 0.03))
        return {"timesteps": steps, "s": s, "dtype": dtype}

    def call(self, answer: Any, inputs: Arrays) -> Arrays:
        arguments = {"dtype": getattr(torch, inputs["dtype"])} if "dtype" in inputs else {}
        arguments |= {"s": inputs["s"]} if "s" in inputs else {}
        what, hint = "cosine_beta_schedule", "return torch.tensor(betas, dtype=dtype)."
        betas = call_answer(what, answer, inputs["timesteps"], **arguments)
        array = as_array(what, betas, hint)
        return {"betas": array, "dtype": str(betas.dtype).removeprefix("torch.")}

    def judge(self, inputs: Arrays, outputs: Arrays) -> None:
        betas, steps, s = outputs["betas"], inputs["timesteps"], inputs.get("s", _OFFSET)
        at, dtype = f"For timesteps = {steps} and s = {s:.4g}", inputs.get("dtype", "float32")
        fixed = "the number of steps is fixed: take it from the argument timesteps."
        between = "there is one beta between each two of them."
        places = f"f is needed at timesteps + 1 places, and {between}"
        ends = "timesteps betas need f at timesteps + 1 places, k = 0 to K, both ends included."
        hints = {(steps - 1,): ends, (steps + 1,): places, (STEPS,): fixed}
        hint = hints.get(betas.shape, "one beta for each step, in one dimension.")
        said = f"{at} the betas have shape {betas.shape} where ({steps},) is needed."
        require(betas.shape == (steps,), said, hint)
        right = cosine_schedule(steps, s)
        if not is_schedule(betas, steps, s):
            k = int(np.argmax(~np.isclose(betas, right, _RTOL, _ATOL)))
            said = f"{at} beta_{k} is {betas[k]:.6g} where {right[k]:.6g} is right."
            raise wrong(said, _value_hint(betas, steps, s))
        said = f"of dtype {outputs['dtype']} where {dtype} is asked for."
        hint = "torch.tensor(betas, dtype=dtype)."
        require(outputs["dtype"] == dtype, f"{at} the betas are right, but {said}", hint)


def _value_hint(betas, steps, s):
    if not np.isfinite(betas).all():
        return "not all of them are finite: nothing may be divided by zero."
    if not betas.any():
        falls = "it falls from 1 to 0 (cosine, k = 0 first), and beta_k = 1 - f(k+1)/f(k)."
        return f"all are 0, as they are where f rises: {falls}"
    known = [*_angles_mistaken(steps, s), *_ratios_mistaken(steps, s)]
    clipped = [(np.clip(value, 0, _LARGEST), hint) for value, hint in known]
    if hint := hint_of(betas, known, rtol=2e-3) or hint_of(betas, clipped, rtol=2e-3):
        return hint
    if np.allclose(betas[:-1], cosine_schedule(steps, s)[:-1], rtol=2e-3):
        return f"only the last is wrong: betas are cut off at {_LARGEST}."
    beta_k = f"beta_k = 1 - f(k+1)/f(k), cut off at {_LARGEST}."
    return f"f(k) = cos²((k/K + s) / (1 + s) · pi/2) at k = 0, …, K; {beta_k}"


def _angles_mistaken(steps, s):
    """Yield the betas of a cosine at wrong places, or betas that stand in wrong places."""

    def angle(x, hint, power=2):
        return _betas(_cosine(x, power)), hint

    k = np.arange(-1, steps + 2)  # one place more at either end than f is needed at
    k, wide = k[1:-1], (k / steps + s) / (1 + s)
    x, right_x = k / steps, wide[1:-1]
    f, right = _cosine(right_x), cosine_schedule(steps, s)
    hint = f"they are not cut off at {_LARGEST}: take np.clip(betas, 0, {_LARGEST})."
    yield 1 - f[1:] / f[:-1], hint
    yield cosine_schedule(steps), "s = 0.008 is fixed: take it from the argument s."
    yield cosine_schedule(steps, 0), "s is left out: it keeps the first betas from being too small."
    formula = "the angle is (k/K + s) / (1 + s) · pi/2."
    yield angle(x / (1 + s), f"s is missing in the numerator: {formula}")
    yield angle(x + s, f"s is missing in the denominator: {formula}")
    hint = "only k/K is divided by 1 + s: the parentheses of (k/K + s) / (1 + s) are missing."
    yield angle(x / (1 + s) + s, hint)
    hint = "s counts as a number of steps: it is added to k/K, not to k."
    yield angle((x + s / steps) / (1 + s), hint)
    yield angle(wide[2:], "they come one step early: f starts at k = 0, not at k = 1.")
    late = "they come one step late:"
    yield np.append(0, right[:-1]), f"{late} the first of them is beta_0 = 1 - f(1)/f(0)."
    yield angle(wide[:-2], f"{late} f starts at k = 0.")
    hint = "k is divided by K + 1 instead of K: f's places run from 0 to 1, both included."
    yield angle((k / (steps + 1) + s) / (1 + s), hint)
    yield angle((k / max(steps - 1, 1) + s) / (1 + s), "k is divided by K - 1 instead of K.")
    yield right[::-1], "they stand in reverse: beta_0 is the smallest."
    yield angle(right_x, "the cosine is not squared.", power=1)
    yield angle(right_x, "the cosine is squared twice.", power=4)
    yield angle(2 * right_x, "the angle is (k/K + s) / (1 + s) times pi/2, not times pi.")
    yield _betas(np.cos(right_x) ** 2), "the factor pi/2 is missing."
    sine = np.sin(right_x * np.pi / 2) ** 2
    yield _betas(sine), "sine for cosine: f falls from 1 to 0."


def _ratios_mistaken(steps, s):
    """Yield what else is made of a right f than 1 - f(k+1)/f(k)."""
    f = _cosine((np.arange(steps + 1) / steps + s) / (1 + s))
    right, bar = _betas(f), f / f[0]
    yield 1 - right, "these are the alphas: beta = 1 - alpha."
    yield f[1:] / f[:-1], "these are ratios of f: beta = 1 - ratio."
    formula = "beta_k = 1 - alpha_bar_{k+1} / alpha_bar_k."
    yield bar[1:], f"this is alpha_bar itself, the cumulative product: {formula}"
    yield bar[:-1], f"this is alpha_bar, the cumulative product: {formula}"
    yield 1 - bar[1:], "this is 1 - alpha_bar: divide by the alpha_bar of the step before."
    hint = "this is the difference of neighbouring alpha_bar: divide it by alpha_bar_k."
    yield bar[:-1] - bar[1:], hint
    yield np.sqrt(right), "this is the root of beta."
    yield 1 - np.sqrt(1 - right), f"the root of the ratio is too much: {formula}"
    hint = "this is the linear schedule of Ho et al.: the cosine one is asked for."
    yield np.linspace(1e-4, 0.02, steps), hint
    inverse = 1 - f[:-1] / np.where(f[1:] < 1e-12, np.inf, f[1:])
    hint = "numerator and denominator are swapped: beta_k = 1 - f(k+1)/f(k)."
    yield np.clip(inverse, 0, _LARGEST), hint
