"""nbgrader's exchange with a course: one submission stops no other, and what is handed back are the
kit's pages, whichever of nbgrader's ways makes and releases them. A whole hub is in test_hub.py.
"""

import re
import shutil
import sys
from types import SimpleNamespace

import pytest
from nbgrader.api import Gradebook
from nbgrader.apps import NbGraderAPI
from traitlets.config import Config, PyFileConfigLoader

from score.course.class_run import records
from score.course.grading import results
from score.course.nbgrader import configuration, exchange, gradebook, hub
from score.course.nbgrader.release import create
from score.course.settings import ASSIGNMENT, CourseError
from score.rubric import PARTS
from score.submission.failures import Failures
from score.submission.files import BY_NBGRADER
from score.verdict import Verdict

PART = PARTS["part1_mlp"]
WHEN = "2026-01-19 16:15:12.345678 UTC"


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """A released course on a hub, with its exchange beside it."""
    made = create(tmp_path_factory.mktemp("hub") / "robots", first_seed=20_000, episodes=2)
    place = made.folder.parent / "exchange"
    place.mkdir()
    place.chmod(0o777)
    hub.write(made, str(place), ["prof"])
    assert api(made).release_assignment(ASSIGNMENT)["success"]
    return made


def api(course) -> NbGraderAPI:
    return configuration.api(course)


def outbound(course):
    return course.folder.parent / "exchange" / "robots"


def submitted(course, student, **files):
    """A submission in the exchange, as nbgrader's Submit leaves it."""
    folder = outbound(course) / "inbound" / f"{student}+{ASSIGNMENT}+{WHEN}+abc"
    shutil.copytree(course.folder / "release" / ASSIGNMENT, folder)
    files = {"timestamp": WHEN, "submission_secret": f"secret of {student}"} | files
    for name, text in files.items():
        (folder / f"{name}.txt").write_text(text)
    return folder


def test_what_nbgrader_hands_out_says_that_it_also_hands_in(course):
    released = outbound(course) / "outbound" / ASSIGNMENT
    names = {f"{part}.ipynb" for part in PARTS} | {BY_NBGRADER}
    assert {path.name for path in released.iterdir()} == names
    assert not (course.folder / "bundle" / "notebooks" / BY_NBGRADER).exists()


def test_a_submission_that_cannot_be_taken_stops_nobody(course, monkeypatch):
    monkeypatch.setattr(exchange, "_LARGEST", 3_000)
    submitted(course, "large", notes="x" * 4_000_000)
    (submitted(course, "linked") / "part2_cvae.txt").symlink_to(course.folder / "course.toml")
    submitted(course, "zoe")
    done = api(course).collect(ASSIGNMENT)
    assert done["success"] and course.students() == ["zoe"]
    assert "4 MB, and 3 MB are allowed" in done["log"]
    assert "part2_cvae.txt is neither a file nor a folder" in done["log"]


@pytest.fixture
def graded(course):
    """Three students whose part I was graded: ann's and bob's work came by the exchange."""
    shutil.rmtree(course.folder / "submitted", ignore_errors=True)
    for student in ("ann", "bob", "cat"):
        for step in ("submitted", "autograded"):
            folder = course.folder / step / student / ASSIGNMENT
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            shutil.copy(course.released(PART.name), folder)
        if student != "cat":
            for name in exchange.KNOWN_BY:
                text = WHEN if name == "timestamp.txt" else f"secret of {student}"
                (course.submission(student, course.assignments[0]) / name).write_text(text)
        result = results.ungraded(student, PART.name, "")
        cells = result.cells | {"part1-q1_1": Verdict("Q1.1", 1.0, 1.0, f"Right, {student}.")}
        results.save(results.replace(result, cells=cells), course.folder / "results")
    failures, config = Failures(), configuration.read(course.folder)
    with gradebook.open_gradebook(course) as book:
        for student in ("ann", "bob", "cat"):
            records.conclude(course, book, student, failures, config)
    assert not [*failures]
    yield course
    for step in ("submitted", "autograded", "feedback", "results"):
        shutil.rmtree(course.folder / step, ignore_errors=True)
    shutil.rmtree(outbound(course) / "feedback", ignore_errors=True)


def pages(course, student):
    folder = course.folder / "feedback" / student / ASSIGNMENT
    return {path.name: path.read_text(encoding="utf-8") for path in folder.glob("*.html")}


def released(course):
    """What the exchange has, which students have to be able to read."""
    found = [*(outbound(course) / "feedback").glob("*.html")]
    assert all(path.stat().st_mode & 0o044 == 0o044 for path in found)
    return {path.read_text(encoding="utf-8") for path in found}


def test_formgrader_takes_what_the_course_graded_for_graded(graded):
    assert api(graded).get_autograded_students(ASSIGNMENT) == {"ann", "bob", "cat"}
    assert api(graded).get_submission(ASSIGNMENT, "ann")["score"] == 1


def test_feedback_is_released_after_grading_to_those_who_came_by_the_exchange(graded):
    assert {*pages(graded, "cat")} == {"feedback.html"}
    own = pages(graded, "ann")
    assert {*own} == {"feedback.html", *(f"{part}.html" for part in PARTS)}
    assert "Right, ann." in own["part1_mlp.html"] and "Part II" not in own["part1_mlp.html"]
    done = api(graded).release_feedback(ASSIGNMENT)
    assert done["success"] and "hand back otherwise: cat" in done["log"]
    assert released(graded) == {*own.values(), *pages(graded, "bob").values()}


def test_generate_feedback_with_force_makes_the_kits_pages_again(graded):
    before = pages(graded, "ann")
    assert api(graded).generate_feedback(ASSIGNMENT, force=True)["success"]
    after = pages(graded, "ann")
    assert {*after} == {"feedback.html", "part1_mlp.html"}  # of the notebooks in autograded/
    assert all(before[name] == after[name] for name in after)
    done = api(graded).release_feedback(ASSIGNMENT)
    assert done["success"] and before["part1_mlp.html"] in released(graded)


def test_what_a_person_graded_since_is_on_the_page(graded):
    with Gradebook(graded.gradebook) as book:
        grade = book.find_grade("part1-q1_1", PART.name, ASSIGNMENT, "ann")
        grade.manual_score = 0.25
        book.db.commit()
    try:
        assert api(graded).generate_feedback(ASSIGNMENT, "ann")["success"]
        assert "Graded by a person: 0.25 of 1" in pages(graded, "ann")["part1_mlp.html"]
    finally:
        with Gradebook(graded.gradebook) as book:
            book.find_grade("part1-q1_1", PART.name, ASSIGNMENT, "ann").manual_score = None
            book.db.commit()


def test_where_nbgraders_own_grading_came_later_the_page_is_nbgraders(graded):
    with Gradebook(graded.gradebook) as book:
        book.find_grade("part1-q1_1", PART.name, ASSIGNMENT, "bob").auto_score = 0.5
        book.db.commit()
    assert api(graded).generate_feedback(ASSIGNMENT, "bob")["success"]
    page = pages(graded, "bob")["part1_mlp.html"]
    assert "Push-T · feedback" not in page and "(Score: 0.5 / 10.0)" in page


def test_the_hubs_configuration_names_the_course_its_owner_and_who_may_grade(course, monkeypatch):
    config = Config()
    config.JupyterHub.load_groups, config.JupyterHub.load_roles = {}, []
    config.JupyterHub.services = []
    code = (course.folder / "hub" / "jupyterhub_config.py").read_text()
    monkeypatch.setitem(sys.modules, "jupyterhub", SimpleNamespace(version_info=(6, 1)))
    exec(compile(code, "jupyterhub_config.py", "exec"), {"get_config": lambda: config})
    (service,) = config.JupyterHub.services
    assert service["name"] == "robots" and service["cwd"] == str(course.folder)
    assert config.JupyterHub.load_groups == {"formgrade-robots": {"users": ["prof"]}}
    assert config.JupyterHub.load_roles[0]["scopes"] == ["access:services!service=robots"]
    read = configuration.read(course.folder)
    assert read.Exchange.root == str(course.folder.parent / "exchange")
    assert read.CourseDirectory.course_id == "robots"
    for_all = PyFileConfigLoader("nbgrader_config.py", str(course.folder / "hub")).load_config()
    assert for_all.Execute.timeout == 300  # for Validate alone: grading has limits of its own
    assert read.Execute.get("timeout") != 300


def test_the_students_environment_has_one_configuration_for_all_courses(course, tmp_path):
    other = results.replace(course, folder=tmp_path / "vision")
    other.folder.mkdir()
    hub.write(other, str(course.folder.parent / "exchange"), ["prof"])
    read = [(of.folder / "hub" / "nbgrader_config.py").read_text() for of in (course, other)]
    assert read[0] == read[1] and "course_id" not in read[0]
    served = [(of.folder / "hub" / "jupyterhub_config.py").read_text() for of in (course, other)]
    ports = [re.search(r"127.0.0.1:(\d+)", text)[1] for text in served]
    assert ports[0] != ports[1] and "formgrade-vision" in served[1]


def test_a_course_whose_name_no_address_has_is_refused_in_one_sentence(course, monkeypatch):
    named = results.replace(course, folder=course.folder.with_name("my course"))
    with pytest.raises(CourseError, match="'my course' becomes a part of addresses"):
        hub.write(named, "/x", [])
