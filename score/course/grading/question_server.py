"""The process that judges: it draws the inputs, drives the simulators and keeps the points. Of a
submission it gets arrays, over a socket.
"""

import contextlib
import select
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal

import numpy as np
import torch

from pusht import video
from pusht.checkpoint import Checkpoint
from score import rubric
from score.course.grading import audit, judge
from score.course.grading.results import RolloutResult, entries_by_cell, film_name
from score.course.sandbox import levels
from score.course.settings import RunSettings
from score.protocol import Connection, ProtocolError, one_line
from score.rollouts.evaluate import (
    film,
    no_rollouts,
    rollouts_verdict,
    score_policy,
)
from score.rollouts.loss_curves import epoch_losses
from score.rollouts.policies import load_submission_checkpoint
from score.verdict import AnswerError, Verdict

QUESTION_SECONDS, ROLLOUT_SECONDS = 120, 1800
STAGES = ("questions", "rollouts", "audit", "film")
_ONCE = "When graded, a check is judged once, in its own cell."
_NOTHING = Verdict("", 0.0, 0.0, _ONCE)  # for a kernel that asks between the test cells
_REQUEST_BYTES = 2**12  # of the message that begins a conversation
_ACTIONS_BYTES = 2**20  # of a message with actions; a hundred episodes' take a hundredth of it
_LOSSES = 10_000  # of a curve, to be shown: more than any training of the course has epochs


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
            found[cell] = Check("rollouts", entry.name, title, points, ROLLOUT_SECONDS)
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
    without its key. seconds: by stage.
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
        self._path, self._folder, self._settings, self._known = socket_path, folder, settings, known
        self._checks = checks(part)
        self._cell: str | None = None
        self._closing, self._ended_already = threading.Lock(), False
        self._accepted: socket.socket | None = None

    def __enter__(self) -> "QuestionServer":
        self._judging = judge.JudgeProcess(self._settings.first_seed)
        # The end is not a connection to the path: a kernel may have put another socket there.
        self._end, self._ended = socket.socketpair()
        self._listener = levels.listening(self._path)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
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
            verdict, flags = self._judge(check, connection, accepted)
            if verdict:
                self.ledger[cell] = LedgerEntry(verdict, time.monotonic() - started, flags)
            connection.send_verdict(verdict or check.failed(_ONCE))

    def _judge(
        self, check: Check, connection: Connection, accepted: socket.socket
    ) -> tuple[Verdict | None, list[str]]:
        """Return the verdict on a check, and flags; None where the kernel does not begin by naming
        it.
        """
        flags: list[str] = []
        try:
            if connection.receive(_REQUEST_BYTES) != {check.kind: check.name}:
                return None, []
            if check.kind == "question":
                with self._timed("questions"):
                    return self._judging.judge(check.name, accepted, check.seconds)
            return self._rollouts(rubric.POLICIES[check.name], connection, flags), flags
        except Exception as error:
            verdict, more = judge.stopped_at(check.failed(""), error)
            return verdict, flags + more

    def _rollouts(self, policy: rubric.Policy, connection: Connection, flags: list[str]) -> Verdict:
        try:
            checkpoint = load_submission_checkpoint(policy, self._folder)
            connection.infer(True)  # the kernel loads the weights
            result = self._known.get(policy.name) or self._roll_out(policy, checkpoint, connection)
        except AnswerError as error:
            return no_rollouts(policy, error)
        self.rollouts[policy.name] = result
        flags += result.flags
        flags += audit.near_target(policy, result)
        return rollouts_verdict(policy, checkpoint, result.per_episode, result.one_by_one)

    def _roll_out(
        self, policy: rubric.Policy, checkpoint: Checkpoint, connection: Connection
    ) -> RolloutResult:
        def infer(nobs: torch.Tensor, batch_size: int) -> torch.Tensor:
            return _actions(connection, policy, nobs, batch_size)

        first, filmed = self._settings.first_seed, self._settings.filmed
        seeds = range(first, first + self._settings.episodes)
        with self._timed("rollouts"):
            score = score_policy(policy, infer, checkpoint.stats, seeds)
        film_file = film_name(policy) if filmed else ""
        if filmed:
            with self._timed("film"):
                frames = film(score.episodes.first(filmed))
                video.write_video(str(self._folder / film_file), frames)
        with self._timed("audit"):
            try:
                flags = audit.flags(policy, checkpoint, score, infer)
            except (AnswerError, ProtocolError) as error:  # the episodes are earned already
                failed = "after its episodes the policy could not be called again"
                flags = [f"{policy.title}: {failed}: {one_line(error)}"]
        return RolloutResult(
            key="",
            per_episode=score.per_episode,
            interval=score.interval,
            one_by_one=score.one_by_one,
            losses=epoch_losses(checkpoint)[:_LOSSES],
            demonstrations=checkpoint.demonstrations,
            film=film_file,
            flags=flags,
        )

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
    actions = connection.infer({"nobs": nobs.numpy(), "batch_size": batch_size}, _ACTIONS_BYTES)
    if not isinstance(actions, np.ndarray) or actions.dtype != np.float32:
        raise AnswerError(f"{policy.function} gave no array of float32.")
    return torch.from_numpy(actions)
