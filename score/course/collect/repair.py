"""A notebook as people and Colab leave it, made the release's again with the student's answers in
it.

    notebook, repairs = repair(content, released)

The result has the release's marked cells, each once, in their order, with the release's metadata
and ids; locked cells have the release's source, answers the student's. A cell is known by the
marker in its first line, else by nbgrader's metadata, else by its id, else by the release's text;
an answer that has lost all of these by what it defines, or by its place. Cells of the student's
own, which may hold what an answer needs, stay beside their neighbours. Outputs, counts and all
other metadata go, and with them the names and photos that Colab keeps.

Not repaired: code that is wrong or broken, an answer in pieces of which none says what it is, and
what was written into a locked cell other than imports, definitions and plain values.
"""

import ast
import copy
import functools
import json
import re
import warnings
from dataclasses import dataclass, field

import nbformat

from score.course.notebooks.build import MARKER

MAX_BYTES, MAX_CELLS, MAX_CODE = 20 * 2**20, 2000, 200_000

# In a cell's first line a marker may be a little off; further down it has to be whole, or a comment
# could be taken for one.
_FIRST = re.compile(r"[ \t]*(?:#|<!--)[ \t]*\[(?P<id>part\d/\w+)\]")
_WRITTEN = re.compile(r"<!-- \[(?P<id>part\d/\w+)\] written\b")
_ABOVE = re.compile(
    r"\s*(?:%%.*|#@.*|# ?%%.*)?$"
)  # what Jupyter, Colab and editors put above a cell's first line
_MAGIC = re.compile(r"^([ \t]*)[%!?].*$", re.MULTILINE)
_ID = re.compile(r"[a-zA-Z0-9-_]{1,64}")
_MARKER, _METADATA, _ID_ALONE, _TEXT, _UNKNOWN = 4, 3, 2, 1, 0


class RepairError(ValueError):
    """Why a file cannot be made a notebook of the course, in one sentence."""


def repair(content, released):
    """The notebook in `content` (bytes or text of a file) repaired after `released`, and a list of
    sentences, one a repair.

    RepairError where there is no notebook to be read, or one that has nothing of the release.
    """
    document = _read(content)
    work = _Repair(released)
    work.take_apart(document["cells"])
    work.choose()
    work.find_lost_answers()
    work.rescue_from_locked()
    if not work.chosen:
        raise RepairError(
            "None of its cells is one of this notebook's: is it another part's, or another"
            " course's?"
        )
    work.tell(document)
    notebook = nbformat.from_dict(
        {
            "nbformat": 4,
            "nbformat_minor": 5,
            "metadata": copy.deepcopy(released.metadata),
            "cells": work.assemble(),
        }
    )
    nbformat.validate(notebook)
    return notebook, work.repairs


def _read(content):
    """The notebook's dict; RepairError for anything else."""
    content = content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content
    if len(content) > MAX_BYTES:
        raise RepairError(
            f"The file is larger than {MAX_BYTES >> 20} MB: clear the outputs and save it again."
        )
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise RepairError(
            "The file is not UTF-8 text, which a notebook is: it is damaged, or another kind of"
            " file."
        ) from None
    try:
        document = json.loads(text)
    except RecursionError:
        raise RepairError("The file is nested too deeply for a notebook.") from None
    except ValueError as error:
        raise RepairError(_no_json(text, error)) from None
    cells = document.get("cells") if isinstance(document, dict) else None
    if not isinstance(cells, list) or not all(isinstance(cell, dict) for cell in cells):
        raise RepairError("The file is JSON but no notebook of format 4: it has no list of cells.")
    if document.get("nbformat", 4) != 4:
        raise RepairError("The notebook is not of format 4: save it anew with Jupyter or Colab.")
    if len(cells) > MAX_CELLS:
        raise RepairError(
            f"The notebook has {len(cells)} cells, more than the {MAX_CELLS} that are read."
        )
    return document


def _no_json(text, error):
    start = text[:2000].lstrip().lower()
    if not start:
        return "The file is empty."
    if start.startswith("<"):
        return "The file is a web page, not a notebook: use File > Download > .ipynb."
    if not start.startswith("{"):
        python = re.search(
            r"^(# %%|# in\[|import |from \w+ import |# -\*-|def )", start, re.MULTILINE
        )
        return (
            f"The file is {'a Python script' if python else 'text'}, not a notebook: use File >"
            " Download > .ipynb."
        )
    if getattr(error, "pos", 0) >= len(text.rstrip()) - 1 or str(error).startswith("Unterminated"):
        return "The file breaks off before its end: download it once more."
    return f"The file is not whole JSON ({str(error)[:80]}): it was changed by hand, or damaged."


@dataclass(eq=False)
class _Piece:
    """A student's cell, or what stands in it from one marker to the next: the marker's line, and
    the lines without it.
    """

    number: int
    type: str
    marker: str
    lines: list
    key: str | None = None
    known_by: int = _UNKNOWN
    cell: dict | None = (
        None  # where its metadata is; None for the second and later pieces of a cell
    )
    attachments: dict = field(default_factory=dict)

    @property
    def body(self):
        return "\n".join(self.lines)


class _Repair:
    """What the steps of a repair share: the student's `pieces` in their order, the one `chosen` for
    each marked cell of the release, the `extras` that are the student's own, the `repairs` so far.
    """

    def __init__(self, released):
        self.known = {
            cell.metadata.nbgrader.grade_id: cell
            for cell in released.cells
            if "nbgrader" in cell.metadata
        }
        self.texts = [
            cell.source
            for cell in released.cells
            if "nbgrader" not in cell.metadata and len(cell.source) > 40
        ]
        self.first = {key: cell.source.partition("\n")[0] for key, cell in self.known.items()}
        self.body = {key: cell.source.partition("\n")[2] for key, cell in self.known.items()}
        self.by_text = {_plain(body): key for key, body in self.body.items()}
        self.answers = [key for key, cell in self.known.items() if cell.metadata.nbgrader.solution]
        self.wanted = {
            key: {pair for pair in _bindings(self.body[key]) if pair[1] != "import"}
            for key in self.answers
        }
        self.pieces, self.chosen, self.extras, self.repairs = [], {}, set(), []

    def _list(self, sentence, keys):
        """Keep a sentence about these cells, if there are any."""
        if keys:
            names = [key.replace("-", "/", 1) for key in keys]
            self.repairs.append(f"{sentence}: {', '.join(names)}.")

    # 1. the student's cells, cut at markers

    def take_apart(self, cells):
        personal, strangers, unread = 0, [], []
        for number, cell in enumerate(cells, 1):
            metadata, grade_id, text = (
                _dict(cell.get("metadata")),
                _grade_id(cell),
                _text(cell.get("source")),
            )
            personal += "executionInfo" in metadata
            if grade_id not in (None, *self.known):
                strangers.append(repr(grade_id)[:60])
            if text is None or cell.get("cell_type") not in ("code", "markdown", "raw"):
                unread.append(f"cell {number} holds no text")
            elif (
                len(text) > MAX_CODE and cell["cell_type"] != "markdown"
            ):  # Colab puts pictures into a text cell's source
                unread.append(f"cell {number} is longer than {MAX_CODE // 1000} kB")
            elif metadata.get("id") == "view-in-github":
                self.repairs.append("Colab's own cell at the top (view-in-github) was removed.")
            else:
                self._cut(number, cell, text)
            if len(self.pieces) > MAX_CELLS:
                raise RepairError(
                    f"The notebook falls into more than the {MAX_CELLS} cells that are read."
                )
        if personal:
            self.repairs.append(
                f"Names and photos that Colab keeps (executionInfo) were removed from {personal}"
                " cells."
            )
        if strangers:
            self.repairs.append(
                "Metadata of cells that are not this notebook's was dropped:"
                f" {', '.join(strangers[:9])}."
            )
        if unread:
            self.repairs.append(f"What cannot be read was left out: {', '.join(unread[:10])}.")

    def _cut(self, number, cell, text):
        found = self._split(text)
        if len(found) > 1 and any(foreign in text for foreign in self.texts):
            for foreign in self.texts:
                text = text.replace(foreign, "")
            found = self._split(text)
            self.repairs.append(
                f"Text of the release that had got into cell {number} was taken out of it."
            )
        head = found[0][2]
        if len(found) > 1 and all(_ABOVE.match(line) for line in head):
            found = found[1:]
            if head:
                self._list("What stood above the first line was removed", [found[0][0]])
        if len(found) > 1:
            self._list(
                f"Cell {number} held several cells, which were taken apart",
                [key for key, _, _ in found if key],
            )
        for position, (key, marker, lines) in enumerate(found):
            while position < len(found) - 1 and lines and not lines[-1].strip():
                lines.pop()
            kind = self.known[key].cell_type if key else cell["cell_type"]
            piece = _Piece(
                number,
                kind,
                marker,
                lines,
                key,
                _MARKER if key else _UNKNOWN,
                None if position else cell,
            )
            if not key and position == 0:
                self._know(piece)
            if kind == "markdown":
                piece.attachments = _attachments(cell)
            self.pieces.append(piece)

    def _split(self, text):
        """[(key, marker's line, lines)] from each marker to the next; with the key None, what
        stands before any and extensions.
        """
        found, top = [(None, "", [])], True
        for line in text.split("\n"):
            marker = top and _FIRST.match(line) or MARKER.match(line) or _WRITTEN.match(line)
            key = marker["id"].replace("/", "-") if marker else None
            if key in self.known:
                found.append((key, line, []))
            elif (
                marker and marker.groupdict().get("kind") == "extension"
            ):  # nothing to nbgrader, and no part of another cell
                found.append((None, "", [line]))
            else:
                found[-1][2].append(line)
            top = top and len(found) == 1 and bool(_ABOVE.match(line))
        return found

    def _know(self, piece):
        """Tell a piece without a marker by its metadata, its id, or the release's text."""
        colab = _dict(piece.cell.get("metadata")).get("id")
        for known_by, name in (
            (_METADATA, _grade_id(piece.cell)),
            (_ID_ALONE, piece.cell.get("id")),
            (_ID_ALONE, colab),
            (_TEXT, self.by_text.get(_plain(piece.body))),
        ):
            if piece.key is None and isinstance(name, str) and name in self.known:
                piece.key, piece.known_by = name, known_by

    # 2. one piece for each cell of the release

    def choose(self):
        repeated = []
        for key in self.known:
            candidates = [piece for piece in self.pieces if piece.key == key]
            if not candidates:
                continue
            best = self.chosen[key] = max(candidates, key=self._worth)
            second = [
                piece for piece in candidates if piece is not best and not self._is_own(piece)
            ]
            self.extras |= {*candidates} - {best, *second}
            if second and key in self.answers:
                self._tell_twice(key, best, second)
            elif second:
                repeated.append(key)
        self.extras |= {piece for piece in self.pieces if not piece.key}
        self._list("Locked cells stood in the notebook more than once and do so once now", repeated)

    def _worth(self, piece):
        place = self.pieces.index(piece)
        if piece.key not in self.answers:
            return piece.known_by, -place
        return (
            self._rank(piece.key, piece),
            -piece.body.count("Need to implement for"),
            piece.known_by,
            place,
        )

    def _rank(self, key, piece):
        """How much of an answer a piece is: 0 none, 1 something, 2 it defines what it should."""
        body, stub = piece.body, self.body[key]
        if not body.strip() or _same(body, stub) or _dump(body) and _dump(body) == _dump(stub):
            return 0
        return (
            2
            if {name for name, _ in self.wanted[key]} <= {name for name, _ in _bindings(body)}
            else 1
        )

    def _is_own(self, piece):
        """Whether a piece that another was preferred to is no second copy, but something of the
        student's own.
        """
        if piece.key in self.answers and (
            self._rank(piece.key, piece) != 1 or not _statements(piece.body)[1]
        ):
            return False
        if piece.known_by == _MARKER and not self.wanted.get(piece.key):
            return False
        return not _same(piece.body, self.body[piece.key])

    def _tell_twice(self, key, best, second):
        answered = [piece for piece in (best, *second) if self._rank(key, piece)]
        why = (
            "none of them is answered"
            if not answered
            else (
                "the answered one was kept"
                if len(answered) == 1
                else (
                    "they are alike"
                    if all(_same(piece.body, best.body) for piece in second)
                    else "the last of those that are answered was kept"
                )
            )
        )
        self._list(f"An answer stood in the notebook {len(second) + 1} times ({why})", [key])

    # 3. answers that nothing marks

    def find_lost_answers(self):
        used = set()
        for key in self.answers:
            best = self.chosen.get(key)
            rank = self._rank(key, best) if best else 0
            if rank == 2:
                continue
            found, how = self._lost(key)
            if found:
                last = found[-1]
                self._list(
                    "An answer had neither its first line nor its metadata; it is cell"
                    f" {last.number}, {how}",
                    [key],
                )
                self.chosen[key] = last
                used.update(found)
                if rank:
                    self.extras.add(best)
        self.extras -= used

    def _lost(self, key):
        """(pieces, how they are known): the one cell of the student's own that must be this answer,
        or cells that are alike.
        """
        kind, wanted = self.known[key].cell_type, self.wanted[key]
        own = [
            p
            for p in self.pieces
            if p in self.extras and p.type == kind and p.body.strip() and p.body not in self.texts
        ]
        question = self.body[key].partition("\n")[0].strip()
        fits = []
        if wanted:
            fits = [p for p in own if all(name in p.body for name, _ in wanted)]
            fits = [p for p in fits if wanted <= _bindings(p.body) and self._rank(key, p)]
            how = f"which defines {', '.join(sorted(name for name, _ in wanted))}"
        elif kind == "markdown" and question:
            fits = [p for p in own if question in p.body]
            how = "which has the question's words"
        if not fits and key not in self.chosen:
            fits = [
                p
                for p in self._in_place(key)
                if p in own and (not wanted or not _statements(p.body)[1])
            ]
            how = "which stands in its place"
        return (fits, how) if fits and all(_same(p.body, fits[0].body) for p in fits) else ([], "")

    def _in_place(self, key):
        """The pieces between the release's cell before and the one after it; none where one of
        these is missing.
        """
        keys = [None, *self.known, None]
        before, after = keys[keys.index(key) - 1], keys[keys.index(key) + 1]
        if not {before, after} <= {None, *self.chosen}:
            return []
        start = self.pieces.index(self.chosen[before]) + 1 if before else 0
        return self.pieces[start : self.pieces.index(self.chosen[after]) if after else None]

    # 4. what students wrote into cells that are not theirs

    def rescue_from_locked(self):
        changed = []
        locked = {
            name
            for key in self.known
            if key not in self.answers
            for name, _ in _bindings(self.body[key])
        }
        for piece in [
            p for p in self.pieces if p.key and p.key not in self.answers and p not in self.extras
        ]:
            if not _same(piece.body, self.body[piece.key]):
                marker = MARKER.match(self.known[piece.key].source)
                if not (marker and marker["kind"] == "practice"):  # those are there to be changed
                    changed.append(piece.key)
                added = _added(piece.body, self.body[piece.key])
                self._rescue(piece, [(names, text) for names, text in added if not names & locked])
        self._list(
            "Locked cells were changed and are the release's again", list(dict.fromkeys(changed))
        )

    def _rescue(self, piece, added):
        """Move what was added to a locked cell into an answer that is still open, else into a cell
        of its own.
        """
        defined = set().union(*(names for names, _ in added))
        targets = {key: {name for name, _ in self.wanted[key]} for key in self.answers}
        for key, names in targets.items():
            best = self.chosen.get(key)
            if names and names <= defined and not (best and self._rank(key, best)):
                others = set().union(*targets.values()) - names
                lines = "\n".join(text for names, text in added if not names & others).split("\n")
                if not best:
                    best = self.chosen[key] = _Piece(piece.number, "code", "", lines, key)
                    self.pieces.insert(self.pieces.index(piece), best)
                best.lines = lines
                added = [(names, text) for names, text in added if names & others]
                self._list(
                    "An answer stood in the locked cell after it, or another one, and was moved to"
                    " its own",
                    [key],
                )
        own = "\n".join(text for names, text in added if not names & set().union(*targets.values()))
        if own:
            extra = _Piece(piece.number, "code", "", own.split("\n"))
            behind = not self.known[
                piece.key
            ].metadata.nbgrader.grade  # a test needs it, other cells may make what it needs
            self.pieces.insert(self.pieces.index(piece) + behind, extra)
            self.extras.add(extra)
            self._list("What was added to a locked cell stands in one of its own", [piece.key])

    # 5. the rest of what is to be said, and the new notebook

    def tell(self, document):
        missing = [key for key in self.known if key not in self.chosen]
        self._list(
            "Answer cells were missing and were put back, unanswered",
            [key for key in missing if key in self.answers],
        )
        self._list(
            "Locked cells were missing and were put back",
            [key for key in missing if key not in self.answers],
        )
        self._list(
            "Answer cells were empty and have the release's text again",
            [
                key
                for key, piece in self.chosen.items()
                if key in self.answers and not piece.body.strip()
            ],
        )
        in_order = self._in_order()
        self._list(
            "Cells stood in another order and are in the release's again",
            [key for key in self.chosen if key not in in_order],
        )
        self._list(
            "First lines were missing or changed and are the release's again",
            [
                key
                for key, piece in self.chosen.items()
                if piece.known_by and piece.marker.rstrip() != self.first[key]
            ],
        )
        whole = {key: piece.cell for key, piece in self.chosen.items() if piece.cell}
        bare = [key for key, cell in whole.items() if _grade_id(cell) is None]
        self._list("nbgrader's metadata was gone and was put back", bare)
        self._list(
            "nbgrader's metadata was changed and is the release's again",
            [
                key
                for key, cell in whole.items()
                if key not in bare
                and cell["metadata"]["nbgrader"] != self.known[key].metadata.nbgrader
            ],
        )
        self._list(
            "Cells of code had become text, or the other way round, and are what they were",
            [key for key, cell in whole.items() if cell["cell_type"] != self.known[key].cell_type],
        )
        if document.get("nbformat_minor") != 5:
            self.repairs.append("The notebook was not of format 4.5 (Colab saves 4.0) and is now.")
        lost = sum(cell.get("id") != key for key, cell in whole.items())
        if lost:
            self.repairs.append(
                f"The ids of {lost} cells were missing or others, and are the release's again."
            )

    def _in_order(self):
        """The longest row of the release's cells that stand in the release's order."""
        keys, rows = list(self.known), [[]]
        for _, index in sorted(
            (self.pieces.index(piece), keys.index(key)) for key, piece in self.chosen.items()
        ):
            rows.append([*max((row for row in rows if not row or row[-1] < index), key=len), index])
        return {keys[index] for index in max(rows, key=len)}

    def assemble(self):
        """The new cells. One of the student's own goes before the marked cell that it stood before,
        unless that one is locked and
        was moved by itself: then before the next."""
        holds, stops = self._in_order(), {}
        for key in reversed(self.known):
            if key in self.chosen and (key in holds or key in self.answers):
                stops[self.chosen[key]] = key
        before, following = {}, None
        for piece in reversed(self.pieces):
            following = stops.get(piece, following)
            if piece in self.extras:
                before.setdefault(following, []).insert(0, piece)
        taken, cells = set(self.known), []
        for key in (*self.known, None):
            cells += [_own_cell(piece, taken) for piece in before.get(key, ())]
            if key:
                cells.append(self._marked_cell(key))
        return cells

    def _marked_cell(self, key):
        cell, piece = copy.deepcopy(self.known[key]), self.chosen.get(key)
        if key in self.answers and piece and piece.body.strip():
            lines = piece.lines
            while not piece.marker and lines[0].startswith("%%"):
                lines = lines[1:]
            cell.source = "\n".join([self.first[key], *lines])
            if piece.attachments:
                cell.attachments = piece.attachments
        return cell


def _own_cell(piece, taken):
    cell = {
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


def _own_id(piece, taken):
    """An id that is not taken: the cell's own where it has one."""
    cell = piece.cell or {}
    names = [cell.get("id"), _dict(cell.get("metadata")).get("id")]
    names = [name for name in names if isinstance(name, str) and _ID.fullmatch(name)]
    names += [f"own-{piece.number}-{count}" for count in range(1, MAX_CELLS)]
    name = next(name for name in names if name not in taken)
    taken.add(name)
    return name


def _dict(value):
    return value if isinstance(value, dict) else {}


def _grade_id(cell):
    grade_id = _dict(_dict(cell.get("metadata")).get("nbgrader")).get("grade_id")
    return grade_id if isinstance(grade_id, str) else None


def _text(source):
    """A source as one text, of characters that can be written; None where it is neither a text nor
    a list of texts.
    """
    if isinstance(source, list) and all(isinstance(line, str) for line in source):
        source = "".join(source)
    if not isinstance(source, str):
        return None
    text = source.encode("utf-8", "replace").decode("utf-8")
    return text.replace("\r\n", "\n").replace("\r", "\n").removeprefix("\ufeff")


def _attachments(cell):
    """Pictures of a text cell, as the format has them."""
    return {
        name: files
        for name, files in _dict(cell.get("attachments")).items()
        if isinstance(files, dict) and all(isinstance(data, str) for data in files.values())
    }


def _plain(text):
    return "\n".join(line.rstrip() for line in text.strip().split("\n"))


def _same(one, other):
    return _plain(one) == _plain(other)


def _statements(source):
    """(source that was parsed, its statements); lines for IPython count as `pass`, and what is no
    Python has no statements.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for text in (source, _MAGIC.sub(r"\1pass", source)):
            try:
                return text, ast.parse(text).body
            except (SyntaxError, ValueError, RecursionError, MemoryError):
                continue
    return source, []


@functools.lru_cache(maxsize=256)
def _dump(source):
    """The code's statements without their layout and comments; () for what is no Python, or too
    deep to be written out.
    """
    try:
        return tuple(ast.dump(statement) for statement in _statements(source)[1])
    except RecursionError:
        return ()


@functools.lru_cache(maxsize=4096)
def _bindings(source):
    """{(name, kind)} that the code binds, kind being "definition", "assignment" or "import"."""
    return frozenset(pair for statement in _statements(source)[1] for pair in _bound(statement))


def _bound(statement):
    if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return {(statement.name, "definition")}
    if isinstance(statement, (ast.Import, ast.ImportFrom)):
        return {((alias.asname or alias.name).split(".")[0], "import") for alias in statement.names}
    if not isinstance(statement, (ast.Assign, ast.AnnAssign)):
        return set()
    targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
    return {
        (node.id, "assignment")
        for target in targets
        for node in ast.walk(target)
        if isinstance(node, ast.Name)
    }


def _added(source, released):
    """[(names, text)] of the imports, definitions and plain values in `source` that `released` does
    not have.
    """
    source, statements = _statements(source)
    lines, known, added = source.split("\n"), _dump(released), []
    for statement, dump in zip(statements, _dump(source)):
        names, value = {name for name, _ in _bound(statement)}, getattr(statement, "value", None)
        calls = value is not None and any(isinstance(node, ast.Call) for node in ast.walk(value))
        if names and not calls and dump not in known:
            start = min(
                [statement.lineno, *(d.lineno for d in getattr(statement, "decorator_list", ()))]
            )
            added.append((names, "\n".join(lines[start - 1 : statement.end_lineno])))
    return added
