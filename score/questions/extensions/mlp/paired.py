"""E1.3, an extension of Part I: the interval of a paired difference."""

from typing import Any

import numpy as np

from score.questions.base import Array, Arrays, Question, Rng, call_with_hints, require, wrong
from score.questions.mistakes import Mistake, Mistakes, first_hint, require_close
from score.verdict import AnswerError, call_answer

_FEW, _MANY = 5, 400
_THREE = "return mean, low, high: three numbers."


class PairedInterval(Question):
    """The mean of b - a over common starts, with the 95 % interval of Student's t: three numbers.

    Student, "The probable error of a mean", Biometrika 6 (1908), 1-25.
    """

    name = "E1.3"

    def inputs(self, rng: Rng, trial: int) -> Arrays:
        """Scores as of thirty practice episodes, few with a large t, many that nearly agree."""
        count, apart = ((30, 0.2), (_FEW, 0.3), (_MANY, 0.02))[trial]
        start = rng.uniform(0.1, 0.7, count)  # how easy each start is
        a, b = (start + rng.uniform(0, apart, count) * scale for scale in (0.6, 1.3))
        return {"a": a, "b": b}

    def call(self, answer: Any, inputs: Arrays) -> Arrays:
        a, b = inputs["a"].copy(), inputs["b"].copy()
        what = f"paired_interval of {len(a)} episodes"
        found = call_with_hints(what, answer, a, b, hints=())
        try:
            numbers = call_answer(what, lambda: np.array([float(x) for x in found]))
        except AnswerError as error:
            said = f"paired_interval returned a {type(found).__name__} that is no three numbers."
            raise wrong(said, _THREE) from error
        return {"interval": numbers, "a": a, "b": b}

    def judge(self, inputs: Arrays, outputs: Arrays) -> None:
        a, b, found = inputs["a"], inputs["b"], outputs["interval"]
        said = f"paired_interval returned {found.size} numbers where three are needed."
        require(found.shape == (3,), said, _size_hint(found.size))
        same = all(np.array_equal(inputs[name], outputs[name]) for name in "ab")
        hint = "b - a makes a new array, b -= a changes the caller's."
        require(same, "The scores that were handed over are changed.", hint)
        right = _interval(b - a)
        said = f"Of {len(a)} episodes the mean, low and high are {_listed(found)}; right are"
        fallback = _other_hint(found, right)
        require_close(found, right, f"{said} {_listed(right)}.", _mistakes(a, b), fallback, 1e-6)


def _listed(numbers: Array) -> str:
    return ", ".join(f"{number:.4f}" for number in numbers)


def _quantile(freedom: float, level: float = 0.95) -> float:
    """Return t, by which a standard error is multiplied; infinitely many degrees give 1.96."""
    from scipy import stats  # half a second, which no other question needs

    return float(stats.t.ppf((1 + level) / 2, freedom))


def _around(mean: float, either: float) -> Array:
    return np.array([mean, mean - either, mean + either])


def _interval(difference: Array, level: float = 0.95) -> Array:
    count = len(difference)
    error = difference.std(ddof=1) / count**0.5
    return _around(difference.mean(), _quantile(count - 1, level) * error)


def _size_hint(size: int) -> str:
    return first_hint(
        (size == 2, f"the mean comes first: {_THREE}"),
        (size == 1, f"the interval is missing: {_THREE}"),
        (True, _THREE),
    )


def _mistakes(a: Array, b: Array) -> Mistakes:
    difference, count = b - a, len(a)
    right = _interval(difference)
    mean, either, spread = right[0], right[2] - right[0], difference.std(ddof=1)
    hint = "the sign is that of b - a: positive where b scores higher."
    yield _interval(a - b), hint
    yield right[[1, 0, 2]], "the order is mean, low, high: the mean comes first."
    yield right[[1, 2, 0]], "the order is mean, low, high: the mean comes first."
    yield right[[0, 2, 1]], "low and high are swapped."
    yield np.array([mean, -either, either]), "add the mean: low and high are ends on its scale."
    yield np.abs(right), "the signs are lost: low may be negative."
    yield 100 * right, "these are percent: the difference of two scores needs no factor."
    yield from _of_other_errors(difference, mean, either, spread)
    yield from _of_other_quantiles(mean, spread / count**0.5, count)
    together = np.sqrt((a.var(ddof=1) + b.var(ddof=1)) / count)
    hint = "this is the interval of two independent samples: the starts are common, so take the"
    for t in (_quantile(count - 1), _quantile(2 * count - 2), 1.96, _welch(a, b)):
        yield _around(mean, t * together), f"{hint} differences b - a first, and their deviation."
    yield _interval(b), "this is the interval of b alone: take the differences b - a."
    yield _interval(a), "this is the interval of a alone: take the differences b - a."
    hint = "the differences lose their sign: no abs before the mean."
    yield _interval(np.abs(difference)), hint
    hint = "this is the mean of both: take the difference b - a."
    yield _interval((a + b) / 2), hint
    hint = "this is relative to a: take the plain difference b - a."
    yield _interval(difference / a), hint
    hint = "these are quantiles of the differences, where single episodes lie: asked for is the"
    quantiles = np.quantile(difference, [0.025, 0.975])
    yield np.array([mean, *quantiles]), f"{hint} interval of their mean."
    yield np.array([mean, difference.min(), difference.max()]), f"{hint} interval of their mean."
    yield _around(np.median(difference), either), "this is the median: take the mean."


def _of_other_errors(difference: Array, mean: float, either: float, spread: float) -> Mistakes:
    """Yield intervals with another standard error, half as wide as `either` where it is right."""
    count = len(difference)

    def scaled(factor: float, hint: str) -> Mistake:
        return _around(mean, either * factor), hint

    root = (count / (count - 1)) ** 0.5
    one_less = "divide the squares by n - 1, with ddof=1:"
    yield scaled(1 / root, f"{one_less} numpy's std divides by n, torch's by n - 1.")
    hint = "n - 1 belongs into the deviation, ddof=1; the error is s divided by the root of n."
    yield scaled(root, hint)
    hint = "this is where single episodes lie: divide by the root of n for the mean of n."
    yield scaled(count**0.5, hint)
    yield scaled((count - 1) ** 0.5, hint)  # numpy's std in place of ddof=1
    yield scaled(1 / count**0.5, "the deviation is divided by n: divide it by the root of n.")
    yield scaled(spread, "the variance is taken: the standard deviation is its root.")
    yield scaled(spread * count**0.5, f"the variance is taken, and {hint}")
    yield scaled(1 / spread, "the deviation is missing: the error is s divided by the root of n.")
    yield scaled(0.5, "the interval is half as wide as it is: t times the error to each side.")
    yield scaled(2, "the interval is twice as wide as it is: t times the error to each side.")


def _of_other_quantiles(mean: float, error: float, count: int) -> Mistakes:
    """Yield intervals that are another number of standard errors wide."""

    def times(t: float, hint: str) -> Mistake:
        return _around(mean, t * error), hint

    few = "that is right for many episodes and too narrow for few;"
    take = "take t of n - 1 degrees of freedom"
    for t in (1.96, _quantile(np.inf)):
        yield times(t, f"t is 1.96 here: {few} {take}.")
    yield times(2, f"t is 2 here: {take}, whatever n is.")
    yield times(1, f"t is missing: this is one standard error to each side; {take}.")
    yield times(_quantile(count - 1, 0.9), "t.ppf(0.95) leaves 5 % on each side: t.ppf(0.975).")
    yield times(_quantile(count - 1, 0.99), "this is the 99 % interval: t.ppf(0.975).")
    yield times(_quantile(count), f"there is one degree of freedom too many: {take}.")
    yield times(_quantile(count - 2), f"there is one degree of freedom too few: {take}.")
    yield times(_quantile(2 * count - 2), f"2 n - 2 is for independent samples: {take}.")


def _welch(a: Array, b: Array) -> float:
    """Return t for two samples of different variances."""
    first, second = a.var(ddof=1), b.var(ddof=1)
    return _quantile((len(a) - 1) * (first + second) ** 2 / (first**2 + second**2))


def _other_hint(found: Array, right: Array) -> str:
    """Return the hint where no known mistake fits."""
    near = np.allclose(found, right, atol=0.2 * (right[2] - right[1]))
    drawn = "an interval by resampling is a little different each time: use the formula."
    return first_hint(
        (not np.isfinite(found).all(), "some of them are not finite."),
        (not np.isclose(found[0], right[0], rtol=1e-4), "the mean of b - a comes first."),
        (near, f"nearly: s with n - 1, the root of n, t of n - 1 degrees; {drawn}"),
        (True, "mean -+ t s / root of n, s the standard deviation of b - a."),
    )
