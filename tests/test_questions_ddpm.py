"""Part III's checks refuse wrong answers with a hint that names the mistake and pass right ones."""

import numpy as np
import pytest
import torch
from answers import OfItsOwnKind, Unprintable, all_of, params, raises
from answers.ddpm import (
    DDPM,
    REFERENCE,
    RIGHT,
    WRONG,
    ddpm,
    ddpm_loss,
    f_of,
    not_answered,
    switches_gradients_off,
)
from wire import checked

import score
from score import rubric
from score.questions import QUESTIONS
from score.questions.ddpm.networks import _Scheduler
from score.questions.ddpm.schedule import cosine_schedule
from score.questions.mistakes import diffusion_noise_hint

pytestmark = pytest.mark.filterwarnings("error::RuntimeWarning")

FULL = {question.name: question.points for question in rubric.PARTS["part3_ddpm"].questions}


@pytest.fixture(autouse=True)
def gradients_on_again():
    """Switch torch's gradients on again where an answer switched them off."""
    yield
    torch.set_grad_enabled(True)


@pytest.mark.parametrize("name, answer, phrase", all_of(WRONG))
def test_a_wrong_answer_earns_nothing_and_is_told_why(name, answer, phrase):
    verdict = score.check(name, answer)
    assert verdict.points == 0
    assert phrase in verdict.sentence
    assert len(verdict.sentence) < 1000


@pytest.mark.long
@pytest.mark.parametrize("seed", [None, "10000", "987654321"])
def test_no_wrong_answer_is_let_through_and_no_right_one_refused(capsys, seed):
    wrong, right = all_of(WRONG), all_of(RIGHT)
    let_through = [row.id for row in wrong if checked(*row.values[:2], seed).points > 0]
    refused = {
        row.id: verdict.sentence
        for row in right
        for verdict in [checked(*row.values, seed)]
        if verdict.points < FULL[row.values[0]]
    }
    capsys.readouterr()
    print(
        f"{len(let_through)} of {len(wrong)} wrong answers let through,"
        f" {len(refused)} of {len(right)} right answers refused"
    )
    assert let_through == []
    assert refused == {}


# What is behind the checks.


@pytest.mark.parametrize("steps, s", [(100, 0.008), (7, 0.008), (150, 0.02)])
def test_betas_rise_and_what_is_left_falls_along_the_cosine(steps, s):
    betas = cosine_schedule(steps, s)
    assert (np.diff(betas) > 0).all()
    k = np.arange(1, steps)
    np.testing.assert_allclose(np.cumprod(1 - betas)[:-1], f_of(k, steps, s) / f_of(0, steps, s))


def test_the_schedule_is_the_published_one():
    betas = cosine_schedule(100)
    np.testing.assert_allclose(
        betas[[0, 1, 50, 97, 98, 99]],
        [0.00063128, 0.0011169, 0.031546, 0.55537999, 0.74993998, 0.999],
        rtol=5e-5,
    )


def test_from_a_k_and_its_noise_the_clean_chunk_comes_back_at_every_step():
    scheduler, noise, k = _Scheduler(100), torch.randn(100, 16, 2), torch.arange(100)
    a = torch.rand(100, 16, 2) * 2 - 1
    left = scheduler.alpha_k_cumprod.view(-1, 1, 1)
    back = (scheduler.diffuse(a, k, noise) - (1 - left).sqrt() * noise) / left.sqrt()
    torch.testing.assert_close(back, a, rtol=0, atol=1e-3)


def test_normal_noise_raises_no_false_alarm():
    rng = np.random.default_rng(0)
    assert all(diffusion_noise_hint(rng.standard_normal((512, 16, 2))) is None for _ in range(300))


# The inputs.


def flat(value):
    """Return all numbers that inputs hold."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        return [number for entry in value for number in flat(entry)]
    return [value] if isinstance(value, str) else np.ravel(value).tolist()


def drawn(name, seed):
    rng = np.random.default_rng(seed)
    return [flat(QUESTIONS[name].inputs(rng, trial)) for trial in range(3)]


@pytest.mark.parametrize("name", FULL)
def test_inputs_follow_from_the_seed(name):
    assert drawn(name, 1) == drawn(name, 1)
    assert drawn(name, 1) != drawn(name, 2)


@pytest.mark.parametrize("name", ["Q3.3", "Q3.4"])
def test_every_question_on_batches_asks_for_one_and_for_several(name):
    rng = np.random.default_rng(0)
    batches = [len(QUESTIONS[name].inputs(rng, trial)["nobs"]) for trial in range(3)]
    assert 1 in batches
    assert len(set(batches)) == 3


class Spoils(DDPM):
    def diffuse(self, a_start, k, noise):
        return a_start.fill_(9) + noise.fill_(9) + k.fill_(0).view(-1, 1, 1)

    def denoise(self, pred_epsilon, k, a_k):
        return pred_epsilon.fill_(9) + a_k.fill_(9)


def spoils_the_loss(model, scheduler, nobs, naction):
    model(naction, torch.zeros(len(naction)), nobs.flatten(1))
    model.weight.data.zero_()
    scheduler.beta_k.zero_()
    return (nobs.fill_(9).sum() + naction.fill_(9).sum()) * 0


def spoils_inference(ema_model, ddpm_scheduler, nobs, **arguments):
    ema_model.weight.data.zero_()
    ddpm_scheduler.alpha_k_cumprod.zero_()
    return nobs.fill_(9)


@pytest.mark.parametrize(
    "name, answer", [("Q3.2", Spoils), ("Q3.3", spoils_the_loss), ("Q3.4", spoils_inference)]
)
def test_inputs_outlive_an_answer_that_changes_its_arguments_in_place(name, answer):
    inputs = QUESTIONS[name].inputs(np.random.default_rng(0), 1)
    before = flat(inputs)
    QUESTIONS[name].call(answer, inputs)
    assert flat(inputs) == before


# The verdict.


def raising_ddpm(error):
    return [ddpm(betas=raises(error)), ddpm(diffuse=raises(error)), ddpm(denoise=raises(error))]


@pytest.mark.parametrize(
    "error, phrase",
    params(
        ("sys.exit", SystemExit(3), "SystemExit: 3"),
        ("an assertion", AssertionError(), "AssertionError: no message"),
        ("many lines", ValueError("first\nsecond"), "ValueError: first."),
        ("not an Exception", OfItsOwnKind("odd"), "OfItsOwnKind: odd"),
        ("an index", IndexError("index 100 is out of bounds for dimension 0"), "counted from 0"),
        ("error that cannot be printed", Unprintable(), "Unprintable: no message"),
        ("error without end", ValueError("x" * 10**6), "ValueError: xxx"),
    ),
)
@pytest.mark.parametrize("name", FULL)
def test_whatever_an_answer_raises_costs_its_own_points_only(capsys, name, error, phrase):
    if name in ("Q3.1", "Q3.2") and isinstance(error, IndexError):
        phrase = "IndexError"
    for answer in raising_ddpm(error) if name == "Q3.2" else [raises(error)]:
        verdict = score.check(name, answer)
        assert verdict.points == 0
        assert phrase in verdict.sentence
        assert "\n" not in verdict.sentence
        assert len(verdict.sentence) < 1000
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("name", FULL)
def test_the_person_at_the_keyboard_can_still_interrupt(name):
    with pytest.raises(KeyboardInterrupt):
        score.check(name, raises(KeyboardInterrupt()))


@pytest.mark.parametrize("name", FULL)
def test_showing_a_verdict_writes_one_line_on_stdout_and_nothing_on_stderr(capsys, name):
    for answer in (REFERENCE[name], not_answered):
        capsys.readouterr()
        verdict = score.check(name, answer)
        out, err = capsys.readouterr()
        assert out == f"{verdict}\n"
        assert err == ""
        assert type(verdict.points) is float
        assert verdict.max_points == FULL[name]


def test_an_answer_that_switches_gradients_off_costs_the_next_one_nothing():
    assert score.check("Q3.3", switches_gradients_off).points == 0
    assert score.check("Q3.3", ddpm_loss).points == FULL["Q3.3"]


@pytest.mark.parametrize("name", FULL)
def test_torchs_default_type_in_the_notebook_does_not_reach_the_check(name):
    torch.set_default_dtype(torch.float64)
    try:
        assert score.check(name, REFERENCE[name]).points == FULL[name]
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("name", FULL)
def test_a_check_leaves_the_generators_alone(name):
    torch.manual_seed(5)
    np.random.seed(5)
    expected = torch.rand(3), np.random.rand(3)
    torch.manual_seed(5)
    np.random.seed(5)
    score.check(name, REFERENCE[name])
    assert torch.equal(torch.rand(3), expected[0])
    assert np.array_equal(np.random.rand(3), expected[1])
