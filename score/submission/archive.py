"""Read a zip, a tar or a folder of submitted files, which may be hostile.

Links, encrypted members and paths that lead out of the archive are not read. Bytes are counted
while they are read, because headers may lie. Students pack and check with this module and
instructors collect with it, so it needs only the packages that students have.
"""

import contextlib
import os
import re
import stat
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TypeVar

from pusht.machine import is_of_machine
from score.submission.zips import (
    IN_MEMORY,
    MB,
    RATIO,
    UNREADABLE,
    ZIP_CAP,
    ZIP_MEMBERS,
    Entry,
    Packed,
    RejectedFile,
    chunks,
    is_packed,
    kind_rejection,
    open_packed,
)

__all__ = ["MB", "RATIO", "ZIP_CAP", "RejectedFile"]  # of zips, for those that use an `Archive`

_OPEN_ZIPS = 4  # zips within an archive that stay unpacked
_DEPTH = 3  # of zips in zips
OWN_FOLDERS = ("exp", "src", "hw1_imitation")  # the folders that are read in a student's own folder

# Files that operating systems and editors leave behind.
NOISE = re.compile(r"(^|/)(__MACOSX|\.(?!hydra/)[^./][^/]*|Thumbs\.db|desktop\.ini)(/|$)")

_T = TypeVar("_T")


class SubmissionError(Exception):
    """Raised when a zip or a folder cannot be used; the message says why in one sentence."""


@dataclass(frozen=True)
class ArchiveMember:
    """A file in an archive, which is a folder, a zip or a tar, or in a zip or tar within it.

    path: its path in the archive, printable. size: in bytes, as its header says. modified: its
    modification time (UTC), as its own date says. received: the modification time of the outermost
    file that contains it, which does not depend on the student. file: its path on disk, if it is in
    a folder. entry: what it is in its zip. zip: the member that is this zip, if it is not the
    archive itself. rejection: why it is not read; "" if it is read. attempt: which of a student's
    hand-ins it belongs to, where the export says that: a later one has a larger number.
    """

    path: str
    size: int
    modified: datetime
    received: datetime
    file: Path | None = None
    entry: Entry | None = None
    zip: "ArchiveMember | None" = None
    rejection: str = ""
    attempt: int = 0

    @property
    def packed(self) -> int | None:
        """Its size in its zip; None in a tar or a folder."""
        return self.entry.packed if self.entry else None

    def rejected(self, reason: str) -> "ArchiveMember":
        """Return a copy with the reason why it is not read."""
        return replace(self, rejection=reason)


class Archive:
    """A zip, a tar or a folder, open for reading. Zips and tars in it are read too, and those in
    them, to a depth of three. Of all that are in one of its files together no more is unpacked, and
    there are no more files, than of a single one.

    one_student: whether it belongs to one student. Then no zip in it is read, and in a folder only
    its own files and those in its `OWN_FOLDERS`.

    members: its files. zip: the opened zip or tar, None for a folder. unpacked: bytes that were
    read so far, those of inner zips included. Opening raises `SubmissionError`.
    """

    def __init__(self, path: str | os.PathLike[str], one_student: bool = False) -> None:
        self.path, self.one_student = Path(path), one_student
        self.zip: Packed | None = None
        self.members: list[ArchiveMember] = []
        self.unpacked = 0
        self._files = contextlib.ExitStack()
        self._inner: dict[ArchiveMember, tuple[Packed, contextlib.ExitStack]] = {}

    def __enter__(self) -> "Archive":
        try:
            if not self.path.is_dir():
                self.zip = self._opened()
            for member in self._in_zip(self.zip) if self.zip else self._in_folder():
                inside = self._look_into(member, _Room()) if self._is_zip(member) else [member]
                self.members += inside
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
                return b"".join(self._chunks(stream, cap, member.packed))
        except UNREADABLE as error:
            if is_of_machine(error):
                raise
            raise RejectedFile(f"it cannot be read: {_printable(str(error))[:100]}") from None

    def _opened(self) -> Packed:
        try:
            file = self._files.enter_context(open(self.path, "rb"))  # noqa: SIM115
            return self._files.enter_context(contextlib.closing(open_packed(self.path.name, file)))
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

    def _in_zip(self, archive: Packed) -> Iterator[ArchiveMember]:
        written = utc(self.path.stat().st_mtime)
        try:
            entries = archive.entries()
        except UNREADABLE as error:
            if is_of_machine(error):
                raise
            raise RejectedFile(f"it cannot be read: {_printable(str(error))[:100]}") from None
        for entry in entries:
            when, path = archive.date(entry, written), _printable(entry.name)
            reason = entry.rejection
            yield ArchiveMember(path, entry.size, when, when, entry=entry, rejection=reason)

    def _is_zip(self, member: ArchiveMember) -> bool:
        return (
            not self.one_student
            and is_packed(member.path)
            and not member.rejection
            and not NOISE.search(member.path)
        )

    def _look_into(self, outer: ArchiveMember, room: "_Room") -> list[ArchiveMember]:
        """Return the members of a zip in the archive and of those in it, or the zip itself as
        rejected.
        """
        if room.depth == _DEPTH:
            return [outer.rejected(f"a zip in {_DEPTH} others")]
        before = self.unpacked
        try:
            archive = self._inner_zip(outer, room.bytes)
            room.bytes -= self.unpacked - before
            entries = archive.entries()
            room.files -= len(entries)
            if room.files < 0:
                raise RejectedFile(f"zips in a zip of more than {ZIP_MEMBERS} files together")
        except RejectedFile as error:
            return [outer.rejected(str(error))]
        except UNREADABLE as error:
            if is_of_machine(error):
                raise
            return [outer.rejected(f"a zip that cannot be read: {_printable(str(error))[:100]}")]
        members = [
            ArchiveMember(
                f"{outer.path}/{_printable(entry.name)}",
                entry.size,
                archive.date(entry, outer.received),
                outer.received,
                entry=entry,
                zip=outer,
                rejection=entry.rejection,
            )
            for entry in entries
        ]
        room.depth += 1
        found: list[ArchiveMember] = []
        for member in members:
            found += self._look_into(member, room) if self._is_zip(member) else [member]
        room.depth -= 1
        return found

    def _stream(self, member: ArchiveMember) -> IO[bytes]:
        archive = self._inner_zip(member.zip) if member.zip else self.zip
        assert archive is not None and member.entry is not None, "a member without file is a zip's"
        return archive.open(member.entry)

    def _inner_zip(self, outer: ArchiveMember, cap: int = ZIP_CAP) -> Packed:
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
                content = files.enter_context(tempfile.SpooledTemporaryFile(IN_MEMORY))
                with self._stream(outer) as stream:
                    for chunk in self._chunks(stream, cap, outer.packed):
                        content.write(chunk)
                content.seek(0)
            archive = open_packed(outer.path, content, cap)
            opened = files.enter_context(contextlib.closing(archive))
            self.unpacked += opened.unpacked
            self._inner[outer] = opened, files.pop_all()
        return opened

    def _chunks(self, stream: IO[bytes], cap: int, packed: int | None = None) -> Iterator[bytes]:
        """Yield a stream in pieces, as `chunks` does, and count them."""
        for chunk in chunks(stream, cap, packed):
            self.unpacked += len(chunk)
            yield chunk


@dataclass
class _Room:
    """How much may still be unpacked of one file of an archive, and in how many zips it is."""

    bytes: int = ZIP_CAP
    files: int = ZIP_MEMBERS
    depth: int = 0


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


def _printable(path: str) -> str:
    """Return a path with "/" between its parts and "?" for characters that cannot be printed."""
    return "".join(char if char.isprintable() else "?" for char in path.replace("\\", "/"))
