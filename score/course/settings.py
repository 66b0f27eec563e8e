"""The instructor's part: notebooks from their sources, a course for nbgrader, grading. Needs the
extra `instructor`.
"""

import os
import secrets
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

from score import rubric

_SETTINGS = """\
# Settings of the course. After a change: python -m score course release {folder}

# Where students get the kit: the address at which you put bundle/pusht-kit.zip. It goes into each notebook's set-up cell
# and badge. For the badge to open the notebook in Colab, put bundle/notebooks/ beside it, best in a GitHub repository
# (https://raw.githubusercontent.com/OWNER/REPO/BRANCH/pusht-kit.zip).
bundle = "{bundle}"

# The held-out episodes of the grade: drawn for this course, and not for students to know.
first_seed = {first_seed}
episodes = {episodes}
"""
_CONFIG = """\
# nbgrader reads this wherever it runs in this folder; what the course is stands in course.toml and in the kit.
from score.course import configure

configure(get_config(), __file__)  # noqa: F821
"""
ASSIGNMENT = "pusht"


class CourseError(Exception):
    """What is wrong with a course folder and what to do, in one sentence."""


@dataclass(frozen=True)
class Course:
    """A course folder and its settings."""

    folder: Path
    bundle: str
    first_seed: int
    episodes: int

    @property
    def source(self):
        return self.folder / "source" / ASSIGNMENT

    @property
    def gradebook(self):
        return f"sqlite:///{self.folder}/gradebook.db"

    def students(self):
        """Who has handed in, in alphabetical order."""
        return sorted(
            path.parent.name
            for path in (self.folder / "submitted").glob(f"*/{ASSIGNMENT}")
            if path.is_dir()
        )


def open_course(folder):
    """The `Course` in a folder; CourseError when there is none."""
    folder = Path(folder).resolve()
    settings = folder / "course.toml"
    try:
        values = tomllib.loads(settings.read_text(encoding="utf-8"))
        return Course(
            folder, str(values["bundle"]), int(values["first_seed"]), int(values["episodes"])
        )
    except FileNotFoundError:
        raise CourseError(
            f"{folder} is not a course: make one with `python -m score course create {folder}`."
        ) from None
    except (tomllib.TOMLDecodeError, KeyError, TypeError, ValueError) as error:
        raise CourseError(
            f"{settings} cannot be read ({type(error).__name__}: {error}): correct it."
        ) from None


def create(folder, *, bundle="", first_seed=None, episodes=rubric.GRADED_EPISODES):
    """Make a course in an empty or new folder: settings, nbgrader's configuration, sources,
    release, gradebook.
    """
    from score.course.notebooks.release import release

    folder = Path(folder).resolve()
    if folder.exists() and any(folder.iterdir()):
        raise CourseError(f"{folder} is not empty: name a new folder for the course.")
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)  # a submission's kernel may run as another user of this machine
    if first_seed is None:
        first_seed = rubric.GRADED_FIRST_SEED + secrets.randbelow(10**9)
    (folder / "nbgrader_config.py").write_text(_CONFIG, encoding="utf-8")
    (folder / "submitted").mkdir()
    (folder / "course.toml").write_text(
        _SETTINGS.format(
            folder=folder.name, bundle=bundle, first_seed=first_seed, episodes=episodes
        ),
        encoding="utf-8",
    )
    course = open_course(folder)
    release(course)
    return course


def configure(config, path):
    """Fill nbgrader's configuration `config` for the course in the folder of `path`."""
    course = open_course(Path(path).parent)
    config.CourseDirectory.root = str(course.folder)
    config.CourseDirectory.course_id = course.folder.name
    config.CourseDirectory.db_url = course.gradebook
    config.GenerateAssignment.preprocessors = [
        "score.course.notebooks.build.LockCells",
        "score.course.nbgrader.preprocessors.ClearNamedSolutions",
        "nbgrader.preprocessors.ClearOutput",
        "nbgrader.preprocessors.CheckCellMetadata",
        "nbgrader.preprocessors.ComputeChecksums",
        "nbgrader.preprocessors.SaveCells",
    ]
    config.Autograde.autograde_preprocessors = [
        "score.course.nbgrader.preprocessors.Execute",
        "nbgrader.preprocessors.IgnorePattern",
        "nbconvert.preprocessors.ClearMetadataPreprocessor",
        "nbgrader.preprocessors.LimitOutput",
        "score.course.nbgrader.preprocessors.SaveAutoGrades",
        "nbgrader.preprocessors.AssignLatePenalties",
        "nbgrader.preprocessors.CheckCellMetadata",
    ]
    config.Execute.first_seed = course.first_seed
    config.Execute.episodes = course.episodes
    # a hundred episodes of the slowest policy take minutes; nbgrader's 30 s are for exercises
    config.Execute.timeout = 1800
    # What a submission writes to stderr would otherwise score its test cell 0.
    config.IgnorePattern.enabled = True
    config.IgnorePattern.pattern = r"(?s)."
    # nbgrader calls alembic by its bare name. A Jupyter server loads this at every request: the
    # path is not to grow each time.
    scripts, path = str(Path(sys.executable).parent), os.environ.get("PATH", "")
    if path.split(os.pathsep)[0] != scripts:
        os.environ["PATH"] = os.pathsep.join([scripts, path])
