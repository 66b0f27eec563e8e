"""Load a student's policy from src/ and the files of a run directory, in the sandbox."""

import contextlib
import functools
import pickle
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError

from pusht.checkpoint import SUFFIX, Checkpoint
from pusht.normalisation import Stats
from score.hw1.boxed import pickles
from score.hw1.boxed.building import built
from score.hw1.boxed.code import Code
from score.hw1.boxed.contents import average_in, model_in, settings_in
from score.hw1.boxed.statistics import find_stats, read_arrays, read_json
from score.hw1.layout import PACKED_CAP, in_run, no_model
from score.hw1.loaded import HANDED_IN, MOST_STEPS, Loaded
from score.hw1.runs.choice import PART, ranked_models
from score.hw1.runs.settings import is_settings, read_settings, whole
from score.rubric import FLOW_STEPS, PARTS
from score.verdict import AnswerError, call_answer

_LFS = b"version https://git-lfs"  # begins a file that stands for one in Git's large file storage

# What opening a file raises that is damaged or cut off.
_DAMAGED = (pickle.UnpicklingError, EOFError, zipfile.BadZipFile, SafetensorError)
_USUAL = PARTS[PART].policies[0]
_LONGEST = _USUAL.max_steps  # actions in a chunk: an episode's


class Loader:
    """A loader of the model in a run directory.

    home: folder in which the submission is unpacked. method: "mse" or "flow". left_out: names of
    models that were too large to be packed. AnswerError, with one sentence, when there is no
    model.py or it cannot be imported.
    """

    def __init__(self, home: Path, method: str, left_out: Sequence[str] = ()) -> None:
        self.home, self.method, self.left_out = home, method, left_out
        paths = sorted(path for path in home.rglob("*") if path.is_file())
        names = [path.relative_to(home).as_posix() for path in paths]
        self.run = sorted(in_run(names, method))
        self.code = Code(home, names)
        files = [name for name in self.run if is_settings(name)]
        self.settings = read_settings((name, (home / name).read_bytes()) for name in files)

    def load(self, handed_in: Checkpoint) -> tuple[Any, Stats | None, Loaded]:
        """Return (model, its statistics or None without any, `Loaded`) from the first file of the
        run that can be loaded. If none can, AnswerError says why the first one cannot.
        """
        skipped: list[tuple[str, str]] = []
        settings = self.settings
        with self.code.as_a_script():
            for name, read in self._candidates(handed_in):
                try:
                    found = _opened(name, read)
                    self.settings = settings | call_answer(name, settings_in, found)
                    model = self._model(name, found)
                    stats, source = self._stats(name, found, handed_in)
                    model = call_answer(name, _ready, model)
                    loaded = self._loaded(model, name, source, skipped)
                    return model, stats, replace(loaded, average=average_in(found))
                except AnswerError as error:
                    skipped.append((name, str(error)))
        raise AnswerError(skipped[0][1] if skipped else no_model(self.method, self.run))

    def _loaded(self, model: Any, name: str, source: str, skipped: list[tuple[str, str]]) -> Loaded:
        steps = whole(self.settings.get("flow_num_steps"), MOST_STEPS) or FLOW_STEPS
        size = self.settings.get("chunk_size", getattr(model, "chunk_size", None))
        return Loaded(name, source, skipped, _chunk_size(model, size), steps)

    def _candidates(self, handed_in: Checkpoint) -> Iterator[tuple[str, Callable[[], Any]]]:
        """Yield (a file, a function that reads it) for each possible model."""
        if handed_in.weights:
            yield HANDED_IN, lambda: handed_in.weights
        for name in ranked_models([*self.run, *self.left_out]):
            yield name, functools.partial(self._read, name)

    def _read(self, name: str) -> Any:
        if name in self.left_out:
            raise AnswerError(
                f"{name} has no room in the {PACKED_CAP // 2**20} MB that are taken: hand in the"
                " policy's state_dict() alone."
            )
        content = (self.home / name).read_bytes()
        if content.startswith(_LFS):
            raise AnswerError(
                f"{name} only stands for a file in Git's large file storage: run `git lfs pull`,"
                " and hand in the file itself."
            )
        if name.endswith(SUFFIX):
            return safetensors.torch.load(content)
        if name.endswith(".npz"):
            return read_arrays(self.home / name)
        return pickles.read(content, self.code.named)

    def _model(self, name: str, found: Any) -> Any:
        """Return the policy in the content of a file; AnswerError if it has none."""
        model = call_answer(name, model_in, found)
        if isinstance(model, dict):
            return built(self.code, self.method, name, model, self.settings)
        if model is None:
            raise AnswerError(f"{name} holds no model and no weights.")
        if not callable(getattr(model, "sample_actions", None)):
            raise AnswerError(
                f"{name} holds a {type(model).__name__}, which has no sample_actions: hand in what"
                " evaluate_policy saves, or the policy's state_dict()."
            )
        return model

    def _stats(self, name: str, found: Any, handed_in: Checkpoint) -> tuple[Stats | None, str]:
        """Return (statistics, the file that they are from): those in the model's own file, else
        from a file of the run with "norm" or "stat" in its name, else (None, "").
        """
        if stats := call_answer(name, find_stats, found):
            return stats, name
        for other in self.run:
            stem = other.rpartition("/")[2].lower()
            if not ("norm" in stem or "stat" in stem):
                continue
            try:
                if stats := call_answer(other, find_stats, self._statistics_file(other)):
                    return stats, other
            except AnswerError:
                continue
        return (handed_in.stats, HANDED_IN) if handed_in.weights else (None, "")

    def _statistics_file(self, name: str) -> Any:
        suffix, path = Path(name).suffix, self.home / name
        if suffix == ".json":
            return read_json(path)
        if suffix == ".npz":
            return read_arrays(path)
        return call_answer(name, self._read, name) if name in ranked_models(self.run) else None


def _opened(name: str, read: Callable[[], Any]) -> Any:
    """Return the content of a file; AnswerError that says what to do where it is cut off."""
    try:
        return call_answer(name, read)
    except AnswerError as error:
        cause = error.__cause__
        if isinstance(cause, AnswerError):  # it says itself what to do
            raise cause from None
        if isinstance(cause, _DAMAGED) or "PytorchStreamReader" in str(cause):
            raise AnswerError(
                f"{name} is not a whole checkpoint ({type(cause).__name__}): copy it again, or"
                " delete it if an earlier one is to be graded."
            ) from cause
        raise


def _chunk_size(model: Any, wanted: Any) -> int:
    """Return the number of actions in a policy's chunks: those that the run executed, but no more
    than the policy returns.
    """
    chunk = _chunk(model)
    returned = chunk.shape[1] if chunk is not None and chunk.ndim == 3 else None
    size = whole(wanted, _LONGEST) or returned or _USUAL.pred_horizon
    return min(size, returned or size, _LONGEST)


def _chunk(model: Any) -> torch.Tensor | None:
    """Return a policy's answer to a state in float32; None where it is an error or no tensor."""
    with torch.random.fork_rng(devices=[]), torch.no_grad(), contextlib.suppress(AnswerError):
        state = torch.zeros(1, 5, dtype=torch.float32)  # whatever the default of the student's code
        chunk = call_answer("sample_actions", model.sample_actions, state)
        return chunk if isinstance(chunk, torch.Tensor) else None
    return None


def _ready(model: Any) -> Any:
    """Return a policy on the CPU, with its own type of numbers where it acts on float32 with it,
    else as float32.
    """
    model = model.to("cpu").eval()
    if all(one.dtype is torch.float32 for one in model.parameters()) or _chunk(model) is None:
        model = model.to(torch.float32)
    return model
