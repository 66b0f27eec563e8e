"""Rolls a policy out from the held-out seeds, and keeps what is graded, shown and flagged of it."""

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from pusht import video
from pusht.checkpoint import Checkpoint
from score import rubric
from score.course.grading import audit
from score.course.grading.company import Company
from score.course.grading.results import RolloutResult, film_name
from score.course.settings import RunSettings
from score.rollouts.evaluate import Score, film, score_policy
from score.rollouts.loss_curves import epoch_losses
from score.rollouts.policies import Inference, guarded_inference, load_policy
from score.verdict import AnswerError

_LOSSES = 10_000  # of a curve, to be shown: more than any training of the course has epochs
# Of the notebook's time, what the episodes of the networks that it gives may take.
_SHARE = 0.75
_TOO_SLOW = (
    "The episodes could not be finished in the {:.0f} s that there were for them. This is not your"
    " fault: tell your instructor."
)

Timed = Callable[[str], contextlib.AbstractContextManager[None]]


@dataclass(frozen=True)
class Rollouts:
    """What the rollouts of a part share.

    folder: of the hand-in files, to which films are added. timed: returns the context in which the
    time of a stage is taken.
    """

    folder: Path
    settings: RunSettings
    timed: Timed

    def of_given_network(self, policy: rubric.Policy) -> tuple[Checkpoint, RolloutResult]:
        """Roll the submitted weights out with the kit's own inference, for a policy whose network
        the notebook gives; AnswerError where they cannot be used.
        """
        checkpoint, infer = load_policy(policy, (), self.folder)
        seconds = self.settings.limits.notebook_seconds * _SHARE
        deadline = time.monotonic() + seconds

        def in_time(nobs: torch.Tensor, batch_size: int) -> torch.Tensor:
            if time.monotonic() > deadline:
                raise AnswerError(_TOO_SLOW.format(seconds))
            return infer(nobs, batch_size)

        with self.timed("rollouts"):
            seeds = self.settings.episode_seeds()
            score = score_policy(
                policy, guarded_inference(policy, in_time), checkpoint.stats, seeds
            )
        with self.timed("audit"):
            flags = audit.flags_on_weights(policy, checkpoint)
        return checkpoint, self._result(policy, checkpoint, score, flags)

    def of_function(
        self,
        policy: rubric.Policy,
        checkpoint: Checkpoint,
        infer: Inference,
        processor_seconds: Callable[[], float],
    ) -> RolloutResult:
        """Roll a function of the student's out, in company (see `company`).

        infer: calls it, outside this process. processor_seconds: returns what its process has used.
        AnswerError where it fails.
        """
        company = Company(
            policy, checkpoint, self.settings.generator(policy.name), processor_seconds
        )
        with self.timed("rollouts"):
            score = score_policy(
                policy, infer, checkpoint.stats, self.settings.episode_seeds(), company.around
            )
        with self.timed("audit"):
            flags = audit.flags_on_answers(policy, checkpoint, score, company.record())
        return self._result(policy, checkpoint, score, flags)

    def _result(
        self, policy: rubric.Policy, checkpoint: Checkpoint, score: Score, flags: list[str]
    ) -> RolloutResult:
        film_file = film_name(policy) if self.settings.filmed else ""
        if film_file:
            with self.timed("film"):
                frames = film(score.episodes.first(self.settings.filmed))
                video.write_video(str(self.folder / film_file), frames)
        return RolloutResult(
            key="",
            per_episode=score.per_episode,
            interval=score.interval,
            one_by_one=score.one_by_one,
            losses=epoch_losses(checkpoint)[:_LOSSES],
            demonstrations=checkpoint.demonstrations,
            film=film_file,
            flags=flags,
        )
