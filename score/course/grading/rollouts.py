"""Rolls a policy out from the held-out seeds, and keeps what is graded, shown and flagged of it.

How many episodes there is time for is counted by the rubric's `episode_seconds`, which are the same
on every machine and in every run: by the clock, the same submission would get one grade today and
another one tomorrow. The clock only ends what takes several times as long; that is told.
"""

import contextlib
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch

from pusht import video
from pusht.checkpoint import Checkpoint
from score import rubric
from score.course.grading import audit
from score.course.grading.company import Company
from score.course.grading.results import RolloutResult, film_name
from score.course.sandbox.whose import GraderFailure
from score.course.settings import RunSettings
from score.rollouts.evaluate import Chunks, OutOfTime, Score, film, score_until_certain
from score.rollouts.loss_curves import epoch_losses
from score.rollouts.policies import Inference, load_policy

_LOSSES = 10_000  # of a curve, to be shown: more than any training of the course has epochs
# Of the notebook's time that is left, what the episodes of a policy may take. On a machine as fast
# as the rubric's `episode_seconds` suppose, the number of episodes ends them long before.
_SHARE = 0.75
# Of the time of a check, after which the kernel is no longer waited for.
_SHARE_OF_CHECK = 0.9
_TOO_SLOW = (
    "The episodes could not be finished in the {:.0f} s that there were for them. This is not your"
    " fault: tell your instructor."
)

_TOO_SLOW_HERE = (
    "The machine could not finish {}'s first episodes in {:.0f} s: grade fewer notebooks at a time."
)

CHECK_SECONDS = 1800  # that the check of a policy's rollouts may take

Timed = Callable[[str], contextlib.AbstractContextManager[None]]


@dataclass(frozen=True)
class Rollouts:
    """What the rollouts of a part share.

    folder: of the hand-in files, to which films are added. timed: returns the context in which the
    time of a stage is taken. done: those of the part's policies so far, by name.
    """

    folder: Path
    settings: RunSettings
    timed: Timed
    done: Mapping[str, RolloutResult]
    started: float = field(default_factory=time.monotonic)

    def of_given_network(self, policy: rubric.Policy) -> tuple[Checkpoint, RolloutResult]:
        """Roll the submitted weights out with the kit's own inference, for a policy whose network
        the notebook gives; AnswerError where they cannot be used.
        """
        checkpoint, infer = load_policy(policy, (), self.folder)
        seconds = self._seconds_left()
        deadline = time.monotonic() + seconds

        def in_time(nobs: torch.Tensor, batch_size: int) -> torch.Tensor:
            if time.monotonic() > deadline:
                raise OutOfTime(_TOO_SLOW.format(seconds))
            with torch.no_grad():
                return infer(nobs.clone(), batch_size)

        with self.timed("rollouts"):
            try:
                score = self._score(policy, checkpoint, in_time, seconds)
            except OutOfTime as error:
                if self.settings.at_once:  # the time is what Gradescope gives, whatever the machine
                    raise
                raise GraderFailure(_TOO_SLOW_HERE.format(policy.title, seconds)) from error
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
        check = min(CHECK_SECONDS, self.settings.limits.cell_seconds) * _SHARE_OF_CHECK
        seconds = min(self._seconds_left(), check)
        with self.timed("rollouts"):
            score = self._score(policy, checkpoint, infer, seconds, company.around)
        with self.timed("audit"):
            flags = audit.flags_on_answers(policy, checkpoint, score, company.record())
        return self._result(policy, checkpoint, score, flags)

    def _seconds_left(self) -> float:
        """Return the seconds by the clock that the episodes of the next policy may take."""
        notebook = self.settings.limits.notebook_seconds
        return _SHARE * max(0.0, notebook - (time.monotonic() - self.started))

    def _score(
        self,
        policy: rubric.Policy,
        checkpoint: Checkpoint,
        infer: Inference,
        seconds: float,
        around: Callable[[Chunks], Chunks] | None = None,
    ) -> Score:
        """Return the score of a policy. Only its first episodes are kept, for the film."""
        part, started = rubric.part_of(policy), time.monotonic()
        later = [p for p in part.policies if p.name not in {policy.name, *self.done}]
        counted = self.settings.seconds - spent(self.done) - kept_for(later)

        def in_time(share: float) -> bool:
            return (time.monotonic() - started) * (1 + share) < seconds

        return score_until_certain(
            policy,
            infer,
            checkpoint,
            self.settings.episode_seeds,
            partial(most_episodes, policy, self.settings.episodes, counted),
            kept=self.settings.filmed,
            around=around,
            in_time=in_time,
        )

    def _result(
        self, policy: rubric.Policy, checkpoint: Checkpoint, score: Score, flags: list[str]
    ) -> RolloutResult:
        film_file = film_name(policy) if self.settings.filmed else ""
        if film_file:
            with self.timed("film"):
                frames = film(score.episodes)
                video.write_video(str(self.folder / film_file), frames)
        return RolloutResult(
            key="",
            per_episode=score.per_episode,
            interval=score.interval,
            stop=score.stop,
            one_by_one=score.one_by_one,
            losses=epoch_losses(checkpoint)[:_LOSSES],
            demonstrations=checkpoint.demonstrations,
            film=film_file,
            flags=flags,
        )


def most_episodes(policy: rubric.Policy, episodes: int, seconds: float, one_by_one: bool) -> int:
    """Return the largest number of episodes in a grade: at most `episodes`, as many as there are
    seconds for, and no fewer than a block.

    one_by_one: whether its function takes no batch.
    """
    in_time = int(seconds / episode_seconds(policy, one_by_one))
    return min(episodes, max(in_time, rubric.BLOCK))


def episode_seconds(policy: rubric.Policy, one_by_one: bool) -> float:
    """Return the seconds that an episode of a policy counts."""
    return policy.episode_seconds * (rubric.ONE_BY_ONE if one_by_one else 1)


def spent(rollouts: Mapping[str, RolloutResult]) -> float:
    """Return the seconds that rollouts, by policy's name, count together."""
    return sum(
        len(result.per_episode) * episode_seconds(rubric.POLICIES[name], result.one_by_one)
        for name, result in rollouts.items()
    )


def kept_for(policies: Iterable[rubric.Policy]) -> float:
    """Return the seconds that are left to policies which are rolled out later."""
    return sum(
        max(rubric.KEPT_SECONDS, rubric.KEPT_EPISODES * policy.episode_seconds)
        for policy in policies
    )
