"""Where episodes begin: resets of the published environment and of gym-pusht, and states in which
learners found themselves.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pusht import rules
from pusht.rules import Rules
from pusht.sim import PushTSim

# Far above every range that grades use (a course draws its own below 1,000,010,000), and below
# 2**32, where numpy's older generator ends.
FIRST_SEED = 4_000_000_000
_SEEDS_A_BLOCK = 10_000

# What an episode starts from, as meta/start_kind has it.
PUBLISHED, GYM_PUSHT, LEARNER = range(3)
KINDS = ("published", "gym-pusht", "learner")
RULES = (rules.PUBLISHED, rules.GYM_PUSHT)  # by which the first two are drawn


@dataclass(frozen=True)
class Starts:
    """N places to set off from.

    states: (N, 5) float64, what `PushTSim.reset` takes.
    kinds: (N,) PUBLISHED, GYM_PUSHT or LEARNER.
    seeds: (N,) int64 of the reset; -1 for a learner's state.
    """

    states: np.ndarray
    kinds: np.ndarray
    seeds: np.ndarray

    def __len__(self) -> int:
        return len(self.states)

    def __getitem__(self, which: Sequence[int] | np.ndarray | slice) -> "Starts":
        return Starts(self.states[which], self.kinds[which], self.seeds[which])


def resets(block: int, count: int) -> Starts:
    """Return `count` resets, in turn of the published environment and of gym-pusht.

    block: which seeds; each block has its own 10,000.
    """
    seeds = FIRST_SEED + _SEEDS_A_BLOCK * block + np.arange(count)
    kinds = np.arange(count) % 2
    states = [reset_state(RULES[kind], int(seed)) for kind, seed in zip(kinds, seeds)]
    return Starts(np.array(states).reshape(-1, 5), kinds, seeds)


def reset_state(by: Rules, seed: int) -> np.ndarray:
    """Return the state (5,) from which an episode by these rules sets off, as `PushTSim.reset`
    takes it.

    gym-pusht places the block's position before its angle, which then moves the position.
    """
    start = by.start(seed)
    if not by.legacy:
        return start
    sim = PushTSim(legacy=True)
    sim.reset(start)
    return sim.state


def learners(states: np.ndarray) -> Starts:
    """Return these states (N, 5), in which a learner was, as starts."""
    return Starts(states, np.full(len(states), LEARNER), np.full(len(states), -1))


def joined(*several: Starts) -> Starts:
    """Return several lots of starts as one."""
    return Starts(
        np.concatenate([starts.states for starts in several]),
        np.concatenate([starts.kinds for starts in several]),
        np.concatenate([starts.seeds for starts in several]),
    )
