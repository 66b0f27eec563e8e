"""An assignment of a course: its parts, its due date, and what late work costs."""

import math
from dataclasses import dataclass
from datetime import datetime

ASSIGNMENT = "pusht"  # the name of the only assignment where course.toml names none
_DAY, _MINUTE = 86_400, 60  # seconds


@dataclass(frozen=True)
class Late:
    """What a part costs that was handed in after the due date.

    per_day: the share of the part's earned points that each day takes which has begun since then.
    grace_minutes: so long nothing is taken. none_after_days: from then on it earns nothing; None
    for never.
    """

    per_day: float = 0.0
    grace_minutes: float = 0.0
    none_after_days: float | None = None

    def penalty(self, points: float, seconds: float) -> float:
        """Return what is taken from a part's points that came so many seconds late."""
        if seconds <= self.grace_minutes * _MINUTE:
            return 0.0
        if self.none_after_days is not None and seconds > self.none_after_days * _DAY:
            return points
        return points * min(1.0, self.per_day * math.ceil(seconds / _DAY))


@dataclass(frozen=True)
class Assignment:
    """What is handed in together: one assignment of nbgrader's, with a time stamp of its own.

    parts: their names, in the rubric's order. due: with its time zone; None where course.toml has
    none, and nbgrader's gradebook may. late: None for nbgrader's own rule.
    """

    name: str
    parts: tuple[str, ...]
    due: datetime | None = None
    late: Late | None = None
