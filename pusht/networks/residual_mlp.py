"""The residual MLP of Part I."""

from collections.abc import Sequence

import torch
from torch import nn

from pusht.networks.mlp import activation


class ResidualMLP(nn.Module):
    """A linear layer, residual blocks of two linear layers each, and a linear output layer.

    dim_list: widths of all layers, input first and output last. The hidden widths must be equal and
        their number odd: one for the first linear layer and two for each block.
    use_layernorm: whether to normalise before each activation inside the blocks.

    The blocks are pre-activation blocks, as in He et al., "Identity Mappings in Deep Residual
    Networks" (2016). The architecture follows Florence et al., "Implicit Behavioral Cloning"
    (2021).
    """

    def __init__(
        self,
        dim_list: Sequence[int],
        activation_type: str = "Mish",
        out_activation_type: str = "Identity",
        use_layernorm: bool = False,
    ) -> None:
        super().__init__()
        width_in, *hidden, width_out = dim_list
        if len(hidden) % 2 == 0 or len(set(hidden)) != 1:
            raise ValueError(
                f"ResidualMLP needs an odd number of equal hidden widths, not {hidden}."
            )
        blocks = [
            _Block(hidden[0], activation_type, use_layernorm) for _ in range(len(hidden) // 2)
        ]
        self.layers = nn.Sequential(
            nn.Linear(width_in, hidden[0]),
            *blocks,
            nn.Linear(hidden[0], width_out),
            activation(out_activation_type),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return (B, dim_list[-1]) for (B, dim_list[0])."""
        return self.layers(x)


class _Block(nn.Module):
    def __init__(self, width: int, activation_type: str, use_layernorm: bool) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for _ in range(2):
            if use_layernorm:
                layers.append(nn.LayerNorm(width, eps=1e-6))
            layers += [activation(activation_type), nn.Linear(width, width)]
        self.layers = nn.Sequential(*layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.layers(x)
