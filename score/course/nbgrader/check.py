"""All that is wrong in a course's folder, from course.toml to the release: `course check`."""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

from score.cells import read_marker
from score.course.collect.people.roster import read_roster
from score.course.nbgrader import configuration
from score.course.nbgrader.late import rule_of
from score.course.nbgrader.source import source_of
from score.course.notebooks.build import student_notebook, students_version
from score.course.settings import Course, CourseError, read_course
from score.plain import plain_line
from score.rubric import Part


@dataclass(frozen=True)
class Checked:
    """What a check found, a sentence each: `problems`, and `facts`, which are none."""

    problems: list[str] = field(default_factory=list)
    facts: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        count = len(self.problems)
        end = f"{count} problem{'s' if count > 1 else ''}." if count else "Nothing is wrong."
        return "\n".join(map(plain_line, [*self.facts, *self.problems, end]))

    def attempt(self, step: Callable[..., Any], *args: Any) -> Any:
        """Return step(*args), or None where it raises a CourseError, which is a problem."""
        try:
            return step(*args)
        except CourseError as error:
            if str(error) not in self.problems:
                self.problems.append(str(error))
            return None


def check(folder: str | os.PathLike[str]) -> Checked:
    """Return what is wrong with a course; CourseError where there is none in the folder."""
    course, wrong = read_course(folder)
    found = Checked([*wrong])
    if course is None:
        found.facts.append("Nothing else was looked at: all of it depends on course.toml.")
        return found
    found.facts.extend(_facts(course))
    if not wrong:  # else nbgrader's configuration says the same
        config = found.attempt(configuration.read, course.folder)
        if config is not None:
            found.attempt(configuration.limits, config)
            found.attempt(configuration.require_steps, config, course.folder)
            for assignment in course.assignments:
                found.attempt(rule_of, assignment, config)
    else:
        found.attempt(configuration.compiled, course.folder)
    if course.roster:
        found.attempt(read_roster, course.roster)
    for part in course.parts.values():
        source = found.attempt(source_of, course, part)
        if source:
            found.facts.extend(source.sentences(Path("source", f"{part.name}.ipynb")))
            if not wrong:
                found.attempt(_check_release, course, part, source.notebook)
    found.problems.extend(_strangers(course))
    return found


def _facts(course: Course) -> list[str]:
    """Return what the course is."""
    facts = [f"{course.name}, in {course.folder}."]
    for assignment in course.assignments:
        parts = course.parts_of(assignment).values()
        points = sum(part.points for part in parts)
        due = f"due {assignment.due:%Y-%m-%d %H:%M %z}" if assignment.due else "no due date here"
        titles = ", ".join(part.title for part in parts)
        facts.append(f"Assignment {assignment.name}: {titles}; {points:g} points; {due}.")
    return facts


def _check_release(course: Course, part: Part, source: NotebookNode) -> None:
    """Raise a CourseError where a part's release is not what its source gives."""
    path, again = (
        course.released(part.name),
        f"run `python -m score course release {course.folder}`",
    )
    try:
        goal = students_version(source)
    except ValueError as error:
        raise CourseError(f"{part.name} in source/: {error}: correct it.") from None
    lost = _graded(student_notebook(part)) - _graded(goal)
    if lost:
        raise CourseError(f"{part.name} in source/ lacks {', '.join(sorted(lost))}: {again}.")
    if not path.is_file():
        raise CourseError(f"There is no {path}: {again}.")
    try:
        released = nbformat.read(path, as_version=4)
    except Exception as error:  # the file may hold anything
        raise CourseError(f"{path} cannot be read ({type(error).__name__}): {again}.") from None
    if _content(released) != _content(goal):
        raise CourseError(f"{path} is not what source/ and course.toml give now: {again}.")


def _graded(notebook: NotebookNode) -> set[str]:
    """Return the ids of the cells that earn points or are answered."""
    markers = (read_marker(cell.source) for cell in notebook.cells)
    return {each.key for each in markers if each and each.kind in ("answer", "test", "written")}


def _content(notebook: NotebookNode) -> list[tuple[Any, ...]]:
    return [
        (cell.cell_type, cell.source, cell.metadata.get("nbgrader", {}).get("points"))
        for cell in notebook.cells
    ]


def _strangers(course: Course) -> list[str]:
    """Return a sentence on each name in submitted/ that is no assignment of the course."""
    names = {assignment.name for assignment in course.assignments}
    found: dict[str, int] = {}
    for path in sorted((course.folder / "submitted").glob("*/*")):
        if path.is_dir() and path.name not in names and not path.name.startswith("."):
            found[path.name] = found.get(path.name, 0) + 1
    return [
        f"{course.folder / 'submitted'} has work for {name!r} ({count} of the students), which is"
        f" no assignment of the course ({', '.join(sorted(names))}): it is not graded."
        for name, count in found.items()
    ]
