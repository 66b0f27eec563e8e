"""Wherever the machine fails while a class is graded, nobody gets a wrong grade: what is not known
stays open, the class goes on, and the next run gives the grades of an undisturbed one.
"""

import csv
import io
import json
import shutil
import tempfile
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace

import psutil
import pytest
from courses import create
from faults import Faults
from nbgrader.api import Gradebook

from score import rubric
from score.__main__ import main
from score.course.class_run import grade as class_run
from score.course.class_run import workers
from score.course.grading.cache_keys import kit_version
from score.course.grading.notebook import Graded, Task, grade_part
from score.course.grading.results import ungraded
from score.course.notebooks import build
from score.course.notebooks.solutions import reference_path
from score.course.sandbox import levels
from score.course.settings import ASSIGNMENT, RunSettings, open_course

PART = rubric.PARTS["part1_mlp"]
LATE = f"""
[[assignment]]
name = "{ASSIGNMENT}"
due = 2026-03-01T12:00:00Z
late = {{ per_day = 0.1 }}
"""
HANDED_IN = {"ann": ("part1_mlp", "part2_cvae"), "bo": ("part1_mlp",), "cem": ("part1_mlp",)}


# A class, each of whose notebooks is graded in no time.


def quick(task):
    result = ungraded(task.student, task.part, "Quick.", task.key)
    cells = {
        name: replace(cell, points=cell.max_points / (len(task.student) + number))
        for number, (name, cell) in enumerate(result.cells.items())
    }
    return Graded(replace(result, cells=cells, missing=""), {f"{task.part}.ipynb": b"{}"})


@contextmanager
def one_thread(*_):
    with ThreadPoolExecutor(1) as executor:
        yield executor


@pytest.fixture(scope="module")
def handed_in(tmp_path_factory):
    """A course with three submissions, none of them graded, and one of them late."""
    folder = tmp_path_factory.mktemp("faults") / "course"
    course = create(folder, first_seed=20_000, episodes=1, more=LATE)
    for student, parts in HANDED_IN.items():
        for part in parts:
            notebook = build.answered_notebook(rubric.PARTS[part])
            build.write(
                notebook, course.submission(student, course.assignments[0]) / f"{part}.ipynb"
            )
    shutil.rmtree(course.folder / "bundle")
    stamp = course.submission("bo", course.assignments[0]) / "timestamp.txt"
    stamp.write_text("2026-03-04 12:00:00 UTC\n")
    return course.folder


@pytest.fixture(scope="module")
def quickly(handed_in, tmp_path_factory):
    """Return a function that grades a fresh copy of the class, with a fault or without."""
    folder = tmp_path_factory.mktemp("graded") / "course"

    def graded(faults=None, again=False):
        if not again:
            shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(handed_in, folder)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(class_run, "grade_part", quick)
            patch.setattr(workers, "processes", one_thread)
            try:
                with faults or Faults():
                    main(["course", "grade", str(folder), "--jobs", "1"])
                code = 0
            except SystemExit as ended:
                code = ended.code or 0
        return folder, code

    graded()  # what is done once in a process is done
    return graded


def grades(folder):
    """All grades that there are of a class, by where they are and whose."""
    found = {}
    if (folder / "grades.csv").exists():
        for row in csv.DictReader(io.StringIO((folder / "grades.csv").read_text())):
            for name in {*row} - {"student", "look_at"}:
                found["csv", row["student"], name] = row[name]
    for path in folder.glob("results/*/part*.json"):
        values = json.loads(path.read_text())
        found["result", path.parent.name, path.stem] = values["cells"]
    with Gradebook(open_course(folder).gradebook) as gradebook:
        for submission in gradebook.assignment_submissions(ASSIGNMENT):
            for notebook in submission.notebooks:
                for grade in notebook.grades:
                    key = submission.student.id, f"{notebook.name} {grade.name}"
                    found["gradebook", *key] = grade.auto_score
    return found


def wrong(found, right):
    """What of the grades is neither right nor open."""
    return {key: value for key, value in found.items() if value not in (right[key], "", None)}


def points_of(graded):
    with Faults() as faults:
        graded(faults)
    first = {}
    for point in faults.reached:
        first.setdefault((point.call, point.place), point)
    return [point for point in sorted(first.values()) if point.call != "open to read"]


def tried(graded, points):
    """Try each point; return how often the grades were unaffected or open, by file, and what was
    not as promised.
    """
    folder, code = graded()
    assert code == 0
    right, csv_bytes = grades(folder), (folder / "grades.csv").read_bytes()
    outcomes, broken = defaultdict(Counter), []
    for point in points:
        try:
            faults = Faults(point)
            folder, code = graded(faults)
            found = grades(folder)
            if not faults.failed:
                continue
            open_ = found != right
            outcome = "open" if open_ else "unaffected"
            if open_ and not code:
                broken.append((point, "the exit code is 0"))
            if bad := wrong(found, right):
                broken.append((point, f"wrong grades: {bad}"))
            if code or open_:
                folder, code = graded(again=True)
            if code or grades(folder) != right or (folder / "grades.csv").read_bytes() != csv_bytes:
                broken.append((point, f"the next run differs: {code}"))
            if not (folder / "report.html").exists():
                broken.append((point, "there is no report"))
        except Exception as error:
            outcome = "crash"
            broken.append((point, f"{type(error).__name__}: {error}"))
        print(outcome, point, *broken[-1:], flush=True)
        outcomes[point.place.partition(":")[0], point.call][outcome] += 1
    return outcomes, broken


def shown(outcomes):
    lines = [f"{'place':<20} {'call':<26} points unaffected  open"]
    for (place, call), counts in sorted(outcomes.items()):
        total = sum(counts.values())
        line = f"{place:<20} {call:<26} {total:>6} {counts['unaffected']:>10} {counts['open']:>5}"
        lines.append(line)
    total = sum(sum(counts.values()) for counts in outcomes.values())
    return "\n".join([*lines, f"{total} points of failure"])


def test_a_late_penalty_that_cannot_be_read_leaves_the_total_open(quickly, capsys):
    reads = [p for p in points_of(quickly) if "late_penalties" in p.place and "entered" in p.place]
    capsys.readouterr()
    faults = Faults(min(reads))
    _, code = quickly(faults, again=True)
    assert faults.failed and code
    (row,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("ann  ")]
    assert row.split()[-1] == "–"


def test_a_fault_at_some_writes_of_a_class_is_no_grade(quickly):
    points = [p for p in points_of(quickly) if p.call in ("os.replace", "DefaultDialect.do_commit")]
    outcomes, broken = tried(quickly, points[:: max(1, len(points) // 4)])
    assert outcomes and not broken, broken


@pytest.mark.long
def test_a_fault_at_any_write_of_a_class_is_no_grade(quickly):
    outcomes, broken = tried(quickly, points_of(quickly))
    print(shown(outcomes))
    assert sum(sum(counts.values()) for counts in outcomes.values()) > 60
    assert not broken, broken


# A notebook that is really graded.


@pytest.fixture(scope="module")
def task():
    """A right submission of Part I."""
    name = f"{PART.name}.safetensors"
    reference = reference_path(rubric.POLICIES[PART.name], "shipped")
    files = {
        f"{PART.name}.ipynb": build.notebook_text(build.answered_notebook(PART)).encode(),
        name: reference.read_bytes(),
    }
    released = build.notebook_text(build.student_notebook(PART)).encode()
    keys = {policy.name: "" for policy in PART.policies}
    settings = RunSettings(20_000, 1)
    return Task("ann", PART.name, files, released, settings, kit_version(), "", keys, {})


def comparable(graded):
    return replace(graded.result, seconds={}), {*graded.files}


def left_behind(scratch):
    """What a grading leaves on the machine."""
    running = [one.name() for one in psutil.Process().children() if one.status() != "zombie"]
    return [path.name for path in scratch.iterdir()], running


@pytest.mark.long
def test_a_fault_at_any_step_of_a_notebook_is_no_grade(task, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    right = comparable(grade_part(task))
    levels.works.cache_clear()
    with Faults() as faults:
        assert comparable(grade_part(task)) == right
    first = {}
    for point in faults.reached:
        first.setdefault((point.call, point.place), point)
    points = [point for point in first.values() if point.call != "open to read"]
    before = left_behind(tmp_path)
    outcomes, broken = defaultdict(Counter), []
    for point in points:
        levels.works.cache_clear()
        with Faults(point) as faults:
            try:
                outcome = "unaffected"
                if comparable(grade_part(task)) != right:
                    broken.append((point, "another grade"))
            except Exception:
                outcome = "open"
        if faults.failed:
            outcomes[point.place.partition(":")[0], point.call][outcome] += 1
        left, before = before, left_behind(tmp_path)
        if left != before and point.call not in ("os.open", "os.unlink"):  # to remove a folder
            broken.append((point, f"left behind: {before}"))
        print(outcome, point, *broken[-1:], flush=True)
    print(shown(outcomes))
    levels.works.cache_clear()
    assert comparable(grade_part(task)) == right
    assert sum(sum(counts.values()) for counts in outcomes.values()) > 60
    assert not broken, broken
