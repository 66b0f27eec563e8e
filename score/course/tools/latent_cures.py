"""Train Part II's CVAE with known cures of its collapsed latent, and score it.

python -m score.course.tools.latent_cures free_bits   one training, kept
python -m score.course.tools.findings cures           what the notebook says of all
"""

import argparse
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from pusht import PushTStateDataset
from pusht.episodes import inference
from pusht.networks import MLP
from score.course.tools.described import Found, forget, kept
from score.course.tools.divergence_weights import EPOCHS, SEEDS, Draw, fit, score_of, setting

_SEED = 1  # of the trainings


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


def train(cure: Cure) -> Trained:
    """Return the notebook's agent, trained with its optimiser and a cure."""
    names, dataset, loader = setting(_SEED)
    torch.manual_seed(_SEED)
    widths = [256, 512, 1024, 512, 256]
    agent = names["CVAEAgent"](widths, widths, 5, 2, 2, 16, cure.latent_dim).to(names["device"])
    network = MLP([10, 256, 256, 2 * cure.latent_dim], activation_type="Mish").to(names["device"])

    def prior(obs: Tensor) -> tuple[Tensor, Tensor]:
        both = network(obs) if cure.learned_prior else obs.new_zeros(len(obs), 2 * cure.latent_dim)
        mu, logvar = both.chunk(2, dim=1)
        return mu, logvar

    epochs = EPOCHS["shipped"]

    def loss(batch: dict[str, Tensor], epoch: int) -> Tensor:
        obs, action = batch["obs"].flatten(1), batch["action"].flatten(1)
        prediction, mu, logvar = agent(obs, action)
        nats = divergence(mu, logvar, *prior(obs))
        weight = cure.weight * (min(1.0, 2 * epoch / epochs) if cure.annealed else 1)
        error = nn.functional.mse_loss(prediction, action)
        return error + weight * nats.clamp(min=cure.free)

    fit([agent, network] if cure.learned_prior else [agent], loader, epochs, loss)
    agent.cpu()
    network.cpu()
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


def score_once(trained: Trained, draw: Draw) -> float:
    """Return the mean over episodes of the largest reward, with one z for a whole episode."""

    def once(obs: Tensor) -> Tensor:
        z = draw(obs) if not drawn_z else drawn_z[0]
        drawn_z[:] = [z]
        return z

    rewards = []
    for seed in SEEDS:
        drawn_z: list[Tensor] = []
        rewards.append(score_of(trained.agent, trained.dataset, once, [seed]))
    return sum(rewards) / len(rewards)


def cured(cure: str) -> dict[str, float]:
    """Train one network; return its divergence [nats] and its scores."""
    trained = train(CURES[cure])
    generator = torch.Generator().manual_seed(0)
    with inference(trained.agent):
        obs, action = trained.dataset.obs.flatten(1), trained.dataset.action.flatten(1)
        mu, logvar = trained.agent.encoder(obs, action)
        found = {"nats": float(divergence(mu, logvar, *trained.prior(obs)))}
        ways = ways_of_drawing(trained, generator)
        for name, draw in ways.items():
            found[name] = score_of(trained.agent, trained.dataset, draw)
        return found | {"once": score_once(trained, ways["drawn"])}


def cures() -> Found:
    """What each cure does to the latent and to the score, as rows of a table."""
    texts: Found = {}
    for name in CURES:
        found = _kept(name)
        scores = (found[key] for key in ("mean", "drawn", "fitted", "once"))
        texts[f"row_{name}"] = " | ".join([f"{found['nats']:.1f}", *(f"{s:.2f}" for s in scores)])
    forget("cure")
    return texts


def _kept(cure: str) -> dict[str, float]:
    return kept(f"cure_{cure}", cured, cure)


def main() -> None:
    """Train one network, keep its divergence and its scores, and print them."""
    parser = argparse.ArgumentParser(
        prog="python -m score.course.tools.latent_cures",
        description="Score Part II's CVAE with a cure of its collapsed latent.",
    )
    parser.add_argument("cure", choices=CURES)
    cure = parser.parse_args().cure
    print(cure, {name: round(value, 3) for name, value in _kept(cure).items()})


if __name__ == "__main__":
    main()
