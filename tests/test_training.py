"""A run that was cut off goes on as if it had not been; what is handed in is whole, or says in one
sentence what it is.
"""

import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn

from pusht import (
    EMAModel,
    PushTStateDataset,
    TrainingRun,
    WindowLoader,
    get_cosine_schedule_with_warmup,
    resume,
    training,
)
from pusht.checkpoint import Checkpoint, CheckpointError, load_checkpoint
from pusht.demos import Demonstrations
from pusht.run_mode import RunMode, set_run_mode

EPOCHS = 5


@pytest.fixture(autouse=True)
def save_every_epoch(monkeypatch):
    monkeypatch.setattr(training, "_SAVE_EVERY", -1.0)


@pytest.fixture(autouse=True)
def nothing_on_stderr(capfd):
    """nbgrader takes any word there for a failed answer."""
    yield
    assert capfd.readouterr().err == ""


def small_dataset(seed: int = 0) -> PushTStateDataset:
    rng = np.random.default_rng(seed)
    return PushTStateDataset(
        Demonstrations(
            rng.uniform(0, 512, (70, 5)).astype(np.float32),
            rng.uniform(0, 512, (70, 2)).astype(np.float32),
            np.array([30, 70]),
        ),
        16,
        2,
        8,
    )


def resume_file(folder: Path) -> Path:
    return resume.own_folder(folder) / "tiny.resume.pt"


class Plain:
    """A network, its optimiser and loader, trained as in part I; everything made anew, as in a new
    kernel.
    """

    def __init__(
        self,
        folder,
        *,
        first_weights=0,
        learning_rate=1e-2,
        batch_size=20,
        data=0,
        width=8,
        **options,
    ):
        torch.manual_seed(first_weights)
        self.model = nn.Sequential(
            nn.Linear(10, width), nn.Mish(), nn.Dropout(0.3), nn.Linear(width, 32)
        )
        self.loader = WindowLoader(small_dataset(data), batch_size=batch_size, seed=first_weights)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=learning_rate)
        self.ema = None
        self.lr_scheduler = self.schedule()
        torch.manual_seed(999 + first_weights)  # whatever else the notebook drew before
        self.run = TrainingRun(
            "tiny",
            self.model,
            self.loader,
            self.optimizer,
            self.lr_scheduler,
            ema=self.ema,
            **{"num_epochs": EPOCHS, "seed": 1, "folder": folder, **options},
        )

    def schedule(self):
        return torch.optim.lr_scheduler.CosineAnnealingLR(self.optimizer, T_max=10)

    def loss(self, batch):
        return nn.functional.mse_loss(
            self.model(batch["obs"].flatten(1)).reshape(-1, 16, 2), batch["action"]
        )

    def after_batch(self):
        pass

    def after_epoch(self):
        self.lr_scheduler.step()

    def train(self, cut_off=None, in_batch=0):
        """Train; cut off in the batch `in_batch` of the epoch `cut_off`, where it hurts: before its
        gradients are used.
        """
        for epoch in self.run.epochs():
            for i, batch in enumerate(self.loader):
                loss = self.loss(batch)
                loss.backward()
                if (epoch, i) == (cut_off, in_batch):
                    raise KeyboardInterrupt
                self.optimizer.step()
                self.optimizer.zero_grad()
                self.after_batch()
                self.run.log(loss)
            self.after_epoch()
        return self

    def weights(self):
        return {name: w.clone() for name, w in self.model.state_dict().items()}


class Sampled(Plain):
    """With noise in the loss, an averaged network and a schedule that is stepped after each batch,
    as in part III.
    """

    def schedule(self):
        self.ema = EMAModel(self.model.parameters(), power=0.75)
        return get_cosine_schedule_with_warmup(
            self.optimizer, num_warmup_steps=3, num_training_steps=len(self.loader) * EPOCHS
        )

    def loss(self, batch):
        noise = torch.randn_like(batch["action"])
        return nn.functional.mse_loss(
            self.model(batch["obs"].flatten(1)).reshape(-1, 16, 2), batch["action"] + 0.3 * noise
        )

    def after_batch(self):
        self.lr_scheduler.step()
        self.ema.step(self.model.parameters())

    def after_epoch(self):
        pass


def assert_same(one: dict, other: dict) -> None:
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


def cut_off(kind, folder, epoch, in_batch=0, **options):
    with pytest.raises(KeyboardInterrupt):
        kind(folder, **options).train(cut_off=epoch, in_batch=in_batch)


def said(capfd) -> str:
    return capfd.readouterr().out.strip()


def assert_one_sentence(text: str) -> None:
    assert "\n" not in text and text.endswith(".") and len(text) < 400, text


# Going on.


@pytest.mark.parametrize("kind", [Plain, Sampled])
@pytest.mark.parametrize("epoch, in_batch", [(0, 1), (1, 0), (2, 2), (3, 1), (4, 2)])
def test_a_run_cut_off_goes_on_with_the_very_same_curve_and_weights(
    kind, epoch, in_batch, tmp_path
):
    whole = kind(tmp_path / "whole").train()
    assert len(whole.run.losses) == EPOCHS and len(set(whole.run.losses)) == EPOCHS
    cut_off(kind, tmp_path / "cut", epoch, in_batch)
    again = kind(
        tmp_path / "cut", first_weights=7 if epoch else 0
    ).train()  # before the first save, nothing can be kept
    assert again.run.losses == whole.run.losses
    assert_same(again.weights(), whole.weights())
    handed_in, expected = (
        load_checkpoint(tmp_path / run / "tiny.safetensors") for run in ("cut", "whole")
    )
    assert_same(handed_in.weights, expected.weights)
    assert handed_in.losses == expected.losses == whole.run.losses
    if kind is Sampled:
        assert all(
            torch.equal(a, b) for a, b in zip(again.ema.averages, whole.ema.averages, strict=True)
        )


def test_a_run_cut_off_twice_goes_on_too(tmp_path):
    whole = Sampled(tmp_path / "whole").train()
    cut_off(Sampled, tmp_path / "cut", 1, in_batch=1)
    cut_off(Sampled, tmp_path / "cut", 3, in_batch=2, first_weights=3)
    assert Sampled(tmp_path / "cut", first_weights=4).train().run.losses == whole.run.losses


@pytest.mark.parametrize("epoch", [0, 2])
def test_a_run_that_was_interrupted_goes_on_in_the_same_kernel(epoch, tmp_path):
    whole = Sampled(tmp_path / "whole").train()
    same = Sampled(tmp_path / "cut")
    with pytest.raises(KeyboardInterrupt):
        same.train(cut_off=epoch, in_batch=2)
    assert same.train().run.losses == whole.run.losses
    assert_same(same.weights(), whole.weights())


def test_a_quick_look_is_the_beginning_of_the_whole_run(tmp_path, monkeypatch):
    whole = Sampled(tmp_path / "whole").train()
    monkeypatch.setenv("PUSHT_MAX_EPOCHS", "2")
    assert Sampled(tmp_path / "look").train().run.losses == whole.run.losses[:2]
    monkeypatch.setenv("PUSHT_MAX_EPOCHS", str(EPOCHS + 10))
    assert Sampled(tmp_path / "look", first_weights=3).train().run.losses == whole.run.losses


def test_a_finished_run_is_not_trained_again(tmp_path, capfd):
    whole = Sampled(tmp_path).train()
    again = Sampled(tmp_path, first_weights=3)
    assert list(again.run.epochs()) == []
    assert again.run.losses == whole.run.losses
    assert_same(again.weights(), whole.weights())


def test_a_finished_run_hands_in_again_what_was_lost(tmp_path):
    """A new machine with the drive of the old one: the resume file is there, the hand-in is not."""
    options = {"resume_folder": tmp_path / "drive"}
    whole = Sampled(tmp_path / "old", **options).train()
    expected = load_checkpoint(tmp_path / "old" / "tiny.safetensors")
    Sampled(tmp_path / "new", first_weights=3, **options).train()
    handed_in = load_checkpoint(tmp_path / "new" / "tiny.safetensors")
    assert handed_in.losses == whole.run.losses
    assert_same(handed_in.weights, expected.weights)


def test_the_last_epoch_is_saved_however_short_the_run(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "_SAVE_EVERY", 1e9)
    whole = Sampled(tmp_path).train()
    assert load_checkpoint(tmp_path / "tiny.safetensors").losses == whole.run.losses
    assert Sampled(tmp_path, first_weights=3).train().run.losses == whole.run.losses


def test_resume_false_starts_over(tmp_path):
    whole = Sampled(tmp_path / "whole").train()
    cut_off(Sampled, tmp_path / "cut", 3)
    assert Sampled(tmp_path / "cut", resume=False).train().run.losses == whole.run.losses
    cut_off(Sampled, tmp_path / "other", 3)
    assert (
        Sampled(tmp_path / "other", first_weights=5, resume=False).train().run.losses
        != whole.run.losses
    )


def test_the_resume_file_is_kept_outside_the_folder_that_is_handed_in(tmp_path):
    cut_off(Plain, tmp_path / "one", 2)
    cut_off(Plain, tmp_path / "two", 3)
    for name, done in (("one", 2), ("two", 3)):
        assert [p.name for p in (tmp_path / name).iterdir()] == ["tiny.safetensors"]
        assert resume_file(tmp_path / name).is_file()
        again = Plain(tmp_path / name).run
        assert next(again.epochs()) == done


def test_on_a_drive_that_outlives_the_home_folder_the_resume_file_is_on_the_drive(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(resume, "_device", lambda path: "drive" in path.parts)
    cut_off(Plain, tmp_path / "drive", 2)
    assert {p.name for p in (tmp_path / "drive").iterdir()} == {
        "tiny.resume.pt",
        "tiny.safetensors",
    }


def test_where_the_home_folder_cannot_be_written_the_resume_file_is_beside_the_hand_in(
    tmp_path, monkeypatch
):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    cut_off(Plain, tmp_path / "here", 2)
    assert (tmp_path / "here" / "tiny.resume.pt").is_file()
    assert next(Plain(tmp_path / "here").run.epochs()) == 2


def test_the_resume_file_goes_where_the_student_says_and_is_not_handed_in(tmp_path):
    cut_off(Plain, tmp_path / "here", 2, resume_folder=tmp_path / "drive")
    assert [p.name for p in (tmp_path / "here").iterdir()] == ["tiny.safetensors"]
    assert [p.name for p in (tmp_path / "drive").iterdir()] == ["tiny.resume.pt"]
    assert (
        len(Plain(tmp_path / "here", resume_folder=tmp_path / "drive").train().run.losses) == EPOCHS
    )


def test_the_seed_is_that_of_the_run(tmp_path):
    first, same, other = (
        Sampled(tmp_path / str(i), seed=seed).train().run.losses for i, seed in enumerate((1, 1, 2))
    )
    assert first == same != other


def test_a_look_at_a_batch_before_the_run_changes_nothing(tmp_path):
    whole = Sampled(tmp_path / "whole").train()
    looked = Sampled(tmp_path / "looked")
    next(iter(looked.loader))
    torch.rand(3)
    assert looked.train().run.losses == whole.run.losses


@pytest.mark.parametrize(
    "change, name",
    [
        ({"seed": 2}, "seed"),
        ({"num_epochs": 6}, "num_epochs"),
        ({"batch_size": 10}, "batch_size"),
        ({"learning_rate": 1e-3}, "optimizer"),
        ({"data": 1}, "demonstrations"),
        ({"width": 9}, "parameters"),
    ],
)
def test_another_runs_resume_file_is_refused_by_what_changed(change, name, tmp_path):
    cut_off(Plain, tmp_path, 2)
    kept = resume_file(tmp_path).read_bytes()
    with pytest.raises(RuntimeError, match=rf"\(changed: {name}\)") as caught:
        Plain(tmp_path, **change).train()
    assert_one_sentence(str(caught.value))
    assert resume_file(tmp_path).read_bytes() == kept


def test_another_schedule_is_another_run(tmp_path):
    cut_off(Plain, tmp_path, 2)
    with pytest.raises(RuntimeError, match=r"\(changed: schedule"):
        Sampled(tmp_path).train()


def test_a_run_that_has_trained_nothing_yet_may_be_changed(tmp_path):
    cut_off(Plain, tmp_path, 0)
    assert len(Plain(tmp_path, learning_rate=1e-3).train().run.losses) == EPOCHS


@pytest.mark.parametrize(
    "damage",
    [
        lambda b: b"",
        lambda b: b[:100],
        lambda b: b[: len(b) // 2],
        lambda b: b[:-1],
        lambda b: pickle.dumps([1]),
    ],
    ids=["empty", "100", "half", "almost", "pickle"],
)
def test_a_damaged_resume_file_is_named(damage, tmp_path):
    cut_off(Plain, tmp_path, 2)
    path = resume_file(tmp_path)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(RuntimeError, match="resume=False") as caught:
        Plain(tmp_path).train()
    assert_one_sentence(str(caught.value))
    assert path.name in str(caught.value)


# The loop.


def test_the_curve_is_the_mean_loss_of_each_epoch(tmp_path):
    trained, logged = Plain(tmp_path), []
    log = trained.run.log
    trained.run.log = lambda loss: (logged.append(loss.item()), log(loss))
    trained.train()
    batches = len(trained.loader)
    np.testing.assert_allclose(
        trained.run.losses, np.reshape(logged, (EPOCHS, batches)).mean(axis=1), rtol=1e-12
    )
    assert all(type(loss) is float for loss in trained.run.losses)


def test_a_loss_may_be_a_plain_number(tmp_path):
    run = Plain(tmp_path).run
    for epoch in run.epochs():
        run.log(0.5 + epoch)
        run.log(np.float32(1.5 + epoch))
    assert run.losses == [1.0 + epoch for epoch in range(EPOCHS)]


def test_epochs_without_a_logged_loss_say_what_is_missing(tmp_path):
    with pytest.raises(
        RuntimeError, match=r"Epoch 0 logged no loss: call run\.log\(loss\)"
    ) as caught:
        for _ in Plain(tmp_path).run.epochs():
            pass
    assert_one_sentence(str(caught.value))
    assert not (tmp_path / "tiny.safetensors").exists()


@pytest.mark.parametrize("bad", ["nan", "inf", "-inf"])
def test_a_diverged_loss_stops_the_run_and_the_last_good_file_stays(bad, tmp_path):
    tiny = Plain(tmp_path)
    with pytest.raises(
        RuntimeError, match=rf"The loss of epoch 2 is {bad}: the training diverged"
    ) as caught:
        for epoch in tiny.run.epochs():
            tiny.run.log(torch.tensor(1.0 + epoch))
            if epoch == 2:
                tiny.run.log(torch.tensor(float(bad)))
    assert "tiny.safetensors" in str(caught.value) and "\n" not in str(caught.value)
    assert load_checkpoint(tmp_path / "tiny.safetensors").losses == [1, 2]


def test_a_run_that_diverges_at_once_names_no_good_file(tmp_path):
    tiny = Plain(tmp_path)
    with pytest.raises(
        RuntimeError, match="The loss of epoch 0 is nan: the training diverged"
    ) as caught:
        for _ in tiny.run.epochs():
            tiny.run.log(torch.tensor(float("nan")))
    assert "stay in" not in str(caught.value) and not (tmp_path / "tiny.safetensors").exists()


def test_weights_that_are_not_finite_are_not_saved_over_good_ones(tmp_path):
    tiny = Plain(tmp_path)
    with pytest.raises(RuntimeError, match="diverged"):
        for epoch in tiny.run.epochs():
            tiny.run.log(torch.tensor(1.0 + epoch))
            if epoch == 2:  # the last step of the epoch, after its loss
                nn.init.constant_(tiny.model[0].weight, float("nan"))
    assert load_checkpoint(tmp_path / "tiny.safetensors").losses == [1, 2]


def test_how_it_trains_and_the_end_are_told_in_a_line_each(tmp_path, capfd):
    tiny = Plain(tmp_path).train()
    assert said(capfd).splitlines()[1:] == [
        f"tiny: 5 epochs, loss {tiny.run.losses[-1]:.6f}, saved in {tmp_path / 'tiny.safetensors'}"
    ]


# The hand-in file.


def test_the_hand_in_holds_weights_statistics_curve_seed_and_fingerprint(tmp_path):
    tiny = Plain(tmp_path, seed=3).train()
    handed_in = load_checkpoint(tmp_path / "tiny.safetensors")
    dataset = tiny.loader.dataset
    assert_same(handed_in.weights, tiny.weights())
    for what in ("obs", "action"):
        for end in ("min", "max"):
            read = handed_in.stats[what][end]
            assert read.dtype == np.float32 and read.tolist() == dataset.stats[what][end].tolist()
    assert (
        handed_in.losses == tiny.run.losses
        and handed_in.num_epochs == EPOCHS
        and handed_in.seed == 3
    )
    assert handed_in.demonstrations == dataset.demonstrations.fingerprint
    assert handed_in.config["optimizer"]["lr"] == 1e-2 and handed_in.config["batch_size"] == 20
    other = Plain(tmp_path, first_weights=5)
    handed_in.restore(other.model)
    assert_same(other.weights(), tiny.weights())


def test_handed_in_are_the_averaged_weights(tmp_path):
    tiny = Sampled(tmp_path).train()
    handed_in = load_checkpoint(tmp_path / "tiny.safetensors").weights
    assert not torch.equal(handed_in["0.weight"], tiny.weights()["0.weight"])
    tiny.ema.copy_to(tiny.model.parameters())
    assert_same(handed_in, tiny.weights())


def test_the_hand_in_is_small_and_nothing_else_is_left(tmp_path):
    tiny = Plain(tmp_path, width=200).train()
    floats = sum(p.numel() for p in tiny.model.parameters())
    assert (tmp_path / "tiny.safetensors").stat().st_size < 4 * floats + 5000
    assert [p.name for p in tmp_path.iterdir()] == ["tiny.safetensors"]


class Trap:
    """Touches a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


DAMAGES = {
    "empty": lambda b: b"",
    "one byte": lambda b: b[:1],
    "length only": lambda b: b[:8],
    "half of the header": lambda b: b[: 8 + int.from_bytes(b[:8], "little") // 2],
    "header only": lambda b: b[: 8 + int.from_bytes(b[:8], "little")],
    "last byte missing": lambda b: b[:-1],
    "bytes too many": lambda b: b + b"\0" * 9,
    "another header": lambda b: b[:8] + b"x" + b[9:],
    "enormous header": lambda b: (2**60).to_bytes(8, "little") + b[8:],
    "a web page": lambda b: b"<!DOCTYPE html><html><body>quota exceeded</body></html>" * 20,
    "a torch file of plain numbers": lambda b: pickle.dumps({"weights": [1.0, 2.0]}),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_hand_in_is_refused_in_one_sentence(damage, tmp_path):
    Plain(tmp_path).train()
    path = tmp_path / "tiny.safetensors"
    path.write_bytes(DAMAGES[damage](path.read_bytes()))
    with pytest.raises(CheckpointError, match=r"^tiny\.safetensors ") as caught:
        load_checkpoint(path)
    assert_one_sentence(str(caught.value))


@pytest.mark.parametrize("write", [pickle.dump, torch.save], ids=["pickle", "torch"])
def test_nothing_in_a_pickle_is_executed(write, tmp_path):
    with open(tmp_path / "tiny.safetensors", "wb") as file:
        write(Trap(tmp_path / "sprung"), file)
    with pytest.raises(CheckpointError):
        load_checkpoint(tmp_path / "tiny.safetensors")
    assert not (tmp_path / "sprung").exists()


HEADER = {
    "losses": [1.0],
    "num_epochs": 3,
    "demonstrations": "x",
    "seed": 1,
    "config": {},
    "stats": {"obs": {"min": [0] * 5, "max": [1] * 5}, "action": {"min": [0] * 2, "max": [1] * 2}},
}


def obs_stats(low, high) -> dict:
    return {"stats": {**HEADER["stats"], "obs": {"min": low, "max": high}}}


def write_hand_in(path: Path, header=None, weights=None, **changed) -> Path:
    text = header if isinstance(header, str) else json.dumps({**HEADER, **changed})
    path.write_bytes(
        safetensors.torch.save(weights or {"w": torch.ones(2)}, metadata={"pusht_checkpoint": text})
    )
    return path


def test_the_handmade_hand_in_of_these_tests_is_a_good_one(tmp_path):
    assert load_checkpoint(write_hand_in(tmp_path / "tiny.safetensors")).losses == [1.0]


@pytest.mark.parametrize(
    "wrong",
    [
        {"header": "{"},
        {"header": "3"},
        {"header": "[" * 100_000},
        {"losses": None},
        {"losses": ["x"]},
        {"losses": [float("nan")]},
        {"losses": [10**400]},
        {"num_epochs": float("inf")},
        {"num_epochs": "many"},
        {"seed": None},
        {"config": 3},
        {"stats": {}},
        obs_stats([0] * 3, [1] * 3),
        obs_stats([0] * 5, [1, 1, 1, 1, float("nan")]),
        obs_stats([0] * 5, [1e300] * 5),
        obs_stats([0, [1]], [1] * 5),
        obs_stats([0] * 5, [1, 1, 1, 1, 0]),
        {"weights": {"w": torch.tensor([1.0, float("inf")])}},
        {"weights": {"w": torch.tensor([float("nan")])}},
        {"weights": {"w": torch.ones(2).to(torch.float8_e4m3fn)}},
    ],
    ids=lambda wrong: str(wrong)[:40],
)
def test_a_hand_in_of_wrong_content_is_refused_in_one_sentence(wrong, tmp_path):
    with pytest.raises(CheckpointError, match=r"^tiny\.safetensors ") as caught:
        load_checkpoint(write_hand_in(tmp_path / "tiny.safetensors", **wrong))
    assert_one_sentence(str(caught.value))


def test_a_safetensors_file_of_somebody_else_is_refused(tmp_path):
    safetensors.torch.save_file({"w": torch.ones(2)}, tmp_path / "tiny.safetensors")
    with pytest.raises(CheckpointError, match="was not written by a TrainingRun") as caught:
        load_checkpoint(tmp_path / "tiny.safetensors")
    assert_one_sentence(str(caught.value))


def test_a_hand_in_that_is_missing_or_far_too_large_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match=r"^There is no tiny\.safetensors") as caught:
        load_checkpoint(tmp_path / "tiny.safetensors")
    assert_one_sentence(str(caught.value))
    with open(tmp_path / "tiny.safetensors", "wb") as file:
        file.truncate(2**40)  # takes no room on the disk
    with pytest.raises(CheckpointError, match="larger than 64 MB") as caught:
        load_checkpoint(tmp_path / "tiny.safetensors")
    assert_one_sentence(str(caught.value))


@pytest.mark.parametrize(
    "other",
    [
        nn.Linear(10, 32),
        nn.Sequential(nn.Linear(10, 9), nn.Mish(), nn.Dropout(), nn.Linear(9, 32)),
        nn.Sequential(
            nn.Linear(10, 8), nn.Mish(), nn.Dropout(), nn.Linear(8, 32), nn.Linear(32, 32)
        ),
    ],
    ids=["kind", "width", "depth"],
)
def test_another_architecture_is_refused_and_stays_as_it_was(other, tmp_path):
    Plain(tmp_path).train()
    before = {name: w.clone() for name, w in other.state_dict().items()}
    with pytest.raises(CheckpointError, match="another architecture") as caught:
        load_checkpoint(tmp_path / "tiny.safetensors").restore(other)
    assert_one_sentence(str(caught.value))
    assert_same(other.state_dict(), before)


@pytest.mark.parametrize("failure", ["writing", "renaming"])
def test_a_write_that_fails_half_way_leaves_the_old_hand_in_whole(failure, tmp_path, monkeypatch):
    Plain(tmp_path).train()
    old, path = load_checkpoint(tmp_path / "tiny.safetensors"), tmp_path / "tiny.safetensors"
    write_bytes = Path.write_bytes

    def half(self, data):
        write_bytes(self, data[: len(data) // 2])
        raise OSError("No space left on device")

    def fail(*args):
        raise OSError("No space left on device")

    monkeypatch.setattr(
        *(Path, "write_bytes", half) if failure == "writing" else (os, "replace", fail)
    )
    with pytest.raises(OSError, match="No space left"):
        Checkpoint({"0.weight": torch.zeros(3)}, old.stats, [9.0], 1, "x", 1, {}).save(path)
    monkeypatch.undo()
    kept = load_checkpoint(path)
    assert kept.losses == old.losses
    assert_same(kept.weights, old.weights)


def test_a_run_goes_on_after_a_write_that_failed(tmp_path, monkeypatch):
    whole = Sampled(tmp_path / "whole").train()
    replace, hand_in = os.replace, tmp_path / "full" / "tiny.safetensors"

    def fail_later(written, path):  # at the second hand-in's resume file
        if (
            str(path).endswith(".resume.pt")
            and hand_in.exists()
            and len(load_checkpoint(hand_in).losses) == 2
        ):
            raise OSError("No space left on device")
        replace(written, path)

    monkeypatch.setattr(os, "replace", fail_later)
    with pytest.raises(OSError):
        Sampled(tmp_path / "full").train()
    monkeypatch.setattr(os, "replace", replace)
    assert len(load_checkpoint(hand_in).losses) == 2
    assert Sampled(tmp_path / "full", first_weights=3).train().run.losses == whole.run.losses


# When graded.


@pytest.fixture
def grading():
    return lambda: set_run_mode(RunMode(train=False, show=False))


@pytest.mark.parametrize("kind", [Plain, Sampled])
def test_a_graded_notebook_loads_what_was_handed_in_and_trains_nothing(
    kind, grading, tmp_path, capfd
):
    trained = kind(tmp_path).train()
    handed_in = load_checkpoint(tmp_path / "tiny.safetensors")
    files = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    grading()
    capfd.readouterr()
    graded = kind(tmp_path, first_weights=5)
    assert list(graded.run.epochs()) == []
    assert_same(graded.weights(), handed_in.weights)
    assert graded.run.losses == trained.run.losses
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == files
    assert said(capfd) == ""


def test_copying_the_averaged_weights_after_the_loop_keeps_what_was_handed_in(grading, tmp_path):
    Sampled(tmp_path).train()
    handed_in = load_checkpoint(tmp_path / "tiny.safetensors")
    grading()
    graded = Sampled(tmp_path, first_weights=5).train()
    graded.ema.copy_to(graded.model.parameters())  # as published, below the loop
    assert_same(graded.weights(), handed_in.weights)


def test_a_graded_notebook_needs_no_demonstrations(grading, tmp_path):
    Plain(tmp_path).train()
    grading()
    model = Plain(tmp_path, first_weights=5).model
    run = TrainingRun(
        "tiny",
        model,
        None,
        torch.optim.AdamW(model.parameters()),
        num_epochs=EPOCHS,
        seed=1,
        folder=tmp_path,
    )
    assert list(run.epochs()) == [] and len(run.losses) == EPOCHS


@pytest.mark.parametrize(
    "damage",
    [None, lambda path: path.write_bytes(path.read_bytes()[:-1]), lambda path: write_hand_in(path)],
    ids=["missing", "damaged", "foreign"],
)
def test_without_a_good_hand_in_the_model_stays_and_a_sentence_says_why(
    damage, grading, tmp_path, capfd
):
    Plain(tmp_path / "other").train()
    if damage:
        Plain(tmp_path).train()
        damage(tmp_path / "tiny.safetensors")
    grading()
    capfd.readouterr()
    graded = Plain(tmp_path)
    before = graded.weights()
    assert list(graded.run.epochs()) == []
    assert_same(graded.weights(), before)
    assert graded.run.losses == []
    out = said(capfd)
    assert out.startswith("tiny stays untrained. ")
    assert_one_sentence(out)
