"""Rollouts: a policy drives many seeded episodes of Push-T in lock-step.

All live episodes ask the policy together, one call for all of them, and execute their chunks of
actions; an episode that has succeeded leaves the batch. Only states, actions and rewards are kept:
pictures are drawn afterwards, from the states.
"""

import contextlib
import random
from dataclasses import dataclass

import numpy as np
import torch

from pusht.dataset import normalize_data, unnormalize_data
from pusht.sim import SUCCESS_COVERAGE, PushTSim, reward, sample_start


@dataclass(frozen=True)
class Episodes:
    """What happened in N episodes; episode i took T_i steps.

    seeds: (N,) of the starts. states: N arrays (T_i + 1, 5), the start first. actions: N arrays
    (T_i, 2) [px].
    rewards: N arrays (T_i,).
    """

    seeds: list
    states: list
    actions: list
    rewards: list

    def first(self, count):
        """The first `count` episodes."""
        return Episodes(
            self.seeds[:count], self.states[:count], self.actions[:count], self.rewards[:count]
        )

    @property
    def max_rewards(self):
        """(N,) the score of each episode: its largest reward."""
        return np.array([r.max() for r in self.rewards])

    @property
    def successes(self):
        """(N,) bool: more than 95 % of the goal was covered."""
        return self.max_rewards >= 1


def rollout(
    policy, seeds, *, obs_horizon=2, max_steps=500, legacy=False, torch_seed=0, after_step=None
):
    """Let `policy` drive one episode from each seed, all in lock-step, until success or
    `max_steps`; return `Episodes`.

    policy: function from the last observations (B, obs_horizon, 5) float64, as the environment
        gives them, to the actions to execute next (B, Ta, 2) [px]; see `receding_horizon`. At the
        start the first observation is repeated.
    legacy: which reset order (see `PushTEnv`).
    torch_seed: torch's generator is set to it, and torch to one thread, for the time of the
        rollout. A policy that samples is then reproducible for the same seeds; its episodes share
        the random numbers, so one seed alone goes another way.
    after_step: called after each round with the number of episodes that have ended and of all.
    """
    sims = [PushTSim(legacy=legacy) for _ in seeds]
    states, actions, rewards = ([[] for _ in seeds] for _ in range(3))
    for sim, seed, seen in zip(sims, seeds, states):
        sim.reset(sample_start(seed))
        seen.append(sim.state)
    live = list(range(len(sims)))
    with reproducible(torch_seed):
        while live:
            chunks = policy(np.stack([_last(states[i], obs_horizon) for i in live]))
            if len(chunks) != len(live) or not all(len(chunk) for chunk in chunks):
                raise ValueError(
                    f"The policy answered {len(live)} episodes with actions of shape"
                    f" {np.shape(chunks)}: ({len(live)}, Ta, 2) is needed, Ta at least 1."
                )
            for i, chunk in zip(live, chunks):
                for action in chunk[: max_steps - len(rewards[i])]:
                    coverage = sims[i].step(action)
                    states[i].append(sims[i].state)
                    actions[i].append(action)
                    rewards[i].append(reward(coverage))
                    if coverage > SUCCESS_COVERAGE:
                        break
            live = [i for i in live if len(rewards[i]) < max_steps and rewards[i][-1] < 1]
            if after_step:
                after_step(len(sims) - len(live), len(sims))
    return Episodes(
        list(seeds), *([np.array(rows) for rows in what] for what in (states, actions, rewards))
    )


def _last(states, obs_horizon):
    return [states[max(len(states) - back, 0)] for back in range(obs_horizon, 0, -1)]


def receding_horizon(infer, stats, *, obs_horizon=2, action_horizon=8):
    """The policy, for `rollout`, of a network's inference: normalise, ask, undo, execute the first
    part.

    infer: function from nobs (B, obs_horizon, 5) float32 tensor to naction (B, Tp, 2) tensor, both
    in [-1, 1]. Action 0 of a chunk belongs to the first of the observations, so executed are
    [obs_horizon - 1 : obs_horizon - 1 + action_horizon].
    """

    def policy(obs):
        nobs = torch.from_numpy(normalize_data(obs, stats["obs"])).to(torch.float32)
        naction = infer(nobs).detach().cpu().numpy()
        chunk = unnormalize_data(naction, stats["action"])
        return chunk[:, obs_horizon - 1 : obs_horizon - 1 + action_horizon]

    return policy


@contextlib.contextmanager
def reproducible(seed):
    """Torch on one thread with its generator, numpy's and Python's set to `seed`; all as before
    afterwards.

    More threads add up in another order, and so little is enough to send an episode another way.
    """
    threads, numpy_state, python_state = (
        torch.get_num_threads(),
        np.random.get_state(),
        random.getstate(),
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        np.random.seed(seed)
        random.seed(seed)
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(threads)
            np.random.set_state(numpy_state)
            random.setstate(python_state)
