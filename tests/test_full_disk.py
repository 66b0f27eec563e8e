"""A class that is graded on a small disk of its own, which gets full at some step: nobody gets
another grade, and with room again all get those of an undisturbed run.
"""

import os
import shutil
import subprocess
import tempfile

import pytest
from courses import create
from exports import ANSWERED
from test_faults import grades, one_thread, wrong

from score import rubric
from score.__main__ import main
from score.course.class_run import grade as class_run
from score.course.class_run import records, workers
from score.course.nbgrader import gradebook
from score.course.notebooks.solutions import reference_path
from score.course.sandbox.watch import host

pytestmark = pytest.mark.long

PART = rubric.PARTS["part1_mlp"]
WEIGHTS = reference_path(PART.policies[0], "shipped")
MEGABYTES = 96


@pytest.fixture(scope="module")
def disk(tmp_path_factory):
    """The folder of a file system with room for a course and for what grading it takes."""
    folder = tmp_path_factory.mktemp("disk")
    mount = ["mount", "-t", "tmpfs", "-o", f"size={MEGABYTES}m", "tmpfs", str(folder)]
    if os.geteuid() or not shutil.which("mount") or subprocess.run(mount).returncode:
        pytest.skip("needs root that may mount a file system of its own")
    folder.chmod(0o755)
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture(scope="module")
def handed_in(tmp_path_factory):
    """A course of two: one handed in Part I with its weights, one without."""
    folder = tmp_path_factory.mktemp("class") / "course"
    course = create(folder, first_seed=20_000, episodes=2)
    shutil.rmtree(course.folder / "bundle")
    for student in ("ann", "bo"):
        submission = course.submission(student, course.assignments[0])
        submission.mkdir(parents=True)
        (submission / f"{PART.name}.ipynb").write_text(ANSWERED[PART.name], encoding="utf-8")
    shutil.copy(WEIGHTS, course.submission("ann", course.assignments[0]))
    return course.folder


def grade(folder):
    """Grade by the command; return its exit code."""
    try:
        main(["course", "grade", str(folder), "--jobs", "1"])
    except SystemExit as ended:
        return ended.code or 0
    return 0


@pytest.fixture(scope="module")
def right(handed_in, tmp_path_factory):
    """The grades of an undisturbed run."""
    folder = shutil.copytree(handed_in, tmp_path_factory.mktemp("undisturbed") / "course")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(workers, "processes", one_thread)
        assert grade(folder) == 0
    return grades(folder)


def fill(disk):
    """Leave no room on a disk."""
    with open(disk / "filler", "ab", buffering=0) as filler:
        size = 2**20
        while size:
            try:
                filler.write(bytes(size))
            except OSError:
                size //= 2


STEPS = {
    "when a notebook begins": (class_run, "grade_part"),
    "when its result is kept": (records, "record"),
    "when it is entered into the gradebook": (gradebook, "merge"),
    "when the pages are written": (records, "write_class"),
}


@pytest.mark.parametrize(
    "step, nth",
    [(step, nth) for step in STEPS for nth in (1, 2) if nth == 1 or "pages" not in step],
)
def test_a_disk_that_gets_full_is_nobodys_grade(disk, handed_in, right, monkeypatch, step, nth):
    owner, name = STEPS[step]
    folder, scratch = disk / "course", disk / "scratch"
    shutil.copytree(handed_in, folder)
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    monkeypatch.setattr(workers, "processes", one_thread)
    function, calls = getattr(owner, name), []

    def filling(*arguments, **options):
        calls.append(name)
        if len(calls) == nth:
            fill(disk)
        return function(*arguments, **options)

    try:
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, filling)
            code = grade(folder)
        assert calls and shutil.disk_usage(disk).free < host.LEAST_ROOM
        found = grades(folder)
        assert code and not wrong(found, right), (code, wrong(found, right))
        missing = sum(value != found.get(key) for key, value in right.items())
        print(f"full {step} ({nth}): {missing} of {len(right)} grades open; {code}")
        stopped = grade(folder)
        assert "MB left for" in str(stopped) and grades(folder) == found
        (disk / "filler").unlink()
        assert grade(folder) == 0 and grades(folder) == right
        assert (folder / "report.html").is_file()
    finally:
        for path in disk.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
