"""No right answer is refused, however it is written and whatever the inputs are."""

import numpy as np
import pytest
import torch
from answers import all_of, cvae, ddpm, extensions, flow, mlp, otherwise

from score.questions import EXTENSIONS, QUESTIONS

ALL = {**QUESTIONS, **EXTENSIONS}
TABLES = [part.RIGHT for part in (mlp, cvae, ddpm, flow, extensions, otherwise)]


@pytest.fixture(autouse=True)
def gradients_on_again():
    """Switch torch's gradients on again where an answer switched them off."""
    yield
    torch.set_grad_enabled(True)


def mistake(name, answer, seed):
    """What is wrong with an answer to a question in a course with this seed, "" where nothing."""
    torch.manual_seed(seed), np.random.seed(seed), torch.set_grad_enabled(True)
    question = ALL[name]
    return question.find_mistake(
        question.caller(answer), np.random.default_rng([seed, *name.encode()])
    )


@pytest.mark.parametrize("name, answer", all_of(otherwise.RIGHT))
def test_an_answer_that_is_written_otherwise_is_right(name, answer):
    assert mistake(name, answer, 10_000) == ""


@pytest.mark.long
@pytest.mark.parametrize("name", ALL)
def test_no_right_answer_is_refused_with_any_of_twenty_seeds(name):
    refused = [
        f"{row.id}, seed {seed}: {said}"
        for right in TABLES
        for row in right.get(name, ())
        for seed in range(20)
        if (said := mistake(name, row.answer, seed))
    ]
    assert refused == []


def test_each_question_has_right_answers_that_are_written_otherwise():
    assert otherwise.RIGHT.keys() == ALL.keys()
    assert sum(map(len, otherwise.RIGHT.values())) >= 40
