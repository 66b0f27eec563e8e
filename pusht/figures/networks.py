"""Pictures of networks."""

from collections.abc import Sequence

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
    Picture,
)
from pusht.networks.residual_mlp import ResidualMLP

_NORM, _MISH, _LINEAR, _FILM = "#cfe8f7", "#fff3c4", "#ffd9a8", "#ffeccb"
_ACTIONS, _LATENT, _UNUSED = "#ffe3b0", "#d5efe3", "#b8c0c8"


def residual_mlp(dim_list: Sequence[int], obs_dim: int = 5, action_dim: int = 2) -> Picture:
    """Draw `pusht.networks.ResidualMLP(dim_list, use_layernorm=True)` from observations to a chunk
    of actions.

    dim_list: widths of all layers: obs_horizon * obs_dim, the hidden ones, pred_horizon *
        action_dim.

    Raises ValueError for widths that do not fit this network.
    """
    with torch.device("meta"):  # no memory or random numbers for the weights
        network = ResidualMLP(list(dim_list), use_layernorm=True)
    size = sum(p.numel() for p in network.parameters())
    width_in, *hidden, width_out = dim_list
    if width_in % obs_dim or width_out % action_dim:
        raise ValueError(
            f"{width_in} and {width_out} are not multiples of {obs_dim} for observations and"
            f" {action_dim} for actions."
        )
    obs_horizon, pred_horizon = width_in // obs_dim, width_out // action_dim
    blocks, width = len(hidden) // 2, hidden[0]
    page = Page(268)
    left = (WIDTH - 192 - 237 * min(blocks, 2) - 30 * (blocks > 2)) / 2
    x = page.wire(left, 24, f"({obs_horizon}, {obs_dim})")
    x = page.wire(page.layer(x, "flatten", "white"), 14, width_in)
    x = page.layer(x, f"Linear {width_in} → {width}", _LINEAR)
    for number in sorted({min(blocks, 1), blocks} - {0}):
        if number > 2:
            page.text(x + 15, AXIS, "…", size=HEAD)
            x += 30
        x = _residual_block(page, x, number, width)
    x = page.layer(page.wire(x, 16, width), f"Linear {width} → {width_out}", _LINEAR)
    x = page.layer(page.wire(x, 14, width_out), "reshape", "white")
    page.wire(x, 24, f"({pred_horizon}, {action_dim})")
    note = f"{size:,} parameters; below the layers, the shape of one sample between them"
    page.text(WIDTH / 2, 250, note, color=GREY)
    return page.image(
        f"A network from left to right: {obs_horizon} observations of {obs_dim} numbers are"
        f" flattened to {width_in}; a linear layer makes {width} of them; {blocks} residual blocks,"
        " each LayerNorm, Mish, Linear, LayerNorm, Mish, Linear beside a shortcut that is added at"
        f" the end; a linear layer to {width_out}, reshaped to {pred_horizon} actions of"
        f" {action_dim} numbers. {size:,} parameters."
    )


def _residual_block(page: Page, x: float, number: int, width: int) -> float:
    """Draw a block at x; return the x where it ends."""
    fork = x + 8
    x = page.wire(x, 22, width)
    layers = [("LayerNorm", _NORM), ("Mish", _MISH), (f"Linear {width} → {width}", _LINEAR)] * 2
    for i, (name, fill) in enumerate(layers):
        x = page.layer(x, name, fill)
        x = page.wire(x, 14 if i == 5 else 7)
    x, top = x + 8, AXIS - 90
    page.axes.add_patch(Circle((x, AXIS), 8, fc="white", ec=INK, lw=1.2, zorder=2))
    page.text(x, AXIS, "+", size=HEAD, weight="bold")
    page.axes.plot([fork, fork, x], [AXIS, top, top], color=BLUE, lw=1.8, zorder=1)
    page.arrow((x, top), (x, AXIS - 8), BLUE)
    title = f"residual block {number}: shortcut + layers"
    page.text((fork + x) / 2, top - 12, title, color=BLUE)
    return x + 8


def cvae() -> Picture:
    """Draw a conditional variational autoencoder in training and when it acts."""
    page = Page(400)
    _cvae_in_training(page)
    page.axes.plot([8, WIDTH - 8], [218, 218], color=GREY, lw=0.7, ls=(0, (3, 3)))
    _cvae_acting(page)
    return page.image(
        "Two drawings of a CVAE. Training: the encoder turns the demonstrated actions A and the"
        " observations O into mu and log sigma squared; z = mu + sigma epsilon, epsilon drawn from"
        " N(0, I); the decoder turns z and the observations into actions, which are compared with"
        " A, while a KL term pulls mu and sigma to N(0, I). Acting: the encoder is left out, and"
        " the decoder gets the observations and z = 0."
    )


def _cvae_in_training(page: Page) -> None:
    page.heading(8, 22, "Training")
    page.notes(84, 22, ["the encoder sees what the demonstrator did, and encodes it as z"])
    _block(page, 8, 48, 112, 36, "actions A", _ACTIONS)
    _block(page, 8, 126, 112, 36, "observations O", PALE)
    _block(page, 152, 48, 96, 114, "encoder", _NORM)
    _block(page, 300, 56, 52, 32, "μ", "white")
    _block(page, 300, 98, 52, 32, "log σ²", "white")
    _block(page, 404, 66, 106, 44, "z = μ + σ ε", _LATENT)
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
    page.heading(676, 105, "Â")
    page.axes.plot([134, 134, 534, 534], [144, 186, 186, 144], color=INK, lw=1.8, zorder=1)
    page.arrow((534, 144), (558, 144))
    page.text(457, 132, "ε ~ N(0, I)", color=GREEN)
    page.arrow((457, 124), (457, 110), GREEN)
    page.text(326, 146, "pulled to N(0, I) by KL", size=SMALL, color=VERMILION)
    for y, word in ((130, "compared"), (146, "with A")):
        page.text(685, y, word, size=SMALL, color=VERMILION)


def _cvae_acting(page: Page) -> None:
    page.heading(8, 246, "Acting")
    page.notes(84, 246, ["there are no actions to encode: the decoder alone, with z = 0"])
    for x, y, width, height, name in [
        (8, 276, 112, 36, "actions A"),
        (152, 276, 96, 74, "encoder"),
        (300, 276, 52, 32, "μ"),
        (300, 318, 52, 32, "log σ²"),
    ]:
        page.box(x, y, width, height, edge=_UNUSED, ls=(0, (3, 3)))
        page.text(x + width / 2, y + height / 2, name, color=_UNUSED)
    _block(page, 8, 352, 112, 36, "observations O", PALE)
    _block(page, 404, 280, 106, 44, "z = 0", _LATENT)
    _block(page, 558, 272, 80, 116, "decoder", _LINEAR)
    page.arrow((510, 302), (558, 302))
    page.arrow((120, 370), (558, 370))
    page.arrow((638, 330), (672, 330))
    page.heading(676, 330, "Â")


def chunk_policies(state_dim: int, chunk_size: int, action_dim: int) -> Picture:
    """Draw the inputs and outputs of the two policies of Part IV: least squares above, flow
    matching below.
    """
    page, flat = Page(330), chunk_size * action_dim
    page.heading(8, 22, "MSE policy")
    page.notes(112, 22, ["called once for each chunk"])
    _block(page, 8, 48, 150, 36, "state", PALE)
    _block(page, 290, 42, 130, 48, "MLP", _LINEAR)
    _block(page, 554, 48, 150, 36, "chunk", _ACTIONS)
    for left, right, width in [(158, 290, state_dim), (420, 554, flat)]:
        page.arrow((left, 66), (right, 66))
        page.text((left + right) / 2, 54, width, size=SMALL, color=GREY)
    page.text(629, 98, f"({chunk_size}, {action_dim})", size=SMALL, color=GREY)

    page.axes.plot([8, WIDTH - 8], [124, 124], color=GREY, lw=0.7, ls=(0, (3, 3)))
    page.heading(8, 144, "Flow matching")
    page.notes(134, 144, ["called again at every step from noise to chunk"])
    for y, name, width, fill in [
        (178, "chunk at time τ", flat, _LATENT),
        (228, "state", state_dim, PALE),
        (278, "time τ", 1, _FILM),
    ]:
        _block(page, 8, y, 150, 36, name, fill)
        page.arrow((158, y + 18), (290, y + 18))
        page.text(224, y + 6, width, size=SMALL, color=GREY)
    _block(page, 290, 178, 130, 136, "MLP", _LINEAR)
    _block(page, 554, 228, 150, 36, "velocity", "white")
    page.arrow((420, 246), (554, 246))
    page.text(487, 234, f"{flat}", size=SMALL, color=GREY)
    page.text(629, 278, f"({chunk_size}, {action_dim}) per unit of τ", size=SMALL, color=GREY)
    page.axes.plot([629, 629, 83], [228, 164, 164], color=GREEN, lw=1.8, zorder=6)
    page.arrow((83, 164), (83, 178), GREEN)
    page.text(529, 152, "moves the chunk along", size=SMALL, color=GREEN)
    return page.image(
        f"Two networks. The MSE policy: an MLP from the state, {state_dim} numbers, to a chunk of"
        f" {chunk_size} actions. Flow matching: an MLP from the state, the chunk at time tau and"
        " tau itself to a velocity of the chunk's shape, which moves the chunk along before the"
        " network is called again."
    )


def unet(down_dims: Sequence[int], pred_horizon: int) -> Picture:
    """Draw `pusht.networks.ConditionalUnet1D` with channels `down_dims` over a chunk of
    `pred_horizon` actions.

    Raises ValueError unless there are one to four levels and the chunk can be halved on every level
    except the last.
    """
    dims = list(down_dims)
    last = len(dims) - 1
    if not 0 <= last < 4 or pred_horizon % 2**last:
        raise ValueError(
            f"A chunk of {pred_horizon} actions cannot pass through {len(dims)} levels, each half"
            " as long as the one before."
        )
    page = Page(80 * len(dims) + 134)
    page.notes(8, 20, ["In every block: channels × steps of the chunk."])
    steps = [pred_horizon // 2**level for level in range(len(dims))]
    outermost = _unet_levels(page, dims, steps)
    _block(page, outermost[1] - 48, 59, 96, 38, "convolution", _LINEAR)
    for x, name in zip(outermost, ("noisy actions", "predicted noise"), strict=True):
        page.text(x, 46, f"{name}  2 × {pred_horizon}", weight="bold")
    _unet_legend(page)
    sizes = ", ".join(f"{c} channels of {t} steps" for c, t in zip(dims, steps, strict=True))
    return page.image(
        f"A U-Net over a chunk of {pred_horizon} actions. On the way down, the blocks hold"
        f" {sizes}; a block of the"
        " last size in the middle; on the way up the steps double again, and each block also reads"
        " what the same level made on the way down. A convolution at the end gives the noise. The"
        " step k and the observations enter every block by FiLM, which scales and shifts its"
        " channels."
    )


def _unet_levels(page: Page, dims: list[int], steps: list[int]) -> tuple[float, float]:
    """Draw the blocks; return the x of the outermost ones, on the way down and up."""
    last, apart = len(dims) - 1, 50  # each level is this much further in than the one above
    centre, rows = WIDTH / 2, [78 + 80 * level for level in range(len(dims))]
    down = [centre - 130 - apart * (last - level) for level in range(len(dims))]
    up = [2 * centre - x for x in down]
    for level, (x, y) in enumerate(zip(down, rows, strict=True)):
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
    bottom, left, right = rows[last], down[last], up[last]
    _conditioned(page, centre, bottom, f"{dims[last]} × {steps[last]}", 0)
    page.arrow((left + 48, bottom), (centre - 48, bottom))
    page.arrow((centre + 48, bottom), (right - 48, bottom))
    if last:
        corners = [left + 36, left + 36, right - 36], [bottom - 19, bottom - 34, bottom - 34]
        page.axes.plot(*corners, color=BLUE, lw=1.8)
        page.arrow((right - 36, bottom - 34), (right - 36, bottom - 19), BLUE)
        page.text(centre, bottom - 43, "copied across", color=BLUE)
    return down[0], up[0]


def _unet_legend(page: Page) -> None:
    y = page.height - 62
    _block(page, 8, y - 16, 150, 32, "step k, embedded", _FILM)
    page.text(170, y, "+", size=HEAD)
    _block(page, 182, y - 16, 124, 32, "observations O", _FILM)
    page.arrow((306, y), (344, y), ORANGE)
    _chip(page, 348, y - 8)
    page.text(396, y, "scales and shifts every channel of the block", ha="left")
    note = "Each block: two convolutions along the steps, FiLM between them, and a shortcut around"
    page.notes(8, page.height - 20, [f"{note} both."])


def _block(
    page: Page, x: float, y: float, width: float, height: float, name: str, fill: str
) -> None:
    page.box(x, y, width, height, fill=fill, edge=GREY)
    page.text(x + width / 2, y + height / 2, name, zorder=4)


def _conditioned(page: Page, x: float, y: float, name: str, aside: float) -> None:
    """Draw a block of the U-Net around (x, y), with the mark of its condition `aside` from its
    middle.
    """
    _block(page, x - 48, y - 19, 96, 38, name, _NORM)
    _chip(page, x - 20 + aside, y + 12)


def _chip(page: Page, x: float, y: float) -> None:
    page.box(x, y, 40, 16, fill=_FILM, edge=ORANGE, zorder=5)
    page.text(x + 20, y + 8, "FiLM", size=SMALL)
