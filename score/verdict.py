"""The outcome of a check: points, one sentence, and a hint that names the likely mistake.

The check makes the verdict once. The grader's ledger, the result file, the gradebook, the tables
and the pages all contain it unchanged.
"""

import re
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

from pusht.progress import in_notebook
from score.cells import UNANSWERED

MIME = "application/vnd.pusht.verdict+json"  # type of a verdict in a cell's outputs
NOT_ANSWERED = "Not answered yet"
_UNANSWERED = re.compile(rf"{NOT_ANSWERED} \({UNANSWERED} for ([QE]\d+\.\d+)\)")
HINT = " Hint: "  # stands between what is wrong and the hint, in the sentence of a verdict


class AnswerError(Exception):
    """Raised for an answer that earns nothing; the message says why in one sentence."""


@dataclass(frozen=True)
class Verdict:
    """The outcome of one question, of a policy's rollouts, or of an extension.

    points: between 0 and `max_points`. right: whether the answer to an extension, which is worth no
    points, is right; None for anything else. unread: whether the answer is written in words and a
    person still has to read it.
    """

    name: str
    points: float
    max_points: float
    sentence: str
    right: bool | None = None
    unread: bool = False

    def __str__(self) -> str:
        if not self.max_points:
            return f"{self.mark} {self.name}: {self.sentence}"
        return (
            f"{self.mark} {self.name}: {self.points:.4g} of {self.max_points:.4g} points."
            f" {self.sentence}"
        )

    @property
    def mark(self) -> str:
        """One character: ✓ for right, ◐ for partly right, ✗ for wrong, … for not yet read."""
        if self.unread:
            return "…"
        right = self.points == self.max_points > 0 if self.right is None else self.right
        return "✓" if right else "◐" if self.points else "✗"

    def show(self) -> "Verdict":
        """Display the verdict under the cell of a notebook, or print it elsewhere; return it."""
        if in_notebook():
            from IPython.display import publish_display_data

            publish_display_data(self.display())
        else:
            print(self)
        return self

    def display(self) -> dict[str, Any]:
        """Return the verdict by MIME type: as text and, where it is worth points, as data."""
        return {"text/plain": str(self)} | ({MIME: asdict(self)} if self.max_points else {})

    def worth(self, max_points: float) -> "Verdict":
        """Return the verdict with its points rescaled to `max_points`."""
        if max_points == self.max_points or not self.max_points:
            return self
        share = self.points / self.max_points
        return replace(self, points=share * max_points, max_points=float(max_points))


def call_answer(what: str, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call the student's function; AnswerError with one sentence when it raises."""
    try:
        return function(*args, **kwargs)
    except KeyboardInterrupt:  # the person at the keyboard
        raise
    except BaseException as error:  # a student's code may raise anything, or call sys.exit
        text = _message(error)
        first = text.splitlines()[0].rstrip(".")[:300] if text else ""
        # torch also raises NotImplementedError, for operations that it does not support.
        if isinstance(error, NotImplementedError) and (not first or first.startswith(UNANSWERED)):
            raise AnswerError(f"{NOT_ANSWERED}{f' ({first})' if first else ''}.") from None
        raise AnswerError(
            f"{what} raised {type(error).__name__}: {first or 'no message'}.{_hint(error, text)}"
        ) from error


def unanswered_question(error: AnswerError) -> str | None:
    """Return the question that `call_answer` found unanswered, such as "Q4.3", or None."""
    found = _UNANSWERED.match(str(error))
    return found[1] if found else None


def _message(error: BaseException) -> str:
    try:
        return str(error).strip()
    except Exception:  # its __str__ is a student's code as well
        return ""


def _hint(error: BaseException, text: str) -> str:
    if "shapes cannot be multiplied" in text or "size mismatch" in text:
        return (
            " Hint: the model takes one flat row per sample, (B, obs_horizon * obs_dim): flatten"
            " from dimension 1 on."
        )
    if "is invalid for input of size" in text:
        return (
            " Hint: the new shape has another number of elements: does it use batch_size, for any"
            " batch?"
        )
    if "must match the size of tensor" in text or "must match the existing size" in text:
        return (
            " Hint: two arrays have different shapes: reshape the model's output to"
            " (B, pred_horizon, action_dim)."
        )
    if isinstance(error, TypeError) and "argument" in text:
        return " Hint: leave the function's name and arguments as they were given."
    return ""
