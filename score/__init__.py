"""What a student's notebook calls: checks, rollouts, loss curves, progress, the submission."""

from score.rollouts.loss_curves import compare_losses, reference_loss
from score.student.check import check
from score.student.comparison import (
    compare_episodes,
    compare_policies,
    film_policies,
    recall,
    try_out,
)
from score.student.progress import show_standing
from score.student.published_api import (
    score_part1,
    score_part2,
    score_part3,
    test_cosine_beta_schedule,
    test_kl_divergence,
)
from score.student.rollouts import grade_rollouts
from score.submission.pack import submit
from score.verdict import Verdict

__all__ = [
    "Verdict",
    "check",
    "compare_episodes",
    "compare_losses",
    "compare_policies",
    "film_policies",
    "grade_rollouts",
    "recall",
    "reference_loss",
    "score_part1",
    "score_part2",
    "score_part3",
    "show_standing",
    "submit",
    "test_cosine_beta_schedule",
    "test_kl_divergence",
    "try_out",
]
