"""What collecting an export would do: whose its files are, and what is taken of them."""

import contextlib
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import nbformat

from score.course.collect.layouts import HandedIn, SortedExport, by_student
from score.course.collect.people import Came, People, Unclear, open_people, with_worksheet
from score.course.collect.planner import Planner
from score.course.collect.upload import Release, Upload
from score.course.settings import Course, CourseError
from score.submission.archive import Archive, SubmissionError, listed
from score.submission.failures import Failures

COLLECT = "collect"  # the step's name in `Failures`


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
    worksheet: Path | None = None,
) -> list[Upload]:
    """Return what collecting would do, in the order of the students' folders. Nothing is written.

    pattern: see `by_student`. failures: to which is added where the kit fails at a student's files;
    nothing of that student is taken. worksheet: Moodle's of the assignment, see `with_worksheet`.
    CourseError when one of the files or the pattern cannot be used.
    """
    failures = Failures() if failures is None else failures
    people = open_people(course)
    with open_export(path) as archive:
        export, zone = by_student(archive, pattern, course.time_zone), course.time_zone
        export = with_worksheet(export, worksheet, zone) if worksheet else export
        released, uploads = releases(course), []
        remarks = [*export.remarks]
        folders = _folders(people, export, remarks)
        for folder, came in sorted(folders.items()):
            handed_in = export.students[came.student]
            upload = failures.attempt(
                folder, COLLECT, _upload, course, archive, released, folder, handed_in
            )
            sentences = [failure.sentence for failure in failures.of(folder, COLLECT)]
            upload = upload or Upload(folder, "", remarks=sentences)
            upload.came = came
            upload.handed_in, upload.name = handed_in, people.name(folder) or handed_in.name
            if came.series and "newer" in upload.parts.values():
                upload.remarks += _from_elsewhere(people, folder, came)
            upload.on_roster = bool(people.person(folder)) if people.roster else None
            upload.source = f"{export.layout}: {upload.source}" if upload.source else export.layout
            uploads.append(upload)
    return uploads + ([Upload(None, str(path), remarks=remarks)] if remarks else [])


def _folders(people: People, export: SortedExport, remarks: list[str]) -> dict[str, Came]:
    """Return {folder: student of the export}, and add to the remarks why some have none."""
    students = export.students
    found: dict[str, list[tuple[str, Came]]] = {}  # what machines without case tell apart
    for student, came in people.came(export).items():
        try:
            folder = people.folder(came)
        except Unclear as error:
            files = _first_of([students[student]])
            remarks.append(f"{error}, so this is not taken: {files}.{error.cure}")
        else:
            found.setdefault(folder.casefold(), []).append((folder, came))
    for same in found.values():
        if len(same) > 1:
            names = " and ".join(repr(came.student) for _, came in same)
            whom = people.name(same[0][0]) or same[0][0]
            reason = (
                f"are both {whom}"
                if len({folder for folder, _ in same}) == 1
                else "would share a folder on some machines"
            )
            files = _first_of([students[came.student] for _, came in same])
            remarks.append(f"{names} {reason}, so none of them is taken: {files}.")
    return {same[0][0]: same[0][1] for same in found.values() if len(same) == 1}


def _from_elsewhere(people: People, folder: str, came: Came) -> list[str]:
    """Return a sentence where what is replaced may have come in another assignment's export."""
    if people.numbers(folder, came) or not people.known.get(folder, {}).get("known_as"):
        return []
    return [f"{came.name} had another number before: this is taken as of another assignment."]


def _first_of(students: list[HandedIn]) -> str:
    """Return the first file of each."""
    found = [member for handed_in in students for member in handed_in.members[:1]]
    return listed(found) if found else "no files"


def _upload(
    course: Course,
    archive: Archive,
    released: dict[str, Release],
    folder: str,
    handed_in: HandedIn,
) -> Upload:
    """Return a student's upload."""
    return Planner(archive, course, folder, released, handed_in).upload()
