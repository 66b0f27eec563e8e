"""E1.4, an extension of Part I: how far a policy is from what was demonstrated."""

from typing import Any

import numpy as np

from score.questions.base import Array, Arrays, Question, Rng, call_with_hints, require
from score.questions.mistakes import Mistakes, first_hint, require_close

_WHAT = "nearest_distance"


class NearestDistance(Question):
    """The distances (T,) [px] of states (T, 5) to the nearest of demonstrated ones (N, 5).

    A turn counts as `radius` px for each radian, the shorter way round.
    """

    name = "E1.4"

    def inputs(self, rng: Rng, trial: int) -> Arrays:
        """Several of each, on both sides of a full turn; as many of one as of the other, so that a
        wrong axis keeps the shape; a single one of each.
        """
        counts = ((6, 9), (7, 7), (1, 1))[trial]
        states, demonstrated = (_states(rng, count) for count in counts)
        if trial == 0:  # the nearest of the first is beyond the full turn; the second was shown
            demonstrated[4] = states[0] + [3, -4, 6, 2, 0]
            states[0, 4], demonstrated[4, 4] = 0.05, 2 * np.pi - 0.2
            demonstrated[1] = states[1]
        return {"states": states, "demonstrated": demonstrated, "radius": (60.0, 25.0, 90.0)[trial]}

    def call(self, answer: Any, inputs: Arrays) -> Arrays:
        names = ("states", "demonstrated")
        given = [inputs[name].copy() for name in names]
        what = f"{_WHAT} of states {given[0].shape} and demonstrated ones {given[1].shape}"
        hint = "states[:, None] - demonstrated has the shape (T, N, 5)."
        hints = [((IndexError, ValueError), "", hint)]
        found = call_with_hints(what, answer, *given, inputs["radius"], hints=hints)
        found = np.asarray(found) if isinstance(found, np.generic) else found
        said = f"{_WHAT} returned a {type(found).__name__} where a numpy array is needed."
        require(isinstance(found, Array), said, "the minimum over an axis is one.")
        said = f"{_WHAT} returned {found.dtype} where floats are needed."
        hint = "np.argmin gives the number of the nearest state: the distance is needed, .min()."
        require(np.issubdtype(found.dtype, np.floating), said, hint)
        same = all(np.array_equal(g, inputs[name]) for g, name in zip(given, names, strict=True))
        require(same, "The states that were handed over are changed.", "work on a new array.")
        return {"distance": found.astype(np.float64)}

    def judge(self, inputs: Arrays, outputs: Arrays) -> None:
        states, demonstrated, radius = (inputs[n] for n in ("states", "demonstrated", "radius"))
        distance, count = outputs["distance"], len(states)
        found = f"From {count} states and {len(demonstrated)} demonstrated ones came"
        said = f"{found} {distance.shape} where ({count},) is needed."
        require(distance.shape == (count,), said, _shape_hint(distance.shape, inputs))
        each = _distances(*_parts(states, demonstrated, radius))
        right = each.min(axis=1)
        worst = int(np.nan_to_num(np.abs(distance - right), nan=np.inf).argmax())
        numbers = f"is {distance[worst]:.4g} px where {right[worst]:.4g} px is right"
        said = f"With a radius of {radius:g} px the distance of state {worst} {numbers}."
        hint = "differences, the angle's the shorter way and times radius; root of the squares' sum"
        mistakes = _mistakes(states, demonstrated, radius)
        require_close(distance, right, said, mistakes, f"{hint}; then the minimum.")


def _states(rng: Rng, count: int) -> Array:
    return np.column_stack([rng.uniform(60, 450, (count, 4)), rng.uniform(0, 2 * np.pi, count)])


def _parts(states: Array, demonstrated: Array, radius: float) -> tuple[Array, Array]:
    """Return the differences in the positions (T, N, 4), and the turns (T, N), all in px."""
    return states[:, None, :4] - demonstrated[:, :4], radius * _shorter(_turn(states, demonstrated))


def _turn(states: Array, demonstrated: Array) -> Array:
    return states[:, None, 4] - demonstrated[:, 4]


def _shorter(turn: Array) -> Array:
    return (turn + np.pi) % (2 * np.pi) - np.pi


def _distances(places: Array, turns: Array) -> Array:
    return np.sqrt(np.square(places).sum(axis=-1) + np.square(turns))


def _shape_hint(shape: tuple[int, ...], inputs: Arrays) -> str:
    count, others = len(inputs["states"]), len(inputs["demonstrated"])
    axis = "a distance for each state: take the minimum over the demonstrated ones, axis=1."
    return first_hint(
        (shape == (count, others), "these are all distances: take the minimum over axis=1."),
        (shape == (others,), f"these belong to the demonstrated states; needed is {axis}"),
        (shape == (), f"one number came for all states; needed is {axis}"),
        (shape == (count, 1), "without a last dimension of 1: leave out keepdims."),
        (shape[-1:] == (5,), "sum over the five differences, axis=-1."),
        (True, axis),
    )


def _mistakes(states: Array, demonstrated: Array, radius: float) -> Mistakes:
    places, turns = _parts(states, demonstrated, radius)
    right, turn = _distances(places, turns), _turn(states, demonstrated)

    def nearest(hint: str, *parts: Array) -> tuple[Array, str]:
        return _distances(*parts).min(axis=1), hint

    shorter = "angles go round: 0.1 and 2π - 0.1 are 0.2 apart, so take the shorter way,"
    wrap = f"{shorter} (turn + np.pi) % (2 * np.pi) - np.pi."
    yield nearest(wrap, places, radius * turn)
    hint = f"{shorter} with np.pi added before and taken away after the remainder."
    yield nearest(hint, places, radius * (turn % (2 * np.pi)))
    yield nearest(hint, places, radius * (turn % (2 * np.pi) - np.pi))
    yield nearest(hint, places, radius * ((turn + np.pi) % (2 * np.pi)))
    yield nearest("angles go round after 2π, not after π.", places, radius * _half(turn))
    yield nearest("radius is left out: it makes pixels of radians.", places, turns / radius)
    hint = "the turn is squared, radius is not: square their product."
    yield nearest(hint, places, turns / radius**0.5)
    yield nearest("the angle is in radians already: no degrees.", places, np.rad2deg(turns))
    hint = "the angle is left out, or divided by radius: multiply, px = radius times rad."
    yield nearest(hint, places, 0 * turns)
    yield nearest("the block is left out.", places[..., :2], 0 * turns)
    yield nearest("the agent is left out.", places[..., 2:], turns)
    yield right.min(axis=1) ** 2, "the root is missing."
    yield right.mean(axis=1), "this is the mean distance: the nearest counts, .min(axis=1)."
    yield right.max(axis=1), "this is the distance to the farthest: take the minimum."
    yield right[:, 0], "this is the distance to the first demonstrated state: take the minimum."
    hint = "the sum of the absolute differences is taken: the root of the sum of their squares."
    sums = np.abs(places).sum(axis=-1) + np.abs(turns)
    yield sums.min(axis=1), hint
    hint = "the mean of the squares is taken: sum over the five, as the formula says."
    yield right.min(axis=1) / 5**0.5, hint
    parts = np.concatenate([np.abs(places), np.abs(turns)[..., None]], axis=-1)
    hint = "each of the five has a nearest state of its own here: sum first, then the minimum."
    yield np.sqrt(np.square(parts.min(axis=1)).sum(axis=-1)), hint
    yield parts.max(axis=-1).min(axis=1), "this is the largest difference: take all five together."
    if len(states) == len(demonstrated):
        hint = "states are compared one by one: each with all demonstrated ones, states[:, None]."
        yield np.diagonal(right), hint
        yield right.min(axis=0), "the minimum is taken over the states: over axis=1."


def _half(turn: Array) -> Array:
    return (turn + np.pi / 2) % np.pi - np.pi / 2
