"""What the machine could not do: whose an error is, by its kind and number or by what it says.

A full disk, too many open files and a lack of memory say nothing about the files or the code at
which they appear.
"""

import contextlib
import errno
import re
from pathlib import Path

import safetensors

# What damaged or forged files make the system answer. Any other number is the machine's: a full
# disk, a file that may not be read, too many open files.
_OF_FILES = (None, errno.EINVAL, errno.EOVERFLOW, errno.ENAMETOOLONG)
# By what there was too little of: how Python, numpy, torch, C and Rust say so.
_SHORTAGES = {
    "room on the disk": (
        r"No space left on device|Disk quota exceeded|disk is full|\[Errno (28|122)\]"
        r"|\(os error (28|122)\)"
    ),
    "memory": (
        r"MemoryError|[Cc]annot allocate memory|can't allocate memory|Unable to allocate"
        r"|std::bad_alloc|not enough memory|\[Errno 12\]|\(os error 12\)"
    ),
    "open files": r"[Tt]oo many open files|\[Errno (23|24)\]|\(os error (23|24)\)",
    "processes": (
        r"can't start new thread|Resource temporarily unavailable|\[Errno 11\]|\(os error 11\)"
    ),
}
ROOM, MEMORY, FILES, PROCESSES = _SHORTAGES
# Errors of libraries that tell a lack in words alone: torch, threads, what is loaded, weights.
_IN_WORDS = (RuntimeError, ImportError, safetensors.SafetensorError)


def shortages(text: str) -> set[str]:
    """Return of what there was too little, as a text of an error has it; it is a claim where a
    student's process wrote the text.
    """
    return {what for what, said in _SHORTAGES.items() if re.search(said, text)}


def waited(process: int | str = "thread-self") -> float:
    """Return how many seconds a process's first thread, or else the one that asks, has so far been
    ready to compute while others had the processors; 0 where the system does not tell.
    """
    with contextlib.suppress(OSError, ValueError, IndexError):
        # sched-stats.rst in Linux's documentation
        return int(Path(f"/proc/{process}/schedstat").read_text("utf-8").split()[1]) / 1e9
    return 0.0


def is_of_machine(error: BaseException) -> bool:
    """Return whether an error is the machine's, so that it says nothing about a student's files."""
    if isinstance(error, OSError):
        return error.errno not in _OF_FILES
    if isinstance(error, _IN_WORDS):
        return bool(shortages(str(error)))
    return isinstance(error, MemoryError)
