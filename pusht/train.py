"""Train the policies of a notebook from a terminal.

    python -m pusht.train part4_flow.ipynb --policy flow --chunk-size 8

The student writes the policies and the training loop: the classes `MSEPolicy` and
`FlowMatchingPolicy`, which are called as `Policy(state_dim, action_dim, chunk_size,
hidden_dims=…)`, and the function

    train(policy, loader, normalizer, logger, config) -> None

with a `BasePolicy`, a loader of batches (state (B, 5), chunk (B, K, 2)), a `Normalizer`, a `Logger`
and a `TrainConfig`. Only the definitions in the notebook, or in a .py file, are executed (see
`pusht.definitions`).
"""

import inspect
import os
import sys
import types
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from pusht import demos
from pusht.chunks import PushtChunkDataset
from pusht.dataset import WindowLoader
from pusht.definitions import SetupError, load_definitions, one_line
from pusht.normalisation import Normalizer
from pusht.tracking import Logger, run_directory

POLICIES = {"mse": "MSEPolicy", "flow": "FlowMatchingPolicy"}


@dataclass(frozen=True)
class TrainConfig:
    """The settings of a training run; each field is an option of `python -m pusht.train`."""

    policy: Literal["mse", "flow"] = "mse"
    """which policy: MSEPolicy or FlowMatchingPolicy"""
    seed: int = 42
    """seed of the first weights, the order of the batches and all noise"""
    chunk_size: int = 8
    """actions in a chunk, all executed before the next observation"""
    batch_size: int = 128
    """pairs of state and chunk in a batch"""
    lr: float = 3e-4
    """learning rate"""
    hidden_dims: tuple[int, ...] = (256, 256, 256)
    """widths of the network's hidden layers"""
    num_epochs: int = 400
    """passes over the demonstrations"""
    eval_interval: int = 10_000
    """training steps from one evaluation to the next"""
    log_interval: int = 20
    """training steps from one logged loss to the next"""
    num_video_episodes: int = 5
    """episodes filmed in each evaluation"""
    video_size: tuple[int, int] = (256, 256)
    """width and height of a filmed episode, in pixels"""
    flow_num_steps: int = 10
    """integration steps of the flow when sampling"""
    exp_name: str = ""
    """last part of the run directory's name; the policy's name when empty"""
    device: str = "cpu"
    """where to train, such as cpu or cuda"""
    wandb: Literal["", "online", "offline", "disabled"] = ""
    """whether to log to Weights & Biases too; when empty, WANDB_MODE decides"""


def prepare(
    config: TrainConfig,
    demonstrations: demos.Demonstrations | str | os.PathLike[str] | None = None,
) -> tuple[WindowLoader, Normalizer]:
    """Return the loader of training batches for a `TrainConfig`, and the normaliser of their states
    and actions. The seed of the config determines the order of the batches.

    demonstrations: `Demonstrations`, or an argument of `demos.open`. The loader is a `WindowLoader`
    over the `PushtChunkDataset` loader.dataset; an incomplete last batch is left out. ValueError
    when there is no complete batch.
    """
    if not isinstance(demonstrations, demos.Demonstrations):
        demonstrations = demos.open(demonstrations)
    states, actions = demonstrations.states, demonstrations.actions
    normalizer = Normalizer.from_data(states, actions)
    dataset = PushtChunkDataset(
        states, actions, demonstrations.episode_ends, config.chunk_size, normalizer
    )
    loader = WindowLoader(dataset, config.batch_size, config.seed, config.device, drop_last=True)
    if len(loader) == 0:
        raise ValueError(
            f"{len(dataset)} pairs do not fill a batch of {config.batch_size}: choose a smaller"
            " batch_size."
        )
    return loader, normalizer


def run(
    definitions: types.ModuleType,
    config: TrainConfig,
    demonstrations: demos.Demonstrations | str | os.PathLike[str] | None = None,
    folder: str | os.PathLike[str] = "exp",
) -> Logger:
    """Train the policy that `config` names with the definitions of a module (see
    `load_definitions`), and return the run's `Logger`.

    demonstrations: as for `prepare`. folder: where to make the run directory. SetupError when the
    class or `train` is missing, takes other arguments or is still to be written, and when the
    settings do not fit.
    """
    policy_class = _defined(definitions, POLICIES[config.policy])
    train = _defined(definitions, "train")
    try:
        loader, normalizer = prepare(config, demonstrations)
        path = run_directory(config.exp_name or config.policy, config.seed, folder)
    # Torch raises one of the last two for a missing device.
    except (ValueError, RuntimeError, AssertionError) as error:
        raise SetupError(f"{one_line(error)}.") from error
    dataset = loader.dataset
    torch.manual_seed(config.seed)
    try:
        policy = _call(
            policy_class,
            dataset.states.shape[-1],
            dataset.chunks.shape[-1],
            config.chunk_size,
            hidden_dims=config.hidden_dims,
        ).to(config.device)
        logger = Logger(
            path, config=config, demonstrations=dataset.demonstrations, wandb=config.wandb or None
        )
        _call(train, policy, loader, normalizer, logger, config)
    except NotImplementedError as error:
        raise SetupError(
            f"Something is still to be written: {one_line(error) or 'NotImplementedError'}."
        ) from error
    return logger


def _defined(definitions: types.ModuleType, name: str) -> Callable[..., Any]:
    if not callable(getattr(definitions, name, None)):
        raise SetupError(f"{name} is not defined at the top level of the notebook or module.")
    return getattr(definitions, name)


def _call(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call a student's function; SetupError when it does not take these arguments.

    A TypeError from inside the function keeps its traceback.
    """
    try:
        inspect.signature(function).bind(*args, **kwargs)
    except TypeError as error:
        raise SetupError(
            f"{function.__name__} is called with arguments that it does not take:"
            f" {one_line(error)}."
        ) from None
    return function(*args, **kwargs)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command. When `arguments` is None, they are read from the command line."""
    import tyro

    tyro.cli(
        _train,
        prog="python -m pusht.train",
        args=arguments,
        config=(tyro.conf.OmitArgPrefixes,),  # --seed, not --config.seed
    )


def _train(file: Path, /, config: TrainConfig, demos: str = "") -> None:
    """Train a policy of Part IV, with the classes and the loop of a notebook.

    Args:
        file: notebook (.ipynb) or module (.py) that defines MSEPolicy, FlowMatchingPolicy and train
        config: the settings
        demos: shipped, human, or the path of a .zarr folder or zip; when empty, PUSHT_DEMOS decides
    """
    sys.path.insert(0, str(file.resolve().parent))  # the file may import modules beside it
    try:
        logger = run(load_definitions(file), config, demos or None)
    except SetupError as error:
        raise SystemExit(str(error)) from None
    print(f"The run is in {logger.path}")


if __name__ == "__main__":
    main()
