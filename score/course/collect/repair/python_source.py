"""What the code of a cell defines. The code is parsed and never run."""

import ast
import functools
import re
import warnings

_MAGIC = re.compile(r"^([ \t]*)[%!?].*$", re.MULTILINE)


def plain(text: str) -> str:
    """Return a text without blank lines around it and without blanks at the ends of its lines."""
    return "\n".join(line.rstrip() for line in text.strip().split("\n"))


def same(one: str, other: str) -> bool:
    """Say whether two texts differ in blanks only."""
    return plain(one) == plain(other)


@functools.lru_cache(maxsize=8)  # the trees of long cells are large
def parsed(source: str) -> tuple[str, list[ast.stmt]]:
    """Return the source that was parsed and its statements.

    Lines for IPython are read as `pass`; what is not Python has no statements.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what the parser thinks of a student's code
        for text in (source, _MAGIC.sub(r"\1pass", source)):
            try:
                return text, ast.parse(text).body
            except (SyntaxError, ValueError, RecursionError, MemoryError):
                continue
    return source, []


def same_code(one: str, other: str) -> bool:
    """Say whether two codes, neither of them empty, differ in layout and comments only."""
    mine, theirs = parsed(one)[1], parsed(other)[1]
    return bool(mine) and _alike(mine, theirs)


def _alike(one: object, other: object) -> bool:
    """Say whether two syntax trees, or parts of them, are equal but for their places in the text.

    It ends at the first difference. Nothing in it depends on how deep the trees are or, unlike
    `ast.dump`, turns long numbers into text.
    """
    pairs = [(one, other)]
    while pairs:
        mine, theirs = pairs.pop()
        if type(mine) is not type(theirs):
            return False
        if isinstance(mine, list) and isinstance(theirs, list):
            if len(mine) != len(theirs):
                return False
            pairs += zip(mine, theirs, strict=True)
        elif isinstance(mine, ast.AST):
            pairs += [
                (getattr(mine, name, None), getattr(theirs, name, None)) for name in mine._fields
            ]
        elif mine != theirs:
            return False
    return True


@functools.lru_cache(maxsize=512)
def bindings(source: str) -> frozenset[tuple[str, str]]:
    """Return (name, kind) of what the code binds: a "definition", "assignment" or "import"."""
    return frozenset(pair for statement in parsed(source)[1] for pair in _bound(statement))


def _bound(statement: ast.stmt) -> set[tuple[str, str]]:
    if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return {(statement.name, "definition")}
    if isinstance(statement, (ast.Import, ast.ImportFrom)):
        return {((alias.asname or alias.name).split(".")[0], "import") for alias in statement.names}
    if not isinstance(statement, (ast.Assign, ast.AnnAssign)):
        return set()
    targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
    return {
        (node.id, "assignment")
        for target in targets
        for node in ast.walk(target)
        if isinstance(node, ast.Name)
    }


def added(source: str, released: str, calls: bool = False) -> list[tuple[set[str], str]]:
    """Return (names, text) of each import, definition and plain value in `source` that `released`
    does not have. calls: what assigns the result of a call too.
    """
    source, statements = parsed(source)
    lines, known, found = source.split("\n"), parsed(released)[1], []
    for statement in statements:
        names = {name for name, _ in _bound(statement)}
        if not names or (_calls(statement) and not calls):
            continue
        if not any(_alike(statement, other) for other in known):
            decorators = getattr(statement, "decorator_list", ())
            start = min([statement.lineno, *(decorator.lineno for decorator in decorators)])
            found.append((names, "\n".join(lines[start - 1 : statement.end_lineno])))
    return found


def _calls(statement: ast.stmt) -> bool:
    """Say whether the statement assigns the result of a call, which is no plain value."""
    value = getattr(statement, "value", None)
    return value is not None and any(isinstance(node, ast.Call) for node in ast.walk(value))
