"""Watches what a student's kernel takes, and stops it when that is more than its limits."""

import contextlib
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

import psutil

from score.course.settings import Limits

_INTERVAL = 0.2  # seconds between two looks
_SOCKET_FOLDER_BYTES = 2**20
# How the reasons begin for which a kernel is stopped.
OUT_OF_TIME = "it took longer than"
OUT_OF_MEMORY = "it took more memory than"
TOO_MUCH_OUTPUT = "its outputs are larger than"
NO_ANSWER = "the kernel no longer answered"
DIED = "the kernel died"


class Watchdog:
    """A thread that stops a kernel for its time, its memory, or what it writes beside its sockets.

    limits: `Limits`. sockets: the folder that the kernel can write to on the grader's disk. pid:
    returns the kernel's process id, None while there is none. stopped: why the kernel was stopped,
    "" while it was not.
    """

    def __init__(self, limits: Limits, sockets: Path, pid: Callable[[], int | None]) -> None:
        self.stopped = ""
        self._limits, self._sockets, self._pid = limits, sockets, pid
        self._output_bytes = 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "Watchdog":
        self._deadline = time.monotonic() + self._limits.notebook_seconds
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._done.set()
        self._thread.join()

    def stop(self, reason: str) -> None:
        """End the kernel's processes for a reason; the first one is kept."""
        self.stopped = self.stopped or reason
        self.end_processes()

    def end_processes(self) -> None:
        """End the kernel and all processes that it started."""
        for process in self._processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()

    def count_output(self, count: int) -> bool:
        """Add an output's bytes, and stop the kernel when there are too many; return False then."""
        self._output_bytes += count
        within = self._output_bytes <= self._limits.output_bytes
        if not within:
            self.stop(f"{TOO_MUCH_OUTPUT} {self._limits.output_bytes >> 20} MB")
        return within

    def _watch(self) -> None:
        # A process that starts another one seems twice as large for a moment: only two looks in a
        # row count.
        too_large = 0
        while not self._done.wait(_INTERVAL):
            memory = _resident_bytes(self._processes())
            too_large = too_large + 1 if memory > self._limits.memory_bytes else 0
            if time.monotonic() > self._deadline:
                self.stop(f"{OUT_OF_TIME} {self._limits.notebook_seconds} s")
            elif too_large > 1:
                self.stop(f"{OUT_OF_MEMORY} {self._limits.memory_bytes >> 20} MB")
            elif _folder_bytes(self._sockets) > _SOCKET_FOLDER_BYTES:
                self.stop("it filled the folder of its sockets")

    def _processes(self) -> list[psutil.Process]:
        """Return the kernel's processes, those that it started first."""
        pid = self._pid()
        try:
            kernel = psutil.Process(pid) if pid else None
            return [*kernel.children(recursive=True), kernel] if kernel else []
        except psutil.NoSuchProcess:
            return []


def _resident_bytes(processes: list[psutil.Process]) -> int:
    total = 0
    for process in processes:
        with contextlib.suppress(psutil.Error):
            total += process.memory_info().rss
    return total


def _folder_bytes(folder: Path) -> int:
    """Return the bytes of a folder's files, with a thousand more for each: names take room too."""
    total = 0
    for path in folder.iterdir():
        with contextlib.suppress(OSError):  # gone since it was listed, perhaps on purpose
            total += 1000 + path.lstat().st_size
    return total
