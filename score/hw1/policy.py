"""The policies of a submission of the script assignment: code in src/, weights or a pickled model
in exp/mse or exp/flow.

Both run whatever a student wrote, so a graded kernel alone imports this module, and they are read
from the packed zip, which grading lays beside the notebook only where a sandbox keeps the kernel
apart.
"""

import functools
import inspect
import os
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from pusht.checkpoint import MOMENTS, SUFFIX, Checkpoint, CheckpointError, load_checkpoint
from pusht.chunks import BasePolicy, Normalizer
from pusht.sim import WINDOW
from score.hw1.layout import PACKED, PART
from score.hw1.loading import Loader
from score.verdict import AnswerError, call_answer


class ScriptPolicy(BasePolicy):
    """A policy for `score.grade_rollouts`, in the normalisation of its hand-in file
    NAME.safetensors; it is loaded when its weights are.

    name: of the rubric's policy, such as "part4_mse". folder: where the packed zip and the hand-in
    file are. Of a chunk longer than chunk_size the beginning is executed, and actions stay in the
    window, as in the assignment's own evaluation.
    """

    def __init__(
        self,
        name: str,
        state_dim: int,
        action_dim: int,
        chunk_size: int,
        folder: str | os.PathLike[str] = ".",
    ) -> None:
        super().__init__(state_dim, action_dim, chunk_size)
        self._name, self._folder = name, Path(folder)
        self._loaded: tuple[Any, Normalizer] | None = None

    def state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """Return the weights of the hand-in file, after loading the model with its own weights.
        CheckpointError where there is no model.
        """
        handed_in = load_checkpoint(self._folder / (self._name + SUFFIX), MOMENTS)
        try:
            self._loaded = load(self._name, handed_in, self._folder)
        except AnswerError as error:
            raise CheckpointError(str(error)) from None
        self._graded = Normalizer(handed_in.stats)
        return handed_in.weights

    def load_state_dict(self, state_dict: Any, *args: Any, **kwargs: Any) -> Any:
        """Do nothing: `state_dict` has loaded the weights, which may be in another form than those
        of the hand-in file.
        """

    def sample_actions(self, state: torch.Tensor, *, num_steps: int = 10) -> torch.Tensor:
        """Return chunks (B, chunk_size, 2) for states (B, 5), both normalised."""
        assert self._loaded is not None, "its weights are loaded first"
        model, own = self._loaded
        moments = self._graded.stats["obs"]
        pixels = state * torch.from_numpy(moments["std"]) + torch.from_numpy(moments["mean"])
        steps = {"num_steps": num_steps} if _accepts(model.sample_actions, "num_steps") else {}
        chunk = model.sample_actions(own.normalize_state(pixels), **steps)
        if (
            not isinstance(chunk, torch.Tensor)
            or chunk.ndim != 3
            or chunk.shape[-1] != self.action_dim
        ):
            return chunk  # the caller reports what is wrong with it
        return self._graded.normalize_action(
            own.denormalize_action(chunk[:, : self.chunk_size]).clamp(0, WINDOW)
        )


def _accepts(function: Callable[..., Any], name: str) -> bool:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return True
    return any(one.name == name or one.kind is one.VAR_KEYWORD for one in parameters)


def load(
    name: str, handed_in: Checkpoint, folder: str | os.PathLike[str] = "."
) -> tuple[Any, Normalizer]:
    """Return (model, its `Normalizer`) of a submission whose packed zip is in `folder`.

    handed_in: the policy's hand-in file; its statistics are the model's where the run directory has
    none. AnswerError where nothing can be loaded, with the reason, or where the zip is missing
    because there is no sandbox.
    """
    method, packed = name.split("_")[1], Path(folder, PACKED)
    if not packed.is_file():
        raise AnswerError(
            "Nothing kept this notebook apart where it was graded, so the script assignment's src/"
            f" and pickled models were not loaded there: hand in your {method} policy's weights as"
            f" exp/{method}/policy{SUFFIX}, which is read without running anything, and its code in"
            f" {PART}.ipynb."
        )
    home = Path(call_answer(PACKED, _unpacked, packed.resolve()).name)
    if not (home / "exp" / method).is_dir():
        raise AnswerError(
            f"There is no exp/{method} with a model in the hand-in: put the run directory of your"
            f" {method} policy there."
        )
    return Loader(home, method).load(handed_in)


@functools.cache
def _unpacked(packed: Path) -> tempfile.TemporaryDirectory[str]:
    home = tempfile.TemporaryDirectory(prefix="script-")
    with zipfile.ZipFile(packed) as archive:
        archive.extractall(home.name)
    return home
