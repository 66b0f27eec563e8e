"""The policies beside each other, from the practice scores that the notebooks left in a folder."""
import json
import os
import statistics
import time
from pathlib import Path

import numpy as np

from pusht import render, video
from pusht.rollout import reproducible
from score import rubric

_FILMED = 4


def keep_score(score, infer, nobs, folder):
    """Write policy_score.json: what `compare_policies` and `film_policies` show of a practice `Score`.

    infer, nobs (1, obs_horizon, 5): asked a few times, to tell how long the policy thinks about one chunk.
    """
    episodes = score.episodes.first(_FILMED)
    content = {"mean": score.mean, "interval": list(score.interval), "success": float(score.episodes.successes.mean()),
               "ms": 1000 * statistics.median(_seconds(infer, nobs) for _ in range(3)),
               "states": [np.round(states, 2).tolist() for states in episodes.states],
               "actions": [np.round(actions, 1).tolist() for actions in episodes.actions]}
    path = Path(folder) / f"{score.policy}_score.json"
    part = Path(f"{path}.part")
    part.write_text(json.dumps(content), encoding="utf-8")
    os.replace(part, path)


def _seconds(infer, nobs):
    with reproducible(0):  # on one thread, and leaving the generators as they were
        started = time.perf_counter()
        infer(nobs, 1)
        return time.perf_counter() - started


def compare_policies(folder="."):
    """Print the practice scores kept in `folder` and return their picture, an `IPython.display.Image`; None without any."""
    from pusht import figures
    kept = _kept(folder)
    if not kept:
        print("No policy has been scored here yet: run the last check of a part first.")
        return None
    for name, score in kept.items():
        low, high = score["interval"]
        print(f"{rubric.POLICIES[name].label:<22} {score['mean']:.3f} (95 % interval {low:.2f} to {high:.2f}), solved "
              f"{score['success']:.0%}, {score['ms']:.1f} ms a chunk")
    return figures.compare([{"name": rubric.POLICIES[name].label, **score} for name, score in kept.items()])


def film_policies(path, folder="."):
    """Write a film of the kept policies, a row each, the same starts in the columns; return its path."""
    kept = _kept(folder)
    if not kept:
        raise ValueError("No policy has been scored here yet: run the last check of a part first.")
    films = [render.render_many(states[1:], actions=actions, size=128)
             for score in kept.values() for states, actions in zip(score["states"], score["actions"])]
    return video.write_video(path, render.grid(films, columns=_FILMED))


def _kept(folder):
    paths = {name: Path(folder) / f"{name}_score.json" for name in rubric.POLICIES}
    return {name: json.loads(path.read_text(encoding="utf-8")) for name, path in paths.items() if path.exists()}
