"""Demonstrations -> windows of observations and actions, scaled to [-1, 1] -> batches.

A window starts at every step of every episode. Where it reaches beyond the episode's first or last
step, that step is
repeated: the robot stood still before the beginning and stays where it is after the end.
"""

import numpy as np
import torch

from pusht import demos


class PushTStateDataset(torch.utils.data.Dataset):
    """Windows over demonstrations; `dataset[i]` is {"obs": (obs_horizon, 5), "action":
    (pred_horizon, 2)}, float32 in [-1, 1].

    dataset_path: what `demos.open` takes, or what it returned.
    pred_horizon: actions in a window; obs_horizon: observations, the first of them at the time of
    the first action;
    action_horizon: actions that will be executed, so that a window may reach action_horizon - 1
    steps past the end.

    stats: {"obs": {"min", "max"}, "action": {"min", "max"}}, the range of each dimension over all
    demonstrations.
    obs, action: all windows as tensors, (N, obs_horizon, 5) and (N, pred_horizon, 2).
    """

    def __init__(self, dataset_path, pred_horizon, obs_horizon, action_horizon):
        self.demonstrations = (
            dataset_path
            if isinstance(dataset_path, demos.Demonstrations)
            else demos.open(dataset_path)
        )
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

    def __len__(self):
        return len(self.obs)

    def __getitem__(self, i):
        return {"obs": self.obs[i], "action": self.action[i]}


def window_steps(episode_ends, length, *, pad_before, pad_after):
    """(N, length) int64: the step that each place of each window shows, all windows of all episodes
    in order.
    """
    windows, start = [], 0
    for end in episode_ends:
        first = np.arange(start - pad_before, end - length + pad_after + 1)
        windows.append(np.clip(first[:, None] + np.arange(length), start, end - 1))
        start = end
    return np.concatenate(windows)


class WindowLoader:
    """Shuffled batches of a dataset such as `PushTStateDataset`, cut from windows that lie on
    `device` as a whole.

    The batches are those of `DataLoader(dataset, batch_size, shuffle=True, drop_last=drop_last,
    generator=torch.Generator().manual_seed(seed))`, without its cost per sample: on this dataset a
    batch takes a twentieth of the time. `dataset[:]` has to give all windows, as a dict or a tuple
    of tensors.
    """

    def __init__(self, dataset, batch_size=256, seed=0, device="cpu", drop_last=False):
        self.dataset = dataset
        self.batch_size = batch_size
        self.generator = torch.Generator().manual_seed(seed)
        self.windows = _each(dataset[:], lambda windows: windows.to(device))
        self._indices = torch.utils.data.DataLoader(
            range(len(dataset)),
            batch_size,
            shuffle=True,
            generator=self.generator,
            drop_last=drop_last,
            collate_fn=lambda indices: torch.tensor(indices, device=device),
        )

    def __len__(self):
        return len(self._indices)

    def __iter__(self):
        for indices in self._indices:
            yield _each(self.windows, lambda windows: windows[indices])


def _each(batch, change):
    if isinstance(batch, dict):
        return {name: change(tensor) for name, tensor in batch.items()}
    return tuple(change(tensor) for tensor in batch)


def get_data_stats(data):
    """{"min": (D,), "max": (D,)} of data (…, D), float32."""
    data = np.asarray(data, dtype=np.float32).reshape(-1, np.shape(data)[-1])
    return {"min": data.min(axis=0), "max": data.max(axis=0)}


def normalize_data(data, stats):
    """Scale data (…, D), array or tensor, from [min, max] to [-1, 1]."""
    low, high = _range(data, stats)
    return (data - low) / (high - low) * 2 - 1


def unnormalize_data(ndata, stats):
    """Undo `normalize_data`."""
    low, high = _range(ndata, stats)
    return (ndata + 1) / 2 * (high - low) + low


def _range(data, stats):
    if isinstance(data, torch.Tensor):
        return (
            torch.as_tensor(stats[end], dtype=data.dtype, device=data.device)
            for end in ("min", "max")
        )
    return stats["min"], stats["max"]
