"""Judges answers to questions, each in a process of its own with limits of its own: an answer that
makes a judge take too much costs that question, and neither the others nor the machine.

Those processes are copies of one that stands ready (`JudgeProcess`). It is itself a copy of the
grader, made before the grader has threads, so it takes no time and next to no memory. Where a
process cannot be copied (on anything else than Linux), questions are judged in the grader itself.
"""

import contextlib
import json
import os
import resource
import signal
import socket
import sys
import traceback
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from score import rubric
from score.course.grading.results import without_figures
from score.course.sandbox.watch.host import little_memory_left
from score.course.sandbox.watch.processor import time_left
from score.course.sandbox.whose import ENDS_OF_JUDGES, GraderFailure, is_at_answers
from score.protocol import Connection, ProtocolError, one_line
from score.questions import judged
from score.rerun.memory import little_memory
from score.verdict import Verdict

MEMORY_BYTES = 2**28  # beyond what the grader had; the largest right answer takes a quarter of it
CPU_SECONDS = 60  # the longest takes one
_CALLS = 1000  # of a question; the longest calls the answer some dozens of times
_LARGEST_RESULT = 2**20
_NO_RESULT = b'{"signal": 0, "error": "the process that stands ready is gone"}'

_UNSAID = (
    "The notebook's code failed when it was called. What it said is not shown here: run your"
    " notebook from its first cell, and look at this check there."
)

Draw = Callable[[str], np.random.Generator]


@dataclass(frozen=True)
class Judged:
    """A verdict, for the instructor alone what speaks against it or wants a look, and whether the
    kernel answered with words of its own.
    """

    verdict: Verdict
    flags: list[str]
    refused: bool = False

    def discreet(self) -> "Judged":
        """Return the judgement without what the kernel could tell in it; the instructor gets the
        rest.
        """
        told = _UNSAID if self.refused else without_figures(self.verdict.sentence)
        if told == self.verdict.sentence:
            return self
        flags = [*self.flags, f"{self.verdict.name}, in full: {self.verdict.sentence}"]
        return Judged(replace(self.verdict, sentence=told), flags, self.refused)


def question_judged(name: str, connection: Connection, rng: np.random.Generator) -> Judged:
    """Return the judgement on the answers to a question that come over a connection.

    rng: of the hidden inputs. What is not due to the answers is raised: see `whose`.
    """
    calls_left = iter(range(_CALLS))

    def infer(inputs: Any) -> Any:
        next(calls_left)
        return connection.call(inputs)

    try:
        return Judged(judged(name, infer, rng), [], connection.refused)
    except Exception as error:
        if not is_at_answers(error, little_memory_left()):
            raise
        return stopped_at(failed(name, ""), error)


def failed(name: str, reason: str) -> Verdict:
    """Return the verdict of no points on a question, for a reason."""
    return Verdict(name, 0.0, float(rubric.question(name)[1].points), reason)


def stopped_at(verdict: Verdict, error: Exception) -> Judged:
    """Return the judgement of no points with what stopped the judging: an error that a forged
    answer made a judge raise.
    """
    if isinstance(error, ProtocolError):
        return Judged(replace(verdict, sentence=f"The notebook {error}."), [])
    where, kind = traceback.extract_tb(error.__traceback__)[-1], type(error).__name__
    flag = (
        f"{verdict.name}: the judge stopped at the answer: {kind}: {one_line(error)}"
        f" ({Path(where.filename).name}, line {where.lineno})"
    )
    sentence = f"The notebook answered what the question does not ask for ({kind})."
    return Judged(replace(verdict, sentence=sentence), [flag])


class JudgeProcess:
    """The process that stands ready to judge one notebook's questions. Make it before any thread.

    draw: returns the generator of a question's hidden inputs.
    """

    def __init__(self, draw: Draw) -> None:
        self._draw, self._pid = draw, 0
        if sys.platform == "linux":
            self._line, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            try:
                with warnings.catch_warnings():
                    # Of threads: those of libraries, which copies never use.
                    warnings.simplefilter("ignore", DeprecationWarning)
                    self._pid = os.fork()
            except OSError:
                self._line.close()
                theirs.close()
                raise
            if not self._pid:
                _stand_ready(theirs, draw)
            # Both sides make its group: `end` may come before the copy has done anything.
            with contextlib.suppress(ProcessLookupError):
                os.setpgid(self._pid, self._pid)
            theirs.close()

    def judge(
        self, name: str, accepted: socket.socket, seconds: float, kernel: int | None = None
    ) -> Judged:
        """Return the judgement on a question.

        accepted: where the kernel is to be asked. seconds: that it may take, see `time_left`.
        kernel: its process id. GraderFailure where something else than the answers ends the
        judging.
        """
        if not self._pid:
            connection = Connection(accepted, time_left(seconds, kernel))
            return question_judged(name, connection, self._draw(name))
        order = {"name": name, "seconds": seconds, "kernel": kernel}
        socket.send_fds(self._line, [json.dumps(order).encode()], [accepted.fileno()])
        found = json.loads(self._line.recv(_LARGEST_RESULT) or _NO_RESULT)
        if "verdict" in found:
            return Judged(Verdict(**found["verdict"]), found["flags"], found["refused"])
        if found["signal"] not in ENDS_OF_JUDGES:
            why = found["error"] or f"signal {found['signal']}"
            raise GraderFailure(f"The process that judged {name} ended without a verdict: {why}.")
        reason = ENDS_OF_JUDGES[found["signal"]].format(CPU_SECONDS)
        flag = f"{name}: the process that judged the answer was stopped: {reason}."
        return Judged(failed(name, f"The answer could not be judged: {reason}."), [flag])

    def end(self) -> None:
        """End it, and whatever it is judging."""
        if self._pid:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(self._pid, 0)
            self._line.close()
            self._pid = 0


# In the copies.


def _stand_ready(line: socket.socket, draw: Draw) -> None:
    """Judge what comes over a line, each in a copy of this process, until its other end closes."""
    try:
        os.setpgid(0, 0)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        os.closerange(3, line.fileno())  # what others wait for is not kept open
        os.closerange(line.fileno() + 1, os.sysconf("SC_OPEN_MAX"))
        torch.set_num_threads(1)
        while True:
            order, descriptors, _, _ = socket.recv_fds(line, 4096, 1)
            if not order:
                break
            child = os.fork()
            if not child:
                _judge(line, json.loads(order), descriptors[0], draw)
            os.close(descriptors[0])
            _, status = os.waitpid(child, 0)
            if status:
                line.sendall(json.dumps({"signal": os.WTERMSIG(status), "error": ""}).encode())
    finally:
        os._exit(0)


def _judge(line: socket.socket, order: dict[str, Any], descriptor: int, draw: Draw) -> None:
    """Judge one question within limits, say what came of it, and end."""
    status, name = 1, order["name"]
    try:
        resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS + 5))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        try:
            with little_memory(MEMORY_BYTES), socket.socket(fileno=descriptor) as accepted:
                left = time_left(order["seconds"], order["kernel"])
                connection = Connection(accepted, left)
                said = asdict(question_judged(name, connection, draw(name)))
        except MemoryError as error:  # there was none left to tell of the first one
            if not is_at_answers(error, little_memory_left()):
                raise
            said = asdict(stopped_at(failed(name, ""), error))
        except Exception as error:
            said = {"signal": 0, "error": f"{type(error).__name__}: {one_line(error)}"}
        line.sendall(json.dumps(said).encode())
        status = 0
    finally:
        os._exit(status)
