"""The checks of Part I refuse every wrong answer with the hint that names its mistake, and pass
right ones however written.
"""

import os
import sys

import numpy as np
import pytest
import torch
from answers import OfItsOwnKind, Unprintable, all_of, params, raises
from answers.mlp import RIGHT, WRONG, as_tuple, decorated_no_grad, mse, switches_gradients_off
from torch import nn
from wire import checked

import score
from score import rubric
from score.questions import mlp

QUESTIONS = {question.name: question for question in mlp.QUESTIONS}

# torch warns of the shapes that some of the wrong losses bring together.
pytestmark = pytest.mark.filterwarnings("ignore:Using a target size")

FULL = {question.name: question.points for question in rubric.PARTS["part1_mlp"].questions}


@pytest.fixture(autouse=True)
def gradients_on_again():
    """An answer may switch torch's gradients off."""
    yield
    torch.set_grad_enabled(True)


@pytest.mark.parametrize("name, answer, phrase", all_of(WRONG))
def test_a_wrong_answer_earns_nothing_and_is_told_why(name, answer, phrase):
    verdict = score.check(name, answer)
    assert verdict.points == 0
    assert phrase in verdict.sentence
    assert len(verdict.sentence) < 1000


@pytest.mark.parametrize("name, answer", all_of(RIGHT))
def test_a_right_answer_earns_full_points_however_written(name, answer):
    verdict = score.check(name, answer)
    assert verdict.points == FULL[name], verdict.sentence


@pytest.mark.parametrize("seed", [None, "10000", "987654321"])
def test_no_wrong_answer_is_let_through_and_no_right_one_refused(capsys, seed):
    wrong, right = all_of(WRONG), all_of(RIGHT)
    let_through = [row.id for row in wrong if checked(*row.values[:2], seed).points > 0]
    refused = [
        row.id for row in right if checked(*row.values[:2], seed).points < FULL[row.values[0]]
    ]
    capsys.readouterr()
    print(
        f"{len(let_through)} of {len(wrong)} wrong answers let through, {len(refused)} of"
        f" {len(right)} right answers refused"
    )
    assert let_through == []
    assert refused == []


def test_each_question_is_tried_with_eight_wrong_and_four_right_answers():
    for name in QUESTIONS:
        assert len(WRONG[name]) >= 8
        assert len(RIGHT[name]) >= 4


# The inputs.


def inputs_seen(name, seed=None):
    """What a right answer to the question is given, all challenges."""
    seen = []

    def record(*args, **kwargs):
        answer = {"Q1.1": as_tuple, "Q1.2": mse, "Q1.3": decorated_no_grad}[name]
        arrays = [a for a in [*args, *kwargs.values()] if not isinstance(a, nn.Module)]
        models = [a for a in [*args, *kwargs.values()] if isinstance(a, nn.Module)]
        seen.append(
            [a.numpy().copy() if isinstance(a, torch.Tensor) else np.array(a) for a in arrays]
            + [w.detach().numpy().copy() for m in models for w in m.parameters()]
        )
        return answer(*args, **kwargs)

    assert checked(name, record, seed).points == FULL[name]
    return seen


def same(one, other):
    return len(one) == len(other) and all(
        np.array_equal(a, b) for x, y in zip(one, other) for a, b in zip(x, y)
    )


@pytest.mark.parametrize("name", QUESTIONS)
def test_practice_inputs_are_the_same_every_time(name):
    torch.manual_seed(1)
    first = inputs_seen(name)
    torch.manual_seed(2)
    np.random.seed(2)
    assert same(first, inputs_seen(name))


@pytest.mark.parametrize("name", QUESTIONS)
def test_graded_inputs_are_the_courses_own(name):
    practice, graded = inputs_seen(name), inputs_seen(name, 10_000)
    assert not same(practice, graded)
    assert same(graded, inputs_seen(name, 10_000))
    assert not same(graded, inputs_seen(name, 10_001))


@pytest.mark.parametrize("name", ["Q1.2", "Q1.3"])
def test_every_question_on_batches_asks_for_one_and_for_several(name):
    rng = np.random.default_rng(0)
    batches = [len(QUESTIONS[name].inputs(rng, challenge)["nobs"]) for challenge in range(3)]
    assert 1 in batches
    assert len(set(batches)) == 3


@pytest.mark.parametrize("seed", range(200))
def test_no_drawn_challenge_of_widths_is_the_notebooks_own(seed):
    rng = np.random.default_rng(seed)
    draws = [QUESTIONS["Q1.1"].inputs(rng, challenge) for challenge in (1, 2)]
    assert all(given["hidden_dims"] != [256] * 5 for given in draws)


def test_a_challenge_outlives_an_answer_that_changes_its_arguments_in_place():
    rng = np.random.default_rng(0)
    for name, question in QUESTIONS.items():
        given = question.inputs(rng, 1)
        before = {key: np.array(value) for key, value in given.items()}

        def spoils(*args, name=name, **kwargs):
            for value in [*args, *kwargs.values()]:
                if isinstance(value, list):
                    value.clear()
                elif isinstance(value, torch.Tensor):
                    value.fill_(9)
                elif isinstance(value, nn.Module):
                    value.weight.data.zero_()
            return torch.zeros(()) if name == "Q1.2" else torch.zeros(1)

        question.call(spoils, given)
        for key, value in given.items():
            np.testing.assert_array_equal(value, before[key], err_msg=f"{name} {key}")


# The verdict.


@pytest.mark.parametrize("name", QUESTIONS)
def test_points_are_plain_floats(name):
    for answer in (RIGHT[name][0].answer, WRONG[name][0].answer):
        verdict = score.check(name, answer)
        assert type(verdict.points) is float
        assert type(verdict.max_points) is float
        assert verdict.max_points == FULL[name]


@pytest.mark.parametrize("name", QUESTIONS)
def test_showing_a_verdict_writes_one_line_on_stdout_and_nothing_on_stderr(capsys, name):
    for answer in (RIGHT[name][0].answer, WRONG[name][0].answer):
        capsys.readouterr()
        verdict = score.check(name, answer)
        out, err = capsys.readouterr()
        assert out == f"{verdict}\n"
        assert out.count("\n") == 1
        assert err == ""


@pytest.mark.parametrize(
    "answer, phrase",
    params(
        ("sys.exit", lambda *args, **kwargs: sys.exit(3), "SystemExit: 3"),
        ("exit without a word", lambda *args, **kwargs: sys.exit(), "SystemExit"),
        ("an assertion", raises(AssertionError()), "AssertionError: no message"),
        ("many lines", raises(ValueError("first\nsecond")), "ValueError: first."),
        (
            "without end",
            raises(RecursionError("maximum recursion depth exceeded")),
            "RecursionError",
        ),
        ("not an Exception", raises(OfItsOwnKind("odd")), "OfItsOwnKind: odd"),
        ("a generator's exit", raises(GeneratorExit()), "GeneratorExit"),
        ("error that cannot be printed", raises(Unprintable()), "Unprintable: no message"),
        ("error without end", raises(ValueError("x" * 10**6)), "ValueError: xxx"),
    ),
)
@pytest.mark.parametrize("name", QUESTIONS)
def test_whatever_an_answer_raises_costs_its_own_points_only(capsys, name, answer, phrase):
    verdict = score.check(name, answer)
    assert verdict.points == 0
    assert phrase in verdict.sentence
    assert "\n" not in verdict.sentence
    assert len(verdict.sentence) < 1000
    assert capsys.readouterr().err == ""


def test_the_person_at_the_keyboard_can_still_interrupt():
    with pytest.raises(KeyboardInterrupt):
        score.check("Q1.2", raises(KeyboardInterrupt()))


def test_an_answer_that_prints_keeps_its_points(capfd):
    def chatty(model, nobs, naction):
        print("loss", nobs.shape)
        os.write(2, b"on stderr\n")
        return mse(model, nobs, naction)

    assert score.check("Q1.2", chatty).points == FULL["Q1.2"]


def test_an_answer_that_switches_gradients_off_costs_the_next_one_nothing():
    assert score.check("Q1.2", switches_gradients_off).points == 0
    assert score.check("Q1.2", mse).points == FULL["Q1.2"]


@pytest.mark.parametrize("name, answer", [("Q1.2", mse), ("Q1.3", decorated_no_grad)])
def test_torchs_default_type_in_the_notebook_does_not_reach_the_check(name, answer):
    torch.set_default_dtype(torch.float64)
    try:
        assert score.check(name, answer).points == FULL[name]
    finally:
        torch.set_default_dtype(torch.float32)


def test_a_check_leaves_torchs_generator_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    score.check("Q1.2", mse)
    score.check("Q1.3", decorated_no_grad)
    torch.testing.assert_close(torch.rand(3), expected, rtol=0, atol=0)


def test_a_question_that_the_rubric_lacks_is_named():
    with pytest.raises(KeyError, match="Q9.9"):
        score.check("Q9.9", mse)
