"""A picture that compares policies."""

from collections.abc import Sequence
from typing import TypedDict

from pusht.figures.page import BLUE, GREY, LINE, SMALL, Page, Picture
from pusht.figures.scenes import short


class Result(TypedDict):
    """The result of a policy.

    name: name of the policy. mean, interval: mean of its rewards in [0, 1], and its interval.
    success: share of episodes that it solved. ms: milliseconds of inference per chunk.
    """

    name: str
    mean: float
    interval: tuple[float, float]
    success: float
    ms: float


def compare(results: Sequence[Result]) -> Picture:
    """Draw a row for each policy: mean reward with its interval, successes, and the time per chunk.

    Raises ValueError when there are no results.
    """
    if not results:
        raise ValueError("There are no results to compare.")
    bottom = 44 + 42 * len(results)
    page = Page(bottom + 32)
    left, right, success, ms = 150.0, 500.0, 580.0, 680.0
    page.notes(left, 22, ["mean reward and its interval"])
    page.text(success, 22, "solved", color=GREY, ha="right")
    page.text(ms, 22, "ms per chunk", color=GREY, ha="right")
    for share in (0, 0.25, 0.5, 0.75, 1):
        x = left + share * (right - left)
        page.axes.plot([x, x], [44, bottom], color=LINE, lw=0.8, zorder=0)
        page.text(x, bottom + 14, f"{share:g}", size=SMALL, color=GREY)
    for row, result in enumerate(results):
        y = 66 + 42 * row
        ends = [left + value * (right - left) for value in result["interval"]]
        mean = left + result["mean"] * (right - left)
        page.text(left - 16, y, result["name"], weight="bold", ha="right")
        page.axes.plot(ends, [y, y], color=BLUE, lw=3, solid_capstyle="butt")
        for x in ends:
            page.axes.plot([x, x], [y - 6, y + 6], color=BLUE, lw=1.6)
        page.axes.plot(mean, y, "o", ms=9, color=BLUE, mew=0, zorder=6)
        page.text(mean, y - 17, f"{result['mean']:.2f}", size=SMALL, color=BLUE)
        page.text(success, y, f"{result['success']:.0%}".replace("%", " %"), ha="right")
        page.text(ms, y, f"{result['ms']:.{0 if result['ms'] >= 10 else 1}f}", ha="right")
    return page.image(f"Policies one under the other: {'; '.join(map(_sentence, results))}.")


def _sentence(result: Result) -> str:
    low, high = result["interval"]
    return (
        f"{result['name']}: mean reward {result['mean']:.2f}, interval {low:.2f} to {high:.2f},"
        f" {result['success']:.0%} of the episodes solved, {short(result['ms'])} ms per chunk"
    )
