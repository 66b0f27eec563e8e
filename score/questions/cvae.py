"""Part II, the CVAE: Q2.1 the agent, Q2.2 KL divergence, Q2.3 loss, Q2.4 inference.

Each entry of `QUESTIONS` is (inputs, call, judge): inputs(rng, challenge) -> dict; call(answer, given) -> dict of what the
student's code gave; judge(given, got) raises AnswerError with the hint that names the mistake.
"""
import numpy as np
import torch
from torch import nn

from score.questions.judging import as_array, mistake
from score.verdict import AnswerError, call_answer


class _Probe(nn.Module):
    """Stands for a network: one linear layer with weights of ours over its inputs side by side, so that mix-ups show.

    takes, gives: names of the inputs with their widths, and the widths of the outputs. ValueError for other inputs: what
    torch would say of them names no mistake.
    """

    def __init__(self, name, takes, gives, weight, bias):
        super().__init__()
        self.name, self.takes, self.gives = name, takes, gives
        # skip_init: no draw from the notebook's generator.
        self.linear = nn.utils.skip_init(nn.Linear, *weight.shape[::-1], device="cpu", dtype=torch.float32)
        self.linear.load_state_dict({"weight": torch.from_numpy(weight), "bias": torch.from_numpy(bias)})

    def forward(self, *args, **kwargs):
        given = {**dict(zip(self.takes, args)), **kwargs}
        shapes = {name: tuple(x.shape) if isinstance(x, torch.Tensor) else type(x).__name__ for name, x in given.items()}
        rows = {shape[:1] for shape in shapes.values()}
        if len(args) + len(kwargs) != len(shapes) or len(rows) != 1 \
                or shapes != {name: (*rows, width)[-2:] if not rows else (*next(iter(rows)), width) for name, width in self.takes.items()}:
            raise ValueError(self._misfit(shapes))
        outputs = self.linear(torch.cat([given[name] for name in self.takes], dim=1))
        # Clones, for views of one tensor cannot be changed in place.
        outputs = tuple(output.clone() for output in outputs.split(self.gives, dim=1))
        return outputs if len(outputs) > 1 else outputs[0]
