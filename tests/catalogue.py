"""What students do around right answers: a table of it, and both runs of each notebook.

    python tests/catalogue.py [NAME…]      runs them as in practice and in a rehearsal
    python tests/catalogue.py --graded …   and in the grader's own sandbox too

Each `Habit` changes the answered notebook of a part. In practice all cells of the course run from
top to bottom, but for those that only show something; the weights are the kit's reference, or come
from a training of one epoch.
"""

import json
import os
import sys
import tempfile
import types
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import nbformat
import numpy as np
import torch
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

import score
from pusht.checkpoint import Checkpoint
from pusht.normalisation import Normalizer
from pusht.run_mode import RunMode, set_run_mode
from score import rubric
from score.cells import read_marker
from score.course.grading.execution import execute
from score.course.grading.sanitise.submitted import sanitise
from score.course.notebooks import build
from score.course.notebooks.solutions import reference_path
from score.course.settings import Limits, RunSettings

_RUN = ("dataset", "train", "mse_loss")  # beginnings of the practice cells that are run


@dataclass(frozen=True)
class Habit:
    """Something that a student does around a right answer.

    own: code of a cell of the student's own, by the id of the course's cell that it stands before.
    changed: by a cell's id, what is replaced in it and by what. whole: by a cell's id, all its code
    below the marker. told: what the rehearsal says where it cannot be graded as in practice, ""
    where it is. trains: whether practice trains, for one epoch. waits: whether the own cells are
    not run in practice, because there a person waits. network: the source of a class whose
    untrained weights are handed in as Part IV's MSE policy.
    """

    name: str
    own: dict[str, str] | None = None
    changed: dict[str, tuple[str, str]] | None = None
    part: str = "part1_mlp"
    told: str = ""
    trains: bool = False
    waits: bool = False
    network: str = ""
    whole: dict[str, str] | None = None

    def notebook(self) -> nbformat.NotebookNode:
        """The notebook as the student hands it in."""
        notebook = build.answered_notebook(rubric.PARTS[self.part])
        ids = [cell.id for cell in notebook.cells]
        for name, (old, new) in (self.changed or {}).items():
            cell = notebook.cells[ids.index(f"{self.part[:5]}-{name}")]
            assert old in cell.source, (self.name, old)
            cell.source = cell.source.replace(old, new)
        for name, source in (self.whole or {}).items():
            cell = notebook.cells[ids.index(f"{self.part[:5]}-{name}")]
            cell.source = f"{cell.source.partition(chr(10))[0]}\n{source}"
        for name, code in (self.own or {}).items():
            found = f"{self.part[:5]}-{name}"
            at = next(i for i, cell in enumerate(notebook.cells) if cell.id == found)
            notebook.cells.insert(at, nbformat.v4.new_code_cell(code))
        return notebook


def weights(habit: Habit, folder: Path) -> None:
    """Put the trained weights into a folder."""
    for policy in rubric.PARTS[habit.part].policies:
        path = reference_path(policy, "shipped")
        (folder / path.name).write_bytes(path.read_bytes())
    if habit.network:
        names: dict = {}
        exec("import torch\nfrom torch import nn\nfrom pusht import BasePolicy", names)
        exec(habit.network, names)
        policy = names["MSEPolicy"](5, 2, 8)
        policy.sample_actions(torch.rand(8, 5))
        points = np.random.default_rng(0).uniform(0, 512, (50, 7))
        stats = Normalizer.from_data(points[:, :5], points[:, 5:]).stats
        made = Checkpoint(dict(policy.state_dict()), stats, [1.0], 0, "", 1, {})
        made.save(folder / "part4_mse.safetensors")


def practice(habit: Habit, folder: Path) -> dict[str, tuple[float, str]]:
    """(points, sentence) of each check in practice."""
    weights(habit, folder)
    os.chdir(folder)
    set_run_mode(RunMode(train=habit.trains, show=False))
    os.environ |= {"PUSHT_MAX_EPISODES": "2", "PUSHT_MAX_EPOCHS": "1", "MPLBACKEND": "Agg"}
    _elsewhere()
    config = Config()
    config.HistoryManager.enabled = False
    shell = InteractiveShell.instance(config=config)
    compiled = torch.compile
    torch.compile = lambda what=None, **_: compiled(what, backend="eager")
    for cell in habit.notebook().cells:
        marker = read_marker(cell.source) if cell.cell_type == "code" else None
        own = cell.cell_type == "code" and marker is None
        shown = marker and marker.kind == "practice" and not _is_run(marker.id)
        whole = marker and not shown and marker.kind != "extension"
        if marker and "Q4.5" in marker.questions:  # it reads logs, which only a training writes
            continue
        if whole or (own and not habit.waits):
            result = shell.run_cell(cell.source, store_history=True)
            if not result.success and not own:
                raise AssertionError(
                    f"{marker.id}: {result.error_in_exec or result.error_before_exec!r}"
                )
    said: dict = {}
    for kept in folder.rglob("standing.json"):  # the notebook may have changed the folder
        said |= json.loads(kept.read_text())
    return {name: (one["points"], one["sentence"]) for name, one in said.items()}


def _is_run(cell_id: str) -> bool:
    return cell_id.split("/")[1].startswith(_RUN)


def _elsewhere() -> None:
    """Let what the student's machine has and the grader's has not be imported."""
    einops = types.ModuleType("einops")
    einops.reduce = None
    einops.rearrange = lambda x, _: x.flatten(1)  # the one pattern that the table uses
    drive = types.ModuleType("drive")
    drive.mount = lambda path: None
    google, colab = types.ModuleType("google"), types.ModuleType("google.colab")
    google.colab, colab.drive = colab, drive
    sys.modules |= {"einops": einops, "google": google, "google.colab": colab}
    sys.modules["google.colab.drive"] = drive
    Path("helpers_of_mine.py").write_text("def flat(x): return x.flatten(1)\n")
    Path("scale.json").write_text("{}")
    sys.path.insert(0, ".")


def rehearsed(habit: Habit, folder: Path) -> dict[str, tuple[float, str]]:
    """The same when it is run as for the grade, from the folder that practice has left."""
    from score.rerun import worker

    with tempfile.TemporaryDirectory() as work:
        _handed_in(habit, folder, Path(work))
        os.chdir(work)
        set_run_mode(RunMode(train=False, show=False))
        os.environ["NBGRADER_EXECUTION"] = "rehearsal"
        result = Path(work, "result.json")
        worker.run(Path(f"{habit.part}.ipynb"), habit.part, result)
        said = json.loads(result.read_text())
    return {name: (one["points"], one["sentence"]) for name, one in said.items()}


def _handed_in(habit: Habit, folder: Path, work: Path) -> None:
    nbformat.write(habit.notebook(), work / f"{habit.part}.ipynb")
    for policy in rubric.PARTS[habit.part].policies:
        for found in folder.rglob(f"{policy.name}.safetensors"):
            (work / found.name).write_bytes(found.read_bytes())


def graded(habit: Habit, folder: Path) -> dict[str, tuple[float, str]]:
    """The same in the grader's sandbox; two episodes do not say how many points rollouts earn."""
    part = rubric.PARTS[habit.part]
    with tempfile.TemporaryDirectory() as work:
        _handed_in(habit, folder, Path(work))
        notebook = habit.notebook()
        sanitise(notebook, build.student_notebook(part))
        limits = Limits(cell_seconds=30, notebook_seconds=150)
        settings = RunSettings(20_000, 2, filmed=0, limits=limits)
        cells = execute(notebook, part, Path(work), settings).cells
    verdicts = {
        entry.name: cells[part.cell_id(entry)]
        for entry in part.graded()
        if part.cell_id(entry) in cells
    }
    return {name: (_points(name, one), one.sentence) for name, one in verdicts.items()}


def _points(name: str, verdict: score.Verdict) -> float:
    return verdict.max_points if verdict.sentence.startswith("Score") else verdict.points


def apart(run: Callable, *arguments: object) -> dict:
    """What a function returns in a process of its own, which begins as this one is now."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        with open(os.devnull, "w") as nothing, open(writing, "w") as out:
            os.dup2(nothing.fileno(), 1)
            os.dup2(nothing.fileno(), 2)
            try:
                json.dump(run(*arguments), out)
            except BaseException as error:
                json.dump({"error": (0, f"{type(error).__name__}: {error}")}, out)
            finally:
                out.flush()
                os._exit(0)
    os.close(writing)
    with open(reading) as said:
        text = said.read()
    os.waitpid(child, 0)
    return json.loads(text) if text else {"error": (0, "the process ended")}


def wrong(said: dict[str, tuple[float, str]], part: str) -> dict[str, str]:
    """The sentences of the checks that are not right, by name."""
    entries = [*rubric.PARTS[part].questions, *rubric.PARTS[part].policies]
    found = {}
    for entry in entries:
        points, sentence = said.get(entry.name, said.get("error", (0.0, "Not checked.")))
        acts = isinstance(entry, rubric.Policy) and sentence.startswith(("Score", "It acts"))
        if not acts and points != entry.points:
            found[entry.name] = sentence
    return found


def run(habit: Habit, ways: tuple[Callable, ...]) -> list[dict[str, str]]:
    """What is wrong in practice and in each of the ways."""
    with tempfile.TemporaryDirectory(prefix="pusht-") as folder:
        said = [apart(practice, habit, Path(folder))]
        said += [apart(way, habit, Path(folder)) for way in ways]
    return [wrong(one, habit.part) for one in said]


def main(arguments: list[str]) -> None:
    """Print the table."""
    from habits import HABITS

    ways = (rehearsed, graded) if "--graded" in arguments else (rehearsed,)
    if "--only" in arguments:
        ways = (graded,)
    names = [name for name in arguments if not name.startswith("--")]
    torch.set_num_threads(1)
    for habit in HABITS:
        if not names or habit.name in names:
            print(json.dumps([habit.name, *run(habit, ways)]), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
