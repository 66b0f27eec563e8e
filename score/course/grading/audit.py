"""What the instructor should look at in a policy: a loss curve that its weights do not bear out,
and answers that do not look like a trained network's. A flag never changes a grade.
"""

import contextlib
import functools
import io
import tempfile
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from pusht import PushTStateDataset, demos
from pusht.checkpoint import Checkpoint, load_checkpoint
from pusht.demos import Demonstrations
from pusht.episodes import reproducible
from pusht.normalisation import normalize_data, unnormalize_data
from score import rubric
from score.course.grading.company import Asked, Record
from score.course.notebooks.solutions import answer_of, reference_path, run_solution
from score.rollouts.evaluate import Score
from score.rollouts.loss_curves import epoch_losses
from score.rollouts.policies import inference_of

# By method, the notebook's network and the answer that computes the loss of a batch.
_LOSSES = {
    "mlp": ("mlp_agent", "bc_loss"),
    "cvae": ("cvae_agent", "cvae_loss"),
    "ddpm": ("noise_pred_net", "ddpm_loss"),
}
_BATCHES, _BATCH = 8, 256  # as in training: the CVAE's loss depends on the size of its batches
# The loss over part of the windows, with averaged weights, is between half and twice that of the
# last epoch.
_LARGEST_RATIO = 3.0
_ALIKE = 1.0  # px; answers of the MSE policy to one observation differ by rounding only
_LARGEST_UNLIKE = 0.02  # share of the answers
# Of answers that are drawn from one distribution, the share of their distances that the company
# explains is 0 on average; of 200 honest rollouts it was 0.07 at most (0.13 with fixed noise).
_LARGEST_SHARE = 0.2
_FEWEST = 24  # answers on either side, for a share
# Trained on the demonstrations, a policy is off by a third to two thirds of what staying in place
# is; twenty-four random pushes, tried out, by one and a half. A policy of others is further off.
_LARGEST_ERROR, _LARGEST_ERROR_ELSEWHERE = 1.0, 1.25
_SMALLEST_MEDIAN = 2.0  # px; of a network it is seven and more, of what is looked up none
# Where they act, the answers of networks that have learned something and of the kit's own, trained
# on the same demonstrations, are apart by nine tenths at most of what staying in place is apart
# from these; pushes that were tried out by 1.2 and more.
_LARGEST_APART = 1.1
_FEWEST_DEMONSTRATED = 100
# Actions of a chunk. With four instead of eight, both figures of the kit's own flow policy are 1.2
# times as large; with one, 1.4 times, which would be too near to the limits. Of longer chunks, what
# is compared is as long as in the assignment.
_SHORTEST = 4
# Of the reference policy's time for one row at a time, times one more than the submitted weights
# are of its own: a network in batches takes a hundredth, a small transformer by rows five times
# that, twenty-four random pushes that are simulated ten times.
_LARGEST_TIME, _REFERENCE_WEIGHTS, _LARGEST_NETWORK = 10, 141_328, 25
_SLACK = 1.0  # seconds, for what is done once


def flags_on_weights(policy: rubric.Policy, checkpoint: Checkpoint) -> list[str]:
    """Return what speaks against a loss curve where the notebook gives the network, a sentence
    each; nothing where the demonstrations are not on this machine. CheckpointError where the
    weights do not fit.
    """
    found = _own_demonstrations(checkpoint)
    if found is None or policy.method not in _LOSSES:
        return []
    names = solution(rubric.part_of(policy).name)
    model = names[_LOSSES[policy.method][0]]
    checkpoint.restore(model)
    loss = _batch_loss(found, policy, names, model)
    return list(_unlikely_loss(policy, checkpoint, loss))


def flags_on_answers(
    policy: rubric.Policy, checkpoint: Checkpoint, score: Score, record: Record
) -> list[str]:
    """Return what speaks against a policy whose answers a student's code computes, a sentence each.

    record: of the company that it was asked in.
    """
    found = [*_other_answers(policy, record), *_slow(policy, checkpoint, record)]
    if policy.method in ("mse", "flow") and policy.action_horizon >= _SHORTEST:
        found += _unlike_demonstrations(policy, score, record, checkpoint)
        found += _unlike_reference(policy, score, record, checkpoint)
    enough = len(record.nerrors) >= _FEWEST_DEMONSTRATED
    if policy.method == "mse" and record.of_own and checkpoint.losses and enough:
        found += _unlikely_loss(policy, checkpoint, float(np.mean(record.nerrors)))
    return found


@functools.cache
def solution(part: str) -> dict[str, Any]:
    """Return what the solutions of a part define, by name.

    It changes the folder for a moment, so no thread may run beside it.
    """
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        return run_solution(rubric.PARTS[part], folder, train=False)


def _own_demonstrations(checkpoint: Checkpoint) -> Demonstrations | None:
    known = demos.name_of(checkpoint.demonstrations)
    return demos.at_hand(known) if known and checkpoint.losses else None


def _unlikely_loss(policy: rubric.Policy, checkpoint: Checkpoint, loss: float) -> Iterator[str]:
    """Compare the end of a loss curve with the demonstrations' loss, beyond the first epochs."""
    known, curve = demos.name_of(checkpoint.demonstrations), epoch_losses(checkpoint)
    if len(curve) <= policy.loss_from:  # the weights are soon better than an epoch's mean
        return
    claimed = curve[-1]
    low, high = claimed / _LARGEST_RATIO, claimed * _LARGEST_RATIO
    if not any(low < loss * scale < high for scale in policy.loss_scales):
        yield (
            f"{policy.title}: the loss curve ends at {claimed:.3g}, but the weights' loss on the"
            f" {known} demonstrations is {loss:.3g}: the curve may be another run's."
        )


def _batch_loss(
    found: Demonstrations, policy: rubric.Policy, names: dict[str, Any], model: torch.nn.Module
) -> float:
    """Return the notebook's loss over some windows of the demonstrations, by the kit's solution."""
    dataset = PushTStateDataset(
        found,
        pred_horizon=policy.pred_horizon,
        obs_horizon=policy.obs_horizon,
        action_horizon=policy.action_horizon,
    )
    first = (model, names["noise_scheduler"]) if policy.method == "ddpm" else (model,)
    loss_of = names[_LOSSES[policy.method][1]]
    picked = np.random.default_rng(0).choice(len(dataset), _BATCHES * _BATCH, replace=False)
    with torch.no_grad(), reproducible(0):
        losses = [
            loss_of(*first, dataset.obs[batch], dataset.action[batch]).item()
            for batch in picked.reshape(_BATCHES, _BATCH)
        ]
    return float(np.mean(losses))


def _other_answers(policy: rubric.Policy, record: Record) -> Iterator[str]:
    """Compare answers to the same observations in other company."""
    something = "something else than the network may be acting"
    if policy.method == "mse":
        gaps = [
            np.abs(np.array(one.actions[1:]) - one.actions[0]).max(axis=(1, 2))
            for one in record.asked
            if one.actions[1:]
        ]
        unlike = np.concatenate(gaps) if gaps else np.zeros(1)
        if (unlike > _ALIKE).mean() > _LARGEST_UNLIKE:
            yield (
                f"{policy.title}: asked again in other company, {(unlike > _ALIKE).sum()} of"
                f" {len(unlike)} answers were not those given before (by up to"
                f" {unlike.max():.0f} px): {something}."
            )
        return
    for by, share in company_shares(record.asked).items():
        if share > _LARGEST_SHARE:
            yield (
                f"{policy.title}: {share:.0%} of the distances between answers to the same"
                f" observation go with {by} (of a network none do, ± 5 %): {something}."
            )


def company_shares(asked: list[Asked]) -> dict[str, float]:
    """Return, by what the company of an observation was, which share of the distances between the
    answers to it goes with that: 0 on average where they are drawn from one distribution.
    """
    several = [one for one in asked if len(one.actions) > 2]
    sizes = np.concatenate([one.sizes for one in several]) if several else np.zeros(0)
    calls = np.concatenate([one.calls for one in several]) if several else np.zeros(0)
    rows = np.concatenate([one.rows for one in several]) if several else np.zeros(0)
    splits = {
        "whether it was asked before": [np.arange(len(one.actions)) > 0 for one in several],
        "the number of rows": [np.array(one.sizes) > np.median(sizes) for one in several],
        "the number of calls": [np.array(one.calls) > np.median(calls) for one in several],
    }
    for row in np.quantile(rows, [0.25, 0.5, 0.75]) if several else ():
        splits[f"a row above {row:.0f}"] = [np.array(one.rows) > row for one in several]
    return {by: _share(several, groups) for by, groups in splits.items()}


def _share(asked: list[Asked], groups: list[np.ndarray]) -> float:
    """Return how much larger distances between two groups of answers are than those within them,
    as a share (an energy distance, Székely and Rizzo, 2013); 0 where there are too few.
    """
    between, within, count = 0.0, 0.0, 0.0
    for one, group in zip(asked, groups, strict=True):
        flat = np.array(one.actions).reshape(len(group), -1)
        apart = np.linalg.norm(flat[:, None] - flat[None], axis=2)
        parts = [apart[np.ix_(side, side)] for side in (group, ~group) if side.sum() > 1]
        if not parts or group.all() or not group.any():
            continue
        inner = [part[np.triu_indices(len(part), 1)].mean() for part in parts]
        weight = float(min(group.sum(), (~group).sum()))
        between += weight * float(apart[np.ix_(group, ~group)].mean())
        within += weight * float(np.mean(inner))
        count += weight
    rounding = 1e-3 * count  # px
    return (between - within) / between if count >= _FEWEST and between > rounding else 0.0


def _unlike_demonstrations(
    policy: rubric.Policy, score: Score, record: Record, checkpoint: Checkpoint
) -> Iterator[str]:
    """Compare answers to demonstrated observations with the demonstrated actions, where the score
    is that of a policy that has learned something.
    """
    if len(record.errors) < _FEWEST_DEMONSTRATED or score.mean < _middle(policy, checkpoint):
        return
    error, stay = (float(np.sqrt(np.mean(squares))) for squares in (record.errors, record.stays))
    if error > stay * (_LARGEST_ERROR if record.of_own else _LARGEST_ERROR_ELSEWHERE):
        yield (
            f"{policy.title}: it scores {score.mean:.2f}, but on {len(record.errors)} chunks of"
            f" {'its' if record.of_own else 'the shipped'} demonstrations its actions are off by"
            f" {error:.0f} px, where staying in place is off by {stay:.0f}: something else than"
            " what was learned from them may be acting."
        )
    median = float(np.sqrt(np.median(record.errors)))
    if median < _SMALLEST_MEDIAN:
        yield (
            f"{policy.title}: on half of {len(record.errors)} chunks of the demonstrations its"
            f" actions are off by {median:.1f} px at most, as no network's are (7 px and more): the"
            " demonstrations may be stored, and something else than a network may be acting."
        )


def _unlike_reference(
    policy: rubric.Policy, score: Score, record: Record, checkpoint: Checkpoint
) -> Iterator[str]:
    """Compare what acted in the rollouts with what the kit's own MSE policy answers there: these
    observations nobody can know beforehand, as the demonstrations can be.
    """
    known = demos.name_of(checkpoint.demonstrations)
    ratio = apart(record, known) if known and record.acted else None
    if ratio is not None and score.mean >= _middle(policy, checkpoint) and ratio > _LARGEST_APART:
        yield (
            f"{policy.title}: it scores {score.mean:.2f}, but its actions are {ratio:.1f} times as"
            " far from those of a policy trained on the same demonstrations as staying in place"
            " is: something else than what was learned from them may be acting."
        )


def apart(record: Record, known: str) -> float | None:
    """Return how far actions are from those of the kit's own MSE policy, by how far staying in
    place is; None where this machine does not have that policy.

    known: the name of the demonstrations that it was trained on.
    """
    policy = rubric.POLICIES["part4_mse"]
    path = reference_path(policy, known)
    if not path.is_file():
        return None
    own = load_checkpoint(path, policy.normalisation)
    answer = answer_of(solution(rubric.part_of(policy).name), policy)
    model, infer = inference_of(policy, answer)
    own.restore(model)
    states, actions = (np.concatenate(arrays) for arrays in zip(*record.acted, strict=True))
    nobs = torch.from_numpy(normalize_data(states, own.stats["obs"])).to(torch.float32)
    with torch.no_grad():
        nactions = infer(nobs[:, None], len(nobs))
    theirs = unnormalize_data(nactions.numpy(), own.stats["action"])
    both = min(actions.shape[1], theirs.shape[1])  # a submission's chunks may be longer or shorter
    actions, theirs = actions[:, :both], theirs[:, :both]
    stay = np.square(states[:, None, :2] - theirs).mean()
    return float(np.sqrt(np.square(actions - theirs).mean() / stay))


def _middle(policy: rubric.Policy, checkpoint: Checkpoint) -> float:
    """Return the score from which on a policy has learned something, or pretends to."""
    return (policy.baseline + policy.target(checkpoint.demonstrations)) / 2


def _slow(policy: rubric.Policy, checkpoint: Checkpoint, record: Record) -> Iterator[str]:
    """Compare the processor's time with the reference policy's on this machine."""
    weights = sum(weight.numel() for weight in checkpoint.weights.values())
    networks = 1 + min(weights / _REFERENCE_WEIGHTS, _LARGEST_NETWORK)
    most = _SLACK + _LARGEST_TIME * networks * record.reference
    if record.rows and record.used > most:
        yield (
            f"{policy.title}: it took {record.used:.0f} s of the processor for {record.rows}"
            f" observations, where {most:.0f} s are plenty for {weights:,} weights (the reference"
            f" policy takes {record.reference:.1f} s, one observation at a time): it may compute"
            " something else than a network."
        )
