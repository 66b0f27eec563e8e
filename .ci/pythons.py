"""Set up, and run demo and tests, on every Python that the kit supports: `make test-pythons`.

Each Python that is found gets an environment of its own, .venv-3.12 for 3.12. The demo's grades
are compared with the recorded ones. What a Python skips and another one runs counts as a failure.
Logs are in build/pythons.
"""

import os
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOGS = ROOT / "build" / "pythons"
PYTHONS = ("3.11", "3.12", "3.13")
# The steps after the environment is made: a name, and what its Python runs.
SET_UP = [".ci/environment.py"]
DEMO = ["-m", "pytest", "-q", "-m", "", "tests/test_unchanged.py", "-k", "the_demo_prints"]
TESTS = ["-m", "pytest", "-q", "-n", "2", "--dist", "worksteal"]


@dataclass
class Outcome:
    """What came out on one Python; `state` says how far it got where that is not to the end."""

    version: str
    state: str = ""
    demo: bool = False
    passed: int = 0
    failed: int = 0
    skipped: dict[str, str] = field(default_factory=dict)  # {test: reason}


def main() -> int:
    """Run everything and print the table; return 1 where a Python fails or differs, else 0."""
    LOGS.mkdir(parents=True, exist_ok=True)
    outcomes = [ran(version) for version in PYTHONS]
    print("\n".join(table(outcomes)))
    return any(map(fails, outcomes)) or any(only_here(outcomes).values())


def ran(version: str) -> Outcome:
    """Return what came out of set-up, demo and tests on a Python."""
    outcome, python = Outcome(version), found(version)
    if python is None:
        outcome.state = "not found"
        return outcome
    folder = ROOT / f".venv-{version}"
    own = folder / "bin" / "python"
    if not own.exists():
        subprocess.run([python, "-m", "venv", "--clear", folder], check=True)
    if not step(version, "set-up", [own, *SET_UP]):
        outcome.state = "no set-up"
        return outcome
    outcome.demo = step(version, "demo", [own, *DEMO])
    junit = LOGS / f"{version}.xml"
    junit.unlink(missing_ok=True)
    step(version, "tests", [own, *TESTS, f"--junitxml={junit}"])
    if junit.exists():
        count(junit, outcome)
    else:
        outcome.state = "no tests"
    return outcome


def found(version: str) -> str | None:
    """Return the newest Python of a version among pyenv's, or the one on the PATH, or None."""
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    pythons = [path for path in root.glob(f"versions/{version}.*/bin/python") if path.is_file()]
    if pythons:
        return str(max(pythons, key=lambda path: int(re.findall(r"\d+", path.parts[-3])[-1])))
    return shutil.which(f"python{version}")


def step(version: str, name: str, command: list[str | Path]) -> bool:
    """Run a step of one Python, whose output goes to a log; return whether it went well."""
    log = LOGS / f"{version}-{name}.log"
    print(f"Python {version}: {name}, see {log.relative_to(ROOT)}", flush=True)
    # nbgrader calls alembic by its name only.
    path = f"{ROOT / f'.venv-{version}' / 'bin'}{os.pathsep}{os.environ['PATH']}"
    with open(log, "w", encoding="utf-8") as file:
        return not subprocess.run(
            command,
            cwd=ROOT,
            env=os.environ | {"PATH": path},
            stdout=file,
            stderr=file,
            check=False,
        ).returncode


def count(junit: Path, outcome: Outcome) -> None:
    """Enter what pytest's report says of the tests."""
    for case in ET.parse(junit).iter("testcase"):
        reason = case.find("skipped")
        if reason is not None:
            name = f"{case.get('classname')}::{case.get('name')}"
            outcome.skipped[name] = reason.get("message", "")
        elif case.find("failure") is not None or case.find("error") is not None:
            outcome.failed += 1
        else:
            outcome.passed += 1


def fails(outcome: Outcome) -> bool:
    """Return whether a Python that is here does not do all that it should."""
    if outcome.state:
        return outcome.state != "not found"
    return bool(outcome.failed) or not outcome.demo


def only_here(outcomes: list[Outcome]) -> dict[str, list[str]]:
    """Return, by Python, the reasons of what it skips and another one runs."""
    ended = [outcome for outcome in outcomes if not outcome.state]
    everywhere = set.intersection(*(set(o.skipped) for o in ended)) if ended else set()
    return {
        outcome.version: sorted({outcome.skipped[t] for t in set(outcome.skipped) - everywhere})
        for outcome in ended
    }


def table(outcomes: list[Outcome]) -> list[str]:
    """Return the lines of the table."""
    lines = ["", "| Python | demo | passed | failed | skipped | skipped here alone |"]
    lines.append("|---|---|---|---|---|---|")
    reasons = only_here(outcomes)
    for o in outcomes:
        if o.state:
            cells = [o.state, "", "", "", ""]
        else:
            demo = "as recorded" if o.demo else "differs"
            why = "; ".join(reasons[o.version]) or "nothing"
            cells = [demo, f"{o.passed}", f"{o.failed}", f"{len(o.skipped)}", why]
        lines.append(f"| {' | '.join([o.version, *cells])} |")
    return lines


if __name__ == "__main__":
    sys.exit(main())
