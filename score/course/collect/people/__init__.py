"""Who is who in a course: the roster, and whose folder is whose."""

from score.course.collect.people.folders import People, open_people
from score.course.collect.people.known import Came, Unclear
from score.course.collect.people.roster import Person, Roster, read_roster
from score.course.collect.people.worksheet import with_worksheet

__all__ = [
    "Came",
    "People",
    "Person",
    "Roster",
    "Unclear",
    "open_people",
    "read_roster",
    "with_worksheet",
]
