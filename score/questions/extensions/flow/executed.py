"""E4.2, an extension of Part IV: which actions of a chunk are executed."""

from typing import Any

import numpy as np

from score.questions.base import Array, Arrays, Question, Rng, call_with_hints, require, wrong
from score.questions.mistakes import Mistakes, first_hint, hint_of
from score.verdict import AnswerError

_RAISE = "compare first: if obs_horizon - 1 + action_horizon > chunk.shape[1]: raise ValueError(…)."


class ExecutedActions(Question):
    """Chunks (B, Tp, action_dim) cut to the actions that are executed, (B, Ta, action_dim).

    Action 0 belongs to the first of the observations. ValueError where a chunk is too short.
    """

    name = "E4.2"

    def inputs(self, rng: Rng, trial: int) -> Arrays:
        """Part I's chunks; Part IV's, where all may be executed; others. The last is too short.

        Without the third argument, one observation is seen: None stands for that.
        """
        shape, asked = (
            ((4, 16, 2), [(8, 2), (15, 2), (1, 2), (16, 2)]),
            ((3, 8, 2), [(3, None), (8, None), (1, 1), (9, None)]),
            ((5, 7, 3), [(2, 4), (4, 4), (3, 1), (5, 4)]),
        )[trial]
        return {"chunk": rng.uniform(0, 512, shape), "asked": asked}

    def call(self, answer: Any, inputs: Arrays) -> Arrays:
        outputs: Arrays = {"executed": [], "chunks": []}
        for action_horizon, obs_horizon in inputs["asked"]:
            chunk = inputs["chunk"].copy()
            more = () if obs_horizon is None else (obs_horizon,)
            what = f"executed of chunks {chunk.shape} with action_horizon {action_horizon}"
            outputs["executed"].append(_answered(what, answer, chunk, action_horizon, *more))
            outputs["chunks"].append(chunk)
        return outputs

    def judge(self, inputs: Arrays, outputs: Arrays) -> None:
        chunk = inputs["chunk"]
        for asked, found, after in zip(
            inputs["asked"], outputs["executed"], outputs["chunks"], strict=True
        ):
            same = np.array_equal(after, chunk)
            hint = "return a part of the chunk, and assign into nothing."
            require(same, "The chunk that was handed over is changed.", hint)
            _judge(chunk, asked[0], asked[1] or 1, found)


def _answered(what: str, answer: Any, *given: Any) -> Array | None:
    """Return what an answer returns; None where it raises ValueError, as it should at times."""
    try:
        found = call_with_hints(what, answer, *given, hints=())
    except AnswerError as error:
        if type(error.__cause__) is ValueError:
            return None
        raise
    said = f"executed returned a {type(found).__name__} where an array is needed."
    require(isinstance(found, Array), said, "chunk[:, …] is one.")
    return found.copy()


def _judge(chunk: Array, action_horizon: int, obs_horizon: int, found: Array | None) -> None:
    length = chunk.shape[1]
    first, last = obs_horizon - 1, obs_horizon - 1 + action_horizon
    given = f"With action_horizon {action_horizon} and obs_horizon {obs_horizon}"
    if last > length:
        said = f"{given} a chunk of {length} actions is too short, and no ValueError was raised."
        require(found is None, said, f"a slice just gets shorter; {_RAISE}")
        return
    numbers = f"{first} to {last - 1}" if action_horizon > 1 else f"{first} alone"
    said = f"{given} the executed actions of a chunk of {length} are {numbers}"
    if found is None:
        raise wrong(f"{said}; a ValueError was raised.", _raised_hint(last, length))
    right, hint = chunk[:, first:last], _hint(chunk, action_horizon, obs_horizon, found)
    shapes = f"; what came has shape {found.shape}, not {right.shape}." * (
        found.shape != right.shape
    )
    require(np.array_equal(found, right), f"{said}{shapes or ', others came.'}", hint)


def _raised_hint(last: int, length: int) -> str:
    whole = "a chunk may be executed to its end: > and not >=."
    return first_hint(
        (last == length, whole),
        (True, "raise it only where obs_horizon - 1 + action_horizon is more than the chunk has."),
    )


def _hint(chunk: Array, action_horizon: int, obs_horizon: int, found: Array) -> str:
    known = hint_of(found, _mistakes(chunk, action_horizon, obs_horizon), rtol=0, atol=0)
    few = found.ndim == 3 and found.shape[1] < action_horizon
    return known or first_hint(
        (found.ndim != 3, "the batch and the coordinates stay: chunk[:, first:last]."),
        (len(found) != len(chunk), "the first dimension is the batch: chunk[:, first:last]."),
        (few, "the slice ends too early: its end is obs_horizon - 1 + action_horizon."),
        (True, "chunk[:, obs_horizon - 1 : obs_horizon - 1 + action_horizon]."),
    )


def _mistakes(chunk: Array, action_horizon: int, obs_horizon: int) -> Mistakes:
    first = obs_horizon - 1
    last = first + action_horizon
    if first:
        past = "actions before obs_horizon - 1 are past already:"
        yield chunk[:, :action_horizon], f"{past} begin there, not at 0."
        yield chunk[:, :last], f"{past} begin there."
        hint = "the end counts from the beginning of the slice: obs_horizon - 1 + action_horizon."
        yield chunk[:, first:action_horizon], hint
    if last < chunk.shape[1]:
        hint = "action obs_horizon - 1 belongs to the last observation: begin with it, one earlier."
        yield chunk[:, first + 1 : last + 1], hint
        yield chunk[:, first + 1 : last], hint
        yield chunk[:, first : last + 1], "one too many: the end of a slice is not in it."
        yield chunk[:, first:], "action_horizon is left out: the rest of the chunk is not executed."
        yield chunk, "this is the whole chunk: action_horizon says how many are executed."
    yield chunk[:, -action_horizon:], "these are the last actions: begin at obs_horizon - 1."
    yield chunk[:, first : last - 1], "one is missing: the end of a slice is not in it."
    yield chunk[:, first:last][:, ::-1], "the order is reversed."
    batch = "the first dimension is the batch, the second one time: chunk[:, first:last]."
    yield chunk[first:last], batch
    yield chunk[:action_horizon], batch
    yield chunk[..., first:last], "the last dimension is the coordinates: chunk[:, first:last]."
    yield chunk[0, first:last], "this is the first of the batch alone: chunk[:, first:last]."
