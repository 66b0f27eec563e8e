"""A course: its folder and its settings."""

import os
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

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
