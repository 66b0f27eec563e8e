"""Read a student's file as a notebook, whatever is in it."""

import json
import re
from typing import Any

MAX_BYTES, MAX_CELLS = 20 * 2**20, 2000

_PYTHON = re.compile(r"^(# %%|# in\[|import |from \w+ import |# -\*-|def )", re.MULTILINE)


class RepairError(ValueError):
    """Why a file cannot be made a notebook of the course, in one sentence."""


def read(content: bytes | str) -> dict[str, Any]:
    """Return the notebook's JSON document, whose "cells" are a list of dicts.

    RepairError for anything else. What the cells hold is not checked.
    """
    content = content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content
    if len(content) > MAX_BYTES:
        raise RepairError(
            f"The file is larger than {MAX_BYTES >> 20} MB: clear the outputs and save it again."
        )
    document = _parse(content)
    cells = document.get("cells") if isinstance(document, dict) else None
    if not isinstance(cells, list) or not all(isinstance(cell, dict) for cell in cells):
        raise RepairError("The file is JSON but no notebook of format 4: it has no list of cells.")
    if document.get("nbformat", 4) != 4:
        raise RepairError("The notebook is not of format 4: save it anew with Jupyter or Colab.")
    if len(cells) > MAX_CELLS:
        raise RepairError(
            f"The notebook has {len(cells)} cells, more than the {MAX_CELLS} that are read."
        )
    return document


def _parse(content: bytes) -> Any:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise RepairError(
            "The file is not UTF-8 text, which a notebook is: it is damaged, or another kind of"
            " file."
        ) from None
    try:
        return json.loads(text)
    except RecursionError:
        raise RepairError("The file is nested too deeply for a notebook.") from None
    except ValueError as error:
        raise RepairError(_why_not_json(text, error)) from None


def _why_not_json(text: str, error: ValueError) -> str:
    start = text[:2000].lstrip().lower()
    if not start:
        return "The file is empty."
    if start.startswith("<"):
        return "The file is a web page, not a notebook: use File > Download > .ipynb."
    if not start.startswith("{"):
        kind = "a Python script" if _PYTHON.search(start) else "text"
        return f"The file is {kind}, not a notebook: use File > Download > .ipynb."
    if getattr(error, "pos", 0) >= len(text.rstrip()) - 1 or str(error).startswith("Unterminated"):
        return "The file breaks off before its end: download it once more."
    return f"The file is not whole JSON ({str(error)[:80]}): it was changed by hand, or damaged."


def as_dict(value: Any) -> dict[str, Any]:
    """Return a value of the file where it is a dict, else an empty one."""
    return value if isinstance(value, dict) else {}


def grade_id(cell: dict[str, Any]) -> str | None:
    """Return the cell's id in nbgrader's metadata; None without one."""
    found = as_dict(as_dict(cell.get("metadata")).get("nbgrader")).get("grade_id")
    return found if isinstance(found, str) else None


def colab_id(cell: dict[str, Any]) -> Any:
    """Return the id that Colab keeps in a cell's metadata; None without one."""
    return as_dict(cell.get("metadata")).get("id")


def source_text(cell: dict[str, Any]) -> str | None:
    """Return a cell's source as one text that can be written as UTF-8; None when it has none."""
    source = cell.get("source")
    if isinstance(source, list) and all(isinstance(line, str) for line in source):
        source = "".join(source)
    if not isinstance(source, str):
        return None
    text = source.encode("utf-8", "replace").decode("utf-8")
    return text.replace("\r\n", "\n").replace("\r", "\n").removeprefix("\ufeff")


def attachments(cell: dict[str, Any]) -> dict[str, dict[str, str]]:
    """Return the pictures of a text cell that are as the notebook format has them."""
    return {
        name: files
        for name, files in as_dict(cell.get("attachments")).items()
        if isinstance(files, dict) and all(isinstance(data, str) for data in files.values())
    }
