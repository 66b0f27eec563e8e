"""What stands beside each other in a picture can be told apart with any colour vision, and what is
written can be read.
"""

import itertools

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from pusht.figures import page
from pusht.render import AGENT, BLOCK, GOAL, TARGET, WALL

# Linear RGB as a dichromat sees it: Machado, Oliveira and Fernandes (2009), severity 1.
VISION = {
    "full": np.eye(3),
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}
TOGETHER = {
    "scene": (WALL, GOAL, BLOCK, AGENT, TARGET, "white"),
    "curves": (page.BLUE, page.ORANGE, page.GREEN, page.VERMILION, page.SKY, page.INK, "white"),
}
APART = 15  # CIELAB units; one is barely seen with the colours side by side


def _linear(colour):
    value = np.array(to_rgb(colour))
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def _lab(colour, vision):
    to_xyz = np.array(
        [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    )
    x, y, z = (
        np.cbrt(v) if v > 0.008856 else 7.787 * v + 16 / 116
        for v in to_xyz @ np.clip(np.array(vision) @ _linear(colour), 0, 1) / to_xyz.sum(axis=1)
    )
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def _distance(a, b, vision):
    return np.linalg.norm(_lab(a, vision) - _lab(b, vision))


@pytest.mark.parametrize("where", TOGETHER)
@pytest.mark.parametrize("vision", VISION)
def test_colours_that_stand_together_are_told_apart(where, vision):
    near = {
        (a, b): _distance(a, b, VISION[vision])
        for a, b in itertools.combinations(TOGETHER[where], 2)
    }
    assert min(near.values()) > APART, min(near, key=near.get)


def test_red_and_green_of_one_lightness_would_not_pass():
    assert _distance("#b34d4d", "#6b7a3a", VISION["full"]) > 2 * APART
    assert _distance("#b34d4d", "#6b7a3a", VISION["deuteranopia"]) < APART


@pytest.mark.parametrize("ink", [page.INK, page.GREY, page.BLUE])
def test_text_stands_out_from_the_page_as_the_web_guidelines_ask(ink):
    luminance = np.array([0.2126, 0.7152, 0.0722]) @ _linear(ink)
    assert 1.05 / (luminance + 0.05) >= 4.5  # WCAG 2.2, 1.4.3, on white
