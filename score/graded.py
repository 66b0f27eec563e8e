"""Tell whether this process is grading a notebook."""

import os


def graded() -> bool:
    """Return whether the notebook is being executed to grade or to validate it."""
    return "NBGRADER_EXECUTION" in os.environ
