"""E3.1, an extension of Part III: a DDIM step."""

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from score.questions.base import Arrays, Question, Rng, as_array, wrong
from score.questions.ddpm.networks import seeded
from score.questions.ddpm.schedule import cosine_schedule
from score.questions.mistakes import Mistake, hint_of
from score.verdict import call_answer

_NOTEBOOK_STEPS = 100  # the length of the notebook's own schedule


class DDIMStep(Question):
    """Chunks (B, Tp, action_dim) taken from step k down to k_prev without noise.

    Song et al., "Denoising Diffusion Implicit Models", equation 12 with sigma = 0.
    """

    name = "E3.1"

    def inputs(self, rng: Rng, trial: int) -> Arrays:
        """The notebook's schedule, then others of other lengths; a long jump, a longer one, a
        single step, the last step.
        """
        steps = (_NOTEBOOK_STEPS, int(rng.integers(40, 60)), int(rng.integers(120, 160)))[trial]
        if trial == 0:
            betas = cosine_schedule(steps)
        else:
            betas = np.linspace(0.002, rng.uniform(0.1, 0.15) * 50 / steps, steps)
        shape = ((6, 16, 2), (3, 5, 3), (1, 8, 2))[trial]
        middle = steps // 2
        long = [(middle + 9, middle), (middle, middle - 17), (steps - 6, steps - 16)]
        jumps = [*long, (9, 8), (9, 0), (9, -1), (0, -1)]
        return {
            "alpha_bar": np.cumprod(1 - betas).astype(np.float32),
            "jumps": jumps,
            "seeds": [int(seed) for seed in rng.integers(2**31, size=2)],
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
                with seeded(seed):
                    a = call_answer(what, answer, guess, k, k_prev, chunk, shares)
                steps.append(as_array("ddim_step", a))
                if not all(map(np.array_equal, (t.detach().numpy() for t in tensors), arrays)):
                    raise wrong(
                        "What was handed to ddim_step is changed.",
                        "work out a new tensor, and assign into none.",
                    )
        return outputs

    def judge(self, inputs: Arrays, outputs: Arrays) -> None:
        bar = inputs["alpha_bar"].astype(np.float64)
        arrays = inputs["a_k"], inputs["epsilon"], outputs["a"], outputs["again"]
        for (k, k_prev), a_k, epsilon, a, again in zip(inputs["jumps"], *arrays, strict=True):
            if a.shape != a_k.shape:
                raise wrong(
                    f"From chunks {a_k.shape} came {a.shape}.",
                    "k and k_prev are whole numbers: alpha_bar[k] is one number.",
                )
            right = _ddim(a_k, epsilon, bar[k], _share(bar, k_prev))
            if np.allclose(a, right, rtol=1e-3, atol=2e-3):
                continue
            hint: str | None = "noise is added: a DDIM step with sigma = 0 draws none."
            if np.allclose(a, again, rtol=1e-3, atol=1e-3):
                known = itertools.chain(
                    _share_mistakes(k, k_prev, a_k, epsilon, bar),
                    _formula_mistakes(a_k, epsilon, bar[k], _share(bar, k_prev)),
                    _other_mistakes(k, k_prev, a_k, epsilon, bar),
                )
                hint = hint_of(a, known, rtol=5e-3)
            raise wrong(
                f"The step from k = {k} to k_prev = {k_prev} is up to"
                f" {np.abs(a - right).max():.2g} off.",
                hint
                or "the clean chunk first, from a_k and the noise; then spoil it with that noise,"
                " to k_prev.",
            )


def _share(bar: np.ndarray, k: int) -> float:
    """Return the share of the clean chunk at step k; 1 at step -1, where nothing is spoilt."""
    return float(bar[k]) if k >= 0 else 1.0


def _ddim(a_k: np.ndarray, epsilon: np.ndarray, now: float, then: float) -> np.ndarray:
    """Return the chunks at the share `then`, from those at the share `now`."""
    clean = (a_k - np.sqrt(1 - now) * epsilon) / np.sqrt(now)
    return np.sqrt(then) * clean + np.sqrt(1 - then) * epsilon


def _share_mistakes(
    k: int, k_prev: int, a_k: np.ndarray, epsilon: np.ndarray, bar: np.ndarray
) -> Iterator[Mistake]:
    """Yield steps between other shares than those of k and k_prev."""

    def mistake(now: float, then: float, hint: str) -> Mistake:
        return Mistake(_ddim(a_k, epsilon, now, then), hint)

    now, then, alpha = bar[k], _share(bar, k_prev), bar / np.append(1, bar[:-1])
    if k_prev < 0:
        hint = (
            "at k_prev = -1 nothing is spoilt, the share is 1; alpha_bar[-1] is the last of the"
            " array, nearly 0."
        )
        yield mistake(now, bar[-1], hint)
        hint = "at k_prev = -1 the share is 1; here it is"
        yield mistake(now, 0, f"{hint} 0.")
        yield mistake(now, bar[0], f"{hint} that of step 0.")
    hint = (
        "this is alpha in place of alpha_bar: take the argument alpha_bar as it is (the paper calls"
        " it alpha)."
    )
    yield mistake(alpha[k], _share(alpha, k_prev), hint)
    hint = "the product is taken twice: alpha_bar is a cumulative product already."
    yield mistake(np.prod(bar[: k + 1]), np.prod(bar[: k_prev + 1]), hint)
    hint = "the step ends at k - 1 here: k_prev may be further down."
    yield mistake(now, _share(bar, k - 1), hint)
    hint = "the share of k_prev is one step off: alpha_bar[k_prev]"
    yield mistake(now, bar[k_prev + 1], f"{hint}.")
    yield mistake(now, _share(bar, k_prev - 1), f"{hint}, without - 1.")
    yield mistake(_share(bar, k - 1), then, "the share of k is one step off: alpha_bar[k].")
    hint = "k and k_prev are swapped: the clean chunk comes from a_k with alpha_bar[k]."
    yield mistake(then, now, hint) if then < 1 else Mistake(a_k, hint)


def _formula_mistakes(
    a_k: np.ndarray, epsilon: np.ndarray, now: float, then: float
) -> Iterator[Mistake]:
    """Yield steps with a term or a root too few, or with a wrong sign."""
    root_now, noise = np.sqrt(now), np.sqrt(1 - now) * epsilon
    root_then, noise_then = np.sqrt(then), np.sqrt(1 - then) * epsilon
    clean = (a_k - noise) / root_now
    hint = "the chunk stays as spoilt as it was: spoil the clean one with the share of k_prev."
    yield Mistake(a_k, hint)
    yield Mistake(clean, "this is the clean chunk: spoil it again, to k_prev.")
    hint = "the noise at the end is left out: + sqrt(1 - alpha_bar_prev) times epsilon."
    yield Mistake(root_then * clean, hint)
    hint = "the clean chunk lacks its factor sqrt(alpha_bar_prev)."
    yield Mistake(clean + noise_then, hint)
    hint = "the root of alpha_bar[k] below the clean chunk is missing."
    yield Mistake(root_then * (a_k - noise) / now + noise_then, hint)
    hint = "the root of 1 - alpha_bar[k] is missing."
    yield Mistake(root_then * (a_k - (1 - now) * epsilon) / root_now + noise_then, hint)
    hint = "the root of alpha_bar[k_prev] before the clean chunk is missing."
    yield Mistake(then * clean + noise_then, hint)
    hint = "the root of 1 - alpha_bar[k_prev] at the end is missing."
    yield Mistake(root_then * clean + (1 - then) * epsilon, hint)
    rootless = then * (a_k - (1 - now) * epsilon) / now + (1 - then) * epsilon
    yield Mistake(rootless, "all roots are missing.")
    hint = "the division by sqrt(alpha_bar[k]) is missing."
    yield Mistake(root_then * (a_k - noise) + noise_then, hint)
    hint = "the clean chunk is cut off at ± 1 here: leave it as it is."
    yield Mistake(root_then * clean.clip(-1, 1) + noise_then, hint)
    hint = "the noise is added to get the clean chunk: take it away."
    yield Mistake(root_then * (a_k + noise) / root_now + noise_then, hint)
    hint = "the noise is taken away at the end: add it."
    yield Mistake(root_then * clean - noise_then, hint)


def _other_mistakes(
    k: int, k_prev: int, a_k: np.ndarray, epsilon: np.ndarray, bar: np.ndarray
) -> Iterator[Mistake]:
    """Yield steps from other arguments, and DDPM's."""
    now, alpha = bar[k], bar[k] / _share(bar, k - 1)
    hint = (
        "guess and chunk are swapped: the order is ddim_step(pred_epsilon, k, k_prev, a_k,"
        " alpha_bar)."
    )
    yield Mistake(_ddim(epsilon, a_k, now, _share(bar, k_prev)), hint)
    mean = (a_k - (1 - alpha) / np.sqrt(1 - now) * epsilon) / np.sqrt(alpha)
    yield Mistake(mean, "this is DDPM's mean of one step back: DDIM jumps to k_prev.")
    if len(bar) != _NOTEBOOK_STEPS:
        own = np.cumprod(1 - cosine_schedule(_NOTEBOOK_STEPS))
        shares = (_share(own, min(step, _NOTEBOOK_STEPS - 1)) for step in (k, k_prev))
        hint = "alpha_bar is the notebook's own here: take the argument."
        yield Mistake(_ddim(a_k, epsilon, *shares), hint)
