"""A student's progress: the last results of all checks and rollouts in a folder."""

import html
import json
import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from filelock import FileLock
from IPython import get_ipython

from pusht import demos
from pusht.checkpoint import SUFFIX, Checkpoint, CheckpointError, load_checkpoint
from pusht.files import write_whole
from pusht.progress import in_notebook
from score import rubric
from score.cells import read_id
from score.graded import graded
from score.rollouts.loss_curves import compare_losses, epoch_losses
from score.verdict import NOT_ANSWERED, Verdict

KEPT = "standing.json"
_MARKS = {"passed": "✓", "in part": "◐", "failed": "✗", "not tried": "·", "a person": "…"}
_HEADINGS = ("Exercise", "State", "Points", "Result of the last check")

Folder = str | os.PathLike[str]


@dataclass(frozen=True)
class Row:
    """A row of the table: a question or a policy's rollouts, its state (a key of `_MARKS`), its
    points, and the message of its last check.
    """

    title: str
    state: str
    points: float
    max_points: float
    message: str

    @property
    def earned(self) -> str:
        """The points as text."""
        return f"{round(self.points, 2):g} of {self.max_points:g}"


@dataclass(frozen=True)
class Progress:
    """A student's progress: a row for each question and policy, a sentence on each policy's
    training, the policies still to be trained, and the extensions done.
    """

    rows: list[Row] = field(default_factory=list)
    training: list[str] = field(default_factory=list)
    to_train: list[str] = field(default_factory=list)
    extensions: list[str] = field(default_factory=list)

    @property
    def points(self) -> float:
        """The points so far."""
        return sum(row.points for row in self.rows)

    def summary(self) -> Iterator[str]:
        """Yield the sentences below the table."""
        person = sum(row.max_points for row in self.rows if row.state == "a person")
        reachable = sum(row.max_points for row in self.rows) - person
        yield f"Points so far: {round(self.points, 2):g} of {reachable:g}" + (
            f", and {person:g} graded by a person." if person else "."
        )
        yield (
            f"Still to train: {', '.join(self.to_train)}."
            if self.to_train
            else "Nothing is left to train."
        )
        if self.extensions:
            yield f"Optional exercises done: {', '.join(self.extensions)}."
        yield (
            "These are practice results. For the grade, your answers are checked with other inputs,"
            " and your policies are rolled out from other seeds."
        )

    def __str__(self) -> str:
        width = max(len(row.title) for row in self.rows)
        lines = [
            f"{_MARKS[row.state]} {row.title:<{width}}  {row.earned:<8}  {row.message}"
            for row in self.rows
        ]
        return "\n".join([*lines, *self.training, *self.summary()])

    def as_html(self) -> str:
        """Return the progress as an HTML table; all text in it is escaped."""
        rows = [
            (row.title, f"{_MARKS[row.state]} {row.state}", row.earned, row.message)
            for row in self.rows
        ]
        body = "".join(_table_row("td", cells) for cells in rows)
        training = "".join(f"<li>{html.escape(sentence)}</li>" for sentence in self.training)
        summary = "<br>".join(html.escape(sentence) for sentence in self.summary())
        return (
            f"<table><thead>{_table_row('th', _HEADINGS)}</thead><tbody>{body}</tbody></table>"
            f"<ul>{training}</ul><p>{summary}</p>"
        )


def _table_row(tag: str, cells: tuple[str, ...]) -> str:
    style = "text-align:left;vertical-align:top"
    styles = [f"{style};white-space:nowrap"] * (len(cells) - 1) + [style]
    columns = [
        f'<{tag} style="{style}">{html.escape(cell)}</{tag}>' for style, cell in zip(styles, cells)
    ]
    return f"<tr>{''.join(columns)}</tr>"


def show_standing(part: str | None = None, folder: Folder = ".") -> None:
    """Show the progress in every question and policy: a table in a notebook, text elsewhere.

    This checks nothing again, and shows nothing when graded.

    part: a name such as "part1_mlp". The default is the part whose notebook calls this, or all
        parts outside a notebook.
    folder: folder of the checks' results, the checkpoints and the practice scores.
    """
    if graded():
        return
    part = part or own_part()
    if part not in (None, *rubric.PARTS):
        raise ValueError(f"There is no part {part!r}: name one of {', '.join(rubric.PARTS)}.")
    progress = read_progress(folder, [part] if part else rubric.asked_parts())
    if in_notebook():
        from IPython.display import publish_display_data

        publish_display_data({"text/plain": str(progress), "text/html": progress.as_html()})
    else:
        print(progress)


def own_part() -> str | None:
    """Return the name of the part whose notebook runs this, or None outside such a notebook.

    The markers of the executed cells tell which part it is.
    """
    cells = get_ipython().history_manager.input_hist_raw if in_notebook() else []
    ids = filter(None, (read_id(cell.lstrip()) for cell in reversed(cells)))
    prefix = next(ids, "").partition("/")[0]
    return next((name for name in rubric.PARTS if prefix and name.startswith(prefix)), None)


def read_progress(folder: Folder, parts: Iterable[str]) -> Progress:
    """Return the `Progress` in a folder, for the parts with these names."""
    kept, progress = kept_verdicts(folder), Progress()
    for part in (rubric.PARTS[name] for name in parts):
        for question in part.questions:
            title = f"{question.name} {question.title}"
            progress.rows.append(_row(title, question.points, kept.get(question.name)))
        for policy in part.policies:
            progress.rows.append(_row(policy.rollouts_title, policy.points, kept.get(policy.name)))
        progress.rows.extend(
            Row(f"{q.name} {q.title}", "a person", 0.0, q.points, "Answered in words.")
            for q in part.written
        )
        progress.extensions.extend(
            f"{e.name} {e.title}" for e in part.extensions if e.name in kept and kept[e.name].points
        )
        for policy in part.policies:
            sentence, missing = _training(policy, folder)
            progress.training.append(sentence)
            progress.to_train.extend([missing] if missing else [])
    return progress


class KeptVerdict(NamedTuple):
    """What is kept of the last verdict on a question or policy."""

    points: float
    sentence: str
    when: str


def _row(title: str, max_points: float, kept: KeptVerdict | None) -> Row:
    if kept is None:
        return Row(title, "not tried", 0.0, max_points, "Not tried yet: run its check.")
    full, some = kept.points >= max_points, kept.points > 0
    state = "passed" if full else "in part" if some else "failed"
    points = min(max(kept.points, 0.0), max_points)
    return Row(title, state, points, max_points, f"{kept.sentence} (Checked {kept.when}.)")


def _training(policy: rubric.Policy, folder: Folder) -> tuple[str, str]:
    """Return a sentence on a policy's training, and what is left to train ("" for nothing)."""
    try:
        checkpoint = load_checkpoint(Path(folder) / (policy.name + SUFFIX), policy.normalisation)
    except CheckpointError as error:
        return f"{policy.title}: {error}", policy.name
    losses, extent = epoch_losses(checkpoint), training_extent(checkpoint)
    known = demos.name_of(checkpoint.demonstrations)
    compared = compare_losses(policy.name, losses, checkpoint.demonstrations)
    sentence = (
        f"{policy.title}: {extent} on {f'the {known}' if known else 'unknown'} demonstrations."
        f" {compared}"
    )
    return sentence, f"{policy.name} ({extent})" if len(losses) < checkpoint.num_epochs else ""


def training_extent(checkpoint: Checkpoint) -> str:
    """Return how far a checkpoint was trained, such as "300 of 300 epochs"."""
    if not checkpoint.num_epochs:
        return f"{len(checkpoint.losses)} losses logged"
    return f"{len(epoch_losses(checkpoint))} of {checkpoint.num_epochs} epochs"


def keep_verdict(key: str, verdict: Verdict, folder: Folder = ".") -> int:
    """Save a check's verdict on a question or a policy in standing.json, for `show_standing`.

    It replaces the check's last verdict. Returns how often the check has failed in a row, not
    counting an answer that was not begun.
    """
    path = Path(folder) / KEPT
    record = {
        "points": verdict.points,
        "sentence": verdict.sentence[:1000],
        "time": time.time(),
        "failures": 0,
    }
    try:
        # Two notebooks may run in one folder.
        with FileLock(path.with_name(f".{KEPT}.lock"), timeout=10):
            kept = _read(path)
            record["failures"] = failures = _failures(kept.get(key), verdict)
            write_whole(path, json.dumps(kept | {key: record}, indent=1))
    except (OSError, NotImplementedError):
        # The folder cannot be written to. The verdict is still shown, and the table of progress
        # says that the check was not tried.
        return 0
    return failures


def _failures(last: Any, verdict: Verdict) -> int:
    """Return how many checks have failed in a row with this one. last: the record before."""
    if verdict.points >= verdict.max_points:
        return 0
    before = last.get("failures", 0) if isinstance(last, dict) else 0
    before = before if isinstance(before, int) else 0
    return before + (not verdict.sentence.startswith(NOT_ANSWERED))


def _read(path: Path) -> dict[str, Any]:
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        return kept if isinstance(kept, dict) else {}
    except (OSError, ValueError, RecursionError):
        return {}  # missing or damaged; later verdicts will be saved


def kept_verdicts(folder: Folder) -> dict[str, KeptVerdict]:
    """Return the kept verdicts that can be read, by question or policy."""
    found = {}
    for key, kept in _read(Path(folder) / KEPT).items():
        try:
            when = time.strftime("%Y-%m-%d %H:%M", time.localtime(float(kept["time"])))
            found[key] = KeptVerdict(float(kept["points"]), str(kept["sentence"]), when)
        except (KeyError, TypeError, ValueError, OverflowError, OSError):
            continue
    return found
