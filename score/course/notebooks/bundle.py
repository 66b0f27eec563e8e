"""What students get of the kit: the bundle from which they fetch it, with the notebooks, and the
wheel that installs it for all users of a machine.
"""

import base64
import csv
import hashlib
import io
import json
import tomllib
from pathlib import Path
from typing import Any

import nbformat

import pusht
from pusht import resources
from pusht.files import zip_bytes
from score import rubric
from score.course.notebooks.build import FIXED_NAME, fixed_cells, fixed_cells_text
from score.course.settings import Course, CourseError

# What students get of the kit, without the files whose names begin so: the instructor's part and
# the reference checkpoints. Sources with solutions and tests match no pattern.
_BUNDLED = (
    "pusht/**/*.py",
    "pusht/*.js",
    "pusht/figures/*.js",
    "pusht/figures/*.json",
    "score/**/*.py",
    "score/**/*.json",
    "losses/**/*.pkl",
    "losses/**/*.json",
    "data/**/*",
    "LICENSE",
)
_REQUIREMENTS = "requirements.txt"
_LEFT_OUT = ("score/course/", "data/reference/")


def bundle_bytes(notebooks: Path, course: Course | None = None) -> bytes:
    """Return the zip that students fetch: the same bytes for the same kit, notebooks and course.

    notebooks: folder of the students' notebooks. course: None for the kit's own.
    """
    return zip_bytes(students_files(notebooks, course))


def students_files(notebooks: Path, course: Course | None = None) -> dict[str, bytes]:
    """Return what students get of the kit, by name; arguments as of `bundle_bytes`."""
    found = sorted(notebooks.glob("*.ipynb"))
    if not found:
        raise CourseError(f"There is no notebook in {notebooks}.")
    files = {f"notebooks/{path.name}": path.read_bytes() for path in found}
    files |= {name: path.read_bytes() for name, path in bundled_files().items()}
    files[_REQUIREMENTS] = _student_requirements()
    if course:
        # A rehearsal runs the cells that this course's notebooks have, not the kit's.
        fixed = {path.stem: fixed_cells(nbformat.read(path, as_version=4)) for path in found}
        files[FIXED_NAME] = fixed_cells_text(fixed).encode()
        asked = asked_of(course)
        if asked:
            files[rubric.ASKED] = json.dumps(asked, indent=1, ensure_ascii=False).encode()
    return files


def asked_of(course: Course) -> dict[str, Any]:
    """Return what students' checks go by where a course differs from the kit: the parts of each
    assignment, and points by `entries.points_key`; nothing where it does not.
    """
    parts = {assignment.name: [*assignment.parts] for assignment in course.assignments}
    if [*parts.values()] == [[*rubric.PARTS]] and not course.points:
        return {}
    return {"assignments": parts, "points": dict(course.points)}


def bundled_files() -> dict[str, Path]:
    """Return the kit's files that go into the bundle, by their names in it.

    CourseError when a pattern matches nothing, or leaves nothing out: then the kit has changed and
    the pattern has not, so that something would be missing, or a solution handed out.
    """
    found: dict[str, Path] = {}
    for pattern in _BUNDLED:
        matching = dict(resources.find(pattern))
        if not matching:
            raise CourseError(f"The bundle's pattern {pattern} matches nothing in the kit.")
        found |= matching
    for beginning in _LEFT_OUT:
        left_out = [name for name in found if name.startswith(beginning)]
        if not left_out:
            raise CourseError(f"The bundle leaves out {beginning}, which is not in the kit.")
        for name in left_out:
            del found[name]
    return found


def wheel_name() -> str:
    """Return the file name of the students' wheel."""
    return f"{_distribution()}-py3-none-any.whl"


def wheel_bytes(notebooks: Path, course: Course | None = None) -> bytes:
    """Return the wheel with what the bundle has, but for the notebooks: the same bytes for the same
    kit, notebooks and course. It has the kit's own name and version, so that only one of the two is
    installed.
    """
    files = {}
    for name, content in students_files(notebooks, course).items():
        if not name.startswith("notebooks/") and name != _REQUIREMENTS:
            # See pusht.resources for the folder.
            beside = "" if name.startswith(("pusht/", "score/")) else f"{resources.INSTALLED}/"
            files[beside + name] = content
    about = f"{_distribution()}.dist-info"
    files[f"{about}/METADATA"] = _metadata()
    files[f"{about}/WHEEL"] = (
        b"Wheel-Version: 1.0\nGenerator: pusht-course-kit\nRoot-Is-Purelib: true\n"
        b"Tag: py3-none-any\n"
    )
    files[f"{about}/entry_points.txt"] = _entry_points()
    record = io.StringIO()
    rows = [(name, _digest(content), len(content)) for name, content in files.items()]
    csv.writer(record, lineterminator="\n").writerows([*rows, (f"{about}/RECORD", "", "")])
    files[f"{about}/RECORD"] = record.getvalue().encode()
    return zip_bytes(files)


def _distribution() -> str:
    return f"{_project()['name'].replace('-', '_')}-{pusht.__version__}"


def _metadata() -> bytes:
    project = _project()
    lines = [
        "Metadata-Version: 2.1",
        f"Name: {project['name']}",
        f"Version: {pusht.__version__}",
        f"Summary: {project['description']}, the students' part",
        f"Requires-Python: {project['requires-python']}",
        *(f"Requires-Dist: {requirement}" for requirement in project["dependencies"]),
    ]
    return "\n".join([*lines, ""]).encode()


def _entry_points() -> bytes:
    scripts = [f"{name} = {function}\n" for name, function in _project()["scripts"].items()]
    return ("[console_scripts]\n" + "".join(scripts)).encode()


def _digest(content: bytes) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=")
    return f"sha256={digest.decode()}"


def _student_requirements() -> bytes:
    return ("\n".join(_project()["dependencies"]) + "\n").encode()


def _project() -> dict[str, Any]:
    text = resources.path("pyproject.toml").read_text(encoding="utf-8")
    return dict(tomllib.loads(text)["project"])
