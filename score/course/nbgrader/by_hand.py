"""Keeps what people entered in the gradebook beside the results, from which a gradebook that was
lost is made again: results/STUDENT/by_hand.json.
"""

import json
from dataclasses import asdict
from pathlib import Path

from pusht.files import write_whole
from score.course.grading.results import ManualGrade, ManualGrades
from score.submission.failures import GraderFailure

_NAME = "by_hand.json"


def keep(grades: ManualGrades, folder: Path) -> None:
    """Write a student's grades by hand into the folder of the student's results."""
    entries = [[part, cell, asdict(grade)] for (part, cell), grade in sorted(grades.items())]
    path, content = folder / _NAME, json.dumps(entries, indent=1).encode()
    before = path.read_bytes() if path.exists() else b"[]"
    if content != before:
        write_whole(path, content)


def kept(folder: Path) -> dict[tuple[str, str], ManualGrade]:
    """Return what was kept of a student; GraderFailure where the file is damaged."""
    path = folder / _NAME
    if not path.exists():
        return {}
    try:
        entries = json.loads(path.read_bytes())
        return {(part, cell): ManualGrade(**grade) for part, cell, grade in entries}
    except (ValueError, TypeError, RecursionError):
        raise GraderFailure(
            f"{path} is damaged, which keeps the grades by hand of a gradebook that was lost:"
            " delete it, and enter them again."
        ) from None
