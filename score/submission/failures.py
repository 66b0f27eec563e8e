"""Failures over a class: what goes wrong with one student's files ends a step for this student
only, and the next student's turn comes.

    failures = Failures()
    for student in students:
        failures.attempt(student, "feedback", write_feedback, student)
    sys.exit(failures.names())
"""

import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ParamSpec, TypeVar

from pusht.machine import is_of_machine
from score.protocol import one_line

_P = ParamSpec("_P")
_T = TypeVar("_T")

_LONGEST = 300  # characters of an error's text


class TellingError(Exception):
    """An error whose text is a sentence for the reader: what, where, and what to do."""


class GraderFailure(TellingError):
    """What the grader could not do for no reason of a student's. It is never a grade."""


@dataclass(frozen=True)
class Failure:
    """What ended a step for one student.

    step: what was being done: a part's name when it was graded, else such as "collect". sentence:
    tells the instructor what happened and where, in one printable line.
    """

    student: str
    step: str
    sentence: str


class Failures:
    """The failures of a run, in their order. It is false while there is none."""

    def __init__(self) -> None:
        self._found: list[Failure] = []

    def __iter__(self) -> Iterator[Failure]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)

    def attempt(
        self,
        student: str,
        step: str,
        function: Callable[_P, _T],
        *args: _P.args,
        **kwargs: _P.kwargs,
    ) -> _T | None:
        """Return function(*args, **kwargs), or None where it raises: that is kept as a `Failure` of
        the student's. What ends the whole program, such as Ctrl-C, is not caught.
        """
        try:
            return function(*args, **kwargs)
        except Exception as error:  # whatever the files of one student do
            self.add(student, step, error)
            return None

    def add(self, student: str, step: str, error: BaseException) -> Failure:
        """Keep what was raised elsewhere, such as in another process; return it as a `Failure`."""
        failure = Failure(student, step, f"The grader failed: {_described(error)}")
        self._found.append(failure)
        return failure

    def names(self) -> str | None:
        """Return a sentence that names the students; None without any."""
        names = [*dict.fromkeys(failure.student for failure in self._found)]
        more = f" and {len(names) - 10} more" if names[10:] else ""
        return f"The kit failed at files of {', '.join(names[:10])}{more}." if names else None

    def of(self, student: str, step: str | None = None) -> list[Failure]:
        """Return the failures of a student, of one step or of all."""
        return [
            failure
            for failure in self._found
            if failure.student == student and step in (None, failure.step)
        ]


def told_of_machine(error: OSError | MemoryError) -> str:
    """Return what a reader is told of an error of the machine's that ends a command; any other
    error is raised again.
    """
    if not is_of_machine(error):
        raise error
    what = str(error) or type(error).__name__
    return (
        f"the machine could not go on ({what}). Put that right, and run the same command again:"
        " what was done so far is kept."
    )


def _described(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    try:
        text = str(error)
    except Exception:  # an error of a forged object
        text = ""
    if isinstance(error, TellingError):
        return one_line(text)
    return f"{type(error).__name__}: {one_line(text)[:_LONGEST] or 'no message'}{where}"
