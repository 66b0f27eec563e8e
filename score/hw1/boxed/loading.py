"""Load a student's policy from src/ and the files of a run directory, in the sandbox."""

import contextlib
import functools
import pickle
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError

from pusht.checkpoint import SUFFIX, Checkpoint
from pusht.normalisation import Stats
from score.hw1.boxed import eager, pickles
from score.hw1.boxed.building import built
from score.hw1.boxed.code import Code
from score.hw1.boxed.statistics import find_stats, read_arrays, read_json
from score.hw1.layout import in_run, no_model
from score.hw1.loaded import HANDED_IN, MOST_STEPS, Loaded
from score.hw1.runs.choice import PART, ranked_models
from score.hw1.runs.settings import is_settings, read_settings, whole
from score.rubric import FLOW_STEPS, PARTS
from score.verdict import AnswerError, call_answer

# The names under which a checkpoint may contain a model or its weights.
_MODEL_KEYS = (
    "policy",
    "model",
    "state_dict",
    "model_state_dict",
    "policy_state_dict",
    "model_state",
    "net",
    "network",
    "weights",
)

# What opening a file raises that is damaged or cut off.
_DAMAGED = (pickle.UnpicklingError, EOFError, zipfile.BadZipFile, SafetensorError)
_USUAL = PARTS[PART].policies[0]
_LONGEST = _USUAL.max_steps  # actions in a chunk: an episode's


class Loader:
    """A loader of the model in a run directory.

    home: folder in which the submission is unpacked. method: "mse" or "flow". AnswerError, with one
    sentence, when there is no model.py or it cannot be imported.
    """

    def __init__(self, home: Path, method: str) -> None:
        self.home, self.method = home, method
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
        with self.code.as_a_script():
            for name, read in self._candidates(handed_in):
                try:
                    found = _opened(name, read)
                    model = self._model(name, found)
                    stats, source = self._stats(name, found, handed_in)
                    model = call_answer(name, lambda model=model: _ready(model))
                    return model, stats, self._loaded(model, name, source, skipped)
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
        for name in ranked_models(self.run):
            yield name, functools.partial(self._read, name)

    def _read(self, name: str) -> Any:
        content = (self.home / name).read_bytes()
        if name.endswith(SUFFIX):
            return safetensors.torch.load(content)
        return pickles.read(content, self.code.named)

    def _model(self, name: str, found: Any) -> Any:
        """Return the policy in the content of a file; AnswerError if it has none."""
        model = call_answer(name, _model_in, found)
        if isinstance(model, dict):
            return built(self.code, self.method, name, model, self.settings)
        if model is None:
            raise AnswerError(f"{name} holds no model and no weights.")
        if not callable(getattr(model, "sample_actions", None)):
            raise AnswerError(
                f"{name} holds a {type(model).__name__}, which has no sample_actions."
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
    returned = None
    with torch.random.fork_rng(devices=[]), torch.no_grad(), contextlib.suppress(AnswerError):
        chunk = call_answer("sample_actions", model.sample_actions, torch.zeros(1, 5))
        if isinstance(chunk, torch.Tensor) and chunk.ndim == 3:
            returned = chunk.shape[1]
    size = whole(wanted, _LONGEST) or returned or _USUAL.pred_horizon
    return min(size, returned or size, _LONGEST)


def _ready(model: Any) -> Any:
    return model.to("cpu", torch.float32).eval()


def _model_in(found: Any) -> Any:
    """Return the nn.Module in a file's content, or the dict of its weights, at any depth; None if
    there is neither.
    """
    if isinstance(found, torch.nn.Module):
        found = eager.unwrapped(found)
        inner = getattr(found, "module", None)  # as DataParallel has it
        if isinstance(inner, torch.nn.Module) and not hasattr(type(found), "sample_actions"):
            return inner
        return found
    if not isinstance(found, Mapping):
        return None
    if found and all(isinstance(value, torch.Tensor) for value in found.values()):
        return dict(found)
    inside = (_model_in(found[key]) for key in _MODEL_KEYS if key in found)
    return next((model for model in inside if model is not None), None)
