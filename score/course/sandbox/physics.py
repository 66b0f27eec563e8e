"""Keeps the simulator and libraries of physics from a student's kernel, where a policy is to act by
what it has learned and not by trying actions out.
"""

import ast
import importlib.util
import os
from pathlib import Path

from pusht import resources

SIMULATOR = "pusht/sim.py"
# Packages that compute how bodies push each other; those that are installed are hidden.
_LIBRARIES = ("pymunk", "gym_pusht", "Box2D", "pybullet", "mujoco")
_STUB, _EMPTY = "sim.py", "empty"
_COMPILED = "__pycache__/sim.*"  # in pusht/
_IMPORTS = ("pymunk",)  # of the simulator, which the stub does not need
_NOT_HERE = "There is no simulator where a notebook is graded: policies act by what they learned."


def stub() -> str:
    """Return the source of a module with the simulator's names and constants, whose functions and
    methods all raise RuntimeError: code that imports the simulator and does not use it runs.
    """
    source = resources.path(SIMULATOR).read_text(encoding="utf-8")
    tree = _Emptied().visit(ast.parse(source))
    # Annotations name types of the libraries that are not there.
    return f"from __future__ import annotations\n{ast.unparse(ast.fix_missing_locations(tree))}\n"


class _Emptied(ast.NodeTransformer):
    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        node.body = ast.parse(f"raise RuntimeError({_NOT_HERE!r})").body
        return node

    def visit_Import(self, node: ast.Import) -> ast.Import | None:
        return None if node.names[0].name in _IMPORTS else node

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.ImportFrom | None:
        return None if (node.module or "").split(".")[0] in _IMPORTS else node


def lay_out(folder: Path) -> None:
    """Make a folder with what is put in the place of physics: `stub`, and an empty folder."""
    (folder / _EMPTY).mkdir(parents=True)
    (folder / _STUB).write_text(stub(), encoding="utf-8")
    for path in (folder, *folder.iterdir()):  # the kernel's user is to read it
        path.chmod(0o644 if path.is_file() else 0o755)


def replace_in(kit: Path) -> None:
    """Replace the simulator in a copy of the kit."""
    for compiled in (kit / "pusht").glob(_COMPILED):
        compiled.unlink()
    (kit / SIMULATOR).write_text(stub(), encoding="utf-8")


def hidden(laid_out: Path, kit: str) -> list[str]:
    """Return bubblewrap's options that hide physics.

    laid_out: the folder of `lay_out`. kit: where the kit is in the sandbox.
    """
    kits = [kit]
    if resources.ROOT != resources.PACKAGES:  # installed from a wheel, where it is seen too
        kits.append(str(resources.PACKAGES))
    compiled = [path.name for path in resources.path("pusht").glob(_COMPILED)]
    options = []
    for folder in kits:
        options += ["--ro-bind", str(laid_out / _STUB), f"{folder}/{SIMULATOR}"]
        for name in compiled:
            options += ["--ro-bind", "/dev/null", f"{folder}/pusht/__pycache__/{name}"]
    for place in _installed():
        options += ["--ro-bind", str(laid_out / _EMPTY), place]
    return options


def _installed() -> list[str]:
    """Return the folders of the libraries that this interpreter finds."""
    found = [spec for name in _LIBRARIES if (spec := importlib.util.find_spec(name))]
    return [
        os.path.realpath(place) for spec in found for place in spec.submodule_search_locations or ()
    ]
