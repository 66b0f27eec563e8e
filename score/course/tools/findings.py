"""Compute what the notebooks say that we found, with the reference weights and the shipped
demonstrations, and keep it in notebooks/source/findings.json.

    python -m score.course.tools.findings            all, some minutes
    python -m score.course.tools.findings horizons   one of them

In a notebook's source {{horizons.score_8}} stands for the value; the build fills it in.
"""

import argparse
import json

import numpy as np
import torch

from pusht import demos, receding_horizon, rollout
from pusht.figures import modes
from pusht.files import write_whole
from pusht.normalisation import Stats, normalize_data, unnormalize_data
from score import rubric
from score.course.notebooks.build import FINDINGS, read_findings
from score.course.notebooks.solutions import solution
from score.course.tools import findings_of_training
from score.course.tools.described import (
    SEEDS,
    Found,
    Infer,
    described,
    played_in_chunks,
    reference,
    restore,
    shifted,
)
from score.course.tools.further import better, ddim, ensembled, latent, midpoint, weights
from score.course.tools.latent_cures import cures

_NOISE = 12  # px, standard deviation


def demonstrations() -> Found:
    """How often the demonstrations part."""
    found = demos.open()
    dataset = modes.windows_of(found)
    windows = list(modes.each_crossroads(dataset))
    first = np.append(0, np.asarray(found.episode_ends)[:-1])
    _, times = np.unique(np.asarray(found.states)[first].round(1), axis=0, return_counts=True)
    return {
        "windows": str(len(windows)),
        "parted": str(sum(one.parted for one in windows)),
        "states": str(len(modes.many_crossroads(dataset, len(windows)))),
        "pairs": str((times > 1).sum()),
    }


def horizons() -> Found:
    """Score, solved, roughness and standing still of the MLP and of Part IV's policies, by the
    number of actions that are executed before the policy is called again.
    """
    found: Found = {}
    infer, stats = reference("part1_mlp")
    for count in (1, 2, 4, 8, 12, 15):
        policy = receding_horizon(infer, stats, action_horizon=count)
        found |= described(rollout(policy, SEEDS), f"_{count}")
    for name in ("flow", "mse", "fixed"):
        infer, stats = reference("part4_mse" if name == "mse" else "part4_flow")
        infer = _with_one_noise() if name == "fixed" else infer
        for count in (1, 2, 4, 8):
            policy = receding_horizon(infer, stats, obs_horizon=1, action_horizon=count)
            played = played_in_chunks(policy)
            found |= described(played, f"_{name}_{count}")
    return found


def _with_one_noise() -> Infer:
    """Return Part IV's flow policy as in E4.2: each call begins from the same noise."""
    policy = rubric.POLICIES["part4_flow"]
    model = solution(rubric.part_of(policy))["FlowMatchingPolicy"](5, 2, policy.pred_horizon)
    restore(model, policy.name)
    start = torch.randn(1, policy.pred_horizon, 2, generator=torch.Generator().manual_seed(1))

    @torch.no_grad()
    def one_noise(nobs: torch.Tensor) -> torch.Tensor:
        steps = rubric.FLOW_STEPS
        a_tau = start.expand(len(nobs), -1, -1)
        for i in range(steps):
            tau = torch.full((len(nobs),), i / steps)
            a_tau = a_tau + model.velocity(nobs[:, -1], a_tau, tau) / steps
        return a_tau

    return one_noise


def noise() -> Found:
    """Score of the MLP when a random shift is added to each of its chunks."""
    policy = shifted(receding_horizon(*reference("part1_mlp")), _NOISE)
    return described(rollout(policy, SEEDS), "") | {"px": str(_NOISE)}


def ensembles() -> Found:
    """Score and roughness of the MLP with temporal ensembling. Its control is `horizons` with 1."""
    infer, stats = reference("part1_mlp")
    found: Found = {}
    for m in (0.01, 0.1, 0.5):
        found |= described(ensembled(infer, stats, m), f"_{m:g}".replace(".", "_"))
    return found


def ways() -> Found:
    """At how many of the states where demonstrations part each policy takes both ways."""
    dataset = modes.windows_of(demos.open())
    found: Found = {}
    for name, policy in {
        "mlp": "part1_mlp",
        "cvae": "part2_cvae",
        "ddpm": "part3_ddpm",
        "mse": "part4_mse",
        "flow": "part4_flow",
    }.items():
        infer, stats = reference(policy)
        both = between = 0
        for one in modes.many_crossroads(dataset, len(dataset)):
            second, middle = _way_taken(dataset, one, infer, stats)
            both += bool(0.1 < second.mean() < 0.9)
            between += bool(middle.mean() > 0.5)
        found |= {f"both_{name}": str(both), f"between_{name}": str(between)}
    return found


_TRAINED = findings_of_training.drift, findings_of_training.dagger, findings_of_training.more_data
EVERY = {
    one.__name__: one
    for one in (
        demonstrations,
        horizons,
        noise,
        ensembles,
        ways,
        better,
        latent,
        weights,
        cures,
        ddim,
        midpoint,
        *_TRAINED,
    )
}


def _way_taken(
    dataset: modes.PushTStateDataset, place: modes.Crossroads, infer: Infer, stats: Stats
) -> tuple[np.ndarray, np.ndarray]:
    """Return, of forty chunks for a state, which are nearer to the demonstrations' second way, and
    which are nearest to the middle of the two, (40,) bool each.
    """
    obs, action = modes.in_pixels(dataset, place.windows)
    nobs = torch.from_numpy(normalize_data(obs[0], stats["obs"])).float()
    torch.manual_seed(0)
    chunks = unnormalize_data(infer(nobs.expand(40, -1, -1)).numpy(), stats["action"])
    # A chunk of sixteen begins one step earlier than one of eight.
    chunks = chunks[:, -15:][:, :8] if chunks.shape[1] == 16 else chunks
    first, second = (action[way, 1:9].mean(axis=0) for way in (~place.second, place.second))

    def distance(way: np.ndarray) -> np.ndarray:
        return np.sqrt(np.square(chunks - way).sum(axis=(1, 2)))

    middle = distance((first + second) / 2)
    return (
        distance(second) < distance(first),
        (middle < distance(first)) & (middle < distance(second)),
    )


def main() -> None:
    """Compute the finding that is named, or all."""
    parser = argparse.ArgumentParser(
        prog="python -m score.course.tools.findings",
        description="Compute what the notebooks say that we found.",
    )
    parser.add_argument("name", nargs="?", choices=EVERY, help="all when left out")
    chosen = parser.parse_args().name
    for name in [chosen] if chosen else EVERY:
        found = {name: EVERY[name]()}
        print(name, found[name])
        found = read_findings() | found  # another command may have found something meanwhile
        write_whole(FINDINGS, json.dumps(found, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
