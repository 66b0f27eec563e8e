"""What the stages make, in a folder: an interrupted making goes on after what is stored there."""

import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from pusht.episodes import reproducible
from pusht.expert.driving import (
    Driver,
    Episode,
    drive,
    load_episodes,
    save_episodes,
    summary,
)
from pusht.files import replacing
from score.course.tools.demonstrations import starts
from score.course.tools.demonstrations.fitting import Network
from score.course.tools.demonstrations.starts import Starts

_BATCH = 200  # episodes driven together; another number changes the random numbers of each


class Store:
    """Episodes and networks by name, made when they are first needed.

    folder: where they are stored. seed: of all random numbers; those of a name are its own.
    scale: of the numbers of starts and of epochs, below 1 only to try the code out.
    """

    def __init__(self, folder: Path, seed: int, scale: float = 1.0) -> None:
        self.folder, self.seed, self.scale = folder, seed, scale

    def episodes(
        self, name: str, driver: Callable[[], Driver], begin: np.ndarray, max_steps: int
    ) -> list[Episode]:
        """Return the episodes of this name, driven from states (N, 5).

        driver: makes what drives them, where they are not stored yet.
        """
        path = self.folder / f"{name}.npz"
        if not path.exists():
            driven: list[Episode] = []
            with reproducible(self.number(name)):
                acting = driver()
                for first in range(0, len(begin), _BATCH):
                    driven += drive(acting, begin[first : first + _BATCH], max_steps)
            save_episodes(path, driven)
            print(f"{name}: {summary(driven)}", flush=True)
        return load_episodes(path)

    def network(self, name: str, kind: type[Network], fit: Callable[[Network], Network]) -> Network:
        """Return the network of this name.

        fit: trains a fresh one, where none is stored yet.
        """
        path = self.folder / f"{name}.pt"
        with reproducible(self.number(name)):
            network = kind()
            if not path.exists():
                network = fit(network)
                with replacing(path) as beside:
                    torch.save(network.state_dict(), beside)
                print(f"{name}: trained", flush=True)
        network.load_state_dict(torch.load(path, weights_only=True))
        return network

    def number(self, name: str) -> int:
        """Return the seed of the random numbers of what has this name."""
        return zlib.crc32(f"{self.seed} {name}".encode())

    def resets(self, block: int, count: int) -> Starts:
        """Return resets, see `starts.resets`."""
        return starts.resets(block, self.count(count))

    def some(self, states: np.ndarray, count: int, name: str) -> Starts:
        """Return some of these states of learners (N, 5), drawn at random, as starts.

        name: of what they are drawn for.
        """
        order = np.random.default_rng(self.number(f"starts of {name}")).permutation(len(states))
        return starts.learners(states[order[: self.count(count)]])

    def count(self, count: int) -> int:
        """Return a number of starts, scaled."""
        return max(int(count * self.scale), 2)

    def epochs(self, epochs: int) -> int:
        """Return a number of epochs, scaled."""
        return max(int(epochs * self.scale), 1)
