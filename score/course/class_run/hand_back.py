"""What is handed back to a student: pages in feedback/STUDENT/pusht/.

feedback.html   all parts, to hand back in any way
PART.html       one part, where the submission came by nbgrader's exchange, whose release_feedback
                takes pages that are named after notebooks
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path

from nbgrader.api import Gradebook

from pusht.files import write_whole
from score.course.grading.results import PartResult
from score.course.nbgrader import exchange, gradebook
from score.course.report.feedback import feedback
from score.course.report.page import pages_version
from score.course.settings import ASSIGNMENT, Course

PAGE = "feedback.html"


def write(course: Course, book: Gradebook, student: str, found: Mapping[str, PartResult]) -> None:
    """Write a student's pages where what they say has changed, and for nbgrader's release_feedback
    what it knows the submission by.

    found: results by part, late penalties included.
    """
    folder = course.folder / "feedback" / student / ASSIGNMENT
    pages, submission = {PAGE: found}, course.submission(student)
    if exchange.came_by_it(submission):
        pages |= {f"{part}.html": {part: result} for part, result in found.items()}
    for name, parts in pages.items():
        note = _note(book, student, parts)
        path = folder / name
        if not path.exists() or not path.read_text(encoding="utf-8").startswith(note):
            write_whole(path, page(course, book, student, parts))
    if exchange.came_by_it(submission):
        for name in exchange.KNOWN_BY:
            for place in (_films(course, student), folder):
                write_whole(place / name, (submission / name).read_bytes())


def page(course: Course, book: Gradebook, student: str, parts: Mapping[str, PartResult]) -> str:
    """Return the page on these parts. It begins with a note of what it was made of."""
    hand = gradebook.by_hand(book, student)
    text = feedback(student, parts, hand, _films(course, student))
    return _note(book, student, parts) + text


def _note(book: Gradebook, student: str, parts: Mapping[str, PartResult]) -> str:
    made_of = pages_version(), dict(parts), sorted(gradebook.by_hand(book, student).items())
    return f"<!-- {hashlib.sha256(repr(made_of).encode()).hexdigest()} -->\n"


def _films(course: Course, student: str) -> Path:
    return course.folder / "autograded" / student / ASSIGNMENT
