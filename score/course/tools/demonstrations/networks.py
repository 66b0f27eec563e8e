"""What the making of demonstrations has beside the expert's networks: other students, and what a
`Value` learns.
"""

import numpy as np
import torch

from pusht.expert.networks import CHUNK, Student, flow_loss


class TwoStateStudent(Student):
    """A least-squares policy that sees two states, as Part I's does."""

    observations = 2


class FlowStudent(Student):
    """A flow-matching policy such as Part IV's."""

    def __init__(self, width: int = 256) -> None:
        super().__init__(width, more=2 * CHUNK + 1)

    def _velocity(
        self, seen: torch.Tensor, chunk: torch.Tensor, time: torch.Tensor
    ) -> torch.Tensor:
        return self.net(torch.cat([seen, chunk.flatten(1), time[:, None]], dim=1)).view_as(chunk)

    def loss(
        self, seen: torch.Tensor, chunk: torch.Tensor, generator: torch.Generator
    ) -> torch.Tensor:
        """Return the flow-matching loss of a batch."""
        return flow_loss(self._velocity, seen, chunk, generator)

    def infer(self, seen: torch.Tensor, generator: torch.Generator | None) -> torch.Tensor:
        """Return chunks (B, 8, 2) as the network has them, in ten steps."""
        chunk = torch.randn(len(seen), CHUNK, 2, generator=generator)
        for i in range(10):
            chunk = chunk + self._velocity(seen, chunk, torch.full((len(seen),), i / 10)) / 10
        return chunk


def returns(rewards: np.ndarray, discount: float = 0.985) -> np.ndarray:
    """Return what `Value` learns, (T + 1,) for the states of an episode: the best reward from there
    on, discounted by the steps until it.

    rewards: (T,). They are squared, and success counts more, so that the last tenth of the goal is
    worth its trouble.
    """
    worth = np.concatenate([[0.0], 0.7 * rewards**2 + 0.3 * (rewards >= 1)])
    best = worth.copy()
    for t in range(len(worth) - 2, -1, -1):
        best[t] = max(worth[t], discount * best[t + 1])
    return best
