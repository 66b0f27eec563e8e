"""The notebooks' pictures: images with a text for those who do not see them, different for
different things.
"""

import struct
import subprocess
import sys

import numpy as np
import pytest

from pusht import figures
from pusht.figures.page import Page, Picture

PATH = np.column_stack(
    [
        np.linspace(60, 400, 30),
        np.linspace(450, 80, 30),
        np.full((30, 2), 256),
        np.linspace(0, 1, 30),
    ]
)
ACTIONS = np.linspace([200, 200], [300, 350], 16)
APART = {"one → other": np.linspace(-0.4, 0.5, 30), "the same again": np.zeros(30)}
SWEEP = {
    name: {t: {"score": at / t, "roughness [px]": 10.0 * t} for t in (1, 2, 8)}
    for name, at in (("MLP", 0.5), ("flow", 0.9))
}
CHUNKS = np.stack([ACTIONS + side * 60 for side in (-1, -1, 1, 1, 1)])
LINES = {"policy": (range(60), [*range(60)]), "expert": (range(20), [12] * 20)}
DRAWN = {
    "task": lambda: figures.task(),
    "receding horizon": lambda: figures.receding_horizon(2, 16, 8),
    "another horizon": lambda: figures.receding_horizon(3, 12, 4),
    "padding": lambda: figures.window_padding(2, 16, 8),
    "network": lambda: figures.residual_mlp([10, *[256] * 5, 32]),
    "larger network": lambda: figures.residual_mlp([15, *[64] * 9, 16]),
    "chunk": lambda: figures.chunk(PATH[:2], ACTIONS),
    "other chunk": lambda: figures.chunk(PATH[:2], ACTIONS[::-1]),
    "episodes": lambda: figures.episodes([PATH, PATH[::-1]]),
    "curves": lambda: figures.curves(LINES, title="distance [px]", below="control step"),
    "one curve": lambda: figures.curves(
        {"all of the episodes": ([0, 500], [0.2, 0.1])}, title="loss", below="training step"
    ),
    "one episode": lambda: figures.episodes([PATH], labels=["mine"]),
    "differences": lambda: figures.differences(APART, dict.fromkeys(APART, (0.01, -0.1, 0.12))),
    "another interval": lambda: figures.differences(APART, dict.fromkeys(APART, (0.1, 0, 0.2))),
    "sweep": lambda: figures.sweep("executed actions", SWEEP),
    "another sweep": lambda: figures.sweep("executed actions", {"MLP": SWEEP["MLP"]}),
    "chunk sets": lambda: figures.chunk_sets(PATH[:1], {"all": [CHUNKS], "one": [CHUNKS[:1]]}),
    "other chunk sets": lambda: figures.chunk_sets(PATH[:1], {"all": [CHUNKS]}),
}


@pytest.mark.parametrize("draw", DRAWN.values(), ids=DRAWN)
def test_a_figure_is_a_small_png_with_a_text_beside_it(draw, capfd):
    image = draw()
    assert image.data[:8] == b"\x89PNG\r\n\x1a\n" and len(image.data) < 80_000
    width, height = struct.unpack(">II", image.data[16:24])
    assert width == 2 * 720 and 300 < height < 1600
    assert len(image.metadata["alt"]) > 80
    assert capfd.readouterr() == ("", "")


def test_a_picture_tells_its_text_to_every_kind_of_page():
    alt = 'a "T" & a <goal>'
    data, metadata = Picture(figures.task().data, alt, 720, 440)._repr_mimebundle_()
    assert metadata["image/png"]["alt"] == data["text/plain"] == alt
    assert (
        'width="720" height="440" alt="a &quot;T&quot; &amp; a &lt;goal&gt;">' in data["text/html"]
    )
    assert data["image/png"].strip() in data["text/html"]


def test_figures_of_different_things_differ():
    assert len({draw().data for draw in DRAWN.values()}) == len(DRAWN)


def test_the_same_figure_is_drawn_twice_alike():
    assert figures.chunk(PATH[:2], ACTIONS).data == figures.chunk(PATH[:2], ACTIONS).data


def test_a_batch_of_one_is_the_chunk_in_it():
    assert (
        figures.chunk(PATH[None, :2], ACTIONS[None]).data == figures.chunk(PATH[:2], ACTIONS).data
    )


def test_a_network_without_blocks_is_drawn_without_blocks(monkeypatch):
    drawn = []
    monkeypatch.setattr(Page, "layer", lambda page, x, name, fill: drawn.append(name) or x + 25)
    figures.residual_mlp([10, 64, 32])
    assert drawn == ["flatten", "Linear 10 → 64", "Linear 64 → 32", "reshape"]


def test_a_scaled_chunk_is_the_chunk_in_pixels():
    stats = {
        "obs": {"min": np.zeros(5), "max": np.array([512, 512, 512, 512, 6.0])},
        "action": {"min": np.zeros(2), "max": np.full(2, 512.0)},
    }
    nobs, naction = PATH[:2] / stats["obs"]["max"] * 2 - 1, ACTIONS / 256 - 1
    assert figures.chunk(nobs, naction, stats).data == figures.chunk(PATH[:2], ACTIONS).data


@pytest.mark.parametrize(
    "draw, sentence",
    [
        (lambda: figures.receding_horizon(2, 8, 8), r"8 actions has no \[1:9\]"),
        (lambda: figures.window_padding(2, 16, 1, episode_length=5), "no window of 16"),
        (lambda: figures.episodes([]), "0 episodes"),
        (lambda: figures.episodes([PATH], labels=["a", "b"]), "with 2 labels"),
        (lambda: figures.residual_mlp([11, 256, 32]), "not multiples of 5"),
        (lambda: figures.chunk(np.stack([PATH[:2], PATH[2:4]]), ACTIONS), "reshape"),
        (lambda: figures.differences(APART, {}), "its interval"),
        (lambda: figures.sweep("steps", {}), "no results"),
        (lambda: figures.chunk_sets(PATH[:2], {"all": [CHUNKS]}), "each of one or more states"),
    ],
)
def test_what_cannot_be_drawn_is_said(draw, sentence):
    with pytest.raises(ValueError, match=sentence):
        draw()


def test_pyplot_and_its_global_state_stay_out():
    code = (
        "import sys; from pusht import figures; figures.task(); assert 'matplotlib.pyplot' not in"
        " sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_curves_of_nothing_are_refused():
    for lines in ({}, {"empty": ([], [])}, {"uneven": ([1, 2], [1])}):
        with pytest.raises(ValueError, match="There is nothing to draw"):
            figures.curves(lines, title="loss", below="step")


def test_curves_that_end_together_have_names_one_above_the_other():
    alt = figures.curves(
        {f"line {i}": ([0, 1], [1, 1.001 * i]) for i in range(1, 6)}, title="loss", below="step"
    ).alt
    assert all(f"line {i}: from 1" in alt for i in range(1, 6))
