"""Questions: inputs -> the student's function -> arrays -> verdict.

A question draws its inputs, calls the answer and judges what came back, and the three know nothing
of each other but the arrays between them. In practice all of it happens in the student's process;
in class the call alone does.
"""

import numpy as np
import torch

from pusht.progress import grading
from score import rubric
from score.protocol import converse
from score.questions import cvae, ddpm, extensions, flow, mlp
from score.student.progress import keep_verdict
from score.verdict import AnswerError, Verdict

QUESTIONS = {**mlp.QUESTIONS, **cvae.QUESTIONS, **ddpm.QUESTIONS, **flow.QUESTIONS}
EXTENSIONS = extensions.EXTENSIONS

_CHALLENGES = 3


def check(name, answer):
    """Have the answer to a question judged, such as `check("Q1.2", bc_loss)`; show, keep and return
    the `Verdict`.

    Practice inputs are always the same. In class the grader draws its own, and judges. An
    extension, such as "E1.1", is worth no points and is not judged in class.
    """
    if name in EXTENSIONS:
        return _check_extension(name, answer)
    _, entry = rubric.question(name)
    called = _calls(QUESTIONS[name], answer)
    if grading():
        return converse({"question": name}, called, name, entry.points)
    verdict = judged(name, called, np.random.default_rng(0))
    keep_verdict(name, verdict)
    return verdict.show()


def _check_extension(name, answer):
    if grading():
        return Verdict(name, 0.0, 0.0, "Not looked at in class.", right=False)
    wrong = _mistake(EXTENSIONS[name], _calls(EXTENSIONS[name], answer), np.random.default_rng(0))
    keep_verdict(name, Verdict(name, float(not wrong), 1.0, wrong or "Right."))
    return Verdict(name, 0.0, 0.0, wrong or "Right.", right=not wrong).show()


def _calls(question, answer):
    """What asks the answer: function from inputs to what it makes of them."""

    def called(given):
        # An answer may leave torch's gradients switched off; the next one, and the judge, have them
        # on.
        with torch.enable_grad():
            return question[1](answer, given)

    return called


def judged(name, called, rng):
    """The `Verdict` on an answer to a question.

    called: function from inputs to what the answer makes of them; AnswerError where it makes
    nothing.
    rng: numpy generator that the inputs are drawn from.
    """
    _, entry = rubric.question(name)
    wrong = _mistake(QUESTIONS[name], called, rng)
    return Verdict(
        name, 0.0 if wrong else float(entry.points), float(entry.points), wrong or "Right."
    )


def _mistake(question, called, rng):
    """What is wrong with an answer, in a sentence or two; "" where nothing is."""
    inputs, _, judge = question
    try:
        for challenge in range(_CHALLENGES):
            given = inputs(rng, challenge)
            got = called(given)
            with torch.enable_grad():
                judge(given, got)
    except AnswerError as error:
        return str(error)
    return ""


check.__test__ = False
