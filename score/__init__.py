"""The functions that a student's notebook calls: checks, rollouts, loss curves, progress, hand-in.

Each name is imported from its module when it is first used.
"""

from typing import TYPE_CHECKING

from pusht.lazy import attach
from pusht.run_mode import RunMode, set_run_mode
from score.graded import graded

if TYPE_CHECKING:
    from score.rollouts.intervals import share_interval as share_interval
    from score.rollouts.loss_curves import compare_losses as compare_losses
    from score.rollouts.loss_curves import reference_loss as reference_loss
    from score.student.check import check as check
    from score.student.comparison import compare_episodes as compare_episodes
    from score.student.comparison import compare_policies as compare_policies
    from score.student.comparison import film_policies as film_policies
    from score.student.comparison import practice_seeds as practice_seeds
    from score.student.comparison import recall as recall
    from score.student.comparison import try_out as try_out
    from score.student.progress import show_standing as show_standing
    from score.student.published_api import score_part1 as score_part1
    from score.student.published_api import score_part2 as score_part2
    from score.student.published_api import score_part3 as score_part3
    from score.student.published_api import test_cosine_beta_schedule as test_cosine_beta_schedule
    from score.student.published_api import test_kl_divergence as test_kl_divergence
    from score.student.rollouts import grade_rollouts as grade_rollouts
    from score.student.trained import trained as trained
    from score.submission.pack import submit as submit
    from score.verdict import Verdict as Verdict
else:
    __getattr__, __dir__, __all__ = attach(
        __name__,
        {
            "rollouts.loss_curves": ("compare_losses", "reference_loss"),
            "rollouts.intervals": ("share_interval",),
            "student.check": ("check",),
            "student.comparison": (
                "compare_episodes",
                "compare_policies",
                "film_policies",
                "practice_seeds",
                "recall",
                "try_out",
            ),
            "student.progress": ("show_standing",),
            "student.published_api": (
                "score_part1",
                "score_part2",
                "score_part3",
                "test_cosine_beta_schedule",
                "test_kl_divergence",
            ),
            "student.rollouts": ("grade_rollouts",),
            "student.trained": ("trained",),
            "submission.pack": ("submit",),
            "verdict": ("Verdict",),
        },
    )

if graded():  # a graded notebook loads the submitted weights, and shows nothing
    set_run_mode(RunMode(train=False, show=False))
