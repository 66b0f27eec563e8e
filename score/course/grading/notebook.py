"""Grade one notebook of one student: a function of the files, run in a private folder with a
private gradebook.

It needs nothing of the course's folder and changes nothing there, so it runs in any process on any
machine that has the kit.
"""

import functools
import hashlib
import json
import re
import tempfile
import time
import warnings
from dataclasses import dataclass, replace
from pathlib import Path

import nbformat
from nbgrader.api import Gradebook
from nbgrader.apps import NbGraderAPI
from nbgrader.utils import is_grade
from sqlalchemy.exc import SAWarning
from traitlets.config import Config
from traitlets.config.loader import PyFileConfigLoader

import pusht
from pusht.resources import PACKAGES
from score import rubric
from score.course.grading.results import CellResult, PartResult, RolloutResult
from score.course.settings import ASSIGNMENT, CourseError

_BY_A_PERSON = "Answered in words: to be read by a person."
# What the episodes of a policy depend on, of the kit: not the rubric's points, which are worked out
# anew each time.
_ROLLING_OUT = (
    "pusht/**/*.py",
    "score/rollouts/policies.py",
    "score/rollouts/evaluate.py",
    "score/protocol.py",
    "score/hw1/*.py",
    "score/course/grading/question_server.py",
)
_SHAPES = ("name", "max_steps", "obs_horizon", "pred_horizon", "action_horizon", "normalisation")


@dataclass(frozen=True)
class Task:
    """A notebook to grade, with all that it takes.

    submission: its part's files by name. course: the course's by name: settings, nbgrader's
    configuration, and a gradebook with the assignment and no students. kit: the version that is to
    grade it. key: see `task_key`. known: policy's name -> `RolloutResult`, of rollouts that need
    not be done again.
    """

    student: str
    part: str
    submission: dict
    course: dict
    seeds: str
    kit: str
    key: str
    known: dict


@dataclass(frozen=True)
class Graded:
    """A `PartResult`, with the graded notebook and the films, by name."""

    result: PartResult
    files: dict


def task_key(settings, seeds, submission):
    """Of all that a result depends on: the files handed in, the course's settings of that part
    (bytes), the kit's code.
    """
    return _digest(_kit("**/*.py"), settings, seeds.encode(), *_named(submission))


def rollout_key(policy, seeds, submission):
    """Of what a policy's episodes depend on: its notebook's code, its part's weights, the held-out
    seeds, the kit's simulation.
    """
    shape = repr([getattr(policy, name) for name in _SHAPES])
    code = {
        name: _code(content) if name.endswith(".ipynb") else content
        for name, content in submission.items()
    }
    return _digest(_kit(*_ROLLING_OUT), shape.encode(), seeds.encode(), *_named(code))


def _code(content):
    try:
        cells = nbformat.reads(content.decode("utf-8"), as_version=4).cells
    except (ValueError, AttributeError, nbformat.ValidationError):  # it will not be run
        return content
    return json.dumps([cell.source for cell in cells if cell.cell_type == "code"]).encode()


def _named(files):
    return [part for name, content in sorted(files.items()) for part in (name.encode(), content)]


def _digest(*contents):
    total = hashlib.sha256()
    for content in contents:
        total.update(hashlib.sha256(content).digest())
    return total.hexdigest()


@functools.cache
def _kit(*patterns):
    """A digest of the kit's code."""
    roots = [PACKAGES / "pusht", PACKAGES / "score"]
    paths = {
        path
        for pattern in patterns
        for path in PACKAGES.glob(pattern)
        if any(root in path.parents for root in roots)
    }
    return _digest(
        *(
            content
            for path in sorted(paths)
            for content in (str(path.relative_to(PACKAGES)).encode(), path.read_bytes())
        )
    ).encode()


def kit_version():
    """The kit's version, with the beginning of its code's digest."""
    return f"{pusht.__version__} ({_kit('**/*.py')[:8].decode()})"


def grade_part(task):
    """Grade a `Task` with nbgrader and the course's configuration in a folder of its own; return
    what it came to, `Graded`.
    """
    started = time.monotonic()
    if task.kit != kit_version():
        raise CourseError(
            f"A worker has the kit in version {kit_version()} where the course is graded with"
            f" {task.kit}: install that one."
        )
    try:
        notebook = nbformat.reads(
            task.submission[f"{task.part}.ipynb"].decode("utf-8"), as_version=4
        )
        notebook.metadata.pop("pusht", None)  # where grading leaves what it found
    except (ValueError, AttributeError, nbformat.ValidationError) as error:
        return Graded(
            ungraded(
                task.student,
                task.part,
                f"{task.part}.ipynb cannot be read as a notebook ({str(error)[:100]}).",
                task.key,
            ),
            {},
        )
    with tempfile.TemporaryDirectory(prefix="pusht-") as private, warnings.catch_warnings():
        warnings.simplefilter("ignore", SAWarning)  # nbgrader's own, of no consequence
        course, home = Path(private), Path(private) / "submitted" / "student" / ASSIGNMENT
        home.mkdir(parents=True)
        course.chmod(0o711)  # a kernel with a user of its own reaches its folder through here
        for name, content in task.course.items():
            (course / name).write_bytes(content)
        for name, content in task.submission.items():
            (home / name).write_bytes(content)
        nbformat.write(notebook, home / f"{task.part}.ipynb")
        config = nbgrader_config(course)
        config.Execute.known = {
            name: {k: v for k, v in vars(known).items() if k != "key"}
            for name, known in task.known.items()
        }
        done = NbGraderAPI(config=Config(config)).autograde(ASSIGNMENT, "student")
        graded = course / "autograded" / "student" / ASSIGNMENT
        if not done["success"]:
            return Graded(
                ungraded(
                    task.student,
                    task.part,
                    f"nbgrader could not grade it: {_last_error(done)}",
                    task.key,
                ),
                {},
            )
        return _graded(task, graded, course, time.monotonic() - started)


def _graded(task, folder, course, seconds):
    notebook = nbformat.read(folder / f"{task.part}.ipynb", as_version=4)
    if "pusht" not in notebook.metadata:
        raise CourseError(
            "nbgrader took other steps than the course's: make nbgrader_config.py as `course"
            " create` writes it."
        )
    told = notebook.metadata.pusht
    written = {
        f"part{rubric.PARTS[task.part].number}-{entry.cell}"
        for entry in rubric.PARTS[task.part].written
    }
    with Gradebook(f"sqlite:///{course}/gradebook.db") as gradebook:
        unread = {
            grade.name
            for grade in gradebook.find_submission_notebook(task.part, ASSIGNMENT, "student").grades
            if grade.auto_score is None
        }
    result = ungraded(task.student, task.part, "The cell is missing.", task.key)
    cells = dict(result.cells)
    for cell in notebook.cells:
        if is_grade(cell) and (name := cell.metadata.nbgrader.grade_id) in cells:
            if name in written:
                cells[name] = replace(
                    cells[name],
                    written=name in unread,
                    sentence=_BY_A_PERSON if name in unread else "Nothing was written.",
                )
            else:
                cells[name] = CellResult(**told.cells[name])
    rollouts = {
        name: RolloutResult(
            rollout_key(rubric.POLICIES[name], task.seeds, task.submission),
            **record | {"interval": tuple(record["interval"])},
        )
        for name, record in told.rollouts.items()
    }
    stages = {**told.seconds, "nbgrader": seconds - sum(told.seconds.values())}
    files = {
        path.name: path.read_bytes()
        for path in folder.iterdir()
        if path.suffix in (".ipynb", ".mp4")
    }
    return Graded(
        replace(
            result,
            box=told.box,
            missing="",
            stopped=told.stopped,
            seconds=stages,
            flags=list(told.flags),
            cells=cells,
            rollouts=rollouts,
        ),
        files,
    )


def ungraded(student, part, missing, key=""):
    """The `PartResult` where there is nothing to grade, and why: no points."""
    part = rubric.PARTS[part]
    named = [
        *((entry.name, entry) for entry in part.questions),
        *((f"{entry.title} rollouts", entry) for entry in part.policies),
        *((f"{entry.name}, {entry.title}", entry) for entry in part.written),
    ]
    cells = {
        f"part{part.number}-{entry.cell}": CellResult(name, 0.0, float(entry.points), missing)
        for name, entry in named
    }
    return PartResult(
        student, part.name, key, kit_version(), "", "", missing, {}, [], 0.0, cells, {}
    )


def nbgrader_config(folder):
    """nbgrader's configuration as its own commands read it in a course's folder."""
    return PyFileConfigLoader("nbgrader_config.py", str(folder)).load_config()


def _last_error(result):
    """The last line that names an error, but for nbgrader's own, which says to look further up."""
    lines = f"{result.get('error') or ''}\n{result.get('log') or ''}".splitlines()
    errors = [
        line
        for line in lines
        if re.match(r"[\w.]+(Error|Exception|Timeout)\b", line) and "NbGraderException" not in line
    ]
    return (errors or [line for line in lines if line.strip()] or ["it failed without a word"])[
        -1
    ].strip()
