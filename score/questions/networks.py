"""Stand-ins for networks: linear layers with random weights, in which every mix-up shows."""

from typing import Any

import numpy as np
import torch
from torch import nn

from score.questions.base import Array, Arrays, Rng


def small(rng: Rng, *shape: int, most: float = 0.8) -> Array:
    """Return float32 numbers, uniform in ± most."""
    return rng.uniform(-most, most, shape).astype(np.float32)


def random_weights(rng: Rng, width_out: int, width_in: int, most: float = 0.1) -> Arrays:
    """Return a linear layer's weight and bias, in ± most; 0.1 keeps ten inputs of ± 1 there."""
    weight, bias = small(rng, width_out, width_in, most=most), small(rng, width_out, most=most)
    return {"weight": weight, "bias": bias}


def linear(weights: Arrays) -> nn.Linear:
    """Return the float32 layer of these weights, without a draw from the notebook's generator."""
    width_out, width_in = weights["weight"].shape
    layer = nn.utils.skip_init(nn.Linear, width_in, width_out, device="cpu", dtype=torch.float32)
    layer.load_state_dict({name: torch.from_numpy(weights[name]) for name in ("weight", "bias")})
    return layer


def linear_output(weights: Arrays, *inputs: Array) -> Array:
    """Return what the layer gives for these inputs side by side, in float64."""
    arrays = np.concatenate(inputs, axis=1), weights["weight"], weights["bias"]
    return nn.functional.linear(*(torch.from_numpy(array).double() for array in arrays)).numpy()


class Probe(nn.Module):
    """A network of one linear layer over all inputs side by side.

    takes, gives: the inputs' names and widths, and the outputs' widths. Inputs of other shapes
    raise ValueError, which says what torch's own error would not: which network was given what.
    """

    def __init__(self, name: str, takes: dict[str, int], gives: tuple[int, ...], weights: Arrays):
        super().__init__()
        self.name, self.takes, self.gives = name, takes, gives
        self.linear = linear(weights)

    def forward(self, *args: Any, **kwargs: Any) -> torch.Tensor | tuple[torch.Tensor, ...]:
        named = dict(zip(self.takes, args)) | kwargs
        require_rows(self.name, self.takes, named, len(args) + len(kwargs))
        joined = self.linear(torch.cat([named[name] for name in self.takes], dim=1))
        # Clones: torch does not let the parts of a split be changed in place.
        outputs = tuple(output.clone() for output in joined.split(self.gives, dim=1))
        return outputs[0] if len(outputs) == 1 else outputs


def require_rows(name: str, takes: dict[str, int], given: Arrays, count: int) -> None:
    """Raise ValueError, with a hint, unless a network was given tensors (B, width) by these names.

    takes: the widths. count: how many arguments there were, with or without a name.
    """
    shapes = {
        one: tuple(x.shape) if isinstance(x, torch.Tensor) else type(x).__name__
        for one, x in given.items()
    }
    batch = next(iter(shapes.values()), ())[:1]
    right = {one: (*batch, width) for one, width in takes.items()}
    if count != len(takes) or shapes != right:
        raise ValueError(_misfit(name, takes, shapes))


def _misfit(name: str, takes: dict[str, int], shapes: dict[str, Any]) -> str:
    needed = " and ".join(f"{one} (B, {width})" for one, width in takes.items())
    found = " and ".join(f"{one} {shape}" for one, shape in shapes.items()) or "nothing"
    said = f"the {name} takes {needed}, and was given {found}. Hint: "
    widths, got = list(takes.values()), list(shapes.values())
    if missing := [one for one in takes if one not in shapes]:
        return f"{said}{missing[0]} is missing"
    if any(isinstance(shape, str) for shape in got):
        return f"{said}tensors are needed"
    if any(len(shape) != 2 for shape in got):
        return f"{said}one flat row per sample: flatten from dimension 1 on"
    if [shape[1] for shape in got] == widths[::-1]:
        return f"{said}they are the wrong way round"
    if len({shape[0] for shape in got}) > 1:
        return f"{said}each needs a row for every sample; take B from what you are given"
    if "z" in takes:
        return f"{said}z is latent_dim wide, an argument of the class"
    return f"{said}one row per sample, all that belongs to it: flatten from dimension 1 on"


class NotCalled(nn.Module):
    """A network that the answer must not call: ValueError says why."""

    def __init__(self, why: str):
        super().__init__()
        self.why = why

    def forward(self, *args: Any, **kwargs: Any) -> None:
        raise ValueError(self.why)
