"""Part I, the residual MLP: Q1.1 layer widths, Q1.2 behavioural-cloning loss, Q1.3 inference.

Each entry of `QUESTIONS` is (inputs, call, judge): inputs(rng, challenge) -> dict; call(answer,
given) -> dict of what the student's code gave; judge(given, got) raises AnswerError with the hint
that names the mistake.
"""

import itertools
import numbers
from collections.abc import Iterable

import numpy as np
import torch
from torch import nn

from score.questions.base import as_array, mistake
from score.verdict import AnswerError, call_answer

_SHAPE = {"obs_horizon": 2, "obs_dim": 5, "pred_horizon": 16, "action_dim": 2}
_NOTEBOOK = {**_SHAPE, "hidden_dims": [256] * 5}
_MOST_WIDTHS = 100


def _dims_inputs(rng, challenge):
    if challenge == 0:  # the notebook's own
        return {**_NOTEBOOK, "hidden_dims": [256] * 5}
    sizes = rng.choice(np.arange(3, 24), size=4, replace=False).tolist()
    return {
        **dict(zip(_SHAPE, sizes)),
        "hidden_dims": rng.integers(30, 300, size=rng.choice([3, 4, 6, 7])).tolist(),
    }


def _dims_call(answer, given):
    if callable(answer):
        dims = call_answer(
            "mlp_dims", answer, **{**given, "hidden_dims": list(given["hidden_dims"])}
        )
    elif given == _NOTEBOOK:
        dims = answer
    else:  # The published notebook's answer is the list itself, which can be right for the notebook's own sizes only.
        return {"dims": None, "skipped": True}
    if not isinstance(dims, Iterable):
        raise AnswerError(
            f"The widths are a {type(dims).__name__}; a list of whole numbers is needed, input"
            " first."
        )
    dims = call_answer(
        "mlp_dims", lambda: list(itertools.islice(dims, _MOST_WIDTHS))
    )  # a generator's code runs only here
    return {
        "dims": [int(d) if isinstance(d, numbers.Integral) else d for d in dims],
        "skipped": False,
    }


def _dims_judge(given, got):
    dims, hidden = got["dims"], given["hidden_dims"]
    if got["skipped"] and given != _NOTEBOOK:
        return
    if any(isinstance(d, (list, tuple)) for d in dims):
        raise AnswerError(
            "There is a list inside the list. Hint: join lists with +, or unpack the hidden ones"
            " with *."
        )
    if not all(isinstance(d, numbers.Integral) for d in dims):
        raise AnswerError(
            f"The widths {dims} are not all whole numbers. Hint: * keeps integers, / does not."
        )
    width_in, width_out = (
        given["obs_horizon"] * given["obs_dim"],
        given["pred_horizon"] * given["action_dim"],
    )
    right = [width_in, *hidden, width_out]
    if dims == right:
        return
    said = (
        f"For obs_horizon {given['obs_horizon']}, obs_dim {given['obs_dim']}, pred_horizon"
        f" {given['pred_horizon']}, action_dim {given['action_dim']} and hidden widths {hidden} the"
        f" answer is {dims}."
    )
    if dims == [10, 256, 256, 256, 256, 256, 32]:
        hint = "the widths are fixed numbers: work them out from the arguments."
    elif dims == right[::-1] or dims[:1] + dims[-1:] == [width_out, width_in]:
        hint = "input and output are swapped: the model reads observations and gives actions."
    elif len(dims) != len(right) or dims[1:-1] != hidden:
        hint = "all hidden widths stand between input and output, as they are."
    elif dims[0] == given["obs_dim"]:
        hint = "the input is the whole sequence of observations, flattened: obs_horizon of them."
    elif dims[0] != width_in:
        hint = (
            f"the input is {width_in} wide: obs_horizon observations of obs_dim numbers, flattened."
        )
    elif dims[-1] == given["action_dim"]:
        hint = "the output is the whole predicted chunk, flattened: pred_horizon actions."
    elif dims[-1] == 8 * given["action_dim"]:
        hint = (
            "the model predicts pred_horizon actions; that only action_horizon are executed is no"
            " concern of its."
        )
    else:
        hint = (
            f"the output is {width_out} wide: pred_horizon actions of action_dim numbers,"
            " flattened."
        )
    raise AnswerError(f"{said} Hint: {hint}")


def _network_inputs(rng, challenge):
    """A linear model with weights of ours stands for the MLP: outputs within (-1, 1), every mix-up
    shows in the numbers.
    """
    batch = (5, 16, 1)[challenge]
    return {
        "weight": rng.uniform(-0.1, 0.1, (32, 10)).astype(np.float32),
        "bias": rng.uniform(-0.1, 0.1, 32).astype(np.float32),
        "nobs": rng.uniform(-0.8, 0.8, (batch, 2, 5)).astype(np.float32),
        "naction": rng.uniform(-0.8, 0.8, (batch, 16, 2)).astype(np.float32),
    }


def _loss_inputs(rng, challenge):
    """As `_network_inputs`, with errors on both sides of 1, where a smooth L1 loss changes its
    kind.
    """
    given = _network_inputs(rng, challenge)
    return {**given, "naction": 3 * given["naction"]}


def _network(given):
    model = nn.utils.skip_init(
        nn.Linear, 10, 32, device="cpu", dtype=torch.float32
    )  # no draw from the notebook's generator
    model.load_state_dict(
        {"weight": torch.from_numpy(given["weight"]), "bias": torch.from_numpy(given["bias"])}
    )
    return model


def _loss_call(answer, given):
    model = _network(given)
    # Copies: what an answer does to its arguments in place is not to reach the judge.
    loss = call_answer(
        "bc_loss", answer, model, torch.tensor(given["nobs"]), torch.tensor(given["naction"])
    )
    if not isinstance(loss, torch.Tensor):
        raise AnswerError(
            f"bc_loss returned a {type(loss).__name__}. Hint: return the loss as a tensor; .item()"
            " and numpy cut the path that the gradient takes."
        )
    if loss.numel() == 1 and loss.requires_grad:
        call_answer("The gradient of bc_loss", loss.sum().backward)
    return {
        "loss": as_array("bc_loss", loss),
        "gradient": None if model.weight.grad is None else model.weight.grad.numpy(),
    }


def _loss_judge(given, got):
    loss, gradient = got["loss"], got["gradient"]
    if loss.size != 1:
        raise AnswerError(
            f"The loss has shape {loss.shape}. Hint: one number for the whole batch: take the mean"
            " over everything."
        )
    loss = float(loss.reshape(()))
    model, nobs, naction = (
        _network(given),
        torch.from_numpy(given["nobs"]),
        torch.from_numpy(given["naction"]),
    )
    prediction = model(nobs.flatten(start_dim=1)).view(-1, 16, 2)
    right = nn.functional.mse_loss(prediction, naction)
    if not np.isclose(loss, right.item(), rtol=1e-5):
        raise AnswerError(
            f"The loss is {loss:.6g} where {right.item():.6g} is right. Hint:"
            f" {_loss_hint(loss, model, nobs, naction)}"
        )
    right.backward()
    if gradient is None:
        raise AnswerError(
            "The value is right, but no gradient reaches the model. Hint: leave out torch.no_grad"
            " and .detach() here."
        )
    if not np.allclose(gradient, model.weight.grad.numpy(), rtol=1e-3, atol=1e-6):
        raise AnswerError(
            "The value is right, but its gradient is not that of the mean squared error. Hint:"
            " nothing on the way from the model's output to the loss may be detached."
        )


@torch.no_grad()
def _loss_hint(loss, model, nobs, naction):
    flat = model(nobs.flatten(start_dim=1))
    error = flat.view(-1, 16, 2) - naction
    mean_square = error.square().mean()
    candidates = {
        "this is the sum of the squares: take their mean, over batch, steps and dimensions.": (
            error.square().sum()
        ),
        "this is summed over each chunk: take the mean over steps and dimensions as well as over the batch.": (
            error.square().sum() / len(nobs)
        ),
        "this is summed over the two coordinates: take the mean over them too.": (
            error.square().sum(dim=2).mean()
        ),
        "this is the mean absolute error: square the differences.": error.abs().mean(),
        "this is half of the mean squared error.": mean_square / 2,
        "this is the root of the mean squared error: do not take the root.": mean_square.sqrt(),
        "this is a smooth L1 (Huber) loss: use the mean squared error.": (
            nn.functional.smooth_l1_loss(flat.view(-1, 16, 2), naction)
        ),
        "the output is reshaped in the wrong order: view it as (B, pred_horizon, action_dim), not (B, action_dim, pred_horizon) transposed.": (
            (flat.view(-1, 2, 16).transpose(1, 2) - naction).square().mean()
        ),
        "the observations are flattened in the wrong order: time step by time step, without a transpose.": (
            (model(nobs.transpose(1, 2).flatten(start_dim=1)).view(-1, 16, 2) - naction)
            .square()
            .mean()
        ),
        "the observations are flattened in the wrong order: newest last.": (
            (model(nobs.flip(1).flatten(start_dim=1)).view(-1, 16, 2) - naction).square().mean()
        ),
        "only the executed actions count here: compare all pred_horizon of them.": (
            error[:, 1:9].square().mean()
        ),
        "only the first action_horizon actions count here: compare all pred_horizon of them.": (
            error[:, :8].square().mean()
        ),
        "this is the squared mean of the error: square first, then take the mean.": (
            error.mean().square()
        ),
        "the prediction is left out: compare the model's output with naction.": (
            naction.square().mean()
        ),
        "the target is left out: compare the model's output with naction.": flat.square().mean(),
    }
    return mistake(loss, candidates) or (
        "it is the mean, over batch, steps and dimensions, of the squared difference between the"
        " model's output for the flattened observations, viewed as (B, pred_horizon, action_dim),"
        " and naction."
    )


def _inference_call(answer, given):
    model, nobs = _network(given), torch.tensor(given["nobs"])
    naction = call_answer(
        f"mlp_inference with batch_size {len(nobs)}",
        answer,
        model=model,
        batch_size=len(nobs),
        nobs=nobs,
        pred_horizon=16,
        action_dim=2,
    )
    if not isinstance(naction, torch.Tensor):
        raise AnswerError(
            f"mlp_inference returned a {type(naction).__name__}. Hint: return the tensor naction."
        )
    return {"naction": as_array("mlp_inference", naction), "requires_grad": naction.requires_grad}


def _inference_judge(given, got):
    naction, batch = got["naction"], len(given["nobs"])
    if naction.shape != (batch, 16, 2):
        raise AnswerError(
            f"For {batch} observations the result has shape {naction.shape}; (batch_size,"
            f" pred_horizon, action_dim) = ({batch}, 16, 2) is needed. Hint:"
            f" {_shape_hint(naction.shape, batch)}"
        )
    flat = torch.from_numpy(given["nobs"]).flatten(start_dim=1)
    with torch.no_grad():
        output = _network(given)(flat)
    right = output.view(-1, 16, 2).numpy()
    if not np.allclose(naction, right, rtol=1e-5, atol=1e-6):
        wrong_order = output.view(-1, 2, 16).transpose(1, 2).numpy()
        if np.allclose(naction, wrong_order, atol=1e-6):
            hint = (
                "the output is reshaped in the wrong order: (B, pred_horizon, action_dim), without"
                " a transpose."
            )
        elif batch > 1 and np.allclose(naction[0], right[0], atol=1e-6):
            hint = "only the first of the batch is right: each observation gets its own actions."
        else:
            hint = (
                "flatten each observation sequence from dimension 1 on, ask the model, reshape;"
                " change nothing else."
            )
        raise AnswerError(f"The actions are not those that the model gives. Hint: {hint}")
    if got["requires_grad"]:
        raise AnswerError(
            "The actions are right, but gradients were recorded. Hint: ask the model under"
            " torch.no_grad()."
        )


def _shape_hint(shape, batch):
    if shape == (batch, 32):
        return "reshape the model's output."
    if shape == (batch, 2, 16):
        return "the last two are the wrong way round."
    if shape in ((batch, 8, 2), (batch, 9, 2)):
        return "return all pred_horizon actions; the loop picks those to execute."
    if batch > 1 and shape == (1, 16, 2) or shape == (16, 2):
        return "it has to serve a whole batch, not one observation at a time."
    return "view the output as (batch_size, pred_horizon, action_dim)."


QUESTIONS = {
    "Q1.1": (_dims_inputs, _dims_call, _dims_judge),
    "Q1.2": (_loss_inputs, _loss_call, _loss_judge),
    "Q1.3": (_network_inputs, _inference_call, _inference_judge),
}
