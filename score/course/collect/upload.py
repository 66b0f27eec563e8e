"""An upload: what an export has of one student, and what is told of it."""

import os
import re
from dataclasses import dataclass, field
from datetime import datetime

import nbformat

from score.course.collect.layouts import HandedIn
from score.course.collect.people import Came
from score.submission import formats
from score.submission.archive import ArchiveMember

_TOLD = 3  # files that are named to say that nothing can be used
NOTEBOOK = (".ipynb", ".ipynb.txt", ".ipynb.json")
_NOT_OPENED = re.compile(r"\.(7z|rar|gz|bz2|xz|zst)$", re.IGNORECASE)
_ADDRESS = re.compile(r"(?:^|_)(?:link|text|onlinetext)\.html$|\.(?:url|webloc)$", re.IGNORECASE)


@dataclass(frozen=True)
class TakenFile:
    """A file that is taken: where it is in the export, the part it is for, its SHA-256, and when
    the upload that holds it was made (UTC).
    """

    member: ArchiveMember
    part: str
    sha256: str
    received: datetime


@dataclass
class Upload:
    """What an export has of one student; with `student` None, remarks on what is nobody's.

    student: the folder. source: layout and place in the export. timestamp: UTC. files: by their
    names in the course. found: what is in another format, None without any. parts: {part: "new",
    "newer", "unchanged", "again" (the same upload, which is read anew because the release or what
    the kit takes has changed) or "older"}.
    remarks: sentences on what was left out, what was chosen, what stays from before, and that the
    kit failed at its files. left: (path, reason) of all that was left out. refused: by part, why no
    notebook of it can be read. nothing: why nothing can be used, "" where something can. came: how
    the export names the student; None of what is nobody's. name: of the student, "" where it is not
    known. on_roster: None without a roster. is_whole: whether there is a notebook for each of its
    parts, in it or in the course.
    """

    student: str | None
    source: str
    timestamp: datetime | None = None
    files: dict[str, TakenFile] = field(default_factory=dict)
    found: formats.Found | None = None
    parts: dict[str, str] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
    left: list[tuple[str, str]] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    nothing: str = ""
    came: Came | None = None
    handed_in: HandedIn = field(default_factory=HandedIn)
    name: str = ""
    on_roster: bool | None = None
    is_whole: bool = False

    @property
    def taken(self) -> list[str]:
        """The parts that collecting writes."""
        return [part for part, state in self.parts.items() if state in ("new", "newer", "again")]

    def of(self, part: str) -> dict[str, TakenFile]:
        """Return the files of a part, by name."""
        return {name: file for name, file in self.files.items() if file.part == part}


@dataclass(frozen=True)
class Release:
    """A part's released notebook, and its SHA-256."""

    notebook: nbformat.NotebookNode
    sha256: str


def nothing_usable(left: list[ArchiveMember]) -> str:
    """Return a sentence on a hand-in of which nothing can be used. left: what is in it."""
    shown = [_told(member) for member in left[:_TOLD]]
    more = f", and {len(left) - _TOLD} more files" if left[_TOLD:] else ""
    return f"Handed in {'; '.join(shown) or 'nothing'}{more}."


def _told(member: ArchiveMember) -> str:
    name = os.path.basename(member.path)
    if member.rejection:
        return f"{name}: {member.rejection}"
    if _NOT_OPENED.search(name):
        return f"{name}, which is not opened: ask for a .zip or the notebook itself"
    if _ADDRESS.search(name):
        return f"{name}, an address or a text: ask for the notebook itself"
    if name.lower().endswith(NOTEBOOK):
        return f"{name}, a notebook that has none of the course's cells"
    return f"{name}, which is no notebook"
