"""What `python -m score gradescope build COURSE` does: make a course's autograder as a zip.

The zip holds setup.sh and run_autograder, which Gradescope runs, the kit (kit/) and the course
(course/). It has solutions and held-out seeds in it, so it is not for students.
"""

import json
import os
from pathlib import Path

from pusht import resources
from pusht.files import write_whole, zip_bytes
from score import rubric
from score.course.gradescope.run import SETTINGS, ordered
from score.course.settings import (
    ASSIGNMENT,
    Assignment,
    Course,
    CourseError,
    other_secret,
    with_secret,
)

# Minutes and megabytes are Gradescope's own defaults.
MINUTES, MEGABYTES = 10, 768
_SCRIPTS = ("setup.sh", "run_autograder")
_KIT = (
    "pusht/**/*.py",
    "score/**/*.py",
    "score/**/*.json",
    "score/course/*/templates/*",
    "losses/**/*.pkl",
    "losses/**/*.json",
    "data/*.zarr.zip",
    "notebooks/source/*.py",
    "notebooks/source/*.json",
    "pyproject.toml",
    "requirements.lock",
    "LICENSE",
)
_TEMPLATES = Path(__file__).parent / "templates"


def build(
    course: Course,
    path: str | os.PathLike[str] | None = None,
    *,
    assignment: str | None = None,
    episodes: int = rubric.GRADED_EPISODES,
    minutes: int = MINUTES,
    megabytes: int = MEGABYTES,
) -> Path:
    """Write the autograder of an assignment and return its path, by default
    COURSE/gradescope.zip, or COURSE/gradescope_ASSIGNMENT.zip where the course has several.

    The same course and kit give the same bytes.

    assignment: its name; None for the only one. episodes: the most held-out episodes of a policy,
        which are others than the class's; there are no more than the minutes allow. minutes,
        megabytes: what the assignment's settings on Gradescope allow a submission.
    CourseError where the course has no release or no such assignment.
    """
    chosen = _chosen(course, assignment)
    name = f"gradescope_{chosen.name}.zip" if course.assignments[1:] else "gradescope.zip"
    path = Path(path or course.folder / name)
    limits = {"minutes": minutes, "megabytes": megabytes}
    files = _scripts(chosen) | _kit() | _course(course, chosen, episodes, limits)
    write_whole(path, zip_bytes(files, executable=_SCRIPTS))
    return path


def _chosen(course: Course, name: str | None) -> Assignment:
    found = [each for each in course.assignments if name in (None, each.name)]
    if len(found) != 1:
        names = ", ".join(each.name for each in course.assignments)
        raise CourseError(
            f"There is no assignment {name!r}: name one of {names}."
            if name
            else f"Gradescope grades one assignment with an autograder: name one of {names}."
        )
    return found[0]


def _scripts(assignment: Assignment) -> dict[str, bytes]:
    parts = " ".join(ordered(assignment.parts)).encode()
    return {
        name: (_TEMPLATES / name).read_bytes().replace(b"{{parts}}", parts) for name in _SCRIPTS
    }


def _kit() -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    for pattern in _KIT:
        found = [entry for entry in resources.find(pattern) if "__pycache__" not in entry[1].parts]
        if not found:
            raise CourseError(f"The kit has no file that matches {pattern}: install it again.")
        files |= {f"kit/{name}": path.read_bytes() for name, path in found}
    return files


def _course(
    course: Course, assignment: Assignment, episodes: int, limits: dict[str, int]
) -> dict[str, bytes]:
    """Return the files of a course with one assignment, of the name that courses have unless they
    give one: no script there depends on it.
    """
    # Students read there at once how their policies do: other episodes than the class's.
    secret = other_secret(with_secret(course).secret, "gradescope")
    settings = f'bundle = {json.dumps(course.bundle)}\nsecret = "{secret}"\nepisodes = {episodes}\n'
    settings += f"[[assignment]]\nparts = {json.dumps(assignment.parts)}\n[points]\n"
    settings += "".join(f"{json.dumps(key)} = {worth}\n" for key, worth in course.points.items())
    files = {
        "course/course.toml": settings.encode(),
        "course/nbgrader_config.py": (course.folder / "nbgrader_config.py").read_bytes(),
        f"course/{SETTINGS}": json.dumps(limits).encode(),
        "course/packages.txt": "".join(f"{name}\n" for name in course.packages).encode(),
    }
    for part in assignment.parts:
        released = course.released(part)
        if not released.is_file():
            raise CourseError(
                f"There is no {released}: run `python -m score course release {course.folder}`"
                " first."
            )
        files[f"course/release/{ASSIGNMENT}/{part}.ipynb"] = released.read_bytes()
    return files
