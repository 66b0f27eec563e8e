"""What the steps of a repair share: the release, the student's pieces, and what was chosen."""

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from nbformat import NotebookNode

from score.course.collect.repair.python_source import bindings, dump, plain, same


class KnownBy(IntEnum):
    """How a piece was recognised as a cell of the release; what is surer is greater."""

    NOTHING = 0
    TEXT = 1
    ID = 2
    METADATA = 3
    MARKER = 4


class Answered(IntEnum):
    """How much of an answer a text is: nothing, something, or all that it should define."""

    NOTHING = 0
    SOMETHING = 1
    WHOLLY = 2


@dataclass(eq=False)
class Piece:
    """A student's cell, or the part of one from a marker to the next.

    number: of the cell, from 1. type: "code", "markdown" or "raw". marker: its line, "" without
    one; lines: all others. key: the cell of the release that it is, and how that is known. cell: as
    it is in the file; None for the second and later pieces of a cell.
    """

    number: int
    type: str
    marker: str
    lines: list[str]
    key: str | None = None
    known_by: KnownBy = KnownBy.NOTHING
    cell: dict[str, Any] | None = None
    attachments: dict[str, dict[str, str]] = field(default_factory=dict)

    @property
    def body(self) -> str:
        return "\n".join(self.lines)


class Release:
    """What the released notebook has.

    cells: its marked cells by key, such as "part1-bc_loss". answers: keys of those that are the
    student's. texts: its longer texts. first, body: of each marked cell, the first line and the
    rest. by_text: key by body. wanted: what each answer should bind, (name, kind).
    """

    def __init__(self, notebook: NotebookNode) -> None:
        marked = [cell for cell in notebook.cells if "nbgrader" in cell.metadata]
        unmarked = [cell for cell in notebook.cells if "nbgrader" not in cell.metadata]
        self.cells = {cell.metadata.nbgrader.grade_id: cell for cell in marked}
        self.texts = [cell.source for cell in unmarked if len(cell.source) > 40]
        self.first = {key: cell.source.partition("\n")[0] for key, cell in self.cells.items()}
        self.body = {key: cell.source.partition("\n")[2] for key, cell in self.cells.items()}
        self.by_text = {plain(body): key for key, body in self.body.items()}
        self.answers = [key for key, cell in self.cells.items() if cell.metadata.nbgrader.solution]
        self.wanted = {
            key: {pair for pair in bindings(self.body[key]) if pair[1] != "import"}
            for key in self.answers
        }

    def wanted_names(self, key: str) -> set[str]:
        """Return the names that an answer should bind."""
        return {name for name, _ in self.wanted[key]}

    def answered(self, key: str, body: str) -> Answered:
        """Return how much of the answer `key` a text is."""
        stub = self.body[key]
        if not body.strip() or same(body, stub) or (dump(body) and dump(body) == dump(stub)):
            return Answered.NOTHING
        if self.wanted_names(key) <= {name for name, _ in bindings(body)}:
            return Answered.WHOLLY
        return Answered.SOMETHING


@dataclass
class State:
    """A repair under way.

    pieces: the student's, in their order. chosen: the piece for each marked cell of the release.
    extras: the pieces that are the student's own. repairs: a sentence for each so far.
    """

    release: Release
    pieces: list[Piece] = field(default_factory=list)
    chosen: dict[str, Piece] = field(default_factory=dict)
    extras: set[Piece] = field(default_factory=set)
    repairs: list[str] = field(default_factory=list)

    def report(self, sentence: str, keys: list[str]) -> None:
        """Add a sentence about these cells, if there are any."""
        if keys:
            names = [key.replace("-", "/", 1) for key in keys]
            self.repairs.append(f"{sentence}: {', '.join(names)}.")

    def answered(self, key: str, piece: Piece | None) -> Answered:
        """Return how much of the answer `key` a piece is."""
        return self.release.answered(key, piece.body) if piece else Answered.NOTHING
