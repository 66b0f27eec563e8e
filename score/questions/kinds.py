"""Kinds of questions that several parts have: one differentiable number, inference with a model."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
from torch import nn

from score.questions.base import Arrays, Question, as_array, gradients, require_tensor, wrong
from score.questions.mistakes import Mistake, alike, chunk_shape_hint, hint_of
from score.verdict import call_answer


class NumberQuestion(Question):
    """A question whose answer is one number that can be differentiated.

    Judged are, in this order: that it is a tensor, its shape, its value, that a gradient reaches
    the leaves, and this gradient.
    """

    function: str  # the student's function, as sentences call it: "kl_divergence"
    subject = "loss"  # what the number is
    leaves: str  # what the gradient has to reach, in words: "mu and logvar"
    differentiated = "the mean squared error"  # what the gradient is of
    tensor_hint = (
        "return the loss as a tensor; .item() and numpy cut the path that the gradient takes."
    )
    scalar_hint = "one number for the whole batch: take the mean over everything."
    fallback: str  # the hint where no known mistake fits
    attached_hint: str  # the hint where the gradient is wrong
    rtol, atol, gradient_atol = 1e-5, 1e-8, 1e-5
    hint_rtols: tuple[float, ...] = (1e-5,)  # how near a mistake has to be, one after the other

    # In the grader, and the first of them in the student's process too.

    def arguments(self, inputs: Arrays, dtype: torch.dtype) -> tuple[Arrays, list[torch.Tensor]]:
        """Return (the answer's arguments by name, the leaves that gradients are taken by)."""
        raise NotImplementedError

    def expected(self, *_: Any, **arguments: Any) -> torch.Tensor:
        """Return the right number."""
        raise NotImplementedError

    def mistakes(self, *_: Any, **arguments: Any) -> Iterator[Mistake]:
        """Yield the numbers that known mistakes lead to. Gradients are off."""
        raise NotImplementedError

    def shape_hint(self, shape: tuple[int, ...], inputs: Arrays) -> str:
        """Return the hint for an output that is not one number."""
        return self.scalar_hint

    def said(self, inputs: Arrays) -> str:
        """Return how the sentence about a wrong value begins."""
        return f"The {self.subject} is"

    def call(self, answer: Any, inputs: Arrays) -> Arrays:
        arguments, leaves = self.arguments(inputs, torch.float32)
        return self.outputs(call_answer(self.function, answer, *arguments.values()), leaves)

    def outputs(self, value: Any, leaves: list[torch.Tensor]) -> Arrays:
        """Return the value of a student's number and, where it is one, its gradients."""
        require_tensor(self.function, value, self.tensor_hint)
        return {
            "value": as_array(self.function, value),
            "gradients": gradients(self.function, value, leaves) if value.numel() == 1 else None,
        }

    def judge(self, inputs: Arrays, outputs: Arrays) -> None:
        value = self.judge_shape(inputs, outputs["value"])
        arguments, leaves = self.arguments(inputs, torch.float64)
        right = self.expected(**arguments)
        with torch.no_grad():
            self.judge_value(inputs, value, right.item(), self.mistakes(**arguments))
        expected = [gradient.numpy() for gradient in torch.autograd.grad(right, leaves)]
        self.judge_gradients(outputs["gradients"], expected)

    def judge_shape(self, inputs: Arrays, value: np.ndarray) -> float:
        """Return the one number in an array; AnswerError if there are more or none."""
        if value.size != 1:
            hint = self.shape_hint(value.shape, inputs)
            raise wrong(f"The {self.subject} has shape {value.shape}.", hint)
        return float(value.reshape(()))

    def judge_value(
        self, inputs: Arrays, value: float, right: float, mistakes: Iterable[Mistake]
    ) -> None:
        """Raise AnswerError for a wrong number, with the hint of the mistake that it fits."""
        if np.isclose(value, right, rtol=self.rtol, atol=self.atol):
            return
        hint = self.value_hint(value, list(mistakes))
        raise wrong(f"{self.said(inputs)} {value:.6g} where {right:.6g} is right.", hint)

    def value_hint(self, value: float, mistakes: list[Mistake]) -> str:
        """Return the hint for a wrong number."""
        hints = (hint_of(value, mistakes, rtol) for rtol in self.hint_rtols)
        return next(filter(None, hints), self.fallback)

    def judge_gradients(self, found: list[np.ndarray] | None, expected: list[np.ndarray]) -> None:
        """Raise AnswerError where no gradient or another one than expected reaches the leaves."""
        if found is None:
            raise wrong(
                f"The value is right, but no gradient reaches {self.leaves}.",
                "leave out torch.no_grad and .detach() here.",
            )
        for mine, right in zip(found, expected, strict=True):
            if not alike(mine, right, rtol=1e-3, atol=self.gradient_atol):
                raise wrong(
                    f"The value is right, but its gradient is not that of {self.differentiated}.",
                    self.attached_hint,
                )


class InferenceQuestion(Question):
    """A question whose answer takes a model's flat output for observations (B, To, obs_dim) and
    returns chunks (B, Tp, action_dim).
    """

    function: str  # "mlp_inference"
    source: str  # who gives the output: "the model"
    output, flat = "the output", "the model's output"  # what shape hints call it
    tensor_hint = "return the tensor naction."

    def model(self, inputs: Arrays) -> nn.Module:
        """Return the model that the answer is given. Runs in the student's process."""
        raise NotImplementedError

    def expected(self, inputs: Arrays) -> np.ndarray:
        """Return the model's output (B, Tp * action_dim)."""
        raise NotImplementedError

    def sizes(self, inputs: Arrays) -> dict[str, int]:
        """Return pred_horizon and action_dim. Runs in both processes."""
        return {"pred_horizon": 16, "action_dim": 2}

    def other_hint(self, inputs: Arrays, naction: np.ndarray) -> str | None:
        """Return the hint of a mistake that only this question has, or None."""
        return None

    def call(self, answer: Any, inputs: Arrays) -> Arrays:
        nobs, batch = torch.tensor(inputs["nobs"]), len(inputs["nobs"])
        arguments = {"model": self.model(inputs), "batch_size": batch, "nobs": nobs}
        what = f"{self.function} with batch_size {batch}"
        naction = call_answer(what, answer, **arguments, **self.sizes(inputs))
        require_tensor(self.function, naction, self.tensor_hint)
        return {
            "naction": as_array(self.function, naction),
            "requires_grad": naction.requires_grad,
        }

    def judge(self, inputs: Arrays, outputs: Arrays) -> None:
        naction, flat = outputs["naction"], self.expected(inputs)
        batch, shape = len(flat), (len(flat), *self.sizes(inputs).values())
        if naction.shape != shape:
            raise wrong(
                f"For {batch} observations the result has shape {naction.shape}; (batch_size,"
                f" pred_horizon, action_dim) = {shape} is needed.",
                chunk_shape_hint(naction.shape, shape, self.output, self.flat),
            )
        right = flat.reshape(shape)
        if not np.allclose(naction, right, rtol=1e-5, atol=1e-6):
            swapped = flat.reshape(batch, shape[2], shape[1]).swapaxes(1, 2)
            if np.allclose(naction, swapped, atol=1e-6):
                hint = (
                    "the output is reshaped in the wrong order: (B, pred_horizon, action_dim),"
                    " without a transpose."
                )
            elif batch > 1 and np.allclose(naction[0], right[0], atol=1e-6):
                hint = (
                    "only the first of the batch is right: each observation gets its own actions."
                )
            else:
                hint = self.other_hint(inputs, naction) or (
                    f"flatten each observation sequence from dimension 1 on, ask {self.source},"
                    " reshape; change nothing else."
                )
            raise wrong(f"The actions are not those that {self.source} gives.", hint)
        if outputs["requires_grad"]:
            raise wrong(
                "The actions are right, but gradients were recorded.",
                "ask the model under torch.no_grad().",
            )
