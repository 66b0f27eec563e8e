"""Pictures of Part II: demonstrations that went two ways, and the use of a CVAE's latent."""

from typing import Any

import numpy as np
import torch
from matplotlib.patches import Polygon

from pusht.dataset import PushTStateDataset
from pusht.figures.modes import find_crossroads, in_pixels
from pusht.figures.page import BLUE, GREY, INK, ORANGE, SMALL, Page, Picture, ticks, write
from pusht.figures.scenes import around, colors, key, outline, path, seeded, short
from pusht.normalisation import unnormalize_data
from pusht.render import AGENT
from pusht.sim import AGENT_RADIUS


def two_ways(dataset: PushTStateDataset) -> Picture:
    """Draw a state from which demonstrators went two ways, their chunks, and the mean of the
    chunks, which none of them followed.

    The state is chosen so that its chunk and those of the five nearest windows, each from another
    episode, are far from their common mean and near to the mean of their own way. Windows are near
    if agent, block and block angle are nearly the same in their observations.

    Raises ValueError when there is only one episode.
    """
    windows, second, reach, clarity = find_crossroads(dataset)
    if len(windows) < 2:
        raise ValueError("One episode shows only one way: two_ways needs several episodes.")
    obs, action = in_pixels(dataset, windows)
    mean, parted = action.mean(axis=0), clarity > AGENT_RADIUS
    page = Page(424)
    limits = around(action.reshape(-1, 2), outline(obs[0, -1]))
    scene = page.scene(8, 8, 408, obs[0, -1], limits)
    for state in obs[1:, -1]:
        scene.add_patch(Polygon(outline(state), fill=False, ec=INK, lw=0.5, alpha=0.3, zorder=2))
    for chunk, color in zip(action, colors(second), strict=True):
        path(scene, chunk, color)
    scene.plot(*mean.T, color="white", lw=5, zorder=6)
    scene.plot(*mean.T, color=INK, lw=2.6, ls=(0, (2, 1)), zorder=6)
    scene.plot(*mean[-1], "X", ms=9, color=INK, mec="white", zorder=7)

    page.heading(442, 34, "One state, two ways" if parted else "One state, several answers")
    lines = [
        f"{len(windows)} demonstrations passed this state,",
        f"within {reach:.0f} pixels. Their next",
        f"{action.shape[1]} actions:",
    ]
    page.notes(442, 60, lines)
    key(page, 442, 130, BLUE, f"{np.sum(~second)} of them went one way")
    key(page, 442, 158, ORANGE, f"{np.sum(second)} went another")
    page.axes.plot([442, 470], [204, 204], color=INK, lw=2.6, ls=(0, (2, 1)))
    page.text(482, 204, "their mean, the answer of", ha="left")
    page.text(482, 223, "least squares" + ": nobody went there" * parted, ha="left")
    page.axes.plot(456, 254, "o", ms=9, color=AGENT)
    page.text(482, 254, "agent now", ha="left")
    page.notes(442, 300, ["Outlines: the block in the other", "demonstrations."])
    nobodys = ", between the two, where none of them went" if parted else ""
    return page.image(
        f"The scene with the chunks of {len(windows)} demonstrations that came through nearly the"
        f" same state: {np.sum(~second)}, blue, go one way, {np.sum(second)}, orange, another."
        f" Their mean, a dashed black path, ends at ({mean[-1, 0]:.0f},"
        f" {mean[-1, 1]:.0f}){nobodys}."
    )


def latent(agent: Any, dataset: PushTStateDataset) -> Picture:
    """Draw the divergence of a CVAE's latent from N(0, I), and chunks decoded with twenty samples
    of the latent.

    agent: a torch module with encoder(obs (B, To * 5), action (B, Tp * 2)) -> mu, logvar
        (B, latent_dim) and decoder(obs (B, To * 5), z (B, latent_dim)) -> action (B, Tp * 2), all
        normalised.
    """
    window = find_crossroads(dataset).windows[0]
    divergence, chunks = _use_of_latent(agent, dataset, window)
    obs, _ = in_pixels(dataset, window)
    spread = np.sqrt(np.square(chunks[1:] - chunks[1:].mean(axis=0)).sum(axis=-1).mean())
    total = short(divergence.sum())
    page = Page(424)
    page.heading(8, 20, "Information in z")
    page.notes(8, 42, [f"sum of all {len(divergence)} dimensions: {total} nats"])
    _bars(page, divergence)
    page.heading(356, 20, "Decoded chunks")
    page.notes(356, 42, ["one state, twenty samples of z, and z = 0"])
    limits = around(chunks.reshape(-1, 2), outline(obs[-1]))
    scene = page.scene(356, 66, 330, obs[-1], limits)
    for chunk in chunks[1:]:
        path(scene, chunk, ORANGE)
    path(scene, chunks[0], INK, lw=2)
    key(page, 356, 411, ORANGE, "z drawn from N(0, I)")
    key(page, 560, 411, INK, "z = 0")
    return page.image(
        f"Left: the divergence of each of {len(divergence)} latent dimensions from N(0, 1), sorted,"
        f" from {short(divergence.max())} down to {short(divergence.min())} nats,"
        f" {total} together. Right: the chunks decoded from one state with"
        f" twenty samples of z, over the scene; they lie {spread:.1f} pixels around their mean."
    )


def _use_of_latent(
    agent: Any, dataset: PushTStateDataset, window: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the divergence [nats] of each latent dimension, the largest first, and 21 chunks
    (21, Tp, 2) [px] decoded at a window: one with z = 0, then twenty with random z.
    """
    device = next(agent.parameters()).device
    some = slice(None, None, max(1, len(dataset) // 3000))
    with seeded(agent):
        obs, action = dataset.obs[some].flatten(1), dataset.action[some].flatten(1)
        mu, logvar = agent.encoder(obs.to(device), action.to(device))
        divergence = (0.5 * (mu.square() + logvar.exp() - 1 - logvar)).cpu().double().mean(dim=0)
        divergence = divergence.clamp(min=0)  # only rounding makes it negative
        z = torch.cat([torch.zeros(1, mu.shape[1]), torch.randn(20, mu.shape[1])]).to(device)
        here = dataset.obs[window].flatten().to(device).expand(len(z), -1)
        chunks = agent.decoder(here, z).reshape(len(z), -1, 2)
    pixels = unnormalize_data(chunks.cpu().numpy(), dataset.stats["action"])
    return np.sort(divergence.cpu().numpy())[::-1], pixels


def _bars(page: Page, divergence: np.ndarray) -> None:
    count, top = len(divergence), max(1, divergence.max() * 1.08)
    bars = page.plot(44, 86, 280, 270, (0.5, count + 0.5), (0, top), ticks(top))
    bars.bar(np.arange(1, count + 1), divergence, width=0.75, color=BLUE, zorder=3)
    if divergence.max() < 0.005 * top:
        text = "(all bars are too low to see)"
        write(bars, count / 2 + 0.5, 0.07 * top, text, SMALL, color=GREY)
    for i in sorted({1, (count + 1) // 2, count}):
        write(bars, i, -0.055 * top, i, SMALL, color=GREY)
    page.text(184, 390, "latent dimension, sorted", color=GREY)
    page.text(8, 66, "KL [nats]", size=SMALL, color=GREY, ha="left")
