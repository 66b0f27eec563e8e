"""Push-T as an environment for gymnasium."""

from typing import Any

import gymnasium
import numpy as np

from pusht import registration as registration
from pusht.env_parts import (
    ACTION_HIGH,
    LOW,
    OBS_HIGH,
    Info,
    asked_start,
    observed,
    side,
)
from pusht.render import render
from pusht.sim import SUCCESS_COVERAGE, WINDOW, PushTSim, reward, sample_start
from pusht.tee import TEE_REACH, keypoints

_KEYPOINTS = "environment_state_agent_pos"
OBS_TYPES = ("state", _KEYPOINTS, "keypoints", "pixels", "pixels_agent_pos")


class PushTGymnasiumEnv(gymnasium.Env):
    """The task of `pusht.PushTEnv` (see there) for gymnasium, registered as "pusht/PushT-v0" with
    at most 500 steps per episode.

    ## Arguments
    | name | what |
    |---|---|
    | obs_type | what an observation is, see below |
    | render_mode | "rgb_array" or None |
    | render_size | side of a rendered picture in pixels |
    | legacy | whether to set the block's position before its angle, as gym-pusht does |
    | block_cog, damping | see `pusht.PushTEnv` |
    | observation_width, observation_height | size of an observation's pixels, a square |
    | visualization_width, visualization_height | instead of render_size, a square |

    ## Observation
    As in gym-pusht, by `obs_type`:

    - "state": `Box(5,)`, the state of `pusht.PushTEnv`
    - "environment_state_agent_pos", or "keypoints": a dict of "environment_state" `Box(16,)`, x and
      y of the T's eight corners, bar first, and "agent_pos" `Box(2,)`
    - "pixels": `Box(96, 96, 3)` uint8
    - "pixels_agent_pos": a dict of "pixels" and "agent_pos"

    ## Start
    `reset(seed=…)` draws the start that `pusht.PushTEnv` draws from the seed, not gym-pusht's.
    `reset(options={"reset_to_state": (5,)})` starts there; with `legacy`, setting the angle moves
    the block, as in gym-pusht.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}

    def __init__(
        self,
        render_mode: str | None = None,
        render_size: int = 96,
        legacy: bool = False,
        *,
        obs_type: str = "state",
        block_cog: tuple[float, float] | None = None,
        damping: float | None = None,
        observation_width: int = 96,
        observation_height: int = 96,
        visualization_width: int | None = None,
        visualization_height: int | None = None,
    ) -> None:
        _check("obs_type", obs_type, OBS_TYPES)
        _check("render_mode", render_mode, (None, *self.metadata["render_modes"]))
        asked = [one for one in (visualization_width, visualization_height) if one is not None]
        if asked:
            render_size = side("visualization", asked[0], asked[-1])
        self.obs_type = _KEYPOINTS if obs_type == "keypoints" else obs_type
        self.render_mode, self.render_size = render_mode, render_size
        self._pixels = side("observation", observation_width, observation_height)
        self.observation_space = self._observation_space()
        self.action_space = gymnasium.spaces.Box(LOW, ACTION_HIGH, shape=(2,), dtype=np.float64)
        self._latest_action: Any = None
        self._started = False
        self._sim = PushTSim(legacy=legacy, block_cog=block_cog, damping=damping)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, Info]:
        """Start an episode, and return the observation and the info.

        options: {"reset_to_state": (5,)} is the start; ValueError for any other option.
        """
        super().reset(seed=seed)
        start = asked_start(options)
        if start is None:
            start = sample_start(int(self.np_random.integers(2**31)) if seed is None else seed)
        self._latest_action = None
        self._sim.reset(start)
        self._started = True
        state, info = observed(self._sim, self._sim.coverage())
        return self._observation(state), info

    def step(self, action: Any) -> tuple[Any, float, bool, bool, Info]:
        """Take one control step towards `action` (2,) [px]; return observation, reward, terminated,
        truncated and info.
        """
        self._needs_start("step")
        self._latest_action = action
        coverage = self._sim.step(action)
        terminated, (state, info) = coverage > SUCCESS_COVERAGE, observed(self._sim, coverage)
        return self._observation(state), reward(coverage), terminated, False, info

    def render(self) -> Any:
        """Return a picture of the state, (render_size, render_size, 3) uint8, if the render mode is
        "rgb_array", else None.
        """
        self._needs_start("render")
        if self.render_mode != "rgb_array":
            return None
        return render(self._sim.state, action=self._latest_action, size=self.render_size)

    def _observation(self, state: np.ndarray) -> Any:
        if self.obs_type == "state":
            return state
        if self.obs_type == _KEYPOINTS:
            return {"environment_state": keypoints(state[2:]).ravel(), "agent_pos": state[:2]}
        pixels = render(state, size=self._pixels)
        return pixels if self.obs_type == "pixels" else {"pixels": pixels, "agent_pos": state[:2]}

    def _observation_space(self) -> gymnasium.Space[Any]:
        box = gymnasium.spaces.Box
        agent = box(LOW, float(WINDOW), shape=(2,), dtype=np.float64)
        # Corners may stick out of the window where an episode starts at a wall.
        corners = box(-TEE_REACH, WINDOW + TEE_REACH, shape=(16,), dtype=np.float64)
        pixels = box(0, 255, shape=(self._pixels, self._pixels, 3), dtype=np.uint8)
        return {
            "state": box(LOW, OBS_HIGH, shape=(5,), dtype=np.float64),
            _KEYPOINTS: gymnasium.spaces.Dict({"environment_state": corners, "agent_pos": agent}),
            "pixels": pixels,
            "pixels_agent_pos": gymnasium.spaces.Dict({"pixels": pixels, "agent_pos": agent}),
        }[self.obs_type]

    def _needs_start(self, what: str) -> None:
        if not self._started:
            raise RuntimeError(f"Call reset() before {what}(): the episode has not begun.")


def _check(name: str, value: Any, known: tuple[Any, ...]) -> None:
    if value not in known:
        choices = ", ".join(map(repr, known))
        raise ValueError(f"There is no {name} {value!r}: choose one of {choices}.")
