"""The rubric: all numbers that a grade depends on, and where they come from."""

from collections.abc import Collection
from functools import partial

from pusht import resources
from pusht.normalisation import MOMENTS
from pusht.rules import GYM_PUSHT
from score.entries import Extension as Extension
from score.entries import Graded as Graded
from score.entries import ManualQuestion as ManualQuestion
from score.entries import Part as Part
from score.entries import Policy as Policy
from score.entries import Question as Question
from score.entries import asked as asked
from score.entries import with_points as with_points

# Driving at the block's centre, which needs no learning, scores 0.226 ± 0.010 from the published
# starts and 0.254 ± 0.009 from gym-pusht's. Targets are so far below the scores of right solutions
# of all training seeds in the README's table that these keep full points (tests/test_luck.py). The
# MLP's is decided by its training seeds 4 and 5, the diffusion policy's by the few episodes that
# Gradescope has time for: with 0.83 training seed 2 would lose points there in 1 of 100 grades.
_BASELINE, _GYM_BASELINE = 0.25, 0.28

# The script assignment's. Every twenty steps the loss is logged, as a mean or sum over the chunk.
_ChunkPolicy = partial(
    Policy,
    max_steps=300,
    obs_horizon=1,
    pred_horizon=8,
    action_horizon=8,
    rules=GYM_PUSHT,
    normalisation=MOMENTS,
    loss_from=20,
    loss_block=20,
    loss_scales=(1, 16),
)

_PARTS = (
    Part(
        "part1_mlp",
        "Part I",
        (
            Question("Q1.1", "q1_1", "layer widths", 1),
            Question("Q1.2", "q1_2", "loss", 2),
            Question("Q1.3", "q1_3", "inference", 2),
        ),
        # Five training seeds: shipped 0.66 to 0.75, human 0.54 to 0.61. Untrained networks: 0.09.
        (
            Policy(
                "part1_mlp",
                "Part I",
                "MLP",
                "mlp_inference (Q1.3)",
                "rollouts",
                5,
                published=0.60,
                baseline=_BASELINE,
                targets={"shipped": 0.57, "human": 0.46, "earlier": 0.40},
            ),
        ),
        extensions=(
            Extension("E1.1", "sine and cosine for the angle"),
            Extension("E1.2", "temporal ensembling"),
            Extension("E1.3", "is it better?"),
            Extension("E1.4", "how far the policy drifts"),
            Extension("E1.5", "DAgger"),
        ),
    ),
    Part(
        "part2_cvae",
        "Part II",
        (
            Question("Q2.1", "q2_1", "agent", 2),
            Question("Q2.2", "q2_2", "KL divergence", 1),
            Question("Q2.3", "q2_3", "loss", 1),
            Question("Q2.4", "q2_4", "inference", 1),
        ),
        # Three training seeds: shipped 0.67 to 0.76, human 0.59 to 0.62. Targets as the MLP's.
        (
            Policy(
                "part2_cvae",
                "Part II",
                "CVAE",
                "cvae_inference (Q2.4)",
                "rollouts",
                5,
                published=0.70,
                baseline=_BASELINE,
                targets={"shipped": 0.57, "human": 0.46, "earlier": 0.40},
            ),
        ),
        extensions=(
            Extension("E2.1", "a weight for the divergence"),
            Extension("E2.2", "make z speak"),
        ),
    ),
    Part(
        "part3_ddpm",
        "Part III",
        (
            Question("Q3.1", "q3_1", "schedule", 1),
            Question("Q3.2", "q3_2", "DDPM", 2),
            Question("Q3.3", "q3_3", "loss", 1),
            Question("Q3.4", "q3_4", "inference", 1),
        ),
        # Three training seeds: shipped 0.90 to 0.93; one on the human set: 0.89.
        (
            Policy(
                "part3_ddpm",
                "Part III",
                "diffusion",
                "ddpm_inference (Q3.4)",
                "rollouts",
                5,
                published=0.80,
                baseline=_BASELINE,
                targets={"shipped": 0.80, "human": 0.80, "earlier": 0.75},
                episode_seconds=2.2,
            ),
        ),
        extensions=(Extension("E3.1", "DDIM sampling"),),
        grading_time=5,
    ),
    Part(
        "part4_flow",
        "Part IV",
        (
            Question("Q4.1", "q4_1", "MSE policy", 1),
            Question("Q4.2", "q4_2", "training loop", 2),
            Question("Q4.3", "q4_3", "flow-matching loss", 2),
            Question("Q4.4", "q4_4", "Euler integration", 1),
        ),
        # Shipped: MSE 0.75 to 0.79, flow 0.83 to 0.85; human: MSE 0.59 to 0.62, flow 0.79 to 0.81.
        (
            _ChunkPolicy(
                "part4_mse",
                "Part IV, MSE",
                "MSE chunks",
                "sample_actions (Q4.1)",
                "rollouts_mse",
                2,
                published=0.50,
                baseline=_GYM_BASELINE,
                targets={"shipped": 0.66, "human": 0.44, "earlier": 0.42},
            ),
            _ChunkPolicy(
                "part4_flow",
                "Part IV, flow",
                "flow matching",
                "sample_actions (Q4.4)",
                "rollouts_flow",
                4,
                published=0.70,
                baseline=_GYM_BASELINE,
                targets={"shipped": 0.75, "human": 0.68, "earlier": 0.57},
            ),
        ),
        (
            ManualQuestion("Q4.5", "report_curves", "curves", 1),
            ManualQuestion("Q4.5", "report_architecture", "experiment", 1),
            ManualQuestion("Q4.5", "report_behaviour", "behaviour", 1),
        ),
        extensions=(
            Extension("E4.1", "fewer steps, by the midpoint rule"),
            Extension("E4.2", "look more often, or less?"),
            Extension("E4.3", "more data, or better?"),
        ),
        grading_time=2,
    ),
)

# In the kit that a course gives its students, this file says what the course asks for where that
# is not all of the kit at these points: {"assignments": {name: parts}, "points": {entry: points}}.
# Grades do not depend on it: an instructor's kit has none, and goes by course.toml.
ASKED = "score/asked.json"
_asked = asked(resources.path(ASKED))

PARTS = {part.name: with_points(part, _asked.points) for part in _PARTS}
# The names of the parts that are handed in together, by assignment.
ASSIGNMENTS = _asked.assignments or {"pusht": tuple(PARTS)}
POLICIES = {policy.name: policy for part in PARTS.values() for policy in part.policies}

# The number of network calls with which each sampling policy makes a chunk.
DIFFUSION_STEPS, FLOW_STEPS = 100, 10

# Where a submission of the script assignment lacks the statistics of its normalisation, those of
# the human demonstrations are used, unless another set's bring its score nearer to its log by more
# than this: two scores of a sampled policy over the same hundred starts differ by 0.02 (one
# standard error).
FITS_BETTER = 0.03
# A score that is further than this from the log is that of another policy or normalisation: five
# standard errors of a hundred episodes' mean.
FAR_FROM_LOG = 0.15

# Students practise on the ten published seeds and on thirty more; the human demonstrations start
# from HUMAN_SEEDS.
HUMAN_SEEDS = range(206)
PUBLISHED_SEEDS = range(10)
PRACTICE_SEEDS = range(500, 530)
GRADED_FIRST_SEED = 10_000  # held-out ones are from here on

# How many episodes a score takes. They are rolled out in blocks until the points are certain enough
# (`score.rollouts.stopping`), at most so many, and no more than there are seconds for, by each
# policy's `episode_seconds`. The clock is not asked: it would not give the same grade twice.
# tests/test_luck.py computes what these numbers come to, from the episodes of right solutions that
# are in data/reference/: full points in 995 of 1,000 grades of right solutions, and a standard
# deviation of 0.15 of 5 points for policies half-way to the target.
BLOCK, GROWTH = 25, 0.1  # episodes; a block is at least that share of those before
LEVEL = 0.95  # of the interval, whenever it is looked at
PRECISION = 0.05  # as a share of the points: ± 0.25 of 5
GRADED_EPISODES = 8000  # a course sets its own in course.toml
# Of a part's policies together, on one core: of the diffusion policy 630 episodes. That is what a
# standard deviation of 0.15 of 5 points takes.
GRADED_SECONDS = 1400
# What the policies of a part, and on Gradescope of later parts, leave to each other: enough for
# right solutions. An episode costs so many times more where a function takes no batch.
KEPT_EPISODES, KEPT_SECONDS, ONE_BY_ONE = 50, 4, 20


def question(name: str) -> tuple[Part, Question]:
    """Return the part and the question with a name such as "Q1.2"; KeyError for an unknown name."""
    for part in PARTS.values():
        for entry in part.questions:
            if entry.name == name:
                return part, entry
    raise KeyError(f"The rubric has no question {name!r}.")


def asked_parts(there: Collection[str] = ()) -> list[str]:
    """Return the names of the parts that the course asks for: of the assignments that any of the
    parts `there` is in; of all where none is.
    """
    of_these = [parts for parts in ASSIGNMENTS.values() if {*parts} & {*there}]
    chosen = {part for parts in of_these or ASSIGNMENTS.values() for part in parts}
    return [name for name in PARTS if name in chosen]


def part_of(policy: Policy) -> Part:
    """Return the part whose notebook trains a policy."""
    return next(part for part in PARTS.values() if policy.name in {p.name for p in part.policies})
