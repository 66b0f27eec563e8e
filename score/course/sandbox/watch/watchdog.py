"""Watches what a student's kernel takes, and stops it when that is more than its limits."""

import contextlib
import functools
import os
import re
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from score.course.sandbox.watch.group import Group
from score.course.sandbox.watch.host import Host
from score.course.sandbox.watch.processor import processes
from score.course.settings import Limits

_INTERVAL = 0.2  # seconds between two looks
_FILE_BYTES = 2**10  # of a file in memory, beside what is in it
_PIPE_BYTES = 2**13  # of a pipe; a user's first thousand hold more
_BESIDE_RSS = re.compile(r"^Vm(?:PTE|Swap):\s*(\d+) kB", re.MULTILINE)
_USUAL_SOCKETS = 32  # of a Jupyter kernel, which has about twenty
# How the reasons begin for which a kernel is stopped.
OUT_OF_TIME = "it took longer than"
OUT_OF_MEMORY = "it took more memory than"
TOO_MUCH_OUTPUT = "its outputs are larger than"
UNWATCHED = "what it takes could not be watched"
ENDED = "the machine ended it, for a lack of memory"
NO_ANSWER = "the kernel no longer answered"
NO_MESSAGE = "the kernel sent what is no message"
DIED = "the kernel died"


class Watchdog:
    """A thread that stops a kernel for its time or its memory.

    limits: `Limits`. pid: returns the kernel's process id, None while there is none. scratch: the
    kernel's folders in memory, by their names for it. host: the machine, which is looked at too.
    group: the `Group` that the kernel is in. stopped: why the kernel was stopped, "" while it was
    not. failure: what ended the watching.
    """

    def __init__(
        self,
        limits: Limits,
        pid: Callable[[], int | None],
        scratch: tuple[str, ...] = (),
        host: Host | None = None,
    ) -> None:
        self.stopped, self.group = "", Group(None)
        self.failure: Exception | None = None
        self._host = host
        self._limits, self._pid, self._scratch = limits, pid, scratch
        self._output_bytes = 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "Watchdog":
        self._deadline = time.monotonic() + self._limits.notebook_seconds
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._done.set()
        self._thread.join()

    def stop(self, reason: str) -> None:
        """End the kernel's processes for a reason; the first one is kept."""
        if self.group.out_of_memory():
            reason = self._out_of_memory()
        self.stopped = self.stopped or reason
        self.end_processes()

    def end_processes(self) -> None:
        """End the kernel and all processes that it started."""
        for process in processes(self._pid()):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()

    def count_output(self, count: int) -> bool:
        """Add an output's bytes, and stop the kernel when there are too many; return False then."""
        self._output_bytes += count
        within = self._output_bytes <= self._limits.output_bytes
        if not within:
            self.stop_output()
        return within

    def stop_output(self) -> None:
        """Stop the kernel because there is too much output."""
        self.stop(f"{TOO_MUCH_OUTPUT} {self._limits.output_bytes >> 20} MB")

    def _watch(self) -> None:
        try:
            self._look_again_and_again()
        except Exception as error:  # a kernel that nobody watches is not to go on
            self.failure = error
            self.stop(UNWATCHED)

    def _look_again_and_again(self) -> None:
        # A process that starts another one seems twice as large for a moment: only two looks in a
        # row count.
        too_large = 0
        while not self._done.wait(_INTERVAL):
            found = processes(self._pid())
            if self._host:
                self._host.look(found)
            memory = memory_bytes(found) + scratch_bytes(found, self._scratch)
            too_large = too_large + 1 if memory > self._limits.memory_bytes else 0
            if time.monotonic() > self._deadline:
                self.stop(f"{OUT_OF_TIME} {self._limits.notebook_seconds} s")
            elif too_large > 1 or self.group.out_of_memory():
                self.stop(self._out_of_memory())

    def _out_of_memory(self) -> str:
        return f"{OUT_OF_MEMORY} {self._limits.memory_bytes >> 20} MB"


def memory_bytes(processes: list[psutil.Process]) -> int:
    """Return how much memory processes have together; those that are gone have none.

    On Linux also what is not counted as theirs there: tables of pages, pages swapped out, and what
    their sockets, where they have more than a kernel does, and their pipes may hold of data that
    nobody reads.
    """
    total, sockets, pipes = 0, set[str](), set[str]()
    for process in processes:
        with contextlib.suppress(psutil.Error, OSError):
            total += process.memory_info().rss
            if psutil.LINUX:
                status = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8")
                total += sum(int(size) << 10 for size in _BESIDE_RSS.findall(status))
                opened = _open_files(process.pid)
                sockets |= {name for name in opened if name.startswith("socket:")}
                pipes |= {name for name in opened if name.startswith("pipe:")}
    waiting = max(0, len(sockets) - _USUAL_SOCKETS) * _socket_bytes()
    return total + waiting + len(pipes) * _PIPE_BYTES


def scratch_bytes(processes: list[psutil.Process], folders: tuple[str, ...]) -> int:
    """Return how much memory a kernel's folders in memory take, with a KiB for each file: a file
    system has room for millions of empty ones.

    folders: by their names for the kernel, one of these processes.
    """
    for process in processes:
        root = f"/proc/{process.pid}/root"
        with contextlib.suppress(OSError):  # it is gone, or not yet where it has these folders
            if not os.path.samefile(root, "/"):
                found = [os.statvfs(root + folder) for folder in folders]
                return sum(
                    (one.f_blocks - one.f_bfree) * one.f_frsize
                    + (one.f_files - one.f_ffree) * _FILE_BYTES
                    for one in found
                )
    return 0


def _open_files(pid: int) -> set[str]:
    """Return what a process has open, by the system's names; nothing where it does not tell."""
    opened, folder = set(), f"/proc/{pid}/fd"
    with contextlib.suppress(OSError):
        for name in os.listdir(folder):
            with contextlib.suppress(OSError):  # closed since it was listed
                opened.add(os.readlink(f"{folder}/{name}"))
    return opened


@functools.cache
def _socket_bytes() -> int:
    """Return the most bytes that wait in one socket, as the system counts them."""
    try:
        return 2 * int(Path("/proc/sys/net/core/wmem_max").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return 2**19
