"""Makes one write, or one start of a process, of a grading fail as a machine makes it fail.

A point of failure is a `Point`: what was called, by which lines of the kit, and for which time.
`Faults()` as a context notes all that are reached; `Faults(point)` fails at that one alone.
"""

import builtins
import errno
import io
import os
import socket
import sqlite3
import subprocess
import sys
import threading
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import zmq
from sqlalchemy.engine.default import DefaultDialect

_KIT = tuple(str(Path(__file__).parents[1] / name) + os.sep for name in ("score", "pusht"))
_FULL, _FILES, _AGAIN = errno.ENOSPC, errno.EMFILE, errno.EAGAIN
# What is called, by where it is found, and the number of the error that it raises.
_CALLS = {
    (os, "open"): _FILES,
    (os, "mkdir"): _FULL,
    (os, "replace"): _FULL,
    (os, "rename"): _FULL,
    (os, "fsync"): _FULL,
    (os, "unlink"): errno.EIO,
    (os, "chmod"): errno.EPERM,
    (os, "symlink"): _FULL,
    (os, "chown"): errno.EPERM,
    (os, "fork"): _AGAIN,
    (os, "pipe"): _FILES,
    (subprocess.Popen, "__init__"): _AGAIN,
    (socket.socket, "__init__"): _FILES,
    (socket, "socketpair"): _FILES,
    (zmq.Context, "socket"): _FILES,
    (threading.Thread, "start"): None,
    (DefaultDialect, "do_execute"): None,
    (DefaultDialect, "do_commit"): None,
}


@dataclass(frozen=True, order=True)
class Point:
    """call: what fails. place: the lines of the kit that it was called by, the nearest first.
    time: how often it was called there before.
    """

    call: str
    place: str
    time: int


class Faults:
    """A context in which the calls of this process are counted, and one of them fails.

    reached: all points so far. failed: whether the one that is to fail was among them.
    """

    def __init__(self, at: Point | None = None) -> None:
        self.at, self.failed = at, False
        self.reached: list[Point] = []
        self._counts: Counter[tuple[str, str]] = Counter()
        self._pid, self._stack = os.getpid(), ExitStack()

    def __enter__(self) -> "Faults":
        for (owner, name), number in _CALLS.items():
            enter = self._stack.enter_context
            enter(patch.object(owner, name, self._counted(owner, name, number)))
        opening = self._opening(io.open)
        self._stack.enter_context(patch.object(io, "open", opening))
        self._stack.enter_context(patch.object(builtins, "open", opening))
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def _fails(self, call: str) -> bool:
        """Count a call; say whether it is to fail."""
        place = _place()
        if not place or os.getpid() != self._pid:
            return False
        point = Point(call, place, self._counts[call, place])
        self._counts[call, place] += 1
        self.reached.append(point)
        self.failed = self.failed or point == self.at
        return point == self.at

    def _counted(self, owner, name, number):
        function, call = getattr(owner, name), f"{owner.__name__}.{name}"

        def counted(*arguments, **options):
            if self._fails(call):
                if owner is DefaultDialect:
                    raise sqlite3.OperationalError("database or disk is full")
                if owner is threading.Thread:
                    raise RuntimeError("can't start new thread")
                if owner is zmq.Context:
                    raise zmq.ZMQError(number, os.strerror(number))
                raise OSError(number, os.strerror(number))
            return function(*arguments, **options)

        return counted

    def _opening(self, function):
        def opening(file, mode="r", *arguments, **options):
            writing = set(mode) & set("wax+")
            if isinstance(file, int):
                return function(file, mode, *arguments, **options)
            if self._fails("open to write" if writing else "open to read"):
                raise OSError(_FULL if writing else _FILES, "a fault", str(file))
            opened = function(file, mode, *arguments, **options)
            return _Full(opened) if writing and self._fails("write") else opened

        return opening


class _Full:
    """A file to which half of what is written goes, and then the disk is full."""

    def __init__(self, file):
        self._file = file

    def __getattr__(self, name):
        return getattr(self._file, name)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._file.close()

    def write(self, content):
        self._file.write(content[: len(content) // 2])
        raise OSError(_FULL, os.strerror(_FULL))


def _place() -> str:
    """Return the nearest three lines of the kit that this was called by; "" without any."""
    frame, found = sys._getframe(2), []
    while frame and len(found) < 3:
        name = frame.f_code.co_filename
        if name.startswith(_KIT):
            found.append(f"{Path(name).name}:{frame.f_code.co_name}:{frame.f_lineno}")
        frame = frame.f_back
    return " < ".join(found)
