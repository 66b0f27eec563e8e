"""Train the policies of a notebook from a terminal:

    python -m pusht.train part4_flow.ipynb --policy flow --chunk-size 8

Policy and training loop are the student's: the classes `MSEPolicy` and `FlowMatchingPolicy`, made
as `Policy(state_dim, action_dim, chunk_size, hidden_dims=…)`, and the function

    train(policy, loader, normalizer, logger, config) -> None

with a `BasePolicy`, a loader of batches (state (B, 5), chunk (B, K, 2)), a `Normalizer`, a `Logger`
and a `TrainConfig`. Of the notebook, or of a .py file, only definitions are executed: imports,
functions, classes, and names that are given plain constants. Nothing else in it runs.
"""

import argparse
import ast
import dataclasses
import inspect
import json
import linecache
import sys
import types
import typing
from pathlib import Path

import torch

from pusht import demos
from pusht.chunks import Normalizer, PushtChunkDataset
from pusht.dataset import WindowLoader
from pusht.tracking import Logger, run_directory

POLICIES = {"mse": "MSEPolicy", "flow": "FlowMatchingPolicy"}


def _field(default, text):
    return dataclasses.field(default=default, metadata={"help": text})


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """The settings of a training run; each field is an option of `python -m pusht.train`."""

    policy: typing.Literal["mse", "flow"] = _field(
        "mse", "which policy: MSEPolicy or FlowMatchingPolicy"
    )
    seed: int = _field(42, "of the first weights, the order of the batches and all noise")
    chunk_size: int = _field(8, "actions in a chunk, all executed before the next observation")
    batch_size: int = _field(128, "pairs of state and chunk in a batch")
    lr: float = _field(3e-4, "learning rate")
    hidden_dims: tuple[int, ...] = _field((256, 256, 256), "widths of the network's hidden layers")
    num_epochs: int = _field(400, "passes over the demonstrations")
    eval_interval: int = _field(10_000, "training steps from one evaluation to the next")
    log_interval: int = _field(20, "training steps from one logged loss to the next")
    num_video_episodes: int = _field(5, "episodes filmed in each evaluation")
    video_size: tuple[int, int] = _field(
        (256, 256), "width and height of a filmed episode, in pixels"
    )
    flow_num_steps: int = _field(10, "integration steps of the flow when it samples")
    exp_name: str = _field(
        "", "last part of the run directory's name; that of the policy when empty"
    )
    device: str = _field("cpu", "where to train, such as cpu or cuda")
    wandb: typing.Literal["", "online", "offline", "disabled"] = _field(
        "", "Weights & Biases beside the log; when empty, as WANDB_MODE says"
    )


class SetupError(ValueError):
    """A training that cannot be run from this notebook or with these settings, and why, in one
    sentence.
    """


def prepare(config, demonstrations=None):
    """(loader, normalizer): the batches of a `TrainConfig`, in an order of its seed, and what they
    were normalised with.

    demonstrations: `Demonstrations`, or what `demos.open` takes. The loader is a `WindowLoader`
    over the `PushtChunkDataset` loader.dataset; an incomplete last batch is left out. ValueError
    when there is no whole batch.
    """
    if not isinstance(demonstrations, demos.Demonstrations):
        demonstrations = demos.open(demonstrations)
    states, actions, episode_ends = (
        demonstrations.states,
        demonstrations.actions,
        demonstrations.episode_ends,
    )
    normalizer = Normalizer.from_data(states, actions)
    dataset = PushtChunkDataset(states, actions, episode_ends, config.chunk_size, normalizer)
    loader = WindowLoader(dataset, config.batch_size, config.seed, config.device, drop_last=True)
    if len(loader) == 0:
        raise ValueError(
            f"{len(dataset)} pairs do not fill a batch of {config.batch_size}: choose a smaller"
            " batch_size."
        )
    return loader, normalizer


def load_definitions(path):
    """The definitions of a notebook (.ipynb) or a Python file, as a module; nothing else in it is
    executed.

    SetupError when the file cannot be read or one of the definitions fails.
    """
    path = Path(path)
    module = types.ModuleType(f"definitions_{path.stem}")
    sys.modules[module.__name__] = (
        module  # where dataclasses and pickle look for what is defined in it
    )
    for where, source in _sources(path):
        linecache.cache[where] = (
            len(source),
            None,
            source.splitlines(keepends=True),
            where,
        )  # tracebacks show its lines
        try:
            tree = ast.parse(source, where)
            tree.body = [node for node in tree.body if _is_definition(node)]
            exec(compile(tree, where, "exec", dont_inherit=True), module.__dict__)
        except SyntaxError as error:
            raise SetupError(f"{where}, line {error.lineno}, is no Python: {error.msg}.") from None
        except Exception as error:
            hint = (
                " (only imports, definitions and plain constants are executed)"
                if isinstance(error, NameError)
                else ""
            )
            raise SetupError(
                f"{where} cannot be taken over, {type(error).__name__}: {_line(error)}{hint}."
            ) from error
    return module


def _sources(path):
    """(where, source) of each code cell, or of the whole file."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SetupError(f"{path} cannot be read: {_line(error)}.") from None
    if path.suffix != ".ipynb":
        return [(str(path), text)]
    from IPython.core.inputtransformer2 import (
        TransformerManager,
    )  # turns % and ! lines into calls, which are no definitions

    try:
        cells = [
            "".join(cell["source"])
            for cell in json.loads(text)["cells"]
            if cell["cell_type"] == "code"
        ]
    except (ValueError, LookupError, TypeError) as error:
        raise SetupError(
            f"{path} is no notebook ({type(error).__name__}: {_line(error)})."
        ) from None
    return [
        (f"{path}, code cell {i}", TransformerManager().transform_cell(cell))
        for i, cell in enumerate(cells, 1)
    ]


def _is_definition(node):
    if isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value is not None:
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        return all(isinstance(target, (ast.Name, ast.Tuple)) for target in targets) and _is_literal(
            node.value
        )
    return isinstance(
        node, (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    )


def _is_literal(node):
    try:
        ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return False
    return True


def _line(error):
    return " ".join(str(error).split()).rstrip(".")


def run(definitions, config, demonstrations=None, folder="exp"):
    """Train the policy of `config` that a module (see `load_definitions`) defines, and return the
    run's `Logger`.

    demonstrations: as for `prepare`. folder: where the run directory is made. SetupError when the
    class or `train` is missing, takes other arguments or is still to be written, and when the
    settings do not fit.
    """
    policy_class, train = (
        _defined(definitions, name) for name in (POLICIES[config.policy], "train")
    )
    try:
        loader, normalizer = prepare(config, demonstrations)
        path = run_directory(config.exp_name or config.policy, config.seed, folder)
    except (
        ValueError,
        RuntimeError,
        AssertionError,
    ) as error:  # the last two: torch's, of a device that is not there
        raise SetupError(f"{_line(error)}.") from error
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
            f"Something is still to be written: {_line(error) or 'NotImplementedError'}."
        ) from error
    return logger


def _defined(definitions, name):
    if not callable(getattr(definitions, name, None)):
        raise SetupError(f"{name} is not defined at the top level of the notebook or module.")
    return getattr(definitions, name)


def _call(function, *args, **kwargs):
    """Call it, or say that it does not take these arguments; a TypeError from inside keeps its
    traceback.
    """
    try:
        inspect.signature(function).bind(*args, **kwargs)
    except TypeError as error:
        raise SetupError(
            f"{function.__name__} takes other arguments than those it is given: {_line(error)}."
        ) from None
    return function(*args, **kwargs)


def main(arguments=None):
    parser = argparse.ArgumentParser(
        prog="python -m pusht.train",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        description="Train a policy of part IV, with the classes and the loop of a notebook.",
    )
    parser.add_argument(
        "file",
        help=(
            "notebook (.ipynb) or module (.py) that defines MSEPolicy, FlowMatchingPolicy and train"
        ),
    )
    parser.add_argument(
        "--demos",
        help=(
            "demonstrations: shipped, human, or the path of a .zarr folder or zip; as PUSHT_DEMOS"
            " says when not given, else shipped"
        ),
    )
    _add_options(parser)
    options = vars(parser.parse_args(arguments))
    file, where = Path(options.pop("file")), options.pop("demos")
    config = TrainConfig(
        **{
            name: tuple(value) if isinstance(value, list) else value
            for name, value in options.items()
        }
    )
    sys.path.insert(0, str(file.resolve().parent))  # what it imports from beside it
    try:
        logger = run(load_definitions(file), config, where)
    except SetupError as error:
        raise SystemExit(str(error)) from None
    print(f"The run is in {logger.path}")


def _add_options(parser):
    """One option for each field of `TrainConfig`."""
    types_of = typing.get_type_hints(TrainConfig)
    for field in dataclasses.fields(TrainConfig):
        kind, of = types_of[field.name], typing.get_args(types_of[field.name])
        if typing.get_origin(kind) is typing.Literal:
            options = {"choices": of}
        elif typing.get_origin(kind) is tuple:
            options = {"type": of[0], "nargs": "+" if of[-1] is ... else len(of)}
        else:
            options = {"type": kind}
        parser.add_argument(
            f"--{field.name.replace('_', '-')}",
            default=field.default,
            help=field.metadata["help"],
            **options,
        )


if __name__ == "__main__":
    main()
