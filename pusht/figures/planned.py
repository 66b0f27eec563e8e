"""Pictures of sets of chunks: what several policies plan in the same states."""

from collections.abc import Mapping, Sequence

import numpy as np

from pusht.figures.modes import second_way
from pusht.figures.page import GREY, SMALL, WIDTH, Page, Picture
from pusht.figures.scenes import around, colors, counted, key, outline, path

_GAP = 10


def chunk_sets(states: np.ndarray, sets: Mapping[str, Sequence[np.ndarray]]) -> Picture:
    """Draw, for some states and policies, all chunks that were planned, in two colours where these
    go two ways.

    states (R, 5) [px, rad], a row for each. sets: {title of a column: R arrays (n, Tp, 2) [px]}.
    ValueError when there is nothing to draw, or a column has not one set for each state.
    """
    rows = len(states)
    if not rows or not sets or any(len(each) != rows for each in sets.values()):
        raise ValueError("Each column needs a set of chunks for each of one or more states.")
    side = min((WIDTH - 16 + _GAP) / len(sets) - _GAP, 230)
    page = Page(round(42 + rows * (side + _GAP) + 28))
    said = []
    for row, state in enumerate(states):
        y = 36 + row * (side + _GAP)
        shown = [each[row] for each in sets.values()]
        limits = around(*(chunks.reshape(-1, 2) for chunks in shown), outline(state))
        for column, (title, chunks) in enumerate(zip(sets, shown, strict=True)):
            x = 8 + column * (side + _GAP)
            if row == 0:
                page.text(x + side / 2, 20, title, weight="bold")
            scene = page.scene(x, y, side, state, limits)
            second = second_way(chunks)
            for chunk, color in zip(chunks, colors(second), strict=True):
                path(scene, chunk, color, lw=0.8, ms=1.6)
            said.append(f"{title}, state {row + 1}: {counted(second)}")
    y = page.height - 16
    key(page, 8, y, colors(np.array([False]))[0], "a planned chunk")
    key(page, 200, y, colors(np.array([True]))[0], "one that goes another way, where two part")
    page.text(WIDTH - 8, y, "one state in each row", size=SMALL, color=GREY, ha="right")
    return page.image(
        f"Scenes with planned chunks: a row for each of {rows} states, a column for each of"
        f" {len(sets)} policies. {' '.join(said)}"
    )
