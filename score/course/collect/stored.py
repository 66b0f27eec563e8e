"""What a course has of a student's submission, and where it lies."""

import json
import re
from collections.abc import Collection
from datetime import UTC, datetime
from pathlib import Path
from typing import NotRequired, TypedDict, cast

from nbgrader.utils import parse_utc

from pusht.files import write_whole
from score.course.settings import Assignment, Course
from score.plain import plain
from score.submission.archive import utc
from score.submission.failures import Failures, GraderFailure
from score.submission.files import TAKEN
from score.submission.formats import Format

# Names of students that can name a folder.
STUDENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,99}(?<!\.)")

COLLECTED = "collected.json"
LATE = (
    "The LMS marks it as late and does not say when it came. With a due date in course.toml it"
    " counts as just late: if it came later, write the time into its timestamp.txt."
)

# Where a file came from, its path in the export; when it was received, and its date there; its
# SHA-256.
FileRecord = TypedDict(
    "FileRecord", {"from": str, "received": str, "dated": NotRequired[str], "sha256": str}
)


class Export(TypedDict):
    """One export in collected.json. students: folders. nobody: remarks on what is nobody's."""

    students: list[str]
    nobody: list[str]


class PartRecord(TypedDict, total=False):
    """One part in repairs/STUDENT.json.

    files: by name. repairs: sentences. refused: why the notebook cannot be graded, None if it can.
    timestamp: when the part was handed in. source: of `Upload`. release: digest of the released
    notebook. given: names of files that the kit wrote for a submission in another format. late:
    whether the system marks it as late and does not say when it came.
    """

    files: dict[str, FileRecord]
    repairs: list[str]
    refused: str | None
    timestamp: str
    source: str
    release: str
    given: list[str]
    late: bool


class Record(TypedDict, total=False):
    """repairs/STUDENT.json. parts: by name. remarks, left, nothing: of the last `Upload`.
    failed: sentences on where the kit failed at an upload since, of which nothing is in the course.
    """

    student: str
    parts: dict[str, PartRecord]
    remarks: list[str]
    left: list[tuple[str, str]]
    nothing: str
    failed: list[str]


class Stored:
    """What a course has of a student's submission for an assignment, which may be nothing yet.

    graded, incomplete: the folder where it lies if it has a notebook, and if it has none.
    originals: that of the notebooks as they came. replaced: that of what later uploads replaced.
    record_path, record: repairs/STUDENT.json, and what it says, of all assignments.
    """

    def __init__(self, course: Course, student: str, assignment: Assignment) -> None:
        self.student, self.assignment = student, assignment
        self.graded = course.submission(student, assignment)
        self.incomplete = course.incomplete(student, assignment)
        self.originals = course.folder / "originals" / student
        self.replaced = course.folder / "replaced" / student
        self.record_path = course.folder / "repairs" / f"{student}.json"
        self.record: Record = {"student": student, "parts": {}}
        if self.record_path.exists():
            self.record = read_record(self.record_path)

    @property
    def home(self) -> Path:
        """The folder in which the submission lies, or would lie."""
        waits = self.incomplete.is_dir() and not self.graded.is_dir()
        return self.incomplete if waits else self.graded

    @property
    def timestamp(self) -> datetime:
        """When it was handed in, as its timestamp.txt says or else its files' dates (UTC)."""
        dates = (utc(file.stat().st_mtime) for file in self.home.glob("*"))
        return handed_in_at(self.home / "timestamp.txt") or max(dates, default=utc(0))

    def part(self, part: str) -> PartRecord | None:
        """Return the record of a part; None where there is none."""
        return self.record["parts"].get(part)

    def names(self, part: str) -> set[str]:
        """Return the names of the files that there are of a part."""
        folders = (self.home, self.originals)
        names = (name for name in TAKEN if TAKEN[name] == part)
        return {name for name in names if any((folder / name).exists() for folder in folders)}

    def given(self, part: str) -> list[str]:
        """Return the names of the files that the kit wrote for a submission in another format."""
        record = self.part(part)
        return record.get("given", []) if record else []

    def outdated(self, part: str, names: Collection[str]) -> set[str]:
        """Return the names of the files of an earlier submission in another format that go when
        files of these names come: all where they are another such submission, those that the kit
        wrote where they have a notebook.
        """
        record, given = self.part(part), self.given(part)
        another = not {*names} <= {*TAKEN}
        if not record or not given or not (another or f"{part}.ipynb" in names):
            return set()
        return {*given, *(record["files"] if another else ())}

    def write_record(self) -> None:
        """Write the record."""
        text = plain(json.dumps(self.record, indent=1, ensure_ascii=False))
        write_whole(self.record_path, text + "\n")

    def has_own_notebook(self, format: Format) -> bool:
        """Say whether there is a notebook for the format's part that the kit did not write."""
        notebook, packed = self.home / f"{format.part}.ipynb", self.home / format.packed
        return notebook.exists() and not packed.exists()


def read_record(path: Path) -> Record:
    """Return the content of a file in repairs/; GraderFailure where it is damaged."""
    try:
        found = json.loads(path.read_bytes())
        parts = [*found["parts"].values()]
        lists = [found.get("remarks", []), found.get("failed", []), *(p["repairs"] for p in parts)]
        texts = [text for each in lists for text in each]
        texts += [p["refused"] for p in parts if p["refused"] is not None]
        if all(isinstance(text, str) for text in texts):
            return cast(Record, found)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        pass
    raise GraderFailure(
        f"{path} is damaged, which says what was collected and repaired: move it away, and collect"
        " the student's upload again. The points do not depend on it."
    )


def note_failures(course: Course, student: str, failures: Failures) -> None:
    """Note in repairs/STUDENT.json where collecting a student's upload failed, or that it no longer
    does. The report tells it.
    """
    stored = Stored(course, student, course.assignments[0])
    sentences = [each.sentence for each in failures.of(student)]
    if sentences != stored.record.get("failed", []):
        stored.record["failed"] = sentences
        stored.write_record()


def why_missing(course: Course, student: str, part: str) -> str:
    """Return why there is no notebook of a part: that it could not be read, or did not come. A
    damaged record says nothing of it: the report tells that it is damaged.
    """
    try:
        record = Stored(course, student, course.assignments[0]).part(part)
        refused = record.get("refused") if record else None
    except GraderFailure:
        refused = None
    return refused if isinstance(refused, str) else f"{part}.ipynb was not handed in."


def collected(course: Course) -> dict[str, Export]:
    """Return the exports that were collected, by the names of their files. A damaged file counts as
    none: it is written again.
    """
    try:
        found = json.loads((course.folder / COLLECTED).read_text(encoding="utf-8"))
        return {
            str(name): {"students": [*each["students"]], "nobody": [*map(str, each["nobody"])]}
            for name, each in found.items()
        }
    except (FileNotFoundError, ValueError, AttributeError, LookupError, TypeError):
        return {}


def time_stamp(when: datetime) -> str:
    """Return a time (UTC) as nbgrader reads it."""
    return when.strftime("%Y-%m-%d %H:%M:%S UTC")


def parsed_time(text: str | datetime) -> datetime:
    """Return the time in a text, as UTC in whole seconds; ValueError where it is none."""
    try:
        return parse_utc(text).replace(tzinfo=UTC, microsecond=0)
    except (OverflowError, TypeError, AttributeError):
        raise ValueError(f"{str(text)[:40]!r} is no time") from None


def handed_in_at(stamp: Path) -> datetime | None:
    """Return the time (UTC) in a timestamp.txt; None where there is no such file, or no time in
    it.
    """
    try:
        return parsed_time(stamp.read_text(encoding="utf-8").strip()) if stamp.is_file() else None
    except ValueError:
        return None
