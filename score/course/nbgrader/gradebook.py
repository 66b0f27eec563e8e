"""nbgrader's gradebook of a course: results are written into it, one transaction a student, and
what people entered there by hand is read from it.

All of it can be made again: from the release, from results/, and from what `lost` keeps there.
"""

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from nbgrader import api
from nbgrader.utils import parse_utc
from sqlalchemy import Select, select, text, tuple_
from sqlalchemy.exc import DatabaseError
from sqlalchemy.orm import Session
from traitlets.config import Config

from score import rubric
from score.course.collect import stored
from score.course.grading.results import ManualGrade, ManualGrades, PartResult, entries_by_cell
from score.course.nbgrader.late import rule_of
from score.course.settings import Assignment, Course, CourseError
from score.verdict import Verdict

# What is looked up for each student. Without an index, which nbgrader does not make, that reads all
# of the class's rows.
_INDEXED = (
    *(("submitted_assignment", "student_id"), ("submitted_notebook", "assignment_id")),
    *(("grade", "notebook_id"), ("comment", "notebook_id")),
)
_LOCKED = (
    "gradebook.db is in use by another program, such as nbgrader's pages: wait until that is done,"
    " or end it, and run this again."
)
_UNUSABLE = (
    "gradebook.db cannot be read or written ({}). If its disk is full or its rights are wrong, put"
    " that right; if it is damaged, move it away. Then run this again: what is missing is made"
    " again, with the grades by hand that were there when `course grade` ran last."
)


def open_gradebook(course: Course) -> api.Gradebook:
    """Return the course's gradebook; it closes as a context manager. CourseError where it cannot
    be used.
    """
    with told():
        return api.Gradebook(course.gradebook)


@contextlib.contextmanager
def told() -> Iterator[None]:
    """Raise a CourseError where the body finds that the gradebook cannot be used."""
    try:
        yield
    except DatabaseError as error:
        problem = str(error.orig)
        raise CourseError(_LOCKED if "locked" in problem else _UNUSABLE.format(problem)) from error


def add_notebooks(course: Course) -> None:
    """Enter the course's notebooks where they are new: nbgrader itself takes none once somebody has
    been graded.
    """
    if (course.folder / "gradebook.db").exists():
        with open_gradebook(course) as gradebook:
            for assignment in course.assignments:
                gradebook.update_or_create_assignment(assignment.name)
                for name in assignment.parts:
                    gradebook.update_or_create_notebook(name, assignment.name)


def forget_old(course: Course) -> None:
    """Remove from the gradebook the kit's assignments that the course no longer has, unless
    somebody has handed them in.
    """
    if not (course.folder / "gradebook.db").exists():
        return
    names = {assignment.name for assignment in course.assignments}
    with open_gradebook(course) as gradebook:
        for old in [*gradebook.assignments]:
            notebooks = {notebook.name for notebook in old.notebooks}
            ours = notebooks and notebooks <= {*rubric.PARTS}
            if old.name not in names and ours and not old.submissions:
                gradebook.remove_assignment(old.name)


def merge(
    gradebook: api.Gradebook,
    course: Course,
    student: str,
    results: Mapping[str, PartResult],
    config: Config,
    kept: ManualGrades,
) -> None:
    """Set a student's automatic scores and late penalties from results by part, in one transaction.

    When each assignment was handed in its folder says. config: nbgrader's, with the rule for late
    penalties. kept: grades by hand, for where nothing of the student is there any more. What a
    person entered stays; where there is such a score, nbgrader asks for another look. Where it
    raises, nothing of it is kept.
    """
    try:
        with told():
            for assignment in course.assignments:
                handed_in = handed_in_at(course.submission(student, assignment))
                _merge(gradebook, assignment, student, results, handed_in, config, kept)
            gradebook.db.commit()
    except BaseException:
        gradebook.db.rollback()
        raise


def _merge(
    gradebook: api.Gradebook,
    assignment: Assignment,
    student: str,
    results: Mapping[str, PartResult],
    handed_in: datetime | None,
    config: Config,
    kept: ManualGrades,
) -> None:
    db = gradebook.db
    try:
        submission = gradebook.find_submission(assignment.name, student)
    except api.MissingEntry:
        if db.get(api.Student, student) is None:
            db.add(api.Student(id=student))
            db.flush()
        submission = _add_submission(gradebook, assignment, student)
        _enter_by_hand(submission, kept)
    if handed_in:
        submission.timestamp = handed_in
    for notebook in submission.notebooks:
        result = results.get(notebook.name)  # none of a part that has left the course
        for grade in notebook.grades:
            set_score(grade, result.cells.get(grade.name) if result else None)
    db.flush()
    _set_penalties(submission, assignment, student, config)
    db.flush()


def _enter_by_hand(submission: api.SubmittedAssignment, kept: ManualGrades) -> None:
    for notebook in submission.notebooks:
        for grade in notebook.grades:
            own = kept.get((notebook.name, grade.name), ManualGrade())
            grade.manual_score, grade.extra_credit = own.score, own.extra
        for comment in notebook.comments:
            own = kept.get((notebook.name, comment.name), ManualGrade())
            comment.manual_comment = own.comment or None


def set_score(grade: api.Grade, verdict: Verdict | None) -> None:
    """Set the automatic score of nbgrader's row for a cell; without a verdict it is 0."""
    points = verdict.points if verdict else 0.0
    grade.auto_score = None if verdict and verdict.unread else points
    grade.needs_manual_grade = grade.manual_score is not None or grade.auto_score is None


def _set_penalties(
    submission: api.SubmittedAssignment, assignment: Assignment, student: str, config: Config
) -> None:
    """Set each notebook's late penalty, from 0 to its score."""
    rule, seconds = rule_of(assignment, config), submission.total_seconds_late
    for notebook in submission.notebooks:
        penalty = None
        if seconds > 0:
            penalty = rule.late_submission_penalty(student, notebook.score, seconds)
        notebook.late_submission_penalty = (
            penalty if penalty is None else min(max(penalty, 0), notebook.score)
        )


def handed_in_at(folder: Path) -> datetime | None:
    """Return when a submission's folder was handed in, by its timestamp.txt, in UTC as nbgrader
    keeps it; None without a time in it.

    It has the file's microseconds: formgrader takes a submission for ungraded whose file has
    another time than the gradebook.
    """
    stamp = folder / "timestamp.txt"
    known = stored.handed_in_at(stamp) is not None
    return parse_utc(stamp.read_text(encoding="utf-8").strip()) if known else None


def _add_submission(
    gradebook: api.Gradebook, of: Assignment, student: str
) -> api.SubmittedAssignment:
    """Add a submission as `Gradebook.add_submission` does, without its commit; return it."""
    db, assignment = gradebook.db, gradebook.find_assignment(of.name)
    with db.no_autoflush:
        submission = api.SubmittedAssignment(assignment=assignment, student_id=student)
        _enter_notebooks(db, submission, assignment.notebooks)
        db.add(submission)
    db.flush()
    return submission


def complete(gradebook: api.Gradebook, course: Course) -> None:
    """Bring the gradebook up to the course: due dates, points, and the notebooks that were released
    since, in the submissions that are there. CourseError for an assignment that was not released.
    """
    for table, column in _INDEXED:
        index = f"CREATE INDEX IF NOT EXISTS {table}_by_{column} ON {table} ({column})"
        gradebook.db.execute(text(index))
    for of in course.assignments:
        try:
            assignment = gradebook.find_assignment(of.name)
        except api.MissingEntry:
            raise CourseError(
                f"The assignment {of.name} is not in the gradebook: run `python -m score course"
                f" release {course.folder}` first."
            ) from None
        if of.due:
            assignment.duedate = of.due.astimezone(UTC).replace(tzinfo=None)
        _set_points(assignment, course)
        with gradebook.db.no_autoflush:
            for submission in assignment.submissions:
                there = {entry.notebook_id for entry in submission.notebooks}
                _enter_notebooks(
                    gradebook.db,
                    submission,
                    [notebook for notebook in assignment.notebooks if notebook.id not in there],
                )
    gradebook.db.commit()


def _set_points(assignment: api.Assignment, course: Course) -> None:
    """Set what each cell is worth, which may have changed since the release."""
    for notebook in assignment.notebooks:
        if notebook.name in course.parts:
            entries = entries_by_cell(course.parts[notebook.name])
            for cell in notebook.grade_cells:
                if cell.name in entries:
                    cell.max_score = float(entries[cell.name].points)


def _enter_notebooks(
    db: Session, submission: api.SubmittedAssignment, notebooks: Iterable[api.Notebook]
) -> None:
    """Enter notebooks as a submission's, ungraded."""
    for notebook in notebooks:
        entry = api.SubmittedNotebook(notebook=notebook, assignment=submission)
        for cell in notebook.grade_cells:
            api.Grade(cell_id=cell.id, notebook=entry)
        for cell in notebook.solution_cells:
            api.Comment(cell_id=cell.id, notebook=entry)
        db.add(entry)  # and with it what it holds


@dataclass(frozen=True)
class Entered:
    """What the gradebook has of a student. points: as nbgrader counts them, by part and cell.
    penalties: for late work, by part. by_hand: what a person entered, by part and cell.
    """

    points: dict[tuple[str, str], float]
    penalties: dict[str, float]
    by_hand: dict[tuple[str, str], ManualGrade]


def entered(gradebook: api.Gradebook, course: Course, student: str) -> Entered | None:
    """Return what is in it of a student, read at once; None where nothing is."""
    parts = [tuple_(api.Assignment.name, api.Notebook.name).in_(_names(course))]
    of = [api.SubmittedAssignment.student_id == student, *parts]
    penalty = api.SubmittedNotebook.late_submission_penalty
    db, points, hand = gradebook.db, dict[tuple[str, str], float](), {}
    penalties = {
        name: float(late or 0.0)
        for name, late in db.execute(_of_notebooks(api.Notebook.name, penalty).where(*of))
    }
    if not penalties:
        return None
    grade, comment = api.Grade, api.Comment.manual_comment
    columns = (grade.score, grade.manual_score, grade.extra_credit)
    cell = (api.Notebook.name, api.BaseCell.name)
    query = _of_notebooks(*cell, *columns).join(grade).join(api.BaseCell).where(*of)
    for part, name, score, manual, extra in db.execute(query):
        points[part, name] = float(score)
        if manual is not None or extra:
            hand[part, name] = ManualGrade(manual, extra)
    query = (
        _of_notebooks(*cell, comment).join(api.Comment).join(api.BaseCell).where(*of, comment != "")
    )
    for part, name, said in db.execute(query):
        hand[part, name] = replace(hand.get((part, name), ManualGrade()), comment=said)
    return Entered(points, penalties, hand)


def _names(course: Course) -> list[tuple[str, str]]:
    return [(one.name, part) for one in course.assignments for part in one.parts]


def _of_notebooks(*columns: Any) -> Select[Any]:
    """Return the query for columns of submitted notebooks, of their submissions and assignments."""
    submitted = select(*columns).select_from(api.SubmittedNotebook)
    return submitted.join(api.Notebook).join(api.SubmittedAssignment).join(api.Assignment)
