"""A live plot of the loss during training, beside the reference."""

import io
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from pusht.progress import in_notebook
from pusht.run_mode import run_mode

_DRAW_EVERY = 2.0  # s


class LossCurve(Protocol):
    """A reference curve: the loss of each epoch, and the band around it."""

    losses: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]


class LossView:
    """The loss curve beside the reference, redrawn in place in a notebook.

    Nothing is drawn in a terminal, or when the run mode shows nothing.
    """

    def __init__(self, title: str, reference: LossCurve | None) -> None:
        self.title, self.reference = title, reference
        self.handle: Any = None
        self.due = 0.0

    def draw(self, losses: Callable[[], Sequence[float]], final: bool = False) -> None:
        """Draw the curve, unless it was drawn a moment ago and is not the final one.

        losses: function that returns the loss of each epoch so far; it is called only when the
            curve is drawn.
        """
        due = final or time.monotonic() >= self.due
        if not due or not in_notebook() or not run_mode().show:
            return
        from IPython.display import display

        from pusht.figures.page import Picture

        started, curve = time.monotonic(), losses()
        if not any(0 < loss < float("inf") for loss in curve):
            return  # a logarithmic scale can show none of them
        beside = ", beside the reference and its band." if self.reference is not None else ""
        image = Picture(
            plot_losses(curve, self.reference, title=self.title),
            f"Loss of {self.title} over {len(curve)} epochs, from {curve[0]:.5f} to"
            f" {curve[-1]:.5f}{beside}",
        )
        if self.handle is None:
            self.handle = display(image, display_id=True)
        else:
            self.handle.update(image)
        # Drawing takes at most a thirtieth of the run, even on a slow machine.
        self.due = time.monotonic() + max(_DRAW_EVERY, 30 * (time.monotonic() - started))


def plot_losses(
    losses: Sequence[float], reference: LossCurve | None = None, *, title: str = ""
) -> bytes:
    """Return a PNG of a loss curve on a logarithmic scale, beside the reference and its band if
    there is one.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 3.6), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    blue, vermilion = "#0072B2", "#D55E00"
    if reference is not None:
        band: dict[str, Any] = {"color": blue, "alpha": 0.2, "linewidth": 0, "label": "band"}
        axes.fill_between(range(len(reference.losses)), reference.low, reference.high, **band)
        axes.plot(range(len(reference.losses)), reference.losses, color=blue, label="reference")
    marker = "o" if len(losses) < 2 else ""
    axes.plot(losses, color=vermilion, linestyle="--", marker=marker, label="yours")
    heading = f"{title}: epoch {len(losses)}, loss {losses[-1]:.5f}"
    axes.set(yscale="log", xlabel="epoch", ylabel="loss", title=heading)
    axes.grid(alpha=0.3)
    axes.legend()
    png = io.BytesIO()
    figure.savefig(png, format="png")
    return png.getvalue()
