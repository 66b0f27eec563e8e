"""Statistics of a normalisation that a hand-in lacks are those that fit the reward in its log."""

import numpy as np
import pytest
import torch

from pusht.checkpoint import Checkpoint
from score import rubric
from score.hw1.runs.reward_log import LOG, SUMMARY, logged_reward
from score.rollouts import statistics
from score.rollouts.statistics import with_fitting_statistics

POLICY = rubric.POLICIES["part4_mse"]
FIRST, OTHER = "075737a7b11153fece07a69e466091744847454da79e52753228011b11dd3e62", "other"


def moments(mean):
    return {
        "obs": {"mean": np.full(5, mean), "std": np.ones(5)},
        "action": {"mean": np.full(2, mean), "std": np.ones(2)},
    }


SETS = {FIRST: moments(1.0), OTHER: moments(2.0)}


@pytest.mark.parametrize(
    "logged, first, other, taken, said",
    [
        (0.32, 0.26, 0.32, OTHER, "which fit its log best: it says 0.32"),
        (0.26, 0.26, 0.32, FIRST, "which fit"),
        (0.32, 0.31, 0.32, FIRST, "because its log does not tell"),
        (0.60, 0.82, 0.44, FIRST, "because its log does not tell"),
        (0.90, 0.20, 0.70, OTHER, "Neither is near it. If the training normalised in another way"),
        (0.90, 0.16, 0.17, FIRST, "hand in its statistics beside the model"),
        (None, 0.1, 0.9, FIRST, "no eval/mean_reward in its log"),
    ],
)
def test_the_set_that_fits_is_taken_and_the_human_one_in_doubt(
    monkeypatch, logged, first, other, taken, said
):
    scores = {1.0: first, 2.0: other}

    def score_policy(policy, infer, stats, seeds):
        return type("Score", (), {"mean": scores[stats["obs"]["mean"][0]]})

    monkeypatch.setattr(statistics, "score_policy", score_policy)
    before = Checkpoint({}, moments(0.0), [], 0, FIRST, 0, {})
    infer = torch.zeros_like
    got, why = with_fitting_statistics(POLICY, before, infer, SETS, logged, range(3))
    assert got.demonstrations == taken and got.stats is SETS[taken] and said in why


@pytest.mark.parametrize(
    "log, summary, step, reward",
    [
        (b"step,eval/mean_reward\n10,0.5\n20,0.6\n", b"", 10, 0.5),
        (b"step,eval/mean_reward\n10,0.5\n20,0.6\n", b"", None, 0.6),
        (b"step,train/loss,eval/mean_reward\n10,1.0,\n20,,0.6\n", b"", 20, 0.6),
        (b"step,train/loss\n10,1.0\n", b'{"eval/mean_reward": 0.7}', 10, 0.7),
        (b"step,eval/mean_reward\n10,nan\nx,0.5\n20,7\n", b"{}", 10, None),
        (b"\0\xff\n", b"[" * 100_000, 10, None),
        (b"", b'{"eval/mean_reward": true}', None, None),
    ],
)
def test_the_logged_reward_is_that_of_the_step_or_the_last_one(log, summary, step, reward):
    assert logged_reward({LOG: log, SUMMARY: summary}, step) == reward
