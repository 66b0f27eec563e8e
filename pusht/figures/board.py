"""Draw the pictures of the player: scenes side by side, and the curves of their rewards below."""

import functools
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import PIL.Image
from matplotlib import get_data_path
from matplotlib.colors import to_rgb
from PIL import ImageDraw, ImageFont

from pusht.figures.page import (
    BLUE,
    GREEN,
    GREY,
    INK,
    LINE,
    ORANGE,
    SKY,
    SMALL,
    VERMILION,
    WIDTH,
    Page,
    Picture,
    as_image,
)
from pusht.render import AGENT, BLOCK, GOAL, TARGET, WALL, render

# A colour and a dash for each policy; the dash identifies a curve for readers who do not see its
# colour.
STYLES: list[tuple[str, Any]] = [
    (BLUE, "-"),
    (VERMILION, (0, (3, 1))),
    (GREEN, (0, (1, 0.8))),
    (ORANGE, (0, (3, 0.8, 0.8, 0.8))),
    (INK, (0, (7, 1.5))),
    (SKY, (0, (3, 0.8, 0.8, 0.8, 0.8, 0.8))),
    ("#CC79A7", (0, (1, 2))),
]
STEP = 0.1  # s
CURVE = 112  # height of the curves, shown pixels
_LEFT, _RIGHT = 40, WIDTH - 12  # left and right end of the curves, shown pixels


class Board:
    """The parts that all pictures of an episode share: names, curves, positions of the scenes."""

    def __init__(self, names: Sequence[str], rewards: Sequence[np.ndarray]) -> None:
        """Take the names of the policies, and the rewards (T + 1,) of each."""
        count = len(names)
        self.rewards, self.span = rewards, _span(rewards)
        self.side = 2 * int(min(125, (WIDTH - 16 - 12 * (count - 1)) / count / 2))
        left, self.top = (WIDTH - count * (self.side + 12) + 12) // 2, 32 if any(names) else 8
        self.lefts = [left + i * (self.side + 12) for i in range(count)]
        bottom = self.top + self.side + 26
        page = Page(bottom + CURVE + 62)
        for i, (name, x) in enumerate(zip(names, self.lefts, strict=True)):
            if name or count > 1:
                key(page, x, 17, name, i, self.side)
        self.curve = curves(page, bottom, rewards)
        self.pixels = page.pixels()

    def image(
        self, scenes: Sequence[PIL.Image.Image], steps: Sequence[int], step: int, alt: str
    ) -> Picture:
        """Return the picture of a moment.

        scenes: one per policy. steps: the step of each policy's dot. step: the step of the cursor.
        """
        pixels = self.pixels.copy()
        draw = ImageDraw.Draw(pixels)
        x, (top, bottom) = self._x(step), self.curve
        draw.line([x, 2 * top, x, 2 * bottom], fill=INK, width=3)
        policies = zip(self.lefts, scenes, steps, self.rewards, strict=True)
        for i, (left, scene, at, earned) in enumerate(policies):
            pixels.paste(scene, (2 * left, 2 * self.top))
            ended = at == len(earned) - 1
            text = f"{earned[at]:.2f}" + (", solved" if solved(earned[at]) else ", end") * ended
            place = (2 * left + self.side, 2 * (self.top + self.side + 11))
            draw.text(place, text, INK, _font(2 * SMALL + 2), anchor="mm")
            x, y = self._x(at), 2 * (bottom - (bottom - top) * earned[at])
            dot = [x - 10, y - 10, x + 10, y + 10]
            draw.ellipse(dot, fill=STYLES[i][0], outline="white", width=3)
        # This level is 10 times as fast as the one for the smallest file.
        return as_image(few_colours(pixels), alt, compress_level=6)

    def _x(self, step: int) -> float:
        return 2 * (_LEFT + (_RIGHT - _LEFT) * step / self.span)


def solved(reward: float) -> bool:
    """Return whether a reward is 1, up to the rounding of recorded states."""
    return reward > 1 - 1e-6


def scene_image(
    states: np.ndarray, actions: np.ndarray | None, step: int, side: int
) -> PIL.Image.Image:
    """Return the scene at a step of an episode, `side` shown pixels wide."""
    action = None if actions is None else actions[step]
    return PIL.Image.fromarray(render(states[step], action=action, size=2 * side))


def curves(page: Page, top: float, rewards: Sequence[np.ndarray]) -> tuple[float, float]:
    """Draw the rewards over time; return the top and bottom of the axes, in shown pixels."""
    top, span = top + 26, _span(rewards)
    page.text(_LEFT, top - 13, "reward", color=GREY, ha="left")
    plot = page.plot(_LEFT, top, _RIGHT - _LEFT, CURVE, (0, span), (0, 1), [0, 0.5, 1])
    distances = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, span)
    every = next(distance for distance in distances if span / distance <= 10)
    for at in range(0, span + 1, every):
        x = _LEFT + (_RIGHT - _LEFT) * at / span
        page.axes.plot([x, x], [top + CURVE, top + CURVE + 4], color=GREY, lw=0.8)
        page.text(x, top + CURVE + 14, f"{at * STEP:g}", size=SMALL, color=GREY)
    page.text(_RIGHT, top - 13, "time [s]", size=SMALL, color=GREY, ha="right")
    for earned, (color, style) in zip(rewards, STYLES, strict=False):
        line = {"color": color, "ls": style, "lw": 1.8}
        plot.plot(np.arange(len(earned)), earned, clip_on=False, zorder=4, **line)
    return top, top + CURVE


def key(page: Page, x: float, y: float, name: str, i: int, width: float) -> None:
    """Draw the line of policy i and its name, shortened if it does not fit."""
    color, style = STYLES[i]
    page.axes.plot([x, x + 34], [y, y], color=color, ls=style, lw=2.2, solid_capstyle="butt")
    page.text(x + 42, y, _fitting(name, 2 * width - 84), weight="bold", ha="left")


def few_colours(pixels: PIL.Image.Image) -> PIL.Image.Image:
    """Return the picture in the common palette, so that colours do not flicker between frames."""
    return pixels.quantize(palette=_palette(), dither=PIL.Image.Dither.NONE)


def _span(rewards: Sequence[np.ndarray]) -> int:
    return max(1, max(map(len, rewards)) - 1)


def _fitting(text: str, width: float) -> str:
    shorter = (text[:n] + "…" * (n < len(text)) for n in range(len(text), -1, -1))
    return next((cut for cut in shorter if _font(25, "-Bold").getlength(cut) <= width), "…")


@functools.cache
def _font(size: int, kind: str = "") -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(f"{get_data_path()}/fonts/ttf/DejaVuSans{kind}.ttf", size)


@functools.cache
def _palette() -> PIL.Image.Image:
    """Return the palette: the colours of scenes and curves, and mixtures of colours for edges."""
    scene = ["white", WALL, GOAL, BLOCK, AGENT, TARGET]
    lines = [INK, GREY, LINE, *(color for color, _ in STYLES)]
    pairs = [(a, b, 4) for a, b in itertools.combinations(scene, 2)]
    pairs += [("white", line, 6) for line in lines]
    mixed = {
        tuple(
            round(255 * ((1 - share) * u + share * v))
            for u, v in zip(to_rgb(a), to_rgb(b), strict=True)
        )
        for a, b, parts in pairs
        for share in np.linspace(0, 1, parts + 1)
    }
    palette = PIL.Image.new("P", (1, 1))
    palette.putpalette([value for color in sorted(mixed, reverse=True) for value in color])
    return palette
