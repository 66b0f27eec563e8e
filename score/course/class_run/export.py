"""Grades and feedback in the form in which a learning management system (LMS) takes them.

    python -m score course export COURSE --to canvas

Into the folder export/canvas/ of the course come the grades, a file that the LMS imports, with its
ids and the heads of its columns as the roster or an exported gradebook has them, and the feedback
pages in zips, under the names under which the submissions came. Points that are open, because a
person has still to read an answer, the grader failed or nothing was handed in, are left blank.
"""

import csv
import io
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pusht.files import write_whole
from score.course.class_run.feedback_zips import feedback_pages, write_zips
from score.course.class_run.records import standings
from score.course.collect.people import People, Person, Roster, open_people, read_roster
from score.course.nbgrader import gradebook
from score.course.report.everybody import Someone, everybody
from score.course.report.tables import cell_text
from score.course.settings import Assignment, Course, CourseError
from score.submission.failures import Failures

_DIGITS = re.compile(r" \(\d+\)$")  # Canvas's number of an assignment
_Rows = list[list[str]]


@dataclass(frozen=True)
class Exported:
    """What was written. files: their paths. sentences: on students who are not in them, and what
    is left open.
    """

    files: list[Path]
    sentences: list[str]


@dataclass(frozen=True)
class _Class:
    """What all formats are made from. points: by student and assignment; without those that are
    open. template: the roster, or the exported gradebook, whose heads and ids are taken.
    assignments: those that are exported.
    """

    course: Course
    people: People
    everybody: Mapping[str, Someone]
    points: Mapping[tuple[str, str], float]
    template: Roster
    assignments: tuple[Assignment, ...]

    def number(self, folder: str, system: str, assignment: Assignment | None = None) -> str:
        """Return how a system's exports, those of an assignment where it has numbers of its own for
        each, have named a student; "" where none came.
        """
        known = self.people.known.get(folder, {})
        if assignment and "came_as" in known:
            return known["came_as"].get(system, {}).get(assignment.name, "")
        found = [name for name in known.get("known_as", []) if name.startswith(f"{system} ")]
        return found[0].removeprefix(f"{system} ") if found else ""

    def grade(self, folder: str, assignment: Assignment) -> str:
        """Return a student's points of an assignment as text; "" where they are open."""
        points = self.points.get((folder, assignment.name))
        return "" if points is None else f"{points:.2f}"


def export(
    course: Course,
    system: str,
    out: Path | None = None,
    exported: Path | None = None,
    failures: Failures | None = None,
    assignment: str | None = None,
) -> Exported:
    """Write the grades and the feedback of a course for a system, a key of `FORMATS`.

    out: the folder, by default export/SYSTEM in the course. exported: a gradebook or grading
    worksheet that the system exported; by default the roster. assignment: the only one to export;
    by default all of the course.
    """
    failures = Failures() if failures is None else failures
    out, people = out or course.folder / "export" / system, open_people(course)
    assignments = _chosen(course, system, exported, assignment)
    template = read_roster(exported) if exported else people.roster or Roster()
    points = _points(course, failures)
    of_class = _Class(course, people, everybody(course, failures), points, template, assignments)
    if not of_class.points:
        raise CourseError(f"Nobody of {course.folder} has points yet: run `course grade` first.")
    make, sent_as, name = FORMATS[system]
    files, sentences = [], []
    for file, rows in make(of_class):
        text = io.StringIO()
        csv.writer(text, lineterminator="\r\n").writerows(rows)
        write_whole(out / file, ("\ufeff" if system == "csv" else "") + text.getvalue())
        files.append(out / file)
    strangers = [f for f, one in of_class.everybody.items() if one.on_roster is False]
    if strangers:
        sentences.append(f"Not on the roster, look whether it has them: {_listed(strangers)}.")
    for each in assignments:
        pages, lost = feedback_pages(course, people, of_class.everybody, each, sent_as, name)
        files += write_zips(out, f"feedback-{each.name}", pages)
        if lost:
            sentences.append(
                f"{each.name}: no feedback for {_listed(lost)}, because no export of"
                f" {sent_as} with their submissions was collected."
            )
        unknown = [f for f in of_class.everybody if not of_class.grade(f, each)]
        there = [f for f in unknown if course.submission(f, each).is_dir()]
        if there:
            sentences.append(f"{each.name}: left open for {_listed(there)}.")
        if nothing := [f for f in unknown if f not in there]:
            sentences.append(f"{each.name}: no notebook came, so no points, of {_listed(nothing)}.")
    return Exported(files, sentences)


def _chosen(
    course: Course, system: str, exported: Path | None, name: str | None
) -> tuple[Assignment, ...]:
    """Return the assignments to export; CourseError where it is not clear which."""
    names = [each.name for each in course.assignments]
    if name is None and system == "moodle" and exported and names[1:]:
        raise CourseError(
            f"{exported} is of one assignment: give --assignment too, one of {', '.join(names)}."
        )
    if name is not None and name not in names:
        raise CourseError(f"The course has no assignment {name!r}, but {', '.join(names)}.")
    return tuple(each for each in course.assignments if name in (None, each.name))


def _points(course: Course, failures: Failures) -> dict[tuple[str, str], float]:
    """Return the points by student and assignment where they are known, less late penalties."""
    with gradebook.open_gradebook(course) as book:
        known = standings(course, book, course.students(), failures)
    found = {}
    for student, own in known.items():
        for assignment in course.assignments:
            verdicts = [v for (part, _), v in own.verdicts.items() if part in assignment.parts]
            here = course.submission(student, assignment).is_dir()
            if here and all(verdict and not verdict.unread for verdict in verdicts):
                total = sum(verdict.points for verdict in verdicts if verdict)
                less = sum(own.results[part].late_penalty for part in assignment.parts)
                found[student, assignment.name] = max(0.0, total - less)
    return found


# Grades.


def _canvas(of_class: _Class) -> Iterator[tuple[str, _Rows]]:
    """Yield Canvas's gradebook: the columns that tell who it is, and one for each assignment."""
    fixed = ["Student", "ID", "SIS User ID", "SIS Login ID", "Section"]
    known = {*fixed, "LastName", "FirstName", "Integration ID", "Root Account"}
    head = [each for each in of_class.template.head if each in known]
    head = head if {"ID", "Section"} <= {*head} else fixed
    assignments = of_class.assignments
    heads = [_head(of_class, a, lambda text: _DIGITS.sub("", text)) for a in assignments]
    worth = [f"{_worth(of_class.course, a):g}" for a in assignments]
    rows = [[*head, *heads], ["    Points Possible", *[""] * (len(head) - 1), *worth]]
    for folder, row in _people(of_class, "Canvas"):
        one = of_class.everybody[folder]
        own = dict(zip(fixed, (one.name, row.get("ID", ""), "", "", one.section), strict=True))
        last, comma, first = one.name.partition(", ")
        first, last = (first, last) if comma else one.name.rpartition(" ")[::2]
        own |= {"FirstName": first, "LastName": last}
        own = row if "Section" in row else row | own
        rows.append([own.get(column, "") for column in head])
        rows[-1] += [of_class.grade(folder, a) for a in assignments]
    yield "grades.csv", _guarded(rows)


def _brightspace(of_class: _Class) -> Iterator[tuple[str, _Rows]]:
    """Yield Brightspace's import: ids, the points of each assignment, and the mark of a line's
    end.
    """
    assignments, suffix = of_class.assignments, " Points Grade"
    heads = [
        _head(of_class, a, lambda text: text.partition(suffix)[0], a.name + suffix)
        for a in assignments
    ]
    ids = [c for c in of_class.template.head if c in ("OrgDefinedId", "Username")]
    ids = ids or ["OrgDefinedId"]
    rows = [[*ids, *heads, "End-of-Line Indicator"]]
    for folder, row in _people(of_class, "Brightspace"):
        if not of_class.everybody[folder].id and "OrgDefinedId" not in row:
            continue  # Brightspace's number in an export may be another person's id
        own = {"OrgDefinedId": of_class.everybody[folder].id or folder} | row
        points = [of_class.grade(folder, a) for a in assignments]
        rows.append([*(own.get(column, "") for column in ids), *points, "#"])
    yield "grades.csv", _guarded(rows)


def _moodle(of_class: _Class) -> Iterator[tuple[str, _Rows]]:
    """Yield for each assignment Moodle's grading worksheet, or where the roster is none, one that
    Grades > Import takes too.
    """
    template = of_class.template
    several = of_class.course.assignments[1:] and template is of_class.people.roster
    worksheet = {"Identifier", "Grade"} <= {*template.head} and not several
    made = ["Identifier", "Full name", "Email address", "ID number", "Grade"]
    head = [*template.head] if worksheet else made
    for assignment in of_class.assignments:
        rows = [head]
        for folder, row in _people(of_class, "Moodle", assignment):
            if worksheet and "Grade" not in row:
                continue  # who is not in the worksheet is nobody whom Moodle knows by its import
            one = of_class.everybody[folder]
            number = of_class.number(folder, "Moodle", assignment)
            own = {
                "Identifier": f"Participant {number}" if number else "",
                "Full name": one.name,
                "Email address": one.email,
                "ID number": one.id if one.id != one.email else "",
            }
            own = row if worksheet else own
            grade = {"Grade": of_class.grade(folder, assignment)}
            rows.append([(own | grade).get(column, "") for column in head])
        yield f"grades-{assignment.name}.csv", _guarded(rows)


def _plain(of_class: _Class) -> Iterator[tuple[str, _Rows]]:
    """Yield a table for a spreadsheet."""
    assignments = of_class.assignments
    rows = [["student", "id", "name", "email", "section", *(a.name for a in assignments), "note"]]
    for folder, one in of_class.everybody.items():
        points = [of_class.grade(folder, assignment) for assignment in assignments]
        who = [folder, one.id, one.name, one.email, one.section]
        rows.append([*who, *points, one.reason])
    yield "grades.csv", _guarded(rows)


def _people(
    of_class: _Class, system: str, assignment: Assignment | None = None
) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield (folder, line of the template) of everybody; the line is empty where there is none."""
    rows = {key: person.row for person in of_class.template.people for key in _keys(person)}
    for folder, one in of_class.everybody.items():
        person = of_class.people.person(folder)
        number = of_class.number(folder, system, assignment)
        keys = [*(_keys(person) if person else ()), number, one.id, one.email, folder]
        row = next((rows[key.casefold()] for key in keys if key and key.casefold() in rows), {})
        yield folder, row or ({"ID": number} if number else {})


def _keys(person: Person) -> list[str]:
    return [name.casefold() for name in person.ids or (person.name,)]


def _head(
    of_class: _Class, assignment: Assignment, name_of: Callable[[str], str], made: str = ""
) -> str:
    """Return the head of an assignment's column: as the template has it, else as it is made."""
    names = {assignment.name.casefold()}
    found = (head for head in of_class.template.head if name_of(head).casefold() in names)
    return next(found, made or assignment.name)


def _worth(course: Course, assignment: Assignment) -> float:
    return sum(part.points for part in course.parts_of(assignment).values())


def _guarded(rows: _Rows) -> _Rows:
    """Return rows of which no cell is a formula."""
    plain = ("    ", "-,")  # Canvas's mark of a line, and Moodle's for what is not there
    return [
        [cell if f"{cell},".startswith(plain) else cell_text(cell) for cell in row] for row in rows
    ]


def _listed(folders: list[str]) -> str:
    more = f" and {len(folders) - 10} more" if folders[10:] else ""
    return ", ".join(folders[:10]) + more


# {system: (what makes its grade files, the layout of its exports, names in the feedback's zip)}
FORMATS: dict[str, tuple[Callable[[_Class], Iterator[tuple[str, _Rows]]], str, str]] = {
    "canvas": (_canvas, "Canvas", "{}_feedback.html"),
    "moodle": (_moodle, "Moodle", "{}_/feedback.html"),
    "brightspace": (_brightspace, "Brightspace", "{}/feedback.html"),
    "csv": (_plain, "", "{}/feedback.html"),
}
