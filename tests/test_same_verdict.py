"""What practice says of a right notebook, a rehearsal and the grade say, whatever its student does
around the answers; where that cannot be, the rehearsal tells it.

A few entries of the table are tried here, all of them by `make test-all`, these also in the
grader's own sandbox.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from habits import HABITS

TESTS = Path(__file__).parent
FEW = (
    "criterion of the training cell",
    "drive imported in an answer",
    "lazy batch norm",
)


def tried(names, *options):
    """By habit: what is wrong in practice and in each way of running it again."""
    command = [sys.executable, "catalogue.py", *options, *names]
    path = os.pathsep.join([str(TESTS.parent), str(TESTS)])
    done = subprocess.run(
        command, cwd=TESTS, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return {name: said for name, *said in map(json.loads, done.stdout.splitlines())}


def judge(names, *options):
    told = {habit.name: habit.told for habit in HABITS}
    found = tried(names, *options)
    assert [*found] == [habit.name for habit in HABITS if habit.name in names]
    for name, (practice, *others) in found.items():
        assert practice == {}, name  # all was right
        for wrong in others:
            assert bool(wrong) == bool(told[name]), (name, wrong)
            assert all(told[name] in sentence for sentence in wrong.values()), (name, wrong)


def test_the_table_has_sixty_habits_with_names_of_their_own():
    assert len({habit.name for habit in HABITS}) == len(HABITS) >= 60


def test_what_practice_says_a_rehearsal_says():
    judge(FEW)


@pytest.mark.long
@pytest.mark.parametrize("start", range(0, len(HABITS), 10))
def test_what_practice_says_the_grade_says(start):
    judge([habit.name for habit in HABITS[start : start + 10]], "--graded")
