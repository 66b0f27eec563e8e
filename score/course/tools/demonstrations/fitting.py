"""The training of the expert's networks."""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import torch

from pusht.dataset import window_steps
from pusht.expert.driving import Episode
from pusht.expert.networks import (
    CHUNK,
    Proposals,
    Student,
    Value,
    features,
    relative,
)
from score.course.tools.demonstrations.networks import returns

Network = TypeVar("Network", bound=Proposals | Value | Student)


def _fit(
    network: Network,
    samples: tuple[torch.Tensor, torch.Tensor],
    *,
    epochs: int,
    batch: int,
    rate: float,
    seed: int,
) -> Network:
    """Train by Adam, with a learning rate that falls to 0 along a cosine; return the network."""
    inputs, targets = samples
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(network.parameters(), lr=rate, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    losses: list[float] = []
    for _ in range(epochs):
        order = torch.randperm(len(inputs), generator=generator)
        losses.clear()
        for chosen in order[: len(order) // batch * batch].split(batch):
            loss = network.loss(inputs[chosen], targets[chosen], generator)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        schedule.step()
    print(
        f"  {type(network).__name__}: {len(inputs)} samples, {epochs} epochs, loss"
        f" {np.mean(losses):.4f}",
        flush=True,
    )
    return network


def fit_proposals(
    network: Proposals, episodes: Sequence[Episode], *, epochs: int, rate: float, seed: int
) -> Proposals:
    """Train to propose what was done in the episodes; after their end, the last action again."""
    states, chunks = windows(episodes, beyond=CHUNK - 1)
    samples = features(states[:, -1]), relative(states[:, -1], chunks)
    return _fit(network, samples, epochs=epochs, batch=256, rate=rate, seed=seed)


def fit_value(
    network: Value, episodes: Sequence[Episode], *, epochs: int, rate: float, seed: int
) -> Value:
    """Train to tell what became of each state of the episodes."""
    states = np.concatenate([episode.states for episode in episodes])
    values = np.concatenate([returns(episode.rewards) for episode in episodes])
    samples = features(states), torch.from_numpy(values).float()
    return _fit(network, samples, epochs=epochs, batch=512, rate=rate, seed=seed)


def fit_student(
    network: Student, episodes: Sequence[Episode], *, epochs: int, rate: float, seed: int
) -> Student:
    """Train to do what was done in the episodes."""
    states, chunks = windows(episodes, observations=network.observations)
    samples = network.scaled_states(states), network.scaled_chunks(chunks)
    return _fit(network, samples, epochs=epochs, batch=256, rate=rate, seed=seed)


def windows(
    episodes: Sequence[Episode], *, observations: int = 1, beyond: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Return the last states (M, H, 5) at each step of episodes and the chunks (M, 8, 2) [px] that
    followed.

    observations: H; before its second step the start of an episode is repeated.
    beyond: by how many steps a chunk may reach beyond the end, where the last action is repeated.
    """
    ends = np.cumsum([len(episode) for episode in episodes])
    before = observations - 1
    steps = window_steps(ends, before + CHUNK, pad_before=before, pad_after=beyond)
    states = np.concatenate([episode.states[:-1] for episode in episodes])
    actions = np.concatenate([episode.actions for episode in episodes])
    return states[steps[:, :observations]], actions[steps[:, before:]]
