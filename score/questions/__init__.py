"""Questions: inputs -> the student's function -> arrays -> verdict.

A question draws its inputs, calls the answer and judges what came back, and the three know nothing of each other but the
arrays between them. In practice all of it happens in the student's process; in class the call alone does.
"""
import numpy as np
import torch

from pusht.progress import grading
from score import rubric
from score.protocol import converse
from score.questions import cvae, ddpm, flow, mlp
from score.standing import keep_verdict
from score.verdict import AnswerError, Verdict

QUESTIONS = {**mlp.QUESTIONS, **cvae.QUESTIONS, **ddpm.QUESTIONS, **flow.QUESTIONS}

_CHALLENGES = 3


def check(name, answer):
    """Have the answer to a question judged, such as `check("Q1.2", bc_loss)`; show, keep and return the `Verdict`.

    Practice inputs are always the same. In class the grader draws its own, and judges.
    """
    _, entry = rubric.question(name)
    call = QUESTIONS[name][1]

    def called(given):
        # An answer may leave torch's gradients switched off; the next one, and the judge, have them on.
        with torch.enable_grad():
            return call(answer, given)

    if grading():
        return converse({"question": name}, called, name, entry.points)
    verdict = judged(name, called, np.random.default_rng(0))
    keep_verdict(name, verdict)
    return verdict.show()


def judged(name, called, rng):
    """The `Verdict` on an answer to a question.

    called: function from inputs to what the answer makes of them; AnswerError where it makes nothing.
    rng: numpy generator that the inputs are drawn from.
    """
    _, entry = rubric.question(name)
    inputs, _, judge = QUESTIONS[name]
    try:
        for challenge in range(_CHALLENGES):
            given = inputs(rng, challenge)
            got = called(given)
            with torch.enable_grad():
                judge(given, got)
    except AnswerError as error:
        return Verdict(name, 0.0, float(entry.points), str(error))
    return Verdict(name, float(entry.points), float(entry.points), "Right.")


check.__test__ = False
