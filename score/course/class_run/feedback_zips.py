"""Feedback pages in zips of a size that a learning management system takes."""

import zipfile
from collections.abc import Iterable
from pathlib import Path

from pusht.files import replacing
from score.course.collect.people import People
from score.course.settings import Assignment, Course

_ZIP_BYTES = 200 * 2**20  # of feedback in one zip, before it is packed


def write_zips(out: Path, name: str, pages: Iterable[tuple[str, Path]]) -> list[Path]:
    """Write pages, (name in the zip, path), into as many zips as they need; return their paths.
    Those of an earlier export go.
    """
    parts: list[list[tuple[str, Path]]] = []
    room = 0
    for inside, path in pages:
        room -= path.stat().st_size
        if room < 0:
            parts.append([])
            room = _ZIP_BYTES - path.stat().st_size
        parts[-1].append((inside, path))
    for old in [*out.glob(f"{name}.zip"), *out.glob(f"{name}-[0-9]*.zip")]:
        old.unlink()
    written = []
    for number, part in enumerate(parts, start=1):
        target = out / (f"{name}-{number}.zip" if parts[1:] else f"{name}.zip")
        with (
            replacing(target) as beside,
            zipfile.ZipFile(beside, "w", zipfile.ZIP_DEFLATED) as zip_,
        ):
            for inside, path in part:
                zip_.write(path, inside)
        written.append(target)
    return written


def feedback_pages(
    course: Course,
    people: People,
    folders: Iterable[str],
    assignment: Assignment,
    system: str,
    name: str,
) -> tuple[list[tuple[str, Path]], list[str]]:
    """Return (name in the zip, path) of the pages of an assignment, and who has no name there.

    system: whose exports named the submissions, "" for the folders. name: with a place for that.
    """
    found, lost = [], []
    for folder in folders:
        path = course.feedback(folder, assignment)
        known = people.known.get(folder, {}).get("sent_as", {}).get(system, {})
        sent_as = (known.get(assignment.name) or [""])[0] if system else folder
        if path.is_file() and sent_as:
            found.append((name.format(sent_as.rstrip("_")), path))
        elif path.is_file() and course.submission(folder, assignment).is_dir():
            lost.append(folder)
    return found, lost
