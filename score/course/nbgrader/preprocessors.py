"""nbgrader's steps as this course takes them: small transforms of one notebook's cells, put into
nbgrader's lists by `configure`.
"""

import contextlib
import os
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import asdict
from pathlib import Path

import nbformat
import psutil
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from nbclient.exceptions import DeadKernelError
from nbgrader import preprocessors as stock
from nbgrader.utils import is_grade
from traitlets import Dict, Integer

from pusht.checkpoint import MAX_BYTES
from score import rubric
from score.cells import clear_solutions, read_marker
from score.course.grading import audit
from score.course.grading.question_server import FILMED, Grader, expected
from score.course.sandbox import levels
from score.hw1.layout import PACKED, graded_files
from score.verdict import MIME, Verdict

_LOOK_EVERY = 0.2  # s
_SOCKET_FOLDER_BYTES = 2**20


class ClearNamedSolutions(stock.NbGraderPreprocessor):
    """Replace each solution by an error that names its question."""

    def preprocess_cell(self, cell, resources, cell_index):
        cell.source = clear_solutions(cell.source)
        return cell, resources


class _BoxedKernelManager(AsyncKernelManager):
    """Starts its kernel in a box, with sockets in a folder of the run's own and not ports that
    others could listen to.
    """

    def put_into(self, private, level):
        self._private, self._level = private, level
        self.transport, self.connection_file = "ipc", str(private / "s" / "kernel.json")
        # Interrupts come as messages: no signal reaches into the box.
        self._kernel_spec = KernelSpec(
            argv=[sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
            language="python",
            display_name="Python 3",
            interrupt_mode="message",
        )

    async def _async_launch_kernel(self, kernel_cmd, **options):
        # What it writes past IPython is nobody's: a flood of it would fill the terminal or the
        # disk.
        await super()._async_launch_kernel(
            kernel_cmd, **options, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def format_kernel_cmd(self, extra_arguments=None):
        command = super().format_kernel_cmd(extra_arguments)
        if self._level.own_user:
            os.chown(self.connection_file, levels.user_id(), levels.user_id())
        return levels.boxed(
            command, self._private, self._level, {"NBGRADER_EXECUTION": "autograde"}
        )


class Execute(stock.Execute):
    """Run a submission in a box, without the cells that are for the student's eyes only, and have
    its checks judged outside.

    What became of it is left in `resources["pusht"]`: the ledger, the box, and why the notebook was
    stopped if it was.
    """

    first_seed = Integer(help="first of the held-out seeds").tag(config=True)
    episodes = Integer(help="number of held-out episodes").tag(config=True)
    notebook_seconds = Integer(3600, help="of a notebook, all its cells together").tag(config=True)
    memory_bytes = Integer(4 * 2**30, help="of all processes of a notebook together").tag(
        config=True
    )
    output_bytes = Integer(10 * 2**20, help="of all outputs of a notebook together").tag(
        config=True
    )
    filmed = Integer(FILMED, help="of a policy's episodes, how many").tag(config=True)
    known = Dict(
        help="policy -> what rolling it out came to, where nothing that it depends on has changed"
    ).tag(config=True)

    def __init__(self, *args, level=None, **options):
        super().__init__(*args, **options)
        self._level = level

    def preprocess(self, nb, resources=None, km=None):
        submission, level, started = (
            Path(resources["metadata"]["path"]),
            self._level or levels.strictest(),
            time.monotonic(),
        )
        self._stopped, self._output_bytes = "", 0
        part = rubric.PARTS[resources["nbgrader"]["notebook"]]
        audit.solution(part.name)  # now, and not in the grader's thread
        files = [file for name in graded_files(part) if (file := hand_in_file(submission / name))]
        if (
            level is levels.LEVELS[-1]
        ):  # no box: src/ and pickles of the script assignment stay outside
            files = [file for file in files if file.name != PACKED]
        with tempfile.TemporaryDirectory(prefix="pusht-", dir=short_folder()) as private:
            self._private, self._level = levels.prepare(private, level, files), level
            grader = Grader(
                str(self._private / "s" / "grader"),
                submission,
                self.first_seed,
                self.episodes,
                dict(self.known),
                self.filmed,
            )
            with grader as self._grader, self._watched():
                with contextlib.suppress(
                    DeadKernelError
                ):  # before the first cell; `_stopped` says why
                    nb, resources = super().preprocess(nb, resources, km)
            levels.end_what_was_left(level)
        seconds = grader.seconds | {
            "cells": time.monotonic() - started - sum(grader.seconds.values())
        }
        resources["pusht"] = {
            "ledger": {cell: asdict(entry) for cell, entry in grader.ledger.items()},
            "rollouts": grader.rollouts,
            "box": level.name,
            "stopped": self._stopped,
            "seconds": seconds,
        }
        return nb, resources

    def create_kernel_manager(self):
        self.kernel_manager_class = _BoxedKernelManager
        manager = super().create_kernel_manager()
        manager.put_into(self._private, self._level)
        return manager

    def preprocess_cell(self, cell, resources, index):
        marker = read_marker(cell.source)
        if self._stopped or (marker and marker.kind in ("practice", "extension")):
            return cell, resources
        self._grader.expect(cell.metadata.nbgrader["grade_id"] if is_grade(cell) else None)
        try:
            return super().preprocess_cell(cell, resources, index)
        except DeadKernelError:
            self._stop("the kernel died")
            return cell, resources
        finally:
            self._grader.expect(None)

    def process_message(self, msg, cell, cell_index):
        self._output_bytes += len(str(msg["content"]))
        if self._output_bytes > self.output_bytes:
            self._stop(f"its outputs are larger than {self.output_bytes >> 20} MB")
            return None
        return super().process_message(msg, cell, cell_index)

    def _stop(self, reason):
        self._stopped = self._stopped or reason
        self._kill()

    def _kill(self):
        for process in self._processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()

    def _processes(self):
        pid = getattr(getattr(self.km, "provisioner", None), "pid", None)
        try:
            first = psutil.Process(pid) if pid else None
            return [*first.children(recursive=True), first] if first else []
        except psutil.NoSuchProcess:
            return []

    @contextlib.contextmanager
    def _watched(self):
        done = threading.Event()
        watch = threading.Thread(
            target=self._watch, args=(done, time.monotonic() + self.notebook_seconds), daemon=True
        )
        watch.start()
        try:
            yield
        finally:
            done.set()
            watch.join()

    def _watch(self, done, deadline):
        over = (
            0  # looks in a row: a process that starts another one seems twice as large for a moment
        )
        while not done.wait(_LOOK_EVERY):
            over = over + 1 if _resident(self._processes()) > self.memory_bytes else 0
            if time.monotonic() > deadline:
                self._stop(f"it took longer than {self.notebook_seconds} s")
            elif over > 1:
                self._stop(f"it took more memory than {self.memory_bytes >> 20} MB")
            elif _held(self._private / "s") > _SOCKET_FOLDER_BYTES:
                self._stop("it filled the folder of its sockets")


def hand_in_file(path):
    """The path where it is a file of its own of a size that can be used; None where it is not."""
    return (
        path
        if path.is_file() and not path.is_symlink() and path.stat().st_size <= MAX_BYTES
        else None
    )


def short_folder():
    """Where to put sockets: a path of theirs may have some 100 characters."""
    return (
        tempfile.gettempdir()
        if len(tempfile.gettempdir()) < 50 or not os.path.isdir("/tmp")
        else "/tmp"
    )


def _resident(processes):
    total = 0
    for process in processes:
        with contextlib.suppress(psutil.Error):
            total += process.memory_info().rss
    return total


def _held(folder):
    """Bytes of the files in a folder, with a thousand more for each: names take room too."""
    total = 0
    for path in folder.iterdir():
        with contextlib.suppress(OSError):  # gone since it was listed, perhaps on purpose
            total += 1000 + path.lstat().st_size
    return total


class SaveAutoGrades(stock.SaveAutoGrades):
    """Score a test cell by the ledger, and put its verdict under the cell in place of whatever the
    notebook printed there.

    What the notebook claimed beyond the ledger is flagged in the notebook's metadata, with what
    else became of it.
    """

    def preprocess(self, nb, resources):
        self._told = resources.get("pusht") or {
            "ledger": {},
            "rollouts": {},
            "box": "none",
            "stopped": "",
            "seconds": {},
            "missing": "This notebook was not run by the course's own configuration.",
        }
        self._flags, self._cells = [], {}
        nb, resources = super().preprocess(nb, resources)
        told = {name: self._told[name] for name in ("box", "stopped", "seconds", "rollouts")}
        nb.metadata["pusht"] = nbformat.from_dict(
            told | {"flags": self._flags, "cells": self._cells}
        )
        return nb, resources

    def preprocess_cell(self, cell, resources, cell_index):
        if not (is_grade(cell) and cell.cell_type == "code"):
            return super().preprocess_cell(cell, resources, cell_index)
        grade_id = cell.metadata.nbgrader["grade_id"]
        verdict = self._verdict(cell, grade_id)
        for claim in sorted(set(_claims(cell))):
            if claim > verdict.points + 1e-6:
                self._flags.append(
                    f"{grade_id}: the notebook's own output claims {claim:g} points, the ledger has"
                    f" {verdict.points:g}."
                )
        entry = self._told["ledger"].get(grade_id, {"flags": [], "seconds": 0.0})
        self._flags += entry["flags"]
        self._cells[grade_id] = asdict(verdict) | {"seconds": entry["seconds"]}
        errors = [output for output in cell.outputs if output.output_type == "error"]
        cell.outputs = [
            nbformat.v4.new_output(
                "display_data", {"text/plain": str(verdict), MIME: asdict(verdict)}
            ),
            *errors,
        ]
        grade = self.gradebook.find_grade(
            grade_id, self.notebook_id, self.assignment_id, self.student_id
        )
        grade.auto_score = min(
            max(float(verdict.points), 0.0), float(cell.metadata.nbgrader["points"])
        )
        grade.needs_manual_grade = grade.manual_score is not None
        self.gradebook.db.commit()
        return cell, resources

    def _verdict(self, cell, grade_id):
        if grade_id in self._told["ledger"]:
            return Verdict(**self._told["ledger"][grade_id]["verdict"])
        reason = self._told.get("missing") or (
            f"The notebook was stopped before this check: {self._told['stopped']}."
            if self._told["stopped"]
            else _why_unasked(cell)
        )
        return Verdict(expected(grade_id)[2], 0.0, float(cell.metadata.nbgrader["points"]), reason)


def _why_unasked(cell):
    for output in cell.get("outputs", ()):
        if output.output_type == "error":
            return (
                f"The check stopped with {output.ename}: {output.evalue}. An earlier cell failed or"
                " is missing."
            )
    return "The check did not ask the grader."


def _claims(cell):
    """Points that a test cell's outputs claim: by a verdict, or by a number as its result."""
    for output in cell.get("outputs", ()):
        claimed = (
            output.get("data", {}).get(MIME, {}).get("points")
            if isinstance(output.get("data", {}).get(MIME), dict)
            else None
        )
        if claimed is None and output.output_type == "execute_result":
            claimed = output.data.get("text/plain")
        with contextlib.suppress(TypeError, ValueError):
            yield float(claimed)


def cell_verdict(cell):
    """The verdict that grading left under a test cell, as a dict; None when there is none."""
    for output in cell.get("outputs", ()):
        if output.output_type == "display_data" and MIME in output.data:
            return output.data[MIME]
    return None
