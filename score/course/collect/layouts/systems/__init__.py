"""The systems whose exports are known: a module each, with its `LAYOUT`."""

import functools
import pkgutil
from importlib import import_module

from score.course.collect.layouts.base import Layout


@functools.cache
def layouts() -> tuple[Layout, ...]:
    """Return the layouts of all modules of this package."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    return tuple(import_module(f"{__name__}.{name}").LAYOUT for name in names)
