"""What the kit asks for: one set of ranges in two files, a lock that fits it, a student's part that
stands alone.
"""

import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
STUDENT = PROJECT["dependencies"]
INSTRUCTOR = PROJECT["optional-dependencies"]["instructor"]
TEST = PROJECT["optional-dependencies"]["test"] + PROJECT["optional-dependencies"]["cluster"]
NAMED_IN_THE_COURSE = {
    "torch",
    "numpy",
    "zarr",
    "gym",
    "pymunk",
    "pygame",
    "shapely",
    "scikit-video",
    "matplotlib",
    "ipywidgets",
    "nbgrader",
}


def read(name):
    """{canonical name: Requirement} of a requirements file."""
    lines = (line.partition("#")[0].strip() for line in (ROOT / name).read_text().splitlines())
    return by_name(line for line in lines if line)


def by_name(lines):
    requirements = [Requirement(line) for line in lines]
    named = {canonicalize_name(r.name): r for r in requirements}
    assert len(named) == len(requirements), "a package stands there twice"
    return named


def test_requirements_txt_has_pyprojects_ranges():
    assert read("requirements.txt") == by_name(STUDENT + INSTRUCTOR)
    assert NAMED_IN_THE_COURSE <= set(read("requirements.txt"))


def test_lock_pins_exactly_within_the_ranges():
    lock = read("requirements.lock")
    for pin in lock.values():
        assert re.fullmatch(r"==[\w.]+", str(pin.specifier)), (
            f"{pin} is no exact version for every machine"
        )
    for name, requirement in by_name(STUDENT + INSTRUCTOR + TEST).items():
        version = str(lock[name].specifier).removeprefix("==")
        assert version in requirement.specifier, (
            f"the lock has {version} where {requirement} is asked for"
        )


def test_lock_names_no_host_and_no_path():
    for line in (ROOT / "requirements.lock").read_text().splitlines():
        assert line.startswith("#") or re.fullmatch(r"[\w.-]+==[\w.]+", line), line


@pytest.mark.parametrize("pin", read(".ci/colab.txt").values(), ids=str)
def test_range_takes_what_colab_has(pin):
    asked = by_name(STUDENT)[canonicalize_name(pin.name)]
    assert str(pin.specifier).removeprefix("==") in asked.specifier


def test_students_part_brings_nothing_of_the_instructors():
    instructors = {canonicalize_name(Requirement(line).name) for line in INSTRUCTOR} | {
        "jupyterlab",
        "notebook",
    }
    instructors -= {"psutil", "pyyaml"}  # which IPython and zarr bring anyway
    assert not instructors & brought_by(STUDENT)
    assert "jupyterlab" in brought_by(INSTRUCTOR)


def brought_by(lines):
    """Canonical names of the requirements and of all they bring, as installed here."""
    names, waiting = set(), [Requirement(line) for line in lines]
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        if name not in names:
            names.add(name)
            brings = [Requirement(line) for line in metadata.requires(name) or ()]
            waiting += [r for r in brings if r.marker is None or r.marker.evaluate({"extra": ""})]
    return names


@pytest.mark.parametrize("package", ["pusht", "score"])
def test_imports_without_the_instructors_part(package):
    """As on a student's machine: the instructor's packages and W&B cannot be imported there."""
    absent = [Requirement(line).name for line in INSTRUCTOR] + ["jupyterlab", "notebook", "wandb"]
    code = f"import sys; sys.modules.update(dict.fromkeys({absent})); from {package} import *"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
