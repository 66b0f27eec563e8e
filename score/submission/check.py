"""Check whether a submission, a zip or a folder, is complete.

    python -m score submission check FILE

`check` runs and unpickles nothing: notebooks are read as JSON, checkpoints as safetensors. The
command also runs the notebooks, unless it is told --no-run (see `score.submission.pack`).
"""

import contextlib
import csv
import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from pusht import demos
from pusht.checkpoint import SUFFIX, CheckpointError, load_checkpoint
from pusht.normalisation import MOMENTS
from pusht.tracking import read_log
from score import rubric
from score.rollouts.loss_curves import epoch_losses
from score.student.progress import training_extent
from score.submission import formats
from score.submission.archive import (
    MB,
    NOISE,
    RATIO,
    Archive,
    ArchiveMember,
    RejectedFile,
    SubmissionError,
    first_readable,
    listed,
)
from score.submission.files import MANIFEST, TAKEN, cap, is_pickle, ranked
from score.submission.gather import gather, write_zip
from score.submission.notebooks import check_notebook
from score.submission.report import PartReport, Report


def check(path: str | os.PathLike[str], parts: list[str] | None = None) -> Report:
    """Return the `Report` on a submission, a zip or a folder.

    parts: names of the parts that are handed in. The default is the parts in its manifest, or all
    parts. SubmissionError when it cannot be read, or contains links, paths that lead out of it, or
    files that unpack to a suspicious size.
    """
    path = Path(path)
    if path.is_dir():
        gathered = gather(path, parts)
        with tempfile.TemporaryDirectory() as private:
            packed = Path(private, "hand_in.zip")
            write_zip(gathered, packed)
            report = check(packed, gathered.parts)
        return replace(report, path=str(path), notes=[*gathered.notes, *report.notes])
    with Archive(path, one_student=True) as archive:
        members = [member for member in archive.members if not NOISE.search(member.path)]
        for member in members:
            if reason := member.rejection or _bomb(member):
                raise SubmissionError(
                    f"{path.name} is not taken because of {member.path[:200]} ({reason}): pack the"
                    " folder again."
                )
        return _report(_read(archive, members), parts)


# A check of a policy's file: (policy, the file's name, its content, the report to add to).
_Check = Callable[[rubric.Policy, str, bytes, PartReport], None]


@dataclass(frozen=True)
class _Submission:
    """The content of a submitted zip.

    contents: {name of a file that is used: its content}. rejected: {name: a sentence on why a
    candidate for this file cannot be used}. found: the submission in another format, if any.
    packed_parts, packed_sums: the claims of the manifest, which are not trusted.
    """

    archive: Archive
    members: list[ArchiveMember]
    contents: dict[str, bytes]
    rejected: dict[str, str]
    found: formats.Found | None
    packed_parts: list[str]
    packed_sums: dict[str, str]


def _bomb(member: ArchiveMember) -> str:
    packed = member.size if member.packed is None else member.packed
    return (
        f"more than {RATIO} times its packed size" if member.size > max(packed * RATIO, MB) else ""
    )


def _read(archive: Archive, members: list[ArchiveMember]) -> _Submission:
    contents: dict[str, bytes] = {}
    rejected: dict[str, str] = {}
    for name, candidates in ranked(members).items():
        _, content, failed = first_readable(candidates, partial(archive.read, cap=cap(name)))
        for member in failed:
            rejected[name] = f"{member.path} cannot be used: {member.rejection}."
        if content is not None:
            contents[name] = content
    notebooks = {*contents, *rejected}
    asked = [name for name in rubric.PARTS if f"{name}.ipynb" not in notebooks]
    found = formats.find(archive, members, asked)
    return _Submission(archive, members, contents, rejected, found, *_manifest(archive, members))


def _manifest(archive: Archive, members: list[ArchiveMember]) -> tuple[list[str], dict[str, str]]:
    """Return (parts, {name: SHA-256}) of the manifest; both are empty if it cannot be read."""
    member = next((member for member in members if member.path == MANIFEST), None)
    try:
        manifest = json.loads(archive.read(member, cap(MANIFEST))) if member else {}
        sums = {name: str(file["sha256"]) for name, file in manifest.get("files", {}).items()}
        return [*manifest.get("parts", [])], sums
    except (RejectedFile, ValueError, TypeError, AttributeError, LookupError, RecursionError):
        return [], {}


def _report(submission: _Submission, parts: list[str] | None) -> Report:
    contents, found = submission.contents, submission.found
    there = {TAKEN[name] for name in contents}
    if not parts:
        parts = [name for name in rubric.PARTS if name in submission.packed_parts]
    if not parts:
        parts = [found.part] if found and there <= {found.part} else rubric.asked_parts(there)
    report = Report(submission.archive.path.name, [_part_report(submission, p) for p in parts])
    if others := there - {*parts}:
        report.notes.append(
            f"It also contains files of {', '.join(sorted(others))}, which are not part of this"
            " hand-in and were not checked."
        )
    sums = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    packed = submission.packed_sums
    if changed := [name for name, digest in sums.items() if packed.get(name, digest) != digest]:
        report.notes.append(f"Changed since it was packed: {', '.join(changed)}.")
    return report


def _part_report(submission: _Submission, part_name: str) -> PartReport:
    found, contents = submission.found, submission.contents
    if found and found.part == part_name:
        return found.format.report(submission.archive, found, contents)
    part, report, notebook = rubric.PARTS[part_name], PartReport(part_name), f"{part_name}.ipynb"
    unusable = {
        name: why
        for name, why in submission.rejected.items()
        if TAKEN[name] == part_name and name not in contents
    }
    report.missing += unusable.values()
    if notebook in contents:
        check_notebook(part, notebook, contents[notebook], report)
    elif notebook not in unusable:
        report.missing.append(_no_notebook(part, notebook, submission.members))
    for policy in part.policies:
        checks: dict[str, _Check] = {policy.name + SUFFIX: check_checkpoint}
        if policy.normalisation == MOMENTS or f"{policy.name}_log.csv" in contents:
            checks[f"{policy.name}_log.csv"] = _check_log
        for name, check_file in checks.items():
            if name in contents:
                check_file(policy, name, contents[name], report)
            elif name not in unusable:
                report.missing.append(_no_file(policy, name, submission.members))
    return report


def _no_notebook(part: rubric.Part, name: str, members: list[ArchiveMember]) -> str:
    code = [member for member in members if member.path.endswith(".py")]
    other = ""
    if code and any(format.part == part.name for format in formats.formats()):
        other = f"; {listed(code[:1])} is not run: put your code into the notebook's answers"
    return (
        f"There is no {name}: save it (in Colab File > Download > Download .ipynb) beside the"
        f" other files{other}."
    )


def _no_file(policy: rubric.Policy, name: str, members: list[ArchiveMember]) -> str:
    pickles = [m for m in members if is_pickle(m.path) and policy.method in m.path.lower()]
    if pickles and name.endswith(SUFFIX):
        return (
            f"{pickles[0].path} is a pickle, which is not opened because it could run any code:"
            f" hand in {name}, as the training cell of the notebook writes it."
        )
    return f"There is no {name}: run the training cell, which writes it beside the notebook."


def check_checkpoint(policy: rubric.Policy, name: str, content: bytes, report: PartReport) -> None:
    """Report whether a policy's checkpoint can be loaded, and how it was trained."""
    try:
        with _on_disk(name, content) as path:
            checkpoint = load_checkpoint(path, policy.normalisation)
    except CheckpointError as error:
        report.missing.append(str(error))
        return
    known = demos.name_of(checkpoint.demonstrations)
    report.facts.append(
        f"{name}: {training_extent(checkpoint)} on"
        f" {f'the {known}' if known else 'other'} demonstrations."
    )
    if len(epoch_losses(checkpoint)) < checkpoint.num_epochs:
        report.notes.append(
            f"{policy.name} was trained for {training_extent(checkpoint)}: run its training cell"
            " again to continue."
        )
    if known == "earlier":
        report.notes.append(
            f"{policy.name} was trained on the demonstrations that the kit shipped earlier: its"
            " loss is compared, and its score graded, by what was reached with those."
        )
    if not known:
        report.notes.append(
            f"{policy.name} was trained on demonstrations that the kit does not know, so its loss"
            " cannot be compared with a reference."
        )


def _check_log(policy: rubric.Policy, name: str, content: bytes, report: PartReport) -> None:
    try:
        with _on_disk(name, content) as path:
            logged = {column for row in read_log(path) for column in row}
    except (ValueError, TypeError, csv.Error):
        logged = set()
    if not {"train/loss", "eval/mean_reward"} <= logged:
        report.missing.append(
            f"{name} does not contain train/loss and eval/mean_reward: run the training cell again."
        )


@contextlib.contextmanager
def _on_disk(name: str, content: bytes) -> Iterator[Path]:
    """Yield the path of a temporary file with this name and content."""
    with tempfile.TemporaryDirectory() as private:
        path = Path(private, name)
        path.write_bytes(content)
        yield path
