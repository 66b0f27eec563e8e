"""Which demonstrations: opens a set of recorded Push-T episodes, and says in one sentence what is
wrong with others.

Two sets have names: "shipped", which comes with the kit, and "human", which is downloaded once and
kept. In a shell, `python -m pusht demos` says which sets there are and where.

A set is a Zarr folder (format 2 or 3) of three arrays, as published with Diffusion Policy (Chi et
al., 2023):

=================  ======  =====================================================================
data/state         (N, 5)  agent x, y and block x, y in window pixels, block angle in radians
data/action        (N, 2)  target agent x, y in window pixels
meta/episode_ends  (E,)    one past each episode's last step: strictly rising, the last one is N
=================  ======  =====================================================================

Other arrays (images, keypoints) are never read. Everything that is wanted is read into memory
first, from a folder or straight from a zip, so nothing is ever unpacked.
"""

import hashlib
import math
import os
import re
import stat
import struct
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from lzma import LZMAError
from pathlib import Path

import numpy as np
import zarr
from zarr.buffer.cpu import Buffer
from zarr.storage import MemoryStore

from pusht import download, resources

SHIPPED = resources.path("data/demonstrations.zarr.zip")

# What `Demonstrations.fingerprint` gives for the sets that have names.
SHIPPED_FINGERPRINT = "03579852a603cd312694add5991d3199f8d766323b26807c9c17fa18726b41b8"
HUMAN_FINGERPRINT = "075737a7b11153fece07a69e466091744847454da79e52753228011b11dd3e62"

# Far above any real set (the human one decodes to 0.7 MB), far below what a zip bomb or broken
# metadata asks for.
_MAX_BYTES = 2**26

# The last words of a message: what to do.
_FETCH_AGAIN = "fetch the demonstrations again or give another path"
_GIVE_PUSHT = "give the path of a whole set of Push-T demonstrations"
_DISTRUST = "do not use it, and fetch the demonstrations from their publisher"

_ARRAYS = ("data/state", "data/action", "meta/episode_ends")
_GROUP_FILES = (".zgroup", "zarr.json")
_ARRAY_FILES = (".zarray", "zarr.json")

# What zipfile raises, beyond OSError, on an archive that is cut short, damaged or packed in a way
# it does not know.
_ZIP_FAILURES = (
    zipfile.BadZipFile,
    zlib.error,
    LZMAError,
    struct.error,
    EOFError,
    NotImplementedError,
    ValueError,
)
# zarr checks metadata only in part, and a codec raises what it likes (Blosc and Zstd: RuntimeError,
# gzip: OSError).
_ZARR_FAILURES = (
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
    RuntimeError,
    OSError,
    EOFError,
    MemoryError,
    AssertionError,
    ImportError,
    zlib.error,
    LZMAError,
    struct.error,
)


class DemosError(ValueError):
    """Demonstrations cannot be opened; the message is one sentence: where, what is wrong, what to
    do.
    """


@dataclass(frozen=True, eq=False)
class Demonstrations:
    """Recorded episodes, one after the other. N steps in E episodes.

    Attributes:
        states: (N, 5) float32; agent x, y and block x, y in window pixels, block angle in radians.
        actions: (N, 2) float32; target agent x, y in window pixels.
        episode_ends: (E,) int64; one past each episode's last step, strictly rising, the last one
        is N.
    """

    states: np.ndarray
    actions: np.ndarray
    episode_ends: np.ndarray

    @property
    def num_episodes(self) -> int:
        """E, the number of episodes."""
        return len(self.episode_ends)

    @property
    def fingerprint(self) -> str:
        """SHA-256 (hex) of the decoded values: the same however the set is stored, another for any
        other value.
        """
        digest = hashlib.sha256()
        for name, array, dtype in (
            ("state", self.states, "<f4"),
            ("action", self.actions, "<f4"),
            ("episode_ends", self.episode_ends, "<i8"),
        ):
            shape = "x".join(map(str, array.shape))
            digest.update(f"{name} {dtype} {shape}\n".encode())
            digest.update(np.ascontiguousarray(array, dtype=dtype).tobytes())
        return digest.hexdigest()

    def episode(self, i: int) -> tuple[np.ndarray, np.ndarray]:
        """States (T, 5) and actions (T, 2) of episode i, as views; IndexError unless 0 <= i <
        num_episodes.
        """
        if not 0 <= i < self.num_episodes:
            raise IndexError(f"episode {i} of {self.num_episodes}")
        steps = slice(self.episode_ends[i - 1] if i else 0, self.episode_ends[i])
        return self.states[steps], self.actions[steps]


def name_of(fingerprint: str) -> str | None:
    """ "human" or "shipped" when that set has this fingerprint, None for any other."""
    return {HUMAN_FINGERPRINT: "human", SHIPPED_FINGERPRINT: "shipped"}.get(fingerprint)


def open(which: str | os.PathLike | None = None) -> Demonstrations:
    """Open a set of demonstrations.

    Args:
        which: "shipped", the set in the kit; "human", the set published with Diffusion Policy,
            which is downloaded unless PUSHT_DEMOS names it or it was downloaded before; or the path
            of a `.zarr` folder, of a folder that holds exactly one such one or two levels down, or
            of a zip of either. None: what the environment variable PUSHT_DEMOS says, one of these
            names or a path, and "shipped" where it says nothing.

    Raises:
        DemosError: there is nothing to open, or it is not a whole and valid set of Push-T
        demonstrations.
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


def at_hand(name: str) -> Demonstrations | None:
    """The "shipped" or the "human" demonstrations; None where they are not on this machine."""
    places = [SHIPPED] if name == "shipped" else [_named_path(), download.cached()]
    for place in places:
        try:
            if (
                place
                and (found := _open_path(place, str(place)))
                and name_of(found.fingerprint) == name
            ):
                return found
        except DemosError:
            continue
    return None


def joined(*sets: Demonstrations) -> Demonstrations:
    """Several `Demonstrations` as one: the episodes of the first, then those of the next, at least
    one set.
    """
    before = np.cumsum([0, *(len(one.states) for one in sets[:-1])])
    return Demonstrations(
        np.concatenate([one.states for one in sets]),
        np.concatenate([one.actions for one in sets]),
        np.concatenate([one.episode_ends + steps for one, steps in zip(sets, before)]).astype(
            np.int64
        ),
    )


def load_pusht_zarr(
    zarr_path: str | os.PathLike | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """States (N, 5) float32, actions (N, 2) float32 and episode_ends (E,) int64 of
    `open(zarr_path)`.
    """
    demos = open(zarr_path)
    return demos.states, demos.actions, demos.episode_ends


def _open_shipped() -> Demonstrations:
    if not SHIPPED.is_file():
        raise DemosError(
            f"The shipped demonstrations are not at {SHIPPED}: fetch the kit again, or"
            ' open("human").'
        )
    return _open_path(SHIPPED, str(SHIPPED))


def _open_human() -> Demonstrations:
    """The set that PUSHT_DEMOS names if it is the human one, else the kept or a fresh download."""
    remark = ""
    if named := _named_path():
        try:
            return _check_human(named)
        except DemosError as error:  # told to whoever put a file there because the download fails
            remark = f"; PUSHT_DEMOS: {str(error).rpartition(': ')[0]}"
    try:
        return download.fetch(_check_human)
    except download.Unavailable as error:
        problem = f"could not be downloaded ({error}{remark})"
    except OSError as error:
        problem = f"cannot be kept in {download.cached().parent} ({_reason(error)}{remark})"
    raise DemosError(
        f"The human demonstrations {problem}: download {' or '.join(download.ADDRESSES)} by hand"
        " and set the environment variable PUSHT_DEMOS to the path of that file."
    )


def _named_path() -> str | None:
    """The path in PUSHT_DEMOS, if it is one."""
    named = os.environ.get("PUSHT_DEMOS")
    return named if named not in (None, "", "shipped", "human") else None


def _check_human(path: str | Path) -> Demonstrations:
    """The human set at a path; DemosError if another one is there."""
    found = _open_path(path, str(path))
    if found.fingerprint != HUMAN_FINGERPRINT:
        raise DemosError(
            f"{path} holds other demonstrations (wrong checksum {found.fingerprint[:12]}…):"
            f" {_FETCH_AGAIN}."
        )
    return found


def _open_path(path: str | os.PathLike, where: str) -> Demonstrations:
    """The set at a path, which messages call `where`."""
    path = Path(os.path.expanduser(path))
    try:
        if path.is_dir():
            stored = _read_set(path, where)
        elif path.is_file():
            stored = _read_zip(path, where)
        else:
            raise DemosError(f"{where} does not exist: correct the path of the demonstrations.")
    except OSError as error:
        raise DemosError(
            f"{where} cannot be read ({_reason(error)}): check the file and its permissions."
        ) from error

    arrays = {name: _decode(name, files, where) for name, files in stored.items()}
    return _checked(*(arrays[name] for name in _ARRAYS), where)


# Reading: the bytes of the three arrays, from a folder or from inside a zip (zipfile.Path walks
# like pathlib.Path).


def _read_set(folder: Path | zipfile.Path, where: str) -> dict[str, dict[str, bytes]]:
    """The files of each array of the one set in `folder`: {array name: {file name within the array:
    content}}.
    """
    roots = list(_roots(folder, depth=2))
    if not roots:
        raise DemosError(f"{where} holds no Zarr folder down to two levels: {_GIVE_PUSHT}.")
    if len(roots) > 1:
        names = ", ".join(sorted(root.name for root in roots))
        raise DemosError(
            f"{where} holds {len(roots)} Zarr folders ({names}): give the path of the one to open."
        )
    stored, left = {}, _MAX_BYTES
    for name in _ARRAYS:
        array = roots[0].joinpath(*name.split("/"))
        if not any(array.joinpath(file).is_file() for file in _ARRAY_FILES):
            raise DemosError(f"{where} has no array {name}: {_GIVE_PUSHT}.")
        stored[name] = {}
        for key, file in _files(array):
            with file.open("rb") as stream:
                stored[name][key] = stream.read(left + 1)
            left -= len(stored[name][key])
            if left < 0:
                raise DemosError(
                    f"{where} holds over {_MAX_BYTES >> 20} MB in {name}, no real set:"
                    f" {_FETCH_AGAIN}."
                )
    return stored


def _roots(folder: Path | zipfile.Path, depth: int) -> Iterator[Path | zipfile.Path]:
    """The outermost Zarr groups within `folder`, at most `depth` levels down."""
    # `zip -r set.zip *` leaves the root's own .zgroup behind, so an array in its place marks a root
    # as well.
    marks = [*_GROUP_FILES, *(f"{name}/{file}" for name in _ARRAYS for file in _ARRAY_FILES)]
    if any(folder.joinpath(*mark.split("/")).is_file() for mark in marks):
        yield folder
    elif depth:
        for child in folder.iterdir():
            if child.is_dir():
                yield from _roots(child, depth - 1)


def _files(
    folder: Path | zipfile.Path, prefix: str = ""
) -> Iterator[tuple[str, Path | zipfile.Path]]:
    for child in folder.iterdir():
        if child.is_dir():
            yield from _files(child, f"{prefix}{child.name}/")
        elif child.is_file():
            yield prefix + child.name, child


def _read_zip(path: Path, where: str) -> dict[str, dict[str, bytes]]:
    try:
        with zipfile.ZipFile(path) as archive:
            _check_members(archive, where)
            return _read_set(zipfile.Path(archive), where)
    except DemosError:
        raise
    except _ZIP_FAILURES as error:
        raise DemosError(f"{where} {_diagnosis(path, error)}: {_FETCH_AGAIN}.") from error


def _check_members(archive: zipfile.ZipFile, where: str) -> None:
    for member in archive.infolist():
        name = member.orig_filename  # `filename` has already been made to look harmless
        if ".." in name.split("/") or re.search(r"^/|//|^[A-Za-z]:|[\\\0]", name):
            raise DemosError(
                f"{where} has an entry {name!r:.80} that is no plain path inside it: {_DISTRUST}."
            )
        if stat.S_ISLNK(member.external_attr >> 16):
            raise DemosError(f"{where} has an entry {name!r:.80} that is a link: {_DISTRUST}.")
        if member.flag_bits & 0x1:
            raise DemosError(
                f"{where} is protected by a password: unpack it and give the path of the folder."
            )


def _diagnosis(path: Path, error: Exception) -> str:
    """What a file is that zipfile cannot read."""
    with path.open("rb") as file:
        head = file.read(1024)
    if not head:
        return "is an empty file"
    if re.match(
        rb"(\xef\xbb\xbf)?\s*(<!--.*?-->\s*)?<(!doctype\s+html|html|head|body)\b", head, re.I | re.S
    ):
        return (
            "is a web page and not an archive (a download page or a quota notice saved under the"
            " archive's name)"
        )
    if isinstance(error, NotImplementedError):
        return f"is packed in a way that Python cannot read ({_reason(error)})"
    if head.startswith(b"PK\x03\x04") or zipfile.is_zipfile(path):
        return "is a zip that was cut short or damaged"
    return "is neither a zip nor a folder"


# Decoding and checking.


def _decode(name: str, files: dict[str, bytes], where: str) -> np.ndarray:
    """The values of one array, in the type they were stored in; everything about them but their
    values is checked.
    """
    columns = {"data/state": 5, "data/action": 2}.get(name)
    kinds, kind = ("fiu", "numbers") if columns else ("iu", "integers")
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # zarr's remarks on codecs and formats are not the reader's concern
        try:
            store = MemoryStore(
                {key: Buffer.from_bytes(data) for key, data in files.items()}, read_only=True
            )
            array = zarr.open_array(store, mode="r", zarr_format=3 if "zarr.json" in files else 2)
            shape, dtype = array.shape, array.dtype
        except _ZARR_FAILURES as error:
            raise DemosError(
                f"{where} has broken metadata for {name} ({_reason(error)}): {_FETCH_AGAIN}."
            ) from error
        if dtype.kind not in kinds:
            raise DemosError(f"{where} holds {dtype} and not {kind} in {name}: {_GIVE_PUSHT}.")
        if len(shape) != (2 if columns else 1) or (columns and shape[1] != columns):
            expected = f"(N, {columns})" if columns else "(E,)"
            raise DemosError(
                f"{where} holds {name} of shape {shape} and not {expected}: {_GIVE_PUSHT}."
            )
        if shape[0] < 1:
            raise DemosError(f"{where} holds nothing in {name}: {_GIVE_PUSHT}.")
        if math.prod(shape) * dtype.itemsize > _MAX_BYTES:
            raise DemosError(
                f"{where} claims shape {shape} for {name}, no real set: {_FETCH_AGAIN}."
            )
        try:
            _check_chunks(array, name, files, where)
            return np.asarray(array[...])
        except DemosError:
            raise
        except _ZARR_FAILURES as error:
            raise DemosError(
                f"{where} has a broken chunk in {name} ({_reason(error)}): {_FETCH_AGAIN}."
            ) from error


def _check_chunks(array: zarr.Array, name: str, files: dict[str, bytes], where: str) -> None:
    """Refuse what an interrupted copy leaves and decoding lets pass: missing chunks, and Blosc
    chunks cut short.
    """
    sizes = array.shards or array.chunks  # what one file holds
    # The last compressor made the bytes in the file, except that a shard has an index as well.
    blosc = not array.shards and any(
        type(codec).__name__.startswith("Blosc") for codec in array.compressors[-1:]
    )
    for place in np.ndindex(
        *(-(-length // size) for length, size in zip(array.shape, sizes, strict=True))
    ):
        key = array.metadata.encode_chunk_key(place)
        if key not in files:  # zarr would read zeros
            raise DemosError(f"{where} lacks chunk {key} of {name}: {_FETCH_AGAIN}.")
        # numcodecs believes the length in the 16-byte header, its last four bytes, and reads past
        # the end.
        if blosc and len(files[key]) < (
            length := max(16, int.from_bytes(files[key][12:16], "little"))
        ):
            remark = f"{key} has {len(files[key])} of {length} bytes"
            raise DemosError(f"{where} has a broken chunk in {name} ({remark}): {_FETCH_AGAIN}.")


def _checked(
    state: np.ndarray, action: np.ndarray, episode_ends: np.ndarray, where: str
) -> Demonstrations:
    with np.errstate(over="ignore"):  # what overflows becomes infinite, and is reported as such
        states = np.ascontiguousarray(state, dtype=np.float32)
        actions = np.ascontiguousarray(action, dtype=np.float32)
    ends = np.ascontiguousarray(episode_ends, dtype=np.int64)
    for name, values in (("data/state", states), ("data/action", actions)):
        bad = ~np.isfinite(values).all(axis=1)
        if bad.any():
            raise DemosError(
                f"{where} holds NaN or infinity in {name} at step {bad.argmax()}: {_GIVE_PUSHT}."
            )
    if len(states) != len(actions):
        raise DemosError(
            f"{where} holds {len(states)} states but {len(actions)} actions: {_GIVE_PUSHT}."
        )
    if ends[0] < 1 or (ends[1:] <= ends[:-1]).any():
        raise DemosError(
            f"{where} holds meta/episode_ends that do not rise strictly from above 0:"
            f" {_GIVE_PUSHT}."
        )
    if ends[-1] != len(states):
        raise DemosError(
            f"{where} ends its last episode at {ends[-1]} of {len(states)} steps: {_GIVE_PUSHT}."
        )
    return Demonstrations(states, actions, ends)


def _reason(error: Exception) -> str:
    """An error as a short remark on one line."""
    text = str(error) or type(error).__name__
    text = " ".join(text.split()).rstrip(".")
    return text if len(text) <= 120 else text[:117] + "..."
