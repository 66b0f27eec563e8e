"""The U-Net of the diffusion policy, which convolves over the time axis of an action chunk.

It follows Chi et al., "Diffusion Policy" (2023), with FiLM conditioning, Perez et al. (2018).
"""

import itertools
import math
from collections.abc import Sequence

import torch
from torch import nn


class ConditionalUnet1D(nn.Module):
    """A network that predicts the noise in a chunk of actions, given the diffusion step and a
    condition.

    input_dim: numbers per action.
    global_cond_dim: width of the condition, the flattened observations.
    diffusion_step_embed_dim: width of the embedding of the diffusion step.
    down_dims: channels on each level; every level except the last halves the horizon.
    kernel_size: size of the convolutions. n_groups: number of groups in their group norms.
    """

    def __init__(
        self,
        input_dim: int,
        global_cond_dim: int,
        diffusion_step_embed_dim: int = 256,
        down_dims: Sequence[int] = (256, 512, 1024),
        kernel_size: int = 5,
        n_groups: int = 8,
    ) -> None:
        super().__init__()
        embed_dim, widths = diffusion_step_embed_dim, list(down_dims)
        self.diffusion_step_encoder = nn.Sequential(
            SinusoidalPosEmb(embed_dim),
            nn.Linear(embed_dim, 4 * embed_dim),
            nn.Mish(),
            nn.Linear(4 * embed_dim, embed_dim),
        )

        def block(channels_in: int, channels_out: int) -> nn.Module:
            return ConditionalResidualBlock1D(
                channels_in, channels_out, embed_dim + global_cond_dim, kernel_size, n_groups
            )

        self.down_blocks = nn.ModuleList(
            block(i, o) for i, o in itertools.pairwise([input_dim, *widths])
        )
        self.downsample = nn.ModuleList(
            nn.Conv1d(w, w, 3, stride=2, padding=1) for w in widths[:-1]
        )
        self.mid_block = block(widths[-1], widths[-1])
        # On the way up, each block also reads the output of the same level on the way down.
        self.up_blocks = nn.ModuleList(
            block(2 * o, i) for i, o in reversed(list(itertools.pairwise(widths)))
        )
        self.upsample = nn.ModuleList(
            nn.ConvTranspose1d(w, w, 4, stride=2, padding=1) for w in reversed(widths[:-1])
        )
        self.final_conv = nn.Conv1d(widths[0], input_dim, 1)

    def forward(
        self,
        sample: torch.Tensor,
        timestep: torch.Tensor | float,
        global_cond: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Return the noise (B, Tp, input_dim) in a sample of that shape.

        timestep: (B,) or a number. global_cond: (B, global_cond_dim).
        """
        x = sample.moveaxis(-1, -2)
        timestep = torch.as_tensor(timestep, device=x.device).reshape(-1)
        # When the whole batch is at one step, as in sampling, the step is embedded once.
        condition = self.diffusion_step_encoder(timestep).expand(len(x), -1)
        if global_cond is not None:
            condition = torch.cat([condition, global_cond], dim=-1)
        condition = nn.functional.mish(condition)
        skipped = []
        for i, block in enumerate(self.down_blocks):
            x = block(x, condition)
            skipped.append(x)
            if i < len(self.downsample):
                x = self.downsample[i](x)
        x = self.mid_block(x, condition)
        for block, upsample in zip(self.up_blocks, self.upsample, strict=True):
            x = upsample(block(torch.cat([x, skipped.pop()], dim=1), condition))
        return self.final_conv(x).moveaxis(-1, -2)


class ConditionalResidualBlock1D(nn.Module):
    """Two convolutions with a shortcut around them; between the two, the condition scales and
    shifts each channel (FiLM).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        cond_dim: int,
        kernel_size: int = 3,
        n_groups: int = 8,
    ) -> None:
        super().__init__()

        def convolve(channels_in: int) -> nn.Module:
            return nn.Sequential(
                nn.Conv1d(channels_in, out_channels, kernel_size, padding=kernel_size // 2),
                nn.GroupNorm(n_groups, out_channels),
                nn.Mish(),
            )

        self.first, self.second = convolve(in_channels), convolve(out_channels)
        self.film = nn.Linear(cond_dim, 2 * out_channels)
        self.shortcut = (
            nn.Conv1d(in_channels, out_channels, 1)
            if in_channels != out_channels
            else nn.Identity()
        )

    def forward(self, x: torch.Tensor, cond: torch.Tensor) -> torch.Tensor:
        """Return (B, out_channels, T) for x (B, in_channels, T) and the condition (B, cond_dim),
        which has passed through an activation.
        """
        scale, shift = self.film(cond)[..., None].chunk(2, dim=1)
        return self.second(scale * self.first(x) + shift) + self.shortcut(x)


class SinusoidalPosEmb(nn.Module):
    """Sines and cosines of a step number at geometrically spaced frequencies (Vaswani et al.,
    2017).
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        half = dim // 2
        frequencies = torch.exp(torch.arange(half) * (-math.log(10000) / (half - 1)))
        self.frequencies: torch.Tensor
        self.register_buffer("frequencies", frequencies, persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return (B, dim) for the step numbers (B,)."""
        angles = x[:, None] * self.frequencies
        return torch.cat((angles.sin(), angles.cos()), dim=-1)
