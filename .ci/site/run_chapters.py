"""Runs the four notebooks for the site: `python .ci/site/run_chapters.py` writes build/chapters/.

Each is run with its solutions and the reference weights, so that nothing is trained, from its first
cell to the cell that makes the zip to hand in. Written are the students' cells with the outputs.
What has not changed since the last time is not run again.
"""

import hashlib
import os
import re
import shutil
import sys
import tempfile
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode

from pusht.resources import ROOT
from score import rubric
from score.cells import read_marker
from score.course.notebooks import build
from score.course.notebooks.solutions import reference_path
from score.rubric import Part

FOLDER = ROOT / "build" / "chapters"
# The pictures and scores of a chapter depend on these files.
_MADE_FROM = (
    "pusht/**/*.py",
    "score/*.py",
    "score/questions/*.py",
    "score/rollouts/*.py",
    "score/student/*.py",
    "notebooks/source/*",
    "data/reference/shipped/*.safetensors",
    "data/demonstrations.zarr.zip",
    ".ci/site/run_chapters.py",
    ".ci/site/views.py",
)
# What a chapter shows of the practice and test cells that roll out: enough to see, and quick.
EPISODES = 10
_SECONDS = 1800
# What the last check of a policy leaves in the folder: Part IV compares the policies of all parts.
_SCORES = "*_score.json"
# A cell of these names is not run: the zip, and the plot that is a question for a person.
_NOT_RUN = ("-experiment", "hand_in", "curves")
_FIRST = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
import views
views.keep()
import warnings
warnings.filterwarnings("ignore")
"""
# The loss as it stood at the end of the training, where a notebook draws it while it trains.
_LOSS = """
from pusht.loss_view import LossView
LossView(run.name, run.reference).draw(lambda: run.losses, final=True)
"""
# Part IV trains by the student's own loop: load the reference weights in its place.
_IN_PLACE = (
    (
        re.compile(r"^train\((\w+)_policy, .*\n(.*hand_in.*)", re.MULTILINE),
        r"""from pusht.checkpoint import load_checkpoint
from score.rubric import POLICIES
\1_kept = load_checkpoint("part4_\1.safetensors", POLICIES["part4_\1"].normalisation)
\1_kept.restore(\1_policy)
from pusht.loss_view import LossView
from score.rollouts.loss_curves import epoch_losses
\1_losses = epoch_losses(\1_kept)  # the checkpoint has one every few steps
view = LossView("part4_\1", score.reference_loss("part4_\1", demonstrations))
view.draw(lambda: \1_losses, final=True)""",
    ),
    (
        re.compile(r"(\w+)_logger\.epoch_losses\(len\(loader\)\)"),
        r"\1_losses",
    ),
)


def digest(part: Part) -> str:
    """Return the digest of all that the outputs of a part's chapter depend on."""
    found = hashlib.sha256(part.name.encode())
    for pattern in _MADE_FROM:
        files = sorted(ROOT.glob(pattern))
        assert files, f"{pattern} matches nothing"
        for file in (file for file in files if file.is_file()):
            found.update(file.read_bytes())
    return found.hexdigest()


def path(part: Part) -> Path:
    """Return the path of a part's notebook with outputs."""
    return FOLDER / f"{part.name}.ipynb"


def is_current(part: Part) -> bool:
    """Return whether a part's notebook with outputs is there, and of what the kit has now."""
    if not path(part).exists():
        return False
    return nbformat.read(path(part), 4).metadata.get("made_from") == digest(part)


def chapter(part: Part) -> NotebookNode:
    """Return the students' notebook of a part with the outputs of its solutions."""
    shown, run = build.student_notebook(part), build.answered_notebook(part)
    ids = [cell.id for cell in run.cells]
    end = ids.index(f"part{part.number}-hand_in")
    run.cells = [_as_run(cell) for cell in run.cells[:end] if _is_run(cell)]
    run.cells.insert(0, nbformat.v4.new_code_cell(_FIRST))
    with tempfile.TemporaryDirectory() as folder:
        for policy in rubric.POLICIES.values():
            shutil.copy(reference_path(policy, "shipped"), folder)
        _copy(_SCORES, FOLDER, folder)
        resources = {"metadata": {"path": folder}}
        # A kernel would warn that it speaks to this machine without encryption.
        quiet = ["--IPKernelApp.log_level=40"]
        NotebookClient(run, timeout=_SECONDS, resources=resources, extra_arguments=quiet).execute()
        _copy(_SCORES, folder, FOLDER)
    outputs = {cell.id: cell.outputs for cell in run.cells}
    for cell in shown.cells:
        if cell.cell_type == "code":
            cell.outputs = outputs.get(cell.id, [])
    shown.metadata |= {"made_from": digest(part), "episodes": EPISODES}
    return shown


def _copy(pattern: str, source: str | Path, target: str | Path) -> None:
    """Copy the files that match from one folder to another, which is made."""
    Path(target).mkdir(parents=True, exist_ok=True)
    for file in Path(source).glob(pattern):
        shutil.copy(file, target)


def _is_run(cell: NotebookNode) -> bool:
    return cell.cell_type == "code" and not cell.id.endswith(_NOT_RUN)


def _as_run(cell: NotebookNode) -> NotebookNode:
    for pattern, instead in _IN_PLACE:
        cell.source = pattern.sub(instead, cell.source)
    marker = read_marker(cell.source)
    if marker and marker.id.endswith("/train") and marker.kind == "practice":
        cell.source += _LOSS
    return cell


def main() -> None:
    """Run the chapters that are out of date."""
    os.environ |= {"PUSHT_MAX_EPISODES": f"{EPISODES}", "OMP_NUM_THREADS": "1"}
    os.environ.pop("NBGRADER_EXECUTION", None)
    for part in build.parts_with_source():
        if is_current(part):
            continue
        print(f"running {part.name} with the reference weights …", flush=True)
        start = time.monotonic()
        build.write(chapter(part), path(part))
        print(f"{part.name}: {time.monotonic() - start:.0f} s", flush=True)


if __name__ == "__main__":
    sys.exit(main())
