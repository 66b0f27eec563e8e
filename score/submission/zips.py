"""Open zips and tars that may be hostile, and say which of their entries are not read."""

import gzip
import re
import stat
import struct
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import IO, Any, Protocol, cast

MB = 2**20
ZIP_MEMBERS = 50_000
ZIP_CAP = 250 * MB  # the largest zip within a zip, and the largest tar without its compression
RATIO = 500  # the largest ratio of a file's size to its packed size
IN_MEMORY = 32 * MB  # of an unpacked zip or tar; a larger one is on the disk
_LIST_CAP = 32 * MB  # the largest list of a zip's entries, in bytes
_TAR = re.compile(r"\.(tar|tar\.gz|tgz)$", re.IGNORECASE)
_GZIP = b"\x1f\x8b"

# What reading a damaged or forged zip or tar may raise.
UNREADABLE = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    struct.error,
    EOFError,
    OSError,
    ValueError,
    RuntimeError,
    LookupError,
    OverflowError,
)


class RejectedFile(Exception):
    """Raised when a file is not read; the message says why in a few words."""


class _Counting:
    """A zip's file that refuses the list of its members, which `zipfile` reads in one piece, when
    it is too long, before any object is made of it.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def read(self, size: int = -1) -> bytes:
        if size > _LIST_CAP:
            raise RejectedFile(f"a zip whose list of files is larger than {_LIST_CAP // MB} MB")
        content = self._file.read(size)
        if content.count(b"PK\x01\x02") > ZIP_MEMBERS:
            raise RejectedFile(f"a zip of more than {ZIP_MEMBERS} files")
        return content


@dataclass(frozen=True)
class Entry:
    """A file in a zip or a tar.

    name: as it says. size: in bytes, as its header says. packed: its size in the zip, None in a
    tar. rejection: why it is not read; "" if it is. info: what opens it.
    """

    name: str
    size: int
    packed: int | None
    rejection: str
    info: Any


class Packed(Protocol):
    """A zip or a tar, open for reading. unpacked: how many bytes were unpacked to open it."""

    unpacked: int

    def entries(self) -> list[Entry]:
        """Return its entries that are no folders."""

    def date(self, entry: Entry, default: datetime) -> datetime:
        """Return an entry's date (UTC), or `default` if there is none."""

    def open(self, entry: Entry) -> IO[bytes]:
        """Open an entry for reading."""

    def close(self) -> None:
        """Close it."""


def is_packed(path: str) -> bool:
    """Return whether a file's name is that of a zip or a tar that is looked into."""
    return path.lower().endswith(".zip") or bool(_TAR.search(path))


def open_packed(path: str, file: IO[bytes], cap: int = ZIP_CAP) -> Packed:
    """Open a zip or, by its name, a tar; `RejectedFile`, or one of `UNREADABLE`, when it cannot be
    used. cap: the most bytes that a compressed tar may be.
    """
    return _Tar(file, cap) if _TAR.search(path) else _Zip(file)


class _Zip:
    unpacked = 0

    def __init__(self, file: IO[bytes]) -> None:
        self._zip = zipfile.ZipFile(cast(IO[bytes], _Counting(file)))

    def entries(self) -> list[Entry]:
        return [
            Entry(info.filename, info.file_size, info.compress_size, _zip_rejection(info), info)
            for info in self._zip.infolist()
            if info.filename and not info.is_dir()
        ]

    def date(self, entry: Entry, default: datetime) -> datetime:
        """Return the date in a zip, which is in local time."""
        return _date(lambda: datetime(*entry.info.date_time).astimezone(UTC), default)

    def open(self, entry: Entry) -> IO[bytes]:
        return self._zip.open(entry.info)

    def close(self) -> None:
        self._zip.close()


class _Tar:
    """A tar, which may be compressed by gzip: then it is decompressed first."""

    def __init__(self, file: IO[bytes], cap: int) -> None:
        self._own: IO[bytes] | None = None
        self.unpacked = 0
        if file.read(2) == _GZIP:
            size = file.seek(0, 2)
            file.seek(0)
            self._own = file = _decompressed(file, size, cap)
            self.unpacked = file.tell()
        file.seek(0)
        try:
            self._tar = tarfile.open(fileobj=file, mode="r:")  # noqa: SIM115
        except BaseException:
            self.close()
            raise

    def entries(self) -> list[Entry]:
        found: list[Entry] = []
        seen = 0
        while (info := self._tar.next()) is not None:
            seen += 1  # folders too: a forged size leads backwards, and for ever
            if seen > ZIP_MEMBERS:
                raise RejectedFile(f"a tar of more than {ZIP_MEMBERS} files")
            if not info.isdir():
                found.append(Entry(info.name, info.size, None, _tar_rejection(info), info))
        return found

    def date(self, entry: Entry, default: datetime) -> datetime:
        return _date(lambda: datetime.fromtimestamp(int(entry.info.mtime), UTC), default)

    def open(self, entry: Entry) -> IO[bytes]:
        file = self._tar.extractfile(entry.info)
        if file is None:
            raise RejectedFile("not a regular file")
        return file

    def close(self) -> None:
        if hasattr(self, "_tar"):
            self._tar.close()
        if self._own:
            self._own.close()


def _decompressed(file: IO[bytes], packed: int, cap: int) -> IO[bytes]:
    content = cast(IO[bytes], tempfile.SpooledTemporaryFile(IN_MEMORY))  # noqa: SIM115
    try:
        with gzip.GzipFile(fileobj=file, mode="rb") as stream:
            for chunk in chunks(cast(IO[bytes], stream), cap, packed):
                content.write(chunk)
    except BaseException:
        content.close()
        raise
    return content


def chunks(stream: IO[bytes], cap: int, packed: int | None = None) -> Iterator[bytes]:
    """Yield a stream in pieces; `RejectedFile` as soon as there are more than `cap` bytes, or far
    more than the `packed` size allows.
    """
    size = 0
    while chunk := stream.read(2**16):
        size += len(chunk)
        if size > cap:
            raise RejectedFile(f"larger than {cap // MB} MB")
        if packed is not None and size > max(MB, RATIO * packed):
            raise RejectedFile(f"more than {RATIO} times its packed size")
        yield chunk


def kind_rejection(kind: int) -> str:
    """Return why a file of this kind (stat.S_IFMT) is not read; "" for a regular file."""
    if kind == stat.S_IFREG:
        return ""
    return "a link" if kind == stat.S_IFLNK else "not a regular file"


def _path_rejection(name: str) -> str:
    name = name.replace("\\", "/")
    elsewhere = name.startswith("/") or re.match(r"[A-Za-z]:", name) or ".." in name.split("/")
    return "its path leads elsewhere" if elsewhere else ""


def _zip_rejection(info: zipfile.ZipInfo) -> str:
    kind = stat.S_IFMT(info.external_attr >> 16)
    if reason := _path_rejection(info.filename):
        return reason
    if kind and (reason := kind_rejection(kind)):  # the kind is 0 if the zip does not say
        return reason
    if info.flag_bits & 1:
        return "encrypted"
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return "compressed with an unsupported method"
    return ""


def _tar_rejection(info: tarfile.TarInfo) -> str:
    if reason := _path_rejection(info.name):
        return reason
    if info.issym() or info.islnk():
        return "a link"
    return "" if info.isreg() and not info.issparse() else "not a regular file"


def _date(read: Callable[[], datetime], default: datetime) -> datetime:
    try:
        when = read()
    except (ValueError, TypeError, OverflowError, OSError):
        return default
    return when if when.year > 1980 else default
