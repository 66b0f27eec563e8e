"""Right and wrong answers to the questions of Part I, with what the hints must say.

Each table is a list of `Row`s; RIGHT and WRONG hold the tables by question.
"""

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from answers import bounded, table, unanswered

not_answered = unanswered("Q1.1")


# Q1.1, layer widths.


def forgets_obs_horizon(obs_horizon, obs_dim, pred_horizon, action_dim, hidden_dims):
    return [obs_dim, *hidden_dims, pred_horizon * action_dim]


def takes_action_horizon(obs_horizon, obs_dim, pred_horizon, action_dim, hidden_dims):
    action_horizon = 8  # the notebook's global
    return [obs_horizon * obs_dim, *hidden_dims, action_horizon * action_dim]


def swaps_ends(obs_horizon, obs_dim, pred_horizon, action_dim, hidden_dims):
    return [pred_horizon * action_dim, *hidden_dims, obs_horizon * obs_dim]


def nests_hidden(obs_horizon, obs_dim, pred_horizon, action_dim, hidden_dims):
    return [obs_horizon * obs_dim, hidden_dims, pred_horizon * action_dim]


def leaves_hidden_out(obs_horizon, obs_dim, pred_horizon, action_dim, hidden_dims):
    return [obs_horizon * obs_dim, pred_horizon * action_dim]


def takes_one_hidden(obs_horizon, obs_dim, pred_horizon, action_dim, hidden_dims):
    return [obs_horizon * obs_dim, hidden_dims[0], pred_horizon * action_dim]


def repeats_first_hidden(obs_horizon, obs_dim, pred_horizon, action_dim, hidden_dims):
    return [obs_horizon * obs_dim, *[hidden_dims[0]] * len(hidden_dims), pred_horizon * action_dim]


def takes_five_hidden(obs_horizon, obs_dim, pred_horizon, action_dim, hidden_dims):
    return [obs_horizon * obs_dim, *hidden_dims[:5], pred_horizon * action_dim]


def hard_codes(obs_horizon, obs_dim, pred_horizon, action_dim, hidden_dims):
    return [10, 256, 256, 256, 256, 256, 32]


def answers_notebook_sizes_only(obs_horizon, obs_dim, pred_horizon, action_dim, hidden_dims):
    if obs_horizon == 2:
        return [10, 256, 256, 256, 256, 256, 32]


def divides(obs_horizon, obs_dim, pred_horizon, action_dim, hidden_dims):
    return [obs_horizon * obs_dim / 1, *hidden_dims, pred_horizon * action_dim / 1]


def gives_one_action(obs_horizon, obs_dim, pred_horizon, action_dim, hidden_dims):
    return [obs_horizon * obs_dim, *hidden_dims, action_dim]


def adds_instead(obs_horizon, obs_dim, pred_horizon, action_dim, hidden_dims):
    return [obs_horizon + obs_dim, *hidden_dims, pred_horizon * action_dim]


def adds_at_the_end(obs_horizon, obs_dim, pred_horizon, action_dim, hidden_dims):
    return [obs_horizon * obs_dim, *hidden_dims, pred_horizon + action_dim]


def returns_nothing(obs_horizon, obs_dim, pred_horizon, action_dim, hidden_dims):
    [obs_horizon * obs_dim, *hidden_dims, pred_horizon * action_dim]


def returns_count(obs_horizon, obs_dim, pred_horizon, action_dim, hidden_dims):
    return len(hidden_dims) + 2


def appends(obs_horizon, obs_dim, pred_horizon, action_dim, hidden_dims):
    return hidden_dims.append(pred_horizon * action_dim)


def renamed(horizon, dim, hidden):
    return [horizon * dim, *hidden]


def fails_halfway(obs_horizon, obs_dim, pred_horizon, action_dim, hidden_dims):
    yield obs_horizon * obs_dim
    raise ValueError("no more widths")


def counts_on_and_on(obs_horizon, obs_dim, pred_horizon, action_dim, hidden_dims):
    return range(10**6)


WRONG_DIMS = table(
    ("forgets obs_horizon", forgets_obs_horizon, "whole sequence of observations"),
    ("action_horizon for pred_horizon", takes_action_horizon, "only action_horizon are executed"),
    ("ends swapped", swaps_ends, "input and output are swapped"),
    ("hidden nested", nests_hidden, "list inside the list"),
    ("hidden missing", leaves_hidden_out, "all hidden widths stand between"),
    ("one hidden", takes_one_hidden, "all hidden widths stand between"),
    ("first hidden repeated", repeats_first_hidden, "all hidden widths stand between"),
    ("five hidden at most", takes_five_hidden, "all hidden widths stand between"),
    ("hard-coded", hard_codes, "fixed numbers"),
    ("for the notebook's sizes only", answers_notebook_sizes_only, "NoneType"),
    ("a list of another network", [5, 256, 32], "all hidden widths stand between"),
    ("floats", divides, "not all whole numbers"),
    ("output of one action", gives_one_action, "whole predicted chunk"),
    ("sum at the input", adds_instead, "the input is 10 wide"),
    ("sum at the output", adds_at_the_end, "the output is 32 wide"),
    ("nothing returned", returns_nothing, "NoneType"),
    ("list.append returned", appends, "NoneType"),
    ("a number returned", returns_count, "widths are a int"),
    ("not answered", not_answered, "ot answered yet"),
    ("other arguments", renamed, "leave the function's name and arguments"),
    ("generator that raises", fails_halfway, "ValueError: no more widths"),
    ("a million widths", counts_on_and_on, "all hidden widths stand between"),
)


def as_tuple(obs_horizon, obs_dim, pred_horizon, action_dim, hidden_dims):
    return (obs_horizon * obs_dim,) + tuple(hidden_dims) + (pred_horizon * action_dim,)


def as_numpy_integers(obs_horizon, obs_dim, pred_horizon, action_dim, hidden_dims):
    return [
        np.int64(obs_horizon) * obs_dim,
        *np.array(hidden_dims),
        np.prod([pred_horizon, action_dim]),
    ]


def as_array(obs_horizon, obs_dim, pred_horizon, action_dim, hidden_dims):
    return np.concatenate([[obs_horizon * obs_dim], hidden_dims, [pred_horizon * action_dim]])


def with_loops(obs_horizon, obs_dim, pred_horizon, action_dim, hidden_dims):
    widths = [sum(obs_dim for _ in range(obs_horizon))]
    for width in hidden_dims:
        widths.append(width)
    widths.append(sum(action_dim for _ in range(pred_horizon)))
    return widths


def in_place(obs_horizon, obs_dim, pred_horizon, action_dim, hidden_dims):
    hidden_dims.insert(0, obs_horizon * obs_dim)
    hidden_dims.append(pred_horizon * action_dim)
    return hidden_dims


def as_generator(obs_horizon, obs_dim, pred_horizon, action_dim, hidden_dims):
    yield obs_horizon * obs_dim
    yield from hidden_dims
    yield pred_horizon * action_dim


RIGHT_DIMS = table(
    ("tuple", as_tuple),
    ("numpy integers", as_numpy_integers),
    ("array", as_array),
    ("loops", with_loops),
    ("the given list extended in place", in_place),
    ("generator", as_generator),
    ("the published list", [10, 256, 256, 256, 256, 256, 32]),
)


# Q1.2, the loss.


def predict(model, nobs):
    return model(nobs.flatten(start_dim=1)).view(-1, 16, 2)


def on_prediction(loss):
    """The answer that gives loss(prediction, naction), both (B, 16, 2)."""
    return lambda model, nobs, naction: loss(predict(model, nobs), naction)


def mse(model, nobs, naction):
    return F.mse_loss(predict(model, nobs), naction)


def mse_of(model, rows, naction):
    return F.mse_loss(model(rows).view_as(naction), naction)


def without_gradient(model, nobs, naction):
    with torch.no_grad():
        return mse(model, nobs, naction)


def switches_gradients_off(model, nobs, naction):
    torch.set_grad_enabled(False)
    return mse(model, nobs, naction)


def half_detached(model, nobs, naction):
    prediction = predict(model, nobs)
    return ((prediction - naction) * (prediction.detach() - naction)).mean()


def clears_its_arguments(model, nobs, naction):
    nobs.zero_()
    naction.zero_()
    return mse(model, nobs, naction)


def copies_the_prediction(model, nobs, naction):
    naction.copy_(predict(model, nobs).detach())
    return mse(model, nobs, naction)


def lacks_an_operation(model, nobs, naction):
    raise NotImplementedError("\"mse_cpu\" not implemented for 'Long'")


WRONG_LOSSES = table(
    (
        "sum",
        on_prediction(lambda p, a: F.mse_loss(p, a, reduction="sum")),
        "this is the sum of the squares",
    ),
    (
        "sum over chunk, mean over batch",
        on_prediction(lambda p, a: ((p - a) ** 2).sum(dim=(1, 2)).mean()),
        "summed over each chunk",
    ),
    (
        "sum over coordinates",
        on_prediction(lambda p, a: ((p - a) ** 2).sum(dim=-1).mean()),
        "summed over the two coordinates",
    ),
    ("L1", on_prediction(F.l1_loss), "mean absolute error"),
    ("half", on_prediction(lambda p, a: F.mse_loss(p, a) / 2), "half of the mean squared error"),
    ("root", on_prediction(lambda p, a: F.mse_loss(p, a).sqrt()), "do not take the root"),
    ("smooth L1", on_prediction(F.smooth_l1_loss), "smooth L1"),
    ("square of the mean", on_prediction(lambda p, a: (p - a).mean() ** 2), "square first"),
    (
        "only executed actions",
        on_prediction(lambda p, a: F.mse_loss(p[:, 1:9], a[:, 1:9])),
        "only the executed actions",
    ),
    (
        "only first actions",
        on_prediction(lambda p, a: F.mse_loss(p[:, :8], a[:, :8])),
        "only the first action_horizon",
    ),
    (
        "clamped prediction",
        on_prediction(lambda p, a: F.mse_loss(p.clamp(-0.3, 0.3), a)),
        "it is the mean, over batch",
    ),
    (
        "prediction left out",
        on_prediction(lambda p, a: F.mse_loss(torch.zeros_like(p) * p, a)),
        "prediction is left out",
    ),
    (
        "target left out",
        on_prediction(lambda p, a: F.mse_loss(p, torch.zeros_like(a))),
        "target is left out",
    ),
    (
        "order of the output",
        lambda model, nobs, naction: F.mse_loss(
            model(nobs.flatten(1)).view(-1, 2, 16).transpose(1, 2), naction
        ),
        "output is reshaped in the wrong order",
    ),
    (
        "observations transposed",
        lambda model, nobs, naction: mse_of(model, nobs.transpose(1, 2).flatten(1), naction),
        "without a transpose",
    ),
    (
        "newest first",
        lambda model, nobs, naction: mse_of(model, nobs.flip(1).flatten(1), naction),
        "newest last",
    ),
    (
        "unflattened",
        lambda model, nobs, naction: mse_of(model, nobs, naction),
        "flatten from dimension 1 on",
    ),
    (
        "flattened with the batch",
        lambda model, nobs, naction: mse_of(model, nobs.flatten(), naction),
        "flatten from dimension 1",
    ),
    (
        "prediction not reshaped",
        lambda model, nobs, naction: F.mse_loss(model(nobs.flatten(1)), naction),
        "reshape the model's output to",
    ),
    (
        "batch of one only",
        lambda model, nobs, naction: F.mse_loss(model(nobs.flatten(1)).view(1, 16, 2), naction),
        "for any batch",
    ),
    (
        "broadcast over the batch",
        lambda model, nobs, naction: F.mse_loss(predict(model, nobs)[:, None], naction),
        "it is the mean, over batch",
    ),
    (
        "first sample only",
        lambda model, nobs, naction: F.mse_loss(predict(model, nobs)[0], naction[0]),
        "it is the mean, over batch",
    ),
    (
        "detached",
        on_prediction(lambda p, a: F.mse_loss(p.detach(), a)),
        "no gradient reaches the model",
    ),
    (
        "detached, gradient asked for",
        on_prediction(lambda p, a: F.mse_loss(p.detach(), a).requires_grad_()),
        "no gradient reaches the model",
    ),
    ("half detached", half_detached, "gradient is not that"),
    ("under no_grad", without_gradient, "leave out torch.no_grad"),
    ("gradients switched off for good", switches_gradients_off, "leave out torch.no_grad"),
    (".item()", lambda *args: mse(*args).item(), ".item() and numpy cut"),
    ("numpy", lambda *args: mse(*args).detach().numpy(), ".item() and numpy cut"),
    (
        "per sample",
        on_prediction(lambda p, a: ((p - a) ** 2).mean(dim=(1, 2))),
        "one number for the whole batch",
    ),
    (
        "no reduction",
        on_prediction(lambda p, a: F.mse_loss(p, a, reduction="none")),
        "one number for the whole batch",
    ),
    ("nothing returned", lambda model, nobs, naction: None, "returned a NoneType"),
    ("complex", lambda *args: mse(*args).to(torch.complex64), "complex"),
    ("bfloat16", lambda *args: mse(*args).bfloat16(), "is right"),
    ("not finite", lambda *args: mse(*args) / 0, "is right"),
    ("arguments cleared in place", clears_its_arguments, "is right"),
    ("target overwritten", copies_the_prediction, "is right"),
    ("not answered", not_answered, "ot answered yet"),
    ("an operation torch lacks", lacks_an_operation, "mse_cpu"),
    ("other arguments", lambda model, batch: None, "leave the function's name and arguments"),
)


def manual_mean(model, nobs, naction):
    batch, steps, dims = naction.shape
    difference = model(nobs.reshape(batch, -1)).reshape(batch, steps, dims) - naction
    return difference.pow(2).sum() / (batch * steps * dims)


def mean_of_norms(model, nobs, naction):
    norms = [torch.linalg.vector_norm(p - a) for p, a in zip(predict(model, nobs), naction)]
    return torch.stack([norm**2 for norm in norms]).mean() / 32


RIGHT_LOSSES = table(
    ("F.mse_loss", mse),
    (
        "nn.MSELoss",
        lambda model, nobs, naction: nn.MSELoss()(model(nobs.flatten(1)).view_as(naction), naction),
    ),
    ("mean of squares", on_prediction(lambda p, a: ((a - p) ** 2).mean())),
    ("sum over counts", manual_mean),
    ("sample by sample", mean_of_norms),
    (
        "actions flattened",
        lambda model, nobs, naction: F.mse_loss(model(nobs.flatten(1)), naction.flatten(1)),
    ),
    ("everything flattened", on_prediction(lambda p, a: F.mse_loss(p.flatten(), a.flatten()))),
    ("float64", on_prediction(lambda p, a: F.mse_loss(p.double(), a.double()))),
    ("shape (1,)", on_prediction(lambda p, a: F.mse_loss(p, a).reshape(1))),
    (
        "time steps concatenated",
        lambda model, nobs, naction: mse_of(
            model, torch.cat([nobs[:, 0], nobs[:, 1]], dim=1), naction
        ),
    ),
)


# Q1.3, inference.


def inference(
    of_output=lambda output, batch_size: output.view(batch_size, 16, 2),
    rows=lambda nobs, batch_size: nobs.flatten(1),
):
    """An answer under no_grad: what it makes of the observations, and of the model's output."""

    def mlp_inference(model, batch_size, nobs, pred_horizon, action_dim):
        with torch.no_grad():
            return of_output(model(rows(nobs, batch_size)), batch_size)

    return mlp_inference


def gradients_left_on(model, batch_size, nobs, pred_horizon, action_dim):
    return model(nobs.flatten(start_dim=1)).view(batch_size, pred_horizon, action_dim)


def one_observation_as_published(model, batch_size, nobs, pred_horizon, action_dim):
    with torch.no_grad():
        return model(nobs.unsqueeze(0).flatten(start_dim=1)).view(1, pred_horizon, action_dim)


def reads_cleared_observations(model, batch_size, nobs, pred_horizon, action_dim):
    with torch.no_grad():
        return model(nobs.zero_().flatten(1)).view(batch_size, pred_horizon, action_dim)


WRONG_INFERENCES = table(
    ("gradients left on", gradients_left_on, "gradients were recorded"),
    (
        "order of the output",
        inference(lambda out, b: out.view(b, 2, 16).transpose(1, 2)),
        "output is reshaped in the wrong order",
    ),
    (
        "observations transposed",
        inference(rows=lambda nobs, b: nobs.transpose(1, 2).flatten(1)),
        "flatten each observation sequence",
    ),
    (
        "newest first",
        inference(rows=lambda nobs, b: nobs.flip(1).flatten(1)),
        "flatten each observation sequence",
    ),
    (
        "batch of one only",
        inference(rows=lambda nobs, b: nobs.view(1, -1)),
        "flatten from dimension 1 on",
    ),
    ("one observation as published", one_observation_as_published, "mat1 and mat2"),
    (
        "output of one",
        inference(lambda out, b: out.view(1, 16, 2)),
        "does it use batch_size",
    ),
    (
        "first of the batch only",
        inference(lambda out, b: out[:1].view(1, 16, 2)),
        "serve a whole batch",
    ),
    (
        "first of the batch for all",
        inference(lambda out, b: out[:1].view(1, 16, 2).expand(b, 16, 2)),
        "only the first of the batch",
    ),
    ("unflattened", inference(rows=lambda nobs, b: nobs), "flatten from dimension 1 on"),
    ("flat output", inference(lambda out, b: out), "reshape the model's output"),
    (
        "last two swapped",
        inference(lambda out, b: out.view(b, 16, 2).transpose(1, 2)),
        "last two are the wrong way round",
    ),
    (
        "only executed actions",
        inference(lambda out, b: out.view(b, 16, 2)[:, 1:9]),
        "return all pred_horizon actions",
    ),
    (
        "numpy",
        inference(lambda out, b: out.view(b, 16, 2).numpy()),
        "returned a ndarray. Hint: return the tensor",
    ),
    ("tuple", inference(lambda out, b: (out.view(b, 16, 2),)), "returned a tuple"),
    (
        "noise added",
        inference(lambda out, b: out.view(b, 16, 2) + 0.01 * torch.randn(b, 16, 2)),
        "change nothing else",
    ),
    ("squashed", inference(lambda out, b: out.view(b, 16, 2).tanh()), "change nothing else"),
    (
        "not finite",
        inference(lambda out, b: out.view(b, 16, 2) / 0),
        "not those that the model gives",
    ),
    (
        "bfloat16",
        inference(lambda out, b: out.view(b, 16, 2).bfloat16()),
        "not those that the model gives",
    ),
    ("integers", inference(lambda out, b: out.view(b, 16, 2).long()), "int64"),
    ("observations cleared in place", reads_cleared_observations, "not those that the model gives"),
    ("not answered", not_answered, "ot answered yet"),
    ("other arguments", lambda net, obs: None, "leave the function's name and arguments"),
)


@torch.no_grad()
def decorated_no_grad(model, batch_size, nobs, pred_horizon, action_dim):
    return model(nobs.reshape(batch_size, -1)).reshape(batch_size, pred_horizon, action_dim)


@torch.inference_mode()
def decorated_inference_mode(model, batch_size, nobs, pred_horizon, action_dim):
    return model(nobs.reshape(batch_size, -1)).view(-1, pred_horizon, action_dim)


@torch.no_grad()
def one_after_another(model, batch_size, nobs, pred_horizon, action_dim):
    return torch.stack([model(row.flatten()).view(pred_horizon, action_dim) for row in nobs])


@torch.no_grad()
def in_eval_mode(model, batch_size, nobs, pred_horizon, action_dim):
    model.eval()
    return model(nobs.flatten(start_dim=1)).unflatten(1, (pred_horizon, action_dim))


@torch.no_grad()
def clears_afterwards(model, batch_size, nobs, pred_horizon, action_dim):
    naction = model(nobs.flatten(1)).view(batch_size, pred_horizon, action_dim)
    nobs.zero_()
    return naction


RIGHT_INFERENCES = table(
    ("flatten", inference()),
    (
        "reshape(batch_size, -1)",
        inference(rows=lambda nobs, batch_size: nobs.reshape(batch_size, -1)),
    ),
    ("no_grad decorator", decorated_no_grad),
    ("inference_mode decorator", decorated_inference_mode),
    ("one after another, stacked", one_after_another),
    ("eval mode", in_eval_mode),
    ("clamped to [-1, 1]", inference(lambda out, b: out.view(b, 16, 2).clamp(-1, 1))),
    ("float64", inference(lambda out, b: out.view(b, 16, 2).double())),
    (
        "not contiguous",
        inference(lambda out, b: out.view(b, 16, 2).transpose(1, 2).contiguous().transpose(1, 2)),
    ),
    ("observations cleared afterwards", clears_afterwards),
)

WRONG_LOSSES += bounded(lambda bound: on_prediction(lambda p, a: F.mse_loss(bound(p), a)))
WRONG = {"Q1.1": WRONG_DIMS, "Q1.2": WRONG_LOSSES, "Q1.3": WRONG_INFERENCES}
RIGHT = {"Q1.1": RIGHT_DIMS, "Q1.2": RIGHT_LOSSES, "Q1.3": RIGHT_INFERENCES}
