"""How certain a comparison is: of scores from the same starts, and of shares of solved episodes."""

import numpy as np


def paired_interval(a: np.ndarray, b: np.ndarray) -> tuple[float, float, float]:
    """Return the mean of b - a and its 95 % interval, as (mean, low, high).

    a, b (n,): scores in episodes from the same n starts; n at least 2. The interval is that of
    Student's t ("The probable error of a mean", Biometrika 6, 1908), of n - 1 degrees of freedom.
    """
    from scipy import stats  # takes half a second

    difference = np.asarray(b, np.float64) - np.asarray(a, np.float64)
    count, mean = len(difference), float(difference.mean())
    either = float(stats.t.ppf(0.975, count - 1) * difference.std(ddof=1) / count**0.5)
    return mean, mean - either, mean + either


def share_interval(solved: int, count: int) -> tuple[float, float]:
    """Return the 95 % interval (low, high) of a share, from `solved` of `count` episodes.

    It is Wilson's ("Probable inference, the law of succession, and statistical inference", Journal
    of the American Statistical Association 22, 1927), which does not shrink to a point at 0 or all.
    """
    from scipy import stats

    found = stats.binomtest(int(solved), int(count)).proportion_ci(method="wilson")
    return float(found.low), float(found.high)
