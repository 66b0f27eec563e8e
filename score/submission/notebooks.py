"""Read submitted notebooks as JSON: find their marked cells and what is missing."""

import json
import re
from collections import Counter
from typing import Any

from score import rubric
from score.cells import Marker, split_cells, unanswered, unwritten
from score.submission.report import PartReport

_PERSONAL = re.compile(
    r"[\w.+-]+@[\w-]+(?:\.[\w-]+)*\.[a-z]{2,}|/(?:home|Users)/\w+|[A-Z]:\\+Users\\+\w+"
)
# A marker of `score.cells` and a cell's id in nbgrader, in a file that need not be whole.
_OF_PART = re.compile(
    rb"\[part(\d)/\w+\] (?:given|practice|answer|extension|test|written)\b"
    rb'|"grade_id": *"part(\d)-'
)
_COLAB = "executionInfo"  # the field with the name and photo of the person who ran a cell in Colab


def read_notebook(content: bytes) -> dict[str, Any]:
    """Return the notebook in a file's bytes; its "cells" are a list of dicts. ValueError, with a
    few words, when it is not a notebook.
    """
    try:
        document = json.loads(content.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        if content.lstrip()[:1] == b"<":
            raise ValueError("it is a web page: download the notebook itself") from None
        raise ValueError("it is not a complete notebook: save it again") from None
    cells = document.get("cells") if isinstance(document, dict) else None
    if not isinstance(cells, list) or not all(isinstance(cell, dict) for cell in cells):
        raise ValueError("it has no list of cells, so it is not a notebook of format 4")
    return document


def part_of(content: bytes) -> str | None:
    """Return the part whose cells a notebook's file has, by their markers and ids, most of them
    where it has several parts'; None where it has none. Whatever the file is called.
    """
    counts = Counter(match[1] or match[2] for match in _OF_PART.finditer(content))
    parts = {str(part.number).encode(): part.name for part in rubric.PARTS.values()}
    return next((parts[number] for number, _ in counts.most_common() if number in parts), None)


def code_cells(content: bytes) -> list[str]:
    """Return the sources of the code cells of a notebook; [] when it is not a notebook."""
    try:
        cells = read_notebook(content)["cells"]
    except ValueError:
        return []
    return [_source(cell) for cell in cells if cell.get("cell_type") == "code"]


def marked_cells(document: dict[str, Any]) -> list[tuple[Marker, str]]:
    """Return (marker, body) of a notebook's marked cells, including merged ones."""
    return [found for cell in document["cells"] for found in split_cells(_source(cell))]


def forget_people(document: dict[str, Any]) -> bool:
    """Remove Colab's record of who ran a cell, and return whether there was any."""
    kept = [metadata.pop(_COLAB, None) for metadata in _metadata(document)]
    return any(kept)


def check_notebook(part: rubric.Part, name: str, content: bytes, report: PartReport) -> None:
    """Report what is missing in a part's notebook, and what it tells about its author."""
    try:
        document = read_notebook(content)
    except ValueError as error:
        report.missing.append(f"{name} cannot be read: {error}.")
        return
    report.missing += _missing(part, name, marked_cells(document))
    if personal := _personal(document):
        report.notes.append(
            f"{name} shows who you are, which the grader does not need: {', '.join(personal)}."
        )


def _missing(part: rubric.Part, name: str, cells: list[tuple[Marker, str]]) -> list[str]:
    answers = _answers(part, cells)
    lost = [question for question, found in answers.items() if not found]
    todo = [
        question
        for question, found in answers.items()
        if any(_is_unanswered(question, bodies) for bodies in found.values())
    ]
    there = {marker.id: body for marker, body in cells if marker.kind in ("test", "written")}
    ids = {entry.cell: f"part{part.number}/{entry.cell}" for entry in part.graded()}
    gone = [cell for cell, key in ids.items() if key not in there]
    blank = [entry.title for entry in part.written if unwritten(there.get(ids[entry.cell], ""))]
    copy = f"copy it, with its first line '# [part{part.number}/…', from a fresh notebook"
    sentences = (
        (f"{name} has no answer cell for {{}}: {copy}.", lost),
        ("Still to do: {}.", todo),
        ("Not answered in words yet: {}.", blank),
        (f"{name} has lost the cell that checks {{}}: {copy}.", gone),
    )
    return [sentence.format(", ".join(found)) for sentence, found in sentences if found]


def _answers(part: rubric.Part, cells: list[tuple[Marker, str]]) -> dict[str, dict[str, list[str]]]:
    """Return {question: {id of an answer cell: its bodies, as there may be copies of it}}."""
    names = [*(each.name for each in part.questions), *(each.name for each in part.written)]
    answers: dict[str, dict[str, list[str]]] = {name: {} for name in names}
    for marker, body in cells:
        for question in marker.questions if marker.kind == "answer" else ():
            answers.get(question, {}).setdefault(marker.id, []).append(body)
    return answers


def _is_unanswered(question: str, bodies: list[str]) -> bool:
    return all(not body.strip() or question in unanswered(body) for body in bodies)


def _personal(document: dict[str, Any]) -> list[str]:
    shown = json.dumps(
        [
            cell.get("outputs" if cell.get("cell_type") == "code" else "source")
            for cell in document["cells"]
        ]
    )
    found = [*dict.fromkeys(match[0] for match in _PERSONAL.finditer(shown))][:3]
    if any(_COLAB in metadata for metadata in _metadata(document)):
        return ["Colab's record of who ran it", *found]
    return found


def _metadata(document: dict[str, Any]) -> list[dict[str, Any]]:
    found = (cell.get("metadata") for cell in document["cells"])
    return [metadata for metadata in found if isinstance(metadata, dict)]


def _source(cell: dict[str, Any]) -> str:
    source = cell.get("source")
    if isinstance(source, list):
        return "".join(line for line in source if isinstance(line, str))
    return source if isinstance(source, str) else ""
