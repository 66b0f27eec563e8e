"""The box that a student's kernel runs in: as strict as the machine allows, and which it was.

In the box there are the interpreter with its packages, the students' part of the kit, a folder of
its own with copies of what was handed in, gone afterwards, and a folder with the sockets to the
notebook's runner and to the grader: no network, no other process, none of the course.
"""

import functools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import psutil

from pusht import resources
from score.protocol import SOCKET

_KIT, _WORK, _BOXED_LAUNCHER = "/kit", "/home/student", "/launch.py"
_LAUNCHER = str(Path(__file__).with_name("launcher.py"))
_STUDENTS_PART = ("pusht", "score", "losses")  # of the kit; but not score/course
# Of the system, what an interpreter needs; of /etc nothing that tells of people or machines.
_SYSTEM = (
    "/usr",
    "/lib",
    "/lib32",
    "/lib64",
    "/bin",
    "/sbin",
    "/etc/alternatives",
    "/etc/fonts",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/localtime",
)
_SCRATCH_BYTES = 256 * 2**20
# rlimits of a kernel. RLIMIT_AS would stop torch; what all processes hold together, the watchdog
# counts.
_LIMITS = {
    "RLIMIT_DATA": 8 * 2**30,
    "RLIMIT_NPROC": 256,
    "RLIMIT_FSIZE": 256 * 2**20,
    "RLIMIT_CORE": 0,
    "RLIMIT_NOFILE": 1024,
}
_UID = 61_184  # with the 4,000 above it, of users that no system gives out


@dataclass(frozen=True)
class Level:
    """How far a kernel is kept apart: its name in reports, and what it does not keep out."""

    name: str
    lacks: str
    bubblewrap: bool
    own_user: bool

    def __str__(self):
        return self.name + (f"; not kept out: {self.lacks}" if self.lacks else "")


LEVELS = (
    Level("bubblewrap, own user", "", True, True),
    Level("bubblewrap", "the number of processes, where root grades", True, False),
    Level(
        "own user",
        "files, local sockets and command lines that are open to every user of the machine, a disk"
        " filled up, and on anything else than Linux on x86-64 or ARM the network",
        False,
        True,
    ),
    Level(
        "same user",
        "whatever the person who grades may read, write or stop, the network through that, and the"
        " number of processes",
        False,
        False,
    ),
)


def strictest():
    """The strictest `Level` that works on this machine, found by trying."""
    for level in LEVELS:
        if works(level):
            return level
    raise OSError(f"{sys.executable} cannot be started, not even as it is.")


@functools.cache
def works(level):
    """Whether a kernel starts at this level on this machine."""
    if (level.own_user and os.geteuid() != 0) or (level.bubblewrap and not shutil.which("bwrap")):
        return False
    with tempfile.TemporaryDirectory(prefix="pusht-") as private:
        private = prepare(private, level)
        command = boxed([sys.executable, "-c", "import zmq, torch"], private, level)
        return (
            subprocess.run(
                command, capture_output=True, cwd="/", stdin=subprocess.DEVNULL
            ).returncode
            == 0
        )


def prepare(private, level, files=()):
    """Lay out a private folder for one kernel: copies of `files` in work/, s/ for the sockets;
    return its `Path`.
    """
    private = Path(private).resolve()
    private.chmod(0o711)
    for name in ("work", "s"):
        (private / name).mkdir(mode=0o700)
    for file in files:
        shutil.copyfile(file, private / "work" / Path(file).name)
    if level.own_user:
        for path in (private / "s", private / "work", *(private / "work").iterdir()):
            os.chown(path, user_id(), user_id())
    if level.own_user and not level.bubblewrap:
        end_what_was_left(level)
        _copy_for_all(private / "kit")
    else:
        (private / "kit").symlink_to(resources.PACKAGES)
    return private


def _copy_for_all(to):
    """The students' part of the kit where every user can read it: the kit itself may be the
    grader's alone.
    """
    for name in _STUDENTS_PART:
        source = resources.path(name)
        shutil.copytree(source, to / name, ignore=shutil.ignore_patterns("course"))
    for path in [to, *to.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)


def end_what_was_left(level):
    """End what kernels of this process have left behind, where they have a user of their own: it
    could reach the next one's.
    """
    if level.own_user and not level.bubblewrap:
        running = psutil.process_iter(["ppid", "uids"])
        if not any(
            one.info["ppid"] == os.getpid() and one.info["uids"].real == user_id()
            for one in running
        ):  # for another thread
            end = f"import os; os.setuid({user_id()}); os.kill(-1, 9)"
            subprocess.run([sys.executable, "-I", "-S", "-c", end], stderr=subprocess.DEVNULL)


def user_id():
    """The user that this process's kernels run as where they have one of their own."""
    return _UID + os.getpid() % 4000


def boxed(command, private, level, variables=None):
    """The command that runs `command` in the box of the private folder; variables: for its
    environment, beside the usual.
    """
    home, kit = (
        (_WORK, _KIT)
        if level.bubblewrap
        else (str(private / "work"), str((private / "kit").resolve()))
    )
    environment = {
        "HOME": home,
        "USER": "student",
        "LOGNAME": "student",
        "LANG": "C.UTF-8",
        "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
        "PYTHONPATH": kit,
        "PYTHONSAFEPATH": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONNOUSERSITE": "1",
        "OMP_NUM_THREADS": "1",
        "OMP_WAIT_POLICY": "PASSIVE",
        "TMPDIR": "/tmp" if level.bubblewrap else home,
        SOCKET: str(private / "s" / "grader"),
        **(variables or {}),
    }
    limits = dict(_LIMITS)
    if not (level.bubblewrap or level.own_user):
        del limits["RLIMIT_NPROC"]  # it would count whatever else the person who grades has running
    settings = {
        "environment": environment,
        "limits": limits,
        "uid": user_id() if level.own_user else None,
        "folder": home,
        "parent": None if level.bubblewrap else os.getpid(),
    }
    launcher = [
        sys.executable,
        "-I",
        "-S",
        _BOXED_LAUNCHER if level.bubblewrap else _LAUNCHER,
        json.dumps(settings),
    ]
    # bubblewrap's own environment could be read in the box, where it is process 1: it is to have
    # none.
    walls = (
        [shutil.which("env"), "-i", shutil.which("bwrap"), *_walls(private, level)]
        if level.bubblewrap
        else []
    )
    return walls + launcher + command


def _walls(private, level):
    """bubblewrap's options. A user of its own is taken on inside, since that one could not reach
    what is bound.
    """
    options = [
        "--die-with-parent",
        "--new-session",
        "--unshare-pid",
        "--unshare-net",
        "--unshare-ipc",
        "--unshare-uts",
        "--hostname",
        "box",
        "--proc",
        "/proc",
        "--dev",
        "/dev",
        "--perms",
        "1777",
        "--size",
        str(_SCRATCH_BYTES),
        "--tmpfs",
        "/tmp",
    ]
    if not level.own_user:
        options += ["--unshare-user", "--uid", "65534", "--gid", "65534", "--cap-drop", "ALL"]
    # Folders on the way to what is bound are bubblewrap's own: open to the box's user, not to root
    # alone.
    prefixes = {
        os.path.realpath(prefix)
        for prefix in (
            sys.prefix,
            sys.base_prefix,
            sys.exec_prefix,
            os.path.dirname(sys.executable),
        )
    }
    prefixes = sorted(prefix for prefix in prefixes if not prefix.startswith("/usr"))
    for path in sorted(
        {
            str(parent)
            for path in [*prefixes, f"{_KIT}/x", _WORK, str(private / "s")]
            for parent in Path(path).parents
        }
    ):
        options += ["--perms", "0755", "--dir", path]
    for path in [*_SYSTEM, *prefixes]:
        options += ["--ro-bind-try", path, path]
    if resources.ROOT != resources.PACKAGES:  # installed from a wheel, inside one of the prefixes
        for path in (resources.ROOT, resources.path("score/course")):
            options += ["--tmpfs", str(path)]
    for name in _STUDENTS_PART:
        options += ["--ro-bind", str(resources.path(name)), f"{_KIT}/{name}"]
    options += [
        "--tmpfs",
        f"{_KIT}/score/course",
        "--perms",
        "1777",
        "--size",
        str(_SCRATCH_BYTES),
        "--tmpfs",
        _WORK,
        "--ro-bind",
        _LAUNCHER,
        _BOXED_LAUNCHER,
    ]
    for file in sorted((private / "work").iterdir()):
        options += ["--ro-bind", str(file), f"{_WORK}/{file.name}"]
    return [
        *options,
        "--bind",
        str(private / "s"),
        str(private / "s"),
        "--remount-ro",
        "/",
        "--remount-ro",
        "/dev",
        "--chdir",
        _WORK,
    ]
