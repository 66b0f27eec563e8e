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
    told_verdict,
)
from score.course.grading.rollouts import CHECK_SECONDS, Rollouts
from score.course.sandbox import levels
from score.course.sandbox.watch.processor import processes, time_left, used
from score.course.sandbox.whose import IN_ROLLOUTS
from score.course.settings import RunSettings
from score.protocol import Connection, ProtocolError
from score.rollouts.evaluate import no_rollouts
from score.rollouts.given import NETWORKS
from score.rollouts.policies import load_policy, load_submission_checkpoint
from score.rollouts.statistics import with_fitting_statistics
from score.submission import formats
from score.verdict import AnswerError, Verdict

QUESTION_SECONDS = 120
STAGES = ("questions", "rollouts", "audit", "film")
_ONCE = "When graded, a check is judged once, in its own cell."
_NOTHING = Verdict("", 0.0, 0.0, _ONCE)  # for a kernel that asks between the test cells
_REQUEST_BYTES = 2**12  # of the message that begins a conversation
_ACTIONS_BYTES = (
    2**20
)  # of a message with actions; those of the largest block take a twentieth, for chunks of 8


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
    without its key. seconds: by stage. kernel_pid: returns the kernel's process id; whoever starts
    one sets it, and `end_kernel`, which is called at a failure. failure: what ended the judging for
    no reason of the student's. It is raised at the end.
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
        self.end_kernel: Callable[[], None] = lambda: None
        self.kernel_pid: Callable[[], int | None] = lambda: None
        self._path, self._folder, self._settings, self._known = socket_path, folder, settings, known
        self._rollouts = Rollouts(folder, settings, self._timed, self.rollouts)
        self._checks = checks(part)
        self._cell: str | None = None
        # Whether students read the verdicts at once, and the kernel has seen graded episodes: it
        # could tell in them where these start.
        self.discreet = False
        self._closing, self._ended_already = threading.Lock(), False
        self._accepted: socket.socket | None = None
        self.failure: Exception | None = None

    def __enter__(self) -> "QuestionServer":
        with contextlib.ExitStack() as opened:
            self._judging = judge.JudgeProcess(self._settings.generator)
            opened.callback(self._judging.end)
            # The end is not a connection to the path: a kernel may have put another socket there.
            self._end, self._ended = map(opened.enter_context, socket.socketpair())
            self._listener = opened.enter_context(levels.listening(self._path))
            self._thread = threading.Thread(target=self._serve, daemon=True)
            self._thread.start()
            self._opened = opened.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        # Nothing is waited for that a process of the kernel's could hold: one may outlive it.
        self._end.close()
        with self._closing:
            self._ended_already = True
            if self._accepted:
                with contextlib.suppress(OSError):  # closed already
                    self._accepted.shutdown(socket.SHUT_RDWR)
        self._judging.end()
        self._thread.join()
        self._opened.close()
        if self.failure and not kind:
            raise self.failure

    @contextlib.contextmanager
    def expecting(self, cell: str | None) -> Iterator[None]:
        """Judge the check of the test cell with this id, and no other; with None, none."""
        self._cell = cell
        try:
            yield
        finally:
            self._cell = None

    def _serve(self) -> None:
        try:
            self._accept()
        except Exception as error:  # whatever it is, it is not the student's
            with self._closing:  # afterwards, it was ended
                self.failure = None if self._ended_already else error
            self._listener.close()
            self.end_kernel()  # which could wait for an answer until its time is over

    def _accept(self) -> None:
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
        connection = Connection(accepted, time_left(seconds, self.kernel_pid()))
        with contextlib.suppress(ProtocolError):  # a kernel that is gone needs no answer
            if check is None or cell is None or cell in self.ledger:
                connection.receive(_REQUEST_BYTES)
                connection.send_verdict(check.failed(_ONCE) if check else _NOTHING)
                return
            judged = self._judge(check, connection, accepted)
            if judged:
                if self.discreet and check.name not in self.rollouts:
                    judged = judged.discreet()
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
                    pid = self.kernel_pid()
                    return self._judging.judge(check.name, accepted, check.seconds, pid)
            policy, flags = rubric.POLICIES[check.name], list[str]()
            verdict = self._verdict(policy, partial(self._asked, policy, connection), flags)
            return judge.Judged(verdict, flags, connection.refused)
        except IN_ROLLOUTS as error:
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
        message = connection.call(True)  # the kernel loads the weights
        discreet = self.discreet
        acting = formats.acting(policy, message, self._folder)
        policy = acting.policy(policy) if acting else policy

        def infer(nobs: torch.Tensor, batch_size: int) -> torch.Tensor:
            self.discreet = self._settings.at_once
            return _actions(connection, policy, nobs, batch_size)

        if known := self._known.get(policy.name):
            return checkpoint, known
        told = acting.told if acting else ""
        if acting and acting.sets:
            with self._timed("rollouts"):
                checkpoint, why = with_fitting_statistics(
                    policy, checkpoint, infer, acting.sets, acting.logged, acting.seeds
                )
            told = f"{told} {why}"
        result = self._rollouts.of_function(
            policy, checkpoint, infer, lambda: used(processes(self.kernel_pid()))
        )
        if discreet and told:  # the kernel has chosen what to tell
            return checkpoint, replace(result, flags=[*result.flags, f"{policy.title}: {told}"])
        return checkpoint, replace(result, told=told)

    def _verdict(
        self,
        policy: rubric.Policy,
        rolled: Callable[[], tuple[Checkpoint, RolloutResult]],
        flags: list[str],
    ) -> Verdict:
        try:
            _, result = rolled()
        except AnswerError as error:
            return no_rollouts(policy, error)
        self.rollouts[policy.name] = result
        flags += result.flags
        flags += not_precise(policy, result)
        return told_verdict(policy, result)

    @contextlib.contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        started = time.monotonic()
        try:
            yield
        finally:
            self.seconds[stage] += time.monotonic() - started


def _actions(
    connection: Connection, policy: rubric.Policy, nobs: torch.Tensor, batch_size: int
) -> torch.Tensor:
    """Return the kernel's actions (B, pred_horizon, 2) for observations (B, obs_horizon, 5)."""
    most = _ACTIONS_BYTES * max(1, policy.pred_horizon // 8)
    actions = connection.call({"nobs": nobs.numpy(), "batch_size": batch_size}, most)
    if not isinstance(actions, np.ndarray) or actions.dtype != np.float32:
        raise AnswerError(f"{policy.function} gave no array of float32.")
    return torch.from_numpy(actions)
