"""A course's folder: what it is, and where things lie in it."""

import contextlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import tzinfo
from pathlib import Path

from pusht.files import write_whole
from score import rubric
from score.course.settings.assignment import Assignment
from score.course.settings.problems import CourseError
from score.course.settings.reading import read_settings
from score.course.settings.run import new_secret
from score.course.settings.schedule import default_assignment
from score.entries import Part, with_points

SETTINGS = "course.toml"


@dataclass(frozen=True)
class Course:
    """A course folder and its settings.

    bundle: address of the students' kit, "" for none. secret: hexadecimal digits of 128 bits, "" in
    a course of an earlier version. first_seed: of consecutive held-out seeds, in place of those
    that follow from the secret; None for these. title: "" for the folder's name. time_zone: of
    times that do not say theirs; None for the machine's. points: those that differ from the
    rubric's, by `entries.points_key`. roster: path of the list of students; None for none.
    packages: what the grading machine has beside the kit's own requirements, by pip's names, for
    submissions that import it.
    """

    folder: Path
    bundle: str
    episodes: int
    secret: str
    first_seed: int | None = None
    title: str = ""
    time_zone: tzinfo | None = None
    assignments: tuple[Assignment, ...] = field(default_factory=lambda: (default_assignment(),))
    points: Mapping[str, float] = field(default_factory=dict)
    roster: Path | None = None
    packages: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The course's name, as pages show it."""
        return self.title or self.folder.name

    @property
    def seed(self) -> int | str:
        """What `RunSettings` draws from: the first seed where the course has one, or the secret."""
        return self.secret if self.first_seed is None else self.first_seed

    @property
    def parts(self) -> dict[str, Part]:
        """The parts of the course's assignments by name, in the rubric's order, with the course's
        points.
        """
        names = {part for assignment in self.assignments for part in assignment.parts}
        return {
            name: with_points(part, self.points)
            for name, part in rubric.PARTS.items()
            if name in names
        }

    def assignment_of(self, part: str) -> Assignment:
        """Return the assignment that a part belongs to; KeyError where it is not in the course."""
        for assignment in self.assignments:
            if part in assignment.parts:
                return assignment
        raise KeyError(f"{part} is not in the course.")

    def parts_of(self, assignment: Assignment) -> dict[str, Part]:
        """Return the parts of an assignment by name, with the course's points."""
        return {name: self.parts[name] for name in assignment.parts}

    @property
    def gradebook(self) -> str:
        """The address of nbgrader's database."""
        return f"sqlite:///{self.folder}/gradebook.db"

    def source(self, assignment: Assignment) -> Path:
        """Return the folder of the notebooks with solutions, from which nbgrader makes the release
        of an assignment.
        """
        return self.folder / "source" / assignment.name

    def released(self, part: str) -> Path:
        """Return the path of a part's released notebook."""
        return self.folder / "release" / self.assignment_of(part).name / f"{part}.ipynb"

    def submission(self, student: str, assignment: Assignment) -> Path:
        """Return the folder of what a student has handed in for an assignment."""
        return self.folder / "submitted" / student / assignment.name

    def incomplete(self, student: str, assignment: Assignment) -> Path:
        """Return the folder of what a student has handed in without a notebook."""
        folder = self.folder / "incomplete" / student
        return folder / assignment.name if self.assignments[1:] else folder

    def autograded(self, student: str, assignment: Assignment) -> Path:
        """Return the folder of a student's graded notebooks and films of an assignment."""
        return self.folder / "autograded" / student / assignment.name

    def feedback(self, student: str, assignment: Assignment) -> Path:
        """Return the path of the page to hand back to a student for an assignment."""
        return self.folder / "feedback" / student / assignment.name / "feedback.html"

    def students(self) -> list[str]:
        """Return who has handed in anything, in alphabetical order."""
        submitted = self.folder / "submitted"
        names = os.listdir(submitted) if submitted.is_dir() else []
        return sorted(
            name
            for name in names
            if any(_is_folder(submitted / name / one.name) for one in self.assignments)
        )


def _is_folder(path: Path) -> bool:
    """Say whether a path is a folder, or may be one that cannot be looked at."""
    try:
        return path.is_dir()
    except PermissionError:
        return True


def with_secret(course: Course) -> Course:
    """Return a course that has a secret: one of an earlier version gets it in its course.toml."""
    if course.secret:
        return course
    settings, secret = course.folder / SETTINGS, new_secret()
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
    there is none, with the first of what is wrong in its course.toml.
    """
    course, wrong = read_course(folder)
    if course is None or wrong:
        folder = Path(folder).resolve()
        more = f" ({len(wrong) - 1} more: `python -m score course check {folder}` lists them.)"
        raise CourseError(wrong[0] + (more if wrong[1:] else ""))
    return course


def read_course(folder: str | os.PathLike[str]) -> tuple[Course | None, list[str]]:
    """Return the course in a folder, which is then private, with a default in place of each setting
    that is wrong, and a sentence on each of those; no course where course.toml cannot be read at
    all. CourseError where there is none.
    """
    folder = Path(folder).resolve()
    values, wrong = read_settings(folder / SETTINGS)
    keep_private(folder)
    return (Course(folder, **values) if values else None), wrong
