"""A plain multi-layer perceptron, the body of the CVAE's encoder and decoder."""

import itertools
from collections.abc import Sequence

import torch
from torch import nn


def activation(name: str) -> nn.Module:
    """Return the activation of torch.nn with this name, such as "Mish", "Tanh" or "Identity"."""
    kind = getattr(nn, name, None)
    if kind is None:
        raise ValueError(f"torch.nn has no activation named {name!r}.")
    return kind()


class MLP(nn.Module):
    """Linear layers of widths `dim_list` with `activation_type` between them and
    `out_activation_type` at the end.

    append_dim: width of the second input of `forward`. append_layers: the layers (counted from 0)
        that read it.
    use_layernorm: whether to normalise before every activation except the last.
    """

    def __init__(
        self,
        dim_list: Sequence[int],
        append_dim: int = 0,
        append_layers: Sequence[int] | None = None,
        activation_type: str = "Tanh",
        out_activation_type: str = "Identity",
        use_layernorm: bool = False,
    ) -> None:
        super().__init__()
        self.append_layers = tuple(append_layers or ()) if append_dim else ()
        self.layers = nn.ModuleList()
        last = len(dim_list) - 2
        for i, (width_in, width_out) in enumerate(itertools.pairwise(dim_list)):
            layer: list[nn.Module] = [
                nn.Linear(width_in + append_dim * (i in self.append_layers), width_out)
            ]
            if use_layernorm and i < last:
                layer.append(nn.LayerNorm(width_out))
            layer.append(activation(out_activation_type if i == last else activation_type))
            self.layers.append(nn.Sequential(*layer))

    def forward(self, x: torch.Tensor, append: torch.Tensor | None = None) -> torch.Tensor:
        """Return (B, dim_list[-1]) for (B, dim_list[0]) and, for the layers that read it,
        (B, append_dim).
        """
        for i, layer in enumerate(self.layers):
            if append is not None and i in self.append_layers:
                x = torch.cat((x, append), dim=-1)
            x = layer(x)
        return x
