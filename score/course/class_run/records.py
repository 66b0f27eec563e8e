"""Write what grading leaves in a course's folder.

results/STUDENT/PART.json        what everything else here is made from
originals/STUDENT/               notebooks that did not come by `course collect`, and were repaired
autograded/STUDENT/ASSIGNMENT/   the graded notebooks and films, for nbgrader's pages
feedback/STUDENT/ASSIGNMENT/     what is handed back, see `hand_back`
gradebook.db, grades.csv, report.html and, of a large class, further pages in report/
"""

from collections.abc import Collection
from dataclasses import replace
from typing import Any

from nbgrader.api import Gradebook
from traitlets.config import Config

from pusht.files import write_whole
from score import rubric
from score.course.class_run import hand_back
from score.course.collect.stored import collected, read_record, why_missing
from score.course.grading import results
from score.course.grading.notebook import Graded
from score.course.grading.results import NOT_YET, ManualGrades, PartResult, not_known, ungraded
from score.course.nbgrader import gradebook, lost
from score.course.report import similarity, tables
from score.course.report.class_page import class_page
from score.course.report.everybody import everybody
from score.course.report.tables import ClassVerdicts
from score.course.settings import Course
from score.submission.failures import Failures
from score.verdict import Verdict

# Steps of a run over the students, as `Failures` names them; grading is named after the part.
GRADEBOOK, FEEDBACK, POINTS, REPAIRS = "gradebook", "feedback", "points", "repairs"


def record(course: Course, graded: Graded) -> None:
    """Keep a graded notebook and its films, and last the result: without it they are made again."""
    result = graded.result
    folder = course.autograded(result.student, course.assignment_of(result.part))
    kept = {*graded.files, *(record.film for record in result.rollouts.values())}
    films = [results.film_name(policy) for policy in rubric.PARTS[result.part].policies]
    for name in (f"{result.part}.ipynb", *films):
        if name not in kept:
            (folder / name).unlink(missing_ok=True)
    for name, content in graded.files.items():
        write_whole(folder / name, content)
    original = course.folder / "originals" / result.student / f"{result.part}.ipynb"
    collected = (course.folder / "repairs" / f"{result.student}.json").exists()
    if graded.original and not (collected and original.exists()):
        write_whole(original, graded.original)
    results.save(result, course.folder / "results")


def conclude(
    course: Course, book: Gradebook, student: str, failures: Failures, config: Config
) -> None:
    """Bring the gradebook and the feedback of a student up to the results."""
    entered = failures.attempt(student, GRADEBOOK, _enter, course, book, student, failures, config)
    if entered:
        failures.attempt(student, FEEDBACK, _write_feedback, course, book, student, entered)


def _enter(
    course: Course, book: Gradebook, student: str, failures: Failures, config: Config
) -> dict[str, PartResult]:
    """Enter a student's results into the gradebook; return them."""
    found, folder = _all_parts(course, student, failures), course.folder / "results" / student
    gradebook.merge(book, course, student, found, config, lost.kept(folder))
    lost.keep(gradebook.by_hand(book, course, student), folder)
    return found


def _write_feedback(
    course: Course, book: Gradebook, student: str, found: dict[str, PartResult]
) -> None:
    hand_back.write(course, book, student, _with_penalties(course, book, found))


def for_pages(course: Course, book: Gradebook, student: str) -> dict[str, PartResult]:
    """Return a student's results by part, with late penalties, and the reason where there is none;
    none of a student whom the gradebook does not know.
    """
    if not gradebook.has(book, course, student):
        return {}
    return _with_penalties(course, book, _all_parts(course, student, Failures()))


def class_verdicts(
    course: Course, book: Gradebook, students: Collection[str], failures: Failures
) -> ClassVerdicts:
    """Return the verdicts on students' submissions, with the points that the gradebook counts; None
    where the grader failed.
    """
    found: ClassVerdicts = {}
    for student in students:
        own = None
        if not failures.of(student, GRADEBOOK):  # else it has the points of another time
            own = failures.attempt(student, POINTS, _verdicts, course, book, student, failures)
        for (part, cell), verdict in (own or _unknown(course, student)).items():
            found[student, part, cell] = verdict
    return found


_Verdicts = dict[tuple[str, str], Verdict | None]  # by part and cell


def _verdicts(course: Course, book: Gradebook, student: str, failures: Failures) -> _Verdicts:
    points = gradebook.scores(book, course, student)[0]
    hand = gradebook.by_hand(book, course, student)
    found: _Verdicts = {}
    for part, result in _all_parts(course, student, failures).items():
        for cell, verdict in result.cells.items():
            entered = hand.get((part, cell))
            by_hand = entered is not None and entered.score is not None
            if entered and by_hand:
                sentence = f"Graded by a person. {entered.comment}".strip()
                verdict = replace(verdict, sentence=sentence, unread=False)
            known = by_hand or not result.open
            found[part, cell] = replace(verdict, points=points[part, cell]) if known else None
    return found


def _unknown(course: Course, student: str) -> _Verdicts:
    return {(part, cell): None for part in course.parts for cell in not_known(student, part).cells}


def write_class(course: Course, book: Gradebook, failures: Failures) -> None:
    """Write grades.csv and report.html, on all students that have been graded so far."""
    students = [
        student
        for student in course.students()
        if gradebook.has(book, course, student) or failures.of(student)
    ]
    verdicts = class_verdicts(course, book, students, failures)
    pages: dict[str, tuple[dict[str, PartResult], ManualGrades, float]] = {}
    for student in students:
        own = None
        if not failures.of(student, GRADEBOOK):
            own = failures.attempt(student, POINTS, _for_page, course, book, student, failures)
        unknown = {name: not_known(student, name).worth(p) for name, p in course.parts.items()}
        pages[student] = own or (unknown, {}, 0.0)
    repairs: dict[str, Any] = {}
    for path in sorted((course.folder / "repairs").glob("*.json")):
        record = failures.attempt(path.stem, REPAIRS, read_record, path)
        repairs |= {path.stem: record} if record else {}
    similar = similarity.find(course, failures=failures)
    remarks = tables.remarks(course, failures=failures)
    penalties = {student: penalty for student, (_, _, penalty) in pages.items()}
    people = everybody(course, failures)
    text = tables.csv_text(course.parts, verdicts, penalties, remarks, people)
    write_whole(course.folder / "grades.csv", text)
    pages_of_class = class_page(
        course,
        {student: found for student, (found, _, _) in pages.items()},
        {student: hand for student, (_, hand, _) in pages.items()},
        repairs,
        similar,
        remarks,
        [(each.student, each.step, each.sentence) for each in dict.fromkeys(failures)],
        people,
        {name: each["nobody"] for name, each in collected(course).items()},
    )
    for old in (course.folder / "report").glob("*.html"):
        if f"report/{old.name}" not in pages_of_class:
            old.unlink()
    for name, page in pages_of_class.items():
        write_whole(course.folder / name, page)


def _for_page(
    course: Course, book: Gradebook, student: str, failures: Failures
) -> tuple[dict[str, PartResult], ManualGrades, float]:
    """Return what the class's page says of a student: results, grades by hand, late penalty."""
    found = _with_penalties(course, book, _all_parts(course, student, failures))
    hand = gradebook.by_hand(book, course, student)
    return found, hand, sum(gradebook.scores(book, course, student)[1].values())


def _all_parts(course: Course, student: str, failures: Failures) -> dict[str, PartResult]:
    """Return a student's results by part, with the reason where there is none."""
    found = results.load(course.folder / "results", student)
    for part in course.parts:
        folder = course.submission(student, course.assignment_of(part))
        if not (folder / f"{part}.ipynb").is_file():
            found[part] = ungraded(student, part, why_missing(course, student, part))
        elif failures.of(student, part):
            found[part] = not_known(student, part)
        elif part not in found:
            found[part] = not_known(student, part, NOT_YET)
    return {name: found[name].worth(part) for name, part in course.parts.items()}


def _with_penalties(
    course: Course, book: Gradebook, found: dict[str, PartResult]
) -> dict[str, PartResult]:
    student = next(iter(found.values())).student
    penalties = gradebook.scores(book, course, student)[1]
    return {part: replace(result, late_penalty=penalties[part]) for part, result in found.items()}


def late_penalties(course: Course, students: Collection[str]) -> dict[str, float]:
    """Return the points that students lose because they were late; none where that is not known."""
    with gradebook.open_gradebook(course) as book:
        return {
            student: sum(gradebook.scores(book, course, student)[1].values())
            for student in students
        }
