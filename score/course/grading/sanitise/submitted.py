"""Turns the notebook that was handed in into the one that is run: what students are not to change
is again as it was released. nbgrader's own sanitizing steps do the same from its database.
"""

import copy
import warnings

import nbformat
from nbformat import NotebookNode
from nbformat.warnings import MissingIDFieldWarning

from pusht.machine import is_of_machine
from score.cells import read_marker


def read_notebook(content: bytes) -> NotebookNode:
    """Return the notebook in a file's bytes; ValueError with the reason where there is none."""
    try:
        with warnings.catch_warnings():  # of ids that are missing: they are added here
            warnings.simplefilter("ignore", MissingIDFieldWarning)
            notebook = nbformat.reads(content.decode("utf-8"), as_version=4)
        _, notebook = nbformat.validator.normalize(notebook)
        nbformat.validate(notebook, relax_add_props=True)
        nbformat.writes(notebook).encode()  # as it is after it has been run
    except Exception as error:  # nbformat raises anything at what it does not expect
        if is_of_machine(error):
            raise
        raise ValueError(str(error) or type(error).__name__) from error
    return notebook


def grade_id(cell: NotebookNode) -> str | None:
    """Return the id that a cell has for nbgrader; None without one."""
    metadata = cell.metadata.get("nbgrader")
    found = metadata.get("grade_id") if isinstance(metadata, dict) else None
    return found if isinstance(found, str) else None


def check_id(cell: NotebookNode) -> str | None:
    """Return the id of a test cell, whose check is judged; None of any other cell."""
    if cell.cell_type == "code" and grade_id(cell) and cell.metadata.nbgrader.get("grade"):
        return grade_id(cell)
    return None


def sanitise(notebook: NotebookNode, released: NotebookNode) -> None:
    """Change a notebook in place to what is run.

    Each released cell has its type and nbgrader's metadata again, and where students are not to
    edit it its source. Of cells with the same id the last counts; the others, and cells that were
    not released, are ordinary ones. There are no outputs.
    """
    originals = {grade_id(cell): cell for cell in released.cells if grade_id(cell)}
    for cell in reversed(notebook.cells):
        original = originals.pop(grade_id(cell), None)
        if original is None:
            cell.metadata.pop("nbgrader", None)
        else:
            cell.metadata["nbgrader"] = copy.deepcopy(original.metadata.nbgrader)
            cell.cell_type = original.cell_type
            if not may_change(original):
                cell.source = original.source
        _clear_outputs(cell)
    if "kernelspec" in released.metadata:
        notebook.metadata["kernelspec"] = copy.deepcopy(released.metadata.kernelspec)


def may_change(released: NotebookNode) -> bool:
    """Say whether students may change a released cell: an answer, or a practice cell."""
    marker = read_marker(released.source)
    practice = marker is not None and marker.kind == "practice"
    return practice or bool(released.metadata.nbgrader.get("solution"))


def _clear_outputs(cell: NotebookNode) -> None:
    if cell.cell_type == "code":
        cell.outputs, cell.execution_count = [], None
        for name in ("collapsed", "scrolled"):
            cell.metadata.pop(name, None)
        cell.pop("attachments", None)
    else:
        cell.pop("outputs", None)
        cell.pop("execution_count", None)


def empty_answers(notebook: NotebookNode, released: NotebookNode) -> set[str]:
    """Return the ids of the cells whose text is as it was released: nothing was answered there."""
    texts = {grade_id(cell): cell.source for cell in released.cells}
    return {
        found
        for cell in notebook.cells
        if (found := grade_id(cell)) and cell.source == texts.get(found)
    }
