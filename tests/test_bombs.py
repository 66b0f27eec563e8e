"""What a notebook takes of the machine is counted or refused, at each level of isolation, and what
it makes the grader take has limits: it costs that question or that notebook alone.
"""

import contextlib
import ctypes
import errno
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import bombs
import nbformat
import numpy as np
import pytest

from score import rubric
from score.course.grading import judge
from score.course.grading.execution import execute
from score.course.grading.question_server import QuestionServer
from score.course.sandbox import levels
from score.course.sandbox.watch import watchdog
from score.course.sandbox.watch.processor import processes, time_left, used
from score.course.sandbox.whose import GraderFailure
from score.course.settings import Limits, RunSettings
from score.protocol import Connection
from score.verdict import Verdict

PART = rubric.PARTS["part1_mlp"]
LANDLOCK = sys.platform == "linux" and ctypes.CDLL(None).syscall(444, None, ctypes.c_size_t(0), 1)
each_level = pytest.mark.parametrize("level", levels.LEVELS, ids=lambda level: level.name)


def printed(level, *sources, memory_bytes=2**30):
    """(what cells printed, why the notebook was stopped)."""
    notebook = nbformat.v4.new_notebook()
    notebook.cells = [
        nbformat.v4.new_code_cell("# [part1/code] given\n" + source) for source in sources
    ]
    limits = Limits(cell_seconds=60, notebook_seconds=90, memory_bytes=memory_bytes)
    with tempfile.TemporaryDirectory() as folder:
        settings = RunSettings(20_000, 2, limits=limits)
        execution = execute(notebook, PART, Path(folder), settings, level=level)
    outputs = [output for cell in notebook.cells for output in cell.outputs]
    return "".join(output.get("text", "") for output in outputs), execution.stopped


def skip_unless_it_works(level):
    if not levels.works(level):
        pytest.skip(f'the level "{level.name}" does not work here')
    if os.uname().machine not in ("x86_64", "aarch64"):
        pytest.skip("calls of this machine are not filtered")


@each_level
def test_no_memory_is_had_that_belongs_to_no_process(level):
    skip_unless_it_works(level)
    if not level.bubblewrap and not LANDLOCK:
        pytest.skip("nothing here keeps a kernel from writing where every user may")
    text, stopped = printed(level, *map(bombs.source, bombs.HIDDEN))
    assert not [line for line in text.splitlines() if line.startswith("GOT")]
    assert text.count("no ") >= len(bombs.HIDDEN) and not stopped


@pytest.mark.parametrize(
    "name",
    [
        "data that waits in sockets",
        pytest.param("tables of pages", marks=pytest.mark.long),
        pytest.param("empty files", marks=pytest.mark.long),
    ],
)
def test_memory_that_is_not_resident_is_counted_too(name):
    level = levels.strictest()
    if name == "empty files" and not level.bubblewrap:
        pytest.skip("files are on the disk")
    _, stopped = printed(level, bombs.source(name))
    assert stopped == "it took more memory than 1024 MB"


@each_level
def test_the_time_of_children_counts_though_their_end_is_ignored(level):
    skip_unless_it_works(level)
    source = """
import os, signal, time
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
for _ in range(2):
    if not os.fork():
        while time.process_time() < 1: pass
        os._exit(0)
for _ in range(2): os.wait()
print("done", flush=True)
input()"""
    with tempfile.TemporaryDirectory() as folder:
        private = levels.prepare(folder, level)
        command = levels.sandboxed([sys.executable, "-S", "-c", source], private, level)
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.stdout.readline() == b"done\n"
            seconds = used(processes(process.pid))
            process.stdin.close()
    assert seconds > 1.8


@each_level
def test_who_sets_the_machine_is_not_in_the_box(level):
    skip_unless_it_works(level)
    if not level.bubblewrap and not level.own_user:
        pytest.skip("there the machine is the grader's own")
    # What is there is written again.
    text, _ = printed(
        level,
        """
for name in ("kernel/core_pattern", "vm/overcommit_memory", "fs/pipe-max-size"):
    try:
        value = open(f"/proc/sys/{name}").read()
        open(f"/proc/sys/{name}", "w").write(value); print("GOT", name)
    except OSError as error: print("no", error)""",
    )
    assert "GOT" not in text and text.count("no [") == 3


@each_level
def test_what_a_kernel_leaves_in_folders_of_all_is_gone_or_was_never_there(level):
    skip_unless_it_works(level)
    if not level.own_user and not level.bubblewrap and not LANDLOCK:
        pytest.skip("what belongs to the grader's own user is not told from the rest")
    name = f"left-{os.getpid()}-{levels.LEVELS.index(level)}"
    leave = f"""
for folder in ("/tmp", "/var/tmp", "/dev/shm"):
    try: open(f"{{folder}}/{name}", "w").write("for the next")
    except OSError: pass"""
    printed(level, leave)
    left = [Path(folder, name) for folder in ("/tmp", "/var/tmp", "/dev/shm")]
    assert not [path for path in left if path.exists()]


def test_the_files_of_a_kernels_user_are_removed():
    level = next(one for one in levels.LEVELS if one.own_user and not one.bubblewrap)
    if os.geteuid():
        pytest.skip("only root gives kernels a user of their own")
    names = [Path("/dev/shm", f"left-{os.getpid()}"), Path("/tmp", f"left-{os.getpid()}")]
    names[0].write_text("x")
    names[1].mkdir()
    (names[1] / "x").write_text("x")
    (names[1] / "link").symlink_to(Path(__file__))
    for path in (*names, names[1] / "x"):
        os.chown(path, levels.user_id(), levels.user_id())
    with tempfile.NamedTemporaryFile(dir="/dev/shm") as kept:  # of another user
        levels.end_what_was_left(level)
        assert not [path for path in names if path.exists()] and Path(kept.name).exists()
    assert Path(__file__).is_file()


# The grader.


@pytest.fixture
def judging(monkeypatch):
    """Make a `JudgeProcess` whose judging of a question is what one gives."""
    made = []

    def make(question_judged, **limits):
        monkeypatch.setattr(judge, "question_judged", question_judged)
        for name, value in limits.items():
            monkeypatch.setattr(judge, name, value)
        made.append(judge.JudgeProcess(RunSettings(20_000, 2).generator))
        return made[-1]

    yield make
    for one in made:
        one.end()


def _right(name, connection, rng):
    return judge.Judged(Verdict(name, 1.0, 1.0, "Right."), [])


def _takes_memory(name, connection, rng):
    try:
        np.ones(2**27)
    except MemoryError as error:
        return judge.stopped_at(judge.failed(name, ""), error)
    return _right(name, connection, rng)


def _takes_time(name, connection, rng):
    while True:
        pass


def _is_killed(name, connection, rng):
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize(
    "question_judged, limits, reason",
    [
        (_takes_memory, {}, "what the question does not ask for (MemoryError)"),
        (_takes_time, {"CPU_SECONDS": 1}, "could not be judged: it took more than"),
    ],
)
@pytest.mark.skipif(sys.platform != "linux", reason="judges are processes on Linux alone")
def test_what_ends_a_judge_costs_that_question_alone(judging, question_judged, limits, reason):
    def first_one_then_right(name, connection, rng):
        one = question_judged if name == "Q1.1" else _right
        return one(name, connection, rng)

    judges = judging(first_one_then_right, **limits)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        stopped = judges.judge("Q1.1", ours, 60)
        assert stopped.verdict.points == 0 and reason in stopped.verdict.sentence
        assert len(stopped.flags) == 1
        assert judges.judge("Q1.2", ours, 60) == _right("Q1.2", None, None)


def _fails(name, connection, rng):
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("question_judged, why", [(_is_killed, "signal 9"), (_fails, "OSError")])
@pytest.mark.skipif(sys.platform != "linux", reason="judges are processes on Linux alone")
def test_what_else_ends_a_judge_is_no_verdict(judging, question_judged, why):
    ours, theirs = socket.socketpair()
    with ours, theirs, pytest.raises(GraderFailure, match=why):
        judging(question_judged).judge("Q1.1", ours, 60)


@pytest.mark.skipif(sys.platform != "linux", reason="judges are processes on Linux alone")
def test_a_judge_that_has_not_begun_is_ended(monkeypatch):
    monkeypatch.setattr(judge, "_stand_ready", lambda line, draw: time.sleep(1000))
    judges = judge.JudgeProcess(RunSettings(20_000, 2).generator)
    ending = threading.Thread(target=judges.end, daemon=True)
    ending.start()
    ending.join(20)
    assert not ending.is_alive()


@pytest.mark.parametrize("said", ["nothing", "a request", "half of an answer"])
def test_the_server_does_not_wait_for_who_keeps_a_connection(tmp_path, said):
    server = QuestionServer(tmp_path / "s", PART, tmp_path, RunSettings(20_000, 2), {})
    with socket.socket(socket.AF_UNIX) as kept:
        with server, server.expecting("part1-q1_2"):
            kept.connect(str(tmp_path / "s"))
            if said != "nothing":
                connection = Connection(kept, time_left(60, None))
                connection.send({"question": "Q1.2"})
                assert "inputs" in connection.receive()  # a judge now waits for the answer
            if said == "half of an answer":
                kept.sendall(b"\x01")
            started = time.monotonic()
        assert time.monotonic() - started < 20  # of the 120 s that the question has
        assert not server.ledger or not server.ledger["part1-q1_2"].verdict.points


def test_a_kernel_that_cannot_be_watched_is_stopped():
    def pid():
        raise PermissionError("no list")

    seen = threading.Event()
    with watchdog.Watchdog(Limits(), pid) as dog:
        dog.end_processes = seen.set
        assert seen.wait(20)
    assert dog.stopped == watchdog.UNWATCHED and "no list" in str(dog.failure)


def test_memory_is_that_of_a_process_with_its_tables_and_sockets():
    import psutil

    own = psutil.Process()
    with contextlib.ExitStack() as stack:
        before = watchdog.memory_bytes([own])
        for _ in range(50):
            for one in socket.socketpair():
                stack.enter_context(one)
        more = watchdog.memory_bytes([own]) - before
    assert more > 50 * 2**16 or not psutil.LINUX
