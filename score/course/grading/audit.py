"""Evidence for the instructor: what the submitted weights do when the kit's own code uses them. It
never changes a grade.
"""

import contextlib
import functools
import io
import tempfile
from dataclasses import replace

import numpy as np
import torch

from pusht import PushTStateDataset, demos
from pusht.checkpoint import CheckpointError
from pusht.chunks import Normalizer, PushtChunkDataset
from pusht.episodes import reproducible
from score import rubric
from score.course.tools.reference import answer_of, run_solution
from score.rollouts.evaluate import score_policy
from score.rollouts.loss_curves import epoch_losses
from score.rollouts.policies import guarded_inference, inference_of
from score.verdict import AnswerError

# By method, of those whose network the notebook gives: episodes that are rolled out again, and
# steps of each; of the slow diffusion policy fewer. What it costs, every submission pays.
AGAIN = {"mlp": (50, 500), "cvae": (50, 500), "ddpm": (10, 100)}
# of the score: between a right inference and the kit's there was 0.00 (MLP) to 0.06 (CVAE, other
# random numbers)
_GAP = 0.15
_LOSSES = {
    "mlp": "bc_loss",
    "cvae": "cvae_loss",
    "ddpm": "ddpm_loss",
}  # by method, the answer that works a batch's loss out
_BATCHES, _BATCH = 8, 256  # the CVAE's loss depends on the size of its batches: as in training
# a loss over part of the windows and with averaged weights is within half and twice that of the
# last epoch
_TIMES = 3.0


def findings(policy, checkpoint, score, ask):
    """Sentences on what speaks against a policy's rollouts or its loss curve.

    ask: the student's own inference, as `score_policy` has it. Part IV's architecture is free: of
    it only the MSE policy's loss can be worked out, from the chunks that it answers with, and
    whether its weights are what acts cannot be seen. Of a policy that the tables above do not have,
    nothing is said. AnswerError where it does not answer.
    """
    if policy.method == "mse" and not score.one_by_one:
        return list(
            _unlikely_loss(
                policy, checkpoint, lambda found: _chunk_error(checkpoint, found, policy, ask)
            )
        )
    if policy.method not in AGAIN:
        return []
    names = solution(rubric.part_of(policy).name)
    model, infer = inference_of(policy, answer_of(names, policy))
    try:
        checkpoint.restore(model)
    except CheckpointError:
        return [
            f"{policy.title}: the weights are not of the notebook's network, so the kit's own"
            " inference cannot be tried on them."
        ]
    found = [*_gap(policy, checkpoint, score, infer)]
    if policy.method in _LOSSES:
        found += _unlikely_loss(policy, checkpoint, lambda data: _loss(data, policy, names, model))
    return found


@functools.cache
def solution(part):
    """What the solutions of a part define, by name. It changes the folder for a moment: not for a
    thread beside others.
    """
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        return run_solution(rubric.PARTS[part], folder, train=False)


def _gap(policy, checkpoint, score, infer):
    count, steps = AGAIN[policy.method]
    episodes = score.episodes.first(count)
    own = score_policy(
        replace(policy, max_steps=steps),
        guarded_inference(policy, infer),
        checkpoint.stats,
        episodes.seeds,
    )
    theirs = float(np.mean([rewards[:steps].max() for rewards in episodes.rewards]))
    if theirs - own.mean > _GAP:
        yield (
            f"{policy.title}: in {steps} steps of {len(episodes.seeds)} episodes the student's"
            f" inference scores {theirs:.2f}, the kit's own with the same weights {own.mean:.2f}:"
            " something else than the network may be acting."
        )


def _unlikely_loss(policy, checkpoint, loss_on):
    known = demos.name_of(checkpoint.demonstrations)
    found = demos.at_hand(known) if known and checkpoint.losses else None
    if found is None:
        return
    loss, claimed = loss_on(found), epoch_losses(checkpoint)[-1]
    if not any(claimed / _TIMES < loss * scale < claimed * _TIMES for scale in policy.loss_scales):
        yield (
            f"{policy.title}: the loss curve ends at {claimed:.3g}, but the weights' loss on the"
            f" {known} demonstrations is {loss:.3g}: the curve may be another run's."
        )


def _loss(found, policy, names, model):
    """The notebook's loss over some windows of the demonstrations, by the kit's solution."""
    dataset = PushTStateDataset(
        found,
        pred_horizon=policy.pred_horizon,
        obs_horizon=policy.obs_horizon,
        action_horizon=policy.action_horizon,
    )
    first = (model, names["noise_scheduler"]) if policy.method == "ddpm" else (model,)
    with torch.no_grad(), reproducible(0):
        return float(
            np.mean(
                [
                    names[_LOSSES[policy.method]](
                        *first, dataset.obs[some], dataset.action[some]
                    ).item()
                    for some in _some(dataset)
                ]
            )
        )


def _chunk_error(checkpoint, found, policy, ask):
    """The mean square of the difference between a policy's chunks and the demonstrations'."""
    dataset = PushtChunkDataset(
        found.states,
        found.actions,
        found.episode_ends,
        policy.pred_horizon,
        Normalizer(checkpoint.stats),
    )
    errors = []
    for some in _some(dataset):
        chunks = ask(dataset.states[some][:, None], _BATCH)
        if chunks.shape != dataset.chunks[some].shape:
            raise AnswerError(
                f"{policy.function} returned shape {tuple(chunks.shape)} for {_BATCH} observations."
            )
        errors.append((chunks - dataset.chunks[some]).square().mean().item())
    return float(np.mean(errors))


def _some(dataset):
    return (
        np.random.default_rng(0)
        .choice(len(dataset), _BATCHES * _BATCH, replace=False)
        .reshape(_BATCHES, _BATCH)
    )
