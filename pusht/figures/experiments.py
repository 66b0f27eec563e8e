"""Pictures of experiments: differences start by start, and what changes along a setting."""

import textwrap
from collections.abc import Mapping, Sequence

import numpy as np

from pusht.figures.page import (
    BLUE,
    GREY,
    LINE,
    ORANGE,
    SMALL,
    VERMILION,
    Page,
    Picture,
    ticks,
    write,
)
from pusht.figures.scenes import key

_LEFT, _RIGHT = 160.0, 590.0  # where -1 and 1 are on the page
_DOT = 5.0  # shown pixels between two dots, of which each column has as many as fall into it
_ROW = 96


def differences(
    found: Mapping[str, np.ndarray], intervals: Mapping[str, Sequence[float]]
) -> Picture:
    """Draw a row for each comparison: a dot for the difference at each start, and the interval of
    their mean.

    found: {name: differences (n,) of two scores in [0, 1]}. intervals: {name: (mean, low, high)}.
    ValueError when there are none, or one has no interval.
    """
    if not found or found.keys() - intervals.keys():
        raise ValueError("Each comparison needs its differences and its interval.")
    bottom = 40 + _ROW * len(found)
    page = Page(bottom + 60)
    page.notes(_LEFT, 20, ["difference at each start, and the interval of the mean"])
    for value in (-1, -0.5, 0, 0.5, 1):
        x = _place(value)
        color, width = (GREY, 1.4) if value == 0 else (LINE, 0.8)
        page.axes.plot([x, x], [40, bottom], color=color, lw=width, zorder=0)
        page.text(
            x,
            bottom + 14,
            f"{value:+g}".replace("-", "−") if value else "0",
            size=SMALL,
            color=GREY,
        )
    page.text(_LEFT, bottom + 36, "← the first is better", color=GREY, ha="left")
    page.text(_RIGHT, bottom + 36, "the second is better →", color=GREY, ha="right")
    for row, (name, each) in enumerate(found.items()):
        y = 40 + _ROW * row + 74
        _dots(page, np.asarray(each, np.float64), y - 14)
        mean, low, high = intervals[name]
        ends = [_place(low), _place(high)]
        page.axes.plot(ends, [y, y], color=VERMILION, lw=3, solid_capstyle="butt", zorder=5)
        page.axes.plot(_place(mean), y, "o", ms=7, color=VERMILION, mew=0, zorder=6)
        for line, words in enumerate(textwrap.wrap(name, 17, break_long_words=False)):
            page.text(_LEFT - 16, y - 36 + 18 * line, words, weight="bold", ha="right")
        page.text(_RIGHT + 22, y - 9, _signed(mean, 3), color=VERMILION, weight="bold", ha="left")
        page.text(_RIGHT + 22, y + 9, f"{_signed(low)} to {_signed(high)}", color=GREY, ha="left")
    said = (
        f"{name}: {mean:+.3f}, interval {low:+.2f} to {high:+.2f},"
        f" {np.mean(np.abs(found[name]) < 0.01):.0%} of the starts without a difference"
        for name, (mean, low, high) in ((name, intervals[name]) for name in found)
    )
    return page.image(f"Differences of two scores at each start: {'; '.join(said)}.")


def _signed(value: float, digits: int = 2) -> str:
    return f"{value:+.{digits}f}".replace("-", "−")


def _place(value: float) -> float:
    return _LEFT + (np.clip(value, -1, 1) + 1) / 2 * (_RIGHT - _LEFT)


def _dots(page: Page, each: np.ndarray, bottom: float) -> None:
    """Draw a dot for each number, one above the other where they are near."""
    columns = np.round(np.array([_place(value) for value in each]) / _DOT) * _DOT
    highest = max(np.unique(columns, return_counts=True)[1])
    up = min(_DOT, 44 / highest)
    for x in np.unique(columns):
        ys = bottom - up * np.arange(np.sum(columns == x))
        page.axes.plot(np.full(len(ys), x), ys, "o", ms=3.6, color=BLUE, mew=0, zorder=4)


_COLORS = BLUE, ORANGE, VERMILION, GREY


def sweep(setting: str, found: Mapping[str, Mapping[float, Mapping[str, float]]]) -> Picture:
    """Draw a small plot for each quantity against a setting, with a line for each policy.

    setting: what is on the horizontal axis. found: {policy: {value of the setting: {quantity:
    number}}}; all have the same quantities. ValueError when there is nothing to draw.
    """
    quantities = list(next(iter(next(iter(found.values()), {}).values()), {}))
    if not quantities:
        raise ValueError("There are no results to draw.")
    width = (720 - 24) / len(quantities)
    page = Page(316)
    x = 24.0
    for name, color in zip(found, _COLORS, strict=False):
        key(page, x, 20, color, name)
        x += 70 + 8 * len(name)
    settings = sorted({value for each in found.values() for value in each})
    for column, quantity in enumerate(quantities):
        top = max(each[quantity] for rows in found.values() for each in rows.values())
        top = 1 if top <= 1 else 1.08 * top
        left = 24 + column * width + 34
        page.text(left - 34, 54, quantity, weight="bold", ha="left")
        places = range(len(settings))
        plot = page.plot(
            left, 72, width - 56, 190, (-0.3, len(settings) - 0.7), (0, top), ticks(top)
        )
        for value, place in zip(settings, places, strict=True):
            write(plot, place, -0.08 * top, f"{value:g}", SMALL, color=GREY)
        for rows, color in zip(found.values(), _COLORS, strict=False):
            line = [(settings.index(value), each[quantity]) for value, each in rows.items()]
            plot.plot(
                *zip(*line, strict=True),
                "-o",
                color=color,
                lw=2,
                ms=6,
                mew=0,
                zorder=3,
                clip_on=False,
            )
        page.text(left + (width - 56) / 2, 298, setting, color=GREY)
    return page.image(_told(setting, found))


def _told(setting: str, found: Mapping[str, Mapping[float, Mapping[str, float]]]) -> str:
    said = (
        f"{name} at {value:g}: " + ", ".join(f"{key} {number:.3g}" for key, number in each.items())
        for name, rows in found.items()
        for value, each in rows.items()
    )
    return f"Against the {setting}: {'; '.join(said)}."
