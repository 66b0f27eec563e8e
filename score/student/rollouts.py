"""Functions with which students roll out a policy: the check of a part, and the published one."""

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch

from pusht import video
from pusht.episodes import reproducible
from pusht.normalisation import Stats, normalize_data
from score import rubric
from score.graded import graded, rehearsed, validated
from score.protocol import converse
from score.rerun.shell import explain, note
from score.rollouts.evaluate import Score, film, judge_policy, no_rollouts, score_policy
from score.rollouts.given import NETWORKS
from score.rollouts.policies import Inference, guarded_inference, load_policy
from score.student.comparison import keep_score, practice_seeds
from score.student.progress import keep_verdict
from score.student.surroundings import usual_surroundings
from score.verdict import AnswerError, Verdict

_PRACTICE = "The grade uses other starts, and runs episodes until its points are certain enough."
_REHEARSED_EPISODES, _REHEARSED_STEPS = 4, 40


def grade_rollouts(name: str, *answer: Any, folder: str | os.PathLike[str] = ".") -> Verdict:
    """Judge a policy, such as "part1_mlp", by its rollouts; show, save and return the `Verdict`.

    answer: what acts: a policy object (Part IV), or an inference function and its network. In
        Parts I to III the kit itself acts with the notebook's network, and nothing is needed.
    folder: folder of the checkpoint, whose weights are loaded into the network.

    In practice, the practice episodes are rolled out here. When graded, the grader rolls out other
    episodes, and this process only returns actions, in Parts I to III not even these.
    """
    policy = rubric.POLICIES[name]
    given = policy.method in NETWORKS
    if rehearsed():
        return note(name, _rehearsal(policy, () if given else answer, folder))
    if graded() and given and not validated():
        sentence = "The grader rolls the submitted weights out, outside this notebook."
        return Verdict(policy.rollouts_title, 0.0, float(policy.points), sentence).show()
    if graded() and not validated():
        with reproducible(0), usual_surroundings():
            return converse(
                {"rollouts": name},
                _serve_actions(policy, answer, folder),
                policy.rollouts_title,
                policy.points,
            )
    try:
        with usual_surroundings():
            checkpoint, infer = load_policy(policy, () if given else answer, folder)
            guarded = guarded_inference(policy, infer)
            seeds = practice_seeds(rubric.PRACTICE_SEEDS)
            verdict, score = judge_policy(policy, checkpoint, guarded, seeds)
    except AnswerError as error:
        verdict = no_rollouts(policy, error)
        if not validated():
            keep_verdict(name, verdict, folder)
        return verdict.show()
    if validated():
        return verdict.show()
    keep_verdict(name, verdict, folder)
    if not score.one_by_one:
        obs = score.episodes.states[0][:1].repeat(policy.obs_horizon, axis=0)
        nobs = normalize_data(obs, checkpoint.stats["obs"])
        keep_score(score, infer, torch.from_numpy(nobs).float()[None], folder)
    return replace(verdict, sentence=f"{verdict.sentence} {_PRACTICE}").show()


def _rehearsal(
    policy: rubric.Policy, answer: Sequence[Any], folder: str | os.PathLike[str]
) -> Verdict:
    """Return all points for a policy that acts in the first steps of a few episodes: its score is
    known from practice, and more episodes would take minutes.
    """
    short = replace(policy, max_steps=_REHEARSED_STEPS)
    seeds = practice_seeds(rubric.PRACTICE_SEEDS[:_REHEARSED_EPISODES])
    try:
        with usual_surroundings():
            checkpoint, infer = load_policy(policy, answer, folder)
            score_policy(short, guarded_inference(policy, infer), checkpoint.stats, seeds)
    except AnswerError as error:
        return no_rollouts(policy, AnswerError(f"{error}{explain(error)}"))
    points = float(policy.points)
    return Verdict(policy.rollouts_title, points, points, "It acts.")


def _serve_actions(
    policy: rubric.Policy, answer: Sequence[Any], folder: str | os.PathLike[str]
) -> Callable[[Any], Any]:
    """Return the function that answers the grader: first, when the weights are loaded, True or
    what a policy of a submission in another format says of itself, then actions.
    """
    infer: Inference | None = None

    def reply(inputs: Any) -> Any:
        nonlocal infer
        try:
            if infer is None:
                infer = guarded_inference(policy, load_policy(policy, answer, folder)[1])
                message = getattr(answer[-1], "kernel_message", None)
                return message if type(message) is dict else True
            return infer(torch.from_numpy(inputs["nobs"]), inputs["batch_size"]).numpy()
        except AnswerError as error:
            raise AnswerError(f"{error}{explain(error)}") from error

    return reply


def practice_score(policy: rubric.Policy, infer: Inference, stats: Stats, video_path: str) -> Score:
    """Score a policy as the published grading cell does, and return the `Score`.

    This prints a line for each of ten episodes, their average and the published grade, and writes a
    film of all ten to `video_path`.
    """
    assert policy.published is not None, "The published assignment has no such policy."
    seeds = practice_seeds(rubric.PUBLISHED_SEEDS)
    score = score_policy(policy, guarded_inference(policy, infer), stats, seeds)
    if score.one_by_one:
        print(
            "The inference function takes no batch, so it was called with one observation at a"
            " time."
        )
    for seed, reward in zip(score.episodes.seeds, score.per_episode):
        print(f"Episode {seed}: score {reward:.4f}")
    low, high = score.interval
    print(
        f"{policy.title} average score: {score.mean:.4f} (95 % interval {low:.2f} to {high:.2f};"
        " ten episodes are too few for a narrower one)"
    )
    print(
        f"{score.episodes.successes.sum()} of {len(score.per_episode)} episodes solved; mean reward"
        f" at the end: {score.episodes.final_rewards.mean():.4f}"
    )
    print(
        f"{policy.title} grade: {score.mean:.2f} / {policy.published:.2f} * {policy.points} = "
        f"{min(score.mean / policy.published, 1) * policy.points:.2f}"
    )
    video.write_video(video_path, film(score.episodes))
    print(f"Film of all ten: {video_path}")
    return score
