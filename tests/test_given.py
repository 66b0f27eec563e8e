"""The kit acts with the networks of Parts I to III as the notebooks' solutions do, and without the
student's code.
"""

import contextlib
import shutil
from dataclasses import replace

import pytest
import torch

import score
from pusht.checkpoint import load_checkpoint
from score import rubric
from score.course.grading import audit
from score.course.grading.rollouts import Rollouts
from score.course.notebooks.solutions import reference_path
from score.course.settings import Limits, RunSettings
from score.rollouts.given import NETWORKS
from score.rollouts.policies import load_policy
from score.submission.failures import GraderFailure

POLICIES = [policy for policy in rubric.POLICIES.values() if policy.method in NETWORKS]
MLP = rubric.POLICIES["part1_mlp"]


@pytest.fixture
def submission(tmp_path):
    """A folder with the reference's hand-in files."""
    for policy in POLICIES:
        shutil.copy(reference_path(policy, "shipped"), tmp_path)
    return tmp_path


def solved(policy, model, nobs):
    """What the notebook's solution answers, with the network of the hand-in file."""
    names = audit.solution(rubric.part_of(policy).name)
    infer, sizes = names[f"{policy.method}_inference"], {"pred_horizon": 16, "action_dim": 2}
    if policy.method != "ddpm":
        return infer(model=model, batch_size=len(nobs), nobs=nobs, **sizes)
    return infer(
        ema_model=model,
        ddpm_scheduler=names["noise_scheduler"],
        batch_size=len(nobs),
        nobs=nobs,
        num_diffusion_iters=rubric.DIFFUSION_STEPS,
        device=torch.device("cpu"),
        **sizes,
    )


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.name)
def test_the_kit_acts_as_the_solution(policy, submission):
    names = audit.solution(rubric.part_of(policy).name)
    model = {"mlp": "mlp_agent", "cvae": "cvae_agent", "ddpm": "noise_pred_net"}[policy.method]
    checkpoint, infer = load_policy(policy, (), submission)
    checkpoint.restore(names[model])  # the arrays have the same names and shapes
    nobs = torch.rand(3, 2, 5, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.no_grad():
        torch.manual_seed(1)
        right = solved(policy, names[model], nobs)
        torch.manual_seed(1)
        torch.testing.assert_close(infer(nobs, 3), right, rtol=0, atol=1e-4)


def test_practice_and_grade_say_the_same(submission, monkeypatch):
    monkeypatch.setattr(rubric, "PRACTICE_SEEDS", range(500, 503))
    practice = score.grade_rollouts("part1_mlp", folder=submission)
    settings = RunSettings(500, 3, filmed=0)
    rollouts = Rollouts(submission, settings, lambda stage: contextlib.nullcontext(), {})
    _, graded = rollouts.of_given_network(MLP)
    assert f"Score {graded.score:.3f} over 3 episodes" in practice.sentence


def test_what_a_notebook_of_an_earlier_version_passes_is_not_called(submission, monkeypatch):
    monkeypatch.setattr(rubric, "PRACTICE_SEEDS", range(500, 502))
    with_function = score.grade_rollouts("part1_mlp", None, None, folder=submission)
    assert with_function == score.grade_rollouts("part1_mlp", folder=submission)


def test_weights_of_another_network_are_told(tmp_path):
    other = load_checkpoint(reference_path(rubric.POLICIES["part2_cvae"], "shipped"))
    other.save(tmp_path / "part1_mlp.safetensors")
    sentence = score.grade_rollouts("part1_mlp", folder=tmp_path).sentence
    assert sentence.startswith(
        "The checkpoint belongs to another architecture than the ResidualMLP"
    )


def test_weights_that_predict_no_numbers_are_told(tmp_path):
    trained = load_checkpoint(reference_path(MLP, "shipped"))
    weights = {name: torch.full_like(w.float(), 1e30) for name, w in trained.weights.items()}
    replace(trained, weights=weights).save(tmp_path / "part1_mlp.safetensors")
    assert (
        "numbers that are not finite" in score.grade_rollouts("part1_mlp", folder=tmp_path).sentence
    )


def test_episodes_that_take_longer_than_there_is_time_are_no_fault_of_the_students(submission):
    settings = RunSettings(500, 3, filmed=0, limits=Limits(notebook_seconds=0))
    rollouts = Rollouts(submission, settings, lambda stage: contextlib.nullcontext(), {})
    with pytest.raises(GraderFailure, match="could not finish"):
        rollouts.of_given_network(MLP)
