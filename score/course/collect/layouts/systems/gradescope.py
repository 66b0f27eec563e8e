"""Gradescope, "Export Submissions".

    submission_metadata.yml
    submission_1/part1_mlp.ipynb

The metadata name the submitters of each folder and when they handed in: a student is named by
e-mail address, else by student number.
"""

import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import yaml

from score.course.collect.layouts.base import Claim, Layout, Owners
from score.course.collect.stored import STUDENT, parsed_time
from score.course.settings import CourseError
from score.submission.archive import MB, Archive, ArchiveMember, RejectedFile


class _Gradescope(Layout):
    """Gradescope's, whose metadata name one or several submitters of a folder."""

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
        claims.append(Claim(names[key] or "?", way, received, names[":name"], folder))
    return claims


def _name(value: Any) -> str:
    return str(value) if isinstance(value, str | int) else ""


LAYOUT = _Gradescope(
    "Gradescope", (re.compile(r"(?P<student>submission_\d+)/"),), ("submission_metadata.yml",)
)
