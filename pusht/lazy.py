"""Lazy imports: a package imports each of its public names when it is first used (PEP 562)."""

import importlib
import importlib.util
from collections.abc import Callable, Mapping
from typing import Any


def attach(
    package: str, places: Mapping[str, tuple[str, ...]]
) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """Return `__getattr__`, `__dir__` and `__all__` for the `__init__` of a package.

    places: {module in the package: the public names that it defines}; the key "" lists the public
        names that are modules themselves. A module must not have the name of a public function:
        once imported, it would replace the function.
    """
    place_of = {name: module for module, names in places.items() for name in names}
    public = sorted(place_of)

    def get(name: str) -> Any:
        if place_of.get(name):
            return getattr(importlib.import_module(f"{package}.{place_of[name]}"), name)
        module = f"{package}.{name}"
        if name.startswith("_") or importlib.util.find_spec(module) is None:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return importlib.import_module(module)

    return get, public.copy, public
