"""Lets a student's policy run as it is written where it asks for torch.compile.

To compile takes longer than to grade, and needs a compiler for C++.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

COMPILER = "torch._dynamo"  # the package of the compiler, which takes seconds to import
COMPILED = (f"{COMPILER}.eval_frame", "OptimizedModule")  # the class of a compiled module
_ORIGINAL = "_orig_mod"  # the attribute in which it holds the module


class Compiled(nn.Module):
    """What a pickle's compiled module is read as: it holds the module, and compiles nothing."""

    def __init__(self, module: Any = None, *settings: Any) -> None:
        super().__init__()
        if isinstance(module, nn.Module):
            setattr(self, _ORIGINAL, module)

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)


def compile_nothing() -> None:
    """Let torch.compile, as a function and as a decorator, return what it is given from now on."""
    torch.compile = _as_it_is
    nn.Module.compile = _nothing  # type: ignore[method-assign]


def unwrapped(module: nn.Module) -> nn.Module:
    """Return a module with the original in place of each compiled one, itself included."""
    for name, child in [*module._modules.items()]:
        if child is not None and name != _ORIGINAL:
            module._modules[name] = unwrapped(child)
    original = module._modules.get(_ORIGINAL)
    return module if original is None else unwrapped(original)


def _as_it_is(model: Any = None, *args: Any, **options: Any) -> Any:
    return _decorator if model is None else model


def _decorator(function: Callable[..., Any]) -> Callable[..., Any]:
    return function


def _nothing(self: nn.Module, *args: Any, **options: Any) -> None:
    pass
