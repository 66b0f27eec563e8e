"""What grading a student's notebook came to: a JSON file each in the course's results/, from which
everything else is made.
"""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from score import rubric


@dataclass(frozen=True)
class CellResult:
    """One test cell: points by the ledger, why, and how long it took. written: answered in words,
    and graded by a person.
    """

    name: str
    points: float
    max_points: float
    sentence: str
    seconds: float = 0.0
    written: bool = False


@dataclass(frozen=True)
class RolloutResult:
    """A policy's graded episodes: the largest reward of each, and what the hand-in file said of its
    training.

    key: of all that the episodes depend on; with the same key they are not rolled out again.
    interval: 95 %, of the mean.
    film: file name beside the graded notebook, "" for none. demonstrations: their fingerprint, as
    the hand-in file states it.
    """

    key: str
    per_episode: list
    interval: tuple
    one_by_one: bool
    losses: list
    demonstrations: str
    film: str
    flags: list

    @property
    def score(self):
        return sum(self.per_episode) / len(self.per_episode)


@dataclass(frozen=True)
class PartResult:
    """One notebook of one student, graded.

    key: of all that the result depends on. kit: the kit's version. box: name of the isolation
    level, "" where nothing ran.
    stopped: why the notebook was stopped, "" if it was not. missing: why there was nothing to run,
    "" if there was.
    seconds: by stage. flags: for the instructor alone. late_penalty: points, by nbgrader's rule; it
    stands in the gradebook, and here where a page is made. cells: by test cell's id.
    rollouts: by policy's name.
    """

    student: str
    part: str
    key: str
    kit: str
    box: str
    stopped: str
    missing: str
    seconds: dict
    flags: list
    late_penalty: float
    cells: dict
    rollouts: dict

    @property
    def max_points(self):
        return float(rubric.PARTS[self.part].points)


def save(result, folder):
    """Write a `PartResult` to FOLDER/STUDENT/PART.json."""
    put(
        Path(folder) / result.student / f"{result.part}.json",
        json.dumps(asdict(result), indent=1).encode(),
    )


def put(path, content):
    """Write a file whole or not at all, even where the machine stops: beside its place, then
    renamed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part_file = path.with_name(path.name + ".part")
    with open(part_file, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    part_file.replace(path)


def load(folder, student):
    """{part: `PartResult`} of a student, in the rubric's order; without those that were never
    graded.
    """
    found = {}
    for part in rubric.PARTS:
        path = Path(folder) / student / f"{part}.json"
        if path.exists():
            found[part] = _read(json.loads(path.read_text(encoding="utf-8")))
    return found


def _read(values):
    cells = {cell: CellResult(**entry) for cell, entry in values["cells"].items()}
    rollouts = {
        name: RolloutResult(**entry | {"interval": tuple(entry["interval"])})
        for name, entry in values["rollouts"].items()
    }
    return PartResult(**values | {"cells": cells, "rollouts": rollouts})
