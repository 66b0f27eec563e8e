"""Moodle's grading worksheet of an assignment: who its participants are, and when each handed in.

    Identifier,Full name,Email address,Status,…,Last modified (submission),…
    Participant 1234567,Ann Lee,ann@uni.edu,…,…,"Sunday, 28 February 2027, 11:30 PM",…

Moodle writes it in the language of who exports it; read is the English one.
"""

from dataclasses import dataclass, replace
from datetime import datetime, tzinfo
from pathlib import Path

from score.course.collect.layouts import HandedIn, SortedExport
from score.course.collect.layouts.base import as_utc, time_in
from score.course.collect.people.roster import read_roster
from score.course.settings import CourseError

_NUMBER, _TIME = "Identifier", "Last modified (submission)"
_FORMS = ("%A, %d %B %Y, %I:%M %p", "%A, %d %B %Y, %H:%M")
_NONE = ("", "-")


@dataclass(frozen=True)
class _Line:
    """A participant. handed_in: None of who has not; without a time zone."""

    email: str
    handed_in: datetime | None


def with_worksheet(export: SortedExport, path: Path, zone: tzinfo | None) -> SortedExport:
    """Return an export of Moodle's with the e-mail addresses and the times of a grading worksheet.

    zone: of its times; None for the machine's. CourseError where it is none, or is not of the same
    assignment.
    """
    if not export.per_assignment:
        raise CourseError(f"{path} is for an export of Moodle's, and this is of: {export.layout}.")
    lines = _read(path)
    if not {*lines} & {*export.students}:
        raise CourseError(f"{path} has nobody of this export: it is of another assignment.")
    students = {
        number: _told(handed_in, lines[number], zone) if number in lines else handed_in
        for number, handed_in in export.students.items()
    }
    return replace(export, students=students)


def _told(handed_in: HandedIn, line: _Line, zone: tzinfo | None) -> HandedIn:
    if line.handed_in is None:
        return replace(handed_in, email=line.email)
    when = as_utc(line.handed_in, zone)
    members = [replace(member, received=when) for member in handed_in.members]
    return replace(handed_in, email=line.email, members=members, late=None)


def _read(path: Path) -> dict[str, _Line]:
    """Return the lines of a worksheet by the participant's number."""
    roster = read_roster(path)
    lacks = [head for head in (_NUMBER, _TIME) if head not in roster.head]
    if lacks:
        raise CourseError(
            f"{path} has no column {lacks[0]!r}, so it is no grading worksheet of Moodle's in"
            " English: choose English in Moodle, and download the worksheet again."
        )
    found = {}
    for person in roster.people:
        text = person.row[_TIME]
        times = (time_in(text, form) for form in _FORMS)
        when = next(filter(None, times), None)
        if when is None and text not in _NONE:
            raise CourseError(
                f"{path}, line {person.line}: {text!r} is no time as Moodle writes it in English."
            )
        found[person.row[_NUMBER].rpartition(" ")[2]] = _Line(person.email, when)
    return found
