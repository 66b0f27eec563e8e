"""The grammar of a notebook's cells: what their first lines say, read here for all of the kit.

The first line of a code cell is its marker. It stays in the notebook, so that a cell is known by
its text alone, whatever an editor does to its metadata:

    # [part1/setup] given             runs as it is, also when graded
    # [part1/train] practice          is for the student's eyes only and left out when graded
    # [part1/bc_loss] answer Q1.2     is the student's; releases empty it
    # [part1/q1_2] test               judges the answer before it; its points come from the rubric
    # [part1/encode] extension E1.1   is the student's, worth no points and left out when graded

The first line of a text cell that is answered in words and graded by a person:

    <!-- [part4/curves] written Q4.5 -->

A whole marker at the beginning of a line starts a cell wherever the line is, because students merge
cells. In the first line the marker may be a little off, and Jupyter, Colab and editors put lines of
their own above it (`%%time`, `#@title`).

In a source, a solution stands between `### BEGIN SOLUTION` and `### END SOLUTION`; in a cell with
two questions the first of these lines names one: `### BEGIN SOLUTION Q4.3`.
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
    """What a cell's first line says: its id ("part1/bc_loss"), its kind, its questions' names."""

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
    """What is in a cell's source from one marker to the next: the id that the marker names, the
    marker's line, and the lines below it.
    """

    id: str
    line: str
    lines: list[str]

    @property
    def key(self) -> str:
        """The id in nbgrader and in results, such as "part1-bc_loss"."""
        return _key(self.id)


def read_marker(line: str) -> Marker | None:
    """Return the marker that a line is, or that a text begins with; None for any other."""
    found = _MARKER.match(line)
    if found is None:
        return None
    return Marker(found["id"], found["kind"], tuple(_QUESTION.findall(found["rest"])))


def _key(cell_id: str) -> str:
    return cell_id.replace("/", "-")


def read_id(line: str) -> str | None:
    """Return the id in a first line whose marker may be a little off; None without an id."""
    found = _ID.match(line)
    return found["id"] if found else None


def may_stand_above(line: str) -> bool:
    """Say whether a line is one that programs put above a cell's first line, or is blank."""
    return _ABOVE.fullmatch(line) is not None


def cut_at_markers(source: str) -> tuple[list[str], list[Section]]:
    """Return the lines above the first marker of a cell's source, and one section a marker."""
    above: list[str] = []
    sections: list[Section] = []
    first = True  # whether no line but those of programs has been read
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
    """Return (marker, body) of each marked cell in a cell's source, into which students may have
    merged several. Text above the first marker belongs to none and is left out.
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
    """Return a cell's source as a student would fill it in: solutions without the lines around."""
    return _SOLUTION_LINE.sub("", source).rstrip("\n")


def has_solution(source: str) -> bool:
    """Say whether a solution begins in a cell's source."""
    return "### BEGIN SOLUTION" in source


def unanswered(body: str) -> list[str]:
    """Return the questions that a cell's body still answers with the released error."""
    return _UNANSWERED.findall(body)


def unwritten(body: str) -> bool:
    """Say whether a text cell's answer is still empty."""
    return bool(_UNWRITTEN.search(body))
