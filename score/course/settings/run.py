"""How a course has notebooks graded, and what is drawn from its secret."""

import hmac
import itertools
import secrets
from dataclasses import dataclass, field

import numpy as np

from score import rubric

SECRET_BYTES = 16
SEEDS = 10**9  # held-out ones; those of practice are below, those of demonstrations above


@dataclass(frozen=True)
class Limits:
    """What a graded notebook may take: seconds a cell and altogether, bytes of memory of all its
    processes together, bytes of outputs.
    """

    cell_seconds: int = 1800
    notebook_seconds: int = 3600
    memory_bytes: int = 4 * 2**30
    output_bytes: int = 10 * 2**20


@dataclass(frozen=True)
class RunSettings:
    """How a course has notebooks graded: the held-out episodes, how many of each policy's are
    filmed, and the limits.

    seed: a course's secret, in hexadecimal digits, or the first of consecutive seeds. episodes: the
    most of a policy. seconds: of the policies of a part together, by the rubric's `episode_seconds`
    and not by the clock. at_once: whether students read the verdicts while they can still hand in
    again.
    """

    seed: int | str
    episodes: int
    seconds: float = rubric.GRADED_SECONDS
    filmed: int = 10
    limits: Limits = field(default_factory=Limits)
    at_once: bool = False

    def episode_seeds(self, count: int) -> list[int]:
        """Return the seeds of the first so many held-out episodes.

        From a secret each is drawn by a keyed hash (HMAC) of its number: who knows some of them
        can compute neither the secret nor another one. With a larger count the first stay the same.
        """
        if isinstance(self.seed, int):
            return list(range(self.seed, self.seed + count))
        found: dict[int, None] = {}
        for number in itertools.count():
            if len(found) == count:
                break
            drawn = int.from_bytes(_keyed(self.seed, f"episode {number}"))
            found[rubric.GRADED_FIRST_SEED + drawn % SEEDS] = None
        return list(found)

    def generator(self, name: str) -> np.random.Generator:
        """Return the generator of what is drawn under a name, such as a question's hidden inputs;
        always the same.
        """
        if isinstance(self.seed, int):
            return np.random.default_rng([self.seed, *name.encode()])
        return np.random.default_rng(int.from_bytes(_keyed(self.seed, name)))


def new_secret() -> str:
    """Return a secret for a course: hexadecimal digits of 128 random bits."""
    return secrets.token_hex(SECRET_BYTES)


def other_secret(secret: str, name: str) -> str:
    """Return the secret that follows from another one under a name. The way back is closed."""
    return _keyed(secret, name)[:SECRET_BYTES].hex()


def _keyed(secret: str, name: str) -> bytes:
    return hmac.digest(bytes.fromhex(secret), name.encode(), "sha256")
