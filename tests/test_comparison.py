"""Comparing policies: intervals, how they move, saved scores side by side, saved networks."""

import json

import numpy as np
import pytest
import torch
from scipy import stats

import score
from pusht import Episodes, roughness, standstill
from pusht.checkpoint import Checkpoint
from pusht.normalisation import RANGE
from score import rubric
from score.rollouts.given import network_of
from score.rollouts.intervals import paired_interval, share_interval
from score.student.comparison import compare_policies


def episode(steps, *, moving, reward=0.5):
    """States (T + 1, 5), actions (T, 2) and rewards (T,); the agent moves 2 px a step, or not."""
    states = np.full((steps + 1, 5), 200.0)
    states[:, 0] += 2 * np.arange(steps + 1) * moving
    return states, states[1:, :2], np.linspace(0, reward, steps)


def recorded(*each):
    return Episodes(list(range(len(each))), *map(list, zip(*each)))


def test_a_straight_line_is_smooth_and_a_zigzag_is_rough():
    straight = recorded(episode(30, moving=True))
    assert roughness(straight) == 0
    straight.actions[0][::2] += 3
    assert roughness(straight) == pytest.approx(2 * 3 * 2**0.5)


def test_of_failed_episodes_those_that_end_where_they_are_stand_still():
    still, moves = episode(150, moving=False), episode(150, moving=True)
    solved = episode(150, moving=False, reward=1.0)
    assert standstill(recorded(still, moves, solved)) == 0.5
    assert standstill(recorded(solved)) == 0


def test_a_paired_interval_is_scipys_and_widens_when_the_pairs_are_mixed_up():
    rng = np.random.default_rng(0)
    a = rng.uniform(0, 0.8, 40)
    b = a + rng.uniform(0, 0.1, 40)
    found = stats.ttest_rel(b, a).confidence_interval()
    assert paired_interval(a, b) == pytest.approx((np.mean(b - a), found.low, found.high))
    mixed = paired_interval(a, rng.permutation(b))
    assert mixed[2] - mixed[1] > 5 * (found.high - found.low)
    assert paired_interval(a, a) == (0, 0, 0)


def test_the_interval_of_a_share_does_not_shrink_to_a_point():
    assert share_interval(0, 30) == pytest.approx((0, 0.1135), abs=1e-3)
    assert share_interval(30, 30) == pytest.approx((0.8865, 1), abs=1e-3)
    low, high = share_interval(500, 1000)
    assert (low, high) == pytest.approx((0.469, 0.531), abs=1e-3)


def kept(folder, name, scores):
    content = {"mean": np.mean(scores), "interval": [0.1, 0.9], "success": 0.5, "final": 0.4}
    content |= {"ms": 1.0, "scores": scores, "seeds": [], "states": [], "actions": []}
    (folder / f"{name}_score.json").write_text(json.dumps(content | {"rewards": []}))


def test_policies_from_the_same_starts_are_compared_start_by_start(tmp_path, capsys):
    kept(tmp_path, "part1_mlp", [0.1, 0.5, 0.6, 0.9])
    kept(tmp_path, "part2_cvae", [0.2, 0.6, 0.7, 1.0])
    kept(tmp_path, "part4_mse", [0.5, 0.5, 0.5, 0.5])
    assert "CVAE" in compare_policies(tmp_path).alt
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4 and "solved 50% (15% to 85%)" in lines[0]
    assert lines[3] == ("CVAE minus MLP, same 4 starts: +0.100 (95 % interval +0.10 to +0.10)")


def test_a_saved_network_predicts_and_one_that_is_not_there_is_said_to_be(tmp_path, capsys):
    assert score.trained("part1_mlp", tmp_path) is None
    said = "MLP is left out: part1_mlp.safetensors is not in this folder.\n"
    assert capsys.readouterr().out == said
    (tmp_path / "part1_mlp.safetensors").write_bytes(b"half a file")
    assert score.trained("part1_mlp", tmp_path) is None
    assert capsys.readouterr().out.startswith("MLP is left out: ")
    policy = rubric.POLICIES["part1_mlp"]
    model, act = network_of(policy)
    low, high = RANGE
    of = {
        "obs": {low: np.zeros(5), high: np.ones(5)},
        "action": {low: np.zeros(2), high: np.ones(2)},
    }
    Checkpoint(model.state_dict(), of, [1.0], 1, "", 1, {}).save(tmp_path / "part1_mlp.safetensors")
    infer, found = score.trained("part1_mlp", tmp_path)
    nobs = torch.rand(3, 2, 5)
    assert torch.allclose(infer(nobs), act(nobs)) and not infer(nobs).requires_grad
    assert found["obs"][high].tolist() == [1] * 5
    with pytest.raises(ValueError, match="a network of your own"):
        score.trained("part4_flow", tmp_path)


def test_in_class_no_network_is_loaded(monkeypatch):
    monkeypatch.setenv("NBGRADER_EXECUTION", "autograde")
    assert score.trained("part1_mlp") is None
