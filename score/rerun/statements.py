"""What a statement of a notebook does with the notebook's names. Nothing is run here."""

import ast
import dis
import types
from collections.abc import Iterator
from dataclasses import dataclass

ALL = "*"  # the name that stands for all those that `from … import *` binds
_LOADS = {"LOAD_NAME", "LOAD_GLOBAL", "LOAD_FROM_DICT_OR_GLOBALS"}
_STORES = {"STORE_NAME", "STORE_GLOBAL"}
_IMPORTS = (ast.Import, ast.ImportFrom)
_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_COMPOUND = (ast.If, ast.For, ast.AsyncFor, ast.While, ast.With, ast.AsyncWith, ast.Try)
# A loop in which these are called trains.
_TRAINING = {"backward", "epochs"}


@dataclass(frozen=True)
class Statement:
    """A statement of a cell, by the notebook's names.

    line: its first line in the cell, counted from 1. loads: the names that it reads, also inside
    its functions. binds: the names that it gives a value. stores: the names of objects of which it
    sets an attribute or an item. calls: the names of objects of which it calls a method for its
    effect. imports, trains, shows: whether it is an import, trains a network, or is a bare
    expression, such as a trial call or a plot.
    """

    line: int
    loads: frozenset[str]
    binds: frozenset[str]
    stores: frozenset[str]
    calls: frozenset[str]
    imports: bool
    trains: bool
    shows: bool


def statements(tree: ast.Module) -> list[Statement]:
    """Return what each statement of a cell does, in their order."""
    return [_statement(node) for node in tree.body]


def _statement(node: ast.stmt) -> Statement:
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    code = compile(ast.Module([node], []), "<cell>", "exec", flags, dont_inherit=True)
    parts = [*_own_nodes(node)]
    return Statement(
        line=min([node.lineno, *(one.lineno for one in getattr(node, "decorator_list", []))]),
        loads=frozenset(_names(code, _LOADS)),
        binds=frozenset(_bound(code)) | ({ALL} if _is_star(node) else set()),
        stores=frozenset(filter(None, map(_stored, parts))),
        calls=frozenset(filter(None, map(_called, parts))),
        imports=isinstance(node, _IMPORTS),
        trains=isinstance(node, _COMPOUND) and any(_method(one) in _TRAINING for one in parts),
        shows=isinstance(node, (ast.Expr, ast.Assert)),
    )


def _is_star(node: ast.stmt) -> bool:
    return isinstance(node, ast.ImportFrom) and any(alias.name == ALL for alias in node.names)


def _names(code: types.CodeType, operations: set[str]) -> Iterator[str]:
    """Yield the names with which a code, or one inside it, does one of these operations."""
    for step in dis.get_instructions(code):
        if step.opname in operations:
            yield step.argval
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names(constant, operations)


def _bound(code: types.CodeType) -> Iterator[str]:
    """Yield the names of the notebook that a code binds: not what a class keeps for itself."""
    for step in dis.get_instructions(code):
        if step.opname in _STORES:
            yield step.argval
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names(constant, {"STORE_GLOBAL"})


def _own_nodes(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes of a statement that run when it runs: not those in functions and classes."""
    if isinstance(node, (*_DEFINITIONS, ast.Lambda)):
        return
    yield node
    for child in ast.iter_child_nodes(node):
        yield from _own_nodes(child)


def _root(node: ast.AST) -> str:
    """Return the name that `a.b[c].d` begins with; "" where it begins with anything else."""
    while isinstance(node, (ast.Attribute, ast.Subscript)):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""


def _stored(node: ast.AST) -> str:
    if isinstance(node, (ast.Attribute, ast.Subscript)) and not isinstance(node.ctx, ast.Load):
        return _root(node)
    return ""


def _method(node: ast.AST) -> str:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        return node.func.attr
    return ""


def _called(node: ast.AST) -> str:
    if isinstance(node, ast.Expr) and _method(node.value):
        return _root(node.value.func) if isinstance(node.value, ast.Call) else ""
    return ""
