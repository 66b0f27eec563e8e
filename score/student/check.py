"""`score.check` judges an answer in a notebook, in practice and when the notebook is graded."""

from collections.abc import Callable
from typing import Any

import numpy as np

from score import rubric
from score.graded import graded, rehearsed, validated
from score.protocol import converse
from score.questions import EXTENSIONS, QUESTIONS, judged
from score.questions.base import Arrays
from score.rerun.shell import explain, note
from score.student.help import help_after
from score.student.progress import keep_verdict
from score.student.surroundings import usual_surroundings
from score.verdict import NOT_ANSWERED, AnswerError, Verdict, unanswered_question


def check(name: str, answer: Any) -> Verdict:
    """Judge the answer to a question, such as `check("Q1.2", bc_loss)`; show, save and return the
    `Verdict`.

    Practice inputs are always the same. When a notebook is graded, the grader draws other inputs
    and judges the answer. An extension, such as "E1.1", is worth no points and is not judged when
    graded.
    """
    if name in EXTENSIONS:
        return _check_extension(name, answer)
    _, entry = rubric.question(name)
    call = _called(name, QUESTIONS[name].caller(answer))
    if rehearsed():
        return note(name, judged(name, call, np.random.default_rng(1)))
    if graded() and not validated():
        return converse({"question": name}, call, name, entry.points)
    verdict = judged(name, call, np.random.default_rng(0))
    if validated():
        return verdict.show()
    return _shown(name, verdict, keep_verdict(name, verdict))


def _check_extension(name: str, answer: Any) -> Verdict:
    if graded():
        return Verdict(name, 0.0, 0.0, "Extensions are not judged when graded.", right=False)
    question = EXTENSIONS[name]
    mistake = question.find_mistake(
        _called(name, question.caller(answer)), np.random.default_rng(0)
    )
    failures = keep_verdict(name, Verdict(name, float(not mistake), 1.0, mistake or "Right."))
    verdict = Verdict(name, 0.0, 0.0, mistake or "Right.", right=not mistake)
    return _shown(name, verdict, failures)


def _shown(name: str, verdict: Verdict, failures: int) -> Verdict:
    """Show a verdict, and help after some failures in a row; return the verdict."""
    verdict.show()
    if more := help_after(name, failures):
        print(more)
    return verdict


def _called(name: str, call: Callable[[Arrays], Arrays]) -> Callable[[Arrays], Arrays]:
    """Return what calls an answer in the usual surroundings, and explains what it misses: a name,
    or the answer to another question.
    """

    def called(inputs: Arrays) -> Arrays:
        try:
            with usual_surroundings():
                return call(inputs)
        except AnswerError as error:
            if (needed := unanswered_question(error)) and needed != name:
                said = f"{NOT_ANSWERED}: {needed}, without which {name} cannot be checked."
                raise AnswerError(said) from error
            raise AnswerError(f"{error}{explain(error)}") from error

    return called


check.__test__ = False  # type: ignore[attr-defined]  # pytest would collect it
