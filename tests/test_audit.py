"""What is put before the instructor: policies that act better than their weights, loss curves that
the weights do not bear out.
"""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from pusht import demos
from pusht.checkpoint import load_checkpoint
from score import rubric
from score.course.grading import audit
from score.course.notebooks.solutions import answer_of, reference_path
from score.rollouts.evaluate import score_policy
from score.rollouts.policies import guarded_inference, inference_of
from score.verdict import AnswerError

POLICY = rubric.POLICIES["part1_mlp"]


@pytest.fixture(scope="module")
def trained():
    return load_checkpoint(reference_path(POLICY, "shipped"), POLICY.normalisation)


def infer_of(policy, trained):
    """The kit's own inference with trained weights."""
    part = next(part for part in rubric.PARTS.values() if policy in part.policies)
    model, infer = inference_of(policy, answer_of(audit.solution(part.name), policy))
    trained.restore(model)
    return guarded_inference(policy, infer)


@pytest.fixture(scope="module")
def score(trained):
    return score_policy(POLICY, infer_of(POLICY, trained), trained.stats, range(10_000, 10_006))


def test_a_run_of_the_notebook_raises_no_question(trained, score):
    assert audit.flags(POLICY, trained, score, None) == []


def test_acting_better_than_the_weights_is_flagged(trained, score):
    untaught = replace(
        trained,
        weights={name: weight * 0.01 for name, weight in trained.weights.items()},
        demonstrations="0" * 64,
    )
    (sentence,) = audit.flags(POLICY, untaught, score, None)
    assert (
        "something else than the network may be acting" in sentence
        and f"{score.mean:.2f}" in sentence
    )


@pytest.mark.parametrize("factor", [0.2, 5])
def test_a_loss_curve_that_the_weights_do_not_bear_out_is_flagged(trained, score, factor):
    other = replace(trained, losses=[loss * factor for loss in trained.losses])
    (sentence,) = audit.flags(POLICY, other, score, None)
    assert "the curve may be another run's" in sentence and "shipped demonstrations" in sentence


def test_weights_of_another_network_are_flagged(trained, score):
    (sentence,) = audit.flags(POLICY, replace(trained, weights={}), score, None)
    assert "not of the notebook's network" in sentence


@pytest.fixture
def of_many():
    return SimpleNamespace(one_by_one=False)


@pytest.mark.parametrize("factor, flagged", [(1, False), (16, False), (5, True), (0.2, True)])
def test_of_a_free_architecture_the_chunks_tell_the_loss(factor, flagged, of_many):
    policy = rubric.POLICIES["part4_mse"]
    trained = load_checkpoint(reference_path(policy, "shipped"), policy.normalisation)
    other = replace(
        trained, losses=[loss * factor for loss in trained.losses]
    )  # 16: summed over the chunk
    assert len(audit.flags(policy, other, of_many, infer_of(policy, trained))) == flagged


def test_a_policy_that_answers_with_other_shapes_is_told_of_that(trained, of_many):
    other = replace(
        trained,
        stats={
            what: {"mean": ends["min"], "std": ends["max"]} for what, ends in trained.stats.items()
        },
    )
    with pytest.raises(AnswerError, match="returned shape"):
        audit.flags(rubric.POLICIES["part4_mse"], other, of_many, lambda nobs, batch_size: nobs)


def test_of_a_free_architecture_that_samples_nothing_is_said(trained, score):
    assert audit.flags(rubric.POLICIES["part4_flow"], trained, score, None) == []


def test_losses_on_demonstrations_that_are_not_at_hand_are_left_alone(trained, score):
    assert (
        audit.flags(POLICY, replace(trained, losses=[9.0], demonstrations="0" * 64), score, None)
        == []
    )


def test_only_what_is_on_the_machine_is_at_hand(tmp_path, monkeypatch, demonstrations):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert demos.at_hand("shipped").fingerprint == demonstrations.fingerprint
    assert demos.at_hand("human") is None
    monkeypatch.setenv("PUSHT_DEMOS", str(demos.SHIPPED))
    assert demos.at_hand("human") is None
