"""Compare loss curves with the references, which are in `losses/` for the human demonstrations, in
`losses/shipped/` for the kit's own and in `losses/earlier/` for those that it shipped before.
"""

import io
import json
import os
import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pusht import demos, resources
from pusht.checkpoint import Checkpoint
from score import rubric

FOLDER = resources.path("losses")

Folder = str | os.PathLike[str]


@dataclass(frozen=True)
class LossReference:
    """The reference loss of each epoch: the median of right solutions with several training seeds.

    band: a curve within these factors of the reference counts as equal to it. The band is twice as
        wide, on a logarithmic scale, as those solutions need, and at least 15 % wide.
    """

    losses: list[float]
    band: tuple[float, float]

    @property
    def low(self) -> list[float]:
        """The lower end of the band in each epoch."""
        return [self.band[0] * loss for loss in self.losses]

    @property
    def high(self) -> list[float]:
        """The upper end of the band in each epoch."""
        return [self.band[1] * loss for loss in self.losses]


def reference_loss(
    name: str, demonstrations: demos.Demonstrations | str, folder: Folder = FOLDER
) -> LossReference | None:
    """Return the reference of a policy, such as "part1_mlp", or None if the kit has none.

    demonstrations: the policy's training demonstrations, or their fingerprint.
    """
    policy, known = rubric.POLICIES[name], _set_name(demonstrations)
    if known is None or not (path := loss_path(policy, known, folder)).exists():
        return None
    low, high = json.loads(bands_path(known, folder).read_text(encoding="utf-8"))[name]
    return LossReference(load_losses(path), (low, high))


def _set_name(demonstrations: demos.Demonstrations | str) -> str | None:
    if isinstance(demonstrations, str):
        return demos.name_of(demonstrations)
    return demos.name_of(demonstrations.fingerprint)


def loss_path(policy: rubric.Policy, known: str, folder: Folder = FOLDER) -> Path:
    """Return the file of a policy's reference losses on the demonstrations of this name."""
    return _of_set(known, folder) / f"expected_{policy.method}_loss.pkl"


def bands_path(known: str, folder: Folder = FOLDER) -> Path:
    """Return the file of the bands around the references on the demonstrations of this name."""
    return _of_set(known, folder) / "bands.json"


def _of_set(known: str, folder: Folder) -> Path:
    return Path(folder) / ("" if known == "human" else known)


def epoch_losses(checkpoint: Checkpoint) -> list[float]:
    """Return the mean loss of each epoch of a run, as the references have them.

    A run that logged every few steps lists them in its config; any other logged once per epoch.
    """
    losses = checkpoint.losses
    steps, last = checkpoint.config.get("loss_steps"), checkpoint.config.get("step")
    if not (
        isinstance(steps, list)
        and len(steps) == len(losses)
        and type(last) is int
        and all(type(step) is int and 0 <= step <= last for step in steps)
    ):
        return losses
    epochs = [float(step * checkpoint.num_epochs // (last + 1)) for step in steps]
    index = np.unique(epochs, return_inverse=True)[1]
    return (np.bincount(index, losses) / np.bincount(index)).tolist()


def load_losses(path: Folder) -> list[float]:
    """Return a pickled list of floats; ValueError when the file contains anything else.

    No class or function that the pickle names is ever loaded.
    """
    content = Path(path).read_bytes()
    try:
        losses = _PlainUnpickler(io.BytesIO(content)).load()
    except Exception as error:  # damaged bytes can raise anything, a lack of memory included
        raise ValueError(f"{path} is not a list of losses ({error}).") from None
    if (
        not isinstance(losses, list)
        or not losses
        or not all(type(loss) is float and np.isfinite(loss) for loss in losses)
    ):
        raise ValueError(f"{path} is not a list of losses: finite floats are needed.")
    return losses


class _PlainUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"it asks for {module}.{name}")


@dataclass(frozen=True)
class LossComparison:
    """A loss curve beside the reference.

    ratio: the ratio of the curve to the reference for each block of epochs, divided by `scale`,
        which is more than 1 if the loss is a sum over the chunk.
    left_at: the first epoch outside the band, or None.
    """

    ratio: np.ndarray
    left_at: int | None
    sentence: str
    scale: int = 1

    def __str__(self) -> str:
        return self.sentence


def compare_losses(
    name: str,
    losses: Sequence[float] | np.ndarray,
    demonstrations: demos.Demonstrations | str,
    folder: Folder = FOLDER,
) -> LossComparison:
    """Compare the mean loss of each epoch so far with the reference for these demonstrations.

    From the rubric's epoch `loss_from` on, counted from 0, the ratio to the reference must stay
    within the band. Single epochs may jump, so the medians of whole blocks of `loss_block` epochs
    are compared. A loss that may be a sum over the chunk is first divided to match the reference's
    scale.

    demonstrations: the policy's training demonstrations, or their fingerprint.
    """
    policy, reference = rubric.POLICIES[name], reference_loss(name, demonstrations, folder)
    if reference is None:
        return LossComparison(np.array([]), None, _no_reference(policy, demonstrations))
    block = policy.loss_block
    blocks = min(len(losses), len(reference.losses)) // block
    epochs = blocks * block
    ratio = block_medians(losses[:epochs], block) / block_medians(reference.losses[:epochs], block)
    scale = _scale(policy, ratio) if blocks else 1
    ratio /= scale
    first = -(-policy.loss_from // block)  # the first block that is compared
    if blocks <= first:
        return LossComparison(
            ratio,
            None,
            f"{len(losses)} epochs are too few to compare: train at least {(first + 1) * block}.",
            scale,
        )
    low, high = reference.band
    outside = [i for i in range(first, len(ratio)) if not low <= ratio[i] <= high]
    if not outside:
        return LossComparison(
            ratio,
            None,
            f"Your loss stays within the reference's band over {epochs} epochs "
            f"(ratio {ratio[first:].min():.2f} to {ratio[first:].max():.2f}).",
            scale,
        )
    left = outside[0]
    return LossComparison(
        ratio,
        left * block,
        f"Your loss leaves the reference's band at epoch {left * block}, at {ratio[left]:.2f}"
        f" times the reference. {_usual_reason(ratio[left:], losses[:epochs])}",
        scale,
    )


def _no_reference(policy: rubric.Policy, demonstrations: demos.Demonstrations | str) -> str:
    if _set_name(demonstrations):
        return (
            f"There is no reference loss for {policy.title} to compare with: look at the rollouts."
        )
    return (
        "You trained on demonstrations that the kit does not know, so there is no reference loss"
        " to compare with: look at the rollouts, which are graded as usual."
    )


def _scale(policy: rubric.Policy, ratio: np.ndarray) -> int:
    """Return the rubric's scale that is nearest to a curve's."""
    middle = max(np.median(ratio), 1e-9)
    return min(policy.loss_scales, key=lambda scale: abs(np.log(middle / scale)))


def block_medians(losses: Sequence[float] | np.ndarray, block: int) -> np.ndarray:
    """Return the median of each `block` losses; the last block may be shorter."""
    losses = np.asarray(losses, dtype=np.float64)
    return np.array([np.median(losses[i : i + block]) for i in range(0, len(losses), block)])


def _usual_reason(ratio: np.ndarray, losses: Sequence[float] | np.ndarray) -> str:
    """Return a sentence on why a curve usually leaves the band in this way."""
    if not np.isfinite(ratio).all():
        return (
            "A loss that is not finite means that the training diverged: look at the learning rate"
            " and the loss."
        )
    middle = float(np.median(ratio))
    # This is tested first, because a constant loss is soon many times a falling one.
    if losses[-1] > 0.8 * losses[0]:
        return (
            "A loss that hardly falls usually means that no gradient reaches the weights, or that"
            " the optimiser's step is missing."
        )
    if middle > 10:
        return "A loss that is so much higher usually means a sum in place of a mean."
    if ratio[-1] > 1 and np.all(np.diff(ratio[:: -(-len(ratio) // 4)]) > 0):
        return (
            "A loss that falls further and further behind usually means a wrong learning rate, or"
            " gradients that are not reset each step."
        )
    if middle > 1:
        return (
            "A loss that is higher throughout usually means a wrong target, a wrong order of the"
            " reshaped actions, or a smaller network."
        )
    return (
        "A loss below the reference usually means another scale: half the squared error, fewer"
        " actions, or another set of demonstrations."
    )
