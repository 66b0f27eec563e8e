"""What comes out of a check: points, one sentence, and a hint that names the likely mistake."""

from dataclasses import asdict, dataclass

from pusht.progress import in_notebook

MIME = "application/vnd.pusht.verdict+json"


class AnswerError(Exception):
    """An answer that earns nothing, and why, in one sentence to the student."""


@dataclass(frozen=True)
class Verdict:
    """The outcome of one question or of one part's rollouts. `points` is a plain float in [0,
    max_points].
    """

    name: str
    points: float
    max_points: float
    sentence: str

    def __str__(self):
        mark = "✓" if self.points == self.max_points else "✗" if self.points == 0 else "◐"
        return (
            f"{mark} {self.name}: {self.points:.4g} of {self.max_points:.4g} points."
            f" {self.sentence}"
        )

    def show(self):
        """Put it before the reader: under the cell in a notebook, where grading finds it too, on
        stdout elsewhere.
        """
        return _shown(self, {MIME: asdict(self)})


@dataclass(frozen=True)
class Checked:
    """The outcome of an extension's check, which is worth no points."""

    name: str
    right: bool
    sentence: str

    def __str__(self):
        return f"{'✓' if self.right else '✗'} {self.name}: {self.sentence}"

    def show(self):
        """Put it before the reader: under the cell in a notebook, on stdout elsewhere."""
        return _shown(self, {})


def _shown(outcome, more):
    if in_notebook():
        from IPython.display import publish_display_data

        publish_display_data({"text/plain": str(outcome), **more})
    else:
        print(outcome)
    return outcome


def call_answer(what, function, *args, **kwargs):
    """Call the student's function; AnswerError with one sentence when it raises."""
    try:
        return function(*args, **kwargs)
    except KeyboardInterrupt:  # the person at the keyboard
        raise
    except BaseException as error:  # whatever a student's code may raise, sys.exit included
        text = _text(error)
        first = text.splitlines()[0].rstrip(".")[:300] if text else ""
        # torch raises NotImplementedError too, for what it cannot do.
        if isinstance(error, NotImplementedError) and (
            not first or first.startswith("Need to implement")
        ):
            raise AnswerError(f"Not answered yet{f' ({first})' if first else ''}.") from None
        raise AnswerError(
            f"{what} raised {type(error).__name__}:"
            f" {first or 'no message'}.{_error_hint(error, text)}"
        ) from error


def _text(error):
    try:
        return str(error).strip()
    except Exception:  # its __str__ is a student's code as well
        return ""


def _error_hint(error, text):
    if "shapes cannot be multiplied" in text or "size mismatch" in text:
        return (
            " Hint: the model takes one flat row per sample, (B, obs_horizon * obs_dim): flatten"
            " from dimension 1 on."
        )
    if "is invalid for input of size" in text:
        return (
            " Hint: the numbers asked for do not add up to what is there: does the shape use"
            " batch_size, for any batch?"
        )
    if "must match the size of tensor" in text or "must match the existing size" in text:
        return (
            " Hint: two arrays of different shapes meet: bring the model's output to (B,"
            " pred_horizon, action_dim)."
        )
    if isinstance(error, TypeError) and "argument" in text:
        return " Hint: leave the function's name and arguments as they were given."
    return ""
