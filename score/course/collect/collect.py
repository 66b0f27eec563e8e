"""Taking submissions out of an LMS export into a course.

    python -m score course collect COURSE EXPORT [--preview]

`layouts` says whose a file is, `plan` what is taken, `write` puts it into the course's folder.
"""

import os
from collections.abc import Sequence

from score.course.collect.plan import COLLECT, Upload, open_export, plan, releases
from score.course.collect.stored import Record, note_failures, time_stamp
from score.course.collect.write import write_upload
from score.course.settings import Course, open_course
from score.plain import plain_line
from score.submission.failures import Failures


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
    released, written = releases(course), []
    with open_export(path) as archive:
        for upload in uploads:
            if upload.taken and upload.student:
                record = failures.attempt(
                    upload.student, COLLECT, write_upload, course, archive, released, upload
                )
                written += [(upload, record)] if record else []
    for student in {upload.student for upload in uploads if upload.student}:
        failures.attempt(student, COLLECT, note_failures, course, student, failures)
    return written


def run_collect(
    folder: str | os.PathLike[str],
    path: str | os.PathLike[str],
    pattern: str | None = None,
    preview: bool = False,
) -> Failures:
    """Print the plan and, unless it is a preview, write it and print the repairs. Return where the
    kit failed.
    """
    course, failures = open_course(folder), Failures()
    uploads = plan(course, path, pattern, failures)
    print(format_plan(uploads))
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
        if upload.student and not upload.timestamp:
            lines.append(f"{upload.student:<{width}}  not collected  ({upload.source})")
        elif upload.student and upload.timestamp:
            states = [f"{part} {state}" for part, state in upload.parts.items()]
            parts = ", ".join(states) or "nothing that the course asks for"
            when = time_stamp(upload.timestamp)
            lines.append(f"{upload.student:<{width}}  {when}  {parts}  ({upload.source})")
        else:
            lines.append("Not taken:")
        lines += [f"    {remark}" for remark in upload.remarks]
    return "\n".join([plain_line(line) for line in lines] or ["There is no submission in it."])
