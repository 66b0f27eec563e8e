"""The questions and extensions of all parts by their names, and how an answer to one is judged."""

from collections.abc import Callable

from score import rubric
from score.questions import (
    cvae,
    cvae_agent,
    cvae_loss,
    ddpm,
    euler,
    extensions,
    flow_loss,
    mlp,
    mse_policy,
    training_loop,
)
from score.questions.base import Arrays, Question, Rng
from score.verdict import Verdict


# -- ADAPTER, to go when no module is left whose QUESTIONS is a dict of (inputs, call, judge) -----
class _OldQuestion(Question):
    def __init__(self, name, functions):
        self.name = name
        self.inputs, self.call, self.judge = functions  # type: ignore[method-assign]

    inputs = call = judge = None  # type: ignore[assignment]


def _questions(questions):
    if isinstance(questions, dict):
        return tuple(_OldQuestion(name, functions) for name, functions in questions.items())
    return questions


# -- end of the adapter ---------------------------------------------------------------------------

_MODULES = (
    mlp,
    cvae_agent,
    cvae,
    cvae_loss,
    ddpm,
    mse_policy,
    training_loop,
    flow_loss,
    euler,
)  # in the order of the parts
QUESTIONS: dict[str, Question] = {
    question.name: question for module in _MODULES for question in _questions(module.QUESTIONS)
}
EXTENSIONS: dict[str, Question] = {
    question.name: question for question in _questions(extensions.EXTENSIONS)
}


def judged(name: str, call: Callable[[Arrays], Arrays], rng: Rng) -> Verdict:
    """Return the verdict on an answer to a question.

    call: function from inputs to what the answer makes of them; AnswerError where it makes nothing.
    rng: generator that the inputs are drawn from.
    """
    _, entry = rubric.question(name)
    mistake = QUESTIONS[name].find_mistake(call, rng)
    points = 0.0 if mistake else float(entry.points)
    return Verdict(name, points, float(entry.points), mistake or "Right.")
