"""Static pages made from results: a student's feedback and the class's report, each one file,
without a script.

Both are for readers who may be anyone: all text is escaped, and what a student's process wrote is
cut to a line of printable characters. On the feedback page there is nothing of the instructor's: no
flags, no seeds, no evidence.
"""

import base64
import functools
import hashlib
import math
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from types import SimpleNamespace
from urllib.parse import quote

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from pusht import demos
from score import rubric
from score.course.grading import audit
from score.course.settings import ASSIGNMENT
from score.rollouts.loss_curves import compare_losses, reference_loss

_FILM_BYTES = 3 * 2**19  # of a film in the page: base64 makes a third more of it
_SENTENCE = 700
_TEMPLATES = Path(__file__).parent / "templates"
_BARS, _BINS, _DRAWN = (
    20,
    50,
    300,
)  # bars of a score's histogram, columns of a strip of dots, most points of a loss curve
_MISTAKES = 3
# In the sentences of other modules: a flag on a close score, and a check that nobody got to.
_NEAR, _UNREACHED = "holds the bar for all points", "The notebook was stopped before this check"
_WIDTH, _HEIGHT = 320.0, 180.0  # of a drawing, in the pixels of a phone: text stays readable there
MARKS = {
    "full": ("✓", "full points"),
    "some": ("◐", "some of the points"),
    "none": ("✗", "no points"),
    "waits": ("…", "to be read by a person"),
    "missing": ("–", "not graded"),
}


@dataclass(frozen=True)
class Hand:
    """What a person did to a cell's grade: a score in place of the automatic one, points on top of
    either, a comment.
    """

    score: float | None = None
    extra: float | None = None
    comment: str = ""


def points(result, hand):
    """A part's points: those of its cells, with what a person graded by `hand` (see `feedback`),
    less the late penalty.
    """
    return max(0.0, sum(row["points"] for row in _rows(result, hand)) - result.late_penalty)


def feedback(student, results, hand, folder):
    """The HTML page for a student.

    results: {part: `PartResult`}. hand: {(part, cell's id): `Hand`}. folder: where the films are.
    """
    parts = [_part(results[name], hand, Path(folder)) for name in rubric.PARTS if name in results]
    return _page(
        "feedback.html",
        student=student,
        parts=parts,
        total=sum(part["points"] for part in parts),
        of=sum(part["of"] for part in parts),
        waiting=sum(row["mark"] == "waits" for part in parts for row in part["rows"]),
        ungraded=[part.title for part in rubric.PARTS.values() if part.name not in results],
    )


def report(course_name, results_by_student, hand_by_student, repairs, twins, remarks):
    """The HTML page on the class, for the instructor; it links to
    feedback/STUDENT/pusht/feedback.html.

    results_by_student, hand_by_student: {student: as of `feedback`}. repairs: {student:
    repairs/STUDENT.json, read}. twins: objects with kind, what, students, likeness (0 to 1),
    sentence. remarks: (student, part, sentence) of what else to know.
    """
    results = {student: results_by_student[student] for student in sorted(results_by_student)}
    hands = {student: hand_by_student.get(student, {}) for student in results}
    graded = [
        (student, result) for student, by_part in results.items() for result in by_part.values()
    ]
    there = {result.part for _, result in graded if not result.missing} | {
        name for hand in hands.values() for name, _ in hand
    }
    used = [part for part in rubric.PARTS.values() if part.name in there]
    fixed, refused = _repairs(repairs)
    flags = _flags(graded, remarks, refused)
    students = [
        _student_row(student, by_part, hands[student], used, flags)
        for student, by_part in results.items()
    ]
    totals, full = (
        [student["total"] for student in students if student["graded"]],
        sum(part.points for part in used),
    )
    counts, edges = np.histogram(np.clip(totals, 0, full), bins=10, range=(0, full))
    rows = [(student, row) for student, result in graded for row in _rows(result, hands[student])]
    return _page(
        "report.html",
        course=course_name,
        students=students,
        used=used,
        graded=sum(not result.missing for _, result in graded),
        totals=list(zip(edges, edges[1:], counts.tolist())),
        mean=fmean(totals) if totals else None,
        full=full,
        waiting=sum(row["mark"] == "waits" for _, row in rows),
        near=[flag for flag in flags if _NEAR in flag[2]],
        flags=[flag for flag in flags if _NEAR not in flag[2]],
        stopped=[
            (student, result.part, _said(result.stopped))
            for student, result in graded
            if result.stopped
        ],
        missing=[
            (student, result.part, _said(result.missing))
            for student, result in graded
            if result.missing and rubric.PARTS[result.part] in used
        ],
        stops=Counter(_kind_of_stop(result.stopped) for _, result in graded if result.stopped),
        repairs=fixed,
        refused=refused,
        twins=list(twins),
        questions=_questions(used, rows),
        mistakes=_mistakes(used, rows),
        policies=[_policy(policy, graded) for part in used for policy in part.policies],
        rerun=[
            policy.label
            for part in used
            for policy in part.policies
            if policy.method in audit.AGAIN
        ],
        free=[
            policy.label
            for part in used
            for policy in part.policies
            if policy.method not in audit.AGAIN
        ],
        boxes=Counter(result.sandbox or "nothing was run" for _, result in graded),
        kits=Counter(result.kit for _, result in graded),
        stages=_stages(graded),
    )


def version():
    """Of what the pages look like: another where the templates have changed."""
    return hashlib.sha256(
        b"".join(path.read_bytes() for path in sorted(_TEMPLATES.glob("*.html")))
    ).hexdigest()


def _page(template, **values):
    return _templates().get_template(template).render(values)


@functools.cache
def _templates():
    env = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    env.filters |= {"num": _number, "said": _said, "time": _time}
    env.globals |= {"MARKS": MARKS, "PARTS": rubric.PARTS, "W": _WIDTH, "H": _HEIGHT}
    return env


def _number(value, places=2):
    text = f"{value:.{places}f}".replace("-", "−")
    return text.rstrip("0").rstrip(".") if "." in text else text


def _time(seconds):
    return (
        f"{seconds:.1f} s"
        if seconds < 60
        else f"{seconds / 60:.1f} min"
        if seconds < 3600
        else f"{seconds / 3600:.1f} h"
    )


def _said(text):
    """One line of printable text: a student's process may have written it, and ours may have failed
    in the middle of it.
    """
    text = str(text)[: 10 * _SENTENCE].partition("Traceback (most recent call last)")[0]
    line = re.sub(r"\s+", " ", "".join(c if c.isprintable() else " " for c in text)).strip()
    return line if len(line) <= _SENTENCE else line[:_SENTENCE] + " …"


# A student's part.


def _cell(part, entry):
    """The id of the test cell that asks for an entry of the rubric."""
    return f"part{part.number}-{entry.cell}"


def _rows(result, hand):
    """What earns points in a part, in the rubric's order, each as a dict: its name, points, mark,
    reason.
    """
    part, rows = rubric.PARTS[result.part], []
    for entry in part.graded():
        cell_id, rolled, written = (
            _cell(part, entry),
            isinstance(entry, rubric.Policy),
            isinstance(entry, rubric.Written),
        )
        cell, by_hand = result.cells.get(cell_id), hand.get((part.name, cell_id), Hand())
        automatic, of = (cell.points, cell.max_points) if cell else (0.0, float(entry.points))
        earned = (automatic if by_hand.score is None else by_hand.score) + (by_hand.extra or 0.0)
        mark = "full" if earned >= of else "some" if earned > 0 else "none"
        if by_hand.score is None and (result.missing or written):
            mark = "missing" if result.missing else "waits"
        sentence, _, hint = _said(
            cell.sentence if cell else "The check was not reached."
        ).partition(" Hint: ")
        rows.append(
            {
                "part": part.name,
                "cell": cell_id,
                "name": "Rollouts" if rolled else entry.name,
                "title": entry.label if rolled else entry.title,
                "points": earned,
                "of": of,
                "mark": mark,
                "hint": hint,
                "sentence": "" if written or result.missing else sentence,
                "automatic": automatic,
                "hand": by_hand,
                "written": written,
                "rolled": rolled and entry.name in result.rollouts,
            }
        )
    return rows


def _part(result, hand, folder):
    part, rollouts = rubric.PARTS[result.part], result.rollouts
    policies = [
        {
            "policy": policy,
            "score": _score(policy, rollouts[policy.name]),
            "loss": _loss(policy, rollouts[policy.name]),
            "film": _film(folder, rollouts[policy.name]),
        }
        for policy in part.policies
        if policy.name in rollouts
    ]
    return {
        "name": part.name,
        "title": part.title,
        "label": ", ".join(policy.label for policy in part.policies),
        "rows": _rows(result, hand),
        "points": points(result, hand),
        "of": result.max_points,
        "penalty": result.late_penalty,
        "stopped": _said(result.stopped),
        "missing": _said(result.missing),
        "policies": policies,
    }


def _film(folder, rollout):
    """The film as a data address, or why there is none."""
    path = folder / Path(rollout.film).name
    if not rollout.film or not path.is_file():
        return {"address": "", "why": "There is no film of these episodes."}
    if path.stat().st_size > _FILM_BYTES:
        return {
            "address": "",
            "why": f"The film is too large for this page: it is the file {path.name}.",
        }
    return {
        "address": "data:video/mp4;base64," + base64.b64encode(path.read_bytes()).decode(),
        "why": "",
    }


def _score(policy, rollout):
    """The drawing of a score: its interval over the episodes' largest rewards, between no points
    and all points.
    """
    counts, _ = np.histogram(np.clip(rollout.per_episode, 0, 1), bins=_BARS, range=(0, 1))
    bars = [
        {"x": _along(i / _BARS), "height": 46 * count / counts.max()}
        for i, count in enumerate(counts.tolist())
    ]
    low, high = rollout.interval
    target = policy.target(rollout.demonstrations)
    return {
        "mean": rollout.score,
        "low": low,
        "high": high,
        "target": target,
        "baseline": policy.baseline,
        "bars": bars,
        "episodes": len(rollout.per_episode),
        "solved": sum(reward >= 1 for reward in rollout.per_episode),
        "x": _along,
        "demonstrations": demos.name_of(rollout.demonstrations),
    }


def _along(value, margin=14.0):
    """Where a score between 0 and 1 is in a drawing."""
    return margin + min(max(value, 0.0), 1.0) * (_WIDTH - 2 * margin)


def _loss(policy, rollout):
    """The drawing of a loss curve beside the reference, in means of blocks where single losses are
    noisy; None without one.
    """
    if not rollout.losses:
        return None
    known = SimpleNamespace(fingerprint=rollout.demonstrations)
    losses = np.nan_to_num(
        np.clip(np.asarray(rollout.losses, dtype=float), -1e30, 1e30)
    )  # hand-in files may say anything
    reference, compared = (
        reference_loss(policy.name, known),
        compare_losses(policy.name, losses, known),
    )
    block = policy.loss_block * math.ceil(len(losses) / policy.loss_block / _DRAWN)
    first, scale = losses[: policy.loss_block].mean(), 1
    if len(
        compared.ratio
    ):  # summed over the chunk, it is drawn at the reference's scale, as it was compared
        start = np.mean(reference.losses[: policy.loss_block])
        scale = next(
            (
                scale
                for scale in policy.loss_scales
                if np.isclose(first / start / scale, compared.ratio[0])
            ),
            1,
        )
    curves = {"own": losses / scale}
    if reference:
        curves |= {"reference": reference.losses, "low": reference.low, "high": reference.high}
    curves = {name: _block_means(curve, block) for name, curve in curves.items()}
    values = np.concatenate([y for _, y in curves.values()])
    low, high, last = values.min(), values.max(), max(x[-1] for x, _ in curves.values())
    logarithmic = bool(low > 0 and high > 10 * low)
    low, high = (low, high) if high > low else (low - 1, high + 1)
    shown = np.log if logarithmic else np.asarray

    def at(x, y):
        across = 44 + np.asarray(x) / max(last, 1.0) * (_WIDTH - 54)
        return across, _HEIGHT - 32 - (shown(y) - shown(low)) / (shown(high) - shown(low)) * (
            _HEIGHT - 42
        )

    def path(name, backwards=1):
        return " ".join(
            f"{x:.1f},{y:.1f}" for x, y in zip(*(a[::backwards] for a in at(*curves[name])))
        )

    return {
        "own": path("own"),
        "reference": path("reference") if reference else "",
        "sentence": compared.sentence,
        "block": block,
        "band": path("high") + " " + path("low", -1) if reference else "",
        "scale": scale,
        "logarithmic": logarithmic,
        "count": len(losses),
        "first": losses[0],
        "last": losses[-1],
        "compared": reference is not None,
        "y": [(float(at(0, tick)[1]), f"{tick:g}") for tick in _ticks(low, high, logarithmic)],
        "x": [(float(at(tick, low)[0]), f"{tick:g}") for tick in _ticks(0, last, False)],
    }


def _block_means(losses, block):
    """(x, y): the middle and the mean of each `block` losses."""
    starts = np.arange(0, len(losses), block)
    counts = np.diff(np.append(starts, len(losses)))
    return starts + (counts - 1) / 2, np.add.reduceat(losses, starts) / counts


def _ticks(low, high, logarithmic):
    """Some three to six round numbers from `low` to `high`."""
    if logarithmic:
        decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        factors = (
            (1,)
            if math.log10(high / low) > 2.5
            else (1, 3)
            if math.log10(high / low) > 1.5
            else (1, 2, 5)
        )
        ticks = [
            float(f"{factor}e{decade}")
            for decade in decades[:: math.ceil(len(decades) / 6)]
            for factor in factors
        ]
    else:
        rough = max(high - low, 1e-9) / 4
        step = min(
            (factor * 10.0 ** math.floor(math.log10(rough)) for factor in (1, 2, 5, 10)),
            key=lambda step: abs(step - rough),
        )
        ticks = [math.ceil(low / step) * step + i * step for i in range(8)]
    return [tick for tick in ticks if low <= tick <= high]


# The class.


def _flags(graded, remarks, refused):
    """(student, part, sentence) of what a person should look at, each once; stopped and refused
    notebooks have lists of their own.
    """
    found = [
        (student, result.part, sentence)
        for student, result in graded
        for sentence in [
            *result.flags,
            *(flag for rollout in result.rollouts.values() for flag in rollout.flags),
        ]
    ]
    stopped = {
        (student, result.part, f"The notebook was stopped: {result.stopped}.")
        for student, result in graded
        if result.stopped
    }
    said = dict.fromkeys(
        (student, part, _said(sentence)) for student, part, sentence in [*found, *remarks]
    )
    return [flag for flag in said if flag not in stopped and flag not in refused]


def _student_row(student, by_part, hand, used, flags):
    cells = []
    for part in used:
        result, about = (
            by_part.get(part.name),
            [sentence for who, where, sentence in flags if (who, where) == (student, part.name)],
        )
        notes = (
            []
            if result is None
            else [
                note
                for note, holds in (
                    ("missing", result.missing),
                    ("stopped", result.stopped),
                    ("late", result.late_penalty),
                    ("flagged", any(_NEAR not in sentence for sentence in about)),
                    ("near the bar", any(_NEAR in sentence for sentence in about)),
                    ("to be read", any(row["mark"] == "waits" for row in _rows(result, hand))),
                )
                if holds
            ]
        )
        cells.append({"points": None if result is None else points(result, hand), "notes": notes})
    return {
        "name": student,
        "page": f"feedback/{quote(student, safe='')}/{ASSIGNMENT}/feedback.html",
        "cells": cells,
        "graded": bool(by_part),
        "total": sum(points(result, hand) for result in by_part.values()),
        "seconds": sum(sum(result.seconds.values()) for result in by_part.values()),
    }


def _questions(used, rows):
    """[(part, [(name, title, [(mark, how many)])])]"""
    counts = Counter((row["cell"], row["mark"]) for _, row in rows)
    return [
        (
            part,
            [
                (row["name"], row["title"], [(mark, counts[row["cell"], mark]) for mark in MARKS])
                for row in {
                    row["cell"]: row for _, row in rows if row["part"] == part.name
                }.values()
            ],
        )
        for part in used
    ]


def _mistakes(used, rows):
    """The commonest reasons for lost points: [(part, [(name, title, [(an example's row, students)],
    how many more)])].

    Sentences count as the same when they have the same hint, or without one the same words, numbers
    and shapes aside.
    """
    groups = {}
    for student, row in rows:
        told = (
            row["written"]
            or row["rolled"]
            or row["mark"] == "missing"
            or row["sentence"].startswith(_UNREACHED)
        )  # elsewhere
        if row["automatic"] < row["of"] and not told:
            numbers = re.sub(
                r"(?<![A-Za-z])-?\d+(\.\d+)?(e[+-]?\d+)?", "#", row["hint"] or row["sentence"]
            )
            same = re.sub(r"#(, ?#)*,?", "#", numbers)  # a shape, whatever its length
            groups.setdefault(row["cell"], {}).setdefault(same, []).append((student, row))
    found = {part.name: (part, []) for part in used}
    for cell in sorted(
        groups, key=[_cell(part, entry) for part in used for entry in part.graded()].index
    ):
        ranked = sorted(groups[cell].values(), key=lambda group: (-len(group), group[0][0]))
        row = ranked[0][0][1]
        common = [(group[0][1], [student for student, _ in group]) for group in ranked[:_MISTAKES]]
        found[row["part"]][1].append((row["name"], row["title"], common, len(ranked) - _MISTAKES))
    return [(part, entries) for part, entries in found.values() if entries]


def _policy(policy, graded):
    """A policy's scores over the class, as a strip of dots that stack where they meet."""
    dots, heights, scores = [], Counter(), []
    for student, result in graded:
        if policy.name in result.rollouts:
            rollout = result.rollouts[policy.name]
            column = round(rollout.score * _BINS)
            scores.append(rollout.score)
            dots.append(
                {
                    "x": _along(column / _BINS),
                    "level": heights[column],
                    "student": student,
                    "score": rollout.score,
                    "kind": demos.name_of(rollout.demonstrations) or "other",
                }
            )
            heights[column] += 1
    highest = max(heights.values(), default=1)
    step = min(7.5, 90 / highest)
    return {
        "policy": policy,
        "dots": dots,
        "step": step,
        "radius": max(1.5, min(4.0, step)),
        "height": step * highest,
        "x": _along,
        "mean": fmean(scores) if scores else None,
        "spread": stdev(scores) if len(scores) > 1 else None,
    }


def _repairs(repairs):
    """What was repaired, and what could not be read: (student, part, sentence) each."""
    told = [
        (student, part, entry)
        for student in sorted(repairs)
        for part, entry in repairs[student]["parts"].items()
    ]
    return (
        [
            (student, part, _said(sentence))
            for student, part, entry in told
            for sentence in entry["repairs"]
        ],
        [
            (student, part, _said(entry["refused"]))
            for student, part, entry in told
            if entry["refused"]
        ],
    )


def _kind_of_stop(sentence):
    kinds = {
        "longer": "timed out",
        "memory": "out of memory",
        "died": "kernel died",
        "outputs": "too much output",
    }
    return next(
        (kind for word, kind in kinds.items() if word in sentence), "stopped for another reason"
    )


def _stages(graded):
    """[(stage, seconds of the class, of the longest notebook, whose)]"""
    names = dict.fromkeys(stage for _, result in graded for stage in result.seconds)
    longest = {
        stage: max(graded, key=lambda entry: entry[1].seconds.get(stage, 0.0)) for stage in names
    }
    return [
        (
            stage,
            sum(result.seconds.get(stage, 0.0) for _, result in graded),
            longest[stage][1].seconds.get(stage, 0.0),
            longest[stage][0],
            longest[stage][1].part,
        )
        for stage in names
    ]
