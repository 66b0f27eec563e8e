"""When a policy has been rolled out often enough: the interval holds what it says, and the rule
stops where the points are settled.
"""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from score import rubric
from score.rollouts import stopping
from score.rollouts.stopping import Stop, enough, interval, log_capital, rollout_points

POLICY = rubric.POLICIES["part1_mlp"]
TARGET = POLICY.targets["shipped"]
POLICIES, EPISODES = 2000, 400


# Simulated policies: each returns the scores (POLICIES, EPISODES) of many, and their true means.


def bernoulli(rng):
    means = rng.uniform(0.02, 0.98, (POLICIES, 1))
    return (rng.random((POLICIES, EPISODES)) < means).astype(float), means


def beta(rng):
    means, width = rng.uniform(0.1, 0.9, (POLICIES, 1)), rng.uniform(0.5, 20, (POLICIES, 1))
    return rng.beta(means * width, (1 - means) * width, (POLICIES, EPISODES)), means


def two_points(rng):
    low, high = rng.uniform(0, 0.4, (POLICIES, 1)), rng.uniform(0.6, 1, (POLICIES, 1))
    share = rng.uniform(0.03, 0.97, (POLICIES, 1))
    scores = np.where(rng.random((POLICIES, EPISODES)) < share, high, low)
    return scores, share * high + (1 - share) * low


@pytest.mark.parametrize("simulated", [bernoulli, beta, two_points])
def test_the_interval_holds_the_true_mean_at_all_looks_together(simulated):
    scores, means = simulated(np.random.default_rng(17))
    looks = [block.stop for block in stopping.blocks(EPISODES)]
    missed = sum(excluded_ever(one, mean, looks) for one, (mean,) in zip(scores, means))
    # Five in a hundred may be missed; as the betting loses a little at each look, fewer are.
    assert missed / POLICIES <= 1 - rubric.LEVEL


def excluded_ever(scores, mean, looks):
    bar = np.log(2 / (1 - rubric.LEVEL))
    return any(
        log_capital(scores[:n], mean) >= bar or log_capital(1 - scores[:n], 1 - mean) >= bar
        for n in looks
    )


@given(st.lists(st.floats(0, 1), min_size=1, max_size=60))
@settings(deadline=None)
def test_the_ends_of_the_interval_are_where_betting_begins_to_win(scores):
    low, high = interval(scores)
    assert 0 <= low <= np.mean(scores) <= high <= 1
    bar = np.log(2 / (1 - rubric.LEVEL))
    for of, end in ((np.array(scores), low), (1 - np.array(scores), 1 - high)):
        assert log_capital(of, end + 1e-3) < bar
        assert end == 0 or log_capital(of, end) >= bar


@given(st.lists(st.floats(0, 1), min_size=2, max_size=40), st.randoms())
@settings(deadline=None)
def test_the_order_of_the_episodes_does_not_matter(scores, random):
    other = random.sample(scores, len(scores))
    assert interval(other) == pytest.approx(interval(scores), abs=2e-4)


def test_the_interval_shrinks_as_fast_as_it_can():
    scores = np.random.default_rng(0).choice([0.1, 0.5, 1.0], 6400)
    widths = [np.diff(interval(scores[:n]))[0] for n in (100, 400, 1600, 6400)]
    assert all(0.4 < later / earlier < 0.6 for earlier, later in itertools.pairwise(widths))
    # Looking once, ± 1.96 standard deviations suffice.
    assert widths[-1] / 2 < 3.6 * scores.std() / np.sqrt(len(scores))


def test_blocks_are_the_same_episodes_whatever_the_most_is():
    few, many = list(stopping.blocks(60)), list(stopping.blocks(8000))
    assert [(b.start, b.stop) for b in few] == [(0, 25), (25, 50), (50, 60)]
    assert [b.start for b in few] == [b.start for b in many[:3]]
    assert [n for block in many for n in block] == list(range(8000)) and len(many) < 50
    assert list(stopping.blocks(1)) == [range(1)]


@pytest.mark.parametrize(
    "bounds, stop",
    [
        ((TARGET, 1.0), Stop.FULL),
        ((0.0, POLICY.baseline), Stop.NONE),
        ((TARGET - 0.1, 1.0), None),
        ((0.0, POLICY.baseline + 0.1), None),
        ((0.40, 0.43), Stop.PRECISE),
        ((0.40, 0.44), None),
        ((TARGET - 0.03, 0.9), Stop.PRECISE),  # 4.5 to 5 points
    ],
)
def test_the_points_and_not_the_score_decide_when_to_stop(bounds, stop):
    assert enough(POLICY, TARGET, bounds) == stop
    # Whatever the points are worth.
    assert enough(replace(POLICY, points=2), TARGET, bounds) == stop


@pytest.mark.parametrize("stop", Stop)
def test_each_reason_is_a_sentence_for_students(stop):
    said = stop.sentence(POLICY)
    assert said.endswith(".") and "{" not in said and (stop != Stop.PRECISE or "than 0.25" in said)


def test_a_precise_interval_is_within_a_twentieth_of_the_points():
    low, high = (rollout_points(POLICY, bound, TARGET) for bound in (0.40, 0.43))
    assert high - low <= 2 * rubric.PRECISION * POLICY.points
