"""Asks a student's policy in company, so that it cannot tell which of its answers act.

In each call the observations of the running episodes stand in random order among others: ones that
were asked before, and those of demonstrated episodes that are played beside them. What came of it
is a `Record`, which `audit` judges. The company depends on the course's settings alone, so that the
same files give the same episodes.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import nn

from pusht import demos
from pusht.checkpoint import Checkpoint
from pusht.demos import Demonstrations
from pusht.normalisation import FeatureStats, normalize_data, unnormalize_data
from score import rubric
from score.rollouts.evaluate import Chunks

# Observations that are kept to ask again: of the first call, of each other one, and of all.
_FIRST, _MORE, _MOST = 12, 3, 60
_AGAIN = 8, 25  # how many are asked again in a call: at least, and fewer than
_PLAYED = 24  # demonstrated episodes
# Demonstrated observations are moved a little [px, px, px, px, rad], so that none is recognised.
_JITTER = np.array([1, 1, 1, 1, 0.01])
_MEASURED = 2  # rows of a call for which the reference policy's time is taken


@dataclass
class Asked:
    """An observation, and all answers to it, in order.

    actions: (Ta, 2) each, what would be executed [px]. rows, sizes, calls: in which row of how many
    in which call it was asked.
    """

    nobs: torch.Tensor
    actions: list[np.ndarray] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    calls: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Record:
    """What a policy did in company.

    asked: the observations that were asked again. errors, stays: mean squared difference [px²] from
    each demonstrated chunk, or its beginning of the rubric's length, of the answer and of staying
    where the agent is. nerrors: that of the answers to whole chunks, normalised. of_own: whether
    these demonstrations are those that the hand-in file names. used: processor seconds of the
    student's process. reference: those that the reference policy would take for the same rows one
    by one. rows: how many were asked.
    """

    asked: list[Asked]
    errors: list[float]
    stays: list[float]
    nerrors: list[float]
    of_own: bool
    acted: list[tuple[np.ndarray, np.ndarray]]
    used: float
    reference: float
    rows: int


class Company:
    """The company that one policy's rollouts are asked in.

    rng: draws the company. processor_seconds: returns what the student's process has used so far.
    """

    def __init__(
        self,
        policy: rubric.Policy,
        checkpoint: Checkpoint,
        rng: np.random.Generator,
        processor_seconds: Callable[[], float],
    ) -> None:
        self._policy, self._stats = policy, checkpoint.stats
        self._rng = rng
        self._processor_seconds = processor_seconds
        known = demos.name_of(checkpoint.demonstrations)
        own = demos.at_hand(known) if known else None
        self._found, self._of_own = own or demos.open("shipped"), own is not None
        self._asked: list[Asked] = []
        self._errors: list[tuple[float, float, float]] = []
        self._acted: list[tuple[np.ndarray, np.ndarray]] = []
        self._calls = self._rows = 0
        self._used_before = 0.0
        self._reference, self._row_seconds = _reference_policy(), list[float]()

    def around(self, batched: Chunks) -> Chunks:
        """Return a function that asks `batched` in company and answers for the episodes alone.

        There is one for each block of episodes: other demonstrations are played beside it, and the
        record goes on.
        """
        played, before = _Played(self._policy, self._found, self._rng), self._calls

        def chunks(nobs: torch.Tensor) -> torch.Tensor:
            if not self._calls:
                self._used_before = self._processor_seconds()
            new, again = self._to_ask(nobs)
            demonstrated = played.observations(self._calls - before)
            rows = [nobs, *(one.nobs[None] for one in again)]
            if len(demonstrated):
                rows.append(self._normalised(demonstrated))
            answers, places = self._in_any_order(torch.cat(rows), batched)
            actions = self._executed(answers)
            for one, at in [*new, *((one, len(nobs) + i) for i, one in enumerate(again))]:
                one.actions.append(actions[at])
                one.rows.append(int(places[at]))
                one.sizes.append(len(answers))
                one.calls.append(self._calls)
            seen = unnormalize_data(nobs[:, -1].numpy(), self._stats["obs"])
            self._acted.append((seen, actions[: len(nobs)]))
            of_played = actions[len(actions) - len(demonstrated) :]
            self._compare(demonstrated, of_played, played.actions())
            self._calls, self._rows = self._calls + 1, self._rows + len(answers)
            return answers[: len(nobs)]

        return chunks

    def record(self) -> Record:
        """Return what came of it."""
        errors, stays, nerrors = zip(*self._errors, strict=True) if self._errors else ((), (), ())
        row_seconds = float(np.median(self._row_seconds)) if self._row_seconds else 0.0
        return Record(
            self._asked,
            list(errors),
            list(stays),
            list(nerrors),
            self._of_own,
            self._acted,
            self._processor_seconds() - self._used_before,
            row_seconds * self._rows,
            self._rows,
        )

    def _to_ask(self, nobs: torch.Tensor) -> tuple[list[tuple[Asked, int]], list[Asked]]:
        """Return the observations that are kept from now on, with their rows among nobs, and those
        to ask again in this call, the new ones among them.
        """
        count = min(_MORE if self._calls else _FIRST, len(nobs), _MOST - len(self._asked))
        picked = self._rng.choice(len(nobs), count, replace=False)
        before = min(int(self._rng.integers(*_AGAIN)), len(self._asked))
        again = [self._asked[i] for i in self._rng.choice(len(self._asked), before, replace=False)]
        new = [(Asked(nobs[i]), int(i)) for i in picked]
        self._asked += [one for one, _ in new]
        return new, [*again, *(one for one, _ in new)]

    def _in_any_order(self, nobs: torch.Tensor, batched: Chunks) -> tuple[torch.Tensor, np.ndarray]:
        """Return the answers to the rows of nobs, and in which row each was asked."""
        order = self._rng.permutation(len(nobs))
        shuffled = nobs[order]
        started = time.thread_time()
        for row in shuffled[:_MEASURED]:
            self._reference(row[None])
        self._row_seconds.append((time.thread_time() - started) / min(_MEASURED, len(nobs)))
        places = np.argsort(order)
        return batched(shuffled)[places], places

    def _normalised(self, obs: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(normalize_data(obs, self._stats["obs"])).to(torch.float32)

    def _executed(self, answers: torch.Tensor) -> np.ndarray:
        """Return the actions (B, Ta, 2) [px] of answers that would be executed."""
        first = self._policy.obs_horizon - 1
        chunks = unnormalize_data(answers.numpy(), self._stats["action"])
        executed = chunks[:, first : first + self._policy.action_horizon]
        return np.stack([self._policy.rules.actions(chunk) for chunk in executed])

    def _compare(
        self, obs: np.ndarray, actions: np.ndarray, demonstrated: list[np.ndarray]
    ) -> None:
        """Note how far the answers to demonstrated observations are from what was done there."""
        for seen, answer, right in zip(obs, actions, demonstrated, strict=True):
            usual = rubric.POLICIES[self._policy.name].action_horizon
            stay = np.square(seen[-1, :2] - right[:usual]).mean()
            error = np.square(answer - right)[:usual].mean()
            apart = (answer - right) / _unit(self._stats["action"])
            self._errors.append((float(error), float(stay), float((apart**2).mean())))


def _unit(stats: FeatureStats) -> np.ndarray:
    """Return the pixels (2,) in a normalised action's unit."""
    zero, one = unnormalize_data(np.zeros((1, 2)), stats), unnormalize_data(np.ones((1, 2)), stats)
    return (one - zero)[0]


class _Played:
    """Demonstrated episodes that are played beside the rollouts, a chunk a call."""

    def __init__(
        self, policy: rubric.Policy, found: Demonstrations, rng: np.random.Generator
    ) -> None:
        self._policy, self._found, self._rng = policy, found, rng
        ends = np.asarray(found.episode_ends)
        starts = np.append(0, ends[:-1])
        picked = rng.choice(len(ends), min(_PLAYED, len(ends)), replace=False)
        self._episodes = list(zip(starts[picked].tolist(), ends[picked].tolist(), strict=True))
        self._now: list[int] = []

    def observations(self, call: int) -> np.ndarray:
        """Return the observations (N, obs_horizon, 5) of the episodes that are not over yet."""
        ahead = self._policy.action_horizon
        steps = [(start, start + call * ahead, end) for start, end in self._episodes]
        running = [(start, step) for start, step, end in steps if step + ahead <= end]
        self._now = [step for _, step in running]
        windows = [
            [self._found.states[max(step - back, start)] for back in self._backwards()]
            for start, step in running
        ]
        obs = np.array(windows, dtype=np.float64).reshape(-1, self._policy.obs_horizon, 5)
        return obs + self._rng.normal(size=(len(obs), 1, 5)) * _JITTER

    def actions(self) -> list[np.ndarray]:
        """Return the demonstrated actions (Ta, 2) [px] that followed these observations."""
        ahead = self._policy.action_horizon
        return [np.asarray(self._found.actions[step : step + ahead]) for step in self._now]

    def _backwards(self) -> range:
        return range(self._policy.obs_horizon - 1, -1, -1)


@torch.no_grad()
def _euler(network: nn.Module, nobs: torch.Tensor) -> torch.Tensor:
    chunk = torch.zeros(len(nobs), 16)
    for step in range(rubric.FLOW_STEPS):
        tau = torch.full((len(nobs), 1), step / rubric.FLOW_STEPS)
        chunk = chunk + network(torch.cat([nobs[:, -1], chunk, tau], dim=1)) / rubric.FLOW_STEPS
    return chunk


def _reference_policy() -> Chunks:
    """Return a policy that takes as long as Part IV's reference flow policy; its weights are
    random.
    """
    network = nn.Sequential(
        *(nn.Linear(22, 256), nn.ReLU()),
        *(nn.Linear(256, 256), nn.ReLU()) * 2,
        nn.Linear(256, 16),
    )
    return lambda nobs: _euler(network, nobs)
