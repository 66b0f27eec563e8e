"""A course: its folder, its settings, and how one is made."""

import os
import secrets
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

from score import rubric

_SETTINGS = """\
# Settings of the course. After a change: python -m score course release {folder}

# Where students get the kit: the address at which you put bundle/pusht-kit.zip. It goes into each
# notebook's set-up cell and badge. For the badge to open the notebook in Colab, put
# bundle/notebooks/ beside it, best in a GitHub repository
# (https://raw.githubusercontent.com/OWNER/REPO/BRANCH/pusht-kit.zip).
bundle = "{bundle}"

# The held-out episodes of the grade: drawn for this course, and not for students to know.
first_seed = {first_seed}
episodes = {episodes}
"""
_CONFIG = """\
# nbgrader reads this file when it runs in this folder. The course's settings are in course.toml.
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
    def source(self) -> Path:
        """The notebooks with solutions, as nbgrader makes the release from them."""
        return self.folder / "source" / ASSIGNMENT

    @property
    def gradebook(self) -> str:
        """The address of nbgrader's database."""
        return f"sqlite:///{self.folder}/gradebook.db"

    def released(self, part: str) -> Path:
        """Return the path of a part's released notebook."""
        return self.folder / "release" / ASSIGNMENT / f"{part}.ipynb"

    def submission(self, student: str) -> Path:
        """Return the folder of what a student has handed in."""
        return self.folder / "submitted" / student / ASSIGNMENT

    def students(self) -> list[str]:
        """Return who has handed in, in alphabetical order."""
        return sorted(
            path.parent.name
            for path in (self.folder / "submitted").glob(f"*/{ASSIGNMENT}")
            if path.is_dir()
        )


@dataclass(frozen=True)
class Limits:
    """What a graded notebook may take: seconds a cell and altogether, bytes of memory of all its
    processes together, bytes of outputs.
    """

    cell_seconds: int = 1800  # the slowest policy's hundred episodes take minutes
    notebook_seconds: int = 3600
    memory_bytes: int = 4 * 2**30
    output_bytes: int = 10 * 2**20


@dataclass(frozen=True)
class RunSettings:
    """How a course has notebooks graded: the held-out episodes, how many of each policy's are
    filmed, and the limits.
    """

    first_seed: int
    episodes: int
    filmed: int = 10
    limits: Limits = field(default_factory=Limits)


def open_course(folder: str | os.PathLike[str]) -> Course:
    """Return the `Course` in a folder; CourseError when there is none."""
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


def create(
    folder: Path | str,
    *,
    bundle: str = "",
    first_seed: int | None = None,
    episodes: int = rubric.GRADED_EPISODES,
) -> Course:
    """Make a course in an empty or new folder and return it: its settings, nbgrader's
    configuration, the notebooks' sources, their release and the gradebook.

    first_seed: of the held-out episodes; drawn for this course when None.
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
