"""The pictures of Parts II to IV: small, with a text, different for different networks, and without
a trace left behind.
"""

import functools
import random
import struct
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from pusht import BasePolicy, Normalizer, PushTStateDataset, demos, figures
from pusht.demos import Demonstrations
from pusht.figures import modes, moving
from pusht.networks import MLP, ConditionalUnet1D
from pusht.run_mode import RunMode, set_run_mode

STEPS = 26


def _demonstrations(sides):
    """Episodes from one start, around the block on a side: -1 left, 1 right, 0 straight through."""
    t = np.linspace(0, 1, STEPS)
    states, actions = [], []
    for i, side in enumerate(sides):
        path = np.column_stack([256 + side * 140 * np.sin(np.pi * t) + i, 450 - 380 * t])
        states.append(np.column_stack([path, 256 + 4 * t, 256 - 6 * t, 0.2 + 0.3 * t]))
        actions.append(path + np.array([0, -8]))
    return Demonstrations(
        np.concatenate(states).astype(np.float32),
        np.concatenate(actions).astype(np.float32),
        STEPS * np.arange(1, len(sides) + 1),
    )


def _dataset(sides):
    return PushTStateDataset(
        _demonstrations(sides), pred_horizon=16, obs_horizon=2, action_horizon=8
    )


class Agent(nn.Module):
    """A CVAE whose z is scaled by `told`: at 0 the latent has collapsed."""

    def __init__(self, seed, told=1.0):
        super().__init__()
        torch.manual_seed(seed)
        self.layers, self.decode, self.told = MLP([42, 16, 8]), MLP([14, 16, 32]), told

    def encoder(self, obs, action):
        mu, logvar = self.layers(torch.cat([obs, action], dim=1)).chunk(2, dim=1)
        return self.told * mu, self.told * logvar

    def decoder(self, obs, z):
        return self.decode(torch.cat([obs, self.told * z], dim=1))


class Scheduler(nn.Module):
    def __init__(self, timesteps=20):
        super().__init__()
        self.num_timesteps = timesteps
        self.beta_k = torch.linspace(0.001, 0.5, timesteps)
        self.alpha_k_cumprod = torch.cumprod(1 - self.beta_k, dim=0)

    def diffuse(self, a_start, k, noise):
        left = self.alpha_k_cumprod[k].view(-1, 1, 1)
        return left.sqrt() * a_start + (1 - left).sqrt() * noise

    def denoise(self, pred_epsilon, k, a_k):
        a_k = 0.8 * (a_k - 0.1 * pred_epsilon)
        return a_k + 0.02 * torch.randn_like(a_k) if k > 0 else a_k


class Flow(BasePolicy):
    """A flow whose field leads to the two sides of the table."""

    def __init__(self, seed=0):
        super().__init__(5, 2, 8)
        torch.manual_seed(seed)
        self.net = nn.Sequential(nn.Linear(22, 16), nn.Dropout(0.5), nn.Linear(16, 16))

    def velocity(self, state, a_tau, tau):
        assert state.shape == (len(a_tau), 5) and tau.shape == (len(a_tau),)
        net = self.net(torch.cat([state, a_tau.flatten(1), tau[:, None]], dim=1)).view_as(a_tau)
        return torch.sign(a_tau[..., :1].mean(dim=1, keepdim=True)) - a_tau + 0.1 * net


def _unet(seed):
    torch.manual_seed(seed)
    return ConditionalUnet1D(2, 10, diffusion_step_embed_dim=8, down_dims=[8, 16], n_groups=4)


SIDES = [-1, 1, -1, 1, -1, 1]
TWO, ONE = _dataset(SIDES), _dataset([0, 0, 0, 0.1, 0.1])
NORMALIZER = Normalizer.from_data(_demonstrations(SIDES).states, _demonstrations(SIDES).actions)
STATE = np.array([100.0, 400, 256, 256, 0.3])
RESULTS = [
    {"name": "MLP", "mean": 0.81, "interval": (0.76, 0.85), "success": 0.4, "ms": 0.31},
    {"name": "diffusion", "mean": 0.93, "interval": (0.9, 0.96), "success": 0.7, "ms": 214.0},
]
DRAWN = {
    "cvae": lambda: figures.cvae(),
    "unet": lambda: figures.unet([64, 128, 256], 16),
    "shallow unet": lambda: figures.unet([32], 7),
    "chunk policies": lambda: figures.chunk_policies(5, 8, 2),
    "straight lines": lambda: figures.straight_lines(_demonstrations(SIDES), NORMALIZER),
    "two ways": lambda: figures.two_ways(TWO),
    "one way": lambda: figures.two_ways(ONE),
    "latent": lambda: figures.latent(Agent(0), TWO),
    "collapsed latent": lambda: figures.latent(Agent(0, told=0), TWO),
    "schedule": lambda: figures.noise_schedule(torch.linspace(0.001, 0.2, 100)),
    "other schedule": lambda: figures.noise_schedule(np.linspace(0.001, 0.1, 10)),
    "noising": lambda: figures.noising(Scheduler(), TWO),
    "quick noising": lambda: figures.noising(Scheduler(8), TWO),
    "denoising": lambda: figures.denoising(_unet(0), Scheduler(), TWO),
    "denoising one": lambda: figures.denoising(_unet(1), Scheduler(), TWO, samples=1),
    "velocity": lambda: figures.velocity(Flow(), NORMALIZER, STATE),
    "velocity of the first action": lambda: figures.velocity(
        Flow(), NORMALIZER, STATE, samples=12, index=0, steps=10
    ),
    "comparison": lambda: figures.compare(RESULTS),
    "comparison of one": lambda: figures.compare(RESULTS[:1]),
}
SAMPLED = ["latent", "noising", "denoising", "velocity"]


@pytest.fixture(scope="module")
def drawn():
    """Name -> its picture, drawn once."""
    return functools.cache(lambda name: DRAWN[name]())


@pytest.mark.parametrize("name", DRAWN)
def test_a_figure_is_a_small_png_with_a_text_beside_it(name, drawn, capfd):
    image = drawn(name)
    assert image.data[:8] == b"\x89PNG\r\n\x1a\n" and len(image.data) < 100_000
    width, height = struct.unpack(">II", image.data[16:24])
    assert width == 2 * 720 and 200 < height < 1600
    assert len(image.metadata["alt"]) > 80
    assert capfd.readouterr() == ("", "")


def test_figures_of_different_things_differ(drawn):
    assert len({drawn(name).data for name in DRAWN}) == len(DRAWN)


@pytest.mark.parametrize("name", SAMPLED)
def test_random_numbers_are_the_figure_s_own(name, drawn):
    first = drawn(name)
    torch.manual_seed(5), np.random.seed(5), random.seed(5)
    model = {
        "latent": lambda: Agent(0),
        "denoising": lambda: _unet(0),
        "velocity": Flow,
        "noising": Scheduler,
    }[name]()
    before = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
    again = {
        "latent": lambda: figures.latent(model, TWO),
        "noising": lambda: figures.noising(model, TWO),
        "denoising": lambda: figures.denoising(model, Scheduler(), TWO),
        "velocity": lambda: figures.velocity(model, NORMALIZER, STATE),
    }[name]()
    assert again.data == first.data
    assert (
        torch.equal(torch.get_rng_state(), before[0])
        and (np.random.get_state()[1] == before[1]).all()
    )
    assert random.getstate() == before[2]


def test_the_network_is_left_in_its_mode_and_without_gradients():
    policy = Flow()
    policy.net[0].eval()
    modes = [module.training for module in policy.modules()]
    figures.velocity(policy, NORMALIZER, STATE, samples=3, steps=2)
    assert [module.training for module in policy.modules()] == modes
    assert all(p.grad is None and p.requires_grad for p in policy.parameters())


# Where the ways part.


def test_two_ways_are_found_where_they_part():
    windows, second, reach, _ = modes.find_crossroads(TWO)
    assert len(windows) == len(SIDES) and sorted(modes.episode_of_window(TWO)[windows]) == list(
        range(len(SIDES))
    )
    side = np.array(SIDES)[modes.episode_of_window(TWO)[windows]]
    assert (
        len(set(side[second])) == len(set(side[~second])) == 1
        and side[second][0] != side[~second][0]
    )
    assert reach < 20


def test_a_mean_that_demonstrators_did_follow_is_not_called_nobodys(drawn):
    assert "none of them went" in drawn("two ways").metadata["alt"]
    assert "none of them went" not in drawn("one way").metadata["alt"]


@pytest.mark.parametrize(
    "horizons", [(16, 2, 8), (16, 2, 1), (8, 1, 8), (STEPS, 2, 1), (STEPS, 1, 1)]
)
def test_windows_belong_to_their_episodes(horizons):
    dataset = PushTStateDataset(_demonstrations(SIDES), *horizons)
    x = dataset.obs[
        :, -1, 0
    ].numpy()  # each episode has an x of its own at its start, so the first window of each tells
    episode = modes.episode_of_window(dataset)
    assert (np.bincount(episode) == len(x) // len(SIDES)).all() and (np.diff(episode) >= 0).all()


def test_a_turn_by_a_whole_circle_is_no_distance():
    turned = _demonstrations(SIDES)
    states = turned.states.copy()
    states[:, 4] = np.where(np.arange(len(states)) // STEPS % 3 == 0, 0.01, 2 * np.pi - 0.01)
    dataset = PushTStateDataset(
        Demonstrations(states, turned.actions, turned.episode_ends), 16, 2, 8
    )
    assert modes.find_crossroads(dataset)[2] < 20


def test_chunks_divide_into_their_ways():
    rng = np.random.default_rng(0)
    ways = np.array([False, True, True, False, False, True, True, True])
    chunks = 100.0 * ways[:, None, None] * [[1, -1]] + rng.normal(size=(8, 16, 2)) * 3
    second, clear = modes.two_clusters(chunks)
    assert (second == ways).all() and 40 < clear < 100
    assert modes.two_clusters(rng.normal(size=(8, 16, 2)))[1] < 1
    second, clear = modes.two_clusters(chunks[:1])
    assert second.tolist() == [False] and clear < 0


def test_chunks_have_a_second_way_only_where_there_is_a_gap():
    rng = np.random.default_rng(0)
    chunks = rng.normal(size=(40, 16, 2)) * 3 + rng.normal(size=(40, 1, 2)) * 20
    assert not modes.second_way(chunks).any() and not modes.second_way(chunks[:1]).any()
    chunks[:4, :, 0] += 150
    second = modes.second_way(chunks)
    assert (second == second[0]).tolist() == [True] * 4 + [False] * 36 and second.any()


def test_places_where_ways_part_are_apart_from_each_other_and_the_clearest_comes_first():
    dataset = PushTStateDataset(demos.open(), 16, 2, 8)
    places = modes.many_crossroads(dataset, 5)
    assert places[0].windows.tolist() == modes.find_crossroads(dataset).windows.tolist()
    assert all(place.parted for place in places)
    states = np.array([modes.in_pixels(dataset, place.windows[0])[0][-1] for place in places])
    apart = np.linalg.norm(states[:, None, :4] - states[None, :, :4], axis=-1)
    assert apart[~np.eye(len(places), dtype=bool)].min() > 5


@pytest.mark.parametrize("name, farthest", [("human", 25), ("demonstrations", 15)])
def test_demonstrators_went_two_ways(name, farthest, request):
    dataset = PushTStateDataset(
        request.getfixturevalue(name), pred_horizon=16, obs_horizon=2, action_horizon=8
    )
    windows, second, reach, _ = modes.find_crossroads(dataset)
    chunks = modes.in_pixels(dataset, windows)[1]
    _, clear = modes.two_clusters(chunks)
    assert len(set(modes.episode_of_window(dataset)[windows])) == len(windows) == 6
    assert min(second.sum(), (~second).sum()) >= 3
    assert reach < farthest and clear > reach + 15
    # All began at nearly the same place; when the chunks end, each is more than three of the
    # agent's radii from their mean.
    assert np.linalg.norm(chunks - chunks.mean(axis=0), axis=-1)[:, -1].min() > 45
    image = figures.two_ways(dataset)
    assert len(image.data) < 100_000 and "6 demonstrations" in image.metadata["alt"]


# The slider.


@pytest.mark.parametrize("name", ["denoising", "velocity"])
def test_the_slider_shows_the_moment_it_points_at(name, drawn):
    image = drawn(name)
    widget, told = image.widget(), []
    last = len(image.values) - 1
    assert widget.controls["sliders"][0]["values"] == image.values
    assert widget.first == image.frame(0).data
    widget.send = lambda content, buffers: told.append((content, buffers[0]))
    widget._handle_custom_msg({"at": [last]}, [])
    ((said, picture),) = told
    assert (
        picture == image.frame(last).data != widget.first and said["alt"] == image.frame(last).alt
    )
    assert max(len(image.frame(i).data) for i in (0, last // 2, last)) < 100_000


def test_every_step_of_the_denoising_has_a_moment(drawn):
    assert drawn("denoising").values == [*map(str, range(19, -1, -1)), "done"]
    assert drawn("velocity").values[::10] == ["0.00", "0.50", "1.00"]


@pytest.mark.parametrize(
    "notebook, graded, shown", [(False, False, 1), (True, True, 1), (True, False, 2)]
)
def test_a_saved_notebook_keeps_the_moments_side_by_side(
    notebook, graded, shown, drawn, monkeypatch
):
    outputs = []
    shown_by = lambda what, **_: outputs.append(what)  # noqa: E731
    monkeypatch.setattr(moving, "display", shown_by)
    monkeypatch.setattr("IPython.display.display", shown_by)
    monkeypatch.setattr(moving, "in_notebook", lambda: notebook)
    if graded:
        set_run_mode(RunMode(show=False))
    image = drawn("velocity")
    image._ipython_display_()
    assert (
        len(outputs) == shown
        and outputs[0].data == image.data
        and outputs[0].metadata == image.metadata
    )
    if shown == 2:
        assert (
            "slider" in outputs[1]["text/plain"]
            and outputs[1]["application/vnd.jupyter.widget-view+json"]["model_id"]
        )


# What cannot be drawn.


@pytest.mark.parametrize(
    "draw, sentence",
    [
        (lambda: figures.unet([64, 128, 256], 10), "10 actions cannot pass through 3 levels"),
        (lambda: figures.unet([], 16), "0 levels"),
        (lambda: figures.two_ways(_dataset([1])), "One episode shows only one way"),
        (
            lambda: figures.noise_schedule(torch.tensor([0.1, float("nan")])),
            "betas between 0 and 1",
        ),
        (lambda: figures.noise_schedule(torch.rand(3, 3)), r"not an array of shape \(3, 3\)"),
        (lambda: figures.denoising(_unet(0), Scheduler(), TWO, samples=0), "0 samples"),
        (lambda: figures.velocity(Flow(), NORMALIZER, STATE[:4]), "five finite numbers"),
        (lambda: figures.velocity(Flow(), NORMALIZER, STATE, steps=0), "in 0 steps"),
        (lambda: figures.compare([]), "no results"),
    ],
)
def test_what_cannot_be_drawn_is_said(draw, sentence):
    with pytest.raises(ValueError, match=sentence):
        draw()


def test_widgets_are_loaded_only_where_there_is_a_notebook():
    code = (
        "import sys; from pusht import figures; figures.cvae(); assert not {'ipywidgets',"
        " 'matplotlib.pyplot'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
