"""Runs one notebook in the sandbox, has its checks judged outside, and puts the verdicts under its
test cells. The course's own grading and nbgrader's steps both call `execute`.
"""

import contextlib
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

from pusht.checkpoint import MAX_BYTES
from score import rubric
from score.course.grading import audit
from score.course.grading.question_server import QuestionServer, checks
from score.course.grading.results import RolloutResult, entries_by_cell, verdict_worth
from score.course.grading.sanitise.graded import clean_outputs
from score.course.grading.sanitise.submitted import check_id, may_change
from score.course.sandbox import levels
from score.course.sandbox.kernel import SandboxedKernel, folder_for_sockets
from score.course.sandbox.whose import GraderFailure, errors_of, raise_lacks
from score.course.settings import Limits, RunSettings
from score.protocol import one_line
from score.rerun.shell import EXPLAINED
from score.submission.formats import graded_files, needs_sandbox
from score.verdict import MIME, Verdict

_EARLIER = " An earlier cell failed or is missing."
# Run in the kernel before the first cell, without a name of its own there.
_PREPARE = "__import__('score.rerun.shell', fromlist=['install']).install({})"
NOT_REACHED = "The notebook was stopped before this check"  # begins the sentence of a verdict


@dataclass(frozen=True)
class Execution:
    """What running a notebook came to.

    cells: verdicts by test cell. rollouts: by policy's name, new ones without their key. sandbox:
    name of the isolation level. stopped: why the notebook was stopped, "" if it was not. seconds:
    by stage. flags: for the instructor alone.
    """

    cells: dict[str, Verdict]
    rollouts: dict[str, RolloutResult]
    sandbox: str
    stopped: str
    seconds: dict[str, float]
    flags: list[str]


def execute(
    notebook: NotebookNode,
    part: rubric.Part,
    folder: Path,
    settings: RunSettings,
    known: dict[str, RolloutResult] | None = None,
    level: levels.Level | None = None,
) -> Execution:
    """Run a part's notebook and change it in place to the graded one.

    folder: of the hand-in files; films are added to it. known: results of rollouts by policy's name
    that need not be done again. level: of isolation, the strictest that works when None.
    GraderFailure, or another error than the list in `whose` has, where it says nothing about the
    student's work.
    """
    level, started = level or levels.strictest(), time.monotonic()
    audit.solution(part.name)  # loaded now: it changes the folder, which a thread must not do
    with tempfile.TemporaryDirectory(prefix="pusht-", dir=folder_for_sockets()) as folder_name:
        private = levels.prepare(folder_name, level, _files(folder, part, level))
        server = QuestionServer(private / "s" / "grader", part, folder, settings, known or {})
        server.judge_given_networks()
        kernel = SandboxedKernel(notebook, private, level, _left(settings.limits, server.seconds))
        server.kernel_pid, server.end_kernel = kernel.pid, kernel.end
        with server, kernel.started():
            code = [cell for cell in notebook.cells if cell.cell_type == "code"]
            kernel.prepare(_PREPARE.format(repr([cell.source for cell in code])))
            _run(notebook, server, kernel)
        levels.end_what_was_left(level)
    cells, flags = _put_verdicts(notebook, part, server, kernel.stopped)
    raise_lacks(kernel.host.short, notebook, cells.values(), kernel.stopped)
    clean_outputs(notebook)
    seconds = time.monotonic() - started - sum(server.seconds.values())
    return Execution(
        cells,
        server.rollouts,
        level.name,
        kernel.stopped,
        {"cells": seconds} | server.seconds,
        flags,
    )


def _run(notebook: NotebookNode, server: QuestionServer, kernel: SandboxedKernel) -> None:
    """Run the cells of a notebook until its kernel is stopped or the judging has failed."""
    theirs = False
    for index, cell in enumerate(notebook.cells):
        if cell.cell_type != "code" or kernel.stopped or server.failure:
            continue
        with server.expecting(check_id(cell)):
            kernel.run(cell, index)
        theirs = theirs or "nbgrader" not in cell.metadata or may_change(cell)
        if not theirs and (errors := errors_of(cell)):
            raise GraderFailure(f"The kit's own first cells failed: {one_line(errors[0])[:200]}")


def _left(limits: Limits, seconds: dict[str, float]) -> Limits:
    """Return the limits of the kernel: the notebook's time without what rollouts have taken."""
    spent = int(sum(seconds.values()))
    return replace(limits, notebook_seconds=max(1, limits.notebook_seconds - spent))


def usable_files(folder: Path, part: rubric.Part) -> list[Path]:
    """Return the hand-in files of a part that are in a folder, without links and files that are
    larger than any of the kit's.
    """
    paths = [folder / name for name in graded_files(part)]
    return [
        path
        for path in paths
        if path.is_file() and not path.is_symlink() and path.stat().st_size <= MAX_BYTES
    ]


def _files(folder: Path, part: rubric.Part, level: levels.Level) -> list[Path]:
    """Return what is copied into the sandbox. Where there is none, the code and the pickles of a
    script assignment are not.
    """
    files = usable_files(folder, part)
    return [
        file for file in files if level is not levels.LEVELS[-1] or not needs_sandbox(file.name)
    ]


def _put_verdicts(
    notebook: NotebookNode, part: rubric.Part, server: QuestionServer, stopped: str
) -> tuple[dict[str, Verdict], list[str]]:
    """Put the ledger's verdicts under the test cells, in place of what the notebook printed there;
    return them by cell, with flags on the ledger's entries and on what a notebook claims beyond it.
    """
    cells, flags, of_part, entries = {}, [], checks(part), entries_by_cell(part)
    for cell in notebook.cells:
        name = check_id(cell)
        if name is None or name not in of_part:
            continue
        entry = server.ledger.get(name)
        why = "" if entry else _why_not_judged(cell, stopped, server.discreet)
        verdict = entry.verdict if entry else of_part[name].failed(why)
        verdict = verdict_worth(verdict, entries[name], server.rollouts)
        flags += [
            f"{name}: the notebook's own output claims {claim:g} points, the ledger has"
            f" {verdict.points:g}."
            for claim in sorted(set(_claims(cell)))
            if claim > verdict.points + 1e-6
        ]
        flags += entry.flags if entry else []
        cells[name] = verdict
        show_verdict(cell, verdict)
    for name, entry in server.ledger.items():  # of rollouts whose cell the notebook lacks
        if name not in cells:
            cells[name] = verdict_worth(entry.verdict, entries[name], server.rollouts)
            flags = flags + entry.flags
    return cells, flags


def show_verdict(cell: NotebookNode, verdict: Verdict) -> None:
    """Put a verdict under a test cell, in place of everything but errors."""
    errors = [output for output in cell.outputs if output.output_type == "error"]
    cell.outputs = [nbformat.v4.new_output("display_data", verdict.display()), *errors]


def _why_not_judged(cell: NotebookNode, stopped: str, discreet: bool) -> str:
    """Return why a test cell has no verdict. discreet: without the notebook's words."""
    if stopped:
        return f"{NOT_REACHED}: {stopped}."
    for output in cell.outputs:
        if output.output_type == "error":
            said = f"{one_line(output.ename)}: {one_line(output.evalue)}"
            error = "an error" if discreet else said.rstrip(".")
            told = "" if any(each in error for each in EXPLAINED) else _EARLIER
            return f"The check stopped with {error}.{told}"
    return "The check did not call the grader."


def _claims(cell: NotebookNode) -> Iterator[float]:
    """Yield the points that a test cell's outputs claim: by a verdict, or by a number as its
    result.
    """
    for output in cell.outputs:
        data = output.get("data", {})
        claimed: Any = data[MIME].get("points") if isinstance(data.get(MIME), dict) else None
        if claimed is None and output.output_type == "execute_result":
            claimed = data.get("text/plain")
        with contextlib.suppress(TypeError, ValueError):
            yield float(claimed)  # a student's notebook may claim anything
