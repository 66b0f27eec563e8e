"""The notebook that the kit writes for a submission in another format than a notebook."""

import copy
import re

import nbformat

from score import rubric
from score.cells import UNANSWERED
from score.submission.formats import Format


def substitute(released: nbformat.NotebookNode, format: Format) -> nbformat.NotebookNode:
    """Return the released notebook with nothing answered and with the format's cells, which define
    the part's policies, before its first rollouts.
    """
    texts, part = format.substitute, rubric.PARTS[format.part]
    made = copy.deepcopy(released)
    for cell in made.cells:
        if cell.get("metadata", {}).get("nbgrader", {}).get("solution"):
            # No question is named: an answer may stand in the way of a later one's check.
            cell.source = re.sub(
                rf"{UNANSWERED} for Q\d+\.\d+",
                f"{UNANSWERED} in a notebook, not tried: {texts.reason}",
                cell.source,
            )
            cell.source += f" {texts.written}" if cell.cell_type == "markdown" else ""
    first_rollouts = f"part{part.number}-{part.policies[0].cell}"
    at = next(i for i, cell in enumerate(made.cells) if cell.get("id") == first_rollouts)
    new = {"markdown": nbformat.v4.new_markdown_cell, "code": nbformat.v4.new_code_cell}
    made.cells[at:at] = [new[kind](source, id=key) for key, kind, source in texts.cells]
    return made
