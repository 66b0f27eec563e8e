"""The command line: `python -m pusht demos` lists the demonstrations on this machine."""

import argparse
import os
import sys
from collections.abc import Sequence

from pusht import demos
from pusht.demos import download


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command. When `arguments` is None, they are read from the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m pusht", description="Push-T: the environment and its demonstrations."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    which = commands.add_parser("demos", help="list the demonstrations on this machine")
    which.add_argument(
        "which",
        nargs="?",
        choices=["human"],
        help="download the human demonstrations if they are missing",
    )
    which.add_argument(
        "--clear", action="store_true", help="remove the downloaded human demonstrations"
    )
    options = parser.parse_args(arguments)
    if options.clear:
        removed = download.clear()
        print(
            "\n".join(f"Removed {file}" for file in removed)
            or f"There was nothing to remove in {download.cached().parent}"
        )
    if options.which:
        try:
            demos.open("human")
        except demos.DemosError as error:
            sys.exit(str(error))
    if options.which or not options.clear:
        _list()


def _list() -> None:
    print("shipped:", _description(demos.SHIPPED))
    if download.cached().is_file():
        print("human:", _description(download.cached()))
    else:
        print(
            "human: not downloaded; python -m pusht demos human downloads it to"
            f" {download.cached()}"
        )
    named = os.environ.get("PUSHT_DEMOS")
    if named and named not in ("shipped", "human"):
        print("PUSHT_DEMOS:", _description(named))


def _description(path: str | os.PathLike[str]) -> str:
    try:
        found = demos.open(path)
    except demos.DemosError as error:
        return str(error)
    name = demos.name_of(found.fingerprint)
    known = f", the {name} set" if name else ""
    return f"{found.num_episodes} episodes, {len(found.states)} steps{known}, in {path}"


if __name__ == "__main__":
    main()
