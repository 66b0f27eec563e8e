"""Blackboard Learn, "Assignment File Download".

    HW1_annlee_attempt_2026-03-01-11-30-05_part1_mlp.ipynb   user annlee, handed in at 11:30:05
    HW1_annlee_attempt_2026-03-01-11-30-05.txt               Blackboard's own note on the attempt

The note's first line is "Name: Ann Lee (annlee)". Where there is none, the user is what stands
after the last "_" before "attempt", a word that is translated with Blackboard. All attempts may be
there, and the last one counts. Times are those of Blackboard, without a time zone.
"""

import re
from datetime import datetime

from score.course.collect.layouts.base import (
    IN_ONE_FILE,
    Claim,
    Layout,
    Owners,
    text_of,
    time_in,
)
from score.submission.archive import Archive, ArchiveMember

_ATTEMPT = r"(?P<date>\d{4}(?:-\d\d){5})"
_NOTE = re.compile(r"[^:\r\n]{1,40}: *(?P<name>[^\r\n]+?) *\((?P<user>[^()\r\n]+)\) *(?:[\r\n]|$)")


class _Blackboard(Layout):
    """Blackboard's, whose notes name the user."""

    def date(self, text: str) -> datetime | None:
        return time_in(text, "%Y-%m-%d-%H-%M-%S")

    def owners(self, archive: Archive, members: list[ArchiveMember]) -> Owners:
        users: dict[str, tuple[str, str]] = {}
        for member in members:
            match = self.patterns[1].match(member.path)
            note = _NOTE.match(text_of(archive, member)) if match else None
            if match and note and match["lead"].endswith(f"_{note['user']}"):
                users[match["lead"]] = (note["user"], note["name"])

        def owners(member: ArchiveMember) -> list[Claim]:
            claims = []
            for match in self.readings(member.path).values():
                user, name = users.get(match["lead"], (match["student"], ""))
                when = self.date(match["date"]) or member.received
                way = match["lead"].removesuffix(user).lower()  # the assignment
                attempt, own = int(when.timestamp()), bool(match.groupdict().get("own"))
                claims.append(
                    Claim(user, way, when, name, match["sent_as"], attempt=attempt, own=own)
                )
            return claims

        return owners


# The first time in a name is Blackboard's: what follows is the student's choice.
_WHO = r"(?P<lead>(?:(?!_\d{4}(?:-\d\d){5})[^/])*?_(?P<student>[^_/]+))_[^\W_]+_"

LAYOUT = _Blackboard(
    "Blackboard",
    (
        re.compile(rf"(?P<sent_as>{_WHO}{_ATTEMPT})_{IN_ONE_FILE}"),
        re.compile(rf"(?P<sent_as>{_WHO}{_ATTEMPT})(?P<own>\.txt)$"),
    ),
)
