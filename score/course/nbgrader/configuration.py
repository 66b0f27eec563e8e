"""nbgrader's configuration of a course, and what the course's own grading takes from it."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from traitlets import TraitError
from traitlets.config import Config, ConfigFileNotFound
from traitlets.config.loader import PyFileConfigLoader

from score.course.settings import Course, CourseError, Limits, open_course

if TYPE_CHECKING:
    from nbgrader.apps import NbGraderAPI

_FILE = "nbgrader_config.py"


def configure(config: Config, path: str) -> None:
    """Fill nbgrader's configuration `config` for the course in the folder of the file `path`."""
    course = open_course(Path(path).parent)
    config.CourseDirectory.root = str(course.folder)
    config.CourseDirectory.course_id = course.folder.name
    config.CourseDirectory.db_url = course.gradebook
    config.GenerateAssignment.preprocessors = [
        "score.course.notebooks.steps.LockCells",
        "score.course.notebooks.steps.ClearNamedSolutions",
        "nbgrader.preprocessors.ClearOutput",
        "nbgrader.preprocessors.CheckCellMetadata",
        "nbgrader.preprocessors.ComputeChecksums",
        "nbgrader.preprocessors.SaveCells",
    ]
    config.Autograde.sanitize_preprocessors = [
        "nbgrader.preprocessors.ClearOutput",
        "nbgrader.preprocessors.DeduplicateIds",
        "nbgrader.preprocessors.OverwriteKernelspec",
        "score.course.nbgrader.preprocessors.OverwriteCells",
        "nbgrader.preprocessors.CheckCellMetadata",
    ]
    config.Autograde.autograde_preprocessors = [
        "score.course.nbgrader.preprocessors.Execute",
        "score.course.nbgrader.preprocessors.SaveAutoGrades",
        "score.course.nbgrader.late.AssignLatePenalties",
        "nbgrader.preprocessors.CheckCellMetadata",
        "score.course.nbgrader.preprocessors.Clean",
    ]
    # Of graded submissions, which by default all users may read.
    config.Autograde.permissions = 440 if course.folder.stat().st_mode & 0o020 else 400
    # nbgrader calls alembic by its bare name. A Jupyter server loads this file at every request:
    # the path must not grow each time.
    scripts, search_path = str(Path(sys.executable).parent), os.environ.get("PATH", "")
    if search_path.split(os.pathsep)[0] != scripts:
        os.environ["PATH"] = os.pathsep.join([scripts, search_path])


def read(folder: Path) -> Config:
    """Return nbgrader's configuration as its own commands read it in a course's folder.

    CourseError where nbgrader_config.py is missing or raises.
    """
    try:
        return PyFileConfigLoader(_FILE, str(folder)).load_config()
    except CourseError:
        raise
    except ConfigFileNotFound:
        problem = "is missing"
    except Exception as error:  # the file may hold any code
        problem = f"raises {type(error).__name__}: {error}"
    raise CourseError(f"{folder / _FILE} {problem}: make it as `course create` writes it.")


def limits(config: Config) -> Limits:
    """Return the limits that a configuration sets as options of `Execute`; CourseError for one that
    is no whole number.
    """
    from score.course.nbgrader.preprocessors import Execute

    try:
        return Execute(config=config).limits
    except TraitError as error:
        raise CourseError(f"{_FILE} sets a limit that cannot be used: {error}") from None


def api(course: Course) -> NbGraderAPI:
    """Return nbgrader's own API with the course's configuration: it does what nbgrader's command
    line does in the course's folder.
    """
    from nbgrader.apps import NbGraderAPI

    return NbGraderAPI(config=Config(read(course.folder)))
