"""Draw RGB frames of recorded Push-T states, with pygame but without a window or a display.

Each shape is a small SVG drawing for pygame's image loader. The loader draws it anti-aliased, at
the size of the frame and with vertices at fractions of a pixel, which pygame.draw and gfxdraw would
round. So even slow movement is visible, at 96 px as well as at 512 px.
"""

import functools
import io
import math
import os
import warnings
from collections.abc import Sequence

import numpy as np

from pusht.sim import AGENT_RADIUS, WINDOW
from pusht.tee import GOAL_POSE, TEE

os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
with warnings.catch_warnings():
    # With some versions of setuptools, pygame's import shows a deprecation warning that no student
    # can do anything about.
    warnings.simplefilter("ignore")
    import pygame

# The colours of the published environment. Their CSS names are LightGray, LightGreen,
# LightSlateGray, RoyalBlue and Red.
WALL, GOAL, BLOCK, AGENT, TARGET = "#d3d3d3", "#90ee90", "#778899", "#4169e1", "#ff0000"


# Numbers of one state (5,), action (2,) or pose (3,).
Numbers = Sequence[float] | np.ndarray


def render(
    state: Numbers, *, action: Numbers | None = None, size: int = 96, goal: Numbers = GOAL_POSE
) -> np.ndarray:
    """Return a picture of one state, (size, size, 3) uint8 RGB.

    state: (5,) agent x, y, block x, y [window px, y down], block angle [rad].
    action: (2,) the agent's target [window px], drawn as a red cross; None or NaN for no cross.
    size: side of the picture in pixels; the window of 512 px is scaled to it.
    goal: (3,) x, y [window px] and angle [rad] of the goal.

    Raises ValueError when `state` is not five finite numbers.
    """
    frame = np.empty((size, size, 3), np.uint8)
    _paint(frame, state, action, goal)
    return frame


def render_many(
    states: np.ndarray,
    *,
    actions: np.ndarray | None = None,
    size: int = 96,
    goal: Numbers = GOAL_POSE,
) -> np.ndarray:
    """Return the frames of a recorded episode, (N, size, size, 3) uint8 RGB; see `render`.

    states: (N, 5). actions: (N, 2), with rows of NaN for frames without a cross, or None.

    Raises ValueError when the numbers of actions and states differ.
    """
    crosses: Sequence[Numbers | None] | np.ndarray
    crosses = [None] * len(states) if actions is None else actions
    if len(crosses) != len(states):
        raise ValueError(f"{len(states)} states need as many actions, not {len(crosses)}.")
    frames = np.empty((len(states), size, size, 3), np.uint8)
    for frame, state, action in zip(frames, states, crosses, strict=True):
        _paint(frame, state, action, goal)
    return frames


def grid(videos: Sequence[np.ndarray], *, columns: int | None = None, gap: int = 4) -> np.ndarray:
    """Return one video with several videos in a grid, row by row, (T, H, W, 3) uint8. Shorter ones
    repeat their last frame.

    videos: list of (T_i, h, w, 3) uint8, T_i >= 1, all of the same h and w. columns: number of
    columns; None makes the grid nearly square. gap: white pixels between neighbours.

    Raises ValueError if there is no video, if one is empty, or if the frames differ in size.
    """
    videos = [np.asarray(video, np.uint8) for video in videos]
    if not videos or any(len(video) == 0 for video in videos):
        raise ValueError("A grid needs at least one video, and each at least one frame.")
    sizes = {video.shape[1:] for video in videos}
    if len(sizes) > 1:
        raise ValueError(f"The videos of a grid have frames of one size, not of {sorted(sizes)}.")
    [(h, w, channels)] = sizes
    columns = columns or math.ceil(math.sqrt(len(videos)))
    rows, duration = math.ceil(len(videos) / columns), max(map(len, videos))
    out = np.full(
        (duration, rows * (h + gap) - gap, columns * (w + gap) - gap, channels), 255, np.uint8
    )
    for i, video in enumerate(videos):
        y, x = i // columns * (h + gap), i % columns * (w + gap)
        out[: len(video), y : y + h, x : x + w] = video
        out[len(video) :, y : y + h, x : x + w] = video[-1]
    return out


def _paint(frame: np.ndarray, state: Numbers, action: Numbers | None, goal: Numbers) -> None:
    """Draw a state into `frame` (size, size, 3), contiguous uint8; pygame uses the array's own
    memory.
    """
    size = len(frame)
    numbers = list(map(float, state))
    if len(numbers) != 5 or not all(map(math.isfinite, numbers)):
        raise ValueError(
            f"A state is five finite numbers (agent x, y, block x, y, block angle), not {numbers}."
        )
    agent_x, agent_y, *block = numbers
    frame[...] = _table(size, tuple(map(float, goal)))
    canvas = pygame.image.frombuffer(frame, (size, size), "RGB")  # type: ignore[arg-type]
    _draw(canvas, *_tee(block, BLOCK))
    _draw(
        canvas,
        f'<circle cx="{agent_x:.3f}" cy="{agent_y:.3f}" r="{AGENT_RADIUS}" fill="{AGENT}"/>',
        (agent_x - AGENT_RADIUS, agent_x + AGENT_RADIUS),
        (agent_y - AGENT_RADIUS, agent_y + AGENT_RADIUS),
    )
    if action is not None:
        x, y = map(float, action)
        if math.isfinite(x + y):
            # The published marker is 8/96 of the frame wide and 1/96 thick.
            arm, half = WINDOW * 4 / 96, WINDOW * 0.5 / 96
            _draw(
                canvas,
                f'<path d="M{x - arm:.3f} {y:.3f}h{2 * arm}M{x:.3f} {y - arm:.3f}v{2 * arm}"'
                f' stroke="{TARGET}" stroke-width="{2 * half}"/>',
                (x - arm, x + arm),
                (y - arm, y + arm),
            )


@functools.lru_cache(maxsize=32)
def _table(size: int, goal: tuple[float, ...]) -> np.ndarray:
    """Return the background (size, size, 3) uint8: white ground, walls, goal.

    The array is read-only because calls share it.
    """
    frame = np.full((size, size, 3), 255, np.uint8)
    canvas = pygame.image.frombuffer(frame, (size, size), "RGB")  # type: ignore[arg-type]
    _draw(canvas, *_tee(goal, GOAL))
    _draw(
        canvas,
        f'<rect x="5" y="5" width="501" height="501" fill="none" stroke="{WALL}" stroke-width="4" '
        'stroke-linejoin="round"/>',
        (0, WINDOW),
        (0, WINDOW),
    )
    frame.flags.writeable = False
    return frame


def _tee(pose: Numbers, colour: str) -> tuple[str, list[float], list[float]]:
    """Return the SVG shape of the T at `pose`, and the x and y of its corners."""
    x, y, angle = pose
    c, s = math.cos(angle), math.sin(angle)
    xs = [x + c * u - s * v for u, v in _CORNERS]
    ys = [y + s * u + c * v for u, v in _CORNERS]
    points = " ".join([f"{x:.3f},{y:.3f}" for x, y in zip(xs, ys, strict=True)])
    return f'<polygon points="{points}" fill="{colour}"/>', xs, ys


_CORNERS = TEE.tolist()  # plain floats: numpy is slower on eight corners


def _draw(canvas: pygame.Surface, shape: str, xs: Sequence[float], ys: Sequence[float]) -> None:
    """Draw an SVG shape on the canvas; the ranges of `xs` and `ys` [window px] must contain it."""
    unit = WINDOW / canvas.get_width()
    left, top = math.floor(min(xs) / unit), math.floor(min(ys) / unit)
    width, height = math.ceil(max(xs) / unit) - left, math.ceil(max(ys) / unit) - top
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="{left * unit} {top * unit} {width * unit} {height * unit}">{shape}</svg>'
    )
    canvas.blit(pygame.image.load(io.BytesIO(svg.encode()), ".svg"), (left, top))
