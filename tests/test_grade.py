"""A class's grading: stopped anywhere it goes on from there, what people entered stays, nothing is
done twice.
"""

import contextlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from courses import create
from nbgrader.api import Gradebook
from test_course import PART, checkpoint, hand_in  # noqa: F401  (checkpoint is a fixture)

from score import rubric
from score.course.class_run import grade as class_run
from score.course.class_run import workers
from score.course.class_run.grade import grade_course
from score.course.grading import results
from score.course.notebooks import build
from score.course.settings import ASSIGNMENT, CourseError

STUDENTS = [f"s{n}" for n in range(5)]
NOTEBOOKS = len(rubric.PARTS) * len(STUDENTS)
# A grading that takes no time: points by the student's and the part's name, a line in a log for
# each.
QUICK = textwrap.dedent("""
    import hashlib, os, signal, sys, time
    from dataclasses import replace
    from score.course.settings import open_course
    from score.course.class_run import grade as class_run
    from score.course.grading.notebook import Graded
    from score.course.grading.results import ungraded

    def quick(task):
        time.sleep(0.02)
        share = hashlib.sha256(f"{task.student} {task.part}".encode()).digest()[0] / 255
        result = ungraded(task.student, task.part, "Quick.", task.key)
        cells = {
            name: replace(cell, points=cell.max_points * share)
            for name, cell in result.cells.items()
        }
        line = os.open("quick.log", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(line, f"{task.student} {task.part}\\n".encode())
        os.close(line)
        return Graded(replace(result, cells=cells, missing=""), {f"{task.part}.ipynb": b"{}"})

    if __name__ == "__main__":
        # A shell may have started all this with it switched off.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        class_run.grade_part = quick
        course = open_course("course")
        print("begins", flush=True)
        class_run.grade_course(course, jobs=2)
""")


@pytest.fixture(scope="module")
def course(tmp_path_factory, checkpoint):  # noqa: F811
    """A course with one held-out episode and an answered submission of Part I by ann."""
    made = create(tmp_path_factory.mktemp("class") / "course", first_seed=20_000, episodes=1)
    hand_in(made, "ann", build.answered_notebook(PART), checkpoint)
    return made


@pytest.fixture
def threads(monkeypatch):
    """Notebooks are graded by an executor that is no pool of processes."""
    with ThreadPoolExecutor(1) as executor:
        monkeypatch.setattr(workers, "processes", lambda *_: contextlib.nullcontext(executor))
        yield


def gradebook_of(course):
    """All that grading writes into the gradebook, by student, notebook, cell."""
    with Gradebook(course.gradebook) as gradebook:
        return {
            (submission.student.id, notebook.name, entry.name): (
                entry.auto_score,
                entry.manual_score,
                entry.needs_manual_grade,
            )
            for submission in gradebook.assignment_submissions(ASSIGNMENT)
            for notebook in submission.notebooks
            for entry in notebook.grades
        }


# Interruption.


def quickly(folder, rng=None, end=signal.SIGKILL):
    """Run the quick grading in a folder to its end or, with `rng`, to a signal at a random moment;
    return its log's new lines.
    """
    environment, before = os.environ | {"PYTHONPATH": os.getcwd()}, len(log_of(folder))
    with subprocess.Popen(
        [sys.executable, "program.py"],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as program:
        assert program.stdout.readline() == "begins\n"
        if rng:
            wait_for(program, folder, before + rng.randrange(NOTEBOOKS - len(recorded(folder)) + 1))
            with contextlib.suppress(subprocess.TimeoutExpired):
                program.wait(rng.uniform(0, 0.1))
            program.send_signal(end)
        _, errors = program.communicate()
        assert rng or program.returncode == 0, errors
    return log_of(folder)[before:]


def wait_for(program, folder, lines):
    while program.poll() is None and len(log_of(folder)) < lines:
        with contextlib.suppress(subprocess.TimeoutExpired):
            program.wait(0.01)


def log_of(folder):
    return (
        (folder / "quick.log").read_text().split("\n")[:-1]
        if (folder / "quick.log").exists()
        else []
    )


def recorded(folder):
    return {f"{path.parent.name} {path.stem}" for path in folder.glob("course/results/*/*.json")}


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """The gradebook of a class after a run that nothing stopped."""
    folder = tmp_path_factory.mktemp("whole")
    course = fill(folder)
    log = quickly(folder)
    assert len(log) == len(set(log)) == NOTEBOOKS
    return gradebook_of(course)


def fill(folder):
    """A course in the folder with submissions of all parts, and the program that grades them
    quickly.
    """
    made = create(folder / "course", first_seed=20_000, episodes=1)
    (folder / "program.py").write_text(QUICK)
    for student in STUDENTS:
        for part in build.parts_with_source():
            build.write(
                build.student_notebook(part),
                made.folder / "submitted" / student / ASSIGNMENT / f"{part.name}.ipynb",
            )
    return made


@pytest.mark.long
@pytest.mark.parametrize("moments, end", [(50, signal.SIGKILL), (10, signal.SIGINT)])
def test_stopped_at_any_moment_nothing_is_lost_or_done_twice(tmp_path, uninterrupted, moments, end):
    rng, found, course = random.Random(moments), [], fill(tmp_path)
    empty = (course.folder / "gradebook.db").read_bytes()
    for _ in range(moments):
        before = recorded(tmp_path)
        done = quickly(tmp_path, rng, end)
        assert not before & {*done}, "what had a result was graded again"
        assert before <= recorded(tmp_path), "a result was lost"
        for path in course.folder.glob("results/*/*.json"):
            json.loads(path.read_text())  # none is half written
        found.append(len(recorded(tmp_path)))
        if found[-1] == NOTEBOOKS:  # once to the end, compared, and from the start again
            assert quickly(tmp_path) == [] and gradebook_of(course) == uninterrupted
            shutil.rmtree(course.folder / "results")
            (course.folder / "gradebook.db").write_bytes(empty)
    assert min(found) < NOTEBOOKS, "no run was stopped before its end"
    before = recorded(tmp_path)
    assert len(quickly(tmp_path)) == NOTEBOOKS - len(before)
    assert gradebook_of(course) == uninterrupted
    print("results when it was stopped:", found)


def test_two_runs_at_once_are_told_in_one_sentence(course):
    with class_run._alone(course), pytest.raises(CourseError, match="is being graded already"):
        grade_course(course)


# Grading again.


def change(course, student, where, old, new):
    path = course.folder / "submitted" / student / ASSIGNMENT / f"{PART.name}.ipynb"
    content = json.loads(path.read_text())
    cell = next(cell for cell in content["cells"] if where in cell["id"])
    source = "".join(cell["source"])
    assert old in source
    cell["source"] = source.replace(old, new)
    path.write_text(json.dumps(content))


def result(course):
    return results.load(course.folder / "results", "ann")[PART.name]


def test_what_has_not_changed_is_not_graded_again_and_what_has_is(course, threads, monkeypatch):
    grade_course(course)
    first = result(course)
    assert first.rollouts and first.seconds["rollouts"] > 0
    stamp = (course.folder / "results/ann/part1_mlp.json").stat().st_mtime_ns
    grade_course(course)
    assert (course.folder / "results/ann/part1_mlp.json").stat().st_mtime_ns == stamp

    before = rubric.POLICIES[PART.name]

    def graded_again(policy):
        monkeypatch.setitem(rubric.POLICIES, PART.name, policy)
        monkeypatch.setitem(rubric.PARTS, PART.name, replace(PART, policies=(policy,)))
        grade_course(course)
        return result(course)

    again = graded_again(replace(before, published=0.91))
    assert again.key != first.key
    assert again.seconds["rollouts"] == 0 and again.rollouts == first.rollouts
    # The target decides how many episodes are rolled out.
    again = graded_again(replace(before, targets={"shipped": 0.91, "human": 0.91}))
    assert again.seconds["rollouts"] > 0
    assert "0.91 earns all points" in again.cells["part1-rollouts"].sentence
    monkeypatch.setitem(rubric.POLICIES, PART.name, before)
    monkeypatch.setitem(rubric.PARTS, PART.name, PART)

    change(course, "ann", "part1-mlp_inference", "naction", "naction ")
    grade_course(course)
    assert result(course).seconds["rollouts"] > 0


def test_other_points_in_the_rubric_change_points_and_grade_nobody_again(
    course, threads, monkeypatch
):
    before = grade_course(course)
    stamp = (course.folder / "results/ann/part1_mlp.json").stat().st_mtime_ns
    dear = replace(PART, questions=tuple(replace(q, points=10 * q.points) for q in PART.questions))
    monkeypatch.setitem(rubric.PARTS, PART.name, dear)
    after = grade_course(course)
    assert (course.folder / "results/ann/part1_mlp.json").stat().st_mtime_ns == stamp
    for key, verdict in before.items():
        factor = 10 if key[2] in ("part1-q1_1", "part1-q1_2", "part1-q1_3") else 1
        entered = verdict.sentence.startswith("Graded by a person")  # by another test, and stays
        assert after[key].points == (1 if entered else factor) * verdict.points
        assert after[key].max_points == factor * verdict.max_points
    monkeypatch.setitem(rubric.PARTS, PART.name, PART)
    assert grade_course(course) == before


def test_results_that_an_earlier_kit_wrote_are_read_and_what_is_damaged_is_graded_again(
    course, threads
):
    before, path = grade_course(course), course.folder / "results/ann/part1_mlp.json"
    values = json.loads(path.read_text())
    del values["format"]
    values["box"] = values.pop("sandbox")
    values["cells"] = {
        cell: {name: fields[name] for name in ("name", "points", "max_points", "sentence")}
        | {"seconds": 1.0, "written": fields["unread"]}
        for cell, fields in values["cells"].items()
    }
    path.write_text(json.dumps(values))
    stamp = path.stat().st_mtime_ns
    assert grade_course(course) == before and path.stat().st_mtime_ns == stamp
    path.write_text(path.read_text()[:500])
    assert PART.name not in results.load(course.folder / "results", "ann")
    assert grade_course(course) == before and result(course).cells


def test_one_part_of_one_student_is_graded_by_itself(course, threads):
    hand_in(course, "bob", build.student_notebook(PART))
    build.write(
        build.student_notebook(rubric.PARTS["part2_cvae"]),
        course.folder / "submitted/bob" / ASSIGNMENT / "part2_cvae.ipynb",
    )
    verdicts = grade_course(course, ["bob"], ["part2_cvae"])
    by_part = {part: verdict for (_, part, _), verdict in verdicts.items()}
    assert by_part["part1_mlp"] is None and by_part["part2_cvae"].points == 0
    with pytest.raises(CourseError, match="Nothing of cem"):
        grade_course(course, ["cem"])
    shutil.rmtree(course.folder / "submitted/bob")


def test_what_a_person_entered_and_late_penalties_stay_and_no_old_points_do(course, threads):
    (course.folder / "submitted/ann" / ASSIGNMENT / "timestamp.txt").write_text(
        "2026-03-02 12:00:00 UTC"
    )
    config = course.folder / "nbgrader_config.py"
    whole = config.read_text()
    config.write_text(
        whole
        + textwrap.dedent("""
        from nbgrader.plugins import BasePlugin

        class AlwaysOne(BasePlugin):
            def late_submission_penalty(self, student_id, score, total_seconds_late):
                return 1.0

        get_config().AssignLatePenalties.plugin_class = AlwaysOne  # noqa: F821
    """)
    )
    grade_course(course)
    with Gradebook(course.gradebook) as gradebook:
        gradebook.update_or_create_assignment(ASSIGNMENT, duedate=datetime(2026, 3, 1))
        entry = gradebook.find_grade("part1-q1_2", PART.name, ASSIGNMENT, "ann")
        entry.manual_score, entry.extra_credit = 1.5, 0.25
        gradebook.find_comment(
            "part1-bc_loss", PART.name, ASSIGNMENT, "ann"
        ).manual_comment = "Read again, please."
        gradebook.db.commit()
    change(course, "ann", "part1-mlp_dims", "mlp_dims", "mlp_dims ")
    change(course, "ann", "part1-mlp_inference", "return", "raise ValueError  # return")
    got = {cell: verdict for (_, _, cell), verdict in grade_course(course).items()}
    assert (
        got["part1-q1_2"].points == 1.75
        and got["part1-q1_3"].points == 0 == got["part1-rollouts"].points
    )
    with Gradebook(course.gradebook) as gradebook:
        submission = gradebook.find_submission(ASSIGNMENT, "ann")
        assert submission.total_seconds_late == timedelta(days=1, hours=12).total_seconds()
        assert [
            notebook.late_submission_penalty
            for notebook in submission.notebooks
            if notebook.name == PART.name
        ] == [1.0]
        assert gradebook.find_grade("part1-q1_2", PART.name, ASSIGNMENT, "ann").auto_score == 2
    row = dict(
        zip(
            *[
                line.split(",")
                for line in (course.folder / "grades.csv").read_text().splitlines()[:2]
            ]
        )
    )
    assert (row["Q1.2"], row["late_penalty"], float(row["total"])) == (
        "1.75",
        "1.00",
        float(row["Q1.1"]) + 1.75 - 1,
    )
    config.write_text(whole)


# On a cluster.


def dask(command, *arguments):
    return subprocess.Popen(
        [sys.executable, "-m", "distributed.cli." + command, *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.getcwd()},
        start_new_session=True,
    )


@pytest.fixture
def cluster(tmp_path):
    """(address of a Dask scheduler, its two worker processes)."""
    scheduler = dask("dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard")
    address = next(
        found[0]
        for line in scheduler.stderr
        if (found := re.search(r"tcp://127\.0\.0\.1:\d+", line))
    )
    started = [
        dask(
            "dask_worker",
            address,
            "--nthreads",
            "1",
            "--no-nanny",
            "--no-dashboard",
            "--local-directory",
            str(tmp_path),
        )
        for _ in range(2)
    ]
    for worker in started:
        assert any("Registered to" in line for line in worker.stderr)
    yield address, started
    for process in (*started, scheduler):
        process.kill()
        process.communicate()


@pytest.mark.long
def test_on_a_cluster_a_worker_that_is_killed_costs_nothing(tmp_path, cluster, checkpoint):  # noqa: F811
    address, started = cluster
    made = create(tmp_path / "course", first_seed=20_000, episodes=1)
    for student in ("ann", "bob", "cem"):
        hand_in(made, student, build.answered_notebook(PART), checkpoint)
    with subprocess.Popen(
        [sys.executable, "-m", "score", "course", "grade", made.folder, "--scheduler", address],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as command:
        watched = made.folder / "results"
        while command.poll() is None and not list(watched.glob("*/*.json")):
            with contextlib.suppress(subprocess.TimeoutExpired):
                command.wait(0.2)
        started[0].kill()
        _printed, errors = command.communicate()
    assert command.returncode == 0, errors
    points = {
        key: entry[0]
        for key, entry in gradebook_of(made).items()
        if key[1] == PART.name and "rollouts" not in key[2]
    }
    assert sorted(points.values()) == [1.0] * 3 + [2.0] * 6


@contextlib.contextmanager
def configured(course, more):
    """The course with something at the end of its nbgrader_config.py."""
    path = course.folder / "nbgrader_config.py"
    before = path.read_text()
    path.write_text(f"{before}\n{more}  # noqa: F821\n")
    yield
    path.write_text(before)


@pytest.mark.long
def test_nbgraders_steps_are_not_the_courses_own_and_the_limits_set_there_hold(course, threads):
    before = grade_course(course)
    with configured(course, "get_config().Autograde.autograde_preprocessors = []"):
        shutil.rmtree(course.folder / "results")
        assert grade_course(course) == before
    with configured(course, "get_config().Execute.notebook_seconds = 1"):
        stopped = grade_course(course)["ann", PART.name, "part1-q1_1"]
    assert stopped.points == 0 and "it took longer than 1 s" in stopped.sentence


@pytest.mark.parametrize(
    "broken, sentence",
    [
        ("raise ValueError('no')", "raises ValueError: no"),
        ("import score.gone", "raises ModuleNotFoundError"),
        ("{}\nget_config().Execute.timeout = 'long'", "sets a limit that cannot be used"),
        ("{}\nget_config().Execute.timeout = 0", "cell_seconds is 0, and 1 is the least"),
        ("c = get_config()", "does not say that this is a course"),
        (None, "is missing"),
    ],
)
def test_a_broken_configuration_grades_nobody_and_says_so(course, threads, broken, sentence):
    path = course.folder / "nbgrader_config.py"
    before, graded = path.read_text(), gradebook_of(course)
    path.write_text(broken.replace("{}", before)) if broken else path.unlink()
    with pytest.raises(CourseError, match=sentence):
        grade_course(course)
    path.write_text(before)
    assert gradebook_of(course) == graded
