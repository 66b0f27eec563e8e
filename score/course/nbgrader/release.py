"""Make a course, and release it: what nbgrader hands out, and the bundle from which students fetch
the kit.
"""

import shutil
from pathlib import Path

from pusht.files import write_whole
from score import rubric
from score.course.nbgrader import configuration, gradebook
from score.course.notebooks.build import (
    parts_with_source,
    source_notebook,
    student_notebook,
    write,
)
from score.course.notebooks.bundle import bundle_bytes, wheel_bytes, wheel_name
from score.course.settings import (
    ASSIGNMENT,
    Course,
    CourseError,
    keep_private,
    new_secret,
    open_course,
)
from score.submission.files import BY_NBGRADER

_SETTINGS = """\
# Settings of the course. After a change: python -m score course release {folder}

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
) -> Course:
    """Make a course in an empty or new folder and return it: its settings, nbgrader's
    configuration, the notebooks' sources, their release and the gradebook.

    first_seed: of consecutive held-out seeds; when None they follow from the course's secret.
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
        ),
        encoding="utf-8",
    )
    course = open_course(folder)
    release(course)
    return course


def release(course: Course) -> None:
    """Build the notebooks anew, have nbgrader make the release from them, and write the bundle and
    the students' wheel.
    """
    for part in parts_with_source():
        write(source_notebook(part, course.bundle), course.source / f"{part.name}.ipynb")
    write_whole(course.source / BY_NBGRADER, _HAND_IN)
    gradebook.add_notebooks(course, [part.name for part in parts_with_source()])
    _generate(course)
    notebooks = course.folder / "bundle" / "notebooks"
    for part in parts_with_source():
        write(student_notebook(part, course.bundle), notebooks / f"{part.name}.ipynb")
    write_whole(course.folder / "bundle" / "pusht-kit.zip", bundle_bytes(notebooks))
    write_whole(course.folder / "bundle" / wheel_name(), wheel_bytes())


def created(course: Course) -> str:
    """Return what to say of a new course."""
    return (
        f"The course is in {course.folder}: settings in course.toml, what students get in bundle/,"
        f" nbgrader's release in release/{ASSIGNMENT}/.{_without_address(course)}"
    )


def released(course: Course) -> str:
    """Return what to say of a course that was released."""
    return (
        f"Released: {course.folder / 'bundle' / 'pusht-kit.zip'} and"
        f" {course.folder / 'release' / ASSIGNMENT}.{_without_address(course)}"
    )


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
