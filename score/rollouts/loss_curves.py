"""Loss curves against the reference ones: `losses/expected_*_loss.pkl` for the human
demonstrations, `losses/shipped/` for the kit's.
"""

import io
import pickle
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pusht import demos, resources
from score import rubric

FOLDER = resources.path("losses")


@dataclass(frozen=True)
class LossReference:
    """The reference loss of each epoch, and the band within which a curve counts as the same: low
    <= loss <= high.
    """

    losses: list
    low: list
    high: list


def reference_loss(name, demonstrations, folder=FOLDER):
    """The `LossReference` of a policy, such as "part1_mlp", trained on these `Demonstrations`; None
    where the kit has none.
    """
    policy, known = rubric.POLICIES[name], demos.name_of(demonstrations.fingerprint)
    if known is None or not (path := loss_path(policy, known, folder)).exists():
        return None
    losses = load_losses(path)
    low, high = policy.loss_band
    return LossReference(losses, [low * loss for loss in losses], [high * loss for loss in losses])


def loss_path(policy, known, folder=FOLDER):
    """Where the reference losses of a policy trained on the "shipped" or the "human" demonstrations
    are kept.
    """
    return Path(folder) / ("" if known == "human" else known) / f"expected_{policy.method}_loss.pkl"


def epoch_losses(checkpoint):
    """The mean loss of each epoch of a run, as the references have them: where it logged every few
    steps, and says at which.
    """
    steps, last, losses = (
        checkpoint.config.get("loss_steps"),
        checkpoint.config.get("step"),
        checkpoint.losses,
    )
    if not (
        isinstance(steps, list)
        and len(steps) == len(losses)
        and type(last) is int
        and all(type(s) is int and 0 <= s <= last for s in steps)
    ):
        return losses
    epoch = np.unique(
        [float(step * checkpoint.num_epochs // (last + 1)) for step in steps], return_inverse=True
    )[1]
    return (np.bincount(epoch, losses) / np.bincount(epoch)).tolist()


def load_losses(path):
    """A pickled list of floats; ValueError when the file holds anything else. Nothing that a pickle
    names is ever loaded.
    """
    content = Path(path).read_bytes()
    try:
        losses = _PlainUnpickler(io.BytesIO(content)).load()
    except Exception as error:  # damaged bytes can ask for anything: a stack that is empty, more memory than there is
        raise ValueError(f"{path} is not a list of losses ({error}).") from None
    if (
        not isinstance(losses, list)
        or not losses
        or not all(type(loss) is float and np.isfinite(loss) for loss in losses)
    ):
        raise ValueError(f"{path} is not a list of losses: finite floats are needed.")
    return losses


class _PlainUnpickler(pickle.Unpickler):
    def find_class(self, module, name):
        raise pickle.UnpicklingError(f"it asks for {module}.{name}")


@dataclass(frozen=True)
class LossComparison:
    """A loss curve beside the reference. `left_at` is the first epoch outside the band, None when
    there is none.
    """

    ratio: np.ndarray
    left_at: int | None
    sentence: str

    def __str__(self):
        return self.sentence


def compare_losses(name, losses, demonstrations, folder=FOLDER):
    """Compare the mean loss of each epoch so far with the reference for these `Demonstrations`;
    return a `LossComparison`.

    From epoch `rubric.Policy.loss_from` on, counted from 0, the ratio to the reference has to stay
    within the band. Where `loss_block` epochs count as one (losses logged now and then are noisy),
    the means of these are compared; where a loss may be summed over the chunk, it is brought to the
    reference's scale.
    """
    policy, reference = rubric.POLICIES[name], reference_loss(name, demonstrations, folder)
    if reference is None:
        known = demos.name_of(demonstrations.fingerprint)
        return LossComparison(
            np.array([]),
            None,
            (
                f"There is no reference loss for {policy.title} to compare with: look at the"
                " rollouts."
                if known
                else (
                    "You trained on demonstrations that the kit does not know, so there is no"
                    " reference loss to compare with: look at the rollouts, which count as always."
                )
            ),
        )
    epochs, block = min(len(losses), len(reference.losses)), policy.loss_block
    ratio = _blocks(losses[:epochs], block) / _blocks(reference.losses[:epochs], block)
    if len(ratio):
        ratio /= min(
            policy.loss_scales, key=lambda scale: abs(np.log(max(np.median(ratio), 1e-9) / scale))
        )
    low, high = policy.loss_band
    outside = [
        i * block
        for i in range(len(ratio))
        if i * block >= policy.loss_from and not low <= ratio[i] <= high
    ]
    first = -(-policy.loss_from // block)
    if epochs <= first * block:
        return LossComparison(
            ratio,
            None,
            f"{epochs} epochs are too few to compare: train at least {first * block + 1}.",
        )
    if not outside:
        return LossComparison(
            ratio,
            None,
            f"Your loss stays within the reference's band over {epochs} epochs "
            f"(ratio {ratio[first:].min():.2f} to {ratio[first:].max():.2f}).",
        )
    left = outside[0]
    return LossComparison(
        ratio,
        left,
        f"Your loss leaves the reference's band at epoch {left}, at {ratio[left // block]:.2f}"
        f" times the reference. {_usual_reason(ratio[left // block :], losses[:epochs])}",
    )


def _blocks(losses, block):
    """Means of each `block` losses, the last block perhaps shorter."""
    losses = np.asarray(losses, dtype=np.float64)
    return np.array([losses[i : i + block].mean() for i in range(0, len(losses), block)])


def _usual_reason(ratio, losses):
    if not np.isfinite(ratio).all():
        return (
            "A loss that is not finite means that the training diverged: look at the learning rate"
            " and the loss."
        )
    middle = float(np.median(ratio))
    if (
        losses[-1] > 0.8 * losses[0]
    ):  # before the next: a loss that stays is soon many times one that falls
        return (
            "A loss that hardly falls usually means that no gradient reaches the weights, or that"
            " the optimiser is not stepped."
        )
    if middle > 10:
        return "So much more usually means a sum where the mean belongs."
    if ratio[-1] > 1 and np.all(np.diff(ratio[:: max(1, len(ratio) // 4)]) > 0):
        return (
            "Falling ever further behind usually means a wrong learning rate, or gradients that are"
            " not reset each step."
        )
    if middle > 1:
        return (
            "A steadily higher loss usually means a wrong target, a wrong order of the reshaped"
            " actions, or a smaller network."
        )
    return (
        "A loss below the reference usually means another scale: half the square, fewer actions, or"
        " another set of demonstrations."
    )
