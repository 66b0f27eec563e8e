"""Pictures of the table: the task, a predicted chunk of actions, recorded episodes."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgb
from matplotlib.patches import Arc, Circle, Polygon, Rectangle

from pusht.figures.page import (
    BLUE,
    GREEN,
    GREY,
    INK,
    SMALL,
    VERMILION,
    WIDTH,
    Page,
    Picture,
    arrow,
    label,
    write,
)
from pusht.figures.scenes import outline
from pusht.normalisation import Stats, unnormalize_data
from pusht.render import AGENT, BLOCK, GOAL
from pusht.sim import AGENT_RADIUS, WINDOW

Array = np.ndarray | torch.Tensor


def task() -> Picture:
    """Draw the scene of Push-T with the components of the observation and the action."""
    state, action = np.array([84.0, 412.0, 300.0, 88.0, 0.5]), (262.0, 444.0)
    page = Page(440)
    scene = page.scene(34, 28, 404, state, action=action)
    for v in (0, 128, 256, 384, 512):
        page.text(34 + v / WINDOW * 404, 18, v, size=SMALL, color=GREY)
        page.text(30, 28 + v / WINDOW * 404, v, size=SMALL, color=GREY, ha="right")
    page.text(84, 18, "x →", color=GREY)
    page.text(30, 78, "y ↓", color=GREY, ha="right")
    _label_scene(scene, state, action)

    left = 470
    page.heading(left, 42, "observation")
    page.notes(left, 62, ["what the policy sees: 5 numbers"])
    names = ["agent_x", "agent_y", "block_x", "block_y", "block_angle"]
    colours = [BLUE, BLUE, INK, INK, INK]
    for i, (name, value, colour) in enumerate(zip(names, state, colours, strict=True)):
        text = f"{value:.2f} rad" if i == 4 else f"{value:.0f} px"
        page.entry(left, 80 + 27 * i, name, text, colour)
    page.heading(left, 250, "action")
    page.notes(left, 270, ["what the policy returns: 2 numbers"])
    for i, (name, value) in enumerate(zip(["target_x", "target_y"], action, strict=True)):
        page.entry(left, 288 + 27 * i, name, f"{value:.0f} px", VERMILION)
    page.heading(left, 377, "goal")
    page.notes(left, 397, ["never moves: (256, 256) px, π/4 rad"])
    return page.image(
        "The Push-T table, 512 by 512 pixels, y pointing down: the agent at (agent_x, agent_y), the"
        " grey T-shaped block at (block_x, block_y), the middle of its bar's outer edge, turned by"
        " block_angle, the light green goal, and a red cross at the action (target_x, target_y), to"
        " which an arrow leads from the agent. The observation is [agent_x, agent_y, block_x,"
        " block_y, block_angle], the action [target_x, target_y]."
    )


def _label_scene(scene: Axes, state: np.ndarray, action: tuple[float, float]) -> None:
    x, y, block_x, block_y, angle = state
    arrow(scene, (x, y), action, VERMILION, shrink=(AGENT_RADIUS * 404 / WINDOW, 5))
    label(scene, 24, y - 53, "agent", "(agent_x, agent_y)", BLUE)
    label(scene, action[0] + 32, action[1] - 10, "action", "(target_x, target_y)", VERMILION)
    label(scene, 114, 216, "goal", None, GREEN)
    scene.plot([170, 204], [216, 226], color=GREEN, lw=1)
    along = 104 * np.array([math.cos(angle), math.sin(angle)])
    scene.plot([block_x, block_x + 104], [block_y, block_y], color=INK, lw=1, ls=(0, (3, 3)))
    scene.plot([block_x, block_x + along[0]], [block_y, block_y + along[1]], color=INK, lw=1)
    corner = (block_x, block_y)
    turn = Arc(corner, 164, 164, theta1=0, theta2=math.degrees(angle), color=INK, lw=1.6)
    scene.add_patch(turn)
    scene.add_patch(Circle(corner, 4.5, color=INK, lw=0))
    label(scene, block_x + 92, block_y + 22, "block_angle", None, INK)
    label(scene, block_x - 12, block_y - 56, "block", "(block_x, block_y)", INK)


def chunk(
    obs: Array,
    action: Array,
    stats: Stats | None = None,
    obs_horizon: int = 2,
    action_horizon: int = 8,
) -> Picture:
    """Draw a predicted chunk of actions over its scene, and a close-up with numbered actions.

    obs: (To, 5), the current observation last; action: (Tp, 2). Both are arrays or tensors, in
        pixels, or normalised by the `stats` of the dataset if these are given. Leading axes of
        length 1 are dropped.

    The executed actions, [obs_horizon - 1 : obs_horizon - 1 + action_horizon], are drawn filled.
    """
    states, actions = (np.asarray(a, np.float64).reshape(np.shape(a)[-2:]) for a in (obs, action))
    if stats is not None:
        states = unnormalize_data(states, stats["obs"])
        actions = unnormalize_data(actions, stats["action"])
    executed = range(obs_horizon - 1, min(obs_horizon - 1 + action_horizon, len(actions)))
    first, last = executed.start, executed.stop
    page = Page(424)
    places = np.concatenate([states[:, :2], actions])
    low, high = places.min(axis=0), places.max(axis=0)
    half = max((high - low).max() / 2 + 24, 48)
    corner = (low + high) / 2 - half
    wide = page.scene(8, 8, 408, states[-1])
    near = page.scene(438, 8, 274, states[-1], (*corner, 2 * half))
    _draw_chunk(wide, states, actions, executed, room_for_number=None)
    _draw_chunk(near, states, actions, executed, room_for_number=2 * half * 14 / 274)
    wide.add_patch(Rectangle(corner, 2 * half, 2 * half, fill=False, ec=GREY, lw=1, zorder=6))
    _chunk_legend(page, first, last, with_earlier=len(states) > 1)
    return page.image(
        f"The scene with a chunk of {len(actions)} predicted actions as a path of dots from"
        f" ({actions[0, 0]:.0f}, {actions[0, 1]:.0f}) to ({actions[-1, 0]:.0f},"
        f" {actions[-1, 1]:.0f}); actions {first} to {last - 1}, to be executed, are filled, the"
        f" others hollow. The agent is at ({states[-1, 0]:.0f}, {states[-1, 1]:.0f}). Beside it the"
        " same dots from near, numbered."
    )


def _chunk_legend(page: Page, first: int, last: int, with_earlier: bool) -> None:
    """Explain the dots. with_earlier: whether an earlier place of the agent is drawn."""
    meanings = [
        (VERMILION, VERMILION, "-", f"action to execute: chunk[{first}:{last}]"),
        ("white", VERMILION, "-", "action predicted, not executed"),
        (AGENT, AGENT, "-", "agent now"),
        ("white", BLUE, (0, (2, 1.5)), "agent at the observation before"),
    ]
    for row, (face, edge, line, meaning) in enumerate(meanings[: 3 + with_earlier]):
        y = 308 + 26 * row
        page.axes.add_patch(Circle((450, y), 5.5, fc=face, ec=edge, lw=1.2, ls=line))
        page.text(468, y, meaning, ha="left")


def _draw_chunk(
    scene: Axes,
    states: np.ndarray,
    actions: np.ndarray,
    executed: range,
    room_for_number: float | None,
) -> None:
    """Draw observations (To, 5) and actions (Tp, 2) in a scene.

    room_for_number: the least distance between two numbered dots; None for no numbers.
    """
    for place in states[:-1, :2]:
        ring = Circle(place, AGENT_RADIUS, fill=False, ec=BLUE, lw=1.2, ls=(0, (2, 2)))
        scene.add_patch(ring)
    scene.plot(*actions.T, color=VERMILION, lw=1.2, zorder=3)
    numbered: list[np.ndarray] = []
    for i, place in enumerate(actions):
        room = room_for_number is not None and all(
            math.dist(place, other) > room_for_number for other in numbered
        )
        face, ink = (VERMILION, "white") if i in executed else ("white", VERMILION)
        size, level = (9.4, 5) if room else (4, 4)
        scene.plot(*place, "o", ms=size, mew=1, mec=VERMILION, mfc=face, zorder=level)
        if room:
            numbered.append(place)
            write(scene, place[0], place[1], i, size=8.5, color=ink, zorder=6)


def episodes(states_list: Sequence[np.ndarray], labels: Sequence[str] | None = None) -> Picture:
    """Draw recorded episodes side by side: the agent's path over the block's outlines, from start
    (faint) to end.

    states_list: N arrays (T_i + 1, 5) [px, rad], N >= 1. labels: N titles; None for "episode 0" and
    so on.

    Raises ValueError when there are no episodes, or not one label for each.
    """
    labels = [f"episode {i}" for i in range(len(states_list))] if labels is None else labels
    if not len(states_list) or len(labels) != len(states_list):
        raise ValueError(f"{len(states_list)} episodes cannot be drawn with {len(labels)} labels.")
    rows = math.ceil(len(states_list) / 5)
    columns = math.ceil(len(states_list) / rows)
    side = min((WIDTH - 16 + 10) / columns - 10, 280)
    left = (WIDTH - columns * (side + 10) + 10) / 2
    page = Page(math.ceil(rows * (side + 30)) + 34)
    for i, (states, name) in enumerate(zip(states_list, labels, strict=True)):
        states = np.asarray(states, np.float64).reshape(-1, 5)
        x, y = left + i % columns * (side + 10), 26 + i // columns * (side + 30)
        page.text(x + side / 2, y - 13, name, weight="bold")
        paths(page.scene(x, y, side), states)
    x, y = left, page.height - 16
    meanings: list[tuple[str, str, Any, Any]] = [
        ("agent's start", "o", _depth(0.3), "white"),
        ("end", "o", _depth(1.0), _depth(1.0)),
        ("block (it and the path get darker)", "s", INK, BLOCK),
        ("goal", "s", GOAL, GOAL),
    ]
    for meaning, marker, edge, face in meanings:
        page.axes.plot(x + 6, y, ms=7, mew=1.4, ls="", marker=marker, mec=edge, mfc=face)
        x = page.text(x + 18, y, meaning, color=GREY, ha="left") + 22
    lengths = ", ".join(
        f"{name}: {len(states) - 1} steps" for states, name in zip(states_list, labels, strict=True)
    )
    return page.image(
        f"The paths of the agent in {len(states_list)} episodes side by side ({lengths}), over"
        " outlines of the block from its start, faint, to its end, dark, and the light green goal."
    )


def paths(scene: Axes, states: np.ndarray) -> None:
    """Draw one episode, states (T + 1, 5): the agent's path and some outlines of the block."""
    some = np.unique(np.linspace(0, len(states) - 1, 6).round().astype(int))
    for depth, state in zip(np.linspace(0.15, 1, len(some)), states[some], strict=True):
        last = depth == 1
        face, edge = (*to_rgb(BLOCK), 0.55 if last else 0.05), (*to_rgb(INK), depth * 0.8)
        scene.add_patch(Polygon(outline(state), fc=face, ec=edge, lw=1.1 if last else 0.8))
    path = states[:, :2]
    colours = [_depth(depth) for depth in np.linspace(0.3, 1, len(path))]
    lines = list(np.stack([path[:-1], path[1:]], axis=1))
    scene.add_collection(
        LineCollection(lines, colors=colours[1:], lw=1.3, capstyle="round", zorder=3)
    )
    scene.plot(*path[0], "o", ms=5, mew=1.4, mec=colours[0], mfc="white", zorder=4)
    scene.plot(*path[-1], "o", ms=5, mew=1.4, mec=colours[-1], mfc=colours[-1], zorder=4)


def _depth(depth: float) -> tuple[float, float, float]:
    """Return the path's blue at a depth in [0, 1], where 0 is white."""
    red, green, blue = (1 - depth * (1 - v) for v in to_rgb(BLUE))
    return red, green, blue
