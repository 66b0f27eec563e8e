"""The log of a training run: a directory with its settings, all logged numbers, its policies and
its films.

    logger = Logger(run_directory("flow", seed=42), config=config)
    logger.log({"train/loss": loss}, step)
    logger.dump_for_grading()

The directory, such as exp/seed_42_20260119_161512_flow, contains

==========================  ====================================================================
config.json                 settings of the run
log.csv                     a row for each call of `log`, a column for each logged name
checkpoints/step_N…         the policy evaluated last, after step N (see `pusht.checkpoint`)
videos/step_N.mp4           the first episodes of that evaluation
policy.safetensors          the same policy at the end of the run, which is handed in
summary.json                the last value of each column
wandb/                      files of Weights & Biases, if it is used
==========================  ====================================================================

`dump_for_grading` writes policy.safetensors and summary.json.
"""

import contextlib
import csv
import dataclasses
import io
import json
import math
import operator
import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pusht.checkpoint import SUFFIX, Checkpoint, as_plain, new_run_id, now
from pusht.demos import Demonstrations
from pusht.files import write_whole
from pusht.loss_view import LossCurve, LossView
from pusht.video import write_video

Row = dict[str, float]


def run_directory(name: str, seed: int, folder: str | os.PathLike[str] = "exp") -> Path:
    """Return the path for a new run, FOLDER/seed_42_20260119_161512_NAME by the local time.

    The directory is not created. ValueError when `name` cannot be part of a file name.
    """
    if not name or Path(name).name != name:
        raise ValueError(f"The name of a run must be a plain word, not {name!r}.")
    return Path(folder) / f"seed_{seed}_{time.strftime('%Y%m%d_%H%M%S')}_{name}"


def read_log(path: str | os.PathLike[str]) -> list[Row]:
    """Return the rows of a log.csv; each is {name: number} with the names logged in that row."""
    with open(path, newline="", encoding="utf-8") as file:
        return [
            {name: float(value) for name, value in row.items() if value}
            for row in csv.DictReader(file)
        ]


class Logger:
    """A logger that writes the directory of a training run as it goes. A run that is killed loses
    its last row at most.

    path: directory of the run, which must not exist yet; see `run_directory`.
    config: settings to record, a dataclass or a dict.
    demonstrations: the `Demonstrations` trained on, whose fingerprint is recorded; None if they
        are not known.
    wandb: "online" or "offline" to log to Weights & Biases as well, else "disabled". None: the
        value of the environment variable WANDB_MODE, or "disabled" if it is not set.
    steps_per_epoch: if given, a notebook shows the mean "train/loss" of each epoch.
    reference: the curve to show beside it, with attributes `losses`, `low`, `high` (one number per
        epoch); or None.

    config: dict, as in config.json. rows: list of dicts, as in log.csv.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        config: Any = None,
        demonstrations: Demonstrations | None = None,
        wandb: str | None = None,
        steps_per_epoch: int | None = None,
        reference: LossCurve | None = None,
    ) -> None:
        self.path = Path(path)
        self.config = _plain(config)
        self._steps_per_epoch = steps_per_epoch
        self._view = LossView(self.config.get("policy", self.path.name), reference)
        if demonstrations is not None:
            self.config["demonstrations"] = demonstrations.fingerprint
        self.run_id = new_run_id()
        self.rows: list[Row] = []
        self._columns = ["step"]
        self._checkpoint: Path | None = None
        self._film: Path | None = None
        try:
            self.path.mkdir(parents=True)
        except FileExistsError:
            raise FileExistsError(
                f"{self.path} exists already: give each run a directory of its own."
            ) from None
        write_whole(self.path / "config.json", _json(self.config))
        mode = wandb or os.environ.get("WANDB_MODE", "disabled")
        self._wandb = _start_wandb(mode, self.path, self.config)

    def log(self, row: Mapping[str, Any], step: int) -> None:
        """Record the numbers of `row`, {name: number}, at the training step `step`.

        A number may come from Python or numpy or be a tensor with one element; nan and inf are
        recorded as they are. ValueError for anything else, TypeError for a step that is not an
        integer.
        """
        numbers = {_name(name): _number(name, value) for name, value in dict(row).items()}
        logged: Row = {"step": _step(step), **numbers}
        self.rows.append(logged)
        new = [name for name in logged if name not in self._columns]
        self._columns += new
        path = self.path / "log.csv"
        if new or not path.exists():  # the header changes, and with it every line
            header = dict(zip(self._columns, self._columns, strict=True))
            write_whole(path, self._csv([header, *self.rows]))
        else:
            # Without a buffer there is a single system call, so a row is written completely or not
            # at all.
            with open(path, "ab", buffering=0) as file:
                file.write(self._csv([logged]))
        if self._wandb:
            self._wandb.log(logged)
        if "train/loss" in logged:
            self._draw()

    def save_checkpoint(self, checkpoint: Checkpoint, step: int) -> Path:
        """Save the policy after a step, and return the path of its file. It replaces that of an
        earlier step: those of all evaluations would be most of what nbgrader hands in.
        """
        path, before = self._file("checkpoints", step, SUFFIX), self._checkpoint
        dataclasses.replace(checkpoint, run_id=self.run_id, trained_at=now()).save(path)
        self._checkpoint = path
        if before and before != path:
            before.unlink(missing_ok=True)
        return path

    def save_video(self, frames: Iterable[np.ndarray], step: int) -> Path:
        """Save a film of frames (H, W, 3) uint8, 10 a second, and return its path. It replaces that
        of an earlier step.
        """
        path, before = write_video(self._file("videos", step, ".mp4"), frames), self._film
        self._film = path
        if before and before != path:
            before.unlink(missing_ok=True)
        if self._wandb:
            import wandb

            film = wandb.Video(str(path), format="mp4")
            self._wandb.log({"step": _step(step), "eval/video": film})
        return path

    def dump_for_grading(self) -> None:
        """Complete the directory at the end of training; it is safe to call this again."""
        self._draw(final=True)
        last = {name: value for row in self.rows for name, value in row.items()}
        write_whole(self.path / "summary.json", _json(last))
        if self._checkpoint is None:
            print(
                f"{self.path} contains no policy: call evaluate_policy before"
                " logger.dump_for_grading()."
            )
        else:
            write_whole(self.path / f"policy{SUFFIX}", self._checkpoint.read_bytes())
        if self._wandb:
            self._wandb.finish()
            self._wandb = None

    def losses(self) -> tuple[list[int], list[float]]:
        """Return the steps at which a "train/loss" was logged, and these losses."""
        rows = [row for row in self.rows if "train/loss" in row]
        return [int(row["step"]) for row in rows], [row["train/loss"] for row in rows]

    def epoch_losses(self, steps_per_epoch: int) -> list[float]:
        """Return the mean of the "train/loss" logged in each epoch, without the epochs in which
        none was logged.
        """
        epochs: dict[int, list[float]] = {}
        for step, loss in zip(*self.losses(), strict=True):
            epochs.setdefault((step - 1) // steps_per_epoch, []).append(loss)
        return [sum(losses) / len(losses) for _, losses in sorted(epochs.items())]

    def hand_in(self, name: str, folder: str | os.PathLike[str] = ".") -> None:
        """Copy the files to hand in to `folder`: the policy that was evaluated last as
        NAME.safetensors, and the log as NAME_log.csv.
        """
        for source, target, missing in (
            (self._checkpoint, f"{name}{SUFFIX}", "evaluated"),
            (self.path / "log.csv", f"{name}_log.csv", "logged"),
        ):
            if source is None or not source.exists():
                print(f"{target} was not written: nothing was {missing}.")
            else:
                write_whole(Path(folder) / target, source.read_bytes())

    def _draw(self, final: bool = False) -> None:
        if steps := self._steps_per_epoch:
            self._view.draw(lambda: self.epoch_losses(steps), final)

    def _csv(self, rows: Iterable[Mapping[str, Any]]) -> bytes:
        text = io.StringIO()
        csv.DictWriter(text, self._columns, lineterminator="\n").writerows(rows)
        return text.getvalue().encode()

    def _file(self, folder: str, step: int, suffix: str) -> Path:
        return self.path / folder / f"step_{_step(step)}{suffix}"


def _step(step: Any) -> int:
    try:
        return operator.index(step)
    except TypeError:
        raise TypeError(f"The step must be an integer, not {step!r}.") from None


def _name(name: Any) -> str:
    if not isinstance(name, str) or not name or not name.isprintable() or name == "step":
        raise ValueError(
            f"The name of a logged number must be one line of text other than 'step', not {name!r}."
        )
    return name


def _number(name: str, value: Any) -> float:
    # `item` converts numbers of numpy and torch, and raises if there is more than one element.
    with contextlib.suppress(ValueError, RuntimeError):
        value = value.item() if hasattr(value, "item") else value
    if not isinstance(value, (bool, int, float)):
        kind = (
            f"{type(value).__name__} of shape {tuple(value.shape)}"
            if hasattr(value, "shape")
            else repr(value)[:80]
        )
        raise ValueError(f"{name!r} must be logged as one number, not as {kind}.")
    return int(value) if isinstance(value, bool) else value


def _plain(config: Any) -> dict[str, Any]:
    """Return the config as a dict of JSON values."""
    if dataclasses.is_dataclass(config) and not isinstance(config, type):
        config = dataclasses.asdict(config)
    return json.loads(json.dumps(as_plain(dict(config or {})), default=str))


def _json(values: Mapping[str, Any]) -> str:
    """Return the values as JSON; nan and inf, which JSON does not have, become null."""
    finite = {
        name: None if isinstance(v, float) and not math.isfinite(v) else v
        for name, v in values.items()
    }
    return json.dumps(finite, indent=2) + "\n"


def _start_wandb(mode: str, path: Path, config: dict[str, Any]) -> Any:
    """Return the W&B run, or None; if it was requested but does not start, a message says why."""
    if mode not in ("online", "offline"):
        return None
    try:
        import wandb
    except ImportError:
        print(f"Weights & Biases is not installed (pip install wandb): the log is only in {path}.")
        return None
    try:
        run = wandb.init(
            project="pusht",
            name=path.name,
            dir=path,
            config=config,
            mode=mode,
            settings=wandb.Settings(silent=True, console="off"),
        )
        run.define_metric("*", step_metric="step")
    except Exception as error:  # such as no login or no network; training goes on without it
        print(
            f"Weights & Biases does not start ({' '.join(str(error).split())[:200]}): the log is"
            f" only in {path}."
        )
        return None
    return run
