"""The hand-in file of a training run: one safetensors file with the weights and, in its header,
what they were trained on.

Nothing in it is executed when it is read, whoever wrote it.
"""

import json
import os
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import safetensors
import safetensors.torch
import torch

SUFFIX = ".safetensors"
MAX_BYTES = 64 * 2**20  # the largest network of the kit is 12 MB
_KEY = "pusht_checkpoint"
_SIZES = {"obs": 5, "action": 2}
RANGE, MOMENTS = ("min", "max"), ("mean", "std")  # the two kinds of normalisation
_DTYPES = {torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.int64, torch.bool}


class CheckpointError(ValueError):
    """A checkpoint that cannot be used, and why, in one sentence."""


@dataclass(frozen=True)
class Checkpoint:
    """What a training run hands in.

    weights: name -> tensor, those that inference uses (the averaged ones where the run kept an
    average).
    stats: of the normalisation, float32 arrays: {"obs": {"min", "max"}, "action": {"min", "max"}},
    in part IV "mean" and "std".
    losses: mean loss of each epoch so far, in part IV each loss that was logged. num_epochs: epochs
    planned.
    demonstrations: fingerprint of the demonstrations. seed: of the training. config: settings worth
    knowing.
    run_id: of the training run, see `new_run_id`; trained_at: when it last saved, ISO 8601 in UTC.
    Both are "" where they are not known: older files have neither.
    """

    weights: dict
    stats: dict
    losses: list
    num_epochs: int
    demonstrations: str
    seed: int
    config: dict
    run_id: str = ""
    trained_at: str = ""

    def save(self, path):
        """Write the file beside `path` and rename it, so that no half of it is ever seen."""
        header = {
            name: getattr(self, name)
            for name in ("losses", "num_epochs", "demonstrations", "seed", "config")
        }
        header |= {n: v for n in ("run_id", "trained_at") if (v := getattr(self, n))}
        header["stats"] = {
            what: {end: np.asarray(a).tolist() for end, a in ends.items()}
            for what, ends in self.stats.items()
        }
        weights = {name: w.detach().cpu().contiguous() for name, w in self.weights.items()}
        part = Path(f"{path}.part")
        part.write_bytes(safetensors.torch.save(weights, metadata={_KEY: json.dumps(header)}))
        os.replace(part, path)

    def restore(self, model):
        """Load the weights into `model`; CheckpointError when they are another architecture's."""
        own = model.state_dict()
        wrong = [
            name
            for name in own.keys() | self.weights.keys()
            if name not in own
            or name not in self.weights
            or own[name].shape != self.weights[name].shape
        ]
        if wrong:
            raise CheckpointError(
                f"The checkpoint belongs to another architecture than the {type(model).__name__} of"
                f" the notebook: {len(wrong)} of its arrays do not fit, {min(wrong)!r} among them."
            )
        model.load_state_dict(self.weights)


def new_run_id() -> str:
    """Return a random id for a training run; no generator that training uses is touched."""
    return secrets.token_hex(8)


def now() -> str:
    """Return the time as ISO 8601 in UTC, such as "2026-01-19T16:15:12+00:00"."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def load_checkpoint(path, normalisation=RANGE):
    """Read a `Checkpoint` whose stats are of this kind, RANGE or (part IV) MOMENTS.

    CheckpointError when it is missing, damaged, too large or not one of the kit's.
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
        with safetensors.safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {})[_KEY])
            weights = {name: file.get_tensor(name) for name in file.keys()}
        with np.errstate(over="ignore"):  # what overflows becomes infinite, and is reported as such
            stats = {
                what: {
                    name: np.array(header["stats"][what][name], dtype=np.float32)
                    for name in normalisation
                }
                for what in ("obs", "action")
            }
        checkpoint = Checkpoint(
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
    except safetensors.SafetensorError as error:
        raise CheckpointError(
            f"{path.name} is not a whole safetensors file ({error}): train again, or copy it again."
        ) from None
    except (
        KeyError,
        TypeError,
        ValueError,
        AttributeError,
        OverflowError,
        RecursionError,
    ) as error:
        raise CheckpointError(
            f"{path.name} was not written by a TrainingRun or an evaluation of this kit "
            f"({type(error).__name__}: {error})."
        ) from None
    for what, values in stats.items():
        low, high = values.values() if normalisation == RANGE else (0, values["std"])
        if (
            any(v.shape != (_SIZES[what],) or not np.isfinite(v).all() for v in values.values())
            or not (low < high).all()
        ):
            raise CheckpointError(
                f"{path.name} holds no usable {' and '.join(normalisation)} of the {what}s: train"
                " again."
            )
    if not np.isfinite(checkpoint.losses).all():
        raise CheckpointError(
            f"{path.name} holds losses that are not finite: the training diverged."
        )
    if not all(w.dtype in _DTYPES for w in weights.values()):
        raise CheckpointError(
            f"{path.name} holds weights of a type that no network of this course has."
        )
    if not all(torch.isfinite(w).all() for w in weights.values()):
        raise CheckpointError(
            f"{path.name} holds weights that are not finite: the training diverged."
        )
    return checkpoint
