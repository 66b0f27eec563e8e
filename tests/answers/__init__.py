"""Right and wrong answers to every question and extension, as data: a module for each part.

A module holds tables, which are lists of `Row`s, and RIGHT and WRONG, which hold them by question.
"""

from typing import NamedTuple

import pytest


class Row(NamedTuple):
    """One answer: its id, which no other row of its table has, and for a wrong one its hint."""

    id: str
    answer: object
    phrase: str | None = None  # stands in the hint that a wrong answer gets


def table(*rows):
    """A list of `Row`s from tuples (id, answer) or (id, answer, phrase of the hint)."""
    made = [Row(*row) for row in rows]
    assert len({row.id for row in made}) == len(made), "Two rows of a table have one id."
    return made


def all_of(tables):
    """Tables by question as pytest parameters (question, answer) or (question, answer, phrase)."""
    return [
        pytest.param(
            name, *(value for value in row[1:] if value is not None), id=f"{name} {row.id}"
        )
        for name, rows in tables.items()
        for row in rows
    ]


def params(*rows):
    """Tuples (id, value, ...) as pytest parameters."""
    return [pytest.param(*values, id=name) for name, *values in rows]


# What is done to a prediction before it is compared, which bounds it; and a phrase of the hint.
BOUNDS = {
    "clamped to [-1, 1]": (lambda p: p.clamp(-1, 1), "cut off at ± 1"),
    "clamped at 0": (lambda p: p.relu(), "cut off at 0"),
    "through tanh": (lambda p: p.tanh(), "squashed by tanh"),
    "through a sigmoid": (lambda p: p.sigmoid(), "squashed by a sigmoid"),
}


def bounded(answer_of):
    """A table of wrong answers: answer_of(function that bounds a prediction) for each of BOUNDS."""
    return table(
        *(
            (f"prediction {way} in the loss", answer_of(bound), phrase)
            for way, (bound, phrase) in BOUNDS.items()
        )
    )


def unanswered(name):
    """What the notebook's own cell defines until the question is answered."""

    def not_answered(*args, **kwargs):
        raise NotImplementedError(f"Need to implement for {name}")

    return not_answered


def raises(error):
    """An answer that raises this error, whatever it is given."""

    def answer(*args, **kwargs):
        raise error

    return answer


class Unprintable(Exception):
    """An error that has no words."""

    def __str__(self):
        raise RuntimeError("no words")


class OfItsOwnKind(BaseException):
    """An error that `except Exception` lets pass."""
