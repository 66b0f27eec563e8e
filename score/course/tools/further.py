"""Compute what the optional exercises of the notebooks say that we found."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import numpy as np
import torch

from pusht import demos, receding_horizon, rollout
from pusht.episodes import Episodes, Policy, inference, joined
from pusht.figures import modes
from pusht.figures.weights import read_rows
from pusht.normalisation import Stats, normalize_data, unnormalize_data
from score import rubric
from score.course.notebooks.solutions import run_cells, solution
from score.course.tools.described import (
    SEEDS,
    Found,
    Infer,
    compared,
    described,
    mean_of,
    played_in_chunks,
    reference,
    restore,
    shifted,
)

_DRAWS = 40  # chunks in one state


def better() -> Found:
    """What Part I tried, each with its control over the same starts: sine and cosine for the angle,
    more executed actions, an ensemble of chunks.
    """
    infer, stats = reference("part1_mlp")
    plain = rollout(receding_horizon(infer, stats), SEEDS)
    longer = rollout(receding_horizon(infer, stats, action_horizon=12), SEEDS)
    encoded = rollout(_sine_and_cosine(), SEEDS)
    solved = int(plain.successes.sum())
    return {
        "solved": str(solved),
        **compared(plain, encoded, "_encoded"),
        **compared(plain, longer, "_longer"),
        **compared(plain, ensembled(infer, stats, 0.01), "_ensemble"),
    }


def latent() -> Found:
    """What drawing z does to the CVAE, beside noise of the same size; and how many ways each policy
    takes where demonstrations part.
    """
    names = solution(rubric.PARTS["part2_cvae"])
    agent, stats, count = names["cvae_agent"], reference("part2_cvae")[1], names["modes"]
    restore(agent, "part2_cvae")
    zero, drawn = (_decoding(agent, draw) for draw in (False, True))
    dataset = modes.windows_of(demos.open())
    places = modes.many_crossroads(dataset, len(dataset))
    states = [modes.in_pixels(dataset, place.windows)[0][0] for place in places]
    chunks = _chunks(states, drawn, stats)
    size = float(np.sqrt(np.mean([np.square(c - c.mean(axis=0)).mean() for c in chunks])))
    mlp, mlp_stats = reference("part1_mlp")
    acting = {
        "zero": receding_horizon(zero, stats),
        "drawn": receding_horizon(drawn, stats),
        "noise": shifted(receding_horizon(zero, stats), size),
        "mlp": receding_horizon(mlp, mlp_stats),
        "mlp_noise": shifted(receding_horizon(mlp, mlp_stats), size),
    }
    episodes = {name: rollout(policy, SEEDS) for name, policy in acting.items()}
    found = {"places": str(len(places)), "px": f"{size:.1f}"}
    for name, played in episodes.items():
        found |= described(played, f"_{name}")
    found |= compared(episodes["zero"], episodes["drawn"], "_by_z")
    found |= compared(episodes["zero"], episodes["noise"], "_by_noise")
    found |= compared(episodes["noise"], episodes["drawn"], "_z_or_noise")
    demonstrated = [modes.in_pixels(dataset, place.windows)[1] for place in places]
    found["parted_demos"] = _parted(count(each, 15.0, 2) for each in demonstrated)
    found["parted_cvae"] = _parted(map(count, chunks))
    for name in ("part3_ddpm", "part4_flow"):
        of_each = _chunks(states, *reference(name))
        found[f"parted_{name.split('_')[1]}"] = _parted(map(count, of_each))
    return found


def weights() -> Found:
    """What the weight of the divergence does to Part II's CVAE, from the networks that
    `divergence_weights` trained: means over the training seeds, and whether a drawn z scores higher
    than z = 0 where the latent is empty.
    """
    rows, found = read_rows(), Found()
    for of, weight in {(row.demonstrations, row.weight) for row in rows}:
        some = [row for row in rows if (row.demonstrations, row.weight) == (of, weight)]
        after = f"{of}_{weight:g}".replace(".", "_")
        found[f"nats_{after}"] = f"{np.mean([row.nats for row in some]):.1f}"
        found[f"zero_{after}"] = f"{np.mean([row.zero for row in some]):.2f}"
        found[f"drawn_{after}"] = f"{np.mean([row.drawn for row in some]):.2f}"
    gains = np.array([row.drawn - row.zero for row in rows if row.nats < 0.01])
    found |= {"empty": f"{len(gains)}", "higher": f"{(gains > 0).sum()}"}
    return dict(sorted(found.items())) | {"gain": f"{gains.mean():.2f}"}


def _sine_and_cosine() -> Policy:
    """Return the policy of Part I's E1.1, trained by the notebook's own cells."""
    part = rubric.PARTS["part1_mlp"]
    names = solution(part) | {"num_epochs": 300}
    run_cells(part, names, "part1/dataset", "part1/e1_1_network")
    agent, encode = names["encoded_agent"].cpu(), names["encode_angle"]
    policy = receding_horizon(
        torch.no_grad()(lambda nobs: agent(nobs.flatten(1)).view(-1, 16, 2)),
        names["encoded_dataset"].stats,
    )
    return lambda obs: policy(encode(obs))


def ensembled(infer: Infer, stats: Stats, m: float) -> Episodes:
    """Return the episodes of Part I's E1.2."""
    mean = solution(rubric.PARTS["part1_mlp"])["ensemble"]
    each = (
        rollout(_ensemble(infer, stats, lambda p: mean(p, m)), [seed], torch_seed=seed)
        for seed in SEEDS
    )
    return joined(list(each))


def _ensemble(infer: Infer, stats: Stats, mean: Callable[[torch.Tensor], torch.Tensor]) -> Policy:
    """Return a policy for one episode that executes the mean of what is predicted for a moment."""
    chunks: list[torch.Tensor] = []

    def policy(obs: np.ndarray) -> np.ndarray:
        nobs = torch.from_numpy(normalize_data(obs, stats["obs"])).float()
        chunks.append(infer(nobs)[0])
        del chunks[:-15]
        oldest_first = [chunk[1 + age] for age, chunk in enumerate(reversed(chunks))][::-1]
        action = mean(torch.stack(oldest_first))
        return unnormalize_data(action.numpy(), stats["action"])[None, None]

    return policy


def _decoding(agent: Any, draw: bool) -> Infer:
    """Return what the agent decodes with z = 0, or with z drawn for each chunk."""

    def infer(nobs: torch.Tensor) -> torch.Tensor:
        z = (torch.randn if draw else torch.zeros)(len(nobs), agent.latent_dim)
        with inference(agent):
            return agent.decoder(nobs.flatten(1), z).view(len(nobs), 16, 2)

    return infer


def _chunks(states: list[np.ndarray], infer: Infer, stats: Stats) -> list[np.ndarray]:
    """Return the chunks (40, Tp, 2) [px] that a policy plans in each of some states."""
    found = []
    for obs in states:
        nobs = torch.from_numpy(normalize_data(obs, stats["obs"])).float()
        torch.manual_seed(0)
        found.append(unnormalize_data(infer(nobs.expand(_DRAWS, -1, -1)).numpy(), stats["action"]))
    return found


def _parted(counts: Iterable[int]) -> str:
    return str(sum(count > 1 for count in counts))


def ddim() -> Found:
    """How Part III's network scores with DDPM, and with fewer steps of DDIM (E3.1)."""
    part = rubric.PARTS["part3_ddpm"]
    names = solution(part)
    restore(names["noise_pred_net"], "part3_ddpm")
    names["ema_noise_pred_net"] = names["noise_pred_net"]
    run_cells(part, names, "part3/e3_1_sampling")
    infer, stats = reference("part3_ddpm")
    found = {"ddpm": _scored(receding_horizon(infer, stats))}
    samplers = {f"steps_{count}": names["DDIM"](count) for count in (10, 5, 2)}
    samplers["from_99"] = names["DDIM"](10)
    samplers["from_99"].steps = torch.arange(9, 100, 10)  # begins where hardly any signal is left
    for name, sampler in samplers.items():
        chunks = torch.no_grad()(partial(names["ddim_chunks"], sampler=sampler))
        found[name] = _scored(receding_horizon(chunks, stats))
    return found


def _scored(policy: Policy) -> str:
    return " ± ".join(mean_of(rollout(policy, SEEDS).max_rewards))


def midpoint() -> Found:
    """How Part IV's flow policy scores with Euler's rule and the midpoint rule (E4.1)."""
    part, seeds = rubric.PARTS["part4_flow"], range(SEEDS.start, SEEDS.start + 500)
    names = solution(part)
    run_cells(part, names, "part4/dataset", "part4/e4_1_midpoint")
    euler = names["FlowMatchingPolicy"](5, 2, names["chunk_size"])
    found, widest = Found(), 0.0
    for name, model in (("euler", euler), ("midpoint", names["midpoint_policy"])):
        restore(model, "part4_flow")
        scores = []
        for count in (1, 2, 5, 10, 20):
            policy = names["in_steps"](model, count)
            played = played_in_chunks(policy, seeds)
            score, either = mean_of(played.max_rewards)
            scores.append(score)
            widest = max(widest, float(either))
        found[name] = " | ".join(scores)
    return found | {"either": f"{widest:.2f}"}
