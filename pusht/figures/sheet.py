"""An overview of a set of demonstrations: paths, and the distributions of length, speed, coverage
and direction around the block.
"""

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes

from pusht.demos import Demonstrations
from pusht.figures.page import BLUE, GREY, HEAD, INK, SMALL, Page, Picture
from pusht.figures.table import paths
from pusht.tee import quick_coverage

_CONTROL_DT = 0.1  # s
_CENTRE = 40.7  # px along the stem to the centre of the T's area
_EDGES = {
    "lengths": np.arange(0, 31, 1.5),
    "speeds": np.arange(0, 401, 20),
    "turns": np.arange(-2.5, 2.51, 0.25),
}


@dataclass(frozen=True)
class Facts:
    """Statistics of a set of E episodes.

    lengths: (E,) [s]. speeds: speed of the agent at each step [px/s].
    coverage: (E, 101) share of the goal covered, at each hundredth of an episode.
    turns: (E,) turns of the agent around the block, positive if clockwise on the screen.
    """

    lengths: np.ndarray
    speeds: np.ndarray
    coverage: np.ndarray
    turns: np.ndarray


def facts(demonstrations: Demonstrations) -> Facts:
    """Return the `Facts` of demonstrations."""
    lengths, speeds, coverage, turns = [], [], [], []
    for i in range(demonstrations.num_episodes):
        states = demonstrations.episode(i)[0].astype(np.float64)
        lengths.append(len(states) * _CONTROL_DT)
        speeds.append(np.linalg.norm(np.diff(states[:, :2], axis=0), axis=1) / _CONTROL_DT)
        at = np.linspace(0, len(states) - 1, 101).round().astype(int)
        coverage.append([quick_coverage(*states[t, 2:]) for t in at])
        turns.append(turns_around(states))
    return Facts(np.array(lengths), np.concatenate(speeds), np.array(coverage), np.array(turns))


def turns_around(states: np.ndarray) -> float:
    """Return the number of turns of the agent around the block in an episode with states (T, 5),
    positive if clockwise on the screen.
    """
    stem = np.stack([-np.sin(states[:, 4]), np.cos(states[:, 4])], axis=1)
    away = states[:, :2] - (states[:, 2:4] + _CENTRE * stem)
    bearing = np.unwrap(np.arctan2(away[:, 1], away[:, 0]))
    return (bearing[-1] - bearing[0]) / (2 * np.pi)


def same_starts(demonstrations: Demonstrations) -> list[list[int]]:
    """Return the indices of the episodes in order, grouped by their start."""
    groups: dict[bytes, list[int]] = {}
    for i in range(demonstrations.num_episodes):
        groups.setdefault(demonstrations.episode(i)[0][0].tobytes(), []).append(i)
    return list(groups.values())


def demonstrations(shown: Demonstrations, title: str) -> Picture:
    """Draw twelve paths, and distributions on axes that are the same for every set."""
    of = facts(shown)
    page = Page(1030)
    page.heading(16, 26, title, size=HEAD + 2)
    page.notes(16, 50, [f"{shown.num_episodes} episodes, {len(shown.states):,} steps"])
    pairs = [ways[:2] for ways in same_starts(shown) if len(ways) > 1][:6]
    drawn = "two ways from each of six starts" if len(pairs) == 6 else "twelve of them"
    rows = np.reshape(pairs if len(pairs) == 6 else range(12), (3, 4)).tolist()
    page.text(16, 78, drawn, weight="bold", ha="left")
    side, gap = 160, 16
    for row, episodes in enumerate(rows):
        for column, i in enumerate(episodes):
            left, top = 16 + column * (side + gap), 92 + row * (side + gap)
            paths(page.scene(left, top, side), shown.episode(i)[0])
    _distributions(page, 92 + 3 * (side + gap), of)
    left, right = (of.turns < 0).mean(), (of.turns > 0).mean()
    return page.image(
        f"{title}: {shown.num_episodes} episodes, {len(shown.states):,} steps. Paths over the"
        f" table, {drawn}, and four plots. Median length {np.median(of.lengths):.1f} s, median"
        f" speed of the agent {np.median(of.speeds):.0f} px/s, median share of the goal covered at"
        f" the start {np.median(of.coverage[:, 0]):.2f} and at the end"
        f" {np.median(of.coverage[:, -1]):.2f}; the agent goes around the block anticlockwise in"
        f" {left:.0%} of the episodes and clockwise in {right:.0%}."
    )


def _distributions(page: Page, top: float, of: Facts) -> None:
    _histogram(page, 16, top + 30, of.lengths, _EDGES["lengths"], "length, s")
    _histogram(page, 376, top + 30, of.speeds, _EDGES["speeds"], "speed of the agent, px/s")
    axes = _plot(page, 16, top + 230, "goal covered, along the episode")
    along = np.linspace(0, 1, 101)
    for low in (0.05, 0.25):
        band = np.quantile(of.coverage, [low, 1 - low], axis=0)
        axes.fill_between(along, *band, color=BLUE, alpha=0.2, lw=0)
    axes.plot(along, np.median(of.coverage, axis=0), color=BLUE, lw=1.6)
    axes.set(xlim=(0, 1), ylim=(0, 1))
    axes.text(0.03, 0.92, "median, middle half and nine tenths", fontsize=SMALL * 0.72, color=GREY)
    axes = _histogram(page, 376, top + 230, of.turns, _EDGES["turns"], "turns around the block")
    axes.axvline(0, color=INK, lw=0.8)
    for x, direction, share, align in [
        (0.03, "anticlockwise", (of.turns < 0).mean(), "left"),
        (0.97, "clockwise", (of.turns > 0).mean(), "right"),
    ]:
        axes.text(
            x,
            0.9,
            f"{direction}\n{share:.0%}",
            fontsize=SMALL * 0.72,
            color=GREY,
            transform=axes.transAxes,
            va="top",
            ha=align,
        )


def _histogram(
    page: Page, left: float, top: float, values: np.ndarray, edges: np.ndarray, title: str
) -> Axes:
    """Draw a histogram of `values` and return its axes; values beyond `edges` count in the
    outermost bins.
    """
    axes = _plot(page, left, top, title)
    share = np.histogram(np.clip(values, edges[0], edges[-1] - 1e-9), edges)[0] / len(values)
    axes.stairs(share, edges, fill=True, color=BLUE, alpha=0.75)
    axes.set(xlim=(edges[0], edges[-1]), ylim=(0, 0.3))
    if np.median(values):
        axes.axvline(float(np.median(values)), color=INK, lw=1, ls=(0, (3, 2)))
    return axes


def _plot(page: Page, left: float, top: float, title: str) -> Axes:
    width, height = 328, 130
    page.text(left, top - 12, title, weight="bold", ha="left")
    axes = page.add_axes(left + 26, top, width - 26, height)
    axes.tick_params(labelsize=SMALL * 0.72, colors=GREY)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return axes
