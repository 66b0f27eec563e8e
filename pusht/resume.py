"""The resume file of a training run: where it is kept, and how it is read."""

import hashlib
import os
import pickle
import warnings
from pathlib import Path
from typing import Any

import torch
from platformdirs import user_state_path


def own_folder(folder: str | os.PathLike[str]) -> Path:
    """Return the folder for the resume files of runs that hand in to `folder`; it may not exist.

    It is in the user's folder for programs' state (on Linux ~/.local/state/pusht), one for each
    `folder`: resume files are larger than all the rest, and nbgrader hands in whatever is beside a
    notebook. Where `folder` is on another file system than that, such as a mounted drive in Colab
    or in a container, it is `folder` itself, because the home folder may not last as long.
    """
    path, state = Path(folder).resolve(), user_state_path("pusht", appauthor=False)
    if _device(path) != _device(state):
        return path
    digest = hashlib.sha256(os.fsencode(path)).hexdigest()[:12]
    return state / f"{path.name}-{digest}"


def _device(path: Path) -> int | None:
    """Return the file system on which a path is, or would be; None where nobody may look."""
    try:
        return next(folder for folder in (path, *path.parents) if folder.exists()).stat().st_dev
    except OSError:
        return None


def read_state(path: Path, device: torch.device) -> dict[str, Any]:
    """Return the state that a run has saved; RuntimeError, with one sentence, if it is none."""
    try:
        with warnings.catch_warnings():
            # Torch would also warn on stderr about a file that it cannot read.
            warnings.simplefilter("ignore")
            state = torch.load(path, map_location=device, weights_only=True)
        state["settings"]
    except (
        RuntimeError,
        OSError,
        EOFError,
        ValueError,
        LookupError,
        TypeError,
        pickle.UnpicklingError,
    ):
        raise RuntimeError(
            f"{path} is damaged, or not the state of a training run: pass"
            " resume=False to TrainingRun to start over."
        ) from None
    return state
