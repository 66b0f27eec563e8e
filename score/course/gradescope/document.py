"""results.json, which says on Gradescope what a submission earned."""

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pusht.files import write_whole
from score import rubric
from score.course.grading import results
from score.course.grading.results import PartResult, ungraded
from score.course.settings import open_course
from score.verdict import Verdict

FAILED = "The grader failed, through no fault of yours: tell your instructor."
_RECORD = "report.json"
_WAITS = (
    "Not graded yet. Where this stays, the time or the memory that Gradescope allows did not"
    " suffice: tell your instructor."
)
_NO_GRADE = (
    "This is no grade: the grader failed at {}. Tell your instructor, who can have it graded again."
    " What is known is below."
)
_BY_A_PERSON = (
    "Answered in words, for a person to read. What it is worth, {:g}, is not among the autograder's"
    " points."
)


@dataclass
class Record:
    """What the steps so far have to say of a submission.

    started: when the first step began (seconds since 1970). public: sentences for the student.
    hidden: sentences for the instructor. waiting: the parts that are still to be graded. failed:
    those at which the grader failed.
    """

    started: float
    public: list[str] = field(default_factory=list)
    hidden: list[str] = field(default_factory=list)
    waiting: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    @classmethod
    def read(cls, folder: Path) -> "Record":
        """Return the record that the last step kept."""
        return cls(**json.loads((folder / _RECORD).read_text(encoding="utf-8")))

    def write(self, folder: Path) -> None:
        """Keep the record for the next step."""
        write_whole(folder / _RECORD, json.dumps(asdict(self)))


def write_results(goal: Path, folder: Path, student: str, record: Record) -> None:
    """Write results.json of what is known so far. Where the grader failed it has no scores."""
    parts, known = open_course(folder).parts, results.load(folder / "results", student)
    waits = {part: ungraded(student, part, _WAITS) for part in parts}
    failed = {part: ungraded(student, part, FAILED) for part in dict.fromkeys(record.failed)}
    found = {name: (waits | known | failed)[name].worth(part) for name, part in parts.items()}
    tests = [
        _test(part, entry, found[part.name].cells[part.cell_id(entry)])
        for part in parts.values()
        for entry in part.graded()
    ]
    stopped = [
        f"{part}: the notebook was stopped: {result.stopped}."
        for part, result in found.items()
        if result.stopped
    ]
    hidden = {
        "name": "For the instructor",
        "output": "\n".join([*record.hidden, *_hidden_sentences(found)]),
        "visibility": "hidden",
    }
    scores = {"score": round(sum(test.get("score", 0.0) for test in tests), 4)}
    no_grade = []
    if failed:
        # Gradescope has no state for points that are not known: what has no score gets none there.
        no_grade, scores = [_NO_GRADE.format(", ".join(failed))], {}
        tests = [_without_score(test) for test in tests]
    document = scores | {
        "output": "\n".join([*no_grade, *record.public, *stopped]),
        "execution_time": round(time.time() - record.started),
        "visibility": "visible",
        "stdout_visibility": "hidden",
        "tests": [*tests, hidden],
    }
    write_whole(goal, json.dumps(document, indent=1))


def _without_score(test: Mapping[str, Any]) -> dict[str, Any]:
    """Return the entry of a test cell with the points in words alone."""
    kept = {
        key: value for key, value in test.items() if key not in ("score", "max_score", "status")
    }
    known = "score" in test and test["output"] != FAILED
    points = f"{test['score']:g} of {test['max_score']:g} points. " if known else ""
    return kept | {"output": points + test["output"]}


def _hidden_sentences(found: dict[str, PartResult]) -> list[str]:
    sentences = []
    for part, result in found.items():
        sentences += [f"{part}: {flag}" for flag in result.flags]
        if result.sandbox:
            stages = [f"{stage} {seconds:.0f} s" for stage, seconds in result.seconds.items()]
            sentences.append(f'{part}: kept apart by "{result.sandbox}"; {", ".join(stages)}.')
    return sentences


def _test(part: rubric.Part, entry: rubric.Graded, cell: Verdict) -> dict[str, Any]:
    """Return the entry of a test cell.

    It has no score where a person is to give it, so that the total is the autograder's own.
    """
    test: dict[str, Any] = {
        "name": cell.name,
        "number": str(part.number),
        "output": cell.sentence,
        "tags": [part.name],
        "visibility": "visible",
    }
    if isinstance(entry, rubric.Policy):
        test["name"] = f"{cell.name}, {entry.label}"
    else:
        test |= {"name": entry.title, "number": entry.name.lstrip("Q")}
    if isinstance(entry, rubric.ManualQuestion):
        return test | {"output": _BY_A_PERSON.format(entry.points)}
    return test | {
        "score": round(cell.points, 4),
        "max_score": cell.max_points,
        "status": "passed" if cell.points >= cell.max_points else "failed",
    }
