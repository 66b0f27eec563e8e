"""Read a zip or a folder of submitted files, which may be hostile.

Links, encrypted members and paths that lead out of the archive are not read. Bytes are counted
while they are read, because headers may lie. Students pack and check with this module and
instructors collect with it, so it needs only the packages that students have.
"""

import contextlib
import os
import re
import stat
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TypeVar

from pusht.machine import is_of_machine
from score.submission.zips import (
    MB,
    UNREADABLE,
    RejectedFile,
    entries,
    entry_date,
    kind_rejection,
    open_zip,
    rejection,
)

ZIP_CAP = 250 * MB  # the largest zip within a zip
RATIO = 500  # the largest ratio of a member's size to its packed size
_OPEN_ZIPS = 4  # zips within an archive that stay unpacked
OWN_FOLDERS = ("exp", "src", "hw1_imitation")  # the folders that are read in a student's own folder

# Files that operating systems and editors leave behind.
NOISE = re.compile(r"(^|/)(__MACOSX|\.[^./][^/]*|Thumbs\.db|desktop\.ini)(/|$)")

_T = TypeVar("_T")


class SubmissionError(Exception):
    """Raised when a zip or a folder cannot be used; the message says why in one sentence."""


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

    members: its files. zip: the opened zip, None for a folder. unpacked: bytes that were read so
    far, those of inner zips included. Opening raises `SubmissionError`.
    """

    def __init__(self, path: str | os.PathLike[str], one_student: bool = False) -> None:
        self.path, self.one_student = Path(path), one_student
        self.zip: zipfile.ZipFile | None = None
        self.members: list[ArchiveMember] = []
        self.unpacked = 0
        self._files = contextlib.ExitStack()
        self._inner: dict[ArchiveMember, tuple[zipfile.ZipFile, contextlib.ExitStack]] = {}

    def __enter__(self) -> "Archive":
        try:
            if not self.path.is_dir():
                self.zip = self._opened()
            for member in self._in_zip(self.zip) if self.zip else self._in_folder():
                self.members += self._look_into(member) if self._is_zip(member) else [member]
        except RejectedFile as error:
            self.__exit__()
            raise SubmissionError(f"{self.path}: {error}.") from None
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        for _, files in self._inner.values():
            files.close()
        self._files.close()

    def read(self, member: ArchiveMember, cap: int) -> bytes:
        """Return a member's bytes; `RejectedFile` when it is damaged or larger than `cap` bytes.

        OSError and MemoryError where that is the machine's fault: see `is_of_machine`.
        """
        if member.size > cap:
            raise RejectedFile(f"larger than {cap // MB} MB")
        try:
            if member.file:
                with open(member.file, "rb") as stream:
                    return b"".join(self._chunks(stream, cap))
            with self._stream(member) as stream:
                return b"".join(self._chunks(stream, cap, _packed_size(member)))
        except UNREADABLE as error:
            if is_of_machine(error):
                raise
            raise RejectedFile(f"it cannot be read: {_printable(str(error))[:100]}") from None

    def _opened(self) -> zipfile.ZipFile:
        try:
            file = self._files.enter_context(open(self.path, "rb"))  # noqa: SIM115
            return self._files.enter_context(open_zip(file))
        except FileNotFoundError:
            raise SubmissionError(f"There is no {self.path}.") from None
        except UNREADABLE as error:
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
                reason = kind_rejection(stat.S_IFMT(status.st_mode))
                yield ArchiveMember(path, status.st_size, when, when, file, rejection=reason)

    def _in_zip(self, archive: zipfile.ZipFile) -> Iterator[ArchiveMember]:
        written = utc(self.path.stat().st_mtime)
        for info in entries(archive):
            when, reason = entry_date(info, written), rejection(info)
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
            infos = entries(self._inner_zip(outer))
        except RejectedFile as error:
            return [outer.rejected(str(error))]
        except UNREADABLE as error:
            if is_of_machine(error):
                raise
            return [outer.rejected(f"a zip that cannot be read: {_printable(str(error))[:100]}")]
        return [
            ArchiveMember(
                f"{outer.path}/{_printable(info.filename)}",
                info.file_size,
                entry_date(info, outer.received),
                outer.received,
                info=info,
                zip=outer,
                rejection=rejection(info),
            )
            for info in infos
        ]

    def _stream(self, member: ArchiveMember) -> IO[bytes]:
        archive = self._inner_zip(member.zip) if member.zip else self.zip
        assert archive is not None and member.info is not None, "a member without file is a zip's"
        return archive.open(member.info)

    def _inner_zip(self, outer: ArchiveMember) -> zipfile.ZipFile:
        """Open a member that is a zip, and return it. The last few stay open: files of one student
        are read one after another, and may be in several zips.
        """
        if outer in self._inner:
            return self._inner[outer][0]
        if len(self._inner) == _OPEN_ZIPS:
            self._inner.pop(next(iter(self._inner)))[1].close()
        with contextlib.ExitStack() as files:
            if outer.file:
                content: IO[bytes] = files.enter_context(open(outer.file, "rb"))
            else:
                content = files.enter_context(tempfile.SpooledTemporaryFile(32 * MB))
                with self._stream(outer) as stream:
                    for chunk in self._chunks(stream, ZIP_CAP, _packed_size(outer)):
                        content.write(chunk)
            opened = files.enter_context(open_zip(content))
            self._inner[outer] = opened, files.pop_all()
        return opened

    def _chunks(self, stream: IO[bytes], cap: int, packed: int | None = None) -> Iterator[bytes]:
        """Yield a stream in pieces; `RejectedFile` as soon as there are more than `cap` bytes, or
        far more than the `packed` size allows.
        """
        size = 0
        while chunk := stream.read(2**16):
            size += len(chunk)
            self.unpacked += len(chunk)
            if size > cap:
                raise RejectedFile(f"larger than {cap // MB} MB")
            if packed is not None and size > max(MB, RATIO * packed):
                raise RejectedFile(f"more than {RATIO} times its packed size")
            yield chunk


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


def _packed_size(member: ArchiveMember) -> int | None:
    return member.info.compress_size if member.info else None


def _printable(path: str) -> str:
    """Return a path with "/" between its parts and "?" for characters that cannot be printed."""
    return "".join(char if char.isprintable() else "?" for char in path.replace("\\", "/"))
