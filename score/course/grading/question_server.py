"""The process that judges: it draws the inputs, drives the simulators and keeps the points. Of a
submission it gets arrays, over a socket.
"""

import contextlib
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from pusht.checkpoint import Checkpoint
from score import rubric
from score.course.grading import judge
from score.course.grading.results import (
    RolloutResult,
    entries_by_cell,
    not_precise,
    without_figures,
)
from score.course.grading.rollouts import CHECK_SECONDS, Rollouts
from score.course.sandbox import levels
from score.course.settings import RunSettings
from score.protocol import Connection, ProtocolError
from score.rollouts.evaluate import no_rollouts, rollouts_verdict
from score.rollouts.given import NETWORKS
from score.rollouts.policies import load_policy, load_submission_checkpoint
from score.verdict import AnswerError, Verdict

QUESTION_SECONDS = 120
STAGES = ("questions", "rollouts", "audit", "film")
_ONCE = "When graded, a check is judged once, in its own cell."
_UNSAID = (
    "The notebook's code failed when it was called. What it said is not shown here: run your"
    " notebook from its first cell, and look at this check there."
)
_NOTHING = Verdict("", 0.0, 0.0, _ONCE)  # for a kernel that asks between the test cells
_REQUEST_BYTES = 2**12  # of the message that begins a conversation
_ACTIONS_BYTES = 2**20  # of a message with actions; those of the largest block take a twentieth


@dataclass(frozen=True)
class Check:
    """What a test cell has judged.

    kind: of its request. title: of its verdict. seconds: that it may take.
    """

    kind: Literal["question", "rollouts"]
    name: str
    title: str
    points: float
    seconds: float

    def failed(self, reason: str) -> Verdict:
        """Return the verdict of no points, for a reason."""
        return Verdict(self.title, 0.0, self.points, reason)


def checks(part: rubric.Part) -> dict[str, Check]:
    """Return the checks of a part by the id of their test cell."""
    found = {}
    for cell, entry in entries_by_cell(part).items():
        points = float(entry.points)
        if isinstance(entry, rubric.Question):
            found[cell] = Check("question", entry.name, entry.name, points, QUESTION_SECONDS)
        elif isinstance(entry, rubric.Policy):
            title = entry.rollouts_title
            found[cell] = Check("rollouts", entry.name, title, points, CHECK_SECONDS)
    return found


@dataclass(frozen=True)
class LedgerEntry:
    """The verdict on one test cell, the seconds it took, and for the instructor alone what speaks
    against it or wants a look.
    """

    verdict: Verdict
    seconds: float
    flags: list[str]


class QuestionServer:
    """Judges one notebook's answers, each while its own test cell runs, and once.

    socket_path: where the kernel reaches it. part: the notebook's. folder: where the hand-in files
    are, and films go. known: results of rollouts by policy's name that need not be done again.

    ledger: `LedgerEntry` by test cell. rollouts: `RolloutResult` by policy's name, a new one
    without its key. seconds: by stage. processor_seconds: returns what the kernel has used; whoever
    starts one sets it.
    """

    def __init__(
        self,
        socket_path: Path,
        part: rubric.Part,
        folder: Path,
        settings: RunSettings,
        known: dict[str, RolloutResult],
    ) -> None:
        self.ledger: dict[str, LedgerEntry] = {}
        self.rollouts: dict[str, RolloutResult] = {}
        self.seconds = dict.fromkeys(STAGES, 0.0)
        self.processor_seconds: Callable[[], float] = lambda: 0.0
        self._path, self._folder, self._settings, self._known = socket_path, folder, settings, known
        self._rollouts = Rollouts(folder, settings, self._timed, self.rollouts)
        self._checks = checks(part)
        self._cell: str | None = None
        # Whether students read the verdicts at once, and the kernel has seen graded episodes: it
        # could tell in them where these start.
        self.discreet = False
        self._closing, self._ended_already = threading.Lock(), False
        self._accepted: socket.socket | None = None

    def __enter__(self) -> "QuestionServer":
        self._judging = judge.JudgeProcess(self._settings.generator)
        # The end is not a connection to the path: a kernel may have put another socket there.
        self._end, self._ended = socket.socketpair()
        self._listener = levels.listening(self._path)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        # Nothing is waited for that a process of the kernel's could hold: one may outlive it.
        self._end.close()
        with self._closing:
            self._ended_already = True
            if self._accepted:
                with contextlib.suppress(OSError):  # closed already
                    self._accepted.shutdown(socket.SHUT_RDWR)
        self._judging.end()
        self._thread.join()
        self._ended.close()
        self._listener.close()

    @contextlib.contextmanager
    def expecting(self, cell: str | None) -> Iterator[None]:
        """Judge the check of the test cell with this id, and no other; with None, none."""
        self._cell = cell
        try:
            yield
        finally:
            self._cell = None

    def _serve(self) -> None:
        while self._ended not in select.select([self._listener, self._ended], [], [])[0]:
            accepted, _ = self._listener.accept()
            with accepted:
                with self._closing:
                    if self._ended_already:
                        return
                    self._accepted = accepted
                self._converse(accepted, self._cell)

    def _converse(self, accepted: socket.socket, cell: str | None) -> None:
        check, started = self._checks.get(cell or ""), time.monotonic()
        seconds = check.seconds if check else QUESTION_SECONDS
        connection = Connection(accepted, started + seconds)
        with contextlib.suppress(ProtocolError):  # a kernel that is gone needs no answer
            if check is None or cell is None or cell in self.ledger:
                connection.receive(_REQUEST_BYTES)
                connection.send_verdict(check.failed(_ONCE) if check else _NOTHING)
                return
            judged = self._judge(check, connection, accepted)
            if judged:
                if self.discreet and check.name not in self.rollouts:
                    judged = _discreet(judged)
                seconds = time.monotonic() - started
                self.ledger[cell] = LedgerEntry(judged.verdict, seconds, judged.flags)
            connection.send_verdict(judged.verdict if judged else check.failed(_ONCE))

    def _judge(
        self, check: Check, connection: Connection, accepted: socket.socket
    ) -> judge.Judged | None:
        """Return the judgement on a check; None where the kernel does not begin by naming it."""
        try:
            if connection.receive(_REQUEST_BYTES) != {check.kind: check.name}:
                return None
            if check.kind == "question":
                with self._timed("questions"):
                    return self._judging.judge(check.name, accepted, check.seconds)
            policy, flags = rubric.POLICIES[check.name], list[str]()
            verdict = self._verdict(policy, partial(self._asked, policy, connection), flags)
            return judge.Judged(verdict, flags, connection.refused)
        except Exception as error:
            return judge.stopped_at(check.failed(""), error)

    def judge_given_networks(self) -> None:
        """Judge the rollouts of the networks that the notebook gives: no code of the student's acts
        in them, and what its kernel does later changes nothing in their verdicts.
        """
        for cell, check in self._checks.items():
            policy = rubric.POLICIES.get(check.name)
            if policy and policy.method in NETWORKS:
                started, flags = time.monotonic(), list[str]()
                verdict = self._verdict(policy, partial(self._given, policy), flags)
                self.ledger[cell] = LedgerEntry(verdict, time.monotonic() - started, flags)

    def _given(self, policy: rubric.Policy) -> tuple[Checkpoint, RolloutResult]:
        known = self._known.get(policy.name)
        if known:
            return load_policy(policy, (), self._folder)[0], known
        return self._rollouts.of_given_network(policy)

    def _asked(
        self, policy: rubric.Policy, connection: Connection
    ) -> tuple[Checkpoint, RolloutResult]:
        """Roll a policy out whose actions the kernel computes."""
        checkpoint = load_submission_checkpoint(policy, self._folder)
        connection.infer(True)  # the kernel loads the weights

        def infer(nobs: torch.Tensor, batch_size: int) -> torch.Tensor:
            self.discreet = self._settings.at_once
            return _actions(connection, policy, nobs, batch_size)

        known = self._known.get(policy.name)
        return checkpoint, known or self._rollouts.of_function(
            policy, checkpoint, infer, self.processor_seconds
        )

    def _verdict(
        self,
        policy: rubric.Policy,
        rolled: Callable[[], tuple[Checkpoint, RolloutResult]],
        flags: list[str],
    ) -> Verdict:
        try:
            checkpoint, result = rolled()
        except AnswerError as error:
            return no_rollouts(policy, error)
        self.rollouts[policy.name] = result
        flags += result.flags
        flags += not_precise(policy, result)
        return rollouts_verdict(policy, checkpoint.demonstrations, result)

    @contextlib.contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        started = time.monotonic()
        try:
            yield
        finally:
            self.seconds[stage] += time.monotonic() - started


def _discreet(judged: judge.Judged) -> judge.Judged:
    """Return a judgement without what the kernel could tell in it; the instructor gets the rest."""
    verdict = judged.verdict
    told = _UNSAID if judged.refused else without_figures(verdict.sentence)
    if told == verdict.sentence:
        return judged
    flags = [*judged.flags, f"{verdict.name}, in full: {verdict.sentence}"]
    return judge.Judged(replace(verdict, sentence=told), flags, judged.refused)


def _actions(
    connection: Connection, policy: rubric.Policy, nobs: torch.Tensor, batch_size: int
) -> torch.Tensor:
    """Return the kernel's actions (B, pred_horizon, 2) for observations (B, obs_horizon, 5)."""
    actions = connection.infer({"nobs": nobs.numpy(), "batch_size": batch_size}, _ACTIONS_BYTES)
    if not isinstance(actions, np.ndarray) or actions.dtype != np.float32:
        raise AnswerError(f"{policy.function} gave no array of float32.")
    return torch.from_numpy(actions)
