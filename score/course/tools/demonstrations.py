"""Make the demonstrations that the kit ships, and sheets that show them beside the human ones.

    python -m score.course.tools.demonstrations            # data/demonstrations.zarr.zip
    python -m score.course.tools.demonstrations --sheets   # data/shipped.png and data/human.png

A flow policy trained on the human demonstrations drives from fresh starts, many times from each. Of
the tries that reach the full reward, the quickest is kept, and the quickest that goes around the
block another way, if there is one. An episode ends with its success, so none has an idle tail.
"""

import argparse
import importlib.metadata
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numcodecs import Blosc

from pusht import demos
from pusht.checkpoint import load_checkpoint
from pusht.episodes import receding_horizon, rollout
from pusht.figures import sheet
from pusht.files import replacing, write_whole
from pusht.sim import WINDOW
from score import rubric
from score.course.notebooks.solutions import answer_of, reference_path, run_solution
from score.rollouts.policies import inference_of

SEED = 1
# Far above every range that grades use (a course draws its own below 1,000,010,000).
FIRST_START = 4_000_000_000
STARTS, TRIES, MAX_STEPS = 200, 64, 180
_APART = 0.5  # turns around the block by which two ways differ
_BATCH = 100  # starts driven together; changing it changes every episode's random numbers
_GRID = 8  # actions are rounded to 1/8 pixel before they are driven, so few digits store them whole

_Episode = tuple[np.ndarray, np.ndarray]  # states (T, 5), actions (T, 2)


def make(
    seed: int = SEED, starts: int = STARTS, tries: int = TRIES
) -> tuple[demos.Demonstrations, tuple[int, ...]]:
    """Drive, and return the demonstrations and the seed of each episode's start, ordered by start.

    starts: how many starts; tries: how often each is driven from. A start from which no try
    succeeds within MAX_STEPS is left out.
    """
    policy = _human_policy()
    solved: dict[int, list[_Episode]] = {}
    for first in range(0, starts, _BATCH):
        batch = [FIRST_START + i for i in range(first, min(first + _BATCH, starts))]
        for attempt in range(tries):
            episodes = rollout(
                policy, batch, obs_horizon=1, max_steps=MAX_STEPS, torch_seed=1000 * seed + attempt
            )
            for i in np.flatnonzero(episodes.successes):
                solved.setdefault(batch[i], []).append(
                    (episodes.states[i][:-1], episodes.actions[i])
                )
        print(f"{len(solved)} of {batch[-1] - FIRST_START + 1} starts solved.", flush=True)
    kept = [(start, *episode) for start in sorted(solved) for episode in _ways(solved[start])]
    start_seeds, states, actions = zip(*kept, strict=True)
    ends = np.cumsum([len(chunk) for chunk in actions], dtype=np.int64)
    driven = demos.Demonstrations(
        np.concatenate(states).astype(np.float32), np.concatenate(actions).astype(np.float32), ends
    )
    return driven, start_seeds


def _ways(episodes: list[_Episode]) -> list[_Episode]:
    """Return the quickest of the episodes from one start, and the quickest that goes another way
    around the block, if there is one.
    """
    quickest, *others = sorted(episodes, key=lambda episode: len(episode[1]))
    turns = sheet.turns_around(quickest[0])
    apart = [other for other in others if abs(sheet.turns_around(other[0]) - turns) > _APART]
    return [quickest, *apart[:1]]


def _human_policy() -> Callable[[np.ndarray], np.ndarray]:
    """Return the flow policy trained on the human demonstrations, a function from observations
    (B, 1, 5) to chunks of actions (B, 8, 2) in pixels.
    """
    policy = rubric.POLICIES["part4_flow"]
    checkpoint = load_checkpoint(reference_path(policy, "human"), policy.normalisation)
    with tempfile.TemporaryDirectory() as folder:
        names = run_solution(rubric.PARTS["part4_flow"], folder, train=False)
    model, infer = inference_of(policy, answer_of(names, policy))
    checkpoint.restore(model)
    act = receding_horizon(
        lambda nobs: infer(nobs, len(nobs)),
        checkpoint.stats,
        obs_horizon=policy.obs_horizon,
        action_horizon=policy.action_horizon,
    )
    return lambda obs: np.clip(np.round(act(obs) * _GRID) / _GRID, 0, WINDOW)


def write(
    path: Path, demonstrations: demos.Demonstrations, starts: Sequence[int], seed: int = SEED
) -> None:
    """Write the set as a zip of a Zarr folder (format 2): with the same versions of the libraries
    the same bytes for the same set.
    """
    about: dict[str, Any] = {
        "about": "Push-T demonstrations of the Push-T course kit: see data/README.md",
        "license": "MIT",
        "seed": seed,
        "versions": {
            name: importlib.metadata.version(name)
            for name in ("torch", "numpy", "pymunk", "zarr", "numcodecs")
        },
    }
    arrays = {
        "data/state": demonstrations.states,
        "data/action": demonstrations.actions,
        "meta/episode_ends": demonstrations.episode_ends,
        "meta/start_seed": np.array(starts, dtype=np.int64),
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


def draw_sheets() -> None:
    """Write the sheets of both sets, and print the table of their figures."""
    print("| | " + " | ".join(("shipped", "human")) + " |\n|---|---|---|")
    sets = {name: demos.open(name) for name in ("shipped", "human")}
    for name, shown in sets.items():
        picture = sheet.demonstrations(shown, f"The {name} demonstrations")
        write_whole(demos.SHIPPED.with_name(f"{name}.png"), picture.data)
    columns = [_rows(shown) for shown in sets.values()]
    for what in columns[0]:
        print(f"| {what} | " + " | ".join(column[what] for column in columns) + " |")


def _rows(shown: demos.Demonstrations) -> dict[str, str]:
    """Return the figures of a set, by what they are."""
    facts = sheet.facts(shown)
    low, middle, high = np.quantile(facts.lengths, [0.1, 0.5, 0.9])
    slow, usual, fast = np.quantile(facts.speeds, [0.1, 0.5, 0.9])
    return {
        "episodes, steps": f"{shown.num_episodes}, {len(shown.states):,}",
        "length: median (tenth to nine tenths)": f"{middle:.1f} s ({low:.1f} to {high:.1f})",
        "speed of the agent, likewise": f"{usual:.0f} px/s ({slow:.0f} to {fast:.0f})",
        "goal covered at the start, before the last step: medians": (
            f"{np.median(facts.coverage[:, 0]):.2f}, {np.median(facts.coverage[:, -1]):.2f}"
        ),
        "around the block anticlockwise, clockwise": (
            f"{(facts.turns < 0).mean():.0%}, {(facts.turns > 0).mean():.0%}"
        ),
        "more than half a turn": f"{(abs(facts.turns) > 0.5).mean():.0%}",
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m score.course.tools.demonstrations",
        description="Make the shipped demonstrations.",
    )
    parser.add_argument(
        "--seed",
        type=int,
        default=SEED,
        help=f"of the random numbers (default: {SEED}, the kit's own set)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=demos.SHIPPED,
        help="the zip to write (default: that of the kit)",
    )
    parser.add_argument(
        "--sheets",
        action="store_true",
        help="make nothing: draw the sheets and print the figures of both sets",
    )
    options = parser.parse_args()
    if options.sheets:
        draw_sheets()
        return
    demonstrations, starts = make(options.seed)
    write(options.out, demonstrations, starts, options.seed)
    print(
        f"{options.out}: {demonstrations.num_episodes} episodes, {len(demonstrations.states)}"
        f" steps, fingerprint {demonstrations.fingerprint}"
    )


if __name__ == "__main__":
    main()
