"""Canvas, "Download Submissions".

    leeann_12345_67890_part1_mlp.ipynb         student 12345
    leeann_LATE_12345_67890_part1_mlp-1.ipynb  student 12345, late, the second upload
    leeann_12345_link.html, leeann_12345_text.html     an address or a text, no file

The name is that of the gradebook in small letters without blanks. A file has the time when it was
handed in as its date in the zip.
"""

import re

from score.course.collect.layouts.base import IN_ONE_FILE, Layout

_WHO = r"(?P<way>(?P<name>[^/_]+))_(?:(?P<late>LATE)_)?(?P<student>\d+)"

LAYOUT = Layout(
    "Canvas",
    (
        re.compile(rf"(?P<sent_as>{_WHO}_(?:LATE_)?\d+)_{IN_ONE_FILE}"),
        re.compile(rf"(?P<sent_as>{_WHO})_(?:link|text)\.html$"),
    ),
)
