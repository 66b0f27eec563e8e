"""What the notebooks say that we found where networks have to be trained for it: E1.4, E1.5, E4.3.

The notebooks' own cells do the work, with the reference weights where a trained policy is needed.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from pusht import expert, rollout
from pusht.chunks import PushtChunkDataset
from pusht.normalisation import unnormalize_data
from score import rubric
from score.course.notebooks.solutions import run_cells, solution
from score.course.tools.described import (
    SEEDS,
    Found,
    forget,
    kept,
    mean_of,
    percent,
    played_in_chunks,
    restore,
)

TRAININGS = (1,)  # seeds of training
_STEPS = 20_000  # of a training in E4.3
_SIZES = (28, 56, 112, 224)


def drift() -> Found:
    """How far the reference MLP and the expert go from the demonstrations (E1.4)."""
    names = _run("part1_mlp", 1, "part1/dataset", "part1/e1_4_setup")
    restore(names["mlp_agent"], "part1_mlp")
    played = rollout(names["acting"](names["mlp_agent"]), SEEDS)
    shown = expert.demonstrations(names["teacher"], SEEDS)
    of_expert = [names["drift"](shown.episode(i)[0]) for i in range(shown.num_episodes)]
    drifts = [names["drift"](states) for states in played.states]
    failed = [one for one, right in zip(drifts, played.successes, strict=True) if not right]
    solved = [one for one, right in zip(drifts, played.successes, strict=True) if right]
    most = np.quantile(np.concatenate(of_expert), 0.9)
    ends = np.array([one[-1] for one in failed])

    def early(some: Sequence[np.ndarray]) -> str:
        return f"{np.median(np.concatenate([one[:13] for one in some])):.0f}"

    return {
        "expert_early": early(of_expert),
        "solved_early": early(solved),
        "failed_early": early(failed),
        "failed_end": f"{np.median(ends):.0f}",
        "expert_most": f"{most:.0f}",
        "farther": percent(float(np.mean(ends > most))),
        "standing": percent(_standing(names["dataset"].obs, names["stats"]["obs"])),
    }


def _standing(nobs: torch.Tensor, stats: Mapping[str, np.ndarray]) -> float:
    """Return in which share of windows' observations the agent moves by less than a pixel."""
    agents = unnormalize_data(nobs.numpy(), stats)[..., :2]
    return float(np.mean(np.linalg.norm(agents[:, 1] - agents[:, 0], axis=1) < 1))


def dagger() -> Found:
    """What DAgger and as many fresh demonstrations do for the reference MLP (E1.5)."""
    found = [kept(f"dagger_{seed}", _dagger, seed) for seed in TRAININGS]
    scores = {name: np.mean([one["scores"][name] for one in found], axis=0) for name in _NETWORKS}
    texts = {"windows": f"{np.mean([one['windows'] for one in found]):,.0f}"}
    for name, key in _NETWORKS.items():
        solved = float(np.mean([np.array(one["scores"][name]) >= 1 for one in found]))
        score, either = mean_of(scores[name])
        texts |= {f"score_{key}": score, f"either_{key}": either, f"solved_{key}": percent(solved)}
        texts[f"row_{key}"] = f"{score} ± {either} | {percent(solved)}"
    for other in ("fresh demonstrations", "demonstrations alone", "as it was"):
        gain, either = mean_of(scores["DAgger, round 3"] - scores[other])
        texts |= {f"over_{_NETWORKS[other]}": f"{gain} ± {either}"}
    forget("dagger")
    return texts


_NETWORKS = {
    "as it was": "before",
    "demonstrations alone": "alone",
    "fresh demonstrations": "fresh",
    "DAgger, round 1": "dagger_1",
    "DAgger, round 2": "dagger_2",
    "DAgger, round 3": "dagger_3",
}


def _dagger(seed: int) -> dict[str, Any]:
    cells = "part1/dataset", "part1/e1_4_setup", "part1/e1_5_training"
    names = _run("part1_mlp", seed, *cells)
    restore(names["mlp_agent"], "part1_mlp")
    agents, windows = names["all_trained"](names["mlp_agent"], first_seed=200_000 * seed)
    played = {name: rollout(names["acting"](agent), SEEDS) for name, agent in agents.items()}
    scores = {name: episodes.max_rewards.tolist() for name, episodes in played.items()}
    return {"windows": windows, "scores": scores}


def more_data() -> Found:
    """What more demonstrations do, and what the validation loss says of it (E4.3)."""
    leaks = [kept(f"leak_{seed}", _leak, seed) for seed in TRAININGS]
    texts: Found = {"leak": _text(np.mean([one["validation"] for one in leaks]))}
    for name, key in (("MSEPolicy", "mse"), ("FlowMatchingPolicy", "flow")):
        found = {size: _trained(f"more_data_{key}_{size}", name, size) for size in _SIZES}
        for size in _SIZES:
            texts |= _told(f"{key}_{size}", found[size])
        for size in (28, 224):
            of = f"{key}_corners_{size}"
            texts |= _told(of, _trained(f"more_data_{of}", name, size, corners=True))
        losses = [np.mean([one["rows"][-1][2] for one in found[size]]) for size in _SIZES]
        scores = [np.mean([one["scores"] for one in found[size]]) for size in _SIZES]
        agree = np.argsort(losses).tolist() == np.argsort(scores)[::-1].tolist()
        texts[f"ranks_{key}"] = "the same order" if agree else "another order"
    short = _trained("more_data_flow_56_short", name, 56, num_steps=_STEPS // 4)
    texts["short_loss"] = _text(np.mean([one["rows"][-1][2] for one in short]))
    each = np.mean([one["scores"] for one in short], axis=0)
    texts["short_score"] = " ± ".join(mean_of(each))
    forget("leak", "more_data")
    return texts


def _trained(key: str, *arguments: Any, **settings: Any) -> list[dict[str, Any]]:
    """Return what `_more_data` found with each training seed."""
    return [kept(f"{key}_{seed}", _more_data, seed, *arguments, **settings) for seed in TRAININGS]


def _more_data(
    seed: int, name: str, size: int, num_steps: int = _STEPS, corners: bool = False
) -> dict[str, Any]:
    """Return the losses of a training, rows (step, training, validation), and the scores."""
    names = _run("part4_flow", seed, "part4/dataset", "part4/e4_3_training", "part4/e4_3_corners")
    shown = names["in_corners" if corners else "demonstrations"]
    policy, normalizer, rows = names["of_size"](names[name], size, num_steps, seed, shown)
    acting = names["seeing_corners" if corners else "acting"](policy, normalizer)
    played = played_in_chunks(acting)
    return {"rows": rows, "scores": played.max_rewards.tolist()}


def _told(of: str, found: Sequence[Mapping[str, Any]]) -> Found:
    """Return what the notebook says of trainings that differ in their seed."""
    training, last = np.mean([one["rows"][-1][1:] for one in found], axis=0)
    best = np.mean([min(row[2] for row in one["rows"]) for one in found])
    at = np.mean([min(one["rows"], key=lambda row: row[2])[0] for one in found])
    score, either = mean_of(np.mean([one["scores"] for one in found], axis=0))
    solved = percent(float(np.mean([np.array(one["scores"]) >= 1 for one in found])))
    numbers = " | ".join(map(_text, (training, last, best)))
    return {
        f"score_{of}": score,
        f"either_{of}": either,
        f"solved_{of}": solved,
        f"last_{of}": _text(last),
        f"best_{of}": _text(best),
        f"at_{of}": f"{at:,.0f}",
        f"row_{of}": f"{numbers} | {score} ± {either} | {solved}",
    }


def _leak(seed: int) -> dict[str, Any]:
    """Return the validation loss of an MSE policy when steps are split and not episodes: a third of
    all pairs, drawn at random, is for validation.
    """
    names = _run("part4_flow", seed, "part4/dataset", "part4/e4_3_training")
    everything, normalizer = names["demonstrations"], names["normalizer"]
    pairs = PushtChunkDataset(
        everything.states, everything.actions, everything.episode_ends, 8, normalizer
    )
    order = torch.randperm(len(pairs), generator=torch.Generator().manual_seed(seed))
    training, validation = order.split([len(order) * 224 // 335, -(-len(order) * 111 // 335)])
    torch.manual_seed(seed)
    policy = names["MSEPolicy"](5, 2, 8)
    optimizer = torch.optim.Adam(policy.parameters(), lr=1e-3)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, _STEPS)
    for _ in range(_STEPS):
        chosen = training[torch.randint(len(training), (128,))]
        loss = policy.compute_loss(pairs.states[chosen], pairs.chunks[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
    with torch.no_grad():
        loss = policy.compute_loss(pairs.states[validation], pairs.chunks[validation])
    return {"validation": loss.item()}


def _run(part: str, seed: int, *cells: str) -> dict[str, Any]:
    """Return the names that a notebook's answers and these practice cells define."""
    torch.set_num_threads(1)
    names = solution(rubric.PARTS[part], seed=seed)
    run_cells(rubric.PARTS[part], names, *cells)
    return names


def _text(loss: float) -> str:
    return f"{loss:.3f}"
