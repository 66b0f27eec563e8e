"""Reading and checking course.toml: its values, and a sentence on each thing that is wrong."""

import re
import tomllib
from pathlib import Path
from typing import Any

from score import rubric
from score.course.settings.problems import CourseError, Problems, instead, is_number, shown
from score.course.settings.run import SECRET_BYTES, SEEDS
from score.course.settings.schedule import read_assignments, read_zone
from score.entries import points_key

_KEYS = (
    *("name", "bundle", "secret", "first_seed", "episodes", "roster", "time_zone"),
    *("assignment", "points", "packages"),
)
_MOST_POINTS = 1000  # of an entry
_ROSTER = "roster.csv"
_PACKAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(?:==[A-Za-z0-9.+!_-]+)?")


def read_settings(path: Path) -> tuple[dict[str, Any], list[str]]:
    """Return the fields of a `Course` that a course.toml sets, and what is wrong in it: a sentence
    each, with the line and what is allowed. CourseError where there is no such file.
    """
    try:
        text = path.read_text(encoding="utf-8")
        values = tomllib.loads(text)
    except (FileNotFoundError, NotADirectoryError):
        make = f"make one with `python -m score course create {path.parent}`"
        raise CourseError(f"{path.parent} is not a course: {make}.") from None
    except (OSError, ValueError) as error:  # also what is no TOML or no text
        return {}, [f"{path} cannot be read ({error}): correct it."]
    problems = Problems(path, text)
    problems.unknown(values, _KEYS)
    zone = read_zone(values, problems)
    fields = {
        "title": problems.of_kind(values, "name", str, ""),
        "bundle": problems.of_kind(values, "bundle", str, ""),
        **_seeds(values, problems),
        "time_zone": zone,
        "assignments": read_assignments(values, zone, problems),
        "points": _points(values, problems),
        "roster": _roster(values, problems),
        "packages": _packages(values, problems),
    }
    return fields, problems.sentences


def _seeds(values: dict[str, Any], problems: Problems) -> dict[str, Any]:
    secret = problems.of_kind(values, "secret", str, "")
    if not _is_secret(secret) and (secret or "first_seed" not in values):
        told = f"a secret of {2 * SECRET_BYTES} hexadecimal digits"
        problems.add(f"the course needs {told}: `openssl rand -hex 16` prints one.", "secret")
    first = problems.of_kind(values, "first_seed", int, None)
    episodes = problems.of_kind(values, "episodes", int, rubric.GRADED_EPISODES)
    if episodes < 1:
        told = f"episodes is {episodes}: write a whole number of 1 or more."
        problems.add(told, "episodes")
        episodes = rubric.GRADED_EPISODES
    if first is not None and (reason := _no_first_seed(first, episodes)):
        last = rubric.GRADED_FIRST_SEED + SEEDS
        told = f"write a whole number from {rubric.GRADED_FIRST_SEED:_} to {last:_}"
        problems.add(f"first_seed is {first}{reason}: {told}.", "first_seed")
    return {"secret": secret, "first_seed": first, "episodes": episodes}


def _is_secret(text: str) -> bool:
    try:
        return len(bytes.fromhex(text)) >= SECRET_BYTES
    except ValueError:
        return False


def _no_first_seed(first: int, episodes: int) -> str:
    """Say what is wrong with the first of so many seeds; "" if nothing is."""
    if first < 0:
        return ", which no seed can be"
    for name, taken in (
        ("the human demonstrations", rubric.HUMAN_SEEDS),
        ("practice", rubric.PRACTICE_SEEDS),
        ("the shipped demonstrations", range(rubric.GRADED_FIRST_SEED + SEEDS, 2**63)),
    ):
        if max(first, taken.start) < min(first + episodes, taken.stop):
            return f", so that some episodes would be those of {name}"
    return ""


def known_points() -> tuple[str, ...]:
    """Return the keys that the table [points] may have, in the rubric's order."""
    return tuple(points_key(entry) for part in rubric.PARTS.values() for entry in part.graded())


def _points(values: dict[str, Any], problems: Problems) -> dict[str, float]:
    table, known, found = values.get("points", {}), known_points(), dict[str, float]()
    if not isinstance(table, dict):
        told = 'points is no table: write [points], and below it lines such as "Q1.2" = 3.'
        problems.add(told, "points")
        return found
    for key, value in table.items():
        if isinstance(value, dict):  # Q1.2 without quotation marks is a table Q1
            problems.add(
                f'{key}: write such a name in quotation marks, as in "Q1.2" = 3.', key, "points"
            )
        elif key not in known:
            problems.add(f"the rubric has no {key!r}{instead(key, known)}", key, "points")
        elif not is_number(value) or not 0 < value <= _MOST_POINTS:
            told = f"write a number above 0, and {_MOST_POINTS} at most"
            problems.add(f"{key} is worth {shown(value)}: {told}.", key, "points")
        else:
            found[key] = value
    return found


def _packages(values: dict[str, Any], problems: Problems) -> tuple[str, ...]:
    found = [str(one) for one in problems.of_kind(values, "packages", list, [])]
    wrong = [one for one in found if not _PACKAGE.fullmatch(one)]
    if wrong:
        told = 'packages is a list of names for pip, such as ["einops"]'
        problems.add(f"{told}, and {shown(wrong[0])} is none.", "packages")
    return tuple(one for one in found if one not in wrong)


def _roster(values: dict[str, Any], problems: Problems) -> Path | None:
    name = problems.of_kind(values, "roster", str, None)
    path = problems.path.parent / (name or _ROSTER)
    if path.is_file():
        return path
    if name is not None:
        problems.add(
            f"there is no file {path}: put the roster there, or correct the path.", "roster"
        )
    return None
