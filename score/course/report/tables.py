"""A class's verdicts as text and as CSV, and what an instructor should look at."""

import csv
import io
import itertools
import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping

from score import rubric
from score.course.grading import results
from score.course.grading.results import entries_by_cell
from score.course.settings import Course
from score.verdict import Verdict

ClassVerdicts = dict[tuple[str, str, str], Verdict]  # by student, part and cell
Remark = tuple[str, str, str]  # student, part, sentence


def table(verdicts: ClassVerdicts) -> str:
    """Return the class as text: a row a student, a column a cell that earns points."""
    by_student = _by_student(verdicts)
    cells = list(dict.fromkeys((part, cell) for _, part, cell in verdicts))
    head = ["student", *(short_name(*cell) for cell in cells), "total"]
    rows = [
        [student, *_points([own[cell].points for cell in cells])]
        for student, own in by_student.items()
    ]
    full = {(part, cell): verdict.max_points for (_, part, cell), verdict in verdicts.items()}
    rows.append(["of", *_points([full[cell] for cell in cells])])
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    lines = [_line(row, widths) for row in (head, *rows)]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def _points(points: list[float]) -> list[str]:
    return [f"{value:.2f}" for value in (*points, sum(points))]


def _line(row: list[str], widths: list[int]) -> str:
    """Return a row's line: the first column to the left, the others to the right."""
    first, *others = zip(row, widths, strict=True)
    return "  ".join([first[0].ljust(first[1]), *(text.rjust(width) for text, width in others)])


def _by_student(verdicts: ClassVerdicts) -> dict[str, dict[tuple[str, str], Verdict]]:
    found: dict[str, dict[tuple[str, str], Verdict]] = {}
    for (student, part, cell), verdict in verdicts.items():
        found.setdefault(student, {})[part, cell] = verdict
    return found


def reasons(verdicts: ClassVerdicts) -> str:
    """Return why points were lost, a line each; one line for a notebook all of whose cells have the
    same reason.
    """
    lines = []
    for (student, part), group in itertools.groupby(verdicts.items(), key=lambda item: item[0][:2]):
        cells = {cell: verdict for (_, _, cell), verdict in group}
        lost = {cell: one for cell, one in cells.items() if one.points < one.max_points}
        sentences = {verdict.sentence for verdict in cells.values()}
        if len(sentences) == 1 and next(iter(cells)) in lost:
            lines.append(f"{student}, {rubric.PARTS[part].title}: {sentences.pop()}")
            continue
        lines += [
            f"{student}, {short_name(part, cell)}: {verdict.points:.2f} of"
            f" {verdict.max_points:.2f}. {verdict.sentence}"
            for cell, verdict in lost.items()
        ]
    return "\n".join(lines)


def csv_text(
    verdicts: ClassVerdicts, penalties: Mapping[str, float], remarks: Iterable[Remark]
) -> str:
    """Return grades.csv: a row a student with all cells of the rubric, the late penalty, the total
    and how many remarks there are.

    penalties: points by student.
    """
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    cells = [(part.name, cell) for part in rubric.PARTS.values() for cell in entries_by_cell(part)]
    names = [short_name(*cell) for cell in cells]
    rows.writerow(["student", *names, "late_penalty", "total", "look_at"])
    counts = Counter(student for student, _, _ in remarks)
    for student, own in _by_student(verdicts).items():
        points = [own[cell].points for cell in cells]
        late = penalties[student]
        numbers = [f"{value:.2f}" for value in (*points, late, sum(points) - late)]
        rows.writerow([student, *numbers, counts[student]])
    return text.getvalue()


def remarks(course: Course, students: Collection[str] | None = None) -> list[Remark]:
    """Return what an instructor should know of the graded notebooks beyond their points, in order.

    students: only these.
    """
    found = []
    for student in students or course.students():
        for part, result in results.load(course.folder / "results", student).items():
            stopped = [stopped_remark(result.stopped)] if result.stopped else []
            found += [(student, part, sentence) for sentence in [*stopped, *result.flags]]
    # Of collected notebooks that cannot be read.
    for path in sorted((course.folder / "repairs").glob("*.json")):
        for part, entry in json.loads(path.read_text(encoding="utf-8"))["parts"].items():
            if entry["refused"] and (students is None or path.stem in students):
                found.append((path.stem, part, entry["refused"]))
    return found


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
        return entry.cell.removeprefix("report_")
    return entry.name
