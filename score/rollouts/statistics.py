"""Find out with which demonstrations' statistics a policy was trained, by the reward that its own
log claims.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from pusht import demos
from pusht.checkpoint import Checkpoint
from pusht.normalisation import Stats
from score import rubric
from score.rollouts.evaluate import score_policy
from score.rollouts.policies import Inference

_OTHERWISE = (
    " Neither is near it. If the training normalised in another way, hand in its statistics beside"
    " the model: a normalizer.json with state_mean, state_std, action_mean and action_std."
)


def with_fitting_statistics(
    policy: rubric.Policy,
    checkpoint: Checkpoint,
    infer: Inference,
    sets: Mapping[str, Stats],
    logged: float | None,
    seeds: Sequence[int],
) -> tuple[Checkpoint, str]:
    """Return (the checkpoint with the statistics and the fingerprint of one of the sets, a sentence
    on why).

    sets: statistics by the demonstrations' fingerprint. logged: the mean reward that the run's log
    claims over the episodes of these seeds; the set whose score is nearest to it is taken or, where
    none is within `FAR_FROM_LOG`, that with the highest score. The first one is where there is no
    such claim, or none is better by more than the rubric's `FITS_BETTER`. AnswerError as in
    `score_policy`.
    """
    none = "Its run keeps no statistics of its normalisation"
    names = {fingerprint: demos.name_of(fingerprint) for fingerprint in sets}
    fitting = next(iter(sets))
    if logged is None:
        why = (
            f"{none} and no eval/mean_reward in its log: those of the {names[fitting]}"
            " demonstrations are used."
        )
    else:
        scores = {
            fingerprint: score_policy(policy, infer, stats, seeds).mean
            for fingerprint, stats in sets.items()
        }
        fitting, reason, more = _fitting(scores, logged)
        tried = ", ".join(f"{scores[one]:.2f} with the {names[one]} set's" for one in scores)
        why = (
            f"{none}: those of the {names[fitting]} demonstrations are used, {reason}: it says"
            f" {logged:.2f} ({tried}).{more}"
        )
    return replace(checkpoint, stats=sets[fitting], demonstrations=fitting), why


def _fitting(scores: Mapping[str, float], logged: float) -> tuple[str, str, str]:
    """Return (the set that is taken, why, what the student may do). scores: by set."""
    first, margin = next(iter(scores)), rubric.FITS_BETTER
    apart = {one: abs(score - logged) for one, score in scores.items()}
    if min(apart.values()) > rubric.FAR_FROM_LOG:  # other statistics only lower a score
        best = max(scores, key=lambda one: scores[one] + margin * (one == first))
        return best, "because its log does not tell", _OTHERWISE * (scores[best] < logged)
    fitting = min(scores, key=lambda one: apart[one] + margin * (one != first))
    others = [apart[one] for one in scores if one != fitting]
    clear = apart[fitting] + margin < min(others)
    return fitting, "which fit its log best" if clear else "because its log does not tell", ""
