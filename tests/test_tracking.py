"""The directory of a run: everything that was logged is there, whenever the run ends, and nothing
of an older run is lost.
"""

import csv
import dataclasses
import json
import math
import re
import signal
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch

from pusht import Logger, loss_view
from pusht.checkpoint import Checkpoint, load_checkpoint
from pusht.demos import Demonstrations
from pusht.normalisation import MOMENTS
from pusht.run_mode import RunMode, set_run_mode
from pusht.tracking import run_directory


@pytest.fixture(autouse=True)
def no_wandb_from_outside(monkeypatch):
    monkeypatch.delenv("WANDB_MODE", raising=False)


@pytest.fixture(autouse=True)
def nothing_on_stderr(capfd):
    """nbgrader takes any word there for a failed answer."""
    yield
    assert capfd.readouterr().err == ""


@pytest.fixture
def logger(tmp_path):
    return Logger(tmp_path / "run")


def table(logger) -> list[dict]:
    """The rows of log.csv; cells that hold nothing are left out."""
    with open(logger.path / "log.csv", newline="") as file:
        return [
            {name: float(value) for name, value in row.items() if value}
            for row in csv.DictReader(file)
        ]


def checkpoint(weight: float) -> Checkpoint:
    stats = {
        what: {"mean": np.zeros(size), "std": np.ones(size)}
        for what, size in (("obs", 5), ("action", 2))
    }
    return Checkpoint({"w": torch.tensor([weight])}, stats, [], 1, "", 0, {})


# The loss while it trains.


@pytest.fixture
def drawn(monkeypatch):
    """In a notebook: each curve as it is drawn, whatever the clock says."""
    curves = []
    monkeypatch.setattr(loss_view, "in_notebook", lambda: True)
    monkeypatch.setattr(loss_view, "_DRAW_EVERY", -1e9)
    monkeypatch.setattr(loss_view.time, "monotonic", lambda: 1.0)
    monkeypatch.setattr(
        loss_view,
        "plot_losses",
        lambda losses, reference, title: curves.append((losses, reference, title)) or PNG,
    )
    return curves


PNG = loss_view.plot_losses([1.0])
REFERENCE = types.SimpleNamespace(losses=[1.0, 0.5], low=[0.9, 0.4], high=[1.1, 0.6])


def logged(path, losses=(4.0, 2.0, 1.0), **options):
    logger = Logger(path, **options)
    for i, loss in enumerate(losses):
        logger.log({"train/loss": loss}, 10 * i + 10)
    logger.log({"eval/mean_reward": 0.5}, 40)
    return logger


def test_a_notebook_shows_the_loss_of_each_epoch_beside_the_reference(tmp_path, drawn):
    logger = logged(tmp_path / "mse", steps_per_epoch=20, reference=REFERENCE)
    assert drawn == [
        ([4.0], REFERENCE, "mse"),
        ([3.0], REFERENCE, "mse"),
        ([3.0, 1.0], REFERENCE, "mse"),
    ]
    logger.dump_for_grading()
    assert drawn[-1] == drawn[-2] and len(drawn) == 4  # the last word, whenever it was drawn before


def test_the_curve_of_a_run_that_is_not_to_be_shown_is_not_drawn(tmp_path, drawn, monkeypatch):
    logged(tmp_path / "epochs unknown", reference=REFERENCE)
    set_run_mode(RunMode(show=False))
    logged(tmp_path / "graded", steps_per_epoch=20)
    set_run_mode(RunMode())
    monkeypatch.setattr(loss_view, "in_notebook", lambda: False)
    logged(tmp_path / "terminal", steps_per_epoch=20)
    assert not drawn


def test_drawing_takes_a_thirtieth_of_the_run_at_most(tmp_path, drawn, monkeypatch):
    clock = iter(range(1000))  # each look at it takes a second, so drawing does
    monkeypatch.setattr(loss_view.time, "monotonic", lambda: next(clock))
    logged(tmp_path / "run", [1.0] * 100, steps_per_epoch=20)
    assert 2 <= len(drawn) <= 5


@pytest.mark.parametrize(
    "losses", [[], [math.nan], [0.0, -1.0], [math.inf, 2.0, math.nan], [1e30, 1e-30]]
)
def test_a_loss_that_has_no_place_on_the_scale_disturbs_nothing(losses, tmp_path, monkeypatch):
    monkeypatch.setattr(loss_view, "in_notebook", lambda: True)
    logged(tmp_path / "run", losses, steps_per_epoch=20, reference=REFERENCE).dump_for_grading()


# The directory.


def test_a_run_is_named_by_seed_time_and_name():
    path = run_directory("my_name", 42)
    assert path.parent == Path("exp") and re.fullmatch(r"seed_42_\d{8}_\d{6}_my_name", path.name)
    assert run_directory("x", 1, folder="other").parent == Path("other")


@pytest.mark.parametrize("name", ["", "a/b", "../x", "/tmp"])
def test_a_name_that_leads_elsewhere_is_refused(name):
    with pytest.raises(ValueError, match="plain word"):
        run_directory(name, 1)


@pytest.mark.parametrize("kind", [str, Path])
def test_a_directory_that_exists_is_refused_and_left_alone(kind, tmp_path):
    first = Logger(kind(tmp_path / "exp" / "run"), config={"lr": 1})
    first.log({"a": 1}, 1)
    before = {path: path.read_bytes() for path in first.path.iterdir()}
    with pytest.raises(FileExistsError, match=r"run exists already: .*\.$"):
        Logger(kind(tmp_path / "exp" / "run"))
    assert {path: path.read_bytes() for path in first.path.iterdir()} == before
    assert isinstance(first.path, Path)


def test_settings_are_kept_from_a_dataclass_or_a_dict(tmp_path):
    @dataclasses.dataclass
    class Config:
        lr: float = 1e-3
        dims: tuple = (3, 4)
        where: Path = Path("a")

    demonstrations = Demonstrations(
        np.zeros((3, 5), np.float32), np.zeros((3, 2), np.float32), np.array([3])
    )
    for i, config in enumerate((Config(), dataclasses.asdict(Config()))):
        logger = Logger(tmp_path / str(i), config=config, demonstrations=demonstrations)
        assert (
            json.loads((logger.path / "config.json").read_text())
            == logger.config
            == {
                "lr": 1e-3,
                "dims": [3, 4],
                "where": "a",
                "demonstrations": demonstrations.fingerprint,
            }
        )


# The log.


def test_names_that_are_logged_late_reach_the_log(logger):
    logged = [
        ({"train/loss": 1.0}, 1),
        ({"train/loss": 0.5}, 2),
        ({"eval/mean_reward": 0.1, 'a,"b"': 3}, 2),
        ({"train/loss": 0.25}, 3),
        ({"eval/mean_reward": 0.2}, 4),
    ]
    for i, (row, step) in enumerate(logged):
        logger.log(row, step=step)
        assert table(logger) == [{"step": step, **row} for row, step in logged[: i + 1]]
    assert logger.rows == [{"step": step, **row} for row, step in logged]
    assert {path.name for path in logger.path.iterdir()} == {"config.json", "log.csv"}


def test_the_file_is_only_appended_to_while_no_name_is_new(logger):
    logger.log({"a": 1, "b": 2}, 1)
    inode = (logger.path / "log.csv").stat().st_ino
    for step in range(5):
        logger.log({"b": step}, step)
    assert (logger.path / "log.csv").stat().st_ino == inode
    logger.log({"c": 1}, 9)
    assert (logger.path / "log.csv").stat().st_ino != inode


@pytest.mark.parametrize(
    "value",
    [
        0.1,
        3,
        True,
        np.float32(0.1),
        np.int64(3),
        np.array([2.5]),
        torch.tensor(0.1),
        torch.tensor([2.5], requires_grad=True),
        float("nan"),
        float("inf"),
        -math.inf,
    ],
)
def test_numbers_of_every_kind_come_back_as_they_were(value, logger):
    logger.log({"x": value}, np.int64(4))
    expected = float(value.item() if hasattr(value, "item") else value)
    [row] = table(logger)
    assert row["step"] == 4 and (
        row["x"] == expected or (math.isnan(row["x"]) and math.isnan(expected))
    )
    assert type(logger.rows[0]["x"]) in (int, float) and type(logger.rows[0]["step"]) is int


@pytest.mark.parametrize(
    "row",
    [
        {"x": torch.zeros(3)},
        {"x": np.zeros((2, 2))},
        {"x": "fast"},
        {"x": None},
        {"x": [1]},
        {"x": 1j},
        {"": 1},
        {"a\nb": 1},
        {3: 1},
        {"step": 1},
    ],
    ids=str,
)
def test_what_is_no_number_or_no_name_is_refused_and_leaves_no_trace(row, logger):
    logger.log({"good": 1}, 1)
    with pytest.raises(ValueError, match=r"^[^\n]+\.$"):
        logger.log({"good": 2, **row}, 2)
    logger.log({"good": 3}, 3)
    assert table(logger) == [{"step": 1, "good": 1}, {"step": 3, "good": 3}]


@pytest.mark.parametrize("step", [1.5, "2", None])
def test_a_step_is_an_integer(step, logger):
    with pytest.raises(TypeError, match="integer"):
        logger.log({"x": 1}, step)


LOGS_FOR_EVER = """
import sys
from pusht.tracking import Logger
logger = Logger(sys.argv[1])
for step in range(10**9):
    logger.log({"loss": 0.5 * step, f"name_{step // 20}": 1}, step)
    if step == 200:
        print("well under way", flush=True)
"""


def test_a_run_killed_at_any_moment_leaves_a_whole_log(tmp_path):
    """Every twentieth row brings a new column, so that the file is often being replaced when the
    signal comes.
    """
    path = tmp_path / "run"
    with subprocess.Popen(
        [sys.executable, "-c", LOGS_FOR_EVER, path],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).resolve().parents[1],
    ) as process:
        process.stdout.readline()
        process.send_signal(signal.SIGKILL)
    text = (path / "log.csv").read_text()
    header, *rows = list(csv.reader(text.splitlines()))
    assert len(rows) > 200 and text.endswith("\n")
    assert all(len(row) == len(header) for row in rows)
    assert [(int(row[0]), float(row[1])) for row in rows] == [
        (step, 0.5 * step) for step in range(len(rows))
    ]


# The end.


def test_the_hand_in_is_the_policy_last_evaluated(logger):
    for step in (1, 2):
        logger.log({"train/loss": 1 / step}, step)
        assert logger.save_checkpoint(checkpoint(step), step).name == f"step_{step}.safetensors"
        logger.save_video(np.zeros((3, 16, 16, 3), np.uint8), step)
    kept = {
        path.name for name in ("checkpoints", "videos") for path in (logger.path / name).iterdir()
    }
    assert kept == {"step_2.safetensors", "step_2.mp4"}
    logger.log({"eval/mean_reward": float("nan")}, 2)
    logger.dump_for_grading()
    assert load_checkpoint(logger.path / "policy.safetensors", MOMENTS).weights["w"].item() == 2
    assert json.loads((logger.path / "summary.json").read_text()) == {
        "step": 2,
        "train/loss": 0.5,
        "eval/mean_reward": None,
    }


def test_dumping_twice_does_no_harm(logger):
    logger.save_checkpoint(checkpoint(1), 1)
    logger.log({"a": 1}, 1)
    logger.dump_for_grading()
    before = {path: path.read_bytes() for path in logger.path.rglob("*") if path.is_file()}
    logger.dump_for_grading()
    assert {path: path.read_bytes() for path in logger.path.rglob("*") if path.is_file()} == before


def test_a_run_without_an_evaluation_is_told_what_is_missing(logger, capfd):
    logger.dump_for_grading()
    assert "call evaluate_policy before" in capfd.readouterr().out
    assert (logger.path / "summary.json").is_file() and not (
        logger.path / "policy.safetensors"
    ).exists()


# Weights & Biases.


class FakeRun:
    def __init__(self):
        self.rows, self.finished = [], 0

    def define_metric(self, *args, **kwargs):
        pass

    def log(self, row):
        self.rows.append(row)

    def finish(self):
        self.finished += 1


@pytest.fixture
def fake_wandb(monkeypatch):
    """W&B as far as the logger uses it; the real one is no requirement of the kit."""
    run = FakeRun()
    module = types.SimpleNamespace(
        init=lambda **options: vars(run).update(options) or run,
        Settings=dict,
        Video=lambda path, format: path,
    )
    monkeypatch.setitem(sys.modules, "wandb", module)
    return run


def test_wandb_is_never_imported_unless_it_is_wanted(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)  # to import it is an error
    for i, wanted in enumerate((None, "disabled")):
        Logger(tmp_path / str(i), wandb=wanted).log({"a": 1}, 1)


@pytest.mark.parametrize("by", ["argument", "environment"])
def test_wandb_gets_every_row_when_it_is_wanted(by, fake_wandb, tmp_path, monkeypatch):
    if by == "environment":
        monkeypatch.setenv("WANDB_MODE", "offline")
    logger = Logger(tmp_path / "run", wandb="offline" if by == "argument" else None)
    logger.log({"a": 1}, 1)
    film = logger.save_video([np.zeros((16, 16, 3), np.uint8)] * 2, 1)
    logger.log({"b": 2}, 2)
    logger.dump_for_grading()
    logger.dump_for_grading()
    assert (
        fake_wandb.mode == "offline" and fake_wandb.dir == logger.path and fake_wandb.finished == 1
    )
    assert fake_wandb.rows == [
        {"step": 1, "a": 1},
        {"step": 1, "eval/video": str(film)},
        {"step": 2, "b": 2},
    ]


def test_the_log_goes_on_without_a_wandb_that_is_missing_or_fails(
    fake_wandb, tmp_path, monkeypatch, capfd
):
    def init(**options):
        raise RuntimeError("No API key\nconfigured")

    sys.modules["wandb"].init = init
    Logger(tmp_path / "fails", wandb="online").log({"a": 1}, 1)
    assert "does not start (No API key configured)" in capfd.readouterr().out
    monkeypatch.setitem(sys.modules, "wandb", None)
    logger = Logger(tmp_path / "missing", wandb="online")
    logger.log({"a": 1}, 1)
    assert "pip install wandb" in capfd.readouterr().out and table(logger) == [{"step": 1, "a": 1}]
