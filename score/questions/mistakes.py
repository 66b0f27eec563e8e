"""Known mistakes: values that a wrong answer has, each with the hint that names what was done.

A question yields its mistakes, and the first (or nearest) whose value the answer has gives the
hint. What several questions have in common stands here: a squared error gone wrong, and noise that
is not N(0, 1).
"""

from collections.abc import Callable, Iterable, Mapping
from itertools import combinations, starmap
from typing import Any

import numpy as np

from score.questions.base import Array, wrong

Mistake = tuple[Any, str]  # the number, array or tensor that a mistake leads to, and its hint
Mistakes = Iterable[Mistake]


def hint_where(mistakes: Mistakes, fits: Callable[[Any], Any]) -> str | None:
    """Return the hint of the first mistake whose value fits, or None."""
    return next((hint for value, hint in mistakes if fits(value)), None)


def hint_of(value: Any, mistakes: Mistakes, rtol: float = 1e-5, atol: float = 1e-8) -> str | None:
    """Return the hint of the first mistake that has this value and shape, or None."""
    return hint_where(mistakes, lambda mistaken: alike(value, mistaken, rtol, atol))


def first_hint(*cases: tuple[Any, str]) -> str:
    """Return the hint of the first case (condition, hint) whose condition holds."""
    return next(hint for condition, hint in cases if condition)


def require_close(
    found: Array, right: Array, said: str, mistakes: Mistakes, fallback: str, atol: float = 1e-5
) -> None:
    """Raise AnswerError unless arrays are close, with the hint of a mistake or the fallback."""
    if not np.allclose(found, right, rtol=1e-4, atol=atol):
        raise wrong(said, hint_of(found, mistakes, 1e-4, atol) or fallback)


def nearest_hint(value: np.ndarray, mistakes: Mistakes) -> str | None:
    """Return the hint of the mistake nearest to an array, or None where float32 cannot explain it.

    All values have the array's shape or broadcast to it.
    """
    distances = [(np.abs(value - mistaken).max(), mistaken, hint) for mistaken, hint in mistakes]
    distance, nearest, hint = min(distances, key=lambda found: found[0])
    return hint if distance <= 2e-5 + 1e-4 * np.abs(nearest).max() else None


def alike(one: Any, other: Any, rtol: float = 1e-4, atol: float = 1e-4) -> bool:
    """Whether two numbers, arrays or tensors have the same shape and nearly the same values."""
    one, other = np.asarray(one), np.asarray(other)
    return one.shape == other.shape and np.allclose(one, other, rtol=rtol, atol=atol)


def all_differ(draws: list[Array]) -> bool:
    """Whether no two of several draws are the same."""
    return not any(starmap(alike, combinations(draws, 2)))


def squared_error(error: np.ndarray, hints: Mapping[str, str], plus: float = 0.0) -> Mistakes:
    """Yield the mistakes that `hints` has words for, of the mean squared error of chunks.

    error: differences (B, steps, coordinates). plus: what else a loss adds to the squared error.
    """
    square, size = np.square(error), np.abs(error)
    chunks = square.sum(axis=(1, 2))
    values = {
        "sum": square.sum(),
        "sum of a chunk": chunks.mean(),
        "sum over coordinates": square.sum(axis=2).mean(),
        "absolute": size.mean(),
        "absolute, sum of a chunk": size.sum(axis=(1, 2)).mean(),
        "half": square.mean() / 2,
        "half, sum of a chunk": chunks.mean() / 2,
        "root": np.sqrt(square.mean()),
        "root, sum of a chunk": np.sqrt(chunks.mean()),
        "norms": np.sqrt(chunks).mean(),
        "smooth L1": np.where(size < 1, square / 2, size - 0.5).mean(),
        "squared mean": np.square(error.mean()),
        "executed": square[:, 1:9].mean(),
        "first": square[:, :8].mean(),
    }
    return ((plus + values[key], hint) for key, hint in hints.items())


def mean_squared_error_hints(coordinates: str, the_coordinates: str) -> dict[str, str]:
    """Return the words for `squared_error` where the loss is nothing but its mean.

    coordinates, the_coordinates: "dimensions", "the two coordinates", as the question calls them.
    """
    mean = f"take their mean, over batch, steps and {coordinates}."
    as_well = f"take the mean over steps and {coordinates} as well as over the batch."
    them_too = "take the mean over them too."
    return {
        "sum": f"this is the sum of the squares: {mean}",
        "sum of a chunk": f"this is summed over each chunk: {as_well}",
        "sum over coordinates": f"this is summed over {the_coordinates}: {them_too}",
        "absolute": "this is the mean absolute error: square the differences.",
        "half": "this is half of the mean squared error.",
        "root": "this is the root of the mean squared error: do not take the root.",
        "smooth L1": "this is a smooth L1 (Huber) loss: use the mean squared error.",
        "squared mean": "this is the squared mean of the error: square first, then take the mean.",
    }


def bounded(prediction: Array, target: Array) -> Mistakes:
    """Yield the differences where a prediction is bounded before it is compared with its target."""
    ways = {
        "cut off at ± 1": prediction.clip(-1, 1),
        "cut off at 0": prediction.clip(0),
        "squashed by tanh": np.tanh(prediction),
        "squashed by a sigmoid": 1 / (1 + np.exp(-prediction)),
    }
    for way, value in ways.items():
        hint = f"the prediction is {way} first: compare what the network gives, as it is."
        yield value - target, hint


def mean_squares(differences: Mistakes, plus: float = 0.0) -> Mistakes:
    """Yield the mean squares of mistaken differences. plus: what else a loss adds to them."""
    return ((plus + np.square(value).mean(), hint) for value, hint in differences)


def imitation_mistakes(
    prediction: Array,
    naction: Array,
    hints: Mapping[str, str],
    loss_of: Callable[[Any], Any],
    nobs: Any,
    plus: float = 0,
) -> Mistakes:
    """Yield the mistakes of `squared_error` and `bounded`, and those of losses that compare
    predicted chunks with demonstrated ones: of a part of a chunk, of observations that are
    flattened in a wrong order.

    loss_of: the loss for observations like nobs (B, To, obs_dim).
    """
    error = prediction - naction
    compare = "actions count here: compare all pred_horizon of them."
    executed = {"executed": "only the executed", "first": "only the first action_horizon"}
    more = {key: f"{which} {compare}" for key, which in executed.items()}
    yield from squared_error(error, {**hints, **more}, plus)
    yield from mean_squares(bounded(prediction, naction), plus)
    hint = "the observations are flattened in the wrong order:"
    in_order = "time step by time step, without a transpose."
    yield loss_of(nobs.transpose(1, 2)), f"{hint} {in_order}"
    yield loss_of(nobs.flip(1)), f"{hint} newest last."


# Noise. Bounds lie so far out that an honest draw is suspected once in ten million or less.


def diffusion_noise_hint(noise: np.ndarray) -> str | None:
    """Return what keeps noise (B, steps, coordinates) from being N(0, 1) in Part III, or None.

    Bounds lie six standard errors out. Of fewer than a thousand numbers no distribution is judged.
    """
    if not np.isfinite(noise).all():
        return "it is not finite."
    if np.allclose(noise, noise.flat[0], rtol=0, atol=1e-3):
        each = "draw one for each of (B, pred_horizon, action_dim), with torch.randn."
        return f"it is the same number everywhere: {each}"
    for axis, of in enumerate(("sample of the batch", "step of a chunk", "coordinate")):
        if noise.shape[axis] > 1 and np.allclose(noise, noise.take([0], axis), rtol=0, atol=1e-3):
            each = "draw a number for each, of the chunk's whole shape (torch.randn)."
            return f"it is the same for every {of}: {each}"
    if noise.size < 1000:
        return None
    bound, mean, deviation = 6 / np.sqrt(noise.size), noise.mean(), noise.std()
    if np.abs(noise - mean).max() < 1.8 * deviation:  # some normal numbers are further out
        uniform = f"it is uniform noise, from {noise.min():.2g} to {noise.max():.2g}"
        return f"{uniform}: draw normal noise, torch.randn and not torch.rand."
    if abs(mean) > bound:
        return f"its mean is {mean:.3g}, not 0: draw it with torch.randn."
    if abs(deviation - 1) > bound:
        return f"its standard deviation is {deviation:.3g}, not 1: take torch.randn as it is."
    if abs(np.abs(noise).mean() / deviation - np.sqrt(2 / np.pi)) > bound:
        return "it is not normal: draw it with torch.randn and change nothing about it."
    return None


def flow_noise_hint(noise: np.ndarray) -> str | None:
    """Return what keeps noise (B, K, A) from being N(0, 1) and independent in Part IV, or None."""
    flat = noise.reshape(len(noise), -1)
    count, tiny = flat.size, 1e-3
    if np.abs(flat).max() < tiny:
        return "it is zero: draw it with torch.randn."
    if np.ptp(flat, axis=0).max() < tiny:
        return "all samples share one noise: draw one for each, of the chunks' whole shape."
    if np.abs(flat).max() < 1 + tiny:
        return "it is uniform: torch.randn is normal, torch.rand is not."
    if abs(flat.mean()) > 7 / count**0.5 or abs(flat.var() - 1) > 7 * (2 / count) ** 0.5:
        found = f"its mean is {flat.mean():.2f} and its standard deviation {flat.std():.2f}"
        return f"{found}: draw it from N(0, 1)."
    if abs((flat**4).mean() - 3) > 8 * (96 / count) ** 0.5:
        return "it is not normal: draw it with torch.randn."
    together = np.corrcoef(flat.T) - np.eye(flat.shape[1])
    if np.abs(together).max() > 8 / len(flat) ** 0.5:
        alone = "draw one for each step and coordinate."
        return f"the numbers of one chunk are not independent: {alone}"
    if abs((flat[1:] * flat[:-1]).mean()) > 8 / count**0.5:
        return "samples share their noise: draw one for each."
    return None
