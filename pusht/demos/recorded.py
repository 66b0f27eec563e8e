"""Recorded episodes in memory."""

import hashlib
from dataclasses import dataclass

import numpy as np


class DemosError(ValueError):
    """Raised when demonstrations cannot be opened. The message says in one sentence which ones,
    what is wrong, and what to do.
    """


@dataclass(frozen=True, eq=False)
class Demonstrations:
    """Recorded episodes, one after the other: N steps in E episodes.

    Attributes:
        states: (N, 5) float32; agent x, y and block x, y in window pixels, block angle in radians.
        actions: (N, 2) float32; target agent x, y in window pixels.
        episode_ends: (E,) int64; one past the last step of each episode, strictly rising; the last
            one is N.
    """

    states: np.ndarray
    actions: np.ndarray
    episode_ends: np.ndarray

    @property
    def num_episodes(self) -> int:
        """E, the number of episodes."""
        return len(self.episode_ends)

    @property
    def fingerprint(self) -> str:
        """SHA-256 (hex) of the values; it does not depend on how the set is stored."""
        digest = hashlib.sha256()
        for name, array, dtype in (
            ("state", self.states, "<f4"),
            ("action", self.actions, "<f4"),
            ("episode_ends", self.episode_ends, "<i8"),
        ):
            shape = "x".join(map(str, array.shape))
            digest.update(f"{name} {dtype} {shape}\n".encode())
            digest.update(np.ascontiguousarray(array, dtype=dtype).tobytes())
        return digest.hexdigest()

    def episode(self, i: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the states (T, 5) and actions (T, 2) of episode i, as views.

        IndexError unless 0 <= i < num_episodes.
        """
        if not 0 <= i < self.num_episodes:
            raise IndexError(f"episode {i} of {self.num_episodes}")
        steps = slice(self.episode_ends[i - 1] if i else 0, self.episode_ends[i])
        return self.states[steps], self.actions[steps]


def joined(*sets: Demonstrations) -> Demonstrations:
    """Return one set with the episodes of all `sets` in order; there must be at least one."""
    before = np.cumsum([0, *(len(one.states) for one in sets[:-1])])
    ends = [one.episode_ends + steps for one, steps in zip(sets, before, strict=True)]
    return Demonstrations(
        np.concatenate([one.states for one in sets]),
        np.concatenate([one.actions for one in sets]),
        np.concatenate(ends).astype(np.int64),
    )
