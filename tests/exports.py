"""Courses, exports of an LMS and notebooks, for the tests of collecting."""

import io
import json
import os
import tarfile
import zipfile
from datetime import datetime

import nbformat
import yaml

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


def tarred(files, mode="w:gz"):
    """The bytes of a tar of {name: content}; a name may be a `TarInfo`."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode=mode) as archive:
        for name, content in files.items():
            info = name if isinstance(name, tarfile.TarInfo) else tarfile.TarInfo(name)
            info.size, info.mtime = len(content), local(12)
            archive.addfile(info, io.BytesIO(content))
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


# What each system exports. people: [(name, number, login)]. Each returns {path: content} of a class
# in which everybody handed in NOTEBOOK, on 1 March 2026 at 11:30:05 where the system says when.


def canvas(people, late=()):
    return {
        f"{squashed(name)}{'_LATE' if login in late else ''}_{number}_{900 + number}"
        "_part1_mlp.ipynb": NOTEBOOK
        for name, number, login in people
    }


def moodle(people):
    return {
        f"{name}_{number}_assignsubmission_file_/all_parts.zip": zipped(
            {"part1_mlp.ipynb": NOTEBOOK}
        )
        for name, number, login in people
    }


def moodle_flat(people):
    return {
        f"{name}_{number}_assignsubmission_file_Untitled.ipynb": NOTEBOOK
        for name, number, login in people
    }


def gradescope(people):
    metadata = {
        f"submission_{number}": {
            ":submitters": [{":name": name, ":sid": number, ":email": f"{login}@uni.edu"}],
            ":created_at": "2026-03-01 11:30:05 Z",
        }
        for name, number, login in people
    }
    files = {f"submission_{number}/part1_mlp.ipynb": NOTEBOOK for _, number, _ in people}
    return {"submission_metadata.yml": yaml.safe_dump(metadata).encode()} | files


def blackboard(people, when="2026-03-01-11-30-05", notebook=NOTEBOOK):
    files = {}
    for name, _, login in people:
        attempt = f"HW 1_{login}_attempt_{when}"
        note = f"Name: {name} ({login})\r\nAssignment: HW 1\r\nDate Submitted: Sunday\r\n"
        files |= {f"{attempt}.txt": note.encode(), f"{attempt}_part1_mlp.ipynb": notebook}
    return files


def brightspace(people, when="Mar 1, 2026 1130 AM", notebook=NOTEBOOK):
    files = {
        f"{number}-640693 - {name} - {when}/Part 1 MLP.ipynb": notebook
        for name, number, login in people
    }
    return {"index.html": b"<html>"} | files


def google(people):
    return {f"HW 1/{name} - part1_mlp.ipynb": NOTEBOOK for name, number, login in people}


def sakai(people):
    files = {"HW 1/grades.csv": b"HW 1,Points\r\n"}
    for name, _, login in people:
        first, _, last = name.partition(" ")
        folder = f"HW 1/{last or first}, {first}({login})"
        files[f"{folder}/timestamp.txt"] = b"20260301113005000"
        files[f"{folder}/comments.txt"] = b""
        files[f"{folder}/Submission attachment(s)/part1_mlp.ipynb"] = NOTEBOOK
    return files


def github(people):
    grades = "assignment_name,roster_identifier,student_repository_name,submission_timestamp\n"
    grades += "".join(
        f"HW 1,{name},hw-1-{login},2026-03-01T11:30:05Z\n" for name, number, login in people
    )
    files = {f"hw-1-submissions/hw-1-{login}/part1_mlp.ipynb": NOTEBOOK for *_, login in people}
    return files | {"hw-1-submissions/grades.csv": grades.encode()}


def teams(people):
    return {
        f"Submitted files/{name}/HW 1/Version {version}/part1_mlp.ipynb": content
        for name, number, login in people
        for version, content in ((1, OTHER), (2, NOTEBOOK))
    }


def folders(people):
    return {f"{name}/part1_mlp.ipynb": NOTEBOOK for name, number, login in people}


def squashed(name):
    """A name as Canvas writes it in front of a file's name."""
    first, _, last = name.partition(" ")
    return "".join(c for c in f"{last}{first}".lower() if c.isalnum())
