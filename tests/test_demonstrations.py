"""The shipped demonstrations: small, honest, solved in several ways; and the sheet that shows them.

How they are made is tested in test_demonstrations_making.py.
"""

import json
import zipfile

import numpy as np
import pytest
import zarr

from pusht import demos
from pusht.demos import Demonstrations
from pusht.figures import sheet
from pusht.sim import PushTSim, reward
from score import rubric
from score.course.tools.demonstrations.__main__ import SEED
from score.course.tools.demonstrations.starts import (
    GYM_PUSHT,
    LEARNER,
    PUBLISHED,
    RULES,
    Starts,
    reset_state,
)


@pytest.fixture(scope="module")
def starts():
    """Where each shipped episode starts."""
    meta = zarr.open_group(
        zarr.storage.ZipStore(demos.SHIPPED, mode="r"), path="demonstrations.zarr/meta", mode="r"
    )
    return Starts(meta["start_state"][:], meta["start_kind"][:], meta["start_seed"][:])


# The set.


def test_the_set_is_large_enough_to_learn_from_and_small_enough_to_ship(demonstrations):
    assert demonstrations.num_episodes >= 200 and len(demonstrations.states) >= 20_000
    assert demos.SHIPPED.stat().st_size <= 2_000_000
    assert (
        demonstrations.fingerprint == demos.SHIPPED_FINGERPRINT
        and demos.name_of(demonstrations.fingerprint) == "shipped"
    )


def test_the_file_says_where_it_comes_from():
    with zipfile.ZipFile(demos.SHIPPED) as archive:
        about = json.loads(archive.read("demonstrations.zarr/.zattrs"))
    assert (
        about["seed"] == SEED
        and about["license"] == "MIT"
        and {"torch", "numpy", "pymunk"} <= set(about["versions"])
    )


def test_driven_again_every_episode_is_the_recorded_one_and_ends_the_moment_it_succeeds(
    demonstrations, starts
):
    sim = PushTSim()
    for i, start in enumerate(starts.states):
        states, actions = demonstrations.episode(i)
        sim.reset(start)
        driven, rewards = [], []
        for action in actions:
            driven.append(sim.state)
            rewards.append(reward(sim.step(action)))
        np.testing.assert_array_equal(states, np.float32(driven))
        assert rewards[-1] == 1 and max(rewards[:-1]) < 1


def test_no_grade_and_no_practice_sets_off_where_it_was_demonstrated(starts):
    drawn = rubric.GRADED_FIRST_SEED + 10**9 + 100_000  # above whatever a course draws
    seeds = starts.seeds[starts.kinds != LEARNER]
    assert min(seeds) > drawn and max(seeds) < 2**32
    assert (starts.seeds[starts.kinds == LEARNER] == -1).all()


def test_episodes_start_as_both_environments_reset_and_where_learners_were_stuck(starts):
    for kind, state, seed in zip(starts.kinds, starts.states, starts.seeds, strict=True):
        if kind != LEARNER:
            np.testing.assert_array_equal(state, reset_state(RULES[kind], seed))
    shares = np.bincount(starts.kinds) / len(starts)
    assert shares[PUBLISHED] > 0.2 and shares[GYM_PUSHT] > 0.2 and shares[LEARNER] > 0.2


def test_from_many_starts_there_are_two_ways_around_the_block(demonstrations):
    pairs = [group for group in sheet.same_starts(demonstrations) if len(group) > 1]
    turns = sheet.facts(demonstrations).turns
    assert len(pairs) >= 30
    assert all(np.ptp(turns[pair]) > 0.5 for pair in pairs)
    assert (
        sum(turns[pair].min() < 0 < turns[pair].max() for pair in pairs) >= 10
    )  # one in each direction


# The sheet.


def circling(turns, steps=50):
    """A demonstration that goes around the resting block so many times, clockwise above 0."""
    angle = np.linspace(0, 2 * np.pi * turns, steps)
    agent = np.array([256.0, 256.0 + 40.7]) + 120 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return np.concatenate([agent, np.tile([256.0, 256.0, 0.0], (steps, 1))], axis=1)


def test_facts_are_lengths_speeds_coverage_and_turns():
    states = [circling(1), circling(-0.5), circling(0.25)]
    found = sheet.facts(
        Demonstrations(
            np.concatenate(states).astype(np.float32),
            np.zeros((150, 2), np.float32),
            np.array([50, 100, 150]),
        )
    )
    np.testing.assert_allclose(found.lengths, 5)
    np.testing.assert_allclose(found.turns, [1, -0.5, 0.25], atol=1e-3)
    np.testing.assert_allclose(found.speeds[0], 2 * 120 * np.sin(np.pi / 49) / 0.1, rtol=1e-3)
    assert found.coverage.shape == (3, 101) and np.ptp(found.coverage) < 1e-6


@pytest.mark.parametrize(
    "name, what",
    [
        ("demonstrations", "two ways from each of six starts"),
        pytest.param("human", "twelve of them", marks=pytest.mark.long),
    ],
)
def test_the_sheet_shows_any_set_and_says_in_words_what_it_shows(name, what, request):
    shown = request.getfixturevalue(name)
    image = sheet.demonstrations(shown, "These")
    assert image.data.startswith(b"\x89PNG") and len(image.data) < 300_000
    assert (
        f"{shown.num_episodes} episodes" in image.metadata["alt"] and what in image.metadata["alt"]
    )
