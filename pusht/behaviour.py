"""How a policy moves: how rough its actions are, and how often it gets stuck."""

import numpy as np

from pusht.episodes import Episodes

STILL = 10  # px: what stays within this distance stands still
LAST = 100  # steps, ten seconds


def roughness(episodes: Episodes) -> float:
    """Return the mean length [px] of the second difference of the actions, which is 0 on a straight
    line at constant speed.
    """
    bent = np.concatenate([np.diff(actions, n=2, axis=0) for actions in episodes.actions])
    return float(np.linalg.norm(bent, axis=1).mean())


def standstill(episodes: Episodes) -> float:
    """Return the share of the failed episodes in which agent and block stay within 10 px for the
    last ten seconds; 0 where none failed.
    """
    failed = ~episodes.successes
    ends = [s[-LAST:, :4] for s, lost in zip(episodes.states, failed, strict=True) if lost]
    still = [np.linalg.norm(np.ptp(end, axis=0)) < STILL for end in ends]
    return float(np.mean(still)) if still else 0.0
