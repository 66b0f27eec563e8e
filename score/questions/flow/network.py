"""What a network of Part IV reads and what it can say, whatever its architecture: that is free."""

import contextlib
from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from score.questions.base import Array, Arrays, number_sent, require
from score.questions.mistakes import first_hint
from score.verdict import AnswerError

FELT = 1e-5  # a smaller share of an output than this is rounding
_DRAWS = 16  # of weights, by which to see what a network can say
_WITHIN = 1.5  # demonstrated chunks go beyond this on both sides; tanh, sigmoid, clamp do not
_STRAIGHT = 1e-4  # a network that bends less between two inputs is linear

# For `call`, in the student's process.


def sensitivity(function: Callable[..., Array], *inputs: Array) -> tuple[list[Array], Array, Array]:
    """Return how much the output (rows, K, A) changes, as a share of its size, when one number of
    the inputs moves: at least so much in three rows of four, as an array for each input (rows, …).
    Besides: the output, and that for the first row alone.
    """
    rows, ends = len(inputs[0]), np.cumsum([x[0].size for x in inputs])
    flat = np.concatenate([x.reshape(rows, -1) for x in inputs], axis=1)
    moves = np.float32(0.15) * np.eye(ends[-1] + 1, ends[-1], k=-1, dtype=np.float32)
    parts = np.split((flat + moves[:, None]).reshape(-1, ends[-1]), ends[:-1], axis=1)
    output = function(*(p.reshape(-1, *x.shape[1:]) for p, x in zip(parts, inputs, strict=True)))
    output = output.reshape(-1, rows, *output.shape[1:])
    by_row = np.sort(np.abs(output[1:] - output[0]).max(axis=(2, 3)), axis=1)
    change = by_row[:, rows // 4] / (np.abs(output[0]).max() + 1e-9)
    return np.split(change, ends[:-1]), output[0], function(*(x[:1] for x in inputs))


def said_by(module: nn.Module, function: Callable[..., Array], *inputs: Array) -> Arrays:
    """Return how far down and up the output of function(*inputs) goes with other weights of the
    module, and how far it bends half-way between two inputs, as a share of its size.

    The weights are others afterwards.
    """
    before, said = [p.detach().clone() for p in module.parameters()], [function(*inputs)]
    ahead = [np.roll(x, 1, axis=0) for x in inputs]
    middle = function(*((x + y) / 2 for x, y in zip(inputs, ahead, strict=True)))
    bend = np.abs(said[0] + function(*ahead) - 2 * middle).max()
    share = bend / (np.abs(said[0]).max() + 1e-9)
    with torch.no_grad():
        for _ in range(_DRAWS):
            for parameter, kept in zip(module.parameters(), before, strict=True):
                parameter.copy_(kept + torch.randn_like(kept))
            with contextlib.suppress(AnswerError):  # a very deep network's are not finite
                said.append(function(*inputs))
    ends = float(np.min(said)), float(np.max(said))
    return {"ends": ends, "bend": float(share)}


# For `judge`, in the grader.


def judge_network(network: Arrays, what: str) -> None:
    """Raise AnswerError where a network is linear, or cannot say what demonstrated chunks say.

    network: as `said_by` returned it. what: whose output it is.
    """
    least, most = map(number_sent, network["ends"])
    behind = first_hint(
        (most > _WITHIN, "a ReLU or the like"),
        (least < -_WITHIN, "something that lets no positive number through"),
        (least < -1e-6, "tanh, clamp or the like"),
        (True, "a sigmoid or softmax"),
    )
    hint = f"{behind} stands behind the last layer: leave what the last nn.Linear gives as it is."
    numbers = f"Whatever its weights, {what} gives numbers from {least:.2g} to {most:.2g} only"
    said = f"{numbers}, and demonstrated chunks go beyond on both sides."
    require(least < -_WITHIN and most > _WITHIN, said, hint)
    hint = "put an activation between each two layers: without, they come to one layer."
    straight = number_sent(network["bend"]) < _STRAIGHT
    require(not straight, f"The network behind {what} is linear.", hint)
