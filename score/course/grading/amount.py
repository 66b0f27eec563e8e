"""How many episodes of a policy there is time for.

Time is counted by the rubric's `episode_seconds`, which are the same on every machine and in every
run: by the clock, the same submission would get one grade today and another one tomorrow.
"""

from collections.abc import Iterable, Mapping

from score import rubric
from score.course.grading.results import RolloutResult


def most_episodes(policy: rubric.Policy, episodes: int, seconds: float, one_by_one: bool) -> int:
    """Return the largest number of episodes in a grade: at most `episodes`, as many as there are
    seconds for, and no fewer than a block.

    one_by_one: whether its function takes no batch.
    """
    in_time = int(seconds / episode_seconds(policy, one_by_one))
    return min(episodes, max(in_time, rubric.BLOCK))


def episode_seconds(policy: rubric.Policy, one_by_one: bool) -> float:
    """Return the seconds that an episode of a policy counts."""
    return policy.episode_seconds * (rubric.ONE_BY_ONE if one_by_one else 1)


def spent(rollouts: Mapping[str, RolloutResult]) -> float:
    """Return the seconds that rollouts, by policy's name, count together."""
    return sum(
        len(result.per_episode) * episode_seconds(rubric.POLICIES[name], result.one_by_one)
        for name, result in rollouts.items()
    )


def kept_for(policies: Iterable[rubric.Policy]) -> float:
    """Return the seconds that are left to policies which are rolled out later."""
    return sum(
        max(rubric.KEPT_SECONDS, rubric.KEPT_EPISODES * policy.episode_seconds)
        for policy in policies
    )
