"""Print what a GPU does beside the CPU, in about five minutes: `python -m benchmarks.gpu`.

Of each part's solution: the seconds and the loss of an epoch on either device, the same of a second
epoch that resumes the run of the other device, and a few episodes with the weights that this left.
Part IV's runs cannot be resumed: its weights are taken to the other device for the episodes.
"""

import argparse
import contextlib
import io
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import torch

from pusht.checkpoint import load_checkpoint
from pusht.dataset import WindowLoader
from score import rubric
from score.course.notebooks.solutions import answer_of, run_solution
from score.rollouts.evaluate import score_policy
from score.rollouts.policies import guarded_inference, inference_of
from score.rubric import Part, Policy

EPISODES = 20
COLUMNS = ("", "epoch on", "s", "loss", "then on", "s", "loss", f"{EPISODES} episodes, s", "score")
NONE = "There is no GPU here, neither of CUDA nor of Apple's MPS: nothing was measured."


def accelerator() -> str | None:
    """Return the name of this machine's GPU for torch, or None."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else None


def rows(part: Part, device: str, other: str, episodes: int = EPISODES) -> Iterator[list[str]]:
    """Yield a row for each policy of a part: trained on one device, resumed and rolled out on the
    other.
    """
    with (
        tempfile.TemporaryDirectory() as folder,
        mock.patch.dict(
            os.environ, {"XDG_STATE_HOME": f"{folder}/state", "PUSHT_MAX_EPISODES": f"{episodes}"}
        ),
    ):
        work = Path(folder, "work")
        trained = [_epoch(part, work, device, epochs=1)]
        resumes = len(part.policies) == 1
        if resumes:
            trained.append(_epoch(part, work, other, epochs=2))
        for number, policy in enumerate(part.policies):
            names = trained[-1][0]
            first = trained[0][1][number]
            checkpoint = load_checkpoint(_weights(work, policy), policy.normalisation)
            losses = [f"{loss:.4f}" for loss in checkpoint.losses]
            then = ["", "", ""]
            if resumes:
                then = [other, f"{trained[1][1][number]:.1f}", losses[1]]
            seconds, score = _episodes(policy, names, checkpoint, other, episodes)
            one = losses[0] if resumes else losses[-1]
            end = [f"{seconds:.1f}", f"{score:.3f}"]
            yield [policy.name, device, f"{first:.1f}", one, *then, *end]


def _epoch(part: Part, work: Path, device: str, epochs: int) -> tuple[dict[str, Any], list[float]]:
    """Return what the solution defines after so many epochs, and the seconds of each that it
    trained now.
    """
    seconds: list[float] = []
    batches = WindowLoader.__iter__

    def timed(loader: WindowLoader) -> Iterator[Any]:
        started = time.monotonic()
        yield from batches(loader)
        _wait(device)
        seconds.append(time.monotonic() - started)

    with (
        mock.patch.dict(os.environ, {"PUSHT_MAX_EPOCHS": f"{epochs}"}),
        mock.patch.object(WindowLoader, "__iter__", timed),
        contextlib.redirect_stdout(io.StringIO()),
    ):
        return run_solution(part, work, device=device), seconds


def _weights(work: Path, policy: Policy) -> Path:
    """Return the file of a policy's weights, which Part IV writes into a run's directory."""
    beside = work / f"{policy.name}.safetensors"
    if beside.exists():
        return beside
    return max(
        work.rglob(f"*{policy.method}*/**/*.safetensors"), key=lambda path: path.stat().st_mtime
    )


def _episodes(
    policy: Policy, names: dict[str, Any], checkpoint: Any, device: str, episodes: int
) -> tuple[float, float]:
    """Return the seconds that episodes take on a device, and their score."""
    model, infer = inference_of(policy, answer_of(names, policy))
    checkpoint.restore(model)
    model.to(device)
    started = time.monotonic()
    seeds = range(rubric.GRADED_FIRST_SEED, rubric.GRADED_FIRST_SEED + episodes)
    score = score_policy(policy, guarded_inference(policy, infer), checkpoint.stats, seeds)
    return time.monotonic() - started, score.mean


def _wait(device: str) -> None:
    """Wait until the device has done what it was told."""
    if device != "cpu":
        getattr(torch, device).synchronize()


def main() -> None:
    """Print the table, or a sentence where there is no GPU."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--device", default=accelerator(), help="such as cuda, mps, or cpu")
    device = options.parse_args().device
    if device is None:
        print(NONE)
        return
    name = torch.cuda.get_device_name() if device == "cuda" else device
    print(f"torch {torch.__version__}, {name}, and {torch.get_num_threads()} threads of the CPU\n")
    print(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}")
    for part in rubric.PARTS.values():
        for pair in ((device, "cpu"), ("cpu", device)):
            for row in rows(part, *pair):
                print(f"| {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    main()
