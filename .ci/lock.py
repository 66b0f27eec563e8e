"""Write requirements.lock: the versions that pip chooses today for the kit and its extras.

`make lock` runs it. It needs the network. It chooses for CPython 3.11.0, the oldest that the kit
supports, whichever Python runs it: these versions install on later Pythons too, while those of a
later Python might not install on 3.11. The extra `docs` is left out, because no machine that
grades builds the site. torch keeps the version under which the reference curves and thresholds were
measured. CUDA's packages are left to torch: a machine with the CPU build has none of them.
"""

import sys
import tempfile
import tomllib
from pathlib import Path

from check_wheels import GYM_NEEDS, PYTHONS, ROOT, Pip
from packaging.requirements import Requirement

TORCH = "2.13.0"
# With later ones nbformat reads a grammar of IRIs whenever it is imported (rfc3987-syntax, which
# jsonschema asks for): one to two seconds for each command.
JSONSCHEMA = "jsonschema<4.25"
CUDA = ("nvidia-", "cuda-", "triton")
HEADER = """\
# Exact versions for the grading machine and CI: the kit with its extras, but for `docs`.
# Chosen for CPython 3.11; the pins have wheels for 3.12 and 3.13 too (make check-wheels).
# To make it again: make lock
"""


def main() -> str | None:
    """Write the lock; return what pip said where it could not choose."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    lines = sum((extras[name] for name in extras if name != "docs"), project["dependencies"])
    wanted = {Requirement(line).name: line for line in lines}
    with tempfile.TemporaryDirectory() as folder:
        pip = Pip(Path(folder))
        gym = pip.newest(Requirement(wanted.pop("gym")))
        wanted["torch"] = f"torch=={TORCH}"
        wanted["jsonschema"] = JSONSCHEMA
        wanted["setuptools"] = "setuptools>=77"  # installs the kit itself, without a download
        chosen, error = pip.dry_run([*wanted.values(), *GYM_NEEDS], PYTHONS[0])
    if error:
        return error
    # Of torch, 2.13.0+cpu is one machine's build of 2.13.0
    pins = {
        name: version.partition("+")[0]
        for name, version in chosen.items()
        if not name.startswith(CUDA)
    }
    pins["gym"] = gym
    (ROOT / "requirements.lock").write_text(
        HEADER + "".join(f"{name}=={pins[name]}\n" for name in sorted(pins))
    )
    return None


if __name__ == "__main__":
    sys.exit(main())
