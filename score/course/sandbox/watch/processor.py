"""What time a student's kernel had to compute in. Where others have the processors, the clock runs
on and nothing is done: that says nothing about the student's code.
"""

import contextlib
import os
import time
from collections.abc import Callable

import psutil

from pusht.machine import waited


def processes(pid: int | None) -> list[psutil.Process]:
    """Return all that a process started, and the process, which comes last; none if it is gone."""
    with contextlib.suppress(psutil.NoSuchProcess):
        first = psutil.Process(pid) if pid else None
        return [*first.children(recursive=True), first] if first else []
    return []


def used(found: list[psutil.Process]) -> float:
    """Return the processor's time [s] of processes, ended ones that they started included."""
    total = 0.0
    for process in found:
        with contextlib.suppress(psutil.Error):
            total += sum(process.cpu_times()[:4])  # its own and its children's that have ended
    return total


def lived(found: list[psutil.Process]) -> float:
    """Return the seconds since the last of these processes was started; 0 where it is gone."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return max(0.0, time.time() - found[-1].create_time()) if found else 0.0
    return 0.0


def held_up(found: list[psutil.Process]) -> float:
    """Return for how long [s] none of a kernel's processes could compute, because others had the
    processors.

    What one waits while the others compute does not count, nor what one waits that has chosen to
    give way.
    """
    longest = 0.0
    for process in found:
        with contextlib.suppress(psutil.Error, OSError):
            if not _gives_way(process):
                longest = max(longest, waited(process.pid))
    return max(0.0, min(longest, lived(found) - used(found)))


def time_left(seconds: float, kernel: int | None) -> Callable[[], float]:
    """Return a function that returns what is left of so many seconds, which begin now.

    They do not pass while the kernel with this process id is held up, nor while the one that asks
    is.
    """
    started, before = time.monotonic(), held_up(processes(kernel)) + waited()

    def left() -> float:
        by_clock = seconds - (time.monotonic() - started)
        if by_clock > 0:
            return by_clock
        return by_clock + max(0.0, held_up(processes(kernel)) + waited() - before)

    return left


def _gives_way(process: psutil.Process) -> bool:
    """Say whether a process has a lower priority than this one."""
    if not psutil.LINUX:
        return False
    lower = process.nice() > os.nice(0)
    return lower or os.sched_getscheduler(process.pid) != os.sched_getscheduler(0)
