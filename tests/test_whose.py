"""Whose a failure is: a list has what is the student's, and everything else is no grade."""

import errno
import json

import nbformat
import pytest

from pusht.machine import FILES, MEMORY, ROOM, shortages
from score import rubric
from score.course.collect.repair import repair
from score.course.notebooks import build
from score.course.sandbox.watch import host, watchdog
from score.course.sandbox.whose import is_at_answers, raise_lacks
from score.protocol import ProtocolError
from score.submission.failures import GraderFailure
from score.verdict import Verdict

PART = rubric.PARTS["part1_mlp"]


@pytest.mark.parametrize(
    "text, lacks",
    [
        ("OSError: [Errno 28] No space left on device: 'x'", {ROOM}),
        ("Error while opening: Too many open files (os error 24)", {FILES}),
        ("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes.", {MEMORY}),
        ("bc_loss raised MemoryError: no message.", {MEMORY}),
        ("mlp_inference raised ValueError: shapes differ.", set()),
    ],
)
def test_how_a_lack_is_said(text, lacks):
    assert shortages(text) == lacks


@pytest.mark.parametrize(
    "error", [ProtocolError("lied"), ValueError(), RuntimeError("shape '[2]'")]
)
def test_arrays_that_are_no_answer_cost_the_question(error):
    assert is_at_answers(error, memory_short=True)


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        RuntimeError("can't start new thread"),
        ImportError("libtorch.so: Too many open files"),
        NameError("a bug of the kit's"),
    ],
)
def test_what_is_not_in_the_list_costs_nothing(error):
    assert not is_at_answers(error, memory_short=False)


def test_memory_is_an_answers_own_limit_unless_the_machine_has_none():
    assert is_at_answers(MemoryError(), memory_short=False)
    assert not is_at_answers(MemoryError(), memory_short=True)


def lost(sentence):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("")])
    error = {"ename": "OSError", "evalue": sentence, "traceback": []}
    notebook.cells[0].outputs = [nbformat.v4.new_output("error", **error)]
    return notebook, [Verdict("Q1.1", 0.0, 1.0, f"mlp raised OSError: {sentence}")]


def test_a_lack_that_a_notebook_tells_of_counts_where_the_grader_has_measured_it():
    full = lost("[Errno 28] No space left on device")
    raise_lacks([], *full, "")  # of its own folder
    raise_lacks([FILES], *full, "")
    with pytest.raises(GraderFailure, match="too little room on the disk"):
        raise_lacks([ROOM], *full, "")
    raise_lacks([ROOM], *lost("[Errno 2] No such file"), "")


def test_only_a_notebook_that_is_stopped_for_a_reason_of_its_own_has_a_grade():
    nothing = lost("")
    raise_lacks([], *nothing, watchdog.DIED)
    for reason in (watchdog.UNWATCHED, watchdog.ENDED):
        with pytest.raises(GraderFailure, match="and not by itself"):
            raise_lacks([], *nothing, reason)


def test_a_machine_without_room_or_handles_grades_nothing(tmp_path, monkeypatch):
    host.check(tmp_path)
    monkeypatch.setattr(host, "LEAST_ROOM", 2**70)
    with pytest.raises(GraderFailure, match="make room"):
        host.check(tmp_path)
    monkeypatch.undo()
    monkeypatch.setattr(host.resource, "getrlimit", lambda kind: (40, 40))
    with pytest.raises(GraderFailure, match="ulimit"):
        host.check(tmp_path)


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(host, "_requirements", lambda: ["torch", "no-such-package"])
    with pytest.raises(GraderFailure, match="pip install no-such-package"):
        host.check(tmp_path)


# Submissions that did not come by `course collect`.


def _test_cell(notebook):
    return next(cell for cell in notebook.cells if cell.id == "part1-q1_2")


def _extra(notebook):
    cell = nbformat.v4.new_code_cell("1 + 1")
    cell.metadata["nbgrader"] = dict(_test_cell(notebook).metadata.nbgrader, grade_id="nobodys")
    notebook.cells.append(cell)


def _manual(notebook):
    _test_cell(notebook).metadata.nbgrader["solution"] = True


def _markdown(notebook):
    cell = _test_cell(notebook)
    cell.cell_type = "markdown"
    del cell["outputs"], cell["execution_count"]


def _deleted(notebook):
    notebook.cells.remove(_test_cell(notebook))


def _twice(notebook):
    notebook.cells.append(nbformat.from_dict(json.loads(json.dumps(_test_cell(notebook)))))


@pytest.mark.parametrize("change", [_extra, _manual, _markdown, _deleted, _twice])
def test_however_a_notebook_came_the_same_is_run(change):
    released, notebook = build.student_notebook(PART), build.answered_notebook(PART)
    change(notebook)
    by_hand, repairs = repair(nbformat.writes(notebook), released)
    collected, again = repair(nbformat.writes(by_hand), released)
    assert repairs and not again and collected == by_hand
    marked = [cell for cell in by_hand.cells if "nbgrader" in cell.metadata]
    right = [c for c in build.answered_notebook(PART).cells if "nbgrader" in c.metadata]
    assert [cell.source for cell in marked] == [cell.source for cell in right]
