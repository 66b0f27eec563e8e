"""The pictures that the notebooks show; each function returns an `IPython.display.Image` (see
`pusht.figures.page`).

They are loaded when the first is asked for: a notebook that is graded draws none, and matplotlib
takes its time and 20 MB.
"""

import importlib

_PLACES = {  # by module; none may have the name of a function, in whose place it would be found
    "generative": (
        "compare",
        "crossroads",
        "denoising",
        "latent",
        "noise_schedule",
        "spoiling",
        "straight_lines",
        "two_ways",
        "velocity",
    ),
    "networks": ("chunk_policies", "cvae", "residual_mlp", "unet"),
    "page": ("stored",),
    "playing": ("player",),
    "world": ("chunk", "episodes", "receding_horizon", "task", "window_padding"),
}
_PLACE = {name: place for place, names in _PLACES.items() for name in names}
__all__ = sorted(_PLACE)


def __getattr__(name):
    if name not in _PLACE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_PLACE[name]}"), name)


def __dir__():
    return __all__
