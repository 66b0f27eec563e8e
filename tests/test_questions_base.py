"""What questions have in common: mistakes are values, and judges believe nothing that is forged."""

import numpy as np
import pytest
import torch
from answers import cvae, ddpm, mlp

from score.questions import EXTENSIONS, QUESTIONS
from score.questions.base import TRIALS, as_array, gradients, with_hint, wrong
from score.questions.kinds import InferenceQuestion, NumberQuestion
from score.questions.mistakes import alike, hint_of, nearest_hint, squared_error
from score.verdict import AnswerError

RIGHT = {**mlp.RIGHT, **cvae.RIGHT, **ddpm.RIGHT}
KINDS = [
    name
    for name, question in QUESTIONS.items()
    if isinstance(question, NumberQuestion | InferenceQuestion) and name in RIGHT
]
FORGERIES = (None, True, 0.0, "Right.", [], {}, np.zeros(0), np.zeros((3, 3, 3)), np.array("x"))


@pytest.fixture(scope="module")
def exchanged():
    """{question: [(inputs, outputs of a right answer)]} of all trials."""
    found = {}
    for name, rows in RIGHT.items():
        rng, question = np.random.default_rng(0), QUESTIONS[name]
        found[name] = [
            (inputs, question.caller(rows[0].answer)(inputs))
            for inputs in (question.inputs(rng, trial) for trial in range(TRIALS))
        ]
    return found


@pytest.mark.parametrize("name", RIGHT)
def test_right_outputs_pass_and_not_with_one_of_them_missing(exchanged, name):
    question = QUESTIONS[name]
    inputs, outputs = exchanged[name][0]
    question.judge(inputs, outputs)
    for key in outputs:
        with pytest.raises((AnswerError, KeyError)):
            question.judge(inputs, {k: value for k, value in outputs.items() if k != key})


@pytest.mark.parametrize("name", KINDS)
def test_no_forged_output_passes(exchanged, name):
    question = QUESTIONS[name]
    for inputs, outputs in exchanged[name]:
        for key in {"value", "gradients", "naction"} & outputs.keys():
            for forged in FORGERIES:
                with pytest.raises(Exception):  # noqa: B017  what a judge stumbles over earns nothing
                    question.judge(inputs, outputs | {key: forged})


@pytest.mark.parametrize("name", KINDS)
def test_outputs_of_one_trial_do_not_pass_in_another(exchanged, name):
    question = QUESTIONS[name]
    (inputs, _), (_, outputs) = exchanged[name][:2]
    with pytest.raises(AnswerError):
        question.judge(inputs, outputs)


def test_every_question_is_known_by_its_name():
    for name, question in {**QUESTIONS, **EXTENSIONS}.items():
        assert question.name == name


def test_two_mistakes_may_share_a_hint_and_the_first_that_fits_counts():
    mistakes = [(1.0, "one"), (2.0, "one"), (2.0, "two")]
    assert hint_of(1.0, mistakes) == hint_of(2.0, mistakes) == "one"
    assert hint_of(3.0, mistakes) is None
    assert hint_of(np.full(2, 1.0), mistakes) is None  # of another shape
    assert hint_of(float("nan"), mistakes) is None


def test_the_nearest_mistake_counts_where_float32_explains_the_rest():
    mistakes = [(np.ones(3), "far"), (np.full(3, 1.00009), "near")]
    assert nearest_hint(np.full(3, 1.0001), mistakes) == "near"
    assert nearest_hint(np.full(3, 1.1), mistakes) is None


def test_arrays_and_tensors_are_alike_in_shape_and_value():
    assert alike(torch.ones(2), np.ones(2)) and alike(1.0, torch.tensor(1.0))
    assert not alike(np.ones(2), 1.0) and not alike(np.ones((1, 2)), np.ones(2))


def test_a_mistaken_squared_error_is_what_its_name_says():
    error = np.random.default_rng(0).normal(size=(4, 16, 2))
    keys = ("sum", "absolute", "root", "smooth L1", "half")
    mse = torch.nn.functional.mse_loss
    flat, zero = torch.tensor(error), torch.zeros(4, 16, 2, dtype=torch.float64)
    expected = [
        mse(flat, zero, reduction="sum"),
        torch.nn.functional.l1_loss(flat, zero),
        mse(flat, zero).sqrt(),
        torch.nn.functional.smooth_l1_loss(flat, zero),
        mse(flat, zero) / 2,
    ]
    found = list(squared_error(error, {key: key for key in keys}, plus=1.0))
    assert [hint for _, hint in found] == list(keys)
    assert all(alike(value - 1, right) for (value, _), right in zip(found, expected, strict=True))


def test_gradients_are_taken_by_each_leaf_and_missing_where_there_are_none():
    one, other = (torch.ones(2, requires_grad=True) for _ in range(2))
    by_one, by_other = gradients("f", (3 * one).sum(), [one, other])
    assert by_one.tolist() == [3, 3] and by_other.tolist() == [0, 0]
    assert gradients("f", torch.ones(()), [one]) is None
    assert gradients("f", other.sum(), [one]) is None


def test_what_is_no_tensor_of_real_floats_has_no_array():
    for value in (None, 1.0, np.ones(2), torch.ones(2, dtype=torch.int64), torch.ones(2) * 1j):
        with pytest.raises(AnswerError, match="f returned"):
            as_array("f", value)
    assert as_array("f", torch.ones(2, requires_grad=True)).dtype == np.float64


def test_a_hint_is_replaced():
    assert str(with_hint(wrong("This is wrong.", "that."), "this.")) == "This is wrong. Hint: this."
