"""Push-T as an environment: `PushTEnv` for gym and `PushTGymnasiumEnv` for gymnasium, both on the
same simulator.
"""

import random
import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import gym_notices.notices
import gymnasium
import numpy as np

# gym prints a notice to stderr when it is imported, and nbgrader would count that as a failed
# answer. Version 0.25, which Colab has, also makes Python show the DeprecationWarnings of all
# packages from then on.
gym_notices.notices.notices.clear()
with warnings.catch_warnings():
    import gym

from pusht.render import render  # noqa: E402
from pusht.sim import (  # noqa: E402
    GOAL_POSE,
    SUCCESS_COVERAGE,
    WINDOW,
    PushTSim,
    reward,
    sample_start,
)

_LOW = 0.0
_OBS_HIGH = np.array([WINDOW] * 4 + [2 * np.pi])
_ACTION_HIGH = np.array([WINDOW, WINDOW], dtype=np.float64)

Info = dict[str, Any]


class TeleopAgent(NamedTuple):
    """An agent that a person drives.

    act: function from an observation (5,) to an action (2,) [px], or None while it does not move.
    """

    act: Callable[[Any], np.ndarray | None]


class PushTEnv(gym.Env):  # type: ignore[type-arg]  # not generic when it runs
    """Push a T-shaped block onto a fixed goal pose with a round agent.

    ## Observation: `Box(5,)` float64
    | # | what | from | to | unit |
    |---|---|---|---|---|
    | 0 | agent x | 0 | 512 | px, to the right |
    | 1 | agent y | 0 | 512 | px, downwards |
    | 2 | block x (middle of the bar's outer edge) | 0 | 512 | px |
    | 3 | block y | 0 | 512 | px |
    | 4 | block angle | 0 | 2π | rad, clockwise on the screen |

    ## Action: `Box(2,)` float64
    | # | what | from | to | unit |
    |---|---|---|---|---|
    | 0 | target of the agent, x | 0 | 512 | px |
    | 1 | target of the agent, y | 0 | 512 | px |

    A PD controller (gains 100 and 20) drives the agent towards the target for 0.1 s: ten physics
    steps of 0.01 s.

    ## Reward
    Share of the goal that the block covers, over 0.95, clipped to [0, 1]. The goal pose is (256,
    256, π/4).

    ## Start
    `seed(s)`, then `reset()`, draws from `np.random.RandomState(s)`: agent x, y in randint(50,
    450), block x, y in randint(100, 400), angle 2π randn() - π; one physics step follows. The same
    seed gives the same start at every reset.

    ## End
    An episode is terminated when more than 95 % of the goal is covered. It is never truncated: the
    caller decides how long it may last.

    ## Info
    `pos_agent` (2,), `vel_agent` (2,) [px/s], `block_pose` (3,) with the angle not wrapped,
    `goal_pose` (3,), `n_contacts` (contact points per physics step in the last control step,
    rounded up).

    ## Arguments
    | name | what |
    |---|---|
    | legacy | whether to set the block's position before its angle, as in the human recordings |
    | block_cog | (2,) centre of gravity of the block in its own frame; None: the T's own |
    | damping | share of its velocity that the block keeps each second; None: 0 |
    | render_action | whether to draw the last action as a red cross |
    | render_size | side of a frame in pixels |
    | reset_to_state | (5,) start of every episode, instead of a random one |
    """

    metadata = {
        "render_modes": ["rgb_array"],
        "render_fps": 10,
        "render.modes": ["rgb_array"],
        "video.frames_per_second": 10,
    }
    reward_range = (0.0, 1.0)

    def __init__(
        self,
        legacy: bool = False,
        block_cog: Sequence[float] | None = None,
        damping: float | None = None,
        render_action: bool = True,
        render_size: int = 96,
        reset_to_state: Sequence[float] | np.ndarray | None = None,
    ) -> None:
        self.observation_space = gym.spaces.Box(_LOW, _OBS_HIGH, shape=(5,), dtype=np.float64)
        self.action_space = gym.spaces.Box(_LOW, _ACTION_HIGH, shape=(2,), dtype=np.float64)
        self.render_action = render_action
        self.render_size = render_size
        self.reset_to_state = reset_to_state
        self.latest_action: Any = None
        self._sim = PushTSim(legacy=legacy, block_cog=block_cog, damping=damping)
        self._started = False
        self._seed = int(np.random.default_rng().integers(2**31))

    def seed(self, seed: int | None = None) -> None:
        """Seed the starts and, as published, the global generators of `random`, `numpy` and
        `torch`.
        """
        import torch

        self._seed = int(np.random.default_rng().integers(2**31)) if seed is None else int(seed)
        self.action_space.seed(self._seed)
        random.seed(self._seed)
        np.random.seed(self._seed)
        torch.manual_seed(self._seed)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, Info]:
        """Start an episode, and return the observation (5,) and the info.

        `seed` seeds the starts only, and no global generator.
        """
        if seed is not None:
            self._seed = int(seed)
        self.latest_action = None
        self._sim.reset(
            sample_start(self._seed) if self.reset_to_state is None else self.reset_to_state
        )
        self._started = True
        state = self._sim.state
        return state, _info(self._sim, state)

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, Info]:
        """Take one control step towards `action` (2,) [px], or no step when it is None; return
        observation (5,), reward, terminated, truncated and info.
        """
        self._needs_start("step")
        if action is None:
            coverage = self._sim.coverage()
        else:
            self.latest_action = action
            coverage = self._sim.step(action)
        state = self._sim.state
        return state, reward(coverage), coverage > SUCCESS_COVERAGE, False, _info(self._sim, state)

    def set_obs(self, obs: Any) -> None:
        """Place agent and block, at rest, as in the observation (5,), an array or a tensor.

        With `legacy`, the block's position is set before its angle.
        """
        if not self._started:
            self.reset()
        self.latest_action = None
        self._sim.place(obs)

    def render(self, mode: str = "rgb_array") -> np.ndarray:  # type: ignore[override]
        """Return a picture of the state, (render_size, render_size, 3) uint8."""
        self._needs_start("render")
        if mode != "rgb_array":
            raise ValueError(f"PushTEnv draws mode='rgb_array' only, not {mode!r}.")
        return render(
            self._sim.state,
            action=self.latest_action if self.render_action else None,
            size=self.render_size,
        )

    def teleop_agent(
        self, pointer: Callable[[], Sequence[float] | np.ndarray] | None = None
    ) -> TeleopAgent:
        """Return an agent that a person drives: once the pointer has come within 30 px of the
        agent, `act(obs)` returns the pointer's position as an action; before, it returns None.

        pointer: function that returns (x, y) in window pixels; pygame's mouse when None.
        """
        engaged = False

        def act(obs: Any) -> np.ndarray | None:
            nonlocal engaged
            if pointer is None:
                import pygame

                position: Sequence[float] | np.ndarray = pygame.mouse.get_pos()
            else:
                position = pointer()
            at = np.asarray(position, dtype=np.float64)
            engaged = engaged or np.hypot(*(at - np.asarray(obs[:2]))) < 30
            return at if engaged else None

        return TeleopAgent(act)

    def close(self) -> None:
        """Do nothing, since there is no window to close."""

    def _needs_start(self, what: str) -> None:
        if not self._started:
            raise RuntimeError(f"Call reset() before {what}(): the episode has not begun.")


class PushTGymnasiumEnv(gymnasium.Env):
    """The task of `PushTEnv` (see there) for gymnasium, registered as "pusht/PushT-v0" with at most
    500 steps per episode.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}

    def __init__(
        self, render_mode: str | None = None, render_size: int = 96, legacy: bool = False
    ) -> None:
        self.observation_space = gymnasium.spaces.Box(_LOW, _OBS_HIGH, shape=(5,), dtype=np.float64)
        self.action_space = gymnasium.spaces.Box(_LOW, _ACTION_HIGH, shape=(2,), dtype=np.float64)
        self.render_mode = render_mode
        self.render_size = render_size
        self._latest_action: Any = None
        self._sim = PushTSim(legacy=legacy)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, Info]:
        """Start an episode, and return the observation (5,) and the info."""
        super().reset(seed=seed)
        self._latest_action = None
        self._sim.reset(sample_start(int(self.np_random.integers(2**31)) if seed is None else seed))
        state = self._sim.state
        return state, _info(self._sim, state)

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, Info]:
        """Take one control step towards `action` (2,) [px]; return observation (5,), reward,
        terminated, truncated and info.
        """
        self._latest_action = action
        coverage = self._sim.step(action)
        state = self._sim.state
        return state, reward(coverage), coverage > SUCCESS_COVERAGE, False, _info(self._sim, state)

    def render(self) -> Any:
        """Return a picture of the state, (render_size, render_size, 3) uint8, if the render mode is
        "rgb_array", else None.
        """
        if self.render_mode != "rgb_array":
            return None
        return render(self._sim.state, action=self._latest_action, size=self.render_size)


gymnasium.register(
    id="pusht/PushT-v0",
    entry_point=PushTGymnasiumEnv,  # type: ignore[arg-type]
    max_episode_steps=500,
)


def _info(sim: PushTSim, state: np.ndarray) -> Info:
    block_pose = state[2:].copy()
    block_pose[2] = sim.block.angle
    return {
        "pos_agent": state[:2].copy(),
        "vel_agent": np.array(sim.agent.velocity),
        "block_pose": block_pose,
        "goal_pose": GOAL_POSE.copy(),
        "n_contacts": sim.contacts,
    }
