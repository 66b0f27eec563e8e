"""nbgrader's steps that make a release out of a notebook with solutions, as a course takes them."""

from typing import Any

from nbformat import NotebookNode
from nbgrader import preprocessors as stock

from score.cells import clear_solutions, read_marker


class ClearNamedSolutions(stock.NbGraderPreprocessor):
    """Replaces each solution by an error that names its question."""

    def preprocess_cell(
        self, cell: NotebookNode, resources: dict[str, Any], cell_index: int
    ) -> tuple[NotebookNode, dict[str, Any]]:
        cell.source = clear_solutions(cell.source)
        return cell, resources


class LockCells(stock.LockCells):
    """nbgrader's step, except that practice cells can be edited: students start a training over
    there, or choose demonstrations.
    """

    def preprocess_cell(
        self, cell: NotebookNode, resources: dict[str, Any], cell_index: int
    ) -> tuple[NotebookNode, dict[str, Any]]:
        cell, resources = super().preprocess_cell(cell, resources, cell_index)
        marker = read_marker(cell.source)
        if marker and marker.kind == "practice":
            cell.metadata.pop("editable", None)
        return cell, resources


class DropChecksums(stock.NbGraderPreprocessor):
    """Takes the checksums of practice cells out of a release, when the gradebook has them: where a
    student has changed such a cell, `nbgrader validate` would stop at it.
    """

    def preprocess_cell(
        self, cell: NotebookNode, resources: dict[str, Any], cell_index: int
    ) -> tuple[NotebookNode, dict[str, Any]]:
        marker = read_marker(cell.source)
        if marker and marker.kind == "practice" and "nbgrader" in cell.metadata:
            cell.metadata.nbgrader.pop("checksum", None)
        return cell, resources
