"""What the judges of several parts share: choosing a hint, comparing with known mistakes."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from score.questions.base import wrong
from score.questions.mistakes import Mistake, hint_of

Array = np.ndarray


def first_hint(*cases: tuple[Any, str]) -> str:
    """Return the hint of the first case (condition, hint) whose condition holds."""
    return next(hint for condition, hint in cases if condition)


def require_close(
    found: Array,
    right: Array,
    sentence: str,
    mistakes: Iterable[Mistake],
    fallback: str,
    rtol: float = 1e-4,
    atol: float = 1e-5,
) -> None:
    """Raise AnswerError unless arrays are close, with the hint of a mistake or the fallback."""
    if not np.allclose(found, right, rtol=rtol, atol=atol):
        raise wrong(sentence, hint_of(found, mistakes, rtol, atol) or fallback)
