"""What a grader would find missing in a hand-in, a zip or a folder; whoever wants to know may ask.

    python -m score submission pack [FOLDER]        see score.submission.pack
    python -m score submission check FILE

Nothing of what is checked is run or unpickled: notebooks are read as JSON, checkpoints as
safetensors.
"""

import ast
import csv
import hashlib
import json
import os
import re
import tempfile
import warnings
from dataclasses import dataclass, field, replace
from pathlib import Path

from pusht import demos
from pusht.checkpoint import MOMENTS, SUFFIX, CheckpointError, load_checkpoint
from pusht.tracking import read_log
from pusht.train import POLICIES
from score import rubric
from score.hw1 import layout
from score.rollouts.loss_curves import epoch_losses
from score.student.progress import training_extent
from score.submission.archive import (
    CAPS,
    MANIFEST,
    MB,
    NOISE,
    RATIO,
    WANTED,
    Export,
    HandInError,
    Refused,
    is_pickle,
    listed,
    ranked,
)

_CELL = re.compile(
    r"^[ \t]*(?:#|<!--) \[(?P<id>part\d/\w+)\]"
    r" (?P<kind>answer|test|written|given|practice)\b(?P<names>.*)$",
    re.MULTILINE,
)
_TODO = re.compile(r"^\s*raise NotImplementedError\(.*?(Q\d\.\d)", re.MULTILINE)
_UNWRITTEN = re.compile(r"\*Your answer:\*\s*\Z")
_PERSONAL = re.compile(
    r"[\w.+-]+@[\w-]+(?:\.[\w-]+)*\.[a-z]{2,}|/(?:home|Users)/\w+|[A-Z]:\\+Users\\+\w+"
)
_QUESTION = re.compile(r"Q\d\.\d")


@dataclass
class PartReport:
    """What a hand-in has of one part: facts, what is missing, what is worth knowing, all in
    sentences.
    """

    name: str
    facts: list = field(default_factory=list)
    missing: list = field(default_factory=list)
    notes: list = field(default_factory=list)


@dataclass
class Report:
    """What a check found: a `PartReport` for each part that was asked for, and what is worth
    knowing of the whole.
    """

    path: str
    parts: list
    notes: list = field(default_factory=list)

    @property
    def complete(self):
        return not any(part.missing for part in self.parts)

    def __str__(self):
        lines = []
        for part in self.parts:
            mark, state = ("✗", _counted(part.missing)) if part.missing else ("✓", "complete")
            lines.append(f"{mark} {part.name}: {state}. {' '.join(part.facts)}".rstrip())
            lines += [f"    missing: {sentence}" for sentence in part.missing] + [
                f"    to know: {sentence}" for sentence in part.notes
            ]
        lines += [f"To know: {sentence}" for sentence in self.notes]
        missing = _counted([sentence for part in self.parts for sentence in part.missing])
        return "\n".join(
            [*lines, f"{self.path} is {f'NOT complete: {missing}' if missing else 'complete'}."]
        )


def _counted(missing):
    return (
        ""
        if not missing
        else "1 thing is missing"
        if len(missing) == 1
        else f"{len(missing)} things are missing"
    )


def check(path, parts=None):
    """The `Report` on a hand-in, a zip or a folder.

    parts: names of those that are asked for; otherwise those that its manifest names, otherwise
    all. HandInError where it cannot be read, or holds what no hand-in does: links, paths that lead
    elsewhere, files that are far more than they seem.
    """
    path = Path(path)
    if path.is_dir():
        from score.submission.pack import pack

        with tempfile.TemporaryDirectory() as private:
            return replace(pack(path, Path(private, "hand_in.zip"), parts)[1], path=str(path))
    with Export(path, own=True) as export:
        entries = [entry for entry in export.entries if not NOISE.search(entry.path)]
        for entry in entries:
            bomb = (
                f"more than {RATIO} times its packed size"
                if entry.size > max(entry.info.compress_size * RATIO, MB)
                else ""
            )
            if entry.refusal or bomb:
                raise HandInError(
                    f"{path.name} is not taken because of {entry.path[:200]}"
                    f" ({entry.refusal or bomb}): pack the folder again."
                )
        return _report(export, path, entries, parts)


def _report(export, path, entries, parts):
    manifest, contents, refused = _manifest(export, entries), {}, {}
    for name, candidates in ranked(entries).items():
        for entry in candidates:
            try:
                contents[name] = export.read(entry, CAPS[os.path.splitext(name)[1]])
                break
            except Refused as error:
                refused[name] = f"{entry.path} cannot be used: {error}."
    script_files = (
        layout.layout(entries)
        if f"{layout.PART}.ipynb" not in {*contents, *refused}
        else layout.Script()
    )
    alone = script_files.files and {WANTED[name] for name in contents} <= {layout.PART}
    asked = (
        parts
        or [name for name in rubric.PARTS if name in manifest["parts"]]
        or ([layout.PART] if alone else [*rubric.PARTS])
    )
    report = Report(
        path.name,
        [
            (
                _script_report(export, script_files, contents)
                if script_files.files and name == layout.PART
                else _part_report(rubric.PARTS[name], contents, refused, entries)
            )
            for name in asked
        ],
    )
    others = {WANTED[name] for name in contents} - {*asked}
    if others:
        report.notes.append(
            f"It also holds files of {', '.join(sorted(others))}, which are not asked for and were"
            " not checked."
        )
    sums = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    changed = [
        name for name, digest in sums.items() if manifest["sums"].get(name, digest) != digest
    ]
    if changed:
        report.notes.append(f"Changed since it was packed: {', '.join(changed)}.")
    return report


def _manifest(export, entries):
    """{"parts", "sums"} of the manifest, empty where none can be read. It says what was meant, and
    proves nothing.
    """
    entry = next((entry for entry in entries if entry.path == MANIFEST), None)
    try:
        told = json.loads(export.read(entry, CAPS[".json"])) if entry else {}
        return {
            "parts": [*told.get("parts", [])],
            "sums": {name: str(file["sha256"]) for name, file in told.get("files", {}).items()},
        }
    except (Refused, ValueError, TypeError, AttributeError, LookupError, RecursionError):
        return {"parts": [], "sums": {}}


def _part_report(part, contents, refused, entries):
    report, name = PartReport(part.name), f"{part.name}.ipynb"
    own = {
        name: why
        for name, why in refused.items()
        if WANTED[name] == part.name and name not in contents
    }
    report.missing += own.values()
    if name in contents:
        _check_notebook(part, name, contents[name], report)
    elif name not in own:
        scripts = (
            [entry for entry in entries if entry.path.endswith(".py")] if part.number == 4 else []
        )
        also = (
            f"; {listed(scripts[:1])} is not run: put your code into the notebook's answers"
            if scripts
            else ""
        )
        report.missing.append(
            f"There is no {name}: save it (in Colab File > Download > Download .ipynb) beside the"
            f" other files{also}."
        )
    for policy in part.policies:
        for file, check_file in (
            (policy.name + SUFFIX, _check_checkpoint),
            (f"{policy.name}_log.csv", _check_log),
        ):
            if file in contents:
                _in_a_file(check_file, policy, file, contents, report)
            elif file not in own and (
                check_file is _check_checkpoint or policy.normalisation == MOMENTS
            ):
                report.missing.append(_absent(policy, file, entries))
    return report


def _script_report(export, script_files, contents):
    """On Part IV where the script assignment's zip stands for it. Its code is read and not run, its
    pickles are not opened.
    """
    report = PartReport(layout.PART, [str(script_files)])
    report.notes.append(
        f"There is no {layout.PART}.ipynb: the rollouts are graded and a person reads the report,"
        " but Q4.1 to Q4.4 count as not tried, and log.csv for nothing."
    )
    module = layout.package(script_files.files)
    if module is None:
        report.missing.append(
            "There is no model.py in src/: hand in src/hw1_imitation with all its .py files."
        )
    else:
        report.missing += _check_code(module, export, script_files.files[module])
    pickled = []
    for method, policy in layout.METHODS.items():
        if policy.name + SUFFIX in contents:
            told = PartReport(layout.PART)
            _in_a_file(_check_checkpoint, policy, policy.name + SUFFIX, contents, told)
            report.facts += (
                told.facts
            )  # a file that is none of the kit's may hold weights all the same
        models = layout.ranked_models(script_files.of_run(method))
        if not script_files.of_run(method):
            report.missing.append(
                f"There is no exp/{method} with a model: put the run directory of your {method}"
                " policy there, with all that is in it."
            )
        elif not models:
            report.missing.append(
                f"There is no model in exp/{method}: copy the whole run directory, with its"
                " .safetensors, .pkl or .pt."
            )
        pickled += [] if not models or models[0].endswith(SUFFIX) else models[:1]
    if pickled:
        report.notes.append(
            f"Not opened here: {', '.join(pickled)}. Pickled models and src/ are loaded only where"
            f" grading has a box for them; elsewhere it asks for {layout.PART}.ipynb and"
            f" exp/…/policy{SUFFIX}."
        )
    if script_files.left:
        report.notes.append(f"Not taken: {listed(script_files.left)}.")
    return report


def _check_code(name, export, entry):
    """What is wrong with model.py, as far as reading tells."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what the parser thinks of it
            tree = ast.parse(export.read(entry, CAPS[".py"]))
    except Refused as error:
        return [f"{entry.path} cannot be used: {error}."]
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = getattr(error, "lineno", None) or "?"
        return [
            f"{name} is no Python ({type(error).__name__}, line {line}): hand in the file that you"
            " ran."
        ]
    defined = {
        node.name for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.ClassDef))
    }
    if {"build_policy"} & defined or {*POLICIES.values()} <= defined:
        return []
    return [
        f"{name} defines neither build_policy nor {' and '.join(POLICIES.values())}: hand in the"
        " file with your policies."
    ]


def _in_a_file(check_file, policy, file, contents, report):
    with tempfile.TemporaryDirectory() as private:
        path = Path(private, file)
        path.write_bytes(contents[file])
        check_file(policy, path, report)


def _absent(policy, file, entries):
    pickles = [
        entry for entry in entries if is_pickle(entry.path) and policy.method in entry.path.lower()
    ]
    if pickles and file.endswith(SUFFIX):
        return (
            f"{pickles[0].path} is a pickle, which nobody opens because it could run anything: hand"
            f" in {file}, as the training cell of the notebook writes it."
        )
    return f"There is no {file}: run the training cell, which writes it beside the notebook."


def _check_checkpoint(policy, path, report):
    try:
        checkpoint = load_checkpoint(path, policy.normalisation)
    except CheckpointError as error:
        report.missing.append(str(error))
        return
    known = demos.name_of(checkpoint.demonstrations)
    report.facts.append(
        f"{path.name}: {training_extent(checkpoint)} on {f'the {known}' if known else 'other'}"
        " demonstrations."
    )
    if len(epoch_losses(checkpoint)) < checkpoint.num_epochs:
        report.notes.append(
            f"{policy.name} was trained for {training_extent(checkpoint)}: run its training cell again, and"
            " it goes on."
        )
    if not known:
        report.notes.append(
            f"{policy.name} was trained on demonstrations that the kit does not know, so nothing is"
            " said of its loss."
        )


def _check_log(policy, path, report):
    try:
        logged = {name for row in read_log(path) for name in row}
    except (ValueError, TypeError, csv.Error):
        logged = set()
    if not {"train/loss", "eval/mean_reward"} <= logged:
        report.missing.append(
            f"{path.name} holds no log with train/loss and eval/mean_reward: run the training cell"
            " again."
        )


def _check_notebook(part, name, content, report):
    try:
        document = document_of(content)
    except ValueError as error:
        report.missing.append(f"{name} cannot be read: {error}.")
        return
    cells, asked = (
        cells_of(document),
        [*dict.fromkeys(entry.name for entry in (*part.questions, *part.written))],
    )
    answers = {question: {} for question in asked}
    for key, kind, names, body in cells:
        for question in _QUESTION.findall(names) if kind == "answer" else ():
            answers.get(question, {}).setdefault(key, []).append(body)
    lost = [question for question in asked if not answers[question]]
    todo = [
        question
        for question, found in answers.items()
        if any(
            all(not body.strip() or question in _TODO.findall(body) for body in bodies)
            for bodies in found.values()
        )
    ]
    there = {key: body for key, kind, _, body in cells if kind in ("test", "written")}
    gone = [entry.cell for entry in part.graded() if f"part{part.number}/{entry.cell}" not in there]
    unwritten = [
        entry.title
        for entry in part.written
        if _UNWRITTEN.search(there.get(f"part{part.number}/{entry.cell}", ""))
    ]
    from_fresh = f"copy it, with its first line '# [part{part.number}/…', from a fresh notebook"
    for what, found in (
        (f"{name} has no answer cell for {{}}: {from_fresh}.", lost),
        ("Still to do: {}.", todo),
        ("Not answered in words yet: {}.", unwritten),
        (f"{name} has lost the cell that checks {{}}: {from_fresh}.", gone),
    ):
        if found:
            report.missing.append(what.format(", ".join(found)))
    people = sum(
        "executionInfo" in cell["metadata"]
        for cell in document["cells"]
        if isinstance(cell.get("metadata"), dict)
    )
    shown = json.dumps(
        [
            cell.get("outputs" if cell.get("cell_type") == "code" else "source")
            for cell in document["cells"]
        ]
    )
    personal = [*dict.fromkeys(found[0] for found in _PERSONAL.finditer(shown))]
    if people or personal:
        colab = ["what Colab keeps of who ran it"] if people else []
        report.notes.append(
            f"{name} says who you are, which a grader need not know:"
            f" {', '.join([*colab, *personal[:3]])}."
        )


def document_of(content):
    """The notebook in these bytes as a dict with a list of dicts, "cells"; ValueError, with a few
    words, where there is none.
    """
    try:
        document = json.loads(content.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        page = content.lstrip()[:1] == b"<"
        what = (
            "it is a web page: download the notebook itself"
            if page
            else "it is no whole notebook: save it again"
        )
        raise ValueError(what) from None
    cells = document.get("cells") if isinstance(document, dict) else None
    if not isinstance(cells, list) or not all(isinstance(cell, dict) for cell in cells):
        raise ValueError("it has no list of cells, so it is no notebook of format 4")
    return document


def cells_of(document):
    """[(id, kind, names of questions, source without its first line)] of a notebook's marked cells."""
    return [cell for entry in document["cells"] for cell in split(entry.get("source"))]


def split(source):
    """The same of one cell's source, in which several may have been merged."""
    source = (
        "".join(line for line in source if isinstance(line, str))
        if isinstance(source, list)
        else source
    )
    found = [*_CELL.finditer(source)] if isinstance(source, str) else []
    ends = [*(match.start() for match in found[1:]), None]
    return [
        (match["id"], match["kind"], match["names"], source[match.end() : end].strip("\n"))
        for match, end in zip(found, ends)
    ]
