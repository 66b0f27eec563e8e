"""Write what grading leaves in a course's folder.

results/STUDENT/PART.json   what everything else here is made from
autograded/STUDENT/pusht/   the graded notebooks and films, for nbgrader's pages
feedback/STUDENT/pusht/     feedback.html, to hand back
gradebook.db, grades.csv, report.html
"""

import hashlib
import json
from collections.abc import Collection
from dataclasses import replace

from nbgrader.api import Gradebook
from traitlets.config import Config

from pusht.files import write_whole
from score import rubric
from score.course.grading import results
from score.course.grading.notebook import Graded
from score.course.grading.results import PartResult, ungraded
from score.course.nbgrader import gradebook
from score.course.report import similarity, tables
from score.course.report.class_page import class_page
from score.course.report.feedback import feedback
from score.course.report.page import pages_version
from score.course.report.tables import ClassVerdicts
from score.course.settings import ASSIGNMENT, Course

Failures = dict[tuple[str, str], PartResult]  # by student and part: where the grader failed


def record(course: Course, graded: Graded) -> None:
    """Keep a graded notebook and its films, and last the result: without it they are made again."""
    result = graded.result
    folder = course.folder / "autograded" / result.student / ASSIGNMENT
    kept = {*graded.files, *(record.film for record in result.rollouts.values())}
    films = [results.film_name(policy) for policy in rubric.PARTS[result.part].policies]
    for name in (f"{result.part}.ipynb", *films):
        if name not in kept:
            (folder / name).unlink(missing_ok=True)
    for name, content in graded.files.items():
        write_whole(folder / name, content)
    results.save(result, course.folder / "results")


def conclude(
    course: Course, book: Gradebook, student: str, failed: Failures, config: Config
) -> None:
    """Bring the gradebook and the feedback of a student up to the results."""
    found = _all_parts(course, student, failed)
    handed_in = gradebook.handed_in_at(course.submission(student))
    gradebook.merge(book, student, found, handed_in, config)
    found, hand = _with_penalties(book, found), gradebook.by_hand(book, student)
    made_of = repr((pages_version(), found, sorted(hand.items())))
    note = f"<!-- {hashlib.sha256(made_of.encode()).hexdigest()} -->\n"
    path = course.folder / "feedback" / student / ASSIGNMENT / "feedback.html"
    if not path.exists() or not path.read_text(encoding="utf-8").startswith(note):
        films = course.folder / "autograded" / student / ASSIGNMENT
        write_whole(path, note + feedback(student, found, hand, films))


def class_verdicts(
    course: Course, book: Gradebook, students: Collection[str], failed: Failures
) -> ClassVerdicts:
    """Return the verdicts on students' submissions, with the points that the gradebook counts."""
    found: ClassVerdicts = {}
    for student in students:
        points, hand = gradebook.scores(book, student)[0], gradebook.by_hand(book, student)
        for part, result in _all_parts(course, student, failed).items():
            for cell, verdict in result.cells.items():
                entered = hand.get((part, cell))
                if entered and entered.score is not None:
                    sentence = f"Graded by a person. {entered.comment}".strip()
                    verdict = replace(verdict, sentence=sentence, unread=False)
                found[student, part, cell] = replace(verdict, points=points[part, cell])
    return found


def write_class(course: Course, book: Gradebook, failed: Failures) -> None:
    """Write grades.csv and report.html, on all students that have been graded so far."""
    students = [student for student in course.students() if gradebook.has(book, student)]
    verdicts = class_verdicts(course, book, students, failed)
    penalties = {student: sum(gradebook.scores(book, student)[1].values()) for student in students}
    remarks = tables.remarks(course)
    write_whole(course.folder / "grades.csv", tables.csv_text(verdicts, penalties, remarks))
    repairs = {
        path.stem: json.loads(path.read_text(encoding="utf-8"))
        for path in sorted((course.folder / "repairs").glob("*.json"))
    }
    page = class_page(
        course.folder.name,
        {
            student: _with_penalties(book, _all_parts(course, student, failed))
            for student in students
        },
        {student: gradebook.by_hand(book, student) for student in students},
        repairs,
        similarity.find(course),
        remarks + [(*key, flag) for key, result in failed.items() for flag in result.flags],
    )
    write_whole(course.folder / "report.html", page)


def _all_parts(course: Course, student: str, failed: Failures) -> dict[str, PartResult]:
    """Return a student's results by part, with the reason where there is none."""
    found = results.load(course.folder / "results", student)
    for part in rubric.PARTS:
        if not (course.submission(student) / f"{part}.ipynb").is_file():
            found[part] = ungraded(student, part, f"{part}.ipynb was not handed in.")
        elif (student, part) in failed:
            found[part] = failed[student, part]
        elif part not in found:
            found[part] = ungraded(student, part, "It has not been graded yet.")
    return {part: found[part] for part in rubric.PARTS}


def _with_penalties(book: Gradebook, found: dict[str, PartResult]) -> dict[str, PartResult]:
    student = next(iter(found.values())).student
    penalties = gradebook.scores(book, student)[1]
    return {part: replace(result, late_penalty=penalties[part]) for part, result in found.items()}
