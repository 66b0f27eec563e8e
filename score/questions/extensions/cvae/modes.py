"""E2.2, an extension of Part II: the number of ways that a set of chunks takes."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from score.questions.base import Array, Arrays, Question, Rng, call_with_hints, require, wrong
from score.questions.mistakes import first_hint
from score.verdict import call_answer

_SPREAD = 0.4  # px, of what the chunks of a check differ by besides the way
_RULE = (
    "project the centred chunks on their first principal direction, divide by the root of Tp, sort,"
    " cut where two neighbours are more than gap apart, count the groups of at least `least`."
)


class Modes(Question):
    """The number of groups of chunks (n, Tp, 2) [px] that a gap separates, with at least so many
    chunks in each, along the direction in which they differ most.
    """

    name = "E2.2"

    def inputs(self, rng: Rng, trial: int) -> Arrays:
        """Sets of chunks whose groups are known; the notebook's numbers, then others."""
        gap, least, length = ((15.0, 4, 16), (15.0, 2, 16), (8.0, 3, 9))[trial]

        def case(*groups: tuple[float, int], turns: bool = False) -> dict[str, Any]:
            chunks = _chunks(rng, length, [(at * gap, count) for at, count in groups], turns)
            return {"chunks": chunks, "gap": gap, "least": least}

        few, near = least - 1, 0.8
        cases = [
            case((0, 9 + least), (2.5, 6 + least)),
            case((0, 5), (near, 5), (2 * near, 5), (3 * near, 5)),
            case((0, 8), (1.25, 7), (2.5, few), (3.9, 9)),
            case((0, few), (1.6, 12), (3.2, least)),
            case((0, 2 * least)),
            case((0, few)),
            case((0, 1), (5, 1), (9, 1), (14, 1)),
            case((0, 6), (1.3, few), (2.6, 6), (2.6 + near, 4)),
            case((0, 7), (1.6, 8), turns=True),
            case((0, least + 1), (1.6, 12), (7, 8)),
            case((0, 5), (0.4, 5)),
        ]
        same = np.repeat(cases[0]["chunks"][:1], 2 * least, axis=0)
        return {"cases": [*cases, {"chunks": same, "gap": gap, "least": least}]}

    def call(self, answer: Any, inputs: Arrays) -> Arrays:
        counts = []
        for case in inputs["cases"]:
            chunks = case["chunks"].copy()
            what = f"modes of chunks {chunks.shape}"
            found = call_with_hints(what, answer, chunks, case["gap"], case["least"], hints=())
            hint = "build new arrays; a -= … changes the caller's."
            same = np.array_equal(chunks, case["chunks"])
            require(same, "The chunks that were handed over are changed.", hint)
            counts.append(_whole(what, found))
        return {"counts": counts}

    def judge(self, inputs: Arrays, outputs: Arrays) -> None:
        counts, right = outputs["counts"], _of_each(inputs, Rule())
        if counts == right:
            return
        triples = zip(inputs["cases"], counts, right, strict=True)
        case, found, expected = next(triple for triple in triples if triple[1] != triple[2])
        along = ", ".join(f"{at:.0f}" for at in Rule().along(case["chunks"]))
        shape = case["chunks"].shape
        said = (
            f"Of chunks {shape} with gap {case['gap']:g} and least {case['least']}, {found} modes"
            f" were counted where {expected} is right: along the direction they are at {along} px."
        )
        raise wrong(said, _hint(inputs, counts))


def _chunks(rng: Rng, length: int, groups: list[tuple[float, int]], turns: bool) -> Array:
    """Return chunks (n, length, 2) [px] in groups (place along one direction [px], number).

    turns: whether they differ to one side first and to the other in the end.
    """
    centre = rng.uniform(120, 390, 2) + np.linspace(0, 1, length)[:, None] * rng.normal(size=2) * 60
    direction = np.linspace(-1 if turns else 0.3, 1, length)[:, None] * rng.normal(size=2)
    direction /= np.linalg.norm(direction)
    along = np.repeat(*map(np.array, zip(*groups, strict=True))).astype(float)
    along = rng.permutation(along) * length**0.5 * rng.choice([-1, 1])
    noise = rng.uniform(-_SPREAD, _SPREAD, (len(along), length, 2))
    return np.round(centre + along[:, None, None] * direction + noise, 3)


def _whole(what: str, found: Any) -> int:
    number = call_answer(what, lambda: float(found))
    kind = type(found).__name__
    said = f"modes returned {number:g}, a {kind}, where a whole number is needed."
    require(number == int(number) if np.isfinite(number) else False, said, "count the groups.")
    return int(number)


class Rule(NamedTuple):
    """How modes are counted, and how they are when one thing is done in another way."""

    along: Callable[[Array], Array] = lambda chunks: np.sort(_projected(chunks))
    cut: Callable[[Array, float], Array] = lambda steps, gap: steps > gap
    counted: Callable[[Array, int], int] = lambda sizes, least: int(np.sum(sizes >= least))

    def modes(self, chunks: Array, gap: float, least: int) -> int:
        """Return the number of modes by this rule."""
        along = self.along(chunks)
        ends = np.flatnonzero(self.cut(np.diff(along), gap)) + 1
        return self.counted(np.diff(np.r_[0, ends, len(along)]), least)


def _projected(chunks: Array, which: int = 0, centre: bool = True) -> Array:
    """Return where chunks are along a principal direction [px per action]."""
    flat = chunks.reshape(len(chunks), -1)
    flat = flat - flat.mean(axis=0) if centre else flat
    directions = np.linalg.svd(flat, full_matrices=False)[2]
    direction = directions[min(which, len(directions) - 1)]
    return flat @ direction / chunks.shape[1] ** 0.5


def _of_each(inputs: Arrays, rule: Rule) -> list[int]:
    return [rule.modes(**case) for case in inputs["cases"]]


def _mistakes() -> Iterator[tuple[Rule, str]]:
    """Yield rules that do one thing in another way, with the hint."""
    yield from _of_counting()
    yield Rule(cut=lambda steps, gap: steps > 15), "15 is fixed: take `gap`."
    for place, hint in _of_places():
        yield _along(place), hint
    yield Rule(along=_projected), "sort before you take differences of neighbours."
    yield Rule(cut=lambda steps, gap: steps > 2 * gap), "gap is doubled."
    yield Rule(cut=lambda steps, gap: steps > gap / 2), "gap is halved."


def _along(place: Callable[[Array], Array]) -> Rule:
    return Rule(along=lambda chunks: np.sort(place(chunks)))


def _of_counting() -> Iterator[tuple[Rule, str]]:
    def counted(count: Callable[[Array, int], int], hint: str) -> tuple[Rule, str]:
        return Rule(counted=count), hint

    large = "groups that are too small are counted too: only those of at least `least` count."
    yield counted(lambda sizes, least: len(sizes), large)
    yield counted(lambda sizes, least: int(np.sum(sizes > least)), "`least` is enough: >=, not >.")
    yield counted(lambda sizes, least: len(sizes) - 1, "this is the number of gaps, one less.")
    hint = "one is missing: the group behind the last gap, or before the first."
    yield counted(lambda sizes, least: int(np.sum(sizes >= least)) - 1, hint)
    hint = "there may be no mode at all, where no group is large enough."
    yield counted(lambda sizes, least: max(1, int(np.sum(sizes >= least))), hint)
    yield counted(lambda sizes, least: int(np.sum(sizes >= 4)), "4 is fixed: take `least`.")
    yield counted(lambda sizes, least: int(np.sum(sizes >= 2)), "2 is fixed: take `least`.")
    yield counted(lambda sizes, least: int(sizes.max()), "this is how many chunks a group has.")


def _of_places() -> Iterator[tuple[Callable[[Array], Array], str]]:
    """Yield other places of chunks along a direction, each with its hint."""
    root = "divide what is along the direction by the root of Tp, so that gap is px per action:"
    yield lambda c: _projected(c) * c.shape[1] ** 0.5, f"{root} it is missing."
    yield lambda c: _projected(c) * 0.5**0.5, f"{root} chunk.shape[1] of them, not twice as many."
    yield lambda c: _projected(c) / c.shape[1] ** 0.5, f"{root} not by Tp itself."
    yield lambda c: _projected(c, 0, False), "take the mean of the chunks away."
    first = "take the first principal direction, the one of the largest variance: svd gives it"
    yield lambda c: _projected(c, 1), f"{first} first."
    yield lambda c: _projected(c, -1), f"{first} first, eigh of a covariance last."
    yield lambda c: np.abs(_projected(c)), "both sides of the mean differ: no abs."
    ends = "all steps of a chunk count, not"
    yield lambda c: c[:, -1, 0], f"{ends} the last action's x alone."
    yield lambda c: c[:, -1, 1], f"{ends} the last action's y alone."
    yield lambda c: _projected(c[:, -1:]), f"{ends} the last action alone."
    yield lambda c: _projected(c[:, :1]), f"{ends} the first action alone."
    yield lambda c: _projected(c.mean(axis=1, keepdims=True)), f"{ends} their mean."
    yield _away, "this is the distance from the mean: two ways may be equally far from it."


def _away(chunks: Array) -> Array:
    return np.sqrt(np.square(chunks - chunks.mean(axis=0)).sum(axis=2).mean(axis=1))


def _hint(inputs: Arrays, counts: list[int]) -> str:
    known = (hint for rule, hint in _mistakes() if _of_each(inputs, rule) == counts)
    return next(known, "") or first_hint(
        (len(set(counts)) == 1, f"it is {counts[0]} whatever the chunks are: {_RULE}"),
        (True, _RULE),
    )
