"""Push-T as an environment for gym; `pusht.env_gymnasium` has the one for gymnasium."""

import random
import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple
from unittest import mock

import gym_notices.notices
import numpy as np

# gym prints a notice to stderr when it is imported, and nbgrader would count that as a failed
# answer. Version 0.25, which Colab has, also makes Python show the DeprecationWarnings of all
# packages from then on. To undo that afterwards is too late: a kernel's other threads warn too.
gym_notices.notices.notices.clear()
with mock.patch.object(warnings, "simplefilter"):
    import gym

from pusht import registration as registration  # noqa: E402
from pusht.env_parts import (  # noqa: E402
    ACTION_HIGH,
    LOW,
    OBS_HIGH,
    Info,
    Screen,
    asked_start,
    observed,
)
from pusht.render import render  # noqa: E402
from pusht.sim import (  # noqa: E402
    SUCCESS_COVERAGE,
    WINDOW,
    PushTSim,
    reward,
    sample_start,
)
from pusht.tee import GOAL_POSE  # noqa: E402


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
    rounded up), `coverage` (share of the goal that the block covers), `is_success` (whether that is
    more than 0.95).

    ## Arguments
    | name | what |
    |---|---|
    | legacy | whether to set the block's position before its angle, as in the human recordings |
    | block_cog | (2,) centre of gravity of the block in its own frame; None: the T's own |
    | damping | share of its velocity that the block keeps each second; None: 0 |
    | render_action | whether to draw the last action as a red cross |
    | render_size | side of a frame in pixels |
    | reset_to_state | (5,) start of every episode, instead of a random one |

    ## Attributes
    `agent`, `block` and `space` are pymunk's bodies and space, of the present episode. What is
    changed in them is not checked.
    """

    metadata = {
        "render_modes": ["rgb_array", "human"],
        "render_fps": 10,
        "render.modes": ["rgb_array", "human"],
        "video.frames_per_second": 10,
    }
    reward_range = (0.0, 1.0)
    window_size = WINDOW
    success_threshold = SUCCESS_COVERAGE
    goal_pose = GOAL_POSE

    def __init__(
        self,
        legacy: bool = False,
        block_cog: Sequence[float] | None = None,
        damping: float | None = None,
        render_action: bool = True,
        render_size: int = 96,
        reset_to_state: Sequence[float] | np.ndarray | None = None,
    ) -> None:
        self.observation_space = gym.spaces.Box(LOW, OBS_HIGH, shape=(5,), dtype=np.float64)
        self.action_space = gym.spaces.Box(LOW, ACTION_HIGH, shape=(2,), dtype=np.float64)
        self.render_action = render_action
        self.render_size = render_size
        self.reset_to_state = reset_to_state
        self.latest_action: Any = None
        self._sim = PushTSim(legacy=legacy, block_cog=block_cog, damping=damping)
        self._started = False
        self._screen = Screen()
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

        `seed` seeds the starts only, and no global generator. options: {"reset_to_state": (5,)} is
        the start of this episode; ValueError for any other option.
        """
        if seed is not None:
            self._seed = int(seed)
        start = asked_start(options, self.reset_to_state)
        self.latest_action = None
        self._sim.reset(sample_start(self._seed) if start is None else start)
        self._started = True
        return self._sim.state, self._get_info()

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
        terminated = coverage > SUCCESS_COVERAGE
        state, info = observed(self._sim, coverage)
        return state, reward(coverage), terminated, False, info

    def set_obs(self, obs: Any) -> None:
        """Place agent and block, at rest, as in the observation (5,), an array or a tensor.

        With `legacy`, the block's position is set before its angle.
        """
        if not self._started:
            self.reset()
        self.latest_action = None
        self._sim.place(obs)

    def render(self, mode: str = "rgb_array") -> Any:
        """Return a picture of the state, (render_size, render_size, 3) uint8. With mode "human",
        show it in the notebook instead; RuntimeError outside a notebook.
        """
        self._needs_start("render")
        if mode not in self.metadata["render_modes"]:
            raise ValueError(
                f"PushTEnv draws mode='rgb_array' and, in a notebook, 'human', not {mode!r}."
            )
        frame = render(
            self._sim.state,
            action=self.latest_action if self.render_action else None,
            size=self.render_size,
        )
        if mode == "rgb_array":
            return frame
        self._screen.show(frame)
        return None

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

    @property
    def agent(self) -> Any:
        """The round agent, a `pymunk.Body`."""
        return self._of_episode("agent")

    @property
    def block(self) -> Any:
        """The T, a `pymunk.Body`."""
        return self._of_episode("block")

    @property
    def space(self) -> Any:
        """The `pymunk.Space` of the episode."""
        return self._of_episode("space")

    # The published environment's own names, which notebooks call.

    def _get_obs(self) -> np.ndarray:
        self._needs_start("_get_obs")
        return self._sim.state

    def _get_info(self) -> Info:
        self._needs_start("_get_info")
        return observed(self._sim, self._sim.coverage())[1]

    def _set_state(self, state: Any) -> None:
        self.set_obs(state)

    def _of_episode(self, name: str) -> Any:
        if not self._started:
            raise RuntimeError(f"Call reset() first: there is no {name} before an episode.")
        return getattr(self._sim, name)

    def _needs_start(self, what: str) -> None:
        if not self._started:
            raise RuntimeError(f"Call reset() before {what}(): the episode has not begun.")
