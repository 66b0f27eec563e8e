"""The grading functions of the published notebooks, with the published argument lists."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pusht.normalisation import Stats
from score import rubric
from score.rollouts.evaluate import Score
from score.rollouts.policies import Inference
from score.student.rollouts import practice_score


def score_part1(
    env: Any,
    mlp_inference: Any,
    mlp_agent: Any,
    obs_horizon: int,
    action_dim: int,
    pred_horizon: int,
    action_horizon: int,
    max_steps: int,
    stats: Stats,
    device: Any,
) -> Score:
    """Score the MLP policy on the ten published episodes; print, film (mlp_combined_vis.mp4) and
    return the `Score`.

    `env` is part of the published argument list but not used: every episode has its own simulator.
    """
    infer = _network_inference(mlp_inference, mlp_agent, pred_horizon, action_dim, device)
    return _score("part1_mlp", infer, stats, max_steps, obs_horizon, pred_horizon, action_horizon)


def score_part2(
    env: Any,
    cvae_inference: Any,
    cvae_agent: Any,
    obs_horizon: int,
    action_dim: int,
    pred_horizon: int,
    action_horizon: int,
    max_steps: int,
    stats: Stats,
    device: Any,
) -> Score:
    """Score the CVAE policy as `score_part1` scores the MLP (cvae_combined_vis.mp4)."""
    infer = _network_inference(cvae_inference, cvae_agent, pred_horizon, action_dim, device)
    return _score("part2_cvae", infer, stats, max_steps, obs_horizon, pred_horizon, action_horizon)


def score_part3(
    env: Any,
    ddpm_inference: Any,
    ema_noise_pred_net: Any,
    noise_scheduler: Any,
    num_diffusion_iters: int,
    obs_horizon: int,
    action_dim: int,
    pred_horizon: int,
    action_horizon: int,
    max_steps: int,
    stats: Stats,
    device: Any,
) -> Score:
    """Score the diffusion policy as `score_part1` scores the MLP (ddpm_combined_vis.mp4)."""

    def infer(nobs: torch.Tensor, batch_size: int) -> torch.Tensor:
        return ddpm_inference(
            ema_model=ema_noise_pred_net,
            ddpm_scheduler=noise_scheduler,
            batch_size=batch_size,
            nobs=nobs.to(device),
            num_diffusion_iters=num_diffusion_iters,
            pred_horizon=pred_horizon,
            action_dim=action_dim,
            device=device,
        )

    return _score("part3_ddpm", infer, stats, max_steps, obs_horizon, pred_horizon, action_horizon)


def _network_inference(
    function: Any, model: Any, pred_horizon: int, action_dim: int, device: Any
) -> Inference:
    def infer(nobs: torch.Tensor, batch_size: int) -> torch.Tensor:
        return function(
            model=model,
            batch_size=batch_size,
            nobs=nobs.to(device),
            pred_horizon=pred_horizon,
            action_dim=action_dim,
        )

    return infer


def _score(
    name: str,
    infer: Inference,
    stats: Stats,
    max_steps: int,
    obs_horizon: int,
    pred_horizon: int,
    action_horizon: int,
) -> Score:
    policy = replace(
        rubric.POLICIES[name],
        max_steps=max_steps,
        obs_horizon=obs_horizon,
        pred_horizon=pred_horizon,
        action_horizon=action_horizon,
    )
    return practice_score(policy, infer, stats, f"{policy.method}_combined_vis.mp4")


def test_kl_divergence(kl_divergence: Any) -> None:
    """Compare KL(N(mu, exp(logvar)) || N(0, I)), summed over latent dimensions and batch, with the
    published number; AssertionError if they differ.
    """
    file = Path(__file__).parent / "published_kl.json"
    published = json.loads(file.read_text(encoding="utf-8"))
    mu, logvar = torch.tensor(published["mu"]), torch.tensor(published["logvar"])
    expected = published["expected"]
    got = float(kl_divergence(mu, logvar))
    print(
        f"Your KL divergence: {got:.6f}\nExpected KL divergence: {expected:.6f}\nDifference:"
        f" {abs(got - expected):.6f}"
    )
    _report(bool(np.isclose(got, expected, rtol=1e-5)))


def test_cosine_beta_schedule(cosine_beta_schedule: Any) -> None:
    """Compare betas (100,) with the cosine schedule of Nichol and Dhariwal (2021), s = 0.008,
    clipped at 0.999; AssertionError if their relative difference is too large.
    """
    f = np.cos((np.arange(101) / 100 + 0.008) / 1.008 * np.pi / 2) ** 2
    expected = np.clip(1 - f[1:] / f[:-1], 0, 0.999)
    got = np.asarray(cosine_beta_schedule(100), dtype=np.float64)
    if got.shape != expected.shape:
        print(f"Your betas have shape {got.shape}; the expected shape is {expected.shape}.")
        _report(False)
    print(f"Largest relative difference of your betas: {np.max(np.abs(got / expected - 1)):.1e}")
    _report(np.allclose(got, expected, rtol=1e-4, atol=0))


# These names are the published notebooks'. Without this, pytest would collect them as tests.
test_kl_divergence.__test__ = False  # type: ignore[attr-defined]
test_cosine_beta_schedule.__test__ = False  # type: ignore[attr-defined]


def _report(passed: bool) -> None:
    assert passed, "Test FAILED: outputs differ."
    print("Test PASSED: outputs match.")
