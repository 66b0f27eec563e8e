"""What is taken of one student's files in an export, and what it replaces in the course.

Taken are the files that the rubric names, each up to a size, from any folder of the student's (see
`score.submission.files`), and what belongs to a submission in another format. A notebook is known
by the markers in its cells, whatever it is called. The dates are those of the export; a manifest in
it is not believed.
"""

import hashlib
from datetime import UTC, datetime, timedelta
from functools import partial

from score.course.collect.layouts import HandedIn
from score.course.collect.stored import LATE, FileRecord, Stored, parsed_time
from score.course.collect.upload import NOTEBOOK, Release, TakenFile, Upload, nothing_usable
from score.course.settings import Course
from score.submission import formats
from score.submission.archive import (
    MB,
    Archive,
    ArchiveMember,
    RejectedFile,
    first_readable,
    listed,
)
from score.submission.files import (
    STUDENT_CAP,
    TAKEN,
    cap,
    choice_sentence,
    is_extra,
    is_pickle,
    ranked,
    taken_name,
)
from score.submission.notebooks import part_of

# Bytes that are unpacked to read one student's files. Of an honest submission each is read once.
_UNPACKED_CAP = 4 * STUDENT_CAP


class Planner:
    """Planning one student's upload."""

    def __init__(
        self,
        archive: Archive,
        course: Course,
        student: str,
        released: dict[str, Release],
        handed_in: HandedIn,
    ) -> None:
        self.archive, self.student, self.released = archive, student, released
        self.stored = {
            part: stored
            for assignment in course.assignments
            for stored in [Stored(course, student, assignment)]
            for part in assignment.parts
        }
        self.handed_in, self.members = handed_in, handed_in.members
        self.unpacked_before = archive.unpacked
        self.measured: dict[ArchiveMember, tuple[int, str]] = {}
        self.remarks: list[str] = []
        self.candidates = {
            name: found
            for name, found in ranked(self.members).items()
            if TAKEN[name] in self.stored
        }
        self.notebooks = self._known_by_markers()
        found = formats.find(archive, self.members, self.stored)
        if found and (
            f"{found.part}.ipynb" in self.candidates
            or self.stored[found.part].has_own_notebook(found.format)
        ):
            found = found.set_aside()
        self.found = found
        self.room = STUDENT_CAP
        self.packed_room = found.format.packed_cap if found else 0

    def _known_by_markers(self) -> dict[str, str]:
        """Put the notebooks among the candidates of the part whose cells they have, the newest
        first; return {path: part} of them.
        """
        parts: dict[str, str] = {}
        for member in self.members:
            taken = taken_name(member.path)
            named = taken[0] if taken else ""
            if member.rejection or not member.path.lower().endswith(NOTEBOOK):
                continue
            try:
                content = self._unpacked(member, cap("part.ipynb"))
                part = part_of(content)
                self.measured[member] = _measure(content)
            except RejectedFile:
                part = None  # it is told where the file is read by its name
            if part in self.stored:
                parts[member.path] = part
                if named and named != f"{part}.ipynb":
                    self.remarks.append(
                        f"{member.path} has the cells of {part}, and is taken for it."
                    )
        for name in [f"{part}.ipynb" for part in self.stored]:
            own = [
                member
                for member in self.candidates.pop(name, [])
                if parts.get(member.path, name[:-6]) == name[:-6]
            ]
            own += [m for m in self.members if parts.get(m.path) == name[:-6] and m not in own]
            if own:
                age = sorted(own, key=lambda m: (m.attempt, m.received, m.modified), reverse=True)
                self.candidates[name] = age
        order = [*TAKEN]
        names = sorted(self.candidates, key=order.index)
        self.candidates = {name: self.candidates[name] for name in names}
        return parts

    def upload(self) -> Upload:
        """Return the `Upload`: of each file that is taken the best, read once for its digest."""
        sent_as = self.handed_in.sent_as
        places = ", ".join(dict.fromkeys(m.path.partition("/")[0] for m in self.members) or sent_as)
        latest = max((member.received for member in self.members), default=None)
        upload = Upload(self.student, places[:200], latest)
        left = self._left_out()
        for name, candidates in self.candidates.items():
            before = len(left)
            if member := self._take(upload, left, name, candidates, TAKEN[name]):
                upload.remarks.append(choice_sentence(name, member, candidates))
            elif name.endswith(".ipynb"):
                upload.refused[TAKEN[name]] = f"{name} cannot be read: {listed(left[before:])}."
        if self.found and self.found.files:
            upload.found = self.found
            for name, member in self.found.files.items():
                self._take(upload, left, name, [member], self.found.part)
            upload.remarks.append(self.found.description)
        if left:
            upload.remarks.append(f"Left out: {listed(left)}.")
            upload.left = [(member.path, member.rejection) for member in left]
        if self.handed_in.late:
            upload.remarks.append(LATE)
        if upload.files:
            upload.timestamp = max(file.received for file in upload.files.values())
        else:
            upload.nothing = nothing_usable(left)
        for part in dict.fromkeys(file.part for file in upload.files.values()):
            upload.parts[part] = self._state(part, upload.of(part))
            if part in upload.taken:
                upload.remarks.append(self._stays(part, upload))
        upload.is_whole = not upload.refused and all(
            f"{part}.ipynb" in {*upload.files, *self.stored[part].names(part)} or upload.found
            for part in upload.parts
        )
        upload.remarks = [remark for remark in [*self.remarks, *upload.remarks] if remark]
        return upload

    def _left_out(self) -> list[ArchiveMember]:
        """Return the members that no name or format claims, and those that are not read."""
        left, claimed = [], {*self.notebooks}
        if self.found:
            left = [*self.found.left_out]
            members = (*self.found.files.values(), *self.found.unused, *left)
            claimed |= {member.path for member in members}
        for member in self.members:
            taken = taken_name(member.path)
            known = (taken and TAKEN[taken[0]] in self.stored) or is_extra(member.path)
            if member.path not in claimed and (member.rejection or not known):
                if is_pickle(member.path) and not member.rejection:
                    member = member.rejected(
                        "a pickle, which is never opened: ask for .safetensors"
                    )
                left.append(member)
        return left

    def _take(
        self,
        upload: Upload,
        left: list[ArchiveMember],
        name: str,
        candidates: list[ArchiveMember],
        part: str,
    ) -> ArchiveMember | None:
        """Add the first of the candidates that can be read to the upload, and those before it to
        `left`; return it, or None.
        """
        member, measured, rejected = first_readable(candidates, partial(self._read, name))
        left += rejected
        if member is None or measured is None:
            return None
        size, digest = measured
        upload.files[name] = TakenFile(member, part, digest, self._received(member, part))
        self.room -= size
        self.packed_room -= size if name not in TAKEN else 0
        return member

    def _read(self, name: str, member: ArchiveMember) -> tuple[int, str]:
        """Return (bytes, SHA-256) of a file; `RejectedFile` where it cannot be taken."""
        size, digest = self.measured.get(member) or _measure(self._unpacked(member, cap(name)))
        if size > self.room:
            raise RejectedFile(f"the submission would be larger than {STUDENT_CAP // MB} MB")
        if self.found and name not in TAKEN and size > self.packed_room:
            packed_cap = self.found.format.packed_cap
            raise RejectedFile(f"code and models would be larger than {packed_cap // MB} MB")
        return size, digest

    def _received(self, member: ArchiveMember, part: str) -> datetime:
        """Return when a file was handed in. Where the system only says what is late, what it does
        not call late came by the due date at the latest, and what it does just too late.
        """
        assignment, late = self.stored[part].assignment, self.handed_in.late
        if assignment.due is None or late is None:
            return member.received
        if late:
            grace = assignment.late.grace_minutes if assignment.late else 0.0
            return (assignment.due + timedelta(minutes=grace, seconds=1)).astimezone(UTC)
        return min(member.received, assignment.due.astimezone(UTC))

    def _unpacked(self, member: ArchiveMember, most: int) -> bytes:
        if self.archive.unpacked - self.unpacked_before > _UNPACKED_CAP:
            raise RejectedFile("not read, after too much that cannot be used")
        return self.archive.read(member, most)

    def _state(self, part: str, files: dict[str, TakenFile]) -> str:
        """Return how an upload's files of a part compare with what the course has: see `Upload`."""
        stored = self.stored[part]
        if not stored.names(part):
            return "new"
        record = stored.part(part)
        if record and self._are_recorded(files, record["files"]):
            released = self.released[part].sha256
            return "unchanged" if record.get("release", released) == released else "again"
        since = parsed_time(record["timestamp"]) if record and record["files"] else stored.timestamp
        received = max(file.received for file in files.values())
        if received == since and {*files} - {*TAKEN}:
            return "again"  # what the kit takes of a submission in another format has changed
        if received == since and record and self.handed_in.late is not None:
            return "newer" if _is_later(files, record["files"]) else "older"
        return "newer" if received > since else "older"

    @staticmethod
    def _are_recorded(files: dict[str, TakenFile], recorded: dict[str, FileRecord]) -> bool:
        """Say whether the files are those of the record. A submission in another format has all of
        its own kind; of the kit's files some may have come earlier.
        """
        packed = {*files} - {*TAKEN}
        if packed and {*recorded} - {*TAKEN} - packed:
            return False
        return all(
            name in recorded and recorded[name]["sha256"] == file.sha256
            for name, file in files.items()
        )

    def _stays(self, part: str, upload: Upload) -> str:
        stored, names = self.stored[part], upload.of(part)
        gone = {*upload.files, *stored.given(part), *stored.outdated(part, names)}
        stays = sorted(stored.names(part) - gone)
        return f"Stays from before: {', '.join(stays)}." if stays else ""


def _is_later(files: dict[str, TakenFile], recorded: dict[str, FileRecord]) -> bool:
    """Say whether files came with a later export than the recorded ones."""
    dates = [parsed_time(file["dated"]) for file in recorded.values() if "dated" in file]
    return not dates or max(file.member.received for file in files.values()) > max(dates)


def _measure(content: bytes) -> tuple[int, str]:
    """Return the bytes of a content, and its SHA-256."""
    return len(content), hashlib.sha256(content).hexdigest()
