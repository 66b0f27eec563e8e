"""Read the files of a stored set of demonstrations, from a folder or directly from a zip.

Nothing is unpacked to disk, and at most 64 MB are read, since an archive may come from a stranger.
"""

import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from lzma import LZMAError
from pathlib import Path

from pusht.demos.recorded import DemosError

ARRAYS = ("data/state", "data/action", "meta/episode_ends")
# Far more than any real set (the human one decodes to 0.7 MB), and far less than a zip bomb or
# broken metadata would take.
MAX_BYTES = 2**26

# The advice at the end of a message.
FETCH_AGAIN = "fetch the demonstrations again or give another path"
GIVE_PUSHT = "give the path of a whole set of Push-T demonstrations"
_DISTRUST = "do not use it, and fetch the demonstrations from their publisher"

_GROUP_FILES = (".zgroup", "zarr.json")
_ARRAY_FILES = (".zarray", "zarr.json")

# zipfile raises these, besides OSError, for an archive that is cut short, damaged or packed in an
# unknown way.
_ZIP_FAILURES = (
    zipfile.BadZipFile,
    zlib.error,
    LZMAError,
    struct.error,
    EOFError,
    NotImplementedError,
    ValueError,
)

# zipfile.Path lists an archive as pathlib.Path lists a folder.
Folder = Path | zipfile.Path


def read_stored(path: Path, where: str) -> dict[str, dict[str, bytes]]:
    """Return the files of each array of the set at `path`, a folder or a zip.

    The result is {array name: {file name within the array: content}}. Messages call the path
    `where`. Raises DemosError when there is no such set, and OSError.
    """
    if path.is_dir():
        return _read_set(path, where)
    if path.is_file():
        return _read_zip(path, where)
    raise DemosError(f"{where} does not exist: correct the path of the demonstrations.")


def reason(error: Exception) -> str:
    """Return an error's message, shortened and on one line."""
    text = str(error) or type(error).__name__
    text = " ".join(text.split()).rstrip(".")
    return text if len(text) <= 120 else text[:117] + "..."


def _read_set(folder: Folder, where: str) -> dict[str, dict[str, bytes]]:
    roots = list(_roots(folder, depth=2))
    if not roots:
        raise DemosError(f"{where} holds no Zarr folder down to two levels: {GIVE_PUSHT}.")
    if len(roots) > 1:
        names = ", ".join(sorted(root.name for root in roots))
        raise DemosError(
            f"{where} holds {len(roots)} Zarr folders ({names}): give the path of the one to open."
        )
    stored: dict[str, dict[str, bytes]] = {}
    left = MAX_BYTES
    for name in ARRAYS:
        array = roots[0].joinpath(*name.split("/"))
        if not any(array.joinpath(file).is_file() for file in _ARRAY_FILES):
            raise DemosError(f"{where} has no array {name}: {GIVE_PUSHT}.")
        stored[name] = {}
        for key, file in _files(array):
            with file.open("rb") as stream:
                stored[name][key] = stream.read(left + 1)
            left -= len(stored[name][key])
            if left < 0:
                raise DemosError(
                    f"{where} holds over {MAX_BYTES >> 20} MB in {name}, no real set:"
                    f" {FETCH_AGAIN}."
                )
    return stored


def _roots(folder: Folder, depth: int) -> Iterator[Folder]:
    """The outermost Zarr groups within `folder`, at most `depth` levels down."""
    # `zip -r set.zip *` leaves out the root's own .zgroup, so its arrays mark a root as well.
    marks = [*_GROUP_FILES, *(f"{name}/{file}" for name in ARRAYS for file in _ARRAY_FILES)]
    if any(folder.joinpath(*mark.split("/")).is_file() for mark in marks):
        yield folder
    elif depth:
        for child in folder.iterdir():
            if child.is_dir():
                yield from _roots(child, depth - 1)


def _files(folder: Folder, prefix: str = "") -> Iterator[tuple[str, Folder]]:
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
        raise DemosError(f"{where} {_diagnosis(path, error)}: {FETCH_AGAIN}.") from error


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
    """Return what kind of file this is, which zipfile cannot read."""
    with path.open("rb") as file:
        head = file.read(1024)
    if not head:
        return "is an empty file"
    page = rb"(\xef\xbb\xbf)?\s*(<!--.*?-->\s*)?<(!doctype\s+html|html|head|body)\b"
    if re.match(page, head, re.IGNORECASE | re.DOTALL):
        return (
            "is a web page and not an archive (a download page or a quota notice saved under the"
            " archive's name)"
        )
    if isinstance(error, NotImplementedError):
        return f"is packed in a way that Python cannot read ({reason(error)})"
    if head.startswith(b"PK\x03\x04") or zipfile.is_zipfile(path):
        return "is a zip that was cut short or damaged"
    return "is neither a zip nor a folder"
