"""The T: its outline and corners, and the share of the goal that it covers."""

import math
from collections.abc import Sequence

import numpy as np
import shapely

Pose = tuple[float, float, float]
"""Position x, y [px] and angle [rad]."""

GOAL_POSE = np.array([256.0, 256.0, np.pi / 4])
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
TEE_REACH = float(np.hypot(15, 120))  # px from the block's position to its farthest corner


def keypoints(block_pose: Sequence[float] | np.ndarray) -> np.ndarray:
    """Return the corners (8, 2) [px] of the T's bar and stem at `block_pose` (3,): x, y [px], angle
    [rad].
    """
    x, y, angle = block_pose
    c, s = math.cos(angle), math.sin(angle)
    return _KEYPOINTS @ np.array([[c, s], [-s, c]]) + (x, y)


def coverage(block_pose: Sequence[float] | np.ndarray) -> float:
    """Return the share of the goal T's area that a block at `block_pose` (3,) = x, y [px], angle
    [rad] covers, computed by shapely.

    This is the definition; `quick_coverage` gives the same number 12 times faster or more.
    """
    return shapely.intersection(_tee(block_pose), _tee(GOAL_POSE)).area / _tee(GOAL_POSE).area


def _tee(pose: Sequence[float] | np.ndarray) -> shapely.Polygon:
    x, y, angle = pose
    c, s = math.cos(angle), math.sin(angle)
    return shapely.Polygon(TEE @ np.array([[c, s], [-s, c]]) + (x, y))


def quick_coverage(x: float, y: float, angle: float) -> float:
    """Return `coverage((x, y, angle))`.

    The areas shared with the goal's two rectangles are added, in the goal's frame.
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
    shared = sum(_shared_area(xs, ys, *sides) for sides in _RECTANGLES)
    return shared / _AREA if shared > _ROUNDING else 0.0


_GOAL = tuple(GOAL_POSE.tolist())
_COS_GOAL, _SIN_GOAL = math.cos(_GOAL[2]), math.sin(_GOAL[2])
_OUTLINE = [tuple(vertex) for vertex in TEE.tolist()]
_RECTANGLES = [(-60.0, 60.0, 0.0, 30.0), (-15.0, 15.0, 30.0, 120.0)]
_AREA = 120.0 * 30 + 30 * 90
_ROUNDING = 1e-9  # px²: some 1e-12 remain where nothing is shared
# The circle through the bar's outer and the stem's lower corners has its centre at (0, _CENTRE).
_CENTRE = 11025 / 240
_RADIUS = math.hypot(60, _CENTRE)


def _shared_area(
    xs: list[float], ys: list[float], left: float, right: float, low: float, high: float
) -> float:
    """Return the area of a polygon within a rectangle.

    By Green's theorem it is the integral of h dx along the outline, where h is the height above the
    rectangle's lower side, limited to between 0 and the rectangle's height. An edge contributes its
    signed width within the rectangle times its mean h.
    """
    area, height = 0.0, high - low
    within = [left if x < left else right if x > right else x for x in xs]  # noqa: FURB136, slower
    x0, y0, start = xs[-1], ys[-1], within[-1]
    for x1, y1, end in zip(xs, ys, within, strict=True):
        if start != end:
            slope = (y1 - y0) / (x1 - x0)
            p, q = y0 + (start - x0) * slope - low, y0 + (end - x0) * slope - low
            if p > q:  # the mean is the same whether the edge falls or rises
                p, q = q, p
            if q <= 0:
                mean = 0.0
            elif p >= height:
                mean = height
            elif p >= 0:  # what goes beyond the upper side is cut off
                mean = (p + q) / 2 if q <= height else height - (height - p) ** 2 / (2 * (q - p))
            elif q <= height:
                mean = q * q / (2 * (q - p))
            else:
                mean = height * (q - height / 2) / (q - p)
            area += (end - start) * mean
        x0, y0, start = x1, y1, end
    return abs(area)
