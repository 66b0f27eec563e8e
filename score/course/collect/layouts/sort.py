"""Sort the files of an export by student."""

import re
from dataclasses import dataclass, field, replace
from datetime import tzinfo

from score.course.collect.layouts import systems
from score.course.collect.layouts.base import Claim, Layout, as_utc, inside
from score.course.settings import CourseError
from score.submission.archive import NOISE, Archive, ArchiveMember, listed
from score.submission.files import taken_name
from score.submission.formats import is_submitted

_PACKED = r"(?i:\.zip|\.tar|\.tar\.gz|\.tgz)"
_DRIVE = r"\d{8}T\d{6}Z-\d[\d-]*\.zip"
FALLBACK = Layout(
    "folders and files",
    (
        re.compile(rf"(?P<sent_as>(?P<student>[^/]+?)(?P<way>{_PACKED}))(?:/|$)"),
        re.compile(rf"(?P<sent_as>(?P<student>(?![^/]+{_PACKED}/)[^/]+))(?P<way>/)"),
        re.compile(
            rf"(?:Copy of )*(?P<student>(?![^/]+{_PACKED}$)[^/]+?)[ _-]+(?P<way>part)\d_[^/]+$"
        ),
    ),
)


@dataclass
class HandedIn:
    """What an export has of one student.

    members: each with the time when it was handed in. name: the display name, "" where the export
    has none. sent_as: what the system calls the submissions, that of the last attempt first. late:
    of `Claim`. attempt: the number of the last. email: "" where it is not known.
    """

    members: list[ArchiveMember] = field(default_factory=list)
    name: str = ""
    sent_as: list[str] = field(default_factory=list)
    late: bool | None = None
    attempt: int = -1
    email: str = ""

    def add(self, member: ArchiveMember, claim: Claim) -> None:
        """Add a member that a claim says is the student's."""
        if not claim.own:
            member = replace(member, received=claim.received, attempt=claim.attempt)
            self.members.append(member)
            if claim.late is not None:
                self.late = bool(self.late) or claim.late
        self.name = claim.name or self.name
        if claim.sent_as and claim.sent_as not in self.sent_as:
            self.sent_as.insert(0 if claim.attempt > self.attempt else 1, claim.sent_as)
            self.attempt = max(self.attempt, claim.attempt)


@dataclass(frozen=True)
class SortedExport:
    """The files of an export by student.

    layout: the name of the export's layout. students: by what names a student in the export.
    remarks: sentences on members that are nobody's. per_assignment: of `Layout`.
    """

    layout: str
    students: dict[str, HandedIn]
    remarks: list[str]
    per_assignment: bool = False


def by_student(
    archive: Archive, pattern: str | None = None, zone: tzinfo | None = None
) -> SortedExport:
    """Return the files of an export by student.

    pattern: a regular expression of the instructor's, with a group `student`, that is matched from
    the start of each path in place of the layouts. zone: of the system's times that do not say
    theirs; None for the machine's. CourseError where the pattern cannot be used.
    """
    members = [member for member in archive.members if not NOISE.search(member.path)]
    if pattern:
        return _sorted(archive, members, [Layout("by your pattern", (_compiled(pattern),))], zone)
    members = _unwrapped(archive, members)
    likely = _likely(archive, [member.path for member in members])
    if likely == [FALLBACK] and (named := _of_one_student(archive, members)):
        members, likely = named
    if likely == [FALLBACK] and (top := _of_whom(members, bool(archive.zip))):
        remark = (
            f"Everything is in one folder, {top}/, which may be one student's or the class's:"
            f" for the class, unpack it and collect {top}/; for one student, give"
            " --pattern '(?P<student>[^/]+)/'."
        )
        return SortedExport(FALLBACK.name, {}, [remark])
    return _sorted(archive, members, likely, zone)


def _sorted(
    archive: Archive, members: list[ArchiveMember], likely: list[Layout], zone: tzinfo | None
) -> SortedExport:
    """Sort members by what the first of the likely layouts says, where no other one disagrees."""
    owners = likely[0].owners(archive, members)
    own_files = {name for layout in (*systems.layouts(), *likely) for name in layout.own_files}
    claimed: dict[str, dict[str, HandedIn]] = {}  # by student and way
    lost, unclear = [], []
    for member in members:
        claims = owners(member)
        if len({name for layout in likely for name in layout.readings(member.path)}) > 1:
            unclear.append(member)
        elif not claims and member.path not in own_files:
            lost.append(member)
        else:
            for claim in claims:
                ways = claimed.setdefault(claim.student, {})
                claim = replace(claim, received=as_utc(claim.received, zone))
                ways.setdefault(claim.way, HandedIn()).add(member, claim)
    remarks = [f"Nothing says whose these are: {listed(lost)}."] if lost else []
    if unclear:
        remarks.append(f"These can be read as different students': {listed(unclear)}.")
    remarks += [
        f"{student!r} is claimed in different ways, so none of them is taken: {_first_of(ways)}."
        for student, ways in claimed.items()
        if len(ways) > 1
    ]
    students = {
        name: found for name, ways in claimed.items() if len(ways) == 1 for found in ways.values()
    }
    return SortedExport(likely[0].name, students, remarks, likely[0].per_assignment)


def _first_of(ways: dict[str, HandedIn]) -> str:
    found = [member for each in ways.values() for member in each.members[:1]]
    return listed(found) if found else ", ".join(way for way in ways if way)


def _likely(archive: Archive, paths: list[str]) -> list[Layout]:
    """Return the layout of most of an export's paths for the course; several where these are of
    several layouts, and `FALLBACK` where they are of none.
    """
    of_course = [path for path in paths if is_submitted(path) or path.endswith(".ipynb")] or paths
    fitted = [layout.fitted(archive, paths) for layout in systems.layouts()]
    for loose in (False, True):
        layouts = [layout for layout in fitted if layout.loose == loose]
        counts = [(layout.count(paths, of_course), layout) for layout in layouts]
        most = max((count for count, _ in counts), default=0)
        if 2 * most > len(of_course):
            return [layout for count, layout in counts if count == most]
    return [FALLBACK]


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


def _unwrapped(archive: Archive, members: list[ArchiveMember]) -> list[ArchiveMember]:
    """Return the members without the folder around a whole export, which Gradescope makes, and
    Google's Drive, whose zips are named after the folder.
    """
    tops = {member.path.partition("/")[0] for member in members}
    within = inside(members)
    if not archive.zip or len(tops) != 1 or not all(member.path for member in within):
        return members
    if re.fullmatch(r"assignment_\d+_export", min(tops)):
        return within
    if re.fullmatch(rf"{re.escape(min(tops))}-{_DRIVE}", archive.path.name):
        return within
    return members


def _of_one_student(
    archive: Archive, members: list[ArchiveMember]
) -> tuple[list[ArchiveMember], list[Layout]] | None:
    """Return the members and the layout of an export that is one student's folder or zip, known by
    its own name; None where it is not.
    """
    path = archive.path.resolve()
    for name in (path.name, path.stem) if archive.zip else (path.name,):
        named = [replace(member, path=f"{name}/{member.path}") for member in members]
        likely = _likely(archive, [member.path for member in named])
        if likely != [FALLBACK] and not likely[0].loose:
            return named, likely
    return None


def _of_whom(members: list[ArchiveMember], zipped: bool) -> str:
    """Return the name of the one folder that holds all, where it may be a student's or the class's:
    in it are folders, and two of these have files of one name for the course, or files of one name
    for the course in front of which there are two names. "" where it is clear whose it is: what is
    in a student's folder must not say that. In an export that is a folder it is a student's if
    there are folders in it.
    """
    tops: set[str] = set()
    folders: dict[str, set[str]] = {}
    named = False
    loose = [layout for layout in systems.layouts() if layout.loose]
    for member in members:
        top, *inner = member.path.split("/")[:-1] or [""]
        tops.add(top)
        if taken := taken_name(member.path):
            names = inner or [*loose[0].readings(member.path.partition("/")[2])]
            named = named or not inner
            folders.setdefault(taken[0], set()).add(names[0] if names else "")
    if len(tops) != 1 or any("" in each for each in folders.values()):
        return ""
    top = tops.pop()
    alike = any(len(each) > 1 for each in folders.values()) and (zipped or named)
    return top if alike and not FALLBACK.patterns[0].match(f"{top}/") else ""
