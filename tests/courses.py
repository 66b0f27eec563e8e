"""Courses for tests, as `create` makes them. nbgrader takes seconds for a release: courses of the
same settings are copies of one.
"""

import atexit
import functools
import shutil
import tempfile
from pathlib import Path

from score.course.nbgrader import release
from score.course.settings import open_course


@functools.cache
def made(**settings):
    """The folder of a course with these settings, which nothing changes."""
    folder = tempfile.mkdtemp(prefix="courses-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return release.create(Path(folder) / "course", **settings).folder


def create(folder, **settings):
    """A course with these settings in a new folder."""
    shutil.copytree(made(**settings), folder)
    return open_course(folder)
