"""Train Part II's CVAE with another weight of the divergence, score it, and keep the figures that
`figures.divergence_weights` draws.

python -m score.course.tools.divergence_weights 0.003 --demos human --seed 2
"""

import argparse
import json
import tempfile
from typing import Any

import torch
from torch import nn

from pusht import PushTStateDataset, WindowLoader, demos, receding_horizon, rollout
from pusht.episodes import inference
from pusht.figures.weights import FILE, Row, read_rows
from pusht.files import write_whole
from pusht.speed import faster
from score import rubric
from score.course.notebooks.solutions import run_solution
from score.course.tools.reference import use_demonstrations

EPOCHS = {"shipped": 240, "human": 120}
SEEDS = range(50_000, 50_200)
"""Of the scored episodes, far from those of grades."""


def train(weight: float, seed: int, epochs: int) -> tuple[nn.Module, PushTStateDataset]:
    """Return the notebook's agent, trained with its optimiser on squared error plus `weight` times
    the divergence averaged over the batch, and the windows that it learned from.
    """
    with tempfile.TemporaryDirectory() as folder:
        names = run_solution(rubric.PARTS["part2_cvae"], folder, seed=seed, train=False)
    agent, loss_of = names["cvae_agent"], names["cvae_loss"]
    dataset = PushTStateDataset(demos.open(), pred_horizon=16, obs_horizon=2, action_horizon=8)
    loader = WindowLoader(dataset, batch_size=256, seed=seed, device=names["device"])
    optimizer = torch.optim.AdamW(agent.parameters(), lr=3e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=10 * epochs // 3)
    torch.manual_seed(seed)
    with faster(agent, optimizer):
        for epoch in range(epochs):
            for batch in loader:
                # The notebook's loss sums the divergence over the batch.
                beta = weight / len(batch["obs"])
                loss = loss_of(agent, batch["obs"], batch["action"], beta=beta)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            schedule.step()
            print(f"\repoch {epoch + 1} of {epochs}", end="", flush=True)
    print()
    return agent.cpu(), dataset


def divergence(agent: Any, dataset: PushTStateDataset) -> float:
    """Return the latent's mean divergence from N(0, I) over all windows [nats]."""
    with inference(agent):
        mu, logvar = agent.encoder(dataset.obs.flatten(1), dataset.action.flatten(1))
    return float((0.5 * (mu.square() + logvar.exp() - 1 - logvar)).sum(dim=1).mean())


def scores(agent: Any, dataset: PushTStateDataset) -> tuple[float, float]:
    """Return the agent's scores with z = 0 and with z drawn from N(0, I) for every chunk."""
    generator = torch.Generator().manual_seed(0)

    def acting(draw: bool) -> float:
        def infer(nobs: torch.Tensor) -> torch.Tensor:
            z = torch.zeros(len(nobs), agent.latent_dim)
            if draw:
                z.normal_(generator=generator)
            return agent.decoder(nobs.flatten(1), z).view(len(nobs), 16, 2)

        with inference(agent):
            episodes = rollout(receding_horizon(infer, dataset.stats), SEEDS)
        return float(episodes.max_rewards.mean())

    return acting(draw=False), acting(draw=True)


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
