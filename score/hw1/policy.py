"""A policy of the script assignment as a hand-in has it: code in src/, weights or a pickled model
in exp/mse or exp/flow.

What is here runs in a graded kernel. A pickle runs whatever it says when it is opened and src/
whatever stands there, so both are read from the packed zip (`score.hw1.layout`), which grading lays
beside the notebook only where a box keeps the kernel apart.
"""

import functools
import importlib
import inspect
import io
import json
import pickle
import re
import sys
import tempfile
import types
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import safetensors.torch
import torch

from pusht.checkpoint import MOMENTS, SUFFIX, CheckpointError, load_checkpoint
from pusht.chunks import BasePolicy, Normalizer
from pusht.sim import WINDOW
from pusht.train import POLICIES
from score.hw1.layout import PACKED, PART, package, ranked_models
from score.verdict import AnswerError, call_answer

# Under these names a checkpoint may keep a model or its weights, and its normaliser.
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
_NORMALISER_KEYS = ("normalizer", "normaliser", "normalization", "stats", "statistics")
_PREFIX = re.compile(r"^(?:_orig_mod\.|module\.)+")  # of what torch.compile and DataParallel wrap
_OLD_TORCH = pickle.dumps(
    0x1950A86A20F9469CFC6C, protocol=2
)  # torch.save's files begin with it where they are no zips


class ScriptPolicy(BasePolicy):
    """A policy for `score.grade_rollouts`, in the normalisation of its hand-in file
    NAME.safetensors; loaded when its weights are.

    name: of the rubric's policy, as "part4_mse". Of a chunk longer than chunk_size the beginning is
    executed, and actions stay in the window, as the assignment's own evaluation has it.
    """

    def __init__(self, name, state_dim, action_dim, chunk_size, folder="."):
        super().__init__(state_dim, action_dim, chunk_size)
        self._name, self._folder, self._loaded = name, Path(folder), None

    def state_dict(self, *args, **kwargs):
        """The weights of the hand-in file, whose place they have in the model already.
        CheckpointError where there is no model.
        """
        handed_in = load_checkpoint(self._folder / (self._name + SUFFIX), MOMENTS)
        try:
            self._loaded = load(self._name, handed_in, self._folder)
        except AnswerError as error:
            raise CheckpointError(str(error)) from None
        self._graded = Normalizer(handed_in.stats)
        return handed_in.weights

    def load_state_dict(self, weights, *args, **kwargs):
        """Nothing: `state_dict` has loaded them, which may be in another form than the hand-in
        file's.
        """

    def sample_actions(self, state, *, num_steps=10):
        model, own = self._loaded
        moments = self._graded.stats["obs"]
        pixels = state * torch.from_numpy(moments["std"]) + torch.from_numpy(moments["mean"])
        steps = {"num_steps": num_steps} if _takes(model.sample_actions, "num_steps") else {}
        chunk = model.sample_actions(own.normalize_state(pixels), **steps)
        if (
            not isinstance(chunk, torch.Tensor)
            or chunk.ndim != 3
            or chunk.shape[-1] != self.action_dim
        ):
            return chunk  # what is wrong with it is told where it is asked for
        return self._graded.normalize_action(
            own.denormalize_action(chunk[:, : self.chunk_size]).clamp(0, WINDOW)
        )


def _takes(function, name):
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return True
    return any(
        parameter.name == name or parameter.kind is parameter.VAR_KEYWORD
        for parameter in parameters
    )


def load(name, handed_in, folder="."):
    """(model, its `Normalizer`) of a hand-in of the script assignment whose packed zip is in
    `folder`.

    handed_in: the `Checkpoint` of the policy's hand-in file; its statistics are the model's where
    the run directory has none. AnswerError where nothing can be loaded, with the reason, or where
    the zip is not there because no box is.
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
    return _Loader(home, method).load(handed_in)


@functools.cache
def _unpacked(packed):
    home = tempfile.TemporaryDirectory(prefix="script-")
    with zipfile.ZipFile(packed) as archive:
        archive.extractall(home.name)
    return home


class _Loader:
    """What loading a run directory needs: home, where the hand-in is unpacked; method, "mse" or
    "flow"; the module model.py.
    """

    def __init__(self, home, method):
        self.home, self.method = home, method
        self.names = sorted(
            path.relative_to(home).as_posix() for path in home.rglob("*") if path.is_file()
        )
        self.module = self._module()

    def load(self, handed_in):
        """(model, `Normalizer`) of the first of the run's models that can be loaded; AnswerError
        with why the first cannot.
        """
        models, reasons = (
            ranked_models(name for name in self.names if name.startswith(f"exp/{self.method}/")),
            [],
        )
        first = (
            [(f"the hand-in file's {len(handed_in.weights)} arrays", lambda: handed_in.weights)]
            if handed_in.weights
            else []
        )
        for name, read in [
            *first,
            *((name, functools.partial(self._read, name)) for name in models),
        ]:
            try:
                found = call_answer(name, read)
                model = self._model(name, found)
            except AnswerError as error:
                reasons.append(str(error))
                continue
            stats = call_answer(name, _normaliser, found) or self._stats(models) or handed_in.stats
            return call_answer(name, lambda: model.to("cpu", torch.float32).eval()), Normalizer(
                stats
            )
        raise AnswerError(
            reasons[0]
            if reasons
            else (
                f"There is no model in exp/{self.method}: hand in the run directory with its "
                f"policy{SUFFIX}, or its .pkl or .pt."
            )
        )

    def _module(self):
        name = package(self.names)
        if name is None:
            raise AnswerError(
                "There is no model.py in src/: hand in src/hw1_imitation with all its .py files."
            )
        folders = Path(name).parent.parts[1:]
        sys.path[:0] = [str(self.home / "src")]
        sys.path += [
            str(self.home),
            str((self.home / name).parent),
        ]  # for pickles of who started it from there
        return call_answer(name, importlib.import_module, ".".join([*folders, "model"]))

    # What is in a file.

    def _read(self, name):
        content = (self.home / name).read_bytes()
        if name.endswith(SUFFIX):
            return safetensors.torch.load(content)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if not (zipfile.is_zipfile(io.BytesIO(content)) or content.startswith(_OLD_TORCH)):
                return self._pickle().load(io.BytesIO(content))
            try:
                return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
            except Exception:  # more than weights, as the assignment's own whole models
                return torch.load(
                    io.BytesIO(content),
                    map_location="cpu",
                    weights_only=False,
                    pickle_module=self._pickle(),
                )

    def _pickle(self):
        """A stand-in for the module pickle that reads what was written on another machine, from
        another place.
        """

        def on_cpu(content):
            return torch.load(io.BytesIO(content), map_location="cpu", weights_only=False)

        class Unpickler(pickle.Unpickler):
            def find_class(unpickler, module, name):
                if (module, name) == ("torch.storage", "_load_from_bytes"):
                    return on_cpu
                try:
                    return (
                        self._defined(name)
                        if module == "__main__"
                        else super().find_class(module, name)
                    )
                except (
                    ImportError,
                    AttributeError,
                ):  # such as a configuration, which the model does not need
                    return type(name, (_Unknown,), {"__module__": module})

        def load(file, **options):
            return Unpickler(file, **options).load()

        return types.SimpleNamespace(Unpickler=Unpickler, load=load, __name__="pickle")

    def _defined(self, name):
        """What a script of the student's defined when it ran as __main__: here it is one of src/'s
        modules.
        """
        if hasattr(self.module, name):
            return getattr(self.module, name)
        for path in sorted((self.home / "src").rglob("*.py")):
            if re.search(
                rf"^class {re.escape(name)}\b",
                path.read_text(encoding="utf-8", errors="replace"),
                re.MULTILINE,
            ):
                module = ".".join(path.relative_to(self.home / "src").with_suffix("").parts)
                return getattr(importlib.import_module(module), name)
        raise AttributeError(name)

    # What a model is made of.

    def _model(self, name, found):
        """The policy in what a file holds; AnswerError where there is none."""
        found = call_answer(name, _model_in, found)
        if isinstance(found, dict):
            return self._built(name, found)
        if found is None:
            raise AnswerError(f"{name} holds no model and no weights.")
        if not callable(getattr(found, "sample_actions", None)):
            raise AnswerError(
                f"{name} holds a {type(found).__name__}, which has no sample_actions."
            )
        return found

    def _built(self, name, weights):
        weights, why = {_PREFIX.sub("", key): value for key, value in weights.items()}, None
        for sizes in self._sizes(weights):
            try:
                model = self._made(sizes)
                model.load_state_dict(weights)
                return model
            except Exception as error:  # weights of another architecture, or whatever a load_state_dict of the student's raises
                why = why or error
        if isinstance(why, AnswerError):
            raise why
        raise AnswerError(
            f"The weights in {name} are not those of the policy that src/ makes:"
            f" {' '.join(str(why).split())[:300]}"
        )

    def _sizes(self, weights):
        """Settings that the policy may have been made with: those of the run's .json, none, those
        that the weights let see.
        """
        told = {}
        for name in self.names:
            if name.startswith(f"exp/{self.method}/") and name.endswith(".json"):
                told |= {
                    key: value
                    for key, value in _json(self.home / name).items()
                    if key in ("hidden_dims", "chunk_size")
                }
        sizes = [told, {}]
        for names in (
            weights,
            sorted(weights, key=_naturally),
        ):  # as the modules were made, and as safetensors puts them
            widths = [weights[name].shape[0] for name in names if weights[name].ndim == 2]
            hidden = {"hidden_dims": widths[:-1]} if len(widths) > 1 else {}
            sizes += [hidden, hidden | {"chunk_size": widths[-1] // 2}] if hidden else []
        return [
            {"chunk_size": 8}
            | {
                key: tuple(value) if isinstance(value, list) else value
                for key, value in each.items()
            }
            for each in sizes
        ]

    def _made(self, sizes):
        """A policy of model.py with fresh weights, made by its build_policy or else by its class."""
        offered = {"state_dim": 5, "obs_dim": 5, "action_dim": 2, "act_dim": 2, **sizes}
        build, defined = (
            getattr(self.module, "build_policy", None),
            getattr(self.module, POLICIES[self.method], None),
        )
        if not callable(build) and not callable(defined):
            raise AnswerError(
                f"src/ defines neither build_policy nor {POLICIES[self.method]} in its model.py."
            )
        try:
            if callable(build):
                return self._policy("build_policy", lambda: _called(build, offered, self.method))
        except AnswerError:
            if not callable(defined):
                raise
        return self._policy(POLICIES[self.method], lambda: _called(defined, offered))

    def _policy(self, what, make):
        model = call_answer(what, make)
        if not isinstance(model, torch.nn.Module):
            raise AnswerError(
                f"{what} of src/ gave a {type(model).__name__} where a policy, an nn.Module, is"
                " needed."
            )
        if not callable(getattr(model, "sample_actions", None)):
            raise AnswerError(
                f"{what} of src/ gave a {type(model).__name__} without sample_actions."
            )
        return model

    def _stats(self, models):
        """The statistics in a file of the run directory that is named after them, None where there
        is none.
        """
        for name in self.names:
            stem = name.rpartition("/")[2].lower()
            if name.startswith(f"exp/{self.method}/") and ("norm" in stem or "stat" in stem):
                try:
                    read = {".json": _json, ".npz": _arrays}.get(Path(name).suffix)
                    found = (
                        read(self.home / name)
                        if read
                        else call_answer(name, self._read, name)
                        if name in models
                        else None
                    )
                    if stats := call_answer(name, _normaliser, found):
                        return stats
                except AnswerError:
                    continue
        return None


def _naturally(name):
    """For sorting: net.10 after net.2."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]


class _Unknown:
    """What a pickle names and nothing here defines."""

    def __init__(self, *args, **kwargs):
        pass

    def __setitem__(self, key, value):
        pass

    def append(self, value):
        pass

    def extend(self, values):
        pass


def _called(function, offered, *first):
    """Call it with what it has parameters for."""
    parameters = inspect.signature(function).parameters.values()
    named = {
        one.name for one in parameters if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)
    }
    return function(*first, **{name: value for name, value in offered.items() if name in named})


def _model_in(found):
    """The nn.Module in what was read or the dict of its weights, however deep it is kept; None
    where there is neither.
    """
    if isinstance(found, torch.nn.Module):
        for wrapped in ("_orig_mod", "module"):
            inner = getattr(found, wrapped, None)
            found = (
                inner
                if isinstance(inner, torch.nn.Module) and not hasattr(type(found), "sample_actions")
                else found
            )
        return found
    if not isinstance(found, Mapping):
        return None
    if found and all(isinstance(value, torch.Tensor) for value in found.values()):
        return dict(found)
    inside = [found[key] for key in _MODEL_KEYS if key in found]
    return next((model for value in inside if (model := _model_in(value)) is not None), None)


def _normaliser(found):
    """Statistics {"obs": {"mean", "std"}, "action": …} of a normaliser, or in a checkpoint that
    keeps one; None without any.
    """
    if isinstance(found, torch.nn.Module) or found is None:
        return None
    values = found if isinstance(found, Mapping) else getattr(found, "__dict__", {})
    stats = {
        what: {
            name: _first(
                values, [*(f"{key}_{name}" for key in keys), *((key, name) for key in keys)]
            )
            for name in MOMENTS
        }
        for what, keys in (
            ("obs", ("state", "obs", "observation")),
            ("action", ("action", "actions")),
        )
    }
    if all(_fits(stats[what], size) for what, size in (("obs", 5), ("action", 2))):
        return stats
    return next(
        (
            inner
            for key in _NORMALISER_KEYS
            if key in values and (inner := _normaliser(values[key]))
        ),
        None,
    )


def _first(values, names):
    """The first of these that there is: a name, or a name in what another name has."""
    for name in names:
        value = values.get(name[0]) if isinstance(name, tuple) else values.get(name)
        if isinstance(name, tuple):
            value = (
                value.get(name[1]) if isinstance(value, Mapping) else getattr(value, name[1], None)
            )
        if value is not None and not callable(value):
            return value
    return None


def _fits(moments, size):
    try:
        mean, std = (np.asarray(moments[name], dtype=np.float32) for name in MOMENTS)
    except (TypeError, ValueError, RuntimeError):
        return False
    return (
        mean.shape == std.shape == (size,)
        and bool(np.isfinite([mean, std]).all())
        and bool((std > 0).all())
    )


def _json(path):
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _arrays(path):
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile):
        return {}
