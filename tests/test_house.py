"""How the code is to look, where no linter counts it: part of `make lint`.

Modules have at most 300 lines, functions at most 50, a folder of `score` about eight names, and every
public function has types. ruff holds the length of lines, import-linter the direction of imports.
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
LONG_MODULES: set[str] = {
    "pusht/demos.py",
    "pusht/figures/generative.py",
    "pusht/figures/playing.py",
    "pusht/figures/world.py",
    "pusht/train.py",
    "pusht/training.py",
    "score/course/collect/repair.py",
    "score/course/grading/class_run.py",
    "score/course/nbgrader/preprocessors.py",
    "score/course/report/pages.py",
    "score/course/report/similarity.py",
    "score/questions/ddpm.py",
    "score/questions/extensions.py",
    "score/rollouts/evaluate.py",
    "score/rubric.py",
    "score/student/progress.py",
}
LONG_FUNCTIONS: set[str] = {
    "pusht/checkpoint.py:load_checkpoint",
    "pusht/chunks.py:evaluate_policy",
    "pusht/figures/generative.py:denoising",
    "pusht/figures/generative.py:latent",
    "pusht/figures/generative.py:noise_schedule",
    "pusht/figures/generative.py:two_ways",
    "pusht/figures/generative.py:velocity",
    "pusht/figures/networks.py:cvae",
    "pusht/figures/networks.py:residual_mlp",
    "pusht/figures/networks.py:unet",
    "pusht/figures/playing.py:Player.widget",
    "pusht/figures/sheet.py:demonstrations",
    "pusht/figures/world.py:chunk",
    "pusht/figures/world.py:receding_horizon",
    "pusht/figures/world.py:window_padding",
    "pusht/video.py:_writer",
    "score/__main__.py:_run",
    "score/__main__.py:main",
    "score/course/collect/repair.py:_Repair.tell",
    "score/course/grading/notebook.py:_graded",
    "score/course/grading/notebook.py:grade_part",
    "score/course/report/pages.py:_loss",
    "score/course/report/pages.py:report",
    "score/course/sandbox/levels.py:_walls",
    "score/course/tools/demo.py:demo",
    "score/questions/ddpm.py:_diffuse_judge",
    "score/questions/ddpm.py:_loss_value_judge",
    "score/questions/ddpm.py:_mean_judge",
    "score/questions/ddpm.py:_schedule_hint",
    "score/questions/ddpm.py:_tables_judge",
    "score/questions/ddpm.py:_variance_judge",
    "score/questions/extensions.py:_ddim_mistakes",
    "score/rollouts/loss_curves.py:compare_losses",
}
CROWDED: set[str] = {
    "score/questions",
}
UNTYPED: set[str] = {
    "pusht/__main__.py",
    "pusht/checkpoint.py",
    "pusht/chunks.py",
    "pusht/dataset.py",
    "pusht/ema.py",
    "pusht/env.py",
    "pusht/figures/generative.py",
    "pusht/figures/moving.py",
    "pusht/figures/networks.py",
    "pusht/figures/page.py",
    "pusht/figures/playing.py",
    "pusht/figures/sheet.py",
    "pusht/figures/world.py",
    "pusht/lr_schedule.py",
    "pusht/networks/mlp.py",
    "pusht/networks/residual_mlp.py",
    "pusht/networks/unet1d.py",
    "pusht/play.py",
    "pusht/progress.py",
    "pusht/render.py",
    "pusht/rollout.py",
    "pusht/sim.py",
    "pusht/tracking.py",
    "pusht/train.py",
    "pusht/training.py",
    "pusht/video.py",
    "score/__main__.py",
    "score/course/__init__.py",
    "score/course/collect/repair.py",
    "score/course/gradescope/autograder.py",
    "score/course/grading/audit.py",
    "score/course/grading/class_run.py",
    "score/course/grading/notebook.py",
    "score/course/grading/question_server.py",
    "score/course/grading/results.py",
    "score/course/grading/workers.py",
    "score/course/nbgrader/gradebook.py",
    "score/course/nbgrader/preprocessors.py",
    "score/course/notebooks/build.py",
    "score/course/notebooks/release.py",
    "score/course/report/pages.py",
    "score/course/report/similarity.py",
    "score/course/sandbox/launcher.py",
    "score/course/sandbox/levels.py",
    "score/course/settings.py",
    "score/course/tools/demo.py",
    "score/course/tools/demonstrations.py",
    "score/course/tools/reference.py",
    "score/protocol.py",
    "score/questions/ddpm.py",
    "score/questions/mistakes.py",
    "score/rollouts/evaluate.py",
    "score/rollouts/loss_curves.py",
    "score/rollouts/policies.py",
    "score/rubric.py",
    "score/student/comparison.py",
    "score/student/progress.py",
    "score/student/published_api.py",
    "score/verdict.py",
}


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
    """Whether all arguments and the returned value have types (`__init__` needs no returned one)."""
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
