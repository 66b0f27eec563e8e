"""What Q4.3 and Q4.4 share: the record of the calls of `velocity`."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from score.questions.base import Arrays, plain, wrong
from score.questions.mistakes import alike

MANY = 2048  # samples of a batch whose noise is judged by its distribution
TAU_HINT = (
    "tau comes as (B,): tau[:, None] is the column that joins the flattened a_tau and the state, "
    "tau[:, None, None] what multiplies chunks."
)


def record_velocity(policy: Any, velocity: Callable[..., Any], calls: list[Arrays]) -> None:
    """Give the policy a `velocity` that calls this one and appends to `calls` what goes in and out,
    as arrays, and the output itself.
    """

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

    policy.__dict__["velocity"] = recorded  # it comes before a method and a module of that name


def judge_call(inputs: Arrays, call: Arrays, states: np.ndarray) -> None:
    """Raise AnswerError where velocity was not called with right shapes and with these states."""
    batch, shape = len(states), (len(states), inputs["chunk_size"], inputs["action_dim"])
    needed = f"(B, chunk_size, action_dim) = {shape} is needed."
    if call["a_tau"].shape != shape:
        wrong_question(f"velocity is asked about chunks of shape {call['a_tau'].shape}; {needed}")
    if call["tau"].size not in (1, batch):
        wrong_question(
            f"velocity is given a tau of shape {call['tau'].shape}: one tau for each sample, (B,) ="
            f" ({batch},)."
        )
    if not alike(call["state"], states, rtol=1e-5, atol=1e-8):
        wrong_question("velocity is not asked about the states as they are: hand state on.")
    if call["velocity"].shape != shape:
        wrong_question(f"the velocity has shape {call['velocity'].shape}; {needed} {TAU_HINT}")


def wrong_question(hint: str) -> None:
    """Raise AnswerError for a call of velocity."""
    raise wrong("The question to velocity is not right.", hint)
