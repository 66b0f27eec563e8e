"""Which of the expert's episodes become the set, and the set as a file, a zip of a Zarr folder."""

import importlib.metadata
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numcodecs import Blosc

from pusht.demos import Demonstrations
from pusht.expert import packed
from pusht.expert.driving import Episode, solved
from pusht.figures import sheet
from pusht.files import replacing
from score.course.tools.demonstrations.starts import KINDS, LEARNER, Starts

STEPS = 30_000  # in the set, at most
_FROM_RESETS = 0.6  # share of the steps
_PAIRS = 36  # starts with two ways, at most: they show that ways differ, and are hard to learn
_APART = 0.5  # turns around the block by which two ways differ


@dataclass(frozen=True)
class Set:
    """Demonstrations, and where each of their E episodes starts: `starts` has E rows."""

    demonstrations: Demonstrations
    starts: Starts


def select(starts: Starts, tries: Sequence[Sequence[Episode]], steps: int = STEPS) -> Set:
    """Return a set of at most so many steps.

    starts: N. tries: each has an episode from each of the N starts. The last try is only for other
        ways.

    Of the tries from a start the quickest success is taken, and, from some resets, the quickest
    that goes another way. Those come first, so that they find room; then the other resets; then
    states of learners.
    """
    chosen = [ways([each[i] for each in tries]) for i in range(len(starts))]
    resets = np.flatnonzero(starts.kinds != LEARNER).tolist()
    # Those come first whose second way is not of the last try.
    both = [i for i in resets if len(chosen[i]) == 2]
    pairs = sorted(both, key=lambda i: chosen[i][1] is tries[-1][i])[:_PAIRS]
    singles = [i for i in resets if i not in pairs]
    learners = np.flatnonzero(starts.kinds == LEARNER).tolist()
    taken = _fitting([(i, chosen[i]) for i in pairs], round(steps * _FROM_RESETS))
    for group, share in ((singles, _FROM_RESETS), (learners, 1.0)):
        used = sum(len(episode) for _, episode in taken)
        taken += _fitting([(i, chosen[i][:1]) for i in group], round(steps * share) - used)
    return Set(packed([episode for _, episode in taken]), starts[[i for i, _ in taken]])


def ways(tries: Sequence[Episode]) -> list[Episode]:
    """Return the quickest of one start's tries that succeeded, and the quickest that goes another
    way around the block: two, one or none. The last try is taken only for the other way.
    """
    found = sorted(solved(tries[:-1]), key=len)
    if not found:
        return []
    turns = sheet.turns_around(found[0].states[:-1])
    for other in [*found[1:], *solved(tries[-1:])]:
        if abs(sheet.turns_around(other.states[:-1]) - turns) > _APART:
            return [found[0], other]
    return found[:1]


def _fitting(
    of_starts: Sequence[tuple[int, list[Episode]]], room: int
) -> list[tuple[int, Episode]]:
    """Return, with their start's number, as many episodes as there is room for."""
    taken = []
    for i, episodes in of_starts:
        length = sum(len(episode) for episode in episodes)
        if length <= room:
            taken += [(i, episode) for episode in episodes]
            room -= length
    return taken


def write(path: Path, made: Set, seed: int) -> None:
    """Write the set in Zarr's format 2: with the same versions of the libraries the same bytes for
    the same set.
    """
    about: dict[str, Any] = {
        "about": "Push-T demonstrations of the Push-T course kit: see data/README.md",
        "license": "MIT",
        "seed": seed,
        "start_kinds": list(KINDS),
        "versions": {
            name: importlib.metadata.version(name)
            for name in ("torch", "numpy", "pymunk", "zarr", "numcodecs")
        },
    }
    arrays = {
        "data/state": made.demonstrations.states,
        "data/action": made.demonstrations.actions,
        "meta/episode_ends": made.demonstrations.episode_ends,
        "meta/start_state": made.starts.states,
        "meta/start_kind": made.starts.kinds.astype(np.int8),
        "meta/start_seed": made.starts.seeds.astype(np.int64),
    }
    with tempfile.TemporaryDirectory() as folder:
        group = zarr.open_group(folder, mode="w", zarr_format=2, attributes=about)
        for name, array in arrays.items():
            group.create_array(
                name, data=array, chunks=array.shape, compressors=Blosc("zstd", 9, Blosc.SHUFFLE)
            )
        # Stored, not deflated: the arrays in it are compressed already.
        with replacing(path) as beside, zipfile.ZipFile(beside, "w") as archive:
            for file in sorted(file for file in Path(folder).rglob("*") if file.is_file()):
                name = f"demonstrations.zarr/{file.relative_to(folder).as_posix()}"
                archive.writestr(
                    zipfile.ZipInfo(name, date_time=(2020, 1, 1, 0, 0, 0)), file.read_bytes()
                )
