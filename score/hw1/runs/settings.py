"""The settings of a run, as the assignment's scripts leave them in its directory."""

import json
import re
from collections.abc import Iterable
from typing import Any

# The assignment's scripts and W&B (in wandb/files/), Lightning and Hydra write these.
_FILES = ("config.json", "config.yaml", "hparams.yaml", "overrides.yaml")
# From such a file, or a log, to the run directory.
HOME = re.compile(r"(?:^|/)(?:\.hydra/|wandb/files/|files/)?[^/]+$")
# A line "name: …" of a .yaml file, and in W&B's a line "value: …" below it.
_ENTRY = re.compile(r"^(\w+):[ \t]*(.*)\n((?:[ \t-].*(?:\n|$))*)", re.MULTILINE)
# The same further down, as Hydra groups them.
_INNER = re.compile(r"^[ \t]+(\w+):[ \t]*(\S.*)$", re.MULTILINE)
_METHOD = re.compile(
    r"""^[\s{"'-]*(?:policy\w*|model\w*|method|algo\w*|name|type|_target_)["']?[ \t]*[:=][ \t]*"""
    r"""["']?([\w.]+)""",
    re.MULTILINE,
)
_DECIMAL = re.compile(r"[+-]?\d{0,9}\.?\d{1,17}(?:[eE][+-]?\d{1,3})?")
_WORDS = {"true": True, "false": False, "null": None, "none": None, "~": None}
_VALUE = re.compile(r"^[ \t]+value:[ \t]*(.*)\n?((?:[ \t]+-.*(?:\n|$))*)", re.MULTILINE)


def is_settings(name: str) -> bool:
    """Return whether a file of a run directory contains its settings."""
    return name.endswith(_FILES)


def read_settings(contents: Iterable[tuple[str, bytes]]) -> dict[str, Any]:
    """Return the settings that files, (name, content), contain; {} if none can be read."""
    found: dict[str, Any] = {}
    for name, content in contents:
        text = content.decode("utf-8", errors="replace")
        values = _json(text) if name.endswith(".json") else _yaml(text)
        found = values | found
    return found


def said_of_method(text: str) -> list[str]:
    """Return the values in a file of settings, at any depth, that may say a run's method."""
    return _METHOD.findall(text)


def _json(text: str) -> dict[str, Any]:
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(values, dict):
        return {}
    flat = {
        key: value["value"] if isinstance(value, dict) and "value" in value else value
        for key, value in values.items()
    }
    groups = (value for value in flat.values() if isinstance(value, dict))
    return {key: value for group in groups for key, value in group.items()} | flat


def _yaml(text: str) -> dict[str, Any]:
    """Return the values of a .yaml file that are single words or numbers, or lists of these."""
    values = {}
    for key, value, below in _ENTRY.findall(text + "\n"):
        if inner := _VALUE.search(below):
            value, below = inner.groups()
        items = re.findall(r"^[ \t]*-[ \t]*(.*)$", below, re.MULTILINE)
        value = value.strip()
        if value.startswith("["):
            items, value = value.strip("[]").split(","), ""
        values[key] = _plain(value) if value or not items else [_plain(item) for item in items]
    for key, value in _INNER.findall(text):
        listed = value.startswith("[") and [_plain(one) for one in value.strip("[] ").split(",")]
        values.setdefault(key, listed or _plain(value))
    return values


def _plain(text: str) -> Any:
    text = text.strip().strip("'\"")
    if re.fullmatch(r"\d{1,9}", text):
        return int(text)
    if _DECIMAL.fullmatch(text):
        return float(text)
    return _WORDS.get(text.lower(), text)


def whole(value: Any, most: int) -> int | None:
    """Return a value if it is a whole number from 1 to `most`, else None."""
    return value if type(value) is int and 1 <= value <= most else None
