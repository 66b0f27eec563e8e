"""Grade what is in submitted/ with nbgrader, one student a call, so that one bad submission harms no other."""
import json
import warnings
from dataclasses import dataclass

import nbformat
from nbgrader.api import Gradebook, MissingEntry
from nbgrader.apps import NbGraderAPI
from nbgrader.utils import is_grade
from sqlalchemy.exc import SAWarning
from traitlets.config import Config
from traitlets.config.loader import PyFileConfigLoader

from score import rubric
from score.course import ASSIGNMENT, CourseError
from score.course.preprocessors import cell_reason


@dataclass(frozen=True)
class Grade:
    """One test cell's outcome in one submission."""

    student: str
    notebook: str
    cell: str
    points: float
    max_points: float
    reason: str


def nbgrader_api(course):
    """nbgrader's own API with the course's configuration: what its command line does in the course's folder."""
    loader = PyFileConfigLoader("nbgrader_config.py", str(course.folder))
    return NbGraderAPI(config=Config(loader.load_config()))


def grade_course(course, students=None):
    """Grade all students, or those named; write feedback pages; return the list of `Grade`."""
    api = nbgrader_api(course)
    handed_in = course.students()
    unknown = sorted(set(students or ()) - set(handed_in))
    if unknown:
        raise CourseError(f"Nothing of {', '.join(unknown)} is in {course.folder / 'submitted'}.")
    if not handed_in:
        raise CourseError(f"{course.folder / 'submitted'} is empty: put each student's files into submitted/STUDENT/{ASSIGNMENT}/.")
    grades = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SAWarning)  # nbgrader's own, of no consequence
        for student in students or handed_in:
            _forget_scores(course, student)
            result = api.autograde(ASSIGNMENT, student)
            if result["success"]:
                api.generate_feedback(ASSIGNMENT, student)
            grades += _grades(course, student, failure=None if result["success"] else _last_line(result))
    return grades


def _forget_scores(course, student):
    """Set the automatic scores to nothing, so that a run that fails leaves none of an earlier one."""
    with Gradebook(course.gradebook) as gradebook:
        try:
            submission = gradebook.find_submission(ASSIGNMENT, student)
        except MissingEntry:
            return
        for notebook in submission.notebooks:
            for grade in notebook.grades:
                grade.auto_score = 0
        gradebook.db.commit()


def _grades(course, student, failure):
    folder = course.folder / "autograded" / student / ASSIGNMENT
    found = []
    with Gradebook(course.gradebook) as gradebook:
        try:
            submission = gradebook.find_submission(ASSIGNMENT, student)
        except MissingEntry:
            raise CourseError(f"nbgrader could not take in the submission of {student}: {failure}") from None
        for notebook in submission.notebooks:
            reasons = _reasons(folder / f"{notebook.name}.ipynb")
            missing = failure or f"{notebook.name}.ipynb was not handed in."
            for grade in notebook.grades:
                found.append(Grade(student, notebook.name, grade.name, float(grade.score), float(grade.max_score),
                                   reasons.get(grade.name, missing)))
    order = [f"part{part.number}-{entry.cell}" for part in rubric.PARTS.values() for entry in part.graded()]
    return sorted(found, key=lambda g: (g.student, order.index(g.cell)))


def remarks(course, students=None):
    """What an instructor should know of the graded notebooks beyond their points: (student, notebook, sentence), in order."""
    found = []
    for student in students or course.students():
        for path in sorted((course.folder / "autograded" / student / ASSIGNMENT).glob("*.ipynb")):
            told = nbformat.read(path, as_version=4).metadata.get("pusht", {})
            stopped = [f"The notebook was stopped: {told['stopped']}."] if told.get("stopped") else []
            found += [(student, path.stem, sentence) for sentence in [*stopped, *told.get("flags", [])]]
    for path in sorted((course.folder / "repairs").glob("*.json")):  # of collected notebooks that cannot be read
        for part, told in json.loads(path.read_text(encoding="utf-8"))["parts"].items():
            if told["refused"] and (students is None or path.stem in students):
                found.append((path.stem, part, told["refused"]))
    return found


def _reasons(path):
    if not path.exists():
        return {}
    notebook = nbformat.read(path, as_version=4)
    return {cell.metadata.nbgrader.grade_id: cell_reason(cell) for cell in notebook.cells if is_grade(cell)}


def _last_line(result):
    text = (result.get("error") or result.get("log") or "nbgrader failed without a word").strip()
    return text.splitlines()[-1]


def table(grades):
    """The class as text: a row a student, a column a test cell, then each lost point's reason."""
    cells = list(dict.fromkeys((g.notebook, g.cell) for g in grades))
    by_student = {}
    for grade in grades:
        by_student.setdefault(grade.student, {})[grade.notebook, grade.cell] = grade
    heads = ["student", *(_short(*cell) for cell in cells), "total"]
    rows = [[student, *(f"{got[c].points:.2f}" for c in cells), f"{sum(g.points for g in got.values()):.2f}"]
            for student, got in by_student.items()]
    full = [next(g.max_points for g in grades if (g.notebook, g.cell) == c) for c in cells]
    rows.append(["of", *(f"{points:.2f}" for points in full), f"{sum(full):.2f}"])
    widths = [max(len(row[i]) for row in [heads, *rows]) for i in range(len(heads))]
    lines = ["  ".join(text.ljust(w) if i == 0 else text.rjust(w) for i, (text, w) in enumerate(zip(row, widths)))
             for row in [heads, *rows]]
    lines.insert(1, "-" * len(lines[0]))
    for grade in grades:
        lines.append(f"{grade.student}, {_short(grade.notebook, grade.cell)}: {grade.points:.2f} of {grade.max_points:.2f}. "
                     f"{grade.reason}")
    return "\n".join(lines)


def _short(notebook, cell):
    """A cell's name in the table: "Q1.2" of a question, "mlp" of a policy's rollouts, "curves" of an answer in words."""
    part, name = rubric.PARTS[notebook], cell.split("-", 1)[1]
    names = {question.cell: question.name for question in part.questions} | {p.cell: p.method for p in part.policies}
    return names.get(name, name.removeprefix("report_"))
