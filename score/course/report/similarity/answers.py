"""Similar answers, of two students or of one and the kit's solution.

Not found are statements in another order, and answers of which a part was moved to a cell of the
student's own.
"""

import functools
import json
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from score import rubric
from score.cells import Marker, split_cells
from score.course.collect.repair import MAX_BYTES
from score.course.notebooks.build import answered_notebook, student_notebook
from score.course.report.similarity.pair import STEP, SimilarPair
from score.course.report.similarity.source import Answer, normalised
from score.course.settings import Course
from score.rubric import Part
from score.submission.failures import Failures

KIT = "the kit's solution"

# Short answers and common ones are equal by chance. Two of size _SHORT that few share are listed,
# or one of _LONG. Sizes beyond the release's of the kit's solutions: Q1.1 8, Q1.2 24, Q1.3 27, Q2.1
# to Q2.4 21 to 51, Q3.1 66, Q3.2 132, Q3.3 72, Q3.4 70, Q4.1 97, Q4.2 173, Q4.3 with Q4.4 247; of a
# loss in one line: 20 at most.
_SHORT, _LONG = 24, 110

_Cells = dict[str, tuple[Marker, str]]  # by their keys: marker and body
_Answers = dict[str, Answer]  # by the cells' keys


def similar_answers(
    part: Part, course: Course, folders: Mapping[str, Path], few: int, failures: Failures
) -> Iterator[SimilarPair]:
    """Yield each student with the kit and with one student before, if their answers are similar.

    few: how many may share an answer that counts as rare.
    """
    file, released = f"{part.name}.ipynb", answer_cells(part.name)
    of_course = _read(course.released(part.name))
    stubs = {key: _normalised(of_course.get(key, cell)) for key, cell in released.items()}
    kit = _written(_marked(answered_notebook(part).cells), stubs)
    answers = {
        name: failures.attempt(name, STEP, _answers, folder / file, stubs) or {}
        for name, folder in folders.items()
    }
    common = Counter(item for own in answers.values() for item in own.items())
    first: dict[frozenset[tuple[str, Answer]], str] = {}  # who has these answers, all of them
    having: dict[tuple[str, Answer], list[str]] = {}  # of those, who has this rare one
    order = {name: number for number, name in enumerate(folders)}
    for student, own in answers.items():
        as_kit = own.items() & kit.items()
        if _is_no_chance(as_kit):
            yield _pair(part, student, own, KIT, kit)
        rare = {
            (key, answer)
            for key, answer in own.items() - as_kit
            if common[key, answer] <= few or answer.size >= _LONG
        }
        shared: dict[str, set[tuple[str, Answer]]] = {}
        for item in rare:
            for other in having.get(item, ()):
                shared.setdefault(other, set()).add(item)
        alike = [
            (-_likeness(own, answers[other]), order[other], other)
            for other, items in shared.items()
            if _is_no_chance(items)
        ]
        if alike:
            other = min(alike)[2]
            yield _pair(part, student, own, other, answers[other])
        whole = frozenset(own.items())
        if whole not in first:  # of several with the same answers the first stands for all
            first[whole] = student
            for item in rare:
                having.setdefault(item, []).append(student)


def _answers(path: Path, stubs: _Answers) -> _Answers:
    return _written(_read(path), stubs)


def _is_no_chance(shared: Collection[tuple[str, Answer]]) -> bool:
    sizes = [answer.size for _, answer in shared]
    return sum(size >= _SHORT for size in sizes) >= 2 or max(sizes, default=0) >= _LONG


def _pair(part: Part, student: str, own: _Answers, other: str, theirs: _Answers) -> SimilarPair:
    equal = [key for key, answer in own.items() if answer == theirs.get(key)]
    released = answer_cells(part.name)
    names = dict.fromkeys(name for key in equal for name in released[key][0].questions)
    sentence = (
        f"{part.title}: {len(equal)} of {len(own)} answers ({', '.join(names)}) are"
        f" {KIT if other == KIT else 'equal'} but for names and layout."
    )
    likeness = len(equal) / len(own) if other == KIT else _likeness(own, theirs)
    return SimilarPair("answers", part.name, student, other, likeness, sentence, other == KIT)


def _likeness(own: _Answers, theirs: _Answers) -> float:
    return len(own.items() & theirs.items()) / max(len(own), len(theirs))


def _normalised(cell: tuple[Marker, str]) -> Answer:
    return normalised(cell[1], in_words=cell[0].kind == "written")


def _written(cells: _Cells, stubs: _Answers) -> _Answers:
    """Return the answers that say something else than the release, with their sizes beyond it."""
    found = {key: (_normalised(cells[key]), stub) for key, stub in stubs.items() if key in cells}
    return {
        key: Answer(answer.digest, max(answer.size - stub.size, 0))
        for key, (answer, stub) in found.items()
        if answer.size and answer.digest != stub.digest
    }


@functools.cache
def answer_cells(part: str) -> _Cells:
    """Return the answer cells of the kit's release of a part."""
    cells = student_notebook(rubric.PARTS[part]).cells
    return _marked(cell for cell in cells if cell.metadata.get("nbgrader", {}).get("solution"))


def _read(path: Path) -> _Cells:
    """Return the marked cells of a notebook; none when it cannot be read."""
    try:
        if not path.is_file() or path.stat().st_size > MAX_BYTES:
            return {}
        return _marked(json.loads(path.read_text(encoding="utf-8"))["cells"])
    except (ValueError, LookupError, TypeError, RecursionError):
        return {}


def _marked(cells: Iterable[Mapping[str, Any]]) -> _Cells:
    """Return the marked cells; of two with one marker, the first."""
    found: _Cells = {}
    for cell in cells:
        for marker, body in split_cells("".join(cell["source"])):
            found.setdefault(marker.key, (marker, body))
    return found
