"""The part of a file of code without which its policies cannot act.

Where a file cannot be imported as a whole, because it trains at once, reads a file that is not
handed in or imports a package that is not installed, its policies may need none of that.
"""

import ast
from collections.abc import Iterator

from IPython.core.inputtransformer2 import TransformerManager

from pusht.train import POLICIES
from score.rerun.statements import ALL, Statement, statements
from score.submission.notebooks import code_cells

_BUILDERS = ("build_policy", "make_policy")


def of_policies(source: str) -> str | None:
    """Return the statements that define the policies in a source, and those that these need; None
    where there is no policy, or the source is no Python.
    """
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    nodes = [node for one in tree.body for node in _single(_Plain().visit(one))]
    lines = [*zip(nodes, statements(ast.Module(nodes, [])), strict=True)]
    kept = [number for number, node in enumerate(nodes) if _is_policy(node)]
    if not kept:
        return None
    wanted = {ALL, *(name for number in kept for name in lines[number][1].loads)}
    modules = {name for _, one in lines if one.imports for name in one.binds}
    grown = True
    while grown:
        grown = False
        for number, (_, one) in enumerate(lines):
            if number not in kept and _makes(one, wanted, wanted - modules):
                kept.append(number)
                wanted |= one.loads
                grown = True
    return "\n\n".join(ast.unparse(nodes[number]) for number in sorted(kept))


def of_notebook(content: bytes) -> str:
    """Return the code of a notebook's cells that are Python, without IPython's own syntax."""
    return "\n\n".join(filter(None, map(_python, code_cells(content))))


def _python(source: str) -> str:
    """Return a cell's code as plain Python; "" where it is none."""
    try:
        text = TransformerManager().transform_cell(source)
        ast.parse(text)
    except Exception:  # IPython and the parser raise anything at what is not Python
        return ""
    return text


class _Plain(ast.NodeTransformer):
    """Leaves out the types of functions' arguments, which no policy needs in order to act."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        return self.generic_visit(node)

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.annotation = None
        return node


def _single(node: ast.stmt) -> Iterator[ast.stmt]:
    """Yield an import of several names as imports of one each, and other statements as they are."""
    if isinstance(node, ast.Import | ast.ImportFrom):
        for alias in node.names:
            if isinstance(node, ast.Import):
                yield ast.copy_location(ast.Import([alias]), node)
            elif node.module != "__future__":
                yield ast.copy_location(ast.ImportFrom(node.module, [alias], node.level), node)
    else:
        yield node


def _is_policy(node: ast.stmt) -> bool:
    if isinstance(node, ast.FunctionDef):
        return node.name in _BUILDERS
    return isinstance(node, ast.ClassDef) and (
        node.name in POLICIES.values()
        or any(
            isinstance(one, ast.FunctionDef) and one.name == "sample_actions" for one in node.body
        )
    )


def _makes(one: Statement, wanted: set[str], objects: set[str]) -> bool:
    """Return whether a statement defines one of the wanted names or changes one of the objects."""
    if one.trains:
        return False
    return bool((not one.shows and one.binds & wanted) or (one.calls | one.stores) & objects)
