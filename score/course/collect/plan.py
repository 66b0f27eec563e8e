"""What collecting an export would do: what is taken of each student's files, and what it replaces.

Taken are the files that the rubric names, each up to a size, from any folder of the student's (see
`score.submission.files`), and what belongs to a submission in another format. Their dates are those
of the export; a manifest in it is not believed.
"""

import contextlib
import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

import nbformat

from score.course.collect.layouts import SortedExport, by_student
from score.course.collect.stored import STUDENT, FileRecord, Stored, parsed_time
from score.course.settings import Course, CourseError
from score.submission import formats
from score.submission.archive import (
    MB,
    Archive,
    ArchiveMember,
    RejectedFile,
    SubmissionError,
    first_readable,
    listed,
)
from score.submission.failures import Failures
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

COLLECT = "collect"  # the step's name in `Failures`
# Bytes that are unpacked to read one student's files. Of an honest submission each is read once.
_UNPACKED_CAP = 4 * STUDENT_CAP


@dataclass(frozen=True)
class TakenFile:
    """A file that is taken: where it is in the export, the part it is for, its SHA-256."""

    member: ArchiveMember
    part: str
    sha256: str

    @property
    def received(self) -> datetime:
        """When the upload that holds it was made (UTC)."""
        return self.member.received


@dataclass
class Upload:
    """What an export has of one student; with `student` None, remarks on what is nobody's.

    source: layout and place in the export. timestamp: UTC. files: by their names in the course.
    found: what is in another format, None without any. parts: {part: "new", "newer", "unchanged",
    "again" (the same files, but the release has changed) or "older"}. remarks: sentences on what
    was left out, what was chosen, what stays from before, and that the kit failed at its files.
    """

    student: str | None
    source: str
    timestamp: datetime | None = None
    files: dict[str, TakenFile] = field(default_factory=dict)
    found: formats.Found | None = None
    parts: dict[str, str] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)

    @property
    def taken(self) -> list[str]:
        """The parts that collecting writes."""
        return [part for part, state in self.parts.items() if state in ("new", "newer", "again")]

    def of(self, part: str) -> dict[str, TakenFile]:
        """Return the files of a part, by name."""
        return {name: file for name, file in self.files.items() if file.part == part}


@dataclass(frozen=True)
class Release:
    """A part's released notebook, and its SHA-256."""

    notebook: nbformat.NotebookNode
    sha256: str


def releases(course: Course) -> dict[str, Release]:
    """Return the course's releases by part; CourseError where one is missing."""
    found = {}
    for part in course.parts:
        path = course.released(part)
        if not path.exists():
            raise CourseError(
                f"There is no {path}: run `python -m score course release {course.folder}` first."
            )
        content = path.read_bytes()
        notebook = nbformat.reads(content.decode("utf-8"), as_version=4)
        found[part] = Release(notebook, hashlib.sha256(content).hexdigest())
    return found


@contextlib.contextmanager
def open_export(path: str | os.PathLike[str]) -> Iterator[Archive]:
    """Open an export for reading; CourseError where it cannot be read."""
    try:
        with Archive(path) as archive:
            yield archive
    except SubmissionError as error:
        raise CourseError(str(error)) from None


def plan(
    course: Course,
    path: str | os.PathLike[str],
    pattern: str | None = None,
    failures: Failures | None = None,
) -> list[Upload]:
    """Return what collecting would do, in the students' order. Nothing is written.

    pattern: see `by_student`. failures: to which is added where the kit fails at a student's files;
    nothing of that student is taken. CourseError when the export or the pattern cannot be used.
    """
    failures = Failures() if failures is None else failures
    with open_export(path) as archive:
        export, released, uploads = by_student(archive, pattern), releases(course), []
        remarks = [*export.remarks]
        folders = {f.name for f in (course.folder / "submitted").glob("*") if f.is_dir()}
        known = {*export.students, *folders}
        for student, members in sorted(export.students.items()):
            if reason := _no_folder(student, known):
                remarks.append(f"{reason}: {listed(members)}.")
            else:
                upload = failures.attempt(
                    student, COLLECT, _upload, course, archive, released, export, student
                )
                sentences = [failure.sentence for failure in failures.of(student, COLLECT)]
                uploads.append(upload or Upload(student, export.layout, remarks=sentences))
    return uploads + ([Upload(None, str(path), remarks=remarks)] if remarks else [])


def _upload(
    course: Course,
    archive: Archive,
    released: dict[str, Release],
    export: SortedExport,
    student: str,
) -> Upload:
    """Return a student's upload."""
    members = export.students[student]
    planner = _Planner(archive, course, student, released, members)
    return planner.upload(export.layout)


def _no_folder(student: str, known: set[str]) -> str:
    """Say why a student cannot have a folder of this name; "" if one can."""
    if not STUDENT.fullmatch(student):
        return f"{student!r} cannot name a student's folder, letters, digits and . _ @ - can"
    alike = [name for name in known - {student} if name.casefold() == student.casefold()]
    return f"{student!r} and {min(alike)!r} would share a folder on some machines" if alike else ""


class _Planner:
    """Planning one student's upload."""

    def __init__(
        self,
        archive: Archive,
        course: Course,
        student: str,
        released: dict[str, Release],
        members: list[ArchiveMember],
    ) -> None:
        self.archive, self.student, self.released = archive, student, released
        self.stored = {
            part: stored
            for assignment in course.assignments
            for stored in [Stored(course, student, assignment)]
            for part in assignment.parts
        }
        self.members = members
        self.candidates = {
            name: found for name, found in ranked(members).items() if TAKEN[name] in self.stored
        }
        found = formats.find(members, self.stored)
        if found and (
            f"{found.part}.ipynb" in self.candidates
            or self.stored[found.part].has_own_notebook(found.format)
        ):
            found = found.set_aside()
        self.found = found
        self.room = STUDENT_CAP
        self.unpacked_before = archive.unpacked
        self.packed_room = found.format.packed_cap if found else 0

    def upload(self, layout: str) -> Upload:
        """Return the `Upload`: of each file that is taken the best, read once for its digest."""
        places = ", ".join(dict.fromkeys(m.path.partition("/")[0] for m in self.members))
        latest = max(member.received for member in self.members)
        upload = Upload(self.student, f"{layout}: {places[:200]}", latest)
        left = self._left_out()
        for name, candidates in self.candidates.items():
            if member := self._take(upload, left, name, candidates, TAKEN[name]):
                upload.remarks.append(choice_sentence(name, member, candidates))
        if self.found and self.found.files:
            upload.found = self.found
            for name, member in self.found.files.items():
                self._take(upload, left, name, [member], self.found.part)
            upload.remarks.append(self.found.description)
        if left:
            upload.remarks.append(f"Left out: {listed(left)}.")
        if upload.files:
            upload.timestamp = max(file.received for file in upload.files.values())
        for part in dict.fromkeys(file.part for file in upload.files.values()):
            upload.parts[part] = self._state(part, upload.of(part))
            if part in upload.taken:
                upload.remarks.append(self._stays(part, upload))
        upload.remarks = [remark for remark in upload.remarks if remark]
        return upload

    def _left_out(self) -> list[ArchiveMember]:
        """Return the members that no name or format claims, and those that are not read."""
        left, claimed = [], set()
        if self.found:
            left = [*self.found.left_out]
            members = (*self.found.files.values(), *self.found.unused, *left)
            claimed = {member.path for member in members}
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
        member, content, rejected = first_readable(candidates, partial(self._read, name))
        left += rejected
        if member is None or content is None:
            return None
        upload.files[name] = TakenFile(member, part, hashlib.sha256(content).hexdigest())
        self.room -= len(content)
        self.packed_room -= len(content) if name not in TAKEN else 0
        return member

    def _read(self, name: str, member: ArchiveMember) -> bytes:
        if self.archive.unpacked - self.unpacked_before > _UNPACKED_CAP:
            raise RejectedFile("not read, after too much that cannot be used")
        content = self.archive.read(member, cap(name))
        if len(content) > self.room:
            raise RejectedFile(f"the submission would be larger than {STUDENT_CAP // MB} MB")
        if self.found and name not in TAKEN and len(content) > self.packed_room:
            packed_cap = self.found.format.packed_cap
            raise RejectedFile(f"code and models would be larger than {packed_cap // MB} MB")
        return content

    def _state(self, part: str, files: dict[str, TakenFile]) -> str:
        """Return how an upload's files of a part compare with what the course has: see `Upload`."""
        stored = self.stored[part]
        if not stored.names(part):
            return "new"
        record = stored.part(part)
        if record and self._are_recorded(files, record["files"]):
            released = self.released[part].sha256
            return "unchanged" if record.get("release", released) == released else "again"
        since = parsed_time(record["timestamp"]) if record else stored.timestamp
        return "newer" if max(file.received for file in files.values()) > since else "older"

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
