"""Networks as students write and wrap them are saved, read, continued and rolled out alike."""

import numpy as np
import pytest
import torch
from torch import nn

import score
from pusht import EMAModel, PushTStateDataset, TrainingRun, WindowLoader, demos, training
from pusht.checkpoint import Checkpoint, CheckpointError, load_checkpoint
from pusht.chunks import BasePolicy
from pusht.normalisation import Normalizer
from score import rubric


def plain():
    return nn.Sequential(nn.Linear(10, 32), nn.Linear(32, 32))


def tied():
    shared = nn.Linear(32, 32)
    return nn.Sequential(nn.Linear(10, 32), shared, nn.ReLU(), shared)


def lazy():
    return nn.Sequential(nn.LazyLinear(32), nn.ReLU(), nn.LazyLinear(32))


def compiled():
    return torch.compile(plain(), backend="eager")


def parallel():
    return nn.DataParallel(plain())


KINDS = {
    "plain": plain,
    "tied": tied,
    "lazy": lazy,
    "compiled": compiled,
    "a compiled part": lambda: nn.Sequential(torch.compile(nn.Linear(10, 32), backend="eager")),
    "parallel": parallel,
}


@pytest.fixture
def windows(demonstrations):
    """A hundred steps in which one coordinate never changes."""
    states, actions = demonstrations.states[:100].copy(), demonstrations.actions[:100].copy()
    actions[:, 1] = 256
    few = demos.Demonstrations(states, actions, np.array([100]))
    return PushTStateDataset(few, pred_horizon=16, obs_horizon=2, action_horizon=8)


def train(folder, windows, model, *, ends_after=None, averaged=False, lr=1e-3, num_epochs=3):
    """Train in a folder and return the run; `ends_after`: as if it were cut off then."""
    loader = WindowLoader(windows, batch_size=np.int64(64), seed=np.int64(1))
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=num_epochs)
    ema = EMAModel(model.parameters()) if averaged else None
    run = TrainingRun(
        "run",
        model,
        loader,
        optimizer,
        schedule,
        num_epochs=num_epochs,
        seed=np.int64(1),
        ema=ema,
        folder=folder,
    )
    for epoch in run.epochs():
        if epoch == ends_after:
            break
        for batch in loader:
            loss = (model(batch["obs"].flatten(1)) - batch["action"].flatten(1)).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            run.log(loss)
            if ema:
                ema.step(model.parameters())
        schedule.step()
    return run


@pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)
def test_a_network_is_saved_and_read_however_it_is_wrapped(make, windows, tmp_path):
    model = make()
    train(tmp_path, windows, model)
    checkpoint = load_checkpoint(tmp_path / "run.safetensors")
    other = make()
    checkpoint.restore(other)
    nobs = torch.rand(2, 10)
    torch.testing.assert_close(other(nobs), model(nobs))
    assert not [name for name in checkpoint.weights if "_orig_mod" in name]


@pytest.mark.parametrize("reader", [plain, compiled, parallel])
@pytest.mark.parametrize("writer", [plain, compiled, parallel])
def test_a_file_that_names_its_wrapper_is_read_too(reader, writer, windows):
    """As the kit wrote them earlier."""
    model = writer()
    checkpoint = Checkpoint(dict(model.state_dict()), windows.stats, [], 0, "", 0, {})
    other = reader()
    checkpoint.restore(other)
    nobs = torch.rand(2, 10)
    torch.testing.assert_close(other(nobs), model(nobs))


def test_another_architecture_is_still_refused(windows):
    checkpoint = Checkpoint(dict(plain().state_dict()), windows.stats, [], 0, "", 0, {})
    with pytest.raises(CheckpointError, match="another architecture than the Sequential"):
        checkpoint.restore(tied())


@pytest.mark.parametrize(
    "make, averaged",
    [(plain, False), (plain, True), (tied, True), (lazy, False), (compiled, False)],
)
def test_a_run_that_was_cut_off_continues(make, averaged, windows, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(training, "_SAVE_EVERY", 0)
    settings = {"lr": np.float64(1e-3), "num_epochs": np.int64(3), "averaged": averaged}
    torch.manual_seed(5)
    whole = train(tmp_path / "whole", windows, make(), **settings)
    torch.manual_seed(5)
    train(tmp_path, windows, make(), ends_after=2, **settings)
    continued = train(tmp_path, windows, make(), **settings)
    assert "continues after epoch 2 of 3" in capsys.readouterr().out
    assert continued.losses == pytest.approx(whole.losses)
    assert np.isfinite(continued.losses).all()


class Policy(BasePolicy):
    """A policy with layers that act otherwise in training, and one without a shape at first."""

    def __init__(self, state_dim, action_dim, chunk_size, hidden_dims=(32,)):
        super().__init__(state_dim, action_dim, chunk_size)
        width = hidden_dims[-1]
        self.net = nn.Sequential(
            nn.LazyLinear(width),
            nn.BatchNorm1d(width),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Linear(width, chunk_size * action_dim),
        )

    def sample_actions(self, state, *, num_steps=10):
        return self.net(state).view(len(state), self.chunk_size, self.action_dim)

    def compute_loss(self, state, action_chunk):
        return nn.functional.mse_loss(self.sample_actions(state), action_chunk)


def test_a_policy_acts_in_eval_mode_and_is_left_in_the_mode_it_was_in(
    tmp_path, monkeypatch, demonstrations
):
    monkeypatch.setattr(rubric, "PRACTICE_SEEDS", range(500, 501))
    policy = Policy(5, 2, 8)
    policy.sample_actions(torch.rand(8, 5))
    normalizer = Normalizer.from_data(demonstrations.states, demonstrations.actions)
    Checkpoint(policy.state_dict(), normalizer.stats, [], 0, "", 0, {}).save(
        tmp_path / "part4_mse.safetensors"
    )
    fresh = Policy(5, 2, 8)
    one = score.grade_rollouts("part4_mse", fresh, folder=tmp_path)
    assert "Score" in one.sentence and fresh.training
    assert score.grade_rollouts("part4_mse", Policy(5, 2, 8), folder=tmp_path) == one
    state = fresh.state_dict()
    assert all(torch.equal(state[name], weight) for name, weight in policy.state_dict().items())


def test_a_policy_whose_layers_have_no_shape_yet_is_judged(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert score.check("Q4.1", Policy).points == rubric.question("Q4.1")[1].points
