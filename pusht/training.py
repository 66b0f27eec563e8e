"""The harness around a training loop: progress, live loss plot, checkpoints, resuming. The loop
itself stays in the notebook.

run = TrainingRun("part1_mlp", model, loader, optimizer, lr_scheduler, num_epochs=300, seed=1,
reference=reference) for epoch in run.epochs():
    for batch in loader:
        ...
        run.log(loss)
"""

import io
import os
import pickle
import time
import warnings
from pathlib import Path

import torch

from pusht.checkpoint import (
    SUFFIX,
    Checkpoint,
    CheckpointError,
    load_checkpoint,
    new_run_id,
    now,
)
from pusht.progress import grading, in_notebook, max_epochs, progress_bar

_SAVE_EVERY = 5.0  # s
_DRAW_EVERY = 2.0  # s


class TrainingRun:
    """One training of `model` on the batches of `loader`, a `WindowLoader`.

    name: of the two files that are written as the run goes. `name.safetensors` is handed in:
        weights, normalisation, loss curve, config, the demonstrations' fingerprint.
        `name.resume.pt` is for the run alone: with it, a run that was cut off goes on with the very
        same curve.
    optimizer, lr_scheduler, ema: whose state belongs to the run. With an `EMAModel` the averaged
    weights are handed in.
    seed: torch's generator and the loader's are set to it when the run begins. It does not reach
        back to the model's first weights.
    reference: loss curve to draw beside, with attributes `losses`, `low`, `high` (one number an
    epoch); or None.
    folder: where the two files go; resume_folder: where `name.resume.pt` goes instead, such as a
        folder of a mounted drive. It is made; the folder that it lies in has to be there, or a
        drive that is not mounted would look as if it were.
    resume: False to start over although there is a run to continue.

    Under nbgrader nothing is trained: `epochs()` loads the handed-in weights and ends.
    The environment variable PUSHT_MAX_EPOCHS cuts every run short, for a quick look.
    """

    def __init__(
        self,
        name,
        model,
        loader,
        optimizer,
        lr_scheduler=None,
        *,
        num_epochs,
        seed,
        ema=None,
        reference=None,
        folder=".",
        resume_folder=None,
        resume=True,
    ):
        self.model, self.loader, self.optimizer, self.lr_scheduler, self.ema = (
            model,
            loader,
            optimizer,
            lr_scheduler,
            ema,
        )
        self.name, self.num_epochs, self.seed, self.reference = name, num_epochs, seed, reference
        self.path = Path(folder) / (name + SUFFIX)
        self.resume_path = Path(resume_folder or folder) / f"{name}.resume.pt"
        self.losses = []
        self.run_id, self.trained_at = new_run_id(), ""
        self._resume = resume

    def epochs(self):
        """Yield the number of each epoch that is still to be trained, from 0."""
        if grading():
            self._load_only()
            return
        last = max_epochs(self.num_epochs)
        torch.manual_seed(self.seed)
        self.loader.generator.manual_seed(
            self.seed
        )  # whatever was drawn from it before, for a look at a batch
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self.resume_path.parent.mkdir(exist_ok=True)
        except FileNotFoundError:
            raise FileNotFoundError(
                f"There is no folder {self.resume_path.parent.parent} to make resume_folder in:"
                " mount the drive first (in Colab: the folder on the left, then the drive's"
                " symbol), or make that folder."
            ) from None
        self.optimizer.zero_grad()  # an interrupt may have left gradients of half a step
        if self._resume and self.resume_path.exists():
            self._restore()
            if self.losses:  # the resume file may come from a drive, on a new machine
                self._checkpoint().save(self.path)
        else:
            # so that a run interrupted before its first epoch is over starts from the same weights
            self._keep()
        batches = len(self.loader)
        view = LossView(self.name, self.reference)
        with progress_bar(
            last * batches, self.name, initial=len(self.losses) * batches, unit="batch"
        ) as self._bar:
            saved = time.monotonic()
            for epoch in range(len(self.losses), last):
                self._batch_losses = []
                yield epoch
                self._end_epoch(epoch)
                self._bar.set_postfix(loss=f"{self.losses[-1]:.5f}")
                if epoch == last - 1 or time.monotonic() - saved > _SAVE_EVERY:
                    self._save()
                    saved = time.monotonic()
                view.draw(lambda: self.losses, final=epoch == last - 1)
        if not in_notebook():
            print(
                f"{self.name}: {len(self.losses)} epochs, loss {self.losses[-1]:.6f}, saved in"
                f" {self.path}"
            )

    def log(self, loss):
        """Count the loss of one batch, a tensor of one number."""
        self._batch_losses.append(torch.as_tensor(loss).detach())
        self._bar.update()

    def _end_epoch(self, epoch):
        if not self._batch_losses:
            raise RuntimeError(f"Epoch {epoch} logged no loss: call run.log(loss) for each batch.")
        loss = torch.stack(self._batch_losses).double().mean().item()
        if loss != loss or loss in (float("inf"), float("-inf")):
            raise RuntimeError(
                f"The loss of epoch {epoch} is {loss}: the training diverged.{self._last_good()}"
            )
        if not all(torch.isfinite(w).all() for w in self._weights().values()):
            raise RuntimeError(
                f"Epoch {epoch} left weights that are not finite: the training"
                f" diverged.{self._last_good()}"
            )
        self.losses.append(loss)

    def _last_good(self):
        return f" The last good weights stay in {self.path.name}." if self.path.exists() else ""

    def _load_only(self):
        try:
            checkpoint = load_checkpoint(self.path)
            checkpoint.restore(self.model)
        except CheckpointError as error:
            print(f"{self.name} stays untrained. {error}")
        else:
            self.losses = checkpoint.losses
            if self.ema:  # so that a notebook that copies the averages into the model keeps what was handed in
                self.ema.averages = [p.detach().clone() for p in self.model.parameters()]

    def _save(self):
        self.trained_at = now()
        self._checkpoint().save(self.path)
        self._keep()

    def _keep(self):
        state = {
            "settings": self._settings(),
            "losses": self.losses,
            "run_id": self.run_id,
            "trained_at": self.trained_at,
            "torch": torch.get_rng_state(),
            "cuda": torch.cuda.get_rng_state_all(),
            "loader": self.loader.generator.get_state(),
            **{name: part.state_dict() for name, part in self._parts().items()},
        }
        part = Path(f"{self.resume_path}.part")
        torch.save(state, part)
        os.replace(part, self.resume_path)

    def _checkpoint(self):
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

    def _weights(self):
        weights = dict(self.model.state_dict())
        if self.ema:
            weights.update(
                zip((name for name, _ in self.model.named_parameters()), self.ema.averages)
            )
        return weights

    def _settings(self):
        """What must be the same for a run to go on as the same run."""
        plain = {
            name: value
            for name, value in self.optimizer.defaults.items()
            if isinstance(value, (int, float, str, tuple))
        }
        return {
            "model": type(self.model).__name__,
            "parameters": sum(p.numel() for p in self.model.parameters()),
            "optimizer": {"name": type(self.optimizer).__name__, **plain},
            "seed": self.seed,
            "schedule": type(self.lr_scheduler).__name__,
            "num_epochs": self.num_epochs,
            "batch_size": self.loader.batch_size,
            "demonstrations": self.loader.dataset.demonstrations.fingerprint,
        }

    def _parts(self):
        parts = {
            "model": self.model,
            "optimizer": self.optimizer,
            "lr_scheduler": self.lr_scheduler,
            "ema": self.ema,
        }
        return {name: part for name, part in parts.items() if part is not None}

    def _restore(self):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter(
                    "ignore"
                )  # torch's remarks on what it cannot read would go to stderr
                state = torch.load(
                    self.resume_path,
                    map_location=next(self.model.parameters()).device,
                    weights_only=True,
                )
            state["settings"]
        except (
            RuntimeError,
            OSError,
            EOFError,
            ValueError,
            LookupError,
            TypeError,
            pickle.UnpicklingError,
        ):
            raise RuntimeError(
                f"{self.resume_path} is damaged or no state of a training run: pass resume=False to"
                " TrainingRun to start over."
            ) from None
        if state["settings"] != self._settings():
            if not state["losses"]:  # nothing is lost
                return
            was, now = state["settings"], self._settings()
            changed = ", ".join(name for name in now if was.get(name) != now[name])
            raise RuntimeError(
                f"{self.resume_path} belongs to another run (changed: {changed}): pass resume=False"
                " to TrainingRun to start over, or name another folder."
            )
        for name, part in self._parts().items():
            part.load_state_dict(state[name])
        self.losses = state["losses"]
        self.run_id = state.get("run_id", self.run_id)  # older states have none
        self.trained_at = state.get("trained_at", "")
        self.loader.generator.set_state(state["loader"].cpu())
        torch.set_rng_state(state["torch"].cpu())
        if state["cuda"] and torch.cuda.is_available():
            torch.cuda.set_rng_state_all([s.cpu() for s in state["cuda"]])
        if self.losses:
            print(
                f"{self.name} goes on after epoch {len(self.losses)} of {self.num_epochs}; to start"
                " over, make the network anew and pass resume=False."
            )


class LossView:
    """The loss curve beside the reference, redrawn in place in a notebook; nothing in a terminal,
    and nothing when grading.
    """

    def __init__(self, title, reference):
        self.title, self.reference = title, reference
        self.handle = None
        self.due = 0.0

    def draw(self, losses, final=False):
        """losses: function that gives the loss of each epoch so far, asked only when it is time to
        draw again.
        """
        if not in_notebook() or grading() or not (final or time.monotonic() >= self.due):
            return
        from IPython.display import display

        from pusht.figures.page import Picture

        started, losses = time.monotonic(), losses()
        if not any(0 < loss < float("inf") for loss in losses):
            return  # nothing that a logarithmic scale has a place for
        image = Picture(
            plot_losses(losses, self.reference, title=self.title),
            f"Loss of {self.title} over {len(losses)} epochs, from {losses[0]:.5f} to"
            f" {losses[-1]:.5f}"
            + ", beside the reference and its band."
            * (self.reference is not None),
        )
        if self.handle is None:
            self.handle = display(image, display_id=True)
        else:
            self.handle.update(image)
        # However slow the machine draws, drawing takes no more than a thirtieth of the run.
        self.due = time.monotonic() + max(_DRAW_EVERY, 30 * (time.monotonic() - started))


def plot_losses(losses, reference=None, *, title=""):
    """PNG bytes of a loss curve, on a logarithmic scale, with the reference and its band where
    there is one.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 3.6), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    if reference is not None:
        epochs = range(len(reference.losses))
        axes.fill_between(
            epochs,
            reference.low,
            reference.high,
            color="#0072B2",
            alpha=0.2,
            linewidth=0,
            label="band",
        )
        axes.plot(epochs, reference.losses, color="#0072B2", label="reference")
    axes.plot(
        losses,
        color="#D55E00",
        linestyle="--",
        marker="o" if len(losses) < 2 else "",
        label="yours",
    )
    axes.set(
        yscale="log",
        xlabel="epoch",
        ylabel="loss",
        title=f"{title}: epoch {len(losses)}, loss {losses[-1]:.5f}",
    )
    axes.grid(alpha=0.3)
    axes.legend()
    png = io.BytesIO()
    figure.savefig(png, format="png")
    return png.getvalue()
