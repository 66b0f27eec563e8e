"""From the expert to demonstrations that a small network can learn from.

A student, a least-squares policy, learns what the expert does, and the expert then prefers what the
student would do; this repeats. Apprentices learn from as few episodes as the set will have, and the
expert shows how to go on from where they get stuck.
"""

from collections.abc import Sequence

import numpy as np
import torch

from pusht.expert.driving import Driver, Episode, solved
from pusht.expert.networks import Student
from pusht.expert.planning import Disturbance
from score.course.tools.demonstrations import learning
from score.course.tools.demonstrations.fitting import fit_student
from score.course.tools.demonstrations.networks import FlowStudent, TwoStateStudent
from score.course.tools.demonstrations.starts import Starts, joined
from score.course.tools.demonstrations.store import Store

GENERATIONS = 3
# What apprentices are, whose teachable episodes they learn, and for how many epochs. The last two
# are such as the course's policies that should do well on the set.
_APPRENTICES: Sequence[tuple[type[Student], int, int]] = (
    (Student, 1, 150),
    (Student, 1, 150),
    (TwoStateStudent, GENERATIONS, 150),
    (FlowStudent, GENERATIONS, 300),
)


def student(store: Store, generation: int) -> Student:
    """Return the student of all that is worth learning so far, trained further on what the
    generations before it were taught.
    """

    def fit(network: Student) -> Student:
        if generation == 1:
            episodes = solved(learning.all_robust(store))
            network.normalise_like(episodes)
            epochs, rate = store.epochs(50), 1e-3
        else:
            network.load_state_dict(student(store, generation - 1).state_dict())
            episodes = [] if generation > 2 else solved(learning.robust(store, learning.ROUNDS))
            for earlier in range(1, generation):
                episodes += solved(teachable(store, earlier))
            epochs, rate = store.epochs(40), 7e-4
        return fit_student(network, episodes, epochs=epochs, rate=rate, seed=store.seed)

    return store.network(f"student_{generation}", Student, fit)


def teachable(store: Store, generation: int) -> list[Episode]:
    """Return episodes of the expert that prefers what the student of this generation would do."""
    name = f"teachable_{generation}"
    pool = learning.stuck(store) if generation == 1 else learners(store, 0, 1)
    begin = joined(store.resets(20 + generation, 350), store.some(pool, 250, name)).states
    return store.episodes(
        name,
        lambda: learning.expert(store, name, student(store, generation)),
        begin,
        max_steps=200,
    )


def apprentice(store: Store, number: int) -> Student:
    """Return a student of half of a generation's teachable episodes, about as many as the set has.

    number: in the table of apprentices.
    """
    kind, generation, epochs = _APPRENTICES[number]

    def fit(network: Student) -> Student:
        episodes = solved(teachable(store, generation))[number % 2 :: 2]
        network.normalise_like(episodes)
        return fit_student(
            network, episodes, epochs=store.epochs(epochs), rate=1e-3, seed=store.seed + number
        )

    return store.network(f"apprentice_{number}", kind, fit)


def learners(store: Store, *numbers: int) -> np.ndarray:
    """Return states (N, 5) in which these apprentices were when they failed."""
    episodes: list[Episode] = []
    for number in numbers:
        name = f"apprentice_{number}"

        def driver(number: int = number, name: str = name) -> Driver:
            network = apprentice(store, number)
            generator = torch.Generator().manual_seed(store.number(name))
            return lambda worlds, seen: network.act(seen, generator)

        begin = store.resets(30 + number, 200).states
        episodes += store.episodes(name, driver, begin, max_steps=300)
    return learning.visited(episodes, store.number("learners"))


def final_starts(store: Store) -> Starts:
    """Return where the episodes of the set set off from, each place once."""
    begin = joined(
        store.resets(40, 240),
        store.some(learning.stuck(store), 60, "final"),
        store.some(learners(store, 0, 1), 100, "final"),
        store.some(learners(store, 2, 3), 300, "final"),
    )
    _, first = np.unique(begin.states, axis=0, return_index=True)
    return begin[np.sort(first)]


def final(store: Store, tries: int = 2) -> list[Sequence[Episode]]:
    """Return tries of the episodes of the set, one from each of `final_starts` in each: first of
    the teachable expert, whose actions are displaced now and then; then one of the expert that
    minds no student, for other ways.
    """
    begin = final_starts(store).states
    found: list[Sequence[Episode]] = [
        store.episodes(
            name,
            lambda: learning.expert(
                store,
                name,  # noqa: B023
                student(store, GENERATIONS),
                displaced=6.0,
                tolerance=0.02,
                disturbance=Disturbance(10.0, share=0.35, below=0.85),
            ),
            begin,
            max_steps=185,
        )
        for name in [f"final_{number}" for number in range(tries)]
    ]
    others = store.episodes(
        "final_others", lambda: learning.expert(store, "final_others"), begin, max_steps=185
    )
    return [*found, others]
