"""Writing what a plan takes into the course's folder.

    submitted/STUDENT/pusht/   what is graded, with timestamp.txt
    incomplete/STUDENT/        instead, where no notebook came that can be read: nbgrader stops at
                               a submission without any
    originals/STUDENT/         the notebooks as they came
    repairs/STUDENT.json       for each part: when it came, from where, its repairs, or why its
                               notebook cannot be read
    replaced/STUDENT/TIME/     the submission as it was before a later upload

Where an upload is newer than what there is of a part, its files replace those of the same names.
What it has not stays: each part may have an assignment of its own, and some students send what they
forgot. A notebook that cannot be read replaces none. A submission in another format gets a
notebook, and is replaced as a whole. Nothing is unpacked to a path that an export names.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

from pusht.checkpoint import SUFFIX
from pusht.files import write_whole
from score.course.collect.repair import RepairError, repair
from score.course.collect.stored import (
    COLLECTED,
    PartRecord,
    Record,
    Stored,
    collected,
    parsed_time,
    time_stamp,
)
from score.course.collect.substitute import substitute
from score.course.collect.upload import Release, TakenFile, Upload
from score.course.notebooks.build import write
from score.course.settings import Course, CourseError
from score.plain import plain
from score.submission.archive import Archive, RejectedFile
from score.submission.files import TAKEN, cap
from score.submission.formats import Format


def write_upload(
    course: Course, archive: Archive, released: dict[str, Release], upload: Upload
) -> Record:
    """Write one student's submission, its originals and its record; return the record. What was
    there before is kept. CourseError where the export has changed since the plan was made.
    """
    assert upload.student is not None, "what is nobody's is not taken"
    record: Record = {}
    for assignment in course.assignments:
        taken = [part for part in upload.taken if part in assignment.parts]
        if taken:
            stored = Stored(course, upload.student, assignment)
            record = _write_parts(stored, archive, released, upload, taken)
    return record


def _write_parts(
    stored: Stored,
    archive: Archive,
    released: dict[str, Release],
    upload: Upload,
    taken: list[str],
) -> Record:
    """Write an upload's parts that belong to one assignment; return the student's record."""
    outdated = {part: stored.outdated(part, upload.of(part)) for part in taken}
    replaces = any(stored.names(part) & {*upload.of(part)} for part in taken)
    keep = _free(stored) if replaces or any(outdated.values()) else None
    names = {name for part in taken for name in upload.of(part)}.union(*outdated.values())
    writer = _Writer(archive, stored, upload, names)
    for part in taken:
        writer.write_part(part, released[part], outdated[part])
    return writer.finish(keep)


def note_upload(course: Course, upload: Upload) -> None:
    """Note in repairs/STUDENT.json why nothing of an upload is taken, and why no notebook of a part
    can be read. Where nothing has changed, nothing is written.
    """
    assert upload.student is not None, "what is nobody's has no record"
    stored = Stored(course, upload.student, course.assignments[0])
    before = json.dumps(stored.record)
    if upload.refused or not upload.files:
        describe(stored.record, upload)
    if json.dumps(stored.record) != before:
        stored.write_record()


def describe(record: Record, upload: Upload) -> None:
    """Enter into a record what is told of an upload as a whole."""
    record["remarks"], record["left"] = upload.remarks, [(p, r) for p, r in upload.left]
    record["nothing"] = upload.nothing
    for part, reason in upload.refused.items():
        of_part = record["parts"].setdefault(part, {"files": {}, "repairs": []})
        if f"{part}.ipynb" not in of_part["files"]:
            of_part["refused"], of_part["source"] = reason, upload.source


def note_export(course: Course, path: str | os.PathLike[str], uploads: Sequence[Upload]) -> None:
    """Keep in collected.json what an export had that is nobody's, and who was in it. Of the same
    export collected again, the last time counts.
    """
    file, found = course.folder / COLLECTED, collected(course)
    found[Path(path).name] = {
        "students": sorted(upload.student for upload in uploads if upload.student),
        "nobody": [remark for each in uploads if not each.student for remark in each.remarks],
    }
    write_whole(file, plain(json.dumps(found, indent=1, ensure_ascii=False)) + "\n")


class _Writer:
    """Writing a student's new folders beside the old ones, which they replace at the end.

    names: of the files of the old folders that are not taken over.
    """

    def __init__(self, archive: Archive, stored: Stored, upload: Upload, names: set[str]) -> None:
        self.archive, self.stored, self.upload = archive, stored, upload
        self.new = _copy_beside(stored.home, names)
        self.new_originals = _copy_beside(stored.originals, names)

    def write_part(self, part: str, release: Release, outdated: set[str]) -> None:
        """Write a part's files and its record. outdated: see `Stored.outdated`."""
        stored, files = self.stored, self.upload.of(part)
        record = stored.record["parts"].setdefault(part, {"files": {}, "repairs": []})
        if f"{part}.ipynb" not in record["files"]:
            missing = f"{part}.ipynb was not handed in."
            record["refused"] = self.upload.refused.get(part, missing)
        record["timestamp"] = time_stamp(max(file.received for file in files.values()))
        record["source"], record["late"] = self.upload.source, bool(self.upload.handed_in.late)
        before, given = record["files"], stored.given(part)
        record["given"] = [name for name in given if name not in outdated | {*files}]
        if outdated:
            kept = {*before} & {*TAKEN} - outdated - {*files}
            record["files"] = {name: file for name, file in before.items() if name in kept}
        packed = self._write_files(part, files, release, record)
        if packed and self.upload.found:
            self._write_format(self.upload.found.format, packed, release, record)
        elif outdated and record["refused"]:
            # The notebook that was to replace a submission in another format cannot be read.
            record["given"], record["files"] = given, before | record["files"]
            for name in {*given} - {path.name for path in self.new.iterdir()}:
                shutil.copy2(stored.home / name, self.new / name)

    def _write_files(
        self, part: str, files: dict[str, TakenFile], release: Release, record: PartRecord
    ) -> dict[str, bytes]:
        """Write a part's files; return the contents of those that are for its packed zip."""
        packed = {}
        for name, file in files.items():
            content = _read_again(self.archive, name, file)
            record["files"][name] = {
                "from": file.member.path,
                "received": time_stamp(file.received),
                "dated": time_stamp(file.member.received),
                "sha256": file.sha256,
            }
            if name == f"{part}.ipynb":
                write_whole(self.new_originals / name, content)
                self._write_notebook(name, content, file, release, record)
            elif name in TAKEN:
                write_whole(self.new / name, content)
            else:
                packed[name] = content
        return packed

    def _write_notebook(
        self, name: str, content: bytes, file: TakenFile, release: Release, record: PartRecord
    ) -> None:
        """Write the notebook repaired, or where that cannot be, the one that was there before."""
        record["release"], record["refused"] = release.sha256, None
        try:
            notebook, record["repairs"] = repair(content, release.notebook)
            write(notebook, self.new / name)
        except RepairError as error:
            refused = f"{name} of {time_stamp(file.received)} cannot be graded. {error}"
            before = self.stored.home / name
            if before.exists():
                shutil.copy2(before, self.new / name)
                refused += " The one before it is graded."
            record["refused"] = refused

    def _write_format(
        self, format: Format, packed: dict[str, bytes], release: Release, record: PartRecord
    ) -> None:
        """Write what a submission in another format is graded by."""
        checkpoints = {
            name: (self.new / name).read_bytes()
            for name in TAKEN
            if name.endswith(SUFFIX) and (self.new / name).is_file()
        }
        found = self.upload.found
        paths = {name: member.path for name, member in found.files.items()} if found else {}
        graded, notebook = format.graded_files(packed, checkpoints, paths), f"{format.part}.ipynb"
        for name, content in graded.items():
            write_whole(self.new / name, content)
        write(substitute(release.notebook, format), self.new / notebook)
        made = [name for name, content in graded.items() if checkpoints.get(name) != content]
        record["release"], record["refused"] = release.sha256, None
        record["repairs"] = [format.substitute.remark]
        record["given"] = [notebook, *made]

    def finish(self, keep: Path | None) -> Record:
        """Put the new folders in place and write the record. keep: where the old ones are kept."""
        stored, record = self.stored, self.stored.record
        describe(record, self.upload)
        times = (
            parsed_time(part["timestamp"])
            for name, part in record["parts"].items()
            if name in stored.assignment.parts and part["files"]
        )
        write_whole(self.new / "timestamp.txt", time_stamp(max(times)))
        if keep and stored.record_path.exists():
            write_whole(keep / "repairs.json", stored.record_path.read_bytes())
        complete = stored.graded.is_dir() or any(self.new.glob("*.ipynb"))
        goal = stored.graded if complete else stored.incomplete
        old = stored.home
        _swap(self.new_originals, stored.originals, stored.originals, keep and keep / "originals")
        _swap(self.new, old, goal, keep and keep / stored.assignment.name)
        stored.write_record()
        return record


def _read_again(archive: Archive, name: str, file: TakenFile) -> bytes:
    try:
        content = archive.read(file.member, cap(name))
    except RejectedFile:
        content = b""
    if hashlib.sha256(content).hexdigest() != file.sha256:
        raise CourseError(f"{file.member.path} has changed since it was looked at: collect again.")
    return content


def _copy_beside(folder: Path, replaced: set[str]) -> Path:
    """Return a copy of a folder beside it, without the files named in `replaced`."""

    def ignored(at: str, names: list[str]) -> Iterable[str]:
        return replaced & {*names} if Path(at) == folder else set()

    new = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(new, ignore_errors=True)
    if folder.is_dir():
        shutil.copytree(folder, new, symlinks=True, ignore=ignored)
    new.mkdir(parents=True, exist_ok=True)
    return new


def _swap(new: Path, folder: Path, goal: Path, keep: Path | None) -> None:
    """Make `new` the folder `goal` in place of `folder`, which is kept as `keep` or deleted."""
    old = keep or folder.with_name(f".{folder.name}.old")
    for path in (old, goal):
        path.parent.mkdir(parents=True, exist_ok=True)
    if folder.exists():
        folder.rename(old)
    new.rename(goal)
    if not keep:
        shutil.rmtree(old, ignore_errors=True)


def _free(stored: Stored) -> Path:
    """Return a folder that is not there yet for the submission that is replaced."""
    name = f"{stored.timestamp:%Y-%m-%d_%H%M%S}"
    names = [name, *(f"{name}_{count}" for count in range(2, 1000))]
    return next(stored.replaced / name for name in names if not (stored.replaced / name).exists())
