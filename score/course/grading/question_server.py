"""The grader: draws the inputs, drives the simulators and keeps the points; of a submission it gets
arrays over a socket.
"""

import contextlib
import os
import re
import select
import socket
import threading
import time
import traceback
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch

from pusht import video
from score import rubric
from score.course.grading import audit
from score.protocol import Line, ProtocolError
from score.questions import judged
from score.rollouts.evaluate import film, no_rollouts, rollouts_verdict, score_policy
from score.rollouts.loss_curves import epoch_losses
from score.rollouts.policies import load_submission_checkpoint
from score.verdict import AnswerError, Verdict

QUESTION_SECONDS, ROLLOUT_SECONDS = 120, 1800
STAGES = ("questions", "rollouts", "evidence", "film")
_CALLS = 1000  # of a question; the longest asks some dozens of times
FILMED = 10
_LOSSES = 10_000  # of a curve, to be shown: more than any training of the course has epochs


@dataclass
class Entry:
    """What the ledger says of one test cell. flags: for the instructor alone, what speaks against
    it or wants a look.
    """

    verdict: dict
    seconds: float
    flags: list


@dataclass
class Grader:
    """Judges one notebook's answers, each while its own test cell runs, and once.

    socket_path: where the kernel reaches it. submission: folder with the hand-in files, to which
    films are added.
    first_seed, episodes: the held-out episodes; questions draw from the same seed. known: policy's
    name -> what rolling it out came to before, where nothing has changed that it depends on.
    filmed: of a policy's episodes, how many. ledger: test cell -> `Entry`; rollouts: policy's name
    -> what becomes a `RolloutResult`; seconds: by stage.
    """

    socket_path: str
    submission: Path
    first_seed: int
    episodes: int
    known: dict = field(default_factory=dict)
    filmed: int = FILMED
    ledger: dict = field(default_factory=dict)
    rollouts: dict = field(default_factory=dict)
    seconds: dict = field(default_factory=lambda: dict.fromkeys(STAGES, 0.0))

    def __enter__(self):
        self._cell = None
        self._end, self._ended = (
            socket.socketpair()
        )  # not a connection to the path: a kernel may have put another socket there
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(self.socket_path)
        os.chmod(self.socket_path, 0o666)  # the folder around it says who gets here
        self._listener.listen(8)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exception):
        self._end.close()
        self._thread.join()
        self._ended.close()
        self._listener.close()

    def expect(self, cell):
        """From now on judge what the test cell of this id asks for; None: nothing."""
        self._cell = cell

    def _serve(self):
        while self._ended not in select.select([self._listener, self._ended], [], [])[0]:
            connection, _ = self._listener.accept()
            with connection:
                self._converse(connection, self._cell)

    def _converse(self, connection, cell):
        asked, name, title, points, limit = expected(cell)
        started = time.monotonic()
        line = Line(connection, started + limit)
        flags = []
        try:
            request = line.receive()
            if cell is None or cell in self.ledger or request != {asked: name}:
                line.send(
                    {
                        "verdict": asdict(
                            Verdict(
                                title,
                                0.0,
                                points,
                                "In class a check is judged once, in its own cell.",
                            )
                        )
                    }
                )
                return
            verdict = (
                self._question(name, line)
                if asked == "question"
                else self._rollouts(rubric.POLICIES[name], line, flags)
            )
        except ProtocolError as error:
            if cell is None or cell in self.ledger:
                return
            verdict = Verdict(title, 0.0, points, f"The notebook {error}.")
        except Exception as error:  # a forged answer can make a judge raise anything: it earns nothing, and is shown to a person
            verdict = Verdict(
                title,
                0.0,
                points,
                "The notebook answered what the question does not ask for"
                f" ({type(error).__name__}).",
            )
            where = traceback.extract_tb(error.__traceback__)[-1]
            flags.append(
                f"{title}: the judge stopped at the answer: {type(error).__name__}:"
                f" {_sentence(error)} ({Path(where.filename).name}, line {where.lineno})"
            )
        self.ledger[cell] = Entry(asdict(verdict), time.monotonic() - started, flags)
        try:
            line.send({"verdict": asdict(verdict)})
        except ProtocolError:
            return  # the verdict is in the ledger; a kernel that is gone needs no answer

    def _question(self, name, line):
        rng = np.random.default_rng([self.first_seed, *name.encode()])
        left = iter(range(_CALLS))

        def called(given):
            next(left)
            return _asked(line, given)

        with self._timed("questions"):
            return judged(name, called, rng)

    def _rollouts(self, policy, line, flags):
        try:
            checkpoint = load_submission_checkpoint(policy, self.submission)
            _asked(line, True)  # the weights are loaded in the kernel
            record = self.known.get(policy.name) or self._roll_out(policy, checkpoint, line)
        except AnswerError as error:
            return no_rollouts(policy, error)
        self.rollouts[policy.name] = record
        flags += record["flags"]
        low, high = record["interval"]
        if low < policy.target(checkpoint.demonstrations) < high:
            flags.append(
                f"{policy.title}: the score's interval, {low:.2f} to {high:.2f}, holds the bar for"
                " all points: other episodes could decide otherwise."
            )
        return rollouts_verdict(policy, checkpoint, record["per_episode"], record["one_by_one"])

    def _roll_out(self, policy, checkpoint, line):
        def ask(nobs, batch_size):
            return _actions(line, policy, nobs, batch_size)

        with self._timed("rollouts"):
            score = score_policy(
                policy,
                ask,
                checkpoint.stats,
                range(self.first_seed, self.first_seed + self.episodes),
            )
        film_name = f"{policy.name}_rollouts.mp4" if self.filmed else ""
        if self.filmed:
            with self._timed("film"):
                video.write_video(
                    str(self.submission / film_name), film(score.episodes.first(self.filmed))
                )
        with self._timed("evidence"):
            try:
                flags = audit.findings(policy, checkpoint, score, ask)
            except (AnswerError, ProtocolError) as error:  # the episodes have been earned already
                flags = [
                    f"{policy.title}: after its episodes the policy could not be asked for more:"
                    f" {_sentence(error)}"
                ]
        return {
            "per_episode": score.per_episode,
            "interval": score.interval,
            "one_by_one": score.one_by_one,
            "losses": epoch_losses(checkpoint)[:_LOSSES],
            "demonstrations": checkpoint.demonstrations,
            "film": film_name,
            "flags": flags,
        }

    @contextlib.contextmanager
    def _timed(self, stage):
        started = time.monotonic()
        try:
            yield
        finally:
            self.seconds[stage] += time.monotonic() - started


def expected(cell):
    """(what a test cell asks for, its name, title, points, seconds) from the cell's id; nothing is
    expected of other cells.
    """
    for part in rubric.PARTS.values():
        for question in part.questions:
            if cell == f"part{part.number}-{question.cell}":
                return (
                    "question",
                    question.name,
                    question.name,
                    float(question.points),
                    QUESTION_SECONDS,
                )
        for policy in part.policies:
            if cell == f"part{part.number}-{policy.cell}":
                return (
                    "rollouts",
                    policy.name,
                    f"{policy.title} rollouts",
                    float(policy.points),
                    ROLLOUT_SECONDS,
                )
    return "nothing", "", "", 0.0, QUESTION_SECONDS


def _asked(line, given):
    line.send({"given": given})
    reply = line.receive()
    if not isinstance(reply, dict) or reply.keys() not in ({"got"}, {"refused"}):
        raise ProtocolError("sent something else than an answer")
    if "refused" in reply:
        raise AnswerError(_sentence(reply["refused"]))
    return reply["got"]


def _actions(line, policy, nobs, batch_size):
    got = _asked(line, {"nobs": nobs.numpy(), "batch_size": batch_size})
    if not isinstance(got, np.ndarray) or got.dtype != np.float32:
        raise AnswerError(f"{policy.function} gave no array of float32.")
    return torch.from_numpy(got)


def _sentence(text):
    """A student's process wrote it: one line of printable text, at most 600 characters."""
    return (
        re.sub(r"\s+", " ", "".join(c if c.isprintable() else " " for c in str(text)[:600])).strip()
        or "The answer was refused."
    )
