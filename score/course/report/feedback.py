"""A student's feedback: one page with all parts, their reasons, charts and films.

There is nothing of the instructor's on it: no flags, no seeds, no audit.
"""

import base64
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from pusht import demos
from score import rubric
from score.course.grading.results import ManualGrades, PartResult, RolloutResult
from score.course.report.charts import loss_chart, score_chart
from score.course.report.page import printable, render
from score.course.report.points import part_points, part_rows

_FILM_BYTES = 3 * 2**19  # the largest film in the page, where base64 makes a third more of it


def feedback(
    student: str,
    results: Mapping[str, PartResult],
    manual: ManualGrades,
    folder: str | os.PathLike[str],
    asked: Collection[str] = rubric.PARTS,
) -> str:
    """Return the HTML page for a student.

    results: by part. folder: where the films are. asked: names of the parts that the page is on.
    """
    parts = [_part(results[name], manual, Path(folder)) for name in rubric.PARTS if name in results]
    return render(
        "feedback.html",
        student=student,
        parts=parts,
        total=sum(part["points"] for part in parts),
        max_total=sum(part["max_points"] for part in parts),
        waiting=sum(row.mark == "waits" for part in parts for row in part["rows"]),
        ungraded=[rubric.PARTS[name].title for name in asked if name not in results],
    )


def _part(result: PartResult, manual: ManualGrades, folder: Path) -> dict[str, Any]:
    part = rubric.PARTS[result.part]
    return {
        "name": part.name,
        "title": part.title,
        "label": ", ".join(policy.label for policy in part.policies),
        "rows": part_rows(result, manual),
        "points": part_points(result, manual),
        "max_points": result.max_points,
        "failed": result.failed,
        "penalty": result.late_penalty,
        "stopped": printable(result.stopped),
        "missing": printable(result.missing),
        "policies": [
            _policy(policy, result.rollouts[policy.name], folder)
            for policy in part.policies
            if policy.name in result.rollouts
        ],
    }


def _policy(policy: rubric.Policy, rollout: RolloutResult, folder: Path) -> dict[str, Any]:
    low, high = rollout.interval
    film, why = _film(folder, rollout)
    return {
        "label": policy.label,
        "chart": score_chart(policy, rollout),
        "score": rollout.score,
        "low": low,
        "high": high,
        "target": policy.target(rollout.demonstrations),
        "baseline": policy.baseline,
        "episodes": len(rollout.per_episode),
        "solved": sum(reward >= 1 for reward in rollout.per_episode),
        "demonstrations": demos.name_of(rollout.demonstrations),
        "loss": loss_chart(policy, rollout),
        "film": film,
        "why_no_film": why,
    }


def _film(folder: Path, rollout: RolloutResult) -> tuple[str, str]:
    """Return the film as a data address and "", or "" and why there is none."""
    path = folder / Path(rollout.film).name
    if not rollout.film or not path.is_file():
        return "", "There is no film of these episodes."
    if path.stat().st_size > _FILM_BYTES:
        return "", f"The film is too large for this page: it is the file {path.name}."
    return "data:video/mp4;base64," + base64.b64encode(path.read_bytes()).decode(), ""
