"""Pictures: what stands where in them, drawn from states alone and without a display."""

import itertools
import os
import subprocess
import sys

import numpy as np
import pytest

from pusht.render import grid, render, render_many
from pusht.tee import GOAL_POSE, TEE

GREEN, SLATE, BLUE, RED, WHITE = (
    (144, 238, 144),
    (119, 136, 153),
    (65, 105, 225),
    (255, 0, 0),
    (255, 255, 255),
)
APART = np.array(
    [60.0, 450.0, 400.0, 120.0, 1.0]
)  # agent and block away from the goal and from each other


def pixel(frame, x, y):
    """The colour at a place in window pixels."""
    side = len(frame)
    return tuple(frame[int(y * side / 512), int(x * side / 512)].tolist())


def share(frame, colour, tolerance=12):
    """Share of the picture within `tolerance` of a colour, in window pixels squared."""
    return (np.abs(frame.astype(int) - colour).max(axis=2) <= tolerance).mean() * 512**2


@pytest.mark.parametrize("size", [96, 256, 300, 512])
def test_everything_stands_where_the_state_says_in_its_colour(size):
    frame = render(APART, action=(450, 450), size=size)
    assert frame.shape == (size, size, 3) and frame.dtype == np.uint8
    c, s = np.cos(1.0), np.sin(1.0)
    assert pixel(frame, 60, 450) == BLUE
    assert pixel(frame, 400 - 15 * s, 120 + 15 * c) == SLATE  # in the middle of the bar
    assert pixel(frame, 400 - 100 * s, 120 + 100 * c) == SLATE  # far down the stem
    assert pixel(frame, 256 - 15 * np.sin(np.pi / 4), 256 + 15 * np.cos(np.pi / 4)) == GREEN
    assert pixel(frame, 450, 450)[0] > 200 and pixel(frame, 450, 450)[1] < 90
    assert pixel(frame, 256, 480) == WHITE


def test_the_areas_are_those_of_disc_block_and_goal():
    frame = render(APART, size=512)
    assert share(frame, BLUE) == pytest.approx(
        np.pi * 15**2, rel=0.1
    )  # half of the edge's blended pixels are lost
    assert share(frame, SLATE) == pytest.approx(6300, rel=0.06)
    assert share(frame, GREEN) == pytest.approx(6300, rel=0.06)


def test_the_block_lies_over_the_goal_and_covers_it():
    frame = render([60, 450, *GOAL_POSE], size=512)
    assert share(frame, GREEN) < 100


def test_no_cross_without_an_action_and_none_for_nan():
    plain = render(APART, size=128)
    assert share(plain, RED, 60) == 0
    assert np.array_equal(plain, render(APART, action=(np.nan, np.nan), size=128))
    assert share(render(APART, action=(250, 420), size=128), RED, 60) > 0


def test_the_block_creeps_when_it_moves_by_less_than_a_pixel():
    frames = [
        render([60, 450, 400 + shift, 120, 1.0], size=96).astype(int)
        for shift in np.arange(0, 6, 0.5)
    ]
    assert all(np.abs(a - b).sum() > 0 for a, b in itertools.pairwise(frames))
    assert (
        max(np.abs(a - b).max() for a, b in itertools.pairwise(frames)) < 80
    )  # no edge jumps by a whole pixel


def test_the_whole_t_is_drawn_where_its_outline_is():
    frame = render([60, 450, 250, 330, 0.3], size=512)
    rows, columns = np.nonzero(np.abs(frame.astype(int) - SLATE).max(axis=2) <= 12)
    c, s = np.cos(0.3), np.sin(0.3)
    corners = TEE @ np.array([[c, s], [-s, c]]) + (250, 330)
    assert np.allclose(
        [columns.min(), columns.max()], [corners[:, 0].min(), corners[:, 0].max()], atol=1.5
    )
    assert np.allclose(
        [rows.min(), rows.max()], [corners[:, 1].min(), corners[:, 1].max()], atol=1.5
    )


def test_many_frames_are_the_frames_one_by_one():
    states = APART + np.array([[0, 0, 0, 0, 0], [5, -3, 2, 1, 0.2], [9, -9, 4, 2, 0.4]])
    actions = np.array([[np.nan, np.nan], [100, 100], [200, 300]])
    many = render_many(states, actions=actions, size=64)
    assert np.array_equal(
        many, [render(s, action=a, size=64) for s, a in zip(states, actions, strict=True)]
    )
    with pytest.raises(ValueError, match="3 states need as many actions, not 2"):
        render_many(states, actions=actions[:2])


def test_drawing_changes_nothing_that_the_next_picture_uses():
    first = render(APART, action=(100, 100), size=96)
    render([200, 200, 300, 300, 2.0], action=(5, 5), size=96)
    assert np.array_equal(first, render(APART, action=(100, 100), size=96))


def test_a_grid_puts_films_side_by_side_and_holds_the_last_frame_of_the_shorter():
    short, long = np.full((2, 4, 4, 3), 10, np.uint8), np.full((5, 4, 4, 3), 200, np.uint8)
    frames = grid([short, long], columns=2, gap=3)
    assert frames.shape == (5, 4, 11, 3)
    assert (
        (frames[:, :, :4] == 10).all()
        and (frames[:, :, 4:7] == 255).all()
        and (frames[:, :, 7:] == 200).all()
    )
    with pytest.raises(ValueError, match="at least one video"):
        grid([])
    with pytest.raises(ValueError, match="frames of one size"):
        grid([short, long[:, :2]])


def test_drawing_needs_no_display_and_says_nothing():
    code = "from pusht.render import render; render([100, 100, 200, 200, 1], action=(5, 5))"
    env = {
        name: value
        for name, value in os.environ.items()
        if name not in ("DISPLAY", "SDL_VIDEODRIVER", "WAYLAND_DISPLAY")
    }
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
