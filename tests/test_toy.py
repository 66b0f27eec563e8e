"""The toy's formulas are what least squares would learn, and its pictures say what they show."""

import types

import numpy as np
import pytest
import torch

from pusht.figures import toy, toy_denoising, toy_flow
from score.questions.ddpm.schedule import cosine_schedule

COUNT = 400_000


def near(points, place):
    """Return which points (N, 2) lie close enough to a place to be averaged."""
    return (points - torch.tensor(place)).norm(dim=1) < 0.06


@pytest.mark.parametrize("left", [0.9, 0.5, 0.1])
@pytest.mark.parametrize("place", [[0.6, 0.1], [0.1, -0.3], [-0.4, 0.5]])
def test_the_best_noise_is_the_mean_of_what_was_added(left, place):
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(COUNT, 2, generator=generator)
    noisy = left**0.5 * toy.demonstrated(COUNT, generator) + (1 - left) ** 0.5 * noise
    some = near(noisy, place)
    assert some.sum() > 100
    expected = noise[some].mean(dim=0)
    tolerance = 4 * noise[some].std(dim=0).max() / some.sum() ** 0.5 + 0.03
    found = toy.best_noise(torch.tensor([place]), torch.tensor(left))[0]
    assert (found - expected).abs().max() < tolerance


@pytest.mark.parametrize("tau", [0.0, 0.3, 0.7])
@pytest.mark.parametrize("place", [[0.5, 0.1], [0.1, -0.2], [-0.4, 0.3]])
def test_the_best_velocity_is_the_mean_over_the_lines(tau, place):
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(COUNT, 2, generator=generator)
    action = toy.demonstrated(COUNT, generator)
    some = near(tau * action + (1 - tau) * noise, place)
    assert some.sum() > 100
    lines = (action - noise)[some]
    tolerance = 4 * lines.std(dim=0).max() / some.sum() ** 0.5 + 0.1
    found = toy.best_velocity(torch.tensor([place]), tau)[0]
    assert (found - lines.mean(dim=0)).abs().max() < tolerance


def test_one_step_of_the_flow_ends_in_the_obstacle_and_fifty_do_not():
    assert "good are 0% after 1, " in toy_flow().alt
    assert float(toy_flow().alt.split("% after 50")[0].split()[-1]) > 95


def test_denoising_uses_the_students_step_back():
    betas = torch.tensor(cosine_schedule(20), dtype=torch.float32)
    left = torch.cumprod(1 - betas, dim=0)

    def denoise(predicted, k, a_k, factor=1):
        mean = (a_k - factor * betas[k] / (1 - left[k]).sqrt() * predicted) / (1 - betas[k]).sqrt()
        before = left[k - 1] if k else torch.tensor(1.0)
        spread = ((1 - before) / (1 - left[k]) * betas[k]).sqrt()
        return mean + spread * torch.randn_like(mean)

    def good(step):
        scheduler = types.SimpleNamespace(num_timesteps=20, alpha_k_cumprod=left, denoise=step)
        return float(toy_denoising(scheduler).alt.split("groups of the demonstrations; ")[1][:-1]
                     .split("%")[0])  # fmt: skip

    assert good(denoise) > 90
    assert good(lambda *answer: denoise(*answer, factor=0.3)) < 50


def test_the_pictures_leave_torchs_generator_alone():
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    toy_flow()
    toy._trained(0.1, steps=2)
    np.testing.assert_array_equal(torch.rand(1), expected)


@pytest.mark.long  # trains three networks
def test_only_the_middle_weight_decodes_to_the_two_ways():
    alt = toy.toy_latent().alt
    none, some, too_much = (float(part.split()[-5].rstrip("%")) for part in alt.split(";"))
    assert none == 0 and some > 70 and too_much < some
