"""Shows that what the kit asks for can be had as wheels. Needs the network.

For CPython 3.11, 3.12 and 3.13 on manylinux x86_64, pip resolves requirements.txt
(all of it together) and requirements.lock (pin by pin). Once more for CPython 3.12,
the student's part alone, with the versions that Colab has already (.ci/colab.txt)
held where they are. Prints a table; exits 1 when something has no wheel or does not fit.

Two are looked up and not resolved: torch, whose default wheels bring gigabytes of CUDA,
and gym, a source package, for which its own requirements stand in. pip judges environment
markers by the Python that runs it, so what a package asks for on 3.13 only is not seen.
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


def main():
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
        held = [r for r in read(ROOT / ".ci/colab.txt") if r.name != "gym"]
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
    """The requirements in a requirements file that holds nothing but names and comments."""
    lines = (line.partition("#")[0].strip() for line in path.read_text().splitlines())
    return [Requirement(line) for line in lines if line]


class Pip:
    """The newest pip, in an environment of its own: older ones judge a wheel's
    Requires-Python by the Python that runs them, whichever one they resolve for."""

    def __init__(self, folder):
        self.folder = folder
        venv.create(folder / "venv", with_pip=True)
        self.command = [folder / "venv/bin/python", "-m", "pip", "--disable-pip-version-check"]
        subprocess.run([*self.command, "install", "-q", "-U", "pip"], check=True)

    def newest(self, requirement, python=None):
        """The newest version that the requirement takes, or None; a wheel for `python` if given."""
        options = ["--only-binary=:all:", *target(python)] if python else []
        answer = self.run("index", "versions", requirement.name, *options)
        for line in answer.stdout.splitlines():
            label, _, versions = line.partition(": ")
            if label == "Available versions":
                return next(iter(requirement.specifier.filter(versions.split(", "))), None)
        return None

    def resolve(self, requirements, python, held=(), together=True):
        """({name: version}, problems): the wheels that pip would install for `python`.

        held: versions that must stay as they are. together=False: each requirement for
        itself, without what it brings."""
        found, problems, asked = {}, [], []
        for requirement in requirements:
            if requirement.name == "torch":
                version = self.newest(requirement, python)
                if version:
                    found["torch"] = version
                else:
                    problems.append(str(requirement))
            elif requirement.name == "gym":
                asked += GYM_NEEDS if together else ()
            else:
                asked.append(str(requirement))
        wheels, error = self.dry_run(asked, python, held, together)
        if wheels is None:
            alone = [a for a in asked if self.dry_run([a], python, together=False)[0] is None]
            problems += alone or [error]
        return {**found, **(wheels or {})}, problems

    def dry_run(self, asked, python, held=(), together=True):
        """({name: version}, None), or (None, what pip said)."""
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
            *asked,
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
