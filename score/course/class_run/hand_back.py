"""What is handed back to a student: pages in feedback/STUDENT/ASSIGNMENT/.

feedback.html   all parts of the assignment, to hand back in any way
PART.html       one part, where the submission came by nbgrader's exchange, whose release_feedback
                takes pages that are named after notebooks
"""

import hashlib
from collections.abc import Mapping

from pusht.files import write_whole
from score.course.grading.results import ManualGrades, PartResult
from score.course.nbgrader import exchange
from score.course.report.feedback import feedback
from score.course.report.page import pages_version
from score.course.settings import Course

PAGE = "feedback.html"


def write(
    course: Course, student: str, found: Mapping[str, PartResult], by_hand: ManualGrades
) -> None:
    """Write a student's pages where what they say has changed, and for nbgrader's release_feedback
    what it knows the submissions by.

    found: results by part, late penalties included. by_hand: what a person entered.
    """
    for assignment in course.assignments:
        own = {part: found[part] for part in assignment.parts}
        folder = course.feedback(student, assignment).parent
        pages, submission = {PAGE: own}, course.submission(student, assignment)
        if exchange.came_by_it(submission):
            pages |= {f"{part}.html": {part: result} for part, result in own.items()}
        for name, parts in pages.items():
            note = _note(parts, _of(parts, by_hand))
            path = folder / name
            if not path.exists() or not path.read_text(encoding="utf-8").startswith(note):
                write_whole(path, page(course, student, parts, by_hand))
        if exchange.came_by_it(submission):
            for name in exchange.KNOWN_BY:
                for place in (course.autograded(student, assignment), folder):
                    write_whole(place / name, (submission / name).read_bytes())


def page(
    course: Course, student: str, parts: Mapping[str, PartResult], by_hand: ManualGrades
) -> str:
    """Return the page on these parts of one assignment. It begins with a note of what it was made
    of.
    """
    films = course.autograded(student, course.assignment_of(next(iter(parts))))
    own = _of(parts, by_hand)
    return _note(parts, own) + feedback(student, parts, own, films)


def _note(parts: Mapping[str, PartResult], by_hand: ManualGrades) -> str:
    made_of = pages_version(), dict(parts), sorted(by_hand.items())
    return f"<!-- {hashlib.sha256(repr(made_of).encode()).hexdigest()} -->\n"


def _of(parts: Mapping[str, PartResult], by_hand: ManualGrades) -> ManualGrades:
    return {place: grade for place, grade in by_hand.items() if place[0] in parts}
