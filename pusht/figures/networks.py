"""Pictures of networks."""
import torch
from matplotlib.patches import Circle

from pusht.figures.page import AXIS, BLUE, GREY, HEAD, INK, WIDTH, Page
from pusht.networks.residual_mlp import ResidualMLP

_NORM, _MISH, _LINEAR = "#cfe8f7", "#fff3c4", "#ffd9a8"


def residual_mlp(dim_list, obs_dim=5, action_dim=2):
    """`pusht.networks.ResidualMLP(dim_list, use_layernorm=True)` from observations to a chunk of actions.

    dim_list: widths of all layers: obs_horizon * obs_dim, the hidden ones, pred_horizon * action_dim.

    Raises ValueError for widths that are no such network.
    """
    with torch.device("meta"):  # no numbers are drawn for weights that nobody uses
        size = sum(p.numel() for p in ResidualMLP(dim_list, use_layernorm=True).parameters())
    width_in, *hidden, width_out = dim_list
    if width_in % obs_dim or width_out % action_dim:
        raise ValueError(f"{width_in} and {width_out} are no whole numbers of {obs_dim}-d observations and {action_dim}-d actions.")
    obs_horizon, pred_horizon, blocks, width = width_in // obs_dim, width_out // action_dim, len(hidden) // 2, hidden[0]
    page = Page(268)
    x = page.wire((WIDTH - 192 - 237 * min(blocks, 2) - 30 * (blocks > 2)) / 2, 24, f"({obs_horizon}, {obs_dim})")
    x = page.wire(page.layer(x, "flatten", "white"), 14, width_in)
    x = page.layer(x, f"Linear {width_in} → {width}", _LINEAR)
    for number in sorted({min(blocks, 1), blocks} - {0}):
        if number > 2:
            page.text(x + 15, AXIS, "…", size=HEAD)
            x += 30
        fork = x + 8
        x = page.wire(x, 22, width)
        for i, (name, fill) in enumerate([("LayerNorm", _NORM), ("Mish", _MISH), (f"Linear {width} → {width}", _LINEAR)] * 2):
            x = page.layer(x, name, fill)
            x = page.wire(x, 14 if i == 5 else 7)
        x, top = x + 8, AXIS - 90
        page.axes.add_patch(Circle((x, AXIS), 8, fc="white", ec=INK, lw=1.2, zorder=2))
        page.text(x, AXIS, "+", size=HEAD, weight="bold")
        page.axes.plot([fork, fork, x], [AXIS, top, top], color=BLUE, lw=1.8, zorder=1)
        page.arrow((x, top), (x, AXIS - 8), BLUE)
        page.text((fork + x) / 2, top - 12, f"residual block {number}: shortcut + layers", color=BLUE)
        x += 8
    x = page.layer(page.wire(x, 16, width), f"Linear {width} → {width_out}", _LINEAR)
    x = page.layer(page.wire(x, 14, width_out), "reshape", "white")
    page.wire(x, 24, f"({pred_horizon}, {action_dim})")
    page.text(WIDTH / 2, 250, f"{size:,} parameters; below the layers, the shape of one sample between them", color=GREY)
    return page.image(f"A network from left to right: {obs_horizon} observations of {obs_dim} numbers are flattened to {width_in}; a "
                      f"linear layer makes {width} of them; {blocks} residual blocks, each LayerNorm, Mish, Linear, LayerNorm, "
                      f"Mish, Linear beside a shortcut that is added at the end; a linear layer to {width_out}, reshaped to "
                      f"{pred_horizon} actions of {action_dim} numbers. {size:,} parameters.")
