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
import shapely
from pymunk._chipmunk_cffi import lib as chipmunk

WINDOW = 512
GOAL_POSE = np.array([256.0, 256.0, np.pi / 4])
AGENT_RADIUS = 15
SUCCESS_COVERAGE = 0.95
PHYSICS_DT = 0.01  # s; ten of these make a control step
K_P, K_V = 100.0, 20.0  # PD gains of the agent, 1/s² and 1/s

_SCALE = 30  # px per unit; the T is four units wide and four units long
_BAR = [(-60, 30), (60, 30), (60, 0), (-60, 0)]
_STEM = [(-15, 30), (-15, 120), (15, 120), (15, 30)]
# Outline of the T in the block's frame, whose origin is the middle of the bar's outer edge.
TEE = np.array(
    [(-60, 0), (60, 0), (60, 30), (15, 30), (15, 120), (-15, 120), (-15, 30), (-60, 30)],
    dtype=np.float64,
)


# The corners of the bar and of the stem, in the order of gym-pusht's keypoints.
_KEYPOINTS = np.array(
    [(-60, 0), (60, 0), (60, 30), (-60, 30), (-15, 30), (15, 30), (15, 120), (-15, 120)],
    dtype=np.float64,
)
Pose = tuple[float, float, float]
"""Position x, y [px] and angle [rad]."""
TEE_REACH = float(np.hypot(15, 120))  # px from the block's position to its farthest corner


def keypoints(block_pose: Sequence[float] | np.ndarray) -> np.ndarray:
    """Return the corners (8, 2) [px] of the T's bar and stem at `block_pose` (3,): x, y [px], angle
    [rad].
    """
    x, y, angle = block_pose
    c, s = math.cos(angle), math.sin(angle)
    return _KEYPOINTS @ np.array([[c, s], [-s, c]]) + (x, y)


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
        self._touching: list[Any] = []  # Chipmunk's arbiters, one for each pair of touching shapes
        self._covered: tuple[Pose, float] | None = None
        self.space.on_collision(0, 0, begin=self._begin_contact, separate=self._end_contact)
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

    def _begin_contact(self, arbiter: pymunk.Arbiter, space: pymunk.Space, data: Any) -> None:
        self._touching.append(arbiter._arbiter)

    def _end_contact(self, arbiter: pymunk.Arbiter, space: pymunk.Space, data: Any) -> None:
        self._touching.remove(arbiter._arbiter)

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
        self._contacts += self._count_contacts()

    def _count_contacts(self) -> int:
        return sum(map(chipmunk.cpArbiterGetCount, self._touching))

    def step(self, action: Sequence[float] | np.ndarray) -> float:
        """Drive the agent towards `action` (2,) [px] for one control step, and return the coverage
        afterwards, in [0, 1].
        """
        target_x, target_y = float(action[0]), float(action[1])
        if not (math.isfinite(target_x) and math.isfinite(target_y)):
            raise ValueError(
                f"An action of two finite numbers is needed, not ({target_x}, {target_y})."
            )
        x, y = self.agent.position
        vx, vy = self.agent.velocity
        # Chipmunk is called directly because pymunk's properties would take half of the time of a
        # control step. A test shows that both give identical results.
        agent, space, touching = self.agent._body, self.space._space, self._touching
        self._contacts = 0
        for _ in range(10):
            # The block does not affect a kinematic body, so its path need not be read back between
            # the physics steps.
            vx += (K_P * (target_x - x) - K_V * vx) * PHYSICS_DT
            vy += (K_P * (target_y - y) - K_V * vy) * PHYSICS_DT
            chipmunk.cpBodySetVelocity(agent, (vx, vy))
            chipmunk.cpSpaceStep(space, PHYSICS_DT)
            x += vx * PHYSICS_DT
            y += vy * PHYSICS_DT
            if touching:
                self._contacts += self._count_contacts()
        return self.coverage()

    @property
    def state(self) -> np.ndarray:
        """The state, (5,) float64: agent x, y, block x, y [px], block angle in [0, 2π)."""
        x, y, angle = self.block_pose
        agent = chipmunk.cpBodyGetPosition(self.agent._body)
        return np.array((agent.x, agent.y, x, y, angle % (2 * math.pi)))

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
            self._covered = pose, clipped_coverage(*pose)
        return self._covered[1]


def reward(coverage: float) -> float:
    """Return the reward for a share of the goal covered: coverage over 0.95, at most 1."""
    return min(coverage / SUCCESS_COVERAGE, 1.0)


def coverage(block_pose: Sequence[float] | np.ndarray) -> float:
    """Return the share of the goal T's area that a block at `block_pose` (3,) = x, y [px], angle
    [rad] covers, computed by shapely.

    This is the definition; `clipped_coverage` gives the same number 5 to 10 times faster.
    """
    return shapely.intersection(_tee(block_pose), _tee(GOAL_POSE)).area / _tee(GOAL_POSE).area


def _tee(pose: Sequence[float] | np.ndarray) -> shapely.Polygon:
    x, y, angle = pose
    c, s = math.cos(angle), math.sin(angle)
    return shapely.Polygon(TEE @ np.array([[c, s], [-s, c]]) + (x, y))


def clipped_coverage(x: float, y: float, angle: float) -> float:
    """Return `coverage((x, y, angle))`.

    The block's outline is clipped against the goal's two rectangles, in the goal's frame.
    """
    goal_x, goal_y, goal_angle = _GOAL
    c, s = _COS_GOAL, _SIN_GOAL
    dx, dy = x - goal_x, y - goal_y
    dx, dy = c * dx + s * dy, c * dy - s * dx
    c, s = math.cos(angle - goal_angle), math.sin(angle - goal_angle)
    # Each T lies within a circle about a point on its stem. If the circles do not overlap, neither
    # do the Ts.
    if (dx - s * _CENTRE) ** 2 + (dy + c * _CENTRE - _CENTRE) ** 2 >= 4 * _RADIUS**2:
        return 0.0
    xs = [c * u - s * v + dx for u, v in _OUTLINE]
    ys = [s * u + c * v + dy for u, v in _OUTLINE]
    area = 0.0
    for x_low, x_high, y_low, y_high in _RECTANGLES:
        px, py = _clip(xs, ys, x_low, x_high)
        if px:
            py, px = _clip(py, px, y_low, y_high)
            area += _area(px, py)
    return area / _AREA


_GOAL = tuple(GOAL_POSE.tolist())
_COS_GOAL, _SIN_GOAL = math.cos(_GOAL[2]), math.sin(_GOAL[2])
_OUTLINE = [tuple(vertex) for vertex in TEE.tolist()]
_RECTANGLES = [(-60.0, 60.0, 0.0, 30.0), (-15.0, 15.0, 30.0, 120.0)]
_AREA = 120.0 * 30 + 30 * 90
# The circle through the bar's outer and the stem's lower corners has its centre at (0, _CENTRE).
_CENTRE = 11025 / 240
_RADIUS = math.hypot(60, _CENTRE)


def _clip(
    us: list[float], vs: list[float], low: float, high: float
) -> tuple[list[float], list[float]]:
    """Clip the polygon (us, vs) to low <= u <= high (Sutherland and Hodgman, 1974)."""
    if min(us) < low:
        us, vs = _clip_below(us, vs, low)
    if us and max(us) > high:
        us, vs = _clip_below([-u for u in us], vs, -high)
        us = [-u for u in us]
    return us, vs


def _clip_below(us: list[float], vs: list[float], low: float) -> tuple[list[float], list[float]]:
    if max(us) <= low:
        return [], []
    out_u: list[float] = []
    out_v: list[float] = []
    u0, v0 = us[-1], vs[-1]
    for u, v in zip(us, vs, strict=True):
        if (u >= low) != (u0 >= low):
            out_u.append(low)
            out_v.append(v0 + (v - v0) * ((low - u0) / (u - u0)))
        if u >= low:
            out_u.append(u)
            out_v.append(v)
        u0, v0 = u, v
    return out_u, out_v


def _area(us: list[float], vs: list[float]) -> float:
    if not us:
        return 0.0
    twice, u0, v0 = 0.0, us[-1], vs[-1]
    for u, v in zip(us, vs, strict=True):
        twice += u0 * v - u * v0
        u0, v0 = u, v
    return abs(twice) / 2
