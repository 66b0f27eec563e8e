"""The networks that the notebooks build on; none of them is an exercise."""

from pusht.networks.mlp import MLP
from pusht.networks.residual_mlp import ResidualMLP
from pusht.networks.unet1d import ConditionalUnet1D

__all__ = ["MLP", "ConditionalUnet1D", "ResidualMLP"]
