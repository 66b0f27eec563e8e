"""Who is who in a course: the people on the roster, and those whose uploads came, with the names of
their folders.

A person's folder is named after the id of the roster, or of the LMS, or else after the name. It is
kept in the course's people.json, so that the same person always has the same folder.

    {"12345": {"id": "12345", "name": "Ann Lee", "known_as": ["Canvas 12345"],
               "sent_as": {"Canvas": {"pusht": ["leeann_12345_67890"]}}, …}}
"""

import hashlib
import itertools
import json
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypedDict

from pusht.files import write_whole
from score.course.collect.layouts import HandedIn
from score.course.collect.people.roster import Person, Roster, read_roster
from score.course.collect.stored import STUDENT
from score.course.settings import Course, CourseError


class Known(TypedDict, total=False):
    """What people.json has of a folder.

    person: `Person.key` on the roster. name: as the LMS has it. known_as: "SYSTEM STUDENT", how
    exports have named the student. sent_as: by system and assignment, what it called the last
    submissions.
    """

    person: str
    name: str
    known_as: list[str]
    sent_as: dict[str, dict[str, list[str]]]


class Unclear(Exception):
    """Why it is not clear whose an upload is, in one sentence."""


@dataclass
class People:
    """The people of a course.

    roster: None without one. known: by folder, as in people.json. folders: that there are.
    """

    path: Path
    roster: Roster | None
    known: dict[str, Known] = field(default_factory=dict)
    folders: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        people = self.roster.people if self.roster else ()
        self._by_id = _index((person, person.ids) for person in people)
        self._by_login = _index((p, [p.email.partition("@")[0]]) for p in people)
        self._by_name = _index((person, _names(person.name)) for person in people)
        plain = ((person, _names(_without_marks(person.name))) for person in people)
        self._by_plain_name = _index(plain)
        self._folder_of = {
            known["person"]: folder for folder, known in self.known.items() if known.get("person")
        }
        self._known_as = {
            name: folder for folder, known in self.known.items() for name in known["known_as"]
        }
        self._taken = {folder.casefold() for folder in {*self.known, *self.folders}}
        for person in people:
            self._folder_of.setdefault(person.key, self._new_folder(person))
        self._person_in = {self._folder_of[person.key]: person for person in people}

    def person(self, folder: str) -> Person | None:
        """Return who on the roster has a folder; None where nobody has."""
        return self._person_in.get(folder)

    def name(self, folder: str) -> str:
        """Return the name of who has a folder; "" where it is not known."""
        person = self.person(folder)
        return (person.name if person else "") or self.known.get(folder, {}).get("name", "")

    def on_roster(self) -> list[str]:
        """Return the folders of the people on the roster, in its order."""
        return [*self._person_in]

    def folder(self, system: str, student: str, handed_in: HandedIn) -> str:
        """Return the folder of a student of an export of a system; `Unclear` where that is not
        clear. Nothing is noted.
        """
        found = self._known_as.get(f"{system} {student}")
        if found:
            return found
        person = self._of_roster(system, student, handed_in.name)
        if person:
            return self._folder_of[person.key]
        alike = [f for f in {*self.known, *self.folders} if f.casefold() == student.casefold()]
        if STUDENT.fullmatch(student) and not self.person(student):
            if alike and student not in alike:
                raise Unclear(
                    f"{student!r} and {min(alike)!r} would share a folder on some machines"
                )
            if student not in self.known or not self.known[student]["known_as"]:
                return student
            others = self.known[student]["known_as"]
            if all(name.partition(" ")[2] == student for name in others):
                return student  # the same id on another system
        return self._free(made_of(handed_in.name or student))

    def note(
        self,
        folder: str,
        system: str,
        student: str,
        handed_in: HandedIn,
        assignments: Iterable[str],
    ) -> None:
        """Note whose a folder is, and what was sent for these assignments."""
        known = self.known.setdefault(folder, {"known_as": [], "sent_as": {}})
        name = f"{system} {student}"
        if name not in known["known_as"]:
            known["known_as"].append(name)
        self._known_as[name] = folder
        self._taken.add(folder.casefold())
        if handed_in.name:
            known["name"] = handed_in.name
        if handed_in.sent_as:
            sent_as = known["sent_as"].setdefault(system, {})
            sent_as |= dict.fromkeys(assignments, handed_in.sent_as)
        if person := self.person(folder):
            known["person"] = person.key

    def save(self) -> None:
        """Write people.json, with the folders of all on the roster."""
        for folder, person in self._person_in.items():
            known = self.known.setdefault(folder, {"known_as": [], "sent_as": {}})
            known["person"] = person.key
        ordered = {folder: self.known[folder] for folder in sorted(self.known)}
        write_whole(self.path, json.dumps(ordered, indent=1, ensure_ascii=False) + "\n")

    def _of_roster(self, system: str, student: str, name: str) -> Person | None:
        """Return who on the roster a student of an export is, by what is surest; None where it is
        nobody, `Unclear` where it may be several.
        """
        names, plain = {_squashed(name or student)}, {_squashed(_without_marks(name or student))}
        tiers = (
            (self._by_id, {student.casefold()}),
            (self._by_login, {student.casefold()}),
            (self._by_name, names),
            (self._by_plain_name, plain),
        )
        for index, keys in tiers:
            found = {p.key: p for key in keys if key for p in index.get(key, ())}
            if len(found) > 1:
                several = " and ".join(f"{p.name} ({p.key})" for p in found.values())
                raise Unclear(f"{name or student!r} may be {several} of the roster")
            if found:
                (person,) = found.values()
                if index in (self._by_name, self._by_plain_name):
                    self._refuse_a_namesake(system, student, person)
                return person
        return None

    def _refuse_a_namesake(self, system: str, student: str, person: Person) -> None:
        """`Unclear` where a person whom only the name tells has come under another number."""
        known = self.known.get(self._folder_of[person.key])
        others = [name for name in known["known_as"] if known] if known else []
        others = [name for name in others if name.startswith(f"{system} ")]
        if others and f"{system} {student}" not in others:
            raise Unclear(
                f"{student!r} has the name of {person.name} of the roster, who came as"
                f" {others[0].removeprefix(system).strip()!r} before"
            )

    def _new_folder(self, person: Person) -> str:
        """Return a folder's name for somebody on the roster: of one that is there, or a new one."""
        names = [*person.ids, person.email.partition("@")[0]]
        for name in names:
            if name in self.folders and name not in self._folder_of.values():
                return name
        usable = [name for name in person.ids if STUDENT.fullmatch(name)]
        folder = self._free(usable[0] if usable else made_of(person.name or person.id))
        self._taken.add(folder.casefold())
        return folder

    def _free(self, name: str) -> str:
        names = itertools.chain([name], (f"{name}-{count}" for count in itertools.count(2)))
        return next(each for each in names if each.casefold() not in self._taken)


def open_people(course: Course) -> People:
    """Return a course's `People`; CourseError where its roster or people.json cannot be read."""
    path = course.folder / "people.json"
    known: dict[str, Known] = {}
    if path.exists():
        try:
            known = json.loads(path.read_text(encoding="utf-8"))
            assert all(isinstance(each["known_as"], list) for each in known.values())
        except (ValueError, AttributeError, LookupError, TypeError, AssertionError):
            raise CourseError(
                f"{path} is damaged: restore it from a copy, or delete it, and collect again."
            ) from None
    places = ("submitted", "incomplete", "originals", "results")
    folders = {f.name for place in places for f in (course.folder / place).glob("*") if f.is_dir()}
    return People(path, read_roster(course.roster) if course.roster else None, known, folders)


def made_of(name: str) -> str:
    """Return a folder's name made of a person's: its Latin letters without accents or, where it has
    others, a number that follows from it.
    """
    words = "".join(char if char.isalnum() else " " for char in _without_marks(name)).split()
    lost = [char for word in words for char in word if not char.isascii()]
    if words and not lost:
        return "-".join(words)[:60]
    text = unicodedata.normalize("NFC", name).casefold()
    return f"student-{hashlib.sha256(text.encode('utf-8', 'replace')).hexdigest()[:8]}"


def _without_marks(name: str) -> str:
    spread = unicodedata.normalize("NFKD", name.replace("'", "").replace("’", ""))
    return "".join(char for char in spread if not unicodedata.combining(char))


def _squashed(name: str) -> str:
    """Return the letters of a name, "Lee, Ann" as "Ann Lee"."""
    last, comma, first = name.partition(",")
    whole = f"{first}{last}" if comma else name
    text = unicodedata.normalize("NFKC", whole).casefold()
    return "".join(c for c in text if c.isalnum() or unicodedata.combining(c))


def _names(name: str) -> Iterator[str]:
    """Yield how a name may be written together: "annlee" and, as Canvas does, "leeann"."""
    words = name.replace(",", " ").split()
    for first in range(len(words)):
        yield _squashed(" ".join([*words[first:], *words[:first]]))


def _index(named: Iterable[tuple[Person, Iterable[str]]]) -> dict[str, list[Person]]:
    found: dict[str, list[Person]] = {}
    for person, names in named:
        for name in dict.fromkeys(each.casefold() for each in names if each):
            found.setdefault(name, []).append(person)
    return found
