"""The rubric: all numbers that a grade depends on, and where they come from."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from pusht import demos
from pusht.checkpoint import MOMENTS, RANGE
from pusht.rules import GYM_PUSHT, PUBLISHED, Rules


@dataclass(frozen=True)
class Question:
    """An exercise whose answer is checked. `cell` names the test cell that checks it."""

    name: str
    cell: str
    title: str
    points: float


@dataclass(frozen=True)
class ManualQuestion:
    """A question that a student answers in words, in the cell `cell`, and a person grades."""

    name: str
    cell: str
    title: str
    points: float


@dataclass(frozen=True)
class Extension:
    """An optional exercise, which is checked like a question but is worth no points."""

    name: str
    title: str


@dataclass(frozen=True)
class Policy:
    """A trained policy, and how its rollouts earn points.

    The score is the mean over episodes of the largest reward; it earns
    points × clip((score - baseline) / (target - baseline), 0, 1).

    name: name of the submitted checkpoint; the part after the underscore names the loss curve.
    title: the part's name and, if it has several policies, the method. label: the method.
    function: what predicts actions, with its question. cell: the test cell of the rollouts.
    targets: the score that earns all points, by the name of the demonstrations.
    published: the threshold that the published assignment prints; None if it prints none.
    loss_from: a loss is compared with the reference from this epoch on, counted from 0. The medians
        of `loss_block` epochs are compared, and a loss may be larger by one of `loss_scales`.
    max_steps: length of the longest episode. rules: how a seed becomes a start.
    obs_horizon, pred_horizon, action_horizon: observations seen, actions predicted and executed.
    normalisation: RANGE (minimum and maximum) or MOMENTS (mean and standard deviation).
    """

    name: str
    title: str
    label: str
    function: str
    cell: str
    points: float
    baseline: float
    targets: Mapping[str, float]
    published: float | None = None
    loss_from: int = 5
    loss_block: int = 5
    loss_scales: tuple[int, ...] = (1,)
    max_steps: int = 500
    obs_horizon: int = 2
    pred_horizon: int = 16
    action_horizon: int = 8
    rules: Rules = PUBLISHED
    normalisation: tuple[str, str] = RANGE

    @property
    def method(self) -> str:
        """The method's short name, such as "mlp"."""
        return self.name.split("_")[1]

    @property
    def rollouts_title(self) -> str:
        """The name of the rollouts' check in verdicts and tables."""
        return f"{self.title} rollouts"

    def target(self, fingerprint: str) -> float:
        """Return the score that earns all points after training on these demonstrations.

        For a set that the kit does not know, it is the lowest of the targets.
        """
        return self.targets.get(demos.name_of(fingerprint) or "", min(self.targets.values()))


Graded = Question | Policy | ManualQuestion


@dataclass(frozen=True)
class Part:
    """One notebook: its questions, the policies that it trains, its extensions.

    grading_time: the time it takes to grade, relative to Part I. A class run begins with the part
        that takes longest. On Gradescope, which shares out its time by this, that part is last.
    """

    name: str
    title: str
    questions: tuple[Question, ...]
    policies: tuple[Policy, ...]
    written: tuple[ManualQuestion, ...] = ()
    extensions: tuple[Extension, ...] = ()
    grading_time: float = 1

    @property
    def number(self) -> int:
        """The part's number, 1 to 9."""
        return int(self.name[4])

    @property
    def points(self) -> float:
        """The sum of all points in this part."""
        return sum(entry.points for entry in self.graded())

    def graded(self) -> tuple[Graded, ...]:
        """Return everything that earns points, in the order of tables and pages."""
        return (*self.questions, *self.policies, *self.written)

    def cell_id(self, entry: Graded) -> str:
        """Return the id of an entry's cell in the notebook and in results, such as "part1-q1_2"."""
        return f"part{self.number}-{entry.cell}"


# Driving at the block's centre, which needs no learning, scores 0.226 ± 0.010 from the published
# starts and 0.254 ± 0.009 from gym-pusht's. A target is missed by a hundred episodes of a right
# solution, of any training seed in the README's table, at most twice in a thousand times.
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
        extensions=(Extension("E2.1", "a weight for the divergence"),),
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
                targets={"shipped": 0.83, "human": 0.80, "earlier": 0.75},
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
            ManualQuestion("Q4.5", "report_architecture", "architecture", 1),
            ManualQuestion("Q4.5", "report_behaviour", "behaviour", 1),
        ),
        extensions=(Extension("E4.1", "fewer steps, by the midpoint rule"),),
        grading_time=2,
    ),
)
PARTS = {part.name: part for part in _PARTS}
POLICIES = {policy.name: policy for part in PARTS.values() for policy in part.policies}

# The number of network calls with which each sampling policy makes a chunk.
DIFFUSION_STEPS, FLOW_STEPS = 100, 10

# Students practise on the ten published seeds and on thirty more. The human demonstrations start
# from seeds 0 to 205.
PUBLISHED_SEEDS = range(10)
PRACTICE_SEEDS = range(500, 530)
# The held-out episodes of a grade. A course sets its own in course.toml.
GRADED_FIRST_SEED, GRADED_EPISODES = 10_000, 100


def question(name: str) -> tuple[Part, Question]:
    """Return the part and the question with a name such as "Q1.2"; KeyError for an unknown name."""
    for part in PARTS.values():
        for entry in part.questions:
            if entry.name == name:
                return part, entry
    raise KeyError(f"The rubric has no question {name!r}.")


def part_of(policy: Policy) -> Part:
    """Return the part whose notebook trains a policy."""
    return next(part for part in PARTS.values() if policy.name in {p.name for p in part.policies})
