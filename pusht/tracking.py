"""The log of a training run: a directory with its settings, every number that was logged, its
policies and its films.

    logger = Logger(run_directory("flow", seed=42), config=config)      #
    exp/seed_42_20260119_161512_flow logger.log({"train/loss": loss}, step)
    logger.dump_for_grading()

==========================
====================================================================================== config.json
settings of the run log.csv                     one row for each `log`, a column for each name that
was ever logged checkpoints/step_N…         the policy as it was evaluated after step N, see
`pusht.checkpoint` videos/step_N.mp4           its first episodes policy.safetensors          the
policy last evaluated: what is handed in   } written by `dump_for_grading` summary.json
the last value of each column                  } wandb/                      Weights & Biases' own
files, where it is wanted ==========================
======================================================================================
"""

import csv
import dataclasses
import io
import json
import math
import operator
import os
import shutil
import time
from pathlib import Path

from pusht.checkpoint import SUFFIX, new_run_id, now
from pusht.training import LossView
from pusht.video import write_video


def run_directory(name, seed, folder="exp"):
    """A path for a new run, folder/seed_42_20260119_161512_name, by the local time; nothing is
    made.
    """
    if not name or Path(name).name != name:
        raise ValueError(f"A run is named by a plain word, not by {name!r}.")
    return Path(folder) / f"seed_{seed}_{time.strftime('%Y%m%d_%H%M%S')}_{name}"


def read_log(path):
    """The rows of a log.csv as `Logger.rows` has them: a list of {name: number}, with what was not
    logged left out.
    """
    with open(path, newline="", encoding="utf-8") as file:
        return [
            {name: float(value) for name, value in row.items() if value}
            for row in csv.DictReader(file)
        ]


class Logger:
    """Writes the directory of a training run as it goes, so that a run killed at any moment loses
    its last row at most.

    path: directory of the run, which must not exist yet; see `run_directory`.
    config: settings worth knowing, a dataclass or a dict.
    demonstrations: the `Demonstrations` trained on, whose fingerprint is kept; None where they are
    not known.
    wandb: "online" or "offline" to log to Weights & Biases as well, "disabled" not to; None: as the
        environment variable WANDB_MODE says, and not at all where it says nothing.
    steps_per_epoch: where it is told, a notebook shows the "train/loss" of each epoch as it goes,
    beside
    reference: the curve to expect, with attributes `losses`, `low`, `high` (one number an epoch);
    or None.

    path, config (dict, as in config.json), rows (list of dicts, as in log.csv).
    """

    def __init__(
        self,
        path,
        *,
        config=None,
        demonstrations=None,
        wandb=None,
        steps_per_epoch=None,
        reference=None,
    ):
        self.path = Path(path)
        self.config = _plain(config)
        self._steps_per_epoch = steps_per_epoch
        self._view = (
            LossView(self.config.get("policy", self.path.name), reference)
            if steps_per_epoch
            else None
        )
        if demonstrations is not None:
            self.config["demonstrations"] = demonstrations.fingerprint
        self.run_id = new_run_id()
        self.rows = []
        self._columns = ["step"]
        self._checkpoint = None
        try:
            self.path.mkdir(parents=True)
        except FileExistsError:
            raise FileExistsError(
                f"{self.path} exists already: give each run a directory of its own."
            ) from None
        _write(self.path / "config.json", _json(self.config))
        self._wandb = _start_wandb(
            wandb or os.environ.get("WANDB_MODE", "disabled"), self.path, self.config
        )

    def log(self, row, step):
        """Keep the numbers of `row`, {name: number}, under the training step `step`.

        A number may be Python's, numpy's or a tensor of one element; nan and inf are kept as such.
        ValueError for anything else, TypeError for a step that is no integer.
        """
        step = _step(step)
        row = {
            "step": step,
            **{_name(name): _number(name, value) for name, value in dict(row).items()},
        }
        self.rows.append(row)
        new = [name for name in row if name not in self._columns]
        self._columns += new
        path = self.path / "log.csv"
        if (
            new or not path.exists()
        ):  # the header changes: the whole file anew, put in place at once
            _write(path, self._csv([dict(zip(self._columns, self._columns)), *self.rows]))
        else:
            with open(
                path, "ab", buffering=0
            ) as file:  # one write to the system, so a row is there or is not
                file.write(self._csv([row]))
        if self._wandb:
            self._wandb.log(row)
        if "train/loss" in row:
            self._draw()

    def save_checkpoint(self, checkpoint, step):
        """Keep the policy of a step, a `pusht.checkpoint.Checkpoint`; return the path of its file."""
        path = self._file("checkpoints", step, SUFFIX)
        dataclasses.replace(checkpoint, run_id=self.run_id, trained_at=now()).save(path)
        self._checkpoint = path
        return path

    def save_video(self, frames, step):
        """Keep a film, frames (H, W, 3) uint8 at 10 a second; return its path."""
        path = write_video(self._file("videos", step, ".mp4"), frames)
        if self._wandb:
            import wandb

            self._wandb.log(
                {"step": _step(step), "eval/video": wandb.Video(str(path), format="mp4")}
            )
        return path

    def dump_for_grading(self):
        """Complete the directory at the end of a training; to call it again does no harm."""
        self._draw(final=True)
        last = {name: value for row in self.rows for name, value in row.items()}
        _write(self.path / "summary.json", _json(last))
        if self._checkpoint is None:
            print(
                f"{self.path} holds no policy: call evaluate_policy before"
                " logger.dump_for_grading()."
            )
        else:
            part = self.path / f"policy{SUFFIX}.part"
            shutil.copyfile(self._checkpoint, part)
            os.replace(part, self.path / f"policy{SUFFIX}")
        if self._wandb:
            self._wandb.finish()
            self._wandb = None

    def epoch_losses(self, steps_per_epoch):
        """The mean of the "train/loss" logged in each epoch; epochs in which none was logged are
        left out.
        """
        epochs = {}
        for row in self.rows:
            if "train/loss" in row:
                epochs.setdefault((row["step"] - 1) // steps_per_epoch, []).append(
                    row["train/loss"]
                )
        return [sum(losses) / len(losses) for _, losses in sorted(epochs.items())]

    def hand_in(self, name, folder="."):
        """Copy what is handed in to `folder`: the policy last evaluated as name.safetensors, the
        log as name_log.csv.
        """
        for source, target in (
            (self._checkpoint, f"{name}{SUFFIX}"),
            (self.path / "log.csv", f"{name}_log.csv"),
        ):
            if source is None or not source.exists():
                print(
                    f"{target} is not written: nothing was"
                    f" {'evaluated' if source is None else 'logged'}."
                )
                continue
            part = Path(folder) / f"{target}.part"
            shutil.copyfile(source, part)
            os.replace(part, Path(folder) / target)

    def _draw(self, final=False):
        if self._view:
            self._view.draw(lambda: self.epoch_losses(self._steps_per_epoch), final)

    def _csv(self, rows):
        text = io.StringIO()
        csv.DictWriter(text, self._columns, lineterminator="\n").writerows(rows)
        return text.getvalue().encode()

    def _file(self, folder, step, suffix):
        (self.path / folder).mkdir(exist_ok=True)
        return self.path / folder / f"step_{_step(step)}{suffix}"


def _step(step):
    try:
        return operator.index(step)
    except TypeError:
        raise TypeError(f"The step of a log is an integer, not {step!r}.") from None


def _name(name):
    if not isinstance(name, str) or not name or not name.isprintable() or name == "step":
        raise ValueError(
            f"A number is logged under a name on one line, other than 'step', not under {name!r}."
        )
    return name


def _number(name, value):
    try:
        value = value.item() if hasattr(value, "item") else value  # numpy's and torch's
    except (ValueError, RuntimeError):
        pass  # more than one element
    if not isinstance(value, (bool, int, float)):
        kind = (
            f"{type(value).__name__} of shape {tuple(value.shape)}"
            if hasattr(value, "shape")
            else repr(value)[:80]
        )
        raise ValueError(f"{name!r} is to be logged as one number, not as {kind}.")
    return int(value) if isinstance(value, bool) else value


def _plain(config):
    config = dataclasses.asdict(config) if dataclasses.is_dataclass(config) else dict(config or {})
    return json.loads(json.dumps(config, default=str))


def _json(values):
    """JSON knows neither nan nor inf: null."""
    finite = {
        name: None if isinstance(v, float) and not math.isfinite(v) else v
        for name, v in values.items()
    }
    return (json.dumps(finite, indent=2) + "\n").encode()


def _write(path, content):
    """The whole file or, wherever the run is killed, what was there before."""
    part = Path(f"{path}.part")
    part.write_bytes(content)
    os.replace(part, path)


def _start_wandb(mode, path, config):
    """The W&B run that accompanies the log; None where it is not wanted, or with a word on why
    where it cannot be.
    """
    if mode not in ("online", "offline"):
        return None
    try:
        import wandb
    except ImportError:
        print(f"Weights & Biases is not installed (pip install wandb): {path} alone keeps the log.")
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
    except Exception as error:  # no login, no network, a service that fails: the training is worth more than its copy
        print(
            f"Weights & Biases does not start ({' '.join(str(error).split())[:200]}): {path} alone"
            " keeps the log."
        )
        return None
    return run
