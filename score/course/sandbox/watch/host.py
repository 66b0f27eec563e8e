"""What the machine lacks while a student's kernel runs, as the grader measures it: the kernel's own
word proves nothing.
"""

import contextlib
import resource
import shutil
import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path

import psutil
from packaging.requirements import Requirement

from pusht.machine import FILES, MEMORY, PROCESSES, ROOM, shortages
from score.course.sandbox.watch import processor
from score.submission.failures import GraderFailure

FEWEST_FILES = 256  # that the grader may open: a notebook takes it some fifty
LEAST_ROOM = 32 * 2**20  # of the folder for temporary files
LEAST_MEMORY = 256 * 2**20
_FEWEST_PROCESSES = 64
TIME = "processor time"
_KIT, _EXTRAS = "pusht-course-kit", ("", "instructor")
_VMSTAT, _LOADAVG, _MOST = (Path("/proc") / n for n in ("vmstat", "loadavg", "sys/kernel/pid_max"))
_GROUP = Path("/sys/fs/cgroup")


def check(*folders: Path) -> None:
    """GraderFailure where the machine has too little for anything to be graded: then nothing is.

    folders: that are written to, beside the one for temporary files.
    """
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if most != resource.RLIM_INFINITY and most < FEWEST_FILES:
        raise GraderFailure(
            f"A process may open {most} files here, and grading takes {FEWEST_FILES}: run `ulimit"
            f" -n {4 * FEWEST_FILES}` first."
        )
    for folder in (Path(tempfile.gettempdir()), *folders):
        free = shutil.disk_usage(folder).free
        if free < LEAST_ROOM:
            raise GraderFailure(
                f"There are {free >> 20} MB left for {folder}, and grading takes"
                f" {LEAST_ROOM >> 20}: make room, and run this again."
            )
    missing = [name for name in _requirements() if not is_installed(name)]
    if missing:
        raise GraderFailure(
            f"The packages {', '.join(missing)}, which grading needs, are missing: install them"
            f" with `{sys.executable} -m pip install {' '.join(missing)}`."
        )


def _requirements() -> list[str]:
    """Return the names of the packages that the kit needs to grade; none where it was not
    installed, and stands in a folder alone.
    """
    with contextlib.suppress(metadata.PackageNotFoundError):
        needed = map(Requirement, metadata.requires(_KIT) or ())
        return [
            one.name
            for one in needed
            if one.marker is None or any(one.marker.evaluate({"extra": e}) for e in _EXTRAS)
        ]
    return []


def is_installed(package: str) -> bool:
    """Say whether a package, NAME or NAME==VERSION, is installed."""
    name, _, wanted = package.partition("==")
    with contextlib.suppress(metadata.PackageNotFoundError):
        return metadata.version(name) == wanted if wanted else bool(metadata.version(name))
    return False


class Host:
    """The machine while one kernel runs.

    boxed: whether the kernel's files are in memory of its own, so that no disk can be full for it.
    files: how many a kernel should be able to open. short: what there has been too little of so
    far: `TIME`, or as `pusht.machine` names it.
    """

    def __init__(self, boxed: bool, files: int) -> None:
        self._short, self._busy = set[str](), False
        self._boxed, self._killed = boxed, _out_of_memory_kills()
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        if hard != resource.RLIM_INFINITY and hard < files:
            self._short.add(FILES)

    @property
    def short(self) -> set[str]:
        return self._short | ({TIME} if self._busy else set())

    def look(self, kernel: list[psutil.Process]) -> None:
        """Add what there is too little of now. kernel: its processes.

        There is too little processor time where the kernel has been held up for half of its life.
        """
        if kernel:
            self._busy = processor.held_up(kernel) > processor.lived(kernel) / 2
        if little_memory_left():
            self._short.add(MEMORY)
        if not self._boxed and shutil.disk_usage(tempfile.gettempdir()).free < LEAST_ROOM:
            self._short.add(ROOM)
        if _processes_left() < _FEWEST_PROCESSES:
            self._short.add(PROCESSES)

    def ended_kernels(self) -> bool:
        """Say whether the system has ended processes for a lack of memory, or has had one."""
        return MEMORY in self._short or _out_of_memory_kills() > self._killed


def runs(command: list[str]) -> bool:
    """Say whether a command ends well; OSError where the machine lacks what any process needs."""
    done = subprocess.run(command, capture_output=True, cwd="/", stdin=subprocess.DEVNULL)
    said = done.stderr.decode(errors="replace")
    if done.returncode < 0 or (done.returncode and shortages(said)):
        why = said.strip()[-300:] or f"signal {-done.returncode}"
        raise OSError(f"No process can be started: {why}")
    return done.returncode == 0


def little_memory_left() -> bool:
    """Say whether the machine has too little memory left for a notebook to be graded."""
    return psutil.virtual_memory().available < LEAST_MEMORY


def _out_of_memory_kills() -> int:
    """Return how many processes the system has ended for memory so far, 0 where it does not say."""
    with contextlib.suppress(OSError, ValueError):
        words = _VMSTAT.read_text(encoding="utf-8").split()
        return int(dict(zip(words[::2], words[1::2])).get("oom_kill", 0))
    return 0


def _processes_left() -> int:
    """Return how many more processes and threads the machine allows, many where it does not say."""
    left = [_FEWEST_PROCESSES]
    with contextlib.suppress(OSError, ValueError, IndexError):
        running = int(_LOADAVG.read_text(encoding="utf-8").split()[3].split("/")[1])
        left.append(int(_MOST.read_text(encoding="utf-8")) - running)
    with contextlib.suppress(OSError, ValueError):
        current, most = (int((_GROUP / f"pids.{n}").read_text("utf-8")) for n in ("current", "max"))
        left.append(most - current)
    return min(left)
