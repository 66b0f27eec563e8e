"""Print the table of speeds. Each line is a ratio of CPU times, ours and the peer's measured in turn, medians of the rounds.

Run it on a machine with nothing else to do: `make bench`.
"""
import contextlib
import io
import json
import os
import platform
import statistics
import subprocess
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from pusht import PushTEnv, PushTStateDataset, TrainingRun, WindowLoader, training
from pusht.demos import Demonstrations
from pusht.networks import ResidualMLP
from pusht.sim import sample_start
from score import rubric
from score.episodes import score_policy

ROOT = Path(__file__).resolve().parent.parent
RANGE = {"min": [0, 0, 0, 0, 0], "max": [512, 512, 512, 512, 2 * np.pi]}
MAX_STEPS = 500


def main():
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    start, actions = sample_start(3).tolist(), rng.uniform(100, 400, (1000, 2)).tolist()
    torch.manual_seed(1)
    model = _mlp()
    model.requires_grad_(False)  # of untrained weights, so that no episode ends early and both do the same work
    starts = [sample_start(seed).tolist() for seed in range(10)]
    with tempfile.TemporaryDirectory() as folder, _Peer() as peer:
        weights = str(Path(folder) / "mlp.pt")
        with contextlib.redirect_stderr(io.StringIO()):
            torch.jit.save(torch.jit.trace(model, torch.zeros(1, 10)), weights)
        print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, "
              f"torch {torch.__version__}, one thread; medians of interleaved rounds\n")
        print("| what | peer | ours | ratio | wanted |\n|---|---|---|---|---|")
        _row("control step with reward, µs", "gym-pusht", 1e6 / len(actions), 10, *_rounds(
            7, lambda: peer("steps", start=start, actions=actions), lambda: _steps(start, actions)))
        _row("frame (256 px), µs", "gym-pusht render()", 1e6 / 200, 10, *_rounds(
            7, lambda: peer("frames", start=start, count=200), lambda: _frames(start, 200)))
        _row(f"ten MLP episodes of {MAX_STEPS} steps, s", "published manner", 1, 30, *_rounds(
            3, lambda: peer("episodes", starts=starts, weights=weights, low=RANGE["min"], high=RANGE["max"], max_steps=MAX_STEPS),
            lambda: _episodes(model)))
    bare, ours = _epochs()
    print(f"| training epoch of part I, s | {bare:.2f} (bare steps) | {ours:.2f} | {ours / bare:.2f} of the bare time | ≤ 1.15 |")


def _row(what, peer, scale, wanted, theirs, ours):
    print(f"| {what} | {theirs * scale:.3g} ({peer}) | {ours * scale:.3g} | {theirs / ours:.1f} | ≥ {wanted} |", flush=True)


def _rounds(count, theirs, ours):
    pairs = [(theirs(), _timed(ours)) for _ in range(count)]
    return (statistics.median(times) for times in zip(*pairs))


def _timed(work):
    started = time.process_time()
    work()
    return time.process_time() - started


class _Peer:
    """A worker in .venv-peer."""

    def __enter__(self):
        self.process = subprocess.Popen([ROOT / ".venv-peer" / "bin" / "python", ROOT / "benchmarks" / "peer.py"], text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, "OMP_NUM_THREADS": "1"})
        return self

    def __call__(self, work, **task):
        self.process.stdin.write(json.dumps({"work": work, **task}) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def __exit__(self, *raised):
        self.process.stdin.close()
        self.process.wait()


def _steps(start, actions):
    env = PushTEnv(reset_to_state=start)
    env.reset()
    for action in actions:
        env.step(action)


def _frames(start, count):
    env = PushTEnv(reset_to_state=start, render_size=256)
    env.reset()
    for _ in range(count):
        env.render()


def _episodes(model):
    def infer(nobs, batch_size):
        return model(nobs.flatten(start_dim=1)).view(batch_size, 16, 2)

    stats = {"obs": {end: np.array(v, dtype=np.float32) for end, v in RANGE.items()},
             "action": {end: np.array(v[:2], dtype=np.float32) for end, v in RANGE.items()}}
    score_policy(replace(rubric.POLICIES["part1_mlp"], max_steps=MAX_STEPS), infer, stats, range(10))


def _epochs(count=7):
    """(bare, ours): seconds of an epoch of optimiser steps on tensors in memory, and of the notebook's loop, live plot included."""
    dataset = PushTStateDataset(_random_demonstrations(), 16, 2, 8)
    loader = WindowLoader(dataset, batch_size=256, seed=1)
    batches = [(b["obs"], b["action"]) for b in loader]
    torch.manual_seed(1)
    model = _mlp()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)

    def optimise(obs, action):
        loss = nn.functional.mse_loss(model(obs.flatten(start_dim=1)).view(-1, 16, 2), action)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    def bare():
        for obs, action in batches:
            optimise(obs, action)

    bare_times, our_times = [], []
    training.in_notebook = lambda: True  # draw the live plot as a notebook would
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        run = TrainingRun("bench", model, loader, optimizer, num_epochs=count, seed=1, folder=folder)
        started = None
        for _ in run.epochs():
            if started is not None:  # saving and drawing of the epoch before belong to it
                our_times.append(time.process_time() - started)
            bare_times.append(_timed(bare))
            started = time.process_time()
            for batch in loader:
                run.log(optimise(batch["obs"], batch["action"]))
    return statistics.median(bare_times), statistics.mean(our_times)


def _mlp():
    return ResidualMLP([10, *[256] * 5, 32], use_layernorm=True)


def _random_demonstrations():
    """As many episodes and steps as the human demonstrations have."""
    rng = np.random.default_rng(0)
    ends = np.linspace(0, 25_650, 207).astype(np.int64)[1:]
    return Demonstrations(rng.uniform(0, 512, (25_650, 5)).astype(np.float32), rng.uniform(0, 512, (25_650, 2)).astype(np.float32), ends)


if __name__ == "__main__":
    main()
