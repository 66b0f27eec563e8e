"""Who is who in a course: the people on the roster, and those whose uploads came, with the names of
their folders.

A person's folder is named after the id of the roster, or of the LMS, or else after the name. It is
kept in the course's people.json, so that the same person always has the same folder.

    {"12345": {"id": "12345", "name": "Ann Lee", "known_as": ["Canvas 12345"],
               "sent_as": {"Canvas": {"pusht": ["leeann_12345_67890"]}}, …}}
"""

import itertools
import json
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from pusht.files import write_whole
from score.course.collect.layouts import HandedIn, SortedExport
from score.course.collect.people.known import Came, Known, Unclear
from score.course.collect.people.names import (
    are_one,
    made_of,
    spellings,
    squashed,
    without_marks,
)
from score.course.collect.people.roster import Person, Roster, read_roster
from score.course.collect.stored import STUDENT
from score.course.settings import Course, CourseError


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
        self._by_name = _index((person, spellings(person.name)) for person in people)
        plain = ((person, spellings(without_marks(person.name))) for person in people)
        self._by_plain_name = _index(plain)
        self._folder_of = {
            known["person"]: folder for folder, known in self.known.items() if known.get("person")
        }
        self._known_as = {
            name: folder for folder, known in self.known.items() for name in known["known_as"]
        }
        self._came_as: dict[str, list[str]] = {}
        for folder, known in self.known.items():
            self._came_as.setdefault(known.get("name", ""), []).append(folder)
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

    def came(self, export: SortedExport) -> dict[str, Came]:
        """Return how an export names its students. It is of the assignment whose numbers are known
        from earlier exports, or of one that is new.
        """
        system, series = export.layout, 0
        if export.per_assignment:
            counted = [
                {name: each.get("series", {}).get(name, 1) for name in each["known_as"]}
                for each in self.known.values()
            ]
            known = {
                n: s for each in counted for n, s in each.items() if n.startswith(f"{system} ")
            }
            found = (known.get(f"{system} {student}") for student in export.students)
            series = next(filter(None, found), max(known.values(), default=0) + 1)
        names = Counter(handed_in.name for handed_in in export.students.values())
        return {
            student: Came(
                system,
                student,
                handed_in.name,
                series,
                names[handed_in.name] == 1,
                handed_in.email,
            )
            for student, handed_in in export.students.items()
        }

    def folder(self, came: Came) -> str:
        """Return the folder of a student of an export; `Unclear` where that is not clear."""
        student = came.student
        found = self._known_as.get(came.known_as)
        if found:
            return found
        person = self._of_roster(came)
        if person:
            return self._folder_of[person.key]
        if came.series and (same := self._of_other_series(came)):
            return same
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
        return self._free(made_of(came.name or student))

    def note(
        self, folder: str, came: Came, handed_in: HandedIn, assignments: Collection[str]
    ) -> None:
        """Note whose a folder is, and what was sent for these assignments."""
        known = self.known.setdefault(folder, {"known_as": [], "sent_as": {}})
        if came.known_as not in known["known_as"]:
            known["known_as"].append(came.known_as)
        self._known_as[came.known_as] = folder
        self._taken.add(folder.casefold())
        if came.name:
            known["name"] = came.name
        if handed_in.sent_as:
            sent_as = known["sent_as"].setdefault(came.system, {})
            sent_as |= dict.fromkeys(assignments, handed_in.sent_as)
        if came.series:
            known.setdefault("series", {})[came.known_as] = came.series
            came_as = known.setdefault("came_as", {}).setdefault(came.system, {})
            came_as |= dict.fromkeys(assignments, came.student)
        if person := self.person(folder):
            known["person"] = person.key

    def save(self) -> None:
        """Write people.json, with the folders of all on the roster."""
        for folder, person in self._person_in.items():
            known = self.known.setdefault(folder, {"known_as": [], "sent_as": {}})
            known["person"] = person.key
        ordered = {folder: self.known[folder] for folder in sorted(self.known)}
        write_whole(self.path, json.dumps(ordered, indent=1, ensure_ascii=False) + "\n")

    def _of_roster(self, came: Came) -> Person | None:
        """Return who on the roster a student of an export is, by what is surest; None where it is
        nobody, `Unclear` where it may be several.
        """
        student, name = came.student, came.name
        names, plain = {squashed(name or student)}, {squashed(without_marks(name or student))}
        tiers = (
            (self._by_id, {came.email.casefold()}),
            (self._by_id, {student.casefold()}),
            (self._by_login, {student.casefold()}),
            (self._by_name, names),
            (self._by_plain_name, plain),
        )
        for index, keys in tiers:
            found = {p.key: p for key in keys if key for p in index.get(key, ())}
            if came.series and keys == {student.casefold()}:  # elsewhere it may be anybody's
                found = {key: p for key, p in found.items() if are_one(p.name, name)}
            if len(found) > 1:
                several = " and ".join(f"{p.name} ({p.key})" for p in found.values())
                raise Unclear(f"{name or student!r} may be {several} of the roster", came.cure)
            if found:
                (person,) = found.values()
                if index in (self._by_name, self._by_plain_name):
                    self._refuse_a_namesake(came, person)
                return person
        return None

    def _refuse_a_namesake(self, came: Came, person: Person) -> None:
        """`Unclear` where a person whom only the name tells has come under another number."""
        others = self.numbers(self._folder_of[person.key], came)
        if others:
            raise Unclear(
                f"{came.student!r} has the name of {person.name} of the roster, who came as"
                f" {others[0]!r} before"
            )

    def numbers(self, folder: str, came: Came) -> list[str]:
        """Return how the exports of a system, of one series of it, have named who has a folder."""
        known = self.known.get(folder, {})
        return [
            name.removeprefix(f"{came.system} ")
            for name in known.get("known_as", [])
            if name.startswith(f"{came.system} ")
            and (not came.series or known.get("series", {}).get(name, 1) == came.series)
        ]

    def _of_other_series(self, came: Came) -> str:
        """Return the folder of the only one who came under a name in other assignments of a system;
        "" where that is nobody, or where several in the export have the name.
        """
        found = [
            folder
            for folder in self._came_as.get(came.name, ())
            if any(name.startswith(f"{came.system} ") for name in self.known[folder]["known_as"])
            and not self.numbers(folder, came)
        ]
        return found[0] if came.name and came.is_alone and len(found) == 1 else ""

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


def _index(named: Iterable[tuple[Person, Iterable[str]]]) -> dict[str, list[Person]]:
    found: dict[str, list[Person]] = {}
    for person, names in named:
        for name in dict.fromkeys(each.casefold() for each in names if each):
            found.setdefault(name, []).append(person)
    return found
