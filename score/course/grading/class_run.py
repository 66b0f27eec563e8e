"""Grade a class: notebooks side by side in processes of their own, the results kept as they come,
the gradebook written here alone.

Stopped at any moment, the same command goes on where it was: what has a result is not graded again,
and the gradebook is made to agree with the results whenever this runs. In the course's folder:

    results/STUDENT/PART.json   what everything else here is made from
    autograded/STUDENT/pusht/   the graded notebooks and films, for nbgrader's pages
    feedback/STUDENT/pusht/     feedback.html, to hand back
    gradebook.db, grades.csv, report.html
"""

import contextlib
import csv
import functools
import hashlib
import io
import itertools
import json
import os
import shutil
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import filelock
import nbgrader.apps
from nbgrader.api import Gradebook
from nbgrader.utils import parse_utc
from tqdm import tqdm
from traitlets.config import Config

from score import rubric
from score.course.grading import results, workers
from score.course.grading.notebook import (
    Task,
    grade_part,
    kit_version,
    nbgrader_config,
    rollout_key,
    task_key,
    ungraded,
)
from score.course.nbgrader import gradebook
from score.course.nbgrader.preprocessors import hand_in_file
from score.course.report import similarity
from score.course.report.class_page import class_page
from score.course.report.feedback import feedback
from score.course.report.page import pages_version
from score.course.sandbox import levels
from score.course.settings import ASSIGNMENT, CourseError
from score.hw1.layout import PACKED, graded_files

_SCRATCH = "pusht-grading-"


@dataclass(frozen=True)
class Grade:
    """One test cell's outcome in one submission: its points as nbgrader counts them, what a person
    entered included.
    """

    student: str
    notebook: str
    cell: str
    points: float
    max_points: float
    reason: str


def nbgrader_api(course):
    """nbgrader's own API with the course's configuration: what its command line does in the
    course's folder.
    """
    return nbgrader.apps.NbGraderAPI(config=Config(nbgrader_config(course.folder)))


def grade_course(course, students=None, parts=None, *, jobs=1, scheduler=None, executor=None):
    """Grade what lies in submitted/ and has no result yet; return the list of `Grade` of these
    students.

    students, parts: only these. jobs: processes on this machine. scheduler: address of a Dask
    scheduler, whose workers are used in their place. executor: any other of `concurrent.futures`,
    which is given `jobs` tasks at a time.
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
    students = sorted(set(students)) if students else handed_in
    with (
        _alone(course) as scratch,
        Gradebook(course.gradebook) as book,
        contextlib.ExitStack() as stack,
    ):
        if scheduler:
            executor, jobs = stack.enter_context(workers.cluster(scheduler))
        open_executor = (
            functools.partial(contextlib.nullcontext, executor)
            if executor
            else functools.partial(workers.processes, jobs, scratch)
        )
        gradebook.complete(book)
        failed = _grade(course, book, students, parts or rubric.PARTS, open_executor, jobs)
        _write_class(course, book, failed)
        return _grades(course, book, students, failed)


def _grade(course, book, students, parts, open_executor, width):
    """Grade what has no result; return {(student, part): `PartResult`} of those that a failure of
    the grader's left without.
    """
    shared, failed = _shared(course), {}
    parts = sorted(
        parts, key=lambda part: -rubric.PARTS[part].grading_time
    )  # so that at the end nobody waits for a long one
    waiting = {
        student: [part for part in parts if _stale(course, shared, student, part)]
        for student in students
    }
    for student in students:
        if not waiting[student]:
            _conclude(course, book, shared, student, failed)
    tasks = (
        _task(course, shared, student, part)
        for student in students
        for part in tuple(waiting[student])
    )
    total = sum(map(len, waiting.values()))
    print(
        f"{total} notebooks to grade"
        + ("." if total else ": nothing has changed since they were graded."),
        flush=True,
    )
    with tqdm(
        total=total,
        unit="notebook",
        file=sys.stdout,
        smoothing=0.05,
        mininterval=0.5 if sys.stdout.isatty() else 60,
        disable=not total,
    ) as bar:
        for task, got in workers.completed(grade_part, tasks, open_executor, width):
            if isinstance(got, BaseException):
                failed[task.student, task.part] = _failure(task, got)
                bar.write(
                    f"{task.student}, {task.part}: {failed[task.student, task.part].flags[0]}"
                )
                bar.set_postfix_str(f"{len(failed)} failed")
            else:
                _record(course, got)
            waiting[task.student].remove(task.part)
            if not waiting[task.student]:
                _conclude(course, book, shared, task.student, failed)
            bar.update()
    return failed


@contextlib.contextmanager
def _alone(course):
    """A folder for temporary files, gone afterwards, while no other run grades this course; that of
    a run that was killed goes now.
    """
    note = course.folder / ".grading"
    try:
        with filelock.FileLock(note.with_suffix(".lock"), timeout=0):
            if note.exists() and (left := Path(note.read_text())).name.startswith(_SCRATCH):
                shutil.rmtree(left, ignore_errors=True)
            with tempfile.TemporaryDirectory(
                prefix=_SCRATCH, ignore_cleanup_errors=True
            ) as scratch:
                os.chmod(
                    scratch, 0o711
                )  # kernels with a user of their own reach their folders through it
                note.write_text(scratch)
                yield scratch
            note.unlink()
    except filelock.Timeout:
        raise CourseError(
            f"{course.folder} is being graded already: wait for that, or stop it."
        ) from None


def _failure(task, error):
    """Not a result to keep: the next run tries again. What went wrong is not for the student."""
    result = ungraded(
        task.student,
        task.part,
        "The grader failed at this notebook, through no fault of yours: it will be graded again.",
    )
    return replace(result, flags=[f"The grader failed: {type(error).__name__}: {error}"])


# What is graded.


@dataclass(frozen=True)
class _Shared:
    """What the tasks of a run share: the course's files, the held-out seeds, and by part what its
    results depend on.
    """

    files: dict
    seeds: str
    settings: dict
    config: Config


def _shared(course):
    config = (course.folder / "nbgrader_config.py").read_bytes()
    files = {
        "gradebook.db": gradebook.without_students(course),
        "nbgrader_config.py": config,
        "course.toml": (course.folder / "course.toml").read_bytes(),
    }
    settings = {
        part: config + (course.folder / "release" / ASSIGNMENT / f"{part}.ipynb").read_bytes()
        for part in rubric.PARTS
    }
    return _Shared(
        files, f"{course.first_seed} {course.episodes}", settings, nbgrader_config(course.folder)
    )


def _submission(course, student, part):
    """A part's files by name; empty where its notebook was not handed in."""
    folder = course.folder / "submitted" / student / ASSIGNMENT
    if not (folder / f"{part}.ipynb").is_file():
        return {}
    files = [
        folder / f"{part}.ipynb",
        *(
            file
            for name in graded_files(rubric.PARTS[part])
            if (file := hand_in_file(folder / name))
        ),
    ]
    return {file.name: file.read_bytes() for file in files}


def _stale(course, shared, student, part):
    submission, known = (
        _submission(course, student, part),
        results.load(course.folder / "results", student).get(part),
    )
    if (
        known
        and PACKED in submission
        and known.box == levels.LEVELS[-1].name
        and levels.strictest() is not levels.LEVELS[-1]
    ):
        return True  # it was not loaded for want of a box
    return bool(submission) and (
        known is None or known.key != task_key(shared.settings[part], shared.seeds, submission)
    )


def _task(course, shared, student, part):
    submission, known = (
        _submission(course, student, part),
        results.load(course.folder / "results", student).get(part),
    )
    films = course.folder / "autograded" / student / ASSIGNMENT
    again = {}
    if known and known.rollouts:
        again = {
            name: record
            for name, record in known.rollouts.items()
            if (films / record.film).is_file()
            and record.key == rollout_key(rubric.POLICIES[name], shared.seeds, submission)
        }
    return Task(
        student,
        part,
        submission,
        shared.files,
        shared.seeds,
        kit_version(),
        task_key(shared.settings[part], shared.seeds, submission),
        again,
    )


# What becomes of it.


def _record(course, graded):
    """Keep a graded notebook and its films, and last the result: without it they are made again."""
    result = graded.result
    folder = course.folder / "autograded" / result.student / ASSIGNMENT
    folder.mkdir(parents=True, exist_ok=True)
    kept = {*graded.files, *(record.film for record in result.rollouts.values())}
    for name in [
        f"{result.part}.ipynb",
        *(f"{policy.name}_rollouts.mp4" for policy in rubric.PARTS[result.part].policies),
    ]:
        if name not in kept:
            (folder / name).unlink(missing_ok=True)
    for name, content in graded.files.items():
        results.put(folder / name, content)
    results.save(result, course.folder / "results")


def _results(course, student, failed):
    """{part: `PartResult`} of all parts: with the reason where there is none."""
    found = results.load(course.folder / "results", student)
    for part in rubric.PARTS:
        if not (course.folder / "submitted" / student / ASSIGNMENT / f"{part}.ipynb").is_file():
            found[part] = ungraded(student, part, f"{part}.ipynb was not handed in.")
        elif (student, part) in failed:
            found[part] = failed[student, part]
        elif part not in found:
            found[part] = ungraded(student, part, "It has not been graded yet.")
    return {part: found[part] for part in rubric.PARTS}


def _conclude(course, book, shared, student, failed):
    """Bring the gradebook and the feedback of a student up to the results."""
    found = _results(course, student, failed)
    stamp = course.folder / "submitted" / student / ASSIGNMENT / "timestamp.txt"
    gradebook.merge(
        book,
        student,
        found,
        parse_utc(stamp.read_text().strip()) if stamp.exists() else None,
        shared.config,
    )
    found, hand = _with_penalties(book, found), gradebook.by_hand(book, student)
    made_of = hashlib.sha256(
        repr((pages_version(), found, sorted(hand.items()))).encode()
    ).hexdigest()
    path, note = (
        course.folder / "feedback" / student / ASSIGNMENT / "feedback.html",
        f"<!-- {made_of} -->\n",
    )
    if not path.exists() or not path.read_text(encoding="utf-8").startswith(note):
        page = feedback(student, found, hand, course.folder / "autograded" / student / ASSIGNMENT)
        results.put(path, (note + page).encode())


def _with_penalties(book, found):
    student = next(iter(found.values())).student
    penalties = gradebook.scores(book, student)[1]
    return {part: replace(result, late_penalty=penalties[part]) for part, result in found.items()}


def _grades(course, book, students, failed):
    found = []
    for student in students:
        points, hand = gradebook.scores(book, student)[0], gradebook.by_hand(book, student)
        for part, result in _results(course, student, failed).items():
            for cell, entry in result.cells.items():
                entered = hand.get((part, cell))
                reason = (
                    entry.sentence
                    if entered is None or entered.score is None
                    else f"Graded by a person. {entered.comment}".strip()
                )
                found.append(
                    Grade(student, part, cell, points[part, cell], entry.max_points, reason)
                )
    return found


def _write_class(course, book, failed):
    """grades.csv and report.html of all students that have been graded so far."""
    students = [student for student in course.students() if gradebook.has(book, student)]
    results.put(course.folder / "grades.csv", _csv(course, book, students).encode())
    graded = {
        student: _with_penalties(book, _results(course, student, failed)) for student in students
    }
    repairs = {
        path.stem: json.loads(path.read_text(encoding="utf-8"))
        for path in sorted((course.folder / "repairs").glob("*.json"))
    }
    page = class_page(
        course.folder.name,
        graded,
        {student: gradebook.by_hand(book, student) for student in students},
        repairs,
        similarity.find(course),
        remarks(course) + [(*key, flag) for key, result in failed.items() for flag in result.flags],
    )
    results.put(course.folder / "report.html", page.encode())


def _csv(course, book, students):
    text = io.StringIO()
    out = csv.writer(text, lineterminator="\n")
    cells = [
        (part.name, f"part{part.number}-{entry.cell}")
        for part in rubric.PARTS.values()
        for entry in part.graded()
    ]
    out.writerow(
        ["student", *(short_name(*cell) for cell in cells), "late_penalty", "total", "look_at"]
    )
    for student in students:
        points, penalties = gradebook.scores(book, student)
        out.writerow(
            [
                student,
                *(f"{points[cell]:.2f}" for cell in cells),
                f"{sum(penalties.values()):.2f}",
                f"{sum(points.values()) - sum(penalties.values()):.2f}",
                len(remarks(course, [student])),
            ]
        )
    return text.getvalue()


def remarks(course, students=None):
    """What an instructor should know of the graded notebooks beyond their points: (student,
    notebook, sentence), in order.
    """
    found = []
    for student in students or course.students():
        for part, result in results.load(course.folder / "results", student).items():
            stopped = [f"The notebook was stopped: {result.stopped}."] if result.stopped else []
            found += [(student, part, sentence) for sentence in [*stopped, *result.flags]]
    for path in sorted(
        (course.folder / "repairs").glob("*.json")
    ):  # of collected notebooks that cannot be read
        for part, told in json.loads(path.read_text(encoding="utf-8"))["parts"].items():
            if told["refused"] and (students is None or path.stem in students):
                found.append((path.stem, part, told["refused"]))
    return found


def table(grades):
    """The class as text: a row a student, a column a test cell."""
    cells = list(dict.fromkeys((g.notebook, g.cell) for g in grades))
    by_student = {}
    for grade in grades:
        by_student.setdefault(grade.student, {})[grade.notebook, grade.cell] = grade
    heads = ["student", *(short_name(*cell) for cell in cells), "total"]
    rows = [
        [
            student,
            *(f"{got[c].points:.2f}" for c in cells),
            f"{sum(g.points for g in got.values()):.2f}",
        ]
        for student, got in by_student.items()
    ]
    full = [next(g.max_points for g in grades if (g.notebook, g.cell) == c) for c in cells]
    rows.append(["of", *(f"{points:.2f}" for points in full), f"{sum(full):.2f}"])
    widths = [max(len(row[i]) for row in [heads, *rows]) for i in range(len(heads))]
    lines = [
        "  ".join(
            text.ljust(w) if i == 0 else text.rjust(w)
            for i, (text, w) in enumerate(zip(row, widths))
        )
        for row in [heads, *rows]
    ]
    lines.insert(1, "-" * len(lines[0]))
    return "\n".join(lines)


def reasons(grades):
    """Why points were lost, a line each; one for a notebook all of whose cells have the same
    reason.
    """
    lines = []
    for (student, notebook), group in itertools.groupby(
        grades, key=lambda grade: (grade.student, grade.notebook)
    ):
        group = list(group)
        if len({grade.reason for grade in group}) == 1 and group[0].points < group[0].max_points:
            lines.append(f"{student}, {rubric.PARTS[notebook].title}: {group[0].reason}")
            continue
        lines += [
            f"{student}, {short_name(notebook, grade.cell)}: {grade.points:.2f} of"
            f" {grade.max_points:.2f}. {grade.reason}"
            for grade in group
            if grade.points < grade.max_points
        ]
    return "\n".join(lines)


def short_name(notebook, cell):
    """A cell's name in tables: "Q1.2" of a question, "mlp" of a policy's rollouts, "curves" of an
    answer in words.
    """
    part, name = rubric.PARTS[notebook], cell.split("-", 1)[1]
    names = {question.cell: question.name for question in part.questions} | {
        p.cell: p.method for p in part.policies
    }
    return names.get(name, name.removeprefix("report_"))
