"""A policy tried out on practice starts, for the tables of the extensions. No grade rests on it."""

import statistics
import time

import numpy as np

from pusht.episodes import Episodes, reproducible, rollout
from pusht.sim import PushTSim, sample_start
from score import rubric
from score.graded import graded
from score.rollouts.evaluate import bootstrap_interval, practice_seeds
from score.student.progress import kept_scores

_TIMED = 5


def try_out(label, policy, *, obs_horizon=2, max_steps=500, remembers=False):
    """Roll a policy out from the thirty practice starts, print its line of a table and return the
    `Episodes`; None in class.

    The line: mean score, its 95 % interval, the share of episodes solved, how long one question to
    the policy takes.

    policy: as for `pusht.rollout`; with `remembers`, a function that makes such a policy for each
        episode, as one needs which keeps something from step to step. These run one by one, the
        others in lock-step.
    """
    if graded():
        return None
    seeds = list(practice_seeds(rubric.PRACTICE_SEEDS))
    options = {"obs_horizon": obs_horizon, "max_steps": max_steps}
    if remembers:
        episodes = _joined(
            [rollout(policy(), [seed], torch_seed=seed, **options) for seed in seeds]
        )
    else:
        episodes = rollout(policy, seeds, **options)
    scores = episodes.max_rewards
    _tell(
        label,
        scores.mean(),
        bootstrap_interval(scores),
        episodes.successes.mean(),
        _milliseconds(policy() if remembers else policy, seeds[0], obs_horizon),
    )
    return episodes


def recall(label, name, folder="."):
    """Print the same line of what the last check of a policy, such as "part3_ddpm", rolled out from
    these starts.
    """
    if graded():
        return
    kept = kept_scores(folder).get(name)
    if kept is None:
        print(f"{label:<24} {name} has not been scored here yet: run its last check first.")
    else:
        _tell(label, kept["mean"], kept["interval"], kept["success"], kept["ms"])


def _tell(label, mean, interval, success, milliseconds):
    low, high = interval
    print(
        f"{label:<24} {mean:.3f} (95 % interval {low:.2f} to {high:.2f}), solved {success:.0%},"
        f" {milliseconds:.1f} ms a question"
    )


def _joined(single):
    """One `Episodes` of many."""
    return Episodes(
        *(
            [one for episodes in single for one in getattr(episodes, what)]
            for what in ("seeds", "states", "actions", "rewards")
        )
    )


def _milliseconds(policy, seed, obs_horizon):
    sim, times = PushTSim(), []
    sim.reset(sample_start(seed))
    obs = np.repeat(sim.state[None, None], obs_horizon, axis=1)
    with reproducible(0):  # on one thread, as in the rollouts
        for _ in range(_TIMED):
            started = time.perf_counter()
            policy(obs)
            times.append(time.perf_counter() - started)
    return 1000 * statistics.median(times)
