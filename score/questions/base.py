"""Questions: inputs -> the student's function -> outputs -> a verdict.

The methods of a question stand on two sides of a border. In practice all of them run in the
student's process; when a notebook is graded they are divided:

    in the grader             `inputs`, `judge` and what judges use: `expected`, `mistakes`, …
    in the student's process  `call`

What crosses is plain data and arrays (`score.protocol`). A judge sees `inputs` and `outputs` alone.
Outputs may be forged, so it judges their shapes and types too. Outputs with which it raises any
other error than `AnswerError` earn no points either, and the grader reports them.

Questions keep no state: both processes have an object of their own.
"""

import abc
import re
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch

from score.verdict import HINT, AnswerError, call_answer

Array = np.ndarray
Arrays = dict[str, Any]  # names -> arrays and plain data, as they cross between the processes
Rng = np.random.Generator
TRIALS = 3


class Question(abc.ABC):
    """One question or extension, such as "Q2.2": its inputs, the call of an answer, its judge."""

    name: str

    @abc.abstractmethod
    def inputs(self, rng: Rng, trial: int) -> Arrays:
        """Return the inputs of one trial out of `TRIALS`. Runs in the grader."""

    @abc.abstractmethod
    def call(self, answer: Any, inputs: Arrays) -> Arrays:
        """Return what an answer makes of the inputs; AnswerError where it makes nothing.

        Runs in the student's process, where answers get copies that they may change in place.
        """

    @abc.abstractmethod
    def judge(self, inputs: Arrays, outputs: Arrays) -> None:
        """Raise AnswerError with a sentence and a hint where outputs are wrong. In the grader."""

    def caller(self, answer: Any) -> Callable[[Arrays], Arrays]:
        """Return the function from inputs to what the answer makes of them."""

        def call(inputs: Arrays) -> Arrays:
            with torch.enable_grad():  # an earlier answer may have switched gradients off
                return self.call(answer, inputs)

        return call

    def find_mistake(self, call: Callable[[Arrays], Arrays], rng: Rng) -> str:
        """Return what is wrong with an answer in a sentence or two, or "" where nothing is.

        call: function from inputs to outputs, in this process or across the border.
        """
        try:
            for trial in range(TRIALS):
                inputs = self.inputs(rng, trial)
                outputs = call(inputs)
                with torch.enable_grad():
                    self.judge(inputs, outputs)
        except AnswerError as error:
            return str(error)
        return ""


def wrong(sentence: str, hint: str) -> AnswerError:
    """Return the error to raise for an answer: what is wrong, and the hint that names why."""
    return AnswerError(f"{sentence}{HINT}{hint}")


def require(right: Any, sentence: str, hint: str) -> None:
    """Raise the error of `wrong` unless something is right."""
    if not right:
        raise wrong(sentence, hint)


def with_hint(error: AnswerError, hint: str) -> AnswerError:
    """Return the error with another hint."""
    return wrong(str(error).split(HINT)[0], hint)


# For `judge`, in the grader.


def as_sent(array: Any, *shape: int) -> Array:
    """Return an array that came from `call`, of the shape that `call` gives it.

    ValueError for what no `call` sends: numbers of another shape could broadcast to gigabytes, so
    this comes before they are computed with.
    """
    if not isinstance(array, np.ndarray) or array.shape != shape:
        found = array.shape if isinstance(array, np.ndarray) else type(array).__name__
        raise ValueError(f"{found} was sent where an array {shape} is due")
    return array


def number_sent(number: Any) -> float:
    """Return a number that came from `call`; ValueError for anything else."""
    if type(number) not in (int, float):
        raise ValueError(f"{type(number).__name__} was sent where a number is due")
    return number


# For `call`, in the student's process.


def call_with_hints(
    what: str, function: Any, *args: Any, hints: Iterable[tuple[Any, str, str]], **kwargs: Any
) -> Any:
    """Call the student's function as `call_answer` does, with hints for errors that it may raise.

    hints: types of an error, a pattern of its words, and the hint.
    """
    try:
        with torch.enable_grad():  # an earlier call may have switched gradients off
            return call_answer(what, function, *args, **kwargs)
    except AnswerError as error:
        cause = error.__cause__
        if isinstance(cause, AnswerError):  # from what it was given, with a hint of its own
            raise cause from None
        for kinds, words, hint in hints:
            if isinstance(cause, kinds) and re.search(words, str(error), re.IGNORECASE):
                raise with_hint(error, hint) from error
        raise


def as_array(what: str, tensor: Any, hint: str = "") -> Array:
    """Return a student's tensor as a float64 array; AnswerError, with this hint, if it is none."""
    if not isinstance(tensor, torch.Tensor):
        said = f"{what} returned a {type(tensor).__name__}"
        raise wrong(f"{said}.", hint) if hint else AnswerError(f"{said} where a tensor is needed.")
    if not tensor.is_floating_point():
        raise AnswerError(f"{what} returned {tensor.dtype} where floats are needed.")
    return call_answer(what, lambda: tensor.detach().cpu().double().numpy())


def plain(value: Any) -> Array:
    """Return what an answer hands over as a float64 array of its own."""
    return torch.as_tensor(value).detach().cpu().double().numpy().copy()


def gradients(what: str, value: torch.Tensor, leaves: list[torch.Tensor]) -> list[Array] | None:
    """Return the derivatives of a student's tensor (its sum) by the leaves; None if it has none."""
    if not value.requires_grad:
        return None
    found = call_answer(
        f"The gradient of {what}",
        lambda: torch.autograd.grad(value.sum(), leaves, retain_graph=True, allow_unused=True),
    )
    if all(gradient is None for gradient in found):
        return None
    return [
        np.zeros(leaf.shape) if gradient is None else as_array(what, gradient)
        for leaf, gradient in zip(leaves, found)
    ]
