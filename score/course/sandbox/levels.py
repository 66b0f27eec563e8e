"""The sandbox that a student's kernel runs in, as strict as the machine allows.

In the sandbox there are the interpreter with its packages, the students' part of the kit, a folder
of its own with copies of what was handed in, gone afterwards, and a folder with the sockets to the
notebook's runner and to the question server: no network, no other process, none of the course.
"""

import functools
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import psutil

from pusht import resources
from score.course.sandbox import physics
from score.course.sandbox.watch import host
from score.protocol import SOCKET

_KIT, _WORK, _LAUNCHER_INSIDE = "/kit", "/home/student", "/launch.py"
_LAUNCHER = str(Path(__file__).with_name("launcher.py"))
_STUDENTS_PART = ("pusht", "score", "losses")  # of the kit; but not score/course
_DEMONSTRATIONS = "data/demonstrations.zarr.zip"  # what lies beside them is the grader's
# Of the system, what an interpreter needs; of /etc nothing that tells of people or machines.
_SYSTEM = [
    *(f"/{name}" for name in ["usr", "lib", "lib32", "lib64", "bin", "sbin"]),
    *(f"/etc/{name}" for name in ["alternatives", "fonts", "localtime"]),
    *(f"/etc/ld.so.{name}" for name in ["cache", "conf", "conf.d"]),
]
# Of /proc, what sets the machine: who has root's number, if no rights of root's, may write to some.
_OF_THE_MACHINE = ("sys", "irq", "bus", "fs", "acpi", "sysrq-trigger")
_SCRATCH_BYTES = 256 * 2**20
PROCESSES = 256  # of a kernel, threads counted
OPEN_FILES = 1024  # of each of its processes
# rlimits of a kernel. RLIMIT_AS would stop torch; what all processes hold together, the watchdog
# counts.
_LIMITS = {
    "RLIMIT_NPROC": PROCESSES,
    "RLIMIT_FSIZE": 256 * 2**20,
    "RLIMIT_CORE": 0,
    "RLIMIT_NOFILE": OPEN_FILES,
}
_MEMORY_BYTES = 4 * 2**30  # of a kernel, where nothing else is said
_BESIDE_MEMORY = 2 * 2**30  # by how much a kernel's memory may be larger than what it uses
_UID = 61_184  # with the 4,000 above it, of users that no system gives out
_OPEN_TO_ALL = ("/tmp", "/var/tmp", "/dev/shm", "/dev/mqueue")
# As the user itself, whose files may be links to others.
_END = """
import contextlib, os, shutil, sys
user = int(sys.argv[1])
os.setuid(user)
with contextlib.suppress(OSError):
    os.kill(-1, 9)
for folder in filter(os.path.isdir, sys.argv[2:]):
    for entry in os.scandir(folder):
        with contextlib.suppress(OSError):
            if entry.stat(follow_symlinks=False).st_uid == user:
                if entry.is_dir(follow_symlinks=False):
                    shutil.rmtree(entry.path, ignore_errors=True)
                else:
                    os.unlink(entry.path)
"""


@dataclass(frozen=True)
class Level:
    """How strictly a kernel is isolated: the level's name in reports, and what it does not keep
    out.
    """

    name: str
    lacks: str
    bubblewrap: bool
    own_user: bool

    def __str__(self) -> str:
        return self.name + (f"; not kept out: {self.lacks}" if self.lacks else "")


LEVELS = (
    Level("bubblewrap, own user", "", True, True),
    Level("bubblewrap", "the number of processes, where root grades", True, False),
    Level(
        "own user",
        "files (of installed libraries of physics too), local sockets and command lines that are"
        " open to every user of the machine, a disk filled up, and on anything else than Linux on"
        " x86-64 or ARM the network",
        False,
        True,
    ),
    Level(
        "same user",
        "whatever the person who grades may read, write or stop, the simulator and the network"
        " through that, and the number of processes",
        False,
        False,
    ),
)


def strictest() -> Level:
    """Return the strictest `Level` that works on this machine, found by trying."""
    for level in filter(works, LEVELS):
        return level
    raise OSError(f"{sys.executable} cannot be started, not even as it is.")


@functools.cache
def works(level: Level) -> bool:
    """Say whether a kernel starts at this level; OSError where the machine lacks what all need."""
    if (level.own_user and os.geteuid() != 0) or (level.bubblewrap and not shutil.which("bwrap")):
        return False
    with tempfile.TemporaryDirectory(prefix="pusht-") as folder:
        private = prepare(folder, level)
        command = sandboxed([sys.executable, "-c", "import zmq, torch"], private, level)
        return host.runs(command)


def prepare(private: str | Path, level: Level, files: Iterable[Path] = ()) -> Path:
    """Lay out a private folder for one kernel and return it: copies of `files` in work/, and s/ for
    the sockets.
    """
    private = Path(private).resolve()
    private.chmod(0o711)
    for name in ("work", "s"):
        (private / name).mkdir(mode=0o700)
    for file in files:
        shutil.copyfile(file, private / "work" / Path(file).name)
    if level.own_user:
        os.chown(private / "s", -1, user_id())
        (private / "s").chmod(0o710)  # the kernel goes through, and writes nothing
        for path in (private / "work", *(private / "work").iterdir()):
            os.chown(path, user_id(), user_id())
    if level.own_user and not level.bubblewrap:
        end_what_was_left(level)
        _copy_for_all(private / "kit")
    else:
        (private / "kit").symlink_to(resources.PACKAGES)
    physics.lay_out(private / "physics")
    return private


def listening(path: str | Path) -> socket.socket:
    """Return a new socket at a path in a private folder's s/; who gets there may connect."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    os.chmod(path, 0o666)
    listener.listen(8)
    return listener


def let_read(file: str | Path, level: Level) -> None:
    """Let a kernel read a file in its private folder's s/, and not write it."""
    if level.own_user:
        os.chown(file, -1, user_id())
        os.chmod(file, 0o640)


def _copy_for_all(to: Path) -> None:
    """Copy the students' part of the kit to where every user can read it: the kit itself may be
    readable for the grader alone.
    """
    for name in _STUDENTS_PART:
        ignored = shutil.ignore_patterns("course")
        shutil.copytree(resources.path(name), to / name, ignore=ignored)
    (to / _DEMONSTRATIONS).parent.mkdir()
    shutil.copyfile(resources.path(_DEMONSTRATIONS), to / _DEMONSTRATIONS)
    physics.replace_in(to)
    for path in [to, *to.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)


def end_what_was_left(level: Level) -> None:
    """End the processes that this process's kernels have left behind, and remove their files, where
    kernels have a user of their own: the next kernel could reach them.
    """
    if level.own_user and not level.bubblewrap:
        running = psutil.process_iter(["ppid", "uids"])
        if not any(
            one.info["ppid"] == os.getpid() and one.info["uids"].real == user_id()
            for one in running
        ):  # for another thread
            end = [sys.executable, "-I", "-S", "-c", _END, str(user_id()), *_OPEN_TO_ALL]
            subprocess.run(end, stderr=subprocess.DEVNULL)


def user_id() -> int:
    """Return the user that this process's kernels run as where they have one of their own."""
    return _UID + os.getpid() % 4000


def sandboxed(
    command: list[str],
    private: Path,
    level: Level,
    variables: dict[str, str] | None = None,
    memory_bytes: int = _MEMORY_BYTES,
) -> list[str]:
    """Return the command that runs `command` in the sandbox of a private folder.

    variables: for its environment, beside the usual ones. memory_bytes: that it may use; a single
    process gets that and what is never used.
    """
    limits = _LIMITS | {"RLIMIT_DATA": memory_bytes + _BESIDE_MEMORY}
    if not (level.bubblewrap or level.own_user):
        del limits["RLIMIT_NPROC"]  # it would count whatever else the person who grades has running
    settings = {
        "environment": _environment(private, level) | (variables or {}),
        "limits": limits,
        "uid": user_id() if level.own_user else None,
        "folder": _home(private, level),
        "parent": None if level.bubblewrap else os.getpid(),
    }
    program = _LAUNCHER_INSIDE if level.bubblewrap else _LAUNCHER
    launcher = [sys.executable, "-I", "-S", program, json.dumps(settings)]
    if not level.bubblewrap:
        return launcher + command
    # bubblewrap's own environment could be read in the sandbox, where it is process 1: it is to
    # have none.
    env, bwrap = shutil.which("env") or "env", shutil.which("bwrap") or "bwrap"
    return [env, "-i", bwrap, *_walls(private, level), *launcher, *command]


def scratch(level: Level) -> tuple[str, ...]:
    """Return a kernel's folders that are kept in memory, by their names for the kernel."""
    return ("/tmp", _WORK) if level.bubblewrap else ()


def _home(private: Path, level: Level) -> str:
    """Return the folder that a kernel runs in, by its name for the kernel."""
    return _WORK if level.bubblewrap else str(private / "work")


def _environment(private: Path, level: Level) -> dict[str, str]:
    """Return a kernel's whole environment."""
    home = _home(private, level)
    return {
        "HOME": home,
        "USER": "student",
        "LOGNAME": "student",
        "LANG": "C.UTF-8",
        "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
        "PYTHONPATH": _KIT if level.bubblewrap else str((private / "kit").resolve()),
        "PYTHONSAFEPATH": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONNOUSERSITE": "1",
        "OMP_NUM_THREADS": "1",
        "OMP_WAIT_POLICY": "PASSIVE",
        "TMPDIR": "/tmp" if level.bubblewrap else home,
        SOCKET: str(private / "s" / "grader"),
    }


def _walls(private: Path, level: Level) -> list[str]:
    """Return bubblewrap's options. The kernel's own user is taken on inside: from outside that user
    could not reach what is bound.
    """
    scratch = f"--perms 1777 --size {_SCRATCH_BYTES} --tmpfs"
    options = ["--die-with-parent", "--new-session", "--proc", "/proc", "--dev", "/dev"]
    for name in _OF_THE_MACHINE:
        options += ["--ro-bind-try", f"/proc/{name}", f"/proc/{name}"]
    options += ["--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts"]
    options += ["--hostname", "sandbox", *f"{scratch} /tmp".split()]
    if not level.own_user:
        options += ["--unshare-user", "--uid", "65534", "--gid", "65534", "--cap-drop", "ALL"]
    # Folders on the way to what is bound are bubblewrap's own: open to the sandbox's user, not to
    # root alone.
    interpreter = os.path.dirname(sys.executable)
    used = (sys.prefix, sys.base_prefix, sys.exec_prefix, interpreter)
    prefixes = sorted(
        path
        for path in {os.path.realpath(prefix) for prefix in used}
        if not path.startswith("/usr")
    )
    bound = [*prefixes, f"{_KIT}/{_DEMONSTRATIONS}", _WORK, str(private / "s")]
    for path in sorted({str(parent) for name in bound for parent in Path(name).parents}):
        options += ["--perms", "0755", "--dir", path]
    for path in [*_SYSTEM, *prefixes]:
        options += ["--ro-bind-try", path, path]
    if resources.ROOT != resources.PACKAGES:  # installed from a wheel, inside one of the prefixes
        for path in (str(resources.ROOT), str(resources.path("score/course"))):
            options += ["--tmpfs", path, "--remount-ro", path]
    for name in (*_STUDENTS_PART, _DEMONSTRATIONS):
        options += ["--ro-bind", str(resources.path(name)), f"{_KIT}/{name}"]
    options += physics.hidden(private / "physics", _KIT)
    options += f"--tmpfs {_KIT}/score/course --remount-ro {_KIT}/score/course".split()
    options += f"{scratch} {_WORK}".split()
    options += ["--ro-bind", _LAUNCHER, _LAUNCHER_INSIDE]
    for file in sorted((private / "work").iterdir()):
        options += ["--ro-bind", str(file), f"{_WORK}/{file.name}"]
    sockets = str(private / "s")
    options += ["--ro-bind", sockets, sockets]
    return [*options, *f"--remount-ro / --remount-ro /dev --chdir {_WORK}".split()]
