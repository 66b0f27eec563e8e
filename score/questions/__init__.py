"""The questions and extensions of all parts by their names, and how an answer to one is judged."""

from collections.abc import Callable

from score import rubric
from score.questions import cvae, ddpm, extensions, flow, mlp
from score.questions.base import Arrays, Question, Rng
from score.verdict import Verdict

_MODULES = (mlp, cvae, ddpm, flow)  # in the order of the parts
QUESTIONS: dict[str, Question] = {
    question.name: question for module in _MODULES for question in module.QUESTIONS
}
EXTENSIONS: dict[str, Question] = {extension.name: extension for extension in extensions.EXTENSIONS}


def judged(name: str, call: Callable[[Arrays], Arrays], rng: Rng) -> Verdict:
    """Return the verdict on an answer to a question.

    call: function from inputs to what the answer makes of them; AnswerError where it makes nothing.
    rng: generator that the inputs are drawn from.
    """
    _, entry = rubric.question(name)
    mistake = QUESTIONS[name].find_mistake(call, rng)
    points = 0.0 if mistake else float(entry.points)
    return Verdict(name, points, float(entry.points), mistake or "Right.")
