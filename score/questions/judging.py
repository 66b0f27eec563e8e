"""What the judges of several parts share: choosing a hint, comparing with known mistakes."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from score.questions.base import wrong
from score.questions.mistakes import Mistake, hint_of

Array = np.ndarray


def first_hint(*cases: tuple[Any, str], otherwise: str = "") -> str:
    """Return the hint of the first case (whether it holds, its hint) that holds, or `otherwise`."""
    return next((hint for holds, hint in cases if holds), otherwise)


def require_close(
    found: Array,
    right: Array,
    sentence: str,
    mistakes: Iterable[Mistake],
    fallback: str,
    rtol: float = 1e-4,
    atol: float = 1e-5,
) -> None:
    """Raise AnswerError unless two arrays are close, with the hint of the mistake that fits.

    fallback: the hint where no mistake does.
    """
    if not np.allclose(found, right, rtol=rtol, atol=atol):
        raise wrong(sentence, hint_of(found, mistakes, rtol, atol) or fallback)
