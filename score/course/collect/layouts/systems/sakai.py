"""Sakai, "Download All".

    HW1/grades.csv
    HW1/Lee, Ann(annlee)/timestamp.txt       20260301113005000, in UTC
    HW1/Lee, Ann(annlee)/Submission attachment(s)/part1_mlp.ipynb      user annlee
    HW1/Lee, Ann(annlee)_Submission attachment(s)_part1_mlp.ipynb      in some versions

Everybody of the class has a folder, whether they handed in or not.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from score.course.collect.layouts.base import Claim, Layout, Owners, text_of
from score.submission.archive import Archive, ArchiveMember

_WHO = r"[^/]+/(?P<sent_as>(?P<way>(?P<name>[^/]*))\((?P<student>[^/()]+)\))"
_STAMP = re.compile(_WHO + r"/timestamp\.txt$")
_DIGITS = re.compile(r"\s*(\d{14})\d{0,3}\s*")


class _Sakai(Layout):
    """Sakai's, with a time beside each submission. It is one folder, with the grades in it."""

    def fitted(self, archive: Archive, paths: Sequence[str]) -> Layout:
        top = paths[0].partition("/")[0] if paths else ""
        return replace(self, own_files=tuple(f"{top}/grades.{end}" for end in _GRADES))

    def count(self, paths: Sequence[str], of_course: Iterable[str]) -> int:
        one_folder = len({path.partition("/")[0] for path in paths}) == 1
        if not one_folder or not {*self.own_files} & {*paths}:
            return 0
        return super().count(paths, of_course)

    def owners(self, archive: Archive, members: list[ArchiveMember]) -> Owners:
        times = {}
        for member in members:
            if match := _STAMP.match(member.path):
                times[match["sent_as"]] = _time(text_of(archive, member))
        claims = super().owners(archive, members)

        def owners(member: ArchiveMember) -> list[Claim]:
            return [
                replace(claim, received=times.get(claim.sent_as) or claim.received)
                for claim in claims(member)
            ]

        return owners


def _time(text: str) -> datetime | None:
    found = _DIGITS.match(text)
    try:
        return datetime.strptime(found[1], "%Y%m%d%H%M%S").replace(tzinfo=UTC) if found else None
    except ValueError:
        return None


_GRADES = ("csv", "xls", "xlsx")
LAYOUT = _Sakai(
    "Sakai",
    (
        re.compile(_WHO + r"[/_]Submission attachment\(s\)[/_]"),
        re.compile(_WHO + r"(?P<own>/(?!Submission attachment)|_(?:timestamp|comments|feedback))"),
    ),
)
