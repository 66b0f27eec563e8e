"""What is in a checkpoint: a model, the weights of one, an average of them, settings."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch

from score.hw1.boxed import eager
from score.hw1.loaded import AVERAGES, is_average

# The names under which a checkpoint may contain a model or its weights. Who keeps an average of the
# weights (`AVERAGES`) evaluates the policy with it, so those names are looked for first.
_MODEL_KEYS = (
    *AVERAGES,
    "policy",
    "model",
    "state_dict",
    "model_state_dict",
    "policy_state_dict",
    "model_state",
    "net",
    "network",
    "weights",
)
_NO_MODELS = re.compile(r"optim|sched|scaler|norm|stat(?!e)|config|param|arg", re.IGNORECASE)
_SETTINGS = re.compile(r"config|cfg|param|arg|settings", re.IGNORECASE)
_PLAIN = (int, float, str, list, tuple, type(None))
_MOST_ITEMS = 20  # of a sequence


def model_in(found: Any, depth: int = 6) -> Any:
    """Return the nn.Module in a file's content, or the dict of its weights, down to this depth in
    mappings, sequences and objects; None if there is neither.
    """
    if isinstance(found, torch.jit.ScriptModule):
        return found if _acts(found) else dict(found.state_dict())
    if isinstance(found, torch.nn.Module):
        return _acting(eager.unwrapped(found))
    if isinstance(found, Mapping):
        if weights := _weights(found):
            return weights
        inside: Iterable[Any] = (found[key] for key in _keys(found))
    elif isinstance(found, list | tuple):
        inside = found[:_MOST_ITEMS]
    else:
        values = {} if isinstance(found, type) else getattr(found, "__dict__", {})
        inside = (values[key] for key in _keys(values))
    if not depth:
        return None
    models = (model_in(one, depth - 1) for one in inside)
    return next((model for model in models if model is not None), None)


def settings_in(found: Any) -> dict[str, Any]:
    """Return the settings that a checkpoint keeps beside its model: numbers, words and lists."""
    if not isinstance(found, Mapping):
        return {}
    groups = [value for key, value in found.items() if _SETTINGS.search(str(key))]
    settings: dict[str, Any] = {}
    for group in groups:
        values = group if isinstance(group, Mapping) else getattr(group, "__dict__", {})
        inner = [value for value in values.values() if isinstance(value, Mapping)]
        for one in (*inner, values):
            settings |= {str(k): v for k, v in one.items() if isinstance(v, _PLAIN)}
    return settings


def _acts(module: torch.nn.Module) -> bool:
    return callable(getattr(module, "sample_actions", None))


def _acting(module: torch.nn.Module) -> torch.nn.Module:
    """Return the policy in a module that may only hold it, as DataParallel and agents do: of
    several an average of the weights first.
    """
    policies = [(name, one) for name, one in module.named_modules() if _acts(one)]
    policies.sort(key=lambda row: not is_average(row[0].rpartition(".")[2]))
    inner = getattr(module, "module", None)
    if policies and not _acts(module):
        return policies[0][1]
    return inner if isinstance(inner, torch.nn.Module) and not policies else module


def _weights(found: Mapping[Any, Any]) -> dict[str, torch.Tensor]:
    """Return the weights that a mapping consists of, which may be NumPy's arrays; {} if it does
    not.
    """
    kinds = {type(value) for value in found.values()}
    if not found or not all(issubclass(kind, torch.Tensor | np.ndarray) for kind in kinds):
        return {}
    return {str(key): torch.as_tensor(value) for key, value in found.items()}


def _keys(found: Mapping[Any, Any]) -> list[Any]:
    """Return the keys of a checkpoint under which there may be a model, the likeliest first."""
    known = [key for key in _MODEL_KEYS if key in found]
    more = [key for key in found if key not in known and not _NO_MODELS.search(str(key))]
    return known + more


def average_in(found: Any) -> str:
    """Return the name of the average of the weights that is graded of a checkpoint, or ""."""
    if not isinstance(found, Mapping) or all(isinstance(v, torch.Tensor) for v in found.values()):
        return ""
    used = next((key for key in _keys(found) if model_in(found[key]) is not None), "")
    return used if used in AVERAGES else ""
