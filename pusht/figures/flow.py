"""Pictures of Part IV: straight lines from noise to a demonstrated chunk, and a learned velocity
field.
"""

from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes

from pusht.demos import Demonstrations
from pusht.episodes import reproducible
from pusht.figures.modes import find_crossroads, in_pixels, second_way, windows_of
from pusht.figures.moving import Moving
from pusht.figures.page import GREY, VERMILION, Page, Picture
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
)
from pusht.normalisation import Normalizer

_ARROWS = 7  # along each side of a velocity field


def straight_lines(demonstrations: Demonstrations, normalizer: Normalizer) -> Picture:
    """Draw a demonstrated chunk at six times on its straight line from noise, over its scene.

    The chunk comes from the crossroads of the demonstrations (see `crossroads`).
    """
    dataset = windows_of(demonstrations)
    obs, action = in_pixels(dataset, find_crossroads(dataset).windows)
    # The chunk that moves farthest is the easiest to see.
    farthest = np.hypot(*(action[:, 8] - action[:, 1]).T).argmax()
    obs, chunk = obs[farthest], action[farthest, 1:9]  # from the time of the last observation on
    with reproducible(SEED):
        noise = np.asarray(normalizer.denormalize_action(torch.randn(chunk.shape).numpy()))
    page, times = Page(554), [0, 0.2, 0.4, 0.6, 0.8, 1]
    limits = around(np.concatenate([noise, chunk]), outline(obs[-1]))
    for place, tau in enumerate(times):
        scene, _, _ = moment(page, place, obs[-1], f"τ = {tau:g}", limits)
        for start, end in zip(noise, chunk, strict=True):
            scene.plot(*zip(start, end, strict=True), color=GREY, lw=0.7, zorder=4)
        marked_path(scene, tau * chunk + (1 - tau) * noise, VERMILION)
    note = (
        f"One demonstrated chunk of {len(chunk)} actions, the hollow one first. Grey: the path"
        " of each, at a constant velocity."
    )
    page.notes(8, 540, [note])
    return page.image(
        f"Six pictures of one scene at tau = {listed(times)}: {len(chunk)}"
        " actions, a tangle of noise at first, move on straight grey lines, each at its own"
        " constant velocity, until they are a smooth demonstrated path."
    )


def velocity(
    policy: Any,
    normalizer: Normalizer,
    state: np.ndarray,
    samples: int = 40,
    index: int = -1,
    steps: int = 20,
) -> Moving:
    """Draw how a flow moves noise to actions: one action of many chunks in the plane, a `Moving`
    picture through tau.

    policy: an object with chunk_size K and velocity(state (B, 5), a_tau (B, K, 2), tau (B,)) ->
        (B, K, 2), normalised.
    state: (5,) [px, rad]. index: index of the action in the chunk. steps: number of Euler steps.

    Raises ValueError for a state that is not five finite numbers, and for fewer than one sample or
    step.
    """
    state = np.asarray(state, dtype=np.float64)
    if state.shape != (5,) or not np.isfinite(state).all():
        raise ValueError(
            f"A state needs five finite numbers, not {np.array2string(state, threshold=9)}."
        )
    if min(samples, steps) < 1:
        raise ValueError(f"{samples} samples in {steps} steps: at least 1 of each is needed.")
    flow = _Flow(policy, normalizer, state, samples, range(policy.chunk_size)[index], steps)
    return Moving(flow.still(), "τ", [f"{tau:.2f}" for tau in flow.taus], 0, flow.frame)


class _Flow:
    """One action of many chunks, moving from noise to its end, in pixels.

    taus: (steps + 1,). paths: (steps + 1, samples, 2), position of the action at each tau.
    second: (samples,) bool, whether its chunk goes a second way.
    grid: (_ARROWS ** 2, 2), positions of the arrows. field: (steps, _ARROWS ** 2, 2), the velocity
    there [px]. limits: the part of the table that is shown.
    """

    def __init__(
        self,
        policy: Any,
        normalizer: Normalizer,
        state: np.ndarray,
        samples: int,
        action: int,
        steps: int,
    ) -> None:
        self.state, self.samples, self.action, self.steps = state, samples, action, steps
        self.chunk_size = policy.chunk_size
        self.taus = np.arange(steps + 1) / steps
        device = next(policy.parameters()).device

        def tensor(data: np.ndarray) -> torch.Tensor:
            return torch.as_tensor(data, dtype=torch.float32, device=device)

        nstate = tensor(normalizer.normalize_state(state))

        def velocity_of(chunks: torch.Tensor, tau: float) -> torch.Tensor:
            times = torch.full((len(chunks),), float(tau), device=device)
            return policy.velocity(nstate.expand(len(chunks), -1), chunks, times)

        with seeded(policy):
            recorded = [torch.randn(samples, policy.chunk_size, 2).to(device)]
            for tau in self.taus[:-1]:
                recorded.append(recorded[-1] + velocity_of(recorded[-1], tau) / steps)
            chunks = normalizer.denormalize_action(torch.stack(recorded).cpu().numpy())
            self.paths = chunks[:, :, action]
            self.second = second_way(chunks[-1])
            self.limits = around(self.paths[-1], outline(state), margin=64)
            x, y, side = self.limits
            ticks = (np.arange(_ARROWS) + 0.5) * side / _ARROWS
            self.grid = np.stack(np.meshgrid(ticks + x, ticks + y), axis=-1).reshape(-1, 2)
            ngrid = tensor(normalizer.normalize_action(self.grid))
            field = []
            for tau, at in zip(self.taus[:-1], recorded[:-1], strict=True):
                # The velocity of one action depends on the others, so those of the nearest chunk
                # are used.
                rest = at[torch.cdist(ngrid, at[:, action]).argmin(dim=1)].clone()
                rest[:, action] = ngrid
                field.append(velocity_of(rest, tau)[:, action])
        self.field = torch.stack(field).cpu().numpy() * normalizer.stats["action"]["std"]

    def still(self) -> Picture:
        """Return six moments side by side."""
        page, digits = Page(574), 1 if self.steps % 5 == 0 else 2
        for place, share in enumerate((0, 0.2, 0.4, 0.6, 0.8, 1)):
            i = round(share * self.steps)
            name = f"τ = {self.taus[i]:.{digits}f}"
            scene, _, _ = moment(page, place, self.state, name, self.limits)
            self._draw(scene, i, 3)
        note = (
            f"Action {self.action} of {self.samples} chunks, moved from noise (τ = 0) to actions"
            " (τ = 1) by the velocity (arrows)."
        )
        plane = f"The arrows show a plane through a chunk's {2 * self.chunk_size} dimensions."
        page.notes(8, 540, [note, f"{counted(self.second)} {plane}"])
        return page.image(
            f"Six pictures of one scene from tau = 0 to 1: action {self.action} of {self.samples}"
            " chunks, scattered at first, is carried along curved paths by a field of arrows."
            f" {counted(self.second)}"
        )

    def frame(self, i: int) -> Picture:
        """Return the moment after i steps."""
        page = Page(424)
        self._draw(page.scene(8, 8, 408, self.state, self.limits), i, 4.5)
        page.heading(442, 34, f"τ = {self.taus[i]:.2f}")
        lines = [
            f"Dots: action {self.action} of {self.samples} chunks,",
            "with their path since τ = 0.",
            "Arrows: the velocity at this τ;",
            "the longest ones are shortened.",
            f"A chunk has {2 * self.chunk_size} numbers; the",
            "plane shows two of them, and the",
            "others as in the nearest chunk.",
        ]
        page.notes(442, 62, lines)
        return page.image(
            f"Action {self.action} of {self.samples} chunks over the scene at tau ="
            f" {self.taus[i]:.2f}, with the velocity field."
        )

    def _draw(self, scene: Axes, i: int, size: float) -> None:
        if i < self.steps:  # there is no velocity at the end
            self._draw_arrows(scene, self.field[i])
        ways = np.moveaxis(self.paths[: i + 1], 0, 1)
        for way, color in zip(ways, colors(self.second), strict=True):
            scene.plot(*way.T, color=pale(color), lw=0.8, zorder=5)
            scene.plot(*way[-1], "o", ms=size, color=color, mew=0, zorder=6)

    def _draw_arrows(self, scene: Axes, field: np.ndarray) -> None:
        length = np.hypot(*field.T)
        longest = 0.7 * self.limits[2] / _ARROWS / np.maximum(length, 1e-9)
        arrows = field * np.minimum(0.2, longest)[:, None]
        scene.quiver(
            *self.grid[length > 10].T,
            *arrows[length > 10].T,
            angles="xy",
            scale_units="xy",
            scale=1,
            pivot="mid",
            color=GREY,
            width=0.005,
            headwidth=4,
            headlength=4,
            headaxislength=4,
            zorder=4,
        )
