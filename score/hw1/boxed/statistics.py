"""Find the statistics of a normaliser in the various forms in which students save them."""

import json
from collections.abc import Iterable, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pusht.normalisation import MOMENTS

# The names under which a checkpoint may contain its normaliser.
_KEYS = ("normalizer", "normaliser", "normalization", "stats", "statistics")
# {kind: (number of features, the names that a normaliser may use for it)}
_VALUES = {"obs": (5, ("state", "obs", "observation")), "action": (2, ("action", "actions"))}


def find_stats(found: Any) -> dict[str, dict[str, Any]] | None:
    """Return {"obs": {"mean", "std"}, "action": …} of a normaliser, which may be an object or a
    mapping, or of a checkpoint that contains one; None if there is none. The least and the largest
    values stand for a normaliser to [-1, 1].
    """
    if isinstance(found, torch.nn.Module) or found is None:
        return None
    values = found if isinstance(found, Mapping) else getattr(found, "__dict__", {})
    stats = {
        what: {moment: _moment(values, names, moment) for moment in MOMENTS}
        | _of_range(*(_moment(values, names, end) for end in ("min", "max")))
        for what, (_, names) in _VALUES.items()
    }
    if all(_fits(stats[what], size) for what, (size, _) in _VALUES.items()):
        return stats
    inside = (find_stats(values[key]) for key in _KEYS if key in values)
    return next((inner for inner in inside if inner), None)


def read_json(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file, or {} if it contains none."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays in a .npz file without unpickling any; {} if it cannot be read."""
    try:
        with open(path, "rb") as stream, np.load(stream, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except Exception:  # damaged bytes can raise anything, a lack of memory included
        return {}


def _moment(values: Mapping[str, Any], names: Iterable[str], moment: str) -> Any:
    """Return values["state_mean"] or values["state"]["mean"], whichever name there is."""
    flat = (values.get(f"{name}_{moment}") for name in names)
    nested = (_inside(values.get(name), moment) for name in names)
    return next((v for v in chain(flat, nested) if v is not None and not callable(v)), None)


def _of_range(least: Any, largest: Any) -> dict[str, Any]:
    """Return the mean and the standard deviation that scale a range to [-1, 1]; {} without one."""
    try:
        low, high = (np.asarray(end, dtype=np.float64) for end in (least, largest))
        return {"mean": (low + high) / 2, "std": (high - low) / 2} if low.ndim else {}
    except (TypeError, ValueError, RuntimeError):
        return {}


def _inside(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, Mapping) else getattr(value, name, None)


def _fits(moments: Mapping[str, Any], size: int) -> bool:
    try:
        with np.errstate(over="ignore"):  # what is too large for float32 is infinite
            mean, std = (np.asarray(moments[name], dtype=np.float32) for name in MOMENTS)
    except (TypeError, ValueError, RuntimeError):
        return False
    return (
        mean.shape == std.shape == (size,)
        and bool(np.isfinite([mean, std]).all())
        and bool((std > 0).all())
    )
