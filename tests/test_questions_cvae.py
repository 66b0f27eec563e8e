"""The checks of Part II refuse every wrong answer with the hint that names its mistake, and pass
right ones however written.
"""

import math
import sys
from itertools import pairwise

import numpy as np
import pytest
import torch
from answers import OfItsOwnKind, Unprintable, all_of, params, raises
from answers.cvae import (
    RIGHT,
    WRONG,
    Agent,
    acts,
    draws,
    goes,
    inference,
    kl,
    loss,
    returns,
    seeded,
    switches_gradients_off,
    with_kl,
)
from torch import nn
from torch.distributions import Normal
from wire import checked

import score
from score import rubric
from score.questions import QUESTIONS
from score.questions.cvae.agent import judge_noise

# torch warns of the shapes that some of the wrong losses bring together, and numpy of roots and
# logarithms that are none.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Using a target size", "ignore:invalid value", "ignore:divide by zero"
)

KL = QUESTIONS["Q2.2"]
FULL = {question.name: question.points for question in rubric.PARTS["part2_cvae"].questions}


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
    assert "\n" not in verdict.sentence


@pytest.mark.parametrize(
    "seed", ["10000", *(pytest.param(seed, marks=pytest.mark.long) for seed in (None, "987654321"))]
)
def test_no_wrong_answer_is_let_through_and_no_right_one_refused(capsys, seed):
    wrong, right = all_of(WRONG), all_of(RIGHT)
    let_through = [row.id for row in wrong if checked(*row.values[:2], seed).points > 0]
    refused = [
        (row.id, verdict.sentence)
        for row in right
        if (verdict := checked(*row.values, seed)).points < FULL[row.values[0]]
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


def flat(value):
    """The numbers in a challenge, names in their order."""
    if isinstance(value, dict):
        return [number for key in value for number in flat(value[key])]
    return [np.array(value)] if value is not None else []


def drawn(name, seed):
    rng = np.random.default_rng(seed)
    return [
        number for challenge in range(3) for number in flat(QUESTIONS[name].inputs(rng, challenge))
    ]


def same(one, other):
    return len(one) == len(other) and all(np.array_equal(a, b) for a, b in zip(one, other))


@pytest.mark.parametrize("name", FULL)
def test_inputs_follow_from_the_seed(name):
    assert same(drawn(name, 0), drawn(name, 0))
    assert not same(drawn(name, 0), drawn(name, 10_000))
    assert not same(drawn(name, 10_000), drawn(name, 10_001))


@pytest.mark.parametrize(
    "name, array", [("Q2.1", "obs"), ("Q2.2", "mu"), ("Q2.3", "nobs"), ("Q2.4", "nobs")]
)
def test_every_question_asks_for_one_sample_and_for_several(name, array):
    rng = np.random.default_rng(0)
    batches = [len(QUESTIONS[name].inputs(rng, challenge)[array]) for challenge in range(3)]
    assert 1 in batches
    assert len(set(batches)) == 3


@pytest.mark.parametrize("seed", range(50))
def test_no_two_inputs_of_the_agents_networks_are_of_one_width(seed):
    rng = np.random.default_rng(seed)
    for challenge in range(3):
        given = QUESTIONS["Q2.1"].inputs(rng, challenge)
        assert (
            len({given["obs"].shape[1], given["action"].shape[1], given["sizes"]["latent_dim"]})
            == 3
        )
        assert given["sizes"]["latent_dim"] != 32


def test_the_divergence_is_asked_for_the_standard_normal_too():
    given = KL.inputs(np.random.default_rng(0), 2)
    assert not given["mu"].any() and not given["logvar"].any()


def test_the_divergence_is_judged_by_what_torch_makes_of_it():
    rng = np.random.default_rng(1)
    for challenge in range(3):
        mu, logvar = (
            torch.from_numpy(array).double() for array in KL.inputs(rng, challenge).values()
        )
        expected = torch.distributions.kl_divergence(
            Normal(mu, torch.exp(logvar / 2)), Normal(0.0, 1.0)
        ).sum()
        torch.testing.assert_close(KL.expected(mu, logvar), expected, rtol=1e-12, atol=1e-12)
        assert KL.expected(mu, logvar) >= 0


def test_the_loss_asks_with_the_default_beta_and_with_others():
    seen = []

    def records(agent, nobs, naction, beta="default"):
        seen.append(beta)
        return loss(agent, nobs, naction, 10.0 if beta == "default" else beta)

    assert score.check("Q2.3", records).points == FULL["Q2.3"]
    assert seen[0] == "default"
    assert all(isinstance(beta, float) and abs(beta - 10) > 1 for beta in seen[1:])


@pytest.mark.parametrize("seed", range(60))
def test_every_mistake_of_the_divergence_has_a_value_of_its_own(seed):
    given = KL.inputs(np.random.default_rng(seed), 0)
    mu, logvar = (torch.from_numpy(array).double() for array in given.values())
    values = sorted(
        [
            KL.expected(mu, logvar).item(),
            *(value.item() for value, _ in KL.mistakes(mu, logvar)),
        ]
    )
    assert all(not np.isclose(one, other, rtol=1e-4) for one, other in pairwise(values))


@pytest.mark.parametrize("seed", range(300))
def test_an_honest_draw_raises_no_false_alarm(seed):
    rng = np.random.default_rng(seed)
    mu, logvar = rng.normal(size=(2, 2048, 4))
    draws = (mu + np.exp(logvar / 2) * rng.normal(size=mu.shape) for _ in range(2))
    judge_noise(*draws, mu, logvar)


class Spoils(Agent):
    def sample_action(self, obs):
        action = Agent.sample_action(self, obs)
        return self.spoil(obs) or action

    def forward(self, obs, action):
        outputs = Agent.forward(self, obs, action)
        return self.spoil(obs, action) or outputs

    def spoil(self, *inputs):
        for tensor in (*inputs, *self.parameters()):
            tensor.data.fill_(9)


def spoils(*args, **kwargs):
    for value in [*args, *kwargs.values()]:
        for tensor in value.parameters() if isinstance(value, nn.Module) else [value]:
            if isinstance(tensor, torch.Tensor):
                tensor.data.fill_(9)
    return torch.zeros(())


@pytest.mark.parametrize("name", FULL)
def test_a_challenge_outlives_an_answer_that_changes_its_arguments_in_place(name):
    question = QUESTIONS[name]
    rng = np.random.default_rng(0)
    for challenge in range(3):
        given = question.inputs(rng, challenge)
        before = [number.copy() for number in flat(given)]
        question.call(Spoils if name == "Q2.1" else spoils, given)
        assert same(flat(given), before)


@pytest.mark.parametrize("name", FULL)
def test_judges_see_arrays_and_plain_values_only(name):
    question = QUESTIONS[name]
    rng = np.random.default_rng(0)

    def plain(value):
        if isinstance(value, dict):
            return all(isinstance(key, str) and plain(one) for key, one in value.items())
        if isinstance(value, list):
            return all(map(plain, value))
        return value is None or type(value) in (bool, int, float, str, np.ndarray)

    for challenge in range(3):
        given = question.inputs(rng, challenge)
        got = question.call(RIGHT[name][0].answer, given)
        assert plain(given) and plain(got)
        question.judge(given, got)


# The verdict.


@pytest.mark.parametrize("name", FULL)
def test_showing_a_verdict_writes_one_line_on_stdout_and_nothing_on_stderr(capsys, name):
    for answer in (RIGHT[name][0].answer, WRONG[name][0].answer):
        capsys.readouterr()
        verdict = score.check(name, answer)
        out, err = capsys.readouterr()
        assert out == f"{verdict}\n"
        assert out.count("\n") == 1
        assert err == ""
        assert type(verdict.points) is type(verdict.max_points) is float
        assert verdict.max_points == FULL[name]


@pytest.mark.parametrize("answer", ["sample_action", "forward"])
def test_an_agent_that_fails_is_told_where(answer):
    broken = type("CVAEAgent", (Agent,), {answer: raises(ValueError("odd"))})
    assert f"{answer} raised ValueError: odd" in score.check("Q2.1", broken).sentence


@pytest.mark.parametrize(
    "answer, phrase",
    params(
        ("sys.exit", lambda *args, **kwargs: sys.exit(3), "SystemExit: 3"),
        ("an assertion", raises(AssertionError()), "AssertionError: no message"),
        ("many lines", raises(ValueError("first\nsecond")), "ValueError: first."),
        ("not an Exception", raises(OfItsOwnKind("odd")), "OfItsOwnKind: odd"),
        ("error that cannot be printed", raises(Unprintable()), "Unprintable: no message"),
        ("error without end", raises(ValueError("x" * 10**6)), "ValueError: xxx"),
    ),
)
@pytest.mark.parametrize("name", FULL)
def test_whatever_an_answer_raises_costs_its_own_points_only(capsys, name, answer, phrase):
    answers = [answer]
    if name == "Q2.1":
        answers += [acts(answer), goes(answer), draws(answer)]
    for one in answers:
        verdict = score.check(name, one)
        assert verdict.points == 0
        assert phrase in verdict.sentence
        assert "\n" not in verdict.sentence
        assert len(verdict.sentence) < 1000
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("name", FULL)
def test_the_person_at_the_keyboard_can_still_interrupt(name):
    with pytest.raises(KeyboardInterrupt):
        score.check(name, raises(KeyboardInterrupt()))


def test_an_answer_that_switches_gradients_off_costs_the_next_one_nothing():
    class SwitchesOff(Agent):
        def __init__(self, **sizes):
            super().__init__(**sizes)
            torch.set_grad_enabled(False)

    for name, answer in (
        ("Q2.1", SwitchesOff),
        ("Q2.2", switches_gradients_off),
        ("Q2.3", switches_gradients_off),
    ):
        assert score.check(name, answer).points == 0
        assert torch.is_grad_enabled()
        assert score.check(name, RIGHT[name][0].answer).points == FULL[name]


@pytest.mark.parametrize("name", ["Q2.2", "Q2.3", "Q2.4"])
def test_torchs_default_type_in_the_notebook_does_not_reach_the_check(name):
    torch.set_default_dtype(torch.float64)
    try:
        assert score.check(name, RIGHT[name][0].answer).points == FULL[name]
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize(
    "name, answer",
    [
        *((name, rows[0].answer) for name, rows in RIGHT.items()),
        # They draw, and reseed; the notebook's generator is not theirs.
        ("Q2.1", draws(seeded)),
        ("Q2.1", acts(lambda self, obs: torch.rand(3) / 0)),
        ("Q2.1", goes(raises(ValueError()))),
    ],
)
def test_a_check_leaves_the_generators_alone(name, answer):
    torch.manual_seed(5)
    np.random.seed(5)
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    score.check(name, answer)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.array_equal(np.random.get_state()[1], before[1])


def test_an_agent_draws_the_same_every_time():
    drawn = []
    for seed in range(2):
        torch.manual_seed(seed)
        score.check("Q2.1", draws(lambda mu, logvar: drawn.append(torch.rand(3)) or mu))
    assert len(drawn) == 4
    assert torch.equal(drawn[0], drawn[2]) and torch.equal(drawn[1], drawn[3])
    assert not torch.equal(drawn[0], drawn[1])


@pytest.mark.parametrize(
    "name, answer",
    [
        ("Q2.1", acts(lambda self, obs: Agent.sample_action(self, obs) / 0)),
        ("Q2.1", draws(lambda mu, logvar: mu + logvar.sqrt())),
        ("Q2.1", draws(lambda mu, logvar: mu)),
        ("Q2.1", draws(seeded)),
        ("Q2.1", returns(lambda action, mu, logvar: (action, mu / 0, logvar * math.nan))),
        ("Q2.2", lambda mu, logvar: kl(mu, logvar.log())),
        ("Q2.3", with_kl(lambda mu, logvar: kl(mu, logvar.log()))),
        ("Q2.4", inference(lambda out, b, s, d: out.view(b, s, d) / 0)),
    ],
)
@pytest.mark.filterwarnings("error")
def test_what_is_not_finite_or_not_spread_gives_a_verdict_and_no_warning(name, answer):
    assert score.check(name, answer).points == 0
