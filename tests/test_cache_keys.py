"""What a kept result depends on: code, answers, settings and rules; not prose, and not points."""

import subprocess
import sys
import textwrap
from dataclasses import replace

import nbformat
import pytest

from pusht.resources import PACKAGES
from score import rubric
from score.course.grading import cache_keys
from score.course.grading.cache_keys import GRADING_CODE, ROLLOUT_CODE, files_of, syntax
from score.course.notebooks import build
from score.course.settings import Limits, RunSettings

PART = rubric.PARTS["part1_mlp"]
POLICY = rubric.POLICIES["part1_mlp"]
SETTINGS = RunSettings(20_000, 5)
CODE = '''
"""A module."""
import math

def half(x):  # of a number
    """Return half of it."""
    return x / 2
'''


def as_bytes(notebook):
    return nbformat.writes(notebook).encode()


@pytest.fixture(scope="module")
def notebook():
    return build.student_notebook(PART)


def task_key(notebook, settings=SETTINGS, submission=None):
    submission = submission or {"part1_mlp.ipynb": b"{}"}
    return cache_keys.task_key(PART.name, as_bytes(notebook), settings, submission)


def rollout_key(notebook, settings=SETTINGS):
    return cache_keys.rollout_key(POLICY, settings, {"part1_mlp.ipynb": as_bytes(notebook)})


def changed(notebook, where, change):
    """A copy of the notebook with the source of one cell changed."""
    copy = nbformat.from_dict(notebook)
    cell = next(cell for cell in copy.cells if cell.id == where)
    cell.source = change(cell.source)
    return copy


@pytest.mark.parametrize(
    "old, new, same",
    [
        ("A module.", "Another docstring.", True),
        ('    """Return half of it."""\n', "", True),
        ("# of a number", "# of anything", True),
        ("x / 2", "(x /\n  2)", True),
        ("x / 2", "x / 3", False),
        ("half", "halve", False),
        ("import math", "", False),
    ],
)
def test_of_code_the_syntax_counts_without_docstrings(old, new, same):
    assert old in CODE
    assert (syntax(CODE) == syntax(CODE.replace(old, new))) == same


def test_what_is_no_python_counts_as_it_is():
    assert syntax("%pip install x") == "%pip install x"


def test_each_pattern_names_files_and_one_that_names_none_is_an_error():
    for pattern in (*GRADING_CODE, *ROLLOUT_CODE):
        assert files_of([pattern])
    with pytest.raises(ValueError, match="score/gone/.* names no file of the kit"):
        files_of(["score/verdict.py", "score/gone/*.py"])


def test_what_grading_a_notebook_loads_is_in_the_key_and_nbgrader_is_not_loaded():
    # Those that hold values which are in the key by themselves, and what only packs submissions.
    apart = {
        "score/entries.py",
        "score/rubric.py",
        "score/student/__init__.py",
        "score/student/help.py",  # prose
        "score/course/__init__.py",
        *files_of(("score/course/settings/*.py",)),
        "score/course/collect/__init__.py",
        "score/course/grading/__init__.py",
        "score/course/grading/cache_keys.py",
        "score/course/grading/results.py",
        "score/course/notebooks/__init__.py",
    }
    program = textwrap.dedent("""
        import sys
        from pathlib import Path
        import score.course.grading.notebook
        for name, module in sorted(sys.modules.items()):
            if name.split(".")[0] in ("score", "pusht", "nbgrader"):
                print(module.__file__)
    """)
    loaded = subprocess.run(
        [sys.executable, "-c", program],
        cwd=PACKAGES,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    assert not [path for path in loaded if "nbgrader" in path.removeprefix(str(PACKAGES))]
    others = {path.removeprefix(f"{PACKAGES}/") for path in loaded}
    others -= files_of(GRADING_CODE).keys()
    assert {path for path in others if not path.startswith("score/submission/")} == apart


def test_prose_points_and_metadata_of_the_release_grade_nobody_again(notebook):
    other = nbformat.from_dict(notebook)
    for cell in other.cells:
        cell.metadata = nbformat.from_dict({"tags": ["x"]})
        if cell.cell_type == "markdown" and "written" not in cell.source:
            cell.source += " More prose."
    other = changed(other, "part1-q1_1", lambda source: source.replace("1 point", "3 points"))
    other = changed(other, "part1-train", lambda source: source + "\nmore = 1")  # is not run
    assert as_bytes(other) != as_bytes(notebook)
    assert task_key(other) == task_key(notebook)


@pytest.mark.parametrize("cell", ["part1-setup", "part1-q1_1"])
def test_code_of_the_release_that_is_run_grades_again(notebook, cell):
    assert task_key(changed(notebook, cell, lambda s: s + "\nmore = 1")) != task_key(notebook)


def test_what_a_student_changed_grades_again_and_prose_keeps_the_rollouts(notebook):
    prose = nbformat.from_dict(notebook)
    prose.cells[0].source += " A note."
    code = changed(notebook, "part1-bc_loss", lambda source: source + "\nmore = 1")
    keys = [
        task_key(notebook, submission={"part1_mlp.ipynb": as_bytes(one)})
        for one in (notebook, prose, code)
    ]
    assert len(set(keys)) == 3
    assert rollout_key(prose) == rollout_key(notebook) != rollout_key(code)


def test_settings_are_in_the_key_and_of_the_rollouts_the_episodes_alone(notebook):
    limits = replace(SETTINGS, limits=Limits(notebook_seconds=10))
    episodes = replace(SETTINGS, episodes=6)
    assert len({task_key(notebook, settings) for settings in (SETTINGS, limits, episodes)}) == 3
    assert rollout_key(notebook, limits) == rollout_key(notebook)
    assert rollout_key(notebook, episodes) != rollout_key(notebook)


@pytest.mark.parametrize(
    "change, same",
    [
        ({"points": 7}, True),
        ({"title": "Part One"}, True),
        ({"targets": {"shipped": 0.9, "human": 0.9}}, False),
        ({"baseline": 0.2}, False),
        ({"max_steps": 400}, False),
    ],
)
def test_of_the_rubric_the_rules_count_and_not_the_points(notebook, monkeypatch, change, same):
    before = task_key(notebook)
    other = replace(PART, policies=(replace(POLICY, **change),))
    monkeypatch.setitem(rubric.PARTS, PART.name, other)
    assert (task_key(notebook) == before) == same
