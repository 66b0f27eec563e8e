"""What is put before the instructor: policies that act better than their weights, loss curves that the weights do not bear out."""
from dataclasses import replace

import pytest

from pusht import demos
from pusht.checkpoint import load_checkpoint
from pusht.chunks import as_range
from score import rubric
from score.asking import asked
from score.course import evidence
from score.course.reference import answer_of, reference_path
from score.episodes import called, score_policy

POLICY = rubric.POLICIES["part1_mlp"]


@pytest.fixture(scope="module")
def trained():
    return load_checkpoint(reference_path(POLICY, "shipped"), POLICY.normalisation)


@pytest.fixture(scope="module")
def score(trained):
    """Of the kit's own inference with the trained weights."""
    model, infer = asked(POLICY, answer_of(evidence.solution("part1_mlp"), POLICY))
    trained.restore(model)
    return score_policy(POLICY, called(POLICY, infer), as_range(trained.stats), range(10_000, 10_006))


def test_a_run_of_the_notebook_raises_no_question(trained, score):
    assert evidence.findings(POLICY, trained, score) == []


def test_acting_better_than_the_weights_is_flagged(trained, score):
    untaught = replace(trained, weights={name: weight * 0.01 for name, weight in trained.weights.items()}, demonstrations="0" * 64)
    sentence, = evidence.findings(POLICY, untaught, score)
    assert "something else than the network may be acting" in sentence and f"{score.mean:.2f}" in sentence


@pytest.mark.parametrize("factor", [0.2, 5])
def test_a_loss_curve_that_the_weights_do_not_bear_out_is_flagged(trained, score, factor):
    other = replace(trained, losses=[loss * factor for loss in trained.losses])
    sentence, = evidence.findings(POLICY, other, score)
    assert "the curve may be another run's" in sentence and "shipped demonstrations" in sentence


def test_weights_of_another_network_are_flagged(trained, score):
    sentence, = evidence.findings(POLICY, replace(trained, weights={}), score)
    assert "not of the notebook's network" in sentence


def test_of_a_free_architecture_nothing_is_said(trained, score):
    assert evidence.findings(rubric.POLICIES["part4_flow"], trained, score) == []


def test_losses_on_demonstrations_that_are_not_at_hand_are_left_alone(trained, score):
    assert evidence.findings(POLICY, replace(trained, losses=[9.0], demonstrations="0" * 64), score) == []


def test_only_what_is_on_the_machine_is_at_hand(tmp_path, monkeypatch, demonstrations):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert demos.at_hand("shipped").fingerprint == demonstrations.fingerprint
    assert demos.at_hand("human") is None
    monkeypatch.setenv("PUSHT_DEMOS", str(demos.SHIPPED))
    assert demos.at_hand("human") is None
