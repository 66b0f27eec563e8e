"""The kit's requirements: one set of ranges in two files, a lock within them, and a students' part
that needs nothing of the instructors'.
"""

import ast
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


# Not on PyPI under a name of their own, or for students to choose: missing, they are done without.
OPTIONAL = {"google", "wandb"}
NOT_THIRD_PARTY = sys.stdlib_module_names | {"pusht", "score"}


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


def imported(course: bool) -> dict[str, set[str]]:
    """Return {top-level module that is not the kit's or Python's: the kit's files that import it},
    of the files in `score/course` or of all others.
    """
    found: dict[str, set[str]] = {}
    for path in sorted([*ROOT.glob("pusht/**/*.py"), *ROOT.glob("score/**/*.py")]):
        name = path.relative_to(ROOT).as_posix()
        if name.startswith("score/course/") == course:
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                for module in modules_of(node):
                    found.setdefault(module.partition(".")[0], set()).add(name)
    return {name: files for name, files in found.items() if name not in NOT_THIRD_PARTY}


def modules_of(node: ast.AST) -> list[str]:
    """Return the names of the modules that a node imports."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module] if isinstance(node, ast.ImportFrom) and node.module else []


@pytest.mark.parametrize("course", [False, True], ids=["students", "instructors"])
def test_what_is_imported_is_named_and_not_only_brought_by_something_else(course):
    extras = PROJECT["optional-dependencies"]
    named = by_name(STUDENT + (INSTRUCTOR + extras["cluster"] if course else []))
    distributions = metadata.packages_distributions()
    unnamed = {
        module: files
        for module, files in imported(course).items()
        if module not in OPTIONAL
        and not {canonicalize_name(d) for d in distributions.get(module, [])} & named.keys()
    }
    assert unnamed == {}


@pytest.mark.parametrize(
    "code, modules",
    [
        ("import a.b as c, d", ["a.b", "d"]),
        ("def f():\n    from a.b import c", ["a.b"]),
        ("from . import a", []),
        ("a = 'import b'", []),
    ],
)
def test_an_import_is_seen_wherever_it_stands(code, modules):
    assert [name for node in ast.walk(ast.parse(code)) for name in modules_of(node)] == modules


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
    # Which IPython, pooch, zarr and torch bring anyway.
    instructors -= {"psutil", "pyyaml", "numcodecs", "jinja2", "markupsafe", "packaging"}
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
    instructors = brought_by(INSTRUCTOR) - brought_by(STUDENT)
    absent = [
        module
        for module, distributions in metadata.packages_distributions().items()
        if {canonicalize_name(name) for name in distributions} <= instructors
    ]
    assert {"nbgrader", "nbclient", "jupyterlab"} <= set(absent)
    absent.append("wandb")
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
