"""The networks that the expert is made of: proposals of actions, the value of a state, and a small
student. `score.course.tools.demonstrations` trains them.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import nn

from pusht.expert.driving import Episode
from pusht.normalisation import MOMENTS, Normalizer
from pusht.sim import WINDOW
from pusht.tee import GOAL_POSE

CHUNK = 8  # actions in a chunk
_SCALE = 60.0  # px; a proposal is relative to the agent and divided by this
_FEATURES = 10


def features(states: np.ndarray) -> torch.Tensor:
    """Return what the expert's networks see of states (B, 5): (B, 10) float32.

    Agent and goal in the block's frame, the angle that is left to turn, and both places.
    """
    agent, block, angle = states[:, :2], states[:, 2:4], states[:, 4]
    cos, sin = np.cos(angle), np.sin(angle)

    def in_block_frame(points: np.ndarray) -> np.ndarray:
        x, y = (points - block).T
        return np.stack([cos * x + sin * y, cos * y - sin * x], axis=1)

    left = angle - GOAL_POSE[2]
    parts = [
        in_block_frame(agent) / _SCALE,
        in_block_frame(GOAL_POSE[None, :2]) / _SCALE,
        2 * np.stack([np.sin(left), np.cos(left)], axis=1),
        (agent - WINDOW / 2) / 128,
        (block - WINDOW / 2) / 128,
    ]
    return torch.from_numpy(np.concatenate(parts, axis=1)).float()


def relative(states: np.ndarray, chunks: np.ndarray) -> torch.Tensor:
    """Return chunks (B, 8, 2) [px] as `Proposals` has them: relative to the agents of the states
    (B, 5), and scaled.
    """
    return torch.from_numpy((chunks - states[:, None, :2]) / _SCALE).float()


def flow_loss(
    velocity: Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor],
    seen: torch.Tensor,
    chunk: torch.Tensor,
    generator: torch.Generator,
) -> torch.Tensor:
    """Return the flow-matching loss of a batch. velocity: function from what is seen, chunks and
    times (B,) to the velocities of the chunks.
    """
    noise = torch.randn(chunk.shape, generator=generator)
    time = torch.rand(len(chunk), generator=generator)
    between = torch.lerp(noise, chunk, time[:, None, None])
    return nn.functional.mse_loss(velocity(seen, between, time), chunk - noise)


class Proposals(nn.Module):
    """A flow-matching policy on `features`: a residual network of 4 x `width`."""

    def __init__(self, width: int = 256) -> None:
        super().__init__()
        self.first = nn.Linear(_FEATURES + 2 * CHUNK + 1, width)
        self.hidden = nn.ModuleList(nn.Linear(width, width) for _ in range(3))
        self.last = nn.Linear(width, 2 * CHUNK)

    def forward(self, seen: torch.Tensor, chunk: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        """Return the velocity (B, 8, 2) at time (B,) of the flow, of chunks (B, 8, 2)."""
        x = torch.relu(self.first(torch.cat([seen, chunk.flatten(1), time[:, None]], dim=1)))
        for layer in self.hidden:
            x = torch.relu(layer(x)) + x
        return self.last(x).view_as(chunk)

    def loss(
        self, seen: torch.Tensor, chunk: torch.Tensor, generator: torch.Generator
    ) -> torch.Tensor:
        """Return the flow-matching loss of a batch."""
        return flow_loss(self, seen, chunk, generator)

    @torch.no_grad()
    def sample(
        self, states: np.ndarray, generator: torch.Generator, num_steps: int = 2
    ) -> np.ndarray:
        """Return a chunk (B, 8, 2) [px] for each state (B, 5), by the midpoint rule."""
        seen = features(states)
        chunk = torch.randn(len(states), CHUNK, 2, generator=generator)
        for i in range(num_steps):
            time = torch.full((len(states),), i / num_steps)
            half = chunk + self(seen, chunk, time) / (2 * num_steps)
            chunk = chunk + self(seen, half, time + 1 / (2 * num_steps)) / num_steps
        return states[:, None, :2] + _SCALE * chunk.numpy().astype(np.float64)


class Value(nn.Module):
    """How much reward, discounted, is to be had from a state."""

    def __init__(self, width: int = 192) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(_FEATURES, width),
            nn.SiLU(),
            nn.Linear(width, width),
            nn.SiLU(),
            nn.Linear(width, width),
            nn.SiLU(),
            nn.Linear(width, 1),
        )

    def loss(
        self, seen: torch.Tensor, value: torch.Tensor, generator: torch.Generator
    ) -> torch.Tensor:
        """Return the squared error of a batch."""
        return nn.functional.mse_loss(self.net(seen)[:, 0], value)

    @torch.no_grad()
    def of(self, states: np.ndarray) -> np.ndarray:
        """Return the values of states (..., 5)."""
        return self.net(features(states.reshape(-1, 5)))[:, 0].numpy().reshape(states.shape[:-1])


class Student(nn.Module):
    """A least-squares policy such as Part IV's: from the five numbers of a state, normalised, to a
    chunk of eight actions.
    """

    observations = 1  # the last so many states are seen

    def __init__(self, width: int = 256, more: int = 0) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(5 * self.observations + more, width),
            nn.ReLU(),
            nn.Linear(width, width),
            nn.ReLU(),
            nn.Linear(width, width),
            nn.ReLU(),
            nn.Linear(width, 2 * CHUNK),
        )
        # (mean, standard deviation) of states and of actions; kept with the weights.
        self.register_buffer("of_states", torch.zeros(2, 5))
        self.register_buffer("of_actions", torch.zeros(2, 2))

    def normalise_like(self, episodes: Sequence[Episode]) -> None:
        """Take over the means and deviations of the states and actions of episodes."""
        states = np.concatenate([episode.states[:-1] for episode in episodes])
        actions = np.concatenate([episode.actions for episode in episodes])
        stats = Normalizer.from_data(states, actions).stats
        self.of_states, self.of_actions = (
            torch.from_numpy(np.stack([stats[of][name] for name in MOMENTS]))
            for of in ("obs", "action")
        )

    def scaled_states(self, seen: np.ndarray) -> torch.Tensor:
        """Return the last states (B, H, 5), the newest of them, as the network has them."""
        mean, std = self.of_states
        newest = torch.from_numpy(seen[:, -self.observations :]).float()
        return ((newest - mean) / std).flatten(1)

    def scaled_chunks(self, chunks: np.ndarray) -> torch.Tensor:
        """Return chunks (B, 8, 2) [px] as the network has them."""
        mean, std = self.of_actions
        return (torch.from_numpy(chunks).float() - mean) / std

    def loss(
        self, seen: torch.Tensor, chunk: torch.Tensor, generator: torch.Generator
    ) -> torch.Tensor:
        """Return the squared error of a batch."""
        return nn.functional.mse_loss(self.net(seen).view_as(chunk), chunk)

    def infer(self, seen: torch.Tensor, generator: torch.Generator | None) -> torch.Tensor:
        """Return chunks (B, 8, 2) as the network has them."""
        return self.net(seen).view(-1, CHUNK, 2)

    @torch.no_grad()
    def act(self, seen: np.ndarray, generator: torch.Generator | None = None) -> np.ndarray:
        """Return a chunk (B, 8, 2) [px] after the last states (B, H, 5)."""
        mean, std = self.of_actions
        chunk = self.infer(self.scaled_states(seen), generator) * std + mean
        return chunk.numpy().astype(np.float64)
