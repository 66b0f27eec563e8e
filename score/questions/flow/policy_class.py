"""What Q4.1, Q4.3 and Q4.4 share: their answer is a policy's class, whose architecture is free.

Its weights are shaken first, so that no choice of first weights matters, and judged is what goes in
and out of the methods.
"""

import contextlib
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import nn

from pusht.chunks import BasePolicy
from pusht.episodes import reproducible
from score.questions.base import Arrays, Rng, as_array, require_tensor, with_hint, wrong
from score.questions.mistakes import Mistake
from score.verdict import AnswerError, call_answer

NOTEBOOK = {"state_dim": 5, "action_dim": 2, "chunk_size": 8}
FELT = 1e-5  # a smaller share of an output than this is rounding
LOSS_HINTS = {  # the words for `squared_error`
    "sum": "this is the sum over the batch too: take the mean over the batch.",
    "sum over coordinates": (
        "this is summed over the coordinates only: take the mean over everything, or the sum over"
        " the whole chunk and the mean over the batch."
    ),
    "absolute": "this is the mean absolute error (L1): square the differences.",
    "absolute, sum of a chunk": (
        "this is the absolute error (L1), summed over the chunk: square the differences."
    ),
    "half": "this is half of the squared error.",
    "half, sum of a chunk": "this is half of the squared error, summed over the chunk.",
    "root": "this is the root of the squared error: do not take the root.",
    "root, sum of a chunk": (
        "this is the root of the squared error of all the chunks: do not take the root."
    ),
    "norms": "these are norms without their square: do not take the root.",
    "smooth L1": "this is a smooth L1 (Huber) loss: use the squared error.",
    "squared mean": "this is the squared mean of the error: square first.",
}

# Inputs.


def policy_sizes(rng: Rng, trial: int) -> Arrays:
    """Return a policy's sizes, the notebook's own in the first trial, and a seed."""
    if trial == 0:
        return {**NOTEBOOK, "hidden_dims": [32, 32], "seed": int(rng.integers(2**31))}
    return {
        "state_dim": int(rng.integers(11, 14)),
        "action_dim": int(rng.integers(3, 5)),
        "chunk_size": int(rng.integers(5, 11)),
        "seed": int(rng.integers(2**31)),
        "hidden_dims": rng.integers(24, 64, size=(1, 3)[trial - 1]).tolist(),
    }


def draw_states(rng: Rng, sizes: Arrays, batch: int) -> np.ndarray:
    """Return states (batch, state_dim) float32."""
    return rng.uniform(-2, 2, (batch, sizes["state_dim"])).astype(np.float32)


def draw_chunks(rng: Rng, sizes: Arrays, batch: int) -> np.ndarray:
    """Return chunks (batch, chunk_size, action_dim) float32."""
    shape = batch, sizes["chunk_size"], sizes["action_dim"]
    return rng.uniform(-4, 4, shape).astype(np.float32)


# For `call`, in the student's process.


@contextlib.contextmanager
def isolated(seed: int) -> Iterator[None]:
    """Run the body with random numbers from `seed`, float32, the CPU and no compiler, whatever the
    notebook has set; afterwards everything is as before.
    """
    dtype, device = torch.get_default_dtype(), torch.get_default_device().type
    # To name a device slows down each call of torch; a compiler would take longer than all the
    # rest.
    cpu = contextlib.nullcontext() if device == "cpu" else torch.device("cpu")
    no_compiler = mock.patch.object(torch, "compile", lambda what=None, **_: what or (lambda f: f))
    with reproducible(seed), cpu, no_compiler:
        torch.set_default_dtype(torch.float32)
        try:
            yield
        finally:
            torch.set_default_dtype(dtype)


def call_method(
    inputs: Arrays,
    what: str,
    function: Callable[..., Any],
    *args: Any,
    hint: str = "bring all to the shapes that the docstrings give.",
    **kwargs: Any,
) -> Any:
    """Return what a student's function makes of tensors, copies of the arrays among `args`.

    hint: for shapes that do not fit. AnswerError names the sizes instead where they are others than
    the notebook's, with which all went well.
    """
    args = tuple(torch.tensor(arg) if isinstance(arg, np.ndarray) else arg for arg in args)
    try:
        with torch.enable_grad():  # an earlier call may have switched gradients off
            return call_answer(what, function, *args, **kwargs)
    except AnswerError as error:
        misfit = re.search("shape|size|dimension", str(error), re.IGNORECASE)
        if not isinstance(error.__cause__, (RuntimeError, IndexError)) or not misfit:
            raise
        if any(inputs.get(name, size) != size for name, size in NOTEBOOK.items()):
            sizes = ", ".join(f"{name} {inputs[name]}" for name in NOTEBOOK)
            hint = (
                f"this is with {sizes} and hidden_dims {tuple(inputs['hidden_dims'])}: take the"
                " sizes from the arguments."
            )
        raise with_hint(error, hint) from error


def make_policy(answer: Any, inputs: Arrays) -> BasePolicy:
    """Return an object of a student's class, with these sizes and its weights shaken."""
    if isinstance(answer, nn.Module):
        hint = f"hand over the class itself, {type(answer).__name__}, without brackets."
        raise wrong("This is a policy.", hint)
    name, hidden = getattr(answer, "__name__", "The class"), tuple(inputs["hidden_dims"])
    sizes = [inputs[size] for size in NOTEBOOK]
    policy = call_method(inputs, name, answer, *sizes, hidden_dims=hidden)
    if not isinstance(policy, BasePolicy):
        hint = "hand over the class, which inherits from BasePolicy."
        raise wrong(f"This makes a {type(policy).__name__}.", hint)
    if not any(p.requires_grad for p in policy.parameters()):
        raise wrong(
            "The policy has no parameters to train.",
            "make the layers in __init__ and keep them as attributes of self; a list of layers has"
            " to be an nn.ModuleList or nn.Sequential.",
        )
    policy = policy.to("cpu").eval()
    with torch.no_grad():  # last layers that begin at zero are no mistake
        for parameter in policy.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return policy


def chunk_array(inputs: Arrays, what: str, batch: int, tensor: Any) -> np.ndarray:
    """Return a student's tensor as an array (batch, chunk_size, action_dim) of finite numbers."""
    array, shape = as_array(what, tensor), (batch, inputs["chunk_size"], inputs["action_dim"])
    if array.shape != shape:
        hint = "view it as (B, chunk_size, action_dim), with the sizes from the arguments."
        if array.shape == (batch, shape[1] * shape[2]):
            hint = "the output is flat: view it as (B, chunk_size, action_dim)."
        elif array.shape == (batch, shape[2], shape[1]):
            hint = "the last two are the wrong way round."
        raise wrong(
            f"For {batch} states {what} gives the shape {array.shape}; (B, chunk_size, action_dim)"
            f" = {shape} is needed.",
            hint,
        )
    if not np.isfinite(array).all():
        hint = "look for a division by zero, the logarithm or root of one."
        raise wrong(f"What {what} gives is not finite.", hint)
    return array


def sensitivity(
    function: Callable[..., np.ndarray], *inputs: np.ndarray
) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """Return how much the output (rows, K, A) changes, as a share of its size, when one number of
    the inputs moves: an array for each input. Besides: the output, and that for the first row
    alone.

    inputs: arrays of the same number of rows.
    """
    rows, flat = len(inputs[0]), np.concatenate([x.reshape(len(x), -1) for x in inputs], axis=1)
    ends = np.cumsum([x[0].size for x in inputs])[:-1]
    moved = np.repeat(flat[None], flat.shape[1] + 1, axis=0)
    for j in range(flat.shape[1]):
        moved[j + 1, :, j] += 0.15
    parts = np.split(moved.reshape(-1, flat.shape[1]), ends, axis=1)
    output = function(
        *(part.reshape(-1, *x.shape[1:]) for part, x in zip(parts, inputs, strict=True))
    )
    output = output.reshape(-1, rows, *output.shape[1:])
    change = np.abs(output[1:] - output[0]).max(axis=(1, 2, 3)) / (np.abs(output[0]).max() + 1e-9)
    return np.split(change, ends), output[0], function(*(x[:1] for x in inputs))


def unreached(policy: nn.Module, function: Callable[[], np.ndarray]) -> list[str]:
    """Return the names of the parameters that function() depends on although no gradient has
    reached them.
    """
    names, before = [], function()
    for name, parameter in policy.named_parameters():
        if parameter.requires_grad and (parameter.grad is None or not parameter.grad.any()):
            kept = parameter.detach().clone()
            with torch.no_grad():
                parameter.add_(torch.randn_like(parameter))
                if not np.allclose(function(), before, rtol=FELT, atol=FELT):
                    names.append(name)
                parameter.copy_(kept)
    return names


def loss_value(inputs: Arrays, policy: BasePolicy, hint: str) -> float:
    """Return a policy's loss for the inputs' states and chunks, after its gradients are taken.

    hint: for shapes that do not fit.
    """
    batch = inputs["state"], inputs["chunk"]
    loss = call_method(inputs, "compute_loss", policy.compute_loss, *batch, hint=hint)
    hint = "return the loss as a tensor; .item() and numpy cut the path that the gradient takes."
    require_tensor("compute_loss", loss, hint)
    if loss.numel() != 1:
        hint = "one number for the whole batch: take the mean."
        raise wrong(f"The loss has shape {tuple(loss.shape)}.", hint)
    if loss.requires_grad:
        call_answer("The gradient of compute_loss", loss.sum().backward)
    return float(as_array("compute_loss", loss).reshape(()))


# For `judge`, in the grader.


def squared_errors(error: np.ndarray) -> tuple[float, float]:
    """Return the two squared errors that are right, of differences (B, K, A): the mean over
    everything, and the sum over the chunk averaged over the batch.
    """
    return np.square(error).mean(), np.square(error).sum(axis=(1, 2)).mean()


def error_hint(loss: float, mistakes: Iterable[Mistake], rtol: float) -> str | None:
    """Return the hint of the first mistake whose value, differences (B, K, A), has one of its two
    squared errors equal to the loss; None.
    """
    fits = (m for m in mistakes if np.isclose(loss, squared_errors(m.value), rtol=rtol).any())
    return next((m.hint for m in fits), None)


def wrong_loss(loss: float, error: np.ndarray, hint: str) -> AnswerError:
    """Return the error to raise for a loss that is not the squared one of these differences."""
    mean, summed = squared_errors(error)
    return wrong(
        f"The loss is {loss:.6g} where {mean:.6g} (mean over everything) or {summed:.6g} (summed"
        " over the chunk, mean over the batch) is right.",
        hint,
    )


def judge_unreached(names: list[str], start: str) -> None:
    """Raise AnswerError where parameters were not reached by the gradient.

    start: of the way to the loss.
    """
    if names:
        hint = f"nothing on the way from {start} to the loss may be detached."
        raise wrong(f"No gradient reaches {', '.join(names[:3])}.", hint)


def listed(values: Iterable[Any]) -> str:
    """Return the first twelve values, with commas between them."""
    first = [str(value) for value in values]
    return ", ".join(first if len(first) <= 12 else [*first[:12], "…"])
