"""Grades one notebook of one student: a function of the files, run in a private folder.

It needs nothing of the course's folder and changes nothing there, so it runs in any process on any
machine that has the kit.
"""

import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import nbformat

from score import rubric
from score.course.collect.repair import RepairError, repair
from score.course.grading.cache_keys import kit_version
from score.course.grading.execution import Execution, execute
from score.course.grading.results import PartResult, RolloutResult, ungraded
from score.course.grading.sanitise.graded import clean_sources
from score.course.grading.sanitise.submitted import empty_answers, grade_id, read_notebook, sanitise
from score.course.sandbox.watch import host
from score.course.settings import CourseError, RunSettings
from score.entries import with_points
from score.verdict import Verdict

_BY_A_PERSON = "Answered in words: to be read by a person."


@dataclass(frozen=True)
class Task:
    """A notebook to grade, with all that it takes.

    submission: its part's files by name. released: the course's released notebook. kit: the version
    that is to grade it. key, rollout_keys: what the result is kept under, and each policy's
    rollouts by its name; see `cache_keys`. known: by policy's name, rollouts that need not be done
    again. points: the course's where they differ from the rubric's, by `entries.points_key`; no
    key depends on them.
    """

    student: str
    part: str
    submission: dict[str, bytes]
    released: bytes
    settings: RunSettings
    kit: str
    key: str
    rollout_keys: dict[str, str]
    known: dict[str, RolloutResult]
    points: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Graded:
    """A `PartResult`, with the graded notebook and the films by name.

    original: the notebook as it came, where it was repaired.
    """

    result: PartResult
    files: dict[str, bytes]
    original: bytes = b""


def grade_part(task: Task) -> Graded:
    """Grade a `Task` in a folder of its own; CourseError where the kit is not the task's. Whatever
    else it raises is the grader's failure, and no grade.
    """
    started = time.monotonic()
    host.check()
    if task.kit != kit_version():
        raise CourseError(
            f"A worker has the kit in version {kit_version()} where the course is graded with"
            f" {task.kit}: install that one."
        )
    part, name = with_points(rubric.PARTS[task.part], task.points), f"{task.part}.ipynb"
    released = read_notebook(task.released)
    try:
        notebook, repairs = repair(task.submission[name], released)
    except RepairError as error:
        reason = f"{name} cannot be graded. {error}"
        return Graded(ungraded(task.student, task.part, reason, task.key), {})
    sanitise(notebook, released)
    words = _answers_in_words(part, notebook, empty_answers(notebook, released))
    with tempfile.TemporaryDirectory(prefix="pusht-") as private:
        folder = Path(private)
        for file_name, content in task.submission.items():
            (folder / file_name).write_bytes(content)
        execution = execute(notebook, part, folder, task.settings, task.known)
        clean_sources(notebook, released)
        films = {record.film for record in execution.rollouts.values()}
        files = {film: (folder / film).read_bytes() for film in films if (folder / film).is_file()}
    files[name] = nbformat.writes(notebook).encode()
    seconds = time.monotonic() - started - sum(execution.seconds.values())
    result = replace(_result(task, execution, words, seconds), repairs=repairs)
    return Graded(result, files, task.submission[name] if repairs else b"")


def _answers_in_words(
    part: rubric.Part, notebook: nbformat.NotebookNode, empty: set[str]
) -> dict[str, Verdict]:
    """Return the verdicts, which a person is to replace, on the answers in words that are there."""
    there = {grade_id(cell) for cell in notebook.cells}
    verdicts = {}
    for entry in part.written:
        cell = part.cell_id(entry)
        sentence = "Nothing was written." if cell in empty else _BY_A_PERSON
        if cell in there:
            verdicts[cell] = Verdict(
                f"{entry.name}, {entry.title}",
                0.0,
                float(entry.points),
                sentence,
                unread=cell not in empty,
            )
    return verdicts


def _result(
    task: Task, execution: Execution, words: dict[str, Verdict], seconds: float
) -> PartResult:
    missing = ungraded(task.student, task.part, "The cell is missing.", task.key)
    return replace(
        missing,
        missing="",
        sandbox=execution.sandbox,
        stopped=execution.stopped,
        seconds=execution.seconds | {"other": seconds},
        flags=execution.flags,
        cells=missing.cells | execution.cells | words,
        rollouts={
            name: replace(record, key=task.rollout_keys[name])
            for name, record in execution.rollouts.items()
        },
    )
