"""Whether this process is grading a notebook."""

import os


def graded() -> bool:
    """Return whether nbgrader executes the notebook, to grade or to validate it."""
    return "NBGRADER_EXECUTION" in os.environ
