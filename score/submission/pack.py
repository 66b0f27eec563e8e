"""One zip with all that is handed in.

    score.submit()                                                      in a notebook, Colab's as
    well python -m score submission pack [FOLDER] [--out FILE]               in a terminal

The zip holds the files that `score.submission.archive` names, copies under the name that they are
copies of, of each method of Part IV one run as exp/mse and exp/flow (without W&B's own files, which
name people and machines), and manifest.json with the sums of all.
"""

import hashlib
import json
import os
import platform
import sys
import time
import zipfile
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import torch
from IPython import get_ipython

import pusht
from pusht.progress import in_notebook
from score import rubric
from score.graded import graded
from score.hw1 import layout
from score.student.progress import own_part
from score.submission.archive import (
    CAPS,
    MANIFEST,
    MB,
    NOISE,
    RUN,
    STUDENT_CAP,
    Entry,
    Export,
    HandInError,
    Refused,
    choice,
    listed,
    ranked,
    utc,
    wanted_name,
)
from score.submission.check import cells_of, check, document_of, split

_COLAB_SECONDS = 60  # a notebook with films in it takes a while


def submit(part=None, folder="."):
    """Pack what is handed in, say what is missing and, in Colab, download the zip.

    part: a name such as "part1_mlp", otherwise that of the notebook that this is called in; of the
    others, files that lie in `folder` come along.
    """
    if graded():
        return
    part, live, colab = part or own_part(), {}, "google.colab" in sys.modules
    if part not in (None, *rubric.PARTS):
        raise ValueError(f"There is no part {part!r}: name one of {', '.join(rubric.PARTS)}.")
    if colab and part:
        notebook = _live_notebook()
        live = {f"{part}.ipynb": notebook} if notebook else {}
        if not notebook:
            print(
                "Colab did not hand over the notebook. Choose File > Download > Download .ipynb,"
                " drop that file into Colab's file panel (the folder on the left) and run this cell"
                " again. What lies there now is packed below."
            )
    try:
        path, report = pack(folder, None, [part] if part else None, live)
    except HandInError as error:
        print(error)
        return
    if part and not colab and (changed := _unsaved(part, path)):
        report.parts[0].missing.append(
            f"What you ran last in {changed} is not in the saved notebook: save it (Ctrl+S) and run"
            " this cell again."
        )
    print(f"{contents(path)}\n{report}")
    if colab:
        _download(path)
    else:
        print(
            f"The file to hand in: {path.resolve()}. After a change, save the notebook (Ctrl+S) and"
            " run this cell again."
        )


def _live_notebook():
    """The notebook as it stands in the browser, as bytes; None where Colab does not hand it over."""
    try:
        from google.colab import _message

        notebook = _message.blocking_request("get_ipynb", request="", timeout_sec=_COLAB_SECONDS)[
            "ipynb"
        ]
        content = json.dumps(notebook, ensure_ascii=False).encode()
        return content if document_of(content)["cells"] else None
    except (
        Exception
    ):  # an interface of Colab's own, which may change in any way: there is another way to go
        return None


def _download(path):
    try:
        from google.colab import files

        files.download(str(path))
    except Exception as error:  # Colab's to carry, and the browser's to allow
        print(
            f"The download did not start ({type(error).__name__}): take {path.name} from Colab's"
            " file panel, the folder on the left."
        )
    else:
        print(
            f"Your browser saves {path.name}: hand that in. If it did not, take it from Colab's"
            " file panel, the folder on the left."
        )


def _unsaved(part, path):
    """The answers that ran last in another form than the packed notebook has, as text; "" for none."""
    sources = get_ipython().history_manager.input_hist_raw if in_notebook() else []
    ran = {
        key: body
        for source in sources
        for key, kind, _, body in split(source)
        if kind == "answer" and key.startswith(part[:5])
    }
    try:
        with zipfile.ZipFile(path) as archive:
            saved = {
                (key, body.rstrip())
                for key, _, _, body in cells_of(document_of(archive.read(f"{part}.ipynb")))
            }
    except (KeyError, ValueError):  # no notebook, which has been said
        return ""
    return ", ".join(f"[{key}]" for key, body in ran.items() if (key, body.rstrip()) not in saved)


def pack(folder=".", out=None, parts=None, live=None):
    """Pack a student's folder into one zip; return (its path, the `Report` of
    `score.submission.check` on it).

    parts: names of those that are handed in, None for all; what lies there of others comes along.
    live: {name: bytes} of notebooks that are not on disk. HandInError where there is nothing to
    pack, or it cannot be written.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise HandInError(f"There is no folder {folder}: name the one that your notebooks are in.")
    name = f"hand_in_{parts[0]}.zip" if parts and len(parts) == 1 else "hand_in.zip"
    path = Path(out) if out else folder / name
    with Export(folder, own=True) as export:
        files, notes = _gathered(export, live or {}, not parts or layout.PART in parts)
    if (
        not parts
        and any(name.startswith("src/") for name in files)
        and {*map(layout.part_of, files)} == {layout.PART}
    ):
        parts = [layout.PART]  # of a course of its own, which has no others
    if not files and (folder / "notebooks").is_dir():  # the kit's own folder
        return pack(folder / "notebooks", out, parts)
    if not files:
        raise HandInError(
            f"There is nothing to hand in in {folder.resolve()}: name the folder that your"
            " notebooks are in."
        )
    told = {
        name: {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
        for name, (content, _) in files.items()
    }
    manifest = {
        "kit": pusht.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "packed": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "parts": parts or [*rubric.PARTS],
        "files": told,
    }
    beside = path.with_name(f"{path.name}.part")
    try:
        with zipfile.ZipFile(beside, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, (content, when) in files.items():
                date = max(when.astimezone().timetuple()[:6], (1980, 1, 1, 0, 0, 0))
                archive.writestr(zipfile.ZipInfo(name, date), content, zipfile.ZIP_DEFLATED)
            archive.writestr(MANIFEST, json.dumps(manifest, indent=1))
        os.replace(beside, path)
    except OSError as error:
        with suppress(OSError):
            beside.unlink()
        raise HandInError(
            f"{path} cannot be written ({error.strerror}): name another place for it with --out."
        ) from None
    report = check(path, parts)
    report.notes[:0] = notes
    return path, report


def contents(path):
    """What a zip holds, a line a file."""
    with zipfile.ZipFile(path) as archive:
        infos = archive.infolist()
    width = max(len(info.filename) for info in infos)
    lines = [f"    {info.filename:<{width}} {info.file_size / 1000:>10,.1f} kB" for info in infos]
    return "\n".join([f"{path} ({path.stat().st_size / MB:.1f} MB) holds", *lines])


def _gathered(export, live, scripts):
    """({name in the zip: (content, when it was written)}, sentences on what was chosen, changed and
    left out).

    scripts: whether src/ and exp/ of the script assignment come along where there is no notebook of
    Part IV.
    """
    files, notes, room = {}, [], STUDENT_CAP
    entries = [entry for entry in export.entries if not NOISE.search(entry.path)]
    left = [entry for entry in entries if entry.refusal and wanted_name(entry.path)]
    now = utc(time.time())
    found = ranked(entries) | {
        name: [Entry(name, len(content), now, now)] for name, content in live.items()
    }
    script_files = (
        layout.layout(entries)
        if scripts and f"{layout.PART}.ipynb" not in found
        else layout.Script()
    )
    left += script_files.left
    wanted = (
        found
        | {name: [entry] for name, entry in script_files.files.items()}
        | dict(_runs(export, entries, found, script_files))
    )
    for name, candidates in wanted.items():
        cap = CAPS[os.path.splitext(name)[1].lower()]
        for entry in candidates:
            try:
                content = live[name] if name in live else export.read(entry, STUDENT_CAP)
                content, changed = (
                    _fitted(name, content, cap) if name.endswith(".ipynb") else (content, "")
                )
                if len(content) > min(cap, room):
                    raise Refused(
                        f"larger than {cap // MB} MB"
                        if len(content) > cap
                        else f"no room in {STUDENT_CAP // MB} MB"
                    )
            except Refused as refused:
                left.append(replace(entry, refusal=str(refused)))
                continue
            files[name], room = (content, entry.modified), room - len(content)
            others = [other for other in candidates if other is not entry]
            notes += filter(
                None,
                [
                    changed,
                    (
                        choice(name, entry, others)
                        if wanted_name(name) and not RUN.fullmatch(name)
                        else ""
                    ),
                ],
            )
            break
    return files, notes + ([f"Left out: {listed(left)}."] if left else [])


def _runs(export, entries, found, script_files):
    """(name in the zip, [entry]) for the files of one run a method, small ones first: the run of
    which `script_files` has the models, else the one whose log is handed in, else the one that was
    renamed for it, else the newest.
    """
    runs = {}
    for entry in entries:
        if (run := RUN.fullmatch(entry.path)) and not entry.refusal:
            runs.setdefault(run["method"].lower(), {}).setdefault(run["run"], []).append(
                (entry.size, run["inside"], entry)
            )
    for method, directories in runs.items():
        log = next(iter(found.get(f"part4_{method}_log.csv", ())), None)

        def worth(name):
            own = [entry for _, inside, entry in directories[name] if inside == "log.csv"]
            try:
                same = bool(log and own) and export.read(own[0], CAPS[".csv"]) == export.read(
                    log, CAPS[".csv"]
                )
            except Refused:
                same = False
            return (
                same,
                name == method,
                max(entry.modified for _, _, entry in directories[name]),
                name,
            )

        if script_files.of_run(method):
            directories = {
                name: rows
                for name, rows in directories.items()
                if rows[0][2].path.removesuffix(rows[0][1]) in script_files.folders()
            }
        best = directories[max(directories, key=worth)] if directories else []
        yield from (
            (f"exp/{method}/{inside}", [entry])
            for _, inside, entry in sorted(best, key=lambda row: row[:2])
        )


def _fitted(name, content, cap):
    """(a notebook without the names and photos that Colab keeps and, where it is larger than `cap`,
    without outputs; a sentence on it).
    """
    try:
        document = document_of(content)
    except ValueError:
        return content, ""  # packed as it is: the check says what is wrong with it
    dropped = [
        cell["metadata"].pop("executionInfo", None)
        for cell in document["cells"]
        if isinstance(cell.get("metadata"), dict)
    ]
    sentence = (
        f"{name} was packed without the names and photos that Colab keeps." if any(dropped) else ""
    )
    if len(content) > cap:
        for cell in document["cells"]:
            cell |= {"outputs": []} if "outputs" in cell else {}
        sentence = f"{name} is larger than {cap // MB} MB and was packed without its outputs."
    return (
        json.dumps(document, ensure_ascii=False, indent=1).encode() if sentence else content
    ), sentence
