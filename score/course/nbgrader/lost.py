"""A gradebook that was lost, which is made again: from the release, from results/, and from what
people had entered in it, which is kept in results/STUDENT/by_hand.json.
"""

import contextlib
import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import nbformat
from nbgrader import api
from nbgrader.preprocessors import SaveCells

from pusht.files import write_whole
from score.course.grading.results import ManualGrade, ManualGrades
from score.course.nbgrader import gradebook
from score.course.settings import Assignment, Course
from score.submission.failures import GraderFailure

_NAME = "by_hand.json"


def keep(grades: ManualGrades, folder: Path) -> None:
    """Write a student's grades by hand into the folder of the student's results."""
    entries = [[part, cell, asdict(grade)] for (part, cell), grade in sorted(grades.items())]
    path, content = folder / _NAME, json.dumps(entries, indent=1).encode()
    before = path.read_bytes() if path.exists() else b"[]"
    if content != before:
        write_whole(path, content)


def kept(folder: Path) -> dict[tuple[str, str], ManualGrade]:
    """Return what was kept of a student; GraderFailure where the file is damaged."""
    path = folder / _NAME
    if not path.exists():
        return {}
    try:
        entries = json.loads(path.read_bytes())
        return {(part, cell): ManualGrade(**grade) for part, cell, grade in entries}
    except (ValueError, TypeError, RecursionError):
        raise GraderFailure(
            f"{path} is damaged, which keeps the grades by hand of a gradebook that was lost:"
            " delete it, and enter them again."
        ) from None


@contextlib.contextmanager
def whole_gradebook(course: Course) -> Iterator[tuple[api.Gradebook, bool]]:
    """Yield the course's gradebook, and whether it was lost: then it is made again, and the results
    of all students have to be entered.
    """
    with gradebook.open_gradebook(course) as book:
        is_lost = not is_whole(book, course)
    if is_lost:
        print("The gradebook is made again: something of it was missing.", flush=True)
        make_again(course)
    with gradebook.open_gradebook(course) as book, gradebook.told():
        yield book, is_lost


def is_whole(book: api.Gradebook, course: Course) -> bool:
    """Say whether the assignments' notebooks are in it. Where it was lost, nbgrader makes an empty
    one.
    """
    with gradebook.told():
        for assignment in course.assignments:
            try:
                notebooks = book.find_assignment(assignment.name).notebooks
            except api.MissingEntry:
                return False
            there = {notebook.name for notebook in notebooks}
            if not there >= {path.stem for path in _released(course, assignment)}:
                return False
    return True


def make_again(course: Course) -> None:
    """Enter the assignments and their notebooks as the release has them."""
    for assignment in course.assignments:
        with gradebook.open_gradebook(course) as book, gradebook.told():
            book.update_or_create_assignment(assignment.name)
        names = {"assignment": assignment.name, "db_url": course.gradebook}
        for path in _released(course, assignment):
            resources = {"nbgrader": {"notebook": path.stem, **names}}
            with gradebook.told():
                SaveCells().preprocess(nbformat.read(path, as_version=4), resources)


def _released(course: Course, assignment: Assignment) -> list[Path]:
    return [path for part in assignment.parts if (path := course.released(part)).exists()]
