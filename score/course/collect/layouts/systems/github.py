"""GitHub Classroom: the repositories that `gh classroom clone student-repos` fetches.

    hw1-submissions/hw1-annlee/part1_mlp.ipynb     GitHub's user annlee

A clone keeps no dates but its own. Those of the hand-ins are in the grades that `gh classroom
assignment-grades` or the page "Download grades" writes: put this file, grades.csv, beside the
repositories. It also says who is who.
"""

import csv
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime

from score.course.collect.layouts.base import Claim, Layout, Owners, text_of
from score.course.collect.stored import parsed_time
from score.submission.archive import MB, Archive, ArchiveMember

_AROUND = re.compile(r"(?P<slug>[^/]+)-submissions/(?P=slug)-")
_USER = r"(?P<student>[A-Za-z0-9][A-Za-z0-9-]*)/"


class _GitHub(Layout):
    """GitHub's, whose folders are named after the assignment and the user."""

    def fitted(self, archive: Archive, paths: Sequence[str]) -> Layout:
        """Return the layout with the assignment's name, which stands before each user's."""
        slugs = {match["slug"] for match in map(_AROUND.match, paths) if match}
        own = archive.path.name
        lead = [f"{slug}-submissions/{slug}-" for slug in slugs]
        if not archive.zip and own.endswith("-submissions"):
            lead.append(f"{own.removesuffix('-submissions')}-")
        patterns = [rf"(?P<sent_as>{re.escape(each)}{_USER[:-1]})/" for each in sorted(lead)]
        tops = {path.partition("/")[0] for path in paths} if len(slugs) == 1 else {""}
        grades = tuple(f"{top}/grades.csv" if top else "grades.csv" for top in sorted(tops))
        return replace(self, patterns=tuple(map(re.compile, patterns)), own_files=grades)

    def owners(self, archive: Archive, members: list[ArchiveMember]) -> Owners:
        grades = [member for member in members if member.path in self.own_files]
        known = _grades(text_of(archive, grades[0], 20 * MB)) if grades else {}
        claims = super().owners(archive, members)

        def owners(member: ArchiveMember) -> Iterable[Claim]:
            for claim in claims(member):
                name, when = known.get(claim.sent_as.rpartition("/")[2].lower(), ("", None))
                yield replace(claim, name=name, received=when or claim.received)

        return lambda member: [*owners(member)]


def _grades(text: str) -> dict[str, tuple[str, datetime | None]]:
    """Return {repository: (name on GitHub's roster, when it was handed in)}."""
    found: dict[str, tuple[str, datetime | None]] = {}
    try:
        rows = [*csv.DictReader(text.splitlines())]
    except csv.Error:
        return {}
    for row in rows:
        name = (row.get("student_repository_name") or "").lower()
        try:
            when = parsed_time(row.get("submission_timestamp") or "")
        except ValueError:
            when = None
        found[name] = row.get("roster_identifier") or "", when
    return found


LAYOUT = _GitHub("GitHub Classroom", ())
