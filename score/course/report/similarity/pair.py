"""What a comparison of two submissions found."""

from dataclasses import dataclass

STEP = "similarity"  # the step's name in `Failures`


@dataclass(frozen=True)
class SimilarPair:
    """Two similar submissions.

    kind: "weights" or "answers". what: name of the policy or of the part. other: what the student's
    submission is similar to, another student's before or something of the kit. likeness: from 0 to
    1, which is the same. sentence: tells the instructor what is similar and how much.
    """

    kind: str
    what: str
    student: str
    other: str
    likeness: float
    sentence: str
    of_kit: bool

    @property
    def students(self) -> tuple[str, str]:
        """Both names, in alphabetical order; the kit's last."""
        return (self.student, self.other) if self.of_kit else (self.other, self.student)
