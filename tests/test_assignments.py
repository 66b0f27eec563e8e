"""A course with assignments of its own: its release, late work, points, and what is in none."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime

import nbformat
import pytest
from nbgrader.api import Gradebook

from score import rubric
from score.__main__ import main
from score.course.class_run import grade as class_run
from score.course.class_run import records, workers
from score.course.class_run.grade import grade_course
from score.course.collect.collect import run_collect
from score.course.gradescope import build as gradescope
from score.course.grading import results
from score.course.grading.notebook import Graded
from score.course.grading.results import RolloutResult, not_precise, ungraded
from score.course.nbgrader import configuration
from score.course.nbgrader import release as releasing
from score.course.nbgrader.check import check
from score.course.nbgrader.late import AssignLatePenalties
from score.course.nbgrader.release import release
from score.course.notebooks import build
from score.course.report.tables import table
from score.course.settings import CourseError, open_course
from score.entries import with_points
from score.rollouts.evaluate import rollouts_verdict
from score.rollouts.stopping import Stop

SETTINGS = """\
name = "Robots <2027>"
secret = "0123456789abcdef0123456789abcdef"
bundle = "https://example.org/kit/pusht-kit.zip"
episodes = 2
[[assignment]]
name = "first steps"
parts = ["part1_mlp"]
due = 2027-03-01T23:59:00+01:00
late = { per_day = 0.1 }
[[assignment]]
name = "second"
parts = ["part3_ddpm"]
due = 2027-03-01T23:59:00+01:00
[points]
"Q1.2" = 4
"part1_mlp rollouts" = 10
"""
IN_TIME, LATE = "2027-03-01 22:58:00 UTC", "2027-03-02 12:00:00 UTC"


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    """The folder of a course of two assignments, released; not to be changed."""
    folder = tmp_path_factory.mktemp("two") / "course"
    (folder / "submitted").mkdir(parents=True)
    (folder / "course.toml").write_text(SETTINGS)
    (folder / "nbgrader_config.py").write_text(releasing._CONFIG)
    assert release(open_course(folder)) == []
    return folder


@pytest.fixture
def course(released, tmp_path):
    """A copy of that course."""
    shutil.copytree(released, tmp_path / "course")
    return open_course(tmp_path / "course")


def changed(course, *pairs):
    """The course after changes of its course.toml."""
    path = course.folder / "course.toml"
    text = path.read_text()
    for before, after in pairs:
        assert before in text
        text = text.replace(before, after)
    path.write_text(text)
    return open_course(course.folder)


@pytest.fixture
def quick(monkeypatch):
    """Grading that gives all points and runs nothing; the list of what it graded."""
    done = []

    def grade(task):
        done.append((task.student, task.part))
        result = ungraded(task.student, task.part, "Quick.", task.key)
        cells = {name: replace(cell, points=cell.max_points) for name, cell in result.cells.items()}
        return Graded(replace(result, cells=cells, missing=""), {f"{task.part}.ipynb": b"{}"})

    with ThreadPoolExecutor(1) as executor:
        monkeypatch.setattr(class_run, "grade_part", grade)
        monkeypatch.setattr(workers, "processes", lambda *_: contextlib.nullcontext(executor))
        yield done


def hand_in(course, student, part, stamp):
    folder = course.submission(student, course.assignment_of(part))
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(course.released(part), folder)
    (folder / "timestamp.txt").write_text(stamp)


def printed(course, **changes):
    """The rows of the printed table, by student, without what several columns have in common."""
    verdicts = grade_course(course, **changes)
    students = {student for student, _, _ in verdicts}
    lines = table(verdicts, records.late_penalties(course, students)).splitlines()
    return {line.split()[0]: line.split()[1:] for line in lines if not line.startswith("-")}


# What is in no assignment is nowhere.


def test_parts_of_no_assignment_are_in_nothing_that_is_made(course, quick):
    made = [path for path in course.folder.rglob("*") if path.is_file()]
    assert {path.stem for path in made if path.suffix == ".ipynb"} == {"part1_mlp", "part3_ddpm"}
    with zipfile.ZipFile(course.folder / "bundle" / "pusht-kit.zip") as bundle:
        names, fixed = bundle.namelist(), json.loads(bundle.read("score/rerun/fixed_cells.json"))
        asked = json.loads(bundle.read(rubric.ASKED))
    assert {name for name in names if name.startswith("notebooks/")} == {
        "notebooks/part1_mlp.ipynb",
        "notebooks/part3_ddpm.ipynb",
    }
    assert [*fixed] == ["part1_mlp", "part3_ddpm"] and "4 points" in fixed["part1_mlp"][
        "part1/q1_2"
    ]
    assert asked["assignments"] == {"first steps": ["part1_mlp"], "second": ["part3_ddpm"]}
    with Gradebook(course.gradebook) as book:
        assert {each.name: each.max_score for each in book.assignments} == {
            "first steps": 17,
            "second": 10,
        }
        assert book.find_assignment("second").duedate == datetime(2027, 3, 1, 22, 59)

    hand_in(course, "ann", "part1_mlp", IN_TIME)
    rows = printed(course)
    assert rows["of"][-1] == "27.00" and "flow" not in rows["student"]
    pages = [course.feedback("ann", assignment) for assignment in course.assignments]
    texts = [path.read_text() for path in (*pages, course.folder / "report.html")]
    texts.append((course.folder / "grades.csv").read_text())
    for text in texts:
        assert "part2_cvae" not in text and "Part II<" not in text and "Q2.1" not in text
    assert "of 17 points" in texts[0] and "of 10 points" in texts[1]
    assert "Robots &lt;2027&gt;" in texts[2]
    assert 'href="feedback/ann/first%20steps/feedback.html"' in texts[2]
    with pytest.raises(CourseError, match="part2_cvae is not in the course, which has part1_mlp"):
        grade_course(course, parts=["part2_cvae"])


def test_what_is_collected_goes_to_its_assignment_with_a_time_of_its_own(course, tmp_path):
    export = tmp_path / "export"
    for day, part in ((1, "part1_mlp"), (2, "part3_ddpm"), (2, "part2_cvae")):
        path = export / "ann" / f"{part}.ipynb"
        build.write(build.student_notebook(rubric.PARTS[part]), path)
        when = datetime(2027, 3, day, 12).timestamp()
        os.utime(path, (when, when))
    run_collect(course.folder, export)
    stamps = sorted((course.folder / "submitted").glob("*/*/timestamp.txt"))
    assert [path.parent.name for path in stamps] == ["first steps", "second"]
    assert [path.read_text()[:10] for path in stamps] == ["2027-03-01", "2027-03-02"]
    assert not [*(course.folder / "submitted").rglob("part2_cvae.ipynb")]


def test_the_students_kit_asks_for_the_courses_parts_at_its_points(course, tmp_path):
    with zipfile.ZipFile(course.folder / "bundle" / "pusht-kit.zip") as bundle:
        bundle.extractall(tmp_path / "kit")
    program = """
import score
from score import rubric
print(rubric.asked_parts(), rubric.asked_parts({"part3_ddpm"}), rubric.PARTS["part1_mlp"].points)
score.show_standing()
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path / "kit",
        env=os.environ | {"PYTHONPATH": str(tmp_path / "kit")},
        capture_output=True,
        text=True,
        check=True,
    )
    first, *standing = done.stdout.splitlines()
    assert first == "['part1_mlp', 'part3_ddpm'] ['part3_ddpm'] 17"
    assert "Points so far: 0 of 27." in standing and not [x for x in standing if "Q2." in x]


def test_students_are_asked_for_the_parts_of_their_assignment(monkeypatch):
    monkeypatch.setattr(
        rubric, "ASSIGNMENTS", {"one": ("part1_mlp", "part2_cvae"), "two": ("part4_flow",)}
    )
    assert rubric.asked_parts() == ["part1_mlp", "part2_cvae", "part4_flow"]
    assert rubric.asked_parts({"part2_cvae"}) == ["part1_mlp", "part2_cvae"]
    assert rubric.asked_parts({"part3_ddpm"}) == rubric.asked_parts()


def test_an_autograder_is_of_one_assignment(course):
    with pytest.raises(CourseError, match="name one of first steps, second"):
        gradescope.build(course)
    path = gradescope.build(course, assignment="second")
    assert path.name == "gradescope_second.zip"
    with zipfile.ZipFile(path) as made:
        made.extract("course/course.toml", course.folder)
        names = [name for name in made.namelist() if name.startswith("course/release")]
        steps = made.read("run_autograder").decode()
    assert names == ["course/release/pusht/part3_ddpm.ipynb"] and "collect part3_ddpm;" in steps
    assert [*open_course(course.folder / "course").parts] == ["part3_ddpm"]


# Late work.


def test_one_late_assignment_takes_nothing_from_another_and_the_total_has_its_penalty(
    course, quick
):
    hand_in(course, "ann", "part1_mlp", IN_TIME)
    hand_in(course, "ann", "part3_ddpm", LATE)
    hand_in(course, "bob", "part1_mlp", LATE)
    rows = printed(course)
    assert rows["ann"][-1] == "27.00"  # the second assignment has no rule
    assert rows["bob"][-2:] == ["-1.70", "15.30"] and rows["student"][-2:] == ["late", "total"]
    csv = (course.folder / "grades.csv").read_text().splitlines()
    assert ",1.70,15.30," in csv[2]
    assert "<b>15.30</b>" in (course.folder / "report.html").read_text()


def test_a_rule_in_the_courses_folder_works_as_nbgrader_describes_it(course, quick):
    course = changed(course, ("late = { per_day = 0.1 }\n", ""))
    (course.folder / "late.py").write_text(
        "from nbgrader.plugins import BasePlugin\n\n\n"
        "class SubMarks(BasePlugin):\n"
        "    def late_submission_penalty(self, student_id, score, total_seconds_late):\n"
        "        return round(total_seconds_late / 3600, 0)\n"
    )
    with (course.folder / "nbgrader_config.py").open("a") as config:
        config.write("c = get_config()\nc.AssignLatePenalties.plugin_class = 'late.SubMarks'\n")
    assert check(course.folder).problems == []
    hand_in(course, "bob", "part1_mlp", LATE)
    assert printed(course)["bob"][-2:] == ["-13.00", "4.00"]
    (course.folder / "late.py").unlink()
    assert "cannot be used" in check(course.folder).problems[0]
    with pytest.raises(CourseError, match="names a rule for late work .* cannot be used"):
        grade_course(course)


def test_nbgraders_own_step_takes_the_courses_rule(course):
    config = configuration.read(course.folder)
    step = AssignLatePenalties(config=config)
    for name, penalty in (("first steps", 1.7), ("second", None)):
        step.assignment_id = name
        step.init_plugin()
        assert step.plugin_inst.late_submission_penalty("bob", 17, 13 * 3600) == pytest.approx(
            penalty
        )
    steps = config.Autograde.autograde_preprocessors
    assert "score.course.nbgrader.late.AssignLatePenalties" in steps


# Points.


def test_a_change_of_points_grades_nothing_again_and_is_everywhere(course, quick):
    hand_in(course, "ann", "part1_mlp", IN_TIME)
    assert printed(course)["ann"][-1] == "17.00" and quick == [("ann", "part1_mlp")]
    course = changed(course, ('"Q1.2" = 4', '"Q1.2" = 8'))
    rows = printed(course)
    assert rows["ann"][-1] == "21.00" and rows["of"][-1] == "31.00" and len(quick) == 1
    with Gradebook(course.gradebook) as book:
        assert book.find_grade("part1-q1_2", "part1_mlp", "first steps", "ann").max_score == 8
    assert "of 21 points" in course.feedback("ann", course.assignments[0]).read_text()
    assert "is not what source/ and course.toml give now" in check(course.folder).problems[0]


def test_a_verdict_on_rollouts_says_its_points_as_the_course_counts_them(tmp_path):
    part = rubric.PARTS["part1_mlp"]
    (policy,) = part.policies
    rollout = RolloutResult("", [0.4] * 20, (0.3, 0.5), False, [], "", "", [], Stop.MOST)
    verdict = rollouts_verdict(policy, "", rollout)
    kept = replace(
        ungraded("ann", part.name, ""),
        cells={"part1-rollouts": verdict},
        rollouts={policy.name: rollout},
        flags=[*not_precise(policy, rollout), "Another."],
    )
    double = with_points(part, {"part1_mlp rollouts": 10})
    result = kept.worth(double)
    assert result.cells["part1-rollouts"] == rollouts_verdict(*double.policies, "", rollout)
    assert result.cells["part1-rollouts"].points == 2 * verdict.points
    assert result.flags == [*not_precise(*double.policies, rollout), "Another."]
    results.save(result, tmp_path)
    assert results.load(tmp_path, "ann")["part1_mlp"].cells["part1-rollouts"] == verdict


# The course's own notebooks.


def source(course, part, cell_id=None):
    path = course.source(course.assignment_of(part)) / f"{part}.ipynb"
    notebook = nbformat.read(path, as_version=4)
    found = next((cell for cell in notebook.cells if cell.id == cell_id), None)
    return path, notebook, found


def test_a_translated_text_stays_and_the_rest_is_the_kits(course):
    path, notebook, text = source(course, "part1_mlp", "part1-architecture-text1")
    first = next(cell for cell in notebook.cells if cell.id.endswith("part1_mlp-text1"))
    first.source = first.source.replace("# Part I", "# Teil I")
    text.source = "### Q1.2 · Der Verlust"
    notebook.cells.insert(3, nbformat.v4.new_markdown_cell("Abgabe in Gruppen.", id="ours"))
    notebook.cells = [cell for cell in notebook.cells if cell.id != "part1-q1_3"]
    nbformat.write(notebook, path)
    other = source(course, "part3_ddpm")[0].read_bytes()
    course = changed(course, ("example.org/kit", "example.org/new"), ('"Q1.2" = 4', '"Q1.2" = 7'))

    told = release(course)
    assert len(told) == 2 and "(3 of " in told[0] and "part1-architecture-text1" in told[0]
    assert "part1-q1_3 had been deleted" in told[1]
    for place in (
        path,
        course.released("part1_mlp"),
        course.folder / "bundle/notebooks" / path.name,
    ):
        cells = {cell.id: cell for cell in nbformat.read(place, as_version=4).cells}
        sources = "\n".join(cell.source for cell in cells.values())
        assert "Der Verlust" in sources and "Abgabe in Gruppen." in sources
        assert "# Teil I" in sources and "example.org/kit" not in sources
        assert 'BUNDLE = "https://example.org/new/pusht-kit.zip"' in cells["part1-setup"].source
        assert cells["part1-q1_2"].metadata.nbgrader.points == 7
        assert "part1-q1_3" in cells and "7 points" in cells["part1-q1_2"].source
    assert "BEGIN SOLUTION" not in course.released("part1_mlp").read_text()
    assert source(course, "part3_ddpm")[0].read_bytes() != other  # it has the new address
    assert release(course) == [sentence for sentence in told if "deleted" not in sentence]
    path.unlink()
    assert release(course) == [] and "Teil" not in path.read_text()


def test_a_source_that_is_no_notebook_is_told_and_kept(course):
    path, _, _ = source(course, "part1_mlp")
    path.write_text("{")
    with pytest.raises(CourseError, match="cannot be read as a notebook .*: correct it, or delete"):
        release(course)
    assert path.read_text() == "{" and "cannot be read" in check(course.folder).problems[0]


def test_a_part_that_leaves_the_course_takes_its_translation_along_and_brings_it_back(course):
    path, notebook, text = source(course, "part3_ddpm", "part3-dataset-text1")
    text.source = "Auf Deutsch."
    nbformat.write(notebook, path)
    without = changed(course, ('parts = ["part3_ddpm"]', 'parts = ["part2_cvae"]'))
    assert release(without) == ["part3_ddpm is not in the course: its source is in unused/ now."]
    released = {path.stem for path in without.folder.glob("release/*/*.ipynb")}
    assert released == {"part1_mlp", "part2_cvae"}
    back = changed(without, ('parts = ["part2_cvae"]', 'parts = ["part2_cvae", "part3_ddpm"]'))
    assert len(release(back)) == 1 and "Auf Deutsch." in back.released("part3_ddpm").read_text()


# All that is wrong.


def test_a_check_tells_what_the_course_is_and_all_that_is_wrong(course, capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["course", "check", str(course.folder)])
    told = capsys.readouterr().out
    assert "Assignment first steps: Part I; 17 points; due 2027-03-01 23:59 +0100." in told
    assert told.endswith("Nothing is wrong.\n")
    course.released("part1_mlp").unlink()
    course.released("part3_ddpm").write_text("[]")
    (course.folder / "submitted/ann/pusht").mkdir(parents=True)
    config = course.folder / "nbgrader_config.py"
    config.write_text(config.read_text() + "get_config().Autograde.sanitize_preprocessors = []\n")
    found = check(course.folder).problems
    assert len(found) == 4 and "sets Autograde.sanitize_preprocessors" in found[0]
    assert "There is no" in found[1] and "cannot be read" in found[2]
    assert "work for 'pusht' (1 of the students), which is no assignment" in found[3]
    (course.folder / "roster.csv").write_text("colour,shape\nred,round\n")
    assert "roster.csv" in check(course.folder).problems[1]
    config.write_text("configure(\n")
    assert "is no Python" in check(course.folder).problems[0]
    (course.folder / "course.toml").write_text("episodes = 0\nfirst_seed = -5\n")
    found = check(course.folder).problems
    assert ["line 1" in found[0], "line 2" in found[1], "no Python" in found[2]] == [True] * 3


def test_a_course_that_was_not_released_is_told_so(course, quick):
    hand_in(course, "ann", "part1_mlp", IN_TIME)
    shutil.rmtree(course.folder / "release")
    with pytest.raises(CourseError, match="course release .* first"):
        grade_course(course)
