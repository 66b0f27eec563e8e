"""The course's own notebooks with solutions, source/ASSIGNMENT/PART.ipynb: what an instructor
changed or translated in them stays when the kit writes them anew.

.release.json in the course's folder has a digest of each cell as the kit wrote it last.
"""

import copy
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from pusht.files import write_whole
from score import rubric
from score.cells import read_marker
from score.course.notebooks.build import colab_address, source_notebook, write
from score.course.settings import Course, CourseError
from score.rubric import Part

_NOTE = ".release.json"
_UNUSED = "unused"  # folder of the sources of parts that are not in the course
_LISTED = 8  # names of cells in a sentence
_ADDRESS = re.compile(r'^BUNDLE = "[^"\n]*"', re.MULTILINE)
_BADGE = re.compile(r"(colab-badge\.svg\)\]\()[^)\s]*(\))")


@dataclass(frozen=True)
class Source:
    """A notebook with solutions as it is to be written.

    kept: names of the cells that stay as the instructor has them. outdated: those of them that the
    kit writes otherwise than before. restored: those of the kit's that had been deleted and that
    grading needs.
    """

    notebook: NotebookNode
    kept: list[str] = field(default_factory=list)
    outdated: list[str] = field(default_factory=list)
    restored: list[str] = field(default_factory=list)

    def sentences(self, path: Path) -> list[str]:
        """Return what to tell of it. path: of the notebook."""
        found = []
        if self.kept:
            found.append(
                f"{path}: what was changed there stays ({len(self.kept)} of"
                f" {len(self.notebook.cells)} cells: {_listed(self.kept)}). Delete the file to have"
                " the kit's."
            )
        if self.outdated:
            found.append(
                f"{path}: of these the kit has a new version: {_listed(self.outdated)}. Compare"
                " them with the kit's notebooks/."
            )
        if self.restored:
            found.append(
                f"{path}: {_listed(self.restored)} had been deleted and is there again, because"
                " grading needs it."
            )
        return found


def write_sources(course: Course) -> list[str]:
    """Write the course's notebooks with solutions; return what to tell of what was kept."""
    said, written = [], _read_note(course)
    for part in course.parts.values():
        path = _path(course, part)
        source = source_of(course, part, written)
        said += source.sentences(path.relative_to(course.folder))
        write(source.notebook, path)
        kit = source_notebook(part, course.bundle)
        written[part.name] = {_name(cell): _digest(cell) for cell in kit.cells}
        for old in _others(course, part):
            old.unlink(missing_ok=True)
    said += _put_aside(course)
    write_whole(course.folder / _NOTE, json.dumps(written, indent=1))
    return said


def _put_aside(course: Course) -> list[str]:
    """Move the notebooks of the kit's parts that are not in the course out of nbgrader's way."""
    said = []
    for name in rubric.PARTS.keys() - course.parts.keys():
        for path in (course.folder / "source").glob(f"*/{name}.ipynb"):
            goal = course.folder / _UNUSED / path.name
            goal.parent.mkdir(exist_ok=True)
            path.rename(goal)
            said.append(f"{name} is not in the course: its source is in {_UNUSED}/ now.")
        for path in (course.folder / "release").glob(f"*/{name}.ipynb"):
            path.unlink()
    for folder in (course.folder / "source").glob("*"):
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()  # nbgrader's page would show it as an assignment
    return sorted(said)


def source_of(
    course: Course, part: Part, written: Mapping[str, dict[str, str]] | None = None
) -> Source:
    """Return a part's notebook with solutions, as `write_sources` would write it.

    written: digests of the cells that the kit wrote, by part. CourseError where the course's own
    cannot be read.
    """
    written = _read_note(course) if written is None else written
    kit = source_notebook(part, course.bundle)
    there = [path for path in (_path(course, part), *_others(course, part)) if path.exists()]
    if not there:
        return Source(kit)
    path = there[0]
    try:
        own = nbformat.read(path, as_version=4)
    except Exception as error:  # the file may hold anything
        raise CourseError(
            f"{path} cannot be read as a notebook ({type(error).__name__}): correct it, or delete"
            " it to have the kit's."
        ) from None
    source = _merged(kit, own, written.get(part.name, {}))
    for cell in source.notebook.cells:
        if _name(cell) in source.kept:
            badge = colab_address(course.bundle, part.name)
            cell.source = _addressed(cell.source, course.bundle, badge)
    return source


def _path(course: Course, part: Part) -> Path:
    """Return where a part's notebook with solutions belongs."""
    return course.source(course.assignment_of(part.name)) / f"{part.name}.ipynb"


def _others(course: Course, part: Part) -> list[Path]:
    """Return where a part's notebook lies from when the part was in another assignment or none."""
    places = (course.folder / "source").glob(f"*/{part.name}.ipynb")
    unused = course.folder / _UNUSED / f"{part.name}.ipynb"
    return [path for path in (*sorted(places), unused) if path != _path(course, part)]


def _merged(kit: NotebookNode, own: NotebookNode, written: Mapping[str, str]) -> Source:
    """Return the kit's notebook with what an instructor changed. written: digests of the cells as
    the kit wrote them, by name.
    """
    new = {_name(cell): cell for cell in kit.cells}
    source, cells = Source(kit), list[NotebookNode]()
    for cell in own.cells:
        name = _name(cell)
        unchanged = written.get(name) == _digest(cell)
        fresh = new.pop(name, None)
        if fresh is None and unchanged:
            continue  # the kit has it no longer
        if fresh is not None and (unchanged or _digest(fresh) == _digest(cell)):
            cells.append(fresh)
            continue
        source.kept.append(name)
        cells.append(cell if fresh is None else _with_marks(cell, fresh))
        if fresh is not None and written.get(name, _digest(fresh)) != _digest(fresh):
            source.outdated.append(name)
    for name, cell in new.items():  # what the kit adds, and what was deleted
        needed = read_marker(cell.source) is not None
        if name in written and needed:
            source.restored.append(name)
        if name not in written or needed:
            cells.insert(_place(name, kit, cells), cell)
    source.notebook.cells = cells
    return source


def _place(name: str, kit: NotebookNode, cells: list[NotebookNode]) -> int:
    """Return where a cell of the kit's goes: behind the nearest of those before it in the kit."""
    names = [_name(cell) for cell in kit.cells]
    places = {_name(cell): place for place, cell in enumerate(cells)}
    before = [places[each] for each in names[: names.index(name)] if each in places]
    return before[-1] + 1 if before else 0


def _with_marks(cell: NotebookNode, fresh: NotebookNode) -> NotebookNode:
    """Return an instructor's cell with the kit's id and metadata, and with its marker where that
    says another kind or points.
    """
    fresh, text, marker = copy.deepcopy(fresh), cell.source, read_marker(fresh.source)
    if marker and (marker.kind == "test" or read_marker(text) != marker):
        text = "\n".join([fresh.source.partition("\n")[0], *text.split("\n")[1:]])
    fresh.source = text
    return fresh


def _addressed(text: str, bundle: str, badge: str) -> str:
    """Return a cell's text with these addresses of the kit and of the notebook in Colab."""
    text = _ADDRESS.sub(lambda _: f'BUNDLE = "{bundle}"', text)
    return _BADGE.sub(lambda found: found[1] + badge + found[2], text)


def _name(cell: NotebookNode) -> str:
    """Return what a cell is known by: its marker, or its id."""
    marker = read_marker(cell.source)
    return marker.key if marker else str(cell.get("id", ""))


def _digest(cell: NotebookNode) -> str:
    """Return a digest of what a cell says, whatever the course's address."""
    told = [cell.cell_type, _addressed(cell.source, "", ""), cell.metadata.get("nbgrader")]
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]


def _read_note(course: Course) -> dict[str, dict[str, str]]:
    """Return the digests of what the kit wrote; none in a course of an earlier version."""
    try:
        found = json.loads((course.folder / _NOTE).read_text(encoding="utf-8"))
        return {part: dict(cells) for part, cells in found.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _LISTED} more" if names[_LISTED:] else ""
    return ", ".join(names[:_LISTED]) + more
