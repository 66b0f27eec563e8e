"""Taking submissions out of an LMS export into a course.

    python -m score course collect COURSE EXPORT [--preview]

`layouts` says whose a file is, `plan` what is taken, `write` puts it into the course's folder.
"""

import os
from collections.abc import Collection, Sequence
from pathlib import Path

from score.course.collect.people import People, open_people
from score.course.collect.plan import COLLECT, open_export, plan, releases
from score.course.collect.stored import Record, note_failures, time_stamp
from score.course.collect.upload import Upload
from score.course.collect.write import note_export, note_upload, write_upload
from score.course.settings import Course, open_course
from score.plain import plain_line
from score.submission.failures import Failures

UNDATED = (
    "Moodle's zip has the time of its download in place of when students handed in, so nobody"
    " counts as late. Download the assignment's grading worksheet too, and give it with"
    " --worksheet FILE: it has the times."
)


def collect(
    course: Course,
    path: str | os.PathLike[str],
    pattern: str | None = None,
    uploads: Sequence[Upload] | None = None,
    failures: Failures | None = None,
) -> list[tuple[Upload, Record]]:
    """Write what `plan` returns for an export (or `uploads`, which it returned) into the course.

    Return [(`Upload`, its record as in repairs/STUDENT.json)] of what was written. failures: to
    which is added where the kit fails at a student's files; the course then has of this student
    what it had.
    """
    failures = Failures() if failures is None else failures
    if uploads is None:
        uploads = plan(course, path, pattern, failures)
    released, written, people = releases(course), [], open_people(course)
    of_export = _assignments(course, [part for upload in uploads for part in upload.parts])
    with open_export(path) as archive:
        for upload in uploads:
            if upload.taken and upload.student:
                record = failures.attempt(
                    upload.student, COLLECT, write_upload, course, archive, released, upload
                )
                written += [(upload, record)] if record else []
    for upload in uploads:
        if upload.student:
            if not upload.taken:
                failures.attempt(upload.student, COLLECT, note_upload, course, upload)
            failures.attempt(
                upload.student, COLLECT, note_failures, course, upload.student, failures
            )
            if upload.came:
                names = _assignments(course, upload.parts) if upload.parts else of_export
                people.note(upload.student, upload.came, upload.handed_in, names)
    people.save()
    note_export(course, path, uploads)
    return written


def _assignments(course: Course, parts: Collection[str]) -> list[str]:
    """Return the assignments that parts belong to, without any part all of the course."""
    return [a.name for a in course.assignments if not parts or {*parts} & {*a.parts}]


def run_collect(
    folder: str | os.PathLike[str],
    path: str | os.PathLike[str],
    pattern: str | None = None,
    preview: bool = False,
    worksheet: Path | None = None,
) -> Failures:
    """Print the plan and, unless it is a preview, write it and print the repairs. Return where the
    kit failed.
    """
    course, failures = open_course(folder), Failures()
    uploads = plan(course, path, pattern, failures, worksheet)
    print(format_plan(uploads))
    print(format_totals(uploads, open_people(course)))
    if not worksheet and any(
        upload.came and upload.came.series and upload.handed_in.late is False for upload in uploads
    ):
        print(UNDATED)
    if preview:
        print("Nothing was written: this was a preview.")
        return failures
    written = collect(course, path, pattern, uploads, failures)
    for upload, record in written:
        for part in upload.taken:
            of_part = record["parts"][part]
            refused = [of_part["refused"]] if of_part["refused"] else []
            for sentence in refused + of_part["repairs"]:
                print(plain_line(f"{upload.student}, {part}: {sentence}"))
    print(
        f"{len(written)} submissions were written to {course.folder}: submitted/, and what was"
        " repaired, repairs/."
    )
    for failure in failures:
        print(plain_line(f"{failure.student} was not collected. {failure.sentence}"))
    return failures


def format_plan(uploads: Sequence[Upload]) -> str:
    """Return the plan as text: a line a student, then the remarks on it."""
    lines = []
    width = max((len(upload.student) for upload in uploads if upload.student), default=0)
    for upload in uploads:
        who = f"{upload.student or '':<{width}}"
        if upload.name and upload.name != upload.student:
            who += f"  {upload.name}"
        if upload.student and upload.nothing:
            lines.append(f"{who}  nothing usable  ({upload.source})")
            lines.append(f"    {upload.nothing}")
        elif upload.student and not upload.timestamp:
            lines.append(f"{who}  not collected  ({upload.source})")
        elif upload.student and upload.timestamp:
            parts = ", ".join(f"{part} {state}" for part, state in upload.parts.items())
            when = time_stamp(upload.timestamp)
            lines.append(f"{who}  {when}  {parts}  ({upload.source})")
        else:
            lines.append("Not taken:")
        lines += [f"    {remark}" for remark in upload.remarks]
        if upload.student and upload.on_roster is False:
            lines.append("    Not on the roster.")
    return "\n".join([plain_line(line) for line in lines] or ["There is no submission in it."])


def format_totals(uploads: Sequence[Upload], people: People) -> str:
    """Return how many students' uploads are taken, are not whole, cannot be used, and whose they
    are, in one line. An upload is whole if it or the course has a notebook for each part of it.
    """
    of_students = [upload for upload in uploads if upload.student]
    incomplete = [upload for upload in of_students if upload.files and not upload.is_whole]
    counts = {
        "taken": sum(bool(upload.files) for upload in of_students) - len(incomplete),
        "incomplete": len(incomplete),
        "nothing usable": sum(bool(upload.nothing) for upload in of_students),
    }
    if people.roster:
        there = {upload.student for upload in of_students}
        counts["not on the roster"] = sum(upload.on_roster is False for upload in of_students)
        counts["on the roster and not here"] = len({*people.on_roster()} - there)
    return f"Students: {', '.join(f'{name} {count}' for name, count in counts.items())}."
