"""Similar weights, of two students or of one and a reference checkpoint of the kit.

The same weights are found rounded to half precision and with neurons permuted too; changed ones are
found by the training run's id or the loss curve. Not found are weights that were changed together
with their file's header.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from pusht.checkpoint import SUFFIX, Checkpoint, CheckpointError, load_checkpoint
from score.course.notebooks.solutions import REFERENCE
from score.course.report.similarity.pair import SimilarPair
from score.rubric import Policy


@dataclass(frozen=True)
class _Network:
    """What is kept of a hand-in file: its header, a checkpoint without weights; the shapes of its
    arrays; some of its numbers; digests of all numbers in half precision, as they are (`ordered`)
    and sorted in each array, which permuted neurons do not change; `half`, whether all numbers are
    of half precision.
    """

    owner: str
    kit: bool
    header: Checkpoint
    shapes: tuple[tuple[int, ...], ...]
    sample: np.ndarray
    ordered: str
    numbers: str
    half: bool

    def signs(self) -> list[tuple[Any, ...]]:
        """Return what similar weights have in common, the surest first."""
        losses = json.dumps(self.header.losses) if self.header.losses else ""
        signs = enumerate([self.header.run_id, self.ordered, self.numbers, losses])
        return [(place, sign, self.shapes) for place, sign in signs if sign]


def similar_weights(policy: Policy, folders: Mapping[str, Path]) -> Iterator[SimilarPair]:
    """Yield each network with the first one that has a sign of it, of the kit's and of others'."""
    name = policy.name + SUFFIX
    kit = {f"the kit's reference, {p.parent.name}": p for p in REFERENCE.glob(f"*/{name}")}
    handed_in = {student: folder / name for student, folder in folders.items()}
    first: dict[tuple[Any, ...], _Network] = {}
    for owner, path in [*sorted(kit.items()), *handed_in.items()]:
        network = _network(owner, path, policy, owner in kit)
        if network:
            for of_kit in () if network.kit else (True, False):
                known = [first[of_kit, *s] for s in network.signs() if (of_kit, *s) in first]
                if known:
                    yield _similar_weights(policy, network, known[0])
            for sign in network.signs():
                first.setdefault((network.kit, *sign), network)


def _network(owner: str, path: Path, policy: Policy, kit: bool) -> _Network | None:
    """Return what is kept of a hand-in file; None when it cannot be read or is all zeros."""
    try:
        checkpoint = load_checkpoint(path, policy.normalisation)
    except (CheckpointError, OSError):
        return None
    ordered, numbers, half = hashlib.sha256(), hashlib.sha256(), True
    arrays = [checkpoint.weights[name].float().numpy() for name in sorted(checkpoint.weights)]
    with np.errstate(over="ignore"):  # what overflows becomes infinite
        for array in arrays:
            rounded = array.astype(np.float16)
            half &= np.array_equal(array, rounded)
            ordered.update(rounded.tobytes())
            numbers.update(np.sort(rounded.view(np.uint16), axis=None, kind="stable").tobytes())
        flat = np.concatenate([np.zeros(0, np.float32), *(array.ravel() for array in arrays)])
        sample = flat[:: len(flat) // 8192 + 1]
        if not 0 < np.linalg.norm(sample) < np.inf:
            return None
    header, shapes = replace(checkpoint, weights={}), tuple(array.shape for array in arrays)
    digests = ordered.hexdigest(), numbers.hexdigest()
    return _Network(owner, kit, header, shapes, sample, *digests, half)


def _similar_weights(policy: Policy, one: _Network, other: _Network) -> SimilarPair:
    likeness, how = 1.0, "are the same numbers"
    if one.numbers != other.numbers:
        longer = max(np.linalg.norm(one.sample), np.linalg.norm(other.sample))
        distance = float(np.linalg.norm(one.sample - other.sample) / longer)
        likeness, how = max(0, 1 - distance), f"differ by {100 * distance:.2g} % of their length"
    elif one.ordered != other.ordered:
        how = "are the same numbers in another order"
    sentence = f"{policy.title}: the weights {how}; {_remark(one, other)}."
    return SimilarPair(
        "weights", policy.name, one.owner, other.owner, likeness, sentence, of_kit=other.kit
    )


def _remark(one: _Network, other: _Network) -> str:
    """Return what to make of similar weights."""
    mine, theirs = one.header, other.header
    if mine.run_id and mine.run_id == theirs.run_id:
        return "both files carry the id of one training run, so one is a copy"
    half = [network.owner for network in (one, other) if network.half and not network.kit]
    if half:
        whose = "the student's" if other.kit else "both" if half[1:] else f"those of {half[0]}"
        return (
            f"{whose} are in half precision, like the kit's references and unlike what the"
            " notebooks train"
        )
    if one.numbers != other.numbers:
        return (
            "the loss curves agree to the last digit and the weights do not, so one's were changed"
            " after the training"
        )
    if one.ordered != other.ordered:
        return "no training ends there by itself, so one's neurons were permuted"
    if mine.seed != theirs.seed:
        return (
            f"they state other training seeds, {mine.seed} and {theirs.seed}, from which such"
            " weights do not come"
        )
    if mine.demonstrations != theirs.demonstrations:
        return "they state other demonstrations, from which weights as near do not come"
    if mine.trained_at and mine.trained_at == theirs.trained_at:
        return f"they state two runs that ended at the same time, {mine.trained_at}"
    if mine.run_id and theirs.run_id:
        return f"they are two runs of one seed, {mine.seed}, by their ids and times"
    return (
        f"both state training seed {mine.seed}: with it, equivalent code on one kind of machine"
        " ends there by itself"
    )
