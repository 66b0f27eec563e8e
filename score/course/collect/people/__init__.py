"""Who is who in a course: the roster, and whose folder is whose."""

from score.course.collect.people.folders import People, Unclear, open_people
from score.course.collect.people.roster import Person, Roster, read_roster

__all__ = ["People", "Person", "Roster", "Unclear", "open_people", "read_roster"]
