"""The bundle from which students fetch the kit: their part of it, with the notebooks."""

import tomllib
from pathlib import Path

from pusht import resources
from pusht.files import zip_bytes
from score.course.settings import CourseError

# What students get of the kit, without the files whose names begin so: the instructor's part and
# the reference checkpoints. Sources with solutions and tests match no pattern.
_BUNDLED = (
    "pusht/**/*.py",
    "pusht/*.js",
    "pusht/figures/*.json",
    "score/**/*.py",
    "score/**/*.json",
    "losses/**/*.pkl",
    "losses/**/*.json",
    "data/**/*",
    "LICENSE",
)
_LEFT_OUT = ("score/course/", "data/reference/")


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
