"""Episodes that a policy drives in lock-step from given states, and how they are kept."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pusht.files import replacing
from pusht.sim import SUCCESS_COVERAGE, WINDOW, PushTSim, reward

# Worlds as they are now, and the last two observations (B, 2, 5) -> chunks of actions (B, K, 2).
Driver = Callable[[list[PushTSim], np.ndarray], np.ndarray]

_GRID = 8


@dataclass(frozen=True)
class Episode:
    """An episode of T steps.

    states: (T + 1, 5), the start first. actions: (T, 2) [px]. rewards: (T,).
    """

    states: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray

    def __len__(self) -> int:
        return len(self.actions)

    @property
    def solved(self) -> bool:
        """Whether the last step reached the full reward, with which an episode ends."""
        return bool(self.rewards[-1] >= 1)


def on_grid(actions: np.ndarray) -> np.ndarray:
    """Return actions [px] on the table, rounded to 1/8 px.

    Such numbers are stored whole in few bits, so driving them again gives the same episode.
    """
    return np.clip(np.round(actions * _GRID) / _GRID, 0, WINDOW)


def drive(driver: Driver, starts: np.ndarray, max_steps: int) -> list[Episode]:
    """Drive one episode from each state (N, 5), until success or `max_steps`; return them.

    Every chunk of the driver is executed whole, rounded by `on_grid`.
    """
    worlds = [PushTSim() for _ in starts]
    states: list[list[np.ndarray]] = []
    actions: list[list[np.ndarray]] = [[] for _ in starts]
    rewards: list[list[float]] = [[] for _ in starts]
    for world, start in zip(worlds, starts):
        world.reset(start)
        states.append([world.state])
    live = list(range(len(starts)))
    while live:
        seen = np.array([[states[i][-2:][0], states[i][-1]] for i in live])
        chunks = on_grid(driver([worlds[i] for i in live], seen))
        for i, chunk in zip(live, chunks):
            for action in chunk[: max_steps - len(rewards[i])]:
                covered = worlds[i].step(action)
                states[i].append(worlds[i].state)
                actions[i].append(action)
                rewards[i].append(reward(covered))
                if covered > SUCCESS_COVERAGE:
                    break
        live = [i for i in live if len(rewards[i]) < max_steps and rewards[i][-1] < 1]
    return [
        Episode(np.array(states[i]), np.array(actions[i]), np.array(rewards[i]))
        for i in range(len(starts))
    ]


def solved(episodes: Sequence[Episode], shortest: int = 16) -> list[Episode]:
    """Return the episodes that succeeded and are long enough to learn from."""
    return [episode for episode in episodes if episode.solved and len(episode) >= shortest]


def save_episodes(path: Path, episodes: Sequence[Episode]) -> None:
    """Write episodes to an npz file, whole or not at all."""
    with replacing(path) as beside, open(beside, "wb") as file:
        np.savez(
            file,
            states=np.concatenate([episode.states for episode in episodes]),
            actions=np.concatenate([episode.actions for episode in episodes]),
            rewards=np.concatenate([episode.rewards for episode in episodes]),
            lengths=np.array([len(episode) for episode in episodes]),
        )


def load_episodes(path: Path) -> list[Episode]:
    """Return the episodes that `save_episodes` wrote."""
    with np.load(path) as stored:
        lengths = stored["lengths"]
        states = np.split(stored["states"], np.cumsum(lengths + 1)[:-1])
        actions = np.split(stored["actions"], np.cumsum(lengths)[:-1])
        rewards = np.split(stored["rewards"], np.cumsum(lengths)[:-1])
    return [Episode(*parts) for parts in zip(states, actions, rewards)]


def summary(episodes: Sequence[Episode]) -> str:
    """Return in a few words how episodes went."""
    best = np.array([episode.rewards.max() for episode in episodes])
    lengths = [len(episode) for episode in episodes if episode.solved]
    median = f", median length {np.median(lengths):.0f}" if lengths else ""
    return f"{len(lengths)} of {len(episodes)} solved, mean reward {best.mean():.3f}{median}"
