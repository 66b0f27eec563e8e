"""Google Classroom: the assignment's folder in Drive, downloaded.

    Ann Lee - part1_mlp.ipynb        a copy that Classroom made of a file for each student
    HW1/Ann Lee - part1_mlp.ipynb    Drive's zip has the assignment's folder around all

Students are known by their names in Google. Files that a student named are the student's only where
the name stands in front.
"""

import re

from score.course.collect.layouts.base import IN_ONE_FILE, Layout

LAYOUT = Layout(
    "Google Classroom",
    (re.compile(rf"(?:Copy of )*(?P<sent_as>(?P<name>(?P<student>[^/]+?))) - {IN_ONE_FILE}"),),
    loose=True,
)
