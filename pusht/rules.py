"""How an episode starts and takes actions, where the published assignments differ.

The notebooks' environment (`PushTEnv`) and the script assignment's, gym-pusht 0.1, share physics
and reward. They draw another start from the same seed and place the block in another order, and the
script assignment's evaluation keeps actions inside the window. Only scores under the same rules can
be compared.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import gymnasium
import numpy as np

from pusht.sim import WINDOW, sample_start


@dataclass(frozen=True)
class Rules:
    """The rules of an episode.

    name: what tables call the starts.
    start: function from a seed to the start (5,), as `PushTSim.reset` takes it.
    legacy: whether the block's position is placed before its angle (see `PushTSim`).
    clip: whether actions outside the window are moved to its edge.
    """

    name: str
    start: Callable[[int], np.ndarray] = field(repr=False)  # a repr is part of cache keys
    legacy: bool = False
    clip: bool = False

    def actions(self, chunk: np.ndarray) -> np.ndarray:
        """Return the actions (T, 2) [px] that are executed where a policy answers with a chunk."""
        return np.clip(chunk, 0, WINDOW) if self.clip else chunk


def sample_gym_pusht_start(seed: int) -> np.ndarray:
    """Return the start that gym-pusht 0.1 draws at `reset(seed=seed)`: (5,) agent x, y,
    block x, y [px], angle [rad].
    """
    rng, _ = gymnasium.utils.seeding.np_random(int(seed))
    low, high = (50, 50, 100, 100), (450, 450, 400, 400)
    return np.array([*map(rng.integers, low, high), rng.uniform(-np.pi, np.pi)])


PUBLISHED = Rules("published", sample_start)
GYM_PUSHT = Rules("gym-pusht", sample_gym_pusht_start, legacy=True, clip=True)
