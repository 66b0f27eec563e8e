"""The kit's requirements: one set of ranges in two files, a lock within them, and a students' part
that needs nothing of the instructors'.
"""

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
STUDENT = PROJECT["dependencies"]
INSTRUCTOR = PROJECT["optional-dependencies"]["instructor"]
TEST = [
    line
    for extra in ("cluster", "test", "lint")
    for line in PROJECT["optional-dependencies"][extra]
]
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


def read(name: str) -> dict[str, Requirement]:
    """Return {canonical name: requirement} of a requirements file."""
    lines = (line.partition("#")[0].strip() for line in (ROOT / name).read_text().splitlines())
    return by_name(line for line in lines if line)


def by_name(lines: Iterable[str]) -> dict[str, Requirement]:
    requirements = [Requirement(line) for line in lines]
    named = {canonicalize_name(r.name): r for r in requirements}
    assert len(named) == len(requirements), "a package is named twice"
    return named


def test_requirements_txt_has_pyprojects_ranges():
    assert read("requirements.txt") == by_name(STUDENT + INSTRUCTOR)
    assert set(read("requirements.txt")) >= NAMED_IN_THE_COURSE


def test_lock_pins_exactly_within_the_ranges():
    lock = read("requirements.lock")
    for pin in lock.values():
        assert re.fullmatch(r"==[\w.]+", str(pin.specifier)), (
            f"{pin} is not an exact version that every machine can have"
        )
    for name, requirement in by_name(STUDENT + INSTRUCTOR + TEST).items():
        version = str(lock[name].specifier).removeprefix("==")
        assert version in requirement.specifier, (
            f"the lock has {version}, which is not within {requirement}"
        )


def test_lock_names_no_host_and_no_path():
    for line in (ROOT / "requirements.lock").read_text().splitlines():
        assert line.startswith("#") or re.fullmatch(r"[\w.-]+==[\w.]+", line), line


@pytest.mark.parametrize("pin", read(".ci/colab.txt").values(), ids=str)
def test_range_takes_what_colab_has(pin):
    range_ = by_name(STUDENT)[canonicalize_name(pin.name)]
    assert str(pin.specifier).removeprefix("==") in range_.specifier


def test_students_part_brings_nothing_of_the_instructors():
    instructors = {canonicalize_name(Requirement(line).name) for line in INSTRUCTOR} | {
        "jupyterlab",
        "notebook",
    }
    instructors -= {"psutil", "pyyaml"}  # which IPython and zarr bring anyway
    assert not instructors & brought_by(STUDENT)
    assert "jupyterlab" in brought_by(INSTRUCTOR)


def brought_by(lines: Iterable[str]) -> set[str]:
    """Return the canonical names of requirements and of all that these require, as installed."""
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
    """As on a student's machine, where the instructor's packages and W&B are not installed."""
    absent = [Requirement(line).name for line in INSTRUCTOR] + ["jupyterlab", "notebook", "wandb"]
    loaded_by(f"sys.modules.update(dict.fromkeys({absent})); from {package} import *")


@pytest.mark.parametrize(
    "module, not_loaded",
    [
        ("score.verdict", {"pygame", "zarr", "gym", "gymnasium"}),
        ("score", {"score.course", "nbgrader", "wandb"}),
        ("score.__main__", {"score.course", "nbgrader"}),
    ],
)
def test_a_module_loads_no_more_than_it_needs(module, not_loaded):
    assert not_loaded.isdisjoint(loaded_by(f"import {module}"))


def loaded_by(code: str) -> set[str]:
    """Run code in a fresh process; return the names of the modules that are loaded after it."""
    command = [sys.executable, "-c", f"import sys; {code}; print(*sys.modules, file=sys.stderr)"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stderr.split())
