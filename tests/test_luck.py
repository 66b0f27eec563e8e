"""No grade hangs on luck: what the rubric's targets and numbers of episodes come to, simulated from
the scores of right solutions' episodes (data/reference/SET/scores.json).
"""

import functools
from statistics import stdev

import numpy as np
import pytest

from score import rubric
from score.course.gradescope.build import MINUTES
from score.course.gradescope.run import counted_seconds, ordered
from score.course.grading.rollouts import most_episodes
from score.course.tools.reference import seed_scores
from score.rollouts.stopping import blocks, enough, interval, rollout_points

SETS = ("shipped", "human")
POLICIES = list(rubric.POLICIES.values())
UNTRAINED = 0.09  # score of an untrained network
# What a right solution takes of a policy on Gradescope, with some to spare.
USUAL = 150
GRADINGS = ("class", "Gradescope")  # the demo grades as a class does


def most(grading, policy):
    """The most episodes of a policy, where the policies before it took the usual number."""
    if grading == "class":
        seconds = rubric.GRADED_SECONDS
        return most_episodes(policy, rubric.GRADED_EPISODES, seconds, False)
    part = rubric.part_of(policy).name
    order = ordered(rubric.PARTS)
    place = order.index(part)
    before = [one for name in order[:place] for one in rubric.PARTS[name].policies]
    before += [one for one in rubric.PARTS[part].policies if one is not policy]
    spent = sum(USUAL * one.episode_seconds for one in before)
    counted = counted_seconds(MINUTES, {}, order[place + 1 :], len(order)) - spent
    return most_episodes(policy, rubric.GRADED_EPISODES, counted, False)


def graded(policy, target, most, draw):
    """The share of the points, and after how many episodes: `draw` returns so many scores."""
    scores = draw(most)
    for block in blocks(most):
        if enough(policy, target, interval(scores[: block.stop])):
            break
    points = rollout_points(policy, scores[: block.stop].mean(), target)
    return points / policy.points, block.stop


def right(policy, known):
    """The scores of right solutions, by training seed."""
    return {seed: np.array(one) for seed, one in seed_scores(known).get(policy.name, {}).items()}


def lost(policy, known, most, times, rng):
    """How often a right solution loses points, for the training seed that loses most."""
    target = policy.targets[known]
    return max(
        sum(
            graded(policy, target, most, functools.partial(rng.choice, scores))[0] < 1
            for _ in range(times)
        )
        for scores in right(policy, known).values()
    )


def half_way(policy, known, most, times, rng):
    """The standard deviation of the points, of 5, of a policy half-way to the target: each of its
    episodes is a right solution's or an untrained network's.
    """
    target = policy.targets[known]
    scores = next(iter(right(policy, known).values()))
    share = ((policy.baseline + target) / 2 - UNTRAINED) / (scores.mean() - UNTRAINED)

    def draw(count):
        return np.where(rng.random(count) < share, rng.choice(scores, count), UNTRAINED)

    return 5 * stdev(graded(policy, target, most, draw)[0] for _ in range(times))


def right_at_all_five(known, grading, times):
    rng = np.random.default_rng(5)
    policies = [policy for policy in POLICIES if right(policy, known)]
    return np.prod(
        [1 - lost(one, known, most(grading, one), times, rng) / times for one in policies]
    )


@pytest.mark.parametrize("grading", GRADINGS)
def test_a_right_solution_has_all_points(grading):
    assert right_at_all_five("shipped", grading, 60) >= 0.995


@pytest.mark.long
@pytest.mark.parametrize("grading", GRADINGS)
@pytest.mark.parametrize("known", SETS)
def test_a_right_solution_has_all_points_in_995_of_1000_grades(known, grading):
    assert right_at_all_five(known, grading, 1500) >= 0.995


# On Gradescope the diffusion policy's time is too short for it: it has 0.6 there.
HALF_WAY = [
    (grading, policy.name)
    for grading in GRADINGS
    for policy in POLICIES
    if (grading, policy.name) != ("Gradescope", "part3_ddpm")
]


def test_two_equal_policies_get_equal_points():
    policy = rubric.POLICIES["part4_flow"]
    rng = np.random.default_rng(5)
    assert half_way(policy, "shipped", most("class", policy), 12, rng) <= 0.15


@pytest.mark.long
@pytest.mark.parametrize("grading, name", HALF_WAY)
def test_two_equal_policies_get_equal_points_everywhere(grading, name):
    policy, rng = rubric.POLICIES[name], np.random.default_rng(5)
    assert half_way(policy, "shipped", most(grading, policy), 100, rng) <= 0.15


def test_every_policy_has_scores_of_right_solutions():
    assert all(len(one) >= 50 for p in POLICIES for one in right(p, "shipped").values())
    assert all(right(policy, "shipped") for policy in POLICIES)
