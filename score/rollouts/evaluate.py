"""Roll out a policy from seeds, and compute its score, the score's interval and the points."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch

from pusht import render
from pusht.checkpoint import Checkpoint
from pusht.episodes import Episodes, joined, receding_horizon, rollout
from pusht.normalisation import Stats
from pusht.progress import progress_bar
from score import rubric
from score.rollouts import stopping
from score.rollouts.policies import BatchedInference, Inference
from score.rollouts.stopping import Stop
from score.verdict import AnswerError, Verdict

Chunks = Callable[[torch.Tensor], torch.Tensor]

_RESAMPLES = 10_000


@dataclass(frozen=True)
class Score:
    """A policy's score: the mean of its episodes' largest rewards, with a 95 % interval.

    per_episode: the largest reward of each. episodes: the records of the first of them, as many as
    were asked for. stop: why there were no more, None where their number was given.
    """

    policy: str
    episodes: Episodes
    one_by_one: bool
    per_episode: list[float]
    interval: tuple[float, float]
    stop: Stop | None = None

    @property
    def mean(self) -> float:
        """The mean of `per_episode`."""
        return float(np.mean(self.per_episode))

    def __str__(self) -> str:
        low, high = self.interval
        return (
            f"{self.mean:.3f} over {len(self.per_episode)} episodes (95 % interval {low:.2f} to"
            f" {high:.2f})"
        )


class Scored(Protocol):
    """What a verdict on rollouts is made from: a `Score`, or what a grader has kept of one."""

    @property
    def per_episode(self) -> list[float]: ...
    @property
    def interval(self) -> tuple[float, float]: ...
    @property
    def one_by_one(self) -> bool: ...
    @property
    def stop(self) -> Stop | None: ...


class OutOfTime(AnswerError):
    """Raised by a policy when there is no time left for its episodes."""


def bootstrap_interval(
    scores: Sequence[float] | np.ndarray, level: float = 0.95
) -> tuple[float, float]:
    """Return the bootstrap interval (low, high) of the mean of scores, by resampling episodes.

    The resampling is seeded, so the same scores give the same interval.
    """
    scores = np.asarray(scores, dtype=np.float64)
    picks = np.random.default_rng(0).integers(len(scores), size=(_RESAMPLES, len(scores)))
    low, high = np.quantile(scores[picks].mean(axis=1), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def score_policy(
    policy: rubric.Policy,
    infer: Inference,
    stats: Stats,
    seeds: Sequence[int],
    around: Callable[[Chunks], Chunks] | None = None,
) -> Score:
    """Roll a policy out from all of these seeds, with the rubric's horizons, and return its
    `Score`.

    infer: see `policies`; use `guarded_inference` for a student's code. stats: of the policy's
        normalisation, by range or by moments. around: returns what is called in place of the
        function from nobs (B, obs_horizon, 5) to naction (B, pred_horizon, 2).
    AnswerError when it returns anything other than actions.
    """
    batched = BatchedInference(policy, infer)
    with _bar(policy, len(seeds)) as bar:
        chunks = around(batched) if around else batched
        episodes = _rolled_out(policy, chunks, stats, seeds, bar)
    per_episode = episodes.max_rewards.tolist()
    interval = bootstrap_interval(per_episode)
    return Score(policy.name, episodes, batched.one_by_one, per_episode, interval)


def score_until_certain(
    policy: rubric.Policy,
    infer: Inference,
    checkpoint: Checkpoint,
    seeds: Callable[[int], Sequence[int]],
    most: Callable[[bool], int],
    *,
    least: int = 0,
    kept: int | None = None,
    around: Callable[[Chunks], Chunks] | None = None,
    in_time: Callable[[float], bool] = lambda share: True,
) -> Score:
    """Roll a policy out in blocks until its points are certain enough, and return its `Score`.

    infer, around: as for `score_policy`; `around` is called for each block. seeds: returns the
        first so many seeds, which are the same for every policy. most: returns the largest number
        of episodes, given whether the function takes no batch. least: the smallest number. kept:
        how many records are kept; all when None. in_time: says whether there is time for a block of
        episodes as large as this share of those before it.
    AnswerError when it returns anything other than actions, OutOfTime in the first block.
    """
    batched, target = BatchedInference(policy, infer), policy.target(checkpoint.demonstrations)
    scores, records = list[float](), list[Episodes]()
    stop, bounds = Stop.MOST, (0.0, 1.0)
    with _bar(policy, None) as bar:
        for number, block in enumerate(stopping.blocks(most(False))):
            if batched.one_by_one and block.stop > most(True):
                break
            if number and not in_time(len(block) / len(scores)):
                stop = Stop.TIME
                break
            chunks = around(batched) if around else batched
            of_block = seeds(block.stop)[block.start :]
            try:
                episodes = _rolled_out(policy, chunks, checkpoint.stats, of_block, bar, number)
            except OutOfTime:
                if not scores:
                    raise
                stop = Stop.TIME
                break
            scores += episodes.max_rewards.tolist()
            records.append(
                episodes.first(len(block) if kept is None else max(0, kept - block.start))
            )
            bounds = stopping.interval(scores)
            why = stopping.enough(policy, target, bounds)
            if why and len(scores) >= least:
                stop = why
                break
    return Score(policy.name, joined(records), batched.one_by_one, scores, bounds, stop)


def _bar(policy: rubric.Policy, total: int | None) -> Any:
    return progress_bar(total, f"{policy.title}, episodes", unit="episode")


def _rolled_out(
    policy: rubric.Policy,
    chunks: Chunks,
    stats: Stats,
    seeds: Sequence[int],
    bar: Any,
    torch_seed: int = 0,
) -> Episodes:
    before = bar.n

    def after_step(ended: int, total: int) -> None:
        bar.update(before + ended - bar.n)

    act = receding_horizon(
        chunks, stats, obs_horizon=policy.obs_horizon, action_horizon=policy.action_horizon
    )
    return rollout(
        act,
        list(seeds),
        obs_horizon=policy.obs_horizon,
        max_steps=policy.max_steps,
        rules=policy.rules,
        torch_seed=torch_seed,
        after_step=after_step,
    )


def judge_policy(
    policy: rubric.Policy, checkpoint: Checkpoint, infer: Inference, seeds: Sequence[int]
) -> tuple[Verdict, Score]:
    """Roll a policy out from all of these seeds by the rules of a grade; return the `Verdict` and
    the `Score`.

    AnswerError as in `score_policy`.
    """
    count = len(seeds)
    score = score_until_certain(
        policy,
        infer,
        checkpoint,
        lambda first: seeds[:first],
        lambda one_by_one: count,
        least=count,
    )
    return rollouts_verdict(policy, checkpoint.demonstrations, score), score


def rollouts_verdict(policy: rubric.Policy, demonstrations: str, score: Scored) -> Verdict:
    """Return the `Verdict` for a score, by the current rubric.

    demonstrations: the fingerprint of those that the policy learned.
    """
    mean, target = float(np.mean(score.per_episode)), policy.target(demonstrations)
    low, high = score.interval
    worst, best = (stopping.rollout_points(policy, bound, target) for bound in (low, high))
    solved = float(np.mean([reward >= 1 for reward in score.per_episode]))
    sentence = (
        f"Score {mean:.3f} over {len(score.per_episode)} episodes (95 % interval {low:.2f} to"
        f" {high:.2f}, in points {worst:.2f} to {best:.2f}), {solved:.0%} of them solved;"
        f" {target:.2f} earns all points, {policy.baseline:.2f} none."
    )
    if score.stop:
        sentence += " " + score.stop.sentence(policy)
    if score.one_by_one:
        sentence += " The function was called with one observation at a time: it takes no batch."
    earned = stopping.rollout_points(policy, mean, target)
    return Verdict(policy.rollouts_title, earned, float(policy.points), sentence)


def no_rollouts(policy: rubric.Policy, error: AnswerError) -> Verdict:
    """Return the `Verdict` for a policy that could not be rolled out."""
    return Verdict(policy.rollouts_title, 0.0, float(policy.points), str(error))


def film(episodes: Episodes, size: int = 128, columns: int = 5) -> np.ndarray:
    """Return frames (T, H, W, 3) uint8 of a film of the episodes side by side."""
    return render.grid(
        [
            render.render_many(
                states, actions=np.concatenate([np.full((1, 2), np.nan), actions]), size=size
            )
            for states, actions in zip(episodes.states, episodes.actions)
        ],
        columns=columns,
    )
