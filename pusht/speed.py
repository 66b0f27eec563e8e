"""Faster training on processors that can: fused optimiser steps, and bfloat16 in the networks.

The curves of Parts I and III stay within 1 % of their float32 references; that of Part II jumps
differently with any rounding, also in float32. Losses, noise and whatever a student computes from a
network's outputs stay in float32, and so does all inference.
"""

import contextlib
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim import Adam, AdamW, Optimizer
from torch.utils.hooks import RemovableHandle

_FLAGS = {"avx512_bf16", "amx_bf16"}  # of processors that multiply in bfloat16


@functools.cache
def has_bfloat16() -> bool:
    """Return whether this machine's processor multiplies in bfloat16, as far as Linux tells."""
    info = Path("/proc/cpuinfo")
    return info.exists() and not _FLAGS.isdisjoint(info.read_text(encoding="utf-8").split())


@contextlib.contextmanager
def faster(model: nn.Module, optimizer: Optimizer) -> Iterator[str]:
    """Let the body train `model` as fast as this machine can; yield one sentence on how.

    bfloat16 is used on the CPU, by networks in train mode whose gradients are recorded: the model
    if it is one of `pusht.networks`, and otherwise the modules that it is made of.
    """
    fused = _fuse(optimizer)
    networks = _networks(model) if has_bfloat16() and _on_processor(model) else []
    handles = [handle for network in networks for handle in _hook(network)]
    ways = [*["bfloat16"] * bool(handles), *["fused optimiser steps"] * fused]
    try:
        yield f"This machine trains faster with {' and '.join(ways)}." if ways else ""
    finally:
        for handle in handles:
            handle.remove()


def _fuse(optimizer: Optimizer) -> bool:
    """Switch the optimiser to fused steps where torch has them; return whether it has."""
    kind: Any = type(optimizer)
    if kind not in (Adam, AdamW):
        return False
    groups = optimizer.param_groups
    if any(group.get(name) is not None for group in groups for name in ("fused", "foreach")):
        return False  # the choice was made
    try:
        kind([p for group in groups for p in group["params"]], fused=True)
    except RuntimeError:  # not on this device or in this version of torch
        return False
    for group in groups:
        group["fused"] = True
    return True


def _on_processor(model: nn.Module) -> bool:
    return all(parameter.device.type == "cpu" for parameter in model.parameters())


def _networks(model: nn.Module) -> list[nn.Module]:
    if type(model).__module__.startswith("pusht.networks"):
        return [model]
    if hasattr(model, "_orig_mod"):  # torch.compile chose the precision when it traced
        return []
    return list(model.children())


def _hook(network: nn.Module) -> list[RemovableHandle]:
    """Let a module in training compute in bfloat16 and return its outputs in float32."""
    entered: list[torch.autocast | None] = []  # of the calls under way, None where not in training

    def enter(network: nn.Module, inputs: Any) -> None:
        trains = network.training and torch.is_grad_enabled()
        context = torch.autocast("cpu", dtype=torch.bfloat16) if trains else None
        if context:
            context.__enter__()
        entered.append(context)

    def leave(network: nn.Module, inputs: Any, outputs: Any) -> Any:
        context = entered.pop()
        if context is None:
            return outputs
        context.__exit__(None, None, None)
        return _in_float32(outputs)

    return [
        network.register_forward_pre_hook(enter),
        network.register_forward_hook(leave, always_call=True),  # also when forward fails
    ]


def _in_float32(outputs: Any) -> Any:
    if isinstance(outputs, torch.Tensor):
        return outputs.float() if outputs.dtype == torch.bfloat16 else outputs
    if type(outputs) in (tuple, list):
        return type(outputs)(_in_float32(output) for output in outputs)
    return outputs
