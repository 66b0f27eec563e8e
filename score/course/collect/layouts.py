"""Layouts of the exports of learning management systems (LMS): whose a file in one is.

Whose a file is, is read off its path in the export, and a zip counts as a folder:

    Gradescope  submission_1/…, with submission_metadata.yml that names the submitters: a student
                is named by e-mail address, else by student number
    Moodle      Ann Lee_1234567_assignsubmission_file_/…    student 1234567
    Canvas      leeann_12345_67890_…, leeann_LATE_12345_…   student 12345
    folders     STUDENT/… and STUDENT.zip
    files       STUDENT_part1_mlp.ipynb

A system is added here: a `Layout` in `LAYOUTS`, with a pattern for its paths.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import yaml

from score.course.collect.stored import STUDENT, parsed_time
from score.course.settings import ASSIGNMENT, CourseError
from score.submission.archive import MB, NOISE, Archive, ArchiveMember, RejectedFile, listed
from score.submission.formats import is_submitted

Owner = tuple[str, datetime]  # a student, and when the file was handed in
Owners = Callable[[ArchiveMember], list[Owner]]


@dataclass(frozen=True)
class Layout:
    """Paths that say whose they are.

    name: as the plan shows it. patterns: regular expressions, each with a group `student`; the
    first that a path begins with counts. own_files: names of files that belong to no student.
    """

    name: str
    patterns: tuple[re.Pattern[str], ...]
    own_files: tuple[str, ...] = ()

    def fits(self, paths: Iterable[str]) -> bool:
        """Say whether an export with these paths is of this layout: it has one that is a file for
        the course.
        """
        return any(self.student(path) and is_submitted(path) for path in paths)

    def student(self, path: str) -> str | None:
        """Return what a path says of whose it is; None where it says nothing."""
        matches = (pattern.match(path) for pattern in self.patterns)
        return next((match["student"] for match in matches if match), None)

    def owners(self, archive: Archive, members: list[ArchiveMember]) -> Owners:
        """Return a function that says whose a member is, and when it was handed in."""

        def owners(member: ArchiveMember) -> list[Owner]:
            student = self.student(member.path)
            return [(student, member.received)] if student else []

        return owners


class _Gradescope(Layout):
    """Gradescope's, whose metadata name the submitters of each folder, one or several, and when
    they handed in.
    """

    def fits(self, paths: Iterable[str]) -> bool:
        return self.own_files[0] in paths

    def owners(self, archive: Archive, members: list[ArchiveMember]) -> Owners:
        submissions = self._submissions(archive, members)
        return lambda member: submissions.get(self.student(member.path) or "", [])

    def _submissions(
        self, archive: Archive, members: list[ArchiveMember]
    ) -> dict[str, list[Owner]]:
        metadata = next(member for member in members if member.path == self.own_files[0])
        try:
            content = archive.read(metadata, 100 * MB)
            document = yaml.load(content, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
            return {
                folder: _submitters(submission, metadata.received)
                for folder, submission in document.items()
            }
        except (
            RejectedFile,
            yaml.YAMLError,
            AttributeError,
            KeyError,
            TypeError,
            ValueError,
            RecursionError,
        ) as error:
            raise CourseError(
                f"{metadata.path} of the export cannot be read ({type(error).__name__}:"
                f" {str(error)[:200]})."
            ) from None


def _submitters(submission: dict[str, Any], received: datetime) -> list[Owner]:
    if created := submission.get(":created_at"):
        received = parsed_time(created)
    owners = []
    for person in submission[":submitters"]:
        names = [str(person.get(key) or "") for key in (":email", ":sid", ":name")]
        usable = [name for name in names if STUDENT.fullmatch(name)]
        owners.append((next(filter(None, [*usable, *names]), "?"), received))
    return owners


FALLBACK = Layout(
    "folders and files",
    (
        re.compile(r"(?P<student>[^/]+?)(?:(?i:\.zip)(?:/|$)|/)"),
        re.compile(r"(?:Copy of )*(?P<student>[^/]+?)[ _-]+part\d_[^/]+$"),
    ),
)
LAYOUTS = (
    _Gradescope(
        "Gradescope", (re.compile(r"(?P<student>submission_\d+)/"),), ("submission_metadata.yml",)
    ),
    Layout("Moodle", (re.compile(r"[^/]*?_(?P<student>\d+)_assignsubmission_file"),)),
    Layout(
        "Canvas",
        (
            re.compile(
                r"[^/_]+_(?:LATE_)?(?P<student>\d+)_(?:LATE_)?\d+_(?:[^/]+(?i:\.zip)/|[^/]+$)"
            ),
        ),
    ),
)
_OWN_FILES = {name for layout in LAYOUTS for name in layout.own_files}


@dataclass(frozen=True)
class SortedExport:
    """The files of an export by student.

    layout: the name of the export's layout. students: {student: members}, each member with the time
    when it was handed in. remarks: sentences on members that are nobody's.
    """

    layout: str
    students: dict[str, list[ArchiveMember]]
    remarks: list[str]


def by_student(archive: Archive, pattern: str | None = None) -> SortedExport:
    """Return the files of an export by student.

    pattern: a regular expression of the instructor's, with a group `student`, that is matched from
    the start of each path in place of the layouts. CourseError where it cannot be used.
    """
    members = [member for member in archive.members if not NOISE.search(member.path)]
    if pattern:
        layout = Layout("by your pattern", (_compiled(pattern),))
    else:
        members = _unwrapped(members) if archive.zip else members
        layout = _layout_of([member.path for member in members])
    owners = layout.owners(archive, members)
    students: dict[str, list[ArchiveMember]] = {}
    lost = []
    for member in members:
        found = owners(member)
        for student, received in found:
            students.setdefault(student, []).append(replace(member, received=received))
        if not found and member.path not in _OWN_FILES:
            lost.append(member)
    remarks = [f"Nothing says whose these are: {listed(lost)}."] if lost else []
    return SortedExport(layout.name, students, remarks)


def _layout_of(paths: list[str]) -> Layout:
    return next((layout for layout in LAYOUTS if layout.fits(paths)), FALLBACK)


def _compiled(pattern: str) -> re.Pattern[str]:
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise CourseError(f"The pattern {pattern!r} is no regular expression: {error}.") from None
    if "student" not in compiled.groupindex:
        raise CourseError(
            f"The pattern {pattern!r} has no group for the student: write (?P<student>…)."
        )
    return compiled


def _unwrapped(members: list[ArchiveMember]) -> list[ArchiveMember]:
    """Return the members of a zip without the one folder that holds all of them, where it is not a
    student's: what is in a student's folder must not say whose it is.
    """
    paths = [member.path for member in members]
    tops = {path.partition("/")[0] for path in paths}
    inner = [path.partition("/")[2] for path in paths]
    if len(tops) != 1 or not all(inner) or _layout_of(paths) is not FALLBACK:
        return members
    top = min(tops)
    folders = {path.partition("/")[0] for path in inner}
    deeper = all("/" in path for path in inner) and folders != {ASSIGNMENT}
    wrapper = deeper or re.fullmatch(r"assignment_\d+_export", top)
    if top.lower().endswith(".zip") or not wrapper:
        return members
    return [replace(member, path=path) for member, path in zip(members, inner, strict=True)]
