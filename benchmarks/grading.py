"""How fast a class is graded, and what that costs beyond the rollouts: `make bench-class`.

All that is compared was measured in the same run. On two cores with nothing else to do it takes
about half an hour, of which ten minutes go to one whole submission of a hundred episodes and to the
same episodes bare.
"""

import argparse
import contextlib
import functools
import io
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import torch
from nbgrader.api import Gradebook

from benchmarks.__main__ import ROOT, _processor
from pusht.checkpoint import SUFFIX, load_checkpoint
from pusht.chunks import as_range
from pusht.rollout import reproducible
from score import rubric
from score.course.collect.collect import run_collect
from score.course.grading import audit, results, workers
from score.course.grading.cache_keys import kit_version
from score.course.sandbox import levels
from score.course.settings import ASSIGNMENT, create
from score.course.tools.reference import answer_of, reference_path
from score.rollouts.evaluate import called, score_policy
from score.rollouts.policies import asked

_SIZES = (10, 20, 40, 60)
# A start from which the diffusion policy is done in 46 steps: in class what a notebook costs
# besides its rollouts is measured.
_NEAR = 27_935
_WANTED = {100: 240, 10: 60}  # s
_STAGES = ("cells", "questions", "rollouts", "audit", "film", "other")


# Grading, as the command line does it.


def _write(files, folder):
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)


def _graded(course, jobs):
    """(seconds, peak of the resident memory of all its processes together) of `score course grade`
    from its start to its end.
    """
    command = [
        sys.executable,
        "-m",
        "score",
        "course",
        "grade",
        str(course.folder),
        "--jobs",
        str(jobs),
    ]
    with tempfile.TemporaryFile("w+") as told:
        started, peak = time.monotonic(), 0
        process = subprocess.Popen(
            command, stdout=told, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, cwd=ROOT
        )
        while True:
            with contextlib.suppress(subprocess.TimeoutExpired):
                code = process.wait(0.5)
                break
            peak = max(peak, _resident(process.pid))
        seconds = time.monotonic() - started
        if code:
            told.seek(0)
            sys.exit(told.read()[-2000:])
    return seconds, peak


def _resident(pid):
    total = 0
    with contextlib.suppress(psutil.Error):
        for process in (psutil.Process(pid), *psutil.Process(pid).children(recursive=True)):
            with contextlib.suppress(psutil.Error):
                total += process.memory_info().rss
    return total


def _results(course):
    return {
        student: results.load(course.folder / "results", student) for student in course.students()
    }


def _points(course):
    with Gradebook(course.gradebook) as book:
        return {
            (submission.student.id, notebook.name, entry.name): (
                entry.auto_score,
                entry.needs_manual_grade,
            )
            for submission in book.assignment_submissions(ASSIGNMENT)
            for notebook in submission.notebooks
            for entry in notebook.grades
        }


# A class.


def a_class(folder, students, alone, episodes):
    """Grade `students` submissions at 2 jobs, handed in by and by, and the first `alone` of them at
    1 job.
    """
    from benchmarks.submissions import submissions

    kinds, spoilt = {}, {}
    for student, kind, files, parts in submissions(students, levels.strictest()):
        kinds[student], spoilt[student] = kind, parts
        _write(files, folder / "export" / student)
    one, two = (
        create(folder / f"jobs{jobs}", first_seed=_NEAR, episodes=episodes) for jobs in (1, 2)
    )
    for course in (one, two):
        with open(
            course.folder / "nbgrader_config.py", "a"
        ) as config:  # short, for the endless loops
            config.write(
                "get_config().Execute.notebook_seconds ="
                f" {55 + 5 * episodes}\nget_config().Execute.memory_bytes = {2**31}\n"
            )
    started = time.monotonic()
    with contextlib.redirect_stdout(io.StringIO()):
        run_collect(
            two.folder, shutil.make_archive(str(folder / "export"), "zip", folder / "export")
        )
    print(
        f"\n{students} submissions of four notebooks, episodes of each policy: {episodes}, the"
        " first from a start near the goal; packed and collected in"
        f" {time.monotonic() - started:.0f} s.\n"
    )
    (two.folder / "submitted").rename(folder / "submitted")
    _head(
        "jobs",
        "submissions handed in",
        "s",
        "s each",
        "s each so far",
        "submissions per hour so far",
        "peak memory, GB",
    )
    single = _handed_in_by_and_by(one, folder / "submitted", [min(alone, students)], 1)
    double = _handed_in_by_and_by(
        two, folder / "submitted", [size for size in _SIZES if size < students] + [students], 2
    )
    again = _graded(two, 2)[0]
    (count, slow), last = single.popitem(), max(double)
    print(
        f"\nOf {count} submissions 2 jobs grade {slow / double.get(count, double[last]):.2f} times"
        " as many an hour as 1 (wanted: at least 1.8). One costs"
        f" {double[last] / double[min(double)]:.2f} times as much among {last} as among"
        f" {min(double)}. A run with nothing new: {again:.1f} s."
    )
    told, alike = _results(two), _points(one).items() <= _points(two).items()
    print(
        f"The gradebook at 1 job is that at 2: {'yes' if alike else 'NO'}. Notebooks without a"
        f" result: {4 * students - sum(map(len, told.values()))} of {4 * students}.\n"
    )
    _stages(told.values())
    print()
    _head(
        "kind",
        "submissions",
        "as expected",
        "question points of spoilt notebooks",
        "notebooks stopped",
        "remarks",
        "s each",
    )
    for kind in dict.fromkeys(kinds.values()):
        some = {student: found for student, found in told.items() if kinds[student] == kind}
        parts = [part for found in some.values() for part in found.values()]
        points = [_questions(part) for part in parts if part.part in spoilt[part.student]]
        right = sum(
            _expected(found, spoilt[student], folder / "submitted" / student / ASSIGNMENT)
            for student, found in some.items()
        )
        _row(
            kind,
            len(some),
            right,
            f"{min(points):g} to {max(points):g}" if points else "",
            sum(bool(part.stopped) for part in parts),
            sum(len(part.flags) for part in parts),
            f"{sum(map(_seconds, some.values())) / len(some):.1f}",
        )


def _handed_in_by_and_by(course, submitted, sizes, jobs):
    """Grade each time that so many are handed in; return {how many: seconds of each so far}."""
    total, found, students = 0, {}, sorted(submitted.iterdir())
    for before, size in zip([0, *sizes], sizes):
        for student in students[before:size]:
            shutil.copytree(student, course.folder / "submitted" / student.name)
        seconds, peak = _graded(course, jobs)
        total += seconds
        found[size] = total / size
        _row(
            jobs,
            f"{before + 1} to {size}",
            f"{seconds:.0f}",
            f"{seconds / (size - before):.1f}",
            f"{found[size]:.1f}",
            f"{3600 / found[size]:.0f}",
            f"{peak / 1e9:.1f}",
        )
    return found


def _questions(result):
    asked_for = {
        f"part{rubric.PARTS[result.part].number}-{question.cell}"
        for question in rubric.PARTS[result.part].questions
    }
    return sum(cell.points for name, cell in result.cells.items() if name in asked_for)


def _expected(told, spoilt, files):
    """Whether questions lost points in the spoilt parts alone, and policies were rolled out where
    their checkpoint is whole.
    """
    for name, part in rubric.PARTS.items():
        if name not in told or (
            _questions(told[name]) == sum(question.points for question in part.questions)
        ) == (name in spoilt):
            return False
        for policy in part.policies:
            file, whole = (
                files / (policy.name + SUFFIX),
                reference_path(policy, "shipped").stat().st_size,
            )
            if name not in spoilt and (policy.name in told[name].rollouts) != (
                file.exists() and file.stat().st_size == whole
            ):
                return False
    return True


# One submission.


def one_submission(folder, episodes):
    """Grade a right submission of all parts at 2 jobs for each number of episodes; roll the last
    one's out bare.
    """
    from benchmarks.submissions import right

    print("\nOne right submission, 2 jobs, from the start of the command.\n")
    _head("episodes", "s", "wanted", "peak memory, GB")
    courses = {}
    for count in episodes:
        course = courses[count] = create(
            folder / f"whole{count}", first_seed=rubric.GRADED_FIRST_SEED, episodes=count
        )
        _write(right(), course.folder / "submitted" / "s" / ASSIGNMENT)
        seconds, peak = _graded(course, 2)
        _row(
            count,
            f"{seconds:.0f}",
            f"≤ {_WANTED[count]}" if count in _WANTED else "",
            f"{peak / 1e9:.1f}",
        )
    for count, course in courses.items():
        print(f"\nEpisodes: {count}.\n")
        _stages(_results(course).values())
    told = _results(course)["s"]
    rollouts = {
        name: record for result in told.values() for name, record in result.rollouts.items()
    }
    slowest_first = sorted(
        rubric.POLICIES, key=lambda name: name != "part3_ddpm"
    )  # as when they are graded
    started, bare = time.monotonic(), {}
    tasks = ((name, count) for name in slowest_first)
    for (name, _), got in workers.completed(
        _bare, tasks, functools.partial(workers.processes, 2, folder), 2
    ):
        if isinstance(got, BaseException):
            raise got
        bare[name] = got
    print(
        f"\nThe same episodes, {count} of each policy, by the kit's own inference, two processes"
        f" side by side ({time.monotonic() - started:.0f} s):\n"
    )
    _head(
        "policies",
        "bare rollouts and inference, s",
        "graded: rollouts, s",
        "graded: all, s",
        "over bare",
        "same scores",
    )
    for part, result in told.items():
        names = [policy.name for policy in rubric.PARTS[part].policies]
        seconds = sum(bare[name][0] for name in names)
        same = all(
            name in rollouts and rollouts[name].per_episode == bare[name][1] for name in names
        )
        _row(
            part,
            f"{seconds:.1f}",
            f"{result.seconds['rollouts']:.1f}",
            f"{_seconds({part: result}):.1f}",
            f"{_seconds({part: result}) / seconds - 1:.0%}",
            "yes" if same else "no",
        )
    seconds = sum(got[0] for got in bare.values())
    _row(
        "all",
        f"{seconds:.1f}",
        f"{sum(result.seconds['rollouts'] for result in told.values()):.1f}",
        f"{_seconds(told):.1f}",
        f"{_seconds(told) / seconds - 1:.0%} (wanted: under 25 %)",
        "",
    )


def _bare(task):
    """(seconds, largest rewards) of a policy's episodes with nothing around them."""
    name, count = task
    policy = rubric.POLICIES[name]
    (part,) = (part.name for part in rubric.PARTS.values() if policy in part.policies)
    checkpoint = load_checkpoint(reference_path(policy, "shipped"), policy.normalisation)
    model, infer = asked(policy, answer_of(audit.solution(part), policy))
    checkpoint.restore(model)
    with reproducible(0):
        started = time.monotonic()
        score = score_policy(
            policy,
            called(policy, infer),
            as_range(checkpoint.stats),
            range(rubric.GRADED_FIRST_SEED, rubric.GRADED_FIRST_SEED + count),
        )
        return time.monotonic() - started, score.per_episode


# Tables.


def _head(*names):
    _row(*names)
    _row(*["---"] * len(names))


def _row(*values):
    print(f"| {' | '.join(map(str, values))} |", flush=True)


def _stages(students):
    """Seconds by part and stage, of a submission on average."""
    students = list(students)
    _head("s a submission", *_STAGES, "all")
    rows = {
        part: [
            sum(told[part].seconds.get(stage, 0.0) for told in students if part in told)
            / len(students)
            for stage in _STAGES
        ]
        for part in rubric.PARTS
    }
    for name, times in [*rows.items(), ("all", [sum(column) for column in zip(*rows.values())])]:
        _row(name, *(f"{seconds:.1f}" for seconds in times), f"{sum(times):.1f}")


def _seconds(told):
    return sum(sum(result.seconds.values()) for result in told.values())


def main():
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.grading", description="Print how fast a class is graded."
    )
    parser.add_argument(
        "--only",
        choices=("class", "full"),
        help="the class, or one full submission (default: both)",
    )
    parser.add_argument(
        "--students",
        type=int,
        default=_SIZES[-1],
        help="submissions in the class (default: %(default)s)",
    )
    parser.add_argument(
        "--alone",
        type=int,
        default=10,
        help="how many of them are graded at 1 job too (default: %(default)s)",
    )
    parser.add_argument(
        "--episodes", type=int, default=1, help="of each policy in the class (default: %(default)s)"
    )
    parser.add_argument(
        "--full",
        type=int,
        nargs="+",
        default=[10, 100],
        metavar="EPISODES",
        help="of one submission (default: 10 100)",
    )
    options = parser.parse_args()
    print(
        f"{_processor()}, {os.cpu_count()} cores, Python {platform.python_version()}, torch"
        f" {torch.__version__}; isolation: {levels.strictest().name}; kit {kit_version()}",
        flush=True,
    )
    with tempfile.TemporaryDirectory(prefix="pusht-bench-") as folder:
        if options.only != "full":
            a_class(Path(folder), options.students, options.alone, options.episodes)
        if options.only != "class":
            one_submission(Path(folder), options.full)


if __name__ == "__main__":
    main()
