"""nbgrader's steps of grading as a course takes them: its command, its API and its formgrader page
run a notebook by the course's own core, and what they write into the gradebook is the core's
verdicts.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode
from nbgrader import preprocessors as stock
from traitlets import Integer

from score import rubric
from score.course.collect.repair import RepairError, repair
from score.course.grading.execution import Execution, execute, show_verdict
from score.course.grading.question_server import checks
from score.course.grading.results import film_name
from score.course.grading.sanitise.graded import clean_sources
from score.course.grading.sanitise.submitted import check_id, may_change, read_notebook
from score.course.nbgrader.exchange import KNOWN_BY
from score.course.nbgrader.gradebook import set_score
from score.course.settings import Course, Limits, RunSettings, open_course
from score.plain import plain_line
from score.submission.files import TAKEN
from score.submission.formats import graded_files

_NOT_EXECUTED = "This notebook was not run by the course's own configuration."


class Execute(stock.NbGraderPreprocessor):
    """Grades a notebook by the course's core, and leaves its `Execution` in
    `resources["pusht"]`.
    """

    timeout = Integer(Limits.cell_seconds, help="seconds of a cell").tag(config=True)
    notebook_seconds = Integer(
        Limits.notebook_seconds, help="of a notebook, all its cells together"
    ).tag(config=True)
    memory_bytes = Integer(Limits.memory_bytes, help="of all processes of a notebook together").tag(
        config=True
    )
    output_bytes = Integer(Limits.output_bytes, help="of all outputs of a notebook").tag(
        config=True
    )

    @property
    def limits(self) -> Limits:
        """The limits as nbgrader_config.py sets them."""
        return Limits(self.timeout, self.notebook_seconds, self.memory_bytes, self.output_bytes)

    def preprocess(
        self, nb: NotebookNode, resources: dict[str, Any]
    ) -> tuple[NotebookNode, dict[str, Any]]:
        course = open_course(self.config.CourseDirectory.root)
        part = course.parts[resources["nbgrader"]["notebook"]]
        settings = RunSettings(course.seed, course.episodes, limits=self.limits)
        execution = execute(nb, part, Path(resources["metadata"]["path"]), settings)
        for cell in nb.cells:
            name = check_id(cell)
            if name in execution.cells:
                # nbgrader's own SaveAutoGrades believes the first number that is a cell's result,
                # and gives all points without one. Where it follows, it finds the ledger's.
                points = {"text/plain": repr(execution.cells[name].points)}
                cell.outputs.append(nbformat.v4.new_output("execute_result", points))
        resources["pusht"] = execution
        _remove_other_files(Path(resources["metadata"]["path"]), course, part.name)
        return nb, resources


class Repair(stock.NbGraderPreprocessor):
    """Repairs a notebook as `course collect` does, whichever way it came. One that cannot be
    repaired is left to the steps after this one.
    """

    def preprocess(
        self, nb: NotebookNode, resources: dict[str, Any]
    ) -> tuple[NotebookNode, dict[str, Any]]:
        course = open_course(self.config.CourseDirectory.root)
        released = course.released(resources["nbgrader"]["notebook"]).read_bytes()
        try:
            nb, repairs = repair(json.dumps(nb), read_notebook(released))
        except RepairError as error:
            repairs = [str(error)]
        for sentence in repairs:
            self.log.warning(plain_line(sentence))
        return nb, resources


class OverwriteCells(stock.OverwriteCells):
    """Restores what students are not to change, as nbgrader does, but for practice cells."""

    def preprocess_cell(
        self, cell: NotebookNode, resources: dict[str, Any], cell_index: int
    ) -> tuple[NotebookNode, dict[str, Any]]:
        written = cell.source
        cell, resources = super().preprocess_cell(cell, resources, cell_index)
        if check_id(cell) is None and "nbgrader" in cell.metadata and may_change(cell):
            cell.source = written
        return cell, resources


class SaveAutoGrades(stock.SaveAutoGrades):
    """Writes the verdicts of `Execute` into the gradebook. A test cell without one earns nothing,
    whatever the notebook printed.
    """

    def preprocess(
        self, nb: NotebookNode, resources: dict[str, Any]
    ) -> tuple[NotebookNode, dict[str, Any]]:
        self._execution: Execution | None = resources.get("pusht")
        return super().preprocess(nb, resources)

    def preprocess_cell(
        self, cell: NotebookNode, resources: dict[str, Any], cell_index: int
    ) -> tuple[NotebookNode, dict[str, Any]]:
        name = check_id(cell)
        if name is None:
            return super().preprocess_cell(cell, resources, cell_index)
        verdict = self._execution.cells.get(name) if self._execution else None
        if verdict is None:
            parts = open_course(self.config.CourseDirectory.root).parts
            verdict = checks(parts[self.notebook_id])[name].failed(_NOT_EXECUTED)
        show_verdict(cell, verdict)
        grade = self.gradebook.find_grade(
            name, self.notebook_id, self.assignment_id, self.student_id
        )
        set_score(grade, verdict)
        self.gradebook.db.commit()
        return cell, resources


class Clean(stock.NbGraderPreprocessor):
    """Makes what students wrote in a notebook safe to show on nbgrader's page. It comes last: other
    steps compare what a student wrote with what was released.
    """

    def preprocess(
        self, nb: NotebookNode, resources: dict[str, Any]
    ) -> tuple[NotebookNode, dict[str, Any]]:
        course = open_course(self.config.CourseDirectory.root)
        released = course.released(resources["nbgrader"]["notebook"]).read_bytes()
        clean_sources(nb, read_notebook(released))
        return nb, resources


def _remove_other_files(folder: Path, course: Course, part: str) -> None:
    """Remove from a submission's copy in autograded/ what belongs to no part: nbgrader's page would
    serve it, and a page among it would run in the instructor's session.
    """
    parts, source = rubric.PARTS.values(), course.source(course.assignment_of(part))
    known = {*KNOWN_BY, *TAKEN, *(path.name for path in source.iterdir())}
    known |= {name for part in parts for name in graded_files(part)}
    known |= {film_name(policy) for part in parts for policy in part.policies}
    for path in folder.iterdir():
        if path.name not in known:
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
