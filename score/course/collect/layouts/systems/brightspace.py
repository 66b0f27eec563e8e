"""Brightspace (D2L), "Download" of an assignment's submissions.

    39786-640693 - Ann Lee - Oct 10, 2025 1022 AM/part1_mlp.ipynb   user 39786
    index.html

A folder is one hand-in: who handed in again has several, and the last one counts. Of the two
numbers one is the user's and the other the assignment's: the one that is the same for all is the
assignment's. Times are those of Brightspace, without a time zone. Some versions put a folder of the
assignment's name around all.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from score.course.collect.layouts.base import Layout, time_in
from score.submission.archive import Archive

_PATTERN = (
    r"(?:(?P<assignment>[^/]+)/)?(?P<sent_as>(?P<{first}>\d+)-(?P<{second}>\d+) -"
    r" (?P<way>(?P<name>[^/]+?)) - (?P<date>[A-Z][a-z]+\.? \d{{1,2}}, \d{{4}} \d{{3,4}} [AP]M))/"
)
_USER_FIRST = re.compile(_PATTERN.format(first="student", second="of"))
_USER_LAST = re.compile(_PATTERN.format(first="of", second="student"))


class _Brightspace(Layout):
    """Brightspace's, of whose two numbers one is the student's."""

    def fitted(self, archive: Archive, paths: Sequence[str]) -> Layout:
        """Return the layout with the number that is not the same for all, and without the folder
        around all where there is none.
        """
        found = [match for match in map(_USER_FIRST.match, paths) if match]
        around = {match["assignment"] for match in found}
        index = any(path == f"{folder}/index.html" for folder in around for path in paths)
        if around != {None} and not (len(around) == 1 and index):
            plain = re.compile(_USER_FIRST.pattern.replace("(?:(?P<assignment>[^/]+)/)?", ""))
            return replace(self, patterns=(plain,))
        people = {match["name"] for match in found}
        same = len({match["student"] for match in found}) == 1
        own = tuple(f"{folder}/index.html" if folder else "index.html" for folder in around)
        pattern = _USER_LAST if same and len(people) > 1 else _USER_FIRST
        return replace(self, patterns=(pattern,), own_files=own)

    def date(self, text: str) -> datetime | None:
        day, year, time, half = text.replace(",", "").rsplit(" ", 3)
        month, day = day.split(" ")
        clear = f"{month[:3]} {day} {year} {time.zfill(4)} {half}"
        return time_in(clear, "%b %d %Y %I%M %p")


LAYOUT = _Brightspace("Brightspace", (_USER_FIRST,), ("index.html",))
