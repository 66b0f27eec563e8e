"""Pictures of the task, of its demonstrations and of receding-horizon control."""

import math

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgb
from matplotlib.patches import Arc, Circle, Polygon, Rectangle

from pusht.dataset import unnormalize_data, window_steps
from pusht.figures.page import (
    BLUE,
    GREEN,
    GREY,
    HEAD,
    INK,
    ORANGE,
    PALE,
    RIM,
    SKY,
    SMALL,
    VERMILION,
    WIDTH,
    Page,
    arrow,
    label,
    write,
)
from pusht.render import AGENT, BLOCK, GOAL
from pusht.sim import AGENT_RADIUS, TEE, WINDOW


def task():
    """The scene of Push-T with what the observation and the action are made of."""
    state, action = np.array([84.0, 412.0, 300.0, 88.0, 0.5]), (262.0, 444.0)
    page = Page(440)
    scene = page.scene(34, 28, 404, state, action=action)
    for v in (0, 128, 256, 384, 512):
        page.text(34 + v / WINDOW * 404, 18, v, size=SMALL, color=GREY)
        page.text(30, 28 + v / WINDOW * 404, v, size=SMALL, color=GREY, ha="right")
    page.text(84, 18, "x →", color=GREY)
    page.text(30, 78, "y ↓", color=GREY, ha="right")

    x, y, block_x, block_y, angle = state
    arrow(scene, (x, y), action, VERMILION, shrink=(AGENT_RADIUS * 404 / WINDOW, 5))
    label(scene, 24, y - 53, "agent", "(agent_x, agent_y)", BLUE)
    label(scene, action[0] + 32, action[1] - 10, "action", "(target_x, target_y)", VERMILION)
    label(scene, 114, 216, "goal", None, GREEN)
    scene.plot([170, 204], [216, 226], color=GREEN, lw=1)
    along = 104 * np.array([math.cos(angle), math.sin(angle)])
    scene.plot([block_x, block_x + 104], [block_y, block_y], color=INK, lw=1, ls=(0, (3, 3)))
    scene.plot([block_x, block_x + along[0]], [block_y, block_y + along[1]], color=INK, lw=1)
    scene.add_patch(
        Arc((block_x, block_y), 164, 164, theta1=0, theta2=math.degrees(angle), color=INK, lw=1.6)
    )
    scene.add_patch(Circle((block_x, block_y), 4.5, color=INK, lw=0))
    label(scene, block_x + 92, block_y + 22, "block_angle", None, INK)
    label(scene, block_x - 12, block_y - 56, "block", "(block_x, block_y)", INK)

    left = 470
    page.text(left, 42, "observation", size=HEAD, weight="bold", ha="left")
    page.text(left, 62, "what the policy sees: 5 numbers", color=GREY, ha="left")
    names = ["agent_x", "agent_y", "block_x", "block_y", "block_angle"]
    colours = [BLUE, BLUE, INK, INK, INK]
    for i, (name, value, colour) in enumerate(zip(names, state, colours)):
        page.entry(
            left, 80 + 27 * i, name, f"{value:.2f} rad" if i == 4 else f"{value:.0f} px", colour
        )
    page.text(left, 250, "action", size=HEAD, weight="bold", ha="left")
    page.text(left, 270, "what it answers: 2 numbers", color=GREY, ha="left")
    for i, (name, value) in enumerate(zip(["target_x", "target_y"], action)):
        page.entry(left, 288 + 27 * i, name, f"{value:.0f} px", VERMILION)
    page.text(left, 377, "goal", size=HEAD, weight="bold", ha="left")
    page.text(left, 397, "never moves: (256, 256) px, π/4 rad", color=GREY, ha="left")
    return page.image(
        "The Push-T table, 512 by 512 pixels, y pointing down: the agent at (agent_x, agent_y), the"
        " grey T-shaped block at (block_x, block_y), the middle of its bar's outer edge, turned by"
        " block_angle, the light green goal, and a red cross at the action (target_x, target_y), to"
        " which an arrow leads from the agent. The observation is [agent_x, agent_y, block_x,"
        " block_y, block_angle], the action [target_x, target_y]."
    )


def receding_horizon(obs_horizon=2, pred_horizon=16, action_horizon=8):
    """Two rounds of receding-horizon control on a timeline: observations seen, actions predicted,
    actions executed.

    Raises ValueError when the executed actions [obs_horizon - 1 : obs_horizon - 1 + action_horizon]
    reach beyond the chunk.
    """
    first, last = obs_horizon - 1, obs_horizon - 1 + action_horizon
    if min(obs_horizon, action_horizon) < 1 or last > pred_horizon:
        raise ValueError(f"A chunk of {pred_horizon} actions has no [{first}:{last}] to execute.")
    left, columns = 146, action_horizon + pred_horizon
    cell = min(26, (WIDTH - left - 8) / columns)
    page = Page(348)
    page.text(left - 12, 18, "control step", color=GREY, ha="right")
    for c in range(columns):
        if cell >= 16 or c % 4 == first % 4:
            page.text(
                left + (c + 0.5) * cell,
                18,
                f"{c - first:d}".replace("-", "−"),
                size=SMALL,
                color=GREY,
            )
    for name, step, top in [("first look", 0, 60), ("next look", action_horizon, 212)]:
        at = left + step * cell
        now = at + first * cell
        page.axes.plot(
            [now + cell / 2] * 2, [30, top - 4], color=GREY, lw=1, ls=(0, (2, 2)), zorder=0
        )
        page.text(now + cell / 2 + 6, top - 14, "the policy is asked", color=GREY, ha="left")
        page.text(left - 12, top - 14, name, size=HEAD, weight="bold", ha="right")
        rows = [
            ("observations seen", range(obs_horizon), SKY),
            ("actions predicted", range(pred_horizon), PALE),
            ("actions executed", range(first, last), ORANGE),
        ]
        for r, (what, places, fill) in enumerate(rows):
            y = top + r * 36
            page.text(left - 12, y + 13, what, ha="right")
            for i in places:
                page.cell(
                    at + i * cell, y, cell, 26, i, ORANGE if r == 1 and first <= i < last else fill
                )
        page.box(at - 1, top - 3, cell + 1.5, 26 + 36 + 6, edge=VERMILION, lw=1.6, zorder=5)
    page.text(
        left + obs_horizon * cell + 14,
        73,
        "chunk[0] belongs to the time of obs[0], the first observation",
        color=VERMILION,
        ha="left",
        path_effects=RIM,
    )
    page.text(
        left + last * cell + 14,
        145,
        f"chunk[{first}:{last}]  =  chunk[To − 1 : To − 1 + Ta]",
        ha="left",
        path_effects=RIM,
    )
    page.text(
        left,
        332,
        f"observations To = {obs_horizon}     predicted Tp = {pred_horizon}     executed before the"
        f" next look Ta = {action_horizon}",
        color=GREY,
        ha="left",
    )
    return page.image(
        f"A timeline of two rounds. The policy sees {obs_horizon} observations and predicts"
        f" {pred_horizon} actions, the first of them, action 0, for the time of the first"
        f" observation. Actions {first} to {last - 1} of the chunk are executed, from the time of"
        f" the last observation on. The next round is the same, {action_horizon} steps later."
    )


def window_padding(obs_horizon=2, pred_horizon=16, action_horizon=8, episode_length=20):
    """Which steps of an episode its first and last training windows show, as
    `pusht.dataset.window_steps` cuts them.

    Raises ValueError when the episode is too short for a window.
    """
    before, after = obs_horizon - 1, action_horizon - 1
    windows = window_steps([episode_length], pred_horizon, pad_before=before, pad_after=after)
    if not len(windows):
        raise ValueError(f"An episode of {episode_length} steps has no window of {pred_horizon}.")
    left, columns = 146, before + episode_length + after
    cell = min(26, (WIDTH - left - 8) / columns)
    shown = sorted({0, 1, len(windows) - 2, len(windows) - 1} & set(range(len(windows))))
    tops, y = [], 76
    for previous, i in zip([-1, *shown], shown):
        y += 26 if i > previous + 1 else 0
        tops.append(y)
        y += 54
    page = Page(y + 30)
    start, end = left + before * cell, left + (before + episode_length) * cell
    page.text(left - 12, 37, "episode", size=HEAD, weight="bold", ha="right")
    for t in range(episode_length):
        page.cell(start + t * cell, 24, cell, 26, t, "white")
    for x in (start, end):
        page.axes.plot([x, x], [16, y - 6], color=GREY, lw=1, ls=(0, (2, 2)), zorder=0)
    page.text(start, 8, "start", color=GREY)
    page.text(end, 8, "end", color=GREY)
    for top, i in zip(tops, shown):
        if i and i - 1 not in shown:
            page.text(left - 40, top - 17, "⋮", size=HEAD, color=GREY)
        page.text(left - 12, top + 21, f"window {i}", size=HEAD, weight="bold", ha="right")
        for place, step in enumerate(windows[i].tolist()):
            repeated = not 0 <= i - before + place < episode_length
            x = left + (i + place) * cell
            if place < obs_horizon:
                page.cell(x, top, cell, 20, step, SKY, hatched=repeated)
            page.cell(x, top + 22, cell, 20, step, "#ffe3b0", hatched=repeated)
    x = left
    for fill, hatched, what in [
        (SKY, False, "observation"),
        ("#ffe3b0", False, "action"),
        ("white", True, "first or last step, repeated"),
    ]:
        page.cell(x, y + 6, 20, 16, "", fill, hatched)
        x = page.text(x + 28, y + 14, what, color=GREY, ha="left") + 26
    return page.image(
        f"An episode of {episode_length} steps and its first and last of {len(windows)} windows,"
        f" each of {obs_horizon} observations and {pred_horizon} actions. The first window begins"
        f" {before} steps before the episode and shows step 0 there; the last one ends {after}"
        f" steps after it and shows step {episode_length - 1} there."
    )


def chunk(obs, action, stats=None, obs_horizon=2, action_horizon=8):
    """A predicted chunk of actions over the scene that it was predicted for, and a close-up with
    the actions numbered.

    obs: (To, 5), the last of them the present; action: (Tp, 2); both in pixels, or scaled to [-1,
        1] when `stats`, of the dataset, are given. Leading axes of length 1 are dropped; arrays or
        tensors.

    Executed, and drawn filled, are [obs_horizon - 1 : obs_horizon - 1 + action_horizon].
    """
    obs, action = (np.asarray(a, np.float64).reshape(np.shape(a)[-2:]) for a in (obs, action))
    if stats is not None:
        obs, action = unnormalize_data(obs, stats["obs"]), unnormalize_data(action, stats["action"])
    first, last = obs_horizon - 1, min(obs_horizon - 1 + action_horizon, len(action))
    page = Page(424)
    places = np.concatenate([obs[:, :2], action])
    low, high = places.min(axis=0), places.max(axis=0)
    half = max((high - low).max() / 2 + 24, 48)
    corner = (low + high) / 2 - half
    wide, near = (
        page.scene(8, 8, 408, obs[-1]),
        page.scene(438, 8, 274, obs[-1], (*corner, 2 * half)),
    )
    for scene in (wide, near):
        for place in obs[:-1, :2]:
            scene.add_patch(
                Circle(place, AGENT_RADIUS, fill=False, ec=BLUE, lw=1.2, ls=(0, (2, 2)))
            )
        scene.plot(*action.T, color=VERMILION, lw=1.2, zorder=3)
        numbered = []
        for i, place in enumerate(action):
            # In the close-up a dot has room for its number only where no numbered one is near.
            room = scene is near and all(
                math.dist(place, other) > 2 * half * 14 / 274 for other in numbered
            )
            face, ink = (VERMILION, "white") if first <= i < last else ("white", VERMILION)
            scene.plot(
                *place,
                "o",
                ms=9.4 if room else 4,
                mew=1,
                mec=VERMILION,
                mfc=face,
                zorder=5 if room else 4,
            )
            if room:
                numbered.append(place)
                write(scene, *place, i, size=8.5, color=ink, zorder=6)
    wide.add_patch(Rectangle(corner, 2 * half, 2 * half, fill=False, ec=GREY, lw=1, zorder=6))
    for row, (face, edge, what) in enumerate(
        [
            (VERMILION, VERMILION, f"action to execute: chunk[{first}:{last}]"),
            ("white", VERMILION, "action predicted, not executed"),
            (AGENT, AGENT, "agent now"),
            ("white", BLUE, "agent at the observation before"),
        ][: 3 + (len(obs) > 1)]
    ):
        y = 308 + 26 * row
        page.axes.plot(450, y, "o", ms=8, mew=1.2, mec=edge, mfc=face)
        page.text(468, y, what, ha="left")
    return page.image(
        f"The scene with a chunk of {len(action)} predicted actions as a path of dots from"
        f" ({action[0, 0]:.0f}, {action[0, 1]:.0f}) to ({action[-1, 0]:.0f}, {action[-1, 1]:.0f});"
        f" actions {first} to {last - 1}, to be executed, are filled, the others hollow. The agent"
        f" is at ({obs[-1, 0]:.0f}, {obs[-1, 1]:.0f}). Beside it the same dots from near, numbered."
    )


def episodes(states_list, labels=None):
    """Recorded episodes side by side: the agent's path over the block's outlines, from start
    (faint) to end.

    states_list: N arrays (T_i + 1, 5) [px, rad], N >= 1. labels: N texts to stand above them,
    "episode 0 …" when None.

    Raises ValueError when there are no episodes or not as many labels.
    """
    labels = [f"episode {i}" for i in range(len(states_list))] if labels is None else labels
    if not len(states_list) or len(labels) != len(states_list):
        raise ValueError(f"{len(states_list)} episodes cannot be drawn with {len(labels)} labels.")
    rows = math.ceil(len(states_list) / 5)
    columns = math.ceil(len(states_list) / rows)
    side = min((WIDTH - 16 + 10) / columns - 10, 280)
    left = (WIDTH - columns * (side + 10) + 10) / 2
    page = Page(math.ceil(rows * (side + 30)) + 34)
    for i, (states, name) in enumerate(zip(states_list, labels)):
        states = np.asarray(states, np.float64).reshape(-1, 5)
        x, y = left + i % columns * (side + 10), 26 + i // columns * (side + 30)
        page.text(x + side / 2, y - 13, name, weight="bold")
        paths(page.scene(x, y, side), states)
    x, y = left, page.height - 16
    for what, mark in [
        ("agent's start", dict(marker="o", mec=_depth(0.3), mfc="white")),
        ("end", dict(marker="o", mec=_depth(1.0), mfc=_depth(1.0))),
        ("block, later darker", dict(marker="s", mec=INK, mfc=BLOCK)),
        ("goal", dict(marker="s", mec=GOAL, mfc=GOAL)),
    ]:
        page.axes.plot(x + 6, y, ms=7, mew=1.4, ls="", **mark)
        x = page.text(x + 18, y, what, color=GREY, ha="left") + 22
    lengths = ", ".join(
        f"{name}: {len(states) - 1} steps" for states, name in zip(states_list, labels)
    )
    return page.image(
        f"The paths of the agent in {len(states_list)} episodes side by side ({lengths}), over"
        " outlines of the block from its start, faint, to its end, dark, and the light green goal."
    )


def paths(scene, states):
    """Agent's path and some of the block's outlines of one episode, states (T + 1, 5)."""
    some = np.unique(np.linspace(0, len(states) - 1, 6).round().astype(int))
    for depth, (x, y, angle) in zip(np.linspace(0.15, 1, len(some)), states[some, 2:]):
        c, s = math.cos(angle), math.sin(angle)
        outline = TEE @ np.array([[c, s], [-s, c]]) + (x, y)
        last = depth == 1
        scene.add_patch(
            Polygon(
                outline,
                fc=(*to_rgb(BLOCK), 0.55 if last else 0.05),
                ec=(*to_rgb(INK), depth * 0.8),
                lw=1.1 if last else 0.8,
            )
        )
    path = states[:, :2]
    colours = [_depth(depth) for depth in np.linspace(0.3, 1, len(path))]
    scene.add_collection(
        LineCollection(
            np.stack([path[:-1], path[1:]], axis=1),
            colors=colours[1:],
            lw=1.3,
            capstyle="round",
            zorder=3,
        )
    )
    scene.plot(*path[0], "o", ms=5, mew=1.4, mec=colours[0], mfc="white", zorder=4)
    scene.plot(*path[-1], "o", ms=5, mew=1.4, mec=colours[-1], mfc=colours[-1], zorder=4)


def _depth(depth):
    """The path's blue at a depth in [0, 1], 0 being white."""
    return tuple(1 - depth * (1 - v) for v in to_rgb(BLUE))
