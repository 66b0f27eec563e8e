"""Reading a zip or a folder of submitted files, which may be hostile.

Links, encrypted members and paths that lead elsewhere are not read, and bytes are counted while
they are read, whatever a header says. Students pack and check with this module and instructors
collect with it, so it needs no more than a student's packages.
"""

import contextlib
import os
import re
import stat
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TypeVar

MB = 2**20
ZIP_CAP = 250 * MB  # of a zip that lies in a zip
ZIP_MEMBERS = 50_000
RATIO = 500  # how many times its packed size a member may have
OWN_FOLDERS = ("exp", "src")  # of a student's own folder, those that are looked into

# What operating systems and editors leave behind.
NOISE = re.compile(r"(^|/)(__MACOSX|\.[^./][^/]*|Thumbs\.db|desktop\.ini)(/|$)")

_UNREADABLE = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    OSError,
    ValueError,
    RuntimeError,
    IndexError,
)
_T = TypeVar("_T")


class SubmissionError(Exception):
    """Why a zip or a folder cannot be used, in one sentence."""


class RejectedFile(Exception):
    """Why a file is not read, in a few words."""


@dataclass(frozen=True)
class ArchiveMember:
    """A file of an archive: of its folder, of its zip, or of a zip that lies in either.

    path: its path in the archive, fit to be printed. size: in bytes, as its header says.
    modified: when it was written (UTC), by its own date. received: the same of the outermost file
    that holds it, which the student did not date. file: where it is, if it is a file. info: its
    entry, if it lies in a zip. zip: the member that is that zip, if it is not the archive itself.
    rejection: why it is not read, "" if it is.
    """

    path: str
    size: int
    modified: datetime
    received: datetime
    file: Path | None = None
    info: zipfile.ZipInfo | None = None
    zip: "ArchiveMember | None" = None
    rejection: str = ""

    def rejected(self, reason: str) -> "ArchiveMember":
        """Return the member with the reason why it is not read."""
        return replace(self, rejection=reason)


class Archive:
    """A zip or a folder, open for reading; zips in it are looked into, zips in these are not.

    one_student: it is one student's own, so no zip in it is looked into, and of a folder only what
    lies directly in it and in its `OWN_FOLDERS`.

    members: its files. zip: the opened zip, None for a folder. Opening raises `SubmissionError`.
    """

    def __init__(self, path: str | os.PathLike[str], one_student: bool = False) -> None:
        self.path, self.one_student = Path(path), one_student
        self.zip: zipfile.ZipFile | None = None
        self.members: list[ArchiveMember] = []
        self._inner: tuple[ArchiveMember, zipfile.ZipFile] | None = None
        self._inner_files = contextlib.ExitStack()

    def __enter__(self) -> "Archive":
        if not self.path.is_dir():
            self.zip = self._opened()
        try:
            for member in self._in_zip(self.zip) if self.zip else self._in_folder():
                self.members += self._look_into(member) if self._is_zip(member) else [member]
        except RejectedFile as error:
            self.__exit__()
            raise SubmissionError(f"{self.path}: {error}.") from None
        return self

    def __exit__(self, *error: object) -> None:
        self._inner_files.close()
        if self.zip:
            self.zip.close()

    def read(self, member: ArchiveMember, cap: int) -> bytes:
        """Return a member's bytes; `RejectedFile` when it is damaged or has more than `cap`."""
        try:
            if member.file:
                with open(member.file, "rb") as stream:
                    return b"".join(_chunks(stream, cap))
            with self._stream(member) as stream:
                return b"".join(_chunks(stream, cap, _packed_size(member)))
        except _UNREADABLE as error:
            raise RejectedFile(f"it cannot be read: {_printable(str(error))[:100]}") from None

    def _opened(self) -> zipfile.ZipFile:
        try:
            return zipfile.ZipFile(self.path)
        except FileNotFoundError:
            raise SubmissionError(f"There is no {self.path}.") from None
        except _UNREADABLE as error:
            raise SubmissionError(
                f"{self.path} is neither a folder nor a zip that can be read ({error})."
            ) from None

    def _in_folder(self) -> Iterator[ArchiveMember]:
        for folder, folders, names in os.walk(self.path):
            folders.sort()
            if self.one_student and Path(folder) == self.path:
                folders[:] = [name for name in folders if name in OWN_FOLDERS]
            links = [name for name in folders if os.path.islink(os.path.join(folder, name))]
            for name in sorted([*names, *links]):
                file = Path(folder, name)
                status = file.lstat()
                path = _printable(file.relative_to(self.path).as_posix())
                when = utc(status.st_mtime)
                reason = _kind_rejection(stat.S_IFMT(status.st_mode))
                yield ArchiveMember(path, status.st_size, when, when, file, rejection=reason)

    def _in_zip(self, archive: zipfile.ZipFile) -> Iterator[ArchiveMember]:
        written = utc(self.path.stat().st_mtime)
        for info in _infos(archive):
            when, reason = _zip_date(info, written), _zip_rejection(info)
            path = _printable(info.filename)
            yield ArchiveMember(path, info.file_size, when, when, info=info, rejection=reason)

    def _is_zip(self, member: ArchiveMember) -> bool:
        return (
            not self.one_student
            and member.path.lower().endswith(".zip")
            and not member.rejection
            and not NOISE.search(member.path)
        )

    def _look_into(self, outer: ArchiveMember) -> list[ArchiveMember]:
        """Return the members of a zip that lies in the archive, or the zip itself, rejected."""
        try:
            infos = _infos(self._inner_zip(outer))
        except RejectedFile as error:
            return [outer.rejected(str(error))]
        except _UNREADABLE as error:
            return [outer.rejected(f"no zip that can be read: {_printable(str(error))[:100]}")]
        return [
            ArchiveMember(
                f"{outer.path}/{_printable(info.filename)}",
                info.file_size,
                _zip_date(info, outer.received),
                outer.received,
                info=info,
                zip=outer,
                rejection=_zip_rejection(info),
            )
            for info in infos
        ]

    def _stream(self, member: ArchiveMember) -> IO[bytes]:
        archive = self._inner_zip(member.zip) if member.zip else self.zip
        assert archive is not None and member.info is not None, "a member without file is a zip's"
        return archive.open(member.info)

    def _inner_zip(self, outer: ArchiveMember) -> zipfile.ZipFile:
        """Return the opened zip that a member is. The last one stays open, because its files are
        read one after another.
        """
        if self._inner and self._inner[0] == outer:
            return self._inner[1]
        self._inner = None
        self._inner_files.close()
        if outer.file:
            opened = zipfile.ZipFile(outer.file)
        else:
            unpacked = tempfile.SpooledTemporaryFile(32 * MB)  # noqa: SIM115, the stack closes it
            self._inner_files.enter_context(unpacked)
            with self._stream(outer) as stream:
                for chunk in _chunks(stream, ZIP_CAP, _packed_size(outer)):
                    unpacked.write(chunk)
            opened = zipfile.ZipFile(unpacked)
        self._inner = outer, self._inner_files.enter_context(opened)
        return opened


def first_readable(
    candidates: Iterable[ArchiveMember], read: Callable[[ArchiveMember], _T]
) -> tuple[ArchiveMember | None, _T | None, list[ArchiveMember]]:
    """Return (the first member that can be read, what `read` makes of it, those rejected before
    it); (None, None, all of them) where none can be read. `read` raises `RejectedFile`.
    """
    rejected: list[ArchiveMember] = []
    for member in candidates:
        try:
            return member, read(member), rejected
        except RejectedFile as error:
            rejected.append(member.rejected(str(error)))
    return None, None, rejected


def listed(members: list[ArchiveMember]) -> str:
    """Return the paths of the first eight members, each with the reason why it was rejected."""
    shown = [m.path + (f" ({m.rejection})" if m.rejection else "") for m in members[:8]]
    return ", ".join(shown) + (f" and {len(members) - 8} more" if len(members) > 8 else "")


def utc(seconds: float) -> datetime:
    """Return a time in seconds since 1970 as UTC, in whole seconds."""
    return datetime.fromtimestamp(int(seconds), UTC)


def _chunks(stream: IO[bytes], cap: int, packed: int | None = None) -> Iterator[bytes]:
    """Yield a stream in pieces; `RejectedFile` as soon as there is more than `cap` bytes, or far
    more than the `packed` bytes that they came from.
    """
    size = 0
    while chunk := stream.read(2**16):
        size += len(chunk)
        if size > cap:
            raise RejectedFile(f"larger than {cap // MB} MB")
        if packed is not None and size > max(MB, RATIO * packed):
            raise RejectedFile(f"more than {RATIO} times its packed size")
        yield chunk


def _packed_size(member: ArchiveMember) -> int | None:
    return member.info.compress_size if member.info else None


def _infos(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    infos = [info for info in archive.infolist() if not info.is_dir()]
    if len(infos) > ZIP_MEMBERS:
        raise RejectedFile(f"a zip of more than {ZIP_MEMBERS} files")
    return infos


def _kind_rejection(kind: int) -> str:
    """Say why a file of this kind (stat.S_IFMT) is not read; "" for a regular file."""
    if kind == stat.S_IFREG:
        return ""
    return "a link" if kind == stat.S_IFLNK else "no file"


def _zip_rejection(info: zipfile.ZipInfo) -> str:
    name, kind = info.filename.replace("\\", "/"), stat.S_IFMT(info.external_attr >> 16)
    if name.startswith("/") or re.match(r"[A-Za-z]:", name) or ".." in name.split("/"):
        return "its path leads elsewhere"
    if kind and (reason := _kind_rejection(kind)):  # 0: the zip does not say
        return reason
    if info.flag_bits & 1:
        return "encrypted"
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return "packed in a way that is not read"
    return ""


def _zip_date(info: zipfile.ZipInfo, default: datetime) -> datetime:
    """Return the date in a zip, which is in local time; `default` where there is none."""
    try:
        when = datetime(*info.date_time).astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        return default
    return when if when.year > 1980 else default


def _printable(path: str) -> str:
    """Return a path with "/" between its parts and "?" for what could not be printed."""
    return "".join(char if char.isprintable() else "?" for char in path.replace("\\", "/"))
