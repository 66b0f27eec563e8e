"""Part III: stand-ins for the student's DDPM and for the U-Net, and how answers are called."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pusht.episodes import reproducible
from score.questions.base import Array, Arrays, Rng, call_with_hints, plain, require, wrong
from score.questions.ddpm.schedule import cosine_schedule
from score.questions.mistakes import nearest_hint
from score.questions.networks import small

_COUNTED = "steps are counted from 0 to num_timesteps - 1"
_DRAWN = "in a tensor that torch.randint(0, num_timesteps, (B,)) draws."
_SHAPES = "noise and noisy chunk are (B, pred_horizon, action_dim), steps (B,)."
_FIT = f"arrays of shapes that do not fit meet: {_SHAPES}"
RAISED = [  # what an answer may meet in Part III
    (IndexError, "out of bounds", f"{_COUNTED}, {_DRAWN}"),
    (IndexError, "indices must be", "steps are whole numbers: draw them with torch.randint."),
    ((RuntimeError, TypeError), "size of tensor|expand", _FIT),
]


# The stand-ins. torch quotes the names of their classes where an answer asks for what they lack.


class _Scheduler(nn.Module):
    """Stands for the student's DDPM and records the steps that it is called for.

    `denoise` is one step of our own without noise, so that a chain of them has one outcome.
    """

    def __init__(self, steps: int):
        super().__init__()
        beta = torch.tensor(cosine_schedule(steps), dtype=torch.float32)
        bar, one = torch.cumprod(1 - beta, dim=0), torch.ones(1, dtype=torch.float32)
        self.num_timesteps, self.clip_denoised, self.output_bound = steps, True, 1.0
        self.beta_k, self.alpha_k, self.alpha_k_cumprod = beta, 1 - beta, bar
        self.alpha_k_cumprod_prev = torch.cat([one, bar[:-1]])
        self.diffused: list[Tensor] = []
        self.denoised: list[Arrays] = []

    def diffuse(self, a_start: Tensor, k: Tensor, noise: Tensor) -> Tensor:
        self.diffused.append(torch.as_tensor(k).detach().clone())
        left = self.alpha_k_cumprod[k].view(-1, 1, 1)
        if left.numel() not in (1, len(a_start)):
            raise TypeError(f"diffuse was given {left.numel()} steps k for {len(a_start)} chunks.")
        return left.sqrt() * a_start + (1 - left).sqrt() * noise

    def denoise(self, pred_epsilon: Tensor, k: Any, a_k: Tensor) -> Tensor:
        k = plain(k)
        if k.ndim > 1 or (k.ndim == 1 and len(k) not in (1, len(a_k))):
            raise TypeError(f"denoise(pred_epsilon, k, a_k) was given k of shape {k.shape}.")
        self.denoised.append({"k": k, "pred_epsilon": plain(pred_epsilon), "a_k": plain(a_k)})
        k = float(k.flat[0])
        return (0.9 + 0.01 * k) * a_k - (0.2 + 0.02 * k) * pred_epsilon


class _NoiseNetwork(nn.Module):
    """Stands for the U-Net: a known function of all its inputs, which it records.

    It gives sample · weight + a share of step and condition for each coordinate; whatever is wrong
    with the latter two is for the judge.
    """

    def __init__(self, inputs: Arrays):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(inputs["weight"]))
        self.of_condition = nn.Parameter(torch.tensor(inputs["of_condition"]))
        self.chunk: tuple[int, int] = inputs["chunk"]
        self.calls: list[Arrays] = []

    def forward(self, sample: Tensor, timestep: Any, global_cond: Any = None) -> Tensor:
        if sample.shape[1:] != self.chunk:
            reads = f"the network reads (B, pred_horizon, action_dim) = {('B', *self.chunk)}"
            raise TypeError(f"{reads} and was shown {tuple(sample.shape)}".replace("'", ""))
        k, condition = plain(timestep), None if global_cond is None else plain(global_cond)
        call = {"sample": plain(sample), "k": k, "condition": condition}
        self.calls.append(call | {"requires_grad": bool(sample.requires_grad)})
        batch, like = len(sample), self.weight
        shift = like.new_zeros(batch, 1)
        if k.ndim <= 1 and k.size in (1, batch):
            shift = shift + like.new_tensor(np.cos(k)).reshape(-1, 1)
        if condition is not None and condition.shape == (batch, len(self.of_condition)):
            shift = shift + like.new_tensor(condition) @ self.of_condition
        prediction = sample * self.weight + 0.3 * shift[:, None]
        self.calls[-1]["prediction"] = plain(prediction)
        return prediction


def stand_ins(inputs: Arrays, steps: int) -> tuple[_NoiseNetwork, _Scheduler]:
    """Return what an answer is given for the U-Net and for the student's DDPM of so many steps."""
    return _NoiseNetwork(inputs), _Scheduler(steps)


def recorded(
    what: str, function: Callable[..., Any], inputs: Arrays, steps: int
) -> tuple[_NoiseNetwork, _Scheduler, Any, list[Array]]:
    """Return the stand-ins that an answer was called with, what it gave, and the chunks that the
    network was shown first in two more calls: alike if a seed is set behind the answer's draws.
    """
    calls = []
    with reproducible(inputs["seeds"][0]):
        for _ in range(3):
            model, scheduler = stand_ins(inputs, steps)
            value = call_with_hints(what, function, model, scheduler, hints=RAISED)
            calls.append((model, scheduler, value))
    again = [call["sample"] for model, *_ in calls[1:] for call in model.calls[:1]]
    return *calls[0], again


def network_inputs(rng: Rng, batch: int, horizon: int, dims: int) -> Arrays:
    """Return the weights of a `_NoiseNetwork`, observations and chunks for it, and two seeds."""
    return {
        "weight": rng.uniform(0.2, 0.8, dims).astype(np.float32),
        "of_condition": small(rng, 10, dims, most=0.5),
        "nobs": small(rng, batch, 2, 5),
        "naction": small(rng, batch, horizon, dims),
        "seeds": rng.integers(2**31, size=2).tolist(),
        "chunk": (horizon, dims),
    }


def judge_condition(condition: Array | None, nobs: Array) -> None:
    """The condition has to be the flattened observations."""
    if condition is None:
        hint = "global_cond=nobs.flatten(start_dim=1)."
        raise wrong("The network is called without a condition.", hint)
    flat = nobs.reshape(len(nobs), -1)
    said = f"The condition has shape {condition.shape} where {flat.shape} is needed."
    hint = "the observations, flattened from dimension 1 on: nobs.flatten(start_dim=1)."
    require(condition.shape == flat.shape, said, hint)
    first, one = np.broadcast_to(flat[:1], flat.shape), "every sample has its own observations:"
    in_order = "it is flattened time step by time step, without a transpose."
    mistakes = [
        (nobs.transpose(0, 2, 1).reshape(flat.shape), in_order),
        (nobs[:, ::-1].reshape(flat.shape), "the oldest observation comes first."),
        (first, f"{one} this is the first one's for all."),
        (np.zeros(flat.shape), "it is empty: hand over the observations."),
    ]
    hint = nearest_hint(condition, mistakes) or "nobs.flatten(start_dim=1), as they are."
    same = np.allclose(condition, flat, atol=1e-6)
    require(same, "The condition is not the observations.", hint)
