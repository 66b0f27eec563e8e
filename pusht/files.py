"""Write files atomically, and make zips whose bytes depend on their content only."""

import contextlib
import io
import os
import stat
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

_DATE = (2020, 1, 1, 0, 0, 0)  # date of every entry; real dates would change the bytes of the zip


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a path beside `path` to write to; afterwards that file replaces `path`.

    The content reaches the disk before the file is renamed, so a crash of the machine leaves either
    the old file or the new one. When the body raises, `path` is unchanged and the new file removed.
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
    """Write a file completely or not at all; text is encoded as UTF-8."""
    with replacing(path) as beside:
        beside.write_bytes(content.encode() if isinstance(content, str) else content)


def zip_bytes(files: Mapping[str, bytes], executable: tuple[str, ...] = ()) -> bytes:
    """Return the bytes of a zip of {name: content}; the same files always give the same bytes.

    executable: names of the executable files.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name, _DATE)
            entry.external_attr = (stat.S_IFREG | (0o755 if name in executable else 0o644)) << 16
            archive.writestr(entry, content, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()
