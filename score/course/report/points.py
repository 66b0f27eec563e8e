"""The points of a graded part, cell by cell: the automatic ones and those that a person gave."""

from dataclasses import dataclass

from score import rubric
from score.course.grading.results import ManualGrade, ManualGrades, PartResult
from score.course.report.page import printable
from score.verdict import HINT


@dataclass(frozen=True)
class Row:
    """What a cell of a part earned, and why. mark: a key of `page.MARKS`. unknown: whether the
    points are not known, because the grader failed or has not graded it yet.
    """

    part: str
    cell: str
    name: str
    title: str
    points: float
    max_points: float
    mark: str
    sentence: str
    hint: str
    automatic: float
    manual: ManualGrade
    written: bool
    rolled_out: bool
    unknown: bool


def part_points(result: PartResult, manual: ManualGrades) -> float:
    """Return a part's points: those of its cells less the late penalty, and never below 0."""
    return max(0.0, sum(row.points for row in part_rows(result, manual)) - result.late_penalty)


def part_rows(result: PartResult, manual: ManualGrades) -> list[Row]:
    """Return a row for all that earns points in a part, in the rubric's order."""
    part = rubric.PARTS[result.part]
    return [_row(part, entry, result, manual) for entry in part.graded()]


def _row(part: rubric.Part, entry: rubric.Graded, result: PartResult, manual: ManualGrades) -> Row:
    cell_id, written = part.cell_id(entry), isinstance(entry, rubric.ManualQuestion)
    cell, by_hand = result.cells.get(cell_id), manual.get((part.name, cell_id), ManualGrade())
    automatic = cell.points if cell else 0.0
    max_points = cell.max_points if cell else float(entry.points)
    points = (automatic if by_hand.score is None else by_hand.score) + (by_hand.extra or 0.0)
    mark = "full" if points >= max_points else "some" if points > 0 else "none"
    if by_hand.score is None and (result.missing or written):
        mark = "missing" if result.missing else "waits"
    text = printable(cell.sentence if cell else "The check was not reached.")
    sentence, _, hint = text.partition(HINT)
    is_policy = isinstance(entry, rubric.Policy)
    return Row(
        part=part.name,
        cell=cell_id,
        name="Rollouts" if is_policy else entry.name,
        title=entry.label if isinstance(entry, rubric.Policy) else entry.title,
        points=points,
        max_points=max_points,
        mark=mark,
        sentence="" if written or result.missing else sentence,
        hint=hint,
        automatic=automatic,
        manual=by_hand,
        written=written,
        rolled_out=is_policy and entry.name in result.rollouts,
        unknown=bool(result.open) and by_hand.score is None,
    )
