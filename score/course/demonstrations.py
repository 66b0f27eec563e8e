"""Make the demonstrations that the kit ships, and the sheets that show them beside the human ones.

    python -m score.course.demonstrations            # data/demonstrations.zarr.zip
    python -m score.course.demonstrations --sheets   # data/shipped.png and data/human.png

A flow policy trained on the human demonstrations proposes chunks of actions, a simulator looks two chunks ahead, and of
what was driven only the episodes that reach the full reward are kept. They end there, so none has an idle tail.
"""
import argparse
import importlib.metadata
import os
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import zarr
from numcodecs import Blosc

from pusht import demos
from pusht.checkpoint import SUFFIX, load_checkpoint
from pusht.chunks import as_range
from pusht.rollout import receding_horizon, rollout
from pusht.sim import SUCCESS_COVERAGE, WINDOW, PushTSim, clipped_coverage, sample_start
from pusht.figures import sheet
from score import rubric
from score.asking import asked
from score.course.reference import ROOT, answer_of, reference_path, run_solution

SEED = 1
# Far above every range that grades are held from (a course draws its own below 1,000,010,000).
FIRST_START = 4_000_000_000
# The first starts are solved several times, so that the different ways from one start can be seen in the set.
STARTS, STARTS_AGAIN, WAYS = 180, 12, 4
MAX_STEPS = 200
_ROUNDS = 8  # what fails is tried again with other random numbers; a start that never succeeds is left out

_PROPOSALS, _SECONDS = 16, 2
_CLOSE = 0.6  # of the goal covered: from here on the best proposal is taken, before one of the best quarter at random
_GRID = 8  # actions per pixel: they are stored just as they were driven, in few digits


def make(seed=SEED, starts=STARTS, starts_again=STARTS_AGAIN, ways=WAYS):
    """Drive and return `(Demonstrations, seed of each episode's start (E,))`, ordered by start.

    starts: different starts, the first `starts_again` of which are to be solved `ways` times.
    """
    policy = look_ahead(_human_policy())
    wanted = [FIRST_START + i for i in range(starts) for _ in range(ways if i < starts_again else 1)]
    solved = []
    for attempt in range(_ROUNDS):
        if not wanted:
            break
        episodes = rollout(policy, wanted, max_steps=MAX_STEPS, torch_seed=seed * _ROUNDS + attempt)
        solved += [(start, states[:-1], actions) for start, states, actions, success
                   in zip(wanted, episodes.states, episodes.actions, episodes.successes) if success]
        wanted = [start for start, success in zip(wanted, episodes.successes) if not success]
        print(f"Round {attempt + 1}: {len(solved)} solved, {len(wanted)} to try again.", flush=True)
    starts, states, actions = zip(*sorted(solved, key=lambda episode: episode[0]))
    ends = np.cumsum([len(chunk) for chunk in actions], dtype=np.int64)
    return demos.Demonstrations(np.concatenate(states).astype(np.float32), np.concatenate(actions).astype(np.float32), ends), starts


def look_ahead(propose):
    """The policy, for `rollout`, that chooses among proposed chunks by what a simulator says comes of them.

    propose: function from one observation each (B, 1, 5) to chunks (B, K, 2) [px], drawn at random.

    A proposal is worth the coverage it leaves, or the best coverage that a second chunk after it leaves. Close to the goal
    the best is taken; before, one of the best quarter, so that two episodes from one start part.
    """
    world = PushTSim()
    world.reset(sample_start(0))

    def drive(before, now, chunk, waited=0):
        """Drive `chunk` from `now`: the states before and after its last step and what that is worth, over 1 for success."""
        _put(world, before, now)
        for step, action in enumerate(chunk):
            before, covered = world.state, world.step(action)
            if covered > SUCCESS_COVERAGE:
                return before, world.state, 2 - (waited + step) / 100  # the sooner the better
        return before, world.state, covered

    def policy(obs):
        chunks = propose(np.repeat(obs[:, -1:], _PROPOSALS, axis=0))
        chunks = np.clip(np.round(chunks * _GRID) / _GRID, 0, WINDOW).reshape(len(obs), _PROPOSALS, -1, 2)
        firsts = [[drive(*last, chunk) for chunk in row] for last, row in zip(obs, chunks)]
        after = np.array([state for row in firsts for _, state, _ in row])
        seconds = propose(np.repeat(after[:, None], _SECONDS, axis=0)).reshape(len(obs), _PROPOSALS, _SECONDS, -1, 2)
        chosen = []
        for last, row, chunks_of, seconds_of in zip(obs, firsts, chunks, seconds):
            values = [value if value > 1 else max(value, *(drive(before, state, chunk, len(chunk))[2] for chunk in second))
                      for (before, state, value), second in zip(row, seconds_of)]
            close = clipped_coverage(*last[-1, 2:]) >= _CLOSE
            best = np.argsort(-np.array(values), kind="stable")[:1 if close else _PROPOSALS // 4]
            chosen.append(chunks_of[best.min() if max(values) > 0 else 0])  # proposals come in no order: the first is any
        return np.stack(chosen)

    return policy


def _put(world, before, now):
    """Put a world into the state `now` (5,), the agent moving on as it came from `before` (5,) one step ago."""
    world.agent.position, world.agent.velocity = tuple(now[:2]), tuple((now[:2] - before[:2]) * 10)
    world.block.angle = now[4]
    world.block.position = tuple(now[2:4])
    world.block.velocity, world.block.angular_velocity = (0, 0), 0
    world.space.reindex_shapes_for_body(world.agent)
    world.space.reindex_shapes_for_body(world.block)


def _human_policy():
    """The flow policy trained on the human demonstrations: observations (B, 1, 5) -> chunks (B, 8, 2) [px]."""
    policy = rubric.POLICIES["part4_flow"]
    checkpoint = load_checkpoint(reference_path(policy, "human"), policy.normalisation)
    with tempfile.TemporaryDirectory() as folder:
        names = run_solution(rubric.PARTS["part4_flow"], folder, train=False)
    model, infer = asked(policy, answer_of(names, policy))
    checkpoint.restore(model)
    return receding_horizon(lambda nobs: infer(nobs, len(nobs)), as_range(checkpoint.stats), obs_horizon=policy.obs_horizon,
                            action_horizon=policy.action_horizon)


def write(path, demonstrations, starts, seed=SEED):
    """Write the set as a zip of a Zarr folder (format 2), the same bytes for the same set on the same versions."""
    about = {
        "about": "Push-T demonstrations of the Push-T course kit: see data/README.md", "license": "MIT", "seed": seed,
        "versions": {name: importlib.metadata.version(name) for name in ("torch", "numpy", "pymunk", "zarr", "numcodecs")},
    }
    arrays = {"data/state": demonstrations.states, "data/action": demonstrations.actions,
              "meta/episode_ends": demonstrations.episode_ends, "meta/start_seed": np.array(starts, dtype=np.int64)}
    part = Path(f"{path}.part")
    with tempfile.TemporaryDirectory() as folder:
        group = zarr.open_group(folder, mode="w", zarr_format=2, attributes=about)
        for name, array in arrays.items():
            group.create_array(name, data=array, chunks=array.shape, compressors=Blosc("zstd", 9, Blosc.SHUFFLE))
        with zipfile.ZipFile(part, "w") as archive:
            for file in sorted(file for file in Path(folder).rglob("*") if file.is_file()):
                name = f"demonstrations.zarr/{file.relative_to(folder).as_posix()}"
                archive.writestr(zipfile.ZipInfo(name, date_time=(2020, 1, 1, 0, 0, 0)), file.read_bytes())
    os.replace(part, path)


def draw_sheets():
    """Write the sheets of both sets and print the table of their figures."""
    print("| | " + " | ".join(("shipped", "human")) + " |\n|---|---|---|")
    sets = {name: demos.open(name) for name in ("shipped", "human")}
    for name, shown in sets.items():
        path = demos.SHIPPED.with_name(f"{name}.png")
        path.write_bytes(sheet.demonstrations(shown, f"The {name} demonstrations").data)
    columns = [_rows(shown) for shown in sets.values()]
    for what in columns[0]:
        print(f"| {what} | " + " | ".join(column[what] for column in columns) + " |")


def _rows(shown):
    of = sheet.facts(shown)
    low, middle, high = np.quantile(of.lengths, [0.1, 0.5, 0.9])
    slow, usual, fast = np.quantile(of.speeds, [0.1, 0.5, 0.9])
    return {
        "episodes, steps": f"{shown.num_episodes}, {len(shown.states):,}",
        "length: median (tenth to nine tenths)": f"{middle:.1f} s ({low:.1f} to {high:.1f})",
        "speed of the agent, likewise": f"{usual:.0f} px/s ({slow:.0f} to {fast:.0f})",
        "goal covered at the start, at the end: medians": f"{np.median(of.coverage[:, 0]):.2f}, {np.median(of.coverage[:, -1]):.2f}",
        "around the block anticlockwise, clockwise": f"{(of.turns < 0).mean():.0%}, {(of.turns > 0).mean():.0%}",
        "more than half a turn": f"{(abs(of.turns) > 0.5).mean():.0%}",
    }


def main():
    parser = argparse.ArgumentParser(prog="python -m score.course.demonstrations", description="Make the shipped demonstrations.")
    parser.add_argument("--seed", type=int, default=SEED, help=f"of the random numbers (default: {SEED}, the kit's own set)")
    parser.add_argument("--out", type=Path, default=demos.SHIPPED, help="the zip to write (default: that of the kit)")
    parser.add_argument("--sheets", action="store_true", help="make nothing: draw the sheets and print the figures of both sets")
    options = parser.parse_args()
    if options.sheets:
        draw_sheets()
        return
    demonstrations, starts = make(options.seed)
    write(options.out, demonstrations, starts, options.seed)
    print(f"{options.out}: {demonstrations.num_episodes} episodes, {len(demonstrations.states)} steps, "
          f"fingerprint {demonstrations.fingerprint}")


if __name__ == "__main__":
    main()
