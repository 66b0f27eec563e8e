"""A hand-in says which training run it comes from and when that run last saved."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
import torch
from test_tracking import checkpoint
from test_training import Plain, resume_file

from pusht import Logger, training
from pusht.checkpoint import load_checkpoint
from pusht.normalisation import MOMENTS


@pytest.fixture(autouse=True)
def save_every_epoch(monkeypatch):
    monkeypatch.setattr(training, "_SAVE_EVERY", -1.0)


def handed_in(folder):
    return load_checkpoint(folder / "tiny.safetensors")


def test_a_run_that_continues_keeps_its_id_and_another_run_of_the_same_seed_has_its_own(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        Plain(tmp_path).train(cut_off=3)
    begun = handed_in(tmp_path)
    Plain(tmp_path).train()
    whole = handed_in(tmp_path)
    assert whole.run_id == begun.run_id and len(whole.run_id) == 16
    Plain(tmp_path, resume=False).train()
    again = handed_in(tmp_path)
    assert again.losses == whole.losses and again.run_id != whole.run_id


def test_the_time_is_that_of_the_last_save_and_stays_when_a_finished_run_is_run_again(
    tmp_path, monkeypatch
):
    Plain(tmp_path).train()
    saved = handed_in(tmp_path).trained_at
    assert datetime.fromisoformat(saved).utcoffset() == timedelta(0)
    monkeypatch.setattr(training, "now", lambda: "later")
    Plain(tmp_path).train()
    assert handed_in(tmp_path).trained_at == saved
    Plain(tmp_path, resume=False).train()
    assert handed_in(tmp_path).trained_at == "later"


def test_a_run_from_before_there_were_ids_continues(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        Plain(tmp_path).train(cut_off=3)
    state = torch.load(resume_file(tmp_path), weights_only=True)
    del state["run_id"], state["trained_at"]
    torch.save(state, resume_file(tmp_path))
    Plain(tmp_path).train()
    assert handed_in(tmp_path).run_id and handed_in(tmp_path).trained_at


def test_every_policy_of_a_log_has_the_logs_id(tmp_path):
    def saved(logger, step):
        return load_checkpoint(logger.save_checkpoint(checkpoint(1.0), step), MOMENTS)

    one, other = Logger(tmp_path / "one"), Logger(tmp_path / "other")
    first, second, third = saved(one, 10), saved(one, 20), saved(other, 10)
    assert first.run_id == second.run_id != third.run_id
    assert all(datetime.fromisoformat(c.trained_at) for c in (first, second, third))


def test_a_file_without_an_id_has_an_empty_one_and_the_same_bytes_as_before(tmp_path):
    old = checkpoint(1.0)
    old.save(tmp_path / "old.safetensors")
    assert b"run_id" not in (tmp_path / "old.safetensors").read_bytes()
    read = load_checkpoint(tmp_path / "old.safetensors", MOMENTS)
    assert read.run_id == read.trained_at == ""
    replace(old, run_id="a1", trained_at="now").save(tmp_path / "new.safetensors")
    assert load_checkpoint(tmp_path / "new.safetensors", MOMENTS).run_id == "a1"


def test_making_an_id_draws_from_no_generator_that_training_uses(tmp_path):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    Logger(tmp_path / "run")
    assert torch.equal(before, torch.get_rng_state())
