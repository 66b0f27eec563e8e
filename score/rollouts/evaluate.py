"""Roll out a policy from seeds, and compute its score, the score's interval and the points."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pusht import render
from pusht.checkpoint import Checkpoint
from pusht.episodes import Episodes, receding_horizon, rollout
from pusht.normalisation import Stats
from pusht.progress import progress_bar
from score import rubric
from score.rollouts.policies import BatchedInference, Inference
from score.verdict import AnswerError, Verdict

_RESAMPLES = 10_000


@dataclass(frozen=True)
class Score:
    """A policy's score: the mean of its episodes' largest rewards, with a 95 % interval."""

    policy: str
    episodes: Episodes
    one_by_one: bool
    mean: float
    interval: tuple[float, float]

    @property
    def per_episode(self) -> list[float]:
        """The largest reward of each episode."""
        return self.episodes.max_rewards.tolist()

    def __str__(self) -> str:
        return _describe(self.per_episode)


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
    policy: rubric.Policy, infer: Inference, stats: Stats, seeds: Sequence[int]
) -> Score:
    """Roll a policy out from these seeds, with the rubric's horizons, and return its `Score`.

    infer: see `policies`; use `guarded_inference` for a student's code. stats: of the policy's
        normalisation, by range or by moments.
    AnswerError when it returns anything other than actions.
    """
    batched = BatchedInference(policy, infer)
    with progress_bar(len(seeds), f"{policy.title}, episodes", unit="episode") as bar:

        def after_step(ended: int, total: int) -> None:
            bar.update(ended - bar.n)

        act = receding_horizon(
            batched, stats, obs_horizon=policy.obs_horizon, action_horizon=policy.action_horizon
        )
        episodes = rollout(
            act,
            list(seeds),
            obs_horizon=policy.obs_horizon,
            max_steps=policy.max_steps,
            rules=policy.rules,
            after_step=after_step,
        )
    scores = episodes.max_rewards
    return Score(
        policy.name, episodes, batched.one_by_one, float(scores.mean()), bootstrap_interval(scores)
    )


def judge_policy(
    policy: rubric.Policy, checkpoint: Checkpoint, infer: Inference, seeds: Sequence[int]
) -> tuple[Verdict, Score]:
    """Roll a policy out from these seeds; return the `Verdict` and the `Score`.

    AnswerError as in `score_policy`.
    """
    score = score_policy(policy, infer, checkpoint.stats, seeds)
    return rollouts_verdict(policy, checkpoint, score.per_episode, score.one_by_one), score


def rollouts_verdict(
    policy: rubric.Policy, checkpoint: Checkpoint, per_episode: Sequence[float], one_by_one: bool
) -> Verdict:
    """Return the `Verdict` for the episodes' largest rewards, by the current rubric."""
    mean, target = float(np.mean(per_episode)), policy.target(checkpoint.demonstrations)
    sentence = (
        f"Score {_describe(per_episode)}; {target:.2f} earns all points, {policy.baseline:.2f}"
        " none."
    )
    if one_by_one:
        sentence += " The function was called with one observation at a time: it takes no batch."
    points = rollout_points(policy, mean, target)
    return Verdict(policy.rollouts_title, points, float(policy.points), sentence)


def no_rollouts(policy: rubric.Policy, error: AnswerError) -> Verdict:
    """Return the `Verdict` for a policy that could not be rolled out."""
    return Verdict(policy.rollouts_title, 0.0, float(policy.points), str(error))


def rollout_points(policy: rubric.Policy, mean: float, target: float) -> float:
    """Return the points for a mean score; `target` earns all of them."""
    share = (mean - policy.baseline) / (target - policy.baseline)
    return float(np.clip(share, 0, 1) * policy.points)


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


def _describe(per_episode: Sequence[float]) -> str:
    low, high = bootstrap_interval(per_episode)
    return (
        f"{np.mean(per_episode):.3f} over {len(per_episode)} episodes (95 % interval {low:.2f} to"
        f" {high:.2f})"
    )
