"""What Q4.1, Q4.3 and Q4.4 share: their answer is a policy's class, whose architecture is free.

Its weights are shaken first, so that no choice of first weights matters, and judged is what goes in
and out of the methods.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import nn

from pusht.chunks import BasePolicy
from pusht.episodes import reproducible
from score.questions import base
from score.questions.base import Array, Arrays, Rng, plain, require, wrong
from score.questions.kinds import NumberQuestion
from score.questions.mistakes import Mistakes, alike, first_hint, hint_of, hint_where, squared_error
from score.questions.networks import small
from score.verdict import AnswerError, call_answer

NOTEBOOK = {"state_dim": 5, "action_dim": 2, "chunk_size": 8}
MANY = 2048  # samples of a batch whose noise is judged by its distribution
TAU_HINT = (
    "tau comes as (B,): tau[:, None] is the column that joins the flattened a_tau and the state, "
    "tau[:, None, None] what multiplies chunks."
)
QUESTION_WRONG = "The question to velocity is not right."
_ATTRIBUTES = (
    "make the layers in __init__ and keep them as attributes of self; a list of layers has to be an"
    " nn.ModuleList or nn.Sequential."
)
_LOSS_HINTS = {  # the words for `squared_error`
    "sum": "this is the sum over the batch too: take the mean over the batch.",
    "sum over coordinates": "this is summed over the coordinates only: take the mean over"
    " everything, or the sum over the whole chunk and the mean over the batch.",
    "absolute": "this is the mean absolute error (L1): square the differences.",
    "absolute, sum of a chunk": "this is the absolute error (L1), summed over the chunk: square the"
    " differences.",
    "half": "this is half of the squared error.",
    "half, sum of a chunk": "this is half of the squared error, summed over the chunk.",
    "root": "this is the root of the squared error: do not take the root.",
    "root, sum of a chunk": "this is the root of the squared error of all the chunks: do not take"
    " the root.",
    "norms": "these are norms without their square: do not take the root.",
    "smooth L1": "this is a smooth L1 (Huber) loss: use the squared error.",
    "squared mean": "this is the squared mean of the error: square first.",
}

# Inputs.


def sizes_and_states(rng: Rng, trial: int, batch: int) -> Arrays:
    """Return a policy's sizes, the notebook's own in the first trial, a seed, and states."""
    low, high, layers = (11, 3, 5), (14, 5, 11), (None, 1, 3)[trial]
    drawn = dict(zip(NOTEBOOK, rng.integers(low, high).tolist(), strict=True)) if layers else {}
    sizes: Arrays = {**NOTEBOOK, **drawn, "seed": int(rng.integers(2**31))}
    hidden = rng.integers(24, 64, size=layers).tolist() if layers else [32, 32]
    return {**sizes, "hidden_dims": hidden, "state": small(rng, batch, sizes["state_dim"], most=2)}


def chunk_shape(sizes: Arrays, batch: int) -> tuple[int, int, int]:
    """Return the shape of chunks, (batch, chunk_size, action_dim)."""
    return batch, sizes["chunk_size"], sizes["action_dim"]


# For `call`, in the student's process.


@contextlib.contextmanager
def isolated(seed: int) -> Iterator[None]:
    """Run the body with random numbers from `seed`, float32, the CPU and no compiler, whatever the
    notebook has set; afterwards everything is as before.
    """
    dtype, device = torch.get_default_dtype(), torch.get_default_device().type
    # To name a device slows each call of torch; a compiler would take longer than all the rest.
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
    method: Callable[..., Any],
    *args: Any,
    hint: str = "bring all to the shapes that the docstrings give.",
    **kwargs: Any,
) -> Any:
    """Return what a student's function makes of tensors, copies of the arrays among `args`.

    hint: for shapes that do not fit. AnswerError names the sizes instead where they are others than
    the notebook's, with which all went well.
    """
    args = tuple(torch.tensor(arg) if isinstance(arg, Array) else arg for arg in args)
    if any(inputs.get(name, size) != size for name, size in NOTEBOOK.items()):
        sizes = ", ".join(f"{name} {inputs[name]}" for name in NOTEBOOK)
        hidden = f"hidden_dims {tuple(inputs['hidden_dims'])}"
        hint = f"this is with {sizes} and {hidden}: take the sizes from the arguments."
    hints = [((RuntimeError, IndexError), "shape|size|dimension", hint)]
    return base.call_with_hints(what, method, *args, hints=hints, **kwargs)


class StudentPolicy:
    """A policy of a student's class, with the inputs' sizes and its weights shaken."""

    def __init__(self, answer: Any, inputs: Arrays):
        hint = f"hand over the class itself, {type(answer).__name__}, without brackets."
        require(not isinstance(answer, nn.Module), "This is a policy.", hint)
        name, sizes = getattr(answer, "__name__", "The class"), [inputs[size] for size in NOTEBOOK]
        policy = call_method(inputs, name, answer, *sizes, hidden_dims=tuple(inputs["hidden_dims"]))
        hint = "hand over the class, which inherits from BasePolicy."
        require(isinstance(policy, BasePolicy), f"This makes a {type(policy).__name__}.", hint)
        trainable = any(p.requires_grad for p in policy.parameters())
        require(trainable, "The policy has no parameters to train.", _ATTRIBUTES)
        self.inputs, self.module = inputs, policy.to("cpu").eval()
        if any(map(nn.parameter.is_lazy, policy.parameters())):  # made by a first call
            self.chunks("sample_actions", self.module.sample_actions, inputs["state"])
        with torch.no_grad():  # last layers that begin at zero are no mistake
            for parameter in policy.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))

    def chunks(self, what: str, method: Any, states: Array, *more: Array, **options: Any) -> Array:
        """Return the chunks that a method gives for states. options: its own, and a `hint`."""
        output = call_method(self.inputs, what, method, states, *more, **options)
        return self.chunk_array(what, len(states), output)

    def chunk_array(self, what: str, batch: int, tensor: Any) -> Array:
        """Return a student's tensor as an array of `batch` chunks of finite numbers."""
        array, view = base.as_array(what, tensor), "view it as (B, chunk_size, action_dim)"
        _, steps, dims = right = chunk_shape(self.inputs, batch)
        hint = first_hint(
            (array.shape == (batch, steps * dims), f"the output is flat: {view}."),
            (array.shape == (batch, dims, steps), "the last two are the wrong way round."),
            (True, f"{view}, with the sizes from the arguments."),
        )
        needed = f"(B, chunk_size, action_dim) = {right} is needed."
        said = f"For {batch} states {what} gives the shape {array.shape}; {needed}"
        require(array.shape == right, said, hint)
        hint = "look for a division by zero, the logarithm or root of one."
        require(np.isfinite(array).all(), f"What {what} gives is not finite.", hint)
        return array

    def loss(self, hint: str) -> float:
        """Return the loss of the inputs' batch, and take its gradients. hint: for other shapes."""
        what, method, inputs = "compute_loss", self.module.compute_loss, self.inputs
        loss = call_method(inputs, what, method, inputs["state"], inputs["chunk"], hint=hint)
        said = f"{what} returned a {type(loss).__name__}."
        require(isinstance(loss, torch.Tensor), said, NumberQuestion.tensor_hint)
        hint = "one number for the whole batch: take the mean."
        require(loss.numel() == 1, f"The loss has shape {tuple(loss.shape)}.", hint)
        said = "Weights on the way to the loss are no parameters of the policy, so they are neither"
        require(not _strange(loss, self.module), f"{said} trained nor saved.", _ATTRIBUTES)
        if loss.requires_grad:
            call_answer(f"The gradient of {what}", loss.sum().backward)
        return float(base.as_array(what, loss).reshape(()))

    def unreached(self, function: Callable[[], Array]) -> list[str]:
        """Return the names of the parameters that function() needs and no gradient has reached."""
        names, before = [], function()
        for name, parameter in self.module.named_parameters():
            if parameter.requires_grad and (parameter.grad is None or not parameter.grad.any()):
                kept = parameter.detach().clone()
                with torch.no_grad():
                    parameter.add_(torch.randn_like(parameter))
                    if not np.allclose(function(), before, rtol=1e-5, atol=1e-5):
                        names.append(name)
                    parameter.copy_(kept)
        return names

    def record_velocity(self, velocity: Callable[..., Any]) -> list[Arrays]:
        """Let the policy's `velocity` be this one from now on, and return the record of its calls:
        what goes in and out, as arrays, and the output itself.
        """
        calls: list[Arrays] = []

        def recorded(state: Any, a_tau: Any, tau: Any) -> torch.Tensor:
            call = {"state": plain(state), "a_tau": plain(a_tau), "tau": plain(tau)}
            output = velocity(state, a_tau, tau)
            if not isinstance(output, torch.Tensor):
                kind = type(output).__name__
                raise TypeError(f"velocity returned a {kind} where a tensor is needed.")
            if output.requires_grad and not output.is_leaf:
                output.retain_grad()
            calls.append({**call, "velocity": plain(output), "output": output})
            return output.clone()  # what is done to it in place stays off the record

        self.module.__dict__["velocity"] = recorded  # before a method and a module of that name
        return calls


def _strange(output: torch.Tensor, module: nn.Module) -> bool:
    """Return whether weights that are no parameters of the module lead to its output."""
    own = {id(parameter) for parameter in module.parameters()}
    asked, seen = [output.grad_fn], set[Any]()
    while asked:
        node = asked.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        weights = getattr(node, "variable", None)
        if isinstance(weights, nn.Parameter) and id(weights) not in own:
            return True
        asked += [before for before, _ in node.next_functions]
    return False


class PolicyQuestion(base.Question):
    """A question whose answer is a policy's class."""

    def call(self, answer: Any, inputs: Arrays) -> Arrays:
        with isolated(inputs["seed"]):
            return self.outputs(StudentPolicy(answer, inputs), inputs)

    def outputs(self, policy: StudentPolicy, inputs: Arrays) -> Arrays:
        """Return what the methods of a policy make of the inputs."""
        raise NotImplementedError


# For `judge`, in the grader.


def squared_errors(error: Array) -> tuple[float, float]:
    """Return the two squared errors that are right, of differences (B, K, A): the mean over
    everything, and the sum over the chunk averaged over the batch.
    """
    return np.square(error).mean(), np.square(error).sum(axis=(1, 2)).mean()


def loss_hint(loss: float, error: Array, mistakes: Mistakes, rtol: float) -> str | None:
    """Return the hint of the first mistake that a loss fits, or None.

    error: the right differences (B, K, A). mistakes: others, either squared error of which counts.
    """
    either = hint_where(mistakes, lambda x: np.isclose(loss, squared_errors(x), rtol=rtol).any())
    return either or hint_of(loss, squared_error(error, _LOSS_HINTS), rtol=rtol)


def wrong_loss(loss: float, error: Array, hint: str) -> AnswerError:
    """Return the error to raise for a loss that is not the squared one of these differences."""
    mean, of_chunks = squared_errors(error)
    summed = f"{of_chunks:.6g} (summed over the chunk, mean over the batch)"
    either = f"{mean:.6g} (mean over everything) or {summed}"
    return wrong(f"The loss is {loss:.6g} where {either} is right.", hint)


def judge_unreached(names: list[str], start: str) -> None:
    """Raise AnswerError where no gradient reached parameters on the way from start to loss."""
    hint = f"nothing on the way from {start} to the loss may be detached."
    require(not names, f"No gradient reaches {', '.join(names[:3])}.", hint)


def judge_call(inputs: Arrays, call: Arrays, states: Array) -> None:
    """Raise AnswerError where velocity was not called with right shapes and with these states."""
    batch, shape = len(states), chunk_shape(inputs, len(states))
    chunks, tau, velocity = (call[name].shape for name in ("a_tau", "tau", "velocity"))
    needed = f"(B, chunk_size, action_dim) = {shape} is needed."
    hint = f"velocity is called with chunks of shape {chunks}; {needed}"
    require(chunks == shape, QUESTION_WRONG, hint)
    hint = f"velocity is given a tau of shape {tau}: one tau for each sample, (B,) = ({batch},)."
    require(call["tau"].size in (1, batch), QUESTION_WRONG, hint)
    hint = "velocity is not called with the states as they are: hand state on."
    require(alike(call["state"], states, rtol=1e-5, atol=1e-8), QUESTION_WRONG, hint)
    hint = f"the velocity has shape {velocity}; {needed} {TAU_HINT}"
    require(velocity == shape, QUESTION_WRONG, hint)


def listed(values: Iterable[Any]) -> str:
    """Return the first twelve values, with commas between them."""
    first = [str(value) for value in values]
    return ", ".join(first if len(first) <= 12 else [*first[:12], "…"])
