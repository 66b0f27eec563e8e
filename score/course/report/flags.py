"""What a person should look at on the page on a class: flags, repairs, what could not be run."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from score import rubric
from score.course.grading.results import PartResult, not_precise
from score.course.report.page import printable
from score.course.report.tables import Remark, stopped_remark
from score.course.sandbox.watch import watchdog

Graded = list[tuple[str, PartResult]]  # student, result

_STOPS = {  # by how the reason of a stop begins
    watchdog.OUT_OF_TIME: "timed out",
    watchdog.NO_ANSWER: "timed out",
    watchdog.OUT_OF_MEMORY: "out of memory",
    watchdog.DIED: "kernel died",
    watchdog.TOO_MUCH_OUTPUT: "too much output",
}


def repairs_and_refusals(
    repairs: Mapping[str, Any], graded: Graded
) -> tuple[list[Remark], list[Remark]]:
    """Return what was repaired, when it was collected or when it was graded, and what could not be
    read.
    """
    repaired, refused = [], []
    for student in sorted(repairs):
        for part, record in repairs[student]["parts"].items():
            repaired += [(student, part, printable(sentence)) for sentence in record["repairs"]]
            if record["refused"]:
                refused.append((student, part, printable(record["refused"])))
    repaired += [
        (student, result.part, printable(sentence))
        for student, result in graded
        for sentence in result.repairs
    ]
    return repaired, refused


def flags_of(
    graded: Graded, remarks: Iterable[Remark], refused: Collection[Remark]
) -> list[Remark]:
    """Return what a person should look at, each once, without what has a list of its own."""
    found = [
        (student, result.part, sentence)
        for student, result in graded
        for sentence in [
            *result.flags,
            *(flag for rollout in result.rollouts.values() for flag in rollout.flags),
        ]
    ]
    stopped = {
        (student, result.part, printable(stopped_remark(result.stopped)))
        for student, result in graded
        if result.stopped
    }
    listed = stopped | {*refused}
    flags = dict.fromkeys(
        (student, part, printable(sentence)) for student, part, sentence in [*found, *remarks]
    )
    return [flag for flag in flags if flag not in listed]


def uncertain_points(graded: Graded, used: Collection[rubric.Part]) -> set[Remark]:
    """Return the flags on policies of these parts whose points are not certain enough."""
    policies = {policy.name: policy for part in used for policy in part.policies}
    return {
        (student, result.part, printable(flag))
        for student, result in graded
        for name, rollout in result.rollouts.items()
        if name in policies
        for flag in not_precise(policies[name], rollout)
    }


def not_run(graded: Graded, used: Collection[rubric.Part]) -> dict[str, Any]:
    """Return the notebooks that were stopped, with how many of each kind, and those missing."""
    names = {part.name for part in used}
    return {
        "stopped": [
            (s, result.part, printable(result.stopped)) for s, result in graded if result.stopped
        ],
        "stops": Counter(_kind_of_stop(result.stopped) for _, result in graded if result.stopped),
        "missing": [
            (student, result.part, printable(result.missing))
            for student, result in graded
            if result.missing and not result.open and result.part in names
        ],
    }


def _kind_of_stop(sentence: str) -> str:
    kinds = (kind for beginning, kind in _STOPS.items() if sentence.startswith(beginning))
    return next(kinds, "stopped for another reason")


def to_look_at(
    flags: Sequence[Remark], uncertain: Collection[Remark], failed: Iterable[Remark]
) -> dict[str, list[Remark]]:
    """Return the flags as the lists of the page: where the grader failed, on points that are not
    certain enough, and the others.
    """
    failures = [(student, step, printable(sentence)) for student, step, sentence in failed]
    return {
        "failed": failures,
        "uncertain": [flag for flag in flags if flag in uncertain],
        "flags": [flag for flag in flags if flag not in uncertain and flag not in failures],
    }


def by_student(flags: Iterable[Remark]) -> dict[str, list[Remark]]:
    """Return flags by student."""
    found = defaultdict[str, list[Remark]](list)
    for flag in flags:
        found[flag[0]].append(flag)
    return found
