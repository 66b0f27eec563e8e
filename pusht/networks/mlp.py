"""A plain multi-layer perceptron, the body of the CVAE's encoder and decoder."""

import torch
from torch import nn


def activation(name):
    """The torch activation of that name: "Mish", "Tanh", "ReLU", "Identity" …"""
    kind = getattr(nn, name, None)
    if kind is None:
        raise ValueError(f"torch.nn has no activation named {name!r}.")
    return kind()


class MLP(nn.Module):
    """Linear layers of widths `dim_list`, `activation_type` between them and `out_activation_type`
    at the end.

    append_dim, append_layers: width of the second input of `forward`, and the layers (counted from
    0) that read it.
    use_layernorm: normalise before every activation but the last.
    """

    def __init__(
        self,
        dim_list,
        append_dim=0,
        append_layers=None,
        activation_type="Tanh",
        out_activation_type="Identity",
        use_layernorm=False,
    ):
        super().__init__()
        self.append_layers = tuple(append_layers or ()) if append_dim else ()
        self.layers = nn.ModuleList()
        last = len(dim_list) - 2
        for i, (width_in, width_out) in enumerate(zip(dim_list[:-1], dim_list[1:])):
            layer = [nn.Linear(width_in + append_dim * (i in self.append_layers), width_out)]
            if use_layernorm and i < last:
                layer.append(nn.LayerNorm(width_out))
            layer.append(activation(out_activation_type if i == last else activation_type))
            self.layers.append(nn.Sequential(*layer))

    def forward(self, x, append=None):
        """(B, dim_list[0]), and (B, append_dim) where layers read it -> (B, dim_list[-1])."""
        for i, layer in enumerate(self.layers):
            if append is not None and i in self.append_layers:
                x = torch.cat((x, append), dim=-1)
            x = layer(x)
        return x
