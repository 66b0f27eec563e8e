"""The charts of the pages: a policy's score, its loss curve, and the scores of a class."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from score import rubric
from score.course.grading.results import RolloutResult
from score.course.report.svg import COLOURS, WIDTH, drawing, inline_svg, new_figure
from score.plain import plain_line
from score.rollouts.loss_curves import (
    LossComparison,
    block_medians,
    compare_losses,
    reference_loss,
)

_BARS = 20  # of a score's histogram
_BINS = 50  # columns of dots in a class's scores
_POINTS = 300  # the most of a loss curve
_MARGIN = 14.0  # left and right of an axis of scores
_UNDER = 20.0  # below it
_MARKERS = {"shipped": ("o", "full"), "human": ("s", "own"), "other": ("o", "soft")}


@drawing
def score_chart(policy: rubric.Policy, rollout: RolloutResult) -> Markup:
    """Return a policy's score with its interval, between the scores of no and of all points, over a
    histogram of its episodes' largest rewards.
    """
    low, high = rollout.interval
    target = policy.target(rollout.demonstrations)
    counts, edges = np.histogram(np.clip(rollout.per_episode, 0, 1), bins=_BARS, range=(0, 1))
    figure, axes = _score_axes(90)
    axes.bar(
        edges[:-1] + 0.002, 46 * counts / counts.max(), 0.046, align="edge", color=COLOURS["bar"]
    )
    _draw_threshold(axes, policy.baseline, f"{policy.baseline:.2f} none", dashed=True)
    _draw_threshold(axes, target, f"{target:.2f} all points", leftwards=target > 0.7)
    _draw_interval(axes, low, rollout.score, high)
    return inline_svg(
        figure,
        f"{policy.name}-score",
        f"Score {rollout.score:.3f}, 95 % interval {low:.2f} to {high:.2f}. {target:.2f} earns all"
        f" points, {policy.baseline:.2f} none.",
    )


@dataclass(frozen=True)
class Dot:
    """A submission's score in the chart of a class. demonstrations: their name, or None."""

    student: str
    score: float
    demonstrations: str | None


@drawing
def class_chart(policy: rubric.Policy, dots: Sequence[Dot]) -> Markup:
    """Return a class's scores with a policy, as dots that are stacked where they meet, and their
    mean and spread.
    """
    scores = [dot.score for dot in dots]
    mean, levels, heights = fmean(scores), [], Counter[int]()
    columns = [round(min(max(score, 0.0), 1.0) * _BINS) for score in scores]
    for column in columns:
        levels.append(heights[column])
        heights[column] += 1
    step = min(7.5, 90 / max(heights.values()))
    figure, axes = _score_axes(46 + step * max(heights.values()))
    for index, (name, target) in enumerate(sorted(policy.targets.items(), key=lambda t: t[1])):
        _draw_threshold(axes, target, f"{target:.2f} {name}", leftwards=index == 0)
    if len(scores) > 1:
        spread = stdev(scores)
        _draw_interval(axes, mean - spread, mean, mean + spread)
    titles = {}
    for kind, (marker, colour) in _MARKERS.items():
        chosen = [
            i
            for i, dot in enumerate(dots)
            if kind == (dot.demonstrations if dot.demonstrations in _MARKERS else "other")
        ]
        if not chosen:
            continue
        titles[f"dots-{kind}"] = [
            f"{plain_line(dots[i].student)}: {dots[i].score:.3f}" for i in chosen
        ]
        axes.plot(
            [columns[i] / _BINS for i in chosen],
            [5 + step * levels[i] for i in chosen],
            marker,
            markersize=2 * max(1.5, min(4.0, step)),
            color=COLOURS[colour],
            markeredgecolor=COLOURS["card"],
            markeredgewidth=0.75,
            gid=f"dots-{kind}",
        )
    label = f"Scores of {len(dots)} submissions, mean {mean:.3f}."
    return inline_svg(figure, f"{policy.name}-class", label, titles)


def _score_axes(height: float) -> tuple[Figure, Axes]:
    """Return a figure with axes for scores from 0 to 1, on which y is in pixels, up to `height`."""
    total = height + _UNDER
    figure = new_figure(total)
    axes = figure.add_axes(
        (_MARGIN / WIDTH, _UNDER / total, 1 - 2 * _MARGIN / WIDTH, height / total)
    )
    axes.set(xlim=(0, 1), ylim=(0, height), xticks=np.arange(0, 1.1, 0.2), yticks=())
    axes.patch.set_visible(False)
    axes.spines[["left", "top", "right"]].set_visible(False)
    axes.spines["bottom"].set(color=COLOURS["line"], linewidth=1)
    axes.tick_params(length=4, width=1, pad=2, color=COLOURS["line"])
    return figure, axes


def _draw_threshold(
    axes: Axes, value: float, text: str, *, dashed: bool = False, leftwards: bool = False
) -> None:
    """Draw a line down to the axis, with its text on the side where it meets no other line's."""
    top = axes.get_ylim()[1]
    look = ("soft", 1.5, (0, (4 / 3, 4 / 3))) if dashed else ("full", 2, "solid")
    colour, width, dashes = look
    axes.vlines(value, 0, top - 3, COLOURS[colour], linewidth=width, linestyle=dashes)
    axes.annotate(
        text,
        (value, top - 11),
        (-4 if leftwards else 4, 0),
        textcoords="offset points",
        ha="right" if leftwards else "left",
    )


def _draw_interval(axes: Axes, low: float, mean: float, high: float) -> None:
    low, mean, high = np.clip((low, mean, high), 0, 1)
    y, colour = axes.get_ylim()[1] - 28, COLOURS["own"]
    axes.hlines(y, low, high, colour, linewidth=3)
    axes.vlines([low, high], y - 5, y + 5, colour, linewidth=3)
    edge = COLOURS["card"]
    axes.plot(mean, y, "o", color=colour, markersize=12, markeredgecolor=edge, markeredgewidth=1.5)


@dataclass(frozen=True)
class LossChart:
    """A loss curve beside the reference, and what to say below it.

    block: epochs whose mean is one point. logarithmic: whether the losses' axis is.
    """

    svg: Markup
    comparison: LossComparison
    block: int
    logarithmic: bool
    has_reference: bool


@drawing
def loss_chart(policy: rubric.Policy, rollout: RolloutResult) -> LossChart | None:
    """Return a policy's loss curve beside the reference; None where the checkpoint has none.

    The curves are medians of blocks of epochs. A loss that is a sum over the chunk is drawn at the
    reference's scale.
    """
    if not rollout.losses:
        return None
    # A checkpoint may hold any numbers.
    losses = np.nan_to_num(np.clip(np.asarray(rollout.losses, dtype=float), -1e30, 1e30))
    reference = reference_loss(policy.name, rollout.demonstrations)
    comparison = compare_losses(policy.name, losses, rollout.demonstrations)
    block = policy.loss_block * math.ceil(len(losses) / policy.loss_block / _POINTS)
    curves = {"own": _in_blocks(losses / comparison.scale, block)}
    if reference:
        for name in ("losses", "low", "high"):
            curves[name] = _in_blocks(getattr(reference, name), block)
    values = np.concatenate([y for _, y in curves.values()])
    logarithmic = bool(values.min() > 0 and values.max() > 10 * values.min())
    figure, axes = _loss_axes(values, max(x[-1] for x, _ in curves.values()), logarithmic)
    if reference:
        x, low = curves["low"]
        colour = COLOURS["reference"]
        axes.fill_between(x, low, curves["high"][1], color=colour, alpha=0.18, linewidth=0)
    axes.plot(*curves["own"], color=COLOURS["own"], linewidth=2)
    if reference:
        dashes = (0, (4 / 1.5, 5 / 1.5))
        axes.plot(*curves["losses"], color=COLOURS["reference"], linewidth=1.5, linestyle=dashes)
    label = (
        f"Loss curve of {len(losses)} epochs, from {losses[0]:.3g} to {losses[-1]:.3g}."
        f" {comparison.sentence}"
    )
    svg = inline_svg(figure, f"{policy.name}-loss", label)
    return LossChart(svg, comparison, block, logarithmic, reference is not None)


def _loss_axes(values: np.ndarray, last: float, logarithmic: bool) -> tuple[Figure, Axes]:
    """Return a figure and its axes for losses of these values, from epoch 0 to the last."""
    figure = new_figure(180)
    axes = figure.add_axes((44 / WIDTH, 32 / 180, 1 - 54 / WIDTH, 1 - 42 / 180))
    low, high = values.min(), values.max()
    if logarithmic:
        low = max(low, 1e-30)
        decades = math.log10(high / low)
        subs = (1,) if decades > 2.5 else (1, 3) if decades > 1.5 else (1, 2, 5)
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=subs, numticks=7))
        axes.yaxis.set_minor_locator(NullLocator())
    else:
        low, high = (low, high) if high > low else (low - 1, high + 1)
        axes.yaxis.set_major_locator(MaxNLocator(5, steps=(1, 2, 5, 10)))
    axes.xaxis.set_major_locator(MaxNLocator(6, steps=(1, 2, 5, 10), integer=True))
    axes.set(xlim=(0, max(last, 1.0)), ylim=(low, high))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_xlabel("epoch", labelpad=5)
    axes.grid(axis="y", color=COLOURS["line"], linewidth=1)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, pad=6)
    axes.patch.set_visible(False)
    axes.spines[:].set_visible(False)
    return figure, axes


def _in_blocks(losses: Sequence[float] | np.ndarray, block: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the middle epoch and the median of each `block` losses."""
    starts = np.arange(0, len(losses), block)
    counts = np.diff(np.append(starts, len(losses)))
    return starts + (counts - 1) / 2, block_medians(losses, block)
