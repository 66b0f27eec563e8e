"""Courses for tests, as `create` makes them. nbgrader takes seconds for a release: in a run of the
tests, courses of the same settings are copies of one.
"""

import hashlib
import shutil
import tempfile
from pathlib import Path

from filelock import FileLock

originals = None  # the folder of the courses that are copied; tests/conftest.py sets it


def create(folder, **settings):
    """A course with these settings in a new folder."""
    # Not above: tests/conftest.py is also there where a student's part alone is installed.
    from score.course.nbgrader import release
    from score.course.settings import open_course

    original = originals / hashlib.sha256(repr(sorted(settings.items())).encode()).hexdigest()
    with FileLock(f"{original}.lock"):
        if not original.exists():
            with tempfile.TemporaryDirectory(dir=originals) as scratch:
                release.create(Path(scratch) / "course", **settings).folder.rename(original)
    shutil.copytree(original, folder)
    return open_course(folder)
