"""nbgrader's configuration of a course, and what the course's own grading takes from it."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from traitlets import TraitError
from traitlets.config import Config, ConfigFileNotFound
from traitlets.config.loader import PyFileConfigLoader

from score.course.nbgrader import exchange
from score.course.settings import Course, CourseError, Limits, open_course
from score.plain import plain_line

if TYPE_CHECKING:
    from nbgrader.apps import NbGraderAPI

_FILE = "nbgrader_config.py"
_NEEDED = (
    "Beside lines of your own it needs `from score.course import configure` and"
    " `configure(get_config(), __file__)`."
)
_IMPORTABLE = set[str]()  # courses' folders that were added to the path of modules


def configure(config: Config, path: str) -> None:
    """Fill nbgrader's configuration `config` for the course in the folder of the file `path`."""
    course = open_course(Path(path).parent)
    _make_importable(course.folder)
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
        "score.course.notebooks.steps.DropChecksums",
    ]
    config.Autograde.sanitize_preprocessors = [
        "score.course.nbgrader.preprocessors.Repair",
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
    exchange.configure(config, course.folder)
    # Of graded submissions, which by default all users may read.
    config.Autograde.permissions = 440 if course.folder.stat().st_mode & 0o020 else 400
    # nbgrader calls alembic by its bare name. A Jupyter server loads this file at every request:
    # the path must not grow each time.
    scripts, search_path = str(Path(sys.executable).parent), os.environ.get("PATH", "")
    if search_path.split(os.pathsep)[0] != scripts:
        os.environ["PATH"] = os.pathsep.join([scripts, search_path])


def _make_importable(folder: Path) -> None:
    """Have modules in the course's folder found, such as one with the rule for late work, as they
    are now; those of a course that was open before have the same names and are other rules.
    """
    for path in {*_IMPORTABLE}:
        for name, module in [*sys.modules.items()]:
            if Path(getattr(module, "__file__", None) or "").parent == Path(path):
                del sys.modules[name]
        if path != str(folder):
            sys.path[:] = [each for each in sys.path if each != path]  # who set it back lost it
            _IMPORTABLE.remove(path)
    if str(folder) not in sys.path:
        _IMPORTABLE.add(str(folder))
        sys.path.append(str(folder))  # last: it replaces nothing


def read(folder: Path) -> Config:
    """Return nbgrader's configuration as its own commands read it in a course's folder.

    CourseError where nbgrader_config.py is missing or raises.
    """
    try:
        config: Config = PyFileConfigLoader(_FILE, str(folder)).load_config()
        if config.CourseDirectory.get("root") == str(folder):
            return config
        problem = "does not say that this is a course of the kit"
    except CourseError:
        raise
    except ConfigFileNotFound:
        problem = "is missing"
    except SyntaxError as error:
        problem = f"is no Python in line {error.lineno} ({error.msg})"
    except Exception as error:  # the file may hold any code
        problem = f"raises {type(error).__name__}: {plain_line(str(error))}"
    raise CourseError(f"{folder / _FILE} {problem}. {_NEEDED}")


def compiled(folder: Path) -> None:
    """Only read a course's nbgrader_config.py; CourseError where it is missing or no Python."""
    try:
        compile((folder / _FILE).read_bytes(), _FILE, "exec")
    except FileNotFoundError:
        raise CourseError(f"{folder / _FILE} is missing. {_NEEDED}") from None
    except (SyntaxError, ValueError) as error:
        raise CourseError(f"{folder / _FILE} is no Python ({error}). {_NEEDED}") from None


def require_steps(config: Config, folder: Path) -> None:
    """Raise a CourseError where a configuration of a course has other steps than the course's for
    nbgrader's own commands and its page: these would give everybody 0.
    """
    ours = Config()
    configure(ours, str(folder / _FILE))
    for part, names in {
        "Autograde": ("sanitize_preprocessors", "autograde_preprocessors"),
        "GenerateAssignment": ("preprocessors",),
    }.items():
        for name in names:
            if config[part].get(name) != ours[part][name]:
                raise CourseError(
                    f"{folder / _FILE} sets {part}.{name}, without which nbgrader's own commands"
                    " give 0 points: take that line out."
                )


def limits(config: Config) -> Limits:
    """Return the limits that a configuration sets as options of `Execute`; CourseError for one that
    is no whole number.
    """
    from score.course.nbgrader.preprocessors import Execute

    try:
        found = Execute(config=config).limits
    except TraitError as error:
        raise CourseError(f"{_FILE} sets a limit that cannot be used: {error}") from None
    for name, value in vars(found).items():
        if value < 1:
            raise CourseError(
                f"{_FILE} sets a limit that cannot be used: {name} is {value}, and 1 is the least."
            )
    return found


def api(course: Course) -> NbGraderAPI:
    """Return nbgrader's own API with the course's configuration: it does what nbgrader's command
    line does in the course's folder.
    """
    from nbgrader.apps import NbGraderAPI

    return NbGraderAPI(config=Config(read(course.folder)))
