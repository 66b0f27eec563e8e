"""Grades a class: notebooks side by side in processes of their own, results kept as they come.

Stopped at any moment, the same command goes on where it was: what has a result is not graded again,
and the gradebook is made to agree with the results whenever this runs. `records` says what is
written into the course's folder.
"""

import contextlib
import functools
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Executor
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path

import filelock
from nbgrader.api import Gradebook
from tqdm import tqdm
from traitlets.config import Config

from score import rubric
from score.course.class_run import records, workers
from score.course.class_run.records import Failures
from score.course.grading import results
from score.course.grading.cache_keys import kit_version, rollout_key, task_key
from score.course.grading.execution import usable_files
from score.course.grading.notebook import Task, grade_part
from score.course.grading.results import PartResult, ungraded
from score.course.nbgrader import configuration, gradebook
from score.course.report.tables import ClassVerdicts
from score.course.sandbox import levels
from score.course.settings import ASSIGNMENT, Course, CourseError, RunSettings
from score.submission.formats import needs_sandbox

_SCRATCH = "pusht-grading-"
_OpenExecutor = Callable[[], AbstractContextManager[Executor]]


def grade_course(
    course: Course,
    students: Collection[str] | None = None,
    parts: Collection[str] | None = None,
    *,
    jobs: int = 1,
    scheduler: str | None = None,
) -> ClassVerdicts:
    """Grade what lies in submitted/ and has no result yet; return the verdicts on the submissions
    of these students, in order.

    students, parts: only these. jobs: processes on this machine. scheduler: address of a Dask
    scheduler, whose workers are used in their place.
    """
    handed_in = course.students()
    unknown = sorted(set(students or ()) - set(handed_in))
    if unknown:
        raise CourseError(f"Nothing of {', '.join(unknown)} is in {course.folder / 'submitted'}.")
    if not handed_in:
        raise CourseError(
            f"{course.folder / 'submitted'} is empty: put each student's files into"
            f" submitted/STUDENT/{ASSIGNMENT}/."
        )
    chosen = sorted(set(students)) if students else handed_in
    plan = _plan(course)
    with (
        _alone(course) as scratch,
        gradebook.open_gradebook(course) as book,
        contextlib.ExitStack() as stack,
    ):
        open_executor: _OpenExecutor = functools.partial(workers.processes, jobs, scratch)
        if scheduler:
            executor, jobs = stack.enter_context(workers.cluster(scheduler))
            open_executor = functools.partial(_kept_open, executor)
        gradebook.complete(book)
        failed = _grade(plan, book, chosen, parts or rubric.PARTS, open_executor, jobs)
        records.write_class(course, book, failed)
        return records.class_verdicts(course, book, chosen, failed)


@contextlib.contextmanager
def _alone(course: Course) -> Iterator[str]:
    """Yield a folder for temporary files while no other run grades this course; that of a run that
    was killed is removed.
    """
    note = course.folder / ".grading"
    try:
        with filelock.FileLock(note.with_suffix(".lock"), timeout=0):
            if note.exists() and (left := Path(note.read_text())).name.startswith(_SCRATCH):
                shutil.rmtree(left, ignore_errors=True)
            with tempfile.TemporaryDirectory(
                prefix=_SCRATCH, ignore_cleanup_errors=True
            ) as scratch:
                # Kernels with a user of their own reach their folders through it.
                os.chmod(scratch, 0o711)
                note.write_text(scratch)
                yield scratch
            note.unlink()
    except filelock.Timeout:
        raise CourseError(
            f"{course.folder} is being graded already: wait for that, or stop it."
        ) from None


def _kept_open(executor: Executor) -> AbstractContextManager[Executor]:
    """Return a context with an executor that somebody else closes."""
    return contextlib.nullcontext(executor)


def _grade(
    plan: "_Plan",
    book: Gradebook,
    students: Collection[str],
    parts: Collection[str],
    open_executor: _OpenExecutor,
    width: int,
) -> Failures:
    """Grade what has no result, at most `width` notebooks at a time; return what failed."""
    failed: Failures = {}
    # The parts that take longest come first, so that at the end nobody waits for one.
    ordered = sorted(parts, key=lambda part: -rubric.PARTS[part].grading_time)
    waiting = {
        student: [part for part in ordered if plan.is_stale(student, part)] for student in students
    }
    for student in students:
        if not waiting[student]:
            records.conclude(plan.course, book, student, failed, plan.config)
    tasks = (plan.task(student, part) for student in students for part in tuple(waiting[student]))
    total = sum(map(len, waiting.values()))
    nothing = "" if total else ": nothing has changed since they were graded"
    print(f"{total} notebooks to grade{nothing}.", flush=True)
    with tqdm(
        total=total,
        unit="notebook",
        file=sys.stdout,
        smoothing=0.05,
        mininterval=0.5 if sys.stdout.isatty() else 60,
        disable=not total,
    ) as bar:
        for task, outcome in workers.completed(grade_part, tasks, open_executor, width):
            if isinstance(outcome, BaseException):
                failure = failed[task.student, task.part] = _failure(task, outcome)
                bar.write(f"{task.student}, {task.part}: {failure.flags[0]}")
                bar.set_postfix_str(f"{len(failed)} failed")
            else:
                records.record(plan.course, outcome)
            waiting[task.student].remove(task.part)
            if not waiting[task.student]:
                records.conclude(plan.course, book, task.student, failed, plan.config)
            bar.update()
    return failed


def _failure(task: Task, error: BaseException) -> PartResult:
    """Return what stands for a result where the grader failed. It is not kept: the next run tries
    again. Students are not told what went wrong.
    """
    result = ungraded(
        task.student,
        task.part,
        "The grader failed at this notebook, through no fault of yours: it will be graded again.",
    )
    return replace(result, flags=[f"The grader failed: {type(error).__name__}: {error}"])


@dataclass(frozen=True)
class _Plan:
    """What the tasks of a run share. released: notebooks by part. config: nbgrader's."""

    course: Course
    settings: RunSettings
    released: dict[str, bytes]
    config: Config

    def is_stale(self, student: str, part: str) -> bool:
        """Say whether a part was handed in and has no result as it is now."""
        submission, known = self._submission(student, part), self._known(student, part)
        if not submission:
            return False
        if known is None or known.key != self._key(part, submission):
            return True
        # The pickles of a script assignment are loaded in a sandbox alone.
        return (
            any(map(needs_sandbox, submission))
            and known.sandbox == levels.LEVELS[-1].name
            and levels.strictest() is not levels.LEVELS[-1]
        )

    def task(self, student: str, part: str) -> Task:
        """Return what grades a student's part."""
        submission, known = self._submission(student, part), self._known(student, part)
        keys = {
            policy.name: rollout_key(policy, self.settings, submission)
            for policy in rubric.PARTS[part].policies
        }
        films = self.course.folder / "autograded" / student / ASSIGNMENT
        return Task(
            student,
            part,
            submission,
            self.released[part],
            self.settings,
            kit_version(),
            self._key(part, submission),
            keys,
            {
                name: record
                for name, record in (known.rollouts if known else {}).items()
                if record.key == keys[name] and (films / record.film).is_file()
            },
        )

    def _key(self, part: str, submission: dict[str, bytes]) -> str:
        return task_key(part, self.released[part], self.settings, submission)

    def _known(self, student: str, part: str) -> PartResult | None:
        return results.load(self.course.folder / "results", student).get(part)

    def _submission(self, student: str, part: str) -> dict[str, bytes]:
        """Return a part's files by name; none where its notebook was not handed in."""
        folder = self.course.submission(student)
        notebook = folder / f"{part}.ipynb"
        if not notebook.is_file():
            return {}
        files = [notebook, *usable_files(folder, rubric.PARTS[part])]
        return {file.name: file.read_bytes() for file in files}


def _plan(course: Course) -> _Plan:
    config = configuration.read(course.folder)
    settings = RunSettings(course.first_seed, course.episodes, limits=configuration.limits(config))
    try:
        released = {part: course.released(part).read_bytes() for part in rubric.PARTS}
    except FileNotFoundError as error:
        raise CourseError(
            f"There is no {error.filename}: run `python -m score course release {course.folder}`"
            " first."
        ) from None
    return _Plan(course, settings, released, config)
