"""What is known of who has a folder, and how an export names a student."""

from dataclasses import dataclass
from typing import TypedDict


class Known(TypedDict, total=False):
    """What people.json has of a folder.

    person: `Person.key` on the roster. name: as the LMS has it. known_as: "SYSTEM STUDENT", how
    exports have named the student. sent_as: by system and assignment, what it called the last
    submissions. series: by what is in `known_as`, the `Came.series` that are not 0. came_as: by
    system and assignment, the `Came.student` of such a series.
    """

    person: str
    name: str
    known_as: list[str]
    sent_as: dict[str, dict[str, list[str]]]
    series: dict[str, int]
    came_as: dict[str, dict[str, str]]


@dataclass(frozen=True)
class Came:
    """How an export names one student.

    student: mostly the system's number. name: the display name. series: which of the system's
    assignments the export is of, counted as they came, where students have another number in each
    of them; else 0. is_alone: whether nobody else in the export has the name.
    """

    system: str
    student: str
    name: str = ""
    series: int = 0
    is_alone: bool = True
    email: str = ""

    @property
    def cure(self) -> str:
        """What to do where the name is not enough to tell who it is."""
        if self.series:
            return " --worksheet FILE says whose it is."
        if self.name in ("", self.student):
            return ""
        return f" Write {self.student} into a column `User ID` of the roster, in the right line."

    @property
    def known_as(self) -> str:
        """What is noted of it in `Known`."""
        return f"{self.system} {self.student}"


class Unclear(Exception):
    """Why it is not clear whose an upload is, in a few words. cure: a sentence on what to do."""

    def __init__(self, reason: str, cure: str = "") -> None:
        super().__init__(reason)
        self.cure = cure
