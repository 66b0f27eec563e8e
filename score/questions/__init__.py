"""Questions: inputs -> the student's function -> arrays -> verdict.

A question draws its inputs, calls the answer and judges what came back, and the three know nothing of each other but the
arrays between them: the call can run in one process and the rest in another.
"""
import os

import numpy as np
import torch

from score import rubric
from score.questions import cvae, ddpm, flow, mlp
from score.verdict import AnswerError, Verdict

QUESTIONS = {**mlp.QUESTIONS, **cvae.QUESTIONS, **ddpm.QUESTIONS, **flow.QUESTIONS}

_CHALLENGES = 3


def check(name, answer):
    """Judge the answer to a question, such as `check("Q1.2", bc_loss)`; show and return the `Verdict`.

    Practice inputs are always the same; graded ones are drawn from the course's seed.
    """
    _, entry = rubric.question(name)
    inputs, call, judge = QUESTIONS[name]
    rng = np.random.default_rng(int(os.environ.get("PUSHT_GRADE_SEED", 0)))
    try:
        for challenge in range(_CHALLENGES):
            given = inputs(rng, challenge)
            # An answer may leave torch's gradients switched off; the next one, and the judge, have them on.
            with torch.enable_grad():
                got = call(answer, given)
            with torch.enable_grad():
                judge(given, got)
    except AnswerError as error:
        verdict = Verdict(name, 0.0, float(entry.points), str(error))
    else:
        verdict = Verdict(name, float(entry.points), float(entry.points), "Right.")
    return verdict.show()


check.__test__ = False
