"""E1.5, an extension of Part I: windows of what a policy visited, labelled by an expert."""

from typing import Any

import numpy as np

from score.questions.base import Array, Arrays, Question, Rng, call_with_hints, require
from score.questions.mistakes import Mistakes, first_hint, require_close

_STEPS = 15  # actions of a label
_WHAT = "relabelled"


class Relabelled(Question):
    """Windows of observations (M, 2, 5) that a policy saw and chunks (M, 16, 2): the action that it
    had just taken, and then those that an expert would take.

    Ross, Gordon & Bagnell, "A Reduction of Imitation Learning and Structured Prediction to
    No-Regret Online Learning", section 3; for chunks of actions.
    """

    name = "E1.5"

    def inputs(self, rng: Rng, trial: int) -> Arrays:
        """Times at equal distances; one; and in no order."""
        steps = (30, 20, 40)[trial]
        times = (np.arange(1, 30, 8), np.array([6]), rng.permutation(np.arange(1, 40))[:5])[trial]
        return {
            "states": rng.uniform(20, 500, (steps + 1, 5)),
            "actions": rng.uniform(20, 500, (steps, 2)),
            "times": times.astype(np.int64),
            "weight": rng.uniform(-1, 1, (10, _STEPS * 2)),
        }

    def call(self, answer: Any, inputs: Arrays) -> Arrays:
        def expert(observations: Any) -> Array:
            said = f"expert was called with a {type(observations).__name__}"
            hint = "a numpy array of the observations is what it takes."
            require(isinstance(observations, Array), f"{said}.", hint)
            shape = observations.shape
            said = f"expert was called with observations of shape {shape}"
            hint = "of each time the state before and the state itself, one behind the other."
            right = len(shape) == 3 and shape[1:] == (2, 5)
            require(right, f"{said} where (M, 2, 5) is needed.", hint)
            return _labels(observations.astype(np.float64), inputs["weight"])

        states, actions, times = (inputs[n].copy() for n in ("states", "actions", "times"))
        hint = "states[times] are those at the times, states[times - 1] those just before."
        hints = [((IndexError, ValueError), "", hint)]
        what = f"{_WHAT} at {len(times)} times"
        found = call_with_hints(what, answer, states, actions, times, expert, hints=hints)
        pair = isinstance(found, tuple | list) and len(found) == 2
        said = f"{_WHAT} returned a {type(found).__name__} where two arrays are needed."
        require(pair, said, "return observations, chunks.")
        arrays = []
        for name, array in zip(("observations", "chunks"), found, strict=True):
            said = f"The {name} are a {type(array).__name__}"
            hint = "np.stack and np.concatenate make arrays."
            require(isinstance(array, Array), f"{said} where a numpy array is needed.", hint)
            arrays.append(array.astype(np.float64))
        given = zip((states, actions, times), ("states", "actions", "times"), strict=True)
        same = all(np.array_equal(array, inputs[name]) for array, name in given)
        require(same, "What was handed over is changed.", "make new arrays.")
        return {"observations": arrays[0], "chunks": arrays[1]}

    def judge(self, inputs: Arrays, outputs: Arrays) -> None:
        states, actions, times = (inputs[name] for name in ("states", "actions", "times"))
        seen, chunks, count = outputs["observations"], outputs["chunks"], len(times)
        said = f"For {count} times came observations {seen.shape} where ({count}, 2, 5) is needed."
        hint = "stack the state before each time and the state at it: np.stack([…], axis=1)."
        require(seen.shape == (count, 2, 5), said, hint)
        right = np.stack([states[times - 1], states[times]], axis=1)
        hint = "states[times - 1], then states[times]."
        require_close(
            seen,
            right,
            "The observations are not what the policy saw.",
            _observations(states, times),
            hint,
        )
        said = f"For {count} times came chunks {chunks.shape} where ({count}, 16, 2) is needed."
        require(chunks.shape == (count, 16, 2), said, _chunk_hint(chunks.shape, count))
        labels = _labels(right, inputs["weight"])
        due = np.concatenate([actions[times - 1, None], labels], axis=1)
        hint = "first actions[times - 1], then what expert says to these observations."
        mistakes = _chunks(actions, times, labels, _labels(right[:, ::-1], inputs["weight"]))
        said = _which(chunks, due)
        require_close(chunks, due, said, mistakes, hint)


def _labels(observations: Array, weight: Array) -> Array:
    """Return what the expert of the check does: it depends on every number that it sees."""
    return (observations.reshape(len(observations), 10) @ weight).reshape(-1, _STEPS, 2)


def _which(chunks: Array, due: Array) -> str:
    same = np.isclose(chunks, due, rtol=1e-4, atol=1e-5).all(axis=(0, 2))
    if not same[0] and same[1:].all():
        return "The first action of the chunks is another than the one that is due."
    if same[0]:
        return "Of the chunks the first action is right, and the others are not."
    return "The chunks are not the right ones."


def _chunk_hint(shape: tuple[int, ...], count: int) -> str:
    missing = "in front of the expert's 15 actions comes the one that the policy had just taken:"
    return first_hint(
        (shape == (count, _STEPS, 2), f"{missing} actions[times - 1]."),
        (shape == (count, 17, 2), "one action of the policy in front, not two."),
        (shape == (count + count, _STEPS, 2), "join along the steps, axis=1."),
        (
            True,
            "actions[times - 1, None] has the shape (M, 1, 2); join it with (M, 15, 2), axis=1.",
        ),
    )


def _observations(states: Array, times: Array) -> Mistakes:
    def pair(first: Array, second: Array, hint: str) -> tuple[Array, str]:
        return np.stack([first, second], axis=1), hint

    before, now = states[times - 1], states[times]
    after = states[(times + 1) % len(states)]
    yield pair(now, before, "the older one comes first: states[times - 1], states[times].")
    hint = "they are one step late: the policy cannot see states[times + 1] yet."
    yield pair(now, after, hint)
    yield pair(after, now, hint)
    yield pair(now, now, "both are the same state: the first is the one before.")
    yield pair(before, before, "both are the state before: the second is states[times].")
    hint = "they are one step early: the second is states[times]."
    yield pair(states[times - 2], before, hint)
    yield pair(states[times - 2], now, "there is a step between them: the first is times - 1.")


def _chunks(actions: Array, times: Array, labels: Array, of_swapped: Array) -> Mistakes:
    def after(first: Array, rest: Array, hint: str) -> tuple[Array, str]:
        return np.concatenate([first[:, None], rest], axis=1), hint

    just, now = actions[times - 1], actions[times % len(actions)]
    hint = "a chunk begins at the time of the first observation: with actions[times - 1]."
    yield after(now, labels, hint)
    yield after(labels[:, 0], labels, f"the expert's first action stands there twice; {hint}")
    yield after(np.zeros_like(just), labels, f"it is zero; {hint}")
    steps = np.minimum(times[:, None] + np.arange(-1, 15), len(actions) - 1)
    hint = "these are the policy's own actions: the labels are what expert would do."
    yield actions[steps], hint
    hint = "the policy's action comes first, before the expert's."
    yield np.concatenate([labels, just[:, None]], axis=1), hint
    hint = "expert was called with the two observations in the other order."
    yield after(just, of_swapped, hint)
    yield after(just, labels[:, ::-1], "the expert's actions are in the wrong order.")
    yield after(just, labels[:1].repeat(len(labels), axis=0), "all have the first one's label.")
    hint = "the same single action is repeated: the expert gives 15 different ones."
    yield after(just, labels[:, :1].repeat(_STEPS, axis=1), hint)
