"""Builds the policy that the weights of a file belong to."""

import functools
import inspect
import itertools
import re
import types
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch

from pusht.train import POLICIES
from score.hw1.boxed.code import Code
from score.hw1.loaded import is_average
from score.verdict import AnswerError, call_answer

_COMPILED = re.compile(r"(^|\.)_orig_mod\.")  # in the names of weights, after torch.compile
# Arguments that take a whole configuration, and settings that name the policy or its sizes.
_CONFIGURATIONS = {"cfg", "conf", "config", "args", "hparams", "params"}
_NOT_OFFERED = {*_CONFIGURATIONS, "policy_type", "policy", "state_dim", "obs_dim", "action_dim"}
_MOST_MODULES = 8  # of a trainer's, beside the policy
_PARALLEL = re.compile(r"^(?:module\.)+")  # after DataParallel


def built(
    code: Code, method: str, name: str, weights: Mapping[str, torch.Tensor], kept: dict[str, Any]
) -> Any:
    """Return a policy of a student's class with these weights.

    name: of their file. kept: the settings of the run. AnswerError when they fit no policy that
    the code defines.
    """
    weights = {_PARALLEL.sub("", _COMPILED.sub(r"\1", key)): weights[key] for key in weights}
    kept = {key: value for key, value in kept.items() if key not in _NOT_OFFERED}
    makers = _makers(code, method)
    first: Exception | None = None
    for own in _variants(weights):
        for make, settings in itertools.product(makers, _settings(own, kept)):
            try:
                model = make(settings)
                _fill(model, own)
                return model
            except Exception as error:  # another architecture, or an error in the student's code
                first = first or error
    if isinstance(first, AnswerError):
        raise first
    raise AnswerError(
        f"The weights in {name} do not fit the policy that src/ defines:"
        f" {' '.join(str(first).split())[:300]}"
    )


def _fill(model: torch.nn.Module, weights: Mapping[str, torch.Tensor]) -> None:
    """Load the weights of a policy, or of the one network in it."""
    try:
        model.load_state_dict(weights)
    except RuntimeError:
        networks = [one for one in model.children() if any(True for _ in one.parameters())]
        if len(networks) != 1 or {*networks[0].state_dict()} != {*weights}:
            raise
        networks[0].load_state_dict(weights)


def _variants(
    weights: Mapping[str, torch.Tensor], depth: int = 2
) -> Iterator[Mapping[str, torch.Tensor]]:
    """Yield the weights, then those of each module, down to this depth, in which a trainer may hold
    the policy: a moving average before others.
    """
    yield weights
    tops = dict.fromkeys(key.partition(".")[0] for key in weights)
    if not depth or len(tops) > _MOST_MODULES:
        return
    for top in sorted(tops, key=lambda top: not is_average(top)):
        inside = {
            key.removeprefix(f"{top}."): one
            for key, one in weights.items()
            if key.startswith(f"{top}.")
        }
        if any("." in key for key in inside):
            yield from _variants(inside, depth - 1)


def _settings(weights: Mapping[str, torch.Tensor], kept: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the settings to try for the policy: those of the run, none, and those that follow from
    the shapes of the weights.
    """
    usual = {key: kept[key] for key in ("hidden_dims", "chunk_size") if key in kept}
    tried: list[dict[str, Any]] = [usual, {}] if usual == kept else [dict(kept), usual, {}]
    # Try the order in which the modules were created and the natural order of their names, because
    # safetensors sorts them by name.
    for names in ([*weights], sorted(weights, key=_natural)):
        widths = [weights[name].shape[0] for name in names if weights[name].ndim == 2]
        if len(widths) > 1:
            hidden = {"hidden_dims": widths[:-1]}
            tried += [hidden, hidden | {"chunk_size": widths[-1] // 2}]
            tried += [dict(kept) | hidden] * (usual != kept)
    return [
        {"chunk_size": 8}
        | {key: tuple(v) if isinstance(v, list) else v for key, v in settings.items()}
        for settings in tried
    ]


def _makers(code: Code, method: str) -> list[Callable[[Mapping[str, Any]], Any]]:
    """Return functions from settings to a new policy: of build_policy in model.py and of its class
    or, without these, of each class of policies there. AnswerError where there is none.
    """
    name = POLICIES[method]
    build, defined = _defined(code, "build_policy"), _defined(code, name)
    made: list[Callable[[Mapping[str, Any]], Any]]
    made = [functools.partial(_made, "build_policy", build, method)] if build else []
    if defined:
        made.append(functools.partial(_made, name, defined))
    made = made or [functools.partial(_made, c.__name__, c) for c in code.policies()]
    if not made:
        raise AnswerError(f"src/ defines neither build_policy nor {name} in its model.py.")
    return made


def _defined(code: Code, name: str) -> Any:
    try:
        found = code.named(name)
    except AttributeError:
        return None
    return found if callable(found) else None


def _natural(name: str) -> list[Any]:
    """Return a key for sorting that puts net.10 after net.2."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]


def _call(function: Callable[..., Any], offered: Mapping[str, Any], *first: Any) -> Any:
    """Call a function with the offered arguments for which it has parameters, and with all of them
    in one object where it asks for a configuration.
    """
    parameters = inspect.signature(function).parameters.values()
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    named = {one.name for one in parameters if one.kind in kinds}
    together = {name: types.SimpleNamespace(**offered) for name in named & _CONFIGURATIONS}
    return function(
        *first, **together, **{name: offered[name] for name in offered if name in named}
    )


def _made(what: str, make: Callable[..., Any], *arguments: Any) -> Any:
    """Return the policy that `what`, a function or a class, makes with the last of the arguments,
    settings, and those before.
    """
    *first, settings = arguments
    offered = {"state_dim": 5, "obs_dim": 5, "action_dim": 2, "act_dim": 2, **settings}
    model = call_answer(what, _call, make, offered, *first)
    kind = type(model).__name__
    if not isinstance(model, torch.nn.Module):
        raise AnswerError(f"{what} in src/ returned a {kind}; a policy, an nn.Module, is needed.")
    if not callable(getattr(model, "sample_actions", None)):
        raise AnswerError(f"{what} in src/ returned a {kind} without sample_actions.")
    return model
