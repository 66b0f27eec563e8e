"""Pictures of the policies that know more than one answer: CVAE, diffusion and flow matching.

What is drawn from a network is drawn with seeds of its own: the generators of random numbers, and
the network's train or eval mode, are as before afterwards.
"""

import contextlib
import math

import numpy as np
import torch
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgb
from matplotlib.patches import Polygon, Rectangle

from pusht.dataset import PushTStateDataset, unnormalize_data
from pusht.figures.moving import Moving
from pusht.figures.page import BLUE, GREY, HEAD, INK, LINE, ORANGE, SMALL, VERMILION, Page, write
from pusht.render import AGENT
from pusht.episodes import reproducible
from pusht.sim import AGENT_RADIUS, TEE, WINDOW

_SEED = 0
_WIDE = (-80, -80, WINDOW + 160)  # the table and what noise reaches around it, for Page.scene
_ARROWS = 7  # along each side of a velocity field
_LEVER = 60  # px by which a turn of one radian moves the T's parts, about


# Part II.


def two_ways(dataset):
    """A state around which demonstrators went two ways, what they did there, and the mean of it,
    which none of them did.

    dataset: `PushTStateDataset`. The state is the one at which its chunk and those of the seven
    nearest windows, each of another episode, are farthest from their common mean and nearest to the
    mean of their own way. Near means that the observations show agent, block and block angle at
    nearly the same place.

    Raises ValueError when there is one episode alone.
    """
    windows, second, reach = _crossroads(dataset)
    if len(windows) < 2:
        raise ValueError("One episode shows one way: two_ways needs demonstrations of several.")
    obs, action = _pixels(dataset, windows)
    mean, parted = action.mean(axis=0), _ways(action)[1] > AGENT_RADIUS
    page = Page(424)
    scene = page.scene(8, 8, 408, obs[0, -1], _around(action.reshape(-1, 2), _outline(obs[0, -1])))
    for state in obs[1:, -1]:
        scene.add_patch(Polygon(_outline(state), fill=False, ec=INK, lw=0.5, alpha=0.3, zorder=2))
    for chunk, color in zip(action, _colors(second)):
        _path(scene, chunk, color)
    scene.plot(*mean.T, color="white", lw=5, zorder=6)
    scene.plot(*mean.T, color=INK, lw=2.6, ls=(0, (2, 1)), zorder=6)
    scene.plot(*mean[-1], "X", ms=9, color=INK, mec="white", zorder=7)

    page.text(
        442,
        34,
        "One state, two ways" if parted else "One state, several answers",
        size=HEAD,
        weight="bold",
        ha="left",
    )
    _note(
        page,
        442,
        60,
        [
            f"{len(windows)} demonstrations came through here,",
            f"give or take {reach:.0f} pixels. What was done",
            f"in {action.shape[1]} steps:",
        ],
    )
    _key(page, 442, 130, BLUE, f"{np.sum(~second)} of them went one way")
    _key(page, 442, 158, ORANGE, f"{np.sum(second)} went another")
    page.axes.plot([442, 470], [204, 204], color=INK, lw=2.6, ls=(0, (2, 1)))
    page.text(482, 204, "their mean, the answer of", ha="left")
    page.text(482, 223, "least squares" + ": nobody’s way" * parted, ha="left")
    page.axes.plot(456, 254, "o", ms=9, color=AGENT)
    page.text(482, 254, "agent now", ha="left")
    _note(
        page, 442, 300, ["Outlines: the block as the others saw it,", "nearly in the same place."]
    )
    nobodys = ", between the two, where none of them went" if parted else ""
    return page.image(
        f"The scene with the chunks of {len(windows)} demonstrations that came through nearly the"
        f" same state: {np.sum(~second)}, blue, go one way, {np.sum(second)}, orange, another."
        f" Their mean, a dashed black path, ends at ({mean[-1, 0]:.0f},"
        f" {mean[-1, 1]:.0f}){nobodys}."
    )


def crossroads(demonstrations):
    """The state (5,) [px, rad] around which `Demonstrations` part most clearly: the one that
    `two_ways` shows.
    """
    dataset = PushTStateDataset(demonstrations, pred_horizon=16, obs_horizon=2, action_horizon=8)
    return _pixels(dataset, _crossroads(dataset)[0])[0][0, -1]


def latent(agent, dataset):
    """What a CVAE's latent is used for: its divergence from N(0, I), and chunks decoded with twenty
    draws of it.

    agent: with encoder(obs (B, To * 5), action (B, Tp * 2)) -> mu, logvar (B, latent_dim) and
        decoder(obs (B, To * 5), z (B, latent_dim)) -> action (B, Tp * 2), all scaled. dataset:
        `PushTStateDataset`.
    """
    device = next(agent.parameters()).device
    some = slice(None, None, max(1, len(dataset) // 3000))
    state = _crossroads(dataset)[0][0]
    with _asked(agent):
        mu, logvar = agent.encoder(
            dataset.obs[some].flatten(1).to(device), dataset.action[some].flatten(1).to(device)
        )
        divergence = (0.5 * (mu.square() + logvar.exp() - 1 - logvar)).double().mean(dim=0)
        divergence = np.sort(divergence.clamp(min=0).cpu().numpy())[
            ::-1
        ]  # below 0 it is only rounded
        z = torch.cat([torch.zeros(1, mu.shape[1]), torch.randn(20, mu.shape[1])]).to(device)
        chunks = agent.decoder(
            dataset.obs[state].flatten().to(device).expand(len(z), -1), z
        ).reshape(len(z), -1, 2)
    obs, _ = _pixels(dataset, state)
    chunks = unnormalize_data(chunks.cpu().numpy(), dataset.stats["action"])
    spread = np.sqrt(np.square(chunks[1:] - chunks[1:].mean(axis=0)).sum(axis=-1).mean())

    page = Page(424)
    page.text(8, 20, "How much z says", size=HEAD, weight="bold", ha="left")
    page.text(
        8,
        42,
        f"sum of all {len(divergence)} dimensions: {_short(divergence.sum())} nats",
        color=GREY,
        ha="left",
    )
    top = max(1, divergence.max() * 1.08)
    bars = page.plot(44, 86, 280, 270, (0.5, len(divergence) + 0.5), (0, top), _ticks(top))
    bars.bar(np.arange(1, len(divergence) + 1), divergence, width=0.75, color=BLUE, zorder=3)
    if divergence.max() < 0.005 * top:
        write(
            bars,
            len(divergence) / 2 + 0.5,
            0.07 * top,
            "(all bars are too low to be seen)",
            SMALL,
            color=GREY,
        )
    for i in sorted({1, (len(divergence) + 1) // 2, len(divergence)}):
        write(bars, i, -0.055 * top, i, SMALL, color=GREY)
    page.text(184, 390, "latent dimension, sorted", color=GREY)
    page.text(8, 66, "KL [nats]", size=SMALL, color=GREY, ha="left")
    page.text(356, 20, "What the decoder makes of it", size=HEAD, weight="bold", ha="left")
    page.text(356, 42, "one state, twenty draws of z, and z = 0", color=GREY, ha="left")
    scene = page.scene(356, 66, 330, obs[-1], _around(chunks.reshape(-1, 2), _outline(obs[-1])))
    for chunk in chunks[1:]:
        _path(scene, chunk, ORANGE)
    _path(scene, chunks[0], INK, lw=2)
    _key(page, 356, 411, ORANGE, "z drawn from N(0, I)")
    _key(page, 560, 411, INK, "z = 0")
    return page.image(
        f"Left: the divergence of each of {len(divergence)} latent dimensions from N(0, 1), sorted,"
        f" from {_short(divergence.max())} down to {_short(divergence.min())} nats,"
        f" {_short(divergence.sum())} together. Right: the chunks decoded from one state with"
        f" twenty draws of z, over the scene; they lie {spread:.1f} pixels around their mean."
    )


# Part III.


def noise_schedule(betas):
    """A noise schedule's betas (K,), array or tensor, and what they leave of the demonstration
    after each step.
    """
    betas = np.asarray(torch.as_tensor(betas).detach().cpu(), dtype=np.float64)
    if (
        betas.ndim != 1
        or len(betas) < 2
        or not (np.isfinite(betas) & (betas >= 0) & (betas <= 1)).all()
    ):
        raise ValueError(
            "A schedule is at least two betas between 0 and 1 in one row, not an array of shape"
            f" {betas.shape} from {np.min(betas, initial=np.inf):g} to"
            f" {np.max(betas, initial=-np.inf):g}."
        )
    last, left = len(betas) - 1, np.cumprod(1 - betas)
    page = Page(300)
    panels = [
        (
            44,
            "Spoiling, step by step",
            [
                (betas, VERMILION, "β", "noise added in step k"),
                (left, BLUE, "ᾱ", "share of the signal left"),
            ],
        ),
        (
            408,
            "What stands in the formula",
            [
                (np.sqrt(1 - left), ORANGE, "√(1 − ᾱ)", "times noise"),
                (np.sqrt(left), BLUE, "√ᾱ", "times signal"),
            ],
        ),
    ]
    for x, title, curves in panels:
        page.text(x, 20, title, size=HEAD, weight="bold", ha="left")
        plot = page.plot(x, 66, 290, 180, (0, last), (0, 1), [0, 0.25, 0.5, 0.75, 1])
        for k in (0, len(betas) // 4, len(betas) // 2, 3 * len(betas) // 4, last):
            plot.plot([k, k], [0, -0.02], color=GREY, lw=0.8, clip_on=False)
            write(plot, k, -0.075, k, SMALL, color=GREY)
        page.text(x + 145, 282, "step k", color=GREY)
        at = x
        for values, color, name, what in curves:
            line = {"color": color, "lw": 2.4, "ls": "-" if color == BLUE else (0, (2.4, 0.8))}
            plot.plot(np.arange(last + 1), values, clip_on=False, **line)
            page.axes.plot([at, at + 22], [46, 46], **line)
            at = (
                page.text(
                    page.text(at + 29, 46, name, color=color, weight="bold", ha="left") + 6,
                    46,
                    what,
                    size=SMALL,
                    color=GREY,
                    ha="left",
                )
                + 16
            )
    return page.image(
        f"Two plots over the steps k from 0 to {last}. Left: beta, the noise added in step k, from"
        f" {betas[0]:.2g} to {betas[-1]:.2g}, and alpha-bar, the share of the signal left, from"
        f" {left[0]:.3g} to {left[-1]:.2g}. Right: the square roots of alpha-bar and of one minus"
        " alpha-bar."
    )


def spoiling(scheduler, dataset):
    """A demonstrated chunk on its way to noise, over its scene.

    scheduler: with num_timesteps, alpha_k_cumprod and diffuse(a_start (B, Tp, 2), k (B,), noise) ->
    a_k, scaled.
    dataset: `PushTStateDataset`.
    """
    steps, device = _moments(scheduler), scheduler.alpha_k_cumprod.device
    window = _crossroads(dataset)[0][0]
    obs, _ = _pixels(dataset, window)
    a_start = dataset.action[window].to(device).expand(len(steps), -1, -1)
    with reproducible(_SEED), torch.no_grad():
        # The same noise at every k, so that one path is seen to dissolve.
        noise = torch.randn(dataset.action.shape[1:]).to(device).expand_as(a_start)
        chunks = scheduler.diffuse(a_start, torch.tensor(steps, device=device), noise)
    chunks = unnormalize_data(chunks.cpu().numpy(), dataset.stats["action"])
    shares = scheduler.alpha_k_cumprod.cpu().numpy()[steps]
    page = Page(554)
    for place, (k, share, chunk) in enumerate(zip(steps, shares, chunks)):
        scene, x, y = _moment(page, place, obs[-1], f"k = {k}")
        page.text(
            x + 228,
            y - 14,
            f"{_short(100 * share)} % signal left",
            size=SMALL,
            color=GREY,
            ha="right",
        )
        _path(scene, chunk, VERMILION, lw=1.2)
        scene.plot(*chunk[0], "o", ms=5, mec=VERMILION, mfc="white", zorder=6)
    _note(
        page,
        8,
        540,
        [
            f"One demonstrated chunk of {chunks.shape[1]} actions, the hollow one first, with the"
            " same noise mixed in more and more."
        ],
    )
    return page.image(
        f"Six pictures of one scene with a demonstrated chunk of {chunks.shape[1]} actions, at k ="
        f" {', '.join(map(str, steps))}: a smooth path at first, it dissolves until it is a tangle"
        " of noise that reaches beyond the table."
    )


def denoising(model, scheduler, dataset, samples=12):
    """Chunks coming out of the noise for one state in which two ways are open: a `Moving` picture
    through k.

    model(sample (B, Tp, 2), timestep, global_cond (B, To * 5)) -> noise; scheduler: with
    num_timesteps, alpha_k_cumprod and denoise(noise, k, a_k) -> a_{k-1}; all scaled. dataset:
    `PushTStateDataset`. samples: B, at least 1.
    """
    if samples < 1:
        raise ValueError(f"{samples} samples are none to draw.")
    device, total = next(model.parameters()).device, scheduler.num_timesteps
    window = _crossroads(dataset)[0][0]
    obs, _ = _pixels(dataset, window)
    with _asked(model):
        condition = dataset.obs[window].flatten().to(device).expand(samples, -1)
        naction = torch.randn(samples, *dataset.action.shape[1:]).to(device)
        recorded = [naction]  # before each step back, and at the end
        for k in reversed(range(total)):
            naction = scheduler.denoise(
                model(sample=naction, timestep=k, global_cond=condition), k, naction
            )
            recorded.append(naction)
    chunks = unnormalize_data(torch.stack(recorded).cpu().numpy(), dataset.stats["action"])
    second, _ = _ways(chunks[-1])
    colors = _colors(second)
    limits = _around(chunks[-1].reshape(-1, 2), _outline(obs[-1]), margin=64)
    moments = [*zip([f"k = {k}" for k in reversed(range(total))], chunks), ("done", chunks[-1])]

    def draw(scene, chunks):
        for chunk, color in zip(chunks, colors):
            # Lines across the scene would hide it: joined are actions that a hand could give one
            # after the other.
            near = np.hypot(*np.diff(chunk, axis=0).T) < 72
            scene.add_collection(
                LineCollection(
                    np.stack([chunk[:-1], chunk[1:]], axis=1)[near], colors=color, lw=1, zorder=5
                )
            )
            scene.plot(*chunk.T, "o", color=color, ms=2.6, mew=0, zorder=5)

    def frame(i):
        page = Page(424)
        name, chunks = moments[i]
        draw(page.scene(8, 8, 408, obs[-1], limits), chunks)
        page.text(442, 34, name, size=HEAD, weight="bold", ha="left")
        _note(
            page,
            442,
            62,
            (
                ["The step that is taken back next.", "The fewer are left, the less noise."]
                if i < total
                else ["All noise is taken away: these are", "the chunks."]
            ),
        )
        return page.image(f"{samples} chunks over the scene, {name}.")

    shown = [total - 1 - k for k in _moments(scheduler)[:0:-1]] + [total]
    page = Page(574)
    for place, i in enumerate(shown):
        name, at = moments[i]
        scene, _, _ = _moment(page, place, obs[-1], name, limits)
        draw(scene, at)
    ends = f"Coloured by where they end: {np.sum(~second)} blue, {np.sum(second)} orange."
    _note(
        page,
        8,
        540,
        [
            (
                f"{samples} chunks for one state, from noise to actions. Lines join actions less"
                " than 72 px apart."
            ),
            ends,
        ],
    )
    image = page.image(
        f"Six pictures of one scene in which {samples} chunks come out of the noise, from k ="
        f" {total - 1} to 0 and the end: dots scattered beyond the edges gather into paths. {ends}"
    )
    return Moving(image, "k", [name.removeprefix("k = ") for name, _ in moments], 0, frame)


# Part IV.


def straight_lines(demonstrations, normalizer):
    """A demonstrated chunk on its straight line from noise, over its scene.

    demonstrations: `Demonstrations`, whose crossroads is shown. normalizer: with
    denormalize_action(chunk (8, 2)), to pixels.
    """
    dataset = PushTStateDataset(demonstrations, pred_horizon=16, obs_horizon=2, action_horizon=8)
    obs, action = _pixels(dataset, _crossroads(dataset)[0])
    farthest = np.hypot(
        *(action[:, 8] - action[:, 1]).T
    ).argmax()  # of those that came through there, so that the path is seen
    obs, chunk = obs[farthest], action[farthest, 1:9]  # from the time of the last observation on
    with reproducible(_SEED):
        noise = np.asarray(normalizer.denormalize_action(torch.randn(chunk.shape).numpy()))
    page, times = Page(554), [0, 0.2, 0.4, 0.6, 0.8, 1]
    limits = _around(np.concatenate([noise, chunk]), _outline(obs[-1]))
    for place, tau in enumerate(times):
        scene, _, _ = _moment(page, place, obs[-1], f"τ = {tau:g}", limits)
        for start, end in zip(noise, chunk):
            scene.plot(*zip(start, end), color=GREY, lw=0.7, zorder=4)
        at = tau * chunk + (1 - tau) * noise
        _path(scene, at, VERMILION, lw=1.2)
        scene.plot(*at[0], "o", ms=5, mec=VERMILION, mfc="white", zorder=6)
    _note(
        page,
        8,
        540,
        [
            f"One demonstrated chunk of {len(chunk)} actions, the hollow one first. Grey: the way"
            " of each, at a constant velocity."
        ],
    )
    return page.image(
        f"Six pictures of one scene at tau = {', '.join(f'{tau:g}' for tau in times)}: {len(chunk)}"
        " actions, a tangle of noise at first, move on straight grey lines, each at its own"
        " constant velocity, until they are a smooth demonstrated path."
    )


def velocity(policy, normalizer, state, samples=40, index=-1, steps=20):
    """How a flow carries noise to actions: one action of many chunks in the plane, a `Moving`
    picture through tau.

    policy: with chunk_size K and velocity(state (B, 5), a_tau (B, K, 2), tau (B,)) -> (B, K, 2),
    normalised.
    normalizer: `Normalizer`. state: (5,) [px, rad]. index: which action of the chunk. steps: of
    Euler's method.

    Raises ValueError for a state that is not five finite numbers and for less than one sample or
    step.
    """
    state = np.asarray(state, dtype=np.float64)
    if state.shape != (5,) or not np.isfinite(state).all():
        raise ValueError(
            f"A state is five finite numbers, not {np.array2string(state, threshold=9)}."
        )
    if min(samples, steps) < 1:
        raise ValueError(f"{samples} samples in {steps} steps are nothing to draw.")
    device, action = next(policy.parameters()).device, range(policy.chunk_size)[index]
    taus = np.arange(steps + 1) / steps
    with _asked(policy):
        seen = torch.as_tensor(
            normalizer.normalize_state(state), dtype=torch.float32, device=device
        )

        def field(chunks, tau):
            return policy.velocity(
                seen.expand(len(chunks), -1),
                chunks,
                torch.full((len(chunks),), float(tau), device=device),
            )

        chunks = torch.randn(samples, policy.chunk_size, 2).to(device)
        recorded = [chunks]
        for tau in taus[:-1]:
            recorded.append(recorded[-1] + field(recorded[-1], tau) / steps)
        chunks = normalizer.denormalize_action(torch.stack(recorded).cpu().numpy())
        limits = _around(chunks[-1, :, action], _outline(state), margin=64)
        ticks = (np.arange(_ARROWS) + 0.5) * limits[2] / _ARROWS
        grid = np.stack(np.meshgrid(ticks + limits[0], ticks + limits[1]), axis=-1).reshape(-1, 2)
        ngrid = torch.as_tensor(
            normalizer.normalize_action(grid), dtype=torch.float32, device=device
        )
        fields = []
        for tau, at in zip(taus[:-1], recorded):
            # The velocity of one action depends on the others: those of the nearest chunk stand in
            # for them.
            rest = at[torch.cdist(ngrid, at[:, action]).argmin(dim=1)].clone()
            rest[:, action] = ngrid
            fields.append(field(rest, tau)[:, action])
    fields = torch.stack(fields).cpu().numpy() * normalizer.stats["action"]["std"]
    second, _ = _ways(chunks[-1])
    colors = _colors(second)

    def draw(scene, i, size):
        if i < steps:  # at the end nothing moves any more
            length = np.hypot(*fields[i].T)
            arrows = (
                fields[i]
                * np.minimum(0.2, 0.7 * limits[2] / _ARROWS / np.maximum(length, 1e-9))[:, None]
            )
            scene.quiver(
                *grid[length > 10].T,
                *arrows[length > 10].T,
                angles="xy",
                scale_units="xy",
                scale=1,
                pivot="mid",
                color=GREY,
                width=0.005,
                headwidth=4,
                headlength=4,
                headaxislength=4,
                zorder=4,
            )
        for path, color in zip(np.moveaxis(chunks[: i + 1, :, action], 0, 1), colors):
            scene.plot(*path.T, color=[(1 + part) / 2 for part in to_rgb(color)], lw=0.8, zorder=5)
            scene.plot(*path[-1], "o", ms=size, color=color, mew=0, zorder=6)

    def frame(i):
        page = Page(424)
        draw(page.scene(8, 8, 408, state, limits), i, 4.5)
        page.text(442, 34, f"τ = {taus[i]:.2f}", size=HEAD, weight="bold", ha="left")
        _note(
            page,
            442,
            62,
            [
                f"Dots: action {action} of {samples} chunks,",
                "with their way since τ = 0.",
                "Arrows: the velocity at this τ;",
                "the longest ones are cut short.",
            ],
        )
        return page.image(
            f"Action {action} of {samples} chunks over the scene at tau = {taus[i]:.2f}, with the"
            " velocity field."
        )

    page = Page(574)
    for place, share in enumerate((0, 0.2, 0.4, 0.6, 0.8, 1)):
        i = round(share * steps)
        scene, _, _ = _moment(
            page,
            place,
            state,
            f"τ = {taus[i]:.1f}" if steps % 5 == 0 else f"τ = {taus[i]:.2f}",
            limits,
        )
        draw(scene, i, 3)
    ends = f"Coloured by where they end: {np.sum(~second)} blue, {np.sum(second)} orange."
    _note(
        page,
        8,
        540,
        [
            (
                f"Action {action} of {samples} chunks, carried from noise (τ = 0) to actions (τ ="
                " 1) along the velocity (arrows)."
            ),
            ends,
        ],
    )
    image = page.image(
        f"Six pictures of one scene from tau = 0 to 1: action {action} of {samples} chunks,"
        f" scattered at first, is carried along curved paths by a field of arrows. {ends}"
    )
    return Moving(image, "τ", [f"{tau:.2f}" for tau in taus], 0, frame)


# All of them.


def compare(results):
    """Policies one under the other: mean reward with its interval, successes, and the time that a
    chunk takes.

    results: list of {"name", "mean", "interval": (low, high), "success", "ms"}; rewards and the
    share of successes in [0, 1], ms: milliseconds of inference per chunk.

    Raises ValueError when there is none.
    """
    if not results:
        raise ValueError("There are no results to compare.")
    bottom = 44 + 42 * len(results)
    page = Page(bottom + 32)
    left, right, success, ms = 150, 500, 580, 680
    for x, what in (
        (left, "mean reward and its interval"),
        (success, "solved"),
        (ms, "ms per chunk"),
    ):
        page.text(x, 22, what, color=GREY, ha="left" if x == left else "right")
    for share in (0, 0.25, 0.5, 0.75, 1):
        x = left + share * (right - left)
        page.axes.plot([x, x], [44, bottom], color=LINE, lw=0.8, zorder=0)
        page.text(x, bottom + 14, f"{share:g}", size=SMALL, color=GREY)
    for row, result in enumerate(results):
        y = 66 + 42 * row
        low, mean, high = (
            left + value * (right - left)
            for value in (result["interval"][0], result["mean"], result["interval"][1])
        )
        page.text(left - 16, y, result["name"], weight="bold", ha="right")
        page.axes.plot([low, high], [y, y], color=BLUE, lw=3, solid_capstyle="butt")
        for x in (low, high):
            page.axes.plot([x, x], [y - 6, y + 6], color=BLUE, lw=1.6)
        page.axes.plot(mean, y, "o", ms=9, color=BLUE, mew=0, zorder=6)
        page.text(mean, y - 17, f"{result['mean']:.2f}", size=SMALL, color=BLUE)
        page.text(success, y, f"{result['success']:.0%}".replace("%", " %"), ha="right")
        page.text(ms, y, f"{result['ms']:.{0 if result['ms'] >= 10 else 1}f}", ha="right")
    return page.image(
        "Policies one under the other: "
        + "; ".join(
            f"{r['name']}: mean reward {r['mean']:.2f}, interval {r['interval'][0]:.2f} to"
            f" {r['interval'][1]:.2f}, {r['success']:.0%} of the episodes solved, {_short(r['ms'])}"
            " ms per chunk"
            for r in results
        )
        + "."
    )


# Where the ways part.


def _crossroads(dataset, count=8):
    """The window around which demonstrations part most clearly, and the nearest windows of other
    episodes.

    -> indices (count or fewer,), the window itself first; which of them go the second way (bool);
    the distance of the farthest one [px].
    """
    obs, action = _pixels(dataset)
    angle = _LEVER * np.stack(
        [np.cos(obs[..., 4]), np.sin(obs[..., 4])], axis=-1
    )  # 0 and 2π are the same
    places = (
        torch.from_numpy(np.concatenate([obs[..., :4], angle], axis=-1) / math.sqrt(obs.shape[1]))
        .float()
        .flatten(1)
    )
    episode = _episodes(dataset)
    names, starts = np.unique(episode, return_index=True)
    ends = [*starts[1:], len(episode)]
    others = min(count, len(names)) - 1
    best = (-math.inf, None)
    for some in torch.arange(0, len(places), max(1, len(places) // 3000)).split(256):
        # The exact way: by the quicker one, through a product of matrices, near places come out at
        # any distance.
        distances = torch.cdist(
            places[some], places, compute_mode="donot_use_mm_for_euclid_dist"
        ).numpy()
        nearest = np.minimum.reduceat(distances, starts, axis=1)
        for i, row, each in zip(some.tolist(), distances, nearest):
            each[np.searchsorted(names, episode[i])] = np.inf
            chosen = np.argsort(each, kind="stable")[:others]
            windows = np.array(
                [i, *(starts[e] + row[starts[e] : ends[e]].argmin() for e in chosen)]
            )
            reach = each[chosen].max(initial=0)
            second, clear = _ways(action[windows])
            if clear - reach > best[0] or best[1] is None:
                best = (clear - reach, (windows, second, reach))
    return best[1]


def _ways(chunks):
    """Divide chunks (N, Tp, 2) in two, as k-means does, along the direction in which they differ
    most.

    -> (N,) bool, False for the first chunk's way; and how clearly they part [px]: how much farther
    every chunk is from the mean of all than chunks are from the mean of their way. All distances
    are per action.
    """
    if len(chunks) < 2:
        return np.zeros(len(chunks), bool), -math.inf
    flat = np.asarray(chunks, np.float64).reshape(len(chunks), -1)
    centred = flat - flat.mean(axis=0)
    along = centred @ np.linalg.eigh(centred.T @ centred)[1][:, -1]
    ordered, few = np.sort(along), 2 if len(chunks) > 3 else 1
    before = np.arange(few, len(chunks) - few + 1)  # how many go the way of the smaller values
    cut = before[(np.cumsum(ordered)[before - 1] ** 2 / (before * (len(chunks) - before))).argmax()]
    second = along > ordered[cut - 1]
    second ^= second[0]
    spread = np.concatenate(
        [flat[way] - flat[way].mean(axis=0) for way in (second, ~second) if way.any()]
    )
    steps = flat.shape[1] // 2
    apart = np.sqrt(np.square(centred).sum(axis=1).min() / steps)
    return second, float(apart - np.sqrt(np.square(spread).sum(axis=1).mean() / steps))


def _episodes(dataset):
    """(N,) the episode of each window; how many windows an episode has beyond its length is the
    same for all.
    """
    lengths = np.diff(dataset.demonstrations.episode_ends, prepend=0)
    reach = dataset.obs.shape[1] + dataset.action.shape[1]
    for beyond in range(-reach, reach):
        counts = np.maximum(lengths + beyond, 0)
        if counts.sum() == len(dataset):
            return np.repeat(np.arange(len(lengths)), counts)
    raise ValueError(f"{len(dataset)} windows cannot be told apart by their episodes.")


def _pixels(dataset, windows=slice(None)):
    return (
        unnormalize_data(dataset.obs[windows].numpy(), dataset.stats["obs"]),
        unnormalize_data(dataset.action[windows].numpy(), dataset.stats["action"]),
    )


@contextlib.contextmanager
def _asked(model):
    """The model in eval mode, without gradients, with a seed of its own; all as before afterwards."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        with torch.no_grad(), reproducible(_SEED):
            yield
    finally:
        for module, mode in modes.items():
            module.training = mode


def _moments(scheduler):
    """Six steps from first to last; of a hundred 0, 10, 25, 50, 75, 99."""
    total = scheduler.num_timesteps
    return [0, total // 10, total // 4, total // 2, 3 * total // 4, total - 1]


# How it is drawn.


def _moment(page, place, state, name, limits=_WIDE):
    """One of six scenes in two rows; -> its axes and where it stands on the page."""
    x, y = 8 + place % 3 * 238, 30 + place // 3 * 262
    page.text(x, y - 14, name, weight="bold", ha="left")
    scene = page.scene(x, y, 228, state, limits)
    left, top, side = limits
    scene.add_patch(
        Rectangle((left, top), side, side, fill=False, ec=GREY, lw=1, zorder=8, clip_on=False)
    )
    return scene, x, y


def _path(scene, chunk, color, lw=1.3, ms=2.8):
    scene.plot(*chunk.T, "-o", color=color, lw=lw, ms=ms, mew=0, alpha=0.9, zorder=5)


def _key(page, x, y, color, what):
    page.axes.plot([x, x + 14, x + 28], [y, y, y], "-o", color=color, lw=1.6, ms=4, mew=0)
    page.text(x + 40, y, what, ha="left")


def _note(page, x, y, lines):
    for row, line in enumerate(lines):
        page.text(x, y + 19 * row, line, color=GREY, ha="left")


def _ticks(top):
    step = 10.0 ** math.floor(math.log10(top))
    step *= next(part for part in (0.25, 0.5, 1, 2) if top / (step * part) <= 5)
    return np.arange(0, top, step).tolist() + ([top] if top == 1 else [])


def _around(*points, margin=24):
    """The square around those of the points (N, 2) that lie on the table, for Page.scene."""
    points = np.clip(np.concatenate(points), 0, WINDOW)
    low, high = points.min(axis=0) - margin, points.max(axis=0) + margin
    side = max((high - low).max(), 240)
    return (*np.clip((low + high - side) / 2, 0, max(0, WINDOW - side)), side)


def _outline(state):
    x, y, angle = state[2:]
    c, s = math.cos(angle), math.sin(angle)
    return TEE @ np.array([[c, s], [-s, c]]) + (x, y)


def _colors(second):
    return [ORANGE if other else BLUE for other in second]


def _short(value):
    """A number that is not negative, in three digits and without an exponent."""
    return "< 0.001" if 0 < value < 0.001 else f"{value:.0f}" if value >= 100 else f"{value:.3g}"
