"""Part IV: Q4.1 MSE policy, Q4.2 training loop, Q4.3 flow-matching loss, Q4.4 Euler integration.

Entries of `QUESTIONS` as in `score.questions.mlp`. Q4.1, Q4.3 and Q4.4 take the student's class and
free its architecture: weights are shaken first, so that no choice of first weights matters, and
what is judged is what goes in and out of the methods. Q4.2 takes the training loop and hands it a
policy, a loader and a logger that keep a record.
"""

import contextlib
import re
from unittest import mock

import numpy as np
import torch
from torch import nn

from pusht.chunks import BasePolicy
from pusht.episodes import reproducible
from score.questions.base import as_array
from score.questions.mistakes import old_mistake as mistake
from score.verdict import AnswerError, call_answer

_NOTEBOOK = {"state_dim": 5, "action_dim": 2, "chunk_size": 8}
_MANY = 2048  # samples of a batch whose noise is judged by its distribution
_TAU_HINT = (
    "tau comes as (B,): tau[:, None] is the column that joins the flattened a_tau and the state, "
    "tau[:, None, None] what multiplies chunks."
)


# What Q4.1, Q4.3 and Q4.4 share.


def _sizes(rng, challenge):
    if challenge == 0:  # the notebook's own
        return {**_NOTEBOOK, "hidden_dims": [32, 32], "seed": int(rng.integers(2**31))}
    return {
        "state_dim": int(rng.integers(11, 14)),
        "action_dim": int(rng.integers(3, 5)),
        "chunk_size": int(rng.integers(5, 11)),
        "seed": int(rng.integers(2**31)),
        "hidden_dims": rng.integers(24, 64, size=(1, 3)[challenge - 1]).tolist(),
    }


def _states(rng, given, batch):
    return rng.uniform(-2, 2, (batch, given["state_dim"])).astype(np.float32)


def _chunks(rng, given, batch):
    return rng.uniform(-4, 4, (batch, given["chunk_size"], given["action_dim"])).astype(np.float32)


@contextlib.contextmanager
def _bench(seed):
    """Random numbers of its own, float32, the CPU and no compiler, whatever the notebook has set;
    all as before afterwards.
    """
    dtype = torch.get_default_dtype()
    # To name a device slows down each call of torch; a compiler would take longer than all the
    # rest.
    device = (
        contextlib.nullcontext()
        if torch.get_default_device().type == "cpu"
        else torch.device("cpu")
    )
    with (
        reproducible(seed),
        device,
        mock.patch.object(torch, "compile", lambda what=None, **_: what or (lambda inner: inner)),
    ):
        torch.set_default_dtype(torch.float32)
        try:
            yield
        finally:
            torch.set_default_dtype(dtype)


def _ask(
    given, what, function, *args, hint="bring all to the shapes that the docstrings give.", **kwargs
):
    """`call_answer` with gradients on, copies of the arrays as tensors, and a hint where shapes do
    not fit.
    """
    args = [torch.tensor(arg) if isinstance(arg, np.ndarray) else arg for arg in args]
    try:
        with torch.enable_grad():  # also where an earlier call has switched them off
            return call_answer(what, function, *args, **kwargs)
    except AnswerError as error:
        if not isinstance(error.__cause__, (RuntimeError, IndexError)) or not re.search(
            "shape|size|dimension", str(error), re.I
        ):
            raise
        if any(
            given.get(name, size) != size for name, size in _NOTEBOOK.items()
        ):  # with the notebook's own all went well
            sizes = ", ".join(f"{name} {given[name]}" for name in _NOTEBOOK)
            hint = (
                f"this is with {sizes} and hidden_dims {tuple(given['hidden_dims'])}: take the"
                " sizes from the arguments."
            )
        raise AnswerError(f"{str(error).split(' Hint: ')[0]} Hint: {hint}") from error


def _policy(answer, given):
    if isinstance(answer, nn.Module):
        raise AnswerError(
            f"This is a policy. Hint: hand over the class itself, {type(answer).__name__}, without"
            " brackets."
        )
    policy = _ask(
        given,
        getattr(answer, "__name__", "The class"),
        answer,
        *(given[name] for name in _NOTEBOOK),
        hidden_dims=tuple(given["hidden_dims"]),
    )
    if not isinstance(policy, BasePolicy):
        raise AnswerError(
            f"This makes a {type(policy).__name__}. Hint: hand over the class, which inherits from"
            " BasePolicy."
        )
    if not any(p.requires_grad for p in policy.parameters()):
        raise AnswerError(
            "The policy has no parameters to train. "
            "Hint: make the layers in __init__ and keep them as attributes "
            "of self; a list of layers has to be an nn.ModuleList or nn.Sequential."
        )
    policy = policy.to("cpu").eval()
    with torch.no_grad():  # last layers that begin at zero are no mistake
        for parameter in policy.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return policy


def _as_chunks(given, what, batch, tensor):
    array, shape = as_array(what, tensor), (batch, given["chunk_size"], given["action_dim"])
    if array.shape != shape:
        if array.shape == (batch, shape[1] * shape[2]):
            hint = "the output is flat: view it as (B, chunk_size, action_dim)."
        elif array.shape == (batch, shape[2], shape[1]):
            hint = "the last two are the wrong way round."
        else:
            hint = "view it as (B, chunk_size, action_dim), with the sizes from the arguments."
        raise AnswerError(
            f"For {batch} states {what} gives the shape {array.shape}; (B, chunk_size, action_dim)"
            f" = {shape} is needed. Hint: {hint}"
        )
    if not np.isfinite(array).all():
        raise AnswerError(
            f"What {what} gives is not finite. Hint: look for a division by zero, the logarithm or"
            " root of one."
        )
    return array


def _sensitivity(function, *inputs):
    """How much the output changes, as a share of its size, when one number of the inputs moves: an
    array for each input.

    inputs: arrays of the same number of rows. Besides: the output for the rows as they are, and for
    the first row alone.
    """
    rows, flat = len(inputs[0]), np.concatenate([x.reshape(len(x), -1) for x in inputs], axis=1)
    widths = [x[0].size for x in inputs]
    moved = np.repeat(flat[None], flat.shape[1] + 1, axis=0)
    for j in range(flat.shape[1]):
        moved[j + 1, :, j] += 0.15
    parts = np.split(moved.reshape(-1, flat.shape[1]), np.cumsum(widths)[:-1], axis=1)
    output = function(*(part.reshape(-1, *x.shape[1:]) for part, x in zip(parts, inputs)))
    output = output.reshape(-1, rows, *output.shape[1:])
    change = np.abs(output[1:] - output[0]).max(axis=(1, 2, 3)) / (np.abs(output[0]).max() + 1e-9)
    return np.split(change, np.cumsum(widths)[:-1]), output[0], function(*(x[:1] for x in inputs))


_FELT = 1e-5  # less than this share is rounding


def _without_gradient(policy, function):
    """Names of the parameters that function(), an array, depends on although no gradient has
    reached them.
    """
    names, before = [], function()
    for name, parameter in policy.named_parameters():
        if parameter.requires_grad and (parameter.grad is None or not parameter.grad.any()):
            kept = parameter.detach().clone()
            with torch.no_grad():
                parameter.add_(torch.randn_like(parameter))
                if not np.allclose(function(), before, rtol=_FELT, atol=_FELT):
                    names.append(name)
                parameter.copy_(kept)
    return names


def _scalar_loss(loss):
    """(array, gradients were taken) of what compute_loss returned."""
    if not isinstance(loss, torch.Tensor):
        raise AnswerError(
            f"compute_loss returned a {type(loss).__name__}. "
            "Hint: return the loss as a tensor; .item() and numpy cut "
            "the path that the gradient takes."
        )
    if loss.numel() != 1:
        raise AnswerError(
            f"The loss has shape {tuple(loss.shape)}. Hint: one number for the whole batch: take"
            " the mean."
        )
    if loss.requires_grad:
        call_answer("The gradient of compute_loss", loss.sum().backward)
    return float(as_array("compute_loss", loss).reshape(()))


def _both(error):
    """The two squared errors that are right: the mean over everything, and summed over the chunk,
    averaged over the batch.
    """
    return np.square(error).mean(), np.square(error).sum(axis=(1, 2)).mean()


def _loss_mistakes(error):
    """hint -> the loss that it names, from the differences (B, K, A)."""
    mean, summed = _both(error)
    size = np.abs(error)
    smooth = np.where(size < 1, size**2 / 2, size - 0.5)
    return {
        "this is the sum over the batch too: take the mean over the batch.": np.square(error).sum(),
        "this is summed over the coordinates only: take the mean over everything, or the sum over the whole chunk and the mean over the batch.": (
            np.square(error).sum(axis=2).mean()
        ),
        "this is the mean absolute error (L1): square the differences.": size.mean(),
        "this is the absolute error (L1), summed over the chunk: square the differences.": (
            size.sum(axis=(1, 2)).mean()
        ),
        "this is half of the squared error.": mean / 2,
        "this is half of the squared error, summed over the chunk.": summed / 2,
        "this is the root of the squared error: do not take the root.": np.sqrt(mean),
        "this is the root of the squared error of all the chunks: do not take the root.": np.sqrt(
            summed
        ),
        "these are norms without their square: do not take the root.": (
            np.sqrt(np.square(error).sum(axis=(1, 2))).mean()
        ),
        "this is a smooth L1 (Huber) loss: use the squared error.": smooth.mean(),
        "this is the squared mean of the error: square first.": np.square(error.mean()),
    }


def _short(steps):
    steps = [str(step) for step in steps]
    return ", ".join(steps if len(steps) <= 12 else [*steps[:12], "…"])


# What Q4.3 and Q4.4 share: noise, and a velocity that keeps a record.


def _noise_mistake(noise):
    """What keeps noise (B, K, A) from being standard normal and independent; None. One right answer
    in 10**7 is suspected.
    """
    flat = noise.reshape(len(noise), -1)
    count, tiny = flat.size, 1e-3
    if np.abs(flat).max() < tiny:
        return "it is zero: draw it with torch.randn."
    if np.ptp(flat, axis=0).max() < tiny:
        return "all samples share one noise: draw one for each, of the chunks' whole shape."
    if np.abs(flat).max() < 1 + tiny:
        return "it is uniform: torch.randn is normal, torch.rand is not."
    if abs(flat.mean()) > 7 / count**0.5 or abs(flat.var() - 1) > 7 * (2 / count) ** 0.5:
        return (
            f"its mean is {flat.mean():.2f} and its standard deviation {flat.std():.2f}: draw it"
            " from N(0, 1)."
        )
    if abs((flat**4).mean() - 3) > 8 * (96 / count) ** 0.5:
        return "it is not normal: draw it with torch.randn."
    together = np.corrcoef(flat.T) - np.eye(flat.shape[1])
    if np.abs(together).max() > 8 / len(flat) ** 0.5:
        return (
            "the numbers of one chunk are not independent: draw one for each step and coordinate."
        )
    if abs((flat[1:] * flat[:-1]).mean()) > 8 / count**0.5:
        return "samples share their noise: draw one for each."
    return None


def _record(given, velocity, calls):
    """A `velocity` that passes the question on and keeps what went in and what came out."""

    def recorded(state, a_tau, tau):
        seen = {"state": _plain(state), "a_tau": _plain(a_tau), "tau": _plain(tau)}
        output = velocity(state, a_tau, tau)
        if not isinstance(output, torch.Tensor):
            raise TypeError(
                f"velocity returned a {type(output).__name__} where a tensor is needed."
            )
        if output.requires_grad and not output.is_leaf:
            output.retain_grad()
        calls.append({**seen, "velocity": _plain(output), "output": output})
        return output.clone()  # what is done to it in place stays off the record

    return recorded


def _plain(value):
    return torch.as_tensor(value).detach().to("cpu", torch.float64).numpy().copy()


def _call_mistake(given, call, states):
    """What is wrong with the shapes and the states that velocity was asked with; None."""
    shape = (len(states), given["chunk_size"], given["action_dim"])
    if call["a_tau"].shape != shape:
        return (
            f"velocity is asked about chunks of shape {call['a_tau'].shape}; (B, chunk_size,"
            f" action_dim) = {shape} is needed."
        )
    if call["tau"].size not in (1, len(states)):
        return (
            f"velocity is given a tau of shape {call['tau'].shape}: one tau for each sample, (B,) ="
            f" ({len(states)},)."
        )
    if call["state"].shape != states.shape or not np.allclose(call["state"], states):
        return "velocity is not asked about the states as they are: hand state on."
    if call["velocity"].shape != shape:
        return (
            f"the velocity has shape {call['velocity'].shape}; (B, chunk_size, action_dim) ="
            f" {shape} is needed. {_TAU_HINT}"
        )
    return None


# Q4.3, the flow-matching loss.


def _flow_inputs(rng, challenge):
    given = _sizes(rng, challenge)
    return {
        **given,
        "state": _states(rng, given, _MANY),
        "chunk": _chunks(rng, given, _MANY),
        "few_states": _states(rng, given, 6),
        "few_chunks": _chunks(rng, given, 6),
        "few_tau": rng.uniform(0.05, 0.8, 6).astype(np.float32),
    }


def _flow_call(answer, given):
    with _bench(given["seed"]):
        policy = _policy(answer, given)
        velocity = _ask(given, "FlowMatchingPolicy", lambda: policy.velocity)

        def ask(state, a_tau, tau):
            output = _ask(given, "velocity", velocity, state, a_tau, tau, hint=_TAU_HINT)
            return _as_chunks(given, "velocity", len(state), output)

        felt, few, alone = _sensitivity(
            ask, given["few_states"], given["few_chunks"], given["few_tau"]
        )
        got = {
            "felt": dict(zip(("state", "a_tau", "tau"), felt)),
            "few": few,
            "alone": alone,
            "draws": [],
        }
        for _ in range(2):
            calls = []
            policy.__dict__["velocity"] = _record(
                given, velocity, calls
            )  # before a method and a module of that name
            loss = _scalar_loss(
                _ask(
                    given,
                    "compute_loss",
                    policy.compute_loss,
                    given["state"],
                    given["chunk"],
                    hint=_TAU_HINT,
                )
            )
            for call in calls:
                gradient = call.pop("output").grad
                call["gradient"] = None if gradient is None else gradient.double().numpy().copy()
            got["draws"].append({"loss": loss, "calls": calls})
        got["no_gradient"] = _without_gradient(
            policy, lambda: ask(given["few_states"], given["few_chunks"], given["few_tau"])
        )
        if (
            len(calls) == 1
            and calls[0]["tau"].size == _MANY
            and calls[0]["a_tau"].shape == given["chunk"].shape
        ):
            call = calls[0]
            got["by_vector"] = ask(
                *(
                    x.astype(np.float32)
                    for x in (given["state"], call["a_tau"], call["tau"].reshape(-1))
                )
            )
    return got


def _flow_judge(given, got):
    for what, felt in got["felt"].items():
        if not (felt > _FELT).any():
            more = (
                " Without it the network cannot tell noise from chunk: join it to its input."
                if what == "tau"
                else ""
            )
            raise AnswerError(
                f"The velocity is the same whatever {what}. "
                f"Hint: {what} has to be part of the network's input.{more}"
            )
        if not (felt > _FELT).all():
            raise AnswerError(
                f"Some of the numbers of {what} leave the velocity as it is. Hint: all of {what} is"
                " part of the network's input."
            )
    if not np.allclose(got["few"][:1], got["alone"], rtol=1e-4, atol=1e-5):
        raise AnswerError(
            "The first sample alone gets another velocity than in a batch. "
            "Hint: each row of the batch is for itself: "
            "flatten from dimension 1 on, and draw nothing here."
        )
    chunk = given["chunk"].astype(np.float64)
    for draw in got["draws"]:
        _draw_judge(given, draw, chunk)
    one, other = (draw["calls"][0] for draw in got["draws"])
    if np.allclose(one["tau"], other["tau"]) or np.allclose(one["a_tau"], other["a_tau"]):
        raise AnswerError(
            "Two calls of compute_loss draw the same noise or the same tau. "
            "Hint: draw both anew in each call, with no "
            "seed set."
        )
    if not np.allclose(other["velocity"], got["by_vector"], rtol=1e-3, atol=1e-4):
        raise AnswerError(
            "compute_loss hands velocity a tau that it reads in another way than a tau (B,). Hint:"
            f" {_TAU_HINT}"
        )
    if got["no_gradient"]:
        raise AnswerError(
            f"No gradient reaches {', '.join(got['no_gradient'][:3])}. "
            "Hint: nothing on the way from the network's "
            "input to the loss may be detached."
        )


def _draw_judge(given, draw, chunk):
    calls, loss = draw["calls"], draw["loss"]
    if len(calls) != 1:
        raise AnswerError(
            f"compute_loss asks velocity {len(calls)} times. "
            "Hint: once, self.velocity(state, a_tau, tau), for the whole "
            "batch."
        )
    [call] = calls
    wrong = _call_mistake(given, call, given["state"]) or _tau_mistake(call["tau"].reshape(-1))
    if wrong:
        raise AnswerError(f"The question to velocity is not right. Hint: {wrong}")
    tau, a_tau, velocity, gradient = (
        call["tau"].reshape(-1, 1, 1),
        call["a_tau"],
        call["velocity"],
        call["gradient"],
    )
    wrong = _interpolation_mistake(chunk, a_tau, tau)
    if wrong:
        raise AnswerError(f"a_tau is not tau A + (1 - tau) A0 with noise A0. Hint: {wrong}")
    mixed = (a_tau - tau * chunk) / np.maximum(1 - tau, 1e-5)  # the noise, up to rounding
    if gradient is not None:
        # The gradient of a squared error is twice the error over the number of terms, so it tells
        # the target of each number, and with it the noise, without a division by 1 - tau.
        for terms in (chunk.size, len(chunk)):
            error = gradient * terms / 2
            noise = chunk - velocity + error
            if np.allclose(
                tau * chunk + (1 - tau) * noise, a_tau, rtol=0, atol=1e-3
            ) and np.isclose(loss, np.square(error).sum() / terms, rtol=1e-4):
                return
            if (
                _noise_mistake(noise) is None
                and abs(np.corrcoef(noise.flat, mixed.flat)[0, 1]) < 0.2
            ):
                raise AnswerError(
                    "The noise in the target is another than that in a_tau. "
                    "Hint: draw it once and use it in both."
                )
    right = _both(velocity - (chunk - mixed))
    hint = _flow_hint(loss, velocity, chunk, mixed, a_tau)
    if not hint and gradient is None:
        raise AnswerError(
            "No gradient reaches the velocity. "
            "Hint: no torch.no_grad and no .detach() between velocity and loss."
        )
    if not hint and np.isclose(loss, right, rtol=1e-3).any():
        raise AnswerError(
            "The value is right, but its gradient is not that of the squared error. "
            "Hint: nothing on the way from the "
            "velocity to the loss may be detached."
        )
    raise AnswerError(
        f"The loss is {loss:.6g} where {right[0]:.6g} (mean over everything) or {right[1]:.6g} "
        "(summed over the chunk, mean over the batch) is right. Hint: "
        f"{hint or 'it is the squared difference between the velocity and A - A0.'}"
    )


def _tau_mistake(tau):
    """What keeps tau (B,) from being uniform in [0, 1], one for each sample; None."""
    if np.ptp(tau) == 0:
        return "the whole batch shares one tau: draw one for each sample, torch.rand(B)."
    if tau.min() < 0 or tau.max() > 1:
        return (
            f"tau goes from {tau.min():.3g} to {tau.max():.3g}: it is drawn from U(0, 1),"
            " torch.rand(B)."
        )
    ordered, count = np.sort(tau), len(tau)
    if len(np.unique(tau)) < count / 2:
        return (
            "few different values of tau are drawn: it is any number from 0 to 1, one for each"
            " sample, torch.rand(B)."
        )
    # Kolmogorov and Smirnov: a uniform tau is suspected less than once in 10**7.
    if np.abs(ordered - (np.arange(count) + 0.5) / count).max() > 3 / count**0.5:
        return "tau is not uniform: draw it with torch.rand(B)."
    return None


def _interpolation_mistake(chunk, a_tau, tau):
    """What a_tau is instead of tau A + (1 - tau) A0; None."""
    if np.allclose(a_tau, chunk, atol=1e-4):
        return "a_tau is the chunk itself: mix it with noise."
    if np.allclose(a_tau, tau * chunk, atol=1e-4) or np.allclose(
        a_tau, (1 - tau) * chunk, atol=1e-4
    ):
        return "the noise is left out: it is zero."
    middle = ((tau > 0.05) & (tau < 0.95)).reshape(-1)  # where neither division spoils the figures
    a, c, t = a_tau[middle], chunk[middle], tau[middle]
    wrong = _noise_mistake((a - t * c) / (1 - t))
    if wrong is None:
        return None
    mixtures = {
        "tau is reversed: noise is at tau = 0 and the chunk at tau = 1.": (a - (1 - t) * c) / t,
        "the noise lacks its factor 1 - tau.": a - t * c,
        "the chunk lacks its factor tau.": (a - c) / (1 - t),
        "a_tau is the noise alone: mix it with the chunk.": a,
        "neither chunk nor noise has its factor.": a - c,
        "the roots are diffusion's: here the two are mixed on a straight line.": (
            (a - np.sqrt(t) * c) / np.sqrt(1 - t)
        ),
    }
    return next(
        (hint for hint, noise in mixtures.items() if _noise_mistake(noise) is None),
        f"recovered from a_tau, the noise is not right: {wrong}",
    )


def _flow_hint(loss, velocity, chunk, noise, a_tau):
    for hint, target in {
        "the target is A0 - A here, which leads from the chunk to the noise: take A - A0.": (
            noise - chunk
        ),
        "the target is the chunk A here: the velocity is A - A0.": chunk,
        "the target is the noise A0 here, as in diffusion: the velocity is A - A0.": noise,
        "the target is A - a_tau here: the velocity is A - A0, the same all along the line.": (
            chunk - a_tau
        ),
        "the target is a_tau - A0 here: the velocity is A - A0, the same all along the line.": (
            a_tau - noise
        ),
        "the target is A + A0 here: the velocity is A - A0.": chunk + noise,
        "the target is a_tau here: the velocity is A - A0.": a_tau,
        "the target is left out: compare the velocity with A - A0.": np.zeros_like(chunk),
    }.items():
        if np.isclose(loss, _both(velocity - target), rtol=1e-3).any():
            return hint
    if np.isclose(loss, _both(chunk - noise), rtol=1e-3).any():
        return "the velocity is left out: compare it with A - A0."
    return mistake(loss, _loss_mistakes(velocity - (chunk - noise)), rtol=1e-3)


# Q4.4, Euler integration.


def _euler_inputs(rng, challenge):
    given = _sizes(rng, challenge)
    width = given["chunk_size"] * given["action_dim"]
    return {
        **given,
        "state": _states(rng, given, _MANY),
        "weight": rng.uniform(-1, 1, (given["state_dim"], width)).astype(np.float32),
        "runs": [(None, _MANY), (1, _MANY), (4, _MANY), (int(rng.integers(5, 16)), 1)],
    }


def _euler_call(answer, given):
    with _bench(given["seed"]):
        policy = _policy(answer, given)
        velocity = getattr(policy, "velocity", None)
        weight, shape = torch.tensor(given["weight"]), (given["chunk_size"], given["action_dim"])

        def field(state, a_tau, tau):
            """A velocity of ours, which depends on all that it is given; right whatever the
            student's own is.
            """
            tau = torch.as_tensor(tau, dtype=torch.float32)
            if a_tau.shape != (len(state), *shape) or tau.numel() not in (1, len(state)):
                return torch.zeros_like(a_tau)  # nothing fails here: the shapes are on the record
            tau = tau.reshape(-1, 1, 1)
            return 0.7 * a_tau - 2 * a_tau.tanh() + (state @ weight).reshape(a_tau.shape) + 3 * tau

        def sample(state, num_steps, of):
            calls, options = [], {} if num_steps is None else {"num_steps": num_steps}
            policy.__dict__["velocity"] = _record(given, of, calls)
            chunk = _ask(
                given,
                "sample_actions",
                policy.sample_actions,
                state,
                **options,
                hint="noise, velocity and chunk are all (B, chunk_size, action_dim); " + _TAU_HINT,
            )
            for call in calls:
                call.pop("output")
                wrong = _call_mistake(given, call, state)
                if wrong:
                    raise AnswerError(f"The question to velocity is not right. Hint: {wrong}")
            return {"chunk": _as_chunks(given, "sample_actions", len(state), chunk), "calls": calls}

        got = {
            "runs": [
                sample(given["state"][:batch], num_steps, field)
                for num_steps, batch in given["runs"]
            ],
            "own": None,
            "fails": None,
        }
        few = given["state"][:5]
        try:  # a velocity that fails by itself is for Q4.3 to judge
            if velocity(torch.tensor(few), torch.zeros(5, *shape), torch.zeros(5)).shape != (
                5,
                *shape,
            ):
                return got
        except KeyboardInterrupt:
            raise
        except BaseException:
            return got
        try:
            run = sample(few, 3, velocity)
        except AnswerError as error:
            return {**got, "fails": str(error)}
        by_vector = [
            _plain(
                velocity(
                    torch.tensor(few),
                    torch.tensor(call["a_tau"], dtype=torch.float32),
                    torch.full((5,), i / 3),
                )
            )
            for i, call in enumerate(run["calls"])
        ]
        got["own"] = {"seen": [call["velocity"] for call in run["calls"]], "by_vector": by_vector}
    return got


def _euler_judge(given, got):
    asked = [len(run["calls"]) for run in got["runs"]]
    numbers = [10 if number is None else number for number, _ in given["runs"]]
    if not any(asked):
        raise AnswerError(
            "sample_actions never asks for the velocity. Hint: self.velocity(state, a, tau) in each"
            " step."
        )
    if asked != numbers:
        raise AnswerError(_count_said(asked, numbers))
    for number, run in zip(numbers, got["runs"]):
        _integration_judge(number, run)
    starts = [run["calls"][0]["a_tau"] for run in got["runs"][:3]]
    if any(np.allclose(starts[0], start) for start in starts[1:]):
        raise AnswerError(
            "Each call of sample_actions starts from the same noise. Hint: draw it anew, with no"
            " seed set."
        )
    if got["fails"]:
        raise AnswerError(got["fails"])
    if got["own"] and not all(
        a.shape == b.shape and np.allclose(a, b, rtol=1e-3, atol=1e-4)
        for a, b in zip(got["own"]["seen"], got["own"]["by_vector"])
    ):
        raise AnswerError(
            "Your velocity reads the tau of sample_actions in another way than a tau (B,). "
            "Hint: hand it one tau for "
            "each sample, torch.full((B,), i / num_steps)."
        )


def _count_said(asked, numbers):
    said = (
        f"With num_steps {', '.join(map(str, numbers))} the velocity is asked"
        f" {', '.join(map(str, asked))} times."
    )
    if asked[1:] == numbers[1:]:
        hint = "num_steps is 10 where it is not given."
    elif len(set(asked)) == 1:
        hint = "num_steps is ignored: as many steps as it says."
    elif all(a == n + 1 for a, n in zip(asked, numbers)):
        hint = "one step too many: the last starts at tau = (n - 1) / n and ends at 1."
    elif all(a == n - 1 for a, n in zip(asked, numbers)):
        hint = "one step too few: the last starts at tau = (n - 1) / n and ends at 1."
    elif all(a == 2 * n for a, n in zip(asked, numbers)):
        hint = "Euler's method asks once in a step; Heun's and the midpoint method are others."
    else:
        hint = "once in each of the num_steps steps, for the whole batch."
    return f"{said} Hint: {hint}"


def _integration_judge(number, run):
    calls, chunk, numbers = run["calls"], run["chunk"], np.arange(number)
    wrong = _noise_mistake(calls[0]["a_tau"]) if len(chunk) > 1 else None
    if wrong:
        raise AnswerError(f"The integration starts from the wrong noise. Hint: {wrong}")
    if any(np.ptp(call["tau"]) > 1e-6 for call in calls):
        raise AnswerError(
            "The samples of one step have different tau. "
            "Hint: nothing is drawn but the noise at the start: tau = i / "
            "num_steps for all."
        )
    taus = np.array([call["tau"].reshape(-1)[0] for call in calls])
    if not np.allclose(taus, numbers / number, atol=1e-5):
        raise AnswerError(
            f"In {number} steps tau is {_figures(taus)} where {_figures(numbers / number)} is"
            f" right. Hint: {_taus_hint(taus, numbers, number)}"
        )
    path = np.array([call["a_tau"] for call in calls] + [chunk])
    velocities = np.array([call["velocity"] for call in calls])
    steps, last = np.diff(path, axis=0), path[-2] + velocities[-1] / number
    inner = (
        steps[:-1] if number > 1 else steps
    )  # what is done to the result alone has a hint of its own
    if not np.allclose(inner, velocities[: len(inner)] / number, rtol=1e-4, atol=1e-4):
        raise AnswerError(
            f"The step from one chunk to the next is not the velocity / {number}. Hint: "
            f"{_step_hint(inner, velocities[: len(inner)], number)}"
        )
    if not np.allclose(chunk, last, rtol=1e-4, atol=1e-4):
        raise AnswerError(
            f"What is returned is not the chunk after {number} steps. Hint: "
            f"{_result_hint(chunk, path[-2], velocities[-1], last)}"
        )


def _taus_hint(taus, numbers, number):
    if np.allclose(taus, taus[0]):
        return "tau moves on by 1 / num_steps with each step."
    candidates = {
        "the velocity is taken at the START of the step: tau = i / num_steps, i from 0.": (
            (numbers + 1) / number
        ),
        "tau runs from 1 to 0: noise is at 0, the chunk at 1, so go up.": 1 - numbers / number,
        "tau runs down: noise is at 0, the chunk at 1, so go up.": (number - 1 - numbers) / number,
        "this is the number of the step: divide by num_steps.": numbers,
        "the middle of the step is for the midpoint method: Euler's takes the start.": (
            (numbers + 0.5) / number
        ),
        "torch.linspace(0, 1, n) ends at 1 itself; the last step starts at (n - 1) / n.": (
            numbers / max(number - 1, 1)
        ),
    }
    return mistake(taus, candidates, rtol=1e-4) or "tau = i / num_steps, i from 0 to num_steps - 1."


def _step_hint(steps, velocities, number):
    scales = {
        "the velocity is not divided by num_steps.": 1.0,
        "the sign is wrong: add the velocity.": -1 / number,
        "the sign is wrong, and the velocity is not divided by num_steps.": -1.0,
        "there are num_steps steps: divide by num_steps, not by num_steps + 1.": 1 / (number + 1),
        "there are num_steps steps: divide by num_steps, not by num_steps - 1.": (
            1 / max(number - 1, 1)
        ),
        "the step is 0.1 whatever num_steps: divide by num_steps.": 0.1,
        "the step is 0: a = a + self.velocity(state, a, tau) / num_steps.": 0.0,
    }
    return next(
        (
            hint
            for hint, scale in scales.items()
            if np.allclose(steps, scale * velocities, rtol=1e-3, atol=1e-4)
        ),
        "a = a + self.velocity(state, a, tau) / num_steps and nothing else: no noise, no clipping.",
    )


def _result_hint(chunk, before, velocity, last):
    candidates = {
        "this is the last velocity: return the chunk that it leads to.": velocity,
        "the last step is not taken.": before,
        "the chunk is clipped to [-1, 1]: it is scaled by mean and standard deviation and may go beyond.": last.clip(
            -1, 1
        ),
        "the velocity is not divided by num_steps.": before + velocity,
        "the sign is wrong: add the velocity.": 2 * before - last,
    }
    return next(
        (
            hint
            for hint, value in candidates.items()
            if np.allclose(chunk, value, rtol=1e-3, atol=1e-4)
        ),
        "return the chunk as the last step leaves it, with nothing added.",
    )


def _figures(values):
    return _short([f"{value:.3g}" for value in values])


QUESTIONS = {
    "Q4.3": (_flow_inputs, _flow_call, _flow_judge),
    "Q4.4": (_euler_inputs, _euler_call, _euler_judge),
}
