"""Grading on Gradescope: a course's autograder as a zip, and what runs there for each submission.

    python -m score gradescope build COURSE     writes COURSE/gradescope.zip: setup.sh,
    run_autograder, kit/, course/

It is the class's own grading, with fewer episodes and without films: `collect` takes the files and
repairs the notebooks, `grade_part` grades them, in the strictest box that works there, and not
where none does. run_autograder makes a process of each step, which leaves what it found in a copy
of the course and writes results.json anew. Students see points, reasons, and what was repaired or
left out; flags are in a hidden entry. Points for answers in words are not in it: a person gives
them, by a rubric of Gradescope's.
"""

import json
import re
import shutil
import stat
import sys
import time
import traceback
import zipfile
from dataclasses import replace
from pathlib import Path

import psutil
import torch

from pusht.files import write_whole
from score import rubric
from score.course.collect.collect import collect, plan
from score.course.grading import results
from score.course.grading.cache_keys import kit_version
from score.course.grading.notebook import Task, grade_part
from score.course.grading.results import ungraded
from score.course.nbgrader import configuration
from score.course.notebooks.build import ROOT
from score.course.sandbox import levels
from score.course.settings import ASSIGNMENT, CourseError, RunSettings, open_course
from score.hw1.layout import graded_files

EPISODES, MINUTES, MEGABYTES = (
    10,
    10,
    768,
)  # of a submission; the latter two are Gradescope's own where nothing else is chosen
# The parts in run_autograder's order, with their shares of the time that is left.
SHARES = {
    part.name: part.grading_time
    for part in sorted(rubric.PARTS.values(), key=lambda part: part.grading_time)
}
_KIT = (
    "pusht/**/*.py",
    "score/**/*.py",
    "score/**/*.json",
    "score/course/*/templates/*",
    "losses/**/*.pkl",
    "data/*.zarr.zip",
    "notebooks/source/*.py",
    "pyproject.toml",
    "requirements.lock",
    "LICENSE",
)
_TEMPLATES = Path(__file__).parent / "templates"
_SETTINGS, _REPORT = "gradescope.json", "report.json"
# s: a notebook that is stopped comes to its end, the steps after it begin, and Gradescope has work
# of its own
_RESERVE = 60
_GROWTH = 64 * 2**20  # bytes that the grader takes beyond what it holds before a notebook
_WAITS = (
    "Not graded yet. Where this stays, the time or the memory that Gradescope allows did not"
    " suffice: tell your instructor."
)
_NO_TIME = "There was no time left to grade it: tell your instructor."
_FAILED = "The grader failed, through no fault of yours: tell your instructor."
_BY_A_PERSON = (
    "Answered in words, for a person to read. What it is worth, {:g}, is not among the autograder's"
    " points."
)


# The zip.


def build(course, path=None, *, episodes=EPISODES, minutes=MINUTES, megabytes=MEGABYTES):
    """Write a course's autograder for Gradescope, by default to COURSE/gradescope.zip; return its
    path.

    episodes: held-out ones of each policy, the first of the course's. minutes, megabytes: what the
    assignment's settings there allow a submission. The same course and kit give the same bytes.
    """
    path = Path(path or course.folder / "gradescope.zip")
    steps = " ".join(SHARES).encode()
    files = {
        name: (_TEMPLATES / name).read_bytes().replace(b"{{parts}}", steps)
        for name in ("setup.sh", "run_autograder")
    }
    for pattern in _KIT:
        for file in sorted(ROOT.glob(pattern)):
            if file.is_file() and "__pycache__" not in file.parts:
                files[f"kit/{file.relative_to(ROOT).as_posix()}"] = file.read_bytes()
    settings = (
        f"bundle = {json.dumps(course.bundle)}\nfirst_seed = {course.first_seed}\nepisodes ="
        f" {episodes}\n"
    )
    files["course/course.toml"] = settings.encode()
    files["course/nbgrader_config.py"] = (course.folder / "nbgrader_config.py").read_bytes()
    files[f"course/{_SETTINGS}"] = json.dumps({"minutes": minutes, "megabytes": megabytes}).encode()
    for part in rubric.PARTS:
        released = course.folder / "release" / ASSIGNMENT / f"{part}.ipynb"
        if not released.is_file():
            raise CourseError(
                f"There is no {released}: run `python -m score course release {course.folder}`"
                " first."
            )
        files[f"course/release/{ASSIGNMENT}/{part}.ipynb"] = released.read_bytes()
    part_file = path.with_name(path.name + ".part")
    with zipfile.ZipFile(part_file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            info = zipfile.ZipInfo(name, date_time=(2020, 1, 1, 0, 0, 0))
            info.external_attr = (stat.S_IFREG | (0o755 if "/" not in name else 0o644)) << 16
            archive.writestr(info, content, zipfile.ZIP_DEFLATED)
    part_file.replace(path)
    return path


# A submission.


def step(name, sent, submission, folder, report_folder):
    """Take a submission's files ("collect"), or grade a part of them; then write
    REPORT_FOLDER/results.json.

    sent: the zip's course/. folder: a copy of it, which collecting makes and which holds what is
    known so far. Whatever happens, no traceback is shown to students.
    """
    folder, student, goal = (
        Path(folder),
        Path(submission).name,
        Path(report_folder) / "results.json",
    )
    if name == "collect":
        shutil.copytree(sent, folder)
        folder.chmod(0o700)  # its name can be read off this process's command line
        note = {
            "started": psutil.Process().create_time(),
            "told": [],
            "aside": [f"The kit in version {kit_version()}."],
            "waiting": [],
        }
    else:
        note = json.loads((folder / _REPORT).read_text())
    try:
        if name == "collect":
            _write(goal, folder, student, note)
            _collect(folder, Path(submission), note)
        else:
            _grade(folder, student, name, note)
    except Exception as error:
        note["aside"].append(f"{name}: {traceback.format_exc()}")
        if name in rubric.PARTS:
            results.save(ungraded(student, name, _FAILED), folder / "results")
        else:
            note["told"].append(str(error) if isinstance(error, CourseError) else _FAILED)
    write_whole(folder / _REPORT, json.dumps(note).encode())
    _write(goal, folder, student, note)


def _collect(folder, submission, note):
    course, pattern = (
        open_course(folder),
        f"(?P<student>{re.escape(submission.name)})/",
    )  # all that is there is one student's
    uploads = [upload for upload in plan(course, submission.parent, pattern) if upload.student]
    records = [record for _, record in collect(course, submission.parent, pattern, uploads)]
    note["told"] = [
        f"Each policy is rolled out for {course.episodes} held-out episodes.",
        *(remark for upload in uploads for remark in upload.remarks),
    ]
    for part in rubric.PARTS:
        told = next(
            (record["parts"][part] for record in records if part in record["parts"]),
            {"refused": f"{part}.ipynb was not handed in.", "repairs": []},
        )
        note["told"] += [
            f"{part}: {sentence}" for sentence in [told["refused"], *told["repairs"]] if sentence
        ]
        if told["refused"]:
            results.save(ungraded(submission.name, part, told["refused"]), folder / "results")
    note["waiting"] = [
        part for part in SHARES if part not in results.load(folder / "results", submission.name)
    ]


def _grade(folder, student, part, note):
    settings, found = (
        json.loads((folder / _SETTINGS).read_text()),
        folder / "submitted" / student / ASSIGNMENT,
    )
    left = settings["minutes"] * 60 - _RESERVE - (time.time() - note["started"])
    seconds = int(left * SHARES[part] / sum(SHARES[other] for other in note["waiting"]))
    note["waiting"].remove(part)
    if seconds < 1:
        results.save(ungraded(student, part, _NO_TIME), folder / "results")
        return
    course, limits = open_course(folder), configuration.limits(configuration.read(folder))
    own = psutil.Process().memory_info()
    free = (
        (settings["megabytes"] << 20) - (own.rss - own.shared) - _GROWTH
    )  # what is shared, torch's code above all, the kernel counts
    limits = replace(limits, notebook_seconds=seconds, memory_bytes=free)
    run_settings = RunSettings(course.first_seed, course.episodes, filmed=0, limits=limits)
    files = {
        name: (found / name).read_bytes()
        for name in (f"{part}.ipynb", *graded_files(rubric.PARTS[part]))
        if (found / name).is_file()
    }
    if levels.strictest() is levels.LEVELS[-1]:
        raise CourseError(
            "Nothing keeps students' code from what grades it: can others than root start"
            f" {sys.executable}?"
        )
    released = course.released(part).read_bytes()
    keys = {policy.name: "" for policy in rubric.PARTS[part].policies}  # nothing is graded again
    task = Task(student, part, files, released, run_settings, kit_version(), "", keys, {})
    try:
        results.save(grade_part(task).result, folder / "results")
    finally:
        levels.end_what_was_left(
            levels.strictest()
        )  # the next part's process gives its kernel another user


# results.json.


def _write(goal, folder, student, note):
    found = {part: ungraded(student, part, _WAITS) for part in rubric.PARTS} | results.load(
        folder / "results", student
    )
    tests = [
        _test(part, entry, found[part.name].cells[f"part{part.number}-{entry.cell}"])
        for part in rubric.PARTS.values()
        for entry in part.graded()
    ]
    aside = list(note["aside"])
    for part, result in found.items():
        aside += [f"{part}: {flag}" for flag in result.flags]
        if result.sandbox:
            stages = ", ".join(
                f"{stage} {seconds:.0f} s" for stage, seconds in result.seconds.items()
            )
            aside.append(f'{part}: kept apart by "{result.sandbox}"; {stages}.')
    stopped = [
        f"{part}: the notebook was stopped: {result.stopped}."
        for part, result in found.items()
        if result.stopped
    ]
    document = {
        "score": round(sum(test.get("score", 0.0) for test in tests), 4),
        "output": "\n".join([*note["told"], *stopped]),
        "execution_time": round(time.time() - note["started"]),
        "visibility": "visible",
        "stdout_visibility": "hidden",
        "tests": [
            *tests,
            {"name": "For the instructor", "output": "\n".join(aside), "visibility": "hidden"},
        ],
    }
    write_whole(goal, json.dumps(document, indent=1).encode())


def _test(part, entry, cell):
    """A test cell's entry; without a score where a person is to give it, so that the total is the
    autograder's own.
    """
    told = {
        "name": entry.title,
        "number": entry.name.lstrip("Q"),
        "output": cell.sentence,
        "tags": [part.name],
        "visibility": "visible",
    }
    if entry in part.written:
        return told | {"output": _BY_A_PERSON.format(entry.points)}
    if entry in part.policies:
        told |= {"name": f"{cell.name}, {entry.label}", "number": str(part.number)}
    return told | {
        "score": round(cell.points, 4),
        "max_score": cell.max_points,
        "status": "passed" if cell.points >= cell.max_points else "failed",
    }


if __name__ == "__main__":
    torch.set_num_threads(1)
    step(*sys.argv[1:])
