"""Print the table of speeds beside gym-pusht: `make bench`, on a machine with nothing else to do.

Each line is a ratio of CPU times, the medians of several rounds in which ours and the peer's take
turns. The networks are untrained, so that no episode ends early and both sides do the same work.
"""

import contextlib
import functools
import io
import json
import os
import platform
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch

from benchmarks.training import network_and_loss
from pusht import (
    PushTEnv,
    PushTStateDataset,
    TrainingRun,
    WindowLoader,
    demos,
    get_cosine_schedule_with_warmup,
    loss_view,
)
from pusht.demos import Demonstrations
from pusht.ema import EMAModel
from pusht.sim import sample_start
from score import rubric
from score.course.notebooks.solutions import answer_of, run_solution
from score.rollouts.evaluate import score_policy
from score.rollouts.policies import inference_of

ROOT = Path(__file__).resolve().parent.parent
LOW, HIGH = [0, 0, 0, 0, 0], [512, 512, 512, 512, 2 * np.pi]
STATS = {
    "obs": {"min": np.array(LOW, np.float32), "max": np.array(HIGH, np.float32)},
    "action": {"min": np.zeros(2, np.float32), "max": np.full(2, 512, np.float32)},
}


def main() -> None:
    """Measure everything, and print each line when it is measured."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        solved = {
            name: run_solution(rubric.PARTS[name], folder, train=False) for name in rubric.PARTS
        }
    print(
        f"{processor()}, {os.cpu_count()} cores, Python {platform.python_version()}, torch"
        f" {torch.__version__}, one thread; medians of interleaved rounds\n\n| what | peer | ours |"
        " ratio | wanted |\n|---|---|---|---|---|"
    )
    with _Peer() as peer:
        _simulator(peer)
        _policies(peer, solved)
    for name, count in [("part1_mlp", 6), ("part2_cvae", 2), ("part3_ddpm", 1)]:
        bare, ours = _epochs(solved[name], name, count)
        print(
            f"| training epoch of {rubric.PARTS[name].title}, s | {bare:.2f} (bare steps) |"
            f" {ours:.2f} | {ours / bare:.2f} of the bare time | ≤ 1.15 |",
            flush=True,
        )


def _simulator(peer: "_Peer") -> None:
    """Print the lines for a control step, on recorded actions, and for a frame."""
    for name in ("human", "shipped"):
        recorded = demos.at_hand(name)
        if recorded is None:
            print(f"| control step: the {name} demonstrations are not on this machine | | | | |")
            continue
        episodes = [_start_and_actions(recorded.episode(i)) for i in range(20)]
        _row(
            f"control step with reward, {name} actions, µs",
            "gym-pusht",
            1e6 / sum(len(actions) for _, actions in episodes),
            12,
            *_rounds(
                7,
                functools.partial(peer, "steps", episodes=episodes),
                functools.partial(_steps, episodes),
            ),
        )
    start = sample_start(3).tolist()
    _row(
        "frame (256 px), µs",
        "gym-pusht render()",
        1e6 / 200,
        10,
        *_rounds(7, lambda: peer("frames", start=start, count=200), lambda: _frames(start, 200)),
    )


def _policies(peer: "_Peer", solved: dict[str, dict[str, Any]]) -> None:
    """Print a line for each policy's episodes. solved: what each part's solution defines."""
    for name, theirs, ours, rounds, wanted in [
        ("part1_mlp", 10, 10, 3, 30),
        ("part2_cvae", 3, 100, 3, 30),
        ("part4_flow", 3, 100, 3, 30),
        ("part3_ddpm", 1, 100, 1, 10),
    ]:
        policy, answer = rubric.POLICIES[name], answer_of(solved[name], rubric.POLICIES[name])
        task = {
            "method": policy.method,
            "low": LOW,
            "high": HIGH,
            "max_steps": policy.max_steps,
            "starts": [policy.rules.start(seed).tolist() for seed in range(theirs)],
        }
        infer = inference_of(policy, answer)[1]
        times = _rounds(
            rounds,
            functools.partial(peer.each, "episodes", theirs, **task),
            functools.partial(score_policy, policy, infer, STATS, range(ours)),
            share=ours,
        )
        _row(
            f"one of {ours} graded {policy.label} episodes, s",
            "published manner",
            1,
            wanted,
            *times,
        )


def _row(what: str, peer: str, scale: float, wanted: int, theirs: float, ours: float) -> None:
    """Print a line; `scale` turns seconds into the unit that `what` names."""
    print(
        f"| {what} | {_short(theirs * scale)} ({peer}) | {_short(ours * scale)} |"
        f" {theirs / ours:.1f} | ≥ {wanted} |",
        flush=True,
    )


def _short(number: float) -> str:
    """Return the number with three significant digits, never with a power of ten."""
    return f"{float(f'{number:.3g}'):g}"


def _rounds(
    count: int, theirs: Callable[[], float], ours: Callable[[], Any], share: int = 1
) -> tuple[float, float]:
    """Return the median CPU seconds of (theirs, ours) over `count` rounds.

    theirs returns its seconds itself. ours is timed here, and does `share` pieces of the work.
    """
    pairs = [(theirs(), _timed(ours) / share) for _ in range(count)]
    medians = [statistics.median(times) for times in zip(*pairs)]
    return medians[0], medians[1]


def _timed(work: Callable[[], Any]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


class _Peer:
    """A worker process in .venv-peer, where gym-pusht is: benchmarks/peer.py."""

    process: subprocess.Popen[str]

    def __enter__(self) -> Self:
        self.process = subprocess.Popen(
            [ROOT / ".venv-peer" / "bin" / "python", ROOT / "benchmarks" / "peer.py"],
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        return self

    def __call__(self, work: str, **task: Any) -> float:
        """Have the worker do a task; return the CPU seconds that it took."""
        to, back = self.process.stdin, self.process.stdout
        assert to and back
        print(json.dumps({"work": work, **task}), file=to, flush=True)
        return json.loads(back.readline())

    def each(self, work: str, count: int, **task: Any) -> float:
        """Return the CPU seconds of a task of `count` pieces, for each piece."""
        return self(work, **task) / count

    def __exit__(self, *raised: object) -> None:
        self.process.communicate()


def _start_and_actions(
    episode: tuple[np.ndarray, np.ndarray],
) -> tuple[list[float], list[list[float]]]:
    states, actions = episode
    return states[0].tolist(), actions.tolist()


def _steps(episodes: list[tuple[list[float], list[list[float]]]]) -> None:
    env = PushTEnv()
    for start, actions in episodes:
        env.reset(options={"reset_to_state": start})
        for action in actions:
            env.step(np.array(action))


def _frames(start: list[float], count: int) -> None:
    env = PushTEnv(reset_to_state=start, render_size=256)
    env.reset()
    for _ in range(count):
        env.render()


def _epochs(names: dict[str, Any], name: str, count: int) -> tuple[float, float]:
    """Return the mean seconds of an epoch: (bare, ours).

    bare: optimiser steps alone, on tensors in memory, as fast as those of `ours`. ours: the
    notebook's loop under a `TrainingRun`, which saves and draws the live plot. names: what the
    part's solution defines.
    """
    loader = WindowLoader(
        PushTStateDataset(_random_demonstrations(), 16, 2, 8), batch_size=256, seed=1
    )
    batches = list(loader)
    model, loss_of = network_and_loss(names, name)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5)
    ema = EMAModel(model.parameters(), power=0.75) if name == "part3_ddpm" else None
    schedule = get_cosine_schedule_with_warmup(optimizer, 50, len(loader) * 50) if ema else None

    def optimise(batch):
        loss = loss_of(batch["obs"], batch["action"])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if ema and schedule:
            schedule.step()
            ema.step(model.parameters())
        return loss

    def bare():
        for batch in batches:
            optimise(batch)

    bare_times, our_times, started = [], [], None
    loss_view.in_notebook = lambda: True  # draw the live plot as a notebook would
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        run = TrainingRun(
            "bench", model, loader, optimizer, num_epochs=count + 1, seed=1, ema=ema, folder=folder
        )
        for epoch in run.epochs():
            if started is not None:  # saving and drawing of the epoch before belong to it
                our_times.append(time.process_time() - started)
            if epoch < count:
                bare_times.append(_timed(bare))
            started = time.process_time()
            for batch in loader if epoch < count else batches[:1]:
                run.log(optimise(batch))
    return statistics.mean(bare_times), statistics.mean(our_times)


def _random_demonstrations() -> Demonstrations:
    """Return as many episodes and steps as the human demonstrations have, at random."""
    rng = np.random.default_rng(0)
    ends = np.linspace(0, 25_650, 207).astype(np.int64)[1:]
    return Demonstrations(
        rng.uniform(0, 512, (25_650, 5)).astype(np.float32),
        rng.uniform(0, 512, (25_650, 2)).astype(np.float32),
        ends,
    )


def processor() -> str:
    """Return the name of this machine's processor."""
    names = (
        [
            line.split(":")[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ]
        if Path("/proc/cpuinfo").exists()
        else []
    )
    return names[0] if names else platform.machine()


if __name__ == "__main__":
    main()
