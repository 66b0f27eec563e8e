"""What leaves the instructor's hands: nbgrader's release and the bundle that students fetch the kit
from.
"""

import io
import shutil
import zipfile

from score.course.nbgrader import configuration, gradebook
from score.course.notebooks.build import (
    ROOT,
    parts_with_source,
    source_notebook,
    student_notebook,
    write,
)
from score.course.settings import ASSIGNMENT, CourseError

# What students get of the kit. Sources with solutions, tests, reference checkpoints and the
# instructor's part stay out.
_BUNDLED = [
    "pusht/**/*.py",
    "pusht/*.js",
    "pusht/figures/*.png",
    "pusht/figures/*.txt",
    "score/**/*.py",
    "score/**/*.json",
    "losses/**/*.pkl",
    "data/**/*",
    "LICENSE",
]
_LEFT_OUT = ("score/course/", "data/reference/")


def release(course):
    """Build the sources anew, have nbgrader make the release from them, and write the students'
    bundle.
    """
    for part in parts_with_source():
        write(source_notebook(part, course.bundle), course.source / f"{part.name}.ipynb")
    gradebook.add_notebooks(course, [part.name for part in parts_with_source()])
    _generate(course)
    notebooks = course.folder / "bundle" / "notebooks"
    for part in parts_with_source():
        write(student_notebook(part, course.bundle), notebooks / f"{part.name}.ipynb")
    bundle = course.folder / "bundle" / "pusht-kit.zip"
    part_file = bundle.with_name(bundle.name + ".part")
    part_file.write_bytes(bundle_bytes(notebooks))
    part_file.replace(bundle)


def _generate(course):
    """Have nbgrader make release/pusht; where it cannot, the last one stays, which grading needs."""
    made, before = course.folder / "release" / ASSIGNMENT, course.folder / ".release-before"
    if before.is_dir():  # left by one that was killed: the last whole release
        shutil.rmtree(made, ignore_errors=True)
        before.rename(made)
    if made.is_dir():
        part = before.with_name(before.name + ".part")
        shutil.rmtree(part, ignore_errors=True)
        shutil.copytree(made, part)
        part.rename(before)
    result = {"success": False}
    try:
        result = configuration.api(course).generate_assignment(ASSIGNMENT)
    finally:  # stopped by Ctrl-C it has not made one either
        if not result["success"] and before.is_dir():
            shutil.rmtree(made, ignore_errors=True)
            before.rename(made)
        shutil.rmtree(before, ignore_errors=True)
    if not result["success"]:
        raise CourseError(
            "nbgrader could not make the release, so the last one stays:"
            f" {result.get('error') or result.get('log')}"
        )


def bundle_bytes(notebooks):
    """The zip that students fetch: always the same bytes for the same kit and notebooks."""
    files = {
        "notebooks/" + path.name: path.read_bytes() for path in sorted(notebooks.glob("*.ipynb"))
    }
    for pattern in _BUNDLED:
        for path in sorted(ROOT.glob(pattern)):
            name = path.relative_to(ROOT).as_posix()
            if path.is_file() and not name.startswith(_LEFT_OUT):
                files[name] = path.read_bytes()
    files["requirements.txt"] = _student_requirements()
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(
                zipfile.ZipInfo(name, date_time=(2020, 1, 1, 0, 0, 0)),
                content,
                zipfile.ZIP_DEFLATED,
            )
    return packed.getvalue()


def _student_requirements():
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return ("\n".join(project["dependencies"]) + "\n").encode()
