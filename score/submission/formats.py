"""An interface for submissions in other formats than the kit's notebooks.

A `Format` finds its files, reports on them, and returns the files that are graded. Packing,
checking, collecting and grading use only this interface. To add a format, write a package and add
its name to `PACKAGES`.
"""

import functools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from pusht.checkpoint import SUFFIX
from pusht.normalisation import Stats
from score import rubric
from score.submission.archive import Archive, ArchiveMember
from score.submission.files import taken_name
from score.submission.report import PartReport

# Each package has a `FORMAT`. They are imported later, because they import this module.
PACKAGES = ("score.hw1",)
# Patterns of the files that read such submissions, for the cache keys of results.
SOURCES = tuple(f"{package.replace('.', '/')}/**/*.py" for package in PACKAGES)


@dataclass(frozen=True)
class Substitute:
    """The notebook that is graded for a submission without one: the released notebook, unanswered,
    with these changes.

    reason: a clause that says why no question counts as tried. remark: a sentence that says the
    same to the instructor. written: the text in place of each answer in words. cells: (id,
    "markdown" or "code", source) of cells that are inserted before the part's first rollouts and
    define its policies.
    """

    reason: str
    remark: str
    written: str
    cells: tuple[tuple[str, str, str], ...]


class Format(Protocol):
    """A format of submissions for one part.

    part: the part's name. packed: name of the zip that is graded and opened in the sandbox only.
    packed_cap: largest total size of its files, in bytes. substitute: the notebook that is graded.
    """

    part: str
    packed: str
    packed_cap: int
    substitute: Substitute

    def find(self, archive: Archive, members: Sequence[ArchiveMember]) -> "Found | None":
        """Return the submission in this format among one student's files, or None.

        archive: reads them.
        """

    def recognises(self, path: str) -> bool:
        """Return whether a path can only belong to a submission in this format."""

    def report(self, archive: Archive, found: "Found", contents: Mapping[str, bytes]) -> PartReport:
        """Return a report on the submission, without running or unpickling anything.

        contents: {name: content} of the files that are used in any format.
        """

    def graded_files(
        self,
        contents: Mapping[str, bytes],
        checkpoints: Mapping[str, bytes],
        paths: Mapping[str, str],
    ) -> dict[str, bytes]:
        """Return {name: content} of the files from which the part is graded, beside its notebook.

        contents: {name: content} of `Found.files`. checkpoints: {name: content} of checkpoints.
        paths: {name in `contents`: path in the student's upload}.
        """

    def missing_packages(self, packed: bytes) -> list[str]:
        """Return the packages that the code in a packed zip imports and that this machine lacks."""

    def acting(self, policy: rubric.Policy, message: Any, packed: bytes) -> "Acting":
        """Return how a policy of a packed zip acts; AnswerError when that is not known.

        message: what the kernel says that it loaded.
        """


@dataclass(frozen=True)
class Acting:
    """How a policy of a submission in another format acts.

    chunk_size: actions that it predicts and that are executed. calls: of its network in an episode,
    relative to those that the rubric expects. told: sentences on what is graded, in which the
    kernel's own words may be. sets: statistics
    of normalisation to choose from, by the demonstrations' fingerprint; empty if the submission has
    its own. logged: the mean reward that its log claims over the episodes of `seeds`, or None.
    """

    chunk_size: int
    calls: float
    told: str
    sets: Mapping[str, Stats]
    logged: float | None
    seeds: Sequence[int]

    def policy(self, policy: rubric.Policy) -> rubric.Policy:
        """Return the rubric's policy with these chunks, and the time that its episodes take."""
        return replace(
            policy,
            pred_horizon=self.chunk_size,
            action_horizon=self.chunk_size,
            episode_seconds=policy.episode_seconds * max(1.0, self.calls),
        )


@dataclass(frozen=True)
class Found:
    """A submission in another format, found among a student's files.

    description: one sentence that describes it. files: {name in the packed zip: member}, in the
    order of packing. unused: members that belong to the format but are not needed, such as films.
    left_out: members that are rejected, with the reason. runs: {method: path of the run directory
    that is used}.
    """

    format: Format
    description: str
    files: dict[str, ArchiveMember] = field(default_factory=dict)
    unused: list[ArchiveMember] = field(default_factory=list)
    left_out: list[ArchiveMember] = field(default_factory=list)
    runs: dict[str, str] = field(default_factory=dict)

    @property
    def part(self) -> str:
        """The name of the submitted part."""
        return self.format.part

    def set_aside(self) -> "Found":
        """Return a copy that uses no file, because a notebook of the part has precedence."""
        reason = f"not used beside a notebook of {rubric.PARTS[self.part].title}"
        files = self.files.values()
        left_out = [member.rejected(reason) for member in files if not taken_name(member.path)]
        return replace(self, files={}, unused=[*files, *self.unused], left_out=left_out)


@functools.cache
def formats() -> tuple[Format, ...]:
    """Return all formats other than the kit's own."""
    return tuple(import_module(package).FORMAT for package in PACKAGES)


def find(
    archive: Archive, members: Sequence[ArchiveMember], parts: Collection[str]
) -> Found | None:
    """Return the first submission among one student's files that is in another format and for one
    of these parts, or None. archive: reads them.
    """
    candidates = (format.find(archive, members) for format in formats() if format.part in parts)
    return next((found for found in candidates if found), None)


def is_submitted(path: str) -> bool:
    """Return whether a path belongs to a submission, in any format."""
    return bool(taken_name(path)) or any(format.recognises(path) for format in formats())


def graded_files(part: rubric.Part) -> list[str]:
    """Return the names of the files from which a part is graded, beside its notebook."""
    packed = [format.packed for format in formats() if format.part == part.name]
    return [policy.name + SUFFIX for policy in part.policies] + packed


def acting(policy: rubric.Policy, message: Any, folder: Path) -> Acting | None:
    """Return how a policy acts whose submission in `folder` is in another format, None for a
    notebook's. See `Format.acting`.
    """
    for format in formats():
        packed = folder / format.packed
        if format.part == rubric.part_of(policy).name and packed.is_file():
            return format.acting(policy, message, packed.read_bytes())
    return None


def missing_packages(files: Mapping[str, bytes]) -> list[str]:
    """Return the packages that a submission's code, {name: content of a graded file}, imports and
    that this machine lacks.
    """
    packed = [(format, files[format.packed]) for format in formats() if format.packed in files]
    return sorted({name for format, content in packed for name in format.missing_packages(content)})


def needs_sandbox(name: str) -> bool:
    """Return whether a graded file contains code or pickles and so needs a sandbox."""
    return any(name == format.packed for format in formats())
