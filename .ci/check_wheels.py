"""Show that every requirement of the kit has a wheel. `make check-wheels` runs it.

For CPython 3.11, 3.12 and 3.13 on manylinux x86_64, pip resolves requirements.txt
(all of it together) and requirements.lock (pin by pin). For CPython 3.12 it also resolves the
students' requirements with Colab's own versions (.ci/colab.txt) held fixed. The script prints a
table, and exits with 1 when a requirement has no wheel or does not fit. It needs the network.

torch and gym are looked up, not resolved: torch's default wheels bring gigabytes of CUDA, and gym
is a source package, whose own requirements are resolved in its place. pip judges environment
markers by the Python that runs it, so a requirement for 3.13 alone is not seen.
"""

import json
import subprocess
import sys
import tempfile
import tomllib
import venv
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
PYTHONS = ("3.11", "3.12", "3.13")
GYM_NEEDS = ("numpy>=1.18", "cloudpickle>=1.2", "gym-notices>=0.0.4")


def main() -> int:
    """Print the table; return 1 where something has no wheel, else 0."""
    everything = read(ROOT / "requirements.txt")
    lock = read(ROOT / "requirements.lock")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    student = [Requirement(line) for line in project["dependencies"]]
    failures = []
    with tempfile.TemporaryDirectory() as folder:
        pip = Pip(Path(folder))
        gym = pip.newest(next(r for r in everything if r.name == "gym"))
        table, pins = {}, {}
        for python in PYTHONS:
            table[python], problems = pip.resolve(everything, python)
            pins[python], lock_problems = pip.resolve(lock, python, together=False)
            failures += [f"{python}: {p}" for p in problems]
            failures += [f"{python}, lock: {p}" for p in lock_problems]
        held = [r for r in read(ROOT / ".ci/colab.txt") if r.name not in ("gym", "torch")]
        colab, problems = pip.resolve(student, "3.12", held=held)
        failures += [f"3.12, Colab: {p}" for p in problems]

    columns = [*(table[p] for p in PYTHONS), colab]
    row = "{:<16}" + "{:<11}" * 4
    print(row.format("", *PYTHONS, "Colab's 3.12"))
    for requirement in everything:
        name = canonicalize_name(requirement.name)
        cells = [column.get(name, "-") for column in columns]
        if name == "gym":
            cells = [f"{gym} src"] * 3 + ["its own"]
        elif name == "torch":
            cells[3] = "its own"
        elif requirement.name not in {r.name for r in student}:
            cells[3] = ""
        print(row.format(requirement.name, *cells))
    print(row.format("all they bring", *(len(column) for column in columns)))
    print(
        row.format(f"lock, {len(lock)} pins", *(len(pins[p]) for p in PYTHONS), ""), "(all but gym)"
    )
    for failure in failures:
        print("NO WHEEL", failure)
    return 1 if failures or gym is None else 0


def read(path):
    """Return the requirements of a file that has only names and comments."""
    lines = (line.partition("#")[0].strip() for line in path.read_text().splitlines())
    return [Requirement(line) for line in lines if line]


class Pip:
    """The newest pip, in an environment of its own.

    Older ones judge a wheel's Requires-Python by the Python that runs them, whichever one they
    resolve for.
    """

    def __init__(self, folder):
        self.folder = folder
        venv.create(folder / "venv", with_pip=True)
        self.command = [folder / "venv/bin/python", "-m", "pip", "--disable-pip-version-check"]
        subprocess.run([*self.command, "install", "-q", "-U", "pip"], check=True)

    def newest(self, requirement, python=None):
        """Return the newest version within the requirement, or None; `python`: of its wheels."""
        options = ["--only-binary=:all:", *target(python)] if python else []
        answer = self.run("index", "versions", requirement.name, *options)
        for line in answer.stdout.splitlines():
            label, _, versions = line.partition(": ")
            if label == "Available versions":
                return next(iter(requirement.specifier.filter(versions.split(", "))), None)
        return None

    def resolve(self, requirements, python, held=(), together=True):
        """Return ({name: version}, problems): the wheels that pip would install for `python`.

        held: versions that must not change. together=False: each requirement alone, without its own
        requirements.
        """
        found, problems, wanted = {}, [], []
        for requirement in requirements:
            if requirement.name == "torch":
                version = self.newest(requirement, python)
                if version:
                    found["torch"] = version
                else:
                    problems.append(str(requirement))
            elif requirement.name == "gym":
                wanted += GYM_NEEDS if together else ()
            else:
                wanted.append(str(requirement))
        wheels, error = self.dry_run(wanted, python, held, together)
        if wheels is None:
            alone = [w for w in wanted if self.dry_run([w], python, together=False)[0] is None]
            problems += alone or [error]
        return {**found, **(wheels or {})}, problems

    def dry_run(self, wanted, python, held=(), together=True):
        """Return ({name: version}, None), or (None, what pip said)."""
        report = self.folder / "report.json"
        constraints = self.folder / "held.txt"
        constraints.write_text("".join(f"{h}\n" for h in held))
        answer = self.run(
            "install",
            "-q",
            "--dry-run",
            "--ignore-installed",
            "--report",
            report,
            "--only-binary=:all:",
            *target(python),
            "-c",
            constraints,
            *([] if together else ["--no-deps"]),
            *wanted,
        )
        if answer.returncode:
            errors = [line for line in answer.stderr.splitlines() if line.startswith("ERROR")]
            return None, " ".join(errors) or answer.stderr
        chosen = [item["metadata"] for item in json.loads(report.read_text())["install"]]
        return {canonicalize_name(c["name"]): c["version"] for c in chosen}, None

    def run(self, *arguments):
        return subprocess.run([*self.command, *arguments], capture_output=True, text=True)


def target(python):
    platforms = [f"manylinux_2_{glibc}_x86_64" for glibc in (28, 27, 24, 17)] + [
        "manylinux2014_x86_64"
    ]
    return [
        "--implementation=cp",
        f"--python-version={python}",
        *(f"--platform={p}" for p in platforms),
    ]


if __name__ == "__main__":
    sys.exit(main())
