"""Practice scores of a student's policies, saved in the folder and shown side by side.

No grade depends on them.
"""

import contextlib
import itertools
import json
import os
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from pusht import render, video
from pusht.episodes import Episodes, joined, reproducible, rollout
from pusht.files import write_whole
from pusht.rules import PUBLISHED, Rules
from pusht.sim import PushTSim
from score import rubric
from score.graded import graded
from score.rollouts.evaluate import Score, bootstrap_interval
from score.rollouts.intervals import paired_interval, share_interval
from score.rollouts.policies import Inference

if TYPE_CHECKING:
    from IPython.display import Image

    from pusht.figures.comparison import Result

_FILMED = 4
_TIMED = 5
_KEPT = {
    *("mean", "interval", "success", "final", "ms", "scores"),
    *("seeds", "states", "actions", "rewards"),
}
_NO_SCORE = "No policy has been scored here yet: run the last check of a part first."

Folder = str | os.PathLike[str]


def practice_seeds(seeds: range) -> range:
    """Return the seeds for practice; PUSHT_MAX_EPISODES limits their number for a quick look."""
    return seeds[: int(os.environ.get("PUSHT_MAX_EPISODES", len(seeds)))]


# Trying a policy out, for the tables of the extensions.


def try_out(
    label: str,
    policy: Callable[..., Any],
    *,
    obs_horizon: int = 2,
    max_steps: int = 500,
    rules: Rules = PUBLISHED,
    remembers: bool = False,
) -> Episodes | None:
    """Roll a policy out from the thirty practice starts, print one line of results and return the
    `Episodes`; None when graded.

    The line has the mean score, its 95 % interval, the share of episodes solved, the mean reward at
    their end, and the time of one call of the policy.

    policy: as for `pusht.rollout`.
    remembers: True for a policy that keeps a state between steps. `policy` is then a function that
        makes a new policy for each episode, and the episodes run one by one, not in lock-step.
    """
    if graded():
        return None
    seeds = list(practice_seeds(rubric.PRACTICE_SEEDS))
    options: dict[str, Any] = {"obs_horizon": obs_horizon, "max_steps": max_steps, "rules": rules}
    if remembers:
        single = [rollout(policy(), [seed], torch_seed=seed, **options) for seed in seeds]
        episodes = joined(single)
    else:
        episodes = rollout(policy, seeds, **options)
    scores = episodes.max_rewards
    _print_line(
        label,
        scores.mean(),
        bootstrap_interval(scores),
        episodes.successes.mean(),
        episodes.final_rewards.mean(),
        _call_milliseconds(policy() if remembers else policy, seeds[0], rules, obs_horizon),
    )
    return episodes


def recall(label: str, name: str, folder: Folder = ".") -> None:
    """Print the line of `try_out` for the last check of a policy, such as "part3_ddpm"."""
    if graded():
        return
    kept = kept_scores(folder).get(name)
    if kept is None:
        print(f"{label:<24} {name} has not been scored here yet: run its last check first.")
    else:
        _print_line(label, *(kept[key] for key in ("mean", "interval", "success", "final", "ms")))


def _print_line(
    label: str,
    mean: float,
    interval: tuple[float, float],
    success: float,
    final: float,
    milliseconds: float,
) -> None:
    low, high = interval
    print(
        f"{label:<24} {mean:.3f} (95 % interval {low:.2f} to {high:.2f}), solved {success:.0%},"
        f" final reward {final:.2f}, {milliseconds:.1f} ms per call"
    )


def _call_milliseconds(
    policy: Callable[..., Any], seed: int, rules: Rules, obs_horizon: int
) -> float:
    sim = PushTSim(legacy=rules.legacy)
    sim.reset(rules.start(seed))
    obs = np.repeat(sim.state[None, None], obs_horizon, axis=1)
    return _milliseconds(lambda: policy(obs), _TIMED)


def _milliseconds(call: Callable[[], Any], times: int) -> float:
    """Return the median time of `times` calls, on one thread as in the rollouts."""
    taken = []
    for _ in range(times):
        with reproducible(0):  # one thread, and the generators are left as they were
            started = time.perf_counter()
            call()
            taken.append(time.perf_counter() - started)
    return 1000 * statistics.median(taken)


# The scores of the parts' last checks.


def keep_score(score: Score, infer: Inference, nobs: torch.Tensor, folder: Folder) -> None:
    """Write a practice `Score` to POLICY_score.json, for `compare_policies`, `compare_episodes` and
    `film_policies`.

    infer is called with nobs (1, obs_horizon, 5) a few times, to measure the time of one chunk.
    """
    episodes = score.episodes.first(_FILMED)
    content = {
        "mean": score.mean,
        "interval": list(score.interval),
        "success": float(score.episodes.successes.mean()),
        "final": float(score.episodes.final_rewards.mean()),
        "ms": _milliseconds(lambda: infer(nobs, 1), 3),
        "scores": score.per_episode,
        "seeds": [int(seed) for seed in episodes.seeds],
        "states": [np.round(states, 5).tolist() for states in episodes.states],
        "actions": [np.round(actions, 1).tolist() for actions in episodes.actions],
        "rewards": [np.round(rewards, 5).tolist() for rewards in episodes.rewards],
    }
    write_whole(Path(folder) / f"{score.policy}_score.json", json.dumps(content))


def kept_scores(folder: Folder) -> dict[str, dict[str, Any]]:
    """Return the scores that `keep_score` wrote in this folder, by policy; a file that is damaged,
    or of an earlier version, is left out.
    """
    found = {}
    for name in rubric.POLICIES:
        with contextlib.suppress(FileNotFoundError, ValueError):
            text = (Path(folder) / f"{name}_score.json").read_text(encoding="utf-8")
            kept = json.loads(text)
            if isinstance(kept, dict) and kept.keys() >= _KEPT:
                found[name] = kept
    return found


def compare_policies(folder: Folder = ".") -> "Image | None":
    """Print the practice scores saved in `folder`, and the differences of those from the same
    starts; return a picture of the scores, None if there are none.
    """
    from pusht import figures

    kept = kept_scores(folder)
    if not kept:
        print(_NO_SCORE)
        return None
    for name, score in kept.items():
        low, high = score["interval"]
        count = len(score["scores"])
        least, most = share_interval(round(score["success"] * count), count)
        print(
            f"{rubric.POLICIES[name].label:<22} {score['mean']:.3f} (95 % interval {low:.2f} to"
            f" {high:.2f}), solved {score['success']:.0%} ({least:.0%} to {most:.0%}), final reward"
            f" {score['final']:.2f}, {score['ms']:.1f} ms per chunk"
        )
    for line in _differences({name: score["scores"] for name, score in kept.items()}):
        print(line)
    return figures.compare([_result(name, score) for name, score in kept.items()])


def _differences(scores: dict[str, list[float]]) -> Iterator[str]:
    """Yield a line for any two policies whose episodes have the same starts and length."""
    for (one, a), (other, b) in itertools.combinations(scores.items(), 2):
        first, second = rubric.POLICIES[one], rubric.POLICIES[other]
        alike = (first.rules, first.max_steps) == (second.rules, second.max_steps)
        if alike and len(a) == len(b) > 1:
            mean, low, high = paired_interval(np.array(a), np.array(b))
            yield (
                f"{second.label} minus {first.label}, same {len(a)} starts: {mean:+.3f} (95 %"
                f" interval {low:+.2f} to {high:+.2f})"
            )


def _result(name: str, score: dict[str, Any]) -> "Result":
    return {
        "name": rubric.POLICIES[name].label,
        "mean": score["mean"],
        "interval": score["interval"],
        "success": score["success"],
        "ms": score["ms"],
    }


def compare_episodes(folder: Folder = ".") -> dict[str, Episodes]:
    """Return the first saved episodes of the policies, by label, for `pusht.figures.player`.

    ValueError if there are none.
    """
    kept = _some_scores(folder)
    count = min(len(score["states"]) for score in kept.values())
    return {rubric.POLICIES[name].label: _episodes(kept[name]).first(count) for name in kept}


def _episodes(score: dict[str, Any]) -> Episodes:
    arrays = (
        [np.array(episode) for episode in score[name]] for name in ("states", "actions", "rewards")
    )
    return Episodes(score["seeds"], *arrays)


def film_policies(path: Folder, folder: Folder = ".") -> Path:
    """Write a film of the saved episodes and return its path; ValueError if there are none.

    Each policy has a row, each start a column.
    """
    films = [
        render.render_many(states[1:], actions=actions, size=128)
        for score in _some_scores(folder).values()
        for states, actions in zip(score["states"], score["actions"])
    ]
    return video.write_video(path, render.grid(films, columns=_FILMED))


def _some_scores(folder: Folder) -> dict[str, dict[str, Any]]:
    kept = kept_scores(folder)
    if not kept:
        raise ValueError(_NO_SCORE)
    return kept
