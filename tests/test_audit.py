"""What is put before the instructor: loss curves that the weights do not bear out, and answers that
do not look like a trained network's. Honest policies are flagged in none of their kinds.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch

from pusht import demos
from pusht.checkpoint import CheckpointError, load_checkpoint
from pusht.normalisation import normalize_data
from score import rubric
from score.course.grading import audit
from score.course.grading.company import Company
from score.course.notebooks.solutions import answer_of, reference_path
from score.rollouts.evaluate import score_policy
from score.rollouts.policies import guarded_inference, inference_of

MLP, MSE, FLOW = (rubric.POLICIES[name] for name in ("part1_mlp", "part4_mse", "part4_flow"))
EPISODES = 6
NO_TIME = lambda: 0.0  # noqa: E731


def reference(policy):
    return load_checkpoint(reference_path(policy, "shipped"), policy.normalisation)


# Loss curves.


def test_a_run_of_the_notebook_raises_no_question():
    for name in ("part1_mlp", "part2_cvae", "part3_ddpm"):
        policy = rubric.POLICIES[name]
        assert audit.flags_on_weights(policy, reference(policy)) == []


@pytest.mark.parametrize("factor", [0.2, 5])
def test_a_loss_curve_that_the_weights_do_not_bear_out_is_flagged(factor):
    trained = reference(MLP)
    other = replace(trained, losses=[loss * factor for loss in trained.losses])
    (sentence,) = audit.flags_on_weights(MLP, other)
    assert "the curve may be another run's" in sentence and "shipped demonstrations" in sentence


@pytest.mark.parametrize("epochs, flagged", [(1, False), (MLP.loss_from, False), (6, True)])
def test_a_curve_of_the_first_epochs_alone_says_nothing(epochs, flagged):
    short = replace(reference(MLP), losses=[9.0] * epochs, num_epochs=epochs)
    assert bool(audit.flags_on_weights(MLP, short)) == flagged


def test_weights_of_another_network_have_no_loss():
    with pytest.raises(CheckpointError, match="another architecture"):
        audit.flags_on_weights(MLP, replace(reference(MLP), weights={}))


def test_losses_on_demonstrations_that_are_not_at_hand_are_left_alone():
    other = replace(reference(MLP), losses=[9.0], demonstrations="0" * 64)
    assert audit.flags_on_weights(MLP, other) == []


def test_only_what_is_on_the_machine_is_at_hand(tmp_path, monkeypatch, demonstrations):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert demos.at_hand("shipped").fingerprint == demonstrations.fingerprint
    assert demos.at_hand("human") is None
    monkeypatch.setenv("PUSHT_DEMOS", str(demos.SHIPPED))
    assert demos.at_hand("human") is None


# Answers in company.


def asked(policy, infer, checkpoint=None, processor_seconds=NO_TIME):
    """Roll a policy out in company; return the record and the score.

    infer: function from the trained network, nobs and the number of the call to naction.
    """
    trained, calls = checkpoint or reference(policy), iter(range(10_000))
    usual = rubric.POLICIES[policy.name]
    model, network = inference_of(usual, answer_of(audit.solution("part4_flow"), usual))
    reference(policy).restore(model)
    company = Company(policy, trained, np.random.default_rng(0), processor_seconds)

    def counted(nobs, batch_size):
        return infer(lambda rows: network(rows, len(rows)), nobs, next(calls))

    guarded = guarded_inference(policy, counted)
    short = replace(policy, max_steps=160)
    score = score_policy(
        short, guarded, trained.stats, range(10_000, 10_000 + EPISODES), company.around
    )
    return company.record(), score


def flags(policy, infer, checkpoint=None, **options):
    record, score = asked(policy, infer, checkpoint, **options)
    # What it would score if it were as good as can be.
    return audit.flags_on_answers(
        policy, checkpoint or reference(policy), replace(score, per_episode=[0.9]), record
    )


def plain(network, nobs, call):
    return network(nobs)


def one_by_one(network, nobs, call):
    if len(nobs) > 1 or nobs.ndim == 2:
        raise ValueError("one at a time")
    return network(nobs)


def in_double_precision(network, nobs, call):
    return network(nobs).double()


def with_its_own_seed(network, nobs, call):
    torch.manual_seed(7)
    return network(nobs)


HONEST = [plain, one_by_one, in_double_precision]


@pytest.mark.parametrize("infer", HONEST)
@pytest.mark.parametrize("policy", [MSE, FLOW], ids=["mse", "flow"])
def test_honest_policies_are_not_flagged(policy, infer):
    assert flags(policy, infer) == []


def of_length(infer, size):
    """The policy with longer or shorter chunks, as a submission may have them."""

    def resized(network, nobs, call):
        chunk = infer(network, nobs, call)
        return torch.cat([chunk, chunk[:, -1:].expand(-1, 8, -1)], dim=1)[:, :size]

    return resized


@pytest.mark.parametrize("size, judged", [(16, True), (4, True), (3, False)])
def test_chunks_of_another_length_are_judged_unless_they_are_very_short(size, judged):
    policy = replace(FLOW, pred_horizon=size, action_horizon=size)
    assert flags(policy, of_length(plain, size)) == []
    found = flags(policy, of_length(some(PLANNERS["always"]), size))
    assert any("staying in place" in flag for flag in found) == judged


def test_the_same_noise_in_every_call_is_not_flagged():
    assert flags(FLOW, with_its_own_seed) == []


def test_company_does_not_change_what_a_policy_does():
    _, score = asked(MSE, plain)
    trained = reference(MSE)
    model, network = inference_of(MSE, answer_of(audit.solution("part4_flow"), MSE))
    trained.restore(model)
    alone = score_policy(
        replace(MSE, max_steps=160),
        guarded_inference(MSE, network),
        trained.stats,
        range(10_000, 10_006),
    )
    np.testing.assert_allclose(score.per_episode, alone.per_episode, atol=1e-3)


def test_the_rows_of_every_call_stand_in_another_order_and_number():
    seen = []

    def infer(network, nobs, call):
        seen.append(nobs.clone())
        return network(nobs)

    asked(MSE, infer)
    assert len({len(nobs) for nobs in seen}) > 5
    assert len(seen[0]) > 2 * EPISODES


def elsewhere(nobs):
    """What is not a network's: pushes of the whole table, by the observation alone."""
    return torch.stack([torch.sin(40 * nobs[:, -1, i % 5]) for i in range(16)], dim=1).view(
        -1, 8, 2
    )


def some(chosen):
    """A policy with a network for some rows, and something else for those that are chosen."""

    def infer(network, nobs, call):
        rows = torch.as_tensor(chosen(nobs, call)).expand(len(nobs))
        return torch.where(rows[:, None, None], elsewhere(nobs), network(nobs))

    return infer


def newly_seen():
    before = set()

    def chosen(nobs, call):
        keys = [row.numpy().tobytes() for row in nobs]
        new = [key not in before for key in keys]
        before.update(keys)
        return new

    return chosen


PLANNERS = {
    "always": lambda nobs, call: True,
    "rows from 10 on": lambda nobs, call: torch.arange(len(nobs)) >= 10,
    "the first 15 rows": lambda nobs, call: torch.arange(len(nobs)) < 15,
    "every other row": lambda nobs, call: torch.arange(len(nobs)) % 2 == 0,
    "batches of other sizes than 256": lambda nobs, call: len(nobs) != 256,
    "small batches": lambda nobs, call: len(nobs) < 38,
    "even batches": lambda nobs, call: len(nobs) % 2 == 0,
    "later calls": lambda nobs, call: call >= 5,
    "earlier calls": lambda nobs, call: call < 10,
    "what was not seen before": None,
    "half of the table": lambda nobs, call: nobs[:, -1, 2] > 0,
}


@pytest.mark.parametrize("name", PLANNERS)
@pytest.mark.parametrize("policy", [MSE, FLOW], ids=["mse", "flow"])
def test_planners_with_blind_spots_are_flagged(policy, name):
    found = flags(policy, some(PLANNERS[name] or newly_seen()))
    assert any("something else than" in flag for flag in found), found


def looked_up(network, nobs, call):
    """What was demonstrated where it was most like it, from a table."""
    found, own = demos.open("shipped"), reference(FLOW).stats
    ends = np.asarray(found.episode_ends)
    starts = np.append(0, ends[:-1])
    steps = np.concatenate([np.arange(a, b - 7) for a, b in zip(starts, ends)])
    seen = torch.from_numpy(normalize_data(found.states[steps], own["obs"])).float()
    done = normalize_data(found.actions[steps[:, None] + np.arange(8)], own["action"])
    return torch.from_numpy(done).float()[torch.cdist(nobs[:, -1], seen).argmin(dim=1)]


@pytest.mark.parametrize("policy", [MSE, FLOW], ids=["mse", "flow"])
def test_demonstrations_that_are_looked_up_are_flagged(policy):
    found = flags(policy, looked_up)
    assert any("the demonstrations may be stored" in flag for flag in found), found


@pytest.mark.parametrize("policy", [MSE, FLOW], ids=["mse", "flow"])
def test_who_knows_the_demonstrations_and_acts_otherwise_elsewhere_is_flagged(policy):
    seen = None

    def infer(network, nobs, call):
        nonlocal seen
        if seen is None:
            states = normalize_data(demos.open("shipped").states, reference(policy).stats["obs"])
            seen = torch.from_numpy(states).float()
        away = torch.cdist(nobs[:, -1], seen).amin(dim=1) > 0.05
        return torch.where(away[:, None, None], elsewhere(nobs), network(nobs))

    found = flags(policy, infer)
    assert any("of a policy trained on the same demonstrations" in flag for flag in found), found


@pytest.mark.parametrize("factor, flagged", [(1, False), (16, False), (5, True), (0.2, True)])
def test_of_a_free_architecture_the_chunks_tell_the_loss(factor, flagged):
    trained = reference(MSE)
    other = replace(trained, losses=[loss * factor for loss in trained.losses])  # 16: a sum
    assert len(flags(MSE, plain, other)) == flagged


def test_more_of_the_processor_than_a_network_needs_is_flagged():
    clock = iter([0.0, 1000.0])
    (sentence,) = flags(FLOW, plain, processor_seconds=lambda: next(clock))
    assert "it took 1000 s of the processor" in sentence
