"""Moodle, "Download all submissions": with a folder for each participant, or flat.

    Ann Lee_1234567_assignsubmission_file/part1_mlp.ipynb      participant 1234567
    Ann Lee_1234567_assignsubmission_file_/part1_mlp.ipynb     before Moodle 4.1
    Ann Lee_1234567_assignsubmission_file_part1_mlp.ipynb
    Lab 2-Ann Lee_1234567_assignsubmission_file_/…             of the group Lab 2, in some versions

The number is Moodle's of a participant of one assignment: in another assignment the same person has
another one.

In most versions the dates in the zip are those of the download: then all are of one hour, and say
nothing of when a file was handed in. The grading worksheet has the times.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from score.course.collect.layouts.base import IN_ONE_FILE, Layout, Owners
from score.submission.archive import Archive, ArchiveMember

_KIND = "_assignsubmission_(?:file|onlinetext)"
_NAME = "(?P<name>"
_PATTERNS = (
    rf"(?P<sent_as>(?P<way>{_NAME}[^/]*))_(?P<student>\d+){_KIND}_?)/",
    # Students may choose what is before and behind: so both ends are tried.
    rf"(?P<sent_as>(?P<way>{_NAME}[^/]*))_(?P<student>\d+){_KIND}_){IN_ONE_FILE}",
    rf"(?P<sent_as>(?P<way>{_NAME}[^/]*?))_(?P<student>\d+){_KIND}_){IN_ONE_FILE}",
)


_DOWNLOAD = timedelta(hours=1)  # how long one takes at most


class _Moodle(Layout):
    """Moodle's, which may put a group's name before everybody's."""

    def fitted(self, archive: Archive, paths: Sequence[str]) -> Layout:
        """Return the layout without the group in the names, where all have the same one."""
        matches = (pattern.match(path) for path in paths for pattern in self.patterns)
        names = {match["name"] for match in matches if match}
        some = min(names, default="")
        groups = [some[: dash.end()] for dash in re.finditer("-", some)]
        same = [group for group in groups if all(name.startswith(group) for name in names)]
        if not same or len(names) < 2:
            return self
        named = re.escape(same[-1]) + _NAME
        return replace(self, patterns=tuple(re.compile(p.replace(_NAME, named)) for p in _PATTERNS))

    def owners(self, archive: Archive, members: list[ArchiveMember]) -> Owners:
        owners, dates = super().owners(archive, members), [each.received for each in members]
        if not dates or max(dates) - min(dates) > _DOWNLOAD:
            return owners
        return lambda member: [replace(claim, late=False) for claim in owners(member)]


LAYOUT = _Moodle("Moodle", tuple(map(re.compile, _PATTERNS)), per_assignment=True)
