"""Whose a failure is: what stands here is the student's and costs points. Everything else is the
grader's: the notebook then has no result, its points stay open, and the next run tries again.

A student's process may say anything, so that of what it says only those lacks are the machine's
that the grader has measured itself meanwhile (`watch.host`). The limits of its sandbox are its
own.
"""

import re
import signal
from collections.abc import Iterable

from nbformat import NotebookNode

from pusht.machine import is_of_machine, shortages
from score.course.sandbox.watch import watchdog
from score.course.sandbox.watch.host import TIME
from score.protocol import ProtocolError, one_line
from score.submission.failures import GraderFailure
from score.verdict import Verdict

# Raised where a policy is rolled out whose actions a student's code computes. (What is wrong with
# an answer is an AnswerError everywhere, and becomes a verdict where it is raised.)
IN_ROLLOUTS = (ProtocolError,)
# Raised by the judge of a question: arrays that are no answer make numpy and torch raise these.
AT_ANSWERS = (
    ProtocolError,
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    RuntimeError,
    StopIteration,
    TypeError,
    ValueError,
)
# What ends a judge's process for the limits that one answer has, by signal. A lack of memory there
# is an error, not a signal.
ENDS_OF_JUDGES = {signal.SIGXCPU: "it took more than {} s of processor time"}
# Why a notebook is stopped, by how the reason begins. The kernel died: see `Host.ended_kernels`.
STOPS = (
    watchdog.OUT_OF_TIME,
    watchdog.OUT_OF_MEMORY,
    watchdog.TOO_MUCH_OUTPUT,
    watchdog.NO_ANSWER,
    watchdog.NO_MESSAGE,
    watchdog.DIED,
)
# How what was given up for its time tells it.
_LATE = re.compile("took longer than|did not answer in time|no longer answered|CellTimeoutError")


def is_at_answers(error: Exception, memory_short: bool) -> bool:
    """Say whether an error that a question's judge raised is due to the answers.

    memory_short: whether the machine has little memory left. Otherwise a lack of it is due to the
    limit that each answer has.
    """
    if shortages(f"{type(error).__name__}: {error}") == {"memory"} or isinstance(
        error, MemoryError
    ):
        return not memory_short
    return isinstance(error, AT_ANSWERS) and not is_of_machine(error)


def raise_lacks(
    short: Iterable[str], notebook: NotebookNode, verdicts: Iterable[Verdict], stopped: str
) -> None:
    """GraderFailure where a notebook lost points by what the machine had too little of.

    short: what that was while it ran. stopped: why the notebook was stopped.
    """
    if stopped and not stopped.startswith(STOPS):
        raise GraderFailure(f"The notebook was stopped, and not by itself: {stopped}.")
    lacking = set(short)
    if not lacking:
        return
    said = [verdict.sentence for verdict in verdicts if verdict.points < verdict.max_points]
    said += [error for cell in notebook.cells for error in errors_of(cell)]
    for sentence in said:
        late = {TIME} if _LATE.search(sentence) else set()
        if claimed := (shortages(sentence) | late) & lacking:
            raise GraderFailure(
                f"The machine had too little {' and '.join(sorted(claimed))} while the notebook"
                f" ran: {one_line(sentence)[:200]}"
            )


def errors_of(cell: NotebookNode) -> list[str]:
    """Return the errors under a cell that has been run, one text each."""
    return [
        f"{output.ename}: {output.evalue}"
        for output in cell.get("outputs", [])
        if output.output_type == "error"
    ]
