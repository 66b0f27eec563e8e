"""The page that every picture is drawn on, with matplotlib's Agg canvas: no window, no pyplot, no
global state.

A picture becomes a `Picture`, an `IPython.display.Image`: PNG bytes with two pixels for each one
shown, 720 shown pixels wide, the alternative text in `image.metadata["alt"]`. The ground is white,
so that it reads on dark pages too.
"""

import html
import io
from pathlib import Path

import numpy as np
import PIL.Image
from IPython.display import Image
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, Rectangle
from matplotlib.patheffects import withStroke

from pusht.render import render
from pusht.sim import WINDOW

# The colour-blind-safe colours of Okabe and Ito (2008), and greys.
BLUE, ORANGE, GREEN, VERMILION, SKY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#56B4E9"
INK, GREY, LINE, PALE = "#222222", "#5f6b76", "#b8c0c8", "#eef1f4"

WIDTH = 720  # shown pixels
SMALL, BODY, HEAD = 11, 12.5, 14  # type sizes in shown pixels
RIM = [withStroke(linewidth=3, foreground="white")]  # keeps text legible over lines
AXIS = 126  # height at which a network's layers stand, shown pixels


class Page:
    """A white page, 720 shown pixels wide, whose coordinates are shown pixels, y pointing down."""

    def __init__(self, height):
        self.height = height
        self.figure = Figure(figsize=(WIDTH / 100, height / 100), dpi=200, facecolor="white")
        self.canvas = FigureCanvasAgg(self.figure)
        self.axes = self._axes(0, 0, WIDTH, height, (0, 0, WIDTH, height))

    def _axes(self, left, top, width, height, limits):
        axes = self.figure.add_axes(
            (left / WIDTH, 1 - (top + height) / self.height, width / WIDTH, height / self.height)
        )
        axes.set_axis_off()
        x, y, w, h = limits
        axes.set(xlim=(x, x + w), ylim=(y + h, y), autoscale_on=False)
        return axes

    def scene(self, left, top, side, state=None, limits=(0, 0, WINDOW), action=None):
        """Axes over the table, in window pixels; limits: x, y and side of the part to show. No
        state: goal and walls alone.
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

    def text(self, x, y, what, size=BODY, **how):
        """Write, centred upon (x, y) unless ha= says otherwise; return the x where it ends."""
        return write(self.axes, x, y, what, size, **how).get_window_extent().x1 / 2

    def box(self, x, y, width, height, *, fill="none", edge=LINE, **how):
        self.axes.add_patch(
            Rectangle((x, y), width, height, fc=fill, ec=edge, **{"lw": 1, "zorder": 3, **how})
        )

    def cell(self, x, y, width, height, what, fill, hatched=False):
        """A place on a timeline; `what`, a number, is left out where the place is too narrow."""
        self.box(x + 1, y, width - 2, height, fill=fill, edge=GREY, lw=0.7)
        if hatched:
            self.axes.add_patch(
                Rectangle((x + 1, y), width - 2, height, fill=False, ec=VERMILION, lw=1.4, zorder=4)
            )
        if width >= 16:
            self.text(
                x + width / 2,
                y + height / 2,
                what,
                size=SMALL,
                weight="bold" if hatched else "normal",
            )

    def arrow(self, start, end, color=INK):
        arrow(self.axes, start, end, color)

    def layer(self, x, name, fill):
        """A layer of a network at x; return the x where it ends."""
        self.box(x, AXIS - 66, 25, 132, fill=fill, edge=GREY)
        self.text(x + 12.5, AXIS, name, size=SMALL, rotation=90, va="center", zorder=4)
        return x + 25

    def wire(self, x, length, shape=None):
        """An arrow to the next layer, `shape` under it; return the x where it ends."""
        self.axes.plot(
            [x, x + length - 1], [AXIS, AXIS], color=INK, lw=1.2, zorder=1, solid_capstyle="butt"
        )
        if length >= 14:
            self.axes.fill(
                [x + length - 6, x + length, x + length - 6],
                [AXIS - 4, AXIS, AXIS + 4],
                fc=INK,
                lw=0,
            )
        if shape is not None:
            middle = x + length / 2
            self.axes.plot([middle] * 2, [AXIS + 5, AXIS + 72], color=LINE, lw=1, ls=(0, (2, 2)))
            self.text(middle, AXIS + 82, shape, color=GREY)
        return x + length

    def entry(self, x, y, name, value, color):
        """A row of a vector: its name and an example's value."""
        self.box(x, y, 230, 25, fill=PALE, edge="white", lw=0)
        self.box(x, y, 4, 25, fill=color, edge=color, lw=0)
        self.text(x + 16, y + 12.5, name, color=color, weight="bold", ha="left", zorder=4)
        self.text(x + 220, y + 12.5, value, color=GREY, ha="right", zorder=4)

    def plot(self, left, top, width, height, xlim, ylim, yticks):
        """Axes for curves or bars, numbered on the left."""
        plot = self.figure.add_axes(
            (left / WIDTH, 1 - (top + height) / self.height, width / WIDTH, height / self.height)
        )
        plot.set_axis_off()
        plot.set(xlim=xlim, ylim=ylim)
        for value in yticks:
            plot.plot(
                xlim, [value, value], color=LINE if value else GREY, lw=0.8, zorder=1, clip_on=False
            )
            write(
                plot,
                xlim[0] - (xlim[1] - xlim[0]) * 8 / width,
                value,
                f"{value:g}",
                SMALL,
                ha="right",
                color=GREY,
            )
        return plot

    def pixels(self):
        """The page as a `PIL.Image.Image` in RGB, two pixels for each one shown."""
        self.canvas.draw()
        return PIL.Image.fromarray(np.asarray(self.canvas.buffer_rgba())[..., :3])

    def image(self, alt):
        """The page as a `Picture`; few colours keep the file small."""
        return as_image(self.pixels().quantize(128), alt)


class Picture(Image):
    """PNG bytes, their shown size and, in `metadata["alt"]`, their alternative text; where it is
    shown, it is also told.

    JupyterLab and most pages made of notebooks leave an image's text out, so HTML that has it goes
    along; what knows no HTML (a PDF) takes the PNG, and a terminal the text.
    """

    def __init__(self, png, alt, width=None, height=None):
        # As metadata, since the keyword alt= is younger than the IPython of Colab.
        super().__init__(png, width=width, height=height, metadata={"alt": alt})

    def _repr_mimebundle_(self, include=None, exclude=None):
        data, metadata = super()._repr_mimebundle_(include, exclude)
        alt = self.metadata["alt"]
        size = "".join(
            f' {name}="{value}"'
            for name, value in (("width", self.width), ("height", self.height))
            if value
        )
        page = (
            f'<img src="data:image/png;base64,{data["image/png"].strip()}"{size}'
            f' alt="{html.escape(alt)}">'
        )
        return {**data, "text/html": page, "text/plain": alt}, metadata


def as_image(pixels, alt, **how):
    """A `PIL.Image.Image`, two pixels for each one shown, as a `Picture` with its alternative text.

    how: to write the PNG; as small as it goes when nothing is said.
    """
    png = io.BytesIO()
    pixels.save(png, "png", **how or {"optimize": True})
    return Picture(png.getvalue(), alt, pixels.width // 2, pixels.height // 2)


def stored(name):
    """A picture that was drawn before, pusht/figures/NAME.png, since what it shows takes long to
    train.
    """
    path = Path(__file__).parent / f"{name}.png"
    return Picture(
        path.read_bytes(), path.with_suffix(".txt").read_text(encoding="utf-8").strip(), WIDTH
    )


def write(axes, x, y, what, size, **how):
    """Text of a size in shown pixels, centred upon (x, y)."""
    how = {"ha": "center", "va": "center_baseline", "color": INK, "zorder": 7, **how}
    return axes.text(x, y, f"{what}", fontsize=size * 0.72, family="DejaVu Sans", **how)


def label(scene, x, y, name, formula, color):
    """A name in a scene, the variables it stands for under it, with a white rim."""
    write(scene, x, y, name, BODY, color=color, weight="bold", ha="left", path_effects=RIM)
    if formula:
        write(scene, x, y + 18, formula, BODY, color=color, ha="left", path_effects=RIM)


def arrow(axes, start, end, color, shrink=(0, 0)):
    """An arrow whose ends stay `shrink` shown pixels away from the points."""
    axes.add_patch(
        FancyArrowPatch(
            start,
            end,
            arrowstyle="-|>",
            mutation_scale=11,
            color=color,
            lw=1.8,
            zorder=5,
            shrinkA=shrink[0] * 0.72,
            shrinkB=shrink[1] * 0.72,
        )
    )
