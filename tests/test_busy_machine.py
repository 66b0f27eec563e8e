"""A machine whose processors others have takes no student's points: their time does not pass."""

import contextlib
import itertools
import os
import socket
import subprocess
import sys
import threading
import time

import nbformat
import pytest

from pusht import machine
from score import rubric
from score.course.grading import question_server
from score.course.grading.execution import execute
from score.course.grading.question_server import QuestionServer
from score.course.notebooks import build
from score.course.sandbox.watch import processor
from score.course.sandbox.watch.host import TIME
from score.course.sandbox.whose import raise_lacks
from score.course.settings import Limits, RunSettings
from score.protocol import Connection, ProtocolError
from score.rerun import shell
from score.submission.failures import GraderFailure
from score.verdict import Verdict

PART = rubric.PARTS["part1_mlp"]
pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux tells how long a process waits for a processor"
)


@contextlib.contextmanager
def busy(others, process=0):
    """Give a process, this one where none is named, and what it starts one processor, which so many
    others want too.
    """
    allowed = os.sched_getaffinity(process)
    one = min(allowed)
    os.sched_setaffinity(process, {one})
    turn = (
        f"import os; os.sched_setaffinity(0, {{{one}}}); parent = os.getppid()\n"
        "while os.getppid() == parent: pass"
    )
    # Each in a session of its own: Linux divides a processor by sessions first.
    turning = [
        subprocess.Popen([sys.executable, "-S", "-c", turn], start_new_session=True)
        for _ in range(others)
    ]
    try:
        yield
    finally:
        for each in turning:
            each.kill()
            each.wait()
        with contextlib.suppress(ProcessLookupError):
            os.sched_setaffinity(process, allowed)


def compute(seconds):
    """Use so much processor time."""
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass


def test_what_a_process_waits_for_a_processor_is_known():
    before, started = machine.waited(), time.monotonic()
    with busy(others=4):
        compute(0.3)
    elapsed = time.monotonic() - started
    assert 0.3 < machine.waited() - before < elapsed
    before = machine.waited()
    time.sleep(0.2)  # waits too, and for no processor
    assert machine.waited() - before < 0.1


@pytest.mark.parametrize("prefix, counts", [((), True), (("nice", "-n", "1"), False)])
def test_only_who_does_not_give_way_is_held_up(prefix, counts):
    code = "import time\nwhile time.process_time() < 0.05: pass\nprint(1, flush=True)\ninput()"
    with busy(others=4):
        command = [*prefix, sys.executable, "-S", "-c", code]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        with subprocess.Popen(command, **pipes) as process:
            process.stdout.readline()
            held_up = processor.held_up(processor.processes(process.pid))
            process.stdin.close()
    assert (held_up > 0.05) == counts


class Process:
    """A process of a minute's age that has used so many seconds, as psutil has it."""

    pid = 1

    def __init__(self, used):
        self.used = used

    def cpu_times(self):
        return (self.used, 0.0, 0.0, 0.0)

    def create_time(self):
        return time.time() - 60

    def nice(self):
        return 0


def test_who_takes_the_processors_itself_is_not_held_up(monkeypatch):
    monkeypatch.setattr(processor, "waited", lambda pid: 50.0)
    monkeypatch.setattr(processor.os, "sched_getscheduler", lambda pid: 0)
    assert processor.held_up([Process(5), Process(1)]) == 50
    assert processor.held_up([Process(30), Process(1)]) == pytest.approx(29, abs=0.5)
    assert processor.held_up([Process(30), Process(40), Process(1)]) == 0


def test_the_time_of_a_question_stands_still_while_its_kernel_is_held_up(monkeypatch):
    held_up = iter([100.0, 100.5, 103.0])
    monkeypatch.setattr(processor, "held_up", lambda found: next(held_up))
    monkeypatch.setattr(processor, "waited", lambda: 0.0)
    clock = iter([10.0, 11.0, 12.5, 13.5])
    monkeypatch.setattr(processor.time, "monotonic", lambda: next(clock))
    left = processor.time_left(2, None)
    assert [left(), left(), left()] == [1.0, 0.0, 1.5]


def test_who_answers_late_on_a_busy_machine_is_heard(monkeypatch):
    spared = itertools.chain([0.0, 0.05], itertools.repeat(5.0))
    monkeypatch.setattr(processor, "held_up", lambda found: next(spared))
    monkeypatch.setattr(processor, "waited", lambda: 0.0)
    one, other = socket.socketpair()
    with one, other:
        late = threading.Timer(0.3, Connection(other).send, ["late"])
        late.start()
        assert Connection(one, processor.time_left(0.1, None)).receive() == "late"
        late.join()
        with pytest.raises(ProtocolError, match="in time"):
            Connection(one, processor.time_left(0.1, None)).receive()


@pytest.mark.parametrize("others", [0, 4])
def test_a_cell_has_its_seconds_of_a_processor(monkeypatch, others):
    monkeypatch.setattr(shell, "SECONDS", 0.5)
    with busy(others), shell._limited():
        compute(0.3)
    with busy(others), pytest.raises(shell.TookTooLong), shell._limited():
        compute(5)


def test_a_cell_that_waits_for_nothing_ends(monkeypatch):
    monkeypatch.setattr(shell, "SECONDS", 0.3)
    with busy(others=2), pytest.raises(shell.TookTooLong), shell._limited():
        threading.Event().wait(20)


COMPUTES = """
    end = direct.__dict__.setdefault("end", time.thread_time() + 1)
    while time.thread_time() < end: pass"""


def answering_after(statement):
    """Part I's notebook up to Q1.2, whose answer does something first."""
    notebook = build.answered_notebook(PART)
    names = ("setup", "imports", "horizons", "mlp_dims", "agent", "bc_loss", "q1_2")
    wanted = [f"part1-{name}" for name in names]
    notebook.cells = [cell for cell in notebook.cells if cell.id in wanted]
    answer = next(cell for cell in notebook.cells if cell.id == "part1-bc_loss")
    slow = "import time\n\ndef bc_loss(*given):\n    {}\n    return direct(*given)\n"
    answer.source += "\n\ndirect = bc_loss\n\n" + slow.format(statement)
    return notebook


@pytest.mark.parametrize(
    "statement, others, points", [(COMPUTES, 6, 2), ("time.sleep(6)", 0, 0)], ids=["busy", "idle"]
)
def test_a_question_is_judged_on_a_busy_machine_as_on_an_idle_one(
    tmp_path, monkeypatch, statement, others, points
):
    judge = QuestionServer._judge

    def judged_while_busy(server, *asked):
        found = processor.processes(server.kernel_pid())
        kernel = max(found, key=lambda process: process.cpu_times().user)  # not its sandbox
        with busy(others, kernel.pid):
            return judge(server, *asked)

    monkeypatch.setattr(QuestionServer, "_judge", judged_while_busy)
    monkeypatch.setattr(question_server, "QUESTION_SECONDS", 4)
    settings = RunSettings(20_000, 2, limits=Limits(cell_seconds=300, notebook_seconds=600))
    execution = execute(answering_after(statement), PART, tmp_path, settings)
    verdict = execution.cells["part1-q1_2"]
    assert verdict.points == points, verdict.sentence
    assert points or verdict.sentence == "The notebook did not answer in time."


@pytest.mark.parametrize(
    "sentence",
    [
        "The notebook did not answer in time.",
        "It is defined in [part1/bc_loss], where this happened: TookTooLong: it took longer than …",
        "The notebook was stopped before this check: it took longer than 3600 s.",
        "The notebook was stopped before this check: the kernel no longer answered.",
        "The check stopped with CellTimeoutError: .",
    ],
)
def test_points_that_are_lost_for_time_stay_open_where_the_machine_had_too_little(sentence):
    lost = nbformat.v4.new_notebook(), [Verdict("Q1.2", 0.0, 2.0, sentence)]
    raise_lacks([], *lost, "")
    with pytest.raises(GraderFailure, match=f"too little {TIME}"):
        raise_lacks([TIME], *lost, "")


def test_wrong_answers_are_wrong_on_a_busy_machine():
    wrong = [Verdict("Q1.2", 0.0, 2.0, "bc_loss is 0.1 and should be 0.2.")]
    raise_lacks([TIME], nbformat.v4.new_notebook(), wrong, "")
