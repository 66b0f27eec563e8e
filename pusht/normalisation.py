"""Normalise states and actions, feature by feature, in two conventions.

Parts I to III scale each feature by its range to [-1, 1]. Part IV uses its moments and gives it
mean 0 and standard deviation 1. The names of the statistics say which convention applies.
"""

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

import numpy as np
import torch

RANGE, MOMENTS = ("min", "max"), ("mean", "std")

# {"min", "max"} or {"mean", "std"}: arrays (D,), a number for each feature.
FeatureStats = Mapping[str, np.ndarray]
# {"obs": statistics of 5 features, "action": statistics of 2 features}, both of one convention.
Stats = Mapping[str, FeatureStats]
Data = TypeVar("Data", np.ndarray, torch.Tensor)


def get_data_stats(data: np.ndarray) -> dict[str, np.ndarray]:
    """Return the range {"min": (D,), "max": (D,)} of each feature of data (…, D), in float32.

    A feature that never changes gets a range of 1 to both sides, so it becomes 0 when normalised.
    """
    data = np.asarray(data, dtype=np.float32).reshape(-1, np.shape(data)[-1])
    low, high = data.min(axis=0), data.max(axis=0)
    beside = (low == high).astype(np.float32)
    return {"min": low - beside, "max": high + beside}


def get_data_moments(data: np.ndarray) -> dict[str, np.ndarray]:
    """Return {"mean": (D,), "std": (D,)} of data (N, D), in float64.

    A feature that never changes gets the standard deviation 1, so it becomes 0 when normalised.
    """
    data = np.asarray(data, dtype=np.float64)
    std = data.std(axis=0)
    return {"mean": data.mean(axis=0), "std": np.where(std > 0, std, 1)}


def normalize_data(data: Data, stats: FeatureStats) -> Data:
    """Return data (…, D), an array or a tensor, normalised in the convention of `stats`."""
    first, second = _like(data, stats)
    if _convention(stats) == RANGE:
        return (data - first) / (second - first) * 2 - 1
    return (data - first) / second


def unnormalize_data(ndata: Data, stats: FeatureStats) -> Data:
    """Undo `normalize_data`: return `ndata` (…, D) in its original units."""
    first, second = _like(ndata, stats)
    if _convention(stats) == RANGE:
        return (ndata + 1) / 2 * (second - first) + first
    return ndata * second + first


def _convention(stats: FeatureStats) -> tuple[str, str]:
    return RANGE if "min" in stats else MOMENTS


def _like(data: np.ndarray | torch.Tensor, stats: FeatureStats) -> Iterable[Any]:
    """Return both statistics, as tensors of the data's type and device if it is a tensor."""
    values = [stats[name] for name in _convention(stats)]
    if isinstance(data, torch.Tensor):
        return [torch.as_tensor(v, dtype=data.dtype, device=data.device) for v in values]
    return values


class Normalizer:
    """A normaliser of states and actions by the mean and standard deviation of each feature.

    stats: {"obs": {"mean", "std"}, "action": {"mean", "std"}}, stored as float32 arrays (5,) and
        (2,). `Normalizer(stats)` restores a normaliser, also from lists.

    The methods take arrays or tensors (…, D) and return the same kind.
    """

    def __init__(self, stats: Mapping[str, Mapping[str, Any]]) -> None:
        self.stats: dict[str, dict[str, np.ndarray]] = {
            what: {name: np.asarray(stats[what][name], dtype=np.float32) for name in MOMENTS}
            for what in ("obs", "action")
        }

    @classmethod
    def from_data(cls, states: np.ndarray, actions: np.ndarray) -> "Normalizer":
        """Return the normaliser that gives these states (N, 5) and actions (N, 2) mean 0 and
        standard deviation 1.
        """
        return cls({"obs": get_data_moments(states), "action": get_data_moments(actions)})

    def normalize_state(self, state: Data) -> Data:
        """Return the states (…, 5) [px, rad] normalised."""
        return normalize_data(state, self.stats["obs"])

    def normalize_action(self, action: Data) -> Data:
        """Return the actions (…, 2) [px] normalised."""
        return normalize_data(action, self.stats["action"])

    def denormalize_action(self, action: Data) -> Data:
        """Return normalised actions (…, 2) in pixels."""
        return unnormalize_data(action, self.stats["action"])
