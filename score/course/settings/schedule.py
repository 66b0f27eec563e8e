"""Reading the assignments of a course.toml: parts, due dates, what late work costs."""

import math
import zoneinfo
from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

from pusht import resources
from score import rubric
from score.course.settings.assignment import ASSIGNMENT, Assignment, Late
from score.course.settings.problems import Problems, instead, is_number, shown

_KEYS = ("name", "parts", "due", "late")
_LATE_KEYS = ("per_day", "grace_minutes", "none_after_days")
_FORBIDDEN = '/\\:*?"<>|+'  # in names of folders, on some system or for nbgrader
_LONGEST_NAME = 60
_DUE = "due = 2027-03-01T23:59:00+01:00"
_RULE = "late = { per_day = 0.1, grace_minutes = 15, none_after_days = 5 }"

_Where = tuple[str, int]  # a table's name, and which of several it is


def default_parts() -> tuple[str, ...]:
    """Return the names of the parts that a course has unless it names them: those whose source is
    in the kit.
    """
    sources = resources.path("notebooks/source")
    return tuple(name for name in rubric.PARTS if (sources / f"{name}.py").is_file())


def default_assignment() -> Assignment:
    """Return the one assignment of a course that names none."""
    return Assignment(ASSIGNMENT, default_parts())


def read_assignments(
    values: dict[str, Any], zone: zoneinfo.ZoneInfo | None, problems: Problems
) -> tuple[Assignment, ...]:
    """Return the assignments that a course.toml names; what is wrong is added to `problems`. zone:
    of dates that do not say theirs.
    """
    tables = values.get("assignment")
    if tables is None:
        return (default_assignment(),)
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        told = "assignment is no list of tables: begin each of them with [[assignment]]."
        problems.add(told, "assignment")
        return (default_assignment(),)
    if not tables:
        told = "there is no assignment in the list: name one, or leave the setting out."
        problems.add(told, "assignment")
    found: list[Assignment] = []
    for number, table in enumerate(tables, start=1):
        where = ("assignment", number)
        problems.unknown(table, _KEYS, *where)
        name = _name(table, where, found, problems)
        parts = _parts(table, where, found, problems, alone=len(tables) == 1)
        due, late = _due(table, where, zone, problems), _late(table, where, problems)
        found.append(Assignment(name, parts, due, late))
    return tuple(found)


def read_zone(values: dict[str, Any], problems: Problems) -> zoneinfo.ZoneInfo | None:
    """Return the course's time zone; None where course.toml has none."""
    name = problems.of_kind(values, "time_zone", str, None)
    try:
        return None if name is None else zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        told = f"{name!r} is no time zone: write one such as Europe/Zurich or America/New_York."
        problems.add(told, "time_zone")
        return None


def _name(
    table: dict[str, Any], where: _Where, before: Sequence[Assignment], problems: Problems
) -> str:
    name: str = problems.of_kind(table, "name", str, ASSIGNMENT, *where)
    if reason := _no_folder(name):
        problems.add(f"{name!r} {reason}.", "name", *where)
    elif name.casefold() in {other.name.casefold() for other in before}:
        told = f"two assignments have the name {name!r}: give each a name of its own."
        problems.add(told, "name", *where)
    return name


def _no_folder(name: str) -> str:
    """Say why a folder cannot have this name; "" if it can."""
    bad = [letter for letter in name if letter in _FORBIDDEN or not letter.isprintable()]
    if bad:
        return f"cannot name a folder, because of {bad[0]!r}: write letters, digits, - and _"
    if not name or name != name.strip(" .") or len(name) > _LONGEST_NAME:
        return (
            f"cannot name a folder: write 1 to {_LONGEST_NAME} letters, digits, - and _, with no"
            " dot or space at either end"
        )
    return ""


def _parts(
    table: dict[str, Any],
    where: _Where,
    before: Sequence[Assignment],
    problems: Problems,
    alone: bool,
) -> tuple[str, ...]:
    known = default_parts()
    if "parts" not in table and alone:
        return known
    names = problems.of_kind(table, "parts", list, [], *where)
    if not names and table.get("parts", []) == []:
        told = f"this assignment has no parts. Allowed are {', '.join(known)}."
        problems.add(told, "parts", *where)
    owners = {part: other.name for other in before for part in other.parts}
    for place, name in enumerate(names):
        if name not in known:
            told = f"the kit has no part {shown(name)}{instead(name, known)}"
            problems.add(told, "parts", *where)
        elif name in owners:
            told = f"{name} is also a part of {owners[name]!r}: it can be in one assignment only."
            problems.add(told, "parts", *where)
        elif name in names[:place]:
            problems.add(f"{name} is named twice: name it once.", "parts", *where)
    return tuple(part for part in rubric.PARTS if part in names and part not in owners)


def _due(
    table: dict[str, Any], where: _Where, zone: zoneinfo.ZoneInfo | None, problems: Problems
) -> datetime | None:
    due = table.get("due")
    if due is None:
        return None
    if not isinstance(due, datetime):
        reason = "a day without a time" if isinstance(due, date) else "no date"
        problems.add(f"due is {shown(due)}, {reason}: write {_DUE}.", "due", *where)
        return None
    if due.tzinfo is None and zone is None:
        told = f'write {_DUE}, or time_zone = "Europe/Zurich" at the top of the file'
        problems.add(f"due is {due}, without a time zone: {told}.", "due", *where)
        return None
    return due if due.tzinfo else due.replace(tzinfo=zone)


def _late(table: dict[str, Any], where: _Where, problems: Problems) -> Late | None:
    rule = table.get("late")
    if rule is None:
        return None
    if not isinstance(rule, dict):
        problems.add(f"late is {shown(rule)}: write {_RULE}.", "late", *where)
        return None
    found: dict[str, float] = {}
    for key, value in rule.items():
        most, allowed = (1.0, "from 0 to 1") if key == "per_day" else (math.inf, "of 0 or more")
        if key not in _LATE_KEYS:
            told = f"late has no setting {key!r}{instead(key, _LATE_KEYS)}"
            problems.add(told, "late", *where)
        elif not is_number(value) or not 0 <= value <= most:
            told = f"{key} is {shown(value)}: write a number {allowed}."
            problems.add(told, "late", *where)
        else:
            found[key] = float(value)
    return Late(**found)
