"""Pictures of a toy that Parts II to IV share: an action is one point of the plane, and the
demonstrations go around an obstacle at its centre, half of them on the left and half on the right.

The CVAE is trained when its picture is drawn, in some seconds. Denoiser and flow are not trained:
for two normal distributions there are formulas of what the best possible network would predict.
"""

from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.patches import Circle
from torch import Tensor, nn
from torch.distributions import Normal, kl_divergence

from pusht.figures.page import BLUE, GREY, LINE, ORANGE, PALE, SMALL, WIDTH, Page, Picture, write
from pusht.networks import MLP

WAYS = torch.tensor([[-0.75, 0.0], [0.75, 0.0]])  # the middles of the two groups
SPREAD = 0.08  # standard deviation of each group, in both directions
_OBSTACLE = 0.4  # radius
_REACH = 3 * SPREAD  # a point within this of a way's middle belongs to it
_LIMITS = (-1.9, 1.9)
_STEPS, _BATCH = 600, 256
_WEIGHTS = {10.0: "z says nothing", 0.1: "z says which way", 0.001: "z says too much"}


def demonstrated(count: int, generator: torch.Generator) -> Tensor:
    """Return demonstrated actions (count, 2), half of them on either side on average."""
    way = torch.randint(2, (count,), generator=generator)
    return WAYS[way] + SPREAD * torch.randn(count, 2, generator=generator)


def share_on_a_way(points: Tensor) -> float:
    """Return the share of points (N, 2) that are where demonstrations are."""
    return float((torch.cdist(points, WAYS).amin(dim=1) < _REACH).float().mean())


def toy_latent() -> Picture:
    """Train a small CVAE with three weights of the divergence, and draw what each decodes from
    z ~ N(0, I) and from z = 0.
    """
    page, panels = _panels(len(_WEIGHTS))
    sentences = []
    for panel, (weight, title) in zip(panels, _WEIGHTS.items(), strict=True):
        decoder, nats = _trained(weight)
        with torch.no_grad():
            generator = torch.Generator().manual_seed(1)
            points = decoder(torch.randn(300, 2, generator=generator))
            middle = decoder(torch.zeros(1, 2))[0]
        share = share_on_a_way(points)
        _title(panel, title, f"weight {weight:g}: {nats:.1f} nats, {share:.0%} good")
        _dots(panel, points)
        panel.plot(*middle.numpy(), "X", ms=10, color=ORANGE, mec="white", zorder=6)
        sentences.append(f"weight {weight:g}: {nats:.1f} nats, {share:.0%} of the points good")
    page.notes(
        8, page.height - 16, [_note("decoded from 300 drawn z (blue) and from z = 0 (cross)")]
    )
    return page.image(f"Three small CVAEs beside each other: {'; '.join(sentences)}.")


def _trained(weight: float, steps: int = _STEPS) -> tuple[nn.Module, float]:
    """Return a trained decoder, and the mean divergence of the encoder's normal distribution from
    N(0, I) [nats].
    """
    generator = torch.Generator().manual_seed(0)
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(0)
        encoder, decoder = (MLP([2, 64, 64, size], activation_type="Mish") for size in (4, 2))
        both = nn.ModuleList([encoder, decoder])
        optimizer = torch.optim.Adam(both.parameters(), lr=4e-3)
        for _ in range(steps):
            action = demonstrated(_BATCH, generator)
            mu, log_sigma = encoder(action).chunk(2, dim=1)
            sent = Normal(mu, log_sigma.exp())
            nats = kl_divergence(sent, Normal(torch.zeros_like(mu), 1.0)).sum(dim=1).mean()
            error = (decoder(sent.rsample()) - action).square().mean()
            optimizer.zero_grad()
            (error + weight * nats).backward()
            optimizer.step()
    return decoder, float(nats.detach())


def toy_denoising(scheduler: Any) -> Picture:
    """Draw how noise becomes actions, with the best possible prediction of the noise.

    scheduler: an object with num_timesteps, alpha_k_cumprod (num_timesteps,), and denoise(predicted
        noise, k, a_k), which takes one step back.
    """
    generator = torch.Generator().manual_seed(0)
    device = scheduler.alpha_k_cumprod.device
    left = scheduler.alpha_k_cumprod.detach().cpu().float()
    shown = [scheduler.num_timesteps * i // 10 - 1 for i in (10, 6, 3)]
    points = torch.randn(200, 2, generator=generator)
    page, panels = _panels(len(shown) + 1)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        for k in reversed(range(scheduler.num_timesteps)):
            if k in shown:
                panel = panels[shown.index(k)]
                _title(panel, f"k = {k}", f"{left[k]:.0%} of the variance left")
                _dots(panel, points)
                _arrows(panel, -best_noise(_grid(), left[k]))
            predicted = best_noise(points, left[k])
            chunks, noise = (one[:, None].to(device) for one in (points, predicted))
            points = scheduler.denoise(noise, k, chunks)[:, 0].cpu()
    share = share_on_a_way(points)
    _title(panels[-1], "the end", f"{share:.0%} good")
    _dots(panels[-1], points)
    page.notes(
        8,
        page.height - 16,
        [_note("200 noisy actions (blue); arrows against the noise")],
    )
    return page.image(
        "Four panels: a cloud of points around the obstacle parts into the two groups of the"
        f" demonstrations; {share:.0%} of the points end in one of them."
    )


def best_noise(points: Tensor, left: Tensor) -> Tensor:
    """Return the mean of the noise in noisy actions (N, 2), given where they are.

    left: the share of the action's variance that is left, in (0, 1].
    """
    variance = left * SPREAD**2 + 1 - left
    offset = points[:, None] - left.sqrt() * WAYS
    return _mixed((1 - left).sqrt() / variance * offset, offset, variance)


def toy_flow() -> Picture:
    """Draw where noise is carried by the best possible velocity, in one step and in more."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(200, 2, generator=generator)
    page, panels = _panels(4)
    shares = {}
    for panel, steps in zip(panels, (1, 2, 5, 50), strict=True):
        path = [noise]
        for i in range(steps):
            path.append(path[-1] + best_velocity(path[-1], i / steps) / steps)
        shares[steps] = share_on_a_way(path[-1])
        name = "1 step" if steps == 1 else f"{steps} steps"
        _title(panel, name, f"{shares[steps]:.0%} good")
        for way in torch.stack(path, dim=1)[:30]:
            panel.plot(*way.T.numpy(), color=GREY, lw=0.5, alpha=0.7, zorder=3)
        _dots(panel, path[-1])
    page.notes(
        8,
        page.height - 16,
        [_note("200 points after the last step (blue); thirty of their paths")],
    )
    listed = ", ".join(f"{share:.0%} after {steps}" for steps, share in shares.items())
    return page.image(
        "Four panels with 1, 2, 5 and 50 steps: in one step all points land near the obstacle, with"
        f" more they part into the two groups; good are {listed}."
    )


def best_velocity(points: Tensor, tau: float) -> Tensor:
    """Return the mean velocity of the straight lines from noise to actions that pass through points
    (N, 2) at a time in [0, 1].
    """
    variance = torch.tensor(tau**2 * SPREAD**2 + (1 - tau) ** 2)
    offset = points[:, None] - tau * WAYS
    velocity = WAYS + (tau * SPREAD**2 - (1 - tau)) / variance * offset
    return _mixed(velocity, offset, variance)


def _mixed(values: Tensor, offset: Tensor, variance: Tensor) -> Tensor:
    """Return the mean of values (N, 2 ways, 2), weighted by how probable each way is at a point
    whose offsets (N, 2 ways, 2) from the ways are normal with this variance.
    """
    probable = (-offset.square().sum(dim=2) / (2 * variance)).softmax(dim=1)
    return (probable[..., None] * values).sum(dim=1)


def _panels(count: int) -> tuple[Page, list[Axes]]:
    """Return a page and panels side by side, each with the obstacle and some demonstrations."""
    side = (WIDTH - 16 - 12 * (count - 1)) / count
    page = Page(int(side) + 76)
    panels = []
    some = demonstrated(150, torch.Generator().manual_seed(2)).T.numpy()
    for i in range(count):
        left = 8 + i * (side + 12)
        page.box(left, 44, side, side, edge=LINE)
        panel = page.add_axes(left, 44, side, side)
        panel.set_axis_off()
        panel.set(xlim=_LIMITS, ylim=_LIMITS, autoscale_on=False)
        panel.add_patch(Circle((0, 0), _OBSTACLE, fc=PALE, ec=GREY, lw=0.8, zorder=1))
        panel.plot(*some, "o", ms=2, color=LINE, mew=0, zorder=2)
        panels.append(panel)
    return page, panels


def _title(panel: Axes, name: str, figures: str) -> None:
    """Write what a panel shows above it."""
    how = {"ha": "left", "transform": panel.transAxes}
    high = panel.get_window_extent().height / 2  # shown pixels
    write(panel, 0, 1 + 28 / high, name, SMALL, weight="bold", **how)
    write(panel, 0, 1 + 11 / high, figures, SMALL, color=GREY, **how)


def _note(text: str) -> str:
    return f"Obstacle and demonstrations (grey); {text}."


def _dots(panel: Axes, points: Tensor) -> None:
    panel.plot(*points.T.numpy(), "o", ms=2.6, color=BLUE, mew=0, alpha=0.7, zorder=4)


def _grid() -> Tensor:
    ticks = torch.linspace(-1.6, 1.6, 9)
    return torch.cartesian_prod(ticks, ticks)


def _arrows(panel: Axes, field: Tensor) -> None:
    at, arrows = _grid().numpy(), field.numpy()
    longest = np.hypot(*arrows.T).max()
    how: dict[str, Any] = {"angles": "xy", "scale_units": "xy", "scale": longest / 0.36}
    panel.quiver(*at.T, *arrows.T, color=GREY, width=0.006, pivot="mid", zorder=3, **how)
