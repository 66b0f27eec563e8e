"""Call every kind of policy in the same way, as a function of observations.

Such a function, an `Inference`, takes nobs, a float32 tensor (B, obs_horizon, 5), and B. It returns
naction, a float tensor (B, pred_horizon, 2). Both are normalised.
"""

import os
from collections.abc import Callable, Sequence
from typing import Any

import torch

from pusht.checkpoint import SUFFIX, Checkpoint, CheckpointError, load_checkpoint
from pusht.episodes import inference
from score import rubric
from score.rollouts import given
from score.verdict import AnswerError, call_answer

Inference = Callable[[torch.Tensor, int], torch.Tensor]

# Normalised actions are clipped to ± this. Actions much further off the table make the physics
# overflow.
_LARGEST = 100


def inference_of(policy: rubric.Policy, answer: Sequence[Any]) -> tuple[Any, Inference]:
    """Return the network of a policy, and the `Inference` that calls it.

    answer: the notebook's objects: a policy object with sample_actions; or an inference function
        and its network; none where the notebook gives the network and the kit itself acts (see
        `given`). They are not checked here.
    ValueError for any other number of objects.
    """
    if not answer and policy.method in given.NETWORKS:
        return _given(policy)
    if not 1 <= len(answer) <= 2:
        raise ValueError(
            f"{policy.name} is called with {len(answer)} arguments: a policy object, or an"
            " inference function and its network, is needed."
        )
    return (_chunk_policy, _network)[len(answer) - 1](policy, *answer)


def _given(policy: rubric.Policy) -> tuple[Any, Inference]:
    model, act = given.network_of(policy)

    def infer(nobs: torch.Tensor, batch_size: int) -> torch.Tensor:
        naction = act(nobs)
        if not torch.isfinite(naction).all():
            raise AnswerError(
                f"The network of {policy.name}{SUFFIX} predicts numbers that are not finite: the"
                " training diverged."
            )
        return naction

    return model, infer


def _network(policy: rubric.Policy, function: Any, model: Any) -> tuple[Any, Inference]:
    def infer(nobs: torch.Tensor, batch_size: int) -> torch.Tensor:
        return function(
            model=model,
            batch_size=batch_size,
            nobs=nobs.to(_device(model)),
            pred_horizon=policy.pred_horizon,
            action_dim=2,
        )

    return model, infer


def _chunk_policy(policy: rubric.Policy, model: Any) -> tuple[Any, Inference]:
    def infer(nobs: torch.Tensor, batch_size: int) -> torch.Tensor:
        return model.sample_actions(nobs[:, -1].to(_device(model)), num_steps=rubric.FLOW_STEPS)

    return model, infer


def _device(model: Any) -> torch.device | str:
    return next((weight.device for weight in model.parameters()), "cpu")


def guarded_inference(policy: rubric.Policy, infer: Inference) -> Inference:
    """Wrap a student's inference so that it returns naction as a float32 tensor on the CPU.

    Any exception, or any other result, becomes an AnswerError.
    """

    def guarded(nobs: torch.Tensor, batch_size: int) -> torch.Tensor:
        # The inference question checks whether the student's code switches gradients off.
        with torch.no_grad():
            naction = call_answer(policy.function, infer, nobs.clone(), batch_size)
        if not isinstance(naction, torch.Tensor) or not naction.is_floating_point():
            kind = naction.dtype if isinstance(naction, torch.Tensor) else type(naction).__name__
            raise AnswerError(f"{policy.function} returned {kind} where a float tensor is needed.")
        return call_answer(policy.function, lambda: naction.detach().to("cpu", torch.float32))

    return guarded


class BatchedInference:
    """An inference that is called with a whole batch, or with single observations if it takes no
    batch.

    The result has the policy's shape, is finite and lies in [-100, 100]; otherwise AnswerError.
    `one_by_one` says whether single observations were needed.
    """

    def __init__(self, policy: rubric.Policy, infer: Inference):
        self.one_by_one = False
        self._infer, self._function = infer, policy.function
        self._shape = (policy.pred_horizon, 2)
        self._as_batch: Callable[[torch.Tensor], torch.Tensor] | None = None

    def __call__(self, nobs: torch.Tensor) -> torch.Tensor:
        """Return naction (B, pred_horizon, 2) for nobs (B, obs_horizon, 5)."""
        if self._as_batch is None:
            try:
                return self._checked(nobs, len(nobs))
            except AnswerError as error:
                self._as_batch = self._way_to_pass_one(nobs[0], error)
                self.one_by_one = True
        return torch.cat([self._checked(self._as_batch(row), 1) for row in nobs])

    def _way_to_pass_one(
        self, row: torch.Tensor, batch_error: AnswerError
    ) -> Callable[[torch.Tensor], torch.Tensor]:
        # The published loop passes (obs_horizon, 5) without a batch dimension; newer functions may
        # rely on one.
        for as_batch in (lambda r: r[None], lambda r: r):
            try:
                self._checked(as_batch(row), 1)
                return as_batch
            except AnswerError:
                pass
        raise batch_error  # the other errors may come from this way of calling alone

    def _checked(self, nobs: torch.Tensor, batch_size: int) -> torch.Tensor:
        naction = self._infer(nobs, batch_size)
        if naction.shape != (batch_size, *self._shape):
            raise AnswerError(
                f"{self._function} returned shape {tuple(naction.shape)} where"
                f" {(batch_size, *self._shape)} is needed."
            )
        if not torch.isfinite(naction).all():
            raise AnswerError(f"{self._function} returned numbers that are not finite.")
        return naction.clamp(-_LARGEST, _LARGEST)


def load_submission_checkpoint(policy: rubric.Policy, folder: str | os.PathLike[str]) -> Checkpoint:
    """Return a policy's submitted checkpoint in `folder`; AnswerError if it cannot be used."""
    try:
        return load_checkpoint(os.path.join(folder, policy.name + SUFFIX), policy.normalisation)
    except CheckpointError as error:
        raise AnswerError(str(error)) from None


def load_policy(
    policy: rubric.Policy, answer: Sequence[Any], folder: str | os.PathLike[str]
) -> tuple[Checkpoint, Inference]:
    """Return the submitted checkpoint in `folder` and the inference of its network.

    The checkpoint's weights are loaded into the network. It acts in eval mode, and afterwards is in
    the mode that it was in. answer: see `inference_of`. AnswerError when the checkpoint cannot be
    used or belongs to another network.
    """
    checkpoint = load_submission_checkpoint(policy, folder)
    model, infer = inference_of(policy, answer)
    if not isinstance(model, torch.nn.Module):
        raise AnswerError(
            f"The network is a {type(model).__name__}: an earlier cell that creates it was changed"
            " or failed."
        )
    try:
        checkpoint.restore(model)
    except CheckpointError as error:
        raise AnswerError(str(error)) from None

    def act(nobs: torch.Tensor, batch_size: int) -> torch.Tensor:
        with inference(model):  # as `evaluate_policy` calls it
            return infer(nobs, batch_size)

    return checkpoint, act
