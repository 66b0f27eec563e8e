"""Step 1: take the student's cells apart at the markers, and recognise the pieces."""

from typing import Any

from score.cells import cut_at_markers, may_stand_above
from score.course.collect.repair.notebook_file import (
    MAX_CELLS,
    RepairError,
    as_dict,
    attachments,
    colab_id,
    grade_id,
    source_text,
)
from score.course.collect.repair.python_source import plain
from score.course.collect.repair.state import KnownBy, Piece, Release, State

MAX_CODE = 200_000  # characters of a code cell
# Of the cells that are read, all together: characters of code, which is parsed, and lines.
MAX_ALL_CODE, MAX_LINES = 500_000, 100_000

_Cut = tuple[str | None, str, list[str]]  # key of the release's cell, marker's line, other lines


def take_apart(cells: list[dict[str, Any]], state: State) -> None:
    """Fill `state.pieces` from the student's cells."""
    personal, strangers, unread = 0, [], []
    code = lines = 0
    for number, cell in enumerate(cells, 1):
        text, name = source_text(cell), grade_id(cell)
        personal += "executionInfo" in as_dict(cell.get("metadata"))
        if name not in (None, *state.release.cells):
            strangers.append(repr(name)[:60])
        if text is None or cell.get("cell_type") not in ("code", "markdown", "raw"):
            unread.append(f"cell {number} holds no text")
        # A text cell may be long: Colab puts pictures into its source.
        elif len(text) > MAX_CODE and cell["cell_type"] != "markdown":
            unread.append(f"cell {number} is longer than {MAX_CODE // 1000} kB")
        elif colab_id(cell) == "view-in-github":
            state.repairs.append("Colab's own cell at the top (view-in-github) was removed.")
        else:
            code += len(text) if cell["cell_type"] == "code" else 0
            lines += text.count("\n") + 1
            if code > MAX_ALL_CODE or lines > MAX_LINES:
                raise RepairError(
                    f"The notebook has more than the {MAX_ALL_CODE // 1000} kB of code or the"
                    f" {MAX_LINES} lines that are read."
                )
            _take_apart(number, cell, text, state)
        if len(state.pieces) > MAX_CELLS:
            raise RepairError(
                f"The notebook falls into more than the {MAX_CELLS} cells that are read."
            )
    if personal:
        state.repairs.append(
            f"Names and photos that Colab keeps (executionInfo) were removed from {personal} cells."
        )
    if strangers:
        state.repairs.append(
            "Metadata of cells that are not this notebook's was dropped:"
            f" {', '.join(strangers[:9])}."
        )
    if unread:
        state.repairs.append(f"What cannot be read was left out: {', '.join(unread[:10])}.")


def _take_apart(number: int, cell: dict[str, Any], text: str, state: State) -> None:
    """Add the pieces of one cell."""
    cuts = _cut(number, text, state)
    above = cuts[0][2]
    if len(cuts) > 1 and all(map(may_stand_above, above)):
        cuts = cuts[1:]
        if above:
            state.report("What stood above the first line was removed", _keys(cuts[:1]))
    if len(cuts) > 1:
        state.report(f"Cell {number} held several cells, which were taken apart", _keys(cuts))
    for position, (key, marker, lines) in enumerate(cuts):
        while position < len(cuts) - 1 and lines and not lines[-1].strip():
            lines.pop()  # blank lines between two merged cells
        kind = state.release.cells[key].cell_type if key else cell["cell_type"]
        known_by = KnownBy.MARKER if key else KnownBy.NOTHING
        piece = Piece(number, kind, marker, lines, key, known_by, None if position else cell)
        if not key and position == 0:
            _recognise(piece, cell, state.release)
        if kind == "markdown":
            piece.attachments = attachments(cell)
        state.pieces.append(piece)


def _cut(number: int, text: str, state: State) -> list[_Cut]:
    """Return a cell's text cut at the markers, without texts of the release that were merged in."""
    cuts = _cut_at_markers(text, state.release)
    if len(cuts) > 1 and any(released in text for released in state.release.texts):
        for released in state.release.texts:
            text = text.replace(released, "")
        cuts = _cut_at_markers(text, state.release)
        state.repairs.append(
            f"Text of the release that had got into cell {number} was taken out of it."
        )
    return cuts


def _cut_at_markers(text: str, release: Release) -> list[_Cut]:
    """Return what is above the first marker, then a cut for each marker.

    Below a marker that the release's graded notebook does not know (an extension's, another
    part's) everything is the student's own: it is no part of the cell before.
    """
    above, sections = cut_at_markers(text)
    cuts: list[_Cut] = [(None, "", above)]
    for section in sections:
        if section.key in release.cells:
            cuts.append((section.key, section.line, section.lines))
        elif section is sections[0] and all(map(may_stand_above, above)):
            above += [section.line, *section.lines]  # the whole cell may be known otherwise
        else:
            cuts.append((None, "", [section.line, *section.lines]))
    return cuts


def _keys(cuts: list[_Cut]) -> list[str]:
    return [key for key, _, _ in cuts if key]


def _recognise(piece: Piece, cell: dict[str, Any], release: Release) -> None:
    """Recognise a piece without a marker by its metadata, its id, or the release's text."""
    for known_by, name in (
        (KnownBy.METADATA, grade_id(cell)),
        (KnownBy.ID, cell.get("id")),
        (KnownBy.ID, colab_id(cell)),
        (KnownBy.TEXT, release.by_text.get(plain(piece.body))),
    ):
        if isinstance(name, str) and name in release.cells:
            piece.key, piece.known_by = name, known_by
            return
