"""Push-T for imitation learning: environment, demonstrations, networks, training, rollouts.

`import pusht` is fast, because each name is imported from its module when it is first used. The
modules, by subject:

- the task: `sim` (physics, coverage, reward), `env` (gym), `env_gymnasium`, `env_parts`,
  `registration`, `rules` (starts), `render`, `play` (a game)
- data: `demos`, `expert` (who made them), `dataset` (Parts I to III), `chunks` (Part IV),
  `normalisation`
- training: `networks`, `training` (Parts I to III), `train` and `tracking` (Part IV), `ema`,
  `lr_schedule`, `speed`, `checkpoint`, `loss_view`
- rollouts: `episodes`, `behaviour`, `video`
- pictures for the notebooks: `figures`
- helpers: `files`, `resources`, `run_mode`, `progress`, `definitions`, `lazy`
"""

import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING

from pusht.lazy import attach

# The set-up cell of a notebook installs the requirements when this import fails. So this import
# must fail if a package is missing that Colab does not have.
for _package in ("pooch", "pymunk", "skvideo", "zarr"):
    if find_spec(_package) is None:
        raise ModuleNotFoundError(f"No module named {_package!r}", name=_package)

if TYPE_CHECKING:
    from pusht import demos as demos
    from pusht.behaviour import roughness as roughness
    from pusht.behaviour import standstill as standstill
    from pusht.chunks import BasePolicy as BasePolicy
    from pusht.chunks import PushtChunkDataset as PushtChunkDataset
    from pusht.chunks import evaluate_policy as evaluate_policy
    from pusht.dataset import PushTStateDataset as PushTStateDataset
    from pusht.dataset import WindowLoader as WindowLoader
    from pusht.demos import load_pusht_zarr as load_pusht_zarr
    from pusht.ema import EMAModel as EMAModel
    from pusht.env import PushTEnv as PushTEnv
    from pusht.env_gymnasium import PushTGymnasiumEnv as PushTGymnasiumEnv
    from pusht.episodes import Episodes as Episodes
    from pusht.episodes import receding_horizon as receding_horizon
    from pusht.episodes import rollout as rollout
    from pusht.lr_schedule import (
        get_cosine_schedule_with_warmup as get_cosine_schedule_with_warmup,
    )
    from pusht.normalisation import Normalizer as Normalizer
    from pusht.normalisation import normalize_data as normalize_data
    from pusht.normalisation import unnormalize_data as unnormalize_data
    from pusht.progress import max_epochs as max_epochs
    from pusht.sim import PushTSim as PushTSim
    from pusht.tracking import Logger as Logger
    from pusht.training import TrainingRun as TrainingRun
    from pusht.video import show_video as show_video
    from pusht.video import write_video as write_video
else:
    __getattr__, __dir__, __all__ = attach(
        __name__,
        {
            "": ("demos",),
            "behaviour": ("roughness", "standstill"),
            "chunks": ("BasePolicy", "PushtChunkDataset", "evaluate_policy"),
            "dataset": ("PushTStateDataset", "WindowLoader"),
            "demos": ("load_pusht_zarr",),
            "ema": ("EMAModel",),
            "env": ("PushTEnv",),
            "env_gymnasium": ("PushTGymnasiumEnv",),
            "episodes": ("Episodes", "receding_horizon", "rollout"),
            "lr_schedule": ("get_cosine_schedule_with_warmup",),
            "normalisation": ("Normalizer", "normalize_data", "unnormalize_data"),
            "progress": ("max_epochs",),
            "sim": ("PushTSim",),
            "tracking": ("Logger",),
            "training": ("TrainingRun",),
            "video": ("show_video", "write_video"),
        },
    )

if "gymnasium" in sys.modules:  # gymnasium.make("pusht/PushT-v0") works after both imports
    from pusht import registration as registration

__version__ = "0.1.0"
