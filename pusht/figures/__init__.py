"""The pictures that the notebooks show; each function returns an `IPython.display.Image` (see `pusht.figures.page`)."""
from pusht.figures.generative import compare, crossroads, denoising, latent, noise_schedule, spoiling, two_ways, velocity
from pusht.figures.networks import cvae, residual_mlp, unet
from pusht.figures.page import stored
from pusht.figures.task import chunk, episodes, receding_horizon, task, window_padding

__all__ = [
    "chunk", "compare", "crossroads", "cvae", "denoising", "episodes", "latent", "noise_schedule", "receding_horizon", "residual_mlp",
    "spoiling", "stored", "task", "two_ways", "unet", "velocity", "window_padding",
]
