"""The pictures that the notebooks show; each function returns an `IPython.display.Image` (see `pusht.figures.page`)."""
from pusht.figures.networks import residual_mlp
from pusht.figures.task import chunk, episodes, receding_horizon, task, window_padding

__all__ = ["chunk", "episodes", "receding_horizon", "residual_mlp", "task", "window_padding"]
