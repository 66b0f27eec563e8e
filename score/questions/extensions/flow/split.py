"""E4.3, an extension of Part IV: demonstrations split into training and validation by episode."""

from typing import Any

import numpy as np

from score.questions.base import Array, Arrays, Question, Rng, call_with_hints, require, wrong
from score.questions.mistakes import first_hint

_WHAT = "split_episodes"
_DRAWS = 60  # a split: one that an honest draw fails has a chance below 1e-6


class EpisodeSplit(Question):
    """Steps of `count` episodes, drawn at random, and steps of all others, both in rising order."""

    name = "E4.3"

    def inputs(self, rng: Rng, trial: int) -> Arrays:
        """Short and long episodes; of one step each; more for training than for validation."""
        lengths = (rng.integers(2, 12, 10), np.ones(8, dtype=np.int64), rng.integers(3, 9, 7))[
            trial
        ]
        return {
            "episode_ends": np.cumsum(lengths).astype(np.int64),
            "count": (4, 3, 5)[trial],
            "seed": int(rng.integers(2**31)),
        }

    def call(self, answer: Any, inputs: Arrays) -> Arrays:
        """Split many times with one generator, and once more with another of the same seed."""
        draws = [self._split(answer, inputs, np.random.default_rng(inputs["seed"]))]
        generator = np.random.default_rng(inputs["seed"])
        draws += [self._split(answer, inputs, generator) for _ in range(_DRAWS)]
        return {"training": [one[0] for one in draws], "validation": [one[1] for one in draws]}

    def _split(self, answer: Any, inputs: Arrays, generator: Rng) -> list[Array]:
        ends, hint = inputs["episode_ends"].copy(), "flat arrays of steps are needed."
        arguments = ends, inputs["count"], generator
        hints = [((AttributeError,), "", "generator is numpy's: generator.permutation(…).")]
        found = call_with_hints(_WHAT, answer, *arguments, hints=hints)
        pair = isinstance(found, tuple | list) and len(found) == 2
        said = f"{_WHAT} returned a {type(found).__name__} where two arrays are needed."
        require(pair, said, "return the steps of training, then those of validation.")
        for name, steps in zip(("training", "validation"), found, strict=True):
            said = f"The steps of {name} are a {type(steps).__name__} where an array is needed."
            require(isinstance(steps, Array), said, "np.flatnonzero gives the steps of a mask.")
            said = f"The steps of {name} are {steps.dtype} of shape {steps.shape}."
            masks = "np.flatnonzero makes numbers of steps of a mask."
            require(steps.dtype != bool, said, masks)
            require(np.issubdtype(steps.dtype, np.integer) and steps.ndim == 1, said, hint)
        require(
            np.array_equal(ends, inputs["episode_ends"]), "episode_ends is changed.", "copy it."
        )
        return [steps.astype(np.int64) for steps in found]

    def judge(self, inputs: Arrays, outputs: Arrays) -> None:
        ends, count = inputs["episode_ends"], inputs["count"]
        draws = list(zip(outputs["training"], outputs["validation"], strict=True))
        chosen = [_chosen(training, validation, ends, count) for training, validation in draws]
        hint = "draw with the generator that is handed over, and with nothing else."
        said = "Two generators of the same seed give different splits."
        require(chosen[0] == chosen[1], said, hint)
        said = "Every call gives the same split, though the generator goes on."
        hint = "draw the episodes: generator.permutation(len(episode_ends))[:count]."
        require(len(set(chosen)) > 1, said, hint)
        times = np.bincount([i for one in chosen for i in one], minlength=len(ends))
        if not times.all() or times.max() == len(chosen):
            never = "is never" if not times.all() else "is always"
            which = times.argmin() if not times.all() else times.argmax()
            said = f"In {len(chosen)} splits episode {which} {never} one of training."
            raise wrong(said, "each has the same chance: draw count of all of them.")


def _chosen(training: Array, validation: Array, ends: Array, count: int) -> tuple[int, ...]:
    """Return the episodes of training; AnswerError where these are not the steps of a split."""
    steps = int(ends[-1])
    both = np.concatenate([training, validation])
    said = f"There are steps from {both.min(initial=0)} to {both.max(initial=0)}"
    hint = "the last step is episode_ends[-1] - 1."
    require((both >= 0).all() and (both < steps).all(), f"{said} of {steps}.", hint)
    numbers = sorted(both.tolist()) == list(range(len(ends))) and len(ends) < steps
    hint = "the steps are needed, not the numbers of the episodes."
    require(not numbers, f"There are {len(both)} numbers for {steps} steps.", hint)
    of = np.searchsorted(ends, np.arange(steps), side="right")
    mine, others = ({*map(int, of[each])} for each in (training, validation))
    number = f"{len(ends)} episodes of {steps} steps, {count} of them for training:"
    if shared := sorted(mine & others):
        leak = f"{number} steps of episode {shared[0]} are in both."
        raise wrong(leak, _leak_hint(training, validation, ends))
    said = f"{number} {len(both)} steps came, {len({*both.tolist()})} of them different."
    hint = _number_hint(len(mine), len(others), len(ends), both, ends)
    require(sorted(both.tolist()) == list(range(steps)), said, hint)
    said = f"{number} {len(mine)} are in training."
    hint = first_hint(
        (len(others) == count, "the two are swapped: training comes first."),
        (True, "count is the number of episodes for training, whatever their lengths."),
    )
    require(len(mine) == count, said, hint)
    rising = (np.diff(training) > 0).all() and (np.diff(validation) > 0).all()
    hint = "sort them, so that an episode's steps stay in order; np.flatnonzero gives them so."
    require(rising, f"{number} the steps are in another order.", hint)
    return tuple(sorted(mine))


def _leak_hint(training: Array, validation: Array, ends: Array) -> str:
    """Return why an episode is in both parts."""
    late = np.intersect1d(ends, training).size + np.intersect1d(ends, validation).size
    cuts = np.flatnonzero(np.diff(np.isin(np.arange(ends[-1]), training)))
    shifted = len(cuts) > 0 and np.isin(cuts, ends).all() and late
    return first_hint(
        (np.intersect1d(training, validation).size, "no step may be in both."),
        (shifted, "episode_ends are one past the last step: the next episode begins there."),
        (True, "draw episodes and not steps, and take all steps of each."),
    )


def _number_hint(mine: int, others: int, episodes: int, both: Array, ends: Array) -> str:
    return first_hint(
        (mine + others < episodes, "every episode belongs to one of the two."),
        (both.size > ends[-1], "each step once."),
        (True, "all steps of each episode: from the end of the one before to its own end."),
    )
