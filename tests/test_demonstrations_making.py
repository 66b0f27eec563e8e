"""Making demonstrations: where episodes start, how the expert chooses, and what is kept."""

import json
import zipfile

import numpy as np
import pytest
import torch
import zarr

from pusht import demos
from pusht.expert.driving import Episode, drive, on_grid
from pusht.expert.networks import Proposals, Student, Value
from pusht.expert.planning import Disturbance, Expert
from pusht.rules import sample_gym_pusht_start
from pusht.sim import PushTSim, reward, sample_start
from score import rubric
from score.course.tools.demonstrations import selection, starts
from score.course.tools.demonstrations.fitting import fit_student, windows
from score.course.tools.demonstrations.networks import returns
from score.course.tools.demonstrations.store import Store

# Nearly solved: the agent is on the left of the block, which has to go a little to the right.
ALMOST = np.array([120.0, 250.0, 232.0, 256.0, np.pi / 4])


def episode(actions, start=ALMOST):
    """An episode from `start` in which these actions were driven."""
    return drive(lambda worlds, seen: np.array([actions]), np.array([start]), len(actions))[0]


def towards(x, y, steps=8):
    return np.full((steps, 2), (x, y), dtype=np.float64)


# Starts.


def test_resets_are_those_of_the_two_environments_in_turn_and_lie_far_from_every_grade():
    found = starts.resets(3, 4)
    assert found.kinds.tolist() == [starts.PUBLISHED, starts.GYM_PUSHT] * 2
    np.testing.assert_array_equal(found.states[0], sample_start(found.seeds[0]))
    agent_and_block = sample_gym_pusht_start(found.seeds[1])
    np.testing.assert_array_equal(found.states[1, :2], agent_and_block[:2])
    drawn = rubric.GRADED_FIRST_SEED + 10**9 + 100_000  # above whatever a course draws
    assert found.seeds.min() > drawn and starts.resets(99, 10_000).seeds.max() < 2**32


def test_at_gym_pushts_resets_the_block_is_turned_about_where_it_was_placed():
    found = starts.resets(0, 2)
    *_, x, y, angle = sample_gym_pusht_start(found.seeds[1])
    assert found.states[1, 4] == pytest.approx(angle % (2 * np.pi))
    # Turning about the centre of mass moves the middle of the bar, and not the centre of mass.
    centre = np.array([0.0, 45.0])
    c, s = np.cos(angle), np.sin(angle)
    turned = found.states[1, 2:4] + np.array([[c, -s], [s, c]]) @ centre
    np.testing.assert_allclose(turned, np.array([x, y]) + centre, atol=1e-6)


# Driving and storing.


def test_driven_again_an_episode_is_the_same_bit_for_bit():
    found = episode(np.random.default_rng(0).uniform(100, 400, (30, 2)))
    assert len(found) == 30 and not found.solved
    sim = PushTSim()
    sim.reset(ALMOST)
    states, rewards = [sim.state], []
    for action in found.actions.astype(np.float32):
        rewards.append(reward(sim.step(action)))
        states.append(sim.state)
    np.testing.assert_array_equal(states, found.states)
    np.testing.assert_array_equal(rewards, found.rewards)
    np.testing.assert_array_equal(found.actions, on_grid(found.actions))


def test_an_episode_ends_the_moment_it_succeeds():
    found = episode([*towards(256 - 40, 256, 60)], [150.0, 256.0, 250.0, 256.0, np.pi / 4])
    assert not found.solved or (found.rewards[:-1] < 1).all()


def test_what_is_stored_is_not_made_again(tmp_path):
    made = []

    def driver():
        made.append(1)
        return lambda worlds, seen: seen[:, -1:, :2] + np.random.normal(size=(len(seen), 8, 2))

    def once(folder, seed=1):
        return Store(folder, seed).episodes("some", driver, np.array([ALMOST, ALMOST]), 12)

    first, again = once(tmp_path / "a"), once(tmp_path / "a")
    assert len(made) == 1
    elsewhere, other = once(tmp_path / "b"), once(tmp_path / "c", seed=2)
    for one, same in [*zip(first, again), *zip(first, elsewhere)]:
        np.testing.assert_array_equal(one.states, same.states)
        np.testing.assert_array_equal(one.rewards, same.rewards)
    assert (first[0].actions != other[0].actions).any()


def test_networks_are_trained_once_and_the_same_from_the_same_seed(tmp_path):
    taught = episode(np.random.default_rng(0).uniform(100, 400, (40, 2)))
    made = []

    def fit(network):
        made.append(1)
        network.normalise_like([taught])
        return fit_student(network, [taught] * 8, epochs=2, rate=1e-3, seed=1)

    networks = [Store(tmp_path / folder, 1).network("one", Student, fit) for folder in "aab"]
    assert len(made) == 2
    first, *others = [network.act(taught.states[:5, None]) for network in networks]
    for other in others:
        np.testing.assert_array_equal(first, other)


# The expert.


class Given(Proposals):
    """Proposals that are always the same chunks, in turn."""

    def __init__(self, *chunks):
        super().__init__()
        self.chunks = np.array(chunks)

    def sample(self, states, generator, num_steps=2):
        return np.resize(self.chunks, (len(states), 8, 2))


class Rightwards(Value):
    """The further right the agent, the better."""

    def of(self, states):
        return states[..., 0] / 512


class Wants(Student):
    """A student that always wants the same."""

    def __init__(self, chunk):
        super().__init__()
        self.chunk = chunk

    def act(self, seen, generator=None):
        return np.repeat(self.chunk[None], len(seen), axis=0)


AWAY = np.array([100.0, 100.0, 350.0, 400.0, 0.0])  # the block is far from the agent
LEFT, UP, RIGHT = towards(60, 100), towards(100, 60), towards(180, 100)


def chosen(proposals=(LEFT, UP, RIGHT), start=AWAY, **settings):
    """The chunk that an expert executes in a world that is at `start`."""
    world = PushTSim()
    world.reset(start)
    before = world.state
    expert = Expert(
        Given(*proposals),
        Rightwards(),
        seed=1,
        candidates=settings.pop("candidates", 3),
        **settings,
    )
    found = expert([world], np.array([[before, before]]))[0]
    np.testing.assert_array_equal(world.state, before)
    return found


def test_the_expert_executes_what_leads_to_the_best_state():
    np.testing.assert_array_equal(chosen(), RIGHT)
    np.testing.assert_array_equal(chosen(displaced=5.0), RIGHT)


def test_among_proposals_as_good_as_the_best_it_executes_the_nearest_to_the_students():
    student = Wants(towards(150, 100))
    settings = dict(student=student, candidates=4)
    np.testing.assert_array_equal(chosen(**settings), RIGHT)
    np.testing.assert_array_equal(chosen(tolerance=0.1, **settings), student.chunk)
    np.testing.assert_array_equal(
        chosen((LEFT, towards(160, 100), RIGHT), tolerance=0.05, **settings), towards(160, 100)
    )


def test_a_disturbed_chunk_is_displaced_as_a_whole_and_only_far_from_the_goal():
    offsets = chosen(disturbance=Disturbance(10.0)) - RIGHT
    assert (offsets == offsets[0]).all() and (offsets != 0).all()
    near = np.array([100.0, 100.0, 252.0, 256.0, np.pi / 4])
    found = chosen(start=near, disturbance=Disturbance(10.0, below=0.85))
    np.testing.assert_array_equal(found, RIGHT)
    np.testing.assert_array_equal(chosen(disturbance=Disturbance(10.0, share=0.0)), RIGHT)


def test_the_worth_of_a_state_is_the_best_reward_from_there_on_discounted():
    found = returns(np.array([0.0, 1.0]), discount=0.5)
    np.testing.assert_allclose(found, [0.25, 0.5, 1.0])
    found = returns(np.array([0.5, 0.1]), discount=0.5)
    np.testing.assert_allclose(found, [0.5 * 0.7 * 0.25, 0.7 * 0.25, 0.7 * 0.01])


def test_windows_are_states_and_the_eight_actions_from_there_on():
    taught = [episode(np.random.default_rng(i).uniform(100, 400, (20, 2))) for i in range(2)]
    states, chunks = windows(taught)
    assert len(states) == len(chunks) == 2 * 13
    np.testing.assert_array_equal(states[13, 0], taught[1].states[0])
    np.testing.assert_array_equal(chunks[14], taught[1].actions[1:9])
    states, chunks = windows(taught, beyond=7)
    assert len(states) == 40
    np.testing.assert_array_equal(chunks[19], np.repeat(taught[0].actions[-1:], 8, axis=0))
    states, chunks = windows(taught, observations=2)
    assert len(states) == 2 * 13
    np.testing.assert_array_equal(states[0], taught[0].states[[0, 0]])
    np.testing.assert_array_equal(states[14], taught[1].states[:2])
    np.testing.assert_array_equal(chunks[14], taught[1].actions[1:9])


# The set.


def circling(turns, steps, solved=True):
    """An episode that goes around the resting block so many times, clockwise above 0."""
    angle = np.linspace(0, 2 * np.pi * turns, steps + 1)
    agent = np.array([256.0, 256.0 + 40.7]) + 120 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    states = np.concatenate([agent, np.tile([256.0, 256.0, 0.0], (steps + 1, 1))], axis=1)
    return Episode(states, np.ones((steps, 2)), np.array([0.0] * (steps - 1) + [float(solved)]))


def test_of_the_tries_from_a_start_the_quickest_is_kept_and_the_quickest_other_way():
    def lengths(*tries):
        return [len(one) for one in selection.ways([circling(*each) for each in tries])]

    others = (0.6, 50), (-0.5, 70), (-0.6, 80)
    assert lengths((0.3, 60), (0.2, 40), *others) == [40, 70]
    assert lengths((0.3, 60), (0.2, 40), (0.6, 50)) == [40]
    assert lengths((0.3, 60), (0.2, 40), (-0.6, 30)) == [40, 30]  # the last is another way at most
    assert lengths((0.3, 60), (0.2, 40, False), (-0.6, 30)) == [60, 30]
    assert lengths((0.2, 40, False), (-0.6, 30)) == []


def test_the_set_has_the_pairs_first_and_no_more_steps_than_there_is_room_for():
    begin = starts.joined(starts.resets(0, 4), starts.learners(np.zeros((4, 5))))
    quick = [circling(0.2, 40) for _ in range(8)]
    others = [circling(-0.6, 50, solved=i in (3, 6)) for i in range(8)]
    made = selection.select(begin, [quick, others], steps=250)
    kinds, seeds = made.starts.kinds, made.starts.seeds
    # 150 steps for resets: the pair and one more; the rest for learners' states, one way each.
    assert np.diff([0, *made.demonstrations.episode_ends]).tolist() == [40, 50, 40, 40, 40, 40]
    assert seeds[0] == seeds[1] == begin.seeds[3]
    assert kinds.tolist() == [1, 1, 0, *[starts.LEARNER] * 3]


def test_the_file_says_where_each_episode_starts_and_is_the_same_byte_for_byte(tmp_path):
    begin = starts.joined(starts.resets(0, 2), starts.learners(np.zeros((1, 5))))
    made = selection.select(begin, [[circling(0.2, 40)] * 3, [circling(-0.6, 50)] * 3])
    for name in "ab":
        selection.write(tmp_path / f"{name}.zarr.zip", made, 1)
    assert (tmp_path / "a.zarr.zip").read_bytes() == (tmp_path / "b.zarr.zip").read_bytes()
    assert demos.open(tmp_path / "a.zarr.zip").fingerprint == made.demonstrations.fingerprint
    meta = zarr.open_group(
        zarr.storage.ZipStore(tmp_path / "a.zarr.zip", mode="r"),
        path="demonstrations.zarr",
        mode="r",
    )["meta"]
    np.testing.assert_array_equal(meta["start_state"][:], made.starts.states)
    assert meta["start_kind"][:].tolist() == [0, 0, 1, 1, 2]
    assert meta["start_seed"][-1] == -1
    with zipfile.ZipFile(tmp_path / "a.zarr.zip") as archive:
        about = json.loads(archive.read("demonstrations.zarr/.zattrs"))
    assert about["start_kinds"] == list(starts.KINDS)


def test_proposals_are_relative_to_the_agent():
    states = np.array([[100.0, 200.0, 256.0, 256.0, 0.0], [300.0, 50.0, 256.0, 256.0, 0.0]])
    network = Proposals()
    for parameter in network.parameters():
        torch.nn.init.zeros_(parameter)
    found = network.sample(np.repeat(states, 200, axis=0), torch.Generator().manual_seed(0))
    mean = found.reshape(2, 200 * 8, 2).mean(axis=1)
    np.testing.assert_allclose(mean, states[:, :2], atol=6)
