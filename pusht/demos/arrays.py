"""Decode and check the arrays of a stored set of demonstrations with zarr, or write them."""

import math
import os
import struct
import warnings
import zlib
from lzma import LZMAError
from typing import Any

import numpy as np
import zarr
from zarr.buffer.cpu import Buffer
from zarr.storage import MemoryStore, ZipStore

from pusht.demos.recorded import Demonstrations, DemosError
from pusht.demos.stored import ARRAYS, FETCH_AGAIN, GIVE_PUSHT, MAX_BYTES, reason
from pusht.files import replacing

_COLUMNS = {"data/state": 5, "data/action": 2, "meta/episode_ends": None}

# zarr checks metadata only in part, and each codec raises its own errors (Blosc and Zstd:
# RuntimeError, gzip: OSError).
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


def decode_set(stored: dict[str, dict[str, bytes]], where: str) -> Demonstrations:
    """Return the demonstrations in these files (see `read_stored`).

    Raises DemosError when they are damaged or are not Push-T demonstrations.
    """
    state, action, episode_ends = (_decode(name, stored[name], where) for name in ARRAYS)
    with np.errstate(over="ignore"):  # what overflows becomes infinite, and is reported as such
        states = np.ascontiguousarray(state, dtype=np.float32)
        actions = np.ascontiguousarray(action, dtype=np.float32)
    ends = np.ascontiguousarray(episode_ends, dtype=np.int64)
    for name, values in (("data/state", states), ("data/action", actions)):
        bad = ~np.isfinite(values).all(axis=1)
        if bad.any():
            raise DemosError(
                f"{where} holds NaN or infinity in {name} at step {bad.argmax()}: {GIVE_PUSHT}."
            )
    if len(states) != len(actions):
        raise DemosError(
            f"{where} holds {len(states)} states but {len(actions)} actions: {GIVE_PUSHT}."
        )
    if ends[0] < 1 or (ends[1:] <= ends[:-1]).any():
        raise DemosError(
            f"{where} holds meta/episode_ends that do not rise strictly from above 0: {GIVE_PUSHT}."
        )
    if ends[-1] != len(states):
        raise DemosError(
            f"{where} ends its last episode at {ends[-1]} of {len(states)} steps: {GIVE_PUSHT}."
        )
    return Demonstrations(states, actions, ends)


def save(demonstrations: Demonstrations, path: str | os.PathLike[str]) -> None:
    """Write a set as a zip in the published layout, completely or not at all."""
    arrays = demonstrations.states, demonstrations.actions, demonstrations.episode_ends
    with replacing(path) as beside, ZipStore(beside, mode="w") as store:
        group = zarr.open_group(store, mode="w", zarr_format=2)
        for name, values in zip(ARRAYS, arrays, strict=True):
            group.create_array(name, data=values, chunks=values.shape)


def _decode(name: str, files: dict[str, bytes], where: str) -> np.ndarray:
    """Return one array in its stored type, after checking everything except its values."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zarr warns about codecs and formats that it can read
        try:
            store = MemoryStore(
                {key: Buffer.from_bytes(data) for key, data in files.items()}, read_only=True
            )
            array = zarr.open_array(store, mode="r", zarr_format=3 if "zarr.json" in files else 2)
            shape, dtype = array.shape, array.dtype
        except _ZARR_FAILURES as error:
            raise DemosError(
                f"{where} has broken metadata for {name} ({reason(error)}): {FETCH_AGAIN}."
            ) from error
        _check_kind(name, shape, dtype, where)
        try:
            _check_chunks(array, name, files, where)
            return np.asarray(array[...])
        except DemosError:
            raise
        except _ZARR_FAILURES as error:
            raise DemosError(
                f"{where} has a broken chunk in {name} ({reason(error)}): {FETCH_AGAIN}."
            ) from error


def _check_kind(name: str, shape: tuple[int, ...], dtype: np.dtype, where: str) -> None:
    columns = _COLUMNS[name]
    kinds, kind = ("fiu", "numbers") if columns else ("iu", "integers")
    if dtype.kind not in kinds:
        raise DemosError(f"{where} holds {dtype} and not {kind} in {name}: {GIVE_PUSHT}.")
    if len(shape) != (2 if columns else 1) or (columns and shape[1] != columns):
        expected = f"(N, {columns})" if columns else "(E,)"
        raise DemosError(f"{where} holds {name} of shape {shape} and not {expected}: {GIVE_PUSHT}.")
    if shape[0] < 1:
        raise DemosError(f"{where} holds nothing in {name}: {GIVE_PUSHT}.")
    if math.prod(shape) * dtype.itemsize > MAX_BYTES:
        raise DemosError(f"{where} claims shape {shape} for {name}, no real set: {FETCH_AGAIN}.")


def _check_chunks(array: zarr.Array[Any], name: str, files: dict[str, bytes], where: str) -> None:
    """Raise DemosError for missing chunks and for Blosc chunks that were cut short.

    An interrupted copy leaves such chunks, and zarr would decode them without an error.
    """
    sizes = array.shards or array.chunks  # shape of the part of the array that is in one file
    # The bytes in a file come from the last compressor, except that a shard also has an index.
    blosc = not array.shards and any(
        type(codec).__name__.startswith("Blosc") for codec in array.compressors[-1:]
    )
    counts = (-(-length // size) for length, size in zip(array.shape, sizes, strict=True))
    for place in np.ndindex(*counts):
        key = array.metadata.encode_chunk_key(place)
        if key not in files:  # zarr would read zeros
            raise DemosError(f"{where} lacks chunk {key} of {name}: {FETCH_AGAIN}.")
        # numcodecs trusts the length in the last four bytes of the 16-byte header, and would read
        # past the end.
        length = max(16, int.from_bytes(files[key][12:16], "little"))
        if blosc and len(files[key]) < length:
            remark = f"{key} has {len(files[key])} of {length} bytes"
            raise DemosError(f"{where} has a broken chunk in {name} ({remark}): {FETCH_AGAIN}.")
