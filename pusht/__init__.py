"""Push-T for imitation learning: environment, demonstrations, networks, training, rollouts."""

from pusht import demos
from pusht.chunks import BasePolicy, Normalizer, PushtChunkDataset, evaluate_policy
from pusht.dataset import PushTStateDataset, WindowLoader, normalize_data, unnormalize_data
from pusht.demos import load_pusht_zarr
from pusht.ema import EMAModel
from pusht.env import PushTEnv, PushTGymnasiumEnv
from pusht.lr_schedule import get_cosine_schedule_with_warmup
from pusht.progress import max_epochs
from pusht.rollout import Episodes, receding_horizon, rollout
from pusht.sim import PushTSim
from pusht.tracking import Logger
from pusht.training import TrainingRun
from pusht.video import show_video, write_video

__version__ = "0.1.0"
__all__ = [
    "BasePolicy",
    "EMAModel",
    "Episodes",
    "Logger",
    "Normalizer",
    "PushTEnv",
    "PushTGymnasiumEnv",
    "PushTSim",
    "PushTStateDataset",
    "PushtChunkDataset",
    "TrainingRun",
    "WindowLoader",
    "demos",
    "evaluate_policy",
    "get_cosine_schedule_with_warmup",
    "load_pusht_zarr",
    "max_epochs",
    "normalize_data",
    "receding_horizon",
    "rollout",
    "show_video",
    "unnormalize_data",
    "write_video",
]
