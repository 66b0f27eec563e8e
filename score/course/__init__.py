"""The instructor's part: notebooks, collection, grading, reports. Needs the extra `instructor`."""

from typing import Any


def configure(config: Any, path: str) -> None:
    """Fill nbgrader's configuration `config` for the course in the folder of the file `path`.

    A course's nbgrader_config.py calls it, so that an update of the kit reaches every course.
    """
    from score.course.nbgrader import configuration

    configuration.configure(config, path)
