"""A course from its making to its grades, through nbgrader for real."""

import contextlib
import re
import shutil
import signal
import subprocess
import sys
import types
import zipfile

import courses
import nbformat
import pytest
import torch
from nbgrader.api import Gradebook

from pusht.checkpoint import Checkpoint
from pusht.dataset import get_data_stats
from pusht.networks import ResidualMLP
from score import rubric
from score.__main__ import main
from score.course.class_run import workers
from score.course.class_run.grade import grade_course
from score.course.nbgrader import release
from score.course.nbgrader.release import create
from score.course.notebooks import build
from score.course.report.tables import reasons, remarks, table
from score.course.settings import ASSIGNMENT, Assignment, CourseError, open_course

PART = rubric.PARTS["part1_mlp"]


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """A course with two held-out episodes."""
    folder = tmp_path_factory.mktemp("kit") / "course"
    return courses.create(folder, first_seed=20_000, episodes=2)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """An untrained network's hand-in file: enough to be rolled out, whatever it earns."""
    torch.manual_seed(0)
    model = ResidualMLP([10, *[256] * 5, 32], use_layernorm=True)
    stats = {
        "obs": get_data_stats([[0] * 5, [512] * 4 + [6.28]]),
        "action": get_data_stats([[0, 0], [512, 512]]),
    }
    path = tmp_path_factory.mktemp("trained") / "part1_mlp.safetensors"
    Checkpoint(model.state_dict(), stats, [0.1, 0.05], 300, "none", 1, {}).save(path)
    return path


@pytest.fixture(scope="module", autouse=True)
def one_process(tmp_path_factory):
    """One grading process for all the tests here: starting one takes seconds."""
    with (
        workers.processes(1, tmp_path_factory.mktemp("scratch")) as executor,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(workers, "processes", lambda jobs, scratch: contextlib.nullcontext(executor))
        yield


def hand_in(course, student, notebook, *files):
    folder = course.folder / "submitted" / student / ASSIGNMENT
    shutil.rmtree(folder, ignore_errors=True)
    build.write(notebook, folder / "part1_mlp.ipynb")
    for file in files:
        shutil.copy(file, folder / "part1_mlp.safetensors")


def grades_of(course, student):
    """The verdicts on the notebook that was handed in, by test cell; the others were not, and earn
    nothing for that reason.
    """
    own = {}
    for (_, part, cell), verdict in grade_course(course, [student]).items():
        if part == PART.name:
            own[cell.split("-")[1]] = verdict
        else:
            assert (verdict.points, verdict.sentence) == (0, f"{part}.ipynb was not handed in.")
    return own


def points(grades):
    return {cell: verdict.points for cell, verdict in grades.items()}


def test_an_answered_submission_earns_its_points_without_training(course, checkpoint):
    hand_in(course, "answered", build.answered_notebook(PART), checkpoint)
    grades = grades_of(course, "answered")
    assert [grades[q].points for q in ("q1_1", "q1_2", "q1_3")] == [1, 2, 2]
    assert "over 2 episodes" in grades["rollouts"].sentence
    executed = nbformat.read(
        course.folder / "autograded/answered/pusht/part1_mlp.ipynb", as_version=4
    )
    practice = [cell for cell in executed.cells if " practice" in cell.source.split("\n")[0]]
    assert practice and not any(cell.outputs for cell in practice)
    assert (
        course.folder / "autograded/answered/pusht/part1_mlp_rollouts.mp4"
    ).stat().st_size > 1000
    page = (course.folder / "feedback/answered/pusht/feedback.html").read_text()
    assert "video/mp4" in page and grades["rollouts"].sentence[:12] in page


def test_an_untouched_submission_earns_nothing_and_hears_why(course):
    hand_in(course, "untouched", build.student_notebook(PART))
    grades = grades_of(course, "untouched")
    assert set(points(grades).values()) == {0}
    assert all("Not answered yet" in grades[q].sentence for q in ("q1_1", "q1_2", "q1_3"))
    assert "There is no part1_mlp.safetensors" in grades["rollouts"].sentence


def test_a_missing_checkpoint_costs_the_rollouts_and_nothing_else(course):
    hand_in(course, "no_checkpoint", build.answered_notebook(PART))
    grades = grades_of(course, "no_checkpoint")
    assert points(grades) == {"q1_1": 1, "q1_2": 2, "q1_3": 2, "rollouts": 0}
    assert "There is no part1_mlp.safetensors" in grades["rollouts"].sentence


def test_a_wrong_answer_costs_its_own_points_and_names_the_mistake(course, checkpoint):
    notebook = build.answered_notebook(PART)
    cell = next(cell for cell in notebook.cells if cell.id == "part1-bc_loss")
    cell.source = cell.source.replace(
        "nn.functional.mse_loss(prediction.view_as(naction), naction)",
        "((prediction.view_as(naction) - naction) ** 2).sum()",
    )
    hand_in(course, "summed", notebook, checkpoint)
    grades = grades_of(course, "summed")
    assert (grades["q1_1"].points, grades["q1_2"].points, grades["q1_3"].points) == (1, 0, 2)
    assert "sum of the squares" in grades["q1_2"].sentence


def test_what_a_notebook_prints_to_stderr_or_as_a_number_changes_no_points(course, checkpoint):
    notebook = build.answered_notebook(PART)
    for cell in notebook.cells:
        if cell.id == "part1-bc_loss":
            cell.source = cell.source.replace(
                "    prediction",
                "    import sys; print('noise', file=sys.stderr)\n    prediction",
                1,
            )
        if cell.id == "part1-mlp_inference":
            cell.source = cell.source.split("\n", 1)[0] + "\nmlp_inference = None\n5.0"
    hand_in(course, "loud", notebook, checkpoint)
    grades = grades_of(course, "loud")
    assert (grades["q1_2"].points, grades["q1_3"].points, grades["rollouts"].points) == (2, 0, 0)


def test_what_a_notebook_claims_beyond_the_ledger_earns_nothing_and_is_flagged(course, checkpoint):
    notebook = build.student_notebook(PART)
    cell = next(cell for cell in notebook.cells if cell.id == "part1-mlp_dims")
    cell.source = (
        cell.source.split("\n", 1)[0]
        + """
mlp_dims = mlp_agent = None
score.check = score.grade_rollouts = (
    lambda name, *answer: score.Verdict(name, 5.0, 5.0, "Right.").show()
)"""
    )
    hand_in(course, "forger", notebook, checkpoint)
    grades = grades_of(course, "forger")
    assert (
        set(points(grades).values()) == {0} and "did not call the grader" in grades["q1_1"].sentence
    )
    flags = [sentence for _, _, sentence in remarks(course, ["forger"])]
    assert len({flag for flag in flags if "claims 5 points, the ledger has 0" in flag}) == 4


def test_a_kernel_that_dies_keeps_what_was_earned_and_the_reason_is_told(course, checkpoint):
    notebook = build.answered_notebook(PART)
    cell = next(cell for cell in notebook.cells if cell.id == "part1-mlp_inference")
    cell.source += "\nimport os\nos._exit(3)"
    hand_in(course, "died", notebook, checkpoint)
    grades = grades_of(course, "died")
    assert points(grades) == {"q1_1": 1, "q1_2": 2, "q1_3": 0, "rollouts": 0}
    assert "stopped before this check: the kernel died" in grades["q1_3"].sentence
    assert "over 2 episodes" in grades["rollouts"].sentence  # of the weights: no kernel plays them
    assert ("died", PART.name, "The notebook was stopped: the kernel died.") in remarks(
        course, ["died"]
    )


@pytest.mark.long
def test_nbgraders_own_command_gives_the_same_points(course, checkpoint):
    hand_in(course, "by_hand", build.answered_notebook(PART), checkpoint)
    by_command = points(grades_of(course, "by_hand"))
    with Gradebook(course.gradebook) as gradebook:
        gradebook.remove_submission(ASSIGNMENT, "by_hand")
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "nbgrader",
            "autograde",
            ASSIGNMENT,
            "--student",
            "by_hand",
            "--force",
        ],
        cwd=course.folder,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    with Gradebook(course.gradebook) as gradebook:
        submission = gradebook.find_submission_notebook("part1_mlp", ASSIGNMENT, "by_hand")
        assert {
            grade.name.split("-")[1]: grade.auto_score for grade in submission.grades
        } == by_command


def test_grading_twice_gives_the_same_grade(course, checkpoint):
    hand_in(course, "twice", build.answered_notebook(PART), checkpoint)
    first = grade_course(course, ["twice"])
    shutil.rmtree(course.folder / "results/twice")
    assert grade_course(course, ["twice"]) == first


def test_a_submission_that_nbgrader_cannot_read_keeps_no_old_points(course, checkpoint):
    hand_in(course, "broken", build.answered_notebook(PART), checkpoint)
    assert sum(points(grades_of(course, "broken")).values()) >= 5
    (course.folder / "submitted/broken/pusht/part1_mlp.ipynb").write_text("{ not a notebook")
    assert {verdict.points for verdict in grade_course(course, ["broken"]).values()} == {0}


def test_the_table_has_a_row_a_student_and_lost_points_a_reason(course, checkpoint):
    hand_in(course, "untouched", build.student_notebook(PART))
    grades = grade_course(course, ["untouched"])
    text = table(grades).splitlines()
    assert (
        text[0].split()[:6] == ["student", "Q1.1", "Q1.2", "Q1.3", "mlp", "Q2.1"]
        and text[0].split()[-1] == "total"
    )
    assert text[2].split() == ["untouched", *["0.00"] * (len(grades) + 1)]
    assert text[3].split()[-1] == f"{sum(part.points for part in rubric.PARTS.values()):.2f}"
    assert len(text) == 4
    told = reasons(grades).splitlines()
    assert (
        len(told) == 4 + len(rubric.PARTS) - 1
        and "untouched, Part II: part2_cvae.ipynb was not handed in." in told
    )
    assert "untouched, Q1.1: 0.00 of 1.00. Not answered yet (Need to implement for Q1.1)." in told


@pytest.mark.parametrize(
    "end, error",
    [
        (lambda: {"success": False, "log": "no"}, CourseError),
        (lambda: signal.raise_signal(signal.SIGINT), KeyboardInterrupt),
    ],
)
def test_a_release_that_fails_or_is_stopped_leaves_the_last_one(tmp_path, monkeypatch, end, error):
    made = tmp_path / "release" / ASSIGNMENT / "part1_mlp.ipynb"
    made.parent.mkdir(parents=True)
    made.write_text("before")

    def generate_assignment(_):
        shutil.rmtree(made.parent)
        return end()

    monkeypatch.setattr(
        release.configuration,
        "api",
        lambda course: types.SimpleNamespace(generate_assignment=generate_assignment),
    )
    with pytest.raises(error):
        release._generate(types.SimpleNamespace(folder=tmp_path), Assignment(ASSIGNMENT, ()))
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [
        made
    ] and made.read_text() == "before"


def test_a_release_that_was_killed_is_not_taken_for_the_last_one(tmp_path, monkeypatch):
    for folder, text in ((".release-before", "whole"), (f"release/{ASSIGNMENT}", "half")):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "part1_mlp.ipynb").write_text(text)
    monkeypatch.setattr(
        release.configuration,
        "api",
        lambda course: types.SimpleNamespace(
            generate_assignment=lambda _: {"success": False, "log": "no"}
        ),
    )
    with pytest.raises(CourseError):
        release._generate(types.SimpleNamespace(folder=tmp_path), Assignment(ASSIGNMENT, ()))
    assert (tmp_path / "release" / ASSIGNMENT / "part1_mlp.ipynb").read_text() == "whole"


def test_the_release_is_the_students_notebook(course):
    released = nbformat.read(course.folder / f"release/{ASSIGNMENT}/part1_mlp.ipynb", as_version=4)
    built = build.student_notebook(PART)
    assert [cell.source for cell in released.cells] == [cell.source for cell in built.cells]
    assert [cell.metadata.get("nbgrader") for cell in released.cells] == [
        cell.metadata.get("nbgrader") for cell in built.cells
    ]


def test_what_students_get_holds_the_demonstrations_and_no_solution(course):
    main(["course", "release", str(course.folder)])
    lines = {
        line.strip()
        for part in build.parts_with_source()
        for cell in build.source_notebook(part).cells
        for block in re.findall(
            r"### BEGIN SOLUTION.*?\n(.*?)### END SOLUTION", cell.source, re.DOTALL
        )
        for line in block.splitlines()
        if len(line.strip()) > 40
    }
    bundle = course.folder / "bundle"
    files = {
        str(path.relative_to(folder)): path.read_bytes()
        for folder in (bundle, course.folder / "release")
        for path in folder.rglob("*")
        if path.is_file()
    }
    with zipfile.ZipFile(bundle / "pusht-kit.zip") as archive:
        files |= {name: archive.read(name) for name in archive.namelist()}
    assert {
        "data/demonstrations.zarr.zip",
        "pusht-kit.zip",
        "notebooks/part3_ddpm.ipynb",
        "pusht/part1_mlp.ipynb",
    } <= files.keys()
    assert not [
        name
        for name in files
        if (name.endswith((".safetensors", ".pt")) and name != "data/expert.safetensors")
        or "notebooks/source" in name
    ]
    for name, content in files.items():
        if name.endswith(".ipynb"):
            told = {
                line.strip()
                for cell in nbformat.reads(content.decode(), as_version=4).cells
                for line in cell.source.splitlines()
            }
            assert lines and not told & lines, name
        assert not re.search(rb"^\W*### BEGIN SOLUTION", content, re.MULTILINE), name


def test_each_course_draws_a_secret_of_its_own_and_seeds_where_it_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(release, "release", lambda course: None)
    first, second = create(tmp_path / "a"), create(tmp_path / "b")
    assert first.secret != second.secret and len(first.secret) == len(second.secret) == 32
    assert first == open_course(first.folder) and first.first_seed is None
    told = create(tmp_path / "c", first_seed=77_000, episodes=5)
    assert told == open_course(tmp_path / "c") and (told.seed, told.episodes) == (77_000, 5)
    assert told.secret not in ("", first.secret)


def test_a_folder_that_holds_something_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(CourseError, match="is not empty"):
        create(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize(
    "settings, sentence",
    [(None, "is not a course"), ("bundle = 3 4", "cannot be read"), ("bundle = ''", "secret")],
)
def test_a_folder_that_is_no_course_is_told_in_one_sentence(tmp_path, settings, sentence):
    if settings:
        (tmp_path / "course.toml").write_text(settings)
    with pytest.raises(SystemExit, match=sentence) as raised:
        main(["course", "grade", str(tmp_path)])
    assert "\n" not in str(raised.value)


def test_grading_nobody_or_a_stranger_is_told_in_one_sentence(tmp_path, course):
    with pytest.raises(CourseError, match="Nothing of nemo"):
        grade_course(course, ["nemo"])
