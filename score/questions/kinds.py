"""Kinds of questions that several parts have: one differentiable number, inference with a model."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from score.questions.base import Array, Arrays, Question, as_array, gradients, require, wrong
from score.questions.mistakes import Mistakes, alike, hint_of
from score.verdict import call_answer

CUT = ".item() and numpy cut the path that the gradient takes"


class NumberQuestion(Question):
    """A question whose answer is one number that can be differentiated.

    Judged are, in this order: that it is a tensor, its shape, its value, that a gradient reaches
    the leaves, and this gradient.
    """

    function: str  # the student's function, as sentences call it: "kl_divergence"
    subject = "loss"  # what the number is
    leaves: str  # what the gradient has to reach, in words: "mu and logvar"
    differentiated = "the mean squared error"  # what the gradient is of
    tensor_hint = f"return the loss as a tensor; {CUT}."
    scalar_hint = "one number for the whole batch: take the mean over everything."
    fallback: str  # the hint where no known mistake fits
    attached_hint: str  # the hint where the gradient is wrong
    rtol, atol, gradient_atol = 1e-5, 1e-8, 1e-5
    hint_rtols: tuple[float, ...] = (1e-5,)  # how near a mistake has to be, one after the other

    # Each question defines these three. They run in the grader, and `arguments` also in the
    # student's process. arguments: (the answer's arguments by name, the leaves that gradients are
    # taken by); expected: the right number for these arguments; mistakes: the numbers that known
    # mistakes give for them.
    arguments: Callable[[Arrays, torch.dtype], tuple[Arrays, list[Tensor]]]
    expected: Callable[..., Tensor]
    mistakes: Callable[..., Mistakes]

    def shape_hint(self, shape: tuple[int, ...], inputs: Arrays) -> str:
        """Return the hint for an output that is not one number."""
        return self.scalar_hint

    def said(self, inputs: Arrays) -> str:
        """Return how the sentence about a wrong value begins."""
        return f"The {self.subject} is"

    def call(self, answer: Any, inputs: Arrays) -> Arrays:
        arguments, leaves = self.arguments(inputs, torch.float32)
        return self.outputs(call_answer(self.function, answer, *arguments.values()), leaves)

    def outputs(self, value: Any, leaves: list[Tensor]) -> Arrays:
        """Return the value of a student's number and, where it is one, its gradients."""
        array = as_array(self.function, value, self.tensor_hint)
        by_leaves = gradients(self.function, value, leaves) if array.size == 1 else None
        return {"value": array, "gradients": by_leaves}

    def judge(self, inputs: Arrays, outputs: Arrays) -> None:
        arguments, leaves = self.arguments(inputs, torch.float64)
        right = self.expected(**arguments)
        by_leaves = [gradient.numpy() for gradient in torch.autograd.grad(right, leaves)]
        with torch.no_grad():
            mistakes = self.mistakes(**arguments)
            self.judge_number(inputs, outputs, right.item(), by_leaves, mistakes)

    def judge_number(
        self, inputs: Arrays, outputs: Arrays, right: float, by_leaves: list[Array], known: Mistakes
    ) -> None:
        """Raise AnswerError for another shape, value or gradients than the right ones."""
        shape = outputs["value"].shape
        hint = self.shape_hint(shape, inputs)
        require(outputs["value"].size == 1, f"The {self.subject} has shape {shape}.", hint)
        value = float(outputs["value"].reshape(()))
        if not np.isclose(value, right, rtol=self.rtol, atol=self.atol):
            hint = self.value_hint(value, list(known))
            raise wrong(f"{self.said(inputs)} {value:.6g} where {right:.6g} is right.", hint)
        self.judge_gradients(outputs["gradients"], by_leaves)

    def value_hint(self, value: float, mistakes: Mistakes) -> str:
        """Return the hint for a wrong number."""
        hints = (hint_of(value, mistakes, rtol) for rtol in self.hint_rtols)
        return next(filter(None, hints), self.fallback)

    def judge_gradients(self, found: list[Array] | None, right: list[Array]) -> None:
        """Raise AnswerError where no gradient or a wrong one reaches the leaves."""
        if found is None:
            hint = "leave out torch.no_grad and .detach() here."
            raise wrong(f"The value is right, but no gradient reaches {self.leaves}.", hint)
        same = [alike(*pair, 1e-3, self.gradient_atol) for pair in zip(found, right, strict=True)]
        said = f"The value is right, but its gradient is not that of {self.differentiated}."
        require(all(same), said, self.attached_hint)


class InferenceQuestion(Question):
    """A question whose answer takes a model's flat output for observations (B, To, obs_dim) and
    returns chunks (B, Tp, action_dim).
    """

    function: str  # "mlp_inference"
    source: str  # who gives the output: "the model"
    output, flat = "the output", "the model's output"  # what shape hints call it
    tensor_hint = "return the tensor naction."

    model: Callable[[Arrays], nn.Module]  # of the inputs; runs in the student's process
    expected: Callable[[Arrays], Array]  # the model's output (B, Tp * action_dim)

    def sizes(self, inputs: Arrays) -> dict[str, int]:
        """Return pred_horizon and action_dim. Runs in both processes."""
        return {"pred_horizon": 16, "action_dim": 2}

    def call(self, answer: Any, inputs: Arrays) -> Arrays:
        nobs, batch = torch.tensor(inputs["nobs"]), len(inputs["nobs"])
        arguments = {"model": self.model(inputs), "batch_size": batch, "nobs": nobs}
        what = f"{self.function} with batch_size {batch}"
        naction = call_answer(what, answer, **arguments, **self.sizes(inputs))
        array = as_array(self.function, naction, self.tensor_hint)
        return {"naction": array, "requires_grad": naction.requires_grad}

    def judge(self, inputs: Arrays, outputs: Arrays) -> None:
        naction, flat = outputs["naction"], self.expected(inputs)
        shape = (len(flat), *self.sizes(inputs).values())
        needed = f"(batch_size, pred_horizon, action_dim) = {shape} is needed."
        said = f"For {len(flat)} observations the result has shape {naction.shape}; {needed}"
        require(naction.shape == shape, said, self.shape_hint(naction.shape, shape))
        right = flat.reshape(shape)
        if not np.allclose(naction, right, rtol=1e-5, atol=1e-6):
            hint = self.actions_hint(inputs, naction, right)
            raise wrong(f"The actions are not those that {self.source} gives.", hint)
        said, hint = "gradients were recorded.", "call the model under torch.no_grad()."
        require(not outputs["requires_grad"], f"The actions are right, but {said}", hint)

    def shape_hint(self, shape: tuple[int, ...], right: tuple[int, ...]) -> str:
        """Return what to do about chunks of another shape than (B, Tp, action_dim)."""
        batch, steps, dims = right
        every = "return all pred_horizon actions; the loop picks those to execute."
        one = "it has to serve a whole batch, not one observation at a time."
        hints = {  # where two are of one shape, the later counts
            (steps, dims): one,
            (1, steps, dims): one,
            (batch, 16, 2): "the sizes are arguments: use pred_horizon and action_dim.",
            (batch, 8, dims): every,
            (batch, 9, dims): every,
            (batch, dims, steps): "the last two are the wrong way round.",
            (batch, steps * dims): f"reshape {self.flat}.",
        }
        return hints.get(shape, f"view {self.output} as (batch_size, pred_horizon, action_dim).")

    def actions_hint(self, inputs: Arrays, naction: Array, right: Array) -> str:
        """Return what to do about other actions than the right ones."""
        batch, steps, dims = right.shape
        transposed = right.reshape(batch, dims, steps).swapaxes(1, 2)
        if np.allclose(naction, transposed, atol=1e-6):
            order = "(B, pred_horizon, action_dim), without a transpose."
            return f"the output is reshaped in the wrong order: {order}"
        if batch > 1 and np.allclose(naction[0], right[0], atol=1e-6):
            return "only the first of the batch is right: each observation gets its own actions."
        reshape = f"call {self.source}, reshape; change nothing else."
        return f"flatten each observation sequence from dimension 1 on, {reshape}"
