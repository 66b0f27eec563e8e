"""Print how fast a class is graded, and what grading costs beyond the rollouts: `make bench-class`.

All that is compared is measured in the same run. It takes about half an hour on two cores with
nothing else to do. Ten minutes of it go to one submission of 100 episodes and to the same episodes
rolled out bare.
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
from collections.abc import Iterable
from pathlib import Path

import psutil
import torch
from nbgrader.api import Gradebook

from benchmarks.__main__ import ROOT, processor
from pusht.checkpoint import SUFFIX, load_checkpoint
from pusht.episodes import reproducible
from score import rubric
from score.course.class_run import workers
from score.course.collect.collect import run_collect
from score.course.grading import audit, results
from score.course.grading.cache_keys import kit_version
from score.course.grading.results import PartResult
from score.course.nbgrader.release import create
from score.course.notebooks.solutions import answer_of, reference_path
from score.course.sandbox import levels
from score.course.settings import ASSIGNMENT, Course
from score.rollouts.evaluate import score_until_certain
from score.rollouts.policies import guarded_inference, inference_of

_SIZES = (10, 20, 40, 60)
# From this seed's start the diffusion policy is done in 46 steps: a class measures what a notebook
# costs besides its rollouts.
_NEAR = 27_935
_WANTED = {100: 240, 10: 60}  # s
_STAGES = ("cells", "questions", "rollouts", "audit", "film", "other")


# Grading, as the command does it.


def _write(files: dict[str, bytes], folder: Path) -> None:
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)


def _graded(course: Course, jobs: int) -> tuple[float, int]:
    """Run `score course grade`; return its seconds, and its processes' peak memory in bytes."""
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
    with tempfile.TemporaryFile("w+") as printed:
        started, peak = time.monotonic(), 0
        process = subprocess.Popen(
            command, stdout=printed, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, cwd=ROOT
        )
        while True:
            with contextlib.suppress(subprocess.TimeoutExpired):
                code = process.wait(0.5)
                break
            peak = max(peak, _resident(process.pid))
        seconds = time.monotonic() - started
        if code:
            printed.seek(0)
            sys.exit(printed.read()[-2000:])
    return seconds, peak


def _resident(pid: int) -> int:
    total = 0
    with contextlib.suppress(psutil.Error):
        for process in (psutil.Process(pid), *psutil.Process(pid).children(recursive=True)):
            with contextlib.suppress(psutil.Error):
                total += process.memory_info().rss
    return total


def _results(course: Course) -> dict[str, dict[str, PartResult]]:
    return {
        student: results.load(course.folder / "results", student) for student in course.students()
    }


def _points(course: Course) -> dict[tuple[str, str, str], tuple[float, bool]]:
    """Return {(student, notebook, cell): (points, whether a person is to grade it)}."""
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


def a_class(folder: Path, students: int, alone: int, episodes: int) -> None:
    """Grade `students` submissions with 2 jobs, as they come in, and the first `alone` with 1."""
    from benchmarks.submissions import submissions

    kinds, spoilt = {}, {}
    for student, kind, files, parts in submissions(students, levels.strictest()):
        kinds[student], spoilt[student] = kind, parts
        _write(files, folder / "export" / student)
    one, two = (
        create(folder / f"jobs{jobs}", first_seed=_NEAR, episodes=episodes) for jobs in (1, 2)
    )
    for course in (one, two):
        with (course.folder / "nbgrader_config.py").open("a") as config:
            # A short limit, because some notebooks loop for ever.
            config.write(f"get_config().Execute.notebook_seconds = {55 + 5 * episodes}\n")
            config.write(f"get_config().Execute.memory_bytes = {2**31}\n")
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
    single = _graded_as_they_come(one, folder / "submitted", [min(alone, students)], 1)
    double = _graded_as_they_come(
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
    found, alike = _results(two), _points(one).items() <= _points(two).items()
    print(
        f"The gradebook at 1 job is that at 2: {'yes' if alike else 'NO'}. Notebooks without a"
        f" result: {4 * students - sum(map(len, found.values()))} of {4 * students}.\n"
    )
    _stages(found.values())
    print()
    _by_kind(found, kinds, spoilt, folder / "submitted")


def _by_kind(
    found: dict[str, dict[str, PartResult]],
    kinds: dict[str, str],
    spoilt: dict[str, set[str]],
    submitted: Path,
) -> None:
    """Print a line for each kind of submission. All dictionaries are by student."""
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
        some = {student: graded for student, graded in found.items() if kinds[student] == kind}
        parts = [part for graded in some.values() for part in graded.values()]
        points = [_questions(part) for part in parts if part.part in spoilt[part.student]]
        right = sum(
            _as_expected(graded, spoilt[student], submitted / student / ASSIGNMENT)
            for student, graded in some.items()
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


def _graded_as_they_come(
    course: Course, submitted: Path, sizes: list[int], jobs: int
) -> dict[int, float]:
    """Grade whenever so many are handed in; return {how many: seconds for each one so far}."""
    total, found, students = 0.0, {}, sorted(submitted.iterdir())
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


def _questions(result: PartResult) -> float:
    """Return the points for the questions, without those for the rollouts."""
    cells = {
        f"part{rubric.PARTS[result.part].number}-{question.cell}"
        for question in rubric.PARTS[result.part].questions
    }
    return sum(cell.points for name, cell in result.cells.items() if name in cells)


def _as_expected(graded: dict[str, PartResult], spoilt: set[str], files: Path) -> bool:
    """Return whether only the spoilt parts lost points for questions, and every policy with a whole
    checkpoint was rolled out.
    """
    for name, part in rubric.PARTS.items():
        if name not in graded or (
            _questions(graded[name]) == sum(question.points for question in part.questions)
        ) == (name in spoilt):
            return False
        for policy in part.policies:
            file, whole = (
                files / (policy.name + SUFFIX),
                reference_path(policy, "shipped").stat().st_size,
            )
            if name not in spoilt and (policy.name in graded[name].rollouts) != (
                file.exists() and file.stat().st_size == whole
            ):
                return False
    return True


# One submission.


def one_submission(folder: Path, episodes: list[int]) -> None:
    """Grade a right submission with 2 jobs, for each number of episodes; then roll out the last
    number of episodes bare.
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
    graded = _results(course)["s"]
    rollouts = {
        name: record for result in graded.values() for name, record in result.rollouts.items()
    }
    slowest_first = sorted(
        rubric.POLICIES, key=lambda name: name != "part3_ddpm"
    )  # as when they are graded
    started, bare = time.monotonic(), {}
    tasks = ((name, count) for name in slowest_first)
    for (name, _), outcome in workers.completed(
        _bare, tasks, functools.partial(workers.processes, 2, folder), 2
    ):
        if isinstance(outcome, BaseException):
            raise outcome
        bare[name] = outcome
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
    for part, result in graded.items():
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
    seconds = sum(took for took, _ in bare.values())
    _row(
        "all",
        f"{seconds:.1f}",
        f"{sum(result.seconds['rollouts'] for result in graded.values()):.1f}",
        f"{_seconds(graded):.1f}",
        f"{_seconds(graded) / seconds - 1:.0%} (wanted: under 25 %)",
        "",
    )


def _bare(task: tuple[str, int]) -> tuple[float, list[float]]:
    """Roll out a policy's episodes and nothing else; return the seconds and the largest rewards.

    task: the policy's name, and the most episodes.
    """
    name, count = task
    policy = rubric.POLICIES[name]
    (part,) = (part.name for part in rubric.PARTS.values() if policy in part.policies)
    checkpoint = load_checkpoint(reference_path(policy, "shipped"), policy.normalisation)
    model, infer = inference_of(policy, answer_of(audit.solution(part), policy))
    checkpoint.restore(model)
    with reproducible(0):
        started = time.monotonic()
        first = rubric.GRADED_FIRST_SEED
        score = score_until_certain(
            policy,
            guarded_inference(policy, infer),
            checkpoint,
            lambda seeds: range(first, first + seeds),
            lambda one_by_one: count,
            kept=0,
        )
        return time.monotonic() - started, score.per_episode


# Tables.


def _head(*names: str) -> None:
    _row(*names)
    _row(*["---"] * len(names))


def _row(*values: object) -> None:
    print(f"| {' | '.join(map(str, values))} |", flush=True)


def _stages(students: Iterable[dict[str, PartResult]]) -> None:
    """Print the mean seconds of a submission by part and stage."""
    students = list(students)
    _head("s a submission", *_STAGES, "all")
    rows = {
        part: [
            sum(parts[part].seconds.get(stage, 0.0) for parts in students if part in parts)
            / len(students)
            for stage in _STAGES
        ]
        for part in rubric.PARTS
    }
    for name, times in [*rows.items(), ("all", [sum(column) for column in zip(*rows.values())])]:
        _row(name, *(f"{seconds:.1f}" for seconds in times), f"{sum(times):.1f}")


def _seconds(parts: dict[str, PartResult]) -> float:
    return sum(sum(result.seconds.values()) for result in parts.values())


def main() -> None:
    """Measure what the options ask for, and print each table as it is measured."""
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
        f"{processor()}, {os.cpu_count()} cores, Python {platform.python_version()}, torch"
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
