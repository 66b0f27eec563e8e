"""Find states from which demonstrators went two ways."""

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch

from pusht.dataset import PushTStateDataset
from pusht.demos import Demonstrations
from pusht.normalisation import unnormalize_data
from pusht.sim import AGENT_RADIUS

_LEVER = 60  # px by which a turn of one radian moves parts of the T, roughly
_SAMPLES = 3000  # number of windows that are tried
_ELSEWHERE = 40  # px between two states that are counted as two


class Crossroads(NamedTuple):
    """Windows of different episodes that show nearly the same state.

    windows: their indices in the dataset (N,); the others are near to the first one.
    second: (N,) bool, whether the demonstrator went the second way.
    reach: the distance of the farthest window [px].
    clarity: how clearly the two ways are separated [px], see `two_clusters`.
    """

    windows: np.ndarray
    second: np.ndarray
    reach: float
    clarity: float

    @property
    def parted(self) -> bool:
        """Whether the ways differ by more than the states do, and by more than the agent's size."""
        return self.clarity > max(self.reach, AGENT_RADIUS)


def crossroads(demonstrations: Demonstrations) -> np.ndarray:
    """Return the state (5,) [px, rad] from which demonstrations go two ways most clearly.

    `two_ways` draws it.
    """
    dataset = windows_of(demonstrations)
    obs, _ = in_pixels(dataset, find_crossroads(dataset).windows)
    return obs[0, -1]


def windows_of(demonstrations: Demonstrations) -> PushTStateDataset:
    """Return the windows of demonstrations, as Parts I to III cut them."""
    return PushTStateDataset(demonstrations, pred_horizon=16, obs_horizon=2, action_horizon=8)


def in_pixels(
    dataset: PushTStateDataset, windows: np.ndarray | slice | int = slice(None)
) -> tuple[np.ndarray, np.ndarray]:
    """Return the observations and actions of some windows, in pixels and radians."""
    return (
        unnormalize_data(dataset.obs[windows].numpy(), dataset.stats["obs"]),
        unnormalize_data(dataset.action[windows].numpy(), dataset.stats["action"]),
    )


def find_crossroads(dataset: PushTStateDataset, count: int = 6) -> Crossroads:
    """Return the window from which demonstrations go two ways most clearly, and the nearest windows
    of other episodes: `count` in total, or fewer if there are fewer episodes.
    """
    if not len(dataset):
        raise ValueError("The dataset has no windows.")
    return max(each_crossroads(dataset, count), key=lambda found: found.clarity - found.reach)


def many_crossroads(dataset: PushTStateDataset, most: int) -> list[Crossroads]:
    """Return up to `most` crossroads with ways that part, the clearest first; their states are at
    least 40 px from each other (positions, and the angle as the path of the T's ends).
    """
    places, found = _places(dataset), list[Crossroads]()
    for one in sorted(each_crossroads(dataset), key=lambda one: one.reach - one.clarity):
        if one.parted and len(found) < most:
            others = places[[other.windows[0] for other in found]]
            apart = torch.linalg.vector_norm(others - places[one.windows[0]], dim=1)
            if (apart > _ELSEWHERE).all():
                found.append(one)
    return found


def each_crossroads(dataset: PushTStateDataset, count: int = 6) -> Iterator[Crossroads]:
    """Yield, for some 3,000 windows spread over the dataset, the window with the nearest windows of
    other episodes: `count` in total.
    """
    action = in_pixels(dataset)[1]
    places = _places(dataset)
    episode = episode_of_window(dataset)
    names, starts = np.unique(episode, return_index=True)
    ends = [*starts[1:], len(episode)]
    others = min(count, len(names)) - 1
    for some in torch.arange(0, len(places), max(1, len(places) // _SAMPLES)).split(256):
        # The faster method, a matrix product, is too inexact for windows that are near.
        exact = "donot_use_mm_for_euclid_dist"
        distances = torch.cdist(places[some], places, compute_mode=exact).numpy()
        nearest = np.minimum.reduceat(distances, starts, axis=1)
        for i, row, each in zip(some.tolist(), distances, nearest, strict=True):
            each[np.searchsorted(names, episode[i])] = np.inf
            chosen = np.argsort(each, kind="stable")[:others]
            nearby = (starts[e] + row[starts[e] : ends[e]].argmin() for e in chosen)
            windows = np.array([i, *nearby])
            second, clarity = two_clusters(action[windows])
            yield Crossroads(windows, second, float(each[chosen].max(initial=0)), clarity)


def _places(dataset: PushTStateDataset) -> torch.Tensor:
    """Return a point for each window; the distance between two measures how their states differ
    [px].
    """
    obs = in_pixels(dataset)[0]
    # The angles 0 and 2π are the same.
    angle = _LEVER * np.stack([np.cos(obs[..., 4]), np.sin(obs[..., 4])], axis=-1)
    places = np.concatenate([obs[..., :4], angle], axis=-1) / math.sqrt(obs.shape[1])
    return torch.from_numpy(places).float().flatten(1)


def two_clusters(chunks: np.ndarray) -> tuple[np.ndarray, float]:
    """Divide chunks (N, Tp, 2) into two clusters, as k-means does, along the direction in which
    they differ most.

    Returns whether each chunk is in the second cluster, (N,) bool, False for the first chunk; and
    how clearly the clusters are separated [px]: the smallest distance of a chunk from the mean of
    all, minus the typical distance of a chunk from the mean of its cluster, both per action.
    """
    if len(chunks) < 2:
        return np.zeros(len(chunks), bool), -math.inf
    flat = np.asarray(chunks, np.float64).reshape(len(chunks), -1)
    centred = flat - flat.mean(axis=0)
    along = centred @ np.linalg.eigh(centred.T @ centred)[1][:, -1]
    ordered, few = np.sort(along), 2 if len(chunks) > 3 else 1
    before = np.arange(few, len(chunks) - few + 1)  # possible sizes of the lower cluster
    cut = before[(np.cumsum(ordered)[before - 1] ** 2 / (before * (len(chunks) - before))).argmax()]
    second = along > ordered[cut - 1]
    second ^= second[0]
    clusters = [flat[way] for way in (second, ~second) if way.any()]
    spread = np.concatenate([cluster - cluster.mean(axis=0) for cluster in clusters])
    steps = flat.shape[1] // 2
    apart = np.sqrt(np.square(centred).sum(axis=1).min() / steps)
    return second, float(apart - np.sqrt(np.square(spread).sum(axis=1).mean() / steps))


def second_way(chunks: np.ndarray) -> np.ndarray:
    """Return whether each chunk (N, K, 2) goes a second way, (N,) bool: none does where the two
    clusters have no gap that is wider than the agent's radius.
    """
    second, _ = two_clusters(chunks)
    if not second.any():
        return second
    flat = np.asarray(chunks, np.float64).reshape(len(chunks), -1)
    across = flat[second].mean(axis=0) - flat[~second].mean(axis=0)
    along = flat @ across / np.linalg.norm(across)
    gap = (along[second].min() - along[~second].max()) / math.sqrt(flat.shape[1] // 2)
    return second & (gap > AGENT_RADIUS)


def episode_of_window(dataset: PushTStateDataset) -> np.ndarray:
    """Return the episode (N,) of each window.

    The number of windows minus the length is assumed to be the same for every episode.
    """
    lengths = np.diff(dataset.demonstrations.episode_ends, prepend=0)
    reach = dataset.obs.shape[1] + dataset.action.shape[1]
    for beyond in range(-reach, reach):
        counts = np.maximum(lengths + beyond, 0)
        if counts.sum() == len(dataset):
            return np.repeat(np.arange(len(lengths)), counts)
    raise ValueError(f"The {len(dataset)} windows cannot be assigned to episodes.")
