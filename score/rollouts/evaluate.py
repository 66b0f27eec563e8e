"""Seeded rollouts of a student's policy -> score with its interval -> grade."""

import os
from dataclasses import dataclass, replace

import numpy as np
import torch

from pusht import render, video
from pusht.checkpoint import SUFFIX, CheckpointError, load_checkpoint
from pusht.dataset import normalize_data
from pusht.episodes import Episodes, receding_horizon, reproducible, rollout
from pusht.progress import progress_bar
from score import rubric
from score.graded import graded
from score.protocol import converse
from score.rollouts.policies import asked
from score.student.progress import keep_score, keep_verdict
from score.verdict import AnswerError, Verdict, call_answer

_BOOTSTRAPS = 10_000
# a scaled action this far outside the table is cut off: much further, and the physics is no longer
# finite
_LARGEST = 100


@dataclass(frozen=True)
class Score:
    """The score of a policy: its episodes, the mean of their largest rewards and the 95 % bootstrap
    interval of it.
    """

    policy: str
    episodes: Episodes
    one_by_one: bool
    mean: float
    interval: tuple

    @property
    def per_episode(self):
        return self.episodes.max_rewards.tolist()

    def __str__(self):
        return _told(self.per_episode)


def bootstrap_interval(scores, level=0.95):
    """(low, high): the interval of the mean of `scores` that resampling the episodes gives; always
    the same for the same scores.
    """
    scores = np.asarray(scores, dtype=np.float64)
    picks = np.random.default_rng(0).integers(len(scores), size=(_BOOTSTRAPS, len(scores)))
    low, high = np.quantile(scores[picks].mean(axis=1), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def score_policy(policy, ask, stats, seeds):
    """Roll a policy out from `seeds` as the rubric's `policy` says and return the `Score`.

    ask: function (nobs, batch_size) -> naction (batch_size, pred_horizon, 2), AnswerError where
        there is none; nobs is (batch_size, obs_horizon, 5). See `called` for what a student wrote.
    AnswerError when it answers anything else.
    """
    ask = _Asked(ask, policy)
    with progress_bar(len(seeds), f"{policy.title}, episodes", unit="episode") as bar:

        def after_step(ended, total):
            bar.update(ended - bar.n)

        act = receding_horizon(
            ask, stats, obs_horizon=policy.obs_horizon, action_horizon=policy.action_horizon
        )
        episodes = rollout(
            act,
            list(seeds),
            obs_horizon=policy.obs_horizon,
            max_steps=policy.max_steps,
            after_step=after_step,
        )
    scores = episodes.max_rewards
    return Score(
        policy.name, episodes, ask.one_by_one, float(scores.mean()), bootstrap_interval(scores)
    )


def called(policy, infer):
    """A student's inference as `score_policy` asks it: naction as a float32 tensor, AnswerError for
    whatever else it does.
    """

    def ask(nobs, batch_size):
        with (
            torch.no_grad()
        ):  # whether gradients are switched off is the inference question's to ask
            naction = call_answer(policy.asked, infer, nobs.clone(), batch_size)
        if not isinstance(naction, torch.Tensor) or not naction.is_floating_point():
            kind = naction.dtype if isinstance(naction, torch.Tensor) else type(naction).__name__
            raise AnswerError(f"{policy.asked} returned {kind} where a float tensor is needed.")
        return call_answer(policy.asked, lambda: naction.detach().to("cpu", torch.float32))

    return ask


class _Asked:
    """A policy asked for a whole batch, or one observation at a time where it serves no more."""

    def __init__(self, ask, policy):
        self.ask, self.shape, self.name = ask, (policy.pred_horizon, 2), policy.asked
        self.one_by_one = False
        self._single = None

    def __call__(self, nobs):
        if not self.one_by_one:
            try:
                return self._asked(nobs, len(nobs))
            except AnswerError as error:
                self._single = self._way_to_ask_one(nobs[0], error)
                self.one_by_one = True
        return torch.cat([self._asked(self._single(row), 1) for row in nobs])

    def _way_to_ask_one(self, row, batch_error):
        # The published loop hands over (obs_horizon, 5) without a batch dimension; newer functions
        # may rely on one.
        for single in (lambda r: r[None], lambda r: r):
            try:
                self._asked(single(row), 1)
                return single
            except AnswerError:
                pass
        raise batch_error  # the others may only tell what is wrong with asking this way

    def _asked(self, nobs, batch_size):
        naction = self.ask(nobs, batch_size)
        if naction.shape != (batch_size, *self.shape):
            raise AnswerError(
                f"{self.name} returned shape {tuple(naction.shape)} where"
                f" {(batch_size, *self.shape)} is needed."
            )
        if not torch.isfinite(naction).all():
            raise AnswerError(f"{self.name} returned numbers that are not finite.")
        return naction.clamp(-_LARGEST, _LARGEST)


def grade_rollouts(name, *answer, folder="."):
    """Have a policy, such as "part1_mlp", judged by its rollouts; show, keep and return the
    `Verdict`.

    answer: what the notebook has for it: the inference function and the network (Parts I and II),
    these and the noise scheduler (Part III), the policy object (Part IV). The network gets the
    weights of the hand-in file in `folder`. A student's own run uses practice episodes; in class
    the grader rolls out its own, and asks for nothing but actions.
    """
    policy = rubric.POLICIES[name]
    if graded():
        with reproducible(0):
            return converse(
                {"rollouts": name},
                _actions(policy, answer, folder),
                rollouts_title(policy),
                policy.points,
            )
    seeds = practice_seeds(rubric.PRACTICE_SEEDS)
    try:
        checkpoint, infer = _loaded(policy, answer, folder)
        verdict, score = rolled_out(policy, checkpoint, called(policy, infer), seeds)
    except AnswerError as error:
        verdict = no_rollouts(policy, error)
        keep_verdict(name, verdict, folder)
        return verdict.show()
    keep_verdict(name, verdict, folder)
    start = normalize_data(
        score.episodes.states[0][:1].repeat(policy.obs_horizon, axis=0),
        checkpoint.stats["obs"],
    )
    if not score.one_by_one:
        keep_score(score, infer, torch.from_numpy(start).float()[None], folder)
    return replace(verdict, sentence=f"{verdict.sentence} The grade uses other episodes.").show()


def rolled_out(policy, checkpoint, ask, seeds):
    """(`Verdict`, `Score`) of a policy on the episodes of these seeds; see `score_policy`, whose
    AnswerError it raises.
    """
    score = score_policy(policy, ask, checkpoint.stats, seeds)
    return rollouts_verdict(policy, checkpoint, score.per_episode, score.one_by_one), score


def rollouts_verdict(policy, checkpoint, per_episode, one_by_one):
    """The `Verdict` on episodes' largest rewards, by the rubric as it stands now."""
    mean, target = float(np.mean(per_episode)), policy.target(checkpoint.demonstrations)
    sentence = (
        f"Score {_told(per_episode)}; {target:.2f} earns all points, {policy.baseline:.2f} none."
    )
    if one_by_one:
        sentence += " Asked one observation at a time: the function serves no batch."
    return Verdict(
        rollouts_title(policy), rollout_points(policy, mean, target), float(policy.points), sentence
    )


def _told(per_episode):
    low, high = bootstrap_interval(per_episode)
    return (
        f"{np.mean(per_episode):.3f} over {len(per_episode)} episodes (95 % interval {low:.2f} to"
        f" {high:.2f})"
    )


def no_rollouts(policy, error):
    """The `Verdict` on a policy that could not be rolled out."""
    return Verdict(rollouts_title(policy), 0.0, float(policy.points), str(error))


def rollouts_title(policy):
    return f"{policy.title} rollouts"


def handed_in(policy, folder):
    """The `Checkpoint` of a policy's hand-in file in `folder`; AnswerError where there is none that
    can be used.
    """
    try:
        return load_checkpoint(os.path.join(folder, policy.name + SUFFIX), policy.normalisation)
    except CheckpointError as error:
        raise AnswerError(str(error)) from None


def _loaded(policy, answer, folder):
    """(checkpoint, infer) of the hand-in file in `folder`, its weights in the notebook's network."""
    checkpoint = handed_in(policy, folder)
    model, infer = asked(policy, answer)
    if not isinstance(model, torch.nn.Module):
        raise AnswerError(
            f"The network is a {type(model).__name__}: an earlier cell that makes it was changed or"
            " failed."
        )
    try:
        checkpoint.restore(model)
    except CheckpointError as error:
        raise AnswerError(str(error)) from None
    return checkpoint, infer


def _actions(policy, answer, folder):
    """What a kernel answers the grader: first that the weights are loaded, then actions for
    observations.
    """
    ask = None

    def act(given):
        nonlocal ask
        if ask is None:
            ask = called(policy, _loaded(policy, answer, folder)[1])
            return True
        return ask(torch.from_numpy(given["nobs"]), given["batch_size"]).numpy()

    return act


def rollout_points(policy, mean, target):
    """Points, a plain float, for a mean score, where `target` earns all of them."""
    share = (mean - policy.baseline) / (target - policy.baseline)
    return float(np.clip(share, 0, 1) * policy.points)


def practice_seeds(seeds):
    """The seeds of a student's own run: fewer where PUSHT_MAX_EPISODES asks for a quick look."""
    return seeds[: int(os.environ.get("PUSHT_MAX_EPISODES", len(seeds)))]


def practice_score(policy, infer, stats, video_path):
    """The published grading cell: ten episodes, a line each, the average, the published grade, a
    film of all ten.
    """
    score = score_policy(
        policy, called(policy, infer), stats, practice_seeds(rubric.PUBLISHED_SEEDS)
    )
    if score.one_by_one:
        print(
            "The inference function serves one observation at a time, so the episodes ran one by"
            " one."
        )
    for seed, reward in zip(score.episodes.seeds, score.per_episode):
        print(f"Episode {seed}: score {reward:.4f}")
    low, high = score.interval
    print(
        f"{policy.title} average score: {score.mean:.4f} (95 % interval {low:.2f} to {high:.2f}:"
        " ten episodes say no more)"
    )
    print(
        f"{policy.title} grade: {score.mean:.2f} / {policy.published:.2f} * {policy.points} = "
        f"{min(score.mean / policy.published, 1) * policy.points:.2f}"
    )
    video.write_video(video_path, film(score.episodes))
    print(f"Film of all ten: {video_path}")
    return score


def film(episodes, size=128, columns=5):
    """Frames (T, H, W, 3) of the episodes beside each other."""
    return render.grid(
        [
            render.render_many(
                states, actions=np.concatenate([np.full((1, 2), np.nan), actions]), size=size
            )
            for states, actions in zip(episodes.states, episodes.actions)
        ],
        columns=columns,
    )
