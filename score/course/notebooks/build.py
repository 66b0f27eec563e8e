"""Build the notebooks from their sources (jupytext percent, solutions inside): the one with
solutions, which nbgrader releases from, and the students' one.

`score.cells` says what the first line of a cell means. In every source {{setup}} stands for
setup.py, {{bundle}} and {{badge}} for the course's address, and {{horizons.score_8}} for what
`score.course.tools.findings` found.

    python -m score.course.notebooks.build [--check]
"""

import argparse
import copy
import json
import re
import sys
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jupytext
import nbformat
from nbformat import NotebookNode

from pusht import resources
from pusht.files import write_whole
from pusht.resources import ROOT
from score import rubric
from score.cells import Marker, clear_solutions, has_solution, keep_solutions, read_marker
from score.rubric import Part
from score.student.help import HELP, help_cell

FIXED_NAME = "score/rerun/fixed_cells.json"
FIXED = resources.path(FIXED_NAME)
SOURCES = resources.path("notebooks/source")
FINDINGS = SOURCES / "findings.json"
_SETUP = SOURCES / "setup.py"
_KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}


def parts_with_source() -> list[Part]:
    """Return the rubric's parts whose notebook has been written."""
    return [part for part in rubric.PARTS.values() if (SOURCES / f"{part.name}.py").exists()]


def source_notebook(part: Part, bundle: str = "") -> NotebookNode:
    """Return the notebook of a part with its solutions and nbgrader's metadata.

    bundle: address of the course's release bundle, which goes into the badge and the set-up cell.
    """
    return _notebook(part, _with_findings(_source(part, bundle), part))


def source_code(part: Part) -> list[NotebookNode]:
    """Return the code cells of `source_notebook(part)`. They need no findings, which stand in texts
    alone: so that the solutions can compute them.
    """
    return [cell for cell in _notebook(part, _source(part)).cells if cell.cell_type == "code"]


def _source(part: Part, bundle: str = "") -> str:
    text = (SOURCES / f"{part.name}.py").read_text(encoding="utf-8")
    text = text.replace("{{setup}}\n", _SETUP.read_text(encoding="utf-8"))
    return text.replace("{{bundle}}", bundle).replace("{{badge}}", colab_address(bundle, part.name))


def _notebook(part: Part, text: str) -> NotebookNode:
    notebook = jupytext.reads(text, fmt="py:percent")
    notebook.metadata = nbformat.from_dict(
        {"kernelspec": _KERNEL, "language_info": {"name": "python"}}
    )
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    after, texts = part.name, 0
    notebook.cells = [one for cell in notebook.cells for one in (*_help_before(cell), cell)]
    for cell in notebook.cells:
        marker = _marker_of(cell, part)
        if marker is None:
            texts += 1
            cell.id, cell.metadata = f"{after}-text{texts}", nbformat.from_dict({})
        else:
            _mark(cell, marker, part)
            after, texts = cell.id, 0
    return notebook


def _help_before(cell: NotebookNode) -> list[NotebookNode]:
    """Return the cell with help that stands before a check, where there is help."""
    checked = re.search(r'^score\.check\("(\w+\.\w+)"', cell.source, re.MULTILINE)
    if cell.cell_type != "code" or not checked or checked[1] not in HELP:
        return []
    return [nbformat.v4.new_markdown_cell(help_cell(checked[1]))]


def read_findings() -> dict[str, dict[str, str]]:
    """Return what was found, {finding: {name: value as it stands in a text}}."""
    if not FINDINGS.exists():
        return {}
    found: dict[str, dict[str, str]] = json.loads(FINDINGS.read_text(encoding="utf-8"))
    return found


def _with_findings(text: str, part: Part) -> str:
    found = read_findings()

    def value(match: re.Match[str]) -> str:
        try:
            return found[match[1]][match[2]]
        except KeyError:
            raise ValueError(
                f"{part.name}: {match[0]} is not in {FINDINGS.name}: correct it, or run"
                f" `python -m score.course.tools.findings {match[1]}`."
            ) from None

    return re.sub(r"\{\{(\w+)\.(\w+)\}\}", value, text)


def _marker_of(cell: NotebookNode, part: Part) -> Marker | None:
    """Return the marker of a code cell or of a written answer; None for any other text."""
    marker = read_marker(cell.source)
    written = marker is not None and marker.kind == "written"
    if cell.cell_type == "markdown":
        return marker if written else None
    if marker is None or written:
        first = cell.source.partition("\n")[0]
        raise ValueError(
            f"{part.name}: a code cell begins with {first!r} where a marker such as '#"
            " [part1/setup] given' is needed."
        )
    return marker


def _mark(cell: NotebookNode, marker: Marker, part: Part) -> None:
    """Give a marked cell its id and its nbgrader metadata."""
    cell.id, cell.metadata = marker.key, nbformat.from_dict({})
    if marker.kind == "extension":  # nbgrader is not to know of it
        return
    graded = marker.kind in ("test", "written")
    answered = marker.kind in ("answer", "written")
    metadata: dict[str, Any] = {
        "schema_version": 3,
        "grade_id": marker.key,
        "grade": graded,
        "solution": answered,
        "locked": not answered,
        "task": False,
    }
    if graded:
        metadata["points"] = _points(part, marker.id.split("/")[1])
    if marker.kind == "test":
        first, _, rest = cell.source.partition("\n")
        unit = "point" if metadata["points"] == 1 else "points"
        cell.source = f"{first}, {metadata['points']:g} {unit}\n{rest}"
    cell.metadata = nbformat.from_dict({"nbgrader": metadata})


def _points(part: Part, cell: str) -> float:
    for entry in part.graded():
        if entry.cell == cell:
            return entry.points
    raise ValueError(f"{part.name}: the rubric has no points for the test cell {cell!r}.")


def student_notebook(part: Part, bundle: str = "") -> NotebookNode:
    """Return the notebook that students open: no solutions, no outputs."""
    return students_version(source_notebook(part, bundle))


def students_version(source: NotebookNode) -> NotebookNode:
    """Return the students' notebook of a source notebook, which may be the course's own; ValueError
    for a solution that has only one of its two lines.
    """
    # Imported here: grading runs the solutions, and needs no nbgrader for that.
    from nbgrader.preprocessors import ClearOutput, ComputeChecksums

    from score.course.notebooks.steps import DropChecksums, LockCells

    notebook = copy.deepcopy(source)
    for cell in notebook.cells:
        cell.source = clear_solutions(cell.source)
        if "SOLUTION" in cell.source:
            raise ValueError(f"a solution of cell {cell.id} has a BEGIN or END only.")
    for step in (LockCells, ClearOutput, ComputeChecksums, DropChecksums):
        notebook, _ = step().preprocess(notebook, {})
    return notebook


def fixed_cells(notebook: NotebookNode) -> dict[str, str]:
    """Return the sources of the cells that are as released when a notebook is graded, by the ids in
    their markers: a rehearsal runs them as grading does. The setup cell is each course's own.
    """
    marked = {cell.source: read_marker(cell.source) for cell in notebook.cells}
    return {
        marker.id: source
        for source, marker in marked.items()
        if marker and marker.kind in ("given", "test") and not marker.id.endswith("/setup")
    }


def fixed_cells_text(fixed: Mapping[str, dict[str, str]]) -> str:
    """Return the text of the file with the fixed cells, from `fixed_cells` by part."""
    return json.dumps(fixed, indent=1, ensure_ascii=False) + "\n"


def answered_notebook(part: Part, only: Collection[str] | None = None) -> NotebookNode:
    """Return the students' notebook with the solutions filled in, as a student would do it.

    only: ids of the cells to answer, such as "part1-bc_loss"; None for all.
    """
    notebook = student_notebook(part)
    for cell, solved in zip(notebook.cells, source_notebook(part).cells, strict=True):
        if has_solution(solved.source) and (only is None or cell.id in only):
            cell.source = keep_solutions(solved.source)
    return notebook


def colab_address(bundle: str, name: str) -> str:
    """Return the address at which Colab opens the notebook of that name, from the bundle's address.

    On GitHub (raw.githubusercontent.com/OWNER/REPO/BRANCH/…) it is Colab's GitHub page; elsewhere
    Colab opens the notebook beside the bundle; without an address it is Colab's start page, where a
    notebook can be uploaded.
    """
    colab = "https://colab.research.google.com/"
    if not bundle:
        return colab
    folder = bundle.rsplit("/", 1)[0]
    on_github = re.fullmatch(r"https://raw\.githubusercontent\.com/([^/]+/[^/]+)/(.+)", folder)
    if on_github:
        return f"{colab}github/{on_github[1]}/blob/{on_github[2]}/notebooks/{name}.ipynb"
    return f"{colab}#fileId=" + quote(f"{folder}/notebooks/{name}.ipynb", safe="")


def notebook_text(notebook: NotebookNode) -> str:
    """Return the text of a notebook's file: the same bytes for the same notebook."""
    return nbformat.writes(notebook, version=4) + "\n"


def write(notebook: NotebookNode, path: Path) -> None:
    """Write a notebook's file, and the folders that lead to it."""
    write_whole(path, notebook_text(notebook))


def main() -> None:
    """Build the notebooks, or with --check only compare them."""
    parser = argparse.ArgumentParser(
        prog="python -m score.course.notebooks.build", description="Build the students' notebooks."
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="only say whether the built notebooks are those of the sources",
    )
    stale, fixed = [], {}
    options = parser.parse_args()
    for part in parts_with_source():
        path = ROOT / "notebooks" / f"{part.name}.ipynb"
        notebook = student_notebook(part)
        fixed[part.name] = fixed_cells(notebook)
        if not options.check:
            write(notebook, path)
            print(f"built {path.relative_to(ROOT)}")
        elif not path.exists() or path.read_text(encoding="utf-8") != notebook_text(notebook):
            stale.append(path.relative_to(ROOT))
    text = fixed_cells_text(fixed)
    if not options.check:
        write_whole(FIXED, text)
    elif not FIXED.exists() or FIXED.read_text(encoding="utf-8") != text:
        stale.append(FIXED.relative_to(ROOT))
    if stale:
        sys.exit(
            f"Not what the sources give: {', '.join(map(str, stale))}. Run `make notebooks` and"
            " commit the result."
        )


if __name__ == "__main__":
    main()
