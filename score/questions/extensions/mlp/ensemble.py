"""E1.2, an extension of Part I: temporal ensembling."""

from typing import Any

import numpy as np
import torch

from score.questions.base import Array, Arrays, Question, Rng, as_array, require
from score.questions.mistakes import Mistake, Mistakes, require_close
from score.verdict import call_answer


class TemporalEnsemble(Question):
    """The weighted mean of predictions (count, action_dim), oldest first, of one action.

    Zhao et al., "Learning Fine-Grained Bimanual Manipulation with Low-Cost Hardware", section IV-A.
    """

    name = "E1.2"

    def inputs(self, rng: Rng, trial: int) -> Arrays:
        """Many predictions; as many as coordinates, so that a wrong axis keeps the shape; one."""
        predictions = rng.uniform(-1, 1, ((5, 2), (3, 3), (1, 2))[trial]).astype(np.float32)
        return {"predictions": predictions, "m": (0.3, 0.7, 0.2)[trial]}

    def call(self, answer: Any, inputs: Arrays) -> Arrays:
        predictions = torch.tensor(inputs["predictions"])
        what = f"ensemble of {len(predictions)} predictions"
        action = call_answer(what, answer, predictions, inputs["m"])
        return {"action": as_array("ensemble", action), "predictions": predictions.detach().numpy()}

    def judge(self, inputs: Arrays, outputs: Arrays) -> None:
        predictions, action = inputs["predictions"].astype(np.float64), outputs["action"]
        (count, dims), m = predictions.shape, inputs["m"]
        shape_hints = {
            (): "the coordinates stay apart: sum over dim=0 alone.",
            (1, dims): "one action, without a first dimension.",
            (count, dims): "sum over the predictions, dim=0.",
        }
        hint = "weights[:, None] * predictions, summed over dim=0."
        hint = shape_hints.get(action.shape, hint)
        found = f"From {count} predictions of {dims} coordinates came {action.shape}"
        require(action.shape == (dims,), f"{found} where ({dims},) is needed.", hint)
        unchanged = np.array_equal(outputs["predictions"], inputs["predictions"])
        said = "The predictions that were handed over are changed."
        require(unchanged, said, "weights[:, None] * predictions makes a new tensor.")
        weights = np.exp(-m * np.arange(count))
        right = weights @ predictions / weights.sum()
        mean, expected = (np.round(x, 4).tolist() for x in (action, right))
        said = f"Of {count} predictions with m = {m} the mean is {mean} where {expected} is right."
        hint = "weights exp(-m i) with i = 0 for the oldest, the first row; divide by their sum."
        require_close(action, right, said, _mistakes(predictions, weights, m), hint)


def _mistakes(predictions: Array, weights: Array, m: float) -> Mistakes:
    def mean(weights: Array, hint: str) -> Mistake:
        return weights @ predictions / weights.sum(), hint

    count, dims = predictions.shape
    i, total = np.arange(count, dtype=float), weights @ predictions
    oldest = "and i = 0 is the oldest, the first row"
    newest = f"the newest weighs most here: the weight is exp(-m i), with the minus, {oldest}"
    yield total, "the weights do not add up to 1: divide by their sum."
    yield total / count, "divide by the sum of the weights, not by their number."
    yield mean(weights[::-1], f"{newest}.")
    growing = np.exp(m * i) @ predictions
    yield growing, f"{newest}; and divide by the sum of the weights."
    reverse = weights[::-1] @ predictions
    yield reverse, f"{newest}; and the weights do not add up to 1."
    yield predictions.mean(axis=0), "all weigh the same here: m is left out."
    yield predictions[-1], "only the newest counts here: that is no ensemble."
    yield predictions[0], "only the oldest counts here: that is no ensemble."
    yield mean(np.exp(-0.01 * i), "m is fixed: take it from the argument.")
    yield mean(np.exp(-i), "m is left out, and is 1: exp(-m i).")
    yield mean(np.exp(-m * i**2), "i is squared: exp(-m i).")
    yield mean(np.exp(-i / m), "i is divided by m: multiply, exp(-m i).")
    hint = "i is divided by the number of predictions: it counts steps."
    yield mean(np.exp(-m * i / count), hint)
    yield mean(2.0 ** (-m * i), "these are powers of 2: exp(-m i).")
    yield mean(m**i, "these are powers of m: exp(-m i).")
    yield mean(1 / (1 + m * i), "this falls as 1 / (1 + m i): exp(-m i).")
    yield mean(np.clip(1 - m * i, 0, None), "the weights fall in a straight line: exp(-m i).")
    if count == dims:
        summed, columns = weights.sum(), weights[:, None]
        hint = "the weights go over the coordinates here: weights[:, None] * predictions."
        yield (weights * predictions).sum(axis=0) / summed, hint
        hint = "the sum goes over the coordinates here: over the predictions, dim=0."
        yield (columns * predictions).sum(axis=1) / summed, hint
        hint = "the products are summed over the coordinates here: weights @ predictions."
        yield predictions @ weights / summed, hint
