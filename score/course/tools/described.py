"""What the notebooks say of episodes and of comparisons: numbers as they stand in a text. What
trainings gave for it is kept in build/findings until a finding is complete, so that an interrupted
run goes on, and trainings can be shared out among processes.
"""

import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from pusht.behaviour import roughness, standstill
from pusht.checkpoint import load_checkpoint
from pusht.episodes import Episodes, Policy, rollout
from pusht.files import write_whole
from pusht.normalisation import Stats
from score import rubric
from score.course.notebooks.build import ROOT
from score.course.notebooks.solutions import reference_path, reference_policy
from score.rollouts.intervals import paired_interval

Infer = Callable[[torch.Tensor], torch.Tensor]
Found = dict[str, str]

SEEDS = range(50_000, 50_200)  # of episodes, far from those of grades
_FOLDER = ROOT / "build" / "findings"


def reference(name: str) -> tuple[Infer, Stats]:
    """Return what the reference weights of a policy predict, and the statistics."""
    return reference_policy(rubric.POLICIES[name])


def restore(model: nn.Module, name: str) -> None:
    """Give a network the reference weights of a policy."""
    policy = rubric.POLICIES[name]
    load_checkpoint(reference_path(policy, "shipped"), policy.normalisation).restore(model)


def played_in_chunks(policy: Policy, seeds: Sequence[int] = SEEDS) -> Episodes:
    """Return episodes of a policy of Part IV, under the rules of the script assignment."""
    of = rubric.POLICIES["part4_flow"]
    return rollout(
        policy, seeds, obs_horizon=of.obs_horizon, max_steps=of.max_steps, rules=of.rules
    )


def shifted(policy: Policy, size: float) -> Policy:
    """Return a policy whose chunks are each moved by a random shift [px]."""
    generator = np.random.default_rng(0)

    def moved(obs: np.ndarray) -> np.ndarray:
        chunks = policy(obs)
        return chunks + generator.normal(size=(len(chunks), 1, 2)) * size

    return moved


def described(episodes: Episodes, after: str) -> Found:
    """Return what is said of episodes, under names that end with `after`."""
    score, either = mean_of(episodes.max_rewards)
    found = {
        "score": score,
        "either": either,
        "solved": percent(float(episodes.successes.mean())),
        "final": f"{episodes.final_rewards.mean():.2f}",
        "rough": f"{roughness(episodes):.1f}",
        "still": percent(standstill(episodes)),
    }
    row = "{score} ± {either} | {solved} | {final} | {rough} px | {still}"
    return {f"{name}{after}": text for name, text in found.items()} | {
        f"row{after}": row.format(**found)
    }


def compared(one: Episodes, other: Episodes, after: str) -> Found:
    """Return what is said of two policies over the same starts, under names that end with `after`.

    `alone` is half the interval's width if the starts were not common, `needed` how many starts
    find a difference of 0.05 in eight of ten experiments.
    """
    a, b = one.max_rewards, other.max_rewards
    mean, low, high = paired_interval(a, b)
    spread = np.std(b - a, ddof=1)
    found = {
        "mean": signed(mean, 3),
        "low": signed(low),
        "high": signed(high),
        "spread": f"{spread:.2f}",
        "either": f"{(high - low) / 2:.2f}",
        "alone": f"{1.96 * ((a.var(ddof=1) + b.var(ddof=1)) / len(a)) ** 0.5:.2f}",
        "correlation": signed(float(np.corrcoef(a, b)[0, 1])),
        "needed": f"{np.ceil((2.8 * spread / 0.05) ** 2):.0f}",
    }
    row = "{mean} | {low} to {high} | {spread} | {needed}"
    return {f"{name}{after}": text for name, text in found.items()} | {
        f"row{after}": row.format(**found)
    }


def mean_of(numbers: np.ndarray) -> tuple[str, str]:
    """Return the mean of one number for each start, and half of its 95 % interval."""
    either = 1.96 * numbers.std(ddof=1) / len(numbers) ** 0.5
    return f"{numbers.mean():.2f}", f"{either:.2f}"


def percent(share: float) -> str:
    """Return a share in percent."""
    return f"{share:.0%}".replace("%", " %")


def signed(value: float, digits: int = 2) -> str:
    """Return a number with its sign, a minus and no hyphen."""
    return f"{round(value, digits) + 0.0:+.{digits}f}".replace("-", "−")  # no −0.00


def kept(
    name: str, compute: Callable[..., dict[str, Any]], *arguments: Any, **settings: Any
) -> dict[str, Any]:
    """Return what is kept under a name; where there is nothing, compute and keep it."""
    path = _FOLDER / f"{name}.json"
    if not path.exists():
        write_whole(path, json.dumps(compute(*arguments, **settings)))
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def forget(*names: str) -> None:
    """Remove what is kept under names that begin so."""
    for name in names:
        for path in _FOLDER.glob(f"{name}_*.json"):
            path.unlink()
