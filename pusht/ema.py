"""Exponential moving average of a network's weights."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn


class EMAModel:
    """A moving average of a network's parameters; sampling with it is steadier than with the
    latest parameters.

    The decay rises with the number of steps t as 1 - (1 + t)^-power, up to max_decay, so the early
    weights soon stop counting.
    """

    def __init__(
        self, parameters: Iterable[nn.Parameter], power: float = 2 / 3, max_decay: float = 0.9999
    ) -> None:
        self.power = power
        self.max_decay = max_decay
        self.num_steps = 0
        self.averages = [p.detach().clone() for p in parameters]

    def decay(self) -> float:
        """Return the decay of the next step."""
        return min(1 - (1 + self.num_steps) ** -self.power, self.max_decay)

    def step(self, parameters: Iterable[nn.Parameter]) -> None:
        """Move the averages towards `parameters`; call it after each optimiser step."""
        average = get_ema_multi_avg_fn(self.decay())
        average(self.averages, [p.detach() for p in parameters], None)
        self.num_steps += 1

    @torch.no_grad()
    def copy_to(self, parameters: Iterable[nn.Parameter]) -> None:
        """Overwrite `parameters` with the averages."""
        for parameter, average in zip(parameters, self.averages, strict=True):
            parameter.copy_(average)

    def state_dict(self) -> dict[str, Any]:
        """Return the state that `load_state_dict` takes."""
        return {"num_steps": self.num_steps, "averages": self.averages}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore a state that `state_dict` returned."""
        self.num_steps = state["num_steps"]
        self.averages = [a.clone() for a in state["averages"]]
