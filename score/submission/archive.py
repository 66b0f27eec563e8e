"""Read a zip or a folder of submitted files, which may be hostile.

Links, encrypted members and paths that lead out of the archive are not read. Bytes are counted
while they are read, because headers may lie. Students pack and check with this module and
instructors collect with it, so it needs only the packages that students have.
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
ZIP_CAP = 250 * MB  # the largest zip within a zip
ZIP_MEMBERS = 50_000
RATIO = 500  # the largest ratio of a member's size to its packed size
OWN_FOLDERS = ("exp", "src")  # the folders that are read in a student's own folder

# Files that operating systems and editors leave behind.
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
    """Raised when a zip or a folder cannot be used; the message says why in one sentence."""


class RejectedFile(Exception):
    """Raised when a file is not read; the message says why in a few words."""


@dataclass(frozen=True)
class ArchiveMember:
    """A file in an archive, which is a folder or a zip, or in a zip within the archive.

    path: its path in the archive, printable. size: in bytes, as its header says. modified: its
    modification time (UTC), as its own date says. received: the modification time of the outermost
    file that contains it, which does not depend on the student. file: its path on disk, if it is in
    a folder. info: its entry, if it is in a zip. zip: the member that is this zip, if it is not the
    archive itself. rejection: why it is not read; "" if it is read.
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
        """Return a copy with the reason why it is not read."""
        return replace(self, rejection=reason)


class Archive:
    """A zip or a folder, open for reading. Zips in it are read too, but not zips within these.

    one_student: whether it belongs to one student. Then no zip in it is read, and in a folder only
    its own files and those in its `OWN_FOLDERS`.

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
        """Return a member's bytes; `RejectedFile` when it is damaged or larger than `cap` bytes."""
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
        """Return the members of a zip in the archive, or the zip itself as rejected."""
        try:
            infos = _infos(self._inner_zip(outer))
        except RejectedFile as error:
            return [outer.rejected(str(error))]
        except _UNREADABLE as error:
            return [outer.rejected(f"a zip that cannot be read: {_printable(str(error))[:100]}")]
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
        """Open a member that is a zip, and return it. The last one stays open, because its files
        are read one after another.
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
    """Return (the first member that can be read, the result of `read`, the members rejected before
    it), or (None, None, all members) if none can be read. `read` raises `RejectedFile`.
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


def _packed_size(member: ArchiveMember) -> int | None:
    return member.info.compress_size if member.info else None


def _infos(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    infos = [info for info in archive.infolist() if not info.is_dir()]
    if len(infos) > ZIP_MEMBERS:
        raise RejectedFile(f"a zip of more than {ZIP_MEMBERS} files")
    return infos


def _kind_rejection(kind: int) -> str:
    """Return why a file of this kind (stat.S_IFMT) is not read; "" for a regular file."""
    if kind == stat.S_IFREG:
        return ""
    return "a link" if kind == stat.S_IFLNK else "not a regular file"


def _zip_rejection(info: zipfile.ZipInfo) -> str:
    name, kind = info.filename.replace("\\", "/"), stat.S_IFMT(info.external_attr >> 16)
    if name.startswith("/") or re.match(r"[A-Za-z]:", name) or ".." in name.split("/"):
        return "its path leads elsewhere"
    if kind and (reason := _kind_rejection(kind)):  # the kind is 0 if the zip does not say
        return reason
    if info.flag_bits & 1:
        return "encrypted"
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return "compressed with an unsupported method"
    return ""


def _zip_date(info: zipfile.ZipInfo, default: datetime) -> datetime:
    """Return the date in a zip, which is in local time, or `default` if there is none."""
    try:
        when = datetime(*info.date_time).astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        return default
    return when if when.year > 1980 else default


def _printable(path: str) -> str:
    """Return a path with "/" between its parts and "?" for characters that cannot be printed."""
    return "".join(char if char.isprintable() else "?" for char in path.replace("\\", "/"))
