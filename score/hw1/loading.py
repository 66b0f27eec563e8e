"""Load a student's policy from src/ and the files of a run directory, in the sandbox."""

import functools
import importlib
import inspect
import re
import sys
import types
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from pusht.checkpoint import SUFFIX, Checkpoint
from pusht.chunks import Normalizer
from pusht.train import POLICIES
from score.hw1 import pickles
from score.hw1.layout import in_run, policy_module, ranked_models
from score.hw1.statistics import find_stats, read_arrays, read_json
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
_WRAPPED = ("_orig_mod", "module")  # attributes of the model in torch.compile and DataParallel
_PREFIX = re.compile(rf"^(?:(?:{'|'.join(_WRAPPED)})\.)+")


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
        self.module = self._imported(policy_module(names))

    def load(self, handed_in: Checkpoint) -> tuple[Any, Normalizer]:
        """Return (model, `Normalizer`) from the first file of the run that can be loaded. If none
        can, AnswerError says why the first one cannot.
        """
        reasons = []
        for name, read in self._candidates(handed_in):
            try:
                found = call_answer(name, read)
                model = self._model(name, found)
            except AnswerError as error:
                reasons.append(str(error))
                continue
            stats = call_answer(name, find_stats, found) or self._stats() or handed_in.stats
            model = call_answer(name, lambda model=model: model.to("cpu", torch.float32).eval())
            return model, Normalizer(stats)
        if reasons:
            raise AnswerError(reasons[0])
        raise AnswerError(
            f"There is no model in exp/{self.method}: hand in the run directory with its "
            f"policy{SUFFIX}, or its .pkl or .pt."
        )

    def _candidates(self, handed_in: Checkpoint) -> Iterator[tuple[str, Callable[[], Any]]]:
        """Yield (a name for messages, a function that reads it) for each possible model."""
        if handed_in.weights:
            name = f"the hand-in file's {len(handed_in.weights)} arrays"
            yield name, lambda: handed_in.weights
        for name in ranked_models(self.run):
            yield name, functools.partial(self._read, name)

    def _imported(self, name: str | None) -> types.ModuleType:
        if name is None:
            raise AnswerError(
                "There is no model.py in src/: hand in src/hw1_imitation with all its .py files."
            )
        sys.path[:0] = [str(self.home / "src")]
        # Pickles may name modules relative to the folder from which a student ran the script.
        sys.path += [str(self.home), str((self.home / name).parent)]
        return call_answer(name, importlib.import_module, _module_name(Path(name)))

    def _read(self, name: str) -> Any:
        content = (self.home / name).read_bytes()
        if name.endswith(SUFFIX):
            return safetensors.torch.load(content)
        return pickles.read(content, self._in_main)

    def _in_main(self, name: str) -> Any:
        """Return an object that the student's script defined when it ran as __main__; here that
        script is one of the modules in src/.
        """
        if hasattr(self.module, name):
            return getattr(self.module, name)
        for path in sorted((self.home / "src").rglob("*.py")):
            text = path.read_text(encoding="utf-8", errors="replace")
            if re.search(rf"^class {re.escape(name)}\b", text, re.MULTILINE):
                module = importlib.import_module(_module_name(path.relative_to(self.home)))
                return getattr(module, name)
        raise AttributeError(name)

    def _model(self, name: str, found: Any) -> Any:
        """Return the policy in the content of a file; AnswerError if it has none."""
        model = call_answer(name, _model_in, found)
        if isinstance(model, dict):
            return self._built(name, model)
        if model is None:
            raise AnswerError(f"{name} holds no model and no weights.")
        if not callable(getattr(model, "sample_actions", None)):
            raise AnswerError(
                f"{name} holds a {type(model).__name__}, which has no sample_actions."
            )
        return model

    def _built(self, name: str, weights: dict[str, torch.Tensor]) -> Any:
        weights = {_PREFIX.sub("", key): value for key, value in weights.items()}
        first: Exception | None = None
        for settings in self._settings(weights):
            try:
                model = self._policy(settings)
                model.load_state_dict(weights)
                return model
            except Exception as error:  # another architecture, or an error in the student's code
                first = first or error
        if isinstance(first, AnswerError):
            raise first
        raise AnswerError(
            f"The weights in {name} do not fit the policy that src/ defines:"
            f" {' '.join(str(first).split())[:300]}"
        )

    def _settings(self, weights: Mapping[str, torch.Tensor]) -> list[dict[str, Any]]:
        """Return the settings to try for the policy: those in the run's .json files, none, and
        those that follow from the shapes of the weights.
        """
        kept: dict[str, Any] = {}
        for name in self.run:
            if name.endswith(".json"):
                values = read_json(self.home / name)
                kept |= {key: values[key] for key in ("hidden_dims", "chunk_size") if key in values}
        tried = [kept, {}]
        # Try the order in which the modules were created and the natural order of their names,
        # because safetensors sorts them by name.
        for names in ([*weights], sorted(weights, key=_natural)):
            widths = [weights[name].shape[0] for name in names if weights[name].ndim == 2]
            if len(widths) > 1:
                hidden = {"hidden_dims": widths[:-1]}
                tried += [hidden, hidden | {"chunk_size": widths[-1] // 2}]
        return [
            {"chunk_size": 8}
            | {key: tuple(v) if isinstance(v, list) else v for key, v in settings.items()}
            for settings in tried
        ]

    def _policy(self, settings: Mapping[str, Any]) -> Any:
        """Return a new policy, made by build_policy in model.py or by its class."""
        offered = {"state_dim": 5, "obs_dim": 5, "action_dim": 2, "act_dim": 2, **settings}
        name = POLICIES[self.method]
        build: Any = getattr(self.module, "build_policy", None)
        defined: Any = getattr(self.module, name, None)
        if not callable(build) and not callable(defined):
            raise AnswerError(f"src/ defines neither build_policy nor {name} in its model.py.")
        if callable(build):
            try:
                return _made("build_policy", lambda: _call(build, offered, self.method))
            except AnswerError:
                if not callable(defined):
                    raise
        return _made(name, lambda: _call(defined, offered))

    def _stats(self) -> dict[str, dict[str, Any]] | None:
        """Return the statistics from a file of the run directory with "norm" or "stat" in its name,
        or None.
        """
        for name in self.run:
            stem = name.rpartition("/")[2].lower()
            if not ("norm" in stem or "stat" in stem):
                continue
            try:
                if stats := call_answer(name, find_stats, self._statistics_file(name)):
                    return stats
            except AnswerError:
                continue
        return None

    def _statistics_file(self, name: str) -> Any:
        suffix, path = Path(name).suffix, self.home / name
        if suffix == ".json":
            return read_json(path)
        if suffix == ".npz":
            return read_arrays(path)
        return call_answer(name, self._read, name) if name in ranked_models(self.run) else None


def _module_name(path: Path) -> str:
    """Return the name under which a file of src/ is imported; its path begins with src/."""
    return ".".join(path.with_suffix("").parts[1:])


def _natural(name: str) -> list[Any]:
    """Return a key for sorting that puts net.10 after net.2."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]


def _call(function: Callable[..., Any], offered: Mapping[str, Any], *first: Any) -> Any:
    """Call a function with the offered arguments for which it has parameters."""
    parameters = inspect.signature(function).parameters.values()
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    named = {one.name for one in parameters if one.kind in kinds}
    return function(*first, **{name: value for name, value in offered.items() if name in named})


def _made(what: str, make: Callable[[], Any]) -> Any:
    model = call_answer(what, make)
    kind = type(model).__name__
    if not isinstance(model, torch.nn.Module):
        raise AnswerError(f"{what} in src/ returned a {kind}; a policy, an nn.Module, is needed.")
    if not callable(getattr(model, "sample_actions", None)):
        raise AnswerError(f"{what} in src/ returned a {kind} without sample_actions.")
    return model


def _model_in(found: Any) -> Any:
    """Return the nn.Module in a file's content, or the dict of its weights, at any depth; None if
    there is neither.
    """
    if isinstance(found, torch.nn.Module):
        for name in _WRAPPED:
            inner = getattr(found, name, None)
            if isinstance(inner, torch.nn.Module) and not hasattr(type(found), "sample_actions"):
                found = inner
        return found
    if not isinstance(found, Mapping):
        return None
    if found and all(isinstance(value, torch.Tensor) for value in found.values()):
        return dict(found)
    inside = (_model_in(found[key]) for key in _MODEL_KEYS if key in found)
    return next((model for model in inside if model is not None), None)
