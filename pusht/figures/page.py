"""The page on which every picture is drawn, with matplotlib's Agg canvas and without pyplot, which
would need a window and global state.

The result is a `Picture`, an `IPython.display.Image` with an alternative text: a PNG with two
pixels for each shown pixel, 720 shown pixels wide. The background is white, so that pictures are
legible on dark pages too.
"""

import html
import io
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import PIL.Image
from IPython.display import Image
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, Rectangle
from matplotlib.patheffects import withStroke
from matplotlib.text import Text

from pusht.render import render
from pusht.sim import WINDOW

# The colour-blind-safe colours of Okabe and Ito (2008), and greys.
BLUE, ORANGE, GREEN, VERMILION, SKY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#56B4E9"
INK, GREY, LINE, PALE = "#222222", "#5f6b76", "#b8c0c8", "#eef1f4"

WIDTH = 720  # shown pixels
SMALL, BODY, HEAD = 11, 12.5, 14  # type sizes in shown pixels
RIM = [withStroke(linewidth=3, foreground="white")]  # keeps text legible over lines
AXIS = 126  # y of the middle of a network's layers, shown pixels

Point = Sequence[float] | np.ndarray
Limits = Sequence[float] | np.ndarray  # x, y and side of a square part of the table


class Page:
    """A white page, 720 shown pixels wide, whose coordinates are shown pixels, y pointing down."""

    def __init__(self, height: int) -> None:
        self.height = height
        self.figure = Figure(figsize=(WIDTH / 100, height / 100), dpi=200, facecolor="white")
        self.canvas = FigureCanvasAgg(self.figure)
        self.axes = self._axes(0, 0, WIDTH, height, (0, 0, WIDTH, height))

    def add_axes(self, left: float, top: float, width: float, height: float) -> Axes:
        """Return new axes at this position on the page."""
        return self.figure.add_axes(
            (left / WIDTH, 1 - (top + height) / self.height, width / WIDTH, height / self.height)
        )

    def _axes(
        self, left: float, top: float, width: float, height: float, limits: Sequence[float]
    ) -> Axes:
        axes = self.add_axes(left, top, width, height)
        axes.set_axis_off()
        x, y, w, h = limits
        axes.set(xlim=(x, x + w), ylim=(y + h, y), autoscale_on=False)
        return axes

    def scene(
        self,
        left: float,
        top: float,
        side: float,
        state: Point | None = None,
        limits: Limits = (0, 0, WINDOW),
        action: Point | None = None,
    ) -> Axes:
        """Return axes over a picture of the table, in window pixels.

        state: (5,); None draws goal and walls only. limits: x, y and side of the part to show.
        action: (2,), drawn as a cross.
        """
        x, y, part = limits
        axes = self._axes(left, top, side, side, (x, y, part, part))
        away = [-99, -99, -999, -999, 0]
        axes.imshow(
            render(away if state is None else state, action=action, size=1024),
            extent=(0, WINDOW, WINDOW, 0),
            aspect="auto",
        )
        axes.set(xlim=(x, x + part), ylim=(y + part, y))
        if part < WINDOW:  # the whole table has walls to frame it
            self.box(left, top, side, side, edge=GREY)
        return axes

    def text(self, x: float, y: float, text: object, size: float = BODY, **how: Any) -> float:
        """Write a text, centred at (x, y) unless ha= is given; return the x at which it ends."""
        return write(self.axes, x, y, text, size, **how).get_window_extent().x1 / 2

    def heading(self, x: float, y: float, text: object, size: float = HEAD) -> None:
        """Write a heading that begins at x."""
        self.text(x, y, text, size=size, weight="bold", ha="left")

    def notes(self, x: float, y: float, lines: Iterable[str]) -> None:
        """Write grey lines of text that begin at x."""
        for row, line in enumerate(lines):
            self.text(x, y + 19 * row, line, color=GREY, ha="left")

    def box(
        self,
        x: float,
        y: float,
        width: float,
        height: float,
        *,
        fill: str = "none",
        edge: str = LINE,
        **how: Any,
    ) -> None:
        """Draw a rectangle."""
        how = {"lw": 1, "zorder": 3, **how}
        self.axes.add_patch(Rectangle((x, y), width, height, fc=fill, ec=edge, **how))

    def cell(
        self,
        x: float,
        y: float,
        width: float,
        height: float,
        number: object,
        fill: str,
        framed: bool = False,
    ) -> None:
        """Draw a cell of a timeline; `number` is left out if the cell is too narrow."""
        self.box(x + 1, y, width - 2, height, fill=fill, edge=GREY, lw=0.7)
        if framed:
            self.box(x + 1, y, width - 2, height, edge=VERMILION, lw=1.4, zorder=4)
        if width >= 16:
            weight = "bold" if framed else "normal"
            self.text(x + width / 2, y + height / 2, number, size=SMALL, weight=weight)

    def arrow(self, start: Point, end: Point, color: str = INK) -> None:
        """Draw an arrow."""
        arrow(self.axes, start, end, color)

    def layer(self, x: float, name: str, fill: str) -> float:
        """Draw a layer of a network at x; return the x at which it ends."""
        self.box(x, AXIS - 66, 25, 132, fill=fill, edge=GREY)
        self.text(x + 12.5, AXIS, name, size=SMALL, rotation=90, va="center", zorder=4)
        return x + 25

    def wire(self, x: float, length: float, shape: object = None) -> float:
        """Draw an arrow to the next layer with `shape` below it; return the x at which it ends."""
        line: dict[str, Any] = {"color": INK, "lw": 1.2, "zorder": 1, "solid_capstyle": "butt"}
        self.axes.plot([x, x + length - 1], [AXIS, AXIS], **line)
        end = x + length
        if length >= 14:
            self.axes.fill([end - 6, end, end - 6], [AXIS - 4, AXIS, AXIS + 4], fc=INK, lw=0)
        if shape is not None:
            middle = x + length / 2
            self.axes.plot([middle] * 2, [AXIS + 5, AXIS + 72], color=LINE, lw=1, ls=(0, (2, 2)))
            self.text(middle, AXIS + 82, shape, color=GREY)
        return end

    def entry(self, x: float, y: float, name: str, value: str, color: str) -> None:
        """Draw one entry of a vector: its name and an example value."""
        self.box(x, y, 230, 25, fill=PALE, edge="white", lw=0)
        self.box(x, y, 4, 25, fill=color, edge=color, lw=0)
        self.text(x + 16, y + 12.5, name, color=color, weight="bold", ha="left", zorder=4)
        self.text(x + 220, y + 12.5, value, color=GREY, ha="right", zorder=4)

    def plot(
        self,
        left: float,
        top: float,
        width: float,
        height: float,
        xlim: tuple[float, float],
        ylim: tuple[float, float],
        yticks: Iterable[float],
    ) -> Axes:
        """Return axes for curves or bars, with numbers on the left."""
        plot = self.add_axes(left, top, width, height)
        plot.set_axis_off()
        plot.set(xlim=xlim, ylim=ylim)
        margin = xlim[0] - (xlim[1] - xlim[0]) * 8 / width
        for value in yticks:
            color = LINE if value else GREY
            plot.plot(xlim, [value, value], color=color, lw=0.8, zorder=1, clip_on=False)
            write(plot, margin, value, f"{value:g}", SMALL, ha="right", color=GREY)
        return plot

    def pixels(self) -> PIL.Image.Image:
        """Return the page in RGB, with two pixels for each shown pixel."""
        self.canvas.draw()
        return PIL.Image.fromarray(np.asarray(self.canvas.buffer_rgba())[..., :3])

    def image(self, alt: str) -> "Picture":
        """Return the page as a `Picture`; few colours keep the file small."""
        return as_image(self.pixels().quantize(128), alt)


class Picture(Image):
    """A PNG with its shown size and its alternative text, `alt`.

    JupyterLab and most converters of notebooks ignore the alternative text of an image, so HTML
    with this text is sent too. A PDF uses the PNG, and a terminal the text.
    """

    def __init__(
        self, png: bytes, alt: str, width: int | None = None, height: int | None = None
    ) -> None:
        # The text is sent as metadata, because Colab's IPython does not have the argument alt=.
        super().__init__(png, width=width, height=height, metadata={"alt": alt})
        self.alt = alt

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> Any:
        data, metadata = super()._repr_mimebundle_(include, exclude)
        size = "".join(
            f' {name}="{value}"'
            for name, value in (("width", self.width), ("height", self.height))
            if value
        )
        page = (
            f'<img src="data:image/png;base64,{data["image/png"].strip()}"{size}'
            f' alt="{html.escape(self.alt)}">'
        )
        return {**data, "text/html": page, "text/plain": self.alt}, metadata


def as_image(pixels: PIL.Image.Image, alt: str, **how: Any) -> Picture:
    """Return an image, with two pixels for each shown pixel, as a `Picture`.

    how: options for writing the PNG; by default it is made as small as possible.
    """
    png = io.BytesIO()
    pixels.save(png, "png", **how or {"optimize": True})
    return Picture(png.getvalue(), alt, pixels.width // 2, pixels.height // 2)


def ticks(top: float) -> list[float]:
    """Return at most six round values at which an axis from 0 to `top` has numbers."""
    step = 10.0 ** np.floor(np.log10(top))
    step *= next(part for part in (0.25, 0.5, 1, 2) if top / (step * part) <= 5)
    return np.arange(0, top, step).tolist() + ([top] if top == 1 else [])


def write(axes: Axes, x: float, y: float, text: object, size: float, **how: Any) -> Text:
    """Write a text of a size in shown pixels, centred at (x, y) unless ha= is given."""
    how = {"ha": "center", "va": "center_baseline", "color": INK, "zorder": 7, **how}
    return axes.text(x, y, f"{text}", fontsize=size * 0.72, family="DejaVu Sans", **how)


def label(scene: Axes, x: float, y: float, name: str, formula: str | None, color: str) -> None:
    """Write a name in a scene, and below it the variables that it stands for, with a white rim."""
    how = {"color": color, "ha": "left", "path_effects": RIM}
    write(scene, x, y, name, BODY, weight="bold", **how)
    if formula:
        write(scene, x, y + 18, formula, BODY, **how)


def arrow(
    axes: Axes, start: Point, end: Point, color: str, shrink: tuple[float, float] = (0, 0)
) -> None:
    """Draw an arrow; its ends are `shrink` shown pixels away from the points."""
    axes.add_patch(
        FancyArrowPatch(
            (start[0], start[1]),
            (end[0], end[1]),
            arrowstyle="-|>",
            mutation_scale=11,
            color=color,
            lw=1.8,
            zorder=5,
            shrinkA=shrink[0] * 0.72,
            shrinkB=shrink[1] * 0.72,
        )
    )
