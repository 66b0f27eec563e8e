"""Timelines of receding-horizon control and of the training windows in an episode."""

from typing import Any

import numpy as np

from pusht.dataset import window_steps
from pusht.figures.page import (
    GREY,
    HEAD,
    INK,
    ORANGE,
    PALE,
    SKY,
    SMALL,
    VERMILION,
    WIDTH,
    Page,
    Picture,
)

_LEFT = 146  # x at which a timeline begins, shown pixels
_ACTION = "#ffe3b0"


# Behind a text: no line runs through it.
_WHITE: dict[str, Any] = {"fc": "white", "ec": "none", "pad": 1.5}


def receding_horizon(
    obs_horizon: int = 2, pred_horizon: int = 16, action_horizon: int = 8
) -> Picture:
    """Draw two rounds of receding-horizon control on a timeline: observations seen, actions
    predicted, actions executed.

    Raises ValueError when the executed actions [obs_horizon - 1 : obs_horizon - 1 + action_horizon]
    reach beyond the chunk.
    """
    first, last = obs_horizon - 1, obs_horizon - 1 + action_horizon
    if min(obs_horizon, action_horizon) < 1 or last > pred_horizon:
        raise ValueError(f"A chunk of {pred_horizon} actions has no [{first}:{last}] to execute.")
    columns = action_horizon + pred_horizon
    cell = min(26, (WIDTH - _LEFT - 8) / columns)
    page = Page(348)
    page.text(_LEFT - 12, 18, "control step", color=GREY, ha="right")
    for c in range(columns):
        if cell >= 16 or c % 4 == first % 4:
            step = f"{c - first:d}".replace("-", "−")
            page.text(_LEFT + (c + 0.5) * cell, 18, step, size=SMALL, color=GREY)
    rows = [
        ("observations seen", range(obs_horizon), SKY),
        ("actions predicted", range(pred_horizon), PALE),
        ("actions executed", range(first, last), ORANGE),
    ]
    _round(page, "first call", 60, _LEFT, cell, rows)
    _round(page, "next call", 212, _LEFT + action_horizon * cell, cell, rows)
    belongs = "chunk[0] belongs to the time of obs[0], the first observation"
    part = f"chunk[{first}:{last}]  =  chunk[To − 1 : To − 1 + Ta]"
    for column, y, note, color in [(obs_horizon, 73, belongs, VERMILION), (last, 145, part, INK)]:
        x = _LEFT + column * cell + 14
        page.text(x, y, note, ha="left", color=color, bbox=_WHITE)
    legend = (
        f"observations To = {obs_horizon}     predicted Tp = {pred_horizon}     executed before the"
        f" next call Ta = {action_horizon}"
    )
    page.notes(_LEFT, 332, [legend])
    return page.image(
        f"A timeline of two rounds. The policy sees {obs_horizon} observations and predicts"
        f" {pred_horizon} actions, the first of them, action 0, for the time of the first"
        f" observation. Actions {first} to {last - 1} of the chunk are executed, from the time of"
        f" the last observation on. The next round is the same, {action_horizon} steps later."
    )


def _round(
    page: Page,
    name: str,
    top: float,
    left: float,
    cell: float,
    rows: list[tuple[str, range, str]],
) -> None:
    """Draw one round; its rows are observations, predicted actions and executed actions."""
    executed = rows[2][1]
    now = left + executed.start * cell
    line: dict[str, Any] = {"color": GREY, "lw": 1, "ls": (0, (2, 2)), "zorder": 0}
    page.axes.plot([now + cell / 2] * 2, [30, top - 4], **line)
    page.text(now + cell / 2 + 6, top - 14, "the policy is called", color=GREY, ha="left")
    page.text(_LEFT - 12, top - 14, name, size=HEAD, weight="bold", ha="right")
    for row, (title, places, fill) in enumerate(rows):
        y = top + row * 36
        page.text(_LEFT - 12, y + 13, title, ha="right")
        for i in places:
            chosen = row == 1 and i in executed
            page.cell(left + i * cell, y, cell, 26, i, ORANGE if chosen else fill)
    page.box(left - 1, top - 3, cell + 1.5, 26 + 36 + 6, edge=VERMILION, lw=1.6, zorder=5)


def window_padding(
    obs_horizon: int = 2,
    pred_horizon: int = 16,
    action_horizon: int = 8,
    episode_length: int = 20,
) -> Picture:
    """Draw the steps of an episode's first and last training windows, as from
    `pusht.dataset.window_steps`.

    Raises ValueError when the episode is too short for a window.
    """
    before, after = obs_horizon - 1, action_horizon - 1
    windows = window_steps([episode_length], pred_horizon, pad_before=before, pad_after=after)
    if not len(windows):
        raise ValueError(f"An episode of {episode_length} steps has no window of {pred_horizon}.")
    cell = min(26, (WIDTH - _LEFT - 8) / (before + episode_length + after))
    shown = sorted({0, 1, len(windows) - 2, len(windows) - 1} & set(range(len(windows))))
    tops, y = [], 76
    for previous, i in zip([-1, *shown], shown, strict=False):
        y += 26 if i > previous + 1 else 0
        tops.append(y)
        y += 54
    page = Page(y + 30)
    _episode(page, _LEFT + before * cell, cell, episode_length, y - 6)
    for top, i in zip(tops, shown, strict=True):
        if i and i - 1 not in shown:
            page.text(_LEFT - 40, top - 17, "⋮", size=HEAD, color=GREY)
        page.text(_LEFT - 12, top + 21, f"window {i}", size=HEAD, weight="bold", ha="right")
        steps = np.arange(i - before, i - before + pred_horizon)
        inside = (steps >= 0) & (steps < episode_length)
        for place, step in enumerate(windows[i].tolist()):
            x, repeated = _LEFT + (i + place) * cell, not inside[place]
            if place < obs_horizon:
                page.cell(x, top, cell, 20, step, SKY, repeated)
            page.cell(x, top + 22, cell, 20, step, _ACTION, repeated)
    _legend(page, y)
    return page.image(
        f"An episode of {episode_length} steps and its first and last of {len(windows)} windows,"
        f" each of {obs_horizon} observations and {pred_horizon} actions. The first window begins"
        f" {before} steps before the episode and shows step 0 there; the last one ends {after}"
        f" steps after it and shows step {episode_length - 1} there."
    )


def _episode(page: Page, start: float, cell: float, length: int, bottom: float) -> None:
    page.text(_LEFT - 12, 37, "episode", size=HEAD, weight="bold", ha="right")
    for t in range(length):
        page.cell(start + t * cell, 24, cell, 26, t, "white")
    for x, name in ((start, "start"), (start + length * cell, "end")):
        page.axes.plot([x, x], [16, bottom], color=GREY, lw=1, ls=(0, (2, 2)), zorder=0)
        page.text(x, 8, name, color=GREY)


def _legend(page: Page, y: float) -> None:
    x: float = _LEFT
    for fill, framed, text in [
        (SKY, False, "observation"),
        (_ACTION, False, "action"),
        ("white", True, "first or last step, repeated"),
    ]:
        page.cell(x, y + 6, 20, 16, "", fill, framed)
        x = page.text(x + 28, y + 14, text, color=GREY, ha="left") + 26
