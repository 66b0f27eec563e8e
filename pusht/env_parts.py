"""What the environments for gym and gymnasium share."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pusht.progress import in_notebook
from pusht.sim import SUCCESS_COVERAGE, WINDOW, PushTSim, state_of
from pusht.tee import GOAL_POSE

LOW = 0.0
OBS_HIGH = np.array([WINDOW] * 4 + [2 * np.pi])
ACTION_HIGH = np.array([WINDOW, WINDOW], dtype=np.float64)
_START = "reset_to_state"

Info = dict[str, Any]
Numbers = Sequence[float] | np.ndarray


def observed(sim: PushTSim, coverage: float) -> tuple[np.ndarray, Info]:
    """Return the state (5,) and an environment's info. coverage: what `sim.coverage()` gave.

    Each body is read once here, because a reading takes as long as two physics steps.
    """
    agent, velocity = sim.agent_motion
    block_pose = sim.block_pose
    return state_of(agent, block_pose), {
        "pos_agent": np.array(agent),
        "vel_agent": np.array(velocity),
        "block_pose": np.array(block_pose),
        "goal_pose": GOAL_POSE.copy(),
        "n_contacts": sim.contacts,
        "coverage": coverage,
        "is_success": coverage > SUCCESS_COVERAGE,
    }


def asked_start(options: Mapping[str, Any] | None, default: Numbers | None = None) -> Any:
    """Return the start (5,) in the options of a reset, or else `default`; ValueError for an option
    that there is not, and for anything but five finite numbers.
    """
    if unknown := [name for name in options or () if name != _START]:
        raise ValueError(f"reset takes the option {_START!r} only, not {unknown[0]!r}.")
    start = (options or {}).get(_START)
    start = default if start is None else start
    if start is None:
        return None
    try:
        numbers = np.asarray(start, dtype=np.float64)
    except (TypeError, ValueError):
        numbers = np.array(np.nan)
    if numbers.shape != (5,) or not np.isfinite(numbers).all():
        raise ValueError(
            f"{_START} is five finite numbers (agent x, y, block x, y [px], block angle [rad]),"
            f" not {start!r}."
        )
    return numbers


def side(name: str, width: int, height: int) -> int:
    """Return the side of a picture in pixels; ValueError where it would not be a square."""
    if width != height or width < 1:
        raise ValueError(
            f"A picture of Push-T is square: {name}_width and {name}_height need the same number"
            f" of pixels, not {width} and {height}."
        )
    return int(width)


class Screen:
    """A place in a notebook's output that shows one picture after another."""

    def __init__(self) -> None:
        self._shown: Any = None

    def show(self, frame: np.ndarray) -> None:
        """Show a frame (H, W, 3) in place of the last one of the same cell; RuntimeError outside a
        notebook.
        """
        if not in_notebook():
            raise RuntimeError(
                "Push-T has no window: 'human' shows pictures in a notebook. Elsewhere render with"
                " 'rgb_array', and show the array."
            )
        from IPython import get_ipython
        from IPython.display import display
        from PIL import Image

        picture, cell = Image.fromarray(frame), get_ipython().execution_count
        if self._shown and self._shown[0] == cell:
            self._shown[1].update(picture)
        else:
            self._shown = cell, display(picture, display_id=True)
