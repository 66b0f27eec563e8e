"""The human demonstrations: published addresses -> one archive in the user's cache, checked before
it has its name.

The addresses are tried in turn. What arrives is `human.zip.part`, of the address and version in
`human.zip.part.from`, so a download that was cut off goes on where it broke, later as well. One
process downloads at a time, under a lock that ends with the process; another one waits for it, and
then finds the archive.
"""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import TypeVar
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from filelock import FileLock, Timeout
from platformdirs import user_cache_path

from pusht.progress import progress_bar

ADDRESSES = (
    "https://diffusion-policy.cs.columbia.edu/data/training/pusht.zip",
    "https://drive.google.com/uc?id=1KY1InLurpMvJDRb14L9NlXT_fEsCvVUq&confirm=t",
)
MAX_BYTES = 2**29  # the published archives have 31 MB
_TIMEOUT = 30  # seconds without a byte
_ATTEMPTS = 3  # at an address whose connection breaks
_BLOCK = 2**16

T = TypeVar("T")


class Unavailable(Exception):
    """No address gave the demonstrations; the message says briefly what each gave."""


class _Failure(Exception):
    """One address did not give them; the message says why."""


class _Cut(_Failure):
    """The connection broke: what has arrived is kept, and asking again may bring the rest."""


def cached(name: str = "human.zip") -> Path:
    """Where the downloaded archive is kept, or a file that belongs to it, whether or not it is
    there.
    """
    return user_cache_path("pusht", appauthor=False) / name


def fetch(check: Callable[[Path], T]) -> T:
    """What `check` returns for the cached archive, which is downloaded when it is absent or does
    not pass.

    Args:
        check: opens the archive at a path; raises ValueError ("PATH is so: do this.") unless it is
        the expected one.

    Raises:
        Unavailable: no address gave an archive that passes.
        OSError: the cache cannot be written.
    """
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
    """Remove the archive and what there is of one; returns the files that are gone."""
    if not cached().parent.is_dir():
        return []
    with _alone():
        files = [
            file
            for file in map(cached, ("human.zip", "human.zip.part", "human.zip.part.from"))
            if file.exists()
        ]
        for file in files:
            file.unlink()
    cached("human.zip.lock").unlink(missing_ok=True)
    return files


@contextmanager
def _alone() -> Iterator[None]:
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
        print(f"{_finding(error)}; it is removed, and fetched again", flush=True)
        cached().unlink(missing_ok=True)
        return None


def _fetch_from(address: str, check: Callable[[Path], T]) -> T:
    part = cached("human.zip.part")
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            _receive(address, part)
            break
        except _Cut:
            if attempt == _ATTEMPTS:
                raise
    try:
        found = check(part)
    except ValueError as error:
        part.unlink()
        raise _Failure(
            f"what it gives {_finding(error).removeprefix(str(part)).strip()}"
        ) from error
    os.replace(part, cached())
    cached("human.zip.part.from").unlink(missing_ok=True)
    return found


def _receive(address: str, part: Path) -> None:
    """Complete `part`, going on where it ends if it is of this address and of the version that is
    there now.
    """
    origin, offset, headers = cached("human.zip.part.from"), 0, {"User-Agent": "pusht"}
    if part.is_file() and origin.is_file():
        source, version = (origin.read_text("utf-8", "replace").splitlines() + ["", ""])[:2]
        if source == address and (offset := part.stat().st_size):
            headers |= {"Range": f"bytes={offset}-"} | ({"If-Range": version} if version else {})
    try:
        response = build_opener(_Redirects).open(
            Request(address, headers=headers), timeout=_TIMEOUT
        )
    except HTTPError as error:
        response = error
    except (OSError, HTTPException, ValueError) as error:
        raise _Failure(f"no connection ({_short(error)})") from error

    with response:
        given = response.headers.get("Content-Range", "")
        misfit = response.status == 416 or (
            response.status == 206 and not given.startswith(f"bytes {offset}-")
        )
        if misfit and offset:
            part.unlink()
            return _receive(address, part)
        if misfit or response.status not in (200, 206):
            raise _Failure(f"it answers {response.status} ({_short(response.reason)})")
        offset = offset if response.status == 206 else 0
        length = response.headers.get("Content-Length", "")
        total = offset + int(length) if length.isdecimal() else None
        if total is not None and total > MAX_BYTES:
            raise _Failure(f"it offers {total:,} bytes, no real set")
        blocks = _blocks(response, offset, total)
        if not offset:
            _begin(part, origin, address, response, next(blocks, b""))
        with (
            part.open("ab") as file,
            progress_bar(
                total, "human demonstrations", initial=file.tell(), unit="B", unit_scale=True
            ) as bar,
        ):
            for block in blocks:
                file.write(block)
                bar.update(len(block))
    if part.stat().st_size > MAX_BYTES:
        part.unlink()
        raise _Failure(f"it gives more than {MAX_BYTES:,} bytes, no real set")


def _begin(part: Path, origin: Path, address: str, response: HTTPResponse, first: bytes) -> None:
    """Put the first block of an archive in the place of an older part, which no notice takes."""
    if not first.startswith(b"PK"):
        page = "html" in response.headers.get_content_type() or re.match(
            rb"(\xef\xbb\xbf)?\s*<", first
        )
        raise _Failure("a web page in place of the zip (a quota notice?)" if page else "no zip")
    version = response.headers.get("ETag", "")
    if not version or version.startswith("W/"):  # a weak one does not promise the same bytes
        version = response.headers.get("Last-Modified", "")
    origin.unlink(missing_ok=True)
    part.write_bytes(first)
    origin.write_text(f"{address}\n{version}\n", "utf-8")


def _blocks(response: HTTPResponse, count: int, total: int | None) -> Iterator[bytes]:
    """The rest of an archive, of which `count` bytes are there, to its end or past what any set
    has.
    """
    while count <= MAX_BYTES:
        try:
            block = response.read(_BLOCK)
        except (OSError, HTTPException) as error:
            raise _Cut(f"cut short after {count:,} bytes ({_short(error)})") from error
        if not block:
            break
        yield block
        count += len(block)
    if total is not None and count < total:
        raise _Cut(f"cut short after {count:,} of {total:,} bytes")


class _Redirects(HTTPRedirectHandler):
    """Follows to https alone, beside plain http on this machine."""

    def redirect_request(self, req, fp, code, msg, headers, newurl):
        to = urlsplit(newurl)
        if to.scheme != "https" and (to.scheme, to.hostname) != ("http", "127.0.0.1"):
            raise HTTPError(req.full_url, code, f"leads to {newurl}, not to https", headers, fp)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _finding(error: ValueError) -> str:
    """What is wrong, without the advice behind the last colon."""
    return str(error).rpartition(": ")[0]


def _short(error: object) -> str:
    """An error as a short remark on one line."""
    error = error.reason if isinstance(error, URLError) else error
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(text.split())[:100]
