"""The grammar of a notebook's cells. All of the kit reads cells with this module.

The first line of a code cell is its marker. It stays in the notebook, so that a cell can be
identified from its text even if an editor has changed its metadata:

    # [part1/setup] given             runs unchanged, also when graded
    # [part1/train] practice          shows or trains something; what graded cells need is run
    # [part1/bc_loss] answer Q1.2     is written by the student; releases have no solution in it
    # [part1/q1_2] test               checks the answer before it; its points come from the rubric
    # [part1/encode] extension E1.1   is written by the student, for no points; skipped when graded

A text cell that a student answers in words and a person grades begins with

    <!-- [part4/curves] written Q4.5 -->

A complete marker at the beginning of a line starts a cell wherever the line is, because students
merge cells. In the first line of a cell the marker may be slightly wrong, and Jupyter, Colab and
editors may put lines of their own above it (`%%time`, `#@title`).

In a source, a solution is between `### BEGIN SOLUTION` and `### END SOLUTION`. In a cell with two
questions the first of these lines names the question: `### BEGIN SOLUTION Q4.3`.
"""

import re
from dataclasses import dataclass

UNANSWERED = "Need to implement"  # begins the error that stands in place of an answer
_MARKER = re.compile(
    r"[ \t]*(?:#|<!--) \[(?P<id>part\d/\w+)\]"
    r" (?P<kind>given|practice|answer|extension|test|written)\b(?P<rest>.*)"
)
_ID = re.compile(r"[ \t]*(?:#|<!--)[ \t]*\[(?P<id>part\d/\w+)\]")
_ABOVE = re.compile(r"\s*(?:%%.*|#@.*|# ?%%.*)?")
_QUESTION = re.compile(r"[QE]\d+\.\d+")
_SOLUTION = re.compile(
    r"^(?P<indent> *)### BEGIN SOLUTION(?: (?P<name>[QE][\d.]+))?\n.*?^ *### END SOLUTION\n?",
    re.DOTALL | re.MULTILINE,
)
_SOLUTION_LINE = re.compile(r"^ *### (?:BEGIN|END) SOLUTION.*\n?", re.MULTILINE)
_UNANSWERED = re.compile(r"^\s*raise NotImplementedError\(.*?([QE]\d+\.\d+)", re.MULTILINE)
_UNWRITTEN = re.compile(r"\*Your answer:\*\s*\Z")


@dataclass(frozen=True)
class Marker:
    """A cell's marker: its id ("part1/bc_loss"), its kind, and the names of its questions."""

    id: str
    kind: str
    questions: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """The cell's id in nbgrader and in results, such as "part1-bc_loss"."""
        return _key(self.id)

    @property
    def part(self) -> str:
        """The beginning of the part's name, such as "part1"."""
        return self.id.partition("/")[0]


@dataclass(frozen=True)
class Section:
    """The part of a cell's source from one marker to the next: the id in the marker, the marker's
    line, and the lines below it.
    """

    id: str
    line: str
    lines: list[str]

    @property
    def key(self) -> str:
        """The id in nbgrader and in results, such as "part1-bc_loss"."""
        return _key(self.id)


def read_marker(line: str) -> Marker | None:
    """Return the marker at the beginning of a line or text, or None if there is none."""
    found = _MARKER.match(line)
    if found is None:
        return None
    return Marker(found["id"], found["kind"], tuple(_QUESTION.findall(found["rest"])))


def _key(cell_id: str) -> str:
    return cell_id.replace("/", "-")


def read_id(line: str) -> str | None:
    """Return the id in a cell's first line, even if its marker is slightly wrong; None without an
    id.
    """
    found = _ID.match(line)
    return found["id"] if found else None


def may_stand_above(line: str) -> bool:
    """Return whether a line is blank or one that programs put above a cell's first line."""
    return _ABOVE.fullmatch(line) is not None


def cut_at_markers(source: str) -> tuple[list[str], list[Section]]:
    """Return the lines above the first marker of a cell's source, and a section for each marker."""
    above: list[str] = []
    sections: list[Section] = []
    first = True  # whether only blank lines and lines of programs have been read
    for line in source.split("\n"):
        marker = None if line[:1].isspace() else read_marker(line)
        cell_id = marker.id if marker else read_id(line) if first else None
        if cell_id:
            sections.append(Section(cell_id, line, []))
        else:
            (sections[-1].lines if sections else above).append(line)
        first = first and not sections and may_stand_above(line)
    return above, sections


def split_cells(source: str) -> list[tuple[Marker, str]]:
    """Return (marker, body) of each marked cell in a cell's source, because students may have
    merged several cells. Text above the first marker is left out.
    """
    return [
        (marker, "\n".join(section.lines).strip("\n"))
        for section in cut_at_markers(source)[1]
        if (marker := read_marker(section.line))
    ]


def clear_solutions(source: str) -> str:
    """Return a cell's source with each solution replaced by an error that names its question."""
    marker = read_marker(source)
    question = marker.questions[0] if marker and marker.questions else "this cell"

    def stub(region: re.Match[str]) -> str:
        indent, name = region["indent"], region["name"] or question
        return (
            f"{indent}# TODO {name}: your answer here\n"
            f'{indent}raise NotImplementedError("{UNANSWERED} for {name}")\n'
        )

    return _SOLUTION.sub(stub, source).rstrip("\n")


def keep_solutions(source: str) -> str:
    """Return a cell's source as a student would fill it in, without the solution's markers."""
    return _SOLUTION_LINE.sub("", source).rstrip("\n")


def has_solution(source: str) -> bool:
    """Return whether a cell's source contains a solution."""
    return "### BEGIN SOLUTION" in source


def unanswered(body: str) -> list[str]:
    """Return the questions for which a cell's body still raises the error of the release."""
    return _UNANSWERED.findall(body)


def unwritten(body: str) -> bool:
    """Return whether a text cell's answer is still empty."""
    return bool(_UNWRITTEN.search(body))
