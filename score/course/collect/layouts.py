"""Layouts of the exports of learning management systems (LMS): whose a file in one is.

Whose a file is, is read off its path in the export, and a zip counts as a folder:

    Gradescope  submission_1/…, with submission_metadata.yml that names the submitters: a student
                is named by e-mail address, else by student number
    Moodle      Ann Lee_1234567_assignsubmission_file_/…    student 1234567
    Canvas      leeann_12345_67890_…, leeann_LATE_12345_…   student 12345
    folders     STUDENT/… and STUDENT.zip
    files       STUDENT_part1_mlp.ipynb

Students choose the names of their files, and on some systems their own. So one name decides
nothing: an export has the layout of most of its paths, and a path that can be read as two
students', or a student whom two entries claim in different ways, is refused.

A system is added here: a `Layout` in `LAYOUTS`, with a pattern for its paths.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import yaml

from score.course.collect.stored import STUDENT, parsed_time
from score.course.settings import CourseError
from score.submission.archive import MB, NOISE, Archive, ArchiveMember, RejectedFile, listed
from score.submission.files import taken_name
from score.submission.formats import is_submitted


@dataclass(frozen=True)
class Claim:
    """Says that a file is a student's.

    way: what claims it, such as a display name before the student's number: the same for all that
    one student has in an export. received: when the file was handed in.
    """

    student: str
    way: str
    received: datetime


Owners = Callable[[ArchiveMember], Sequence[Claim]]


@dataclass(frozen=True)
class Layout:
    """Paths that say whose they are.

    name: as the plan shows it. patterns: regular expressions for the beginning of a path, each with
    a group `student` and, where other text names the student too, a group `way`. own_files: names
    of files that belong to no student.
    """

    name: str
    patterns: tuple[re.Pattern[str], ...]
    own_files: tuple[str, ...] = ()

    def count(self, paths: Sequence[str], of_course: Iterable[str]) -> int:
        """Return how many of the paths `of_course`, among an export's, are of this layout."""
        return sum(bool(self.readings(path)) for path in of_course)

    def readings(self, path: str) -> dict[str, str]:
        """Return {student: way} of what a path says of whose it is. It is several students where
        the path can be read in several ways.
        """
        found: dict[str, str] = {}
        for match in filter(None, (pattern.match(path) for pattern in self.patterns)):
            found.setdefault(match["student"], (match.groupdict().get("way") or "").lower())
        return found

    def owners(self, archive: Archive, members: list[ArchiveMember]) -> Owners:
        """Return a function from a member to what it claims."""

        def owners(member: ArchiveMember) -> list[Claim]:
            readings = self.readings(member.path)
            return [Claim(student, way, member.received) for student, way in readings.items()]

        return owners


class _Gradescope(Layout):
    """Gradescope's, whose metadata name the submitters of each folder, one or several, and when
    they handed in.
    """

    def count(self, paths: Sequence[str], of_course: Iterable[str]) -> int:
        return super().count(paths, of_course) if self.own_files[0] in paths else 0

    def owners(self, archive: Archive, members: list[ArchiveMember]) -> Owners:
        submissions = self._submissions(archive, members)
        return lambda member: [
            claim for folder in self.readings(member.path) for claim in submissions.get(folder, [])
        ]

    def _submissions(
        self, archive: Archive, members: list[ArchiveMember]
    ) -> dict[str, list[Claim]]:
        """Return the claims by folder; none of a folder whose entry cannot be read."""
        metadata = next(member for member in members if member.path == self.own_files[0])
        found, reason = {}, "it names no submission"
        try:
            content = archive.read(metadata, 100 * MB)
            document = yaml.load(content, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
            for folder, submission in document.items():
                try:
                    found[str(folder)] = _submitters(str(folder), submission, metadata.received)
                except _UNUSABLE as error:
                    reason = _described(error)
        except (RejectedFile, yaml.YAMLError, *_UNUSABLE) as error:
            reason = _described(error)
        if not found:
            raise CourseError(f"{metadata.path} of the export cannot be read ({reason}).")
        return found


_UNUSABLE = (AttributeError, LookupError, TypeError, ValueError, RecursionError, OverflowError)


def _described(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error)[:200]}"


def _submitters(folder: str, submission: dict[str, Any], received: datetime) -> list[Claim]:
    if created := submission.get(":created_at"):
        received = parsed_time(created)
    claims = []
    for person in submission[":submitters"]:
        names = {key: _name(person.get(key)) for key in (":email", ":sid", ":name")}
        usable = [key for key in names if STUDENT.fullmatch(names[key])]
        key = next(iter([*usable, *filter(names.get, names)]), ":name")
        # Addresses and numbers are one person's, a name may be another's.
        way = f"{key} of {folder}" if key == ":name" else key
        claims.append(Claim(names[key] or "?", way, received))
    return claims


def _name(value: Any) -> str:
    return str(value) if isinstance(value, str | int) else ""


FALLBACK = Layout(
    "folders and files",
    (
        re.compile(r"(?P<student>[^/]+?)(?P<way>(?i:\.zip))(?:/|$)"),
        re.compile(r"(?P<student>[^/]+)(?P<way>/)(?<!(?i:\.zip)/)"),
        re.compile(r"(?:Copy of )*(?P<student>[^/]+?)[ _-]+(?P<way>part)\d_[^/]+$(?<!(?i:\.zip))"),
    ),
)
_IN_ONE_FILE = r"(?:[^/]+(?i:\.zip)/|[^/]+$)"  # or in one zip
LAYOUTS = (
    _Gradescope(
        "Gradescope", (re.compile(r"(?P<student>submission_\d+)/"),), ("submission_metadata.yml",)
    ),
    Layout(
        "Moodle",
        (
            re.compile(r"(?P<way>[^/]*)_(?P<student>\d+)_assignsubmission_file_?/"),
            # Students may choose what is before and behind: so both ends are tried.
            re.compile(rf"(?P<way>[^/]*)_(?P<student>\d+)_assignsubmission_file_{_IN_ONE_FILE}"),
            re.compile(rf"(?P<way>[^/]*?)_(?P<student>\d+)_assignsubmission_file_{_IN_ONE_FILE}"),
        ),
    ),
    Layout(
        "Canvas",
        (re.compile(r"(?P<way>[^/_]+)_(?:LATE_)?(?P<student>\d+)_(?:LATE_)?\d+_" + _IN_ONE_FILE),),
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
        likely = [Layout("by your pattern", (_compiled(pattern),))]
    else:
        members = _unwrapped(members) if archive.zip else members
        likely = _likely([member.path for member in members])
        if archive.zip and likely == [FALLBACK] and (top := _of_whom(members)):
            remark = (
                f"Everything is in one folder, {top}/, which may be one student's or the class's:"
                f" for the class, unpack the zip and collect {top}/; for one student, give"
                " --pattern '(?P<student>[^/]+)/'."
            )
            return SortedExport(FALLBACK.name, {}, [remark])
    return _sorted(archive, members, likely)


def _sorted(archive: Archive, members: list[ArchiveMember], likely: list[Layout]) -> SortedExport:
    """Sort members by what the first of the likely layouts says, where no other one disagrees."""
    owners = likely[0].owners(archive, members)
    claimed: dict[str, dict[str, list[ArchiveMember]]] = {}  # by student and way
    lost, unclear = [], []
    for member in members:
        claims = owners(member)
        if len({name for layout in likely for name in layout.readings(member.path)}) > 1:
            unclear.append(member)
        elif not claims and member.path not in _OWN_FILES:
            lost.append(member)
        else:
            for claim in claims:
                ways = claimed.setdefault(claim.student, {})
                ways.setdefault(claim.way, []).append(replace(member, received=claim.received))
    remarks = [f"Nothing says whose these are: {listed(lost)}."] if lost else []
    if unclear:
        remarks.append(f"These can be read as different students': {listed(unclear)}.")
    remarks += [
        f"{student!r} is claimed in different ways, so none of them is taken:"
        f" {listed([found[0] for found in ways.values()])}."
        for student, ways in claimed.items()
        if len(ways) > 1
    ]
    students = {
        name: members
        for name, ways in claimed.items()
        if len(ways) == 1
        for members in ways.values()
    }
    return SortedExport(likely[0].name, students, remarks)


def _likely(paths: list[str]) -> list[Layout]:
    """Return the layout of most of an export's paths for the course; several where these are of
    several layouts, and `FALLBACK` where they are of none.
    """
    of_course = [path for path in paths if is_submitted(path)]
    counts = [(layout.count(paths, of_course), layout) for layout in LAYOUTS]
    most = max(count for count, _ in counts)
    if 2 * most <= len(of_course):
        return [FALLBACK]
    return [layout for count, layout in counts if count == most]


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
    """Return the members of a zip without the folder around a whole export of Gradescope."""
    tops = {member.path.partition("/")[0] for member in members}
    inner = [member.path.partition("/")[2] for member in members]
    whole = len(tops) == 1 and re.fullmatch(r"assignment_\d+_export", min(tops)) and all(inner)
    if not whole:
        return members
    return [replace(member, path=path) for member, path in zip(members, inner, strict=True)]


def _of_whom(members: list[ArchiveMember]) -> str:
    """Return the name of the one folder that holds all, where it may be a student's or the class's:
    in it are nothing but folders, and two of these have files of one name for the course. "" where
    it is clear whose it is: what is in a student's folder must not say that.
    """
    tops: set[str] = set()
    folders: dict[str, set[str]] = {}
    for member in members:
        top, *inside = member.path.split("/")[:-1] or [""]
        tops.add(top)
        if taken := taken_name(member.path):
            folders.setdefault(taken[0], set()).add(inside[0] if inside else "")
    if len(tops) != 1 or any("" in each for each in folders.values()):
        return ""
    top = tops.pop()
    alike = any(len(each) > 1 for each in folders.values())
    return top if alike and not top.lower().endswith(".zip") else ""
