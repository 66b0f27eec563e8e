"""Canvas, "Download Submissions".

    leeann_12345_67890_part1_mlp.ipynb         student 12345
    leeann_LATE_12345_67890_part1_mlp-1.ipynb  student 12345, late, the second upload
    anon_Xy3kP_67890_part1_mlp.ipynb           whoever is Xy3kP, where grading is anonymous
    leeann_12345_link.html, leeann_12345_text.html     an address or a text, no file

The name is that of the gradebook in small letters, of which blanks and signs are left out, but no
underscore. The dates in the zip are those of the download. When graded files come back, Canvas
takes the first two numbers between underscores for the student's and the file's.
"""

import re

from score.course.collect.layouts.base import IN_ONE_FILE, Layout

_WHO = r"(?P<way>(?P<name>[^/]+?))_(?:(?P<late>LATE)_)?(?P<student>\d+)"
_ANONYMOUS = r"(?:(?P<late>LATE)_)?(?P<way>anon)_(?P<student>[0-9A-Za-z]{5})"

LAYOUT = Layout(
    "Canvas",
    (
        re.compile(rf"(?P<sent_as>{_WHO}_\d+)_{IN_ONE_FILE}"),
        re.compile(rf"(?P<sent_as>{_ANONYMOUS}_\d+)_{IN_ONE_FILE}"),
        re.compile(rf"(?P<sent_as>{_WHO})_(?:link|text)\.html$"),
    ),
)
