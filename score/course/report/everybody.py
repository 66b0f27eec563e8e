"""Everybody in a course: those on the roster, and those whose uploads came, with the reason where
there is nothing to grade.
"""

from dataclasses import dataclass
from typing import Any

from score.course.collect.people import open_people
from score.course.collect.stored import read_record
from score.course.settings import Course
from score.submission.failures import Failures

NOTHING = "Handed in nothing."
STEP = "repairs"  # the step's name in `Failures`


@dataclass(frozen=True)
class Someone:
    """Somebody in a course.

    folder: as everything of the student is named in the course. id, name, email, section: of the
    roster, or as far as an LMS said them. reason: why there is nothing to grade, "" where there is.
    on_roster: None without a roster.
    """

    folder: str
    id: str = ""
    name: str = ""
    email: str = ""
    section: str = ""
    reason: str = ""
    on_roster: bool | None = None

    @property
    def label(self) -> str:
        """The folder and, where it is another, the name."""
        return f"{self.folder} {self.name}" if self.name not in ("", self.folder) else self.folder


def everybody(course: Course, failures: Failures | None = None) -> dict[str, Someone]:
    """Return everybody in a course by folder: in the roster's order, then the others in that of the
    alphabet. failures: to which is added where a record of a student's uploads cannot be read.
    """
    failures = Failures() if failures is None else failures
    people, graded = open_people(course), {*course.students()}
    recorded = {path.stem for path in (course.folder / "repairs").glob("*.json")}
    roster = people.on_roster()
    found = {}
    for folder in [*roster, *sorted((graded | recorded) - {*roster})]:
        record = failures.attempt(folder, STEP, _record, course, folder) or {}
        person = people.person(folder)
        found[folder] = Someone(
            folder,
            person.id if person else "",
            people.name(folder),
            person.email if person else "",
            person.section if person else "",
            "" if folder in graded else _reason(record),
            bool(person) if people.roster else None,
        )
    return found


def _record(course: Course, folder: str) -> dict[str, Any]:
    path = course.folder / "repairs" / f"{folder}.json"
    return dict(read_record(path)) if path.exists() else {}


def _reason(record: dict[str, Any]) -> str:
    refused = [part["refused"] for part in record.get("parts", {}).values() if part.get("refused")]
    return " ".join(refused) or record.get("nothing") or NOTHING
