"""A course: its folder, its settings, and what is drawn from its secret."""

import contextlib
import hmac
import itertools
import os
import re
import secrets
import tomllib
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from pusht.files import write_whole
from score import rubric
from score.submission.failures import TellingError

ASSIGNMENT = "pusht"
_SECRET_BYTES = 16
_PACKAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(?:==[A-Za-z0-9.+!_-]+)?")
_SEEDS = 10**9  # Held-out ones; those of practice are below, those of demonstrations above.


class CourseError(TellingError):
    """What is wrong with a course folder and what to do, in one sentence."""


@dataclass(frozen=True)
class Course:
    """A course folder and its settings.

    secret: hexadecimal digits of 128 bits, "" in a course of an earlier version. first_seed: of
    consecutive held-out seeds, in place of those that follow from the secret; None for these.
    packages: what the grading machine has beside the kit's own requirements, by pip's names, for
    submissions that import it.
    """

    folder: Path
    bundle: str
    episodes: int
    secret: str
    first_seed: int | None = None
    packages: tuple[str, ...] = ()

    @property
    def seed(self) -> int | str:
        """What `RunSettings` draws from: the first seed where the course has one, or the secret."""
        return self.secret if self.first_seed is None else self.first_seed

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
        submitted = self.folder / "submitted"
        names = os.listdir(submitted) if submitted.is_dir() else []
        return sorted(name for name in names if _is_folder(submitted / name / ASSIGNMENT))


def _is_folder(path: Path) -> bool:
    """Say whether a path is a folder, or may be one that cannot be looked at."""
    try:
        return path.is_dir()
    except PermissionError:
        return True


@dataclass(frozen=True)
class Limits:
    """What a graded notebook may take: seconds a cell and altogether, bytes of memory of all its
    processes together, bytes of outputs.
    """

    cell_seconds: int = 1800
    notebook_seconds: int = 3600
    memory_bytes: int = 4 * 2**30
    output_bytes: int = 10 * 2**20


@dataclass(frozen=True)
class RunSettings:
    """How a course has notebooks graded: the held-out episodes, how many of each policy's are
    filmed, and the limits.

    seed: a course's secret, in hexadecimal digits, or the first of consecutive seeds. episodes: the
    most of a policy. seconds: of the policies of a part together, by the rubric's `episode_seconds`
    and not by the clock. at_once: whether students read the verdicts while they can still hand in
    again.
    """

    seed: int | str
    episodes: int
    seconds: float = rubric.GRADED_SECONDS
    filmed: int = 10
    limits: Limits = field(default_factory=Limits)
    at_once: bool = False

    def episode_seeds(self, count: int) -> list[int]:
        """Return the seeds of the first so many held-out episodes.

        From a secret each is drawn by a keyed hash (HMAC) of its number: who knows some of them
        can compute neither the secret nor another one. With a larger count the first stay the same.
        """
        if isinstance(self.seed, int):
            return list(range(self.seed, self.seed + count))
        found: dict[int, None] = {}
        for number in itertools.count():
            if len(found) == count:
                break
            drawn = int.from_bytes(_keyed(self.seed, f"episode {number}"))
            found[rubric.GRADED_FIRST_SEED + drawn % _SEEDS] = None
        return list(found)

    def generator(self, name: str) -> np.random.Generator:
        """Return the generator of what is drawn under a name, such as a question's hidden inputs;
        always the same.
        """
        if isinstance(self.seed, int):
            return np.random.default_rng([self.seed, *name.encode()])
        return np.random.default_rng(int.from_bytes(_keyed(self.seed, name)))


def new_secret() -> str:
    """Return a secret for a course: hexadecimal digits of 128 random bits."""
    return secrets.token_hex(_SECRET_BYTES)


def other_secret(secret: str, name: str) -> str:
    """Return the secret that follows from another one under a name. The way back is closed."""
    return _keyed(secret, name)[:_SECRET_BYTES].hex()


def _keyed(secret: str, name: str) -> bytes:
    return hmac.digest(bytes.fromhex(secret), name.encode(), "sha256")


def with_secret(course: Course) -> Course:
    """Return a course that has a secret: one of an earlier version gets it in its course.toml."""
    if course.secret:
        return course
    settings, secret = course.folder / "course.toml", new_secret()
    text = settings.read_text(encoding="utf-8")
    note = "# Drawn for this course, and not for students to know."
    write_whole(settings, f'{note}\nsecret = "{secret}"\n\n{text}')
    return replace(course, secret=secret)


def keep_private(folder: Path) -> None:
    """Take from others than its owner the rights on a course's folder, and on whatever this process
    writes from now on. A group that may write to the folder, as where graders share it, keeps its
    rights.

    Students' code may run as another user of the machine, and students may have accounts there.
    """
    mode = folder.stat().st_mode & 0o7777
    rights = mode & ~(0o007 if mode & 0o020 else 0o077)
    if rights != mode:
        with contextlib.suppress(PermissionError):  # another grader's folder: its owner's to change
            folder.chmod(rights)
    os.umask(0o007 if mode & 0o020 else 0o077)


def open_course(folder: str | os.PathLike[str]) -> Course:
    """Return the `Course` in a folder, which is then private (see `keep_private`); CourseError when
    there is none.
    """
    folder = Path(folder).resolve()
    settings = folder / "course.toml"
    try:
        values = tomllib.loads(settings.read_text(encoding="utf-8"))
        keep_private(folder)
        secret, first = str(values.get("secret", "")), values.get("first_seed")
        if len(bytes.fromhex(secret)) < _SECRET_BYTES and (secret or first is None):
            raise ValueError(f"it needs a secret of {2 * _SECRET_BYTES} hexadecimal digits")
        packages = values.get("packages", [])
        if not isinstance(packages, list) or not all(map(_PACKAGE.fullmatch, map(str, packages))):
            raise ValueError('packages is a list of names for pip, such as ["einops"]')
        return Course(
            folder,
            str(values["bundle"]),
            int(values["episodes"]),
            secret,
            None if first is None else int(first),
            tuple(map(str, packages)),
        )
    except FileNotFoundError:
        raise CourseError(
            f"{folder} is not a course: make one with `python -m score course create {folder}`."
        ) from None
    except (tomllib.TOMLDecodeError, KeyError, TypeError, ValueError) as error:
        raise CourseError(
            f"{settings} cannot be read ({type(error).__name__}: {error}): correct it."
        ) from None
