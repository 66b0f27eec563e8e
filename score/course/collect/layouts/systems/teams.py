"""Microsoft Teams: the class's "Student Work" in SharePoint, downloaded.

    Submitted files/Ann Lee/HW1/Version 2/part1_mlp.ipynb

Students are known by their names in Teams. All versions are there, and the last one counts. What is
in "Working files" was not handed in.
"""

import re

from score.course.collect.layouts.base import Layout

_INSIDE = r"[^/]+/(?:Version (?P<version>\d+)/)"

LAYOUT = Layout(
    "Teams",
    (
        re.compile(
            r"(?:Student Work/)?Submitted files/"
            rf"(?P<sent_as>(?P<name>(?P<student>[^/]+)))/{_INSIDE}?"
        ),
        re.compile(rf"(?!Working files/)(?P<sent_as>(?P<name>(?P<student>[^/]+)))/{_INSIDE}"),
    ),
)
