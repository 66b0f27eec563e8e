"""render, render_many, grid: the picture shows the state, in the right colours, smoothly, and needs no display."""
import os
import subprocess
import sys

import numpy as np
import pytest
import shapely
import shapely.affinity

from pusht.render import AGENT, BLOCK, GOAL, TARGET, grid, render, render_many
from pusht.sim import AGENT_RADIUS, GOAL_POSE, TEE, WINDOW

AWAY = np.array([60.0, 450.0, 400.0, 120.0, 0.3])  # agent, block and goal apart from each other
POSES = [(150, 120, 0.0), (150, 120, 0.3), (400, 150, np.pi / 2), (380.4, 120.7, 2.0), (120, 380, -4.4), (400, 400, 9.0)]


@pytest.mark.parametrize("size", [96, 255, 512])
def test_a_frame_is_a_square_of_rgb_bytes_that_the_caller_owns(size):
    frame = render(AWAY, size=size)
    assert frame.shape == (size, size, 3) and frame.dtype == np.uint8 and frame.flags.c_contiguous
    frame[:] = 0
    assert render(AWAY, size=size).max() == 255


@pytest.mark.parametrize("size", [96, 256, 512])
def test_everything_stands_where_the_state_says_in_its_colour(size):
    frame = render(AWAY, action=[400, 440], size=size)
    np.testing.assert_array_equal(pixel(frame, on_stem(AWAY[2:])), rgb(BLOCK))
    np.testing.assert_array_equal(pixel(frame, on_stem(GOAL_POSE)), rgb(GOAL))
    np.testing.assert_array_equal(pixel(frame, AWAY[:2]), rgb(AGENT))
    assert area_of(frame, TARGET) > 0
    np.testing.assert_array_equal(pixel(frame, (60, 250)), [255, 255, 255])
    edge = frame[size // 2, :max(1, round(7 / WINDOW * size))]  # the wall: grey on white
    assert (edge.min(0) < 250).all() and np.ptp(edge.min(0).astype(int)) == 0


def test_the_block_covers_the_goal():
    frame = render([60, 450, *GOAL_POSE], size=256)
    np.testing.assert_array_equal(pixel(frame, on_stem(GOAL_POSE)), rgb(BLOCK))
    assert area_of(frame, GOAL) < 0.02 * tee(GOAL_POSE).area


@pytest.mark.parametrize("pose", POSES)
@pytest.mark.parametrize("size", [96, 256])
def test_the_drawn_block_has_the_area_and_the_middle_of_the_true_one(pose, size):
    drawn = coverage(render([-99, -99, *pose], size=size, goal=(-999, -999, 0))[..., 0], rgb(BLOCK)[0])
    inside = np.s_[round(10 * size / WINDOW):-round(10 * size / WINDOW)]  # without the walls
    drawn[:inside.start] = drawn[inside.stop:] = drawn[:, :inside.start] = drawn[:, inside.stop:] = 0
    unit = WINDOW / size
    assert drawn.sum() * unit**2 == pytest.approx(tee(pose).area, rel=0.01)
    centres = (np.arange(size) + 0.5) * unit
    middle = [(drawn.sum(0) * centres).sum() / drawn.sum(), (drawn.sum(1) * centres).sum() / drawn.sum()]
    np.testing.assert_allclose(middle, tee(pose).centroid.coords[0], atol=0.1 * unit)


def test_a_small_movement_is_seen_and_is_small():
    start = np.array([300.0, 300.0, 200.0, 150.0, 0.7])
    frames = render_many(start + np.arange(11)[:, None] * [0, 0, 0.3, 0.3, 0], size=256).astype(int)
    steps = np.abs(np.diff(frames, axis=0)).sum((1, 2, 3))
    assert (steps > 0).all() and steps.max() < 2 * steps.min()
    assert np.abs(np.diff(frames, axis=0)).max() < 128  # no pixel flips at once from ground to block


def test_moving_everything_moves_the_picture():
    state, goal = np.array([150.0, 300.0, 250.0, 200.0, 1.1]), np.array([220.0, 240.0, 0.4])
    shift = np.array([32.0, -48.0])  # 16 and 24 px of the frame
    frame = render(state, action=[200, 330], size=256, goal=goal)
    moved = render(state + [*shift, *shift, 0], action=[200, 330] + shift, size=256, goal=goal + [*shift, 0])
    np.testing.assert_array_equal(moved[10:-40, 40:-10], frame[34:-16, 24:-26])


def test_an_action_adds_a_cross_and_nan_adds_none():
    plain, marked = render(AWAY, size=96), render(AWAY, action=[256, 256 - 16], size=96)
    rows, columns = np.nonzero((plain != marked).any(2))
    assert 8 <= np.ptp(rows) + 1 <= 9 and 8 <= np.ptp(columns) + 1 <= 9
    assert area_of(marked, TARGET) == pytest.approx(15 * (WINDOW / 96) ** 2, rel=0.1)  # two bars of 8, sharing one
    np.testing.assert_array_equal(render(AWAY, action=[np.nan, np.nan], size=96), plain)


def test_the_same_picture_twice_is_identical():
    np.testing.assert_array_equal(render(AWAY, action=[9, 9], size=256), render(AWAY, action=[9, 9], size=256))


def test_an_episode_is_its_frames_one_by_one():
    rng = np.random.default_rng(0)
    states, actions = rng.uniform(100, 400, (5, 5)), rng.uniform(100, 400, (5, 2))
    actions[2] = np.nan
    np.testing.assert_array_equal(render_many(states, actions=actions),
                                  [render(state, action=action) for state, action in zip(states, actions)])
    np.testing.assert_array_equal(render_many(states, size=64), [render(state, size=64) for state in states])
    with pytest.raises(ValueError, match="as many actions"):
        render_many(states, actions=actions[:-1])


def test_what_leaves_the_window_is_cut_off():
    frame = render([-500, 9000, 505, -30, 1.0], action=[600, 600])
    assert 0 < area_of(frame, BLOCK) < tee((0, 0, 0)).area and area_of(frame, AGENT) == 0


@pytest.mark.parametrize("state", [[1, 2, 3, 4], [1, 2, 3, 4, 5, 6], [1, 2, np.nan, 4, 5], [1, 2, np.inf, 4, 5]])
def test_a_state_that_is_none_is_refused(state):
    with pytest.raises(ValueError, match="five finite numbers"):
        render(state)


def test_a_grid_keeps_each_episode_in_its_cell_and_holds_last_frames():
    videos = [np.full((length, 6, 8, 3), 10 * i, np.uint8) + np.arange(length, dtype=np.uint8)[:, None, None, None]
              for i, length in enumerate([3, 1, 2])]
    out = grid(videos, columns=2, gap=4)
    assert out.shape == (3, 6 + 4 + 6, 8 + 4 + 8, 3) and out.dtype == np.uint8
    np.testing.assert_array_equal(out[:, :6, :8], videos[0])
    np.testing.assert_array_equal(out[:, 0, -1, 0], [10, 10, 10])
    np.testing.assert_array_equal(out[:, -1, 0, 0], [20, 21, 21])
    assert (out[:, 6:10] == 255).all() and (out[:, :, 8:12] == 255).all() and (out[:, 10:, 12:] == 255).all()
    assert grid([videos[0]] * 9, gap=0).shape == (3, 18, 24, 3)


@pytest.mark.parametrize("videos", [[], [np.zeros((0, 4, 4, 3))], [np.zeros((1, 4, 4, 3)), np.zeros((1, 5, 4, 3))]])
def test_a_grid_of_nothing_or_of_mixed_sizes_is_refused(videos):
    with pytest.raises(ValueError):
        grid(videos)


def test_no_display_is_needed_and_nothing_is_printed():
    environment = {name: value for name, value in os.environ.items()
                   if name not in ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER", "PYGAME_HIDE_SUPPORT_PROMPT")}
    script = "from pusht.render import render; assert render([50, 50, 250, 250, 1]).std() > 0"
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def rgb(colour):
    return np.array([int(colour[i:i + 2], 16) for i in (1, 3, 5)])


def pixel(frame, point):
    x, y = (np.asarray(point) * len(frame) / WINDOW).astype(int)
    return frame[y, x]


def on_stem(pose):
    return np.array(shapely.affinity.translate(shapely.affinity.rotate(
        shapely.Point(0, 70), pose[2], origin=(0, 0), use_radians=True), *pose[:2]).coords[0])


def tee(pose):
    turned = shapely.affinity.rotate(shapely.Polygon(TEE), pose[2], origin=(0, 0), use_radians=True)
    return shapely.affinity.translate(turned, *pose[:2])


def coverage(channel, full):
    """How much of each pixel a colour covers on white ground, from one channel."""
    return (255 - channel.astype(float)) / (255 - full)


def area_of(frame, colour):
    """Window px² painted in just this colour."""
    return (frame == rgb(colour)).all(2).sum() * (WINDOW / len(frame)) ** 2
