"""A picture of Part II: what the weight of the divergence does to the latent and to the score."""

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes

from pusht.figures.page import BLUE, GREY, INK, ORANGE, SMALL, Page, Picture, write

FILE = Path(__file__).with_name("divergence_weights.json")


class Row(NamedTuple):
    """One trained network.

    demonstrations: the set's name. weight: of the divergence averaged over the batch. seed: of the
    training. nats: the mean divergence after it. zero, drawn: scores with z = 0 and z ~ N(0, I).
    """

    demonstrations: str
    weight: float
    seed: int
    nats: float
    zero: float
    drawn: float

    @property
    def key(self) -> tuple[str, float, int]:
        """What no two rows share."""
        return self[:3]

    def rounded(self) -> "Row":
        """Return the row with four digits, as it is kept."""
        return Row(*self[:3], *(float(f"{value:.4g}") for value in self[3:]))


def read_rows() -> list[Row]:
    """Return all networks that were trained; `score.course.tools.divergence_weights` adds some."""
    if not FILE.exists():
        return []
    return [Row(**row) for row in json.loads(FILE.read_text(encoding="utf-8"))]


def divergence_weights() -> Picture:
    """Draw, against the weight of the divergence, how much the latent says and how well the policy
    scores with z = 0 and with z drawn; a row for each set of demonstrations.
    """
    rows = read_rows()
    sets = list(dict.fromkeys(row.demonstrations for row in rows))
    page = Page(60 + 250 * len(sets))
    sentences = []
    for i, name in enumerate(sets):
        top = 74 + 250 * i
        some = [row for row in rows if row.demonstrations == name]
        exponents = np.log10([row.weight for row in some])
        xlim = (exponents.min() - 0.4, exponents.max() + 0.4)
        page.heading(8, top - 40, f"Trained on the {name} demonstrations")
        page.text(8, top - 14, "information in z [nats]", SMALL, color=GREY, ha="left")
        page.text(378, top - 14, "score, z = 0 and", SMALL, color=GREY, ha="left")
        page.text(478, top - 14, "z drawn", SMALL, color=ORANGE, ha="left", weight="bold")
        nats = page.plot(44, top, 290, 150, xlim, (0, 6), (0, 2, 4, 6))
        score = page.plot(414, top, 290, 150, xlim, (0, 1), (0, 0.25, 0.5, 0.75, 1))
        for axes in (nats, score):
            _weights(axes, xlim)
        _series(nats, some, "nats", BLUE)
        _series(score, some, "zero", INK)
        _series(score, some, "drawn", ORANGE)
        for left in (189, 559):
            page.text(left, top + 186, "weight of the divergence", SMALL, color=GREY)
        sentences.append(_sentence(name, some))
    return page.image(" ".join(sentences))


def _weights(axes: Axes, xlim: tuple[float, float]) -> None:
    low, high = axes.get_ylim()
    for exponent in range(int(np.ceil(xlim[0])), int(np.floor(xlim[1])) + 1):
        write(axes, exponent, low - 0.09 * (high - low), f"{10.0**exponent:g}", SMALL, color=GREY)


def _series(axes: Axes, rows: list[Row], what: str, color: str) -> None:
    """Draw a dot for each network, and a line through the means over training seeds."""
    for row in rows:
        axes.plot(np.log10(row.weight), getattr(row, what), "o", ms=4, color=color, alpha=0.5)
    means = _means(rows, what)
    axes.plot(np.log10(list(means)), list(means.values()), color=color, lw=2)


def _means(rows: list[Row], what: str) -> dict[float, float]:
    weights = sorted({row.weight for row in rows})
    return {
        weight: float(np.mean([getattr(row, what) for row in rows if row.weight == weight]))
        for weight in weights
    }


def _sentence(name: str, rows: list[Row]) -> str:
    nats, zero, drawn = (_means(rows, what) for what in ("nats", "zero", "drawn"))
    figures = "; ".join(
        f"weight {weight:g}: {nats[weight]:.2g} nats, score {zero[weight]:.2f} with z = 0,"
        f" {drawn[weight]:.2f} with z drawn"
        for weight in nats
    )
    return f"Trained on the {name} demonstrations: {figures}."
