"""Step 5: say what else was repaired, and put the new notebook together."""

import copy
import itertools
import re
from typing import Any

from nbformat import NotebookNode

from score.course.collect.repair.notebook_file import MAX_CELLS, colab_id, grade_id
from score.course.collect.repair.state import Piece, State

_ID = re.compile(r"[a-zA-Z0-9-_]{1,64}")


def describe(document: dict[str, Any], state: State) -> None:
    """Report what was missing, moved or changed in the student's `document`."""
    release, chosen, report = state.release, state.chosen, state.report
    missing = [key for key in release.cells if key not in chosen]
    report(
        "Answer cells were missing and were put back, unanswered",
        [key for key in missing if key in release.answers],
    )
    report(
        "Locked cells were missing and were put back",
        [key for key in missing if key not in release.answers],
    )
    report(
        "Answer cells were empty and have the release's text again",
        [key for key, piece in chosen.items() if key in release.answers and not piece.body.strip()],
    )
    in_order = _in_order(state)
    report(
        "Cells stood in another order and are in the release's again",
        [key for key in chosen if key not in in_order],
    )
    report(
        "First lines were missing or changed and are the release's again",
        [
            key
            for key, piece in chosen.items()
            if piece.known_by and piece.marker.rstrip() != release.first[key]
        ],
    )
    _describe_format(document, state)


def _describe_format(document: dict[str, Any], state: State) -> None:
    """Report what was repaired in metadata, cell types, ids and the notebook's format."""
    released = state.release.cells
    whole = {key: piece.cell for key, piece in state.chosen.items() if piece.cell}
    bare = [key for key, cell in whole.items() if grade_id(cell) is None]
    state.report("nbgrader's metadata was gone and was put back", bare)
    state.report(
        "nbgrader's metadata was changed and is the release's again",
        [
            key
            for key, cell in whole.items()
            if key not in bare and cell["metadata"]["nbgrader"] != released[key].metadata.nbgrader
        ],
    )
    state.report(
        "Cells of code had become text, or the other way round, and are what they were",
        [key for key, cell in whole.items() if cell["cell_type"] != released[key].cell_type],
    )
    if document.get("nbformat_minor") != 5:
        state.repairs.append("The notebook was not of format 4.5 (Colab saves 4.0) and is now.")
    lost = sum(cell.get("id") != key for key, cell in whole.items())
    if lost:
        state.repairs.append(
            f"The ids of {lost} cells were missing or others, and are the release's again."
        )


def _in_order(state: State) -> set[str]:
    """Return the longest row of the release's cells that the student has in the release's order."""
    keys = list(state.release.cells)
    rows: list[list[int]] = [[]]
    for _, index in sorted(
        (state.pieces.index(piece), keys.index(key)) for key, piece in state.chosen.items()
    ):
        rows.append([*max((row for row in rows if not row or row[-1] < index), key=len), index])
    return {keys[index] for index in max(rows, key=len)}


def assemble(state: State) -> list[Any]:
    """Return the cells of the new notebook.

    A cell of the student's own goes before the marked cell that it stood before, unless that one is
    locked and was moved by itself: then before the next.
    """
    before: dict[str | None, list[Piece]] = {}
    stops = _stops(state)
    following = None
    for piece in reversed(state.pieces):
        following = stops.get(piece, following)
        if piece in state.extras:
            before.setdefault(following, []).insert(0, piece)
    taken = set(state.release.cells)
    cells: list[Any] = []
    for key in (*state.release.cells, None):
        cells += [_own_cell(piece, taken) for piece in before.get(key, ())]
        if key:
            cells.append(_marked_cell(key, state))
    return cells


def _stops(state: State) -> dict[Piece, str]:
    """Return the pieces that cells of the student's own stay before; of a piece that is several
    answers, the first.
    """
    in_order = _in_order(state)
    return {
        state.chosen[key]: key
        for key in reversed(state.release.cells)
        if key in state.chosen and (key in in_order or key in state.release.answers)
    }


def _marked_cell(key: str, state: State) -> NotebookNode:
    cell, piece = copy.deepcopy(state.release.cells[key]), state.chosen.get(key)
    if key in state.release.answers and piece and piece.body.strip():
        lines: list[str] = piece.lines
        if not piece.marker:  # a cell's magic would not be its first line any more
            lines = list(itertools.dropwhile(lambda line: line.startswith("%%"), lines))
        cell.source = "\n".join([state.release.first[key], *lines])
        if piece.attachments:
            cell.attachments = piece.attachments
    return cell


def _own_cell(piece: Piece, taken: set[str]) -> dict[str, Any]:
    cell: dict[str, Any] = {
        "cell_type": piece.type,
        "metadata": {},
        "source": piece.body,
        "id": _own_id(piece, taken),
    }
    if piece.type == "code":
        cell |= {"execution_count": None, "outputs": []}
    if piece.attachments:
        cell["attachments"] = piece.attachments
    return cell


def _own_id(piece: Piece, taken: set[str]) -> str:
    """Return an id that is not taken, the cell's own if possible, and take it."""
    cell = piece.cell or {}
    names = [cell.get("id"), colab_id(cell)]
    names = [name for name in names if isinstance(name, str) and _ID.fullmatch(name)]
    numbered = (f"own-{piece.number}-{count}" for count in range(1, MAX_CELLS))
    name = next(name for name in itertools.chain(names, numbered) if name not in taken)
    taken.add(name)
    return name
