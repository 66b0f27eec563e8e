"""Repair a notebook that people and Colab have changed: the release's notebook again, with the
student's answers in it.

    notebook, repairs = repair(content, released)

The result has each of the release's marked cells once, in the release's order, with the release's
metadata and ids. Locked cells have the release's source, answer cells the student's. The student's
own cells, which may hold what an answer needs, stay beside their neighbours. Outputs, execution
counts and all other metadata are removed, and with them the names and photos that Colab keeps.

A cell is recognised by the marker in its first line (`score.cells`), else by nbgrader's metadata,
else by its id, else by the release's text. An answer that has lost all of these is recognised by
what it defines, or by its place.

Not repaired: code that is wrong or broken; an answer in several cells none of which is recognised;
and what was written into a locked cell, except imports, definitions and plain values.
"""

import copy

import nbformat
from nbformat import NotebookNode

from score.course.collect.repair.answers import choose, find_lost_answers
from score.course.collect.repair.locked import rescue_from_locked
from score.course.collect.repair.notebook_file import MAX_BYTES, MAX_CELLS, RepairError, read
from score.course.collect.repair.pieces import MAX_CODE, take_apart
from score.course.collect.repair.result import assemble, describe
from score.course.collect.repair.state import Release, State

__all__ = ["MAX_BYTES", "MAX_CELLS", "MAX_CODE", "RepairError", "repair"]


def repair(content: bytes | str, released: NotebookNode) -> tuple[NotebookNode, list[str]]:
    """Return a student's notebook repaired, and what was repaired, a sentence each.

    content: of the student's file. released: the notebook that students were given.
    RepairError when the file is no notebook, or has no cell of the release.
    """
    document = read(content)
    state = State(Release(released))
    take_apart(document["cells"], state)
    choose(state)
    find_lost_answers(state)
    rescue_from_locked(state)
    if not state.chosen:
        raise RepairError(
            "None of its cells is one of this notebook's: is it another part's, or another"
            " course's?"
        )
    describe(document, state)
    notebook = nbformat.from_dict(
        {
            "nbformat": 4,
            "nbformat_minor": 5,
            "metadata": copy.deepcopy(released.metadata),
            "cells": assemble(state),
        }
    )
    nbformat.validate(notebook)
    return notebook, state.repairs
