"""What runs on Gradescope for a submission: run_autograder starts a process of it for each step.

    python -m score.course.gradescope.run STEP COURSE SUBMISSION FOLDER RESULTS

The first step collects the files, each other one grades a part. A step keeps what it found in
FOLDER, a copy of the course, and writes results.json anew. Students see their points, the reasons,
and what was repaired or left out; flags are in a hidden entry.
"""

import json
import os
import re
import shutil
import sys
import time
import traceback
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import torch

from score import rubric
from score.course.collect.collect import collect
from score.course.collect.plan import plan
from score.course.gradescope.document import FAILED, Record, write_results
from score.course.grading import results
from score.course.grading.cache_keys import kit_version
from score.course.grading.notebook import Task, grade_part
from score.course.grading.results import PartResult, ungraded
from score.course.grading.rollouts import kept_for, spent
from score.course.nbgrader import configuration
from score.course.sandbox import levels
from score.course.settings import Course, CourseError, RunSettings, open_course
from score.submission.failures import Failures
from score.submission.formats import graded_files

SETTINGS = "gradescope.json"
# Seconds that are kept back: a stopped notebook comes to its end, the steps after it begin, and
# Gradescope has work of its own.
_RESERVE = 60
# What collecting and each notebook take beside the episodes [s], and how much of one core there is
# for these: of Gradescope's half, a tenth is kept back. What is left of the time, as its settings
# give it and not as the clock tells, decides the number of episodes: the clock would give the same
# submission one grade today and another one tomorrow.
_COLLECTING, _NOTEBOOK, _CORE = 20, 40, 0.45
_GROWTH = 64 * 2**20  # bytes by which this process grows while it grades a notebook
_NO_TIME = "There was no time left to grade it: tell your instructor."
_EPISODES = (
    "Each policy is rolled out in held-out episodes until its points are certain enough, or until"
    " it has had its share of the time."
)


PathName = str | os.PathLike[str]


def ordered(parts: Iterable[str]) -> list[str]:
    """Return parts in run_autograder's order: the one whose episodes take longest is last."""
    return sorted(parts, key=lambda name: rubric.PARTS[name].grading_time)


def step(
    name: str, sent: PathName, submission: PathName, folder: PathName, report_folder: PathName
) -> None:
    """Do one step, "collect" or a part's name; then write REPORT_FOLDER/results.json.

    Whatever happens, no traceback is shown to students.

    sent: the zip's course/. submission: folder with the files, named as the student. folder: where
        collecting makes a copy of the course, and where the steps keep what they found.
    """
    work, student = Path(folder), Path(submission).name
    goal = Path(report_folder) / "results.json"
    if name == "collect":
        shutil.copytree(sent, work)
        work.chmod(0o700)  # its name can be read off this process's command line
        record = Record(
            psutil.Process().create_time(), hidden=[f"The kit in version {kit_version()}."]
        )
    else:
        record = Record.read(work)
    try:
        if name == "collect":
            write_results(goal, work, student, record)
            _collect(work, Path(submission), record)
        else:
            _grade(work, student, name, record)
    except Exception as error:
        record.hidden.append(f"{name}: {traceback.format_exc()}")
        if name == "collect":
            record.public.append(str(error) if isinstance(error, CourseError) else FAILED)
        record.failed += [name] if name in rubric.PARTS else [*open_course(work).parts]
    record.write(work)
    write_results(goal, work, student, record)


def _collect(folder: Path, submission: Path, record: Record) -> None:
    """Take the submission's files into the course and write down what is missing or repaired."""
    course, student = open_course(folder), submission.name
    pattern = f"(?P<student>{re.escape(student)})/"  # all files are this student's
    failures = Failures()
    planned = plan(course, submission.parent, pattern, failures)
    uploads = [upload for upload in planned if upload.student]
    written = collect(course, submission.parent, pattern, uploads, failures)
    if failures:
        record.hidden += [failure.sentence for failure in failures]
        record.public.append(FAILED)
        record.failed += course.parts
        return
    collected = [found for _, found in written]
    record.public = [
        _EPISODES,
        *(remark for upload in uploads for remark in upload.remarks),
    ]
    for part in course.parts:
        missing: dict[str, Any] = {"refused": f"{part}.ipynb was not handed in.", "repairs": []}
        found = next((each["parts"][part] for each in collected if part in each["parts"]), missing)
        sentences = [found["refused"], *found["repairs"]]
        record.public += [f"{part}: {sentence}" for sentence in sentences if sentence]
        if found["refused"]:
            results.save(ungraded(student, part, found["refused"]), folder / "results")
    done = results.load(folder / "results", student)
    record.waiting = [part for part in ordered(course.parts) if part not in done]


def _grade(folder: Path, student: str, part: str, record: Record) -> None:
    """Grade a part within the time that the parts after it can spare, and keep the result."""
    settings = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
    record.waiting.remove(part)
    left = settings["minutes"] * 60 - _RESERVE - (time.time() - record.started)
    seconds = int(left - sum(map(_least_seconds, record.waiting)))
    if seconds < 1:
        results.save(ungraded(student, part, _NO_TIME), folder / "results")
        return
    level = levels.strictest()
    if level is levels.LEVELS[-1]:
        raise CourseError(
            "Nothing keeps students' code from what grades it: can others than root start"
            f" {sys.executable}?"
        )
    course = open_course(folder)
    done = results.load(folder / "results", student)
    counted = counted_seconds(settings["minutes"], done, record.waiting, len(course.parts))
    run_settings = replace(_run_settings(course, seconds, settings["megabytes"]), seconds=counted)
    found = course.submission(student, course.assignment_of(part))
    files = {
        name: (found / name).read_bytes()
        for name in (f"{part}.ipynb", *graded_files(rubric.PARTS[part]))
        if (found / name).is_file()
    }
    released = course.released(part).read_bytes()
    keys = {policy.name: "" for policy in rubric.PARTS[part].policies}  # nothing is graded again
    task = Task(
        student, part, files, released, run_settings, kit_version(), "", keys, {}, course.points
    )
    try:
        graded = grade_part(task)
        results.save(graded.result, folder / "results")
    finally:
        levels.end_what_was_left(level)  # the next part's process gives its kernel another user


def counted_seconds(
    minutes: float, done: Mapping[str, PartResult], waiting: Collection[str], parts: int
) -> float:
    """Return the seconds that the episodes of the next part may count, as the rubric counts them.

    done: the results so far, by part. waiting: the parts after it. parts: how many there are.
    """
    beside = _RESERVE + _COLLECTING + parts * _NOTEBOOK
    used = sum(spent(result.rollouts) for result in done.values())
    later = [policy for part in waiting for policy in rubric.PARTS[part].policies]
    return (minutes * 60 - beside) * _CORE - used - kept_for(later)


def _least_seconds(part: str) -> float:
    """Return the seconds by the clock that are kept for a part."""
    return _NOTEBOOK + kept_for(rubric.PARTS[part].policies) / _CORE


def _run_settings(course: Course, seconds: int, megabytes: int) -> RunSettings:
    """Return the settings of one notebook's run, within its share of time and memory; CourseError
    where a notebook that does nothing wrong would have too little memory.
    """
    own = psutil.Process().memory_info()
    # The kernel counts the pages that are shared, torch's code above all, as the notebook's.
    free = (megabytes << 20) - (own.rss - own.shared) - _GROWTH
    if free < own.rss:  # a kernel that has imported torch is as large as this process
        raise CourseError(
            f"A notebook needs {own.rss >> 20} MB here and would have {max(0, free) >> 20}: build"
            " the zip with more --megabytes and give the container as much, or let setup.sh install"
            " torch's CPU build, which is half as large."
        )
    limits = configuration.limits(configuration.read(course.folder))
    limits = replace(limits, notebook_seconds=seconds, memory_bytes=free)
    return RunSettings(course.seed, course.episodes, filmed=0, limits=limits, at_once=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    step(*sys.argv[1:])
