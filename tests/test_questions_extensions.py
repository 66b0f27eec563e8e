"""The checks of the extensions refuse wrong answers with the hint that names the mistake, and pass
right ones however written.
"""

import copy
import json

import nbformat
import numpy as np
import pytest
import torch
from answers import all_of
from answers.extensions import (
    RIGHT,
    WRONG,
    ddim_step,
    encode_angle,
    ensemble,
    midpoint_step,
    not_answered,
)
from IPython.core.inputtransformer2 import TransformerManager

import score
from score import rubric
from score.cells import read_marker
from score.course.collect.repair import repair
from score.course.notebooks import build
from score.course.report.similarity.answers import answer_cells
from score.questions import EXTENSIONS
from score.rerun.needs import kept, sections
from score.student.comparison import recall, try_out
from score.student.progress import KEPT, read_progress
from score.verdict import Verdict


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name, answer", all_of(RIGHT))
def test_right_answers_pass_however_they_are_written(name, answer):
    assert score.check(name, answer) == Verdict(name, 0.0, 0.0, "Right.", right=True)


@pytest.mark.parametrize("name, answer", all_of(RIGHT))
def test_right_answers_pass_on_other_inputs(name, answer):
    question = EXTENSIONS[name]
    for seed in range(1, 6):
        assert question.find_mistake(question.caller(answer), np.random.default_rng(seed)) == ""


@pytest.mark.parametrize("name, answer, phrase", all_of(WRONG))
def test_wrong_answers_are_refused_with_the_hint_that_names_the_mistake(name, answer, phrase):
    checked = score.check(name, answer)
    assert not checked.right
    assert phrase in checked.sentence
    assert "\n" not in checked.sentence and len(checked.sentence) < 1000


def test_a_step_that_is_wrong_beyond_the_notebooks_schedule_alone_is_refused():
    def wrong_from_100_on(pred_epsilon, k, k_prev, a_k, alpha_bar):
        return ddim_step(pred_epsilon, k, min(k_prev, 99), a_k, alpha_bar)

    checked = score.check("E3.1", wrong_from_100_on)
    assert not checked.right
    assert checked.sentence.startswith("The step from k = ")


@pytest.mark.parametrize(
    "part",
    [part for part in build.parts_with_source() if part.extensions],
    ids=lambda part: part.name,
)
def test_the_solutions_are_right(part):
    for cell in build.source_notebook(part).cells:
        marker = read_marker(cell.source) if cell.cell_type == "code" else None
        if marker and marker.kind == "extension":
            names = {"np": np, "torch": torch}
            exec(cell.source, names)
            assert score.check(marker.questions[0], [*names.values()][-1]).right


def test_a_check_is_shown_in_one_line_without_points_and_kept_for_the_standing(capsys):
    score.check("E1.2", ensemble)
    assert capsys.readouterr() == ("✓ E1.2: Right.\n", "")
    score.check("E1.1", not_answered)
    assert capsys.readouterr().out == "✗ E1.1: Not answered yet (Need to implement for E1.1).\n"
    standing = read_progress(".", ["part1_mlp"])
    assert standing.extensions == ["E1.2 temporal ensembling"] and standing.points == 0
    assert "Points so far: 0 of 10." in str(standing)
    assert "Optional exercises done: E1.2 temporal ensembling." in str(standing)


def test_in_class_no_extension_is_asked_shown_or_kept(monkeypatch, capsys, folder):
    monkeypatch.setenv("NBGRADER_EXECUTION", "autograde")
    asked = []
    assert not score.check("E1.2", lambda *given: asked.append(given)).right
    assert not asked and capsys.readouterr().out == "" and not (folder / KEPT).exists()


def test_a_check_leaves_the_generators_alone():
    def drawn():
        return torch.rand(3).tolist(), np.random.rand(3).tolist()

    torch.manual_seed(5), np.random.seed(5)
    expected = drawn()
    torch.manual_seed(5), np.random.seed(5)
    for name, answer in (
        ("E1.1", encode_angle),
        ("E1.2", ensemble),
        ("E3.1", ddim_step),
        ("E4.1", midpoint_step),
    ):
        score.check(name, answer)
    assert drawn() == expected


# Trying out.


def straight_on(obs):
    return np.repeat(obs[:, -1:, :2], 4, axis=1)


def test_a_policy_is_tried_out_in_one_line_with_its_interval_and_its_time(monkeypatch, capsys):
    monkeypatch.setenv("PUSHT_MAX_EPISODES", "2")
    episodes = try_out("standing still", straight_on, max_steps=12)
    out, err = capsys.readouterr()
    assert err == "" and out.count("\n") == 1
    assert out.startswith(
        f"standing still {'':<9} {episodes.max_rewards.mean():.3f} (95 % interval "
    )
    assert out.endswith(" ms per call\n")
    assert [len(rewards) for rewards in episodes.rewards] == [12, 12] and episodes.seeds == [
        500,
        501,
    ]


def test_a_policy_that_remembers_is_made_anew_for_each_episode_and_does_as_well(monkeypatch):
    monkeypatch.setenv("PUSHT_MAX_EPISODES", "3")
    made = []

    def fresh():
        memory = []
        made.append(memory)

        def policy(obs):
            memory.append(obs)
            assert len(obs) == 1
            return straight_on(obs)

        return policy

    alone, together = (
        try_out("alone", fresh, max_steps=8, remembers=True),
        try_out("together", straight_on, max_steps=8),
    )
    assert [len(memory) for memory in made[:3]] == [2, 2, 2]
    assert np.array_equal(alone.states, together.states) and alone.seeds == together.seeds


def test_the_line_of_a_checked_policy_is_recalled_and_said_to_be_missing_where_it_is(
    capsys, folder
):
    recall("a hundred steps", "part3_ddpm")
    assert capsys.readouterr().out.endswith(
        "part3_ddpm has not been scored here yet: run its last check first.\n"
    )
    path = folder / "part3_ddpm_score.json"
    kept = {"mean": 0.8, "interval": [0.7, 0.9], "success": 0.5, "final": 0.7, "ms": 260}
    path.write_text(json.dumps(kept))  # as an earlier version kept it, without episodes
    recall("a hundred steps", "part3_ddpm")
    assert "has not been scored here yet" in capsys.readouterr().out
    kept |= {key: [] for key in ("scores", "seeds", "states", "actions", "rewards")}
    path.write_text(json.dumps(kept))
    recall("a hundred steps", "part3_ddpm")
    out = capsys.readouterr().out
    line = "0.800 (95 % interval 0.70 to 0.90), solved 50%, final reward 0.70, 260.0 ms per call"
    assert out == f"a hundred steps          {line}\n"


def test_in_class_nothing_is_tried_out(monkeypatch, capsys):
    monkeypatch.setenv("NBGRADER_EXECUTION", "autograde")
    assert (
        try_out("nobody looks", None) is recall("nobody looks", "part3_ddpm") is None
        and capsys.readouterr().out == ""
    )


# An extension and the rest of the course.


@pytest.fixture(scope="module")
def answered():
    return build.answered_notebook(rubric.PARTS["part1_mlp"])


def test_a_repair_leaves_an_extension_as_the_student_did(answered):
    repaired, repairs = repair(
        nbformat.writes(answered), build.student_notebook(rubric.PARTS["part1_mlp"])
    )
    assert repairs == []
    assert [(cell.id, cell.source) for cell in repaired.cells if cell.cell_type == "code"] == [
        (cell.id, cell.source) for cell in answered.cells if cell.cell_type == "code"
    ]


def test_a_repair_asks_for_no_extension(answered):
    without = copy.deepcopy(answered)
    without.cells = [
        cell for cell in without.cells if cell.id not in ("part1-encode_angle", "part1-ensemble")
    ]
    assert (
        repair(nbformat.writes(without), build.student_notebook(rubric.PARTS["part1_mlp"]))[1] == []
    )


def test_in_class_an_extensions_cell_is_not_run(answered):
    sources = [cell.source for cell in answered.cells if cell.cell_type == "code"]
    notebook = sections(sources, TransformerManager().transform_cell)
    run = {section.kind: numbers for section, numbers in zip(notebook, kept(notebook))}
    assert run["extension"] == set() and run["answer"]


def test_an_extension_is_not_compared_with_others():
    assert not {"part1-encode_angle", "part1-ensemble"} & {*answer_cells("part1_mlp")}
