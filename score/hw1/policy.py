"""The policies of a submission of the script assignment: code in src/, weights or a pickled model
in exp/mse or exp/flow.

Both can run any code, so only a graded kernel imports this module. The files come from the packed
zip, which grading puts beside the notebook only if the kernel runs in a sandbox.
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

from pusht.checkpoint import SUFFIX, Checkpoint, CheckpointError, load_checkpoint
from pusht.chunks import BasePolicy
from pusht.normalisation import MOMENTS, Normalizer, Stats
from pusht.sim import WINDOW
from score.hw1.boxed.devices import OnCPU
from score.hw1.boxed.loading import Loader
from score.hw1.layout import LEFT_OUT, PACKED, left_out, no_model
from score.hw1.loaded import Loaded
from score.hw1.runs import own_paths
from score.verdict import AnswerError, call_answer


class ScriptPolicy(BasePolicy):
    """A policy for `score.grade_rollouts` with the normalisation of its checkpoint
    NAME.safetensors. The model is loaded when `state_dict` is called.

    name: name of the policy in the rubric, such as "part4_mse". folder: folder of the packed zip
    and the checkpoint. A chunk is as long as that of the run, and is executed as a whole, as in the
    assignment's own evaluation.

    kernel_message: what was loaded, for the grader (see `score.hw1.loaded`).
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
        self._model: list[Any] = []  # in a list, so that its weights are not taken for its own
        self.kernel_message: dict[str, Any] = {}

    def state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """Load the model with its own weights, and return the weights of the checkpoint.
        CheckpointError if there is no model.
        """
        handed_in = load_checkpoint(self._folder / (self._name + SUFFIX), MOMENTS)
        try:
            model, stats, loaded = load(self._name, handed_in, self._folder)
        except AnswerError as error:
            raise CheckpointError(str(error)) from None
        self._model, self._steps, self.chunk_size = [model], loaded.steps, loaded.chunk_size
        self._own = Normalizer(stats) if stats else None
        self._graded = Normalizer(handed_in.stats)
        self.kernel_message = loaded.message()
        return handed_in.weights

    def load_state_dict(self, state_dict: Any, *args: Any, **kwargs: Any) -> Any:
        """Do nothing, because `state_dict` has loaded the weights, whose form may differ from that
        in the checkpoint.
        """

    def sample_actions(self, state: torch.Tensor, *, num_steps: int = 10) -> torch.Tensor:
        """Return chunks (B, chunk_size, 2) for states (B, 5), both normalised: with the statistics
        of the checkpoint, or with those of the training where the submission has none of its own.
        The number of denoising steps is the run's.
        """
        assert self._model, "state_dict() must be called first"
        (model,) = self._model
        if self._own:
            moments = self._graded.stats["obs"]
            pixels = state * torch.from_numpy(moments["std"]) + torch.from_numpy(moments["mean"])
            state = self._own.normalize_state(pixels)
        steps = {"num_steps": self._steps} if _accepts(model.sample_actions, "num_steps") else {}
        with OnCPU():
            chunk = model.sample_actions(state, **steps)
        if (
            not isinstance(chunk, torch.Tensor)
            or chunk.ndim != 3
            or chunk.shape[-1] != self.action_dim
        ):
            return chunk  # the caller reports the error
        chunk = chunk[:, : self.chunk_size].to(torch.float32)
        if not self._own:
            return chunk
        return self._graded.normalize_action(self._own.denormalize_action(chunk).clamp(0, WINDOW))


def _accepts(function: Callable[..., Any], name: str) -> bool:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return True
    return any(one.name == name or one.kind is one.VAR_KEYWORD for one in parameters)


def load(
    name: str, handed_in: Checkpoint, folder: str | os.PathLike[str] = "."
) -> tuple[Any, Stats | None, Loaded]:
    """Return (model, its statistics or None without any, `Loaded`) of a submission whose packed zip
    is in `folder`.

    handed_in: the policy's checkpoint, whose weights are used if it has some. AnswerError with the
    reason when nothing can be loaded, or when the zip is missing because there is no sandbox.
    """
    method, packed = name.split("_")[1], Path(folder, PACKED)
    if not packed.is_file():
        raise AnswerError(
            "This was graded on a machine without a sandbox, where src/ and the checkpoints in"
            f" exp/{method} are not opened, because that runs their code. This is not your fault:"
            " tell your instructor."
        )
    home = Path(call_answer(PACKED, _unpacked, packed.resolve()).name)
    left = home / LEFT_OUT
    left_of_it = left_out(left.read_bytes() if left.is_file() else None, method)
    if not handed_in.weights and not (home / "exp" / method).is_dir() and not left_of_it:
        raise AnswerError(no_model(method, ()))
    try:
        return Loader(home, method, left_of_it).load(handed_in)
    except AnswerError as error:
        paths = home / own_paths.FILE
        content = paths.read_bytes() if paths.is_file() else None
        raise AnswerError(own_paths.in_own_words(str(error), content)) from error


@functools.cache
def _unpacked(packed: Path) -> tempfile.TemporaryDirectory[str]:
    home = tempfile.TemporaryDirectory(prefix="script-")
    with zipfile.ZipFile(packed) as archive:
        archive.extractall(home.name)
    return home
