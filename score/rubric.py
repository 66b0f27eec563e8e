"""The one table of numbers that a grade depends on, with where each comes from."""

from dataclasses import dataclass

from pusht import demos
from pusht.checkpoint import MOMENTS, RANGE


@dataclass(frozen=True)
class Question:
    """An exercise whose answer is checked: its name, the cell that asks it, what it is worth."""

    name: str
    cell: str
    title: str
    points: float


@dataclass(frozen=True)
class Written:
    """A question that is answered in words and graded by a person: name, cell, title, points."""

    name: str
    cell: str
    title: str
    points: float


@dataclass(frozen=True)
class Extension:
    """An exercise for those who want to go further, checked as questions are and worth nothing: its
    name and title.
    """

    name: str
    title: str


@dataclass(frozen=True)
class Policy:
    """A trained policy and how its rollouts become points: clip((score - baseline) / (target -
    baseline)) × points.

    `targets` are those of the demonstrations that the kit knows, "shipped" and "human"; see
    `target`.

    The score is the mean over episodes of the largest reward, an episode lasting at most
    `max_steps`. `name` is that of the hand-in file and, after the underscore, of the loss curve;
    `label` says of which kind the policy is, `asked` which function is asked for actions and in
    which question it was written. `cell` is the test cell that rolls it out. `published` is the
    threshold that the published assignment prints, None where it has no such policy.

    obs_horizon, pred_horizon, action_horizon: observations seen, actions predicted, actions
    executed.
    normalisation: of observations and actions: by their range, or by mean and standard deviation.
    loss_band: a loss within these factors of the reference, from epoch `loss_from` on, is the
        reference's equal, the means of `loss_block` epochs being compared; it may be larger by one
        of `loss_scales`.
    """

    name: str
    title: str
    label: str
    asked: str
    cell: str
    points: float
    baseline: float
    targets: dict
    published: float | None = None
    loss_band: tuple = (0.85, 1.15)
    loss_from: int = 5
    loss_block: int = 1
    loss_scales: tuple = (1,)
    max_steps: int = 500
    obs_horizon: int = 2
    pred_horizon: int = 16
    action_horizon: int = 8
    normalisation: tuple = RANGE

    @property
    def method(self):
        return self.name.split("_")[1]

    def target(self, demonstrations):
        """The score that earns all points after training on the demonstrations with this
        fingerprint.

        For a set that the kit does not know it is the lowest of the targets: nobody has tried what
        such a set can teach.
        """
        return self.targets.get(demos.name_of(demonstrations), min(self.targets.values()))


@dataclass(frozen=True)
class Part:
    """One notebook: its name, its questions, the policies that it trains, what is answered in
    words, and what goes further.

    grading_time: how long it takes to grade, Part I being 1. The longest is begun first in a class,
    and last on Gradescope, where the time is shared out by it.
    """

    name: str
    title: str
    questions: tuple
    policies: tuple
    written: tuple = ()
    extensions: tuple = ()
    grading_time: float = 1

    @property
    def number(self):
        return int(self.name[4])

    @property
    def points(self):
        return sum(entry.points for entry in self.graded())

    def graded(self):
        """All that earns points."""
        return (*self.questions, *self.policies, *self.written)


# The script assignment's setting: one observation, chunks of eight, 300 steps, mean and standard
# deviation; a loss logged every twenty steps, averaged over the chunk or summed over its sixteen
# numbers.
_SCRIPT = dict(
    max_steps=300,
    obs_horizon=1,
    pred_horizon=8,
    action_horizon=8,
    normalisation=MOMENTS,
    loss_from=20,
    loss_block=20,
    loss_scales=(1, 16),
)

PARTS = {
    part.name: part
    for part in (
        Part(
            "part1_mlp",
            "Part I",
            (
                Question("Q1.1", "q1_1", "layer widths", 1),
                Question("Q1.2", "q1_2", "loss", 2),
                Question("Q1.3", "q1_3", "inference", 2),
            ),
            # Human: five training seeds over 1,000 held-out episodes: 0.591, 0.533, 0.596, 0.593,
            # 0.594; of random hundreds of these episodes and a random seed, one in a hundred scores
            # under 0.465. Shipped: 0.548, 0.526, 0.513, 0.498, 0.543, the same spread. Untrained
            # networks: 0.09.
            (
                Policy(
                    "part1_mlp",
                    "Part I",
                    "MLP",
                    "mlp_inference (Q1.3)",
                    "rollouts",
                    5,
                    published=0.60,
                    baseline=0.12,
                    targets={"shipped": 0.40, "human": 0.46},
                    loss_band=(0.85, 1.15),
                ),
            ),
            extensions=(
                Extension("E1.1", "sine and cosine for the angle"),
                Extension("E1.2", "temporal ensembling"),
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
            # Seed 1 over 1,000 held-out episodes: human 0.598, shipped 0.526: no better than the
            # MLP, whose targets it shares.
            (
                Policy(
                    "part2_cvae",
                    "Part II",
                    "CVAE",
                    "cvae_inference (Q2.4)",
                    "rollouts",
                    5,
                    published=0.70,
                    baseline=0.12,
                    targets={"shipped": 0.40, "human": 0.46},
                    loss_band=(0.7, 1.4),
                ),
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
            # Seed 1 over 100 held-out episodes: human 0.896, with a standard error of 0.020,
            # shipped 0.864, with 0.026.
            (
                Policy(
                    "part3_ddpm",
                    "Part III",
                    "diffusion",
                    "ddpm_inference (Q3.4)",
                    "rollouts",
                    5,
                    published=0.80,
                    baseline=0.12,
                    targets={"shipped": 0.75, "human": 0.80},
                    loss_band=(0.85, 1.15),
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
            # Human: five training seeds over 1,000 held-out episodes: MSE 0.566, 0.588, 0.541,
            # 0.572, 0.574; flow 0.764, 0.792, 0.795, 0.810, 0.777. Shipped: MSE 0.541, 0.587,
            # 0.513, 0.535, flow 0.666, 0.695, 0.699, 0.693. The mean of a hundred episodes has a
            # standard error of 0.04 and 0.03.
            (
                Policy(
                    "part4_mse",
                    "Part IV, MSE",
                    "MSE chunks",
                    "sample_actions (Q4.1)",
                    "rollouts_mse",
                    2,
                    published=0.50,
                    baseline=0.12,
                    targets={"shipped": 0.42, "human": 0.44},
                    loss_band=(0.85, 1.15),
                    **_SCRIPT,
                ),
                Policy(
                    "part4_flow",
                    "Part IV, flow",
                    "flow matching",
                    "sample_actions (Q4.4)",
                    "rollouts_flow",
                    4,
                    published=0.70,
                    baseline=0.12,
                    targets={"shipped": 0.57, "human": 0.68},
                    loss_band=(0.85, 1.15),
                    **_SCRIPT,
                ),
            ),
            (
                Written("Q4.5", "report_curves", "curves", 1),
                Written("Q4.5", "report_architecture", "architecture", 1),
                Written("Q4.5", "report_behaviour", "behaviour", 1),
            ),
            extensions=(Extension("E4.1", "fewer steps, by the midpoint rule"),),
            grading_time=2,
        ),
    )
}
POLICIES = {policy.name: policy for part in PARTS.values() for policy in part.policies}

# Steps in which the sampled policies make a chunk.
DIFFUSION_STEPS, FLOW_STEPS = 100, 10

# Students practise on the published ten and on thirty more; the 206 human demonstrations start from
# seeds 0 to 205.
PUBLISHED_SEEDS = range(10)
PRACTICE_SEEDS = range(500, 530)
# Held-out episodes of a grade. A course names its own in course.toml.
GRADED_FIRST_SEED, GRADED_EPISODES = 10_000, 100


def question(name):
    """(Part, Question) of a name such as "Q1.2"."""
    for part in PARTS.values():
        for q in part.questions:
            if q.name == name:
                return part, q
    raise KeyError(f"The rubric has no question {name!r}.")


def part_of(policy):
    """The `Part` whose notebook trains a `Policy`."""
    return next(
        part for part in PARTS.values() if policy.name in [own.name for own in part.policies]
    )
