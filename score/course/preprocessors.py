"""nbgrader's steps as this course takes them: small transforms of one notebook's cells, put into nbgrader's lists by `configure`."""
import os
import tempfile

from nbgrader import preprocessors as stock
from nbgrader.utils import is_grade, setenv
from traitlets import Integer

from score.course.build import MARKER, clear_solution
from score.verdict import MIME


class ClearNamedSolutions(stock.NbGraderPreprocessor):
    """Replace each solution by an error that names its question."""

    def preprocess_cell(self, cell, resources, cell_index):
        cell.source = clear_solution(cell.source)
        return cell, resources


class Execute(stock.Execute):
    """Run a submission on the course's episodes, on one thread, without the cells that are for the student's eyes only."""

    first_seed = Integer(help="first of the held-out seeds").tag(config=True)
    episodes = Integer(help="number of held-out episodes").tag(config=True)

    def preprocess(self, nb, resources=None, km=None):
        # Sockets in a folder of the run's own, not ports that others on the machine could listen to. The folder's name is
        # kept short: a socket's path has some 100 characters at most.
        with tempfile.TemporaryDirectory(prefix="pusht-", dir="/tmp" if os.path.isdir("/tmp") else None) as self._sockets, \
                setenv(PUSHT_GRADE_SEED=str(self.first_seed), PUSHT_GRADE_EPISODES=str(self.episodes),
                       OMP_NUM_THREADS="1", OMP_WAIT_POLICY="PASSIVE"):
            return super().preprocess(nb, resources, km)

    def create_kernel_manager(self):
        manager = super().create_kernel_manager()
        if os.name == "posix":
            manager.transport = "ipc"
            manager.connection_file = os.path.join(self._sockets, "kernel.json")
        return manager

    def preprocess_cell(self, cell, resources, index):
        marker = MARKER.match(cell.source)
        if marker and marker["kind"] == "practice":
            return cell, resources
        return super().preprocess_cell(cell, resources, index)


class SaveAutoGrades(stock.SaveAutoGrades):
    """Score a test cell by the verdict under it; a test cell that gave none earns nothing (nbgrader would give full points)."""

    def preprocess_cell(self, cell, resources, cell_index):
        if is_grade(cell) and cell.cell_type == "code":
            verdict = cell_verdict(cell)
            points = min(max(float(verdict["points"]), 0.0), float(cell.metadata.nbgrader["points"])) if verdict else 0.0
            grade = self.gradebook.find_grade(cell.metadata.nbgrader["grade_id"], self.notebook_id, self.assignment_id,
                                              self.student_id)
            grade.auto_score = points
            grade.needs_manual_grade = grade.manual_score is not None
            self.gradebook.db.commit()
            return cell, resources
        return super().preprocess_cell(cell, resources, cell_index)


def cell_verdict(cell):
    """The verdict that a test cell left in its outputs, as a dict; None when there is none."""
    for output in cell.get("outputs", ()):
        if output.output_type == "display_data" and MIME in output.data:
            return output.data[MIME]
    return None


def cell_reason(cell):
    """Why a cell earned what it earned, in one sentence."""
    if cell.cell_type == "markdown":
        return "Answered in words: to be read by a person."
    verdict = cell_verdict(cell)
    if verdict:
        return verdict["sentence"]
    for output in cell.get("outputs", ()):
        if output.output_type == "error":
            return f"The check stopped with {output.ename}: {output.evalue}. An earlier cell failed or is missing."
    return "The check left no verdict."
