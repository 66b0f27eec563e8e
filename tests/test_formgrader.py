"""nbgrader's own command gives the ledger's points, and where the course's configuration is broken, none."""
import os
import shutil
import subprocess
import sys

import pytest
from nbgrader.api import Gradebook
from test_course import PART, checkpoint, hand_in  # noqa: F401  (checkpoint is a fixture)

from score.course import ASSIGNMENT, build, create

# nbgrader's stock classes, which a broken configuration falls back to, run a notebook's practice cells as well: minutes.
pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return create(tmp_path_factory.mktemp("formgrader") / "course", first_seed=20_000, episodes=2)


@pytest.fixture(params=["whole", "raises", "no such class"])
def course(request, made, checkpoint, monkeypatch):  # noqa: F811
    """A course with one answered submission, its configuration whole or broken."""
    hand_in(made, "ann", build.answered_notebook(PART), checkpoint)
    config = made.folder / "nbgrader_config.py"
    whole = config.read_text()
    broken = {"whole": "", "raises": "raise ValueError\n",
              "no such class": whole.replace("score.course ", "score.gone ")}[request.param]
    config.write_text(broken or whole)
    monkeypatch.setenv("PATH", f"{os.path.dirname(sys.executable)}{os.pathsep}{os.environ['PATH']}")
    yield request.param, made
    config.write_text(whole)
    (made.folder / "gradebook.db").unlink(missing_ok=True)
    for folder in ("autograded", "feedback"):
        shutil.rmtree(made.folder / folder, ignore_errors=True)
    with Gradebook(made.gradebook):
        pass


def points(course):
    with Gradebook(course.gradebook) as gradebook:
        return sum(grade.auto_score or 0.0 for grade in gradebook.find_submission_notebook(PART.name, ASSIGNMENT, "ann").grades)


def test_the_command_gives_the_ledgers_points_or_none(course):
    kind, made = course
    done = subprocess.run([sys.executable, "-m", "nbgrader", "autograde", ASSIGNMENT, "--student", "ann", "--create", "--force",
                           f"--CourseDirectory.root={made.folder}", f"--CourseDirectory.db_url={made.gradebook}"],
                          cwd=made.folder, capture_output=True, text=True)
    assert done.returncode == 0 or kind != "whole", done.stderr
    try:
        earned = points(made)
    except Exception as error:  # nothing was graded at all
        assert kind != "whole", error
    else:
        assert earned >= 5 if kind == "whole" else earned == 0
