"""A class's verdicts as text and as CSV, and what an instructor should look at."""

import csv
import io
import itertools
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

from score import rubric
from score.course.collect.stored import LATE, handed_in_at, read_record
from score.course.grading import results
from score.course.grading.results import entries_by_cell
from score.course.report.everybody import Someone
from score.course.settings import Course
from score.plain import plain_line
from score.submission.failures import Failures
from score.verdict import Verdict

_FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠")  # begin one, some in Asian locales alone
# By student, part and cell; None where the grader failed, so that the points are not known.
ClassVerdicts = dict[tuple[str, str, str], Verdict | None]
Remark = tuple[str, str, str]  # student, part, sentence
WAITS = "…"  # in place of points that a person has still to give
NOT_ON_ROSTER = "Not on the roster."
_ABOUT = ("id", "name", "email", "section")  # of `Someone`


def table(
    verdicts: ClassVerdicts,
    penalties: Mapping[str, float] | None = None,
    people: Mapping[str, Someone] | None = None,
) -> str:
    """Return the class as text: a row a student, a column a cell that earns points.

    penalties: points by student that late work costs; where there are any, a column has them. The
    total is not known of who is not in it.
    people: everybody by student; who has nothing to grade has a row with the reason.
    """
    people = people or {}
    late = {name: points for name, points in (penalties or {}).items() if points}
    by_student = _by_student(verdicts)
    cells = list(dict.fromkeys((part, cell) for _, part, cell in verdicts))
    columns = [*(short_name(*cell) for cell in cells), *(["late"] if late else []), "total"]
    rows = []
    for student, own in by_student.items():
        less = late.get(student, 0.0)
        *points, total = _points([own[cell] for cell in cells], "–", WAITS, less)
        total = total if penalties is None or student in penalties else "–"
        penalty = "–" if None in own.values() else f"{-less:.2f}" if less else ""
        rows.append([_label(student, people), *points, *([penalty] if late else []), total])
    full = [_full(verdicts, *cell) for cell in cells]
    last = ["of", *(f"{worth:.2f}" for worth in full), *([""] if late else []), f"{sum(full):.2f}"]
    head = ["student", *columns]
    absent = [one for one in people.values() if one.reason and one.folder not in by_student]
    empty = [[plain_line(one.label), *[""] * len(columns)] for one in absent]
    widths = [max(map(len, column)) for column in zip(head, last, *rows, *empty, strict=True)]
    lines = [_line(row, widths) for row in (head, *rows, last)]
    told = [plain_line(f"{one.label:<{widths[0]}}  {one.reason}") for one in absent]
    lines = [lines[0], "-" * len(lines[0]), *lines[1:-1], *told, lines[-1]]
    if any(verdict and verdict.unread for verdict in verdicts.values()):
        lines.append(f"{WAITS} waits for a person to read it, and its points are in no total yet.")
    return "\n".join(lines)


def _label(student: str, people: Mapping[str, Someone]) -> str:
    return plain_line(people[student].label if student in people else student)


def _full(verdicts: ClassVerdicts, part: str, cell: str) -> float:
    """Return what a cell is worth in a course; where all of it is unknown, by the rubric."""
    found = (own for (_, *at), own in verdicts.items() if at == [part, cell] and own)
    worth = next((own.max_points for own in found), None)
    return float(entries_by_cell(rubric.PARTS[part])[cell].points) if worth is None else worth


def _points(
    verdicts: Sequence[Verdict | None], unknown: str, waits: str, less: float = 0.0
) -> list[str]:
    """Return points and their total as text. What is not known makes the total unknown too; what
    waits for a reader marks it with `waits`, or leaves it out where that is "".
    """
    found = []
    for verdict in verdicts:
        open_ = waits if verdict and verdict.unread else unknown
        found.append(f"{verdict.points:.2f}" if verdict and not verdict.unread else open_)
    total = sum(verdict.points for verdict in verdicts if verdict) - less
    unread = any(verdict and verdict.unread for verdict in verdicts)
    if None in verdicts or (unread and not waits):
        return [*found, unknown]
    return [*found, f"{total:.2f}{waits if unread else ''}"]


def _line(row: list[str], widths: list[int]) -> str:
    """Return a row's line: the first column to the left, the others to the right."""
    first, *others = zip(row, widths, strict=True)
    return "  ".join([first[0].ljust(first[1]), *(text.rjust(width) for text, width in others)])


def _by_student(verdicts: ClassVerdicts) -> dict[str, dict[tuple[str, str], Verdict | None]]:
    found: dict[str, dict[tuple[str, str], Verdict | None]] = {}
    for (student, part, cell), verdict in verdicts.items():
        found.setdefault(student, {})[part, cell] = verdict
    return found


def reasons(verdicts: ClassVerdicts) -> str:
    """Return why points were lost, a line each; one line for a notebook all of whose cells have the
    same reason.
    """
    lines = []
    for (student, part), group in itertools.groupby(verdicts.items(), key=lambda item: item[0][:2]):
        cells = {cell: verdict for (_, _, cell), verdict in group if verdict}
        lost = {cell: one for cell, one in cells.items() if one.points < one.max_points}
        sentences = {verdict.sentence for verdict in cells.values()}
        if len(sentences) == 1 and next(iter(cells)) in lost:
            title, sentence = rubric.PARTS[part].title, sentences.pop()
            lines.append(plain_line(f"{student}, {title}: {sentence}"))
            continue
        lines += [
            plain_line(
                f"{student}, {short_name(part, cell)}: {verdict.points:.2f} of"
                f" {verdict.max_points:.2f}. {verdict.sentence}"
            )
            for cell, verdict in lost.items()
        ]
    return "\n".join(lines)


def csv_text(
    parts: Mapping[str, rubric.Part],
    verdicts: ClassVerdicts,
    penalties: Mapping[str, float],
    remarks: Iterable[Remark],
    people: Mapping[str, Someone] | None = None,
) -> str:
    """Return grades.csv: a row a student with all cells of these parts, the late penalty, the
    total, how many remarks there are, how many answers wait for a reader, and a note. Fields of
    what is not known are empty.

    penalties: points by student. people: everybody by student; who has nothing to grade has a row
    with the reason as the note. What is known of them, such as names, has columns.
    """
    people = people or {}
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    cells = [(part.name, cell) for part in parts.values() for cell in entries_by_cell(part)]
    names = [short_name(*cell) for cell in cells]
    about = [name for name in _ABOUT if any(getattr(one, name) for one in people.values())]
    end = ["late_penalty", "total", "look_at", "to_read", "note"]
    rows.writerow(["student", *about, *names, *end])
    counts = Counter(student for student, _, _ in remarks)
    by_student = _by_student(verdicts)
    for student in [*people, *(name for name in by_student if name not in people)]:
        one, own = people.get(student, Someone(student)), by_student.get(student)
        start = [cell_text(student), *(cell_text(getattr(one, name)) for name in about)]
        note = cell_text(NOT_ON_ROSTER if one.on_roster is False else "")
        if own is None:
            note = cell_text(f"{one.reason} {note}".strip())
            rows.writerow([*start, *[""] * len(cells), "", "", counts[student], 0, note])
            continue
        late, verdicts_ = penalties[student], [own[cell] for cell in cells]
        *points, total = _points(verdicts_, "", "", late)
        less = "" if None in verdicts_ else f"{late:.2f}"  # it may depend on what is not known
        unread = sum(bool(verdict and verdict.unread) for verdict in verdicts_)
        rows.writerow([*start, *points, less, total, counts[student], unread, note])
    return text.getvalue()


def cell_text(text: str) -> str:
    """Return a text as a spreadsheet shows it: an apostrophe keeps it from being a formula."""
    line = plain_line(text)
    return f"'{line}" if line.lstrip().startswith(_FORMULA) else line


def remarks(
    course: Course, students: Collection[str] | None = None, failures: Failures | None = None
) -> list[Remark]:
    """Return what an instructor should know of the graded notebooks beyond their points, in order.

    students: only these. failures: of this run, which are told first.
    """
    failures, found = Failures() if failures is None else failures, []
    for student in students or course.students():
        found += failures.attempt(student, "results", _of_results, course, student) or []
    # Of collected files that cannot be read.
    for path in sorted((course.folder / "repairs").glob("*.json")):
        if students is None or path.stem in students:
            found += failures.attempt(path.stem, "repairs", _of_repairs, path) or []
    return [
        (failure.student, failure.step, failure.sentence)
        for failure in dict.fromkeys(failures)
        if students is None or failure.student in students
    ] + found


def _of_results(course: Course, student: str) -> list[Remark]:
    found = []
    for part, result in results.load(course.folder / "results", student).items():
        if part not in course.parts:
            continue
        result = result.worth(course.parts[part])
        stopped = [stopped_remark(result.stopped)] if result.stopped else []
        found += [(student, part, sentence) for sentence in [*stopped, *result.flags]]
    for path in results.damaged(course.folder / "results", student).values():
        sentence = f"{path} is damaged: the next run of `course grade` makes it again."
        found.append((student, path.stem, sentence))
    for assignment in course.assignments:
        stamp = course.submission(student, assignment) / "timestamp.txt"
        if stamp.is_file() and not handed_in_at(stamp):
            sentence = f"{stamp} holds no time, so no late penalty is counted: correct it."
            found.append((student, "late work", sentence))
    return found


def _of_repairs(path: Path) -> list[Remark]:
    record = read_record(path)
    refused = {part: entry["refused"] for part, entry in record["parts"].items()}
    late = [(path.stem, part, LATE) for part, entry in record["parts"].items() if entry.get("late")]
    failed = [(path.stem, "collect", sentence) for sentence in record.get("failed", [])]
    return [(path.stem, part, reason) for part, reason in refused.items() if reason] + late + failed


def stopped_remark(reason: str) -> str:
    """Return what is said of a notebook that was stopped for a reason."""
    return f"The notebook was stopped: {reason}."


def short_name(part: str, cell: str) -> str:
    """Return a cell's name in tables: "Q1.2" of a question, "mlp" of a policy's rollouts, "curves"
    of an answer in words.
    """
    entry = entries_by_cell(rubric.PARTS[part])[cell]
    if isinstance(entry, rubric.Policy):
        return entry.method
    if isinstance(entry, rubric.ManualQuestion):
        return entry.title
    return entry.name
