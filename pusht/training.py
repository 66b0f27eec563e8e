"""The bookkeeping of a training loop: progress, live loss plot, checkpoints, resuming.

The loop itself is in the notebook:

    run = TrainingRun("part1_mlp", model, loader, optimizer, lr_scheduler, num_epochs=300, seed=1,
                      reference=reference)
    for epoch in run.epochs():
        for batch in loader:
            ...
            run.log(loss)
"""

import math
import operator
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from pusht.checkpoint import (
    SUFFIX,
    Checkpoint,
    CheckpointError,
    as_plain,
    describe,
    load_checkpoint,
    load_weights,
    new_run_id,
    now,
)
from pusht.dataset import WindowLoader
from pusht.ema import EMAModel
from pusht.files import replacing
from pusht.loss_view import LossCurve, LossView
from pusht.progress import in_notebook, max_epochs, progress_bar
from pusht.resume import own_folder, read_state
from pusht.run_mode import run_mode
from pusht.speed import faster

_SAVE_EVERY = 5.0  # s


class TrainingRun:
    """One training run of `model` on the batches of `loader`, a `WindowLoader`.

    name: name of the two files that are written during the run. `name.safetensors` is handed in;
        it contains weights, normalisation, loss curve, config and the demonstrations' fingerprint.
        `name.resume.pt` is not handed in; with it, an interrupted run continues with exactly the
        same curve.
    optimizer, lr_scheduler, ema: their state is saved with the run. With an `EMAModel`, the
        averaged weights are handed in.
    seed: seed of torch's generator and of the loader when the run begins. The model's first weights
        do not depend on it, since they were drawn before.
    reference: loss curve to draw beside the run's, with attributes `losses`, `low`, `high` (one
        number per epoch); or None.
    folder: folder of the file that is handed in.
    resume_folder: folder of `name.resume.pt`, such as one on a mounted drive. It is created if
        necessary, but its parent must exist; otherwise a drive that is not mounted would go
        unnoticed. The default is outside `folder`, see `pusht.resume.own_folder`; where that cannot
        be written, it is `folder`.
    resume: False to start over even if there is a run to continue.

    When the run mode (see `pusht.run_mode`) forbids training, `epochs()` loads the weights that
    were handed in and yields nothing. The environment variable PUSHT_MAX_EPOCHS shortens every run,
    for a quick look.
    """

    def __init__(
        self,
        name: str,
        model: nn.Module,
        loader: WindowLoader,
        optimizer: Optimizer,
        lr_scheduler: LRScheduler | None = None,
        *,
        num_epochs: int,
        seed: int,
        ema: EMAModel | None = None,
        reference: LossCurve | None = None,
        folder: str | os.PathLike[str] = ".",
        resume_folder: str | os.PathLike[str] | None = None,
        resume: bool = True,
    ) -> None:
        self.name, self.model, self.loader, self.optimizer = name, model, loader, optimizer
        self.lr_scheduler, self.ema, self.reference = lr_scheduler, ema, reference
        self.num_epochs, self.seed = operator.index(num_epochs), operator.index(seed)
        self.path = Path(folder) / (name + SUFFIX)
        self._resume_folder = Path(resume_folder) if resume_folder else None
        self.resume_path = (self._resume_folder or own_folder(folder)) / f"{name}.resume.pt"
        self.losses: list[float] = []
        self.run_id, self.trained_at = new_run_id(), ""
        self._resume = resume

    def epochs(self) -> Iterator[int]:
        """Yield the number of each epoch that is still to be trained, counted from 0."""
        if not run_mode().train:
            self._load_only()
            return
        self._begin()
        with faster(self.model, self.optimizer) as how:
            if how:
                print(how)
            yield from self._train()
        if not in_notebook():
            print(
                f"{self.name}: {len(self.losses)} epochs, loss {self.losses[-1]:.6f}, saved in"
                f" {self.path}"
            )

    def _train(self) -> Iterator[int]:
        last, batches = max_epochs(self.num_epochs), len(self.loader)
        view = LossView(self.name, self.reference)
        done = len(self.losses) * batches
        with progress_bar(last * batches, self.name, initial=done, unit="batch") as self._bar:
            saved = time.monotonic()
            for epoch in range(len(self.losses), last):
                self._batch_losses: list[torch.Tensor] = []
                yield epoch
                self._end_epoch(epoch)
                self._bar.set_postfix(loss=f"{self.losses[-1]:.5f}")
                if epoch == last - 1 or time.monotonic() - saved > _SAVE_EVERY:
                    self.trained_at = now()
                    self._checkpoint().save(self.path)
                    self._save_state()
                    saved = time.monotonic()
                view.draw(lambda: self.losses, final=epoch == last - 1)

    def log(self, loss: torch.Tensor | float) -> None:
        """Record the loss of one batch, a tensor of one number."""
        self._batch_losses.append(torch.as_tensor(loss).detach())
        self._bar.update()

    def _load_only(self) -> None:
        try:
            checkpoint = load_checkpoint(self.path)
            checkpoint.restore(self.model)
        except CheckpointError as error:
            print(f"{self.name} stays untrained. {error}")
            return
        self.losses = checkpoint.losses
        if self.ema:  # a notebook copies the averages into the model after its loop
            self.ema.averages = [p.detach().clone() for p in self.model.parameters()]

    def _begin(self) -> None:
        """Seed everything, then continue an interrupted run, or save the initial state."""
        torch.manual_seed(self.seed)
        # An earlier cell may have drawn a batch from the loader.
        self.loader.generator.manual_seed(self.seed)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._make_resume_folder()
        self.optimizer.zero_grad()  # an interrupt may have left gradients of an incomplete step
        if self._resume and self.resume_path.exists():
            self._restore_state()
            if self.losses:  # the resume file may come from a drive, on a new machine
                self._checkpoint().save(self.path)
        else:
            # With it, a run interrupted in its first epoch starts again from the same weights.
            self._save_state()

    def _make_resume_folder(self) -> None:
        if self._resume_folder is None:
            try:
                self.resume_path.parent.mkdir(parents=True, exist_ok=True)
            except OSError:  # a home folder that is missing or full, or somebody else's
                self.resume_path = self.path.with_name(self.resume_path.name)
            return
        try:
            self._resume_folder.mkdir(exist_ok=True)
        except FileNotFoundError:
            raise FileNotFoundError(
                f"There is no folder {self._resume_folder.parent} to make resume_folder in:"
                " mount the drive first (in Colab: the folder on the left, then the drive's"
                " symbol), or make that folder."
            ) from None

    def _end_epoch(self, epoch: int) -> None:
        if not self._batch_losses:
            raise RuntimeError(f"Epoch {epoch} logged no loss: call run.log(loss) for each batch.")
        # Apple's GPUs have no float64.
        loss = torch.stack(self._batch_losses).cpu().double().mean().item()
        problem = None
        if not math.isfinite(loss):
            problem = f"The loss of epoch {epoch} is {loss}"
        elif not all(torch.isfinite(w).all() for w in self._weights().values()):
            problem = f"Epoch {epoch} left weights that are not finite"
        if problem:
            stay = f" The last good weights stay in {self.path.name}." if self.path.exists() else ""
            raise RuntimeError(f"{problem}: the training diverged.{stay}")
        self.losses.append(loss)

    def _checkpoint(self) -> Checkpoint:
        dataset = self.loader.dataset
        return Checkpoint(
            self._weights(),
            dataset.stats,
            list(self.losses),
            self.num_epochs,
            dataset.demonstrations.fingerprint,
            self.seed,
            self._settings(),
            self.run_id,
            self.trained_at,
        )

    def _weights(self) -> dict[str, torch.Tensor]:
        weights = dict(self.model.state_dict())
        if self.ema:
            averages = dict(zip(self.model.parameters(), self.ema.averages, strict=True))
            named = self.model.named_parameters(remove_duplicate=False)
            weights |= {name: averages[weight] for name, weight in named}
        return weights

    def _settings(self) -> dict[str, Any]:
        """Return the settings that must be equal for a run to be continued."""
        plain = {
            name: value
            for name, value in self.optimizer.defaults.items()
            if isinstance(value, (int, float, str, tuple))
        }
        return {
            **describe(self.model),
            "optimizer": {"name": type(self.optimizer).__name__, **as_plain(plain)},
            "seed": self.seed,
            "schedule": type(self.lr_scheduler).__name__,
            "num_epochs": self.num_epochs,
            "batch_size": self.loader.batch_size,
            "demonstrations": self.loader.dataset.demonstrations.fingerprint,
        }

    def _parts(self) -> dict[str, Any]:
        parts = {
            "model": self.model,
            "optimizer": self.optimizer,
            "lr_scheduler": self.lr_scheduler,
            "ema": self.ema,
        }
        return {name: part for name, part in parts.items() if part is not None}

    def _save_state(self) -> None:
        state = {
            "settings": self._settings(),
            "losses": self.losses,
            "run_id": self.run_id,
            "trained_at": self.trained_at,
            "torch": torch.get_rng_state(),
            "cuda": torch.cuda.get_rng_state_all(),
            "mps": torch.mps.get_rng_state() if torch.backends.mps.is_available() else None,
            "loader": self.loader.generator.get_state(),
            # Settings may be numpy's numbers, which `_read_state` would not take back.
            **{name: as_plain(part.state_dict()) for name, part in self._parts().items()},
        }
        with replacing(self.resume_path) as beside:
            torch.save(state, beside)

    def _restore_state(self) -> None:
        state = read_state(self.resume_path, next(self.model.parameters()).device)
        was, current = state["settings"], self._settings()
        changed = [name for name in current if was.get(name) != current[name]]
        if changed:
            if not state["losses"]:  # the other run has no finished epoch, so nothing is lost
                return
            raise RuntimeError(
                f"{self.resume_path} belongs to another run (changed: {', '.join(changed)}): pass"
                " resume=False to TrainingRun to start over, or name another folder."
            )
        names = ("fused", "foreach")
        chosen = [{n: g.get(n) for n in names} for g in self.optimizer.param_groups]
        for name, part in self._parts().items():
            if part is self.model:
                load_weights(self.model, state[name])
            else:
                part.load_state_dict(state[name])
        # The other device may have had fused steps; `faster` looks whether this one has.
        for group, own in zip(self.optimizer.param_groups, chosen, strict=True):
            group |= own
        self.losses = state["losses"]
        self.run_id = state.get("run_id", self.run_id)  # older states have none
        self.trained_at = state.get("trained_at", "")
        self.loader.generator.set_state(state["loader"].cpu())
        torch.set_rng_state(state["torch"].cpu())
        if state["cuda"] and torch.cuda.is_available():
            torch.cuda.set_rng_state_all([s.cpu() for s in state["cuda"]])
        if state.get("mps") is not None and torch.backends.mps.is_available():
            torch.mps.set_rng_state(state["mps"].cpu())
        if self.losses:
            print(
                f"{self.name} continues after epoch {len(self.losses)} of {self.num_epochs}; to"
                " start over, run the cell that creates the network, and pass resume=False."
            )
