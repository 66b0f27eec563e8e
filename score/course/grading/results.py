"""The result of a graded notebook: one JSON file each in the course's results/, from which the
gradebook, the tables and the pages are made.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from pusht.files import write_whole
from score import rubric
from score.course.grading.cache_keys import kit_version
from score.rollouts.evaluate import rollouts_verdict
from score.rollouts.stopping import Stop, rollout_points
from score.verdict import Verdict

# Of names with digits, such as Q4.3 or float32, nothing is left out.
_FIGURES = re.compile(r"""(?<![\w.])-?(?:\d[\w.,+-]*\w|\d|inf\b|nan\b)|'[^']*'|"[^"]*\"""")
_REPEATED = re.compile("…(?:,? (?:and )?…)+")
FAILED, NOT_YET = "the grader failed", "not graded yet"
_OPEN = {
    FAILED: "The grader failed at this notebook, through no fault of yours: it will be graded"
    " again.",
    NOT_YET: "It has not been graded yet.",
}
_FORMAT = 2  # of the files; those of the first have no number


@dataclass(frozen=True)
class RolloutResult:
    """A policy's graded episodes, and what the hand-in file says of its training.

    key: of everything that the episodes depend on; while it stays the same they are not rolled out
    again. per_episode: the largest reward of each. interval: 95 %, of their mean. losses: one an
    epoch. demonstrations: their fingerprint, as the hand-in file states it. film: file name beside
    the graded notebook, "" for none. flags: for the instructor alone. stop: why there were no more
    episodes, None in a result of an earlier version. told: sentences on what was graded, where that
    was to be found out.
    """

    key: str
    per_episode: list[float]
    interval: tuple[float, float]
    one_by_one: bool
    losses: list[float]
    demonstrations: str
    film: str
    flags: list[str]
    stop: Stop | None = None
    told: str = ""

    @property
    def score(self) -> float:
        """The mean over the episodes."""
        return sum(self.per_episode) / len(self.per_episode)


@dataclass(frozen=True)
class PartResult:
    """One graded notebook of one student.

    key: of everything that the result depends on. kit: the kit's version. sandbox: name of the
    isolation level, "" where nothing ran. stopped: why the notebook was stopped, "" if it was not.
    missing: why there was nothing to run, "" if there was. seconds: by stage. flags: for the
    instructor alone. late_penalty: points, by nbgrader's rule; it is kept in the gradebook, and
    filled in here where a page is made. cells: by test cell's id. rollouts: by policy's name.
    repairs: what was repaired when it was graded, a sentence each. open: why its points are not
    known, so that it only stands for a result: FAILED or NOT_YET, "" where they are. Such a result
    is never kept.
    """

    student: str
    part: str
    key: str
    kit: str
    sandbox: str
    stopped: str
    missing: str
    seconds: dict[str, float]
    flags: list[str]
    late_penalty: float
    cells: dict[str, Verdict]
    rollouts: dict[str, RolloutResult]
    repairs: list[str] = field(default_factory=list)
    open: str = ""

    @property
    def max_points(self) -> float:
        """What the part is worth."""
        return sum(verdict.max_points for verdict in self.cells.values())

    def worth(self, part: rubric.Part) -> "PartResult":
        """Return the result with the points of a part whose entries may be worth other points than
        the rubric's.
        """
        cells = {
            cell: verdict_worth(self.cells[cell], entry, self.rollouts)
            for cell, entry in entries_by_cell(part).items()
            if cell in self.cells
        }
        flags = {
            before: after
            for policy in part.policies
            if (rollout := self.rollouts.get(policy.name))
            for before, after in zip(
                not_precise(rubric.POLICIES[policy.name], rollout),
                not_precise(policy, rollout),
                strict=True,
            )
        }
        return replace(self, cells=cells, flags=[flags.get(flag, flag) for flag in self.flags])


@dataclass(frozen=True)
class ManualGrade:
    """What a person did to a cell's grade.

    score: in place of the automatic one, None where it stands. extra: points on top of either.
    """

    score: float | None = None
    extra: float | None = None
    comment: str = ""


ManualGrades = Mapping[tuple[str, str], ManualGrade]  # by part and cell's id


def entries_by_cell(part: rubric.Part) -> dict[str, rubric.Graded]:
    """Return what earns points in a part by the id of its cell, in the rubric's order."""
    return {part.cell_id(entry): entry for entry in part.graded()}


def ungraded(student: str, part: str, missing: str, key: str = "") -> PartResult:
    """Return the result where there is nothing to grade, and why: no points."""
    cells = {
        cell: Verdict(_title(entry), 0.0, float(entry.points), missing)
        for cell, entry in entries_by_cell(rubric.PARTS[part]).items()
    }
    return PartResult(student, part, key, kit_version(), "", "", missing, {}, [], 0.0, cells, {})


def not_known(student: str, part: str, why: str = FAILED) -> PartResult:
    """Return what stands for a result whose points are not known: the next run tries again.
    Students are not told what went wrong.
    """
    result = ungraded(student, part, _OPEN[why])
    cells = {name: replace(verdict, unread=True) for name, verdict in result.cells.items()}
    return replace(result, cells=cells, open=why)


def verdict_worth(
    verdict: Verdict, entry: rubric.Graded, rollouts: Mapping[str, RolloutResult]
) -> Verdict:
    """Return a verdict at what its entry is worth, in its words on a policy's rollouts too."""
    if isinstance(entry, rubric.Policy) and entry.name in rollouts:
        rollout, before = rollouts[entry.name], replace(entry, points=verdict.max_points)
        if verdict == told_verdict(before, rollout):
            return told_verdict(entry, rollout)
    return verdict.worth(float(entry.points))


def told_verdict(policy: rubric.Policy, rollout: RolloutResult) -> Verdict:
    """Return the verdict on a policy's rollouts, with what is told of what was rolled out."""
    verdict = rollouts_verdict(policy, rollout.demonstrations, rollout)
    return replace(verdict, sentence=f"{verdict.sentence} {rollout.told}".rstrip())


def not_precise(policy: rubric.Policy, rollout: RolloutResult) -> list[str]:
    """Return the flag on a policy whose episodes ended before its points were certain enough; none
    on any other.
    """
    if rollout.stop not in (Stop.MOST, Stop.TIME):
        return []
    target = policy.target(rollout.demonstrations)
    low, high = (rollout_points(policy, bound, target) for bound in rollout.interval)
    why = "all that there was time for" if rollout.stop == Stop.TIME else "the most here"
    episodes = f"{len(rollout.per_episode)} episodes, {why}"
    return [f"{policy.title}: {episodes}, leave the points between {low:.2f} and {high:.2f}."]


def film_name(policy: rubric.Policy) -> str:
    """Return the name of the file with a policy's filmed episodes."""
    return f"{policy.name}_rollouts.mp4"


def _title(entry: rubric.Graded) -> str:
    """Return the name of a verdict on an entry of the rubric."""
    if isinstance(entry, rubric.Policy):
        return entry.rollouts_title
    return (
        f"{entry.name}, {entry.title}" if isinstance(entry, rubric.ManualQuestion) else entry.name
    )


def without_figures(sentence: str) -> str:
    """Return a verdict's sentence without its numbers and quotations: what was measured of an
    answer, by which a student's code could tell something else.
    """
    return _REPEATED.sub("…", _FIGURES.sub("…", sentence))


def save(result: PartResult, folder: Path) -> None:
    """Write a result to FOLDER/STUDENT/PART.json."""
    values = {name: value for name, value in asdict(result).items() if name != "open"}
    text = json.dumps({"format": _FORMAT} | values, indent=1)
    write_whole(folder / result.student / f"{result.part}.json", text)


def load(folder: Path, student: str) -> dict[str, PartResult]:
    """Return a student's results by part, in the rubric's order, their points as the rubric stands.

    Parts that were never graded are not in it, nor are those whose file is `damaged`: they are
    graded again.
    """
    found = {part: _read(path) for part, path in _files(folder, student)}
    return {part: result for part, result in found.items() if result}


def damaged(folder: Path, student: str) -> dict[str, Path]:
    """Return the files of a student's results that hold none, by part."""
    return {part: path for part, path in _files(folder, student) if not _read(path)}


def _files(folder: Path, student: str) -> list[tuple[str, Path]]:
    paths = ((part, folder / student / f"{part}.json") for part in rubric.PARTS)
    return [(part, path) for part, path in paths if path.exists()]


def _read(path: Path) -> PartResult | None:
    content = path.read_bytes()
    try:
        values = json.loads(content)
        if values.pop("format", 1) == 1:
            values = _from_first_format(values)
        cells = {cell: Verdict(**fields) for cell, fields in values["cells"].items()}
        rollouts = {name: _rollout(fields) for name, fields in values["rollouts"].items()}
        result = PartResult(**values | {"cells": cells, "rollouts": rollouts})
        return result.worth(rubric.PARTS[result.part]) if _is_sound(result) else None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _is_sound(result: PartResult) -> bool:
    """Say whether what was read has the types that pages and tables take for granted."""
    lists = [result.flags, result.repairs, *(one.flags for one in result.rollouts.values())]
    texts = [result.student, result.part, result.key, result.kit, result.sandbox, result.stopped]
    texts += [result.missing, *(one.film for one in result.rollouts.values())]
    numbers = [result.late_penalty, *result.seconds.values()]
    for verdict in result.cells.values():
        texts += [verdict.name, verdict.sentence]
        numbers += [verdict.points, verdict.max_points]
    for one in result.rollouts.values():
        texts += [one.key, one.demonstrations]
        numbers += [*one.per_episode, *one.interval, *one.losses]
    texts += [text for each in lists if isinstance(each, list) for text in each]
    return (
        all(isinstance(each, list) for each in lists)
        and all(isinstance(text, str) for text in texts)
        and all(type(number) in (int, float) for number in numbers)
        and all(one.per_episode and len(one.interval) == 2 for one in result.rollouts.values())
    )


def _rollout(fields: dict[str, Any]) -> RolloutResult:
    stop = fields.get("stop")
    interval = tuple(fields["interval"])
    return RolloutResult(**fields | {"interval": interval, "stop": Stop(stop) if stop else None})


def _from_first_format(values: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a file that an earlier version of the kit wrote, as they are now."""
    cells = {
        cell: {
            "name": fields["name"],
            "points": fields["points"],
            "max_points": fields["max_points"],
            "sentence": fields["sentence"],
            "unread": fields["written"],
        }
        for cell, fields in values["cells"].items()
    }
    sandbox = values.pop("box")
    return values | {"sandbox": sandbox, "cells": cells}
