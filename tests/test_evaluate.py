"""Rollouts are graded fairly and reproducibly; a policy that fails loses its points, hears why, and
loses nothing else.
"""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import score
from pusht import PushTEnv
from pusht.checkpoint import Checkpoint
from score import rubric
from score.rollouts import evaluate
from score.rollouts.evaluate import Score, bootstrap_interval, score_policy
from score.rollouts.policies import guarded_inference
from score.rollouts.stopping import rollout_points
from score.student import rollouts
from score.verdict import AnswerError

# A policy like Part I's, of a network that the kit does not know.
NAME = "part5_any"
POLICY = replace(rubric.POLICIES["part1_mlp"], name=NAME)
STATS = {
    "obs": {"min": np.zeros(5, np.float32), "max": np.full(5, 512, np.float32)},
    "action": {"min": np.zeros(2, np.float32), "max": np.full(2, 512, np.float32)},
}
STEPS = 40


def network(outputs=32):
    """A policy that rams the block, so that what it does shows in its scores: every action lies
    beyond the block, as seen from the agent.
    """
    model = nn.utils.skip_init(nn.Linear, 10, outputs)
    nn.init.zeros_(model.weight)
    nn.init.zeros_(model.bias)
    agent, block = 5, 7  # where their positions stand in the newest of the two observations
    for axis in range(2):
        model.weight.data[axis::2, block + axis] = 1.5
        model.weight.data[axis::2, agent + axis] = -0.5
    return model


@pytest.fixture
def model():
    return network()


@pytest.fixture
def submission(tmp_path, model):
    """A folder with the checkpoint of `model`."""
    Checkpoint(model.state_dict(), STATS, [0.1], 1, "none", 0, {}).save(
        tmp_path / f"{NAME}.safetensors"
    )
    return tmp_path


@pytest.fixture
def short(monkeypatch):
    """The policy, with few and short episodes."""
    policy = replace(POLICY, max_steps=STEPS)
    monkeypatch.setitem(rubric.POLICIES, NAME, policy)
    monkeypatch.setattr(rubric, "PRACTICE_SEEDS", range(500, 503))  # three of the thirty
    return policy


@torch.no_grad()
def batched(model, batch_size, nobs, pred_horizon, action_dim):
    return model(nobs.reshape(batch_size, -1)).view(batch_size, pred_horizon, action_dim)


@torch.no_grad()
def with_batch_of_one(model, batch_size, nobs, pred_horizon, action_dim):
    assert nobs.shape == (1, 2, 5)
    return model(nobs.flatten(start_dim=1)).view(1, pred_horizon, action_dim)


@torch.no_grad()
def as_published(model, batch_size, nobs, pred_horizon, action_dim):
    assert nobs.shape == (2, 5)
    return model(nobs.unsqueeze(0).flatten(start_dim=1)).view(batch_size, pred_horizon, action_dim)


def grade(infer, model, folder):
    return score.grade_rollouts(NAME, infer, model, folder=folder)


# A policy that fails.


class OfItsOwnKind(BaseException):
    pass


def raising(error):
    def infer(**kwargs):
        raise error

    return infer


def of_output(change):
    """An answer that changes the model's output (B, 16, 2); it needs a batch dimension."""

    @torch.no_grad()
    def infer(model, batch_size, nobs, pred_horizon, action_dim):
        return change(model(nobs.flatten(start_dim=1)).view(batch_size, pred_horizon, action_dim))

    return infer


FAILING = [
    pytest.param(
        of_output(lambda a: a[:, 1:9]),
        "returned shape (3, 8, 2) where (3, 16, 2) is needed",
        id="executed actions only",
    ),
    pytest.param(
        of_output(lambda a: a.flatten(1)),
        "returned shape (3, 32) where (3, 16, 2) is needed",
        id="flat",
    ),
    pytest.param(
        of_output(lambda a: a.transpose(1, 2)),
        "returned shape (3, 2, 16) where",
        id="last two swapped",
    ),
    pytest.param(of_output(lambda a: a / 0), "not finite", id="infinite"),
    pytest.param(of_output(lambda a: a * float("nan")), "not finite", id="nan"),
    pytest.param(
        of_output(lambda a: a.long()),
        "returned torch.int64 where a float tensor is needed",
        id="integers",
    ),
    pytest.param(
        of_output(lambda a: a.to(torch.complex64)), "returned torch.complex64", id="complex"
    ),
    pytest.param(
        of_output(lambda a: a.numpy()),
        "returned ndarray where a float tensor is needed",
        id="numpy",
    ),
    pytest.param(of_output(lambda a: a.to("meta")), "meta", id="without data"),
    pytest.param(
        of_output(lambda a: None), "returned NoneType where a float tensor is needed", id="nothing"
    ),
    pytest.param(
        raising(NotImplementedError("Need to implement for Q1.3")),
        "ot answered yet",
        id="not answered",
    ),
    pytest.param(
        raising(RuntimeError("out of ideas")), "raised RuntimeError: out of ideas", id="raises"
    ),
    pytest.param(raising(SystemExit(1)), "raised SystemExit: 1", id="exits"),
    pytest.param(
        raising(OfItsOwnKind("odd")), "raised OfItsOwnKind: odd", id="raises what is no Exception"
    ),
    pytest.param(
        lambda net, obs: None, "leave the function's name and arguments", id="other arguments"
    ),
]


@pytest.mark.parametrize("infer, phrase", FAILING)
def test_a_failing_policy_earns_nothing_and_hears_why(short, submission, capsys, infer, phrase):
    verdict = grade(infer, network(), submission)
    assert verdict.points == 0
    assert type(verdict.points) is float
    assert verdict.max_points == POLICY.points
    assert phrase in verdict.sentence
    assert "\n" not in verdict.sentence
    out, err = capsys.readouterr()
    assert out == f"{verdict}\n"
    assert err == ""


def test_a_failing_policy_costs_the_other_questions_nothing(short, submission, model):
    assert grade(raising(ValueError("no")), model, submission).points == 0
    assert score.check("Q1.3", batched).points == 2
    assert grade(batched, model, submission).sentence.startswith("Score ")


def test_a_policy_that_fails_on_the_way_hears_why(short, submission, model):
    calls = []

    def tires(**kwargs):
        calls.append(1)
        if len(calls) > 2:
            raise ValueError("tired")
        return batched(**kwargs)

    verdict = grade(tires, model, submission)
    assert verdict.points == 0
    assert "ValueError: tired" in verdict.sentence


def test_a_policy_that_changes_its_observations_in_place_gets_what_it_gave(
    short, submission, model
):
    def spoils(nobs, **kwargs):
        naction = batched(nobs=nobs, **kwargs)
        nobs.zero_()
        return naction

    assert grade(spoils, model, submission) == grade(batched, model, submission)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_floats_of_any_kind_are_served(short, submission, model, dtype):
    verdict = grade(of_output(lambda a: a.to(dtype)), model, submission)
    assert verdict.sentence.startswith("Score ")


def test_actions_far_beyond_the_table_are_cut_off_before_they_break_the_physics(
    short, submission, model
):
    verdict = grade(of_output(lambda a: torch.full_like(a, 1e38)), model, submission)
    assert "Score 0." in verdict.sentence and "finite" not in verdict.sentence


def test_gradients_left_on_do_not_cost_the_rollouts(short, submission, model):
    def left_on(model, batch_size, nobs, pred_horizon, action_dim):
        return model(nobs.flatten(1)).view(batch_size, pred_horizon, action_dim)

    assert grade(left_on, model, submission) == grade(batched, model, submission)


# One observation at a time.


@pytest.mark.parametrize("infer", [with_batch_of_one, as_published])
def test_a_function_for_one_observation_scores_as_the_batched_one(model, infer):
    def inference(function):
        return guarded_inference(
            POLICY, lambda nobs, batch_size: function(model, batch_size, nobs, 16, 2)
        )

    together = score_policy(replace(POLICY, max_steps=60), inference(batched), STATS, range(4))
    single = score_policy(replace(POLICY, max_steps=60), inference(infer), STATS, range(4))
    assert not together.one_by_one
    assert single.one_by_one
    np.testing.assert_allclose(single.per_episode, together.per_episode, rtol=0, atol=1e-4)


@pytest.mark.parametrize("infer", [with_batch_of_one, as_published])
def test_one_observation_at_a_time_is_noticed(short, submission, model, infer):
    verdict = grade(infer, model, submission)
    assert "one observation at a time" in verdict.sentence
    assert verdict.points == pytest.approx(grade(batched, model, submission).points, abs=1e-3)


def test_a_batched_function_is_called_once_for_all(model):
    sizes = []

    def infer(nobs, batch_size):
        sizes.append((tuple(nobs.shape), nobs.dtype, batch_size))
        return batched(model, batch_size, nobs, 16, 2)

    score_policy(replace(POLICY, max_steps=STEPS), infer, STATS, range(4))
    assert sizes == [((4, 2, 5), torch.float32, 4)] * (STEPS // 8)


# The checkpoint.


def test_without_a_checkpoint_the_rollouts_earn_nothing(short, tmp_path, model):
    verdict = grade(batched, model, tmp_path)
    assert verdict.points == 0
    assert f"There is no {NAME}.safetensors" in verdict.sentence


@pytest.mark.parametrize("length", [0, 4, 100, -1])
def test_a_truncated_checkpoint_earns_nothing(short, submission, model, length):
    path = submission / f"{NAME}.safetensors"
    path.write_bytes(path.read_bytes()[:length])
    verdict = grade(batched, model, submission)
    assert verdict.points == 0
    assert f"{NAME}.safetensors is not a whole safetensors file" in verdict.sentence


def test_a_checkpoint_of_another_architecture_earns_nothing(short, submission):
    verdict = grade(batched, network(outputs=34), submission)
    assert verdict.points == 0
    assert "belongs to another architecture than the Linear" in verdict.sentence


def test_a_checkpoint_of_another_make_earns_nothing(short, tmp_path, model):
    import safetensors.torch

    safetensors.torch.save_file(
        model.state_dict(),
        tmp_path / f"{NAME}.safetensors",
        metadata={"pusht_checkpoint": json.dumps({})},
    )
    verdict = grade(batched, model, tmp_path)
    assert verdict.points == 0
    assert "was not written by a TrainingRun" in verdict.sentence


def test_graded_are_the_weights_of_the_file(short, submission, model):
    stranger = network()
    nn.init.zeros_(stranger.weight)
    assert grade(batched, stranger, submission) == grade(batched, model, submission)
    torch.testing.assert_close(stranger.weight, model.weight)


# From scores to points.


def test_no_points_at_the_baseline_and_all_at_the_target():
    target = POLICY.targets["human"]
    assert rollout_points(POLICY, POLICY.baseline, target) == 0
    assert rollout_points(POLICY, target, target) == POLICY.points
    assert rollout_points(POLICY, (POLICY.baseline + target) / 2, target) == pytest.approx(
        POLICY.points / 2
    )


def test_points_are_plain_floats_clipped_and_rise_with_the_score():
    points = [
        rollout_points(POLICY, np.float64(mean), POLICY.targets["human"])
        for mean in np.linspace(-0.2, 1.2, 57)
    ]
    assert all(type(p) is float for p in points)
    assert points == sorted(points)
    assert points[0] == 0
    assert points[-1] == POLICY.points


def test_the_interval_is_the_same_every_time_and_holds_the_mean():
    scores = np.random.default_rng(1).uniform(size=30)
    np.random.seed(0)
    interval = bootstrap_interval(scores)
    np.random.seed(1)
    assert bootstrap_interval(scores) == interval
    low, high = interval
    assert type(low) is float and type(high) is float
    assert low < scores.mean() < high


def test_the_interval_is_the_normal_one_for_many_episodes():
    scores = np.random.default_rng(1).uniform(size=400)
    half = 1.96 * scores.std() / np.sqrt(len(scores))
    np.testing.assert_allclose(
        bootstrap_interval(scores), [scores.mean() - half, scores.mean() + half], atol=0.1 * half
    )


def test_the_interval_shrinks_with_more_episodes():
    scores = np.random.default_rng(1).uniform(size=10)
    widths = [np.ptp(bootstrap_interval(np.tile(scores, n))) for n in (1, 4, 16)]
    assert widths[0] > 1.8 * widths[1] > 3 * widths[2] > 0


def test_equal_scores_leave_no_doubt():
    assert bootstrap_interval([0.5] * 10) == (0.5, 0.5)


# Which episodes.


@pytest.fixture
def seeds_used(monkeypatch):
    calls, original = [], evaluate.rollout

    def recorded(policy, seeds, **options):
        calls.append(list(seeds))
        return original(policy, seeds, **options)

    monkeypatch.setattr(evaluate, "rollout", recorded)
    return calls


def test_a_students_own_run_uses_practice_episodes(short, submission, model, seeds_used):
    verdict = grade(batched, model, submission)
    assert seeds_used == [[500, 501, 502]]
    assert "The grade uses other starts" in verdict.sentence


# The same submission, the same grade.


def sampled(source):
    """A policy that adds noise from a generator of its module's choice."""
    return of_output(
        lambda a: a + 0.3 * torch.as_tensor(source(tuple(a.shape)), dtype=torch.float32)
    )


@pytest.mark.parametrize(
    "infer",
    [
        pytest.param(batched, id="deterministic"),
        pytest.param(of_output(lambda a: a + 0.3 * torch.randn_like(a)), id="torch noise"),
        pytest.param(sampled(lambda shape: np.random.normal(size=shape)), id="numpy noise"),
    ],
)
def test_the_same_submission_gets_the_same_verdict_twice(short, submission, model, infer):
    torch.manual_seed(1)
    np.random.seed(1)
    first = grade(infer, model, submission)
    torch.manual_seed(2)
    np.random.seed(2)
    assert grade(infer, model, submission) == first


def test_these_policies_differ_in_what_they_score(short, submission, model):
    still = grade(of_output(torch.zeros_like), model, submission)
    ramming = grade(batched, model, submission)
    noisy = grade(of_output(lambda a: a + 0.3 * torch.randn_like(a)), model, submission)
    assert len({still.sentence, ramming.sentence, noisy.sentence}) == 3


def test_a_grade_leaves_torchs_generator_alone(short, submission, model):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    grade(of_output(lambda a: a + torch.randn_like(a)), model, submission)
    torch.testing.assert_close(torch.rand(3), expected, rtol=0, atol=0)


# The published grading cell.


@pytest.fixture
def small_film(monkeypatch):
    """Ten episodes side by side are filmed small here."""
    monkeypatch.setattr(rollouts, "film", lambda rolled: evaluate.film(rolled, size=32))


def test_the_published_call_prints_scores_and_the_published_grade_films_and_returns(
    small_film, tmp_path, monkeypatch, capsys, model
):
    monkeypatch.chdir(tmp_path)
    result = score.score_part1(
        PushTEnv(), batched, model, 2, 2, 16, 8, STEPS, STATS, torch.device("cpu")
    )
    out, err = capsys.readouterr()
    assert isinstance(result, Score)
    assert len(result.per_episode) == 10
    assert result.episodes.seeds == list(rubric.PUBLISHED_SEEDS)
    assert result.mean == pytest.approx(np.mean(result.per_episode))
    assert result.interval[0] <= result.mean <= result.interval[1]
    grade_line = (
        rf"Part I grade: {result.mean:.2f} / 0.60 \* 5 = {min(result.mean / 0.6, 1) * 5:.2f}"
    )
    assert re.search(grade_line, out, re.IGNORECASE)
    assert re.search(rf"Part I average score: {result.mean:.4f}", out, re.IGNORECASE)
    for reward in result.per_episode:
        assert f"{reward:.4f}" in out
    assert err == ""
    assert (tmp_path / "mlp_combined_vis.mp4").stat().st_size > 0


def test_the_published_grade_stops_at_its_five_points(
    small_film, tmp_path, monkeypatch, capsys, model
):
    monkeypatch.chdir(tmp_path)
    easy = replace(POLICY, published=0.001)
    monkeypatch.setitem(rubric.POLICIES, "part1_mlp", easy)
    score.score_part1(PushTEnv(), batched, model, 2, 2, 16, 8, STEPS, STATS, torch.device("cpu"))
    assert "* 5 = 5.00" in capsys.readouterr().out


def test_the_published_call_serves_a_function_as_published_with_a_notice(
    small_film, tmp_path, monkeypatch, capsys, model
):
    monkeypatch.chdir(tmp_path)
    result = score.score_part1(
        PushTEnv(), as_published, model, 2, 2, 16, 8, STEPS, STATS, torch.device("cpu")
    )
    assert result.one_by_one
    assert "one observation at a time" in capsys.readouterr().out


def test_the_published_call_says_what_is_wrong_with_the_function(tmp_path, monkeypatch, model):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(AnswerError, match="raised ValueError: no"):
        score.score_part1(
            PushTEnv(),
            raising(ValueError("no")),
            model,
            2,
            2,
            16,
            8,
            STEPS,
            STATS,
            torch.device("cpu"),
        )


def test_episodes_of_unequal_length_are_filmed_side_by_side(model):
    rolled = score_policy(
        replace(POLICY, max_steps=4),
        lambda nobs, b: batched(model, b, nobs, 16, 2),
        STATS,
        range(3),
    ).episodes
    rolled.states[1], rolled.actions[1] = rolled.states[1][:3], rolled.actions[1][:2]
    frames = evaluate.film(rolled, size=32, columns=2)
    assert frames.shape == (5, 68, 68, 3)
    assert frames.dtype == np.uint8
