"""Training windows of observations and actions, cut from demonstrations and scaled to [-1, 1].

A window starts at every step of every episode. Where it reaches beyond the first or the last step
of its episode, that step is repeated, as if the robot stood still before and after the episode.
"""

import operator
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch

from pusht import demos
from pusht.normalisation import get_data_stats, normalize_data


class PushTStateDataset(torch.utils.data.Dataset[dict[str, torch.Tensor]]):
    """The training windows of a set of demonstrations.

    `dataset[i]` is {"obs": (obs_horizon, 5), "action": (pred_horizon, 2)}, float32 in [-1, 1].

    dataset_path: an argument of `demos.open`, or the `Demonstrations` that it returned.
    pred_horizon: number of actions in a window.
    obs_horizon: number of observations in a window; the first is at the time of the first action.
    action_horizon: number of actions that will be executed; a window may reach action_horizon - 1
        steps past the end.

    stats: {"obs": {"min", "max"}, "action": {"min", "max"}}, the range of each feature over all
        demonstrations.
    obs, action: all windows as tensors, (N, obs_horizon, 5) and (N, pred_horizon, 2).
    """

    def __init__(
        self,
        dataset_path: str | os.PathLike[str] | demos.Demonstrations | None,
        pred_horizon: int,
        obs_horizon: int,
        action_horizon: int,
    ) -> None:
        if isinstance(dataset_path, demos.Demonstrations):
            self.demonstrations = dataset_path
        else:
            self.demonstrations = demos.open(dataset_path)
        states, actions = self.demonstrations.states, self.demonstrations.actions
        self.stats = {"obs": get_data_stats(states), "action": get_data_stats(actions)}
        steps = window_steps(
            self.demonstrations.episode_ends,
            pred_horizon,
            pad_before=obs_horizon - 1,
            pad_after=action_horizon - 1,
        )
        self.obs = torch.from_numpy(
            normalize_data(states, self.stats["obs"])[steps[:, :obs_horizon]]
        )
        self.action = torch.from_numpy(normalize_data(actions, self.stats["action"])[steps])

    def __len__(self) -> int:
        return len(self.obs)

    def __getitem__(self, i: Any) -> dict[str, torch.Tensor]:
        return {"obs": self.obs[i], "action": self.action[i]}


def window_steps(
    episode_ends: Sequence[int] | np.ndarray, length: int, *, pad_before: int, pad_after: int
) -> np.ndarray:
    """Return the steps (N, length) int64 of each window, for all windows of all episodes in order.

    pad_before, pad_after: number of steps by which a window may reach beyond its episode.
    """
    windows, start = [], 0
    for end in episode_ends:
        first = np.arange(start - pad_before, end - length + pad_after + 1)
        windows.append(np.clip(first[:, None] + np.arange(length), start, end - 1))
        start = end
    return np.concatenate(windows)


class WindowLoader:
    """Shuffled batches of a dataset such as `PushTStateDataset`, with all windows on `device`.

    The batches are those of `DataLoader(dataset, batch_size, shuffle=True, drop_last=drop_last,
    generator=torch.Generator().manual_seed(seed))`, but without its cost per sample: on this
    dataset a batch takes a twentieth of the time. `dataset[:]` must return all windows, as a dict
    or a tuple of tensors.
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int = 256,
        seed: int = 0,
        device: str | torch.device = "cpu",
        drop_last: bool = False,
    ) -> None:
        self.dataset = dataset
        self.batch_size = operator.index(batch_size)  # numpy's are no batch sizes for torch
        self.generator = torch.Generator().manual_seed(operator.index(seed))
        self.windows = _map_tensors(dataset[:], lambda windows: windows.to(device))
        self._indices: torch.utils.data.DataLoader[Any] = torch.utils.data.DataLoader(
            range(len(dataset)),  # type: ignore[arg-type]
            self.batch_size,
            shuffle=True,
            generator=self.generator,
            drop_last=drop_last,
            collate_fn=lambda indices: torch.tensor(indices, device=device),
        )

    def __len__(self) -> int:
        return len(self._indices)

    def __iter__(self) -> Iterator[Any]:
        for indices in self._indices:
            yield _map_tensors(self.windows, lambda windows: windows[indices])  # noqa: B023


def _map_tensors(batch: Any, change: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    if isinstance(batch, dict):
        return {name: change(tensor) for name, tensor in batch.items()}
    return tuple(change(tensor) for tensor in batch)
