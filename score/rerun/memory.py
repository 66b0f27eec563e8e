"""A limit on the memory that a piece of code may add to its process."""

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

_STATUS = Path("/proc/self/status")


@contextlib.contextmanager
def little_memory(more: int) -> Iterator[None]:
    """Run the body with at most so many bytes of memory beyond what the process has. Without
    Linux's /proc there is no limit.
    """
    text = _STATUS.read_text(encoding="utf-8") if _STATUS.exists() else ""
    has = re.search(r"^VmData:\s*(\d+) kB", text, re.MULTILINE)
    if not has:
        yield
        return
    import resource  # not on Windows

    before, most = resource.getrlimit(resource.RLIMIT_DATA)
    allowed = (int(has[1]) << 10) + more
    if before != resource.RLIM_INFINITY:
        allowed = min(allowed, before)
    resource.setrlimit(resource.RLIMIT_DATA, (allowed, most))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (before, most))
