"""Curves over time, for the extensions: distances, losses."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes

from pusht.figures.page import (
    BLUE,
    GREEN,
    GREY,
    INK,
    ORANGE,
    RIM,
    SKY,
    SMALL,
    VERMILION,
    Page,
    Picture,
    write,
)

_COLOURS = (VERMILION, BLUE, GREEN, ORANGE, SKY, INK)
_APART = 17  # shown pixels between two names

Line = tuple[Sequence[float] | np.ndarray, Sequence[float] | np.ndarray]


def curves(lines: Mapping[str, Line], *, title: str, below: str) -> Picture:
    """Draw up to six lines, each with its name at its end.

    lines: their x and y, by name. title: what is drawn upwards. below: what is drawn to the right.
    ValueError when there is no line, or one without a point.
    """
    if not lines or not all(len(x) == len(y) > 0 for x, y in lines.values()):
        raise ValueError("There is nothing to draw: each line needs as many x as y, at least one.")
    right = max(max(x) for x, _ in lines.values())
    top, tick = _scale(max(max(y) for _, y in lines.values()))
    page = Page(330)
    page.heading(8, 22, title)
    ticks = np.arange(0, top + tick / 2, tick)
    plot = page.plot(44, 48, 500, 220, (0, right or 1), (0, top), ticks)
    for value in _ticks(right or 1):
        write(plot, value, -0.07 * top, f"{value:g}", SMALL, color=GREY)
    page.text(294, 308, below, SMALL, color=GREY)
    for (x, y), colour in zip(lines.values(), _COLOURS, strict=False):
        plot.plot(x, y, color=colour, lw=2, zorder=3, clip_on=False, solid_capstyle="round")
    _names(plot, lines, top / 220)
    ends = "; ".join(
        f"{name}: from {y[0]:.3g} to {y[-1]:.3g} at {x[-1]:g}, at most {max(y):.3g}"
        for name, (x, y) in lines.items()
    )
    return page.image(f"Curves, {title}, over the {below}. {ends}.")


def _names(plot: Axes, lines: Mapping[str, Line], a_pixel: float) -> None:
    """Write the names on the right, as near to the ends of their lines as there is room."""
    right = plot.get_xlim()[1]
    order = sorted(zip(lines.items(), _COLOURS, strict=False), key=lambda line: line[0][1][1][-1])
    lowest = 0.0
    for (name, (_, y)), colour in order:
        at = max(float(y[-1]), lowest)
        lowest = at + _APART * a_pixel
        how = {"ha": "left", "weight": "bold", "path_effects": RIM, "clip_on": False}
        write(plot, right * 1.02, at, name, SMALL, color=colour, **how)


def _scale(highest: float) -> tuple[float, float]:
    """Return the end of an axis from 0 on that holds this number, and the distance of its ticks."""
    size = 10.0 ** np.floor(np.log10(highest or 1))
    tick = next(t * size for t in (0.2, 0.5, 1, 2) if highest <= 5 * t * size)
    return float(np.ceil(highest / tick) * tick) or tick, float(tick)


def _ticks(right: float) -> np.ndarray:
    return np.arange(0, right * 1.001, _scale(right)[1])
