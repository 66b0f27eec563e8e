"""The expert whose episodes the kit's demonstrations are: it tries chunks of actions in the
simulator and executes a good one.

    teacher = expert.trained(seed=1)
    actions = expert.labels(teacher, observations)      # what it would do there
    more = expert.demonstrations(teacher, range(60))    # what it does from these starts

The modules: `networks`, what it is made of; `planning`, how it chooses; `driving`, episodes that it
drives. `score.course.tools.demonstrations` trained its networks; data/README.md tells how.
"""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import safetensors.torch
from torch import nn

from pusht import resources
from pusht.demos import Demonstrations
from pusht.expert.driving import Episode, drive, solved
from pusht.expert.networks import CHUNK, Proposals, Student, Value
from pusht.expert.planning import Expert
from pusht.sim import PushTSim, sample_start

__all__ = ["WEIGHTS", "Expert", "demonstrations", "labels", "packed", "trained"]

WEIGHTS = resources.path("data/expert.safetensors")
Network = TypeVar("Network", bound=nn.Module)
_BATCH = 200  # simulators at a time: each takes half a megabyte


def trained(seed: int) -> Expert:
    """Return the expert that made the kit's demonstrations, which prefers of several good chunks
    the one that a small network would choose. seed: of its random numbers.
    """
    weights = safetensors.torch.load_file(WEIGHTS)

    def filled(name: str, network: Network) -> Network:
        own = {key: weights[f"{name}.{key}"] for key in network.state_dict()}
        network.load_state_dict(own)
        return network

    return Expert(
        filled("proposals", Proposals()),
        filled("value", Value()),
        seed=seed,
        student=filled("student", Student()),
        displaced=6.0,
        tolerance=0.02,
    )


def labels(teacher: Expert, observations: np.ndarray, steps: int = 15) -> np.ndarray:
    """Return what the expert would do, (M, steps, 2) px: its actions from the last observation on.

    observations: (M, To, 5), the last observations of M moments. A simulator is set to the last of
    them, with the velocity that the agent had since the one before, and the expert drives there.
    """
    batches = np.array_split(observations, max(1, -(-len(observations) // _BATCH)))
    return np.concatenate([_driven(teacher, batch, steps) for batch in batches])


def _driven(teacher: Expert, observations: np.ndarray, steps: int) -> np.ndarray:
    worlds = [_world(*seen[[-2, -1]]) for seen in observations]
    chunks: list[np.ndarray] = []
    while len(chunks) * CHUNK < steps:
        now = np.array([world.state for world in worlds]).reshape(-1, 1, 5)
        chunks.append(teacher(worlds, now))
        for world, chunk in zip(worlds, chunks[-1], strict=True):
            for action in chunk:
                world.step(action)
    return np.concatenate(chunks, axis=1)[:, :steps]


def _world(before: np.ndarray, now: np.ndarray) -> PushTSim:
    world = PushTSim()
    world.reset(now)
    world.agent.velocity = tuple((now[:2] - before[:2]) / 0.1)
    return world


def demonstrations(teacher: Expert, seeds: Sequence[int], max_steps: int = 300) -> Demonstrations:
    """Return the expert's episodes from the published environment's starts of these seeds; those
    that do not succeed within `max_steps` are left out. ValueError when all are.
    """
    return packed(solved(drive(teacher, np.array([*map(sample_start, seeds)]), max_steps)))


def packed(episodes: Sequence[Episode]) -> Demonstrations:
    """Return episodes as a set of demonstrations; the state after the last action is left out.

    ValueError when there is none.
    """
    if not episodes:
        raise ValueError("No episode succeeded: give more starts, or more steps.")
    return Demonstrations(
        np.concatenate([episode.states[:-1] for episode in episodes]).astype(np.float32),
        np.concatenate([episode.actions for episode in episodes]).astype(np.float32),
        np.cumsum([len(episode) for episode in episodes], dtype=np.int64),
    )
