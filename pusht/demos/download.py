"""Download the human demonstrations once, and keep them in the user's cache.

The published addresses are tried in turn. An archive is moved into place only after its values have
been checked. One process downloads at a time; others wait and then use its archive.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

from filelock import FileLock, Timeout
from platformdirs import user_cache_path

from pusht.progress import progress_bar
from pusht.run_mode import run_mode

if TYPE_CHECKING:
    from tqdm import tqdm

ADDRESSES = (
    "https://diffusion-policy.cs.columbia.edu/data/training/pusht.zip",
    "https://drive.google.com/uc?id=1KY1InLurpMvJDRb14L9NlXT_fEsCvVUq&confirm=t",
)
MAX_BYTES = 2**29  # the published archives have 31 MB
_TIMEOUT = 30  # s without a byte
_PART = "human.zip.part"

T = TypeVar("T")


class Unavailable(Exception):
    """Raised when every address fails; the message says briefly why each one failed."""


class _Failure(Exception):
    """Raised when one address fails; the message says why."""


def cached(name: str = "human.zip") -> Path:
    """Return the path of the archive, or of a file beside it, in the cache; it may not exist."""
    return user_cache_path("pusht", appauthor=False) / name


def fetch(check: Callable[[Path], T]) -> T:
    """Download the archive unless the cache has it, and return the result of `check` for it.

    Args:
        check: opens the archive at a path, and raises ValueError ("PATH has this problem: do
            this.") unless it is the expected one.

    Raises:
        Unavailable: no address returned an archive that passes the check, or the run mode forbids
            training.
        OSError: the cache cannot be written.
    """
    if not run_mode().train:
        raise Unavailable("when a notebook is graded, there are only the shipped ones")
    if (found := _open_cached(check)) is not None:
        return found
    with _alone():
        if (found := _open_cached(check)) is not None:  # another process was faster
            return found
        print(f"Downloading the human demonstrations, which are kept in {cached()}", flush=True)
        reasons = []
        for address in ADDRESSES:
            try:
                return _fetch_from(address, check)
            except _Failure as failure:
                reasons.append(f"{urlsplit(address).hostname}: {failure}")
    raise Unavailable("; ".join(reasons))


def clear() -> list[Path]:
    """Remove all files from the cache, and return their paths."""
    if not cached().parent.is_dir():
        return []
    lock = cached("human.zip.lock")
    with _alone():
        files = sorted(file for file in cached().parent.iterdir() if file != lock)
        for file in files:
            file.unlink()
    lock.unlink(missing_ok=True)
    return files


@contextmanager
def _alone() -> Iterator[None]:
    """Wait until no other process uses the cache. The lock is released if the process dies."""
    cached().parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(cached("human.zip.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        print("Another process is downloading the human demonstrations; waiting for it", flush=True)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _open_cached(check: Callable[[Path], T]) -> T | None:
    if not cached().is_file():
        return None
    try:
        return check(cached())
    except ValueError as error:
        print(f"{_finding(error)}; it is removed and downloaded again", flush=True)
        cached().unlink(missing_ok=True)
        return None


def _fetch_from(address: str, check: Callable[[Path], T]) -> T:
    import pooch
    from requests import HTTPError, RequestException

    pooch.get_logger().setLevel("ERROR")  # it would write to stderr
    part = cached(_PART)
    part.unlink(missing_ok=True)
    bar = _Bar()
    downloader = pooch.HTTPDownloader(progressbar=bar, chunk_size=2**16, timeout=_TIMEOUT)
    try:
        # `check` compares the values. Mirrors pack the archive differently, so it has no checksum.
        pooch.retrieve(address, None, part.name, part.parent, downloader=downloader)
        found = check(part)
    except RequestException as error:
        if isinstance(error, HTTPError) and error.response is not None:
            answer = f"it answers {error.response.status_code} ({error.response.reason})"
            raise _Failure(answer) from error
        raise _Failure(f"the connection failed ({type(error).__name__})") from error
    except ValueError as error:
        finding = _finding(error).removeprefix(str(part)).strip()
        raise _Failure(f"what it gives {finding}") from error
    else:
        os.replace(part, cached())
    finally:
        bar.close()
        part.unlink(missing_ok=True)
    return found


def _finding(error: ValueError) -> str:
    """Return the problem that a message names, without the advice after the last colon."""
    return str(error).rpartition(": ")[0]


class _Bar:
    """A progress bar for pooch, which sets the total once the server has answered."""

    def __init__(self) -> None:
        self._bar: tqdm | None = None
        self._received = 0

    @property
    def total(self) -> int:
        """Number of bytes to download, 0 if the server does not say."""
        return self._bar.total or 0 if self._bar else 0

    @total.setter
    def total(self, total: int) -> None:
        self._check_size(total)
        options = {"unit": "B", "unit_scale": True}
        self._bar = progress_bar(total or None, "human demonstrations", **options)

    def update(self, count: int) -> None:
        """Add `count` received bytes; ValueError when there are more than a real set has."""
        self._received += count
        self._check_size(self._received)
        if self._bar is not None:
            self._bar.update(count)

    def reset(self) -> None:
        """Start again at 0; pooch calls this before it reports the exact size at the end."""
        self._received = 0
        if self._bar is not None:
            self._bar.reset()

    def close(self) -> None:
        """Close the bar."""
        if self._bar is not None:
            self._bar.close()

    @staticmethod
    def _check_size(size: int) -> None:
        if size > MAX_BYTES:
            raise ValueError(f"has more than {MAX_BYTES:,} bytes, no real set: try another.")
