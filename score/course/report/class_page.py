"""The instructor's page on a class: what to look at, the points, the mistakes, how it was graded.

It links to the students' pages, feedback/STUDENT/pusht/feedback.html.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from statistics import fmean, stdev
from typing import Any
from urllib.parse import quote

import numpy as np

from pusht import demos
from score import rubric
from score.course.grading.execution import NOT_REACHED
from score.course.grading.results import ManualGrades, PartResult
from score.course.report.charts import Dot, class_chart
from score.course.report.everybody import Someone
from score.course.report.flags import (
    Graded,
    by_student,
    flags_of,
    not_run,
    repairs_and_refusals,
    to_look_at,
    uncertain_points,
)
from score.course.report.page import MARKS, in_pages
from score.course.report.points import Row, part_points, part_rows
from score.course.report.similarity import SimilarPair
from score.course.report.tables import NOT_ON_ROSTER, Remark
from score.course.settings import Course
from score.rollouts.given import NETWORKS

_MISTAKES = 3  # of a question, the most common
_MOST_DOTS = 1000  # in a chart; of more, so many are drawn, evenly taken from all by their scores
_LISTS = ["failed", "students", "absent", "strangers", "nobody", "flags", "uncertain", "similar"]
_LISTS += ["stopped", "missing", "refused", "repairs"]


def class_page(
    course: Course,
    results: Mapping[str, Mapping[str, PartResult]],
    manual: Mapping[str, ManualGrades],
    repairs: Mapping[str, Any],
    similar: Sequence[SimilarPair],
    remarks: Iterable[Remark],
    failed: Sequence[Remark] = (),
    people: Mapping[str, Someone] | None = None,
    nobody: Mapping[str, Sequence[str]] | None = None,
) -> dict[str, str]:
    """Return the HTML pages on a class by their paths in the course's folder, report.html first.

    results, manual: by student, as for `feedback.feedback`. repairs: repairs/STUDENT.json, by
    student. remarks: what else to know. failed: where the grader failed. people: everybody, by
    student. nobody: by export, sentences on files in it that are nobody's.
    """
    people = people or {}
    results = {student: results[student] for student in sorted(results)}
    manual = {student: manual.get(student, {}) for student in results}
    graded = [(student, result) for student in results for result in results[student].values()]
    used = _used_parts(course, graded, manual)
    repaired, refused = repairs_and_refusals(repairs, graded)
    flags, uncertain = flags_of(graded, remarks, refused), uncertain_points(graded, used)
    about = by_student(flags)
    students = [
        _student(course, name, results[name], manual[name], used, about[name], uncertain)
        for name in results
    ]
    rows = [(name, row) for name, result in graded for row in part_rows(result, manual[name])]
    values = {
        "course": course.name,
        "students": students,
        "who": lambda student: people[student].label if student in people else student,
        **_not_graded(people, results, nobody or {}),
        "used": used,
        "graded": sum(not result.missing for _, result in graded),
        "waiting": sum(row.mark == "waits" for _, row in rows),
        **to_look_at(flags, uncertain, failed),
        "repairs": repaired,
        "refused": refused,
        "similar": similar,
        "questions": _questions(used, [row for _, row in rows]),
        "mistakes": _mistakes(used, rows),
        "policies": [_policy(policy, graded) for part in used for policy in part.policies],
        **not_run(graded, used),
        **_totals(students, used),
        **_grading(graded, used),
    }
    return in_pages(_LISTS, values)


def _not_graded(
    people: Mapping[str, Someone],
    results: Mapping[str, object],
    nobody: Mapping[str, Sequence[str]],
) -> dict[str, Any]:
    """Return those of whom there is nothing to grade, those who are not on the roster, and what is
    nobody's, as the lists of the page.
    """
    absent = [one for one in people.values() if one.reason and one.folder not in results]
    return {
        "absent": [(one.folder, one.section, one.reason) for one in absent],
        "strangers": [
            (one.folder, "", NOT_ON_ROSTER) for one in people.values() if one.on_roster is False
        ],
        "nobody": [(export, "", told) for export, every in nobody.items() for told in every],
    }


def _used_parts(
    course: Course, graded: Graded, manual: Mapping[str, ManualGrades]
) -> list[rubric.Part]:
    """Return the course's parts that anybody handed in, or that a person graded."""
    names = {result.part for _, result in graded if not result.missing or result.open}
    names |= {part for grades in manual.values() for part, _ in grades}
    return [part for part in course.parts.values() if part.name in names]


# Points.


def _student(
    course: Course,
    student: str,
    results: Mapping[str, PartResult],
    manual: ManualGrades,
    used: Sequence[rubric.Part],
    flags: Iterable[Remark],
    uncertain: Collection[Remark],
) -> dict[str, Any]:
    cells = []
    for part in used:
        about = [flag in uncertain for flag in flags if flag[:2] == (student, part.name)]
        result = results.get(part.name)
        cells.append(
            {
                "points": None if result is None or result.open else part_points(result, manual),
                "notes": [] if result is None else _notes(result, manual, about),
            }
        )
    return {
        "name": student,
        "pages": [
            (each.name, f"feedback/{quote(student, safe='')}/{quote(each.name)}/feedback.html")
            for each in course.assignments
        ],
        "cells": cells,
        "graded": bool(results) and not any(result.open for result in results.values()),
        "total": sum(part_points(result, manual) for result in results.values()),
        "seconds": sum(sum(result.seconds.values()) for result in results.values()),
    }


def _notes(result: PartResult, manual: ManualGrades, of_points: Collection[bool]) -> list[str]:
    """Return the notes on a student's part.

    of_points: for each flag on it, whether it is on points that are not certain.
    """
    notes = {
        "missing": result.missing and not result.open,
        result.open: result.open,
        "stopped": result.stopped,
        "late": result.late_penalty,
        "flagged": not all(of_points),
        "points not certain": any(of_points),
        "to be read": any(row.mark == "waits" for row in part_rows(result, manual)),
    }
    return [note for note, holds in notes.items() if holds]


def _totals(students: Iterable[dict[str, Any]], used: Iterable[rubric.Part]) -> dict[str, Any]:
    totals = [student["total"] for student in students if student["graded"]]
    full = sum(part.points for part in used)
    counts, edges = np.histogram(np.clip(totals, 0, full), bins=10, range=(0, full))
    return {
        "full": full,
        "mean": fmean(totals) if totals else None,
        "totals": list(zip(edges[:-1], edges[1:], counts.tolist())),
    }


def _questions(used: Iterable[rubric.Part], rows: Sequence[Row]) -> list[tuple[Any, ...]]:
    """Return for each part its questions, as (name, title, how many by mark)."""
    counts = Counter((row.cell, row.mark) for row in rows)
    titles = {row.cell: (row.part, row.name, row.title) for row in rows}
    return [
        (
            part,
            [
                (name, title, [(mark, counts[cell, mark]) for mark in MARKS])
                for cell, (of, name, title) in titles.items()
                if of == part.name
            ],
        )
        for part in used
    ]


def _mistakes(
    used: Sequence[rubric.Part], rows: Iterable[tuple[str, Row]]
) -> list[tuple[Any, ...]]:
    """Return for each part the most common reasons for lost points, by question.

    A question is (name, title, [(a row as an example, students)], how many more reasons). Reasons
    are the same when their hints are, or without hints their words, numbers and shapes aside.
    """
    groups: dict[str, dict[str, list[tuple[str, Row]]]] = {}
    for student, row in rows:
        # What the page shows elsewhere is left out.
        elsewhere = row.written or row.rolled_out or row.mark == "missing"
        elsewhere = elsewhere or row.sentence.startswith(NOT_REACHED)
        if row.automatic < row.max_points and not elsewhere:
            by_reason = groups.setdefault(row.cell, {})
            by_reason.setdefault(_without_numbers(row.hint or row.sentence), []).append(
                (student, row)
            )
    found = []
    for part in used:
        cells = [part.cell_id(entry) for entry in part.graded()]
        questions = [_common(groups[cell].values()) for cell in cells if cell in groups]
        if questions:
            found.append((part, questions))
    return found


def _without_numbers(sentence: str) -> str:
    numbers = re.sub(r"(?<![A-Za-z])-?\d+(\.\d+)?(e[+-]?\d+)?", "#", sentence)
    return re.sub(r"#(, ?#)*,?", "#", numbers)  # a shape, whatever its length


def _common(groups: Iterable[list[tuple[str, Row]]]) -> tuple[Any, ...]:
    ranked = sorted(groups, key=lambda group: (-len(group), group[0][0]))
    row = ranked[0][0][1]
    common = [(group[0][1], [student for student, _ in group]) for group in ranked[:_MISTAKES]]
    return row.name, row.title, common, len(ranked) - _MISTAKES


# Scores, and how it was graded.


def _policy(policy: rubric.Policy, graded: Graded) -> dict[str, Any]:
    dots = [
        Dot(student, rollout.score, demos.name_of(rollout.demonstrations))
        for student, result in graded
        if (rollout := result.rollouts.get(policy.name))
    ]
    scores = [dot.score for dot in dots]
    return {
        "title": policy.title,
        "label": policy.label,
        "chart": class_chart(policy, _some(dots)) if dots else None,
        "count": len(dots),
        "mean": fmean(scores) if scores else None,
        "spread": stdev(scores) if len(scores) > 1 else None,
    }


def _some(dots: list[Dot]) -> list[Dot]:
    if len(dots) <= _MOST_DOTS:
        return dots
    places = np.linspace(0, len(dots) - 1, _MOST_DOTS).round().astype(int)
    ordered = sorted(dots, key=lambda dot: dot.score)
    return [ordered[place] for place in places]


def _grading(graded: Graded, used: Iterable[rubric.Part]) -> dict[str, Any]:
    policies = [policy for part in used for policy in part.policies]
    return {
        "given": [policy.label for policy in policies if policy.method in NETWORKS],
        "free": [policy.label for policy in policies if policy.method not in NETWORKS],
        "boxes": Counter(result.sandbox or "nothing was run" for _, result in graded),
        "kits": Counter(result.kit for _, result in graded),
        "stages": _stages(graded),
    }


def _stages(graded: Graded) -> list[tuple[str, float, float, str, str]]:
    """Return for each stage its name, the seconds of the class and of the longest notebook, and
    that notebook's student and part.
    """
    stages = []
    for stage in dict.fromkeys(stage for _, result in graded for stage in result.seconds):
        seconds = [result.seconds.get(stage, 0.0) for _, result in graded]
        student, result = graded[int(np.argmax(seconds))]
        stages.append((stage, sum(seconds), max(seconds), student, result.part))
    return stages
