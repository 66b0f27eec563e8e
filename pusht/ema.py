"""Exponential moving average of a network's weights."""

import torch
from torch.optim.swa_utils import get_ema_multi_avg_fn


class EMAModel:
    """Keeps a moving average of `parameters`; sampling with averaged weights is steadier than with
    the last ones.

    The decay rises with the number of steps t as 1 - (1 + t)^-power, at most max_decay: early
    weights are soon forgotten.
    """

    def __init__(self, parameters, power=2 / 3, max_decay=0.9999):
        self.power = power
        self.max_decay = max_decay
        self.num_steps = 0
        self.averages = [p.detach().clone() for p in parameters]

    def decay(self):
        """The decay of the coming step."""
        return min(1 - (1 + self.num_steps) ** -self.power, self.max_decay)

    def step(self, parameters):
        """Move the averages towards `parameters`; call it after each optimiser step."""
        get_ema_multi_avg_fn(self.decay())(self.averages, [p.detach() for p in parameters], None)
        self.num_steps += 1

    @torch.no_grad()
    def copy_to(self, parameters):
        """Overwrite `parameters` with the averages."""
        for parameter, average in zip(parameters, self.averages, strict=True):
            parameter.copy_(average)

    def state_dict(self):
        return {"num_steps": self.num_steps, "averages": self.averages}

    def load_state_dict(self, state):
        self.num_steps = state["num_steps"]
        self.averages = [a.clone() for a in state["averages"]]
