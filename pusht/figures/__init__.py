"""The pictures that the notebooks show; each function returns an `IPython.display.Image` (see
`pusht.figures.page`).

They are loaded when the first is used: a graded notebook draws none, and matplotlib takes a while
to load, and 20 MB.
"""

from typing import TYPE_CHECKING

from pusht.lazy import attach

if TYPE_CHECKING:
    from pusht.figures.generative import compare as compare
else:
    __getattr__, __dir__, __all__ = attach(
        __name__,
        {  # a module cannot have the name of a function
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
        },
    )
