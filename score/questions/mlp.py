"""Part I, the residual MLP: Q1.1 layer widths, Q1.2 behavioural-cloning loss, Q1.3 inference."""

import itertools
import numbers
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from score.questions.base import Arrays, Question, Rng, wrong
from score.questions.kinds import InferenceQuestion, NumberQuestion
from score.questions.mistakes import Mistake, mean_squared_error_hints, squared_error
from score.questions.networks import linear, linear_output, random_weights
from score.verdict import AnswerError, call_answer

_MOST_WIDTHS = 100


class LayerWidths(Question):
    """The widths of all layers, from a function or, as published, in a list."""

    name = "Q1.1"
    sizes = {"obs_horizon": 2, "obs_dim": 5, "pred_horizon": 16, "action_dim": 2}
    notebook = {**sizes, "hidden_dims": [256] * 5}

    def inputs(self, rng: Rng, trial: int) -> Arrays:
        if trial == 0:
            return {**self.notebook, "hidden_dims": [256] * 5}
        sizes = rng.choice(np.arange(3, 24), size=4, replace=False).tolist()
        hidden = rng.integers(30, 300, size=rng.choice([3, 4, 6, 7])).tolist()
        return {**dict(zip(self.sizes, sizes, strict=True)), "hidden_dims": hidden}

    def call(self, answer: Any, inputs: Arrays) -> Arrays:
        if callable(answer):
            copied = {**inputs, "hidden_dims": list(inputs["hidden_dims"])}
            dims = call_answer("mlp_dims", answer, **copied)
        elif inputs == self.notebook:
            dims = answer
        else:
            # The published notebook's answer is the list itself, which can be right for the
            # notebook's own sizes only.
            return {"dims": None, "skipped": True}
        if not isinstance(dims, Iterable):
            raise AnswerError(
                f"The widths are a {type(dims).__name__}; a list of whole numbers is needed, input"
                " first."
            )
        # A generator's code runs only here.
        dims = call_answer("mlp_dims", lambda: list(itertools.islice(dims, _MOST_WIDTHS)))
        whole = [int(d) if isinstance(d, numbers.Integral) else d for d in dims]
        return {"dims": whole, "skipped": False}

    def judge(self, inputs: Arrays, outputs: Arrays) -> None:
        dims, hidden = outputs["dims"], inputs["hidden_dims"]
        if outputs["skipped"] and inputs != self.notebook:
            return
        if any(isinstance(d, (list, tuple)) for d in dims):
            raise wrong(
                "There is a list inside the list.",
                "join lists with +, or unpack the hidden ones with *.",
            )
        if not all(isinstance(d, numbers.Integral) for d in dims):
            raise wrong(
                f"The widths {dims} are not all whole numbers.", "* keeps integers, / does not."
            )
        if dims != self.expected(**inputs):
            sizes = ", ".join(f"{name} {inputs[name]}" for name in self.sizes)
            raise wrong(
                f"For {sizes} and hidden widths {hidden} the answer is {dims}.",
                self.hint(dims, inputs),
            )

    def expected(
        self,
        obs_horizon: int,
        obs_dim: int,
        pred_horizon: int,
        action_dim: int,
        hidden_dims: list[int],
    ) -> list[int]:
        return [obs_horizon * obs_dim, *hidden_dims, pred_horizon * action_dim]

    def hint(self, dims: list[Any], inputs: Arrays) -> str:
        right = self.expected(**inputs)
        width_in, *hidden, width_out = right
        if dims == [10, 256, 256, 256, 256, 256, 32]:
            return "the widths are fixed numbers: work them out from the arguments."
        if dims == right[::-1] or dims[:1] + dims[-1:] == [width_out, width_in]:
            return "input and output are swapped: the model reads observations and gives actions."
        if len(dims) != len(right) or dims[1:-1] != hidden:
            return "all hidden widths stand between input and output, as they are."
        if dims[0] == inputs["obs_dim"]:
            return (
                "the input is the whole sequence of observations, flattened: obs_horizon of them."
            )
        if dims[0] != width_in:
            return (
                f"the input is {width_in} wide: obs_horizon observations of obs_dim numbers,"
                " flattened."
            )
        if dims[-1] == inputs["action_dim"]:
            return "the output is the whole predicted chunk, flattened: pred_horizon actions."
        if dims[-1] == 8 * inputs["action_dim"]:
            return (
                "the model predicts pred_horizon actions; that only action_horizon are executed is"
                " no concern of its."
            )
        return (
            f"the output is {width_out} wide: pred_horizon actions of action_dim numbers,"
            " flattened."
        )


def network_inputs(rng: Rng, trial: int) -> Arrays:
    """Return a linear model's weights, its observations and actions, all within (-1, 1)."""
    batch = (5, 16, 1)[trial]
    return {
        **random_weights(rng, 32, 10),
        "nobs": rng.uniform(-0.8, 0.8, (batch, 2, 5)).astype(np.float32),
        "naction": rng.uniform(-0.8, 0.8, (batch, 16, 2)).astype(np.float32),
    }


class BCLoss(NumberQuestion):
    """The mean squared error of a model that stands for the MLP: a linear one."""

    name, function, leaves = "Q1.2", "bc_loss", "the model"
    fallback = (
        "it is the mean, over batch, steps and dimensions, of the squared difference between the"
        " model's output for the flattened observations, viewed as (B, pred_horizon, action_dim),"
        " and naction."
    )
    attached_hint = "nothing on the way from the model's output to the loss may be detached."
    gradient_atol = 1e-6

    def inputs(self, rng: Rng, trial: int) -> Arrays:
        """Errors lie on both sides of 1, where a smooth L1 loss changes its kind."""
        inputs = network_inputs(rng, trial)
        return {**inputs, "naction": 3 * inputs["naction"]}

    def arguments(self, inputs: Arrays, dtype: torch.dtype) -> tuple[Arrays, list[Tensor]]:
        model = linear(inputs).to(dtype)
        nobs, naction = (torch.tensor(inputs[name], dtype=dtype) for name in ("nobs", "naction"))
        return {"model": model, "nobs": nobs, "naction": naction}, [model.weight]

    def expected(self, model: nn.Module, nobs: Tensor, naction: Tensor) -> Tensor:
        return nn.functional.mse_loss(model(nobs.flatten(1)).view(-1, 16, 2), naction)

    def mistakes(self, model: nn.Module, nobs: Tensor, naction: Tensor) -> Iterator[Mistake]:
        flat = model(nobs.flatten(1))
        error = flat.view(-1, 16, 2) - naction
        hints = mean_squared_error_hints("dimensions", "the two coordinates")
        yield from squared_error(error.numpy(), hints)
        yield Mistake(
            (flat.view(-1, 2, 16).transpose(1, 2) - naction).square().mean(),
            "the output is reshaped in the wrong order: view it as (B, pred_horizon, action_dim),"
            " not (B, action_dim, pred_horizon) transposed.",
        )
        hint = "the observations are flattened in the wrong order: "
        in_order = "time step by time step, without a transpose."
        yield Mistake(self.expected(model, nobs.transpose(1, 2), naction), hint + in_order)
        yield Mistake(self.expected(model, nobs.flip(1), naction), hint + "newest last.")
        hint = "only the executed actions count here: compare all pred_horizon of them."
        yield Mistake(error[:, 1:9].square().mean(), hint)
        hint = "only the first action_horizon actions count here: compare all pred_horizon of them."
        yield Mistake(error[:, :8].square().mean(), hint)
        hint = "is left out: compare the model's output with naction."
        yield Mistake(naction.square().mean(), f"the prediction {hint}")
        yield Mistake(flat.square().mean(), f"the target {hint}")


class MLPInference(InferenceQuestion):
    """The chunks that a model predicts for a batch of observations."""

    name, function, source = "Q1.3", "mlp_inference", "the model"

    def inputs(self, rng: Rng, trial: int) -> Arrays:
        return network_inputs(rng, trial)

    def model(self, inputs: Arrays) -> nn.Module:
        return linear(inputs)

    def expected(self, inputs: Arrays) -> np.ndarray:
        return linear_output(inputs, inputs["nobs"].reshape(-1, 10))


QUESTIONS = (LayerWidths(), BCLoss(), MLPInference())
