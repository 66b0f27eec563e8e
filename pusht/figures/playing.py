"""The player: recorded episodes of one or more policies side by side, over the curves of their
rewards.
"""

import functools
import itertools
from collections.abc import Mapping

import numpy as np
import PIL.Image
from matplotlib import get_data_path
from matplotlib.colors import to_rgb
from PIL import ImageDraw, ImageFont

from pusht.figures.moving import Live, Scene, hinted, wide
from pusht.figures.page import (
    BLUE,
    GREEN,
    GREY,
    INK,
    LINE,
    ORANGE,
    SKY,
    SMALL,
    VERMILION,
    WIDTH,
    Page,
    as_image,
)
from pusht.render import AGENT, BLOCK, GOAL, TARGET, WALL, render
from pusht.sim import clipped_coverage, reward

# A colour and a dash for each policy: without its colour, a curve is still known by its dash.
_STYLES = [
    (BLUE, "-"),
    (VERMILION, (0, (3, 1))),
    (GREEN, (0, (1, 0.8))),
    (ORANGE, (0, (3, 0.8, 0.8, 0.8))),
    (INK, (0, (7, 1.5))),
    (SKY, (0, (3, 0.8, 0.8, 0.8, 0.8, 0.8))),
    ("#CC79A7", (0, (1, 2))),
]
_SPEEDS = [("½ ×", 0.5), ("1 ×", 1), ("2 ×", 2), ("4 ×", 4)]
_STEP = 0.1  # s
_LEFT, _RIGHT, _CURVE = (
    40,
    WIDTH - 12,
    112,
)  # where the curves stand on the page, and how high they are, in shown pixels


def player(episodes):
    """Recorded episodes as a `Player`: scenes side by side, the rewards so far and to come under
    them.

    episodes: of one policy the states (T + 1, 5) [px, rad] of an episode, the start first, a list
        of such arrays, or `Episodes`, whose actions are then shown as well; of up to seven policies
        {name: any of these}, as many episodes of each.

    The rewards are those that the states earn. Raises ValueError for states that are none, and when
    there is nothing to play.
    """
    return Player(
        {
            f"{name}": _recorded(f"{name}", those)
            for name, those in (
                episodes if isinstance(episodes, Mapping) else {"": episodes}
            ).items()
        }
    )


class Player(Live):
    """A still of an episode's moments that, in a running notebook, has a player of all the episodes
    under it.
    """

    def __init__(self, policies):
        """policies: {name: list of (states (T + 1, 5), actions (T + 1, 2) or None)}."""
        counts = {name: len(recorded) for name, recorded in policies.items()}
        if not counts or not max(counts.values()):
            raise ValueError("There is no episode to play.")
        if len(policies) > len(_STYLES):
            raise ValueError(
                f"{len(policies)} policies find no place side by side: choose {len(_STYLES)} of"
                " them."
            )
        if len(set(counts.values())) > 1:
            raise ValueError(
                "The same episodes of each policy can be played, but here are"
                f" {_listed(counts.items())}."
            )
        self.names, self._policies = list(policies), list(policies.values())
        self.episodes = len(self._policies[0])
        self._rewards = functools.cache(
            lambda episode: [_rewards(states) for states, _ in self._played(episode)]
        )
        self._board = functools.lru_cache(maxsize=2)(
            lambda episode: _Board(self.names, self._rewards(episode))
        )
        super().__init__(
            self._still(0),
            f"a player of {self.episodes} episodes" if self.episodes > 1 else "a player",
        )

    def _played(self, episode):
        return [recorded[episode] for recorded in self._policies]

    def last(self, episode):
        """The last step of an episode: that of the policy that took longest."""
        return max(len(states) for states, _ in self._played(episode)) - 1

    def frame(self, episode, step):
        """The `Image` after this many steps of an episode; a policy whose episode has ended holds
        its last picture.
        """
        played, rewards, board = self._played(episode), self._rewards(episode), self._board(episode)
        steps = [min(step, len(states) - 1) for states, _ in played]
        scenes = [
            _scene(states, actions, at, board.side) for (states, actions), at in zip(played, steps)
        ]
        sentence = f"{self._of(episode)}{step * _STEP:.1f} s, step {step} of {self.last(episode)}. "
        sentence += " ".join(map(_said, self.names, steps, rewards))
        return board.image(scenes, steps, step, sentence)

    def widget(self):
        """Play, a slider to scrub with, speed and episode: Tab goes from one to the next, space and
        arrow keys operate them.
        """
        import ipywidgets

        plain, row = {"description_width": "initial"}, ipywidgets.Layout(flex_flow="row wrap")
        play = hinted(
            ipywidgets.Play(
                max=self.last(0), interval=_interval(1), show_repeat=False, layout=wide(110)
            ),
            "Play or pause, stop",
        )
        step = hinted(
            ipywidgets.IntSlider(
                max=self.last(0), description="step", style=plain, layout=wide(WIDTH - 130)
            ),
            "Arrow keys: a step",
        )
        # No drop-down lists: JupyterLab keeps the arrow keys that would open them for itself.
        speed = ipywidgets.ToggleButtons(
            options=_SPEEDS,
            value=1,
            style={"button_width": "48px"},
            layout=wide(240),
            tooltips=["half speed", "real time", "twice as fast", "four times as fast"],
        )
        episode = hinted(
            ipywidgets.IntSlider(
                max=self.episodes - 1, description="episode", style=plain, layout=wide(240)
            ),
            "Arrow keys: an episode",
        )
        scene = Scene(self.frame(0, 0))

        def other(_):
            # The slider first goes to where every episode has a step.
            play.value = step.value = 0
            play.max = step.max = self.last(episode.value)
            scene.show(self.frame(episode.value, 0))

        step.observe(lambda _: scene.show(self.frame(episode.value, step.value)), names="value")
        speed.observe(lambda _: setattr(play, "interval", _interval(speed.value)), names="value")
        episode.observe(other, names="value")
        box = ipywidgets.VBox(
            [
                ipywidgets.HBox([play, step], layout=row),
                ipywidgets.HBox([speed, episode][: 1 + (self.episodes > 1)], layout=row),
                *scene.widgets,
            ]
        )
        box.linked = ipywidgets.jslink(
            (play, "value"), (step, "value")
        )  # in the browser, where pictures do not hold it up
        return box

    def _still(self, episode):
        """Four moments of an episode, a row a policy, over the curves."""
        played, rewards = self._played(episode), self._rewards(episode)
        named, gap = any(self.names), 12
        side = 2 * min(75, 180 // len(played), 64 if named else 75)
        left, row = (160 if named else (WIDTH - 4 * side - 3 * gap) // 2), side + 26
        top = 8 + row * len(played)
        page = Page(top + _CURVE + 62)
        scenes = []
        for i, (name, (states, actions), earned) in enumerate(zip(self.names, played, rewards)):
            y, last = 8 + i * row, len(states) - 1
            if named:
                _key(page, 8, y + side / 2, name, i, left - 16)
            best = int(earned.argmax())
            for j, (what, at) in enumerate(
                [("start", 0), ("half way", last // 2), ("best", best), ("end", last)]
            ):
                x = left + j * (side + gap)
                page.text(
                    x + side / 2, y + side + 11, f"{what}: {earned[at]:.2f}", size=SMALL, color=GREY
                )
                scenes.append((2 * x, 2 * y, _scene(states, actions, at, side)))
        _curves(page, top, rewards)
        pixels = page.pixels()
        for x, y, scene in scenes:
            pixels.paste(scene, (x, y))
        ends = [len(earned) - 1 for earned in rewards]
        return as_image(
            _few_colours(pixels),
            "Four moments of each row's episode (start, half way, largest reward, end) over the"
            " curves of the rewards."
            f" {self._of(episode)}{' '.join(map(_said, self.names, ends, rewards))}",
        )

    def _of(self, episode):
        return f"Episode {episode}: " if self.episodes > 1 else ""


class _Board:
    """What stays the same in all the pictures of an episode: names, curves and the places of the
    scenes.
    """

    def __init__(self, names, rewards):
        count = len(names)
        self.rewards, self.span = rewards, _span(rewards)
        self.side = 2 * int(min(125, (WIDTH - 16 - 12 * (count - 1)) / count / 2))
        left, self.top = (WIDTH - count * (self.side + 12) + 12) // 2, 32 if any(names) else 8
        self.lefts = [left + i * (self.side + 12) for i in range(count)]
        bottom = self.top + self.side + 26
        page = Page(bottom + _CURVE + 62)
        for i, (name, x) in enumerate(zip(names, self.lefts)):
            if name or count > 1:
                _key(page, x, 17, name, i, self.side)
        self.curve = _curves(page, bottom, rewards)
        self.pixels = page.pixels()

    def image(self, scenes, steps, step, alt):
        """scenes: one a policy. steps: of each, to which its dot is put. step: to which the cursor
        is put.
        """
        pixels = self.pixels.copy()
        draw = ImageDraw.Draw(pixels)
        x, (top, bottom) = self._x(step), self.curve
        draw.line([x, 2 * top, x, 2 * bottom], fill=INK, width=3)
        for i, (left, scene, at, earned) in enumerate(zip(self.lefts, scenes, steps, self.rewards)):
            pixels.paste(scene, (2 * left, 2 * self.top))
            ended = at == len(earned) - 1
            text = f"{earned[at]:.2f}" + (", solved" if _solved(earned[at]) else ", end") * ended
            draw.text(
                (2 * left + self.side, 2 * (self.top + self.side + 11)),
                text,
                INK,
                _font(2 * SMALL + 2),
                anchor="mm",
            )
            at_x, at_y = self._x(at), 2 * (bottom - (bottom - top) * earned[at])
            draw.ellipse(
                [at_x - 10, at_y - 10, at_x + 10, at_y + 10],
                fill=_STYLES[i][0],
                outline="white",
                width=3,
            )
        return as_image(
            _few_colours(pixels), alt, compress_level=6
        )  # quickly: 10 times as fast as the smallest

    def _x(self, step):
        return 2 * (_LEFT + (_RIGHT - _LEFT) * step / self.span)


# What was recorded.


def _recorded(name, episodes):
    """A list of (states (T + 1, 5), actions (T + 1, 2) or None), one an episode."""
    if hasattr(episodes, "states"):
        states = episodes.states
        actions = [np.concatenate([np.full((1, 2), np.nan), each]) for each in episodes.actions]
    else:
        several = (
            not len(episodes) or np.ndim(episodes[0]) > 1
            if isinstance(episodes, (list, tuple))
            else np.ndim(episodes) > 2
        )
        states = episodes if several else [episodes]
        actions = itertools.repeat(None)
    return [(_states(name, each), those) for each, those in zip(states, actions)]


def _states(name, states):
    try:
        states = np.asarray(states, dtype=np.float64)
    except (TypeError, ValueError):
        states = np.empty(0)
    if states.ndim != 2 or states.shape[1] != 5 or not len(states) or not np.isfinite(states).all():
        what = (
            f"of shape {states.shape}"
            if states.size == 0 or np.isfinite(states).all()
            else "with numbers that are not finite"
        )
        whose = f"An episode of {name}" if name else "An episode"
        raise ValueError(
            f"{whose} is states (T + 1, 5), agent x, y, block x, y, block angle, and not an array"
            f" {what}."
        )
    return states


def _rewards(states):
    return np.array([reward(clipped_coverage(*state[2:])) for state in states.tolist()])


def _solved(reward):
    return reward > 1 - 1e-6  # states that were written down are rounded


def _said(name, step, rewards):
    """What a policy has reached at a step, in a sentence."""
    best = int(rewards[: step + 1].argmax())
    ended = step == len(rewards) - 1
    if ended and _solved(rewards[step]):
        reached = f"solved after {step * _STEP:.1f} s"
    else:
        reached = (
            f"reward {rewards[step]:.2f}{', end' * ended}, largest {rewards[best]:.2f} at"
            f" {best * _STEP:.1f} s"
        )
    return f"{name}: {reached}." if name else f"{reached[0].upper()}{reached[1:]}."


def _listed(counts):
    return " and ".join(f"{count} of {name}" for name, count in counts)


# How it is drawn.


def _scene(states, actions, step, side):
    return PIL.Image.fromarray(
        render(states[step], action=None if actions is None else actions[step], size=2 * side)
    )


def _curves(page, top, rewards):
    """The rewards over time; -> top and bottom of where they run from 1 to 0, in shown pixels."""
    top, span = top + 26, _span(rewards)
    page.text(_LEFT, top - 13, "reward", color=GREY, ha="left")
    plot = page.plot(_LEFT, top, _RIGHT - _LEFT, _CURVE, (0, span), (0, 1), [0, 0.5, 1])
    every = next(
        every for every in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, span) if span / every <= 10
    )
    for at in range(0, span + 1, every):
        x = _LEFT + (_RIGHT - _LEFT) * at / span
        page.axes.plot([x, x], [top + _CURVE, top + _CURVE + 4], color=GREY, lw=0.8)
        page.text(x, top + _CURVE + 14, f"{at * _STEP:g}", size=SMALL, color=GREY)
    page.text(_RIGHT, top - 13, "time [s]", size=SMALL, color=GREY, ha="right")
    for earned, (color, style) in zip(rewards, _STYLES):
        plot.plot(
            np.arange(len(earned)), earned, color=color, ls=style, lw=1.8, clip_on=False, zorder=4
        )
    return top, top + _CURVE


def _span(rewards):
    return max(1, max(map(len, rewards)) - 1)


def _key(page, x, y, name, i, width):
    """A policy's line and its name, cut off where there is no room for it."""
    color, style = _STYLES[i]
    page.axes.plot([x, x + 34], [y, y], color=color, ls=style, lw=2.2, solid_capstyle="butt")
    page.text(x + 42, y, _fitting(name, 2 * width - 84), weight="bold", ha="left")


def _fitting(text, width):
    shorter = (text[:n] + "…" * (n < len(text)) for n in range(len(text), -1, -1))
    return next((cut for cut in shorter if _font(25, "-Bold").getlength(cut) <= width), "…")


@functools.cache
def _font(size, kind=""):
    return ImageFont.truetype(f"{get_data_path()}/fonts/ttf/DejaVuSans{kind}.ttf", size)


def _few_colours(pixels):
    """The picture in one palette for all, quickly: nothing flickers from one to the next."""
    return pixels.quantize(palette=_palette(), dither=PIL.Image.Dither.NONE)


@functools.cache
def _palette():
    """The colours of scenes and curves, and what lies between those that meet at an edge."""
    scene = ["white", WALL, GOAL, BLOCK, AGENT, TARGET]
    lines = [INK, GREY, LINE, *(color for color, _ in _STYLES)]
    pairs = [(a, b, 4) for a, b in itertools.combinations(scene, 2)] + [
        ("white", b, 6) for b in lines
    ]
    mixed = {
        tuple(round(255 * ((1 - share) * u + share * v)) for u, v in zip(to_rgb(a), to_rgb(b)))
        for a, b, parts in pairs
        for share in np.linspace(0, 1, parts + 1)
    }
    palette = PIL.Image.new("P", (1, 1))
    palette.putpalette([value for color in sorted(mixed, reverse=True) for value in color])
    return palette


def _interval(speed):
    """Milliseconds from one step to the next."""
    return round(1000 * _STEP / speed)
