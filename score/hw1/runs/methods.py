"""Which method a run directory is of: its name, its settings or its model say so."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from pusht.train import POLICIES

# Words in the names of runs, folders and files, and what students mean by them.
_WORDS = {
    "mse": {"mse", "msepolicy", "regression"},
    "flow": {"flow", "flows", "flowmatching", "flowpolicy", "matching", "fm", "cfm"},
}
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")


def method_of_name(name: str) -> str | None:
    """Return the method that a name such as "FlowMatching" or "mse_best" says, or None."""
    words = {word.lower() for word in _WORD.findall(name)}
    return _only({method for method, meant in _WORDS.items() if words & meant})


def method_of_settings(settings: Mapping[str, Any]) -> str | None:
    """Return the method that the settings of a run say, or None."""
    said = settings.get("policy_type", settings.get("policy"))
    return method_of_name(said) if isinstance(said, str) else None


def method_of_values(values: Iterable[str]) -> str | None:
    """Return the one method that values in a run's settings say, or None."""
    return _only({method for value in values if (method := method_of_name(value))})


def method_of_model(content: bytes) -> str | None:
    """Return the method whose class a pickled model names, or None. Nothing is unpickled."""
    return _only({method for method, name in POLICIES.items() if name.encode() in content})


def _only(methods: set[str]) -> str | None:
    return methods.pop() if len(methods) == 1 else None
