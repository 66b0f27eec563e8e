"""Play episodes of three policies in gym-pusht itself and print the rewards as JSON.

tests/test_gym_pusht.py runs it with the peer's Python (.venv-peer), so it imports nothing of ours.
"""

import json
import sys

import numpy as np


def at_the_block(obs, rng):
    """Drive at the block's centre."""
    return np.repeat(obs[None, 2:4], 8, axis=0)


def towards_the_goal(obs, rng):
    """Push the block towards the goal from behind it, and past the window's edge where it is."""
    agent, block = obs[:2], obs[2:4]
    away = (block - 256) / max(np.hypot(*(block - 256)), 1)
    behind = block + 90 * away
    target = 256 - 60 * away if np.hypot(*(agent - behind)) < 60 else behind + 250 * away
    return agent + (target - agent) * np.linspace(0.125, 1, 8)[:, None]


def wandering(obs, rng):
    """Go somewhere at random, often outside the window."""
    return obs[:2] + np.cumsum(rng.normal(0, 60, (8, 2)), axis=0)


POLICIES = (at_the_block, towards_the_goal, wandering)
SEEDS, MAX_STEPS = range(20), 300


def rewards(policy, seed):
    """Return the rewards of one episode, as the published evaluation plays it."""
    import gym_pusht  # noqa: F401  (registers the environment)
    import gymnasium

    env = gymnasium.make("gym_pusht/PushT-v0", obs_type="state").unwrapped
    obs, _ = env.reset(seed=seed)
    rng, found, done = np.random.default_rng(seed), [], False
    while not done:
        for action in policy(obs, rng)[: MAX_STEPS - len(found)]:
            obs, reward, terminated, *_ = env.step(np.clip(action, 0, 512))
            found.append(float(reward))
            done = terminated or len(found) == MAX_STEPS
            if done:
                break
    return found


if __name__ == "__main__":
    json.dump({p.__name__: [rewards(p, seed) for seed in SEEDS] for p in POLICIES}, sys.stdout)
