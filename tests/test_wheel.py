"""The kit from its wheel, in a folder that has nothing else: packages, files, command, a course."""

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

import pusht
from pusht.resources import ROOT
from score.course.notebooks.bundle import bundle_bytes, bundled_files, wheel_bytes, wheel_name
from score.course.sandbox import levels

FOLDERS = ("pusht", "score", "losses", "data", "notebooks/source")
FILES = ("pyproject.toml", "setup.py", "requirements.lock", "README.md", "LICENSE")

OPENED = """
import sys
from pathlib import Path
from types import SimpleNamespace

import pusht, score
from pusht import demos, figures, resources
from score.rollouts.loss_curves import reference_loss
from score import rubric

assert Path(pusht.__file__).is_relative_to(sys.prefix), pusht.__file__
assert len(demos.open().episode_ends) == 335
for fingerprint in (demos.SHIPPED_FINGERPRINT, demos.HUMAN_FINGERPRINT):
    for policy in rubric.POLICIES:
        curve = reference_loss(policy, SimpleNamespace(fingerprint=fingerprint))
        assert len(curve.losses) > 10
assert figures.divergence_weights().alt
assert resources.find("losses/**/*.pkl") and resources.find("score/**/*.json")
"""

# A solution, a reference's weights, the grader's own part: in the box none of them is there.
IN_THE_BOX = """
import sys
from pathlib import Path
import score
from score.rollouts.loss_curves import FOLDER

assert any(FOLDER.glob("*.pkl"))
for site in map(Path, sys.path):
    for name in ("pusht_kit", "score/course"):
        if site.is_dir() and (site / name).is_dir():
            print(*(site / name).iterdir())
"""
BOXED = f"""
import subprocess, sys, tempfile
from score.course.sandbox import levels

# Of a usual installation all packages lie in one environment: the box is to see this one too.
sys.exec_prefix = {sys.prefix!r}
level = levels.strictest()
assert level.bubblewrap, level
with tempfile.TemporaryDirectory() as private:
    private = levels.prepare(private, level)
    command = levels.sandboxed([sys.executable, "-c", {IN_THE_BOX!r}], private, level)
    sys.exit(subprocess.run(command, cwd="/").returncode)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """The kit's wheel, built from a copy, which no earlier build has left anything in."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    for name in FOLDERS:
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in FILES:
        shutil.copy(ROOT / name, source)
    pip("wheel", "--no-build-isolation", "--wheel-dir", str(folder), str(source))
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """A function that runs a command of an environment with the wheel, in an empty folder."""
    return environment(wheel, tmp_path_factory.mktemp("installed"))


def environment(wheel, folder):
    """Make an environment with a wheel; return a function that runs a command of it, in an empty
    folder.
    """
    venv.create(folder / "venv")
    python, empty = folder / "venv" / "bin" / "python", folder / "empty"
    empty.mkdir()
    pip("--python", str(python), "install", "--no-index", str(wheel))
    # The packages that the tests run with, without the .pth file by which they have the kit itself.
    ours, theirs = (
        Path(sysconfig.get_path("purelib", vars=variables))
        for variables in (None, {"base": str(folder / "venv")})
    )
    (theirs / "packages.pth").write_text(f"{ours}\n")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "PUSHT"))}
    environment["PATH"] = f"{python.parent}{os.pathsep}{environment['PATH']}"

    def run(*command: str) -> str:
        done = subprocess.run(
            command, cwd=empty, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run.folder = empty
    return run


def pip(*arguments):
    command = [sys.executable, "-m", "pip", *arguments[:-1], "--no-deps", "-q", arguments[-1]]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_wheel_has_every_file_of_the_packages_and_what_stands_beside_them(wheel):
    ours = {
        path.relative_to(ROOT).as_posix()
        for name in FOLDERS
        for path in (ROOT / name).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    with zipfile.ZipFile(wheel) as archive:
        there = {name.removeprefix("pusht_kit/") for name in archive.namelist()}
    assert ours - there == set()
    assert not any(name.startswith(("tests/", "benchmarks/", "docs/")) for name in there)
    assert wheel.name.split("-")[1] == pusht.__version__


def test_the_packages_open_what_they_carry(installed):
    installed("python", "-c", OPENED)


@pytest.mark.long
def test_a_course_is_created_and_built_for_gradescope(installed):
    assert "335 episodes" in installed("python", "-m", "pusht", "demos")
    assert "mycourse" in installed("pusht-kit", "course", "create", "mycourse")
    assert "gradescope.zip" in installed("pusht-kit", "gradescope", "build", "mycourse")
    course = installed.folder / "mycourse"
    bundle = (course / "bundle" / "pusht-kit.zip").read_bytes()
    assert bundle == bundle_bytes(course / "bundle" / "notebooks"), "the checkout's is another"
    with zipfile.ZipFile(course / "gradescope.zip") as archive:
        kit = {name for name in archive.namelist() if name.startswith("kit/")}
    assert {"kit/pusht/sim.py", "kit/requirements.lock", "kit/losses/expected_mlp_loss.pkl"} < kit


def test_in_the_box_nothing_of_the_instructors_is_seen(installed):
    if not levels.strictest().bubblewrap:
        pytest.skip("needs bubblewrap: without it, whoever installs the wheel closes its folder")
    assert installed("python", "-c", BOXED).strip() == ""


def test_the_students_wheel_has_what_the_bundle_has_and_no_solution(tmp_path):
    path = tmp_path / wheel_name()
    path.write_bytes(wheel_bytes(ROOT / "notebooks"))
    with zipfile.ZipFile(path) as archive:
        there = {name.removeprefix("pusht_kit/") for name in archive.namelist()}
    assert {name for name in there if ".dist-info/" not in name} == {*bundled_files()}
    assert wheel_bytes(ROOT / "notebooks") == path.read_bytes()
    run = environment(path, tmp_path)
    about = "import importlib.util, importlib.metadata as about\n"
    about += "assert importlib.util.find_spec('score.course') is None\n"
    about += "assert 'torch>=2.3' in about.requires('pusht-course-kit')\n"
    run("python", "-c", OPENED + about)
