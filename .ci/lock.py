"""Writes requirements.lock: what pip chooses today for the kit with all its extras. Needs the
network.

It chooses for CPython 3.11.0, the oldest that the kit supports, whichever Python runs it:
what is pinned for that one installs on later ones too, the other way round it would not.
torch keeps the version under which the reference curves and thresholds were measured.
CUDA's packages are left to torch: a machine with the CPU build has none of them.
"""

import sys
import tempfile
import tomllib
from pathlib import Path

from check_wheels import GYM_NEEDS, PYTHONS, ROOT, Pip
from packaging.requirements import Requirement

TORCH = "2.13.0"
CUDA = ("nvidia-", "cuda-", "triton")
HEADER = """\
# Exact versions for the grading machine and CI: the kit with all its extras.
# Chosen for CPython 3.11; the pins have wheels for 3.12 and 3.13 too (make check-wheels).
# To make it again: make lock
"""


def main():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = sum(project["optional-dependencies"].values(), project["dependencies"])
    asked = {Requirement(line).name: line for line in lines}
    with tempfile.TemporaryDirectory() as folder:
        pip = Pip(Path(folder))
        gym = pip.newest(Requirement(asked.pop("gym")))
        asked["torch"] = f"torch=={TORCH}"
        asked["setuptools"] = "setuptools>=77"  # installs the kit itself, without a download
        chosen, error = pip.dry_run([*asked.values(), *GYM_NEEDS], PYTHONS[0])
    if error:
        return error
    # of torch, 2.13.0+cpu is one machine's build of 2.13.0
    pins = {
        name: version.partition("+")[0]
        for name, version in chosen.items()
        if not name.startswith(CUDA)
    }
    pins["gym"] = gym
    (ROOT / "requirements.lock").write_text(
        HEADER + "".join(f"{name}=={pins[name]}\n" for name in sorted(pins))
    )


if __name__ == "__main__":
    sys.exit(main())
