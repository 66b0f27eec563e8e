"""Rehearse the grading of a notebook: run it in a fresh process as it is run when graded, with what
is handed in and nothing else.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from pusht import resources
from score.graded import REHEARSAL
from score.verdict import Verdict

_SECONDS = 300  # of a whole rehearsal; a right notebook takes less than half a minute


class NoRehearsal(Exception):
    """Raised when a rehearsal did not come to its end; the message says why in one sentence."""


def rehearse(part: str, files: Mapping[str, bytes]) -> dict[str, Verdict]:
    """Return what the checks of a part's notebook say when it is run as for the grade, by question
    and policy; `NoRehearsal` when it cannot be run.

    files: {name: content} of what is handed in.
    """
    with tempfile.TemporaryDirectory(prefix="pusht-") as folder:
        work, result = Path(folder, "work"), Path(folder, "result.json")
        work.mkdir()
        for name, content in files.items():
            if "/" not in name:
                (work / name).write_bytes(content)
        command = [sys.executable, "-m", "score.rerun.worker", f"{part}.ipynb", part, str(result)]
        try:
            done = subprocess.run(
                command,
                cwd=work,
                env=_at_start() | _environment(),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=_SECONDS,
            )
        except subprocess.TimeoutExpired:
            raise NoRehearsal(
                f"Run as for the grade, {part}.ipynb was not done after {_SECONDS} s: a cell of it"
                " takes too long or waits."
            ) from None
        if not result.is_file():
            last = (done.stderr.strip().splitlines() or ["no message"])[-1][:200]
            raise NoRehearsal(
                f"Run as for the grade, {part}.ipynb ended its process (exit code"
                f" {done.returncode}, {last})."
            )
        said = json.loads(result.read_text(encoding="utf-8"))
        return {name: Verdict(**fields) for name, fields in said.items()}


def _at_start() -> dict[str, str]:
    """Return the environment with which this process began, where the system tells: what a notebook
    has added to it since is not there when the notebook is graded.
    """
    kept = Path("/proc/self/environ")
    if not kept.is_file():
        return {**os.environ}
    entries = (entry.partition("=") for entry in os.fsdecode(kept.read_bytes()).split("\0"))
    return {name: value for name, _, value in entries if name}


def _environment() -> dict[str, str]:
    """Return what a rehearsal's environment has beside the student's own."""
    path = os.pathsep.join(filter(None, [str(resources.PACKAGES), os.environ.get("PYTHONPATH")]))
    return {
        **REHEARSAL,
        "PYTHONPATH": path,
        "PYTHONSAFEPATH": "1",  # what lies beside the notebook is not on the grader's machine
        "MPLBACKEND": "Agg",
    }
