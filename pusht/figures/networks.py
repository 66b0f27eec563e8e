"""Pictures of networks."""

import torch
from matplotlib.patches import Circle

from pusht.figures.page import (
    AXIS,
    BLUE,
    GREEN,
    GREY,
    HEAD,
    INK,
    ORANGE,
    PALE,
    SMALL,
    VERMILION,
    WIDTH,
    Page,
)
from pusht.networks.residual_mlp import ResidualMLP

_NORM, _MISH, _LINEAR, _FILM = "#cfe8f7", "#fff3c4", "#ffd9a8", "#ffeccb"


def residual_mlp(dim_list, obs_dim=5, action_dim=2):
    """`pusht.networks.ResidualMLP(dim_list, use_layernorm=True)` from observations to a chunk of
    actions.

    dim_list: widths of all layers: obs_horizon * obs_dim, the hidden ones, pred_horizon *
    action_dim.

    Raises ValueError for widths that are no such network.
    """
    with torch.device("meta"):  # no numbers are drawn for weights that nobody uses
        size = sum(p.numel() for p in ResidualMLP(dim_list, use_layernorm=True).parameters())
    width_in, *hidden, width_out = dim_list
    if width_in % obs_dim or width_out % action_dim:
        raise ValueError(
            f"{width_in} and {width_out} are no whole numbers of {obs_dim}-d observations and"
            f" {action_dim}-d actions."
        )
    obs_horizon, pred_horizon, blocks, width = (
        width_in // obs_dim,
        width_out // action_dim,
        len(hidden) // 2,
        hidden[0],
    )
    page = Page(268)
    x = page.wire(
        (WIDTH - 192 - 237 * min(blocks, 2) - 30 * (blocks > 2)) / 2,
        24,
        f"({obs_horizon}, {obs_dim})",
    )
    x = page.wire(page.layer(x, "flatten", "white"), 14, width_in)
    x = page.layer(x, f"Linear {width_in} → {width}", _LINEAR)
    for number in sorted({min(blocks, 1), blocks} - {0}):
        if number > 2:
            page.text(x + 15, AXIS, "…", size=HEAD)
            x += 30
        fork = x + 8
        x = page.wire(x, 22, width)
        for i, (name, fill) in enumerate(
            [("LayerNorm", _NORM), ("Mish", _MISH), (f"Linear {width} → {width}", _LINEAR)] * 2
        ):
            x = page.layer(x, name, fill)
            x = page.wire(x, 14 if i == 5 else 7)
        x, top = x + 8, AXIS - 90
        page.axes.add_patch(Circle((x, AXIS), 8, fc="white", ec=INK, lw=1.2, zorder=2))
        page.text(x, AXIS, "+", size=HEAD, weight="bold")
        page.axes.plot([fork, fork, x], [AXIS, top, top], color=BLUE, lw=1.8, zorder=1)
        page.arrow((x, top), (x, AXIS - 8), BLUE)
        page.text(
            (fork + x) / 2, top - 12, f"residual block {number}: shortcut + layers", color=BLUE
        )
        x += 8
    x = page.layer(page.wire(x, 16, width), f"Linear {width} → {width_out}", _LINEAR)
    x = page.layer(page.wire(x, 14, width_out), "reshape", "white")
    page.wire(x, 24, f"({pred_horizon}, {action_dim})")
    page.text(
        WIDTH / 2,
        250,
        f"{size:,} parameters; below the layers, the shape of one sample between them",
        color=GREY,
    )
    return page.image(
        f"A network from left to right: {obs_horizon} observations of {obs_dim} numbers are"
        f" flattened to {width_in}; a linear layer makes {width} of them; {blocks} residual blocks,"
        " each LayerNorm, Mish, Linear, LayerNorm, Mish, Linear beside a shortcut that is added at"
        f" the end; a linear layer to {width_out}, reshaped to {pred_horizon} actions of"
        f" {action_dim} numbers. {size:,} parameters."
    )


def cvae():
    """A conditional variational autoencoder while it is trained, and while it acts."""
    page = Page(400)
    page.text(8, 22, "Training", size=HEAD, weight="bold", ha="left")
    page.text(
        84,
        22,
        "the encoder sees what the demonstrator did, and says which z that was",
        color=GREY,
        ha="left",
    )
    _block(page, 8, 48, 112, 36, "actions A", "#ffe3b0")
    _block(page, 8, 126, 112, 36, "observations O", PALE)
    _block(page, 152, 48, 96, 114, "encoder", _NORM)
    _block(page, 300, 56, 52, 32, "μ", "white")
    _block(page, 300, 98, 52, 32, "log σ²", "white")
    _block(page, 404, 66, 106, 44, "z = μ + σ ε", "#d5efe3")
    _block(page, 558, 48, 80, 114, "decoder", _LINEAR)
    for start, end in [
        ((120, 66), (152, 66)),
        ((120, 144), (152, 144)),
        ((248, 72), (300, 72)),
        ((248, 114), (300, 114)),
        ((352, 72), (404, 84)),
        ((352, 114), (404, 96)),
        ((510, 88), (558, 88)),
        ((638, 105), (672, 105)),
    ]:
        page.arrow(start, end)
    page.text(676, 105, "Â", size=HEAD, weight="bold", ha="left")
    page.axes.plot([134, 134, 534, 534], [144, 186, 186, 144], color=INK, lw=1.8, zorder=1)
    page.arrow((534, 144), (558, 144))
    page.text(457, 132, "ε ~ N(0, I)", color=GREEN)
    page.arrow((457, 124), (457, 110), GREEN)
    page.text(326, 146, "pulled to N(0, I) by KL", size=SMALL, color=VERMILION)
    for y, word in ((130, "compared"), (146, "with A")):
        page.text(685, y, word, size=SMALL, color=VERMILION)

    page.axes.plot([8, WIDTH - 8], [218, 218], color=GREY, lw=0.7, ls=(0, (3, 3)))
    page.text(8, 246, "Acting", size=HEAD, weight="bold", ha="left")
    page.text(
        84, 246, "there are no actions to look at: the decoder alone, z = 0", color=GREY, ha="left"
    )
    for x, y, width, height, name in [
        (8, 276, 112, 36, "actions A"),
        (152, 276, 96, 74, "encoder"),
        (300, 276, 52, 32, "μ"),
        (300, 318, 52, 32, "log σ²"),
    ]:
        page.box(x, y, width, height, edge="#b8c0c8", ls=(0, (3, 3)))
        page.text(x + width / 2, y + height / 2, name, color="#b8c0c8")
    _block(page, 8, 352, 112, 36, "observations O", PALE)
    _block(page, 404, 280, 106, 44, "z = 0", "#d5efe3")
    _block(page, 558, 272, 80, 116, "decoder", _LINEAR)
    page.arrow((510, 302), (558, 302))
    page.arrow((120, 370), (558, 370))
    page.arrow((638, 330), (672, 330))
    page.text(676, 330, "Â", size=HEAD, weight="bold", ha="left")
    return page.image(
        "Two drawings of a CVAE. Training: the encoder turns the demonstrated actions A and the"
        " observations O into mu and log sigma squared; z = mu + sigma epsilon, epsilon drawn from"
        " N(0, I); the decoder turns z and the observations into actions, which are compared with"
        " A, while a KL term pulls mu and sigma to N(0, I). Acting: the encoder is left out, and"
        " the decoder gets the observations and z = 0."
    )


def chunk_policies(state_dim, chunk_size, action_dim):
    """What goes into the two policies of chunks and what comes out: least squares above, flow
    matching below.
    """
    page, flat = Page(330), chunk_size * action_dim
    page.text(8, 22, "MSE policy", size=HEAD, weight="bold", ha="left")
    page.text(112, 22, "one look, one answer", color=GREY, ha="left")
    _block(page, 8, 48, 150, 36, "state", PALE)
    _block(page, 290, 42, 130, 48, "MLP", _LINEAR)
    _block(page, 554, 48, 150, 36, "chunk", "#ffe3b0")
    for start, end, what in [
        ((158, 66), (290, 66), f"{state_dim}"),
        ((420, 66), (554, 66), f"{flat}"),
    ]:
        page.arrow(start, end)
        page.text((start[0] + end[0]) / 2, 54, what, size=SMALL, color=GREY)
    page.text(629, 98, f"({chunk_size}, {action_dim})", size=SMALL, color=GREY)

    page.axes.plot([8, WIDTH - 8], [124, 124], color=GREY, lw=0.7, ls=(0, (3, 3)))
    page.text(8, 152, "Flow matching", size=HEAD, weight="bold", ha="left")
    page.text(134, 152, "asked again at every step from noise to chunk", color=GREY, ha="left")
    for y, name, what, fill in [
        (178, "state", state_dim, PALE),
        (228, "chunk at time τ", flat, "#d5efe3"),
        (278, "time τ", 1, _FILM),
    ]:
        _block(page, 8, y, 150, 36, name, fill)
        page.arrow((158, y + (24 if what == flat else 18)), (290, y + (24 if what == flat else 18)))
        page.text(200, y + (30 if what == flat else 6), what, size=SMALL, color=GREY)
    _block(page, 290, 178, 130, 136, "MLP", _LINEAR)
    _block(page, 554, 228, 150, 36, "velocity", "white")
    page.arrow((420, 246), (554, 246))
    page.text(487, 234, f"{flat}", size=SMALL, color=GREY)
    page.text(629, 278, f"({chunk_size}, {action_dim}) per unit of τ", size=SMALL, color=GREY)
    page.axes.plot([629, 629, 262, 262], [228, 170, 170, 236], color=GREEN, lw=1.8, zorder=6)
    page.arrow((262, 236), (158, 236), GREEN)
    page.text(529, 158, "moves the chunk along", size=SMALL, color=GREEN)
    return page.image(
        f"Two networks. The MSE policy: an MLP from the state, {state_dim} numbers, to a chunk of"
        f" {chunk_size} actions. Flow matching: an MLP from the state, the chunk at time tau and"
        " tau itself to a velocity of the chunk's shape, which moves the chunk along before the"
        " network is asked again."
    )


def unet(down_dims, pred_horizon):
    """`pusht.networks.ConditionalUnet1D` with channels `down_dims` over a chunk of `pred_horizon`
    actions.

    Raises ValueError when there are no or more than four levels, or the chunk cannot be halved on
    every level but the last.
    """
    dims = list(down_dims)
    last = len(dims) - 1
    if not 0 <= last < 4 or pred_horizon % 2**last:
        raise ValueError(
            f"A chunk of {pred_horizon} actions cannot go through {len(dims)} levels, each half as"
            " long as the one before."
        )
    page = Page(80 * len(dims) + 134)
    apart = 50  # by which a level stands further in than the one above
    centre, rows = WIDTH / 2, [78 + 80 * level for level in range(len(dims))]
    down = [centre - 130 - apart * (last - level) for level in range(len(dims))]
    up = [2 * centre - x for x in down]
    steps = [pred_horizon // 2**level for level in range(len(dims))]
    page.text(8, 20, "In every block: channels × steps of the chunk.", color=GREY, ha="left")
    for level, (x, y) in enumerate(zip(down, rows)):
        _conditioned(page, x, y, f"{dims[level]} × {steps[level]}", -24)
        if level:
            _conditioned(page, up[level], y, f"{dims[level - 1]} × {steps[level]}", 24)
            page.arrow((x - 24, rows[level - 1] + 19), (x - 24, y - 19))
            page.arrow((up[level] + 24, y - 19), (up[level] + 24, rows[level - 1] + 19))
            middle = (y + rows[level - 1]) / 2
            page.text(x - 32, middle, "half the steps", size=SMALL, color=GREY, ha="right")
            page.text(up[level] + 32, middle, "twice the steps", size=SMALL, color=GREY, ha="left")
    for level in range(1, last):
        page.arrow((down[level] + 48, rows[level]), (up[level] - 48, rows[level]), BLUE)
    bottom = rows[last]
    _conditioned(page, centre, bottom, f"{dims[last]} × {steps[last]}", 0)
    page.arrow((down[last] + 48, bottom), (centre - 48, bottom))
    page.arrow((centre + 48, bottom), (up[last] - 48, bottom))
    if last:
        page.axes.plot(
            [down[last] + 36, down[last] + 36, up[last] - 36],
            [bottom - 19, bottom - 34, bottom - 34],
            color=BLUE,
            lw=1.8,
        )
        page.arrow((up[last] - 36, bottom - 34), (up[last] - 36, bottom - 19), BLUE)
        page.text(centre, bottom - 43, "copied across", color=BLUE)
    _block(page, up[0] - 48, 59, 96, 38, "convolution", _LINEAR)
    for x, y, what in [(down[0], 46, "noisy actions"), (up[0], 46, "noise, guessed")]:
        page.text(x, y, f"{what}  2 × {pred_horizon}", weight="bold")
    y = page.height - 62
    _block(page, 8, y - 16, 150, 32, "step k, embedded", _FILM)
    page.text(170, y, "+", size=HEAD)
    _block(page, 182, y - 16, 124, 32, "observations O", _FILM)
    page.arrow((306, y), (344, y), ORANGE)
    _chip(page, 348, y - 8)
    page.text(396, y, "scales and shifts every channel of the block", ha="left")
    page.text(
        8,
        page.height - 20,
        "Each block: two convolutions along the steps, FiLM between them, and a shortcut around"
        " both.",
        color=GREY,
        ha="left",
    )
    return page.image(
        f"A U-Net over a chunk of {pred_horizon} actions. On the way down, the blocks hold"
        f" {', '.join(f'{c} channels of {t} steps' for c, t in zip(dims, steps))}; a block of the"
        " last size in the middle; on the way up the steps double again, and each block also reads"
        " what the same level made on the way down. A convolution at the end gives the noise. The"
        " step k and the observations enter every block by FiLM, which scales and shifts its"
        " channels."
    )


def _block(page, x, y, width, height, name, fill):
    page.box(x, y, width, height, fill=fill, edge=GREY)
    page.text(x + width / 2, y + height / 2, name, zorder=4)


def _conditioned(page, x, y, name, aside):
    """A block of the U-Net around (x, y), with the sign that the condition enters it, so far from
    its middle.
    """
    _block(page, x - 48, y - 19, 96, 38, name, _NORM)
    _chip(page, x - 20 + aside, y + 12)


def _chip(page, x, y):
    page.box(x, y, 40, 16, fill=_FILM, edge=ORANGE, zorder=5)
    page.text(x + 20, y + 8, "FiLM", size=SMALL)
