"""Tell whether this process runs a notebook as for the grade, and who judges it."""

import os

_RUN = "NBGRADER_EXECUTION"  # nbgrader sets it to "autograde" or "validate"
REHEARSAL = {_RUN: "rehearsal"}  # the environment of a rehearsal (see `score.rerun`)


def graded() -> bool:
    """Return whether the notebook is executed as for the grade: to grade, to validate or to
    rehearse it. Nothing is trained and nothing shown then.
    """
    return _RUN in os.environ


def validated() -> bool:
    """Return whether `nbgrader validate` executes the notebook. Its checks say what they say in
    practice.
    """
    return os.environ.get(_RUN) == "validate"


def rehearsed() -> bool:
    """Return whether the notebook is executed in a rehearsal."""
    return os.environ.get(_RUN) == REHEARSAL[_RUN]
