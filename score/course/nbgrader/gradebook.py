"""The course's gradebook: what goes in from results, one transaction a student, and what people
changed there by hand.
"""

import sqlite3
import tempfile
from pathlib import Path

from nbgrader import api
from nbgrader.preprocessors import AssignLatePenalties
from traitlets.config import Config

from score.course.report.points import ManualGrade
from score.course.settings import ASSIGNMENT


def add_notebooks(course, names):
    """Enter the notebooks of these names where they are new: nbgrader itself takes none once
    somebody has been graded.
    """
    if (course.folder / "gradebook.db").exists():
        with api.Gradebook(course.gradebook) as gradebook:
            gradebook.update_or_create_assignment(ASSIGNMENT)
            for name in names:
                gradebook.update_or_create_notebook(name, ASSIGNMENT)


def without_students(course):
    """The gradebook with the assignment alone, as the bytes of its file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "gradebook.db"
        source, copy = sqlite3.connect(course.folder / "gradebook.db"), sqlite3.connect(path)
        source.backup(copy)
        source.close()
        copy.close()
        with api.Gradebook(f"sqlite:///{path}") as gradebook:
            for table in (
                api.Grade,
                api.Comment,
                api.SubmittedNotebook,
                api.SubmittedAssignment,
                api.Student,
            ):
                gradebook.db.query(table).delete()
            gradebook.db.commit()
        copy = sqlite3.connect(path)
        copy.execute("vacuum")
        copy.close()
        return path.read_bytes()


def merge(gradebook, student, results, timestamp, config):
    """Set a student's automatic scores and late penalties from results, {part: `PartResult`}, in
    one transaction.

    timestamp: when it was handed in, None where that is not known. What a person entered stays;
    where there is such a score, nbgrader asks for another look. config: nbgrader's, with the rule
    for late penalties.
    """
    db = gradebook.db
    try:
        submission = gradebook.find_submission(ASSIGNMENT, student)
    except api.MissingEntry:
        if db.get(api.Student, student) is None:
            db.add(api.Student(id=student))
            db.flush()
        submission = _new(gradebook, student)
    if timestamp:
        submission.timestamp = timestamp
    for notebook in submission.notebooks:
        cells = results[notebook.name].cells
        for grade in notebook.grades:
            cell = cells.get(grade.name)
            grade.auto_score = None if cell and cell.written else cell.points if cell else 0.0
            grade.needs_manual_grade = grade.manual_score is not None or grade.auto_score is None
    db.flush()
    penalties = AssignLatePenalties(config=Config(config))
    penalties.init_plugin()
    for notebook in submission.notebooks:
        penalty = None
        if submission.total_seconds_late > 0:
            penalty = penalties.plugin_inst.late_submission_penalty(
                student, notebook.score, submission.total_seconds_late
            )
        notebook.late_submission_penalty = (
            penalty if penalty is None else min(max(penalty, 0), notebook.score)
        )
    db.commit()


def _new(gradebook, student):
    """As `Gradebook.add_submission`, without its commit."""
    db, assignment = gradebook.db, gradebook.find_assignment(ASSIGNMENT)
    with db.no_autoflush:
        submission = api.SubmittedAssignment(assignment=assignment, student_id=student)
        _hand_in(db, submission, assignment.notebooks)
        db.add(submission)
    db.flush()
    return submission


def complete(gradebook):
    """Give the submissions that are in it what they lack: notebooks that were released since."""
    assignment = gradebook.find_assignment(ASSIGNMENT)
    with gradebook.db.no_autoflush:
        for submission in assignment.submissions:
            there = {entry.notebook_id for entry in submission.notebooks}
            _hand_in(
                gradebook.db,
                submission,
                [notebook for notebook in assignment.notebooks if notebook.id not in there],
            )
    gradebook.db.commit()


def _hand_in(db, submission, notebooks):
    """Enter notebooks as a submission's, ungraded."""
    for notebook in notebooks:
        entry = api.SubmittedNotebook(notebook=notebook, assignment=submission)
        for cell in notebook.grade_cells:
            api.Grade(cell_id=cell.id, notebook=entry)
        for cell in notebook.solution_cells:
            api.Comment(cell_id=cell.id, notebook=entry)
        db.add(entry)  # and with it what it holds


def has(gradebook, student):
    """Whether anything of a student is in it."""
    try:
        return bool(gradebook.find_submission(ASSIGNMENT, student))
    except api.MissingEntry:
        return False


def by_hand(gradebook, student):
    """{(part, cell): `ManualGrade`} of what a person entered in nbgrader for a student."""
    found = {}
    for notebook in gradebook.find_submission(ASSIGNMENT, student).notebooks:
        comments = {comment.name: comment.manual_comment or "" for comment in notebook.comments}
        for grade in notebook.grades:
            comment = comments.get(grade.name, "")
            if grade.manual_score is not None or grade.extra_credit or comment:
                found[notebook.name, grade.name] = ManualGrade(
                    grade.manual_score, grade.extra_credit, comment
                )
    return found


def scores(gradebook, student):
    """({(part, cell): points as nbgrader counts them}, {part: late penalty}) of a student."""
    notebooks = gradebook.find_submission(ASSIGNMENT, student).notebooks
    return (
        {
            (notebook.name, grade.name): float(grade.score)
            for notebook in notebooks
            for grade in notebook.grades
        },
        {notebook.name: float(notebook.late_submission_penalty or 0.0) for notebook in notebooks},
    )
