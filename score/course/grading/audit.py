"""Audits a hand-in file for the instructor: what its weights do when the kit's own code uses them.
A flag never changes a grade.
"""

import contextlib
import functools
import io
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from pusht import PushTStateDataset, demos
from pusht.checkpoint import Checkpoint, CheckpointError
from pusht.chunks import PushtChunkDataset
from pusht.demos import Demonstrations
from pusht.episodes import reproducible
from pusht.normalisation import Normalizer
from score import rubric
from score.course.grading.results import RolloutResult
from score.course.notebooks.solutions import answer_of, run_solution
from score.rollouts.evaluate import Score, score_policy
from score.rollouts.loss_curves import epoch_losses
from score.rollouts.policies import Inference, guarded_inference, inference_of
from score.verdict import AnswerError

# By method, of those whose network the notebook gives: how many episodes are rolled out again, and
# for how many steps. Every submission pays for it, so the slow diffusion policy has fewer.
AGAIN = {"mlp": (50, 500), "cvae": (50, 500), "ddpm": (10, 100)}
# Between the scores of a right inference and the kit's there was 0.00 (MLP) to 0.06 (CVAE, other
# random numbers).
_LARGEST_GAP = 0.15
# By method, the answer that computes the loss of a batch.
_LOSSES = {"mlp": "bc_loss", "cvae": "cvae_loss", "ddpm": "ddpm_loss"}
_BATCHES, _BATCH = 8, 256  # as in training: the CVAE's loss depends on the size of its batches
# The loss over part of the windows, with averaged weights, is between half and twice that of the
# last epoch.
_LARGEST_RATIO = 3.0


def flags(
    policy: rubric.Policy, checkpoint: Checkpoint, score: Score, infer: Inference
) -> list[str]:
    """Return what speaks against a policy's rollouts or its loss curve, a sentence each.

    infer: the student's own inference, as `score_policy` takes it; AnswerError where it fails. Part
    IV's architecture is free: only the MSE policy's loss can be computed, from the chunks that it
    predicts, and whether its weights are what acts cannot be seen. There are no flags on policies
    that the tables above do not have.
    """
    if policy.method == "mse" and not score.one_by_one:
        return list(
            _unlikely_loss(
                policy, checkpoint, lambda found: _chunk_error(checkpoint, found, policy, infer)
            )
        )
    if policy.method not in AGAIN:
        return []
    names = solution(rubric.part_of(policy).name)
    model, own_infer = inference_of(policy, answer_of(names, policy))
    try:
        checkpoint.restore(model)
    except CheckpointError:
        other = "the weights are not of the notebook's network"
        return [f"{policy.title}: {other}, so the kit's own inference cannot be tried on them."]
    found = [*_better_than_its_weights(policy, checkpoint, score, own_infer)]
    if policy.method in _LOSSES:
        found += _unlikely_loss(
            policy, checkpoint, lambda data: _batch_loss(data, policy, names, model)
        )
    return found


def near_target(policy: rubric.Policy, rollout: RolloutResult) -> list[str]:
    """Return the flag on a policy whose score's interval holds the target; none on any other."""
    low, high = rollout.interval
    if not low < policy.target(rollout.demonstrations) < high:
        return []
    near = f"the score's interval, {low:.2f} to {high:.2f}, holds the bar for all points"
    return [f"{policy.title}: {near}: other episodes could decide otherwise."]


@functools.cache
def solution(part: str) -> dict[str, Any]:
    """Return what the solutions of a part define, by name.

    It changes the folder for a moment, so no thread may run beside it.
    """
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        return run_solution(rubric.PARTS[part], folder, train=False)


def _better_than_its_weights(
    policy: rubric.Policy, checkpoint: Checkpoint, score: Score, own_infer: Inference
) -> Iterator[str]:
    """Compare the student's inference with the kit's own, over the first of the episodes."""
    count, steps = AGAIN[policy.method]
    episodes = score.episodes.first(count)
    own = score_policy(
        replace(policy, max_steps=steps),
        guarded_inference(policy, own_infer),
        checkpoint.stats,
        episodes.seeds,
    )
    theirs = float(np.mean([rewards[:steps].max() for rewards in episodes.rewards]))
    if theirs - own.mean > _LARGEST_GAP:
        yield (
            f"{policy.title}: in {steps} steps of {len(episodes.seeds)} episodes the student's"
            f" inference scores {theirs:.2f}, the kit's own with the same weights {own.mean:.2f}:"
            " something else than the network may be acting."
        )


def _unlikely_loss(
    policy: rubric.Policy, checkpoint: Checkpoint, loss_on: Callable[[Demonstrations], float]
) -> Iterator[str]:
    """Compare the end of the loss curve with the weights' loss on the demonstrations, where these
    are on this machine.
    """
    known = demos.name_of(checkpoint.demonstrations)
    found = demos.at_hand(known) if known and checkpoint.losses else None
    if found is None:
        return
    loss, claimed = loss_on(found), epoch_losses(checkpoint)[-1]
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
    loss_of = names[_LOSSES[policy.method]]
    with torch.no_grad(), reproducible(0):
        losses = [
            loss_of(*first, dataset.obs[batch], dataset.action[batch]).item()
            for batch in _batches(len(dataset))
        ]
    return float(np.mean(losses))


def _chunk_error(
    checkpoint: Checkpoint, found: Demonstrations, policy: rubric.Policy, infer: Inference
) -> float:
    """Return the mean squared difference between a policy's chunks and the demonstrations'."""
    dataset = PushtChunkDataset(
        found.states,
        found.actions,
        found.episode_ends,
        policy.pred_horizon,
        Normalizer(checkpoint.stats),
    )
    errors = []
    for batch in _batches(len(dataset)):
        chunks = infer(dataset.states[batch][:, None], _BATCH)
        if chunks.shape != dataset.chunks[batch].shape:
            raise AnswerError(
                f"{policy.function} returned shape {tuple(chunks.shape)} for {_BATCH} observations."
            )
        errors.append((chunks - dataset.chunks[batch]).square().mean().item())
    return float(np.mean(errors))


def _batches(count: int) -> np.ndarray:
    """Return the indices of some of `count` windows, a row a batch; always the same."""
    picked = np.random.default_rng(0).choice(count, _BATCHES * _BATCH, replace=False)
    return picked.reshape(_BATCHES, _BATCH)
