"""What is wrong in a course.toml: a sentence each, with the line and what is allowed."""

import difflib
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from score.course.settings.lines import line_of
from score.plain import plain_line
from score.submission.failures import TellingError

_KINDS = {str: "a text in quotation marks", int: "a whole number", list: "a list in brackets"}
_LONGEST = 60  # characters of a value that is shown


class CourseError(TellingError):
    """What is wrong with a course folder and what to do, in one sentence."""


@dataclass
class Problems:
    """The problems of one file. text: what the file says. found: by line, 0 for none."""

    path: Path
    text: str
    found: list[tuple[int, str]] = field(default_factory=list)

    @property
    def sentences(self) -> list[str]:
        """The sentences in the order of the file's lines."""
        return [sentence for _, sentence in sorted(self.found, key=lambda each: each[0])]

    def add(self, sentence: str, key: str, table: str = "", number: int = 1) -> None:
        """Add what is wrong with the value of a key. number: which of several tables it is in."""
        line = line_of(self.text, key, table, number)
        where = f"{self.path}, line {line}" if line else f"{self.path}"
        self.found.append((line or 0, plain_line(f"{where}: {sentence}")))

    def unknown(
        self, keys: Collection[str], allowed: Collection[str], table: str = "", number: int = 1
    ) -> None:
        """Add each key that is not allowed."""
        for key in keys:
            if key not in allowed:
                self.add(f"there is no setting {key!r}{instead(key, allowed)}", key, table, number)

    def of_kind(
        self, values: Mapping[str, Any], key: str, kind: type, default: Any, *where: Any
    ) -> Any:
        """Return a value, or the default where it is missing or of another kind, which is added."""
        if key not in values:
            return default
        value = values[key]
        if not isinstance(value, kind) or isinstance(value, bool):
            self.add(f"{key} is {shown(value)}: write {_KINDS[kind]}.", key, *where)
            return default
        return value


def is_number(value: Any) -> bool:
    """Return whether a value is a finite number."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and math.isfinite(value)


def shown(value: Any) -> str:
    """Return a value as a sentence shows it, about as the file has it."""
    text = str(value).lower() if isinstance(value, bool) else str(value)
    text = repr(value) if isinstance(value, str | list | dict) else text
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} …"


def instead(name: Any, allowed: Collection[str]) -> str:
    """Return how a sentence on an unknown name ends: with the nearest that there is, and all."""
    close = difflib.get_close_matches(str(name), allowed, n=1)
    nearest = f"; {close[0]!r} may be meant" if close else ""
    return f"{nearest}. Allowed are {', '.join(allowed)}."
