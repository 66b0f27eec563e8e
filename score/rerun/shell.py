"""Makes an IPython shell run a notebook's cells as they are run when graded.

`install` is called before the first cell, in the process that runs the notebook: the kernel of a
graded one, or that of a rehearsal. Then

- of practice cells and a student's own cells, only what the graded cells need is run (see `needs`),
  within limits of time and memory;
- a statement that fails does not keep the ones below it from running, because it may have worked
  where the student ran it, as `from google.colab import drive` does;
- a check that misses a name is told which cell should have made it, and what happened there.
"""

import ast
import contextlib
import os
import signal
import sys
import time
import types
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from pusht.machine import waited
from score.rerun.memory import little_memory
from score.rerun.needs import WHOLE, Section, kept, sections, where_bound, without_timing
from score.verdict import Verdict

EXPLAINED = (" It is defined in ", " No cell of the notebook ")  # begin an explanation
SECONDS = 60  # for a cell that runs in part, and for an answer; then the notebook goes on
MEMORY = 2**30  # bytes that such a cell may add


class TookTooLong(BaseException):
    """Raised in a cell that has used up its time; students' `except Exception` lets it pass."""


@dataclass
class Rerun:
    """A notebook that is run as when graded.

    kept: by section, the numbers of the statements that run. failures: by section and statement,
    what was raised. verdicts: by question or policy, in a rehearsal. as_changed: the sections as
    the student left them, where they run as they were released.
    """

    notebook: list[Section]
    kept: list[set[int]]
    as_changed: list[Section] = field(default_factory=list)
    failures: dict[tuple[int, int], str] = field(default_factory=dict)
    verdicts: dict[str, Verdict] = field(default_factory=dict)
    now: list[tuple[int, int]] = field(default_factory=list)  # its statements that are to run
    at: int = 0  # how many of them have run

    def explain(self, name: str) -> str:
        """Return a sentence on why the notebook has no such name when graded, to follow an error;
        "" where nothing is known.
        """
        found = where_bound(self.notebook, name)
        if not found and (changed := where_bound(self.as_changed, name)):
            where = f" It is defined in {self.as_changed[changed[-1][0]].name}"
            return f"{where}, which runs as it was released: define it in a cell of your own."
        if not found:
            return f" No cell of the notebook defines `{name}`."
        for index, statement in reversed(found):
            where = f" It is defined in {self.notebook[index].name}"
            if statement is None:
                return f"{where}, which is not Python."
            if failure := self.failures.get((index, statement)):
                return f"{where}, where this happened: {failure}."
        not_run = [(index, one) for index, one in found if one not in self.kept[index]]
        if not not_run:
            return ""
        index, statement = not_run[-1]
        section, where = self.notebook[index], f" It is defined in {self.notebook[index].name}"
        how = "which does not run as a whole when the notebook is graded"
        if section.statements[statement or 0].trains:
            how = "by a loop that trains, which is not run when the notebook is graded"
        return f"{where}, {how}: define it in the answer's own cell."


_current: Rerun | None = None


def explain(error: BaseException | None) -> str:
    """Return a sentence on a name that a student's code misses in a notebook that is run as when
    graded, to follow an error that the missing name has caused; "" for any other error, and
    elsewhere.
    """
    while error is not None and not isinstance(error, NameError):
        error = error.__cause__
    if _current is None:
        return ""
    name = getattr(error, "name", None)
    return _current.explain(name) if isinstance(name, str) else ""


def note(name: str, verdict: Verdict) -> Verdict:
    """Keep the first verdict of a rehearsal on a question or policy, and return it."""
    return _current.verdicts.setdefault(name, verdict) if _current else verdict


def install(sources: list[str], shell: Any = None, as_changed: Collection[str] = ()) -> Rerun:
    """Let a shell, by default this process's own, run these code cells of a notebook as when
    graded.

    as_changed: cells as the student left them, of which the notebook has the released ones.
    """
    global _current
    if shell is None:
        from IPython import get_ipython

        shell = get_ipython()
    notebook = sections(sources, shell.transform_cell)
    changed = sections([*as_changed], shell.transform_cell)
    rerun = _current = Rerun(notebook, kept(notebook), changed)
    hooks = _Hooks(rerun, sources, shell)
    shell.events.register("pre_run_cell", hooks.begin)
    shell.events.register("post_run_cell", hooks.end)
    shell.input_transformers_cleanup.append(_leave_out_timing)
    shell.ast_transformers.append(hooks)
    shell.run_code = hooks.run_code
    shell.set_custom_exc((NameError,), _show_with_reason)
    # They would end the process, and with it whatever follows.
    shell.user_ns["exit"] = shell.user_ns["quit"] = sys.exit
    os.environ["TORCHDYNAMO_DISABLE"] = "1"  # to compile takes longer than to grade
    os.environ.setdefault("MPLBACKEND", "Agg")
    return rerun


def _leave_out_timing(lines: list[str]) -> list[str]:
    return without_timing("".join(lines)).splitlines(keepends=True)


def _show_with_reason(
    shell: Any, kind: Any, error: NameError, trace: Any, tb_offset: Any = None
) -> None:
    sentence = explain(error)
    if sentence:
        error.args = (f"{error}.{sentence}".rstrip("."),)
    shell.showtraceback((kind, error, trace), tb_offset=tb_offset)


class _Hooks:
    """What a shell calls around a cell, on its tree, and for each of its statements."""

    def __init__(self, rerun: Rerun, sources: list[str], shell: Any) -> None:
        self._rerun = rerun
        self._numbers: dict[str, list[int]] = {}  # by a cell's source, where it stands
        for number, source in enumerate(sources):
            self._numbers.setdefault(source, []).append(number)
        self._run_code = shell.run_code
        self._folder, self._path = os.getcwd(), [*sys.path]
        self._cell: list[int] | None = None
        self._limits: contextlib.ExitStack | None = None

    def begin(self, info: Any) -> None:
        """Prepare for a cell: find its sections, and set the limits of one that is limited."""
        numbers = self._numbers.get(info.raw_cell, [])
        number = numbers.pop(0) if len(numbers) > 1 else numbers[0] if numbers else None
        rerun = self._rerun
        self._cell = [i for i, s in enumerate(rerun.notebook) if s.cell == number]
        rerun.now, rerun.at = [], 0
        with contextlib.suppress(OSError):
            os.chdir(self._folder)  # an earlier cell may have changed it
        sys.path[:] = [*self._path, *(p for p in sys.path if p not in self._path)]
        kinds = {rerun.notebook[i].kind for i in self._cell}
        self._limits = contextlib.ExitStack()
        if kinds and not kinds & {"given", "test"}:
            self._limits.enter_context(_limited())

    def end(self, result: Any) -> None:
        """Take the limits of a cell away."""
        if self._limits:
            self._limits.close()

    def visit(self, tree: ast.Module) -> ast.Module:
        """Return the tree of a cell with the statements that run."""
        if self._cell is None:
            return tree
        body, parts = [], [self._rerun.notebook[index] for index in self._cell]
        known = len(tree.body) == sum(len(part.statements) for part in parts)
        if not known and any(part.kind in WHOLE for part in parts):
            return tree
        for index, section in zip(self._cell, parts):
            for number in sorted(self._rerun.kept[index]):
                if section.first + number < len(tree.body):
                    body.append(tree.body[section.first + number])
                    self._rerun.now.append((index, number))
        if self._cell:
            tree.body = body
        self._cell = None  # magics run code of their own
        return tree

    async def run_code(self, code: types.CodeType, result: Any = None, **options: Any) -> bool:
        """Run a statement; return False, also where it failed: the next one is run."""
        rerun = self._rerun
        failed = await self._run_code(code, result, **options)
        if rerun.at < len(rerun.now):
            section, number = rerun.now[rerun.at]
            rerun.at += 1
            error = getattr(result, "error_in_exec", None)
            if failed and error is not None:
                words = " ".join(str(error).split())[:300].rstrip(".")
                rerun.failures[section, number] = f"{type(error).__name__}: {words}".rstrip(": ")
            return failed and rerun.notebook[section].kind == "test"
        return failed


@contextlib.contextmanager
def _limited() -> Any:
    """Run the body with limits of time and memory, where the system has them. Once the time is up,
    every further second ends a statement. Time in which others had the processors does not count.
    """
    started, waited_before = time.monotonic(), waited()

    def end(*_: object) -> None:
        left = SECONDS - (time.monotonic() - started) + waited() - waited_before
        if left > 0:
            signal.setitimer(signal.ITIMER_REAL, left, 1)
            return
        raise TookTooLong(f"it took longer than the {SECONDS} s of such a cell")

    timed = hasattr(signal, "setitimer")
    before = signal.signal(signal.SIGALRM, end) if timed else None
    if timed:
        signal.setitimer(signal.ITIMER_REAL, SECONDS, 1)
    try:
        with little_memory(MEMORY):
            yield
    finally:
        if timed:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before or signal.SIG_DFL)
