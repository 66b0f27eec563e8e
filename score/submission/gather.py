"""Choose the files of a student's folder that are handed in, and write them to a zip."""

import hashlib
import json
import platform
import time
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path

import torch

import pusht
from pusht.files import replacing
from score import rubric
from score.submission import formats
from score.submission.archive import (
    MB,
    NOISE,
    Archive,
    ArchiveMember,
    RejectedFile,
    SubmissionError,
    first_readable,
    listed,
    utc,
)
from score.submission.files import (
    LOGGED,
    MANIFEST,
    RUN,
    STUDENT_CAP,
    TAKEN,
    cap,
    choice_sentence,
    ranked,
    taken_name,
)
from score.submission.notebooks import forget_people, read_notebook


@dataclass
class Gathered:
    """The files for a zip.

    folder: folder of the files. files: {name in the zip: (content, modification time)}. parts:
    names of the parts that are handed in, None for all. notes: sentences on which files were
    chosen, changed and left out.
    """

    folder: Path
    files: dict[str, tuple[bytes, datetime]]
    parts: list[str] | None
    notes: list[str]


def gather(
    folder: Path, parts: list[str] | None = None, live: Mapping[str, bytes] | None = None
) -> Gathered:
    """Return the files of a student's folder that are handed in.

    parts: see `Gathered`; files of other parts in the folder are included too. live: {name:
    content} of notebooks that are not on disk. SubmissionError when there is nothing to hand in.
    """
    if not folder.is_dir():
        raise SubmissionError(f"There is no folder {folder}: give the folder of your notebooks.")
    with Archive(folder, one_student=True) as archive:
        gathered = _Gathering(archive, live or {}, parts).gathered()
    if not gathered.files and (folder / "notebooks").is_dir():  # the kit's own folder
        return gather(folder / "notebooks", parts)
    if not gathered.files:
        raise SubmissionError(
            f"{folder.resolve()} contains nothing to hand in: give the folder of your notebooks."
        )
    return gathered


def write_zip(gathered: Gathered, path: Path) -> None:
    """Write the zip, with a manifest; SubmissionError when it cannot be written."""
    sums = {
        name: {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
        for name, (content, _) in gathered.files.items()
    }
    manifest = {
        "kit": pusht.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "packed": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "parts": gathered.parts
        or rubric.asked_parts({TAKEN[name] for name in gathered.files if name in TAKEN}),
        "files": sums,
    }
    try:
        with (
            replacing(path) as beside,
            zipfile.ZipFile(beside, "w", zipfile.ZIP_DEFLATED) as archive,
        ):
            for name, (content, when) in gathered.files.items():
                date = max(when.astimezone().timetuple()[:6], (1980, 1, 1, 0, 0, 0))
                archive.writestr(zipfile.ZipInfo(name, date), content, zipfile.ZIP_DEFLATED)
            archive.writestr(MANIFEST, json.dumps(manifest, indent=1))
    except OSError as error:
        raise SubmissionError(
            f"{path} cannot be written ({error.strerror}): choose another path with --out."
        ) from None


# A file of a run directory: its size, its path in the directory, and the member.
_RunFile = tuple[int, str, ArchiveMember]


class _Gathering:
    """Chooses among the files of a student's folder, which is open for reading."""

    def __init__(
        self, archive: Archive, live: Mapping[str, bytes], parts: list[str] | None
    ) -> None:
        self.archive, self.live, self.parts = archive, live, parts
        self.members = [m for m in archive.members if not NOISE.search(m.path)]
        now = utc(time.time())
        self.candidates = ranked(self.members) | {
            name: [ArchiveMember(name, len(content), now, now)] for name, content in live.items()
        }
        asked = [
            name for name in parts or rubric.asked_parts() if f"{name}.ipynb" not in self.candidates
        ]
        self.found = formats.find(archive, self.members, asked)

    def gathered(self) -> Gathered:
        left = [m for m in self.members if m.rejection and taken_name(m.path)]
        wanted = dict(self.candidates)
        if self.found:
            left += self.found.left_out
            wanted |= {name: [member] for name, member in self.found.files.items()}
        wanted |= self._runs()
        files: dict[str, tuple[bytes, datetime]] = {}
        notes, self.room = [], STUDENT_CAP
        for name, candidates in wanted.items():
            member, read, rejected = first_readable(candidates, partial(self._read, name))
            left += rejected
            if member is None or read is None:
                continue
            content, changed = read
            self.room -= len(content)
            files[name] = content, member.modified
            chosen = choice_sentence(name, member, candidates) if name in self.candidates else ""
            notes += [sentence for sentence in (changed, chosen) if sentence]
        if left:
            notes.append(f"Left out: {listed(left)}.")
        return Gathered(self.archive.path, files, self.parts or self._only_part(files), notes)

    def _only_part(self, files: Mapping[str, object]) -> list[str] | None:
        """Return the part of a submission in another format if there are no files of other parts;
        it then comes from a course with this part only.
        """
        of_parts = {TAKEN[name] for name in files if name in TAKEN}
        return [self.found.part] if self.found and of_parts <= {self.found.part} else None

    def _read(self, name: str, member: ArchiveMember) -> tuple[bytes, str]:
        """Return (content, a sentence if it was changed); RejectedFile when it is too large."""
        content, changed = self.live.get(name), ""
        if content is None:
            content = self.archive.read(member, STUDENT_CAP)
        if name.endswith(".ipynb"):
            content, changed = _fitted(name, content)
        if len(content) > cap(name):
            raise RejectedFile(f"larger than {cap(name) // MB} MB")
        if len(content) > self.room:
            raise RejectedFile(f"no room in the {STUDENT_CAP // MB} MB of a zip")
        return content, changed

    def _runs(self) -> dict[str, list[ArchiveMember]]:
        """Return {name in the zip: [member]} of one run directory of each method."""
        runs: dict[str, dict[str, list[_RunFile]]] = {}
        for member in self.members:
            if (run := RUN.fullmatch(member.path)) and not member.rejection:
                folders = runs.setdefault(run["method"].lower(), {})
                folders.setdefault(run["folder"], []).append((member.size, run["inside"], member))
        return {
            f"exp/{method}/{inside}": [member]
            for method, folders in runs.items()
            for _, inside, member in self._run(method, folders)
        }

    def _run(self, method: str, folders: dict[str, list[_RunFile]]) -> list[_RunFile]:
        """Return the files of the run that is handed in, small ones first. It is the run whose
        models are used in another format, else the one whose log is handed in, else the one that
        was renamed to exp/METHOD, else the newest.
        """
        if self.found and method in self.found.runs:
            best = folders.get(self.found.runs[method], [])
        else:
            logs = self.candidates.get(f"{LOGGED[method].name}_log.csv", [None])
            log = self._log(logs[0])

            def worth(folder: str) -> tuple[bool, bool, datetime, str]:
                own = next((m for _, inside, m in folders[folder] if inside == "log.csv"), None)
                name = folder.rstrip("/").rpartition("/")[2]
                newest = max(member.modified for _, _, member in folders[folder])
                return log is not None and self._log(own) == log, name == method, newest, name

            best = folders[max(folders, key=worth)]
        return sorted(best, key=lambda row: row[:2])

    def _log(self, member: ArchiveMember | None) -> bytes | None:
        try:
            return self.archive.read(member, cap(member.path)) if member else None
        except RejectedFile:
            return None


def _fitted(name: str, content: bytes) -> tuple[bytes, str]:
    """Return (notebook, a sentence on what was changed). The names and photos that Colab stores are
    removed and, if the notebook is too large, its outputs too.
    """
    try:
        document = read_notebook(content)
    except ValueError:
        return content, ""  # packed as it is: the check says what is wrong with it
    sentence = ""
    if forget_people(document):
        sentence = f"{name} was packed without the names and photos that Colab stores."
    if len(content) > cap(name):
        for cell in document["cells"]:
            if "outputs" in cell:
                cell["outputs"] = []
        sentence = f"{name} is larger than {cap(name) // MB} MB and was packed without its outputs."
    if not sentence:
        return content, ""
    return json.dumps(document, ensure_ascii=False, indent=1).encode(), sentence
