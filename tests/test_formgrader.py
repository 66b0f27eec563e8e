"""nbgrader's own command and its page give the ledger's points, and where the course's
configuration is broken, none.
"""

import os
import re
import shutil
import subprocess
import sys

import nbformat
import pytest
from browser import SCREENSHOTS, chromium_page, jupyter_server, needs_chromium
from nbgrader.api import Gradebook
from nbgrader.utils import is_grade
from playwright.sync_api import expect
from test_course import PART, checkpoint, hand_in  # noqa: F401  (checkpoint is a fixture)
from test_outputs import TAGS, hostile

from score.cells import read_marker
from score.course.nbgrader.release import create
from score.course.notebooks import build
from score.course.settings import ASSIGNMENT
from score.verdict import MIME

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return create(tmp_path_factory.mktemp("formgrader") / "course", first_seed=20_000, episodes=2)


# In the place of the course's steps, nbgrader's own.
_STEPS = """
import nbgrader.preprocessors as stock
from score.course.nbgrader import preprocessors as own
steps = [{execute}.Execute, {save}.SaveAutoGrades]
get_config().Autograde.autograde_preprocessors = steps  # noqa: F821
"""


def without_practice(notebook):
    """The notebook without practice cells and optional exercises: nbgrader's stock classes, which a
    broken configuration falls back to, run these as well, each for 30 seconds at most.
    """
    kept = (read_marker(cell.source) for cell in notebook.cells)
    notebook.cells = [
        cell
        for cell, marker in zip(notebook.cells, kept, strict=True)
        if not marker or marker.kind not in ("practice", "extension")
    ]
    return notebook


@pytest.fixture(params=["whole", "raises", "no such class", "nbgrader's steps"])
def course(request, made, checkpoint, monkeypatch):  # noqa: F811
    """A course with one answered submission, its configuration whole or broken."""
    hand_in(made, "ann", without_practice(build.answered_notebook(PART)), checkpoint)
    config, gradebook = made.folder / "nbgrader_config.py", made.folder / "gradebook.db"
    whole, ungraded = config.read_text(), gradebook.read_bytes()
    config.write_text(
        {
            "whole": whole,
            "raises": "raise ValueError\n",
            "no such class": whole.replace("score.course ", "score.gone "),
            "nbgrader's steps": whole + _STEPS.format(execute="stock", save="stock"),
        }[request.param]
    )
    monkeypatch.setenv("PATH", f"{os.path.dirname(sys.executable)}{os.pathsep}{os.environ['PATH']}")
    yield request.param, made
    config.write_text(whole)
    gradebook.write_bytes(
        ungraded
    )  # and not an empty one: it would know of no assignment, and nothing would be graded
    for folder in ("autograded", "feedback"):
        shutil.rmtree(made.folder / folder, ignore_errors=True)


def earned(kind, course):
    """Points of the submission by test cell, as the gradebook has them: those that the verdicts
    under the cells tell.
    """
    with Gradebook(course.gradebook) as gradebook:
        grades = {
            grade.name: grade.auto_score
            for notebook in gradebook.find_submission(ASSIGNMENT, "ann").notebooks
            for grade in notebook.grades
        }
    notebook = nbformat.read(
        course.folder / "autograded" / "ann" / ASSIGNMENT / f"{PART.name}.ipynb", as_version=4
    )
    verdicts = {
        cell.metadata.nbgrader["grade_id"]: next(
            output.data[MIME] for output in cell.outputs if MIME in output.get("data", {})
        )
        for cell in notebook.cells
        if is_grade(cell)
    }
    assert {cell: verdict["points"] for cell, verdict in verdicts.items()} == {
        cell: grades[cell] for cell in verdicts
    }
    if kind == "whole":
        assert [grades[f"part1-{question}"] for question in ("q1_1", "q1_2", "q1_3")] == [1, 2, 2]
        assert "over 2 episodes" in verdicts["part1-rollouts"]["sentence"]
    else:
        assert len(grades) > len(verdicts) and set(grades.values()) == {0}
        # The kit itself rolls out weights, in the place that is missing here.
        assert "outside this notebook" in verdicts.pop("part1-rollouts")["sentence"]
        assert all("There is no grader" in verdict["sentence"] for verdict in verdicts.values())
    return grades


def autograde(course):
    done = subprocess.run(
        [sys.executable, "-m", "nbgrader", "autograde", ASSIGNMENT, "--student", "ann", "--create"],
        cwd=course.folder,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_the_command_gives_the_ledgers_points_or_none(course):
    kind, made = course
    autograde(made)
    earned(kind, made)


@pytest.mark.parametrize("course", ["whole"], indirect=True)
@pytest.mark.parametrize(
    "execute, save, points", [("own", "stock", [1, 0]), ("stock", "own", [0, 0])]
)
def test_one_of_the_courses_steps_alone_gives_the_ledgers_points_or_none(
    course, execute, save, points
):
    made = course[1]
    notebook = build.answered_notebook(PART)
    forged = next(cell for cell in notebook.cells if cell.id == "part1-bc_loss")
    forged.source += "\nscore.check = lambda name, answer: score.Verdict(name, 2.0, 2.0, 'Right.')"
    hand_in(made, "ann", without_practice(notebook))
    config = made.folder / "nbgrader_config.py"
    config.write_text(config.read_text() + _STEPS.format(execute=execute, save=save))
    autograde(made)
    with Gradebook(made.gradebook) as gradebook:
        submission = gradebook.find_submission_notebook(PART.name, ASSIGNMENT, "ann")
        grades = {grade.name: grade.auto_score for grade in submission.grades}
    assert [grades[f"part1-{question}"] for question in ("q1_1", "q1_2")] == points


@needs_chromium
def test_the_page_gives_the_ledgers_points_or_none(course):
    kind, made = course
    shots = SCREENSHOTS / f"formgrader_{kind.replace(' ', '_')}"
    offline = [
        "MathJax is not defined"
    ]  # which nbgrader's page of a submission fetches from elsewhere
    with (
        jupyter_server(made.folder) as address,
        chromium_page(address("formgrader"), known=offline) as page,
    ):
        page.locator("#main-table tr", has_text=ASSIGNMENT).locator(".num-submissions a").click()
        row = page.locator("#main-table tr", has_text="ann")
        expect(row.locator(".status")).to_have_text("needs autograding")
        page.screenshot(path=f"{shots}_before.png")
        row.locator(".autograde a").click()
        page.locator(".modal-title").wait_for(timeout=80_000)
        assert page.locator(".modal-title").inner_text() == "Success", page.locator(
            ".modal-body"
        ).inner_text()
        page.get_by_role("button", name="OK").click()
        page.locator(".modal-backdrop").wait_for(state="detached")
        expect(row.locator(".status")).to_have_text(re.compile("graded|needs manual grading"))
        page.screenshot(path=f"{shots}_after.png")
        total = float(row.locator(".score").inner_text().split(" / ")[0])
        page.get_by_role("link", name="Manual Grading").click()
        for name in (ASSIGNMENT, PART.name, "Submission #1"):
            page.get_by_role("link", name=name, exact=True).click()
        scores = page.locator("input.score")
        expect(scores.last).to_have_attribute("placeholder", re.compile("[0-9]"))
        scores.first.scroll_into_view_if_needed()
        page.screenshot(path=f"{shots}_submission.png")
        cells = [float(box.get_attribute("placeholder")) for box in scores.all()]
    grades = earned(kind, made)
    assert total == pytest.approx(sum(grades.values()), abs=0.006)  # two digits on the page
    assert cells == [points for cell, points in grades.items() if cell.startswith("part1-")]


@needs_chromium
@pytest.mark.parametrize("course", ["whole"], indirect=True)
def test_nothing_that_a_student_wrote_acts_on_the_page_where_answers_are_read(course):
    made = course[1]
    notebook = build.answered_notebook(PART)
    notebook.cells[1:1] = hostile().cells
    act = TAGS[0].removeprefix("<script>").removesuffix("</script>")
    notebook.cells.append(
        nbformat.v4.new_code_cell(
            "from IPython.display import HTML, SVG, Javascript, display\n"
            f"display(HTML({TAGS[1]!r}), HTML({TAGS[0]!r}), Javascript({act!r}))\n"
            "print('printed')"
        )
    )
    hand_in(made, "ann", notebook)
    (made.submission("ann", made.assignments[0]) / "page.html").write_text(TAGS[0])
    autograde(made)
    kept = made.folder / "autograded" / "ann" / ASSIGNMENT
    assert not list(kept.glob("*.html"))
    assert not any(path.stat().st_mode & 0o077 for path in kept.iterdir())
    with Gradebook(made.gradebook) as gradebook:
        number = gradebook.find_submission_notebook(PART.name, ASSIGNMENT, "ann").id
    with (
        jupyter_server(made.folder) as address,
        chromium_page(address("formgrader"), known=["MathJax is not defined"]) as page,
    ):
        page.goto(address(f"formgrader/submissions/{number}/"))
        expect(page.locator("#notebook-container").first).to_contain_text("printed")
        page.wait_for_load_state("networkidle")
        assert page.evaluate("document.documentElement.dataset.acted") is None
        text = page.locator("#notebook-container").first.inner_text()
        assert "words" in text and "printed" in text and "< script>" in text
        page.screenshot(path=f"{SCREENSHOTS}/formgrader_hostile_notebook.png", full_page=True)
