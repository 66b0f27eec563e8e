"""Part IV's episodes are gym-pusht's: the same starts, the same rewards."""

import functools
import json
import subprocess
from pathlib import Path

import numpy as np
import peer_episodes
import pytest

from pusht import rollout
from pusht.rules import GYM_PUSHT, sample_gym_pusht_start
from score import rubric

ROOT = Path(__file__).resolve().parent.parent


def played(policy, seed):
    """The rewards of one episode in the kit's simulator."""
    rng = np.random.default_rng(seed)
    [rewards] = rollout(
        lambda obs: policy(obs[0, -1], rng)[None],
        [seed],
        obs_horizon=1,
        max_steps=peer_episodes.MAX_STEPS,
        rules=GYM_PUSHT,
    ).rewards
    return rewards


@functools.cache
def peer():
    """The rewards of the same episodes in gym-pusht; `make bench` makes its environment too."""
    subprocess.run(["make", "-s", ".venv-peer/.peer"], cwd=ROOT, check=True)
    python, script = ROOT / ".venv-peer/bin/python", ROOT / "tests/peer_episodes.py"
    return json.loads(subprocess.run([python, script], capture_output=True, check=True).stdout)


@pytest.mark.long  # installs gym-pusht
@pytest.mark.parametrize("policy", peer_episodes.POLICIES)
def test_twenty_episodes_have_the_rewards_of_gym_pusht(policy):
    expected = peer()[policy.__name__]
    for seed in peer_episodes.SEEDS:
        rewards = played(policy, seed)
        assert len(rewards) == len(expected[seed])
        np.testing.assert_allclose(rewards, expected[seed], rtol=0, atol=1e-6)
    assert len({max(rewards) for rewards in expected}) > 5  # they are not all the same


def test_starts_are_those_that_gym_pusht_draws():
    drawn = {  # printed by gym-pusht 0.1.8
        0: [390, 304, 253, 180, -2.8841484100105235],
        7: [427, 300, 305, 369, 1.7321842783482628],
        99: [433, 252, 327, 269, 0.07487018285804448],
    }
    for seed, start in drawn.items():
        np.testing.assert_allclose(sample_gym_pusht_start(seed), start)


def test_actions_outside_the_window_are_moved_to_its_edge():
    chunk = np.array([[-5.0, 600.0], [3.0, 512.0]])
    assert GYM_PUSHT.actions(chunk).tolist() == [[0, 512], [3, 512]]


def test_part_iv_alone_is_scored_from_these_starts():
    rules = {policy.name: policy.rules.name for policy in rubric.POLICIES.values()}
    chunks = {name for name, rule in rules.items() if rule == "gym-pusht"}
    assert chunks == {"part4_mse", "part4_flow"}
    assert set(rules.values()) == {"gym-pusht", "published"}


def test_rules_are_written_alike_in_every_process():
    assert "0x" not in repr(GYM_PUSHT)  # cache keys contain it
