"""Print how much faster training is on this machine: `make bench-training`.

Each line is a ratio of CPU times, the medians of several rounds in which steps as the notebooks
write them and the same steps inside `pusht.speed.faster` take turns, on one thread. The last column
compares the losses of the two after the same steps.
"""

import contextlib
import io
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn

from pusht.speed import faster, has_bfloat16
from score import rubric
from score.course.notebooks.solutions import solution

ROUNDS, BATCH = 5, 256
# By part: the names of the network and of the loss of a batch.
NAMES = {
    "part1_mlp": ("mlp_agent", "bc_loss"),
    "part2_cvae": ("cvae_agent", "cvae_loss"),
    "part3_ddpm": ("noise_pred_net", "ddpm_loss"),
}
STEPS = {"part1_mlp": 40, "part2_cvae": 10, "part3_ddpm": 4}  # in a round


def network_and_loss(
    names: dict[str, Any], part: str
) -> tuple[nn.Module, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]]:
    """Return what a part trains, and its loss as a function of nobs and naction.

    names: what the part's solution defines.
    """
    network, loss = (names[name] for name in NAMES[part])
    more = (names["noise_scheduler"],) if part == "part3_ddpm" else ()
    return network, lambda nobs, naction: loss(network, *more, nobs, naction)


def main() -> None:
    """Print the table."""
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, one thread, bfloat16: {'yes' if has_bfloat16() else 'no'}\n")
    print("| | ms a step, as written | faster | ratio | losses, faster over as written |")
    print("|---|---|---|---|---|")
    for part, steps in STEPS.items():
        plain, quick = (_trainer(part, fast) for fast in (False, True))
        times = [(_timed(plain, steps), _timed(quick, steps)) for _ in range(ROUNDS)]
        slow, fast = (1000 * statistics.median(each) for each in zip(*times, strict=True))
        ratio = next(quick) / next(plain)
        print(f"| {part} | {slow:.1f} | {fast:.1f} | {slow / fast:.2f} | {ratio:.4f} |", flush=True)


def _trainer(part: str, fast: bool) -> Iterator[float]:
    """Yield the loss of one step after the other."""
    with contextlib.redirect_stdout(io.StringIO()):
        names = solution(rubric.PARTS[part])
    model, loss_of = network_and_loss(names, part)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4)
    generator = torch.Generator().manual_seed(0)
    with faster(model, optimizer) if fast else contextlib.nullcontext():
        while True:
            nobs = torch.rand((BATCH, 2, 5), generator=generator) * 2 - 1
            naction = nobs[:, :1, :2] + 0.1 * torch.randn((BATCH, 16, 2), generator=generator)
            with torch.random.fork_rng():
                torch.manual_seed(int(torch.randint(2**31, (1,), generator=generator)))
                value = loss_of(nobs, naction)
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
            yield value.item()


def _timed(trainer: Iterator[Any], steps: int) -> float:
    started = time.process_time()
    for _ in range(steps):
        next(trainer)
    return (time.process_time() - started) / steps


if __name__ == "__main__":
    main()
