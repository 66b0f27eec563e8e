"""Print how many honest policies of Part IV the audit flags: `make bench-flags`.

Honest policies are networks of several sizes, trained for a short or a long time on the shipped
demonstrations, and the kit's references (the human ones too, where these are on the machine), each
called in all the ways that right answers take, on processors of several speeds, with other episodes
and other company each time. It takes about ten minutes.
"""

import argparse
import itertools
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from pusht import demos
from pusht.checkpoint import Checkpoint, load_checkpoint
from pusht.chunks import BasePolicy
from pusht.dataset import get_data_stats
from pusht.normalisation import normalize_data
from score import rubric
from score.course.grading import audit
from score.course.grading.company import Company, Record
from score.course.notebooks.solutions import answer_of, reference_path
from score.rollouts.evaluate import score_policy
from score.rollouts.policies import guarded_inference, inference_of

# A network and nobs (B, 1, 5) -> naction (B, 8, 2).
Way = Callable[[BasePolicy, torch.Tensor], torch.Tensor]

MSE, FLOW = rubric.POLICIES["part4_mse"], rubric.POLICIES["part4_flow"]
_EPISODES = (10, 20, 50)  # of a grade: Gradescope's, and more
# How much more of the processor the kernel takes than the same calls here.
_SLOWER = (1.0, 2.0, 4.0)
_SIZES = {(128, 128): 15, (256, 256, 256): 8, (512, 512, 512): 10}  # epochs
_BATCH, _RATE = 128, 1e-3


@dataclass(frozen=True)
class Trained:
    """An honest network, with what it is handed in with."""

    name: str
    policy: rubric.Policy
    checkpoint: Checkpoint
    network: BasePolicy


# How answers are called.


def _plain(network: BasePolicy, nobs: torch.Tensor) -> torch.Tensor:
    return network.sample_actions(nobs[:, -1], num_steps=rubric.FLOW_STEPS)


def _per_row(network: BasePolicy, nobs: torch.Tensor) -> torch.Tensor:
    return torch.cat([_plain(network, row[None]) for row in nobs])


def _one_at_a_time(network: BasePolicy, nobs: torch.Tensor) -> torch.Tensor:
    if len(nobs) != 1:
        raise ValueError("one at a time")
    return _plain(network, nobs)


def _seeded(network: BasePolicy, nobs: torch.Tensor) -> torch.Tensor:
    torch.manual_seed(3)
    return _plain(network, nobs)


def _seeded_per_row(network: BasePolicy, nobs: torch.Tensor) -> torch.Tensor:
    return torch.cat([_seeded(network, row[None]) for row in nobs])


def _in_double(network: BasePolicy, nobs: torch.Tensor) -> torch.Tensor:
    try:
        return network.double().sample_actions(nobs[:, -1].double(), num_steps=10).double()
    finally:
        network.float()


def _in_halves(network: BasePolicy, nobs: torch.Tensor) -> torch.Tensor:
    return torch.cat([_plain(network, half) for half in nobs.chunk(2)])


def _clamped(network: BasePolicy, nobs: torch.Tensor) -> torch.Tensor:
    return _plain(network, nobs).clamp(-2.5, 2.5)


def _more_steps(network: BasePolicy, nobs: torch.Tensor) -> torch.Tensor:
    return network.sample_actions(nobs[:, -1], num_steps=50)


def _mean_of_four(network: BasePolicy, nobs: torch.Tensor) -> torch.Tensor:
    return torch.stack([_plain(network, nobs) for _ in range(4)]).mean(dim=0)


WAYS = {
    "a batch at once": _plain,
    "row by row": _per_row,
    "one observation at a time": _one_at_a_time,
    "the same noise in every call": _seeded,
    "the same noise in every row": _seeded_per_row,
    "float64": _in_double,
    "in halves": _in_halves,
    "clamped": _clamped,
    "fifty steps": _more_steps,
    "the mean of four": _mean_of_four,
}


# Networks.


def trained() -> Iterator[Trained]:
    """Yield the references and newly trained networks."""
    for known in filter(demos.at_hand, ("shipped", "human")):
        for policy in (MSE, FLOW):
            checkpoint = load_checkpoint(reference_path(policy, known), policy.normalisation)
            model, _ = inference_of(policy, _answer(policy))
            checkpoint.restore(model)
            yield Trained(f"{policy.method}, {known} reference", policy, checkpoint, model)
    for (widths, epochs), policy in itertools.product(_SIZES.items(), (MSE, FLOW)):
        yield _train(policy, widths, epochs)


def _answer(policy: rubric.Policy) -> tuple[Any, ...]:
    return answer_of(audit.solution("part4_flow"), policy)


def _train(policy: rubric.Policy, widths: tuple[int, ...], epochs: int) -> Trained:
    found = demos.open("shipped")
    states, actions = np.asarray(found.states), np.asarray(found.actions)
    stats = {"obs": get_data_stats(states), "action": get_data_stats(actions)}
    first = np.append(0, found.episode_ends[:-1])
    steps = np.concatenate(
        [np.arange(a, b - 7) for a, b in zip(first, found.episode_ends, strict=True)]
    )
    nobs = torch.from_numpy(normalize_data(states[steps], stats["obs"])).float()
    chunks = actions[steps[:, None] + np.arange(8)]
    naction = torch.from_numpy(normalize_data(chunks, stats["action"])).float()
    torch.manual_seed(len(widths) + epochs)
    model = type(_answer(policy)[0])(5, 2, 8, widths)
    optimizer = torch.optim.Adam(model.parameters(), lr=_RATE)
    means = []
    for _ in range(epochs):
        losses = []
        for batch in torch.randperm(len(nobs)).split(_BATCH):
            loss = model.compute_loss(nobs[batch], naction[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        means.append(float(np.mean(losses)))
    checkpoint = Checkpoint(model.state_dict(), stats, means, len(means), found.fingerprint, 1, {})
    name = f"{policy.method}, {'-'.join(map(str, widths))}, {epochs} epochs"
    return Trained(name, policy, checkpoint, model.eval())


# The audit.


def audited(
    one: Trained, way: Way, episodes: int, slower: float, draw: int
) -> tuple[list[str], dict[str, float]]:
    """Return the flags on a policy, and what the audit compares with its thresholds."""
    used = 0.0

    def infer(nobs: torch.Tensor, batch_size: int) -> torch.Tensor:
        nonlocal used
        started = time.thread_time()
        try:
            return way(one.network, nobs)
        finally:
            used += (time.thread_time() - started) * slower

    rng = np.random.default_rng([draw, 0])
    company = Company(one.policy, one.checkpoint, rng, lambda: used)
    seeds = range(10_000 + 1000 * draw, 10_000 + 1000 * draw + episodes)
    guarded = guarded_inference(one.policy, infer)
    stats = one.checkpoint.stats
    score = score_policy(one.policy, guarded, stats, seeds, company.around)
    record = company.record()
    found = audit.flags_on_answers(one.policy, one.checkpoint, score, record)
    return found, {"score": score.mean} | _figures(one, record)


def _figures(one: Trained, record: Record) -> dict[str, float]:
    shares = audit.company_shares(record.asked) if one.policy is FLOW else {"": 0.0}
    known = demos.name_of(one.checkpoint.demonstrations) or "shipped"
    return {
        "share": max(shares.values()),
        "error": float(np.sqrt(np.mean(record.errors) / np.mean(record.stays))),
        "median": float(np.sqrt(np.median(record.errors))),
        "apart": audit.apart(record, known) or 0.0,
        "time": record.used / (1 + record.reference),
    }


def main() -> None:
    """Audit as many policies as the command says, and print what was flagged."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--policies", type=int, default=200)
    parser.add_argument("--first", type=int, default=0, help="of the policies, counted from 0")
    asked = parser.parse_args()
    draws = range(asked.first, asked.policies)
    torch.set_num_threads(1)
    networks, flagged = list(trained()), []
    figures: dict[str, list[dict[str, float]]] = defaultdict(list)
    for draw in draws:
        one, (name, way) = networks[draw % len(networks)], _way(draw // len(networks))
        picked = np.random.default_rng(draw)
        episodes, slower = int(picked.choice(_EPISODES)), float(picked.choice(_SLOWER))
        torch.manual_seed(draw)
        found, values = audited(one, way, episodes, slower, draw)
        figures[one.name].append(values)
        flagged += [f"{one.name}, {name}, {episodes} episodes: {flag}" for flag in found]
        shown = ", ".join(f"{key} {value:.2f}" for key, value in values.items())
        print(f"{one.name}, {name}, {episodes} episodes: {shown}", *found, sep="\n  ", flush=True)
    print(f"\n{len(draws)} honest policies, {len(flagged)} flags.\n")
    print("| network | policies | score | company's share | error | median, px | apart | time |")
    print("|---|---|---|---|---|---|---|---|")
    for network, rows in figures.items():
        columns = [
            f"{min(row[key] for row in rows):.2f} to {max(row[key] for row in rows):.2f}"
            for key in ("score", "share", "error", "median", "apart", "time")
        ]
        print(f"| {network} | {len(rows)} | {' | '.join(columns)} |")


def _way(number: int) -> tuple[str, Way]:
    return [*WAYS.items()][number % len(WAYS)]


if __name__ == "__main__":
    main()
