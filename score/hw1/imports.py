"""What a submission's code imports, read off its text without running it."""

import importlib.util
import re
import sys
from collections.abc import Iterable, Mapping

PACKAGE = "hw1_imitation"  # the assignment's own package
# The assignment's own dependencies that no policy needs in order to act; see `boxed.standins`.
STAND_INS = ("gym_pusht", "imageio", "modal", "tyro", "wandb")
# {name in an import: name for pip}, where they differ.
DISTRIBUTIONS = {
    "PIL": "pillow",
    "cv2": "opencv-python-headless",
    "dotenv": "python-dotenv",
    "hydra": "hydra-core",
    "pytorch_lightning": "pytorch-lightning",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "yaml": "PyYAML",
}
_IMPORT = re.compile(rb"^[ \t]*(?:import[ \t]+([\w., \t]+)|from[ \t]+([A-Za-z_]\w*))", re.MULTILINE)
_NAME = re.compile(r"[A-Za-z_]\w*")


def missing(contents: Mapping[str, bytes]) -> list[str]:
    """Return the packages that the code among files, {name: content}, imports and that this machine
    does not have, in alphabetical order. A text that only looks like an import may be among them.
    """
    code = [content for name, content in contents.items() if name.endswith(".py")]
    names = {name for content in code for name in _imported(content)}
    modules = {name.rpartition("/")[2].removesuffix(".py") for name in contents}
    names -= {*top_level(contents), *modules, PACKAGE, *STAND_INS, "__main__"}
    names -= sys.stdlib_module_names
    return sorted(name for name in names if importlib.util.find_spec(name) is None)


def top_level(names: Iterable[str]) -> set[str]:
    """Return the packages and modules that these files of src/ are or belong to."""
    tops = (name.removeprefix("src/").partition("/")[0] for name in names)
    return {top.removesuffix(".py") for top in tops}


def _imported(content: bytes) -> set[str]:
    found = set()
    for modules, source in _IMPORT.findall(content):
        for module in (modules or source).decode().split(","):
            if match := _NAME.match(module.strip()):
                found.add(match[0])
    return found
