"""What an import loads: nothing heavy before it is used, and the mode of a graded notebook."""

import ast
import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
from sampled import sampled

import pusht
import pusht.figures
import score
from pusht.resume import own_folder

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = {"pusht": pusht, "pusht.figures": pusht.figures, "score": score}


def fresh(code: str, cwd: Path = ROOT, **environment: str) -> str:
    """What this code prints in a new process, which has to end well and leave stderr empty."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout


@pytest.mark.parametrize("module", ["pusht", "score", "score.verdict", "pusht.progress"])
def test_an_import_loads_nothing_heavy(module):
    heavy = {"gym", "gymnasium", "matplotlib", "pygame", "pymunk", "scipy", "torch", "zarr"}
    heavy |= {"pooch", "tyro", "numpy", "ipywidgets", "wandb"}
    assert fresh(f"import sys, {module}; print(sorted({heavy} & set(sys.modules)))") == "[]\n"


@pytest.mark.parametrize("package", ["pymunk", "pooch"])
def test_a_package_that_is_not_installed_is_missed_at_once(package):
    """The set-up cell of a notebook in Colab waits for this error to install the requirements."""
    said = fresh(
        f"import sys; sys.modules[{package!r}] = None\n"
        "try: import pusht\n"
        "except ModuleNotFoundError as error: print(error)"
    )
    assert said == f"No module named '{package}'\n"


@pytest.mark.parametrize("package", PACKAGES)
def test_public_names_can_be_listed_imported_and_reached(package):
    module = PACKAGES[package]
    assert module.__all__ == dir(module) == sorted(set(module.__all__))
    for name in module.__all__:
        assert getattr(module, name) is not None
    assert fresh(f"from {package} import *; print({module.__all__[0]} is not None)") == "True\n"
    with pytest.raises(AttributeError, match=f"module '{package}' has no attribute 'nothing'"):
        module.nothing  # noqa: B018
    with pytest.raises(ImportError):
        importlib.import_module("pusht.nothing")


@pytest.mark.parametrize("package", PACKAGES)
def test_a_type_checker_sees_the_names_that_python_sees(package):
    tree = ast.parse(Path(PACKAGES[package].__file__).read_text(encoding="utf-8"))
    [checked] = [
        node.body
        for node in tree.body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    ]
    names = [
        (alias.name, alias.asname)
        for node in checked
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    ]
    assert all(name == as_name for name, as_name in names)
    assert sorted(name for name, _ in names) == PACKAGES[package].__all__


def test_no_public_name_is_hidden_by_a_module_of_its_name():
    """`from package import name` would give the module once that has been imported."""
    for package, module in PACKAGES.items():
        for name in module.__all__:
            if (Path(module.__file__).parent / f"{name}.py").exists():
                assert getattr(module, name) is sys.modules[f"{package}.{name}"]


TRAIN = """
import io, sys
import numpy as np, torch
import score
from pusht import Logger, PushTStateDataset, TrainingRun, WindowLoader, max_epochs, progress
from pusht import BasePolicy, Normalizer, evaluate_policy
from pusht.demos import Demonstrations

rng = np.random.default_rng(0)
arrays = rng.uniform(0, 512, (40, 5)), rng.uniform(0, 512, (40, 2))
demonstrations = Demonstrations(*map(np.float32, arrays), np.array([40]))
model = torch.nn.Linear(10, 32)
loader = WindowLoader(PushTStateDataset(demonstrations, 16, 2, 8))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
run = TrainingRun("tiny", model, loader, optimizer, num_epochs=2, seed=1)
for epoch in run.epochs():
    for batch in loader:
        run.log(model(batch["obs"].flatten(1)).square().mean())

class Still(BasePolicy):
    def sample_actions(self, state, *, num_steps=10):
        return torch.zeros(len(state), 8, 2)

normalizer = Normalizer.from_data(*arrays)
logger = Logger("log")
out, sys.stdout = sys.stdout, io.StringIO()
evaluate_policy(Still(5, 2, 8), normalizer, "cpu", 8, (64, 64), 1, 10, 1, logger, 1, 8)
sys.stdout = out
sys.stdout.isatty = lambda: True
with progress.progress_bar(3, "a bar") as bar:
    bar.update()
films = len([*logger.path.rglob("*.mp4")])
print(f"\\nepochs {len(run.losses)} of {max_epochs(2)}, films {films}")
"""


@pytest.mark.parametrize(
    "order", sampled(["import score, pusht", "import pusht, score"], ["import score, pusht"])
)
def test_a_graded_process_neither_trains_nor_shows_nor_films(order, tmp_path):
    said = fresh(f"{order}\n{TRAIN}", cwd=tmp_path)
    assert said.endswith("\nepochs 2 of 2, films 1\n") and "a bar" in said
    assert (tmp_path / "tiny.safetensors").exists()
    (tmp_path / "graded").mkdir()
    graded = {"NBGRADER_EXECUTION": "autograde"}
    assert fresh(f"{order}\n{TRAIN}", cwd=tmp_path / "graded", **graded) == (
        "tiny stays untrained. There is no tiny.safetensors: train, and hand it in beside the"
        " notebook.\n\nepochs 0 of 0, films 0\n"
    )
    assert not own_folder(tmp_path / "graded").exists()
