"""Release a course: what nbgrader hands out, and the bundle from which students fetch the kit."""

import shutil
import tomllib
from pathlib import Path

from pusht import resources
from pusht.files import write_whole, zip_bytes
from score.course.nbgrader import configuration, gradebook
from score.course.notebooks.build import (
    parts_with_source,
    source_notebook,
    student_notebook,
    write,
)
from score.course.settings import ASSIGNMENT, Course, CourseError

# What students get of the kit, without the files whose names begin so: the instructor's part and
# the reference checkpoints. Sources with solutions and tests match no pattern.
_BUNDLED = (
    "pusht/**/*.py",
    "pusht/*.js",
    "pusht/figures/*.png",
    "pusht/figures/*.txt",
    "score/**/*.py",
    "score/**/*.json",
    "losses/**/*.pkl",
    "data/**/*",
    "LICENSE",
)
_LEFT_OUT = ("score/course/", "data/reference/")


def release(course: Course) -> None:
    """Build the notebooks anew, have nbgrader make the release from them, and write the bundle."""
    for part in parts_with_source():
        write(source_notebook(part, course.bundle), course.source / f"{part.name}.ipynb")
    gradebook.add_notebooks(course, [part.name for part in parts_with_source()])
    _generate(course)
    notebooks = course.folder / "bundle" / "notebooks"
    for part in parts_with_source():
        write(student_notebook(part, course.bundle), notebooks / f"{part.name}.ipynb")
    write_whole(course.folder / "bundle" / "pusht-kit.zip", bundle_bytes(notebooks))


def _generate(course: Course) -> None:
    """Have nbgrader make release/pusht. When it cannot, the last one stays: grading needs one."""
    made, before = course.folder / "release" / ASSIGNMENT, course.folder / ".release-before"
    if before.is_dir():  # a release that was killed has left it: the last whole one
        shutil.rmtree(made, ignore_errors=True)
        before.rename(made)
    if made.is_dir():
        copy = before.with_name(before.name + ".part")
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(made, copy)
        copy.rename(before)
    result = {"success": False}
    try:
        result = configuration.api(course).generate_assignment(ASSIGNMENT)
    finally:  # also when Ctrl-C stops it
        if not result["success"] and before.is_dir():
            shutil.rmtree(made, ignore_errors=True)
            before.rename(made)
        shutil.rmtree(before, ignore_errors=True)
    if not result["success"]:
        raise CourseError(
            "nbgrader could not make the release, so the last one stays:"
            f" {result.get('error') or result.get('log')}"
        )


def bundle_bytes(notebooks: Path) -> bytes:
    """Return the zip that students fetch: the same bytes for the same kit and notebooks.

    notebooks: folder of the students' notebooks.
    """
    files = {
        f"notebooks/{path.name}": path.read_bytes() for path in sorted(notebooks.glob("*.ipynb"))
    }
    if not files:
        raise CourseError(f"There is no notebook in {notebooks}.")
    files |= {name: path.read_bytes() for name, path in bundled_files().items()}
    files["requirements.txt"] = _student_requirements()
    return zip_bytes(files)


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


def _student_requirements() -> bytes:
    project = tomllib.loads(resources.path("pyproject.toml").read_text(encoding="utf-8"))["project"]
    return ("\n".join(project["dependencies"]) + "\n").encode()
