"""Which statements of a notebook are run when it is graded.

Cells that the course gives, answers and checks run as they are. Of the practice cells and of a
student's own cells only those statements run that these need: the imports, definitions and
assignments of names that an answer, a given cell or a check uses, and of names that these use in
turn; further statements that change such objects, or attributes of others that an answer reads, and
calls of functions that do. So a notebook is graded in seconds, and a graded function finds what it
found in practice.
"""

import ast
import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace

from score.cells import Marker, read_marker
from score.rerun.statements import ALL, Statement, statements, with_effects

WHOLE = ("given", "answer", "test")  # kinds of cells that run as they are
# IPython's lines above a cell that run the lines below them.
_ABOVE = re.compile(r"\A\s*%%(?:time|capture|prun)\b[^\n]*")


@dataclass(frozen=True)
class Section:
    """A cell of a notebook, or the part of a merged cell that belongs to one marker.

    cell: its cell's number, counted from 0. marker: None for a cell of the student's own. source:
    its lines. first: number of its first statement in the cell. statements: none where it is not
    Python.
    """

    cell: int
    marker: Marker | None
    source: str
    first: int
    statements: list[Statement]

    @property
    def kind(self) -> str:
        """The kind in its marker, or "own"."""
        return self.marker.kind if self.marker else "own"

    @property
    def name(self) -> str:
        """How sentences call it: "the cell [part1/train]"."""
        if self.marker:
            return f"the cell [{self.marker.id}]"
        lines = (line.strip() for line in self.source.splitlines())
        return f"the cell that begins with {next(filter(None, lines), '')[:50]!r}"


def without_timing(source: str) -> str:
    """Return a cell's source without a `%%time` or `%%capture` above it, its lines as before."""
    return _ABOVE.sub("", source)


def sections(sources: list[str], transform: Callable[[str], str]) -> list[Section]:
    """Return the sections of a notebook's code cells. transform: IPython's, into plain Python."""
    found: list[Section] = []
    for number, source in enumerate(sources):
        found += _sections(number, without_timing(source), transform)
    every = (one.inside for section in found for one in section.statements)
    functions = {effects.name: effects for effects in every if effects}
    return [
        replace(section, statements=[with_effects(one, functions) for one in section.statements])
        for section in found
    ]


def _sections(number: int, source: str, transform: Callable[[str], str]) -> Iterator[Section]:
    try:
        all_statements = statements(ast.parse(transform(source)))
    except Exception:  # IPython and the parser raise anything at what is not Python
        all_statements = []
    lines = source.split("\n")
    starts: list[tuple[int, Marker | None]] = [(1, None)] if source.strip() else []
    for line, text in enumerate(lines, 1):
        marker = None if text[:1].isspace() else read_marker(text)
        if marker:
            if all(not above.strip() for above in lines[: line - 1]):
                starts.clear()
            starts.append((line, marker))
    for (start, marker), (end, _) in zip(starts, [*starts[1:], (len(lines) + 1, None)]):
        own = [i for i, one in enumerate(all_statements) if start <= one.line < end]
        part = "\n".join(lines[start - 1 : end - 1])
        first = own[0] if own else 0
        yield Section(number, marker, part, first, [all_statements[i] for i in own])


def kept(notebook: list[Section]) -> list[set[int]]:
    """Return the numbers of the statements of each section that run when it is graded, counted in
    the section.
    """
    tests = [i for i, section in enumerate(notebook) if section.kind == "test"]
    last = tests[-1] if tests else -1
    chosen = [
        {*range(len(section.statements))} if section.kind in WHOLE else set()
        for section in notebook
    ]
    needed = {ALL, *(name for section in notebook for name in _roots(section))}
    read = {
        name
        for section in notebook
        if section.kind == "answer"
        for one in section.statements
        for name in one.reads
    }
    kept_objects = _objects(notebook)
    grown = True
    while grown:
        grown = False
        for section, numbers in zip(notebook[:last], chosen):
            for number, one in enumerate(section.statements):
                if number not in numbers and _wanted(one, needed, read, kept_objects):
                    numbers.add(number)
                    needed |= one.loads
                    read |= one.reads
                    grown = True
    return chosen


def _roots(section: Section) -> Collection[str]:
    """Return the names that a section needs which runs as it is."""
    if section.kind == "test":  # what it defines itself it takes from nowhere else
        bound = {name for one in section.statements for name in one.binds}
        return {name for one in section.statements for name in one.loads} - bound
    if section.kind == "answer":
        return {name for one in section.statements if not one.shows for name in one.loads}
    if section.kind == "given":
        return {name for one in section.statements for name in one.loads}
    return ()


def _objects(notebook: list[Section]) -> tuple[set[str], set[str]]:
    """Return the names of the objects that students make: all of them, and those that are no
    functions, classes or modules.
    """
    own = [section for section in notebook if section.kind not in ("given", "test")]
    made = [one for section in own for one in section.statements if not one.imports]
    bound = {name for one in made for name in one.binds}
    defined = {match[1] for section in own for match in re.finditer(_DEFINED, section.source)}
    return bound, bound - defined


_DEFINED = re.compile(r"^\s*(?:async )?(?:def|class)\s+(\w+)", re.MULTILINE)


def _wanted(
    one: Statement, needed: set[str], read: set[str], made: tuple[set[str], set[str]]
) -> bool:
    if one.trains or one.always:
        return one.always
    made_objects, plain_objects = made
    return bool(
        one.binds & needed
        or any(name in read and root not in made_objects for root, name in one.sets)
        or one.stores & needed & made_objects
        or one.calls & needed & plain_objects
    )


def where_bound(notebook: list[Section], name: str) -> list[tuple[int, int | None]]:
    """Return the numbers of the sections that give a name a value, each with that of the last
    statement that does; None for a section that is not Python, where the text alone tells.
    """
    found: list[tuple[int, int | None]] = []
    for index, section in enumerate(notebook):
        numbers = [i for i, one in enumerate(section.statements) if name in one.binds]
        if numbers:
            found.append((index, numbers[-1]))
        elif not section.statements and name in re.findall(_DEFINED, section.source):
            found.append((index, None))
    return found
