"""Each notebook with its solutions filled in, run in a real kernel, and its set-up cell in a place
where the kit is not.
"""

import subprocess
import sys

import pytest
from nbclient import NotebookClient
from sampled import sampled

from score.course.notebooks import build
from score.course.notebooks.bundle import bundle_bytes
from score.verdict import MIME

PARTS = build.parts_with_source()
each_part = pytest.mark.parametrize("part", PARTS, ids=lambda part: part.name)
part_one_at_least = pytest.mark.parametrize("part", sampled(PARTS, ["part1_mlp"]))


@part_one_at_least
def test_the_solutions_run_from_top_to_bottom(part, tmp_path, monkeypatch):
    monkeypatch.setenv("PUSHT_MAX_EPOCHS", "1")
    monkeypatch.setenv("PUSHT_MAX_EPISODES", "2")
    # Two threads that wait for each other on a busy machine take many times as long.
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    notebook = build.answered_notebook(part)
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = [
        output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs
    ]
    assert not [o for o in outputs if o.output_type == "stream" and o.name == "stderr"]
    verdicts = [o.data[MIME] for o in outputs if o.output_type == "display_data" and MIME in o.data]
    earned = {v["name"]: v["points"] for v in verdicts}
    assert {q.name: q.points for q in part.questions}.items() <= earned.items()
    assert len(earned) == len(part.questions) + len(part.policies)
    assert all((tmp_path / f"{policy.name}.safetensors").exists() for policy in part.policies)


# As in a fresh runtime: an empty folder, and no kit among what is installed.
_FRESH = """
import sys
sys.meta_path[:] = [
    finder for finder in sys.meta_path if "editable" not in getattr(finder, "__module__", "")
]
sys.path[:] = [folder for folder in sys.path if folder not in ("", {root!r})]
"""


def setup_cell(part, address):
    cell = next(
        cell for cell in build.student_notebook(part, address).cells if cell.id.endswith("-setup")
    )
    return _FRESH.format(root=str(build.ROOT)) + cell.source


@part_one_at_least
def test_the_set_up_cell_fetches_the_kit_where_it_is_missing_and_can_run_twice(part, tmp_path):
    build.write(build.student_notebook(part), tmp_path / "notebooks" / f"{part.name}.ipynb")
    bundle = tmp_path / "pusht-kit.zip"
    bundle.write_bytes(bundle_bytes(tmp_path / "notebooks"))
    runtime = tmp_path / "content"
    runtime.mkdir()
    code = setup_cell(part, bundle.as_uri())
    (runtime / "twice.py").write_text(
        f"{code}\n{code}\nimport pusht.demos, score, torch\nprint(pusht.__file__)\n"
        "assert score.reference_loss('part1_mlp', pusht.demos.open()) is not None\n"
    )
    done = subprocess.run(
        [sys.executable, "-P", "twice.py"], cwd=runtime, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip() == str(runtime / "pusht" / "__init__.py")
    assert (runtime / "notebooks" / f"{part.name}.ipynb").exists()


@each_part
def test_the_set_up_cell_finds_the_unpacked_kit_around_the_notebook(part, tmp_path):
    code = setup_cell(part, "") + "\nimport pusht\nprint(pusht.__file__)\n"
    done = subprocess.run(
        [sys.executable, "-P", "-c", code],
        cwd=build.ROOT / "notebooks",
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip() == str(build.ROOT / "pusht" / "__init__.py")


# An installed kit whose folder is closed: what a finder, or an import, then raises.
_CLOSED_TO_FINDERS = """
class Closed:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "pusht":
            raise PermissionError(13, "Permission denied", "/srv/kit/pusht")
sys.meta_path.insert(0, Closed())
"""
_CLOSED_TO_IMPORTS = """
import os
def listdir(path):
    raise PermissionError(13, "Permission denied", "/srv/kit/data")
os.listdir = listdir
sys.path.insert(0, {root!r})
"""


@pytest.mark.parametrize(
    "before, folder",
    [(_CLOSED_TO_FINDERS, "/srv/kit/pusht"), (_CLOSED_TO_IMPORTS, "/srv/kit/data")],
    ids=["found", "imported"],
)
def test_the_set_up_cell_says_in_one_sentence_that_a_kit_is_closed(before, folder, tmp_path):
    part = build.parts_with_source()[0]
    cell = setup_cell(part, "").removeprefix(_FRESH.format(root=str(build.ROOT)))
    code = _FRESH.format(root=str(build.ROOT)) + before.format(root=str(build.ROOT)) + cell
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], cwd=tmp_path, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (
        1,
        f"The kit is in {folder}, which you may not read: ask your instructor.\n",
    )


def test_a_folder_of_the_assignments_name_is_not_taken_for_the_kit(tmp_path):
    """nbgrader fetches the assignment `pusht` into the home folder, from where Python would find
    its folder as a package without a file.
    """
    (tmp_path / "pusht").mkdir()
    part = build.parts_with_source()[0]
    code = setup_cell(part, "").replace("import importlib.metadata", "sys.path.insert(0, '')\n", 1)
    done = subprocess.run(
        [sys.executable, "-P", "-c", f"{code}\nimport importlib.metadata"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert "The kit was not found" in done.stderr and "Traceback" not in done.stderr


@each_part
def test_the_set_up_cell_says_in_one_sentence_that_it_knows_no_kit(part, tmp_path):
    done = subprocess.run(
        [sys.executable, "-P", "-c", setup_cell(part, "")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert (
        done.returncode == 1
        and done.stderr.strip().endswith("ask your instructor.")
        and "Traceback" not in done.stderr
    )
