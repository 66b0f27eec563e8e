"""Open zips that may be hostile, and say which of their entries are not read."""

import re
import stat
import struct
import zipfile
import zlib
from datetime import UTC, datetime
from typing import IO, Any, cast

MB = 2**20
ZIP_MEMBERS = 50_000
_LIST_CAP = 32 * MB  # the largest list of a zip's entries, in bytes

# What reading a damaged or forged zip may raise.
UNREADABLE = (
    zipfile.BadZipFile,
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


def open_zip(file: IO[bytes]) -> zipfile.ZipFile:
    """Open a zip; `RejectedFile`, or one of `UNREADABLE`, when it cannot be used."""
    return zipfile.ZipFile(cast(IO[bytes], _Counting(file)))


def entries(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """Return the entries of a zip that are files."""
    return [info for info in archive.infolist() if info.filename and not info.is_dir()]


def kind_rejection(kind: int) -> str:
    """Return why a file of this kind (stat.S_IFMT) is not read; "" for a regular file."""
    if kind == stat.S_IFREG:
        return ""
    return "a link" if kind == stat.S_IFLNK else "not a regular file"


def rejection(info: zipfile.ZipInfo) -> str:
    """Return why an entry is not read; "" if it is."""
    name, kind = info.filename.replace("\\", "/"), stat.S_IFMT(info.external_attr >> 16)
    if name.startswith("/") or re.match(r"[A-Za-z]:", name) or ".." in name.split("/"):
        return "its path leads elsewhere"
    if kind and (reason := kind_rejection(kind)):  # the kind is 0 if the zip does not say
        return reason
    if info.flag_bits & 1:
        return "encrypted"
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return "compressed with an unsupported method"
    return ""


def entry_date(info: zipfile.ZipInfo, default: datetime) -> datetime:
    """Return the date in a zip, which is in local time, or `default` if there is none."""
    try:
        when = datetime(*info.date_time).astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        return default
    return when if when.year > 1980 else default
