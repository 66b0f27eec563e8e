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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import filelock
from nbgrader.api import Gradebook
from tqdm import tqdm
from traitlets.config import Config

from score.course.class_run import machine, records, workers
from score.course.grading import results
from score.course.grading.cache_keys import kit_version, rollout_key, task_key
from score.course.grading.execution import usable_files
from score.course.grading.notebook import Task, grade_part
from score.course.grading.results import PartResult
from score.course.nbgrader import configuration, gradebook, lost
from score.course.nbgrader.late import rule_of
from score.course.report.everybody import everybody
from score.course.report.tables import ClassVerdicts
from score.course.sandbox import levels
from score.course.settings import Course, CourseError, RunSettings
from score.plain import plain_line
from score.submission.failures import Failures
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
    failures: Failures | None = None,
) -> ClassVerdicts:
    """Grade what lies in submitted/ and has no result yet; return the verdicts on the submissions
    of these students, in order.

    students, parts: only these. jobs: processes on this machine. scheduler: address of a Dask
    scheduler, whose workers are used in their place. failures: to which is added where the grader
    fails, each for one student; the class goes on.
    """
    failures = Failures() if failures is None else failures
    chosen = _chosen(course, students, parts)
    machine.check(course)
    plan = _plan(course)
    with (
        _alone(course) as scratch,
        lost.whole_gradebook(course) as (book, is_lost),
        contextlib.ExitStack() as stack,
    ):
        open_executor: _OpenExecutor = functools.partial(workers.processes, jobs, scratch)
        if scheduler:
            executor, jobs = stack.enter_context(workers.cluster(scheduler))
            open_executor = functools.partial(_kept_open, executor)
        gradebook.complete(book, course)
        run = _Run(plan, book, failures, chosen, parts or course.parts)
        if is_lost:
            run.waiting = {student: list[str]() for student in course.students()} | run.waiting
        run.grade(open_executor, jobs)
        known = records.write_class(course, book, failures)
        return records.class_verdicts({student: known[student] for student in chosen})


def _chosen(
    course: Course, students: Collection[str] | None, parts: Collection[str] | None
) -> list[str]:
    """Return whose notebooks are to be graded, in order; CourseError where there is nothing of
    them, or a part is not in the course.
    """
    handed_in = course.students()
    unknown = sorted(set(students or ()) - set(handed_in))
    if unknown:
        raise CourseError(f"Nothing of {', '.join(unknown)} is in {course.folder / 'submitted'}.")
    if not handed_in and not everybody(course):
        places = [f"submitted/STUDENT/{assignment.name}/" for assignment in course.assignments]
        raise CourseError(
            f"{course.folder / 'submitted'} is empty: put each student's files into"
            f" {' or '.join(places)}."
        )
    absent = [part for part in parts or () if part not in course.parts]
    if absent:
        raise CourseError(
            f"{', '.join(absent)} is not in the course, which has {', '.join(course.parts)}."
        )
    return sorted(set(students)) if students else handed_in


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


class _Run:
    """Grades what has no result. waiting: by student, the parts that are still to be graded."""

    def __init__(
        self,
        plan: "_Plan",
        book: Gradebook,
        failures: Failures,
        students: Collection[str],
        parts: Collection[str],
    ) -> None:
        self.plan, self.book, self.failures = plan, book, failures
        self.told = 0  # how many failures were printed
        # The parts that take longest come first, so that at the end nobody waits for one.
        ordered = sorted(parts, key=lambda part: -plan.course.parts[part].grading_time)
        for student in students:
            for path in results.damaged(plan.course.folder / "results", student).values():
                print(plain_line(f"{path} is damaged: the notebook is graded again."), flush=True)
        self.waiting = {
            student: [
                part
                for part in ordered
                if failures.attempt(student, part, plan.is_stale, student, part)
            ]
            for student in students
        }

    def grade(self, open_executor: _OpenExecutor, width: int) -> None:
        """Grade, at most `width` notebooks at a time."""
        total = sum(map(len, self.waiting.values()))
        for student in [student for student, parts in self.waiting.items() if not parts]:
            self._conclude(student)
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
            self._tell(bar)
            for task, outcome in workers.completed(
                grade_part, self._tasks(bar), open_executor, width
            ):
                student, part = task.student, task.part
                if isinstance(outcome, BaseException):
                    self.failures.add(student, part, outcome)
                else:
                    self.failures.attempt(student, part, records.record, self.plan.course, outcome)
                self._done(student, part, bar)

    def _tasks(self, bar: Any) -> Iterator[Task]:
        for student, parts in self.waiting.items():
            for part in tuple(parts):
                task = self.failures.attempt(student, part, self.plan.task, student, part)
                if task:
                    yield task
                else:
                    self._done(student, part, bar)

    def _done(self, student: str, part: str, bar: Any) -> None:
        self.waiting[student].remove(part)
        if not self.waiting[student]:
            self._conclude(student)
        self._tell(bar)
        bar.update()

    def _conclude(self, student: str) -> None:
        records.conclude(self.plan.course, self.book, student, self.failures, self.plan.config)

    def _tell(self, bar: Any) -> None:
        """Print the failures since the last time."""
        new = [*self.failures][self.told :]
        self.told += len(new)
        for failure in new:
            bar.write(plain_line(f"{failure.student}, {failure.step}: {failure.sentence}"))
        if new:
            bar.set_postfix_str(f"{self.told} failed")


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
            for policy in self.course.parts[part].policies
        }
        films = self.course.autograded(student, self.course.assignment_of(part))
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
            self.course.points,
        )

    def _key(self, part: str, submission: dict[str, bytes]) -> str:
        return task_key(part, self.released[part], self.settings, submission)

    def _known(self, student: str, part: str) -> PartResult | None:
        return results.load(self.course.folder / "results", student).get(part)

    def _submission(self, student: str, part: str) -> dict[str, bytes]:
        """Return a part's files by name; none where its notebook was not handed in."""
        folder = self.course.submission(student, self.course.assignment_of(part))
        notebook = folder / f"{part}.ipynb"
        if not notebook.is_file():
            return {}
        files = [notebook, *usable_files(folder, self.course.parts[part])]
        return {file.name: file.read_bytes() for file in files}


def _plan(course: Course) -> _Plan:
    config = configuration.read(course.folder)
    for assignment in course.assignments:
        rule_of(assignment, config)  # told now, and not at each student
    settings = RunSettings(course.seed, course.episodes, limits=configuration.limits(config))
    try:
        released = {part: course.released(part).read_bytes() for part in course.parts}
    except FileNotFoundError as error:
        raise CourseError(
            f"There is no {error.filename}: run `python -m score course release {course.folder}`"
            " first."
        ) from None
    return _Plan(course, settings, released, config)
