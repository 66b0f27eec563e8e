"""A student's progress: what checks keep in a folder, and what is shown of it."""

import json
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
import torch

import score
from pusht import demos
from pusht.checkpoint import Checkpoint
from pusht.networks import ResidualMLP
from score import rubric
from score.course.notebooks import build
from score.student import check as student_check
from score.student import progress, rollouts
from score.student.progress import KEPT, keep_verdict, read_progress, show_standing
from score.verdict import Verdict

PART1 = ["part1_mlp"]
STATS = {
    "obs": {"min": [0] * 5, "max": [512] * 4 + [6.3]},
    "action": {"min": [0, 0], "max": [512, 512]},
}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def widths(obs_horizon, obs_dim, pred_horizon, action_dim, hidden_dims):
    return [obs_horizon * obs_dim, *hidden_dims, pred_horizon * action_dim]


def rows(*parts):
    return {row.title: row for row in read_progress(".", parts or PART1).rows}


def checkpoint(losses, num_epochs=300, fingerprint=demos.SHIPPED_FINGERPRINT, weights=None):
    return Checkpoint(
        weights or {"w": torch.zeros(1)}, STATS, losses, num_epochs, fingerprint, 1, {}
    )


def test_each_question_is_passed_failed_with_its_hint_or_not_tried():
    score.check("Q1.1", widths)
    score.check(
        "Q1.2",
        lambda model, nobs, naction: (
            (model(nobs.flatten(1)).view_as(naction) - naction) ** 2
        ).sum(),
    )
    found = rows()
    assert [row.state for row in found.values()] == ["passed", "failed", "not tried", "not tried"]
    assert (
        found["Q1.1 layer widths"].message.startswith("Right. (Checked 2")
        and found["Q1.1 layer widths"].earned == "1 of 1"
    )
    assert "Hint: this is the sum of the squares" in found["Q1.2 loss"].message
    text = str(read_progress(".", PART1))
    assert (
        "Points so far: 1 of 10." in text
        and "your answers are checked with other inputs" in text
        and "other seeds" in text
    )


def test_the_last_check_of_a_question_counts_and_the_others_stay():
    keep_verdict("Q1.2", Verdict("Q1.2", 2.0, 2.0, "Right."))
    score.check("Q1.1", widths)
    score.check("Q1.1", lambda *_: [1])
    found = rows()
    assert (found["Q1.1 layer widths"].state, found["Q1.2 loss"].state) == ("failed", "passed")
    assert not [path.name for path in progress.Path(".").iterdir() if path.name.endswith(".part")]


def test_the_rollouts_are_kept_with_their_interval(monkeypatch):
    monkeypatch.setenv("PUSHT_MAX_EPISODES", "2")
    torch.manual_seed(0)
    model = ResidualMLP([10, *[256] * 5, 32], use_layernorm=True)
    checkpoint([0.1] * 300, weights=model.state_dict()).save("part1_mlp.safetensors")

    def infer(model, batch_size, nobs, pred_horizon, action_dim):
        return model(nobs.reshape(batch_size, -1)).view(batch_size, pred_horizon, action_dim)

    verdict = score.grade_rollouts("part1_mlp", infer, model)
    row = rows()["Part I rollouts"]
    assert (row.points, row.max_points) == (
        verdict.points,
        5,
    ) and "over 2 episodes (95 % interval" in row.message
    progress.Path("part1_mlp.safetensors").unlink()
    score.grade_rollouts("part1_mlp", infer, model)
    assert (
        rows()["Part I rollouts"].state == "failed"
        and "There is no part1_mlp.safetensors" in rows()["Part I rollouts"].message
    )


def test_when_graded_nothing_is_kept_or_shown(monkeypatch, capsys):
    monkeypatch.setenv("NBGRADER_EXECUTION", "autograde")
    for module in (student_check, rollouts):
        monkeypatch.setattr(module, "converse", lambda *_: None)
    score.check("Q1.1", widths)
    score.grade_rollouts("part1_mlp", None, None)
    show_standing()
    score.submit()
    assert [*progress.Path(".").iterdir()] == [] and capsys.readouterr().out == ""


def test_notebooks_at_work_in_one_folder_lose_none_of_each_others_verdicts():
    keys = [f"Q{part}.{number}" for part in range(40) for number in range(2)]
    with ThreadPoolExecutor(8) as threads:
        assert [*threads.map(lambda key: keep_verdict(key, Verdict(key, 1.0, 1.0, "Right.")), keys)]
    assert {*json.loads(progress.Path(KEPT).read_text())} == {*keys}


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[1]",
        "[" * 100_000,
        '{"Q1.1": 3, "Q1.2": {"points": "many", "sentence": "", "time": 0}}',
        '{"Q1.1": {"points": 1, "sentence": "Right.", "time": 1e300}}',
    ],
)
def test_a_damaged_file_is_no_verdict_and_the_next_check_is_kept(content):
    progress.Path(KEPT).write_text(content)
    assert {row.state for row in rows().values()} == {"not tried"}
    score.check("Q1.1", widths)
    assert rows()["Q1.1 layer widths"].state == "passed"


def test_a_folder_that_cannot_be_written_to_costs_no_check(monkeypatch, capsys):
    def refuse(*_):
        raise PermissionError("read-only")

    keep_verdict("Q1.2", Verdict("Q1.2", 2.0, 2.0, "Right."))
    monkeypatch.setattr(progress, "write_whole", refuse)
    assert score.check("Q1.1", widths).points == 1 and "Right." in capsys.readouterr().out
    assert rows()["Q1.2 loss"].state == "passed"


@pytest.mark.parametrize(
    "losses, sentence, to_train",
    [
        (None, "There is no part1_mlp.safetensors", ["part1_mlp"]),
        (1.0, "300 of 300 epochs on the shipped demonstrations. Your loss stays within", []),
        (2.0, "leaves the reference's band at epoch 5", []),
    ],
)
def test_the_loss_is_held_against_the_reference_and_what_still_needs_training_is_named(
    losses, sentence, to_train, demonstrations
):
    if losses:
        reference = score.reference_loss("part1_mlp", demonstrations).losses
        checkpoint([losses * loss for loss in reference]).save("part1_mlp.safetensors")
    found = read_progress(".", PART1)
    assert sentence in found.training[0] and found.to_train == to_train


def test_a_short_training_and_unknown_demonstrations_are_reported():
    checkpoint([0.1] * 20, fingerprint="mine").save("part1_mlp.safetensors")
    found = read_progress(".", PART1)
    assert (
        found.to_train == ["part1_mlp (20 of 300 epochs)"]
        and "demonstrations that the kit does not know" in found.training[0]
    )


def test_outside_a_notebook_all_parts_are_printed_as_text(capsys):
    show_standing()
    text = capsys.readouterr().out
    assert (
        all(q.name in text for part in rubric.PARTS.values() for q in part.questions)
        and "<" not in text
    )
    assert "Points so far: 0 of 42, and 3 graded by a person." in text


def test_in_a_notebook_its_own_part_is_a_table_in_which_no_text_is_markup(monkeypatch):
    keep_verdict("Q2.1", Verdict("Q2.1", 0.0, 2.0, "<script>alert(1)</script>"))
    ran = [
        "",
        "# [part1/setup] given\nimport score",
        "# [part2/standing] practice\nscore.show_standing()",
        "x = 1",
    ]
    monkeypatch.setattr(progress, "in_notebook", lambda: True)
    monkeypatch.setattr(
        progress,
        "get_ipython",
        lambda: SimpleNamespace(history_manager=SimpleNamespace(input_hist_raw=ran)),
    )
    shown = []
    monkeypatch.setattr("IPython.display.publish_display_data", shown.append)
    show_standing()
    page, text = shown[0]["text/html"], shown[0]["text/plain"]
    assert (
        "Q2.4" in text
        and "Q1.1" not in text
        and "<table>" in page
        and "&lt;script&gt;" in page
        and "<script>" not in page
    )


def test_an_unknown_part_is_an_error_that_names_the_parts():
    for call in (show_standing, score.submit):
        with pytest.raises(ValueError, match="There is no part 'part9': name one of part1_mlp"):
            call("part9")


@pytest.mark.parametrize("part", build.parts_with_source(), ids=lambda part: part.name)
def test_each_notebook_ends_in_its_progress_and_submission_and_then_extensions(
    part,
):
    code = [cell.source for cell in build.student_notebook(part).cells if cell.cell_type == "code"]
    code = code[
        : next((number for number, cell in enumerate(code) if " extension E" in cell), None)
    ]
    assert code[-2] == f"# [part{part.number}/standing] practice\nscore.show_standing()"
    assert code[-1] == f"# [part{part.number}/hand_in] practice\nscore.submit()"
