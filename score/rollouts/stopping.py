"""How certain a score is, and whether more episodes would change its points.

The interval is a confidence sequence: it holds the true mean with the rubric's level at all looks
together, so that one may look after every block and stop when one likes. It comes from betting
(Waudby-Smith and Ramdas, "Estimating means of bounded random variables by betting", 2024, sections
4 and B.4): who bets that the mean is above m, at odds that are fair if it is m, wins much only if
it is above.
"""

from collections.abc import Iterator, Sequence
from enum import StrEnum

import numpy as np

from score import rubric

Scores = Sequence[float] | np.ndarray

# Which shares of the capital are bet, with a part of it each: large ones soon see a large
# difference, small ones in the end a small one.
_BETS = np.geomspace(0.03, 0.9, 8)[:, None]
_CLOSE = 1e-4  # how close the ends of an interval are computed


class Stop(StrEnum):
    """Why no more episodes were rolled out."""

    FULL = "full"
    NONE = "none"
    PRECISE = "precise"
    MOST = "most"
    TIME = "time"

    def sentence(self, policy: rubric.Policy) -> str:
        """Return the reason as students read it."""
        return _REASONS[self].format(rubric.PRECISION * policy.points)


_REASONS = {
    Stop.FULL: (
        "Even the low end of the interval earns full points, so more episodes would change nothing."
    ),
    Stop.NONE: (
        "Even the high end of the interval earns no points, so more episodes would change nothing."
    ),
    Stop.PRECISE: "More episodes would very probably change the points by no more than {:.2g}.",
    Stop.MOST: "No more episodes are run here, so other starts could give other points.",
    Stop.TIME: "More episodes would have taken too long: tell your instructor.",
}


def log_capital(scores: Scores, mean: float) -> float:
    """Return the logarithm of what 1 becomes by betting, episode by episode, that scores in [0, 1]
    are higher on average than `mean`. If they are not, it ever exceeds log(1 / p) with a
    probability of p at most (Ville).
    """
    won = np.log1p(_BETS * (np.asarray(scores, dtype=np.float64) / mean - 1)).sum(axis=1)
    return float(np.logaddexp.reduce(won) - np.log(len(_BETS)))


def interval(scores: Scores, level: float = rubric.LEVEL) -> tuple[float, float]:
    """Return the interval (low, high) of the mean of scores in [0, 1], at any look."""
    scores = np.asarray(scores, dtype=np.float64)
    return _low(scores, level), 1 - _low(1 - scores, level)


def _low(scores: np.ndarray, level: float) -> float:
    """Return the largest mean that betting on more excludes, with half of the risk."""
    enough = np.log(2 / (1 - level))
    low, high = 0.0, float(scores.mean())
    while high - low > _CLOSE:
        middle = (low + high) / 2
        if log_capital(scores, middle) >= enough:
            low = middle
        else:
            high = middle
    return low


def blocks(most: int) -> Iterator[range]:
    """Yield which episodes are rolled out together, up to `most` of them."""
    done = 0
    while done < most:
        block = max(rubric.BLOCK, int(done * rubric.GROWTH))
        yield range(done, min(done + block, most))
        done += block


def rollout_points(policy: rubric.Policy, mean: float, target: float) -> float:
    """Return the points for a mean score; `target` earns all of them."""
    share = (mean - policy.baseline) / (target - policy.baseline)
    return float(np.clip(share, 0, 1) * policy.points)


def enough(policy: rubric.Policy, target: float, bounds: tuple[float, float]) -> Stop | None:
    """Say why an interval of the mean decides a policy's points; None while it does not."""
    low, high = (rollout_points(policy, bound, target) for bound in bounds)
    if low >= policy.points:
        return Stop.FULL
    if high <= 0:
        return Stop.NONE
    return Stop.PRECISE if (high - low) / 2 <= rubric.PRECISION * policy.points else None
