"""Pictures of Part III: the noise schedule, and chunks while noise is added and removed."""

from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes

from pusht.dataset import PushTStateDataset
from pusht.episodes import reproducible
from pusht.figures.modes import find_crossroads, in_pixels, second_way
from pusht.figures.moving import Moving
from pusht.figures.page import BLUE, GREY, ORANGE, SMALL, VERMILION, Page, Picture, write
from pusht.figures.scenes import (
    SEED,
    around,
    colors,
    counted,
    listed,
    marked_path,
    moment,
    outline,
    pale,
    seeded,
    short,
)
from pusht.normalisation import unnormalize_data

Curve = tuple[np.ndarray, str, str, str]  # values (K,), colour, name and meaning


def noise_schedule(betas: np.ndarray | torch.Tensor) -> Picture:
    """Draw the betas (K,) of a noise schedule, and the share of the demonstration that is left
    after each step.

    Raises ValueError unless the betas are at least two numbers in [0, 1].
    """
    betas = np.asarray(torch.as_tensor(betas).detach().cpu(), dtype=np.float64)
    if (
        betas.ndim != 1
        or len(betas) < 2
        or not (np.isfinite(betas) & (betas >= 0) & (betas <= 1)).all()
    ):
        raise ValueError(
            "A schedule needs at least two betas between 0 and 1 in one row, not an array of shape"
            f" {betas.shape} from {np.min(betas, initial=np.inf):g} to"
            f" {np.max(betas, initial=-np.inf):g}."
        )
    last, left = len(betas) - 1, np.cumprod(1 - betas)
    page = Page(300)
    noise: list[Curve] = [
        (betas, VERMILION, "β", "noise added in step k"),
        (left, BLUE, "ᾱ", "share of the signal left"),
    ]
    factors: list[Curve] = [
        (np.sqrt(1 - left), ORANGE, "√(1 − ᾱ)", "times noise"),
        (np.sqrt(left), BLUE, "√ᾱ", "times signal"),
    ]
    _curves(page, 44, "Adding noise, step by step", noise)
    _curves(page, 408, "The factors in the formula", factors)
    return page.image(
        f"Two plots over the steps k from 0 to {last}. Left: beta, the noise added in step k, from"
        f" {betas[0]:.2g} to {betas[-1]:.2g}, and alpha-bar, the share of the signal left, from"
        f" {left[0]:.3g} to {left[-1]:.2g}. Right: the square roots of alpha-bar and of one minus"
        " alpha-bar."
    )


def _curves(page: Page, x: float, title: str, curves: list[Curve]) -> None:
    last = len(curves[0][0]) - 1
    page.heading(x, 20, title)
    plot = page.plot(x, 66, 290, 180, (0, last), (0, 1), [0, 0.25, 0.5, 0.75, 1])
    for k in (0, (last + 1) // 4, (last + 1) // 2, 3 * (last + 1) // 4, last):
        plot.plot([k, k], [0, -0.02], color=GREY, lw=0.8, clip_on=False)
        write(plot, k, -0.075, k, SMALL, color=GREY)
    page.text(x + 145, 282, "step k", color=GREY)
    at = x
    for values, color, name, meaning in curves:
        style: Any = "-" if color == BLUE else (0, (2.4, 0.8))
        plot.plot(np.arange(last + 1), values, clip_on=False, color=color, lw=2.4, ls=style)
        page.axes.plot([at, at + 22], [46, 46], color=color, lw=2.4, ls=style)
        end = page.text(at + 29, 46, name, color=color, weight="bold", ha="left")
        at = page.text(end + 6, 46, meaning, size=SMALL, color=GREY, ha="left") + 16


def noising(scheduler: Any, dataset: PushTStateDataset) -> Picture:
    """Draw a demonstrated chunk at six steps of the forward process, over its scene.

    scheduler: an object with num_timesteps, alpha_k_cumprod and
        diffuse(a_start (B, Tp, 2), k (B,), noise) -> a_k, normalised.
    """
    steps, device = _six_steps(scheduler), scheduler.alpha_k_cumprod.device
    window = find_crossroads(dataset).windows[0]
    obs, _ = in_pixels(dataset, window)
    a_start = dataset.action[window].to(device).expand(len(steps), -1, -1)
    with reproducible(SEED), torch.no_grad():
        # The noise is the same at every k, so that the pictures show one path dissolving.
        noise = torch.randn(dataset.action.shape[1:]).to(device).expand_as(a_start)
        noisy = scheduler.diffuse(a_start, torch.tensor(steps, device=device), noise)
    chunks = unnormalize_data(noisy.cpu().numpy(), dataset.stats["action"])
    shares = scheduler.alpha_k_cumprod.cpu().numpy()[steps]
    page = Page(554)
    for place, (k, share, chunk) in enumerate(zip(steps, shares, chunks, strict=True)):
        scene, x, y = moment(page, place, obs[-1], f"k = {k}")
        left = f"{short(100 * share)} % signal left"
        page.text(x + 228, y - 14, left, size=SMALL, color=GREY, ha="right")
        marked_path(scene, chunk, VERMILION)
    note = (
        f"One demonstrated chunk of {chunks.shape[1]} actions, the hollow one first, with the"
        " same noise added at growing strength."
    )
    page.notes(8, 540, [note])
    return page.image(
        f"Six pictures of one scene with a demonstrated chunk of {chunks.shape[1]} actions, at k ="
        f" {listed(steps)}: a smooth path at first, it dissolves until it is a tangle"
        " of noise that reaches beyond the table."
    )


def denoising(model: Any, scheduler: Any, dataset: PushTStateDataset, samples: int = 12) -> Moving:
    """Draw chunks as they are denoised, for one state from which two ways are possible; a `Moving`
    picture through k.

    model(sample (B, Tp, 2), timestep, global_cond (B, To * 5)) -> noise; scheduler: an object with
    num_timesteps, alpha_k_cumprod and denoise(noise, k, a_k) -> a_{k-1}; all normalised.
    samples: B, at least 1.
    """
    if samples < 1:
        raise ValueError(f"{samples} samples: at least 1 is needed.")
    total = scheduler.num_timesteps
    window = find_crossroads(dataset).windows[0]
    state = in_pixels(dataset, window)[0][-1]
    chunks = _denoised(model, scheduler, dataset, window, samples)
    second = second_way(chunks[-1])
    whole = _three(second)
    limits = around(chunks[-1].reshape(-1, 2), outline(state), margin=64)
    names = [*(f"k = {k}" for k in reversed(range(total))), "done"]

    def frame(i: int) -> Picture:
        page = Page(424)
        _paths(page.scene(8, 8, 408, state, limits), chunks[i], second, whole)
        page.heading(442, 34, names[i])
        lines = ["This step is undone next. With", "fewer steps left, there is less noise."]
        if i == total:
            lines = ["All noise is removed: these are", "the chunks."]
        page.notes(442, 62, lines)
        return page.image(f"{samples} chunks over the scene, {names[i]}.")

    page = Page(574)
    shown = [total - 1 - k for k in _six_steps(scheduler)[:0:-1]] + [total]
    for place, i in enumerate(shown):
        scene, _, _ = moment(page, place, state, names[i], limits)
        _paths(scene, chunks[i], second, whole)
    note = (
        f"{samples} chunks for one state, from noise to actions: {len(whole)} as paths, the others"
        " as dots."
    )
    page.notes(8, 540, [note, counted(second)])
    image = page.image(
        f"Six pictures of one scene in which {samples} chunks come out of the noise, from k ="
        f" {total - 1} to 0 and the end: dots scattered beyond the edges gather into paths."
        f" {counted(second)}"
    )
    return Moving(image, "k", [name.removeprefix("k = ") for name in names], 0, frame)


def _denoised(
    model: Any, scheduler: Any, dataset: PushTStateDataset, window: int, samples: int
) -> np.ndarray:
    """Return chunks (K + 1, B, Tp, 2) [px] for the state of a window, before each denoising step
    and at the end.
    """
    device = next(model.parameters()).device
    with seeded(model):
        condition = dataset.obs[window].flatten().to(device).expand(samples, -1)
        naction = torch.randn(samples, *dataset.action.shape[1:]).to(device)
        recorded = [naction]
        for k in reversed(range(scheduler.num_timesteps)):
            noise = model(sample=naction, timestep=k, global_cond=condition)
            naction = scheduler.denoise(noise, k, naction)
            recorded.append(naction)
    return unnormalize_data(torch.stack(recorded).cpu().numpy(), dataset.stats["action"])


def _three(second: np.ndarray) -> list[int]:
    """Return which chunks are drawn as paths: three, of both ways where there are two."""
    ways = [np.flatnonzero(second).tolist(), np.flatnonzero(~second).tolist()]
    return [*ways[0][:1], *ways[1]][:3]


def _paths(scene: Axes, chunks: np.ndarray, second: np.ndarray, whole: list[int]) -> None:
    for i, (chunk, color) in enumerate(zip(chunks, colors(second), strict=True)):
        if i in whole:
            marked_path(scene, chunk, color)
        else:  # all paths together would hide the scene
            scene.plot(*chunk.T, ".", color=pale(color), ms=2, mew=0, zorder=4)


def _six_steps(scheduler: Any) -> list[int]:
    """Return six steps from first to last; for a hundred steps, 0, 10, 25, 50, 75 and 99."""
    total = scheduler.num_timesteps
    return [0, total // 10, total // 4, total // 2, 3 * total // 4, total - 1]
