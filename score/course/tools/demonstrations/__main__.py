"""The command: `python -m score.course.tools.demonstrations`."""

import argparse
from pathlib import Path

from pusht import demos
from pusht.episodes import reproducible
from score.course.notebooks.build import ROOT
from score.course.tools.demonstrations import teaching
from score.course.tools.demonstrations.selection import Set, select, write
from score.course.tools.demonstrations.sheets import draw_sheets
from score.course.tools.demonstrations.store import Store

SEED = 1


def make(store: Store) -> Set:
    """Return the set that is made with what is in the store, and with what it still lacks."""
    with reproducible(store.seed):
        return select(teaching.final_starts(store), teaching.final(store))


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
    made = make(Store(options.work / f"seed_{options.seed}", options.seed))
    write(options.out, made, options.seed)
    found = made.demonstrations
    print(
        f"{options.out}: {found.num_episodes} episodes, {len(found.states)} steps, fingerprint"
        f" {found.fingerprint}"
    )


if __name__ == "__main__":
    main()
