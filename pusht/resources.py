"""Find the files that the kit carries beside its packages: losses/, data/, notebooks/source/.

In a checkout and in a student's unpacked bundle they stand beside `pusht` and `score`. A wheel
carries them in a folder `pusht_kit`, which setup.py makes and pip installs beside the packages.
"""

from pathlib import Path

# The folder in which `pusht` and `score` are.
PACKAGES = Path(__file__).resolve().parents[1]
INSTALLED = "pusht_kit"
# The folder of everything else: the kit's folder in a checkout, `pusht_kit` if a wheel is
# installed.
ROOT = PACKAGES / INSTALLED if (PACKAGES / INSTALLED).is_dir() else PACKAGES


def path(name: str) -> Path:
    """Return the path of a file or folder, given its path in the repository: `path("losses")`."""
    return _root(name) / name


def find(pattern: str) -> list[tuple[str, Path]]:
    """Return the kit's files that match, as (path in the repository, path), sorted by path.

    pattern: a pattern of `Path.glob`, relative to the repository, such as `losses/**/*.pkl`.
    """
    root = _root(pattern)
    files = (file for file in sorted(root.glob(pattern)) if file.is_file())
    return [(file.relative_to(root).as_posix(), file) for file in files]


def _root(name: str) -> Path:
    return PACKAGES if name.partition("/")[0] in ("pusht", "score") else ROOT
