"""Files that are written whole or not at all, and zips that are the same for the same content."""

import contextlib
import io
import os
import stat
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

_DATE = (2020, 1, 1, 0, 0, 0)  # of every entry: a zip holds a date, which would change its bytes


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a path beside `path` to write to; afterwards that file takes the place of `path`.

    The content reaches the disk before the file is renamed, so a machine that stops leaves the old
    file or the new one. When the body raises, `path` stays as it was and what was written goes.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f"{path.name}.part")
    try:
        yield beside
        with open(beside, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(beside, path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def write_whole(path: str | os.PathLike[str], content: bytes | str) -> None:
    """Write a file whole or not at all; text as UTF-8."""
    with replacing(path) as beside:
        beside.write_bytes(content.encode() if isinstance(content, str) else content)


def zip_bytes(files: Mapping[str, bytes], executable: tuple[str, ...] = ()) -> bytes:
    """Return the bytes of a zip of files by name, always the same for the same files.

    executable: names of those that may be run.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name, _DATE)
            entry.external_attr = (stat.S_IFREG | (0o755 if name in executable else 0o644)) << 16
            archive.writestr(entry, content, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()
