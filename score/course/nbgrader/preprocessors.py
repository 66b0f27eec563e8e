"""nbgrader's steps of grading as a course takes them: its command, its API and its formgrader page
run a notebook by the course's own core, and what they write into the gradebook is the core's
verdicts.
"""

from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode
from nbgrader import preprocessors as stock
from traitlets import Integer

from score import rubric
from score.course.grading.execution import Execution, execute, show_verdict
from score.course.grading.question_server import checks
from score.course.grading.sanitise import check_id
from score.course.nbgrader.gradebook import set_score
from score.course.settings import Limits, RunSettings, open_course

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
        part = rubric.PARTS[resources["nbgrader"]["notebook"]]
        settings = RunSettings(course.first_seed, course.episodes, limits=self.limits)
        execution = execute(nb, part, Path(resources["metadata"]["path"]), settings)
        for cell in nb.cells:
            name = check_id(cell)
            if name in execution.cells:
                # nbgrader's own SaveAutoGrades believes the first number that is a cell's result,
                # and gives all points without one. Where it follows, it finds the ledger's.
                points = {"text/plain": repr(execution.cells[name].points)}
                cell.outputs.append(nbformat.v4.new_output("execute_result", points))
        resources["pusht"] = execution
        return nb, resources


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
            verdict = checks(rubric.PARTS[self.notebook_id])[name].failed(_NOT_EXECUTED)
        show_verdict(cell, verdict)
        grade = self.gradebook.find_grade(
            name, self.notebook_id, self.assignment_id, self.student_id
        )
        set_score(grade, verdict)
        self.gradebook.db.commit()
        return cell, resources
