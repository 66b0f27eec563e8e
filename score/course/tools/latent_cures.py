"""Train Part II's CVAE with a known cure of its collapsed latent, and print how it scores.

python -m score.course.tools.latent_cures free_bits --seed 1
"""

import argparse
import tempfile
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from pusht import PushTStateDataset, WindowLoader, demos, receding_horizon, rollout
from pusht.episodes import inference
from pusht.speed import faster
from score import rubric
from score.course.notebooks.solutions import run_solution
from score.course.tools.divergence_weights import EPOCHS, SEEDS

Draw = Callable[[Tensor], Tensor]
"""Function from flat observations (B, D) to z (B, latent_dim)."""


class Cure(NamedTuple):
    """One way to keep the latent alive.

    weight: of the divergence averaged over the batch, at the end of the training. annealed: whether
    it rises from 0 over the first half of the epochs (Bowman et al., 2016). free: nats that cost
    nothing (Kingma et al., 2016). latent_dim: of z. learned_prior: whether z's distribution before
    the actions are known is learned from the observations (Sohn et al., 2015), or is N(0, I).
    """

    weight: float
    annealed: bool = False
    free: float = 0.0
    latent_dim: int = 32
    learned_prior: bool = False


CURES = {
    "none": Cure(0.001),
    "annealed": Cure(0.003, annealed=True),
    "free_bits": Cure(1.0, free=1.4),
    "two_dimensions": Cure(0.001, latent_dim=2),
    "learned_prior": Cure(0.001, learned_prior=True),
}


class Trained(NamedTuple):
    """A trained network, the distribution that its z is drawn from, and what it learned from."""

    agent: Any
    prior: Callable[[Tensor], tuple[Tensor, Tensor]]
    dataset: PushTStateDataset


def divergence(mu: Tensor, logvar: Tensor, prior_mu: Tensor, prior_logvar: Tensor) -> Tensor:
    """Return the divergence of one normal distribution from another, averaged over the batch.

    All arguments (B, latent_dim) -> one number [nats] (Kingma & Welling, 2014, appendix B, for two
    diagonal normal distributions).
    """
    ratio = ((mu - prior_mu).square() + logvar.exp()) / prior_logvar.exp()
    return 0.5 * (prior_logvar - logvar + ratio - 1).sum(dim=1).mean()


def train(cure: Cure, seed: int) -> Trained:
    """Return the notebook's agent, trained with its optimiser and a cure."""
    with tempfile.TemporaryDirectory() as folder:
        names = run_solution(rubric.PARTS["part2_cvae"], folder, seed=seed, train=False)
    dataset = PushTStateDataset(demos.open(), pred_horizon=16, obs_horizon=2, action_horizon=8)
    loader = WindowLoader(dataset, batch_size=256, seed=seed)
    torch.manual_seed(seed)
    widths = [256, 512, 1024, 512, 256]
    agent = names["CVAEAgent"](widths, widths, 5, 2, 2, 16, cure.latent_dim)
    network = nn.Sequential(
        nn.Linear(10, 256), nn.Mish(), nn.Linear(256, 256), nn.Mish(),
        nn.Linear(256, 2 * cure.latent_dim),
    )  # fmt: skip

    def prior(obs: Tensor) -> tuple[Tensor, Tensor]:
        if cure.learned_prior:
            mu, logvar = network(obs).chunk(2, dim=1)
            return mu, logvar
        return torch.zeros(len(obs), cure.latent_dim), torch.zeros(len(obs), cure.latent_dim)

    both = nn.ModuleList([agent, network] if cure.learned_prior else [agent])
    optimizer = torch.optim.AdamW(both.parameters(), lr=3e-4)
    epochs = EPOCHS["shipped"]
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=10 * epochs // 3)
    with faster(agent, optimizer):
        for epoch in range(epochs):
            weight = cure.weight * (min(1.0, 2 * epoch / epochs) if cure.annealed else 1)
            for batch in loader:
                obs, action = batch["obs"].flatten(1), batch["action"].flatten(1)
                prediction, mu, logvar = agent(obs, action)
                nats = divergence(mu, logvar, *prior(obs))
                loss = nn.functional.mse_loss(prediction, action)
                loss = loss + weight * nats.clamp(min=cure.free)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            schedule.step()
            print(f"\repoch {epoch + 1} of {epochs}", end="", flush=True)
    print()
    return Trained(agent, prior, dataset)


def ways_of_drawing(trained: Trained, generator: torch.Generator) -> dict[str, Draw]:
    """Return ways to choose z when acting: the prior's mean; drawn from the prior; drawn from one
    normal distribution fitted to what the encoder sent for all windows (Ghosh et al., 2020).
    """
    obs, action = trained.dataset.obs.flatten(1), trained.dataset.action.flatten(1)
    mu, logvar = trained.agent.encoder(obs, action)
    sent = mu + (0.5 * logvar).exp() * torch.randn(mu.shape, generator=generator)
    root = torch.linalg.cholesky(torch.cov(sent.T) + 1e-6 * torch.eye(sent.shape[1]))

    def noise(count: int) -> Tensor:
        return torch.randn(count, sent.shape[1], generator=generator)

    def drawn(obs: Tensor) -> Tensor:
        mean, logvar = trained.prior(obs)
        return mean + (0.5 * logvar).exp() * noise(len(obs))

    return {
        "mean": lambda obs: trained.prior(obs)[0],
        "drawn": drawn,
        "fitted": lambda obs: sent.mean(dim=0) + noise(len(obs)) @ root.T,
    }


def score_of(trained: Trained, draw: Draw) -> float:
    """Return the mean over episodes of the largest reward, with a z for every chunk."""

    def infer(nobs: Tensor) -> Tensor:
        obs = nobs.flatten(1)
        return trained.agent.decoder(obs, draw(obs)).view(len(obs), 16, 2)

    return float(rollout(receding_horizon(infer, trained.dataset.stats), SEEDS).max_rewards.mean())


def score_once(trained: Trained, draw: Draw) -> float:
    """Return the same with one z for each episode."""
    rewards = []
    for seed in SEEDS:
        kept: list[Tensor] = []

        def once(obs: Tensor, kept: list[Tensor] = kept) -> Tensor:
            kept[:] = kept or [draw(obs)]
            return kept[0]

        def infer(nobs: Tensor, once: Draw = once) -> Tensor:
            obs = nobs.flatten(1)
            return trained.agent.decoder(obs, once(obs)).view(len(obs), 16, 2)

        episodes = rollout(receding_horizon(infer, trained.dataset.stats), [seed])
        rewards.append(float(episodes.max_rewards[0]))
    return sum(rewards) / len(rewards)


def main() -> None:
    """Train one network, and print its divergence and its scores."""
    parser = argparse.ArgumentParser(
        prog="python -m score.course.tools.latent_cures",
        description="Score Part II's CVAE with a cure of its collapsed latent.",
    )
    parser.add_argument("cure", choices=CURES)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    trained = train(CURES[options.cure], options.seed)
    generator = torch.Generator().manual_seed(0)
    with inference(trained.agent):
        obs, action = trained.dataset.obs.flatten(1), trained.dataset.action.flatten(1)
        mu, logvar = trained.agent.encoder(obs, action)
        nats = float(divergence(mu, logvar, *trained.prior(obs)))
        ways = ways_of_drawing(trained, generator)
        scores = {name: score_of(trained, draw) for name, draw in ways.items()}
        scores["drawn once"] = score_once(trained, ways["drawn"])
    figures = ", ".join(f"{name} {score:.3f}" for name, score in scores.items())
    print(f"{options.cure}, seed {options.seed}: {nats:.2g} nats; score with z {figures}")


if __name__ == "__main__":
    main()
