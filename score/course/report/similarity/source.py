"""Answers without what does not matter in them, so that a copy is equal to its original."""

import ast
import hashlib
import re
import warnings
from collections.abc import Iterable
from typing import Any, NamedTuple

_MAX_CODE = 50_000  # characters of a cell
_WORDS = re.compile(r"\w+")
_SYMBOLS = re.compile(r"'[^']*'|\w+|[^\w\s]")  # a string counts as one
_NAMED: dict[type, str] = {  # the field that holds a node's name
    ast.Name: "id",
    ast.arg: "arg",
    ast.alias: "asname",
    ast.Attribute: "attr",
    ast.FunctionDef: "name",
    ast.AsyncFunctionDef: "name",
    ast.ClassDef: "name",
    ast.ExceptHandler: "name",
}


class Answer(NamedTuple):
    """A digest of what an answer says, and its size: how many words or symbols it has."""

    digest: str
    size: int


def normalised(source: str, in_words: bool) -> Answer:
    """Return the answer that a source is; its size is 0 when it is empty or cannot be compared.

    In code, names that it binds, layout, comments, docstrings, annotations and imports do not
    matter. In words, case and punctuation do not; in code that is not Python, layout and comments.
    """
    if len(source) > _MAX_CODE:
        return Answer("", 0)
    try:
        text = source.lower() if in_words else _plain_code(source)
    except SyntaxError:
        text = re.sub(r"#.*", "", source)
    except (ValueError, RecursionError, MemoryError):
        return Answer("", 0)
    words = (_WORDS if in_words else _SYMBOLS).findall(text)
    digest = hashlib.sha256(" ".join(words).encode("utf-8", "replace"))
    return Answer(digest.hexdigest(), len(words))


def _plain_code(source: str) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what the parser thinks of a student's code
        tree = ast.parse(source)
    _number_names([*ast.walk(tree)])
    return ast.unparse(ast.fix_missing_locations(_Plain().visit(tree)))


def _number_names(nodes: list[ast.AST]) -> None:
    """Number the names that code binds, by first appearance; of attributes only those that it sets
    or defines as methods.
    """
    members = [member for node in nodes if isinstance(node, ast.ClassDef) for member in node.body]
    attributes = _bound([*members, *(node for node in nodes if isinstance(node, ast.Attribute))])
    names = _bound(node for node in nodes if not isinstance(node, ast.Attribute))
    numbers: dict[str, str] = {}
    for node in nodes:
        name = _name(node)
        if name in (attributes if isinstance(node, ast.Attribute) else names):
            setattr(node, _NAMED[type(node)], numbers.setdefault(name, f"name{len(numbers)}"))


def _name(node: ast.AST) -> Any:
    return getattr(node, _NAMED.get(type(node), ""), None)


def _bound(nodes: Iterable[ast.AST]) -> set[str]:
    """Return the names that nodes bind: not those that are only read, or imported as they are."""
    bound = [node for node in nodes if not isinstance(getattr(node, "ctx", None), ast.Load)]
    return {name for name in map(_name, bound) if name}


class _Plain(ast.NodeTransformer):
    """Drops annotations, docstrings and other bare constants, imports and `pass`."""

    def generic_visit(self, node: Any) -> Any:
        for field in {"annotation", "returns"} & {*node._fields}:
            setattr(node, field, None)
        return super().generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> Any:
        plain = node.value and ast.Assign(targets=[node.target], value=node.value)
        return plain and self.generic_visit(plain)

    def visit_Expr(self, node: ast.Expr) -> Any:
        return None if isinstance(node.value, ast.Constant) else self.generic_visit(node)

    def visit_Import(self, node: ast.stmt) -> None:
        return None

    visit_ImportFrom = visit_Pass = visit_Import
