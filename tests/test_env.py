"""The environment keeps the published gym contract."""

import os
import random
import subprocess
import sys
from pathlib import Path

import gym
import numpy as np
import pytest
import torch

from pusht import PushTEnv, PushTGymnasiumEnv
from pusht.tee import GOAL_POSE, coverage

AWAY = (30.0, 30.0)  # an agent here touches no block near the goal


@pytest.fixture
def env() -> PushTEnv:
    env = PushTEnv()
    env.seed(1)
    env.reset()
    return env


def near_goal(shift: float) -> np.ndarray:
    """A state whose block is `shift` px from the goal along the T's bar: it covers 1 - 120 shift /
    6300 of the goal.
    """
    x, y, angle = GOAL_POSE
    return np.array([*AWAY, x + shift * np.cos(angle), y + shift * np.sin(angle), angle])


def assert_is_info(info: dict) -> None:
    shapes = {name: np.shape(value) for name, value in info.items()}
    assert shapes == {
        "pos_agent": (2,),
        "vel_agent": (2,),
        "block_pose": (3,),
        "goal_pose": (3,),
        "n_contacts": (),
        "coverage": (),
        "is_success": (),
    }
    assert type(info["is_success"]) is bool and 0 <= info["coverage"] <= 1
    assert isinstance(info["n_contacts"], int) and info["goal_pose"].tolist() == GOAL_POSE.tolist()


# The interface.


def test_spaces_are_the_published_ones(env):
    assert isinstance(env, gym.Env)
    assert env.observation_space == gym.spaces.Box(
        0.0, np.array([512, 512, 512, 512, 2 * np.pi]), (5,), np.float64
    )
    assert env.action_space == gym.spaces.Box(0.0, 512.0, (2,), np.float64)


def test_reset_and_step_return_what_gym_says(env):
    obs, info = env.reset()
    assert obs.dtype == np.float64 and obs in env.observation_space
    assert_is_info(info)
    rng = np.random.default_rng(0)
    for _ in range(50):
        obs, reward, terminated, truncated, info = env.step(rng.uniform(0, 512, 2))
        assert obs.dtype == np.float64 and obs in env.observation_space
        assert isinstance(reward, float) and 0 <= reward <= 1
        assert isinstance(terminated, bool) and truncated is False
        assert_is_info(info)
        np.testing.assert_array_equal(info["pos_agent"], obs[:2])
        np.testing.assert_allclose(
            [*info["block_pose"][:2], info["block_pose"][2] % (2 * np.pi)], obs[2:]
        )


def test_seed_1000_draws_and_steps_as_published():
    env = PushTEnv()
    env.seed(1000)
    env.reset()
    action = env.action_space.sample()
    np.testing.assert_allclose(action, [266.9495, 309.167], rtol=0, atol=5e-5)
    obs, reward, terminated, _, _ = env.step(np.array([266.9495, 309.167]))
    np.testing.assert_allclose(
        obs, [175.42240074, 176.63567294, 292, 351, 2.91955884], rtol=0, atol=1e-8
    )
    assert reward == pytest.approx(0.18776528434724993, abs=1e-12) and not terminated


def test_info_tells_place_and_velocity_of_the_agent():
    env = PushTEnv(reset_to_state=[30, 40, 400, 400, 0])
    env.reset()
    place, velocity = np.array([30.0, 40.0]), np.zeros(2)
    for target in ([100.0, 60.0], [20.0, 200.0]):
        for _ in range(10):
            velocity += (100 * (target - place) - 20 * velocity) * 0.01
            place += velocity * 0.01
        info = env.step(target)[4]
        np.testing.assert_allclose(info["pos_agent"], place, atol=1e-9)
        np.testing.assert_allclose(info["vel_agent"], velocity, atol=1e-9)


def test_a_seed_gives_the_same_start_at_every_reset():
    first, second = PushTEnv(), PushTEnv()
    first.seed(5)
    start = first.reset()[0]
    first.step([256, 256])
    np.testing.assert_array_equal(first.reset()[0], start)
    np.testing.assert_array_equal(second.reset(seed=5)[0], start)
    assert not np.array_equal(second.reset(seed=6)[0], start)


def test_without_a_seed_environments_start_apart():
    assert not np.array_equal(PushTEnv().reset()[0], PushTEnv().reset()[0])


def test_an_observation_once_returned_does_not_change(env):
    obs, info = env.reset()
    kept = obs.copy(), info["pos_agent"].copy(), info["block_pose"].copy()
    for _ in range(20):
        env.step([256, 256])
    for now, before in zip((obs, info["pos_agent"], info["block_pose"]), kept, strict=True):
        np.testing.assert_array_equal(now, before)


def test_reset_to_state_starts_every_episode_there():
    env = PushTEnv(reset_to_state=[100, 200, 300, 310, 1.5])
    for seed in (0, 1):
        np.testing.assert_allclose(env.reset(seed=seed)[0], [100, 200, 300, 310, 1.5], atol=1e-9)


def test_arguments_reach_the_simulator():
    states = [PushTEnv(legacy=legacy).reset(seed=3)[0] for legacy in (False, True)]
    np.testing.assert_array_equal(states[0][[0, 1, 4]], states[1][[0, 1, 4]])
    assert np.hypot(*(states[0] - states[1])[2:4]) > 10
    env = PushTEnv(False, (0, 60), 0.5)
    env.reset(seed=3)
    assert env._sim.space.damping == 0.5 and tuple(env._sim.block.center_of_gravity) == (0, 60)


def test_works_behind_gym_make():
    gym.register("PushTOfTheTest-v0", entry_point=PushTEnv, max_episode_steps=3)
    try:
        made = gym.make(
            "PushTOfTheTest-v0", disable_env_checker=True
        )  # gym's checker dies on numpy 2
        obs, _ = made.reset(seed=1000)
        np.testing.assert_allclose(obs, [137, 121, 292, 351, 2.91955884], atol=1e-8)
        ends = [made.step(np.array([266.9495, 309.167]))[2:4] for _ in range(3)]
        assert ends == [(False, False), (False, False), (False, True)]
    finally:
        del gym.envs.registration.registry["PushTOfTheTest-v0"]


# Generators.


def global_states() -> tuple:
    name, keys, *rest = np.random.get_state()
    return random.getstate(), name, keys.tolist(), rest, torch.get_rng_state().tolist()


def test_only_seed_touches_the_global_generators():
    before = global_states()
    env = PushTEnv()
    env.reset()
    env.reset(seed=4)
    env.step([100, 100])
    env.step(env.action_space.sample())
    env.set_obs(near_goal(0))
    env.render()
    twin = PushTGymnasiumEnv(render_mode="rgb_array")
    twin.reset()
    twin.step([100, 100])
    twin.render()
    assert global_states() == before


def test_seed_seeds_random_numpy_and_torch_as_published(env):
    env.seed(7)
    assert random.random() == random.Random(7).random()
    assert np.random.rand() == np.random.RandomState(7).rand()
    assert torch.rand(1) == torch.rand(1, generator=torch.Generator().manual_seed(7))
    first = env.action_space.sample()
    env.seed(7)
    np.testing.assert_array_equal(env.action_space.sample(), first)


# The end of an episode.


def test_terminated_when_and_only_when_more_than_95_percent_is_covered(env):
    seen = set()
    for shift in (0, 1, 2.6, 2.624, 2.626, 2.65, 3, 10):
        env.set_obs(near_goal(shift))
        _, reward, terminated, truncated, info = env.step(AWAY)
        covered = coverage(info["block_pose"])
        assert covered == pytest.approx(1 - 120 * shift / 6300, abs=1e-9)
        assert terminated is (covered > 0.95) and truncated is False
        assert reward == pytest.approx(min(covered / 0.95, 1), abs=1e-9)
        seen.add(terminated)
    assert seen == {True, False}


def test_an_episode_is_never_truncated(env):
    assert not any(env.step(AWAY)[3] for _ in range(600))


# Placing and looking.


@pytest.mark.parametrize(
    "kind", [list, np.array, torch.tensor, lambda obs: torch.tensor(obs, dtype=torch.float32)]
)
def test_set_obs_takes_arrays_and_tensors(env, kind):
    obs = [100.0, 200.0, 300.0, 310.0, 1.5]
    for _ in range(5):
        env.step([400, 400])
    env.set_obs(kind(obs))
    seen, _, _, _, info = env.step(None)
    np.testing.assert_allclose(seen, obs, atol=1e-6)
    np.testing.assert_array_equal(info["vel_agent"], [0, 0])


def test_set_obs_begins_an_episode():
    env = PushTEnv()
    env.set_obs(near_goal(0))
    assert env.step(AWAY)[2]


def test_step_none_only_looks(env):
    env.step([300, 300])
    before = env.step(None)
    after = env.step(None)
    np.testing.assert_array_equal(before[0], after[0])
    assert before[1:4] == after[1:4]


def test_a_hand_drives_the_agent_only_after_coming_within_30_px():
    obs = np.array([100.0, 100.0, 300.0, 300.0, 0.0])
    places = iter([(500, 500), (100, 130.1), (121, 121), (129.9, 100), (400, 20)])
    teleop = PushTEnv().teleop_agent(pointer=lambda: next(places))
    assert [teleop.act(obs) for _ in range(2)] == [None, None]
    for place in [(121, 121), (129.9, 100), (400, 20)]:
        action = teleop.act(obs)
        assert tuple(action) == place and action in PushTEnv().action_space


def test_a_hand_that_never_came_near_is_not_followed():
    teleop = PushTEnv().teleop_agent(pointer=lambda: (100, 130))  # 30 px away, not within
    assert teleop.act(np.array([100.0, 100.0, 0, 0, 0])) is None


@pytest.mark.parametrize("size", [96, 256, 50])
def test_render_has_the_asked_size(size):
    env = PushTEnv(render_size=size)
    env.reset(seed=1)
    frame = env.render(mode="rgb_array")
    assert frame.shape == (size, size, 3) and frame.dtype == np.uint8 and frame.std() > 10


def test_render_size_is_96_and_the_action_is_drawn_where_wanted():
    frames = {}
    for drawn in (True, False):
        env = PushTEnv(render_action=drawn)
        env.reset(seed=1)
        bare = env.render()
        env.step([30, 480])
        frames[drawn] = env.render()
        assert bare.shape == (96, 96, 3)
    assert (frames[True] != frames[False]).any(axis=2).sum() > 5


def test_render_shows_the_moment(env):
    before = env.render()
    np.testing.assert_array_equal(env.render(), before)
    env.step([10, 10])
    assert (env.render() != before).any()


# What goes wrong says so.


def test_a_mode_it_does_not_have_is_named(env):
    with pytest.raises(ValueError, match="^PushTEnv draws mode='rgb_array' and.*, not 'ansi'\\.$"):
        env.render(mode="ansi")


@pytest.mark.parametrize(
    "call", [lambda env: env.step([1, 1]), lambda env: env.render()], ids=["step", "render"]
)
def test_reset_comes_first(call):
    with pytest.raises(
        RuntimeError,
        match=r"^Call reset\(\) before (step|render)\(\): the episode has not begun\.$",
    ):
        call(PushTEnv())


@pytest.mark.parametrize("action", [[np.nan, 1.0], [1.0, np.inf]])
def test_an_action_that_is_not_finite_is_refused_and_the_world_stays_whole(env, action):
    before = env.step(None)[0]
    with pytest.raises(ValueError, match="finite"):
        env.step(np.array(action))
    np.testing.assert_array_equal(env.step(None)[0], before)


# Importing.


@pytest.mark.parametrize("package", ["pusht", "score"])
def test_import_is_silent_and_needs_neither_display_nor_the_instructors_part(package):
    hidden = {
        "DISPLAY",
        "WAYLAND_DISPLAY",
        "SDL_VIDEODRIVER",
        "PYGAME_HIDE_SUPPORT_PROMPT",
        "PUSHT_DEMOS",
        "PYTHONWARNINGS",
    }
    # Drawing is part of it: pygame, too, must be content without a screen and keep quiet.
    code = (
        f"import sys, {package}; unwanted = {{'nbgrader', 'jupytext', 'wandb'}} &"
        " set(sys.modules);assert not unwanted, unwanted; assert 'pusht' in sys.modules;assert"
        f" {package == 'score'} or 'score' not in sys.modules;import pusht; env ="
        " pusht.PushTEnv(render_size=32); env.reset(); env.render(); env.step([1, 1])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=120,
        env={name: value for name, value in os.environ.items() if name not in hidden},
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_no_thread_is_shown_more_warnings_while_gym_is_imported(tmp_path):
    """What version 0.25 does, which only prints then what warnings are shown."""
    code = """
import warnings
warnings.simplefilter("once", DeprecationWarning)
print(warnings.filters[0][:1])
"""
    (tmp_path / "gym.py").write_text(code)
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import warnings; warnings.simplefilter('ignore'); import pusht.env",
        ],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{Path(__file__).parents[1]}"},
    )
    assert done.stdout == "('ignore',)\n", done.stderr
