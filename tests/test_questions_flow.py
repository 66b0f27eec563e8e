"""The checks of Part IV refuse every wrong answer with the hint that names its mistake, and pass
right ones however written.
"""

import functools
import random
import sys

import numpy as np
import pytest
import torch
import wire
from answers import OfItsOwnKind, all_of, params, raises
from answers.flow import MSE, RIGHT, WRONG, Flow, loop, of_self

import score
from score import questions, rubric
from score.questions.flow import training_loop
from score.questions.flow.loss import tau_hint
from score.questions.flow.policies import MANY
from score.questions.mistakes import flow_noise_hint

# torch warns of the shapes that some of the wrong losses bring together.
pytestmark = pytest.mark.filterwarnings("ignore:Using a target size")

FULL = {question.name: question.points for question in rubric.PARTS["part4_flow"].questions}


@pytest.fixture(autouse=True)
def gradients_on_again():
    """Switch torch's gradients on again where an answer switched them off."""
    yield
    torch.set_grad_enabled(True)


checked = functools.cache(wire.checked)  # practice verdicts are looked at one by one and counted


@pytest.mark.parametrize("name, answer, phrase", all_of(WRONG))
def test_a_wrong_answer_earns_nothing_and_is_told_why(name, answer, phrase):
    verdict = checked(name, answer, None)
    assert verdict.points == 0
    assert phrase in verdict.sentence
    assert len(verdict.sentence) < 1000


@pytest.mark.parametrize("name, answer", all_of(RIGHT))
def test_a_right_answer_earns_full_points_however_written(name, answer):
    verdict = checked(name, answer, None)
    assert verdict.points == FULL[name], verdict.sentence


@pytest.mark.long
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
    for name in FULL:
        assert len(WRONG[name]) >= 8
        assert len(RIGHT[name]) >= 4


# The inputs.


def same(one, other):
    """Whether two dicts of inputs are the same, number by number."""
    return all(
        np.array_equal(one[key], other[key]) for key in one if key not in ("config", "runs")
    ) and all(one.get(key) == other.get(key) for key in ("config", "runs"))


def drawn_inputs(name, seed):
    rng = np.random.default_rng(seed)
    return [questions.QUESTIONS[name].inputs(rng, challenge) for challenge in range(3)]


@pytest.mark.parametrize("name", FULL)
def test_inputs_follow_from_the_seed(name):
    torch.manual_seed(1)
    first = drawn_inputs(name, 7)
    torch.manual_seed(2)
    np.random.seed(2)
    assert all(map(same, first, drawn_inputs(name, 7)))
    assert not any(map(same, first, drawn_inputs(name, 8)))


@pytest.mark.parametrize("name", FULL)
def test_a_challenge_outlives_an_answer_that_changes_its_arguments_in_place(name):
    def spoilt(method):
        def spoils(self, *args, **kwargs):
            result = method(self, *args, **kwargs)
            with torch.no_grad():
                for value in [*args, *kwargs.values()]:
                    if isinstance(value, torch.Tensor):
                        value.fill_(9)
            return result

        return spoils

    def train(policy, loader, normalizer, logger, config):
        for state, chunk in loader:
            state.zero_(), chunk.zero_()
        policy.weight.data.zero_()

    answer = {
        "Q4.1": of_self(
            MSE,
            sample_actions=spoilt(
                lambda self, state, **kw: MSE.sample_actions(self, 1 * state, **kw)
            ),
        ),
        "Q4.2": train,
        "Q4.3": of_self(
            compute_loss=spoilt(
                lambda self, state, chunk: Flow.compute_loss(self, 1 * state, 1 * chunk)
            )
        ),
        "Q4.4": of_self(
            sample_actions=spoilt(
                lambda self, state, **kw: Flow.sample_actions(self, 1 * state, **kw)
            )
        ),
    }[name]
    [given, again] = drawn_inputs(name, 0)[1], drawn_inputs(name, 0)[1]
    questions.QUESTIONS[name].call(answer, given)
    assert same(given, again)


def test_every_training_has_its_evaluations_where_they_tell_loops_apart():
    for challenge, given in [
        pair for seed in range(100) for pair in enumerate(drawn_inputs("Q4.2", seed))
    ]:
        config, batches = given["config"], len(given["states"])
        steps, every = config["num_epochs"] * batches, config["eval_interval"]
        assert every != batches and steps > config["log_interval"] + 1
        assert [steps > every and steps % every > 1, steps % every == 0, every > steps + 1][
            challenge
        ]


def test_no_later_challenge_shares_a_size_with_the_notebook():
    for given in [given for seed in range(30) for given in drawn_inputs("Q4.1", seed)[1:]]:
        assert (
            given["state_dim"] != 5
            and given["action_dim"] != 2
            and given["state_dim"] != given["chunk_size"]
        )


# What is drawn.


def normal(seed, batch=MANY):
    return np.random.default_rng(seed).standard_normal((batch, 4, 3))


def test_normal_noise_and_uniform_tau_are_not_suspected():
    for seed in range(300):
        assert flow_noise_hint(normal(seed)) is None
        assert not tau_hint(np.random.default_rng(seed).uniform(size=MANY))


def test_normal_noise_stays_far_from_the_bounds():
    """The fourth moment has the longest tail of what is judged: the worst of 300
    draws is at less than two thirds of its bound.
    """
    kurtosis = [
        abs((normal(seed) ** 4).mean() - 3) / (96 / normal(seed).size) ** 0.5 for seed in range(300)
    ]
    assert max(kurtosis) < 8 * 2 / 3


# The verdict.


@pytest.mark.parametrize("name", FULL)
def test_points_are_plain_floats(name):
    for answer in (RIGHT[name][0].answer, WRONG[name][0].answer):
        verdict = score.check(name, answer)
        assert type(verdict.points) is float
        assert verdict.max_points == FULL[name]


@pytest.mark.parametrize("name", FULL)
def test_a_check_writes_one_line_on_stdout_and_nothing_on_stderr(capfd, name):
    for answer in (RIGHT[name][0].answer, WRONG[name][0].answer):
        capfd.readouterr()
        verdict = score.check(name, answer)
        out, err = capfd.readouterr()
        assert out == f"{verdict}\n"
        assert err == ""


def answers_that(raise_):
    """For each question, answers that fail at each of the places where their code runs."""
    return [
        ("Q4.1", raise_),
        ("Q4.1", of_self(MSE, sample_actions=raise_)),
        ("Q4.1", of_self(MSE, compute_loss=raise_)),
        ("Q4.2", raise_),
        ("Q4.3", raise_),
        ("Q4.3", of_self(velocity=raise_)),
        ("Q4.3", of_self(compute_loss=raise_)),
        ("Q4.4", raise_),
        ("Q4.4", of_self(sample_actions=raise_)),
    ]


@pytest.mark.parametrize(
    "raise_, phrase",
    params(
        ("sys.exit", lambda *args, **kwargs: sys.exit(3), "SystemExit: 3"),
        ("an assertion", raises(AssertionError()), "AssertionError: no message"),
        ("many lines", raises(ValueError("first\nsecond")), "ValueError: first."),
        (
            "without end",
            raises(RecursionError("maximum recursion depth exceeded")),
            "RecursionError",
        ),
        ("not an Exception", raises(OfItsOwnKind("odd")), "OfItsOwnKind: odd"),
        (
            "a shape",
            raises(RuntimeError("mat1 and mat2 shapes cannot be multiplied")),
            "shapes cannot be multiplied. Hint",
        ),
    ),
)
def test_whatever_an_answer_raises_costs_its_own_points_only(capsys, raise_, phrase):
    for name, answer in answers_that(raise_):
        verdict = score.check(name, answer)
        assert verdict.points == 0
        assert phrase in verdict.sentence
        assert "\n" not in verdict.sentence and len(verdict.sentence) < 1000
        assert "obs_horizon" not in verdict.sentence  # the hints of Part I
    assert capsys.readouterr().err == ""


def test_where_another_question_is_unanswered_its_name_is_told():
    unanswered = raises(NotImplementedError("Need to implement for Q4.3"))
    answer = of_self(__init__=unanswered)
    assert score.check("Q4.3", answer).sentence == "Not answered yet (Need to implement for Q4.3)."
    needed = "Not answered yet: Q4.3, without which Q4.4 cannot be checked."
    assert score.check("Q4.4", answer).sentence == needed
    assert score.check("Q4.4", of_self(velocity=unanswered)).points == 1


def test_the_person_at_the_keyboard_can_still_interrupt():
    for name, answer in [
        *answers_that(raises(KeyboardInterrupt())),
        ("Q4.4", of_self(velocity=raises(KeyboardInterrupt()))),
    ]:
        with pytest.raises(KeyboardInterrupt):
            score.check(name, answer)


@pytest.mark.parametrize("name", FULL)
def test_the_notebooks_settings_of_torch_neither_reach_the_check_nor_change(name):
    torch.manual_seed(5), np.random.seed(5), random.seed(5)
    expected = torch.rand(1).item(), np.random.rand(), random.random()
    torch.manual_seed(5), np.random.seed(5), random.seed(5)
    compile_, threads = torch.compile, torch.get_num_threads()
    torch.set_default_dtype(torch.float64)
    torch.set_default_device("meta")
    try:
        assert score.check(name, RIGHT[name][0].answer).points == FULL[name]
        assert score.check(name, raises(ValueError())).points == 0
        assert torch.get_default_dtype() == torch.float64
        assert torch.empty(1).device.type == "meta"
    finally:
        torch.set_default_dtype(torch.float32)
        torch.set_default_device(None)
    assert (torch.rand(1).item(), np.random.rand(), random.random()) == expected
    assert (
        torch.compile is compile_ and torch.get_num_threads() == threads and torch.is_grad_enabled()
    )


def test_no_chance_in_an_answer_makes_two_checks_differ():
    """Each draw of a check is from its own seed: the same answer earns the same, on the day of
    grading as well.
    """
    for name in FULL:
        for row in [*RIGHT[name][:2], *WRONG[name][:2]]:
            torch.manual_seed(1)
            first = score.check(name, row.answer)
            torch.manual_seed(2)
            assert score.check(name, row.answer) == first


def test_the_check_of_the_loop_leaves_no_file_and_no_patch_behind(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("WANDB_MODE", "offline")
    rollout = training_loop.chunks.rollout
    for answer in (loop(), loop(fresh="batch"), raises(OSError("disk full"))):
        score.check("Q4.2", answer)
    # What the checks said, and a folder that torch makes when it is first asked for a gradient.
    assert all(
        "standing.json" in path.name or path.name.startswith("torchinductor")
        for path in tmp_path.iterdir()
    )
    assert training_loop.chunks.rollout is rollout and not hasattr(training_loop.chunks, "print")


def test_the_judges_see_arrays_and_plain_values_only():
    def plain(value):
        if isinstance(value, dict):
            return all(plain(key) and plain(inner) for key, inner in value.items())
        if isinstance(value, (list, tuple)):
            return all(map(plain, value))
        return isinstance(value, (np.ndarray, np.integer, int, float, str, bool, type(None)))

    for name in FULL:
        question = questions.QUESTIONS[name]
        given = question.inputs(np.random.default_rng(0), 0)
        assert plain(given)
        assert plain(question.call(RIGHT[name][0].answer, given))
