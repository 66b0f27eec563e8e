"""Courses, exports of an LMS and notebooks, for the tests of collecting."""

import io
import json
import os
import zipfile
from datetime import datetime

import nbformat

from score.course.notebooks import build
from score.course.settings import ASSIGNMENT, open_course

STUDENT = {
    part.name: nbformat.writes(build.student_notebook(part)) for part in build.parts_with_source()
}
ANSWERED = {
    part.name: nbformat.writes(build.answered_notebook(part)) for part in build.parts_with_source()
}
NOTEBOOK, OTHER = ANSWERED["part1_mlp"].encode(), STUDENT["part1_mlp"].encode()


def made_course(folder):
    """A course with its release, made without nbgrader."""
    for name, notebook in STUDENT.items():
        path = folder / "release" / ASSIGNMENT / f"{name}.ipynb"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(notebook)
    (folder / "course.toml").write_text('bundle = ""\nfirst_seed = 20000\nepisodes = 1\n')
    return open_course(folder)


def local(hour, day=1):
    """A time in March 2026, in seconds since 1970."""
    return datetime(2026, 3, day, hour).timestamp()


def zipped(files, hour=12, day=1):
    """The bytes of a zip of {name: content}; a name may be a `ZipInfo`."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            info = name
            if not isinstance(name, zipfile.ZipInfo):
                info = zipfile.ZipInfo(name, (2026, 3, day, hour, 0, 0))
            archive.writestr(info, content, info.compress_type or zipfile.ZIP_DEFLATED)
    return packed.getvalue()


def unzipped(content):
    """{name: content} of a zip, a path or bytes."""
    with zipfile.ZipFile(io.BytesIO(content) if isinstance(content, bytes) else content) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def laid_out(folder, files, when=None):
    """Write files into a folder, dated `when` (seconds since 1970; default: noon); return it."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        os.utime(path, (local(12) if when is None else when,) * 2)
    return folder


def write_export(into, files, name="export.zip", hour=12, day=1, folder=False):
    """Write an export, a zip of {name: content} or, with `folder`, a folder; return its path."""
    if folder:
        return laid_out(into / name.removesuffix(".zip"), files, local(hour, day))
    (into / name).write_bytes(zipped(files, hour, day))
    return into / name


def submitted(course, student):
    """{name: content} of what is graded of a student."""
    folder = course.folder / "submitted" / student / ASSIGNMENT
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def record(course, student):
    return json.loads((course.folder / "repairs" / f"{student}.json").read_text())


def tree(folder):
    """{path in a folder: content, None of a folder}."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }
