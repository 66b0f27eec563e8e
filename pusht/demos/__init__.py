"""Open sets of demonstrations, which are recorded Push-T episodes.

Two sets have names: "shipped", which comes with the kit, and "human", which is downloaded once and
kept. In a shell, `python -m pusht demos` lists the sets on this machine.

A set is a Zarr folder (format 2 or 3) of three arrays, as published with Diffusion Policy (Chi et
al., 2023):

=================  ======  =====================================================================
data/state         (N, 5)  agent x, y and block x, y in window pixels, block angle in radians
data/action        (N, 2)  target agent x, y in window pixels
meta/episode_ends  (E,)    one past each episode's last step: strictly rising, the last one is N
=================  ======  =====================================================================

Other arrays (images, keypoints) are not read.
"""

import os
from pathlib import Path

import numpy as np

from pusht import resources
from pusht.demos import download
from pusht.demos.arrays import decode_set, save
from pusht.demos.recorded import Demonstrations, DemosError, joined
from pusht.demos.stored import FETCH_AGAIN, read_stored, reason

__all__ = [
    "EARLIER_FINGERPRINT",
    "HUMAN_FINGERPRINT",
    "SHIPPED",
    "SHIPPED_FINGERPRINT",
    "Demonstrations",
    "DemosError",
    "at_hand",
    "download",
    "joined",
    "load_pusht_zarr",
    "name_of",
    "open",
    "save",
]

SHIPPED = resources.path("data/demonstrations.zarr.zip")

# `Demonstrations.fingerprint` of the sets that have names; the kit shipped the earlier one until
# 2026-11, and courses that began with it go on.
SHIPPED_FINGERPRINT = "77f45fb9797d54cb531c98747d943ff608a00d8bd6964e40b7e6d6b04e68e96d"
EARLIER_FINGERPRINT = "03579852a603cd312694add5991d3199f8d766323b26807c9c17fa18726b41b8"
HUMAN_FINGERPRINT = "075737a7b11153fece07a69e466091744847454da79e52753228011b11dd3e62"


def open(which: str | os.PathLike[str] | None = None) -> Demonstrations:
    """Open a set of demonstrations.

    Args:
        which: "shipped", the set in the kit; "human", the set published with Diffusion Policy,
            which is downloaded unless PUSHT_DEMOS names it or it was downloaded before; or the path
            of a `.zarr` folder, of a folder that contains exactly one, at most two levels down, or
            of a zip of either. None: the name or path in the environment variable PUSHT_DEMOS, or
            "shipped" if it is not set.

    Raises:
        DemosError: there is nothing to open, or it is not a complete and valid set of Push-T
            demonstrations; the message says in one sentence what is wrong and what to do.
    """
    if which is None:
        which = os.environ.get("PUSHT_DEMOS") or "shipped"
        where = f"{which} (named by PUSHT_DEMOS)"
    else:
        where = os.fspath(which)
    if which == "shipped":
        return _open_shipped()
    if which == "human":
        return _open_human()
    return _open_path(which, where)


def load_pusht_zarr(
    zarr_path: str | os.PathLike[str] | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the arrays of `open(zarr_path)`: states (N, 5) float32, actions (N, 2) float32 and
    episode_ends (E,) int64.
    """
    demos = open(zarr_path)
    return demos.states, demos.actions, demos.episode_ends


def name_of(fingerprint: str) -> str | None:
    """Return "shipped", "human" or "earlier" (which the kit once shipped) for the fingerprint of
    that set, None for any other.
    """
    return {
        SHIPPED_FINGERPRINT: "shipped",
        HUMAN_FINGERPRINT: "human",
        EARLIER_FINGERPRINT: "earlier",
    }.get(fingerprint)


def at_hand(name: str) -> Demonstrations | None:
    """Return the "shipped" or "human" demonstrations, or None if they are not on this machine."""
    for place in [SHIPPED] if name == "shipped" else [_named_path(), download.cached()]:
        if place is None:
            continue
        try:
            found = _open_path(place, str(place))
        except DemosError:
            continue
        if name_of(found.fingerprint) == name:
            return found
    return None


def _open_shipped() -> Demonstrations:
    if not SHIPPED.is_file():
        raise DemosError(
            f"The shipped demonstrations are not at {SHIPPED}: fetch the kit again, or"
            ' open("human").'
        )
    return _open_path(SHIPPED, str(SHIPPED))


def _open_human() -> Demonstrations:
    """Return the human set: from PUSHT_DEMOS, else from the cache, else by downloading it."""
    remark = ""
    if named := _named_path():
        try:
            return _check_human(named)
        except DemosError as error:  # the reader may have put it there because the download failed
            remark = f"; PUSHT_DEMOS: {str(error).rpartition(': ')[0]}"
    try:
        return download.fetch(_check_human)
    except download.Unavailable as error:
        problem = f"could not be downloaded ({error}{remark})"
    except OSError as error:
        problem = f"cannot be kept in {download.cached().parent} ({reason(error)}{remark})"
    raise DemosError(
        f"The human demonstrations {problem}: try again, or download"
        f" {' or '.join(download.ADDRESSES)} by hand and set the environment variable PUSHT_DEMOS"
        " to the path of that file."
    )


def _named_path() -> str | None:
    """Return the value of PUSHT_DEMOS if it is a path, else None."""
    named = os.environ.get("PUSHT_DEMOS")
    return named if named not in (None, "", "shipped", "human") else None


def _check_human(path: str | Path) -> Demonstrations:
    """Return the human set at a path; DemosError if the path has another set."""
    found = _open_path(path, str(path))
    if found.fingerprint != HUMAN_FINGERPRINT:
        raise DemosError(
            f"{path} holds other demonstrations (wrong checksum {found.fingerprint[:12]}…):"
            f" {FETCH_AGAIN}."
        )
    return found


def _open_path(path: str | os.PathLike[str], where: str) -> Demonstrations:
    """Return the set at a path, which messages call `where`."""
    try:
        stored = read_stored(Path(os.path.expanduser(path)), where)
    except OSError as error:
        raise DemosError(
            f"{where} cannot be read ({reason(error)}): check the file and its permissions."
        ) from error
    return decode_set(stored, where)
