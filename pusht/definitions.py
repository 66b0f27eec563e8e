"""Load the definitions of a notebook or a Python file as a module, and run nothing else in it.

Definitions are imports, functions, classes, and assignments of plain constants.
"""

import ast
import json
import linecache
import os
import sys
import types
from pathlib import Path


class SetupError(ValueError):
    """Raised when training cannot start from this notebook or with these settings; the message says
    why in one sentence.
    """


def load_definitions(path: str | os.PathLike[str]) -> types.ModuleType:
    """Return a module with the definitions of a notebook (.ipynb) or a Python file.

    Raises SetupError when the file cannot be read or one of the definitions fails.
    """
    path = Path(path)
    module = types.ModuleType(f"definitions_{path.stem}")
    sys.modules[module.__name__] = module  # dataclasses and pickle look there
    for where, source in _sources(path):
        # Tracebacks show lines from this cache.
        linecache.cache[where] = (len(source), None, source.splitlines(keepends=True), where)
        try:
            tree = ast.parse(source, where)
            tree.body = [node for node in tree.body if _is_definition(node)]
            exec(compile(tree, where, "exec", dont_inherit=True), module.__dict__)
        except SyntaxError as error:
            raise SetupError(
                f"{where}, line {error.lineno}, is not valid Python: {error.msg}."
            ) from None
        except Exception as error:  # a student's code may raise anything
            hint = (
                " (only imports, definitions and plain constants are executed)"
                if isinstance(error, NameError)
                else ""
            )
            raise SetupError(
                f"{where} cannot be loaded, {type(error).__name__}: {one_line(error)}{hint}."
            ) from error
    return module


def one_line(error: Exception) -> str:
    """Return an error's message on one line, without a full stop."""
    return " ".join(str(error).split()).rstrip(".")


def _sources(path: Path) -> list[tuple[str, str]]:
    """Return (where, source) for each code cell, or for the whole file."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SetupError(f"{path} cannot be read: {one_line(error)}.") from None
    if path.suffix != ".ipynb":
        return [(str(path), text)]
    # It turns % and ! lines into calls, and calls are not definitions.
    from IPython.core.inputtransformer2 import TransformerManager

    try:
        cells = [
            "".join(cell["source"])
            for cell in json.loads(text)["cells"]
            if cell["cell_type"] == "code"
        ]
    except (ValueError, LookupError, TypeError) as error:
        raise SetupError(
            f"{path} is not a notebook ({type(error).__name__}: {one_line(error)})."
        ) from None
    return [
        (f"{path}, code cell {i}", TransformerManager().transform_cell(cell))
        for i, cell in enumerate(cells, 1)
    ]


def _is_definition(node: ast.stmt) -> bool:
    if isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value is not None:
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        plain = all(isinstance(target, (ast.Name, ast.Tuple)) for target in targets)
        return plain and _is_literal(node.value)
    return isinstance(
        node, (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    )


def _is_literal(node: ast.expr) -> bool:
    try:
        ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return False
    return True
