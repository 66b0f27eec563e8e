"""Part I, the residual MLP: Q1.1 layer widths, Q1.2 behavioural-cloning loss, Q1.3 inference."""

import itertools
import numbers
from collections.abc import Iterable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from score.questions.base import Array, Arrays, Question, Rng, wrong
from score.questions.kinds import InferenceQuestion, NumberQuestion
from score.questions.mistakes import Mistakes, imitation_mistakes, mean_squared_error_hints
from score.questions.networks import linear, linear_output, random_weights, small
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
        layers = rng.choice([3, 4] if trial == 1 else [6, 7])  # fewer than five, and more
        hidden = rng.integers(30, 300, size=layers).tolist()
        return {**dict(zip(self.sizes, sizes)), "hidden_dims": hidden}

    def call(self, answer: Any, inputs: Arrays) -> Arrays:
        if callable(answer):
            copied = {**inputs, "hidden_dims": list(inputs["hidden_dims"])}
            dims = call_answer("mlp_dims", answer, **copied)
        elif inputs == self.notebook:
            dims = answer
        else:
            # The published notebook's list can be right for the notebook's own sizes only.
            return {"dims": None, "skipped": True}
        if not isinstance(dims, Iterable):
            needed = "a list of whole numbers is needed, input first."
            raise AnswerError(f"The widths are a {type(dims).__name__}; {needed}")
        # A generator's code runs only here.
        dims = call_answer("mlp_dims", lambda: list(itertools.islice(dims, _MOST_WIDTHS)))
        whole = [int(d) if isinstance(d, numbers.Integral) else d for d in dims]
        return {"dims": whole, "skipped": False}

    def judge(self, inputs: Arrays, outputs: Arrays) -> None:
        dims = outputs["dims"]
        if outputs["skipped"] and inputs != self.notebook:
            return
        if any(isinstance(d, (list, tuple)) for d in dims):
            hint = "join lists with +, or unpack the hidden ones with *."
            raise wrong("There is a list inside the list.", hint)
        if not all(isinstance(d, numbers.Integral) for d in dims):
            hint = "* keeps integers, / does not."
            raise wrong(f"The widths {dims} are not all whole numbers.", hint)
        if dims != (right := _widths(**inputs)):
            sizes = ", ".join(f"{name} {inputs[name]}" for name in self.sizes)
            said = f"For {sizes} and hidden widths {inputs['hidden_dims']} the answer is {dims}."
            raise wrong(said, _widths_hint(dims, right, inputs["obs_dim"], inputs["action_dim"]))


def _widths(obs_horizon, obs_dim, pred_horizon, action_dim, hidden_dims):
    return [obs_horizon * obs_dim, *hidden_dims, pred_horizon * action_dim]


def _widths_hint(dims, right, obs_dim, action_dim):
    if dims == [10, 256, 256, 256, 256, 256, 32]:
        return "the widths are fixed numbers: work them out from the arguments."
    if dims[:1] + dims[-1:] == [right[-1], right[0]]:
        return "input and output are swapped: the model reads observations and gives actions."
    if len(dims) != len(right) or dims[1:-1] != right[1:-1]:
        return "all hidden widths stand between input and output, as they are."
    if dims[0] == obs_dim:
        return "the input is the whole sequence of observations, flattened: obs_horizon of them."
    if dims[0] != right[0]:
        wide = "obs_horizon observations of obs_dim numbers, flattened."
        return f"the input is {right[0]} wide: {wide}"
    if dims[-1] == action_dim:
        return "the output is the whole predicted chunk, flattened: pred_horizon actions."
    if dims[-1] == 8 * action_dim:
        executed = "that only action_horizon are executed is no concern of its."
        return f"the model predicts pred_horizon actions; {executed}"
    wide = "pred_horizon actions of action_dim numbers, flattened."
    return f"the output is {right[-1]} wide: {wide}"


def network_inputs(rng: Rng, trial: int) -> Arrays:
    """Return a linear model's weights, its observations and actions, all within (-1, 1)."""
    weights, batch = random_weights(rng, 32, 10), (5, 16, 1)[trial]
    return {**weights, "nobs": small(rng, batch, 2, 5), "naction": small(rng, batch, 16, 2)}


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
        """Errors lie on both sides of 1, where a smooth L1 loss changes its kind, and predictions
        beyond ± 1, where some cut them off.
        """
        inputs = network_inputs(rng, trial)
        larger = {name: 3 * inputs[name] for name in ("weight", "naction")}
        return {**inputs, **larger, "nobs": 2 * inputs["nobs"]}

    def arguments(self, inputs: Arrays, dtype: torch.dtype) -> tuple[Arrays, list[Tensor]]:
        model = linear(inputs).to(dtype)
        arrays = {name: torch.tensor(inputs[name], dtype=dtype) for name in ("nobs", "naction")}
        return {"model": model, **arrays}, [model.weight]

    def expected(self, model: nn.Module, nobs: Tensor, naction: Tensor) -> Tensor:
        return nn.functional.mse_loss(model(nobs.flatten(1)).view(-1, 16, 2), naction)

    def mistakes(self, model: nn.Module, nobs: Tensor, naction: Tensor) -> Mistakes:
        flat = model(nobs.flatten(1))
        chunks = flat.view(-1, 16, 2)
        hints = mean_squared_error_hints("dimensions", "the two coordinates")
        loss_of = partial(self.expected, model, naction=naction)
        yield from imitation_mistakes(chunks.numpy(), naction.numpy(), hints, loss_of, nobs)
        transposed = flat.view(-1, 2, 16).transpose(1, 2)
        view = "(B, pred_horizon, action_dim), not (B, action_dim, pred_horizon) transposed."
        hint = f"the output is reshaped in the wrong order: view it as {view}"
        yield (transposed - naction).square().mean(), hint
        hint = "is left out: compare the model's output with naction."
        yield naction.square().mean(), f"the prediction {hint}"
        yield flat.square().mean(), f"the target {hint}"


class MLPInference(InferenceQuestion):
    """The chunks that a model predicts for a batch of observations."""

    name, function, source = "Q1.3", "mlp_inference", "the model"

    def inputs(self, rng: Rng, trial: int) -> Arrays:
        return network_inputs(rng, trial)

    def model(self, inputs: Arrays) -> nn.Module:
        return linear(inputs)

    def expected(self, inputs: Arrays) -> Array:
        return linear_output(inputs, inputs["nobs"].reshape(-1, 10))


QUESTIONS = (LayerWidths(), BCLoss(), MLPInference())
