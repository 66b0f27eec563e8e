"""What a statement of a notebook does with the notebook's names. Nothing is run here."""

import ast
import dis
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

ALL = "*"  # the name that stands for all those that `from … import *` binds
_LOADS = {"LOAD_NAME", "LOAD_GLOBAL", "LOAD_FROM_DICT_OR_GLOBALS"}
_STORES = {"STORE_NAME", "STORE_GLOBAL"}
_IMPORTS = (ast.Import, ast.ImportFrom)
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_DEFINITIONS = (*_FUNCTIONS, ast.ClassDef)
_COMPOUND = (ast.If, ast.For, ast.AsyncFor, ast.While, ast.With, ast.AsyncWith, ast.Try)
# They change nothing that they are given.
_SHOWING = {"print", "display", "help"}
# A loop, or a function, in which these are called trains.
_TRAINING = {"backward", "epochs"}


@dataclass(frozen=True)
class Statement:
    """A statement of a cell, by the notebook's names.

    line: its first line in the cell, counted from 1. loads: the names that it reads, also inside
    its functions. binds: the names that it gives a value. stores: the names of objects of which it
    sets an attribute or an item. calls: the names of objects of which it calls a method for its
    effect, or that it hands to such a call first, as `nn.init.ones_(scale)` does. reads: the names
    of attributes that it reads, also inside its functions. sets: the attributes that it sets, or
    changes, each behind the name of its object: ("os", "environ"). uses: the names of functions
    that it calls. imports, trains, shows: whether it is an import, trains a network, or is a bare
    expression, such as a trial call or a plot. always: whether it changes how the statements after
    it are read. inside: for a function, what its body does when it is called.
    """

    line: int
    loads: frozenset[str]
    binds: frozenset[str]
    stores: frozenset[str]
    calls: frozenset[str]
    reads: frozenset[str]
    sets: frozenset[tuple[str, str]]
    uses: frozenset[str]
    imports: bool
    trains: bool
    shows: bool
    always: bool
    inside: "Effects | None" = None


@dataclass(frozen=True)
class Effects:
    """What the body of a function does to the notebook's names when it is called: the fields of
    these names of `Statement`.
    """

    name: str
    binds: frozenset[str]
    stores: frozenset[str]
    calls: frozenset[str]
    uses: frozenset[str]
    trains: bool


def statements(tree: ast.Module) -> list[Statement]:
    """Return what each statement of a cell does, in their order."""
    return [_statement(node) for node in tree.body]


def with_effects(one: Statement, functions: Mapping[str, Effects]) -> Statement:
    """Return a statement with what the functions that it calls do to the notebook's names, and
    those that these call in turn. functions: those of the notebook, by name.
    """
    asked, found = [*one.uses], dict[str, Effects]()
    while asked:
        name = asked.pop()
        if name in functions and name not in found:
            found[name] = functions[name]
            asked += functions[name].uses
    if not found or one.trains:
        return one
    effects = found.values()
    return replace(
        one,
        binds=one.binds.union(*(effect.binds for effect in effects)),
        stores=one.stores.union(*(effect.stores for effect in effects)),
        calls=one.calls.union(*(effect.calls for effect in effects)),
        trains=one.shows and any(effect.trains for effect in effects),
    )


def _statement(node: ast.stmt) -> Statement:
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    code = compile(ast.Module([node], []), "<cell>", "exec", flags, dont_inherit=True)
    parts = [*_own_nodes(node)]
    return Statement(
        line=min([node.lineno, *(one.lineno for one in getattr(node, "decorator_list", []))]),
        loads=frozenset(_names(code, _LOADS)),
        binds=frozenset(_bound(code)) | ({ALL} if _is_star(node) else set()),
        stores=_those(_stored, parts),
        calls=_those(_called, parts) | _those(_handed, parts),
        reads=frozenset(one.attr for one in ast.walk(node) if isinstance(one, ast.Attribute)),
        sets=frozenset((_root(one), one.attr) for one in map(_changed, parts) if one),
        uses=_those(_used, [*parts, *_decorators(node)]),
        imports=isinstance(node, _IMPORTS),
        trains=isinstance(node, _COMPOUND) and _trains(parts),
        shows=isinstance(node, (ast.Expr, ast.Assert)),
        always=isinstance(node, ast.ImportFrom) and node.module == "__future__",
        inside=_effects(node, code) if isinstance(node, _FUNCTIONS) else None,
    )


def _effects(node: ast.FunctionDef | ast.AsyncFunctionDef, code: types.CodeType) -> Effects:
    parts = [part for line in node.body for part in ast.walk(line)]
    of_notebook = frozenset(_names(code, _LOADS))  # not the function's own variables
    return Effects(
        name=node.name,
        binds=frozenset(_bound(code)) - {node.name},
        stores=_those(_stored, parts) & of_notebook,
        calls=_those(_called, parts) & of_notebook,
        uses=_those(_used, parts) & of_notebook,
        trains=_trains(parts),
    )


def _those(name_of: Callable[[ast.AST], str], parts: Iterable[ast.AST]) -> frozenset[str]:
    return frozenset(filter(None, map(name_of, parts)))


def _trains(parts: Iterable[ast.AST]) -> bool:
    return any(_method(one) in _TRAINING for one in parts)


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


def _handed(node: ast.AST) -> str:
    """Return the name of what a bare call is given first, which it may change."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and node.value.args:
        return "" if _used(node.value) in _SHOWING else _root(node.value.args[0])
    return ""


def _changed(node: ast.AST) -> ast.Attribute | None:
    """Return the attribute that is set here, or of which an item is, or a method is called."""
    found: ast.AST = node
    if isinstance(node, ast.Expr) and _method(node.value):
        found = node.value.func.value  # type: ignore[attr-defined]
    elif not _stored(node):
        return None
    while isinstance(found, ast.Subscript):
        found = found.value
    return found if isinstance(found, ast.Attribute) else None


def _used(node: ast.AST) -> str:
    function = node.func if isinstance(node, ast.Call) else node
    calls = isinstance(node, ast.Call) and isinstance(function, ast.Name)
    return function.id if calls and isinstance(function, ast.Name) else ""


def _decorators(node: ast.AST) -> Iterator[ast.AST]:
    """Yield calls of a definition's decorators, also of those without brackets."""
    for one in getattr(node, "decorator_list", []):
        yield one if isinstance(one, ast.Call) else ast.Call(one, [], [])
