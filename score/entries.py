"""What the rubric is made of: questions, policies and parts."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pusht import demos
from pusht.normalisation import RANGE
from pusht.rules import PUBLISHED, Rules


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
    max_steps: length of the longest episode. episode_seconds: what an episode takes, by which time
        becomes a number of episodes. rules: how a seed becomes a start.
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
    episode_seconds: float = 0.02
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
        that takes longest. On Gradescope that part is last.
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


def points_key(entry: Graded) -> str:
    """Return the name under which a course sets an entry's points: "Q1.2" of a question,
    "part1_mlp rollouts" of a policy, "Q4.5 curves" of an answer in words.
    """
    if isinstance(entry, Policy):
        return f"{entry.name} rollouts"
    return f"{entry.name} {entry.title}" if isinstance(entry, ManualQuestion) else entry.name


def with_points(part: Part, points: Mapping[str, float]) -> Part:
    """Return a part with other points, by `points_key`, where these name one of its entries."""

    def worth(entry: Any) -> Any:
        key = points_key(entry)
        return replace(entry, points=points[key]) if key in points else entry

    return replace(
        part,
        questions=tuple(map(worth, part.questions)),
        policies=tuple(map(worth, part.policies)),
        written=tuple(map(worth, part.written)),
    )


@dataclass(frozen=True)
class Asked:
    """What a course asks of its students: parts by assignment, and points by `points_key`. Both are
    empty where it asks for all of the kit as it is.
    """

    assignments: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    points: Mapping[str, float] = field(default_factory=dict)


def asked(path: Path) -> Asked:
    """Return what a file says that a course asks; nothing where there is no such file."""
    if not path.is_file():
        return Asked()
    said = json.loads(path.read_text(encoding="utf-8"))
    return Asked(
        {name: tuple(parts) for name, parts in said["assignments"].items()}, said["points"]
    )
