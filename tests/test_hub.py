"""A term on a real JupyterHub with two students: what docs/hub.md says, from the first command to
the last. Students and graders act by the hub's HTTP API, each as a user of this machine.
"""

import contextlib
import os
import re
import shutil
import tempfile
from pathlib import Path
from types import SimpleNamespace

import hub
import pytest
from journeys import Reader, follow, page, steps

from score.course.notebooks.build import answered_notebook
from score.course.notebooks.solutions import reference_path
from score.course.settings import ASSIGNMENT
from score.rubric import PARTS

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(
        os.name != "posix" or os.geteuid() != 0 or not shutil.which("useradd"),
        reason="needs root and useradd: on a hub each student is a user of the machine",
    ),
]

COURSE, PART, WRITTEN, ANSWER = "robots", "part1_mlp", "part4_flow", "part4-report_curves"
_LEFT_OUT = re.compile(r"# \[part\d/(?!train|dataset|standing|hand_in)\w+\] practice")
# Everything that a student's kernel finds of solutions beside the installed packages.
_LOOK = """
import pathlib, sys, pusht, score
found = []
for folder in map(pathlib.Path, {{*sys.path}} | {{{course!r}}}):
    for name in ("score/course", "notebooks/source", "pusht_kit/notebooks", "source"):
        try:
            found += [str(path) for path in (folder / name).iterdir()]
        except OSError:
            pass
print("found", found, pusht.__file__)
"""


class Hub(Reader):
    """Who runs the commands of docs/hub.md: the administrator those of the students' environment
    and of the exchange, and the grader all others.
    """

    def __init__(self, made) -> None:
        words = {"EXCHANGE": made.exchange, "USER": made.grader.name, "PREFIX": made.prefix}
        super().__init__(made.grader.home, words)
        self.made, self.programs = made, made.prefix / "bin"

    def run(self, step: str, command: str) -> str:
        if step.startswith("PREFIX/bin/pip"):  # the packages that it needs are the tests' own
            return super().run(step, f"{hub.sys.executable} -m pip --python {_offline(command)}")
        if step.startswith(("mkdir", "chmod", "install", "PREFIX")):
            return super().run(step, command)
        made = self.made
        done = made.grader.run("bash", "-ec", command, cwd=self.folder, python=made.python)
        assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        return done.stdout + done.stderr


def _offline(command: str) -> str:
    """The page's `pip install`, without what comes from a network."""
    pip, *_, wheel = command.split()
    return f"{pip.removesuffix('pip')}python install -q --no-index --no-deps {wheel}"


@pytest.fixture(scope="module")
def machine():
    """A machine with accounts for two students and a grader, a course, and its hub."""
    hub.installed()
    base, accounts = Path(tempfile.mkdtemp(prefix="hub-", dir="/tmp")), []
    base.chmod(0o755)
    try:
        accounts += (hub.Account(name, base / name) for name in ("ann", "bob", "grader"))
        yield SimpleNamespace(base=base, ann=accounts[0], bob=accounts[1], grader=accounts[2])
    finally:
        for account in accounts:
            account.remove()
        shutil.rmtree(base, ignore_errors=True)


@pytest.fixture(scope="module")
def course(machine):
    """The course as the grader's account makes it, and the students' environment."""
    made, base = machine, machine.base
    made.python = hub.environment(base / "graders", hub.ROOT)
    seen = made.ann.run(str(made.python), "-c", "import torch", cwd=base, python=made.python)
    if seen.returncode:
        pytest.skip(f"other users may not read this environment: {seen.stderr[-300:]}")
    made.folder, made.exchange = base / "grader" / COURSE, base / "exchange"
    made.prefix = base / "students"
    made.students = hub.environment(made.prefix)
    return made


def few_episodes(made) -> None:
    settings = (made.folder / "course.toml").read_text()
    settings = re.sub(r"(?m)^episodes = .*", "episodes = 2", settings)
    (made.folder / "course.toml").write_text(settings)


def answered(name: str, fetched) -> None:
    """Fill the solutions into a fetched notebook, as a student would."""
    solved = {cell.id: cell.source for cell in answered_notebook(PARTS[name]).cells}
    for cell in fetched["cells"]:
        if cell["id"] in solved and "solution" in cell["metadata"].get("nbgrader", {}):
            cell["source"] = solved[cell["id"]]


def sources(notebook) -> list[str]:
    """The cells that a student runs; of those that show things only the training."""
    code = [cell["source"] for cell in notebook["cells"] if cell["cell_type"] == "code"]
    return [source for source in code if not _LEFT_OUT.match(source) and " extension" not in source]


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def test_a_term(course):
    made, kept = course, {}
    reader = Hub(made)
    names = [account.name for account in (made.ann, made.bob, made.grader)]
    with contextlib.ExitStack() as stack:
        users = []

        def open_the_hub() -> None:
            """The third step, and what students and a grader do after the release."""
            place, for_hub = made.base / "hub", made.folder / "hub" / "jupyterhub_config.py"
            place.mkdir(mode=0o700)
            user = stack.enter_context(hub.running(place, for_hub, made.students, names))
            users.extend(map(user, names))
            ann, bob, grader = users
            assert bob.ask("get", f"services/{COURSE}/formgrader/").status_code in (302, 403)
            _students_work(made, ann, bob)
            _collected(grader)

        def keep_the_pages() -> None:
            pages = (made.folder / "feedback").rglob("*.html")
            kept.update((path, path.read_bytes()) for path in pages)

        deeds = [
            ("python -m score course hub", lambda: few_episodes(made)),
            ("nbgrader collect", open_the_hub),
            ("python -m score course grade", lambda: None),
            ("python -m score course grade", lambda: _read(*users)),
            ("nbgrader generate_feedback", keep_the_pages),
        ]
        follow(steps(page("hub.md")), reader, deeds)
        told = reader.said["python -m score course create robots"]
        assert "will not find the kit" in told and "course_kit-" in told
        assert "Released as" in reader.said["nbgrader release_assignment pusht"]
        assert reader.said["nbgrader generate_feedback pusht"].count("Skipping existing") == 2
        _handed_back(made, *users, kept, reader.said["nbgrader release_feedback pusht"])
    for account in (made.ann, made.bob, made.grader):
        assert not [*account.home.glob("gradebook.db")]


def _students_work(made, ann, bob) -> None:
    """Fetch, train one epoch, validate, submit; bob leaves all but one answer open."""
    of_course = {"course_id": COURSE, "assignment_id": ASSIGNMENT}
    path = f"{ASSIGNMENT}/{PART}.ipynb"
    for student, account in ((ann, made.ann), (bob, made.bob)):
        student.start()
        (listed,) = student.own("get", "assignments", params={"course_id": COURSE})["value"]
        assert listed["status"] == "released"
        student.own("post", "assignments/fetch", data=of_course)
        for other in ("part2_cvae", "part3_ddpm"):
            student.own("delete", f"api/contents/{ASSIGNMENT}/{other}.ipynb")
        notebook = student.notebook(path)
        assert not any("BEGIN SOLUTION" in cell["source"] for cell in notebook["cells"])
        if student is ann:
            answered(PART, notebook)
        student.save(path, notebook)
        folder = account.home / ASSIGNMENT
        if student is ann:
            said = ann.run(path, [*sources(notebook), _LOOK.format(course=str(made.folder))])
            assert f"found [] {made.students.parent.parent}" in said[-1]
            assert "What you hand in is" in said[-2] and "Submit there" in said[-2]
            assert (folder / f"{PART}.safetensors").is_file()
            # One epoch earns little: these are the weights of three hundred.
            (policy,) = PARTS[PART].policies
            weights = reference_path(policy, "shipped").read_bytes()
            ann.upload(f"{ASSIGNMENT}/{PART}.safetensors", weights)
            _write_answer(ann)
        assert not [*folder.rglob("*.zip"), *folder.rglob("*.resume.pt")]
        right = student.own("post", "assignments/validate", data={"path": path})
        assert right["success"], right
        failed = [cell["source"][:20] for cell in right["value"].get("failed", [])]
        assert bool(failed) == (student is bob), failed
        listed = student.own("post", "assignments/submit", data=of_course)["value"]
        assert [one["status"] for one in listed] == ["fetched", "submitted"]
        print(f"{student.name}'s folder after Part I: {size(folder) / 1e6:.1f} MB")
    assert [*made.ann.home.glob(".local/state/pusht/*/*.resume.pt")]


def _write_answer(student) -> None:
    """Answer Part IV in words alone."""
    path = f"{ASSIGNMENT}/{WRITTEN}.ipynb"
    notebook = student.notebook(path)
    (cell,) = (cell for cell in notebook["cells"] if cell["id"] == ANSWER)
    cell["source"] += "\nThe loss of both stops falling after the third epoch."
    student.save(path, notebook)


def _collected(grader) -> None:
    """Collect on the formgrader page."""
    page = f"services/{COURSE}/formgrader/api"
    (shown,) = grader.ask("get", f"{page}/assignments").json()
    assert (shown["name"], shown["num_submissions"]) == (ASSIGNMENT, 0)
    collected = grader.ask("post", f"{page}/assignment/{ASSIGNMENT}/collect").json()
    assert collected["success"], collected


def _read(ann, bob, grader) -> None:
    """Read an answer by hand on the formgrader page, after `course grade`."""
    page = f"services/{COURSE}/formgrader/api"
    submissions = grader.ask("get", f"{page}/submissions/{ASSIGNMENT}").json()
    assert {one["student"] for one in submissions} == {ann.name, bob.name}
    (mine,) = (one for one in submissions if one["student"] == ann.name)
    assert mine["autograded"] and mine["needs_manual_grade"] and mine["score"] >= 5, mine
    of_part = f"{page}/submitted_notebooks/{ASSIGNMENT}/{WRITTEN}"
    (entry,) = (one for one in grader.ask("get", of_part).json() if one["student"] == ann.name)
    grades = grader.ask("get", f"{page}/grades", params={"submission_id": entry["id"]}).json()
    (written,) = (one for one in grades if one["name"] == ANSWER)
    read = grader.ask("put", f"{page}/grade/{written['id']}", json={"manual_score": 0.75})
    assert read.json()["manual_score"] == 0.75


def _handed_back(made, ann, bob, grader, kept: dict[Path, bytes], told: str) -> None:
    """Fetch the feedback that the commands released, and then what the page releases."""
    page = f"services/{COURSE}/formgrader/api/assignment/{ASSIGNMENT}"
    assert len(kept) == 2 * (1 + len(PARTS))
    assert f"'{ann.name}'" in told and f"'{bob.name}'" in told
    by_command = _fetched(made, ann)
    for action in ("generate_feedback", "release_feedback"):
        done = grader.ask("post", f"{page}/{action}").json()
        assert done["success"], done
    for path, content in kept.items():  # generate_feedback by the page removes all and makes it new
        if path.stem in (PART, WRITTEN, "feedback"):
            assert path.read_bytes() == content, path
    pages = _fetched(made, ann)
    assert pages == by_command and {*pages} == {PART, WRITTEN}
    assert "Push-T · feedback" in pages[PART] and "video/mp4" in pages[PART]
    assert "Graded by a person: 0.75 of 1" in pages[WRITTEN]
    others = _fetched(made, bob)
    assert bob.name in others[PART] and ann.name not in others[PART]


def _fetched(made, student) -> dict[str, str]:
    """The pages that a student fetches, by notebook."""
    account = made.ann if student.name == made.ann.name else made.bob
    shutil.rmtree(account.home / ASSIGNMENT / "feedback", ignore_errors=True)
    of_course = {"course_id": COURSE, "assignment_id": ASSIGNMENT}
    listed = student.own("post", "assignments/fetch_feedback", data=of_course)["value"]
    (submission,) = next(one["submissions"] for one in listed if one["status"] == "submitted")
    assert submission["has_local_feedback"]
    folder = account.home / submission["local_feedback_path"]
    return {path.stem: path.read_text(encoding="utf-8") for path in folder.glob("*.html")}
