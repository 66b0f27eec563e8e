"""Rollouts: run a policy in many seeded episodes of Push-T, in lock-step.

The policy is called once for all episodes that are still running, and each of these executes its
chunk of actions. An episode that has succeeded leaves the batch. Only states, actions and rewards
are kept; pictures are drawn later from the states.
"""

import contextlib
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from pusht.normalisation import Stats, normalize_data, unnormalize_data
from pusht.rules import PUBLISHED, Rules
from pusht.sim import SUCCESS_COVERAGE, PushTSim, reward

# The last observations (B, obs_horizon, 5) -> the actions to execute next (B, Ta, 2) [px].
Policy = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Episodes:
    """A record of N episodes; episode i took T_i steps.

    seeds: (N,) seeds of the starts.
    states: N arrays (T_i + 1, 5), the start first.
    actions: N arrays (T_i, 2) [px].
    rewards: N arrays (T_i,).
    """

    seeds: list[int]
    states: list[np.ndarray]
    actions: list[np.ndarray]
    rewards: list[np.ndarray]

    def first(self, count: int) -> "Episodes":
        """Return the first `count` episodes."""
        return Episodes(
            self.seeds[:count], self.states[:count], self.actions[:count], self.rewards[:count]
        )

    @property
    def max_rewards(self) -> np.ndarray:
        """The score of each episode, (N,): its largest reward."""
        return np.array([r.max() for r in self.rewards])

    @property
    def successes(self) -> np.ndarray:
        """Whether more than 95 % of the goal was covered in each episode, (N,) bool."""
        return self.max_rewards >= 1

    @property
    def final_rewards(self) -> np.ndarray:
        """The reward at the end of each episode, (N,)."""
        return np.array([r[-1] for r in self.rewards])


def joined(several: Sequence[Episodes]) -> Episodes:
    """Return the episodes of several records as one."""
    fields = ("seeds", "states", "actions", "rewards")
    return Episodes(*([one for each in several for one in getattr(each, name)] for name in fields))


def rollout(
    policy: Policy,
    seeds: Sequence[int],
    *,
    obs_horizon: int = 2,
    max_steps: int = 500,
    rules: Rules = PUBLISHED,
    torch_seed: int = 0,
    after_step: Callable[[int, int], None] | None = None,
) -> Episodes:
    """Run one episode from each seed with `policy`, all in lock-step, and return them. An episode
    ends with success or after `max_steps`.

    policy: function from the last observations (B, obs_horizon, 5) float64, as the environment
        returns them, to the actions to execute next (B, Ta, 2) [px]; see `receding_horizon`. At
        the start the first observation is repeated.
    rules: how a seed becomes a start, and how actions are taken (see `pusht.rules`).
    torch_seed: seed of torch's generator during the rollout, when torch also uses one thread only.
        A policy that samples is then reproducible for the same list of seeds. Its episodes share
        the random numbers, so a seed run alone gives a different episode.
    after_step: called after each round with the number of ended episodes and of all episodes.
    """
    episodes = [_Episode(seed, rules) for seed in seeds]
    live = episodes
    with reproducible(torch_seed):
        while live:
            chunks = policy(np.stack([episode.last_states(obs_horizon) for episode in live]))
            if len(chunks) != len(live) or not all(len(chunk) for chunk in chunks):
                raise ValueError(
                    f"The policy returned actions of shape {np.shape(chunks)}:"
                    f" ({len(live)}, Ta, 2) is needed, Ta at least 1."
                )
            for episode, chunk in zip(live, chunks, strict=True):
                episode.execute(chunk, max_steps)
            live = [episode for episode in live if not episode.ended(max_steps)]
            if after_step:
                after_step(len(episodes) - len(live), len(episodes))
    return Episodes(
        list(seeds),
        [np.array(episode.states) for episode in episodes],
        [np.array(episode.actions) for episode in episodes],
        [np.array(episode.rewards) for episode in episodes],
    )


class _Episode:
    """A running episode: its simulator and its record so far."""

    def __init__(self, seed: int, rules: Rules) -> None:
        self._rules = rules
        self._sim = PushTSim(legacy=rules.legacy)
        self._sim.reset(rules.start(seed))
        self.states = [self._sim.state]
        self.actions: list[np.ndarray] = []
        self.rewards: list[float] = []

    def last_states(self, count: int) -> list[np.ndarray]:
        """Return the last `count` states; if there are fewer, the start is repeated."""
        return [self.states[max(len(self.states) - back, 0)] for back in range(count, 0, -1)]

    def execute(self, chunk: np.ndarray, max_steps: int) -> None:
        """Execute the actions of a chunk until success or `max_steps`."""
        for action in self._rules.actions(chunk[: max_steps - len(self.rewards)]):
            coverage = self._sim.step(action)
            self.states.append(self._sim.state)
            self.actions.append(action)
            self.rewards.append(reward(coverage))
            if coverage > SUCCESS_COVERAGE:
                break

    def ended(self, max_steps: int) -> bool:
        return len(self.rewards) >= max_steps or self.rewards[-1] >= 1


def receding_horizon(
    infer: Callable[[torch.Tensor], torch.Tensor],
    stats: Stats,
    *,
    obs_horizon: int = 2,
    action_horizon: int = 8,
) -> Policy:
    """Return a policy for `rollout`: it normalises the observations, calls `infer`, and returns the
    actions of the chunk that are to be executed, in pixels.

    infer: function from nobs (B, obs_horizon, 5) float32 tensor to naction (B, Tp, 2) tensor, both
        normalised. Action 0 of a chunk belongs to the first of the observations, so the executed
        actions are [obs_horizon - 1 : obs_horizon - 1 + action_horizon].
    stats: statistics of the normalisation, by range or by moments (see `pusht.normalisation`).
    """

    def policy(obs: np.ndarray) -> np.ndarray:
        nobs = torch.from_numpy(normalize_data(obs, stats["obs"])).to(torch.float32)
        naction = infer(nobs).detach().cpu().numpy()
        chunk = unnormalize_data(naction, stats["action"])
        return chunk[:, obs_horizon - 1 : obs_horizon - 1 + action_horizon]

    return policy


@contextlib.contextmanager
def inference(model: nn.Module) -> Iterator[None]:
    """Run the body with `model` in eval mode and without gradients, then restore the mode of each
    module.
    """
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, mode in modes.items():
            module.training = mode


@contextlib.contextmanager
def reproducible(seed: int) -> Iterator[None]:
    """Run the body with torch on one thread and the generators of torch, numpy and Python seeded
    with `seed`, then restore all of them.

    With several threads, sums are computed in another order. Even such rounding differences can
    change an episode.
    """
    threads = torch.get_num_threads()
    numpy_state, python_state = np.random.get_state(), random.getstate()
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
