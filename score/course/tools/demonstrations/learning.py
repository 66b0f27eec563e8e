"""From the human flow policy to an expert, in stages.

The policy is tried often, and a first flow of proposals learns from its successes. Its own episodes
teach a first value. With both, the expert looks ahead; proposals and value learn from what it does,
and the value also from what becomes of displaced actions.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from pusht.checkpoint import load_checkpoint
from pusht.episodes import receding_horizon
from pusht.expert.driving import Driver, Episode, solved
from pusht.expert.networks import Proposals, Student, Value
from pusht.expert.planning import Disturbance, Expert
from score import rubric
from score.course.notebooks.solutions import answer_of, reference_path, solution
from score.course.tools.demonstrations.fitting import fit_proposals, fit_value
from score.course.tools.demonstrations.starts import joined
from score.course.tools.demonstrations.store import Store
from score.rollouts.policies import inference_of

_HUMAN_POLICIES = ("part1_mlp", "part4_mse", "part4_flow")
_TRIES, _KEPT = 12, 4
ROUNDS = 2  # of robust episodes


def human_policy(name: str) -> Driver:
    """Return the reference policy of this name that was trained on the human demonstrations."""
    policy = rubric.POLICIES[name]
    checkpoint = load_checkpoint(reference_path(policy, "human"), policy.normalisation)
    names = solution(rubric.part_of(policy))
    model, infer = inference_of(policy, answer_of(names, policy))
    checkpoint.restore(model)
    model.eval()
    act = receding_horizon(
        lambda nobs: infer(nobs, len(nobs)),
        checkpoint.stats,
        obs_horizon=policy.obs_horizon,
        action_horizon=policy.action_horizon,
    )
    return lambda worlds, seen: act(seen[:, -policy.obs_horizon :])


def stuck(store: Store) -> np.ndarray:
    """Return states (N, 5) in which three policies of the human set were when they failed."""
    episodes: list[Episode] = []
    for block, name in enumerate(_HUMAN_POLICIES):
        begin = store.resets(block, 130).states
        episodes += store.episodes(f"human_{name}", lambda: human_policy(name), begin, 300)  # noqa: B023
    return visited(episodes, store.number("stuck"))


def visited(episodes: Sequence[Episode], seed: int) -> np.ndarray:
    """Return states (N, 5) of the episodes that failed: of each the last, the one after the best
    step, and one at random.
    """
    random = np.random.default_rng(seed)
    states = []
    for episode in episodes:
        if not episode.solved:
            best = 1 + int(episode.rewards.argmax())
            at_random = int(random.integers(len(episode) // 10, len(episode)))
            states += [episode.states[at] for at in (len(episode), best, at_random)]
    return np.array(states)


def human_successes(store: Store) -> list[Episode]:
    """Return the quickest tries of the human flow policy that succeeded, at most four a start."""
    begin = joined(store.resets(10, 400), store.some(stuck(store), 400, "tries")).states
    kept: list[list[Episode]] = [[] for _ in begin]
    for number in range(_TRIES):
        tries = store.episodes(
            f"tries_{number}", lambda: human_policy("part4_flow"), begin, max_steps=190
        )
        for of_start, episode in zip(kept, tries):
            of_start += [episode] if episode.solved else []
    return [episode for of_start in kept for episode in sorted(of_start, key=len)[:_KEPT]]


def first_proposals(store: Store) -> Proposals:
    """Return proposals that learned from the human policy's successes."""

    def fit(network: Proposals) -> Proposals:
        return fit_proposals(
            network, human_successes(store), epochs=store.epochs(40), rate=1e-3, seed=store.seed
        )

    return store.network("proposals_0", Proposals, fit)


def alone(store: Store) -> list[Episode]:
    """Return episodes that the first proposals drove without looking ahead."""
    begin = joined(store.resets(11, 600), store.some(stuck(store), 600, "alone")).states

    def driver() -> Driver:
        network = first_proposals(store)
        generator = torch.Generator().manual_seed(store.number("alone"))
        return lambda worlds, seen: network.sample(seen[:, -1], generator)

    return store.episodes("alone", driver, begin, max_steps=250)


def first_value(store: Store) -> Value:
    """Return what the first proposals make of a state."""

    def fit(network: Value) -> Value:
        return fit_value(network, alone(store), epochs=store.epochs(15), rate=1e-3, seed=store.seed)

    return store.network("value_0", Value, fit)


def looking_ahead(store: Store) -> list[Episode]:
    """Return episodes of the first expert."""
    begin = joined(store.resets(12, 300), store.some(stuck(store), 300, "looking_ahead")).states

    def driver() -> Driver:
        return Expert(
            first_proposals(store), first_value(store), seed=store.number("looking_ahead")
        )

    return store.episodes("looking_ahead", driver, begin, max_steps=220)


def second_proposals(store: Store) -> Proposals:
    """Return the first proposals, trained further on what the first expert did."""

    def fit(network: Proposals) -> Proposals:
        network.load_state_dict(first_proposals(store).state_dict())
        episodes = solved(looking_ahead(store))
        return fit_proposals(network, episodes, epochs=store.epochs(25), rate=7e-4, seed=store.seed)

    return store.network("proposals_1", Proposals, fit)


def second_value(store: Store) -> Value:
    """Return the first value, trained further on what became of the first expert's states.

    A few older episodes, here and below, keep the value of states off the expert's paths.
    """

    def fit(network: Value) -> Value:
        network.load_state_dict(first_value(store).state_dict())
        episodes = [*looking_ahead(store), *alone(store)[::8]]
        return fit_value(network, episodes, epochs=store.epochs(8), rate=7e-4, seed=store.seed)

    return store.network("value_1", Value, fit)


def displaced(store: Store) -> list[Episode]:
    """Return episodes of the second expert in which every executed chunk was displaced."""
    begin = joined(store.resets(13, 200), store.some(stuck(store), 200, "displaced")).states

    def driver() -> Driver:
        return Expert(
            second_proposals(store),
            second_value(store),
            seed=store.number("displaced"),
            disturbance=Disturbance(8.0),
        )

    return store.episodes("displaced", driver, begin, max_steps=220)


def third_value(store: Store) -> Value:
    """Return the second value, trained further on what became of displaced actions."""

    def fit(network: Value) -> Value:
        network.load_state_dict(second_value(store).state_dict())
        episodes = [*displaced(store), *looking_ahead(store), *alone(store)[::8]]
        return fit_value(network, episodes, epochs=store.epochs(12), rate=7e-4, seed=store.seed)

    return store.network("value_2", Value, fit)


def proposals(store: Store, rounds: int = ROUNDS) -> Proposals:
    """Return the second proposals, trained further on so many rounds of robust episodes."""
    if rounds == 0:
        return second_proposals(store)

    def fit(network: Proposals) -> Proposals:
        network.load_state_dict(proposals(store, rounds - 1).state_dict())
        episodes = solved([*looking_ahead(store), *all_robust(store, rounds)])
        return fit_proposals(network, episodes, epochs=store.epochs(20), rate=7e-4, seed=store.seed)

    return store.network(f"proposals_{1 + rounds}", Proposals, fit)


def value(store: Store, rounds: int = ROUNDS) -> Value:
    """Return the third value, trained further on so many rounds of robust episodes."""
    if rounds == 0:
        return third_value(store)

    def fit(network: Value) -> Value:
        network.load_state_dict(value(store, rounds - 1).state_dict())
        episodes = [*all_robust(store, rounds), *displaced(store), *alone(store)[::8]]
        return fit_value(network, episodes, epochs=store.epochs(8), rate=7e-4, seed=store.seed)

    return store.network(f"value_{2 + rounds}", Value, fit)


def robust(store: Store, number: int) -> list[Episode]:
    """Return the episodes of one round of the expert that values proposals under displacement."""
    name = f"robust_{number}"
    begin = joined(store.resets(13 + number, 400), store.some(stuck(store), 400, name)).states
    return store.episodes(
        name, lambda: expert(store, name, rounds=number - 1), begin, max_steps=200
    )


def all_robust(store: Store, rounds: int = ROUNDS) -> list[Episode]:
    """Return the episodes of the first rounds."""
    return [episode for number in range(1, rounds + 1) for episode in robust(store, number)]


def expert(
    store: Store,
    name: str,
    student: Student | None = None,
    rounds: int = ROUNDS,
    **settings: Any,
) -> Expert:
    """Return the expert that values proposals under displacement.

    name: of what it is to drive. rounds: that it has learned from. settings: see `Expert`.
    """
    settings = {"displaced": 8.0, "tolerance": 0.03, **settings}
    return Expert(
        proposals(store, rounds),
        value(store, rounds),
        seed=store.number(name),
        student=student,
        **settings,
    )
