"""Chunks follow their state within one episode, normalisation is undone, and an evaluation measures
without disturbing.
"""

import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

from pusht import (
    BasePolicy,
    Logger,
    Normalizer,
    PushtChunkDataset,
    WindowLoader,
    evaluate_policy,
    rollout,
)
from pusht.checkpoint import CheckpointError, load_checkpoint
from pusht.chunks import _checkpoint
from pusht.normalisation import MOMENTS
from pusht.rules import GYM_PUSHT


def counted(lengths: list[int]):
    """States, actions and ends of episodes whose first two numbers tell step and episode."""
    steps, episodes = np.arange(sum(lengths)), np.repeat(np.arange(len(lengths)), lengths)
    states = np.stack([steps, episodes, steps % 3, steps % 5, steps % 7], axis=1).astype(np.float32)
    return states, states[:, :2].copy(), np.cumsum(lengths)


NORMALIZER = Normalizer(
    {
        "obs": {"mean": [256, 256, 256, 256, 3], "std": [100, 100, 80, 80, 2]},
        "action": {"mean": [256, 250], "std": [100, 90]},
    }
)


class Pushing(BasePolicy):
    """A fixed network: the same chunk for the same state, another for each other state."""

    def __init__(self, chunk_size=8):
        super().__init__(5, 2, chunk_size)
        generator = torch.Generator().manual_seed(0)
        self.weight = nn.Parameter(torch.randn(5, chunk_size * 2, generator=generator))
        self.dropout = nn.Dropout(0.5)

    def sample_actions(self, state, *, num_steps=10):
        return self.dropout(state @ self.weight).view(-1, self.chunk_size, self.action_dim)


class Sampling(Pushing):
    def sample_actions(self, state, *, num_steps=10):
        return (
            super().sample_actions(state)
            + torch.randn(len(state), self.chunk_size, self.action_dim) / num_steps
        )


@pytest.fixture
def logger(tmp_path):
    return Logger(tmp_path / "run")


def evaluate(model, logger, **changed):
    return evaluate_policy(
        **{
            "model": model,
            "normalizer": NORMALIZER,
            "device": torch.device("cpu"),
            "chunk_size": 8,
            "video_size": (64, 64),
            "num_video_episodes": 0,
            "flow_num_steps": 10,
            "step": 3,
            "logger": logger,
            "num_episodes": 4,
            "max_steps": 40,
            **changed,
        }
    )


# Normalisation.


def test_normalised_data_has_mean_zero_and_standard_deviation_one():
    rng = np.random.default_rng(0)
    states, actions = rng.normal(300, 70, (500, 5)), rng.uniform(0, 512, (500, 2))
    normalizer = Normalizer.from_data(states, actions)
    for normal in (normalizer.normalize_state(states), normalizer.normalize_action(actions)):
        np.testing.assert_allclose(normal.mean(axis=0), 0, atol=1e-5)
        np.testing.assert_allclose(normal.std(axis=0), 1, atol=1e-5)


@pytest.mark.parametrize("kind", ["float32", "float64"])
@pytest.mark.parametrize("container", [np.asarray, torch.from_numpy])
def test_denormalise_undoes_normalise_and_both_keep_the_type(container, kind):
    action = container(np.random.default_rng(0).uniform(0, 512, (3, 8, 2)).astype(kind))
    normal = NORMALIZER.normalize_action(action)
    back = NORMALIZER.denormalize_action(normal)
    for result in (normal, back):
        assert (
            type(result) is type(action)
            and result.dtype == action.dtype
            and result.shape == action.shape
        )
    np.testing.assert_allclose(back, action, atol=1e-3)


def test_a_feature_that_never_changes_becomes_zero():
    states = np.ones((10, 5))
    normalizer = Normalizer.from_data(states, np.random.default_rng(0).normal(size=(10, 2)))
    assert (normalizer.normalize_state(states) == 0).all()


def test_the_statistics_come_back_from_plain_lists():
    plain = {
        what: {name: values.tolist() for name, values in moments.items()}
        for what, moments in NORMALIZER.stats.items()
    }
    state = np.random.default_rng(0).uniform(0, 512, (7, 5))
    np.testing.assert_array_equal(
        Normalizer(plain).normalize_state(state), NORMALIZER.normalize_state(state)
    )


# Pairs and batches.


def test_a_chunk_begins_at_its_state_and_stays_in_its_episode():
    states, actions, ends = counted([12, 8, 5, 20])  # the third is shorter than a chunk
    identity = Normalizer(
        {"obs": {"mean": [0] * 5, "std": [1] * 5}, "action": {"mean": [0] * 2, "std": [1] * 2}}
    )
    dataset = PushtChunkDataset(states, actions, ends, chunk_size=8, normalizer=identity)
    first, episode = dataset.states[:, 0], dataset.states[:, 1]
    assert first.tolist() == [*range(5), 12, *range(25, 38)]
    assert torch.equal(dataset.chunks[:, :, 0], first[:, None] + torch.arange(8))
    assert torch.equal(dataset.chunks[:, :, 1], episode[:, None].expand(-1, 8))
    state, chunk = dataset[7]
    assert (
        state.shape == (5,)
        and chunk.shape == (8, 2)
        and state.dtype == chunk.dtype == torch.float32
    )


def test_pairs_are_normalised_and_know_their_demonstrations(demonstrations):
    arrays = demonstrations.states, demonstrations.actions, demonstrations.episode_ends
    normalizer = Normalizer.from_data(*arrays[:2])
    dataset = PushtChunkDataset(*arrays, chunk_size=8, normalizer=normalizer)
    assert len(dataset) == len(demonstrations.states) - 7 * demonstrations.num_episodes
    np.testing.assert_allclose(dataset.states[0], normalizer.normalize_state(arrays[0][0]))
    np.testing.assert_allclose(
        normalizer.denormalize_action(dataset.chunks[0]), arrays[1][:8], atol=1e-3
    )
    assert dataset.demonstrations.fingerprint == demonstrations.fingerprint


def test_demonstrations_shorter_than_a_chunk_are_refused():
    with pytest.raises(ValueError, match="No episode is as long as a chunk of 30 actions"):
        PushtChunkDataset(*counted([12, 20]), chunk_size=30, normalizer=NORMALIZER)


def test_window_loader_serves_the_pairs_of_a_data_loader_that_drops_the_last():
    dataset = PushtChunkDataset(*counted([40, 31]), chunk_size=8, normalizer=NORMALIZER)
    plain = DataLoader(
        dataset, 16, shuffle=True, drop_last=True, generator=torch.Generator().manual_seed(3)
    )
    ours = WindowLoader(dataset, 16, seed=3, drop_last=True)
    assert len(ours) == len(plain) == len(dataset) // 16 and len(dataset) % 16
    for _ in range(2):
        for mine, theirs in zip(ours, plain, strict=True):
            assert all(torch.equal(a, b) for a, b in zip(mine, theirs, strict=True))


# Policies.


def test_what_a_policy_leaves_out_is_named():
    policy = BasePolicy(5, 2, 8)
    assert (policy.state_dim, policy.action_dim, policy.chunk_size) == (5, 2, 8)
    with pytest.raises(
        NotImplementedError, match=r"^Pushing\.compute_loss is still to be written\.$"
    ):
        Pushing().compute_loss(torch.zeros(1, 5), torch.zeros(1, 8, 2))
    with pytest.raises(NotImplementedError, match=r"^BasePolicy\.sample_actions "):
        policy.sample_actions(torch.zeros(1, 5), num_steps=3)


# Evaluation.


def test_evaluation_in_lock_step_equals_episodes_one_by_one(logger):
    model = Pushing().eval()
    seeds = [500, 3, 77, 1234]
    alone = []
    for seed in seeds:

        def policy(obs):
            chunk = model.sample_actions(
                NORMALIZER.normalize_state(torch.from_numpy(obs[0]).float())
            )
            return NORMALIZER.denormalize_action(chunk).detach().numpy()

        [episode] = rollout(policy, [seed], obs_horizon=1, max_steps=40, rules=GYM_PUSHT).rewards
        alone.append(episode.max())
    assert len(set(alone)) > 1
    assert evaluate(model, logger, seeds=seeds) == pytest.approx(np.mean(alone), abs=1e-4)


def test_evaluation_asks_anew_only_after_a_whole_chunk(logger):
    asked = []

    class Counting(Pushing):
        def sample_actions(self, state, *, num_steps=10):
            asked.append((len(state), num_steps, torch.is_grad_enabled(), self.training))
            return super().sample_actions(state)

    evaluate(Counting(), logger, flow_num_steps=7, num_episodes=3, max_steps=20)
    assert asked == [(3, 7, False, False)] * 3  # 8 + 8 + 4 steps


def test_evaluation_logs_what_it_returns(logger):
    reward = evaluate(Pushing(), logger, step=120)
    assert type(reward) is float and 0 <= reward <= 1
    assert logger.rows == [{"step": 120, "eval/mean_reward": reward, "eval/success_rate": 0.0}]


def test_evaluation_leaves_modes_and_random_numbers_as_they_were(logger):
    def draw():
        return torch.rand(1).item(), np.random.rand(), random.random()

    def seed():
        torch.manual_seed(5), np.random.seed(5), random.seed(5)

    model = Sampling()
    model.train()
    model.dropout.eval()
    seed()
    expected = draw()
    seed()
    first = evaluate(model, logger)
    assert draw() == expected
    assert model.training and not model.dropout.training
    assert evaluate(model, logger, step=4) == first  # sampled policies included


def test_modes_come_back_when_the_policy_fails(logger):
    model = Pushing(chunk_size=4)
    with pytest.raises(ValueError, match=r"chunks of shape \(4, 4, 2\): \(4, 8, 2\) is needed"):
        evaluate(model, logger)
    assert model.training and model.dropout.training and logger.rows == []


def test_a_policy_that_diverged_is_told_so(logger):
    model = Pushing()
    nn.init.constant_(model.weight, float("nan"))
    with pytest.raises(ValueError, match="the training diverged"):
        evaluate(model, logger)


def test_the_evaluated_policy_is_kept_with_what_it_was_trained_on(tmp_path, demonstrations):
    logger = Logger(
        tmp_path / "run", config={"seed": 7, "num_epochs": 9}, demonstrations=demonstrations
    )
    model = Pushing()
    logger.log({"train/loss": 0.5}, 2)
    logger.log({"train/loss": 0.25}, 3)
    evaluate(model, logger)
    logger.dump_for_grading()
    kept = load_checkpoint(logger.path / "policy.safetensors", MOMENTS)
    assert kept.losses == [0.5, 0.25] and kept.config["loss_steps"] == [2, 3]
    assert (kept.seed, kept.num_epochs, kept.demonstrations) == (7, 9, demonstrations.fingerprint)
    other = Pushing()
    nn.init.zeros_(other.weight)
    kept.restore(other)
    assert torch.equal(other.weight, model.weight)
    state = np.random.default_rng(0).uniform(0, 512, (3, 5))
    np.testing.assert_array_equal(
        Normalizer(kept.stats).normalize_state(state), NORMALIZER.normalize_state(state)
    )


@pytest.mark.parametrize("std", [[0, 1], [float("nan"), 1], [1, 1, 1]])
def test_a_policy_without_usable_statistics_is_refused(std, logger):
    normalizer = Normalizer(NORMALIZER.stats)
    evaluate(Pushing(), logger)
    normalizer.stats["action"]["std"] = np.float32(std)
    path = logger.save_checkpoint(_checkpoint(Pushing(), normalizer, 8, 4, logger), 4)
    with pytest.raises(CheckpointError, match="holds no usable mean and std of the actions"):
        load_checkpoint(path, MOMENTS)


def test_a_policy_by_moments_is_none_by_ranges(logger):
    evaluate(Pushing(), logger)
    with pytest.raises(CheckpointError, match="was not written by"):
        load_checkpoint(logger.path / "checkpoints" / "step_3.safetensors")


def test_the_first_episodes_are_filmed_side_by_side(logger, capfd):
    evaluate(Pushing(), logger, num_video_episodes=2, max_steps=12)
    assert (logger.path / "videos" / "step_3.mp4").stat().st_size > 1000
    assert capfd.readouterr() == (
        f"step 3: mean reward {logger.rows[-1]['eval/mean_reward']:.3f}, 0 of 4 episodes solved\n",
        "",
    )


def test_a_film_of_another_shape_than_a_square_is_refused(logger):
    with pytest.raises(ValueError, match="64 by 48"):
        evaluate(Pushing(), logger, num_video_episodes=1, video_size=(64, 48), max_steps=8)


def test_the_calls_of_the_script_assignment_are_served(demos_path, tmp_path):
    checkout = Path(__file__).resolve().parents[1]
    script = checkout.parent / "shared" / "accept" / "script_calls.py"
    if not script.is_file():
        pytest.skip(f"needs the acceptance script, at {script}")
    env = {
        "PYTHONPATH": str(checkout),
        "OMP_NUM_THREADS": "1",
    }  # two threads that wait for one core take many times as long
    done = subprocess.run(
        [sys.executable, script, Path(demos_path).resolve()],
        cwd=tmp_path,
        env=env,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("served: script assignment\n") and done.stderr == ""
