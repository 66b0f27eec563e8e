"""The program that becomes a student's kernel: it gives up rights and limits itself, and then turns
into the command that it was given.

    python -I -S launcher.py SETTINGS COMMAND…

It is run as a bare file, in a sandbox without the grader's code, and uses the standard library
alone.
"""

import ctypes
import errno
import json
import os
import resource
import signal
import socket
import struct
import sys
from typing import Any

_DEATH_SIGNAL, _FILTER_CALLS, _SUBREAPER, _NO_NEW_PRIVILEGES = 1, 22, 36, 38  # prctl's PR_SET_…
# By machine: its name in the kernel's records of calls, and its number of the call socket;
# io_uring_setup has the same on all.
_CALLS = {"x86_64": (0xC000003E, 41), "aarch64": (0xC00000B7, 198)}
_IO_URING_SETUP, _FOREIGN_CALLS = 425, 0x40000000
# Refused with an error that ZeroMQ, which looks for the machine's addresses, takes for "there are
# none"; at others it aborts.
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000 | errno.EOPNOTSUPP


def enter(settings: dict[str, Any], command: list[str]) -> None:
    """Become `command`.

    settings: limits by rlimit's name, uid or None, the process to die with or None, folder,
    environment.
    """
    for name, most in settings["limits"].items():
        kind = getattr(resource, name, None)
        if kind is not None:
            hard = resource.getrlimit(kind)[1]
            most = most if hard == resource.RLIM_INFINITY else min(most, hard)
            resource.setrlimit(kind, (most, most))
    if settings["uid"] is not None:
        os.setgroups([])
        os.setgid(settings["uid"])
        os.setuid(settings["uid"])
    if settings["parent"] is not None:
        _do_without_walls(settings["parent"])
    os.chdir(settings["folder"])
    os.umask(0o077)
    os.execve(command[0], command, settings["environment"])


def _do_without_walls(parent: int) -> None:
    """Do on Linux what bubblewrap does where it is used: the kernel ends with its parent, nothing
    in it gains rights, there is no network.
    """
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl is None:
        return
    prctl.argtypes = [ctypes.c_int, *[ctypes.c_ulong] * 4]
    prctl(_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit("The process that asked for a kernel is gone.")
    # Processes that are split off stay below the kernel, where the watchdog counts them.
    prctl(_SUBREAPER, 1, 0, 0, 0)
    prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    if os.uname().machine in _CALLS:
        calls = _local_sockets_only(*_CALLS[os.uname().machine])
        code = ctypes.create_string_buffer(calls, len(calls))
        program = ctypes.create_string_buffer(
            struct.pack("@HP", len(calls) // 8, ctypes.addressof(code))
        )
        prctl(_FILTER_CALLS, 2, ctypes.addressof(program), 0, 0)


def _local_sockets_only(machine: int, socket_call: int) -> bytes:
    """Return a program for the kernel's filter of calls (seccomp). It refuses all sockets but
    AF_UNIX, and calls that go round the filter.
    """
    load, equal, at_least, give = 0x20, 0x15, 0x35, 0x06
    program = [
        (load, 0, 0, 4),
        (equal, 0, 7, machine),  # calls of another kind, such as of 32 bits, are numbered otherwise
        (load, 0, 0, 0),
        (at_least, 5, 0, _FOREIGN_CALLS),
        (equal, 4, 0, _IO_URING_SETUP),
        (equal, 0, 2, socket_call),
        (load, 0, 0, 16),
        (equal, 0, 1, socket.AF_UNIX),
        (give, 0, 0, _ALLOW),
        (give, 0, 0, _REFUSE),
    ]
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in program)


if __name__ == "__main__":
    enter(json.loads(sys.argv[1]), sys.argv[2:])
