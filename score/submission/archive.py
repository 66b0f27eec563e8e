"""The files of a hand-in: their names, how large they may be, and how a zip or a folder of them is
read, which may be hostile.

Students pack and check by this, instructors collect by it; nothing in it needs more than a
student's packages.
"""

import contextlib
import os
import re
import stat
import struct
import tempfile
import zipfile
import zlib
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path

from pusht.checkpoint import MAX_BYTES, SUFFIX
from score import rubric

MB = 2**20
CAPS = {
    ".ipynb": 20 * MB,
    SUFFIX: MAX_BYTES,
    ".csv": 5 * MB,
    ".json": 5 * MB,
    ".mp4": 20 * MB,
    ".py": MB,
    ".npz": 5 * MB,
    **dict.fromkeys((".pkl", ".pickle", ".pt", ".pth", ".ckpt", ".joblib"), MAX_BYTES),
}
STUDENT_CAP = 95 * MB  # nbgrader passes over folders of more than 100 MB
ZIP_CAP, ZIP_ENTRIES, RATIO = 250 * MB, 50_000, 500
MANIFEST = "manifest.json"

NOISE = re.compile(r"(^|/)(__MACOSX|\.[^./][^/]*|Thumbs\.db|desktop\.ini)(/|$)")
RUN = re.compile(
    r"(?:^|.*/)exp/(?P<run>(?:[^/]*_)?(?P<method>mse|flow))/(?P<inside>(?:config|summary)\.json|log\.csv|policy\.safetensors|"
    r"videos/step_\d{1,12}\.mp4|checkpoints/step_(?P<step>\d{1,12})\.safetensors)",
    re.IGNORECASE,
)
_PICKLE = re.compile(r"(?<!\.resume)\.(pkl|pickle|pt|pth|ckpt|joblib)$", re.IGNORECASE)
_COPY_WORDS = {
    "",
    "copy",
    "of",
    "kopie",
    "von",
    "van",
    "copie",
    "copia",
    "de",
    "di",
    "late",
    "ipynb",
}
_BROKEN = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    OSError,
    ValueError,
    RuntimeError,
    IndexError,
)


def _wanted():
    """{name of a file that is taken: the part it belongs to}, in the order in which they are taken."""
    names = {f"{part.name}.ipynb": part.name for part in rubric.PARTS.values()}
    for ending in (SUFFIX, "_log.csv", "_loss.json"):
        names |= {
            policy.name + ending: part.name
            for part in rubric.PARTS.values()
            for policy in part.policies
        }
    for ending in ("_vis.mp4", "_combined_vis.mp4"):
        names |= {
            policy.method + ending: part.name
            for part in rubric.PARTS.values()
            for policy in part.policies
        }
    return names | {"demo_vis.mp4": "part1_mlp", "four_policies.mp4": "part4_flow"}


WANTED = _wanted()
_LONGEST_FIRST = [os.path.splitext(name) for name in sorted(WANTED, key=len, reverse=True)]


class HandInError(Exception):
    """Why a zip or a folder cannot be used, in one sentence."""


class Refused(Exception):
    """Why a file in it is not read, in a few words."""


def wanted_name(path):
    """(name of a file that is taken, how well it is named), or None for any other file.

    A copy's name, as "Copy of part1_mlp (2).ipynb", is as good as the name itself. After these come
    names with other words in them, then what a run's directory has in exp/mse or exp/flow, its last
    policy first.
    """
    if found := RUN.fullmatch(path):
        ending = {"log.csv": "_log.csv", "policy.safetensors": SUFFIX}.get(
            found["inside"].lower(), SUFFIX if found["step"] else None
        )
        renamed = found["run"].lower() == found["method"].lower()
        return ending and (
            f"part4_{found['method'].lower()}{ending}",
            (int(renamed), int(found["step"] or 10**12)),
        )
    stem, suffix = os.path.splitext(
        re.sub(r"\.ipynb\.(txt|json)$", ".ipynb", os.path.basename(path).lower())
    )
    words = "_" + re.sub(r"[^a-z0-9]+", "_", stem).strip("_") + "_"
    for target, kind in _LONGEST_FIRST:
        if kind == suffix and f"_{target}_" in words:
            rest = words.replace(f"_{target}_", "_", 1).split("_")
            return target + kind, (
                3 if all(word.rstrip("0123456789") in _COPY_WORDS for word in rest) else 2,
                0,
            )
    return None


def ranked(entries):
    """{name of a file that is taken: the entries that may be it, the best first}: well named, then
    newer, then larger.
    """
    found = {}
    for entry in entries:
        wanted = None if entry.refusal else wanted_name(entry.path)
        if wanted:
            found.setdefault(wanted[0], []).append(
                (wanted[1], entry.received, entry.modified, entry.size, entry)
            )
    return {
        name: [row[-1] for row in sorted(found[name], key=lambda row: row[:-1], reverse=True)]
        for name in WANTED
        if name in found
    }


def choice(name, entry, others):
    """One sentence on which file was taken where there were `others`; "" where there was no choice."""
    others = [other for other in others if not RUN.fullmatch(other.path)]
    if RUN.fullmatch(entry.path):
        return f"{name} is {entry.path}."
    return (
        f"{name} is {entry.path}, the newer or else the larger one, not {listed(others)}."
        if others
        else ""
    )


def beside(path):
    """Whether a hand-in has this file of right although nothing is graded by it: the manifest, the
    rest of a run's directory.
    """
    return os.path.basename(path) == MANIFEST or bool(RUN.fullmatch(path))


def is_pickle(path):
    """Whether a model or an object may be pickled in it, which would run whatever it says when it
    is opened. Nobody opens it.
    """
    return bool(_PICKLE.search(path))


def listed(entries):
    """Paths of entries, each with the reason why it was refused, if it was."""
    shown = [entry.path + (f" ({entry.refusal})" if entry.refusal else "") for entry in entries[:8]]
    return ", ".join(shown) + (f" and {len(entries) - 8} more" if len(entries) > 8 else "")


def utc(seconds):
    return datetime.fromtimestamp(int(seconds), timezone.utc)


@dataclass(frozen=True)
class Entry:
    """A file of an export: a file of the folder, an entry of the zip, or one of a zip in either.

    path: its path in the export, fit to be printed. file: where it is, of a file. info: of an entry
    of a zip; zip: that zip's own entry, of a zip in the export. received: when the outermost of
    these was written. refusal: why it is not read, if so.
    """

    path: str
    size: int
    modified: datetime
    received: datetime
    file: Path | None = None
    info: zipfile.ZipInfo | None = None
    zip: "Entry | None" = None
    refusal: str = ""


class Export:
    """A zip or a folder, open for reading; zips in it are looked into, zips in these are not.

    own: it is one student's: no zip in it is looked into, and of a folder only what lies directly
        in it and in its exp/ and src/.
    entries: its files as `Entry`. archive: the zip, or None.
    """

    def __init__(self, path, own=False):
        self.path, self.own, self.archive, self._open, self._inner_of = (
            Path(path),
            own,
            None,
            contextlib.ExitStack(),
            None,
        )

    def __enter__(self):
        if not self.path.is_dir():
            try:
                self.archive = zipfile.ZipFile(self.path)
            except FileNotFoundError:
                raise HandInError(f"There is no {self.path}.") from None
            except _BROKEN as error:
                raise HandInError(
                    f"{self.path} is neither a folder nor a zip that can be read ({error})."
                ) from None
        self.entries = []
        try:
            for entry in self._archived() if self.archive else self._walked():
                inside = (
                    not self.own
                    and entry.path.lower().endswith(".zip")
                    and not entry.refusal
                    and not NOISE.search(entry.path)
                )
                self.entries += self._look_into(entry) if inside else [entry]
        except Refused as refused:
            raise HandInError(f"{self.path}: {refused}.") from None
        return self

    def __exit__(self, *error):
        self._open.close()
        if self.archive:
            self.archive.close()

    def read(self, entry, cap):
        """The bytes of an entry; `Refused` when it is damaged or has more of them than `cap`,
        whatever its header says.
        """
        try:
            if entry.info is None:
                with open(entry.file, "rb") as stream:
                    return _capped(stream, cap)
            archive = self._open_inner(entry.zip) if entry.zip else self.archive
            with archive.open(entry.info) as stream:
                return _capped(stream, cap, entry.info.compress_size)
        except _BROKEN as error:
            raise Refused(f"it cannot be read: {_shown(str(error))[:100]}") from None

    def _walked(self):
        for folder, folders, names in os.walk(self.path):
            folders.sort()
            if self.own and Path(folder) == self.path:
                folders[:] = [name for name in folders if name in ("exp", "src")]
            for name in sorted(
                [*names, *(name for name in folders if os.path.islink(os.path.join(folder, name)))]
            ):
                file = Path(folder, name)
                status = file.lstat()
                refusal = (
                    ""
                    if stat.S_ISREG(status.st_mode)
                    else "a link"
                    if stat.S_ISLNK(status.st_mode)
                    else "no file"
                )
                when = utc(status.st_mtime)
                yield Entry(
                    _shown(file.relative_to(self.path).as_posix()),
                    status.st_size,
                    when,
                    when,
                    file,
                    refusal=refusal,
                )

    def _archived(self):
        default = utc(self.path.stat().st_mtime)
        for info in _infos(self.archive):
            when = _zip_date(info, default)
            yield Entry(
                _shown(info.filename),
                info.file_size,
                when,
                when,
                info=info,
                refusal=_zip_refusal(info),
            )

    def _look_into(self, entry):
        """The entries of a zip in the export."""
        try:
            infos = _infos(self._open_inner(entry))
        except Refused as refused:
            return [replace(entry, refusal=str(refused))]
        except _BROKEN as error:
            return [replace(entry, refusal=f"no zip that can be read: {_shown(str(error))[:100]}")]
        return [
            Entry(
                f"{entry.path}/{_shown(info.filename)}",
                info.file_size,
                _zip_date(info, entry.received),
                entry.received,
                info=info,
                zip=entry,
                refusal=_zip_refusal(info),
            )
            for info in infos
        ]

    def _open_inner(self, entry):
        """The zip in the export with this entry; the last one stays open, as its files are read one
        after another.
        """
        if self._inner_of is None or (self._inner_of.path, self._inner_of.info) != (
            entry.path,
            entry.info,
        ):
            self._inner_of = None
            self._open.close()
            file = entry.file or self._open.enter_context(tempfile.SpooledTemporaryFile(32 * MB))
            if not entry.file:
                with self.archive.open(entry.info) as stream:
                    for chunk in _chunks(stream, ZIP_CAP, entry.info.compress_size):
                        file.write(chunk)
            self._inner, self._inner_of = self._open.enter_context(zipfile.ZipFile(file)), entry
        return self._inner


def _capped(stream, cap, packed=None):
    return b"".join(_chunks(stream, cap, packed))


def _chunks(stream, cap, packed=None):
    """The stream in pieces; `Refused` as soon as there is more than `cap`, or far more than the
    `packed` bytes it came from.
    """
    size = 0
    while chunk := stream.read(2**16):
        size += len(chunk)
        if size > cap:
            raise Refused(f"larger than {cap // MB} MB")
        if packed is not None and size > max(MB, RATIO * packed):
            raise Refused(f"more than {RATIO} times its packed size")
        yield chunk


def _infos(archive):
    infos = [info for info in archive.infolist() if not info.is_dir()]
    if len(infos) > ZIP_ENTRIES:
        raise Refused(f"a zip of more than {ZIP_ENTRIES} files")
    return infos


def _zip_refusal(info):
    name, kind = info.filename.replace("\\", "/"), stat.S_IFMT(info.external_attr >> 16)
    if name.startswith("/") or re.match(r"[A-Za-z]:", name) or ".." in name.split("/"):
        return "its path leads elsewhere"
    if kind not in (0, stat.S_IFREG):
        return "a link" if kind == stat.S_IFLNK else "no file"
    if info.flag_bits & 1:
        return "encrypted"
    return (
        ""
        if info.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
        else "packed in a way that is not read"
    )


def _zip_date(info, default):
    """The date in a zip, which is in local time; `default` where there is none."""
    try:
        when = datetime(*info.date_time).astimezone(timezone.utc)
    except (ValueError, OverflowError, OSError):
        return default
    return when if when.year > 1980 else default


def _shown(path):
    """A path with "/" between its parts and nothing that could not be printed."""
    return "".join(char if char.isprintable() else "?" for char in path.replace("\\", "/"))
