"""What a layout is: patterns of paths, and what they say of whose a file is and when it came."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, tzinfo

from score.submission.archive import Archive, ArchiveMember, RejectedFile

IN_ONE_FILE = r"(?:[^/]+(?i:\.zip|\.tar|\.tar\.gz|\.tgz)/|[^/]+$)"  # or in one zip
_TEXT_CAP = 2**16  # bytes of a system's own text on one submission
_YEARS = (1980, 2900)  # of times that are believed


@dataclass(frozen=True)
class Claim:
    """Says that a file is a student's.

    student: what names the student in the export, mostly the system's number or login. way: what
    claims it, such as a display name before the number: the same for all that one student has in an
    export. received: when the file was handed in, in the system's own time where it has no time
    zone. name: the display name. sent_as: what the system calls the submission, a folder or the
    beginning of the file's name. late: whether the system says that it is, where it says no more of
    when; None where `received` says when. attempt: as of `ArchiveMember`. own: whether the file is
    the system's, not the student's.
    """

    student: str
    way: str
    received: datetime
    name: str = ""
    sent_as: str = ""
    late: bool | None = None
    attempt: int = 0
    own: bool = False


Owners = Callable[[ArchiveMember], Sequence[Claim]]


@dataclass(frozen=True)
class Layout:
    """Paths that say whose they are.

    name: as the plan shows it. patterns: regular expressions for the beginning of a path, each with
    a group `student`. Optional groups are those of `Claim`: `way`, `name`, `sent_as`, and `late`
    and `own`, which count where they match something; further `date`, which `date` reads, and
    `version`, the number of an attempt. own_files: names of files that belong to no student.
    loose: whether other systems' paths have this form too, so that theirs are tried first.
    per_assignment: whether a student has another number in each assignment of the system.
    """

    name: str
    patterns: tuple[re.Pattern[str], ...]
    own_files: tuple[str, ...] = ()
    loose: bool = False
    per_assignment: bool = False

    def fitted(self, archive: Archive, paths: Sequence[str]) -> "Layout":
        """Return the layout as it is in one export, of which these are the paths."""
        return self

    def count(self, paths: Sequence[str], of_course: Iterable[str]) -> int:
        """Return how many of the paths `of_course`, among an export's, are of this layout."""
        return sum(bool(self.readings(path)) for path in of_course)

    def readings(self, path: str) -> dict[str, re.Match[str]]:
        """Return {student: match} of what a path says of whose it is. It is several students where
        the path can be read in several ways.
        """
        found: dict[str, re.Match[str]] = {}
        for match in filter(None, (pattern.match(path) for pattern in self.patterns)):
            found.setdefault(match["student"], match)
        return found

    def date(self, text: str) -> datetime | None:
        """Return the time in the group `date`; None where it is none."""
        return None

    def owners(self, archive: Archive, members: list[ArchiveMember]) -> Owners:
        """Return a function from a member to what it claims."""
        return lambda member: [
            self._claim(student, match, member)
            for student, match in self.readings(member.path).items()
        ]

    def _claim(self, student: str, match: re.Match[str], member: ArchiveMember) -> Claim:
        groups = {name: text or "" for name, text in match.groupdict().items()}
        when = self.date(groups["date"]) if groups.get("date") else None
        attempt = int(groups["version"][:9]) if groups.get("version") else 0
        if when:
            attempt = int(when.timestamp())
        return Claim(
            student,
            groups.get("way", "").lower(),
            when or member.received,
            groups.get("name", "").strip(),
            groups.get("sent_as", ""),
            bool(groups["late"]) if "late" in groups else None,
            attempt,
            bool(groups.get("own")),
        )


def time_in(text: str, form: str) -> datetime | None:
    """Return the time in a text, of a form of `strptime` and without a time zone; None where it is
    none.
    """
    try:
        when = datetime.strptime(text, form)
    except ValueError:
        return None
    return when if _YEARS[0] <= when.year <= _YEARS[1] else None


def as_utc(when: datetime, zone: tzinfo | None) -> datetime:
    """Return a time as UTC. zone: of one that has none; None for the machine's."""
    return (when if when.tzinfo else when.replace(tzinfo=zone)).astimezone(UTC)


def text_of(archive: Archive, member: ArchiveMember, cap: int = _TEXT_CAP) -> str:
    """Return the text of a small file of a system's own; "" where it cannot be read."""
    try:
        return archive.read(member, cap).decode("utf-8-sig", "replace")
    except RejectedFile:
        return ""


def inside(members: Iterable[ArchiveMember]) -> list[ArchiveMember]:
    """Return members with their paths in the folder that holds all of them."""
    return [replace(member, path=member.path.partition("/")[2]) for member in members]
