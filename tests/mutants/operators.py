"""The rules by which a solution is changed, one thing at a time."""

import ast
import difflib
import itertools
from collections import Counter
from typing import NamedTuple


class Mutant(NamedTuple):
    """A changed solution. The name shows the lines that differ, "before => after"."""

    name: str
    source: str


# Operators, functions and methods that are taken for each other.
_BINARY = {
    ast.Add: [ast.Sub],
    ast.Sub: [ast.Add],
    ast.Mult: [ast.Div, ast.Add],
    ast.Div: [ast.Mult],
    ast.Pow: [ast.Mult],
    ast.MatMult: [ast.Mult],
    ast.Mod: [ast.FloorDiv],
}
_ORDERED = ast.Sub, ast.Div, ast.Pow, ast.MatMult, ast.Mod
_COMPARED = {
    ast.Gt: [ast.GtE, ast.Lt],
    ast.GtE: [ast.Gt, ast.Lt],
    ast.Eq: [ast.NotEq, ast.LtE],
}
_TAKEN_FOR = {
    "randn": ["rand", "zeros", "ones"],
    "randn_like": ["rand_like", "zeros_like", "ones_like"],
    "rand": ["randn", "zeros", "ones"],
    "zeros": ["ones", "randn"],
    "ones_like": ["zeros_like"],
    "sum": ["mean"],
    "mean": ["sum"],
    "mse_loss": ["l1_loss", "smooth_l1_loss"],
    "cumprod": ["cumsum"],
    "cos": ["sin", "tan"],
    "sin": ["cos"],
    "exp": ["exp2", "sqrt"],
    "sqrt": ["square"],
    "square": ["abs"],
    "Adam": ["AdamW", "SGD"],
    "ReLU": ["Tanh", "Identity"],
}
# What is done to a tensor on its way, where nothing is to be done to it.
_DONE = (
    ".detach()",
    ".clamp(-1, 1)",
    ".tanh()",
    ".sigmoid()",
    ".relu()",
    ".flip(0)",
    ".mean(0, keepdim=True)",
    ".transpose(-1, -2)",
)
_NUMBERS = "mse_loss", "sum", "mean", "kl_divergence"  # what gives one number
_SHAPES = "view_as", "randn_like", "ones_like", "len"  # what looks at a shape alone
_BEHIND = "nn.ReLU()", "nn.Tanh()", "nn.Sigmoid()", "nn.Softmax(dim=-1)", "nn.GELU()"


def mutants(source, regions):
    """Yield the mutants of a cell's source, each with another name.

    regions: ranges of the solution's lines.
    """
    tree = ast.parse(source)
    before, known, names = ast.unparse(tree), set(), Counter()
    for place in list(_places(tree, regions)):
        for new, also in _changes(place, tree):
            after = place.changed(tree, new, also)
            if after not in {before, *known}:
                known.add(after)
                name = _name(before, after)
                names[name] += 1
                yield Mutant(name + (f" ({names[name]})" if names[name] > 1 else ""), after)


def _name(before, after):
    old, new = before.splitlines(), after.splitlines()
    lines = list(difflib.ndiff(old, new))
    gone, come = ([line[2:].strip() for line in lines if line[0] == sign] for sign in "-+")
    return f"{' ⏎ '.join(gone)} => {' ⏎ '.join(come)}"


class _Place(NamedTuple):
    """A node, where it hangs in the tree, and the function around it."""

    node: ast.AST
    parent: ast.AST
    field: str
    index: int | None
    function: ast.AST

    def changed(self, tree, new, also):
        """The source with other nodes here, in place of so many more behind it, too. The tree is as
        before afterwards.
        """
        whole = getattr(self.parent, self.field)
        if self.index is None:
            [put] = new
        else:
            put = [*whole[: self.index], *new, *whole[self.index + 1 + also :]]
        setattr(self.parent, self.field, put)
        try:
            return ast.unparse(ast.fix_missing_locations(tree))
        finally:
            setattr(self.parent, self.field, whole)


def _places(node, regions, function=None):
    """Yield the places in the regions, outer ones first."""
    function = node if isinstance(node, ast.FunctionDef) else function
    for field, value in ast.iter_fields(node):
        for index, child in enumerate(value) if isinstance(value, list) else [(None, value)]:
            if not isinstance(child, ast.AST):
                continue
            if hasattr(child, "lineno") and any(child.lineno in lines for lines in regions):
                yield _Place(child, node, field, index, function)
            yield from _places(child, regions, function)


def _changes(place, tree):
    """Yield (what stands in place of a node instead, how many more behind it that replaces)."""
    if isinstance(place.node, ast.stmt):
        for new in _statements(place):
            yield new, 0
        yield from _reordered(place)
    elif isinstance(place.node, ast.expr | ast.Slice) and not _is_called(place):
        for new in _expressions(place, tree):
            yield [_parsed(new) if isinstance(new, str) else new], 0


def _is_called(place):
    """Whether a node is the function of a call, which the call's own rules change."""
    return isinstance(place.parent, ast.Call) and place.field == "func"


def _parsed(text):
    return ast.parse(text, mode="eval").body


# Statements.


def _statements(place):
    """Yield a statement left out, repeated, without gradients, without what is around it."""
    node, body = place.node, getattr(place.parent, place.field)
    if not isinstance(node, ast.Return | ast.FunctionDef):
        yield [] if len(body) > 1 else [ast.Pass()]
    if isinstance(node, ast.Expr | ast.Assign | ast.AugAssign):
        yield [node, node]
        yield [_without_gradients(node)]
    elif isinstance(node, ast.With):
        yield node.body
    elif isinstance(node, ast.For):
        yield [_with_body(node, [*node.body, ast.Break()])]
        yield node.body
        if len(node.body) > 1:  # the last line stands behind the loop
            yield [_with_body(node, node.body[:-1]), node.body[-1]]
    elif isinstance(node, ast.If):
        yield node.body
        yield [ast.If(ast.UnaryOp(ast.Not(), node.test), node.body, node.orelse)]
    if isinstance(place.parent, ast.FunctionDef) and "rand" in ast.unparse(place.parent):
        yield [*ast.parse("torch.manual_seed(0)").body, node]


def _reordered(place):
    """Yield a statement and the one behind it in the other order, or both in the loop."""
    node, body = place.node, getattr(place.parent, place.field)
    behind = body[place.index + 1] if place.index + 1 < len(body) else None
    if isinstance(behind, ast.Expr | ast.Assign | ast.AugAssign | ast.If):
        yield [behind, node], 1
        if isinstance(node, ast.For):
            yield [_with_body(node, [*node.body, behind])], 1


def _without_gradients(node):
    [block] = ast.parse("with torch.no_grad():\n    pass").body
    block.body = [node]
    return block


def _with_body(node, body):
    return ast.For(node.target, node.iter, body, node.orelse, None)


# Expressions.


def _expressions(place, tree):
    node = place.node
    by_kind = {
        ast.BinOp: _binary,
        ast.UnaryOp: lambda node: [node.operand],
        ast.Compare: _compared,
        ast.Constant: _constants,
        ast.Call: _calls,
        ast.Subscript: _subscripts,
        ast.Slice: _slices,
        ast.IfExp: lambda node: [node.body, node.orelse],
        ast.Tuple: _sequences,
        ast.List: _sequences,
    }
    if type(node) in by_kind and not isinstance(getattr(node, "ctx", None), ast.Store):
        yield from by_kind[type(node)](node)
    if isinstance(node, ast.Attribute | ast.Name) and isinstance(node.ctx, ast.Load):
        yield from _misnamed(place, tree)
    if _is_value(place):
        text = ast.unparse(node)
        for done in _DONE[:1] if isinstance(node, ast.Call) and _named(node) in _NUMBERS else _DONE:
            yield f"({text}){done}"
        yield from (f"-({text})", f"2 * ({text})")


def _named(call):
    """The last name of a call's function, "mse_loss"."""
    return ast.unparse(call.func).rpartition(".")[2]


def _is_value(place):
    """Whether a node is a whole value: of an assignment, an argument, a result."""
    if isinstance(place.node, ast.Constant | ast.Starred | ast.Tuple | ast.List | ast.Slice):
        return False
    if isinstance(place.parent, ast.Call) and _named(place.parent) in _SHAPES:
        return False
    return (
        isinstance(place.parent, ast.Return | ast.Assign | ast.keyword)
        or (isinstance(place.parent, ast.Call) and place.field == "args")
        or (isinstance(place.parent, ast.Tuple) and isinstance(place.node, ast.Name))
    ) and not isinstance(getattr(place.node, "ctx", None), ast.Store)


def _binary(node):
    for other in _BINARY.get(type(node.op), ()):
        yield ast.BinOp(node.left, other(), node.right)
    if isinstance(node.op, _ORDERED):
        yield ast.BinOp(node.right, node.op, node.left)
    yield from (node.left, node.right)
    # The parentheses of a product or quotient of a sum are left out.
    match node:
        case ast.BinOp(ast.BinOp(first, ast.Add() | ast.Sub(), second), ast.Mult() | ast.Div()):
            yield ast.BinOp(first, node.left.op, ast.BinOp(second, node.op, node.right))


def _compared(node):
    for other in _COMPARED.get(type(node.ops[0]), ()):
        yield ast.Compare(node.left, [other()], node.comparators)


def _constants(node):
    value = node.value
    if isinstance(value, bool):
        yield ast.Constant(not value)
    elif isinstance(value, int | float):
        others = (value + 1, value - 1, 2 * value, -value)
        yield from (_parsed(repr(other)) for other in dict.fromkeys(others) if other != value)
    elif isinstance(value, str):
        yield ast.Constant("other")


def _calls(node):
    function = node.func
    name = _named(node)
    for other in _TAKEN_FOR.get(name, ()):
        named = ast.parse(ast.unparse(function)[: -len(name)] + other, mode="eval").body
        yield ast.Call(named, node.args, node.keywords)
    if isinstance(function, ast.Attribute):
        yield function.value  # x.f() -> x; np.f(…) is no value and raises
    if node.args:
        yield node.args[0]
    yield from (ast.Call(function, args, node.keywords) for args in _other_orders(node.args))
    for i in range(len(node.keywords)):
        rest = [*node.keywords[:i], *node.keywords[i + 1 :]]
        yield ast.Call(function, node.args, rest)
    if name in ("sum", "mean"):
        kept = ast.keyword("keepdim", ast.Constant(True))
        yield ast.Call(function, node.args, [*node.keywords, kept])
    if name == "range":
        [end] = node.args
        text = ast.unparse(end)
        yield from (f"range({text} - 1)", f"range({text} + 1)", f"range(1, {text})")
        yield f"range(1, {text} + 1)"
    if name == "Sequential":
        yield from (
            ast.Call(function, [*node.args, _parsed(behind)], node.keywords) for behind in _BEHIND
        )


def _other_orders(nodes):
    """Yield the lists with two neighbours swapped, or with one left out."""
    for i, j in itertools.pairwise(range(len(nodes))):
        yield [*nodes[:i], nodes[j], nodes[i], *nodes[j + 1 :]]
    if len(nodes) > 1:
        yield from ([*nodes[:i], *nodes[i + 1 :]] for i in range(len(nodes)))


def _sequences(node):
    return (type(node)(elements, node.ctx) for elements in _other_orders(node.elts))


def _subscripts(node):
    text, at = ast.unparse(node.value), ast.unparse(node.slice)
    yield node.value
    if isinstance(node.slice, ast.Name | ast.Attribute):
        yield from (f"{text}[{at} - 1]", f"{text}[{at} + 1]", f"{text}[0]")


def _slices(node):
    for field in ("lower", "upper"):
        if end := getattr(node, field):
            ends = {"lower": node.lower, "upper": node.upper}
            yield ast.Slice(**ends | {field: None})
            for sign in "+-":
                yield ast.Slice(**ends | {field: _parsed(f"{ast.unparse(end)} {sign} 1")})


def _misnamed(place, tree):
    """Yield other names that the function has, and other attributes of the same thing."""
    node = place.node
    if isinstance(node, ast.Attribute):
        base = ast.unparse(node.value)
        others = {
            other.attr
            for other in ast.walk(tree)
            if isinstance(other, ast.Attribute) and ast.unparse(other.value) == base
        }
        yield from (f"{base}.{other}" for other in sorted(others - {node.attr}))
        return
    inner = [n for n in ast.walk(place.function) if isinstance(n, ast.Name | ast.arg)]
    names = {n.arg for n in inner if isinstance(n, ast.arg)}
    names |= {n.id for n in inner if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    if node.id in names and node.id != "self":
        yield from sorted(names - {node.id, "self"})
