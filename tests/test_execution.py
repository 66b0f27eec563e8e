"""One notebook's way through the core: what is restored before it is run, what running it leaves
under its cells, and what stops it.
"""

import json

import nbformat
import pytest
from courses import create
from nbgrader import preprocessors as stock

from score import rubric
from score.course.grading.cache_keys import kit_version
from score.course.grading.execution import execute
from score.course.grading.notebook import Task, grade_part
from score.course.grading.sanitise.submitted import check_id, empty_answers, read_notebook, sanitise
from score.course.notebooks import build
from score.course.sandbox import kernel
from score.course.settings import ASSIGNMENT, Limits, RunSettings

PART = rubric.PARTS["part1_mlp"]
WORDS = rubric.PARTS["part4_flow"]
SETTINGS = RunSettings(20_000, 2)


@pytest.fixture
def released():
    return build.student_notebook(PART)


def cell_of(notebook, cell_id):
    return next(cell for cell in notebook.cells if cell.id == cell_id)


def mangled(released):
    """A submission in which whatever nbgrader would restore was changed."""
    notebook = nbformat.from_dict(released)
    test, answer = cell_of(notebook, "part1-q1_2"), cell_of(notebook, "part1-bc_loss")
    test.source, test.metadata.nbgrader["points"] = "5.0", 100
    answer.cell_type, answer.source = "markdown", "# [part1/bc_loss] answer Q1.2\nbc_loss = 1"
    del answer["outputs"], answer["execution_count"]
    locked = cell_of(notebook, "part1-imports")
    locked.source, locked.metadata.nbgrader["locked"] = "import os", False
    cell_of(notebook, "part1-setup").outputs = [nbformat.v4.new_output("stream", text="x")]
    notebook.metadata["kernelspec"] = {"name": "other", "display_name": "Other"}
    return notebook


def test_what_students_cannot_change_is_as_nbgraders_own_steps_leave_it(tmp_path, released):
    course = create(tmp_path / "course", first_seed=20_000, episodes=2)
    theirs, own = mangled(released), mangled(released)
    resources = {
        "nbgrader": {
            "notebook": PART.name,
            "assignment": ASSIGNMENT,
            "db_url": course.gradebook,
        }
    }
    for step in (stock.ClearOutput, stock.OverwriteKernelspec, stock.OverwriteCells):
        theirs, _ = step().preprocess(theirs, resources)
    sanitise(own, read_notebook(course.released(PART.name).read_bytes()))
    assert own.metadata.kernelspec == theirs.metadata.kernelspec
    for mine, other in zip(own.cells, theirs.cells, strict=True):
        assert (mine.cell_type, mine.source) == (other.cell_type, other.source)
        assert mine.get("outputs") == other.get("outputs")
        names = ["grade", "solution", "points", "grade_id"]
        mine, other = (cell.metadata.get("nbgrader", {}) for cell in (mine, other))
        names += ["checksum"] * ("checksum" in mine)  # a released practice cell has none
        assert [mine.get(name) for name in names] == [other.get(name) for name in names]


def test_what_a_student_changed_in_a_practice_cell_stays(released):
    notebook = nbformat.from_dict(released)
    cell_of(notebook, "part1-train").source += "\ncriterion = nn.MSELoss()"
    cell_of(notebook, "part1-q1_1").source = "# [part1/q1_1] practice"
    sanitise(notebook, released)
    assert cell_of(notebook, "part1-train").source.endswith("criterion = nn.MSELoss()")
    assert cell_of(notebook, "part1-q1_1").source == cell_of(released, "part1-q1_1").source


def test_of_two_cells_with_an_id_the_last_counts_and_an_unknown_one_is_ordinary(released):
    notebook = nbformat.from_dict(released)
    test = cell_of(notebook, "part1-q1_1")
    forged = nbformat.from_dict(test)
    forged.metadata.nbgrader["grade_id"] = "part1-q9_9"
    notebook.cells = [nbformat.from_dict(test), forged, *notebook.cells]
    sanitise(notebook, released)
    assert [check_id(cell) for cell in notebook.cells[:2]] == [None, None]
    checks = [check_id(cell) for cell in notebook.cells if check_id(cell)]
    assert checks == [check_id(cell) for cell in released.cells if check_id(cell)]


def test_an_answer_in_words_is_empty_until_it_is_changed():
    released = build.student_notebook(WORDS)
    notebook = nbformat.from_dict(released)
    words = [f"part4-{entry.cell}" for entry in WORDS.written]
    assert {*words} <= empty_answers(notebook, released)
    cell_of(notebook, words[0]).source += " It falls."
    assert {*words} & empty_answers(notebook, released) == {*words[1:]}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{ not a notebook",
        b"\xff\xfe",
        b"[]",
        b"null",
        b"{}",
        b'{"nbformat": 4, "nbformat_minor": 5, "metadata": {}}',
        b'{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": 3}',
        b'{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [{}]}',
        b'{"nbformat": 4, "nbformat_minor": 5, "metadata": [], "cells": []}',
        b"[" * 100_000,
    ],
)
def test_what_is_no_notebook_earns_nothing_for_that_reason(content, released):
    submission = {"part1_mlp.ipynb": content}
    original = nbformat.writes(released).encode()
    task = Task("ann", PART.name, submission, original, SETTINGS, kit_version(), "", {}, {})
    graded = grade_part(task)
    assert "part1_mlp.ipynb cannot be graded" in graded.result.missing
    assert {verdict.points for verdict in graded.result.cells.values()} == {0}


@pytest.mark.parametrize("metadata", [{"nbgrader": 3}, {"nbgrader": {"grade_id": [1]}}, {"x": {}}])
def test_hostile_metadata_makes_a_cell_an_ordinary_one(metadata, released):
    notebook = nbformat.from_dict(released)
    for cell in notebook.cells:
        cell.metadata = nbformat.from_dict(metadata)
    notebook = read_notebook(json.dumps(notebook).encode())
    sanitise(notebook, released)
    assert not [cell for cell in notebook.cells if check_id(cell)]


# Running.


def run(folder, *sources, **limits):
    """(the executed notebook, its `Execution`) of cells of which the last is Q1.1's test."""
    notebook = nbformat.v4.new_notebook()
    given = "# [part1/code] given\n"  # which runs as it is
    notebook.cells = [
        nbformat.v4.new_code_cell(source if source.startswith("#") else given + source)
        for source in sources
    ]
    notebook.cells.append(cell_of(build.student_notebook(PART), "part1-q1_1"))
    settings = RunSettings(20_000, 2, limits=Limits(**limits))
    execution = execute(notebook, PART, folder, settings)
    return notebook, execution


def test_a_cell_that_raises_or_takes_too_long_does_not_stop_the_others(tmp_path):
    notebook, execution = run(
        tmp_path,
        "import sys, time\nprint('out')\nprint('err', file=sys.stderr)",
        "while True: time.sleep(0.1)",
        "print('\\n' * 5000)",
        "# [part1/look] practice\nprint('not when graded')",
        "def deep(n): return deep(n - 1) if n else 1 / 0\ndeep(500)",
        "mlp_dims = None",
        cell_seconds=4,
    )
    printed, slow, long, practice, deep, *_, test = (cell.outputs for cell in notebook.cells)
    assert [output.text for output in printed] == ["out\n"]
    assert [output.ename for output in slow if output.output_type == "error"]
    assert long[0].text.endswith("... Output truncated ...") and long[0].text.count("\n") == 999
    assert practice == []
    assert "ZeroDivisionError" in deep[0].ename and len(deep[0].traceback) <= 100
    verdict = execution.cells["part1-q1_1"]
    assert execution.stopped == "" and verdict.points == 0
    assert test[0].data == verdict.display() and execution.sandbox


_FORGED = """
kernel = get_ipython().kernel
parent = kernel.get_parent("shell")
kernel.session.send(kernel.iopub_socket, "display_data", {}, parent=parent)"""
_BUFFERS = """
import time
kernel = get_ipython().kernel
kernel.session.send(kernel.iopub_socket, "comm_msg", {}, buffers=[bytes(2**24)] * 20)
time.sleep(20)"""
_DISPLAY = "from IPython.display import display; display"


@pytest.mark.parametrize(
    "source, reason",
    [
        ("import os\nos._exit(1)", "the kernel died"),
        ("while True: print('x' * 10**5)", "its outputs are larger than 1 MB"),
        # What would take many times its room in the grader, and what comes beside the output.
        (f"{_DISPLAY}({{'application/json': [[]] * 10**6}}, raw=True)", "its outputs are larger"),
        (_FORGED, "the kernel sent what is no message (KeyError)"),
        (_BUFFERS, "its outputs are larger than 1 MB"),
        ("held = [bytearray(b'x' * 2**20) for _ in range(3000)]", "it took more memory than"),
        pytest.param(
            "import time\ntime.sleep(100)", "it took longer than 30 s", marks=pytest.mark.long
        ),
        ("get_ipython().kernel.iopub_thread.stop()", "the kernel no longer answered"),
    ],
)
def test_a_notebook_that_is_stopped_says_why_and_earns_no_more(
    tmp_path, monkeypatch, source, reason
):
    monkeypatch.setattr(kernel, "LAST_OUTPUT_SECONDS", 4)
    limits = {"notebook_seconds": 30, "memory_bytes": 2 * 2**30, "output_bytes": 2**20}
    _, execution = run(tmp_path, source, **limits)
    assert reason in execution.stopped
    sentence = execution.cells["part1-q1_1"].sentence
    assert sentence == f"The notebook was stopped before this check: {execution.stopped}."
