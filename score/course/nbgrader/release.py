"""Make a course, and release it: what nbgrader hands out, and the bundle from which students fetch
the kit.
"""

import shutil
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from pusht.files import write_whole
from score import rubric
from score.course.nbgrader import configuration, gradebook
from score.course.nbgrader.source import write_sources
from score.course.notebooks.build import students_version, write
from score.course.notebooks.bundle import bundle_bytes, wheel_bytes, wheel_name
from score.course.settings import (
    Assignment,
    Course,
    CourseError,
    keep_private,
    new_secret,
    open_course,
)
from score.submission.files import BY_NBGRADER

_SETTINGS = """\
# Settings of the course: docs/instructors.md of the kit lists them all. After a change:
#     python -m score course check {folder}
#     python -m score course release {folder}

# Where students get the kit: the address at which you put bundle/pusht-kit.zip. It goes into each
# notebook's set-up cell and badge. For the badge to open the notebook in Colab, put
# bundle/notebooks/ beside it, best in a GitHub repository
# (https://raw.githubusercontent.com/OWNER/REPO/BRANCH/pusht-kit.zip).
bundle = "{bundle}"

# Drawn for this course, and not for students to know: the starts of the graded episodes and the
# hidden inputs of the questions follow from it.
secret = "{secret}"
{first_seed}
# The most held-out episodes of a policy. It is rolled out until its points are certain enough: that
# takes a right solution some hundred episodes, and one that is half-way some thousand.
episodes = {episodes}

# What is handed in together, and until when. Without such tables there is one assignment, pusht,
# with all parts.
# [[assignment]]
# name = "imitation"
# parts = ["part1_mlp", "part2_cvae"]
# due = 2027-03-01T23:59:00+01:00
# late = {{ per_day = 0.1, none_after_days = 5 }}
"""
_FIRST_SEED = """
# The graded episodes are those of the seeds from here on, whatever the secret.
first_seed = {}
"""
_HAND_IN = """\
This folder was fetched with nbgrader, and nbgrader hands it in: save your notebooks, choose
Nbgrader > Assignment List in the menu, and Submit there. You can submit again until the due date.
A notebook's last cell says what is still missing. It makes no zip as long as this file is here.
"""
_CONFIG = """\
# nbgrader reads this file when it runs in this folder. The course's settings are in course.toml.
from score.course import configure

configure(get_config(), __file__)  # noqa: F821
"""


def create(
    folder: Path | str,
    *,
    bundle: str = "",
    first_seed: int | None = None,
    episodes: int = rubric.GRADED_EPISODES,
    more: str = "",
) -> Course:
    """Make a course in an empty or new folder and return it: its settings, nbgrader's
    configuration, the notebooks' sources, their release and the gradebook.

    first_seed: of consecutive held-out seeds; when None they follow from the course's secret. more:
    lines for the end of course.toml.
    """
    folder = Path(folder).resolve()
    if folder.exists() and any(folder.iterdir()):
        raise CourseError(f"{folder} is not empty: name a new folder for the course.")
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    keep_private(folder)
    first = "" if first_seed is None else _FIRST_SEED.format(first_seed)
    (folder / "nbgrader_config.py").write_text(_CONFIG, encoding="utf-8")
    (folder / "submitted").mkdir()
    (folder / "course.toml").write_text(
        _SETTINGS.format(
            folder=folder.name,
            bundle=bundle,
            secret=new_secret(),
            first_seed=first,
            episodes=episodes,
        )
        + more,
        encoding="utf-8",
    )
    course = open_course(folder)
    release(course)
    return course


def release(course: Course) -> list[str]:
    """Build the notebooks anew, have nbgrader make the release from them, and write the bundle and
    the students' wheel.

    Return sentences on what stays as an instructor changed it in the course's source/.
    """
    said = write_sources(course)
    _forget_old(course)
    gradebook.add_notebooks(course)
    for assignment in course.assignments:
        write_whole(course.source(assignment) / BY_NBGRADER, _HAND_IN)
        _generate(course, assignment)
    notebooks = course.folder / "bundle" / "notebooks"
    for name in course.parts:
        write(_students(course, name), notebooks / f"{name}.ipynb")
    for old in notebooks.glob("*.ipynb"):
        if old.stem not in course.parts:
            old.unlink()
    write_whole(course.folder / "bundle" / "pusht-kit.zip", bundle_bytes(notebooks, course))
    write_whole(course.folder / "bundle" / wheel_name(), wheel_bytes(notebooks, course))
    with gradebook.open_gradebook(course) as book:
        gradebook.complete(book, course)
    return said


def created(course: Course) -> str:
    """Return what to tell of a course that was made."""
    return (
        f"The course is in {course.folder}: settings in course.toml, what students get in bundle/,"
        f" nbgrader's release in release/{course.assignments[0].name}/.{_without_address(course)}"
    )


def released(course: Course) -> str:
    """Return what to tell of a release that was made."""
    made = [course.folder / "release" / assignment.name for assignment in course.assignments]
    bundle = course.folder / "bundle" / "pusht-kit.zip"
    places = f"{', '.join(map(str, [bundle, *made[:-1]]))} and {made[-1]}"
    return f"Released: {places}.{_without_address(course)}"


def _without_address(course: Course) -> str:
    """Return the lines on what to do where course.toml gives students no address of the kit."""
    if course.bundle:
        return ""
    bundle = course.folder / "bundle"
    return (
        "\nStudents' notebooks will not find the kit, because course.toml has no address of it."
        f"\n- Put {bundle / 'pusht-kit.zip'} at an address, write that into"
        f" {course.folder / 'course.toml'} as `bundle`, and run"
        f" `python -m score course release {course.folder}`;"
        f"\n- or, where all students work on one machine, install it there for all of them:"
        f" `pip install {bundle / wheel_name()}`."
    )


def _forget_old(course: Course) -> None:
    """Remove what was released of the kit's parts for assignments that the course no longer has."""
    names = {assignment.name for assignment in course.assignments}
    for path in (course.folder / "release").glob("*/*.ipynb"):
        if path.stem in rubric.PARTS and path.parent.name not in names:
            path.unlink()
            if not any(path.parent.iterdir()):
                path.parent.rmdir()
    gradebook.forget_old(course)


def _students(course: Course, part: str) -> NotebookNode:
    """Return the students' notebook of the course's own source of a part."""
    path = course.source(course.assignment_of(part)) / f"{part}.ipynb"
    try:
        return students_version(nbformat.read(path, as_version=4))
    except ValueError as error:
        raise CourseError(f"{path}: {error}: correct it.") from None


def _generate(course: Course, assignment: Assignment) -> None:
    """Have nbgrader make an assignment's release. When it cannot, the last one stays: grading needs
    one.
    """
    made, before = course.folder / "release" / assignment.name, course.folder / ".release-before"
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
        result = configuration.api(course).generate_assignment(assignment.name)
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
