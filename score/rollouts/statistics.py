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
    claims over the episodes of these seeds; the set whose score is nearest to it is taken. The
    first one is where there is no such claim, or none is nearer by more than the rubric's
    `FITS_BETTER`. AnswerError as in `score_policy`.
    """
    none = "Its run keeps no statistics of its normalisation"
    names = {fingerprint: demos.name_of(fingerprint) for fingerprint in sets}
    first = next(iter(sets))
    if logged is None:
        fitting = first
        why = (
            f"{none} and no eval/mean_reward in its log: those of the {names[first]} demonstrations"
            " are used."
        )
    else:
        scores = {
            fingerprint: score_policy(policy, infer, stats, seeds).mean
            for fingerprint, stats in sets.items()
        }
        apart = {fingerprint: abs(score - logged) for fingerprint, score in scores.items()}
        fitting = min(sets, key=lambda one: apart[one] + rubric.FITS_BETTER * (one != first))
        tried = ", ".join(f"{scores[one]:.2f} with the {names[one]} set's" for one in scores)
        clear = apart[fitting] + rubric.FITS_BETTER < min(
            apart[one] for one in sets if one != fitting
        )
        why = (
            f"{none}: those of the {names[fitting]} demonstrations are used, "
            + ("which fit its log best" if clear else "because its log does not tell")
            + f": it says {logged:.2f} ({tried})."
        )
        if min(apart.values()) > rubric.FAR_FROM_LOG:
            why += (
                " Neither is near it. If the training normalised in another way, hand in its"
                " statistics beside the model: a normalizer.json with state_mean, state_std,"
                " action_mean and action_std."
            )
    return replace(checkpoint, stats=sets[fitting], demonstrations=fitting), why
