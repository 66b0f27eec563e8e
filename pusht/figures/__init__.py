"""The pictures in the notebooks; each function returns an `IPython.display.Image`.

Each module is imported when one of its functions is first used, because matplotlib takes a while to
load and 20 MB, and a graded notebook draws nothing. The modules, by subject:

- what others draw with: `page` (the page and its shapes), `scenes` (chunks over the table),
  `moving` (pictures with a slider), `board` (the player's drawing), `modes` (where demonstrations
  go two ways)
- all parts: `table` (task, chunks, episodes), `playing` (the player), `comparison`,
  `experiments`, `planned` (what policies plan in the same states), `over_time` (curves)
- Part I: `timelines`, `networks`; Part II: `latents`, `weights`; Part III: `diffusion`;
  Part IV: `flow`
- Parts II to IV: `toy` (two ways around an obstacle in the plane)
- data/README.md: `sheet` (an overview of a set of demonstrations)
"""

from typing import TYPE_CHECKING

from pusht.lazy import attach

if TYPE_CHECKING:
    from pusht.figures.comparison import compare as compare
    from pusht.figures.diffusion import denoising as denoising
    from pusht.figures.diffusion import noise_schedule as noise_schedule
    from pusht.figures.diffusion import noising as noising
    from pusht.figures.experiments import differences as differences
    from pusht.figures.experiments import sweep as sweep
    from pusht.figures.flow import straight_lines as straight_lines
    from pusht.figures.flow import velocity as velocity
    from pusht.figures.latents import latent as latent
    from pusht.figures.latents import two_ways as two_ways
    from pusht.figures.modes import crossroads as crossroads
    from pusht.figures.networks import chunk_policies as chunk_policies
    from pusht.figures.networks import cvae as cvae
    from pusht.figures.networks import residual_mlp as residual_mlp
    from pusht.figures.networks import unet as unet
    from pusht.figures.over_time import curves as curves
    from pusht.figures.planned import chunk_sets as chunk_sets
    from pusht.figures.playing import player as player
    from pusht.figures.table import chunk as chunk
    from pusht.figures.table import episodes as episodes
    from pusht.figures.table import task as task
    from pusht.figures.timelines import receding_horizon as receding_horizon
    from pusht.figures.timelines import window_padding as window_padding
    from pusht.figures.toy import toy_denoising as toy_denoising
    from pusht.figures.toy import toy_flow as toy_flow
    from pusht.figures.toy import toy_latent as toy_latent
    from pusht.figures.weights import divergence_weights as divergence_weights
else:
    __getattr__, __dir__, __all__ = attach(
        __name__,
        {
            "comparison": ("compare",),
            "diffusion": ("denoising", "noise_schedule", "noising"),
            "experiments": ("differences", "sweep"),
            "flow": ("straight_lines", "velocity"),
            "latents": ("latent", "two_ways"),
            "modes": ("crossroads",),
            "networks": ("chunk_policies", "cvae", "residual_mlp", "unet"),
            "over_time": ("curves",),
            "planned": ("chunk_sets",),
            "playing": ("player",),
            "table": ("chunk", "episodes", "task"),
            "timelines": ("receding_horizon", "window_padding"),
            "toy": ("toy_denoising", "toy_flow", "toy_latent"),
            "weights": ("divergence_weights",),
        },
    )
