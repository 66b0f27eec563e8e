"""Lets a student's policy run on the CPU, as it is graded, where its code names a GPU."""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

_GPU = re.compile(r"(?:cuda|mps|xpu)(?::\d+)?")
_MOVES = (torch.Tensor.cuda, torch.Tensor.xpu)  # to a GPU, without the name of one
_CPU = torch.device("cpu")
# torch remembers which module belongs to a GPU's name. First looked up in the context below, it
# would be torch.cpu for good, which lacks what `torch.random.fork_rng` calls.
for _name in ("cuda", "mps", "xpu"):
    torch.get_device_module(_name)


class OnCPU(TorchFunctionMode):
    """A context in which torch's functions take a GPU that they are given for the CPU."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func in _MOVES:
            return args[0]
        if func is torch.Tensor.to and len(args) > 1 and type(args[1]) is int:  # a GPU's number
            args = (args[0], _CPU, *args[2:])
        named = {name: _on_cpu(value) for name, value in (kwargs or {}).items()}
        return func(*map(_on_cpu, args), **named)


def _on_cpu(value: Any) -> Any:
    if isinstance(value, torch.device):
        return _CPU if value.type != "meta" else value
    if isinstance(value, str) and _GPU.fullmatch(value):
        return _CPU
    return value
