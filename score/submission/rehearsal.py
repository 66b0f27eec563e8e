"""Rehearse the grading of what is handed in, and list what differs from practice.

The notebook is run as for the grade: in a fresh process, without training, with the files of the
submission alone. The questions get other inputs than in practice, and each policy acts in the
beginning of a few episodes. Nothing in it is graded.
"""

import os
import tempfile
import time
from pathlib import Path

from score import rubric
from score.rerun.rehearsal import NoRehearsal, rehearse
from score.student.progress import KeptVerdict, kept_verdicts
from score.submission.archive import Archive, RejectedFile
from score.submission.files import TAKEN, cap, ranked
from score.submission.gather import gather, write_zip
from score.submission.report import PartReport, Report
from score.verdict import Verdict

_NO_TEST = "its test cell is missing, so nothing was checked."


def rehearse_parts(report: Report, path: Path, folder: str | os.PathLike[str]) -> None:
    """Rehearse the parts of a submission that have a notebook, and add what differs to its report.

    path: the zip or the folder. folder: where practice kept the last verdicts; a zip has none.
    """
    files, kept = _files(path, [part.name for part in report.parts]), kept_verdicts(folder)
    for part in report.parts:
        own = {name: content for name, content in files.items() if TAKEN.get(name) == part.name}
        if f"{part.name}.ipynb" in own:
            _rehearse(part, own, kept)


def _rehearse(report: PartReport, files: dict[str, bytes], kept: dict[str, KeptVerdict]) -> None:
    started = time.monotonic()
    try:
        said = rehearse(report.name, files)
    except NoRehearsal as error:
        report.rehearsal = "This did not work."
        report.differences.append(str(error))
        return
    part = rubric.PARTS[report.name]
    entries: list[rubric.Question | rubric.Policy] = [*part.questions, *part.policies]
    report.differences += filter(
        None, [_difference(entry, said.get(entry.name), kept.get(entry.name)) for entry in entries]
    )
    right = sum(1 for one in said.values() if one.points == one.max_points)
    outcome = f"{right} of {len(entries)} checks right, {time.monotonic() - started:.0f} s."
    report.rehearsal = f"run as for the grade, {outcome}" + (
        " Different from practice:" if report.differences else " Nothing differs from practice."
    )


def _difference(
    entry: rubric.Question | rubric.Policy, said: Verdict | None, kept: KeptVerdict | None
) -> str:
    """Return a sentence on what a rehearsal says otherwise than practice; "" for nothing."""
    title = entry.rollouts_title if isinstance(entry, rubric.Policy) else entry.name
    sentence = said.sentence if said else _NO_TEST
    right = said is not None and said.points == said.max_points
    if kept is None:
        return "" if right else f"{title}: {sentence}"
    was_right = kept.points >= entry.points or (
        isinstance(entry, rubric.Policy) and kept.points > 0
    )
    if right == was_right:
        return ""
    before = "right" if was_right else f"“{kept.sentence}”"
    return f"{title}: in practice {before}; run as for the grade: {sentence}"


def _files(path: Path, parts: list[str]) -> dict[str, bytes]:
    """Return the files of a submission that are graded, by name."""
    if path.is_dir():
        with tempfile.TemporaryDirectory() as private:
            packed = Path(private, "hand_in.zip")
            write_zip(gather(path, parts), packed)
            return _files(packed, parts)
    found = {}
    with Archive(path, one_student=True) as archive:
        for name, candidates in ranked(archive.members).items():
            for member in candidates:
                if name not in found and not member.rejection:
                    try:
                        found[name] = archive.read(member, cap(name))
                    except RejectedFile:
                        continue
    return found
