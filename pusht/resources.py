"""Find the files that the kit carries beside its packages: losses/, data/, notebooks/source/.

In a checkout and in a student's unpacked bundle they stand beside `pusht` and `score`. A wheel
carries them in a folder `pusht_kit`, which setup.py makes and pip installs beside the packages.
"""

from pathlib import Path

# The folder in which `pusht` and `score` are.
PACKAGES = Path(__file__).resolve().parents[1]
_INSTALLED = PACKAGES / "pusht_kit"
# The folder in which everything else is: the kit's own in a checkout, `pusht_kit` beside a wheel's.
ROOT = _INSTALLED if _INSTALLED.is_dir() else PACKAGES


def path(name: str) -> Path:
    """Return the path of a file or folder by its name in the repository, as in `path("losses")`."""
    return _root(name) / name


def find(pattern: str) -> list[tuple[str, Path]]:
    """Return the kit's files that match, as (name in the repository, path), sorted by path.

    pattern: as for `Path.glob`, beginning with a name of the repository: `losses/**/*.pkl`.
    """
    root = _root(pattern)
    files = (file for file in sorted(root.glob(pattern)) if file.is_file())
    return [(file.relative_to(root).as_posix(), file) for file in files]


def _root(name: str) -> Path:
    return PACKAGES if name.partition("/")[0] in ("pusht", "score") else ROOT
