"""Pack everything that a student hands in into one zip.

In a notebook, also in Colab, call `score.submit()`. In a terminal, run

    python -m score submission pack [FOLDER] [--out FILE]

The zip contains the files that `score.submission.files` lists, under their proper names even if
they are copies; one run of each method of Part IV as exp/mse and exp/flow, without W&B's files,
which name people and machines; and manifest.json with the checksums of all files.
"""

import json
import os
import sys
import tempfile
import time
import zipfile
from collections.abc import Mapping
from pathlib import Path

from IPython import get_ipython

from pusht.progress import in_notebook
from score import rubric
from score.cells import split_cells
from score.graded import graded
from score.rerun.rehearsal import NoRehearsal, rehearse
from score.student.progress import KeptVerdict, kept_verdicts, own_part
from score.submission.archive import MB, Archive, RejectedFile, SubmissionError
from score.submission.check import check
from score.submission.files import BY_NBGRADER, TAKEN, cap, ranked
from score.submission.gather import gather, write_zip
from score.submission.notebooks import marked_cells, read_notebook
from score.submission.report import PartReport, Report
from score.verdict import Verdict

_COLAB_SECONDS = 60  # a notebook with films in it takes a while
_BY_NBGRADER = (
    "To hand in: save the notebook (Ctrl+S), choose Nbgrader > Assignment List in the menu, and"
    " Submit there. After a change, save, run this cell and submit again."
)
_NO_TEST = "its test cell is missing, so nothing was checked."


def pack(
    folder: str | os.PathLike[str] = ".",
    out: str | os.PathLike[str] | None = None,
    parts: list[str] | None = None,
    live: Mapping[str, bytes] | None = None,
) -> tuple[Path, Report]:
    """Pack a student's folder into one zip; return (its path, the `Report` on it).

    parts: names of the parts that are handed in, None for all; files of other parts in the folder
    are included too. live: {name: content} of notebooks that are not on disk. SubmissionError when
    there is nothing to pack, or the zip cannot be written.
    """
    gathered = gather(Path(folder), parts, live)
    name = f"hand_in_{parts[0]}.zip" if parts and len(parts) == 1 else "hand_in.zip"
    path = Path(out) if out else gathered.folder / name
    write_zip(gathered, path)
    report = check(path, gathered.parts)
    report.notes[:0] = gathered.notes
    return path, report


def contents(path: Path) -> str:
    """Return the content of a zip as text, one line per file."""
    with zipfile.ZipFile(path) as archive:
        infos = archive.infolist()
    width = max(len(info.filename) for info in infos)
    lines = [f"    {info.filename:<{width}} {info.file_size / 1000:>10,.1f} kB" for info in infos]
    return "\n".join([f"{path} ({path.stat().st_size / MB:.1f} MB) contains", *lines])


def submit(part: str | None = None, folder: str | os.PathLike[str] = ".") -> None:
    """Pack the files to hand in, say what is missing, rehearse the grading (see
    `rehearse_parts`) and, in Colab, download the zip. In a folder that nbgrader has fetched, whose
    Submit hands it in, no zip is left.

    part: a name such as "part1_mlp". The default is the part whose notebook calls this. Files of
    other parts in `folder` are included too.
    """
    if graded():
        return
    part, colab = part or own_part(), "google.colab" in sys.modules
    if part not in (None, *rubric.PARTS):
        raise ValueError(f"There is no part {part!r}: name one of {', '.join(rubric.PARTS)}.")
    live = _live(part) if colab and part else {}
    by_nbgrader = not colab and Path(folder, BY_NBGRADER).is_file()
    with tempfile.TemporaryDirectory() as private:
        out = Path(private, "hand_in.zip") if by_nbgrader else None
        try:
            path, report = pack(folder, out, [part] if part else None, live)
        except SubmissionError as error:
            print(error)
            return
        if part and not colab and (changed := _unsaved(part, path)):
            report.parts[0].missing.append(
                f"The code that you ran last in {changed} is not in the saved notebook: save it"
                " (Ctrl+S) and run this cell again."
            )
        if part:
            print("Rehearsing: your notebook is run as for the grade, which takes up to a minute.")
            rehearse_parts(report, path, folder)
    if by_nbgrader:
        report.path = "What you hand in"
        print(f"{report}\n{_BY_NBGRADER}")
        return
    print(f"{contents(path)}\n{report}")
    if colab:
        _download(path)
    else:
        print(
            f"The file to hand in: {path.resolve()}. After a change, save the notebook (Ctrl+S) and"
            " run this cell again."
        )


def _live(part: str) -> dict[str, bytes]:
    """Return {name: notebook} with the content of Colab's page; {} if Colab does not return it."""
    if content := _from_colab():
        return {f"{part}.ipynb": content}
    print(
        "Colab did not hand over the notebook. Choose File > Download > Download .ipynb, drop that"
        " file into Colab's file panel (the folder on the left) and run this cell again. For now,"
        " only the files in that panel are packed."
    )
    return {}


def _from_colab() -> bytes | None:
    try:
        from google.colab import _message

        reply = _message.blocking_request("get_ipynb", request="", timeout_sec=_COLAB_SECONDS)
        content = json.dumps(reply["ipynb"], ensure_ascii=False).encode()
        return content if read_notebook(content)["cells"] else None
    except Exception:  # Colab's private interface may change; the caller tells the student
        return None


def _download(path: Path) -> None:
    try:
        from google.colab import files

        files.download(str(path))
    except Exception as error:  # Colab or the browser may refuse for any reason
        print(
            f"The download did not start ({type(error).__name__}): take {path.name} from Colab's"
            " file panel, the folder on the left."
        )
    else:
        print(
            f"Your browser saves {path.name}: hand that in. If it did not, take it from Colab's"
            " file panel, the folder on the left."
        )


def _unsaved(part: str, path: Path) -> str:
    """Return the answers whose last executed code differs from the packed notebook, as text; "" if
    there are none.
    """
    sources = get_ipython().history_manager.input_hist_raw if in_notebook() else []
    ran = {
        marker.id: body
        for source in sources
        for marker, body in split_cells(source)
        if marker.kind == "answer" and marker.part == part[:5]
    }
    try:
        with zipfile.ZipFile(path) as archive:
            notebook = read_notebook(archive.read(f"{part}.ipynb"))
    except (KeyError, ValueError):  # there is no notebook; the report says so
        return ""
    saved = {(marker.id, body.rstrip()) for marker, body in marked_cells(notebook)}
    return ", ".join(f"[{key}]" for key, body in ran.items() if (key, body.rstrip()) not in saved)


# The rehearsal.


def rehearse_parts(report: Report, path: Path, folder: str | os.PathLike[str]) -> None:
    """Rehearse the parts of a submission that have a notebook: run it as for the grade, and add to
    the report what differs from practice.

    It runs in a fresh process, without training, with the files of the submission alone. The
    questions get other inputs than in practice, and each policy acts in the beginning of a few
    episodes.

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
    if part.policies:
        outcome += " Of rollouts it only checks that the policy acts."
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
    # A rehearsal sees whether a policy acts, and not how well.
    acted = isinstance(entry, rubric.Policy) and kept.sentence.startswith("Score ")
    was_right = acted or kept.points >= entry.points
    if right == was_right:
        return ""
    before = "it acted" if acted else "right" if was_right else f"“{kept.sentence}”"
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
