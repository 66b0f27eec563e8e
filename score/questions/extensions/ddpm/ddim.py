"""E3.1, an extension of Part III: a DDIM step."""

from typing import Any

import numpy as np
import torch

from pusht.episodes import reproducible
from score.questions.base import Array, Arrays, Question, Rng, as_array, require, wrong
from score.questions.ddpm.schedule import cosine_schedule
from score.questions.mistakes import Mistake, Mistakes, hint_of
from score.verdict import call_answer

_NOTEBOOK_STEPS = 100  # the length of the notebook's own schedule


class DDIMStep(Question):
    """Chunks (B, Tp, action_dim) taken from step k down to k_prev without noise.

    Song et al., "Denoising Diffusion Implicit Models", equation 12 with sigma = 0.
    """

    name = "E3.1"

    def inputs(self, rng: Rng, trial: int) -> Arrays:
        """The notebook's schedule, then others of other lengths; long jumps and single steps."""
        steps = (_NOTEBOOK_STEPS, int(rng.integers(40, 60)), int(rng.integers(120, 160)))[trial]
        betas, middle = cosine_schedule(steps), steps // 2
        if trial > 0:
            betas = np.linspace(0.002, rng.uniform(0.1, 0.15) * 50 / steps, steps)
        shape = ((6, 16, 2), (3, 5, 3), (1, 8, 2))[trial]
        long = [(middle + 9, middle), (middle, middle - 17), (steps - 6, steps - 16)]
        jumps = [*long, (9, 8), (9, 0), (9, -1), (0, -1)]
        return {
            "alpha_bar": np.cumprod(1 - betas).astype(np.float32),
            "jumps": jumps,
            "seeds": rng.integers(2**31, size=2).tolist(),
            "a_k": [rng.normal(size=shape).astype(np.float32) for _ in jumps],
            "epsilon": [rng.normal(size=shape).astype(np.float32) for _ in jumps],
        }

    def call(self, answer: Any, inputs: Arrays) -> Arrays:
        outputs: Arrays = {"a": [], "again": []}
        jumps = zip(inputs["jumps"], inputs["a_k"], inputs["epsilon"], strict=True)
        for (k, k_prev), a_k, epsilon in jumps:
            arrays = epsilon, a_k, inputs["alpha_bar"]
            for seed, steps in zip(inputs["seeds"], outputs.values(), strict=True):
                guess, chunk, shares = tensors = [torch.tensor(array) for array in arrays]
                what = f"ddim_step from k = {k} to k_prev = {k_prev}"
                with reproducible(seed):
                    a = call_answer(what, answer, guess, k, k_prev, chunk, shares)
                steps.append(as_array("ddim_step", a))
                unchanged = all(map(np.array_equal, (t.detach().numpy() for t in tensors), arrays))
                hint = "work out a new tensor, and assign into none."
                require(unchanged, "What was handed to ddim_step is changed.", hint)
        return outputs

    def judge(self, inputs: Arrays, outputs: Arrays) -> None:
        bar = inputs["alpha_bar"].astype(np.float64)
        arrays = inputs["a_k"], inputs["epsilon"], outputs["a"], outputs["again"]
        for (k, k_prev), a_k, epsilon, a, again in zip(inputs["jumps"], *arrays, strict=True):
            hint = "k and k_prev are whole numbers: alpha_bar[k] is one number."
            require(a.shape == a_k.shape, f"From chunks {a_k.shape} came {a.shape}.", hint)
            right = _ddim(a_k, epsilon, bar[k], _share(bar, k_prev))
            if np.allclose(a, right, rtol=1e-3, atol=2e-3):
                continue
            clean = "the clean chunk first, from a_k and the noise;"
            hint = f"{clean} then add that noise to it, to k_prev."
            if np.allclose(a, again, rtol=1e-3, atol=1e-3):
                hint = hint_of(a, _mistakes(k, k_prev, a_k, epsilon, bar), rtol=5e-3) or hint
            else:
                hint = "noise is added: a DDIM step with sigma = 0 draws none."
            off = np.abs(a - right).max()
            raise wrong(f"The step from k = {k} to k_prev = {k_prev} is up to {off:.2g} off.", hint)


def _share(bar: Array, k: int) -> float:
    """Return the share of the clean chunk at step k; 1 at step -1, where no noise is left."""
    return float(bar[k]) if k >= 0 else 1.0


def _ddim(a_k: Array, epsilon: Array, now: float, then: float) -> Array:
    """Return the chunks at the share `then`, from those at the share `now`."""
    clean = (a_k - np.sqrt(1 - now) * epsilon) / np.sqrt(now)
    return np.sqrt(then) * clean + np.sqrt(1 - then) * epsilon


def _mistakes(k: int, k_prev: int, a_k: Array, epsilon: Array, bar: Array) -> Mistakes:
    now, then, before = bar[k], _share(bar, k_prev), _share(bar, k - 1)
    yield from _share_mistakes(k, k_prev, a_k, epsilon, bar)
    yield from _formula_mistakes(a_k, epsilon, now, then)
    order = "the order is ddim_step(pred_epsilon, k, k_prev, a_k, alpha_bar)."
    yield _ddim(epsilon, a_k, now, then), f"prediction and chunk are swapped: {order}"
    alpha = now / before
    mean = (a_k - (1 - alpha) / np.sqrt(1 - now) * epsilon) / np.sqrt(alpha)
    yield mean, "this is DDPM's mean of one step back: DDIM jumps to k_prev."
    if len(bar) != _NOTEBOOK_STEPS:
        own = np.cumprod(1 - cosine_schedule(_NOTEBOOK_STEPS))
        shares = (_share(own, min(step, _NOTEBOOK_STEPS - 1)) for step in (k, k_prev))
        hint = "alpha_bar is the notebook's own here: take the argument."
        yield _ddim(a_k, epsilon, *shares), hint


def _share_mistakes(k: int, k_prev: int, a_k: Array, epsilon: Array, bar: Array) -> Mistakes:
    """Yield steps between other shares than those of k and k_prev."""

    def step(now: float, then: float, hint: str) -> Mistake:
        return _ddim(a_k, epsilon, now, then), hint

    now, then, alpha = bar[k], _share(bar, k_prev), bar / np.append(1, bar[:-1])
    before = _share(bar, k - 1)
    if k_prev < 0:
        hint = "at k_prev = -1 no noise is left, the share is 1;"
        yield step(now, bar[-1], f"{hint} alpha_bar[-1] is the last of the array, nearly 0.")
        yield step(now, 0, "at k_prev = -1 the share is 1; here it is 0.")
        yield step(now, bar[0], "at k_prev = -1 the share is 1; here it is that of step 0.")
    hint = "this is alpha in place of alpha_bar: take the argument alpha_bar as it is"
    yield step(alpha[k], _share(alpha, k_prev), f"{hint} (the paper calls it alpha).")
    hint = "the product is taken twice: alpha_bar is a cumulative product already."
    yield step(np.prod(bar[: k + 1]), np.prod(bar[: k_prev + 1]), hint)
    yield step(now, before, "the step ends at k - 1 here: k_prev may be further down.")
    hint = "the share of k_prev is one step off: alpha_bar[k_prev]"
    yield step(now, bar[k_prev + 1], f"{hint}.")
    yield step(now, _share(bar, k_prev - 1), f"{hint}, without - 1.")
    yield step(before, then, "the share of k is one step off: alpha_bar[k].")
    hint = "k and k_prev are swapped: the clean chunk comes from a_k with alpha_bar[k]."
    yield step(then, now, hint) if then < 1 else (a_k, hint)


def _formula_mistakes(a_k: Array, epsilon: Array, now: float, then: float) -> Mistakes:
    """Yield steps with a term or a root too few, or with a wrong sign."""
    root_now, noise = np.sqrt(now), np.sqrt(1 - now) * epsilon
    root_then, noise_then = np.sqrt(then), np.sqrt(1 - then) * epsilon
    clean = (a_k - noise) / root_now

    def noised(clean: Array, hint: str) -> Mistake:
        return root_then * clean + noise_then, hint

    yield a_k, "the chunk keeps its noise: add noise to the clean one with the share of k_prev."
    yield clean, "this is the clean chunk: add noise to it again, to k_prev."
    hint = "the noise at the end is left out: + sqrt(1 - alpha_bar_prev) times epsilon."
    yield root_then * clean, hint
    yield clean + noise_then, "the clean chunk lacks its factor sqrt(alpha_bar_prev)."
    yield noised((a_k - noise) / now, "the root of alpha_bar[k] below the clean chunk is missing.")
    rootless = a_k - (1 - now) * epsilon
    yield noised(rootless / root_now, "the root of 1 - alpha_bar[k] is missing.")
    hint = "the root of alpha_bar[k_prev] before the clean chunk is missing."
    yield then * clean + noise_then, hint
    hint = "the root of 1 - alpha_bar[k_prev] at the end is missing."
    yield root_then * clean + (1 - then) * epsilon, hint
    yield then * rootless / now + (1 - then) * epsilon, "all roots are missing."
    yield noised(a_k - noise, "the division by sqrt(alpha_bar[k]) is missing.")
    yield noised(clean.clip(-1, 1), "the clean chunk is cut off at ± 1 here: leave it as it is.")
    hint = "the noise is added to get the clean chunk: take it away."
    yield noised((a_k + noise) / root_now, hint)
    yield root_then * clean - noise_then, "the noise is taken away at the end: add it."
