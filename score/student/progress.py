"""Where a student stands: what the notebooks' checks and rollouts last said in a folder, and the
policies beside each other.
"""

import html
import json
import os
import re
import statistics
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from filelock import FileLock
from IPython import get_ipython

from pusht import demos, render, video
from pusht.checkpoint import SUFFIX, CheckpointError, load_checkpoint
from pusht.episodes import Episodes, reproducible
from pusht.progress import in_notebook
from score import rubric
from score.graded import graded
from score.rollouts.loss_curves import compare_losses, epoch_losses

KEPT = "standing.json"
_FILMED = 4
_MARKS = {"passed": "✓", "in part": "◐", "failed": "✗", "not tried": "·", "a person": "…"}


@dataclass(frozen=True)
class Row:
    """One line: a question or a policy's rollouts, what became of it (a key of `_MARKS`), its
    points, what its last check said.
    """

    title: str
    state: str
    points: float
    max_points: float
    said: str

    @property
    def earned(self):
        return f"{round(self.points, 2):g} of {self.max_points:g}"


@dataclass(frozen=True)
class Standing:
    """Where somebody stands: rows, sentences on each policy's training, what is still to be
    trained, which extensions are done.
    """

    rows: list = field(default_factory=list)
    training: list = field(default_factory=list)
    to_train: list = field(default_factory=list)
    extensions: list = field(default_factory=list)

    @property
    def points(self):
        return sum(row.points for row in self.rows)

    def summary(self):
        """The last sentences."""
        person = sum(row.max_points for row in self.rows if row.state == "a person")
        reachable = sum(row.max_points for row in self.rows) - person
        yield f"Points so far: {round(self.points, 2):g} of {reachable:g}" + (
            f", and {person:g} that a person gives." if person else "."
        )
        yield (
            f"Still to train: {', '.join(self.to_train)}."
            if self.to_train
            else "Nothing is left to train."
        )
        if self.extensions:
            yield f"Done beyond that, for no points: {', '.join(self.extensions)}."
        yield (
            "This is practice. The grade asks your answers with other inputs, and rolls your"
            " policies out from other seeds."
        )

    def __str__(self):
        width = max(len(row.title) for row in self.rows)
        lines = [
            f"{_MARKS[row.state]} {row.title:<{width}}  {row.earned:<8}  {row.said}"
            for row in self.rows
        ]
        return "\n".join([*lines, *self.training, *self.summary()])

    def as_html(self):
        """The same as a table."""

        def line(*cells, kind="td"):
            styles = ["text-align:left;vertical-align:top;white-space:nowrap"] * 3 + [
                "text-align:left;vertical-align:top"
            ]
            return (
                "<tr>"
                + "".join(
                    f'<{kind} style="{s}">{html.escape(cell)}</{kind}>'
                    for s, cell in zip(styles, cells)
                )
                + "</tr>"
            )

        head = line("Exercise", "State", "Points", "What its last check said", kind="th")
        rows = [
            line(row.title, f"{_MARKS[row.state]} {row.state}", row.earned, row.said)
            for row in self.rows
        ]
        training = "".join(f"<li>{html.escape(sentence)}</li>" for sentence in self.training)
        summary = "<br>".join(html.escape(sentence) for sentence in self.summary())
        return f"<table><thead>{head}</thead><tbody>{''.join(rows)}</tbody></table><ul>{training}</ul><p>{summary}</p>"


def show_standing(part=None, folder="."):
    """Show how every question and policy stands: a table in a notebook, plain text elsewhere.
    Nothing is checked anew.

    part: a name such as "part1_mlp"; otherwise the notebook's that this is called in, and all parts
    where it is none's.
    folder: where the checks, the hand-in files and the practice scores are.
    """
    if graded():
        return
    part = part or own_part()
    if part not in (None, *rubric.PARTS):
        raise ValueError(f"There is no part {part!r}: name one of {', '.join(rubric.PARTS)}.")
    standing = standing_in(folder, [part] if part else rubric.PARTS)
    if in_notebook():
        from IPython.display import publish_display_data

        publish_display_data({"text/plain": str(standing), "text/html": standing.as_html()})
    else:
        print(standing)


def standing_in(folder, parts):
    """The `Standing` in a folder, in the parts of these names."""
    kept, standing = _verdicts(folder), Standing()
    for part in (rubric.PARTS[name] for name in parts):
        titles = [(q.name, f"{q.name} {q.title}", q.points) for q in part.questions]
        titles += [
            (policy.name, f"{policy.title} rollouts", policy.points) for policy in part.policies
        ]
        standing.rows.extend(_row(title, points, kept.get(key)) for key, title, points in titles)
        standing.rows.extend(
            Row(f"{w.name} {w.title}", "a person", 0.0, w.points, "Answered in words.")
            for w in part.written
        )
        standing.extensions.extend(
            f"{e.name} {e.title}" for e in part.extensions if e.name in kept and kept[e.name][0]
        )
        for policy in part.policies:
            sentence, missing = _training(policy, folder)
            standing.training.append(sentence)
            standing.to_train.extend([missing] if missing else [])
    return standing


def _row(title, max_points, verdict):
    if verdict is None:
        return Row(title, "not tried", 0.0, max_points, "Not tried yet: run its check.")
    points, sentence, checked = verdict
    state = "passed" if points >= max_points else "in part" if points > 0 else "failed"
    return Row(
        title,
        state,
        min(max(points, 0.0), max_points),
        max_points,
        f"{sentence} (Checked {checked}.)",
    )


def _training(policy, folder):
    """(a sentence on a policy's training, what is missing of it: "" for nothing)."""
    try:
        checkpoint = load_checkpoint(Path(folder) / (policy.name + SUFFIX), policy.normalisation)
    except CheckpointError as error:
        return f"{policy.title}: {error}", policy.name
    losses = epoch_losses(checkpoint)
    known = demos.name_of(checkpoint.demonstrations)
    compared = compare_losses(
        policy.name, losses, SimpleNamespace(fingerprint=checkpoint.demonstrations)
    )
    sentence = (
        f"{policy.title}: {trained(checkpoint)} on {f'the {known}' if known else 'unknown'}"
        f" demonstrations. {compared}"
    )
    return sentence, (
        f"{policy.name} ({trained(checkpoint)})" if len(losses) < checkpoint.num_epochs else ""
    )


def trained(checkpoint):
    """How far a hand-in file was trained, in a few words."""
    if not checkpoint.num_epochs:
        return f"{len(checkpoint.losses)} losses logged"
    return f"{len(epoch_losses(checkpoint))} of {checkpoint.num_epochs} epochs"


def own_part():
    """The name of the part whose notebook runs this, by the markers of the cells that ran in it;
    None elsewhere.
    """
    cells = get_ipython().history_manager.input_hist_raw if in_notebook() else []
    found = next(
        filter(None, (re.match(r"\s*# \[(part\d)/", cell) for cell in reversed(cells))), None
    )
    return next((name for name in rubric.PARTS if found and name.startswith(found[1])), None)


def keep_verdict(key, verdict, folder="."):
    """Keep what a check said of a question or a policy, for `show_standing`: in standing.json, in
    place of what it said before.
    """
    path = Path(folder) / KEPT
    try:
        with FileLock(
            path.with_name(f".{KEPT}.lock"), timeout=10
        ):  # two notebooks may be at work in one folder
            kept = _read(path) | {
                key: {
                    "points": verdict.points,
                    "sentence": verdict.sentence[:1000],
                    "time": time.time(),
                }
            }
            part = Path(f"{path}.part")
            part.write_text(json.dumps(kept, indent=1), encoding="utf-8")
            os.replace(part, path)
    except (OSError, NotImplementedError):
        # a folder that cannot be written to: the check has been shown, and that it is not kept is
        # seen in the table
        pass


def _read(path):
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        return kept if isinstance(kept, dict) else {}
    except (OSError, ValueError, RecursionError):
        return {}  # not there yet, or damaged: what is checked from now on is kept


def _verdicts(folder):
    """{question or policy: (points, sentence, when)} of those kept that can be read."""
    found = {}
    for key, kept in _read(Path(folder) / KEPT).items():
        try:
            when = time.strftime("%Y-%m-%d %H:%M", time.localtime(float(kept["time"])))
            found[key] = float(kept["points"]), str(kept["sentence"]), when
        except (KeyError, TypeError, ValueError, OverflowError, OSError):
            continue
    return found


def keep_score(score, infer, nobs, folder):
    """Write policy_score.json: what `compare_policies`, `compare_episodes` and `film_policies` show
    of a practice `Score`.

    infer, nobs (1, obs_horizon, 5): asked a few times, to tell how long the policy thinks about one
    chunk.
    """
    episodes = score.episodes.first(_FILMED)
    content = {
        "mean": score.mean,
        "interval": list(score.interval),
        "success": float(score.episodes.successes.mean()),
        "ms": 1000 * statistics.median(_seconds(infer, nobs) for _ in range(3)),
        "seeds": [int(seed) for seed in episodes.seeds],
        "states": [np.round(states, 5).tolist() for states in episodes.states],
        "actions": [np.round(actions, 1).tolist() for actions in episodes.actions],
        "rewards": [np.round(rewards, 5).tolist() for rewards in episodes.rewards],
    }
    path = Path(folder) / f"{score.policy}_score.json"
    part = Path(f"{path}.part")
    part.write_text(json.dumps(content), encoding="utf-8")
    os.replace(part, path)


def _seconds(infer, nobs):
    with reproducible(0):  # on one thread, and leaving the generators as they were
        started = time.perf_counter()
        infer(nobs, 1)
        return time.perf_counter() - started


def compare_policies(folder="."):
    """Print the practice scores kept in `folder` and return their picture, an
    `IPython.display.Image`; None without any.
    """
    from pusht import figures

    kept = kept_scores(folder)
    if not kept:
        print("No policy has been scored here yet: run the last check of a part first.")
        return None
    for name, score in kept.items():
        low, high = score["interval"]
        print(
            f"{rubric.POLICIES[name].label:<22} {score['mean']:.3f} (95 % interval {low:.2f} to"
            f" {high:.2f}), solved {score['success']:.0%}, {score['ms']:.1f} ms a chunk"
        )
    return figures.compare(
        [{"name": rubric.POLICIES[name].label, **score} for name, score in kept.items()]
    )


def compare_episodes(folder="."):
    """What the kept policies did from the same starts, {label: `Episodes`}, for
    `pusht.figures.player`.
    """
    kept = kept_scores(folder)
    if not kept:
        raise ValueError("No policy has been scored here yet: run the last check of a part first.")
    count = min(len(score["states"]) for score in kept.values())
    return {
        rubric.POLICIES[name].label: (
            Episodes(
                score["seeds"],
                *(
                    [np.array(each) for each in score[what]]
                    for what in ("states", "actions", "rewards")
                ),
            ).first(count)
        )
        for name, score in kept.items()
    }


def film_policies(path, folder="."):
    """Write a film of the kept policies, a row each, the same starts in the columns; return its
    path.
    """
    kept = kept_scores(folder)
    if not kept:
        raise ValueError("No policy has been scored here yet: run the last check of a part first.")
    films = [
        render.render_many(states[1:], actions=actions, size=128)
        for score in kept.values()
        for states, actions in zip(score["states"], score["actions"])
    ]
    return video.write_video(path, render.grid(films, columns=_FILMED))


def kept_scores(folder):
    """{policy: what `keep_score` kept of it} of those that have been scored in this folder."""
    paths = {name: Path(folder) / f"{name}_score.json" for name in rubric.POLICIES}
    return {
        name: json.loads(path.read_text(encoding="utf-8"))
        for name, path in paths.items()
        if path.exists()
    }
