"""The published notebooks' grading calls, with their argument lists."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from score import rubric
from score.rollouts.evaluate import practice_score


def score_part1(
    env,
    mlp_inference,
    mlp_agent,
    obs_horizon,
    action_dim,
    pred_horizon,
    action_horizon,
    max_steps,
    stats,
    device,
):
    """Score the MLP policy on the ten published episodes; print, film (mlp_combined_vis.mp4) and
    return the `Score`.

    `env` is accepted as published and not used: every episode has a simulator of its own.
    """

    def infer(nobs, batch_size):
        return mlp_inference(
            model=mlp_agent,
            batch_size=batch_size,
            nobs=nobs.to(device),
            pred_horizon=pred_horizon,
            action_dim=action_dim,
        )

    return _score("part1_mlp", infer, stats, max_steps, obs_horizon, pred_horizon, action_horizon)


def _score(name, infer, stats, max_steps, obs_horizon, pred_horizon, action_horizon):
    policy = replace(
        rubric.POLICIES[name],
        max_steps=max_steps,
        obs_horizon=obs_horizon,
        pred_horizon=pred_horizon,
        action_horizon=action_horizon,
    )
    return practice_score(policy, infer, stats, f"{policy.method}_combined_vis.mp4")


def score_part2(
    env,
    cvae_inference,
    cvae_agent,
    obs_horizon,
    action_dim,
    pred_horizon,
    action_horizon,
    max_steps,
    stats,
    device,
):
    """As `score_part1`, for the CVAE policy (cvae_combined_vis.mp4)."""

    def infer(nobs, batch_size):
        return cvae_inference(
            model=cvae_agent,
            batch_size=batch_size,
            nobs=nobs.to(device),
            pred_horizon=pred_horizon,
            action_dim=action_dim,
        )

    return _score("part2_cvae", infer, stats, max_steps, obs_horizon, pred_horizon, action_horizon)


def score_part3(
    env,
    ddpm_inference,
    ema_noise_pred_net,
    noise_scheduler,
    num_diffusion_iters,
    obs_horizon,
    action_dim,
    pred_horizon,
    action_horizon,
    max_steps,
    stats,
    device,
):
    """As `score_part1`, for the diffusion policy (ddpm_combined_vis.mp4)."""

    def infer(nobs, batch_size):
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


def test_kl_divergence(kl_divergence):
    """Compare KL(N(mu, exp(logvar)) || N(0, I)), summed over latent dimensions and batch, with the
    published figure.
    """
    published = json.loads(
        (Path(__file__).parent / "published_kl.json").read_text(encoding="utf-8")
    )
    mu, logvar, expected = (
        torch.tensor(published["mu"]),
        torch.tensor(published["logvar"]),
        published["expected"],
    )
    got = float(kl_divergence(mu, logvar))
    print(
        f"Your KL divergence: {got:.6f}\nExpected KL divergence: {expected:.6f}\nDifference:"
        f" {abs(got - expected):.6f}"
    )
    _verdict(np.isclose(got, expected, rtol=1e-5))


def test_cosine_beta_schedule(cosine_beta_schedule):
    """Compare betas (100,) with the cosine schedule of Nichol and Dhariwal (2021), s = 0.008,
    clipped at 0.999, relatively.
    """
    f = np.cos((np.arange(101) / 100 + 0.008) / 1.008 * np.pi / 2) ** 2
    expected = np.clip(1 - f[1:] / f[:-1], 0, 0.999)
    got = np.asarray(cosine_beta_schedule(100), dtype=np.float64)
    if got.shape != expected.shape:
        print(f"Your betas have shape {got.shape}, expected is {expected.shape}.")
        _verdict(False)
    print(f"Largest relative difference of your betas: {np.max(np.abs(got / expected - 1)):.1e}")
    _verdict(np.allclose(got, expected, rtol=1e-4, atol=0))


# Names of the published notebooks, which pytest would otherwise collect.
test_kl_divergence.__test__ = test_cosine_beta_schedule.__test__ = False


def _verdict(passed):
    assert passed, "Test FAILED: outputs differ."
    print("Test PASSED: outputs match.")
