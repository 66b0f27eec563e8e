"""Layouts of the exports of learning management systems (LMS): whose a file in one is.

Whose a file is, is read off its path in the export, and a zip or tar counts as a folder. Each
system is a module in `systems`, found by being there: to add another, add a file. What has no
system's layout is read as folders and files by student.

Students choose the names of their files, and on some systems their own. So one name decides
nothing: an export has the layout of most of its paths, and a path that can be read as two
students', or a student whom two entries claim in different ways, is refused.
"""

from score.course.collect.layouts.base import Claim, Layout
from score.course.collect.layouts.sort import HandedIn, SortedExport, by_student

__all__ = ["Claim", "HandedIn", "Layout", "SortedExport", "by_student"]
