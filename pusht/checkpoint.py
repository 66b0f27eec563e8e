"""Checkpoints: the file that a training run hands in.

It is one safetensors file. It contains the weights and, in its header, how they were trained.
Reading it executes no code, so a checkpoint from a stranger can be opened safely.
"""

import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.torch
import torch
from torch import nn

from pusht.files import write_whole
from pusht.machine import is_of_machine
from pusht.normalisation import RANGE, Stats

__all__ = [
    "MAX_BYTES",
    "SUFFIX",
    "Checkpoint",
    "CheckpointError",
    "describe",
    "load_checkpoint",
]

SUFFIX = ".safetensors"
MAX_BYTES = 64 * 2**20  # the largest network of the kit takes 12 MB
_MAX_HEADER = 8 * 2**20  # bytes; thousands of epochs take less than one
_MAX_DIMENSIONS = 8  # of a weight
_MAX_NUMBER = 2**64  # of epochs, and of a seed
_COMPILED, _PARALLEL = "_orig_mod.", "module."  # in names of weights, see `unwrapped`
_KEY = "pusht_checkpoint"
_SIZES = {"obs": 5, "action": 2}
_DTYPES = {torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.int64, torch.bool}


class CheckpointError(ValueError):
    """Raised when a checkpoint cannot be used; the message says why in one sentence."""


@dataclass(frozen=True)
class Checkpoint:
    """The result of a training run, as it is handed in.

    weights: {name: tensor}, the weights for inference; averaged ones if the run kept an average.
    stats: statistics for the normalisation, float32 arrays: {"obs": {"min", "max"},
        "action": {"min", "max"}}; in Part IV "mean" and "std".
    losses: the mean loss of each epoch so far; in Part IV each logged loss.
    num_epochs: number of epochs planned.
    demonstrations: fingerprint of the demonstrations.
    seed: seed of the training run.
    config: further settings, such as those of `describe`.
    run_id: id of the training run, see `new_run_id`.
    trained_at: time at which the run last saved, ISO 8601 in UTC.

    In older files the last two are missing; they are then "".
    """

    weights: dict[str, torch.Tensor]
    stats: Stats
    losses: list[float]
    num_epochs: int
    demonstrations: str
    seed: int
    config: dict[str, Any]
    run_id: str = ""
    trained_at: str = ""

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the file, completely or not at all."""
        header: dict[str, Any] = {
            name: getattr(self, name)
            for name in ("losses", "num_epochs", "demonstrations", "seed", "config")
        }
        header |= {n: v for n in ("run_id", "trained_at") if (v := getattr(self, n))}
        header["stats"] = {
            what: {name: np.asarray(values).tolist() for name, values in stats.items()}
            for what, stats in self.stats.items()
        }
        # Copies: modules that share a weight each keep it, as safetensors holds no shared memory.
        weights = {
            name: weight.detach().cpu().clone(memory_format=torch.contiguous_format)
            for name, weight in unwrapped(self.weights).items()
        }
        text = json.dumps(as_plain(header))
        write_whole(path, safetensors.torch.save(weights, metadata={_KEY: text}))

    def restore(self, model: nn.Module) -> None:
        """Load the weights into `model`; CheckpointError if its architecture differs."""
        own, given = unwrapped(model.state_dict()), unwrapped(self.weights)
        wrong = [
            name
            for name in own.keys() | given.keys()
            if name not in own
            or name not in given
            or not (is_lazy(own[name]) or own[name].shape == given[name].shape)
        ]
        if wrong:
            raise CheckpointError(
                "The checkpoint belongs to another architecture than the"
                f" {describe(model)['model']} of the notebook: {len(wrong)} of its arrays do not"
                f" fit, {min(wrong)!r} among them."
            )
        load_weights(model, given)


def unwrapped(weights: Mapping[str, Any]) -> dict[str, Any]:
    """Return what has these names of weights by the names that it has in the network itself:
    without those that `torch.compile` and `nn.DataParallel` add, in the same order.
    """
    plain = {name.replace(_COMPILED, ""): weight for name, weight in weights.items()}
    if plain and all(name.startswith(_PARALLEL) for name in plain):
        plain = {name.removeprefix(_PARALLEL): weight for name, weight in plain.items()}
    return plain


def load_weights(model: nn.Module, weights: Mapping[str, torch.Tensor]) -> None:
    """Load weights into a network, whether or not either of them was compiled (see `unwrapped`)."""
    names = [*model.state_dict()]
    own = dict(zip(unwrapped(dict.fromkeys(names)), names))
    model.load_state_dict({own.get(name, name): w for name, w in unwrapped(weights).items()})


def is_lazy(weight: torch.Tensor) -> bool:
    """Return whether a weight has no shape yet, as in `nn.LazyLinear` before its first call."""
    return nn.parameter.is_lazy(weight)


def as_plain(value: Any) -> Any:
    """Return a value with Python's own numbers in place of numpy's, also inside dicts and lists."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, dict):
        return {as_plain(name): as_plain(each) for name, each in value.items()}
    if type(value) in (list, tuple):
        return type(value)(as_plain(each) for each in value)
    return value


def new_run_id() -> str:
    """Return a random id for a training run, without using the generators of the training."""
    return secrets.token_hex(8)


def now() -> str:
    """Return the current time as ISO 8601 in UTC, such as "2026-01-19T16:15:12+00:00"."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def describe(model: nn.Module) -> dict[str, Any]:
    """Return the description of a network for a checkpoint: its class and, where its weights have
    their shapes, its parameter count.
    """
    model = getattr(model, "_orig_mod", model)  # the module that torch.compile wrapped
    name, parameters = {"model": type(model).__name__}, [*model.parameters()]
    if any(map(is_lazy, parameters)):
        return name
    return {**name, "parameters": sum(p.numel() for p in parameters)}


def load_checkpoint(
    path: str | os.PathLike[str], normalisation: tuple[str, str] = RANGE
) -> Checkpoint:
    """Read a `Checkpoint` whose statistics follow this convention: RANGE or, in Part IV, MOMENTS.

    Raises CheckpointError when the file is missing, damaged, too large or not a checkpoint of the
    kit.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(
            f"There is no {path.name}: train, and hand it in beside the notebook."
        )
    if path.stat().st_size > MAX_BYTES:
        raise CheckpointError(
            f"{path.name} is larger than {MAX_BYTES >> 20} MB, which no network of this course is."
        )
    try:
        checkpoint = _read(path, normalisation)
    except CheckpointError:
        raise
    except safetensors.SafetensorError as error:
        if is_of_machine(error):
            raise
        raise CheckpointError(
            f"{path.name} is not a whole safetensors file ({error}): train again, or copy it again."
        ) from None
    except (
        KeyError,
        TypeError,
        ValueError,
        AttributeError,
        OverflowError,
        RuntimeError,  # of torch, and of what is nested too deeply
    ) as error:
        if is_of_machine(error):
            raise
        raise CheckpointError(
            f"{path.name} was not written by a TrainingRun or an evaluation of this kit "
            f"({type(error).__name__}: {error})."
        ) from None
    if problem := _problem(checkpoint):
        raise CheckpointError(f"{path.name} holds {problem}")
    return checkpoint


def _read(path: Path, normalisation: tuple[str, str]) -> Checkpoint:
    with open(path, "rb") as begin:
        if _MAX_HEADER < int.from_bytes(begin.read(8), "little") < path.stat().st_size:
            raise CheckpointError(
                f"{path.name} has a header of more than {_MAX_HEADER >> 20} MB, which no training"
                " of this course writes."
            )
    with safetensors.safe_open(path, framework="pt") as file:
        header = json.loads((file.metadata() or {})[_KEY])
        names = [*file.keys()]
        for shape in (file.get_slice(name).get_shape() for name in names):
            if len(shape) > _MAX_DIMENSIONS or 0 in shape:
                raise CheckpointError(
                    f"{path.name} holds weights of a shape that no network of this course has."
                )
        weights = {name: file.get_tensor(name) for name in names}
    with np.errstate(over="ignore"):  # what overflows becomes infinite, and is reported as such
        stats = {
            what: {
                name: np.array(header["stats"][what][name], dtype=np.float32)
                for name in normalisation
            }
            for what in ("obs", "action")
        }
    return Checkpoint(
        weights,
        stats,
        [float(loss) for loss in header["losses"]],
        int(header["num_epochs"]),
        str(header["demonstrations"]),
        int(header["seed"]),
        dict(header["config"]),
        str(header.get("run_id", "")),
        str(header.get("trained_at", "")),
    )


def _problem(checkpoint: Checkpoint) -> str | None:
    """Return why the content of a checkpoint cannot be used, or None if it can."""
    for what, stats in checkpoint.stats.items():
        low, high = stats.values() if "min" in stats else (0, stats["std"])
        if (
            any(v.shape != (_SIZES[what],) or not np.isfinite(v).all() for v in stats.values())
            or not (low < high).all()
        ):
            return f"no usable {' and '.join(stats)} of the {what}s: train again."
    if not 0 <= checkpoint.num_epochs <= _MAX_NUMBER or abs(checkpoint.seed) > _MAX_NUMBER:
        return "a number of epochs or a seed that no training has."
    if not np.isfinite(checkpoint.losses).all():
        return "losses that are not finite: the training diverged."
    weights = checkpoint.weights.values()
    if not all(w.dtype in _DTYPES for w in weights):
        return "weights of a type that no network of this course has."
    if not all(torch.isfinite(w).all() for w in weights):
        return "weights that are not finite: the training diverged."
    return None
