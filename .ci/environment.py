"""Install what the kit needs into the virtual environment whose Python runs this: `make setup`.

On Linux, PyPI's torch brings CUDA's libraries. Where no NVIDIA card is seen, PyTorch's own index is
asked for the CPU build of the same version, and PyPI's is taken if that index does not answer. The
environment variable TORCH says otherwise: TORCH=pypi or TORCH=cpu. uv installs if it is there.
"""

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
# With each build of torch: GB to download, and GB on the disk afterwards (Python 3.12, x86_64).
SIZES = {"cpu": (0.5, 2.2), "pypi": (3.1, 6.5)}


def main() -> str | None:
    """Install everything; return what is wrong, in one sentence."""
    build = os.environ.get("TORCH") or ("pypi" if has_card() else "cpu")
    if build not in SIZES:
        return f"TORCH={build}: only cpu and pypi are known."
    lock = ROOT / "requirements.lock"
    pin = re.findall(r"^torch==.+$", lock.read_text(encoding="utf-8"), re.MULTILINE)[0]
    install = installer()
    if pin.partition("==")[2] != installed_torch():
        if error := no_room(build):
            return error
        # Elsewhere PyPI's torch is the CPU build.
        if build == "cpu" and sys.platform == "linux":
            if not run([*install, "--no-deps", "--index-url", CPU_INDEX, pin]):
                print(
                    f"{CPU_INDEX} does not answer: PyPI's torch is installed instead.", flush=True
                )
                if error := no_room("pypi"):
                    return error
    for what in (["-r", str(lock)], ["--no-deps", "--no-build-isolation", "-e", str(ROOT)]):
        if not run([*install, *what]):
            return "Not everything is installed: see above. The same command goes on from here."
    return None


def has_card() -> bool:
    """Return whether this machine has an NVIDIA card with its driver."""
    return Path("/proc/driver/nvidia/version").exists() or bool(shutil.which("nvidia-smi"))


def installed_torch() -> str | None:
    """Return the version of torch in this environment, without that of its build."""
    try:
        return importlib.metadata.version("torch").partition("+")[0]
    except importlib.metadata.PackageNotFoundError:
        return None


def installer() -> list[str]:
    """Return the command that installs packages into this environment."""
    if uv := shutil.which("uv"):
        return [uv, "pip", "install", "--python", sys.executable]
    return [sys.executable, "-m", "pip", "install", "--retries", "2"]


def no_room(build: str) -> str | None:
    """Say how much is downloaded; return a sentence if the disk has no room for it."""
    download, room = SIZES[build if sys.platform == "linux" else "cpu"]
    free = shutil.disk_usage(sys.prefix).free / 1e9
    told = f"About {download:g} GB are downloaded, and {room:g} GB lie in {sys.prefix} at the end."
    print(told, flush=True)  # before what the installer says
    if free < room:
        return f"There is no room: {free:.1f} GB are free at {sys.prefix}, and {room:g} are needed."
    return None


def run(command: list[str]) -> bool:
    """Run a command, whose progress is shown; return whether it did what it should."""
    return subprocess.run(command, check=False).returncode == 0


if __name__ == "__main__":
    sys.exit(main())
