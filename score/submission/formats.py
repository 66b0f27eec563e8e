"""Submissions in another format than the kit's notebooks, behind one interface.

A `Format` says which files belong to it, what a check reports on them, and what grading gets.
Packing, checking, collecting and grading know a format by this interface alone, so a format is
added by a package of its own and a name in `PACKAGES`.
"""

import functools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import import_module
from typing import Protocol

from pusht.checkpoint import SUFFIX
from score import rubric
from score.submission.archive import Archive, ArchiveMember
from score.submission.files import taken_name
from score.submission.report import PartReport

# Each has a `FORMAT`. They are named and not imported here, because they import this module.
PACKAGES = ("score.hw1",)
# Patterns of the kit's files that read such submissions, for the keys under which results are kept.
SOURCES = tuple(f"{package.replace('.', '/')}/*.py" for package in PACKAGES)


@dataclass(frozen=True)
class Substitute:
    """How the part's notebook is written for a submission that has none: it is the release's with
    nothing answered.

    reason: why no question counts as tried, in a clause. remark: the same for the instructor, in a
    sentence. written: what stands in place of each answer in words. cells: (id, "markdown" or
    "code", source) of the cells that come before the part's first rollouts and define its policies.
    """

    reason: str
    remark: str
    written: str
    cells: tuple[tuple[str, str, str], ...]


class Format(Protocol):
    """A format of submissions for one part.

    part: its name. packed: name of the file that grading gets, a zip that only the sandbox opens.
    packed_cap: how many bytes its files may have together. substitute: the notebook.
    """

    part: str
    packed: str
    packed_cap: int
    substitute: Substitute

    def find(self, members: Sequence[ArchiveMember]) -> "Found | None":
        """Return what one student's files hold of this format; None where they are not in it."""

    def recognises(self, path: str) -> bool:
        """Say whether a path can only be that of a submission in this format."""

    def report(self, archive: Archive, found: "Found", contents: Mapping[str, bytes]) -> PartReport:
        """Return what a check finds. Nothing in the files is run or unpickled.

        contents: of the files that are taken in any format, by their names.
        """

    def graded_files(
        self, contents: Mapping[str, bytes], checkpoints: Mapping[str, bytes]
    ) -> dict[str, bytes]:
        """Return {name: content} of what the part is graded by beside its notebook.

        contents: of `Found.files`, by their names. checkpoints: hand-in files that are there.
        """


@dataclass(frozen=True)
class Found:
    """What a student's files hold of a format.

    description: one sentence on it. files: {name in the packed zip: member}, in the order in which
    they are taken. unused: members that belong to the format and are not needed, such as films.
    left_out: members that are not taken, with the reason. runs: {method: the run directory that is
    taken, as the members' paths begin}.
    """

    format: Format
    description: str
    files: dict[str, ArchiveMember] = field(default_factory=dict)
    unused: list[ArchiveMember] = field(default_factory=list)
    left_out: list[ArchiveMember] = field(default_factory=list)
    runs: dict[str, str] = field(default_factory=dict)

    @property
    def part(self) -> str:
        """The name of the part that this is a submission for."""
        return self.format.part

    def set_aside(self) -> "Found":
        """Return the same with nothing taken: a notebook of the part goes before any format."""
        reason = f"not used beside a notebook of {rubric.PARTS[self.part].title}"
        files = self.files.values()
        left_out = [member.rejected(reason) for member in files if not taken_name(member.path)]
        return replace(self, files={}, unused=[*files, *self.unused], left_out=left_out)


@functools.cache
def formats() -> tuple[Format, ...]:
    """Return all formats that the kit knows besides its own."""
    return tuple(import_module(package).FORMAT for package in PACKAGES)


def find(members: Sequence[ArchiveMember], parts: Collection[str]) -> Found | None:
    """Return what one student's files hold of the first format that they are in and that stands
    for one of these parts; None where there is none.
    """
    candidates = (format.find(members) for format in formats() if format.part in parts)
    return next((found for found in candidates if found), None)


def is_submitted(path: str) -> bool:
    """Say whether a path is that of a file that the course takes, in any format."""
    return bool(taken_name(path)) or any(format.recognises(path) for format in formats())


def graded_files(part: rubric.Part) -> list[str]:
    """Return the names of the files that a part is graded by, beside its notebook."""
    packed = [format.packed for format in formats() if format.part == part.name]
    return [policy.name + SUFFIX for policy in part.policies] + packed


def needs_sandbox(name: str) -> bool:
    """Say whether a graded file holds code or pickles, so that it is laid out in a sandbox only."""
    return any(name == format.packed for format in formats())
