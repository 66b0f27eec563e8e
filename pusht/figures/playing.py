"""The player, which shows recorded episodes of one or more policies side by side, with the curves
of their rewards below.
"""

import functools
import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from pusht.episodes import Episodes
from pusht.figures.board import (
    CURVE,
    STEP,
    STYLES,
    Board,
    curves,
    few_colours,
    key,
    scene_image,
    solved,
)
from pusht.figures.moving import Live, Slider
from pusht.figures.page import GREY, SMALL, WIDTH, Page, Picture, as_image
from pusht.sim import reward
from pusht.tee import quick_coverage

# The states (T + 1, 5) of an episode, and the actions (T + 1, 2) that led to them, if known.
Recorded = tuple[np.ndarray, np.ndarray | None]
Playable = Episodes | np.ndarray | Sequence[np.ndarray]


def player(episodes: Playable | Mapping[str, Playable]) -> "Player":
    """Return a `Player` of recorded episodes.

    episodes: for one policy, the states (T + 1, 5) [px, rad] of an episode, the start first, or a
        list of such arrays, or `Episodes`, whose actions are then shown as well. For up to seven
        policies, {name: any of these}, with the same number of episodes for each.

    The rewards are computed from the states. Raises ValueError for an argument that does not
    contain states, and when there is nothing to play.
    """
    named = episodes if isinstance(episodes, Mapping) else {"": episodes}
    return Player({f"{name}": _recorded(f"{name}", those) for name, those in named.items()})


class Player(Live):
    """A still picture of an episode whose place, in a running notebook, a player of all episodes
    takes.
    """

    interval = round(1000 * STEP)

    def __init__(self, policies: Mapping[str, Sequence[Recorded]]) -> None:
        """Take the recorded episodes of each policy, by its name."""
        counts = {name: len(recorded) for name, recorded in policies.items()}
        if not counts or not max(counts.values()):
            raise ValueError("There is no episode to play.")
        if len(policies) > len(STYLES):
            raise ValueError(
                f"{len(policies)} policies are too many to show side by side: choose"
                f" {len(STYLES)} of them."
            )
        if len(set(counts.values())) > 1:
            listed = " and ".join(f"{count} of {name}" for name, count in counts.items())
            raise ValueError(
                f"A player needs the same number of episodes of each policy, not {listed}."
            )
        self.names, self._policies = list(policies), list(policies.values())
        self.episodes = len(self._policies[0])
        self._rewards = functools.cache(
            lambda episode: [_rewards(states) for states, _ in self._played(episode)]
        )
        self._board = functools.lru_cache(maxsize=2)(
            lambda episode: Board(self.names, self._rewards(episode))
        )
        text = f"a player of {self.episodes} episodes" if self.episodes > 1 else "a player"
        super().__init__(self._still(0), text)

    def _played(self, episode: int) -> list[Recorded]:
        return [recorded[episode] for recorded in self._policies]

    def last(self, episode: int) -> int:
        """Return the last step of an episode, for the policy that took longest."""
        return max(len(states) for states, _ in self._played(episode)) - 1

    def frame(self, episode: int, step: int) -> Picture:
        """Return the picture at a step of an episode; a policy whose episode has ended shows its
        last scene.
        """
        played, rewards, board = self._played(episode), self._rewards(episode), self._board(episode)
        steps = [min(step, len(states) - 1) for states, _ in played]
        scenes = [
            scene_image(states, actions, at, board.side)
            for (states, actions), at in zip(played, steps, strict=True)
        ]
        sentence = f"{self._of(episode)}{step * STEP:.1f} s, step {step} of {self.last(episode)}. "
        sentence += " ".join(map(_sentence, self.names, steps, rewards))
        return board.image(scenes, steps, step, sentence)

    def sliders(self) -> list[Slider]:
        step = Slider("step", [f"{step}" for step in range(self._longest() + 1)])
        episode = Slider("episode", [f"{episode}" for episode in range(self.episodes)])
        return [step, episode][: 1 + (self.episodes > 1)]

    def shown(self, at: Sequence[int]) -> tuple[Picture, list[int]]:
        step, episode = at if self.episodes > 1 else (*at, 0)
        episode = min(max(episode, 0), self.episodes - 1)
        last = self.last(episode)
        picture = self.frame(episode, min(max(step, 0), last))
        return picture, [last, self.episodes - 1][: len(at)]

    def _longest(self) -> int:
        return max(self.last(episode) for episode in range(self.episodes))

    def _still(self, episode: int) -> Picture:
        """Return a picture of four moments of an episode, a row per policy, above the curves."""
        played, rewards = self._played(episode), self._rewards(episode)
        named, gap = any(self.names), 12
        side = 2 * min(75, 180 // len(played), 64 if named else 75)
        left, row = (160 if named else (WIDTH - 4 * side - 3 * gap) // 2), side + 26
        top = 8 + row * len(played)
        page = Page(top + CURVE + 62)
        scenes = []
        policies = zip(self.names, played, rewards, strict=True)
        for i, (name, (states, actions), earned) in enumerate(policies):
            y, last = 8 + i * row, len(states) - 1
            if named:
                key(page, 8, y + side / 2, name, i, left - 16)
            best = int(earned.argmax())
            for j, (moment, at) in enumerate(
                [("start", 0), ("half way", last // 2), ("best", best), ("end", last)]
            ):
                x = left + j * (side + gap)
                text = f"{moment}: {earned[at]:.2f}"
                page.text(x + side / 2, y + side + 11, text, size=SMALL, color=GREY)
                scenes.append(((2 * x, 2 * y), scene_image(states, actions, at, side)))
        curves(page, top, rewards)
        pixels = page.pixels()
        for place, scene in scenes:
            pixels.paste(scene, place)
        ends = [len(earned) - 1 for earned in rewards]
        return as_image(
            few_colours(pixels),
            "Four moments of each row's episode (start, half way, largest reward, end) over the"
            " curves of the rewards."
            f" {self._of(episode)}{' '.join(map(_sentence, self.names, ends, rewards))}",
        )

    def _of(self, episode: int) -> str:
        return f"Episode {episode}: " if self.episodes > 1 else ""


def _recorded(name: str, episodes: Playable) -> list[Recorded]:
    if isinstance(episodes, Episodes):
        before = np.full((1, 2), np.nan)  # no action led to the start
        return [
            (_states(name, states), np.concatenate([before, actions]))
            for states, actions in zip(episodes.states, episodes.actions, strict=True)
        ]
    if isinstance(episodes, (list, tuple)):
        several = not len(episodes) or np.ndim(episodes[0]) > 1
    else:
        several = np.ndim(episodes) > 2
    each: Iterable[np.ndarray] = episodes if several else [episodes]  # type: ignore[list-item]
    return list(zip((_states(name, states) for states in each), itertools.repeat(None)))


def _states(name: str, states: Any) -> np.ndarray:
    try:
        states = np.asarray(states, dtype=np.float64)
    except (TypeError, ValueError):
        states = np.empty(0)
    if states.ndim != 2 or states.shape[1] != 5 or not len(states) or not np.isfinite(states).all():
        finite = states.size == 0 or np.isfinite(states).all()
        problem = f"of shape {states.shape}" if finite else "with numbers that are not finite"
        whose = f"An episode of {name}" if name else "An episode"
        raise ValueError(
            f"{whose} needs states (T + 1, 5), agent x, y, block x, y, block angle, not an array"
            f" {problem}."
        )
    return states


def _rewards(states: np.ndarray) -> np.ndarray:
    return np.array([reward(quick_coverage(*state[2:])) for state in states.tolist()])


def _sentence(name: str, step: int, rewards: np.ndarray) -> str:
    """Return a sentence on the reward of a policy at a step."""
    best = int(rewards[: step + 1].argmax())
    ended = step == len(rewards) - 1
    if ended and solved(rewards[step]):
        reached = f"solved after {step * STEP:.1f} s"
    else:
        reached = (
            f"reward {rewards[step]:.2f}{', end' * ended}, largest {rewards[best]:.2f} at"
            f" {best * STEP:.1f} s"
        )
    return f"{name}: {reached}." if name else f"{reached[0].upper()}{reached[1:]}."
