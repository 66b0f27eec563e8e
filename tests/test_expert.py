"""The expert that students may ask: what it would do in a state, and its own demonstrations."""

import numpy as np
import pytest

from pusht import expert
from pusht.expert.driving import drive
from pusht.sim import PushTSim, reward, sample_start

SEEDS = range(4_100_000_000, 4_100_000_003)


@pytest.fixture(scope="module")
def teacher():
    return expert.trained(seed=1)


def test_its_demonstrations_succeed_from_the_starts_that_are_asked_for(teacher):
    found = expert.demonstrations(teacher, SEEDS)
    assert found.num_episodes == len(SEEDS) and (np.diff(found.episode_ends) > 15).all()
    for i, seed in enumerate(SEEDS):
        states, actions = found.episode(i)
        sim = PushTSim()
        sim.reset(sample_start(seed))
        np.testing.assert_allclose(states[0], sim.state, rtol=1e-6)
        assert max(reward(sim.step(action)) for action in actions) == 1


def test_asked_where_it_drives_it_says_about_what_it_does():
    """Not exactly: it draws its chunks at random, and a label knows no more than observations."""
    driven = drive(expert.trained(seed=1), np.array([sample_start(SEEDS[0])]), 40)[0]
    times = np.arange(8, 32, 8)
    seen = np.stack([driven.states[times - 1], driven.states[times]], axis=1)
    labels = expert.labels(expert.trained(seed=2), seen)
    done = np.array([driven.actions[t : t + 8] for t in times])
    assert labels.shape == (3, 15, 2)
    assert np.median(np.linalg.norm(labels[:, :8] - done, axis=2)) < 25


def test_the_same_seed_gives_the_same_labels():
    seen = np.repeat(sample_start(SEEDS[1])[None, None], 2, axis=1)
    first, again, other = (
        expert.labels(expert.trained(seed=seed), seen, steps=8) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_a_label_begins_where_the_agent_is_with_the_velocity_that_it_had():
    asked = []

    def teacher(worlds, seen):
        asked.append((worlds[0].state, tuple(worlds[0].agent.velocity), seen))
        return np.repeat(seen[:, :, :2], 8, axis=1) + np.array([len(asked), 0])

    before = np.array([100.0, 120.0, 300.0, 300.0, 1.0])
    now = before + np.array([3, -2, 0, 0, 0])
    labels = expert.labels(teacher, np.array([[before, now]]), steps=11)
    assert labels.shape == (1, 11, 2) and len(asked) == 2
    state, velocity, seen = asked[0]
    assert velocity == pytest.approx((30, -20))
    np.testing.assert_allclose(state, now, atol=0.3)  # a hundredth of a second later
    np.testing.assert_array_equal(seen[0, -1], state)
    np.testing.assert_allclose(labels[0, :8], np.tile(state[:2] + np.array([1, 0]), (8, 1)))
    np.testing.assert_allclose(labels[0, 8:], np.tile(asked[1][0][:2] + np.array([2, 0]), (3, 1)))


def test_many_states_are_labelled_in_their_order():
    def teacher(worlds, seen):
        assert len(worlds) <= 200
        return np.repeat(seen[:, :, :2], 8, axis=1)

    seen = np.full((450, 2, 5), 250.0)
    seen[..., 0] = np.linspace(20, 120, 450)[:, None]
    labels = expert.labels(teacher, seen, steps=8)
    np.testing.assert_allclose(labels[:, 0, 0], seen[:, 1, 0], atol=0.5)
