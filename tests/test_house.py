"""How the code is to look, where no linter counts it: part of `make lint`.

Modules have at most 300 lines, functions at most 50, a folder of `score` about eight names, and
every public function has types. ruff holds the length of lines, import-linter the direction of
imports.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MODULES = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for package in ("pusht", "score")
    for path in sorted((ROOT / package).rglob("*.py"))
}
MODULE_LINES, FUNCTION_LINES, NAMES = 300, 50, 10

# Not yet so. An entry that is no longer needed fails the tests below: remove it.
LONG_MODULES: set[str] = set()
LONG_FUNCTIONS: set[str] = set()
CROWDED: set[str] = {"score"}
UNTYPED: set[str] = set()


def functions(tree: ast.AST, inside: str = "") -> Iterator[tuple[str, ast.FunctionDef]]:
    """Yield (dotted name, function) for the functions and methods of a module, nested ones too."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield inside + node.name, node
        name = f"{inside}{node.name}." if isinstance(node, ast.ClassDef) else inside
        yield from functions(node, name)


def public(tree: ast.AST, inside: str = "") -> Iterator[tuple[str, ast.FunctionDef]]:
    """Yield (dotted name, function) for what a module offers: public functions and methods."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from public(node, f"{inside}{node.name}.")
        elif isinstance(node, ast.FunctionDef) and (
            not node.name.startswith("_") or node.name in ("__init__", "__call__")
        ):
            yield inside + node.name, node


def typed(function: ast.FunctionDef, is_method: bool) -> bool:
    """Whether arguments and the returned value have types (`__init__` needs no returned one)."""
    static = any(ast.unparse(line) == "staticmethod" for line in function.decorator_list)
    arguments = [*function.args.posonlyargs, *function.args.args]
    arguments = arguments[1:] if is_method and not static else arguments
    arguments += function.args.kwonlyargs
    arguments += [rest for rest in (function.args.vararg, function.args.kwarg) if rest]
    returns = function.returns is not None or function.name == "__init__"
    return returns and all(argument.annotation for argument in arguments)


def same(found: set[str], listed: set[str], what: str) -> None:
    assert not found - listed, f"{what}: {', '.join(sorted(found - listed))}"
    assert not listed - found, f"no longer needed in the list: {', '.join(sorted(listed - found))}"


def test_modules_are_short():
    found = {name for name, text in MODULES.items() if text.count("\n") > MODULE_LINES}
    same(found, LONG_MODULES, f"over {MODULE_LINES} lines")


def test_functions_are_short():
    found = {
        f"{module}:{name}"
        for module, text in MODULES.items()
        for name, function in functions(ast.parse(text))
        if function.end_lineno - function.lineno >= FUNCTION_LINES
    }
    same(found, LONG_FUNCTIONS, f"over {FUNCTION_LINES} lines")


def test_public_functions_have_types():
    found = {
        module
        for module, text in MODULES.items()
        for name, function in public(ast.parse(text))
        if not typed(function, "." in name)
    }
    same(found, UNTYPED, "a public function without types")


def crowded() -> set[str]:
    """Return the folders of `score` with too many modules and folders in them."""
    folders: dict[str, set[str]] = {}
    for module in MODULES:
        path = Path(module)
        for inner, outer in zip(path.parts[1:], path.parents[-2::-1], strict=False):
            if not inner.startswith("__") and outer.parts[0] == "score":
                folders.setdefault(outer.as_posix(), set()).add(inner)
    return {folder for folder, names in folders.items() if len(names) > NAMES}


def test_a_folder_of_score_has_few_names():
    same(crowded(), CROWDED, f"a folder with more than {NAMES} names")


@pytest.mark.parametrize(
    "source, is_typed",
    [
        ("def f(x: int) -> int: ...", True),
        ("def f(x: int, *, y: int = 0, **rest: int) -> int: ...", True),
        ("def f(x: int): ...", False),
        ("def f(x) -> int: ...", False),
        ("def f(*x) -> int: ...", False),
        ("def f(*, x) -> int: ...", False),
        ("class C:\n    def __init__(self, x: int): ...", True),
        ("class C:\n    def f(self, x) -> int: ...", False),
        ("class C:\n    @staticmethod\n    def f(x) -> int: ...", False),
    ],
)
def test_a_function_without_types_is_seen(source, is_typed):
    ((name, function),) = public(ast.parse(source))
    assert typed(function, "." in name) == is_typed
