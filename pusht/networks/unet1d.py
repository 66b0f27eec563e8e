"""The one-dimensional U-Net of the diffusion policy: it convolves over the time axis of an action
chunk.

After Chi et al., "Diffusion Policy" (2023); conditioning by FiLM, Perez et al. (2018).
"""

import math

import torch
from torch import nn


class ConditionalUnet1D(nn.Module):
    """Predicts the noise in a chunk of actions, given the diffusion step and a condition.

    input_dim: numbers per action.
    global_cond_dim: width of the condition, the flattened observations.
    diffusion_step_embed_dim: width of the embedding of the diffusion step.
    down_dims: channels on each level; every level but the last halves the horizon.
    kernel_size, n_groups: of the convolutions and of their group norms.
    """

    def __init__(
        self,
        input_dim,
        global_cond_dim,
        diffusion_step_embed_dim=256,
        down_dims=(256, 512, 1024),
        kernel_size=5,
        n_groups=8,
    ):
        super().__init__()
        embed_dim, widths = diffusion_step_embed_dim, list(down_dims)
        self.diffusion_step_encoder = nn.Sequential(
            SinusoidalPosEmb(embed_dim),
            nn.Linear(embed_dim, 4 * embed_dim),
            nn.Mish(),
            nn.Linear(4 * embed_dim, embed_dim),
        )

        def block(channels_in, channels_out):
            return ConditionalResidualBlock1D(
                channels_in, channels_out, embed_dim + global_cond_dim, kernel_size, n_groups
            )

        self.down_blocks = nn.ModuleList(block(i, o) for i, o in zip([input_dim] + widths, widths))
        self.downsample = nn.ModuleList(
            nn.Conv1d(w, w, 3, stride=2, padding=1) for w in widths[:-1]
        )
        self.mid_block = block(widths[-1], widths[-1])
        # On the way up each block reads what the same level made on the way down as well.
        self.up_blocks = nn.ModuleList(
            block(2 * o, i) for i, o in reversed(list(zip(widths, widths[1:])))
        )
        self.upsample = nn.ModuleList(
            nn.ConvTranspose1d(w, w, 4, stride=2, padding=1) for w in reversed(widths[:-1])
        )
        self.final_conv = nn.Conv1d(widths[0], input_dim, 1)

    def forward(self, sample, timestep, global_cond=None):
        """sample (B, Tp, input_dim), timestep (B,) or a number, global_cond (B, global_cond_dim) ->
        (B, Tp, input_dim).
        """
        x = sample.moveaxis(-1, -2)
        timestep = torch.as_tensor(timestep, device=x.device).reshape(-1)
        # When all of the batch are at one step, as in sampling, its embedding is worked out once.
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
        for block, upsample in zip(self.up_blocks, self.upsample):
            x = upsample(block(torch.cat([x, skipped.pop()], dim=1), condition))
        return self.final_conv(x).moveaxis(-1, -2)


class ConditionalResidualBlock1D(nn.Module):
    """Two convolutions beside a shortcut; between them the condition scales and shifts each channel
    (FiLM).
    """

    def __init__(self, in_channels, out_channels, cond_dim, kernel_size=3, n_groups=8):
        super().__init__()

        def convolve(channels_in):
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

    def forward(self, x, cond):
        """x (B, in_channels, T), cond (B, cond_dim), activated -> (B, out_channels, T)."""
        scale, shift = self.film(cond)[..., None].chunk(2, dim=1)
        return self.second(scale * self.first(x) + shift) + self.shortcut(x)


class SinusoidalPosEmb(nn.Module):
    """Sines and cosines of a step number at geometrically spaced frequencies (Vaswani et al.,
    2017).
    """

    def __init__(self, dim):
        super().__init__()
        half = dim // 2
        self.register_buffer(
            "frequencies",
            torch.exp(torch.arange(half) * (-math.log(10000) / (half - 1))),
            persistent=False,
        )

    def forward(self, x):
        """(B,) -> (B, dim)."""
        angles = x[:, None] * self.frequencies
        return torch.cat((angles.sin(), angles.cos()), dim=-1)
