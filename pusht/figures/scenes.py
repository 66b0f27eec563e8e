"""Shared parts of the pictures of generative policies: scenes with chunks of actions in them.

Networks are sampled with a fixed seed (`seeded`), which leaves the random number generators and the
network's train or eval mode as they were.
"""

import contextlib
import math
from collections.abc import Iterator, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.patches import Rectangle
from torch import nn

from pusht.episodes import inference, reproducible
from pusht.figures.page import BLUE, GREY, ORANGE, Limits, Page
from pusht.sim import WINDOW
from pusht.tee import TEE

SEED = 0
WIDE = (-80, -80, WINDOW + 160)  # limits of Page.scene: the table and a margin for noise


@contextlib.contextmanager
def seeded(model: nn.Module) -> Iterator[None]:
    """Run the body with the model in eval mode, without gradients, and with a fixed seed."""
    with inference(model), reproducible(SEED):
        yield


def moment(
    page: Page, place: int, state: np.ndarray, name: str, limits: Limits = WIDE
) -> tuple[Axes, float, float]:
    """Draw one of six scenes in two rows; return its axes and its position on the page."""
    x, y = 8 + place % 3 * 238, 30 + place // 3 * 262
    page.text(x, y - 14, name, weight="bold", ha="left")
    scene = page.scene(x, y, 228, state, limits)
    left, top, side = limits
    frame = Rectangle((left, top), side, side, fill=False, ec=GREY, lw=1, zorder=8, clip_on=False)
    scene.add_patch(frame)
    return scene, x, y


def path(scene: Axes, chunk: np.ndarray, color: str, lw: float = 1.3, ms: float = 2.8) -> None:
    """Draw a chunk of actions (Tp, 2) [px] as a line of dots."""
    scene.plot(*chunk.T, "-o", color=color, lw=lw, ms=ms, mew=0, alpha=0.9, zorder=5)


def marked_path(scene: Axes, chunk: np.ndarray, color: str) -> None:
    """Draw a chunk with its first action hollow."""
    path(scene, chunk, color, lw=1.2)
    scene.plot(*chunk[0], "o", ms=5, mec=color, mfc="white", zorder=6)


def key(page: Page, x: float, y: float, color: str, text: str) -> None:
    """Write an entry of the legend: the meaning of paths of this colour."""
    page.axes.plot([x, x + 14, x + 28], [y, y, y], "-o", color=color, lw=1.6, ms=4, mew=0)
    page.text(x + 40, y, text, ha="left")


def around(*points: np.ndarray, margin: float = 24) -> tuple[float, float, float]:
    """Return the limits, for Page.scene, of a square around points (N, 2) clipped to the table."""
    on_table = np.clip(np.concatenate(points), 0, WINDOW)
    low, high = on_table.min(axis=0) - margin, on_table.max(axis=0) + margin
    side = max((high - low).max(), 240)
    x, y = np.clip((low + high - side) / 2, 0, max(0, WINDOW - side))
    return x, y, side


def outline(state: np.ndarray) -> np.ndarray:
    """Return the corners (8, 2) [px] of the block in a state (5,)."""
    x, y, angle = state[2:]
    c, s = math.cos(angle), math.sin(angle)
    return TEE @ np.array([[c, s], [-s, c]]) + (x, y)


def colors(second: np.ndarray) -> list[str]:
    """Return a colour for each chunk, by whether it goes the second way, (N,) bool."""
    return [ORANGE if other else BLUE for other in second]


def pale(color: str) -> tuple[float, float, float]:
    """Return a lighter colour."""
    red, green, blue = to_rgb(color)
    return (1 + red) / 2, (1 + green) / 2, (1 + blue) / 2


def counted(second: np.ndarray) -> str:
    """Return a sentence on how many chunks have each colour."""
    if not second.any():
        return f"All {len(second)} go the same way."
    return f"Coloured by their way: {np.sum(~second)} blue, {np.sum(second)} orange."


def short(value: float) -> str:
    """Return a non-negative number with three digits and without an exponent."""
    return "< 0.001" if 0 < value < 0.001 else f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def listed(numbers: Sequence[float]) -> str:
    """Return numbers separated by commas."""
    return ", ".join(f"{number:g}" for number in numbers)
