"""The command: `python -m score.course.tools.demonstrations`."""

import argparse
from pathlib import Path

import safetensors.torch
import torch

from pusht import demos, expert
from pusht.episodes import reproducible
from pusht.files import write_whole
from score.course.notebooks.build import ROOT
from score.course.tools.demonstrations import learning, teaching
from score.course.tools.demonstrations.selection import Set, select, write
from score.course.tools.demonstrations.sheets import draw_sheets
from score.course.tools.demonstrations.store import Store

SEED = 1


def make(store: Store) -> Set:
    """Return the set that is made with what is in the store, and with what it still lacks."""
    with reproducible(store.seed):
        return select(teaching.final_starts(store), teaching.final(store))


def write_expert(path: Path, store: Store) -> None:
    """Write the weights of the expert that made the set, in half precision, as `expert.trained`
    reads them.
    """
    networks: dict[str, torch.nn.Module] = {
        "proposals": learning.proposals(store),
        "value": learning.value(store),
        "student": teaching.student(store, teaching.GENERATIONS),
    }
    weights = {
        f"{name}.{key}": weight.half().contiguous()
        for name, network in networks.items()
        for key, weight in network.state_dict().items()
    }
    write_whole(path, safetensors.torch.save(weights))


def main() -> None:
    """Make the set, or draw the sheets."""
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
        "--work",
        type=Path,
        default=ROOT / "build" / "demonstrations",
        help="where the stages are stored, so that an interrupted making goes on"
        " (default: build/demonstrations)",
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
    store = Store(options.work / f"seed_{options.seed}", options.seed)
    made = make(store)
    write(options.out, made, options.seed)
    if options.out == demos.SHIPPED:
        write_expert(expert.WEIGHTS, store)
    found = made.demonstrations
    print(
        f"{options.out}: {found.num_episodes} episodes, {len(found.states)} steps, fingerprint"
        f" {found.fingerprint}"
    )


if __name__ == "__main__":
    main()
