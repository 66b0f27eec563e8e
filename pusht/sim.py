"""The Push-T simulator: a PD-controlled disc pushes a T-shaped block over a table with walls.

This module contains the physics only, neither gym nor drawing. Positions are in window pixels
(0..512, y pointing down), angles in radians, time in seconds. A control step lasts 0.1 s and
consists of ten physics steps of 0.01 s.

The task and its constants are those of Florence et al., "Implicit Behavioral Cloning" (2021), in
the two-dimensional form of Chi et al., "Diffusion Policy" (2023). Trajectories are identical to the
published environment's.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pymunk
from pymunk._chipmunk_cffi import lib as chipmunk

from pusht.tee import Pose, quick_coverage

WINDOW = 512
AGENT_RADIUS = 15
SUCCESS_COVERAGE = 0.95
PHYSICS_DT = 0.01  # s; ten of these make a control step
K_P, K_V = 100.0, 20.0  # PD gains of the agent, 1/s² and 1/s

_BAR = [(-60, 30), (60, 30), (60, 0), (-60, 0)]
_STEM = [(-15, 30), (-15, 120), (15, 120), (15, 30)]


def sample_start(seed: int) -> np.ndarray:
    """Return the start that the published environment draws from `seed`: (5,) agent x, y,
    block x, y [px], angle [rad].
    """
    rng = np.random.RandomState(seed)
    return np.array(
        [
            rng.randint(50, 450),
            rng.randint(50, 450),
            rng.randint(100, 400),
            rng.randint(100, 400),
            rng.randn() * 2 * np.pi - np.pi,
        ]
    )


def state_of(agent: tuple[float, float], block_pose: Pose) -> np.ndarray:
    """Return the state, (5,) float64: agent x, y, block x, y [px], block angle in [0, 2π)."""
    block_x, block_y, angle = block_pose
    return np.array((*agent, block_x, block_y, angle % (2 * math.pi)))


class PushTSim:
    """A simulator of Push-T.

    legacy: whether to set the block's position before its angle, as when the human demonstrations
        were recorded. Setting the angle turns the block about its centre of mass, so the two orders
        place it differently.
    block_cog: (2,) centre of gravity of the block in its own frame; None for that of the T.
    damping: fraction of its velocity that the block keeps each second; None for 0, a block that
        stops at once.
    """

    def __init__(
        self,
        *,
        legacy: bool = False,
        block_cog: Sequence[float] | None = None,
        damping: float | None = None,
    ) -> None:
        self.legacy = legacy
        self.block_cog = block_cog
        self.damping = damping

    def reset(self, state: Sequence[float] | np.ndarray) -> None:
        """Build a new physics space, so that nothing of an earlier episode remains, and place agent
        and block at `state` (5,).
        """
        self.space = pymunk.Space()
        self.space.damping = 0 if self.damping is None else self.damping
        low, high = 5, 506
        # The walls are added in the published order and the bodies at the published places. Both
        # determine which contact is solved first, and so the path after the block jams at a wall.
        for a, b in [
            ((low, high), (low, low)),
            ((low, low), (high, low)),
            ((high, low), (high, high)),
            ((low, high), (high, high)),
        ]:
            self.space.add(pymunk.Segment(self.space.static_body, a, b, 2))
        self.agent = pymunk.Body(body_type=pymunk.Body.KINEMATIC)
        self.agent.position = 256, 400
        self.space.add(self.agent, pymunk.Circle(self.agent, AGENT_RADIUS))
        self.block = self._add_tee()
        if self.block_cog is not None:
            self.block.center_of_gravity = self.block_cog[0], self.block_cog[1]
        self._contacts = 0
        touching: list[Any] = []  # Chipmunk's arbiters, one for each pair of touching shapes
        self._touching = touching
        self._covered: tuple[Pose, float] | None = None

        def begin(arbiter: pymunk.Arbiter, space: pymunk.Space, data: Any) -> None:
            touching.append(arbiter._arbiter)

        def end(arbiter: pymunk.Arbiter, space: pymunk.Space, data: Any) -> None:
            touching.remove(arbiter._arbiter)

        # A list for each space: pairs also end when a space of an earlier episode is deleted.
        self.space.on_collision(0, 0, begin=begin, separate=end)
        self.place(state)

    def _add_tee(self) -> pymunk.Body:
        mass = 1
        # The published environment uses the bar's moment for the stem too; trajectories depend on
        # it.
        body = pymunk.Body(mass, 2 * pymunk.moment_for_poly(mass, _BAR))
        bar, stem = pymunk.Poly(body, _BAR), pymunk.Poly(body, _STEM)
        body.center_of_gravity = (bar.center_of_gravity + stem.center_of_gravity) / 2
        body.position = 256, 300
        self.space.add(body, bar, stem)
        return body

    def place(self, state: Sequence[float] | np.ndarray) -> None:
        """Place agent and block, at rest, at `state` (5,), and take one physics step, which
        resolves overlaps.
        """
        x, y, block_x, block_y, angle = (float(v) for v in state)
        self.agent.position = x, y
        self.agent.velocity = self.block.velocity = 0, 0
        self.block.angular_velocity = 0
        if self.legacy:
            self.block.position = block_x, block_y
            self.block.angle = angle
        else:
            self.block.angle = angle
            self.block.position = block_x, block_y
        self.space.step(PHYSICS_DT)
        self._contacts += sum(map(chipmunk.cpArbiterGetCount, self._touching))

    def step(self, action: Sequence[float] | np.ndarray) -> float:
        """Drive the agent towards `action` (2,) [px] for one control step, and return the coverage
        afterwards, in [0, 1].
        """
        target_x, target_y = float(action[0]), float(action[1])
        if not (math.isfinite(target_x) and math.isfinite(target_y)):
            raise ValueError(
                f"An action of two finite numbers is needed, not ({target_x}, {target_y})."
            )
        (x, y), (vx, vy) = self.agent_motion
        # Chipmunk is called directly because pymunk's properties would take half of the time of a
        # control step. A test shows that both give identical results.
        agent, space, touching = self.agent._body, self.space._space, self._touching
        set_velocity, physics_step = chipmunk.cpBodySetVelocity, chipmunk.cpSpaceStep
        count, contacts = chipmunk.cpArbiterGetCount, 0
        for _ in range(10):
            # The block does not affect a kinematic body, so its path need not be read back between
            # the physics steps.
            vx += (K_P * (target_x - x) - K_V * vx) * PHYSICS_DT
            vy += (K_P * (target_y - y) - K_V * vy) * PHYSICS_DT
            set_velocity(agent, (vx, vy))
            physics_step(space, PHYSICS_DT)
            x += vx * PHYSICS_DT
            y += vy * PHYSICS_DT
            for arbiter in touching:
                contacts += count(arbiter)
        self._contacts = contacts
        return self.coverage()

    @property
    def state(self) -> np.ndarray:
        """The state, (5,) float64: agent x, y, block x, y [px], block angle in [0, 2π)."""
        return state_of(self.agent_motion[0], self.block_pose)

    @property
    def agent_motion(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """The agent's position [px] and velocity [px/s]."""
        body = self.agent._body
        position, velocity = chipmunk.cpBodyGetPosition(body), chipmunk.cpBodyGetVelocity(body)
        return (position.x, position.y), (velocity.x, velocity.y)

    @property
    def block_pose(self) -> Pose:
        """The block's x, y [px] and angle [rad], which is not wrapped."""
        body = self.block._body
        position = chipmunk.cpBodyGetPosition(body)
        return position.x, position.y, chipmunk.cpBodyGetAngle(body)

    @property
    def contacts(self) -> int:
        """The number of contact points per physics step in the last control step, rounded up."""
        return math.ceil(self._contacts / 10)

    def coverage(self) -> float:
        """Return the share of the goal that the block covers, in [0, 1]."""
        pose = self.block_pose
        if self._covered is None or self._covered[0] != pose:  # the block mostly stands still
            self._covered = pose, quick_coverage(*pose)
        return self._covered[1]


def reward(coverage: float) -> float:
    """Return the reward for a share of the goal covered: coverage over 0.95, at most 1."""
    return min(coverage / SUCCESS_COVERAGE, 1.0)
