"""A fifth part, made by following docs/instructors.md to the letter in a copy of the kit: built,
handed in, collected, graded.
"""

import contextlib
import json
import os
import re
import runpy
import shutil
import subprocess
import sys
import textwrap
import zipfile

import numpy as np
import pytest
import torch

from score import rubric
from score.course.nbgrader.release import create
from score.course.notebooks import build
from score.course.notebooks.build import ROOT
from score.verdict import AnswerError

PAGE = (ROOT / "docs" / "instructors.md").read_text(encoding="utf-8")
GUIDE = PAGE.partition("\n## Writing a fifth part\n")[2].partition("\n## ")[0]
FENCED = re.compile(r"^ *```(\w*)\n(.*?)^ *```$", re.DOTALL | re.MULTILINE)
COPIED = (
    "pusht",
    "score",
    "losses",
    "data",
    "notebooks",
    "tests",
    "docs",
    "README.md",
    "Makefile",
    "pyproject.toml",
    "requirements.lock",
    "requirements.txt",
    "LICENSE",
)

# Two hand-ins with the weights that the solution writes: the notebook answered, and answered wrong.
HAND_INS = """
import shutil
from pathlib import Path
from score import rubric
from score.course.notebooks.build import answered_notebook, write
from score.course.notebooks.solutions import run_solution

part = rubric.PARTS["part5_nearest"]
run_solution(part, "weights")
wrong = answered_notebook(part)
answer = next(cell for cell in wrong.cells if cell.id == "part5-nearest_inference")
answer.source = answer.source.replace("argmin", "argmax")
for student, notebook in (("right", answered_notebook(part)), ("wrong", wrong)):
    write(notebook, Path("export", student, "part5_nearest.ipynb"))
    shutil.copy("weights/part5_nearest.safetensors", Path("export", student))
"""


def follow(guide, kit):
    """Do what the guide says in a kit's folder: write its files, make its changes; return its
    commands.

    A block belongs to the file that was named last. Of a change, the lines without + are what the
    file has, once.
    """
    commands, path, end = [], None, 0
    for block in FENCED.finditer(guide):
        named = re.findall(r"`([\w/]+\.py)`", guide[end : block.start()])
        path, end, text = kit / named[0] if named else path, block.end(), textwrap.dedent(block[2])
        if block[1] == "python":
            assert not path.exists(), f"{path} is there already"
            path.write_text(text, encoding="utf-8")
        elif block[1] == "diff":
            content = path.read_text(encoding="utf-8")
            before, after = (
                "\n".join(line[1:] for line in text.splitlines() if line[0] != sign)
                for sign in "+-"
            )
            assert content.count(before) == 1, f"{path.name} has not once:\n{before}"
            path.write_text(content.replace(before, after), encoding="utf-8")
        else:
            commands += text.splitlines()
    return commands


def in_kit(kit, *command):
    """Run Python in a kit's folder with that kit; return what it printed."""
    environment = os.environ | {"PYTHONPATH": str(kit)}
    done = subprocess.run(
        [sys.executable, *command], cwd=kit, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def kit(tmp_path_factory):
    """A copy of the kit in which the guide was followed."""
    kit = tmp_path_factory.mktemp("kit")
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(
                ROOT / name,
                kit / name,
                ignore=shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints"),
            )
        else:
            shutil.copy(ROOT / name, kit)
    assert (
        "make notebooks" in follow(GUIDE, kit)
        and "-m score.course.notebooks.build\n" in (ROOT / "Makefile").read_text()
    )
    return kit


def nearest(distance, pick=torch.argmin):
    """An inference that takes the chunks of the moments which `pick` chooses by `distance` (of (B,
    1, 10) to (N, 10)).
    """

    def inference(model, batch_size, nobs, pred_horizon, action_dim):
        return model.naction[pick(distance(nobs.view(batch_size, 1, 10) - model.obs), dim=1)]

    return inference


@pytest.mark.parametrize(
    "answer, hint",
    [
        (nearest(lambda d: d.square().sum(2)), None),
        (nearest(lambda d: d.norm(dim=2)), None),
        (nearest(lambda d: d.square().sum(2), torch.argmax), "argmin, not argmax"),
        (nearest(lambda d: d[..., 5:].square().sum(2)), "compare both"),
        (nearest(lambda d: d.abs().sum(2)), "square them"),
        (nearest(lambda d: d[..., 1:].square().sum(2)), "every row of model.obs"),
        (lambda nobs, **_: torch.zeros(1, 16, 2), "a chunk for each row"),
        (lambda **_: None, "where a tensor is needed"),
    ],
)
def test_the_guides_question_tells_right_from_wrong(kit, answer, hint):
    [question] = runpy.run_path(str(kit / "score" / "questions" / "nearest.py"))["QUESTIONS"]
    rng = np.random.default_rng(0)
    with pytest.raises(AnswerError, match=hint) if hint else contextlib.nullcontext():
        for trial in range(3):
            inputs = question.inputs(rng, trial)
            question.judge(inputs, question.call(answer, inputs))


def test_the_guides_notebook_fits_the_guides_rubric(kit, monkeypatch):
    monkeypatch.setattr(build, "SOURCES", kit / "notebooks" / "source")
    part = runpy.run_path(str(kit / "score" / "rubric.py"))["PARTS"]["part5_nearest"]
    text = "\n".join(cell.source for cell in build.student_notebook(part).cells)
    assert "TODO Q5.1" in text and "argmin" not in text
    assert (
        part.points == 10
        and "# [part5/q5_1] test, 5 points" in text
        and "# [part5/rollouts] test, 5 points" in text
    )


@pytest.mark.long
def test_a_right_and_a_wrong_fifth_part_are_collected_and_graded(kit):
    in_kit(kit, "-c", HAND_INS)
    assert "part5_nearest: complete" in in_kit(
        kit, "-m", "score", "submission", "pack", "export/right", "--part", "part5_nearest"
    )
    course = create(
        kit / "mycourse", first_seed=20_000, episodes=20
    )  # by the kit as it was; somebody is graded
    build.write(
        build.student_notebook(rubric.PARTS["part1_mlp"]),
        course.folder / "submitted/early/pusht/part1_mlp.ipynb",
    )
    in_kit(ROOT, "-m", "score", "course", "grade", str(course.folder))
    in_kit(kit, "-m", "score", "course", "release", "mycourse")
    assert "part5_nearest" in in_kit(kit, "-m", "score", "course", "collect", "mycourse", "export")
    table = in_kit(kit, "-m", "score", "course", "grade", "mycourse", "--jobs", "1")
    assert "Q5.1" in table and "early, Part V: part5_nearest.ipynb was not handed in." in table
    cells = {
        student: json.loads(
            (kit / "mycourse" / "results" / student / "part5_nearest.json").read_text()
        )["cells"]
        for student in ("right", "wrong")
    }
    earned = {
        student: {name: cell["points"] for name, cell in found.items()}
        for student, found in cells.items()
    }
    assert earned["right"]["part5-q5_1"] == 5 and earned["right"]["part5-rollouts"] > 3
    assert (
        earned["wrong"]["part5-q5_1"] == 0
        and "argmin, not argmax" in cells["wrong"]["part5-q5_1"]["sentence"]
    )
    assert earned["wrong"]["part5-rollouts"] < 2
    page = (kit / "mycourse" / "feedback" / "right" / "pusht" / "feedback.html").read_text(
        encoding="utf-8"
    )
    assert "nearest neighbour" in page and str(kit) not in page
    in_kit(kit, "-m", "score", "gradescope", "build", "mycourse")
    with zipfile.ZipFile(kit / "mycourse" / "gradescope.zip") as archive:
        assert b" part5_nearest " in archive.read("run_autograder")
        assert "course/release/pusht/part5_nearest.ipynb" in archive.namelist()


@pytest.mark.long
def test_the_kits_own_tests_of_parts_hold_for_a_fifth(kit):
    in_kit(kit, "-m", "score.course.notebooks.build")
    in_kit(
        kit,
        "-m",
        "pytest",
        "-q",
        "-x",
        "-m",
        "",
        "-p",
        "no:cacheprovider",
        "tests/test_rubric.py",
        "tests/test_build.py",
        "tests/test_notebooks.py::test_the_solutions_run_from_top_to_bottom[part5_nearest]",
    )


@pytest.mark.long
def test_a_reference_of_a_part_that_has_no_loss_is_its_weights(kit):
    written = in_kit(kit, "-m", "score.course.tools.reference", "part5_nearest").splitlines()
    assert [line for line in written if line.startswith("wrote")] == [
        "wrote data/reference/shipped/part5_nearest.safetensors"
    ]
    assert "nearest neighbour: 0." in in_kit(
        kit, "-m", "score.course.tools.reference", "part5_nearest", "--score", "5"
    )
