"""Windows stay in their episode, repeat its edges, are scaled to [-1, 1], and come out of both
loaders alike.
"""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from pusht import PushTStateDataset, WindowLoader, demos, normalize_data, unnormalize_data
from pusht.dataset import get_data_stats, window_steps
from pusht.demos import Demonstrations


def counted(lengths: list[int]) -> Demonstrations:
    """Episodes of the given lengths whose numbers tell step and episode: state (t, e, …), action
    (t, e).
    """
    episode = np.repeat(np.arange(len(lengths)), lengths)
    step = np.arange(sum(lengths))
    states = np.stack([step, episode, step % 3, step % 5, step % 7], axis=1).astype(np.float32)
    return Demonstrations(states, states[:, :2].copy(), np.cumsum(lengths))


def published_windows(episode_ends, length, pad_before, pad_after) -> list[list[int]]:
    """The published rule, a window and a step at a time: where a window leaves its episode, the
    edge is repeated.
    """
    windows, start = [], 0
    for end in episode_ends:
        windows += [
            [min(max(start + first + t, start), end - 1) for t in range(length)]
            for first in range(-pad_before, end - start - length + pad_after + 1)
        ]
        start = end
    return windows


# Windows.


def test_human_demonstrations_give_the_published_windows(human):
    dataset = PushTStateDataset(human, pred_horizon=16, obs_horizon=2, action_horizon=8)
    assert len(dataset) == 24208
    assert dataset.obs.shape == (24208, 2, 5) and dataset.action.shape == (24208, 16, 2)
    assert dataset.stats["action"]["min"].tolist() == [12, 25] and dataset.stats["action"][
        "max"
    ].tolist() == [511, 511]


def test_every_episode_gives_a_window_for_each_step_but_the_last_eight(dataset, demonstrations):
    assert len(dataset) == sum(np.diff(demonstrations.episode_ends, prepend=0) - 16 + 1 + 1 + 7)


def test_a_sample_is_float32_within_minus_one_and_one(dataset):
    sample = dataset[17]
    assert {name: (value.shape, value.dtype) for name, value in sample.items()} == {
        "obs": ((2, 5), torch.float32),
        "action": ((16, 2), torch.float32),
    }
    for windows in (dataset.obs, dataset.action):
        assert windows.dtype == torch.float32
        assert windows.min() == -1 and windows.max() == 1  # every extreme is in some window


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    st.lists(st.integers(1, 30), min_size=1, max_size=4),
    st.integers(1, 16),
    st.integers(0, 4),
    st.integers(0, 8),
)
def test_windows_are_the_published_ones(lengths, length, pad_before, pad_after):
    ends = np.cumsum(lengths)
    expected = published_windows(ends, length, pad_before, pad_after)
    steps = window_steps(ends, length, pad_before=pad_before, pad_after=pad_after)
    assert steps.shape == (len(expected), length) and steps.tolist() == expected


def test_windows_never_cross_episodes(dataset, demonstrations):
    episode_of = np.repeat(
        np.arange(demonstrations.num_episodes), np.diff(demonstrations.episode_ends, prepend=0)
    )
    episodes = episode_of[window_steps(demonstrations.episode_ends, 16, pad_before=1, pad_after=7)]
    assert (episodes == episodes[:, :1]).all() and set(episodes[:, 0]) == set(
        range(demonstrations.num_episodes)
    )


def test_observations_and_actions_of_a_window_begin_at_the_same_step():
    demonstrations = counted([30, 20])
    dataset = PushTStateDataset(demonstrations, pred_horizon=16, obs_horizon=2, action_horizon=8)
    obs = unnormalize_data(dataset.obs, dataset.stats["obs"])[..., 0].round().int()
    action = unnormalize_data(dataset.action, dataset.stats["action"])[..., 0].round().int()
    assert obs.tolist() == action[:, :2].tolist()


def test_padding_repeats_the_first_and_the_last_step():
    dataset = PushTStateDataset(counted([30, 20]), pred_horizon=16, obs_horizon=2, action_horizon=8)
    steps = unnormalize_data(dataset.action, dataset.stats["action"])[..., 0].round().int().tolist()
    per_episode = 30 - 16 + 1 + 1 + 7
    assert steps[0] == [0, 0, *range(1, 15)] and steps[1] == list(range(16))
    assert steps[per_episode - 1] == [*range(21, 30), *[29] * 7]
    assert steps[per_episode] == [30, 30, *range(31, 45)]
    assert steps[-1] == [*range(41, 50), *[49] * 7]


def test_a_path_and_opened_demonstrations_give_the_same(dataset):
    opened = PushTStateDataset(
        dataset_path=str(demos.SHIPPED), pred_horizon=16, obs_horizon=2, action_horizon=8
    )
    assert torch.equal(opened.obs, dataset.obs) and torch.equal(opened.action, dataset.action)


# Normalisation.


def test_stats_are_the_ranges_of_all_demonstrations(dataset, demonstrations):
    for name, data in (("obs", demonstrations.states), ("action", demonstrations.actions)):
        np.testing.assert_array_equal(dataset.stats[name]["min"], data.min(axis=0))
        np.testing.assert_array_equal(dataset.stats[name]["max"], data.max(axis=0))
        normal = normalize_data(data, dataset.stats[name])
        np.testing.assert_allclose(normal.min(axis=0), -1, atol=1e-6)
        np.testing.assert_allclose(normal.max(axis=0), 1, atol=1e-6)


@pytest.mark.parametrize("shape", [(5,), (3, 5), (4, 2, 5)])
@pytest.mark.parametrize(
    "kind", ["float32 array", "float64 array", "float32 tensor", "float64 tensor"]
)
def test_unnormalise_undoes_normalise_and_both_keep_the_type(dataset, shape, kind):
    dtype, container = kind.split()
    data = np.random.default_rng(0).uniform(0, 512, shape).astype(dtype)
    given = data.copy() if container == "array" else torch.from_numpy(data.copy())
    normal = normalize_data(given, stats=dataset.stats["obs"])
    back = unnormalize_data(normal, stats=dataset.stats["obs"])
    for result in (normal, back):
        assert (
            type(result) is type(given)
            and result.dtype == given.dtype
            and result.shape == given.shape
        )
    np.testing.assert_allclose(
        np.asarray(back), data, rtol=0, atol=1e-4 if dtype == "float32" else 1e-10
    )
    np.testing.assert_array_equal(np.asarray(given), data)  # nothing is done in place


def test_normalise_is_linear_from_range_to_minus_one_and_one():
    stats = {"min": np.float32([0, -2]), "max": np.float32([4, 2])}
    data = np.array([[0, -2], [4, 2], [2, 0], [1, 4]])
    np.testing.assert_allclose(normalize_data(data, stats), [[-1, -1], [1, 1], [0, 0], [-0.5, 2]])


def test_stats_are_taken_over_all_but_the_last_axis():
    data = np.random.default_rng(0).normal(size=(4, 7, 2)).astype(np.float32)
    stats = get_data_stats(data)
    np.testing.assert_array_equal(stats["min"], data.min(axis=(0, 1)))
    np.testing.assert_array_equal(stats["max"], data.max(axis=(0, 1)))


# Batches.


def test_window_loader_serves_the_batches_of_a_data_loader(dataset):
    plain = served_in(
        DataLoader(dataset, 256, shuffle=True, generator=torch.Generator().manual_seed(3))
    )
    ours = served_in(WindowLoader(dataset, batch_size=256, seed=3))
    assert len(ours) == 2 * math.ceil(len(dataset) / 256)
    for mine, theirs in zip(ours, plain, strict=True):
        assert mine.keys() == theirs.keys()
        assert all(torch.equal(mine[name], theirs[name]) for name in mine)
    assert not torch.equal(
        ours[0]["action"], ours[len(ours) // 2]["action"]
    )  # each epoch has an order of its own


def test_window_loader_serves_other_batches_for_another_seed(dataset):
    first, second = (next(iter(WindowLoader(dataset, seed=seed)))["action"] for seed in (0, 1))
    assert not torch.equal(first, second)


def served_in(loader, epochs: int = 2) -> list:
    batches = [batch for _ in range(epochs) for batch in loader]
    assert len(batches) == epochs * len(loader)
    return batches


def test_window_loader_serves_every_window_once_an_epoch():
    dataset = PushTStateDataset(counted([40, 20]), 16, 2, 8)
    loader = WindowLoader(dataset, batch_size=16, seed=0)
    everything = sorted(
        map(tuple, torch.cat([dataset.obs.flatten(1), dataset.action.flatten(1)], dim=1).tolist())
    )
    for _ in range(2):
        batches = list(loader)
        assert [len(batch["obs"]) for batch in batches[:-1]] == [16] * (len(loader) - 1)
        served = torch.cat(
            [
                torch.cat([batch["obs"].flatten(1), batch["action"].flatten(1)], dim=1)
                for batch in batches
            ]
        )
        assert sorted(map(tuple, served.tolist())) == everything


def test_window_loader_leaves_the_global_generator_alone():
    loader = WindowLoader(PushTStateDataset(counted([40, 20]), 16, 2, 8), batch_size=16, seed=0)
    before = torch.get_rng_state()
    list(loader)
    assert torch.equal(torch.get_rng_state(), before)


def test_dataset_works_in_a_plain_data_loader_with_a_worker(dataset):
    loader = DataLoader(
        dataset, batch_size=256, num_workers=1, shuffle=True, persistent_workers=True
    )
    batch = next(iter(loader))
    assert batch["obs"].shape == (256, 2, 5) and batch["action"].shape == (256, 16, 2)
    assert batch["obs"].dtype == torch.float32
