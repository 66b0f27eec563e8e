"""Train Part II's CVAE with another weight of the divergence, score it, and keep the figures that
`figures.divergence_weights` draws.

python -m score.course.tools.divergence_weights 0.003 --demos human --seed 2
"""

import argparse
import json
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from pusht import PushTStateDataset, WindowLoader, demos, receding_horizon, rollout
from pusht.episodes import inference
from pusht.figures.weights import FILE, Row, read_rows
from pusht.files import write_whole
from pusht.speed import faster
from score import rubric
from score.course.notebooks.solutions import solution
from score.course.tools.reference import use_demonstrations

EPOCHS = {"shipped": 240, "human": 120}
SEEDS = range(50_000, 50_200)
"""Of the scored episodes, far from those of grades."""


Draw = Callable[[Tensor], Tensor]
"""Function from flat observations (B, 10) to the z to decode, (B, latent_dim)."""


class Setting(NamedTuple):
    """What a network is trained with: what the notebook's solutions define, and its windows."""

    names: dict[str, Any]
    dataset: PushTStateDataset
    loader: WindowLoader


def setting(seed: int) -> Setting:
    """Return the setting of a training."""
    names = solution(rubric.PARTS["part2_cvae"], seed=seed)
    dataset = PushTStateDataset(demos.open(), pred_horizon=16, obs_horizon=2, action_horizon=8)
    loader = WindowLoader(dataset, batch_size=256, seed=seed, device=names["device"])
    return Setting(names, dataset, loader)


def fit(
    networks: Sequence[nn.Module],
    loader: WindowLoader,
    epochs: int,
    loss_of: Callable[[dict[str, Tensor], int], Tensor],
) -> None:
    """Train networks, the agent first, with the notebook's optimiser. loss_of: function from a
    batch and the number of the epoch.
    """
    parameters = [p for network in networks for p in network.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=3e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=10 * epochs // 3)
    with faster(networks[0], optimizer):
        for epoch in range(epochs):
            for batch in loader:
                loss = loss_of(batch, epoch)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            schedule.step()
            print(f"\repoch {epoch + 1} of {epochs}", end="", flush=True)
    print()


def train(weight: float, seed: int, epochs: int) -> tuple[nn.Module, PushTStateDataset]:
    """Return the notebook's agent, trained on squared error plus `weight` times the divergence
    averaged over the batch, and the windows that it learned from.
    """
    names, dataset, loader = setting(seed)
    agent, loss_of = names["cvae_agent"], names["cvae_loss"]

    def loss(batch: dict[str, Tensor], epoch: int) -> Tensor:
        # The notebook's loss sums the divergence over the batch.
        return loss_of(agent, batch["obs"], batch["action"], beta=weight / len(batch["obs"]))

    torch.manual_seed(seed)
    fit([agent], loader, epochs, loss)
    return agent.cpu(), dataset


def divergence(agent: Any, dataset: PushTStateDataset) -> float:
    """Return the latent's mean divergence from N(0, I) over all windows [nats]."""
    with inference(agent):
        mu, logvar = agent.encoder(dataset.obs.flatten(1), dataset.action.flatten(1))
    return float((0.5 * (mu.square() + logvar.exp() - 1 - logvar)).sum(dim=1).mean())


def score_of(
    agent: Any, dataset: PushTStateDataset, draw: Draw, seeds: Sequence[int] = SEEDS
) -> float:
    """Return the mean over episodes of the largest reward, with a z for every chunk."""

    def infer(nobs: Tensor) -> Tensor:
        obs = nobs.flatten(1)
        return agent.decoder(obs, draw(obs)).view(len(obs), 16, 2)

    with inference(agent):
        episodes = rollout(receding_horizon(infer, dataset.stats), seeds)
    return float(episodes.max_rewards.mean())


def scores(agent: Any, dataset: PushTStateDataset) -> tuple[float, float]:
    """Return the agent's scores with z = 0 and with z drawn from N(0, I) for every chunk."""
    generator = torch.Generator().manual_seed(0)

    def zeros(obs: Tensor) -> Tensor:
        return torch.zeros(len(obs), agent.latent_dim)

    zero = score_of(agent, dataset, zeros)
    return zero, score_of(agent, dataset, lambda obs: zeros(obs).normal_(generator=generator))


def main() -> None:
    """Train and score one network."""
    parser = argparse.ArgumentParser(
        prog="python -m score.course.tools.divergence_weights",
        description="Score Part II's CVAE with another weight of the divergence.",
    )
    parser.add_argument("weight", type=float, help="of the divergence averaged over the batch")
    parser.add_argument("--demos", choices=("shipped", "human"), default="shipped")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    use_demonstrations(options.demos)
    agent, dataset = train(options.weight, options.seed, EPOCHS[options.demos])
    zero, drawn = scores(agent, dataset)
    row = Row(
        options.demos, options.weight, options.seed, divergence(agent, dataset), zero, drawn
    ).rounded()
    print(row)
    kept = {old.key: old for old in read_rows()} | {row.key: row}
    rows = [kept[key]._asdict() for key in sorted(kept)]
    write_whole(FILE, "[\n" + ",\n".join(map(json.dumps, rows)) + "\n]\n")


if __name__ == "__main__":
    main()
