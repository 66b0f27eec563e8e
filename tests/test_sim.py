"""The simulator moves as the published one does, scores as shapely does, and keeps every world to
itself.
"""

import gc
import math
import sys

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from pymunk import Vec2d

from pusht.sim import PushTSim, reward, sample_start
from pusht.tee import GOAL_POSE, TEE, coverage, quick_coverage

FAR_FROM_ALL = [60, 60, 400, 400, 0.5]  # the agent cannot reach the block within a step or two


def started(state, **options) -> PushTSim:
    sim = PushTSim(**options)
    sim.reset(state)
    return sim


def wander(seed: int, steps: int) -> np.ndarray:
    """Actions that chase the block's side of the table, then jump: much contact, walls too."""
    rng = np.random.default_rng(seed)
    return np.repeat(rng.uniform(0, 512, (steps // 5, 2)), 5, axis=0)


def motion(sim: PushTSim) -> list:
    """Everything that moves, as it is."""
    agent, block = sim.agent, sim.block
    return [
        *agent.position,
        *agent.velocity,
        *block.position,
        block.angle,
        *block.velocity,
        block.angular_velocity,
    ]


# The published figures.


def test_seed_1000_starts_and_steps_as_published():
    sim = started(sample_start(1000))
    np.testing.assert_allclose(sim.state, [137, 121, 292, 351, 2.91955884], rtol=0, atol=1e-8)
    covered = sim.step([266.9495, 309.167])
    np.testing.assert_allclose(
        sim.state, [175.42240074, 176.63567294, 292, 351, 2.91955884], rtol=0, atol=1e-8
    )
    assert reward(covered) == pytest.approx(0.18776528434724993, abs=1e-12)


def test_human_episodes_replay_in_the_legacy_order(human):
    sim = PushTSim(legacy=True)
    best = []
    for i in range(human.num_episodes):
        recorded, actions = human.episode(i)
        sim.reset(sample_start(i))
        states, coverages = [sim.state], []
        for action in actions:
            coverages.append(sim.step(action))
            states.append(sim.state)
        difference = np.array(states[:-1]) - recorded
        assert np.abs(difference[:, :4]).max() < 1e-4, f"episode {i}"
        assert np.abs(np.angle(np.exp(1j * difference[:, 4]))).max() < 1e-5, f"episode {i}"
        best.append(reward(max(coverages)))
    assert len(best) == 206
    assert np.mean(best) == pytest.approx(0.9466, abs=5e-4)
    assert sum(r == 1 for r in best) == 7


def test_human_episodes_do_not_start_where_the_default_order_puts_the_block(human):
    states = np.array([human.episode(i)[0][0] for i in range(206)])
    default = np.array([started(sample_start(i)).state for i in range(206)])
    np.testing.assert_allclose(default[:, :2], states[:, :2], atol=1e-4)
    assert np.median(np.hypot(*(default - states)[:, 2:4].T)) > 10


# The step.


@pytest.mark.parametrize("seed", range(4))
def test_step_gives_the_bits_of_pymunks_public_api(seed):
    ours, published = started(sample_start(seed)), started(sample_start(seed))
    touched, points = 0, []
    published.space.on_collision(
        0, 0, post_solve=lambda pair, *_: points.append(len(pair.contact_point_set.points))
    )
    for action in wander(seed, 200):
        points.clear()
        for _ in range(10):
            agent = published.agent
            acceleration = 100 * (Vec2d(*action) - agent.position) + 20 * (
                Vec2d.zero() - agent.velocity
            )
            agent.velocity += acceleration * 0.01
            published.space.step(0.01)
        ours.step(action)
        assert motion(ours) == motion(published)
        assert ours.contacts == math.ceil(sum(points) / 10)
        touched += ours.contacts > 0
    assert touched > 10  # else nothing but the agent was compared


def test_agent_reaches_its_target_and_rests_there():
    sim = started(FAR_FROM_ALL)
    for _ in range(30):
        sim.step([200, 90])
    np.testing.assert_allclose(sim.agent.position, [200, 90], atol=0.01)
    np.testing.assert_allclose(sim.agent.velocity, [0, 0], atol=0.1)


def test_worlds_share_nothing():
    alone, beside, other = (
        started(sample_start(3)),
        started(sample_start(3)),
        started(sample_start(4)),
    )
    actions, others = wander(0, 100), wander(1, 100)
    for action in actions:
        alone.step(action)
    for action, another in zip(actions, others, strict=True):
        other.step(another)
        beside.step(action)
    assert motion(beside) == motion(alone)


def test_reset_leaves_nothing_of_the_episode_before():
    used = started(sample_start(7), damping=0.5)
    for action in wander(2, 100):
        used.step(action)
    used.reset(sample_start(8))
    fresh = started(sample_start(8), damping=0.5)
    assert motion(used) == motion(fresh) and used.contacts == fresh.contacts
    for action in wander(3, 50):
        assert used.step(action) == fresh.step(action)
    assert motion(used) == motion(fresh)


def test_place_puts_agent_and_block_at_rest():
    sim = started(sample_start(0), damping=0.9)
    for action in wander(4, 60):
        sim.step(action)
    sim.place(FAR_FROM_ALL)
    np.testing.assert_allclose(sim.state, FAR_FROM_ALL, atol=1e-9)
    assert [*sim.agent.velocity, *sim.block.velocity, sim.block.angular_velocity] == [0] * 5


def push(**options) -> tuple[PushTSim, list[int]]:
    """An agent left of the block comes, pushes the stem to the right, and goes back; contacts after
    each step.
    """
    sim = started([150, 280, 300, 220, 0.0], **options)
    contacts = []
    for x in [150] * 3 + [320] * 10 + [100] * 10:
        sim.step([x, 280])
        contacts.append(sim.contacts)
    return sim, contacts


def test_contacts_count_only_while_agent_and_block_touch():
    _, contacts = push()
    assert contacts[:3] == [0, 0, 0] and contacts[-5:] == [0] * 5
    assert 1 <= max(contacts) <= 4
    touching = np.flatnonzero(contacts)
    assert len(touching) > 3 and (np.diff(touching) == 1).all()


def test_block_stops_at_once_and_glides_where_damping_lets_it():
    still, _ = push()
    assert tuple(still.block.velocity) == (0, 0) and still.block.angular_velocity == 0
    gliding, _ = push(damping=0.9)
    assert gliding.block.position.x > still.block.position.x + 20


def test_block_cog_moves_the_point_it_turns_about():
    sim = started(FAR_FROM_ALL, block_cog=(0, 100))
    assert tuple(sim.block.center_of_gravity) == (0, 100)
    np.testing.assert_allclose(sim.state, FAR_FROM_ALL, atol=1e-9)


def test_state_wraps_the_angle():
    for angle in (-7.0, -0.5, 0.5, 20.0):
        assert started([60, 60, 300, 300, angle]).state[4] == pytest.approx(
            angle % (2 * np.pi), abs=1e-9
        )


def test_legacy_order_turns_the_block_about_its_centre_of_mass():
    for angle in (0.0, 1.0, 4.0):
        sim = started([60, 60, 300, 300, angle], legacy=True)
        middle = sim.block.center_of_gravity
        np.testing.assert_allclose(
            sim.block.local_to_world(middle), (300 + middle.x, 300 + middle.y), atol=1e-9
        )
        default = started([60, 60, 300, 300, angle])
        np.testing.assert_allclose(default.block.position, (300, 300), atol=1e-9)


def test_starts_are_drawn_as_published():
    for seed in (0, 1, 205, 1000, 2**32 - 1):
        rng = np.random.RandomState(seed)
        drawn = [
            rng.randint(50, 450),
            rng.randint(50, 450),
            rng.randint(100, 400),
            rng.randint(100, 400),
        ]
        assert sample_start(seed).tolist() == [*drawn, rng.randn() * 2 * np.pi - np.pi]


# Coverage.


def in_goal_frame(dx: float, dy: float, turn: float) -> tuple[float, float, float]:
    """The pose of a block that is dx, dy and `turn` away from the goal, seen from the goal."""
    x, y, angle = GOAL_POSE
    c, s = math.cos(angle), math.sin(angle)
    return x + c * dx - s * dy, y + s * dx + c * dy, angle + turn


def assert_as_shapely(pose: tuple[float, float, float]) -> float:
    exact = coverage(pose)
    assert quick_coverage(*pose) == pytest.approx(exact, abs=1e-9, rel=0), pose
    return exact


def test_coverage_is_shapelys_on_random_poses():
    rng = np.random.default_rng(0)
    poses = np.column_stack(
        [rng.uniform(-200, 200, (3000, 2)) * rng.uniform(0, 1, (3000, 1)), rng.uniform(-7, 7, 3000)]
    )
    exact = np.array([assert_as_shapely(in_goal_frame(*pose)) for pose in poses])
    assert (exact == 0).sum() > 100 and (exact > 0.5).sum() > 100
    assert not any(quick_coverage(*in_goal_frame(*pose)) for pose in poses[exact == 0])


def test_coverage_is_shapelys_where_edges_and_corners_meet():
    grid = range(-150, 151, 15)  # all outlines lie on one 15 px grid
    exact = [
        assert_as_shapely(in_goal_frame(dx, dy, turn * math.pi / 2))
        for dx in grid
        for dy in grid
        for turn in range(4)
    ]
    assert max(exact) == pytest.approx(1, abs=1e-12) and exact.count(0) > 100


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    st.integers(-10, 10),
    st.integers(-10, 10),
    st.integers(-4, 4),
    st.floats(0, 12),
    st.integers(0, 2**32 - 1),
)
def test_coverage_is_shapelys_where_edges_nearly_meet(i, j, quarter, exponent, seed):
    nudge = np.random.default_rng(seed).normal(size=3) * 10**-exponent
    assert_as_shapely(
        in_goal_frame(15 * i + nudge[0], 15 * j + nudge[1], quarter * math.pi / 2 + nudge[2])
    )


def test_coverage_is_shapelys_where_only_two_corners_reach_each_other():
    tee = shapely.Polygon(TEE)
    centre = np.array(shapely.minimum_bounding_circle(tee).centroid.coords[0])
    radius = shapely.minimum_bounding_radius(tee)
    for one in TEE[np.abs(TEE[:, 1] - 60) == 60]:  # the corners of the outline on that circle
        for other in TEE[np.abs(TEE[:, 1] - 60) == 60]:
            (goal_x, goal_y), (block_x, block_y) = one - centre, other - centre
            turn = math.atan2(goal_y, goal_x) + math.pi - math.atan2(block_y, block_x)
            for depth in (-0.5, 0.2, 1.0, 5.0):
                away = (2 * radius - depth) / radius * (one - centre)
                c, s = math.cos(turn), math.sin(turn)
                shift = (
                    centre + away - (c * centre[0] - s * centre[1], s * centre[0] + c * centre[1])
                )
                exact = assert_as_shapely(in_goal_frame(*shift, turn))
                assert (exact > 1e-7) == (depth > 0)


def test_coverage_is_that_of_the_shapes_that_collide():
    for seed in range(30):
        x, y, angle = np.random.default_rng(seed).uniform([180, 180, 0], [330, 330, 7])
        sim, goal = started([30, 30, x, y, angle]), started([30, 30, *GOAL_POSE])
        block, target = (
            shapely.union_all(
                [
                    shapely.Polygon([world.body.local_to_world(v) for v in world.get_vertices()])
                    for world in one.block.shapes
                ]
            )
            for one in (sim, goal)
        )
        expected = block.intersection(target).area / target.area
        assert sim.coverage() == pytest.approx(expected, abs=1e-9, rel=0)


def test_coverage_is_whole_on_the_goal_and_nothing_far_away():
    assert quick_coverage(*GOAL_POSE) == pytest.approx(1, abs=1e-12)
    assert quick_coverage(GOAL_POSE[0], GOAL_POSE[1], GOAL_POSE[2] + 6 * math.pi) == pytest.approx(
        1, abs=1e-9
    )
    assert quick_coverage(20, 20, 0) == 0
    upside_down = quick_coverage(
        *in_goal_frame(0, 120, math.pi)
    )  # the stem on the stem, the bar beyond its end
    assert upside_down == pytest.approx((30 * 60 + 2 * 30 * 30) / 6300, abs=1e-12)


def test_the_t_is_four_units_by_four():
    tee = shapely.Polygon(TEE)
    assert tee.is_valid and tee.area == 120 * 30 + 30 * 90 and tee.bounds == (-60, 0, 60, 120)


def test_reward_is_coverage_over_095_at_most_1():
    assert [reward(c) for c in (0, 0.475, 0.95, 1)] == [0, 0.5, 1, 1]


def test_an_episode_that_ends_in_contact_leaves_nothing_to_the_next(monkeypatch):
    raised = []
    monkeypatch.setattr(sys, "unraisablehook", raised.append)
    sim = PushTSim()
    for _ in range(3):
        sim.reset([256, 256, 256, 256, 0])
        sim.step([256, 300])
        assert sim.contacts > 0
    sim.reset([50, 50, 250, 250, 0])
    gc.collect()
    assert sim.contacts == 0 and raised == []
