"""The expert: it tries proposals in the simulator, and executes one that leads to a good state."""

from dataclasses import dataclass

import numpy as np
import torch

from pusht.expert.driving import on_grid
from pusht.expert.networks import Proposals, Student, Value
from pusht.sim import SUCCESS_COVERAGE, PushTSim
from pusht.tee import quick_coverage

_SOLVED = 1.3  # value of a proposal that succeeds: above what a `Value` gives


@dataclass(frozen=True)
class Disturbance:
    """Executed chunks are displaced as a whole, by N(0, size²) px in x and in y.

    share: with what chance. below: only while less of the goal is covered than this.
    """

    size: float
    share: float = 1.0
    below: float = 1.0


class Expert:
    """A driver (see `driving.drive`) that looks one chunk ahead.

    For each world it draws `candidates` proposals, tries them in a simulator of its own, and
    executes the one whose end has the highest value.

    displaced: each proposal is tried twice, displaced by a random offset of this size [px] and by
        its opposite, and has the mean of both values. A good proposal is then one that a policy
        which is slightly wrong may follow too.
    student: its own chunk is one of the candidates; and of all candidates whose value is at most
        `tolerance` below the best, the one nearest to it is executed. What is executed is then as
        far as possible what a small network would do.
    disturbance: of what is executed. The episode shows how to go on from there.
    """

    def __init__(
        self,
        proposals: Proposals,
        value: Value,
        *,
        seed: int,
        displaced: float = 0.0,
        student: Student | None = None,
        tolerance: float = 0.0,
        disturbance: Disturbance | None = None,
        candidates: int = 8,
    ) -> None:
        self.proposals, self.value, self.student = proposals, value, student
        self.displaced, self.tolerance = displaced, tolerance
        self.disturbance, self.candidates = disturbance, candidates
        self._random = np.random.default_rng(seed)
        self._torch = torch.Generator().manual_seed(int(self._random.integers(2**31)))
        self._ahead = PushTSim()
        self._ahead.reset(np.zeros(5))

    def __call__(self, worlds: list[PushTSim], seen: np.ndarray) -> np.ndarray:
        """Return the chunks to execute, (B, 8, 2) px."""
        states = seen[:, -1]
        proposals = self._propose(states)
        worth = np.array([self._worth(world, each) for world, each in zip(worlds, proposals)])
        if self.student is None:
            picks = worth.argmax(axis=1)
        else:
            far = ((proposals - proposals[:, :1]) ** 2).mean(axis=(2, 3))
            good = worth >= worth.max(axis=1, keepdims=True) - self.tolerance
            picks = np.where(good, far, np.inf).argmin(axis=1)
        return self._disturbed(states, proposals[np.arange(len(worlds)), picks])

    def _propose(self, states: np.ndarray) -> np.ndarray:
        """Return candidates (B, K, 8, 2); the student's is the first."""
        drawn = self.candidates - (self.student is not None)
        chunks = self.proposals.sample(np.repeat(states, drawn, axis=0), self._torch)
        chunks = chunks.reshape(len(states), drawn, *chunks.shape[1:])
        if self.student is not None:
            chunks = np.concatenate([self.student.act(states[:, None])[:, None], chunks], axis=1)
        return on_grid(chunks)

    def _worth(self, world: PushTSim, proposals: np.ndarray) -> np.ndarray:
        """Return the value (K,) of where proposals (K, 8, 2) lead."""
        offsets = np.zeros((1, 2))
        if self.displaced:
            offset = self.displaced * self._random.standard_normal(2)
            offsets = np.stack([offset, -offset])
        ends = np.empty((len(proposals), len(offsets), 5))
        solved = np.zeros(ends.shape[:2], dtype=bool)
        for k, proposal in enumerate(proposals):
            for j, offset in enumerate(offsets):
                solved[k, j], ends[k, j] = self._try(world, proposal + offset)
        return np.where(solved, _SOLVED, self.value.of(ends)).mean(axis=1)

    def _try(self, world: PushTSim, actions: np.ndarray) -> tuple[bool, np.ndarray]:
        """Return whether the actions, executed from where `world` is, succeed, and the state
        afterwards.
        """
        ahead = self._ahead
        ahead.agent.position, ahead.agent.velocity = world.agent.position, world.agent.velocity
        ahead.block.velocity, ahead.block.angular_velocity = (0, 0), 0
        ahead.block.angle = world.block.angle
        ahead.block.position = world.block.position
        for action in actions:
            if ahead.step(action) > SUCCESS_COVERAGE:
                return True, ahead.state
        return False, ahead.state

    def _disturbed(self, states: np.ndarray, chunks: np.ndarray) -> np.ndarray:
        if self.disturbance is None:
            return chunks
        covered = np.array([quick_coverage(*state[2:]) for state in states])
        hit = self._random.random(len(states)) < self.disturbance.share
        hit &= covered < self.disturbance.below
        offsets = self.disturbance.size * self._random.standard_normal((len(states), 2))
        return chunks + (hit[:, None] * offsets)[:, None]
