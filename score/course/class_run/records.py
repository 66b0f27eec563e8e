"""Write what grading leaves in a course's folder.

results/STUDENT/PART.json        what everything else here is made from
originals/STUDENT/               notebooks that did not come by `course collect`, and were repaired
autograded/STUDENT/ASSIGNMENT/   the graded notebooks and films, for nbgrader's pages
feedback/STUDENT/ASSIGNMENT/     what is handed back, see `hand_back`
gradebook.db, grades.csv, report.html and, of a large class, further pages in report/
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from nbgrader.api import Gradebook
from traitlets.config import Config

from pusht.files import write_whole
from score import rubric
from score.course.class_run import hand_back
from score.course.collect.stored import collected, read_record, why_missing
from score.course.grading import results
from score.course.grading.notebook import Graded
from score.course.grading.results import (
    NOT_YET,
    ManualGrade,
    ManualGrades,
    PartResult,
    not_known,
    ungraded,
)
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


@dataclass(frozen=True)
class Standing:
    """What is known of a student after a run. results: by part, late penalties included. by_hand:
    what a person entered, by part and cell. verdicts: by part and cell, with the points that the
    gradebook counts; None where they are not known.
    """

    results: dict[str, PartResult]
    by_hand: ManualGrades
    verdicts: dict[tuple[str, str], Verdict | None]

    @property
    def penalty(self) -> float:
        """The points that late work costs."""
        return sum(result.late_penalty for result in self.results.values())


def conclude(
    course: Course, book: Gradebook, student: str, failures: Failures, config: Config
) -> None:
    """Bring the gradebook and the feedback of a student up to the results."""
    stands = failures.attempt(student, GRADEBOOK, _enter, course, book, student, failures, config)
    if stands:
        found, hand = stands.results, stands.by_hand
        failures.attempt(student, FEEDBACK, hand_back.write, course, student, found, hand)


def _enter(
    course: Course, book: Gradebook, student: str, failures: Failures, config: Config
) -> Standing | None:
    """Enter a student's results into the gradebook; return what is known then."""
    found, folder = _all_parts(course, student, failures), course.folder / "results" / student
    gradebook.merge(book, course, student, found, config, lost.kept(folder))
    stands = _standing(found, gradebook.entered(book, course, student))
    if stands:
        lost.keep(stands.by_hand, folder)
    return stands


def standing(course: Course, book: Gradebook, student: str, failures: Failures) -> Standing | None:
    """Return what is known of a student; None of one whom the gradebook does not know."""
    entered = gradebook.entered(book, course, student)
    return _standing(_all_parts(course, student, failures), entered) if entered else None


def standings(
    course: Course, book: Gradebook, students: Iterable[str], failures: Failures
) -> dict[str, Standing]:
    """Return what is known of those students whom the gradebook knows, or at whom the grader
    failed.
    """
    found = {}
    for student in students:
        own = None
        if not failures.of(student, GRADEBOOK):  # else it has the points of another time
            own = failures.attempt(student, POINTS, standing, course, book, student, failures)
        if own or failures.of(student):
            found[student] = own or _unknown(course, student)
    return found


def _standing(found: dict[str, PartResult], entered: gradebook.Entered | None) -> Standing | None:
    if entered is None:
        return None
    results, verdicts = {}, dict[tuple[str, str], Verdict | None]()
    for part, result in found.items():
        results[part] = replace(result, late_penalty=entered.penalties[part])
        for cell, verdict in result.cells.items():
            grade = entered.by_hand.get((part, cell), ManualGrade())
            by_hand = grade.score is not None
            if by_hand:
                sentence = f"Graded by a person. {grade.comment}".strip()
                verdict = replace(verdict, sentence=sentence, unread=False)
            known = by_hand or not result.open
            points = entered.points[part, cell]
            verdicts[part, cell] = replace(verdict, points=points) if known else None
    return Standing(results, entered.by_hand, verdicts)


def _unknown(course: Course, student: str) -> Standing:
    found = {name: not_known(student, name).worth(part) for name, part in course.parts.items()}
    cells = {(part, cell): None for part, result in found.items() for cell in result.cells}
    return Standing(found, {}, {**cells})


def class_verdicts(known: Mapping[str, Standing]) -> ClassVerdicts:
    """Return the verdicts on students' submissions."""
    return {
        (student, part, cell): verdict
        for student, own in known.items()
        for (part, cell), verdict in own.verdicts.items()
    }


def write_class(course: Course, book: Gradebook, failures: Failures) -> dict[str, Standing]:
    """Write grades.csv and report.html, on all students that have been graded so far; return what
    is known of them.
    """
    known = standings(course, book, course.students(), failures)
    repairs: dict[str, Any] = {}
    for path in sorted((course.folder / "repairs").glob("*.json")):
        record = failures.attempt(path.stem, REPAIRS, read_record, path)
        repairs |= {path.stem: record} if record else {}
    similar = similarity.find(course, failures=failures)
    remarks = tables.remarks(course, failures=failures)
    penalties = {student: own.penalty for student, own in known.items()}
    people = everybody(course, failures)
    text = tables.csv_text(course.parts, class_verdicts(known), penalties, remarks, people)
    write_whole(course.folder / "grades.csv", text)
    pages_of_class = class_page(
        course,
        {student: own.results for student, own in known.items()},
        {student: own.by_hand for student, own in known.items()},
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
    return known


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


def late_penalties(
    course: Course, students: Iterable[str], failures: Failures | None = None
) -> dict[str, float]:
    """Return the points that late work costs students, of those of whom that is known.

    failures: to which is added where the gradebook cannot be read.
    """
    failures = Failures() if failures is None else failures
    found = {}
    with gradebook.open_gradebook(course) as book:
        for student in students:
            own = failures.attempt(student, POINTS, gradebook.entered, book, course, student)
            if own:
                found[student] = sum(own.penalties.values())
    return found
