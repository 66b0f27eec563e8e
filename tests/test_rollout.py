"""Many episodes in lock-step are the episodes that one loop after another would give."""

import collections
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from pusht import Episodes, PushTEnv, normalize_data, receding_horizon, rollout, unnormalize_data
from pusht.networks import ResidualMLP
from pusht.rules import PUBLISHED, Rules
from pusht.sim import PushTSim, sample_start
from pusht.tee import GOAL_POSE

STATS = {
    "obs": {"min": np.zeros(5, np.float32), "max": np.float32([512, 512, 512, 512, 2 * np.pi])},
    "action": {"min": np.zeros(2, np.float32), "max": np.float32([512, 512])},
}


def network(seed: int):
    """Inference of a small network of random weights that drives the agent about."""
    torch.manual_seed(seed)
    model = ResidualMLP([10, 32, 32, 32, 32], use_layernorm=True)
    torch.nn.init.normal_(model.layers[-2].weight, std=0.3)

    @torch.no_grad()
    def infer(nobs):
        return model(nobs.flatten(start_dim=1)).reshape(-1, 16, 2)

    return infer


def taught_loop(infer, seed: int, max_steps: int) -> tuple[list, list]:
    """One episode as the notebook teaches it: one observation at a time through the environment."""
    env = PushTEnv()
    env.seed(seed)
    obs, _ = env.reset()
    last_two, states, rewards, done = collections.deque([obs] * 2, maxlen=2), [obs], [], False
    while not done:
        nobs = normalize_data(np.stack(last_two), stats=STATS["obs"])
        naction = infer(torch.from_numpy(nobs)[None].to(dtype=torch.float32))[0].numpy()
        actions = unnormalize_data(naction, stats=STATS["action"])
        for action in actions[1:9]:
            obs, reward, done, _, _ = env.step(action)
            last_two.append(obs)
            states.append(obs)
            rewards.append(reward)
            done = done or len(rewards) == max_steps
            if done:
                break
    return states, rewards


def recording(policy):
    """`policy`, and the observations of each call in a list."""
    calls = []

    def recorded(obs):
        calls.append(obs.copy())
        return policy(obs)

    return recorded, calls


def stay(obs):
    """Eight times the place where the agent is."""
    return np.repeat(obs[:, -1:, :2], 8, axis=1)


# Lock-step.


@pytest.mark.parametrize("policy_seed", [0, 1])
def test_lock_step_gives_the_episodes_of_the_taught_loop(policy_seed):
    seeds = [0, 1, 2, 3, 1000]
    infer = network(policy_seed)
    together = rollout(receding_horizon(infer, STATS), seeds)
    moved = 0
    for i, seed in enumerate(seeds):
        states, rewards = taught_loop(infer, seed, 500)
        assert len(together.rewards[i]) == len(rewards)
        np.testing.assert_allclose(together.rewards[i], rewards, rtol=0, atol=1e-4)
        np.testing.assert_allclose(
            together.states[i][:, :4], np.array(states)[:, :4], rtol=0, atol=1e-2
        )
        assert together.max_rewards[i] == pytest.approx(max(rewards), abs=1e-4)
        moved += np.ptp(together.states[i][:, 2]) > 20
    assert moved >= 2  # else only the agent was compared


def test_an_episode_does_not_depend_on_its_neighbours():
    policy = receding_horizon(network(2), STATS)
    together, alone = rollout(policy, [5, 6, 7], max_steps=100), rollout(policy, [6], max_steps=100)
    np.testing.assert_allclose(together.states[1], alone.states[0], rtol=0, atol=1e-3)
    backwards = rollout(policy, [7, 6, 5], max_steps=100)
    np.testing.assert_allclose(together.states[2], backwards.states[0], rtol=0, atol=1e-3)


def test_episodes_tell_what_happened():
    episodes = rollout(receding_horizon(network(0), STATS), [3, 4], max_steps=40)
    assert isinstance(episodes, Episodes) and episodes.seeds == [3, 4]
    for seed, states, actions, rewards in zip(
        episodes.seeds, episodes.states, episodes.actions, episodes.rewards, strict=False
    ):
        assert states.shape == (41, 5) and actions.shape == (40, 2) and rewards.shape == (40,)
        env = PushTEnv()
        np.testing.assert_array_equal(states[0], env.reset(seed=seed)[0])
        for state, action, reward in zip(states[1:], actions, rewards, strict=True):
            obs, again, *_ = env.step(action)
            assert obs.tolist() == state.tolist() and again == reward
    assert episodes.max_rewards.tolist() == [r.max() for r in episodes.rewards]


def test_legacy_changes_where_the_block_starts():
    default, legacy = (
        rollout(stay, [3], max_steps=1, rules=replace(PUBLISHED, legacy=legacy)).states[0][0]
        for legacy in (False, True)
    )
    np.testing.assert_array_equal(default[[0, 1, 4]], legacy[[0, 1, 4]])
    assert np.hypot(*(default - legacy)[2:4]) > 10


# What the policy sees and what of its answer is executed.


def test_the_policy_sees_the_last_two_observations_and_the_first_one_twice():
    policy, calls = recording(stay)
    episodes = rollout(policy, [3, 4], max_steps=24)
    assert [obs.shape for obs in calls] == [(2, 2, 5)] * 3
    for i in range(2):
        states = episodes.states[i]
        for call, (before, now) in zip(calls, [(0, 0), (7, 8), (15, 16)], strict=True):
            np.testing.assert_array_equal(call[i], states[[before, now]])


@pytest.mark.parametrize("obs_horizon, action_horizon", [(2, 8), (1, 8), (3, 5)])
def test_executed_are_the_actions_from_the_last_observation_on(obs_horizon, action_horizon):
    def infer(nobs):
        assert nobs.shape == (2, obs_horizon, 5) and nobs.dtype == torch.float32
        return (
            torch.arange(16.0)[None, :, None].expand(2, 16, 2) / 16
        )  # action k lies at 256 + 16 k px

    policy = receding_horizon(infer, STATS, obs_horizon=obs_horizon, action_horizon=action_horizon)
    episodes = rollout(policy, [0, 1], obs_horizon=obs_horizon, max_steps=2 * action_horizon)
    places = [obs_horizon - 1 + k for k in range(action_horizon)] * 2
    for actions in episodes.actions:
        np.testing.assert_allclose(actions, [[256 + 16 * k] * 2 for k in places])


def test_the_network_sees_normalised_observations():
    seen = []

    def infer(nobs):
        seen.append(nobs)
        return torch.zeros(
            len(nobs), 16, 2, requires_grad=True
        )  # a forgotten no_grad is no reason to fail here

    episodes = rollout(receding_horizon(infer, STATS), [0], max_steps=8)
    expected = episodes.states[0][0] / STATS["obs"]["max"] * 2 - 1
    np.testing.assert_allclose(seen[0][0], [expected, expected], atol=1e-6)


# Ends.


@pytest.mark.parametrize("max_steps", [1, 8, 13, 20])
def test_max_steps_holds_also_in_the_middle_of_a_chunk(max_steps):
    policy, calls = recording(stay)
    episodes = rollout(policy, [0, 1, 2], max_steps=max_steps)
    assert [len(r) for r in episodes.rewards] == [max_steps] * 3 and len(calls) == math.ceil(
        max_steps / 8
    )


def nearly_done(seed):
    """Starts of seeds below 10: the block lies 25 px beyond the goal along the T's stem, the agent
    in line before its end, `seed` px further off. Pushed straight back, it covers the goal after a
    few steps.
    """
    if seed >= 10:
        return sample_start(seed)
    x, y, angle = GOAL_POSE
    along = np.array([-np.sin(angle), np.cos(angle)])
    return np.array(
        [*((x, y) + (25 + 120 + 15 + 5 + 8 * seed) * along), *((x, y) + 25 * along), angle]
    )


NEARLY_DONE = Rules("nearly done", nearly_done)


def push_back(obs):
    """Towards the bar along the stem, slowly, wherever the agent is."""
    angle = GOAL_POSE[2]
    target = obs[:, -1, :2] + 12 * np.array([np.sin(angle), -np.cos(angle)])
    return np.repeat(target[:, None], 8, axis=1)


def test_an_episode_that_succeeds_leaves_the_batch_and_is_not_stepped_further(monkeypatch):
    steps = collections.Counter()
    step = PushTSim.step

    def counted(sim, action):
        steps[sim] += 1
        return step(sim, action)

    monkeypatch.setattr(PushTSim, "step", counted)
    policy, calls = recording(push_back)
    told = []
    episodes = rollout(
        policy,
        [0, 50, 3, 6],
        max_steps=100,
        rules=NEARLY_DONE,
        after_step=lambda ended, total: told.append((ended, total)),
    )
    lengths = [len(r) for r in episodes.rewards]
    assert episodes.successes.tolist() == [True, False, True, True]
    assert lengths[0] < lengths[2] < lengths[3] < lengths[1] == 100
    assert any(length % 8 for length in lengths[:3])  # one of them ends within a chunk
    for rewards, succeeded in zip(episodes.rewards, episodes.successes, strict=True):
        assert (rewards[:-1] < 1).all() and (rewards[-1] == 1) == succeeded
    assert sorted(steps.values()) == sorted(lengths)
    assert [len(obs) for obs in calls] == [
        sum(length > 8 * call for length in lengths) for call in range(len(calls))
    ]
    assert told == [
        (sum(length <= 8 * (call + 1) for length in lengths), 4) for call in range(len(calls))
    ]


def test_those_left_go_on_as_if_nothing_had_happened():
    together = rollout(push_back, [0, 50, 6], max_steps=60, rules=NEARLY_DONE)
    for i, seed in enumerate(together.seeds):
        alone = rollout(push_back, [seed], max_steps=60, rules=NEARLY_DONE)
        np.testing.assert_array_equal(together.states[i], alone.states[0])


@pytest.mark.parametrize(
    "wrong", [lambda chunks: chunks[:-1], lambda chunks: chunks[:, :0]], ids=["episodes", "actions"]
)
@pytest.mark.parametrize("rounds", [0, 1])
def test_a_policy_that_answers_with_too_few_is_refused(wrong, rounds):
    calls = 0

    def policy(obs):
        nonlocal calls
        calls += 1
        assert calls <= rounds + 1, "it is asked for ever"
        return stay(obs) if calls <= rounds else wrong(stay(obs))

    with pytest.raises(ValueError):
        rollout(policy, [0, 1], max_steps=100)


# Randomness.


def sampling(obs):
    return stay(obs) + 60 * torch.randn(len(obs), 8, 2).numpy()


def test_a_sampling_policy_is_reproducible():
    first = rollout(sampling, [0, 1], max_steps=40)
    torch.rand(3)
    again, other = (
        rollout(sampling, [0, 1], max_steps=40),
        rollout(sampling, [0, 1], max_steps=40, torch_seed=1),
    )
    for i in range(2):
        np.testing.assert_array_equal(first.states[i], again.states[i])
        assert not np.array_equal(first.states[i], other.states[i])
    assert not np.array_equal(
        first.actions[0] - first.states[0][:-1, :2], first.actions[1] - first.states[1][:-1, :2]
    )


@pytest.mark.parametrize("fails", [False, True])
def test_torch_is_afterwards_as_it_was_before(fails):
    def policy(obs):
        assert torch.get_num_threads() == 1
        if fails:
            raise ArithmeticError("the policy's own")
        return sampling(obs)

    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        before = torch.get_rng_state()
        try:
            rollout(policy, [0], max_steps=16)
        except ArithmeticError:
            assert fails
        assert torch.equal(torch.get_rng_state(), before) and torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
