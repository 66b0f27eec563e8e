"""The environment for gymnasium: its checks, its wrappers, and code that was written for others."""

import subprocess
import sys
import warnings
from importlib.util import find_spec

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from pusht import PushTEnv, PushTGymnasiumEnv, env_parts
from pusht.env_gymnasium import OBS_TYPES
from pusht.tee import GOAL_POSE, coverage

AWAY = (30.0, 30.0)
START = [100.0, 200.0, 300.0, 310.0, 1.5]
AT_GOAL = [*AWAY, *GOAL_POSE]


def without_remarks(check, *args):
    """Call a checker, and return its warnings but for that on actions, which are in pixels."""
    with warnings.catch_warnings(record=True) as remarks:
        warnings.simplefilter("always")
        check(*args)
    of_actions = ("symmetric and normalized", "float32")
    found = [str(remark.message) for remark in remarks]
    return [one for one in found if not any(words in one for words in of_actions)]


@pytest.mark.parametrize("obs_type", OBS_TYPES)
def test_gymnasiums_own_checker_passes(obs_type):
    made = gymnasium.make("pusht/PushT-v0", render_mode="rgb_array", obs_type=obs_type)
    assert without_remarks(check_env, made.unwrapped) == []


@pytest.mark.parametrize("obs_type", OBS_TYPES)
def test_the_checker_of_stable_baselines_passes(obs_type):
    checker = pytest.importorskip(
        "stable_baselines3.common.env_checker", reason="stable-baselines3 is not installed"
    )
    assert without_remarks(checker.check_env, PushTGymnasiumEnv(obs_type=obs_type)) == []


def test_both_interfaces_show_one_task():
    ours, twin = PushTEnv(), gymnasium.make("pusht/PushT-v0", render_mode="rgb_array")
    np.testing.assert_array_equal(ours.reset(seed=9)[0], twin.reset(seed=9)[0])
    for action in np.random.default_rng(0).uniform(0, 512, (60, 2)):
        one, other = ours.step(action), twin.step(action)
        np.testing.assert_array_equal(one[0], other[0])
        assert one[1:4] == other[1:4] and {*one[4]} == {*other[4]}
    np.testing.assert_array_equal(ours.render(), twin.render())


def test_gymnasium_ends_an_episode_after_500_steps():
    made = gymnasium.make("pusht/PushT-v0")
    made.reset(seed=0)
    ends = [made.step(np.array(AWAY))[2:4] for _ in range(500)]
    assert ends == [(False, False)] * 499 + [(False, True)]


@pytest.mark.parametrize(
    "imports",
    [
        "import gymnasium, pusht; name = 'pusht/PushT-v0'",
        "import pusht, gymnasium; name = 'pusht.registration:pusht/PushT-v0'",
        "import gymnasium; from pusht import PushTEnv; name = 'pusht/PushT-v0'",
    ],
)
def test_it_is_registered_by_importing_the_package(imports):
    code = f"{imports}; gymnasium.make(name, max_episode_steps=300).reset(seed=1)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


# Vector environments and films.


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_a_vector_of_environments_is_several_of_them(mode):
    several = gymnasium.make_vec("pusht/PushT-v0", num_envs=3, vectorization_mode=mode)
    try:
        obs, _ = several.reset(seed=[4, 5, 6])
        single = [PushTGymnasiumEnv().reset(seed=seed)[0] for seed in (4, 5, 6)]
        np.testing.assert_array_equal(obs, single)
        _, rewards, _, _, info = several.step(np.full((3, 2), 200.0))
        assert rewards.shape == info["coverage"].shape == info["is_success"].shape == (3,)
    finally:
        several.close()


def test_a_film_is_recorded_or_gymnasium_says_what_it_lacks(tmp_path):
    env = gymnasium.make("pusht/PushT-v0", render_mode="rgb_array")

    def record():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            wrapped = gymnasium.wrappers.RecordVideo(env, str(tmp_path), lambda number: True)
            wrapped.reset(seed=1)
            for _ in range(5):
                wrapped.step(np.array(AWAY))
            wrapped.close()

    if find_spec("moviepy") is None:
        with pytest.raises(gymnasium.error.DependencyNotInstalled, match="(?i)moviepy is not inst"):
            record()
    else:
        record()
        assert len([*tmp_path.glob("*.mp4")]) == 1


# As in gym-pusht.


@pytest.mark.parametrize("make", [PushTEnv, PushTGymnasiumEnv])
def test_an_episode_starts_at_the_state_in_the_options_and_the_next_one_does_not(make):
    env = make()
    seen, info = env.reset(seed=3, options={"reset_to_state": START})
    np.testing.assert_allclose(seen, START, atol=1e-9)
    assert info["is_success"] is False
    assert info["coverage"] == pytest.approx(coverage(info["block_pose"]), abs=1e-12)
    assert not np.allclose(env.reset(seed=3)[0], START)
    assert env.reset(options={"reset_to_state": np.array(AT_GOAL)})[1]["is_success"] is True
    _, _, terminated, _, info = env.step(AWAY)
    assert terminated and info["is_success"] is True and info["coverage"] == pytest.approx(1)


def test_keypoints_are_gym_pushts():
    env = PushTGymnasiumEnv(obs_type="environment_state_agent_pos", legacy=True)
    obs, _ = env.reset(options={"reset_to_state": START})
    np.testing.assert_allclose(  # of gym-pusht 0.1.8
        obs["environment_state"].reshape(8, 2),
        [
            (340.64304230, 291.96712673),
            (349.13150650, 411.66652512),
            (319.20665690, 413.78864117),
            (310.71819270, 294.08924278),
            (313.90136677, 338.97651718),
            (316.02348282, 368.90136677),
            (226.24893403, 375.26771492),
            (224.12681798, 345.34286533),
        ],
        atol=1e-6,
    )
    np.testing.assert_allclose(obs["agent_pos"], START[:2])
    twin = PushTGymnasiumEnv(obs_type="keypoints", legacy=True)
    other, _ = twin.reset(options={"reset_to_state": START})
    np.testing.assert_array_equal(obs["environment_state"], other["environment_state"])


def test_pixels_have_the_asked_size_and_show_the_state():
    env = PushTGymnasiumEnv(obs_type="pixels", observation_width=64, observation_height=64)
    before, _ = env.reset(seed=1)
    after = env.step((10.0, 10.0))[0]
    assert before.shape == (64, 64, 3) and before.dtype == np.uint8 and (before != after).any()


def test_a_picture_has_the_asked_size():
    size = {"visualization_width": 120, "visualization_height": 120}
    env = PushTGymnasiumEnv(render_mode="rgb_array", **size)
    env.reset(seed=1)
    assert env.render().shape == (120, 120, 3)


# The names of the published environment.


def test_bodies_and_space_are_those_of_the_episode():
    env = PushTEnv()
    env.reset(seed=1)
    first = env.space
    assert env.agent in first.bodies and env.block in first.bodies
    np.testing.assert_array_equal(env._get_obs()[:2], env.agent.position)
    env._set_state(START)
    np.testing.assert_allclose(env._get_info()["pos_agent"], START[:2])
    env.reset(seed=1)
    assert env.space is not first


def test_a_person_sees_a_picture_in_a_notebook_and_a_sentence_elsewhere(monkeypatch):
    env = PushTEnv()
    env.reset(seed=1)
    with pytest.raises(RuntimeError, match="Push-T has no window.*'rgb_array'"):
        env.render(mode="human")
    shown = []
    monkeypatch.setattr(env_parts.Screen, "show", lambda self, frame: shown.append(frame.shape))
    assert env.render(mode="human") is None
    assert shown == [(96, 96, 3)]


@pytest.mark.parametrize(
    "call, sentence",
    [
        (lambda: PushTEnv().reset(options={"start": START}), "the option 'reset_to_state' only"),
        (lambda: PushTGymnasiumEnv().reset(options={"a": 1}), "only, not 'a'"),
        (lambda: PushTEnv().reset(options={"reset_to_state": [1, 2]}), "five finite numbers"),
        (lambda: PushTEnv(reset_to_state=[np.nan] * 5).reset(), "five finite numbers"),
        (lambda: PushTEnv().reset(options={"reset_to_state": "there"}), "five finite numbers"),
        (lambda: PushTGymnasiumEnv(obs_type="image"), "There is no obs_type 'image': choose one"),
        (lambda: PushTGymnasiumEnv(render_mode="human"), "There is no render_mode 'human'"),
        (
            lambda: PushTGymnasiumEnv(visualization_width=680, visualization_height=480),
            "visualization_width and visualization_height need the same",
        ),
        (lambda: PushTGymnasiumEnv(observation_width=0, observation_height=0), "is square"),
    ],
)
def test_what_it_does_not_know_is_an_error_in_a_sentence(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call()


@pytest.mark.parametrize(
    "call",
    [
        lambda: PushTEnv().agent,
        lambda: PushTEnv()._get_info(),
        lambda: PushTGymnasiumEnv().step(AWAY),
        lambda: PushTGymnasiumEnv(render_mode="rgb_array").render(),
    ],
)
def test_before_an_episode_reset_is_asked_for(call):
    with pytest.raises(RuntimeError, match=r"Call reset\(\)"):
        call()
