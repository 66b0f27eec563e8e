"""Put the folders beside the packages into the wheel, as `pusht_kit`; see pusht/resources.py.

The rest of the package's configuration is in pyproject.toml, which has no setting for this.
"""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

CARRIED = ("losses", "data", "notebooks/source", "pyproject.toml", "requirements.lock", "LICENSE")


class BuildWithFolders(build_py):
    """`build_py` that also copies the files in `CARRIED`; an editable install needs no copies."""

    def run(self):
        """Build the packages and the folder `pusht_kit` beside them."""
        super().run()
        if self.editable_mode:
            return
        kit = Path(self.build_lib, "pusht_kit")
        shutil.rmtree(kit, ignore_errors=True)
        for name in CARRIED:
            (kit / name).parent.mkdir(parents=True, exist_ok=True)
            if Path(name).is_dir():
                ignored = shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints")
                shutil.copytree(name, kit / name, ignore=ignored)
            else:
                shutil.copy(name, kit / name)


setup(cmdclass={"build_py": BuildWithFolders})
