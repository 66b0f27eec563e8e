"""From a notebook's source (jupytext percent, solutions inside) to the notebook with solutions and
to the students' one.

The first line of a code cell says what the cell is, and stays in the notebook, so that a cell is
known by its text alone:

    # [part1/bc_loss] answer Q1.2     the student's; what stands between BEGIN SOLUTION and END
                                      SOLUTION goes (of a cell with two questions: BEGIN SOLUTION
                                      Q4.3)
    # [part1/q1_2] test               judges the answer before it; its points come from the rubric
    # [part1/setup] given             runs as it is, in class too
    # [part1/train] practice          for the student's eyes only: left out in class
    # [part1/encode] extension E1.1   the student's, of an exercise without points: emptied as
                                      answers are, left out in class, and nothing to nbgrader

A text cell whose first line is <!-- [part4/curves] written Q4.5 --> is an answer in words, graded
by a person. In every source {{setup}} stands for setup.py, {{bundle}} and {{badge}} for the
course's address.

    python -m score.course.notebooks.build [--check] [--run]
"""

import argparse
import re
import sys
from pathlib import Path
from urllib.parse import quote

import jupytext
import nbformat

from score import rubric

ROOT = Path(__file__).resolve().parents[3]
SOURCES = ROOT / "notebooks" / "source"
_SETUP = SOURCES / "setup.py"
MARKER = re.compile(
    r"# \[(?P<id>part\d/\w+)\] (?P<kind>given|practice|answer|extension|test)\b"
    r" ?(?P<name>[QE][\d.]+)?"
)
_WRITTEN = re.compile(r"<!-- \[(?P<id>part\d/\w+)\] written (?P<name>Q[\d.]+) -->")
_SOLUTION = re.compile(
    r"^(?P<indent> *)### BEGIN SOLUTION(?: (?P<name>Q[\d.]+))?\n.*?^ *### END SOLUTION\n?",
    re.DOTALL | re.MULTILINE,
)
_KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}


def parts_with_source():
    """The rubric's parts whose notebook has been written."""
    return [part for part in rubric.PARTS.values() if (SOURCES / f"{part.name}.py").exists()]


def source_notebook(part, bundle=""):
    """The notebook of a part with solutions, nbgrader's metadata in place.

    bundle: address of the course's release bundle, which goes into the badge and the set-up cell.
    """
    text = (SOURCES / f"{part.name}.py").read_text(encoding="utf-8")
    text = text.replace("{{setup}}\n", _SETUP.read_text(encoding="utf-8"))
    text = text.replace("{{bundle}}", bundle).replace("{{badge}}", colab_address(bundle, part.name))
    notebook = jupytext.reads(text, fmt="py:percent")
    notebook.metadata = nbformat.from_dict(
        {"kernelspec": _KERNEL, "language_info": {"name": "python"}}
    )
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    after, texts = part.name, 0
    for cell in notebook.cells:
        cell.metadata = nbformat.from_dict({})
        if cell.cell_type == "markdown" and not _WRITTEN.match(cell.source):
            texts += 1
            cell.id = f"{after}-text{texts}"
        else:
            _mark(cell, part)
            after, texts = cell.id, 0
    return notebook


def _mark(cell, part):
    """Give a cell its id and its nbgrader metadata, from its first line and the rubric."""
    first, _, rest = cell.source.partition("\n")
    written = _WRITTEN.match(first)
    if written:
        cell.id = written["id"].replace("/", "-")
        points = _points(part, written["id"].split("/")[1])
        cell.metadata = nbformat.from_dict(
            {
                "nbgrader": {
                    "schema_version": 3,
                    "grade_id": cell.id,
                    "grade": True,
                    "solution": True,
                    "locked": False,
                    "task": False,
                    "points": points,
                }
            }
        )
        return
    found = MARKER.match(first)
    if not found:
        raise ValueError(
            f"{part.name}: a code cell begins with {first!r} where a marker such as '#"
            " [part1/setup] given' is needed."
        )
    kind, grade_id = found["kind"], found["id"].replace("/", "-")
    cell.id = grade_id
    if kind == "extension":
        return
    metadata = {
        "schema_version": 3,
        "grade_id": grade_id,
        "grade": kind == "test",
        "solution": kind == "answer",
        "locked": kind != "answer",
        "task": False,
    }
    if kind == "test":
        metadata["points"] = _points(part, found["id"].split("/")[1])
        cell.source = (
            f"{first}, {metadata['points']:g} point{'s' if metadata['points'] != 1 else ''}\n{rest}"
        )
    cell.metadata = nbformat.from_dict({"nbgrader": metadata})


def _points(part, cell):
    for entry in part.graded():
        if entry.cell == cell:
            return entry.points
    raise ValueError(f"{part.name}: the rubric has no points for the test cell {cell!r}.")


def clear_solution(source):
    """A cell's source with each solution replaced by an error that names the question."""
    found = MARKER.match(source)
    cell_name = found["name"] if found and found["name"] else "this cell"

    def stub(region):
        indent, name = region["indent"], region["name"] or cell_name
        return (
            f'{indent}# TODO {name}: your answer here\n{indent}raise NotImplementedError("Need to'
            f' implement for {name}")\n'
        )

    return _SOLUTION.sub(stub, source).rstrip("\n")


def student_notebook(part, bundle=""):
    """The notebook that students open: no solutions, no outputs."""
    # Imported here: grading runs the solutions, and needs no nbgrader for that.
    from nbgrader.preprocessors import ComputeChecksums

    from score.course.nbgrader.preprocessors import LockCells

    notebook = source_notebook(part, bundle)
    for cell in notebook.cells:
        cell.source = clear_solution(cell.source)
        if "SOLUTION" in cell.source:
            raise ValueError(f"{part.name}: a solution of cell {cell.id} has a BEGIN or END only.")
    for step in (LockCells, ComputeChecksums):
        notebook, _ = step().preprocess(notebook, {})
    return notebook


def answered_notebook(part, only=None):
    """The students' notebook with the solutions filled in, as a student would; only those of the
    cells named in `only`.
    """
    notebook = student_notebook(part)
    for cell, solved in zip(notebook.cells, source_notebook(part).cells):
        if "### BEGIN SOLUTION" in solved.source and (only is None or cell.id in only):
            cell.source = re.sub(
                r"^ *### (BEGIN|END) SOLUTION.*\n?", "", solved.source, flags=re.MULTILINE
            ).rstrip("\n")
    return notebook


def colab_address(bundle, name):
    """Where Colab opens the notebook of that name, worked out from the bundle's address.

    On GitHub (raw.githubusercontent.com/OWNER/REPO/BRANCH/…) Colab's GitHub page; elsewhere the
    notebook beside the bundle; without an address Colab's own start page, where a notebook can be
    uploaded.
    """
    if not bundle:
        return "https://colab.research.google.com/"
    folder = bundle.rsplit("/", 1)[0]
    on_github = re.fullmatch(r"https://raw\.githubusercontent\.com/([^/]+/[^/]+)/(.+)", folder)
    if on_github:
        return f"https://colab.research.google.com/github/{on_github[1]}/blob/{on_github[2]}/notebooks/{name}.ipynb"
    return "https://colab.research.google.com/#fileId=" + quote(
        f"{folder}/notebooks/{name}.ipynb", safe=""
    )


def write(notebook, path):
    """Write a notebook, byte for byte the same for the same notebook."""
    text = nbformat.writes(notebook, version=4)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.write_text(text + "\n", encoding="utf-8")
    part.replace(path)


def main():
    parser = argparse.ArgumentParser(
        prog="python -m score.course.notebooks.build", description="Build the students' notebooks."
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="only say whether the built notebooks are those of the sources",
    )
    stale = []
    options = parser.parse_args()
    for part in parts_with_source():
        path = ROOT / "notebooks" / f"{part.name}.ipynb"
        notebook = student_notebook(part)
        if not options.check:
            write(notebook, path)
            print(f"built {path.relative_to(ROOT)}")
        elif (
            not path.exists()
            or path.read_text(encoding="utf-8") != nbformat.writes(notebook, version=4) + "\n"
        ):
            stale.append(path.relative_to(ROOT))
    if stale:
        sys.exit(
            f"Not what the sources give: {', '.join(map(str, stale))}. Run `make notebooks` and"
            " commit the result."
        )


if __name__ == "__main__":
    main()
