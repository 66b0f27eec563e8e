"""Moodle, "Download all submissions": with a folder for each participant, or flat.

    Ann Lee_1234567_assignsubmission_file_/part1_mlp.ipynb     participant 1234567
    Ann Lee_1234567_assignsubmission_file_part1_mlp.ipynb

A file has the time when it was handed in as its date in the zip.
"""

import re

from score.course.collect.layouts.base import IN_ONE_FILE, Layout

_KIND = "_assignsubmission_(?:file|onlinetext)"

LAYOUT = Layout(
    "Moodle",
    (
        re.compile(rf"(?P<sent_as>(?P<way>(?P<name>[^/]*))_(?P<student>\d+){_KIND}_?)/"),
        # Students may choose what is before and behind: so both ends are tried.
        re.compile(rf"(?P<sent_as>(?P<way>(?P<name>[^/]*))_(?P<student>\d+){_KIND}_){IN_ONE_FILE}"),
        re.compile(
            rf"(?P<sent_as>(?P<way>(?P<name>[^/]*?))_(?P<student>\d+){_KIND}_){IN_ONE_FILE}"
        ),
    ),
)
