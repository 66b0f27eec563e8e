"""The roster: who takes the course, read from what an LMS exports.

    id,name,email,section          the plain one; a name or an id is enough
    Student,ID,SIS User ID,SIS Login ID,Section,…       Canvas, Grades > Export
    First name,Last name,ID number,Email address,…      Moodle, Participants or Grades > Export
    Identifier,Full name,Email address,Status,Grade,…   Moodle, an assignment's grading worksheet
    OrgDefinedId,Username,Last Name,First Name,Email,…  Brightspace, Grades > Export
    First Name,Last Name,SID,Email,Sections             Gradescope
    identifier,github_username,github_id,name           GitHub Classroom

Columns are known by their heads, in any order, and those that are not known are kept for the export
of grades. The file is UTF-8, separated by commas, semicolons or tabs.
"""

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from score.course.settings import CourseError
from score.plain import plain_line

# Heads in small letters, without what is no letter or digit, the first that there is counts.
_IDS = [
    *("id", "idnumber", "orgdefinedid", "studentid", "studentnumber", "sid", "sisuserid"),
    *("username", "sisloginid", "loginid", "login", "userid", "user", "integrationid"),
    *("displayid", "githubusername", "identifier", "idnummer", "matrikelnummer", "kennung"),
    *("anmeldename", "numérodidentification", "númerodeid"),
]
_NAMES = ["name", "fullname", "studentname", "vollständigername", "nomcomplet", "nombrecompleto"]
_NAMES += ["student"]
_FIRST = ["firstname", "vorname", "prénom", "nombre"]
_LAST = ["lastname", "surname", "nachname", "nom", "apellidos", "apellido"]
_EMAIL = ["email", "emailaddress", "mail"]
_EMAIL += ["emailadresse", "adressedecourriel", "direccióndecorreo"]
_SECTION = ["section", "sections", "group", "groups"]
_SECTION += ["gruppe", "gruppen", "groupe", "groupes", "grupo", "grupos"]
_NOBODY = {"pointspossible", "studenttest", "teststudent"}
_MARK = re.compile(r"^(?:#|Participant |Teilnehmer/in)")  # what some systems put before a number
_MOST = 10 * 2**20  # bytes


@dataclass(frozen=True)
class Person:
    """Somebody on the roster. line: of the file. ids: all that names the person, `id` first; in it
    are the e-mail address and the logins. row: the line's fields by head.
    """

    id: str
    name: str
    email: str = ""
    section: str = ""
    line: int = 0
    ids: tuple[str, ...] = ()
    row: dict[str, str] = field(default_factory=dict, compare=False)

    @property
    def key(self) -> str:
        """What tells the person from all others on the roster."""
        return self.id or self.email or self.name


@dataclass(frozen=True)
class Roster:
    """A roster. system: "canvas", "moodle", "brightspace" or "" by its heads. head: the columns.
    above: the lines between the head and the first person.
    """

    people: tuple[Person, ...] = ()
    system: str = ""
    head: tuple[str, ...] = ()
    above: tuple[dict[str, str], ...] = ()


def read_roster(path: Path) -> Roster:
    """Return the roster in a file; CourseError, with the line, where it cannot be read."""
    rows = _rows(path)
    _, head = next(rows, (1, []))
    columns = {_plain(name): name for name in reversed(head)}
    if not any(name in columns for name in (*_IDS, *_NAMES, *_LAST, *_EMAIL)):
        raise _error(path, 1, "no column is an id, a name or an e-mail address by its head")
    people: dict[str, Person] = {}
    above, system = [], _system(columns)
    for line, fields in rows:
        if any(fields[len(head) :]):
            what = (
                f"{len(fields)} fields under {len(head)} heads: put a name with a comma in quotes"
            )
            raise _error(path, line, what)
        row = dict(zip(head, (*fields, *[""] * len(head)), strict=False))
        person = _person(row, columns, line)
        if _is_nobody(row, person, system):
            above += [row] if not people else []
        elif not person.key:
            raise _error(path, line, "neither a name nor an id")
        elif (other := people.get(person.key)) is None:
            people[person.key] = person
        elif other.name == person.name:  # in two sections
            sections = dict.fromkeys([*other.section.split(", "), person.section])
            people[person.key] = replace(other, section=", ".join(filter(None, sections)))
        else:
            what = f"{person.key!r} is on line {other.line} too, with another name"
            raise _error(path, line, what)
    return Roster(tuple(people.values()), system, tuple(head), tuple(above))


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield (line, fields) of the lines of a file that are not empty."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CourseError(f"The roster {path} cannot be read: {error.strerror}.") from None
    if len(content) > _MOST:
        raise _error(path, 1, f"the file is larger than {_MOST >> 20} MB")
    text = _text(path, content)
    first = text.lstrip().partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        for row in reader:
            fields = [plain_line(name).strip() for name in row]
            if any(fields):
                yield reader.line_num, fields
    except csv.Error as error:
        raise _error(path, reader.line_num, f"{error}: correct the quotes") from None


def _text(path: Path, content: bytes) -> str:
    encoding = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise _error(path, line, 'no UTF-8 text: save it as "CSV UTF-8"') from None


def _error(path: Path, line: int, what: str) -> CourseError:
    return CourseError(f"The roster {path}, line {line}: {what}.")


def _plain(head: str) -> str:
    return "".join(char for char in head.casefold() if char.isalnum())


def _person(row: dict[str, str], columns: dict[str, str], line: int) -> Person:
    """Return the person of a row."""

    def value(names: list[str]) -> str:
        return next((row[columns[name]] for name in names if row.get(columns.get(name, ""))), "")

    name = value(_NAMES) or f"{value(_FIRST)} {value(_LAST)}".strip()
    ids = [_MARK.sub("", row[columns[each]]).strip() for each in _IDS if each in columns]
    email = value(_EMAIL)
    known = tuple(dict.fromkeys(filter(None, [*ids, email])))
    return Person(next(iter(known), ""), name, email, value(_SECTION), line, known, row)


def _is_nobody(row: dict[str, str], person: Person, system: str) -> bool:
    """Say whether a row is not a person's: Canvas has "Points Possible" and a test student."""
    first = next(iter(row.values()))
    return _plain(first) in _NOBODY or (system == "canvas" and not person.key)


def _system(columns: dict[str, str]) -> str:
    if {"id", "section"} <= {*columns} and {"student", "sisloginid"} & {*columns}:
        return "canvas"
    if "orgdefinedid" in columns or "endoflineindicator" in columns:
        return "brightspace"
    worksheet = {"identifier", "fullname"} <= {*columns}
    return "moodle" if worksheet or {"firstname", "emailaddress"} <= {*columns} else ""
