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
from typing import Any, NamedTuple

_DEATH_SIGNAL, _FILTER_CALLS, _SUBREAPER, _NO_NEW_PRIVILEGES = 1, 22, 36, 38  # prctl's PR_SET_…
_NEW_RULES, _ADD_RULE, _OBEY_RULES = 444, 445, 446  # landlock_…, on all machines
_WRITING_FILE = 1 << 1
_WRITING = _WRITING_FILE | sum(1 << right for right in range(4, 13))  # and to make and remove files


class _Calls(NamedTuple):
    """Of a machine, its name in the kernel's records of calls, and numbers of calls."""

    machine: int
    socket: int
    clone: int
    sigaction: int
    prctl: int
    refused: tuple[int, ...]


# Refused are calls that get memory which belongs to no process and is counted nowhere
# (memfd_create, shmget, semget, msgget, mq_open, bpf, keys, and listen, for data in connections
# that nobody accepts), or folders and namespaces of one's own (unshare, setns, mount).
_CALLS = {
    "x86_64": _Calls(
        0xC000003E,
        *(41, 56, 13, 157),
        (319, 29, 64, 68, 240, 321, 248, 250, 50, 272, 308, 165, 323, 298),
    ),
    "aarch64": _Calls(
        0xC00000B7,
        *(198, 220, 134, 167),
        (279, 194, 190, 186, 180, 280, 217, 219, 201, 97, 268, 40, 282, 241),
    ),
}
# The same on both: io_uring_setup, which goes round the filter, open_tree, move_mount, fsopen,
# fsmount, clone3, whose flags the filter cannot read (clone is used in its place), memfd_secret.
_REFUSED = (425, 428, 429, 430, 432, 435, 447)
_FOREIGN_CALLS = 0x40000000
_NEW_NAMESPACE = 0x7E020000  # the flags CLONE_NEW… of clone
_DUMPABLE = 4  # prctl's PR_SET_DUMPABLE
# ZeroMQ, which looks for the machine's addresses, takes the first error for "there are none", and
# aborts at others; for the second the C library has other ways; the third is success, of nothing.
_ALLOW, _NO_SOCKET, _NO_CALL = 0x7FFF0000, 0x00050000 | errno.EOPNOTSUPP, 0x00050000 | errno.ENOSYS
_NOTHING = 0x00050000


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
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl is not None:
        prctl.argtypes = [ctypes.c_int, *[ctypes.c_ulong] * 4]
        prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0)  # whatever would give back rights is refused
        if settings["parent"] is not None:
            _do_without_walls(prctl, settings["parent"])
            _write_in(settings["folder"])
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        _filter_calls(prctl)
    os.chdir(settings["folder"])
    os.umask(0o077)
    os.execve(command[0], command, settings["environment"])


def _do_without_walls(prctl: Any, parent: int) -> None:
    """Do on Linux what bubblewrap does where it is used: the kernel ends with its parent."""
    prctl(_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit("The process that asked for a kernel is gone.")
    # Processes that are split off stay below the kernel, where the watchdog counts them.
    prctl(_SUBREAPER, 1, 0, 0, 0)


def _write_in(folder: str) -> None:
    """Let nothing be written but in a folder from now on, where the system can do that (Landlock,
    in Linux since 5.13): what was left in /tmp or /dev/shm the next kernel could read.
    """
    call = ctypes.CDLL(None).syscall
    version = call(_NEW_RULES, None, ctypes.c_size_t(0), 1)
    if version < 1:
        return
    rights = _WRITING | (version >= 2) << 13 | (version >= 3) << 14  # to link elsewhere; to cut off
    rules = call(_NEW_RULES, struct.pack("=Q", rights), ctypes.c_size_t(8), 0)
    for path in (folder, "/dev/null", "/dev/ptmx", "/dev/pts"):
        if os.path.exists(path):
            allowed = rights if os.path.isdir(path) else _WRITING_FILE
            rule = struct.pack("=Qi", allowed, os.open(path, os.O_PATH | os.O_CLOEXEC))
            call(_ADD_RULE, rules, 1, rule, 0)
    call(_OBEY_RULES, rules, 0)


def _filter_calls(prctl: Any) -> None:
    """Refuse calls to the system from now on, on the machines of the table."""
    if os.uname().machine in _CALLS:
        calls = _filter(_CALLS[os.uname().machine])
        code = ctypes.create_string_buffer(calls, len(calls))
        program = ctypes.create_string_buffer(
            struct.pack("@HP", len(calls) // 8, ctypes.addressof(code))
        )
        prctl(_FILTER_CALLS, 2, ctypes.addressof(program), 0, 0)


def _filter(calls: _Calls) -> bytes:
    """Return a program for the kernel's filter of calls (seccomp).

    It refuses all sockets but AF_UNIX, new namespaces, the calls above, and those that go round the
    filter. A process may not hide from who watches it (PR_SET_DUMPABLE), nor take from its children
    the record of their time (SIGCHLD ignored).
    """
    load, equal, at_least, any_of, give = 0x20, 0x15, 0x35, 0x45, 0x06

    def where(
        call: int, test: int, value: int, result: int, wanted: bool = True
    ) -> list[tuple[int, int, int, int]]:
        jumps = (0, 1) if wanted else (1, 0)
        return [
            (equal, 0, 4, call),
            (load, 0, 0, 16),  # its first argument
            (test, *jumps, value),
            (give, 0, 0, result),
            (load, 0, 0, 0),
        ]

    # Each line: an operation, how many lines to jump where it holds and where not, and its number.
    program = [
        (load, 0, 0, 4),
        (equal, 1, 0, calls.machine),
        (give, 0, 0, _NO_CALL),  # of another kind, such as of 32 bits: numbered otherwise
        (load, 0, 0, 0),
        (at_least, 0, 1, _FOREIGN_CALLS),
        (give, 0, 0, _NO_CALL),
    ]
    for number in (*calls.refused, *_REFUSED):
        program += [(equal, 0, 1, number), (give, 0, 0, _NO_CALL)]
    program += [
        *where(calls.clone, any_of, _NEW_NAMESPACE, _NO_CALL),
        *where(calls.prctl, equal, _DUMPABLE, _NO_CALL),
        *where(calls.sigaction, equal, signal.SIGCHLD, _NOTHING),
        *where(calls.socket, equal, socket.AF_UNIX, _NO_SOCKET, wanted=False),
        (give, 0, 0, _ALLOW),
    ]
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in program)


if __name__ == "__main__":
    enter(json.loads(sys.argv[1]), sys.argv[2:])
