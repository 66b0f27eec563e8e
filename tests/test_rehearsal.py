"""A rehearsal says before handing in what grading will say otherwise than practice did."""

import json
import shutil
import subprocess
import sys
import time

import nbformat
import pytest

from pusht import resources
from score import rubric
from score.course.notebooks import build
from score.course.notebooks.solutions import reference_path
from score.rerun import rehearsal
from score.rerun.rehearsal import NoRehearsal, rehearse
from score.student.progress import KeptVerdict
from score.submission.check import check
from score.submission.pack import _difference, pack, rehearse_parts
from score.verdict import Verdict

PART = rubric.PARTS["part1_mlp"]
QUESTIONS = [*(question.name for question in PART.questions), "part1_mlp"]


def loss_with(answer, *own):
    """The answered notebook in which the loss is another one, after cells of one's own."""
    notebook = build.answered_notebook(PART)
    at = next(i for i, cell in enumerate(notebook.cells) if cell.id == "part1-bc_loss")
    notebook.cells[at].source = answer(notebook.cells[at].source)
    notebook.cells[at:at] = [nbformat.v4.new_code_cell(source) for source in own]
    return notebook


def hand_in(folder, notebook, right=QUESTIONS):
    """A folder with the notebook, the reference's weights and what practice said."""
    nbformat.write(notebook, folder / "part1_mlp.ipynb")
    shutil.copy(reference_path(PART.policies[0], "shipped"), folder)
    points = {question.name: question.points for question in PART.questions} | {"part1_mlp": 5.0}
    said = {name: {"points": points[name], "sentence": "Right.", "time": 0} for name in right}
    (folder / "standing.json").write_text(json.dumps(said))
    return folder


def rehearsed(folder):
    """The report on the folder's zip."""
    path, report = pack(folder, None, ["part1_mlp"])
    rehearse_parts(report, path, folder)
    return report


def test_a_right_notebook_differs_in_nothing(tmp_path):
    started = time.monotonic()
    report = rehearsed(hand_in(tmp_path, build.answered_notebook(PART)))
    assert not report.differs and report.complete
    assert "4 of 4 checks right" in str(report) and "Nothing differs" in str(report)
    assert time.monotonic() - started < 200  # seconds, where the machine has nothing else to do


def test_what_grading_will_say_otherwise_is_told_by_the_name_of_the_cell(tmp_path):
    uses = lambda source: source.replace("nn.functional.mse_loss", "criterion")  # noqa: E731
    report = rehearsed(hand_in(tmp_path, loss_with(uses, "from mine import criterion")))
    (said,) = report.parts[0].differences
    assert said.startswith("Q1.2: in practice right; run as for the grade: bc_loss raised NameErr")
    assert "the cell that begins with 'from mine import criterion'" in said
    assert "3 of 4 checks right" in str(report)


def test_what_was_added_to_a_given_cell_is_told_with_the_cell(tmp_path):
    notebook = loss_with(lambda source: source.replace("nn.functional.mse_loss", "criterion"))
    given = next(cell for cell in notebook.cells if cell.id == "part1-imports")
    given.source += "\ncriterion = nn.MSELoss()"
    (said,) = rehearsed(hand_in(tmp_path, notebook)).parts[0].differences
    assert "the cell [part1/imports], which runs as it was released" in said


def test_a_policy_that_scores_nothing_is_no_difference():
    policy = PART.policies[0]
    acts = Verdict(policy.rollouts_title, 5.0, 5.0, "It acts.")
    few = KeptVerdict(0.0, "Score 0.169 over 30 episodes.", "")
    assert _difference(policy, acts, few) == ""
    missing = KeptVerdict(0.0, "There is no part1_mlp.safetensors.", "")
    assert "It acts." in _difference(policy, acts, missing)
    gone = Verdict(policy.rollouts_title, 0.0, 5.0, "There is no part1_mlp.safetensors.")
    assert "in practice it acted" in _difference(policy, gone, few)


@pytest.mark.long
def test_a_package_that_the_grader_may_not_have_is_told(tmp_path):
    uses = lambda source: source.replace("Q1.2\n", "Q1.2\nimport pytest\n").replace(  # noqa: E731
        "    prediction =", "    pytest.skip\n    prediction ="
    )
    report = rehearsed(hand_in(tmp_path, loss_with(uses)))
    assert "ModuleNotFoundError: No module named 'pytest'" in report.parts[0].differences[0]


@pytest.mark.long
def test_what_was_never_right_is_no_difference(tmp_path):
    wrong = lambda source: source.replace("mse_loss", "l1_loss")  # noqa: E731
    folder = hand_in(tmp_path, loss_with(wrong), right=["Q1.1", "Q1.3", "part1_mlp"])
    (said,) = rehearsed(folder).parts[0].differences
    assert said.startswith("Q1.2: ") and "practice" not in said  # it was not checked there
    kept = json.loads((folder / "standing.json").read_text())
    kept["Q1.2"] = {"points": 0.0, "sentence": "This is no squared error.", "time": 0}
    (folder / "standing.json").write_text(json.dumps(kept))
    assert not rehearsed(folder).differs


def test_a_check_that_was_not_reached_and_one_that_is_gone_are_told(tmp_path):
    notebook = loss_with(lambda source: source.replace("def bc_loss", "def other_loss"))
    notebook.cells = [cell for cell in notebook.cells if cell.id != "part1-q1_1"]
    said = rehearsed(hand_in(tmp_path, notebook)).parts[0].differences
    assert said[0] == (
        "Q1.1: in practice right; run as for the grade: its test cell is missing, so nothing was"
        " checked."
    )
    assert "The check stopped with NameError: name 'bc_loss' is not defined" in said[1]


@pytest.mark.long
def test_a_test_cell_that_was_changed_is_run_as_released(tmp_path):
    notebook = loss_with(lambda source: source.replace("mse_loss", "l1_loss"))
    cell = next(cell for cell in notebook.cells if cell.id == "part1-q1_2")
    cell.source = cell.source.replace("bc_loss", "lambda m, o, a: (m(o.flatten(1)) - a) ** 2")
    assert rehearsed(hand_in(tmp_path, notebook)).parts[0].differences[0].startswith("Q1.2:")


def test_a_process_that_ends_or_does_not_end_is_told(tmp_path, monkeypatch):
    notebook = loss_with(lambda source: source.replace("Q1.2\n", "Q1.2\nimport os; os._exit(3)\n"))
    files = {"part1_mlp.ipynb": nbformat.writes(notebook).encode()}
    with pytest.raises(NoRehearsal, match=r"ended its process \(exit code 3"):
        rehearse("part1_mlp", files)
    monkeypatch.setattr(rehearsal, "_SECONDS", 0.1)
    with pytest.raises(NoRehearsal, match=r"was not done after 0.1 s"):
        rehearse("part1_mlp", files)


@pytest.mark.long
def test_the_command_rehearses_unless_it_is_to_read_only(tmp_path):
    wrong = loss_with(lambda source: source.replace("mse_loss", "l1_loss"))
    path, _ = pack(hand_in(tmp_path, wrong), None, ["part1_mlp"])
    command = [sys.executable, "-m", "score", "submission", "check", str(path)]

    def run(*more):
        done = subprocess.run(
            [*command, *more], capture_output=True, text=True, cwd=resources.PACKAGES
        )
        return done.returncode, done.stdout

    code, printed = run()
    assert code == 1 and "Q1.2: " in printed and "run as for the grade" in printed
    code, printed = run("--no-run")
    assert code == 0 and "run as for the grade" not in printed
    assert check(path).complete


@pytest.mark.long
def test_a_rehearsal_leaves_nothing_in_the_students_folder(tmp_path):
    folder = hand_in(tmp_path, build.answered_notebook(PART))
    path, report = pack(folder, None, ["part1_mlp"])
    before = {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    rehearse_parts(report, path, folder)
    assert {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()} == before


def test_nbgraders_validate_lets_practice_cells_be_changed():
    from nbgrader.validator import Validator

    notebook = build.student_notebook(PART)
    by_id = {cell.id: cell for cell in notebook.cells}
    by_id["part1-train"].source += "\nprint(run.losses[-1])"
    assert Validator()._get_changed_cells(notebook) == []
    by_id["part1-agent"].source += "\nprint(mlp_agent)"
    assert Validator()._get_changed_cells(notebook) == [by_id["part1-agent"]]


@pytest.mark.parametrize("habit", ["right", "wrong"])
def test_nbgraders_validate_says_of_a_notebook_what_practice_says(habit, tmp_path, monkeypatch):
    from nbgrader.validator import Validator

    monkeypatch.setenv("PYTHONPATH", str(resources.PACKAGES))
    monkeypatch.setenv("PUSHT_MAX_EPISODES", "6")
    edit = (lambda s: s) if habit == "right" else (lambda s: s.replace("mse_loss", "l1_loss"))
    notebook = loss_with(edit)
    # The cells that only show something are left out for speed.
    notebook.cells = [
        cell
        for cell in notebook.cells
        if cell.cell_type != "code"
        or (
            "nbgrader" in cell.metadata
            and (
                cell.metadata.nbgrader.get("grade")
                or cell.metadata.nbgrader.get("locked")
                or cell.metadata.nbgrader.get("solution")
            )
            and " practice" not in cell.source[:60]
        )
    ]
    hand_in(tmp_path, notebook, right=[])
    found = Validator().validate(str(tmp_path / "part1_mlp.ipynb"))
    failed = [cell["source"].split(" ")[1] for cell in found.get("failed", [])]
    assert failed == ([] if habit == "right" else ["[part1/q1_2]"])
    assert (tmp_path / "standing.json").read_text() == "{}"
