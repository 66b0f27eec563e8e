"""From a terminal, the student's own classes and loop are trained; nothing else in the notebook
runs.
"""

import ast
import csv
import dataclasses
import inspect
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from pusht import PushtChunkDataset
from pusht import train as training
from pusht.checkpoint import load_checkpoint
from pusht.demos import Demonstrations
from pusht.normalisation import MOMENTS
from pusht.train import SetupError, TrainConfig, load_definitions, prepare, run

POLICIES = """
class MSEPolicy(BasePolicy):
    def __init__(self, state_dim, action_dim, chunk_size, hidden_dims=(256,)):
        super().__init__(state_dim, action_dim, chunk_size)
        self.net = nn.Sequential(nn.Linear(state_dim, hidden_dims[0]), nn.ReLU(),
                                 nn.Linear(hidden_dims[0], chunk_size * action_dim))

    def compute_loss(self, state, action_chunk):
        return ((self.sample_actions(state) - action_chunk) ** 2).mean()

    def sample_actions(self, state, *, num_steps=10):
        return self.net(state).view(-1, self.chunk_size, self.action_dim)


class FlowMatchingPolicy(MSEPolicy):
    def compute_loss(self, state, action_chunk):
        raise NotImplementedError("Q4.3")
"""
TRAIN = """
def train(policy, loader, normalizer, logger, config):
    optimizer = torch.optim.Adam(policy.parameters(), lr=config.lr)
    step = 0
    for epoch in range(config.num_epochs):
        for state, chunk in loader:
            loss = policy.compute_loss(state, chunk)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            step += 1
            if step % config.log_interval == 0:
                logger.log({"train/loss": loss}, step)
            if step % config.eval_interval == 0:
                evaluate_policy(
                    policy, normalizer, config.device, config.chunk_size, config.video_size,
                    config.num_video_episodes, config.flow_num_steps, step, logger, NUM_EPISODES,
                    max_steps=16,
                )
    logger.dump_for_grading()
"""
IMPORTS = "import torch\nfrom torch import nn\nfrom pusht import BasePolicy, evaluate_policy\n"
SMALL = {
    "batch_size": 16,
    "num_epochs": 2,
    "hidden_dims": (32,),
    "log_interval": 5,
    "eval_interval": 8,
    "num_video_episodes": 0,
}


def notebook(path: Path, *cells: str) -> Path:
    """A notebook of these code cells, with prose between them."""
    code = [
        {
            "cell_type": "code",
            "source": cell.splitlines(keepends=True),
            "outputs": [],
            "metadata": {},
        }
        for cell in cells
    ]
    prose = {"cell_type": "markdown", "source": ["def no_python(:"], "metadata": {}}
    path.write_text(
        json.dumps(
            {"cells": [prose, *code, prose], "nbformat": 4, "nbformat_minor": 5, "metadata": {}}
        )
    )
    return path


def small_demonstrations() -> Demonstrations:
    rng = np.random.default_rng(0)
    return Demonstrations(
        rng.uniform(0, 512, (150, 5)).astype(np.float32),
        rng.uniform(0, 512, (150, 2)).astype(np.float32),
        np.array([70, 150]),
    )


@pytest.fixture
def whole(tmp_path) -> Path:
    """A notebook whose own cells would never end."""
    return notebook(
        tmp_path / "part4_flow.ipynb",
        "%matplotlib inline\n!pip install nothing\n" + IMPORTS,
        "NUM_EPISODES = 2",
        POLICIES,
        TRAIN,
        "while True:\n    train()",
    )


# Definitions only.


@pytest.mark.parametrize("kind", [".ipynb", ".py"])
def test_nothing_but_definitions_is_executed(kind, tmp_path, capfd):
    source = (
        "import math\nfrom os import path as p\nprint('ran')",
        "SIZE = 8\nA, B = 1, (2, 3)\nname: str = 'x'\nsize = math.sqrt(4)",
        "raise RuntimeError('ran')\ndef area(r):\n    return r * SIZE",
        "train(1)\nclass Thing:\n    size = SIZE",
        "for i in range(3):\n    print('ran')",
        "if True:\n    hidden = 1",
        "with open('ran', 'w') as f:\n    pass",
        "1 / 0",
    )
    path = tmp_path / f"student{kind}"
    notebook(path, *source) if kind == ".ipynb" else path.write_text("\n".join(source))
    module = load_definitions(path)
    assert (
        module.area(2) == 16
        and module.Thing.size == 8
        and (module.A, module.B, module.name) == (1, (2, 3), "x")
    )
    assert module.math and module.p
    assert not any(hasattr(module, name) for name in ("size", "hidden", "i", "f"))
    assert capfd.readouterr() == ("", "") and not Path("ran").exists()


def test_lines_for_ipython_are_passed_over(tmp_path):
    module = load_definitions(
        notebook(
            tmp_path / "a.ipynb",
            "%pip install x\n!ls\nfiles = !ls\ndef f():\n    !ls\n    return 1",
            "%%bash\nfor i in 1; do",
            "f?",
            "def g():\n    return '''\n% of !'''",
        )
    )
    assert callable(module.f) and module.g() == "\n% of !" and not hasattr(module, "files")


def test_later_cells_replace_earlier_definitions(tmp_path):
    module = load_definitions(
        notebook(tmp_path / "a.ipynb", "def f():\n    return 1", "def f():\n    return 2")
    )
    assert module.f() == 2


def test_dataclasses_of_a_notebook_work(tmp_path):
    cell = (
        "from __future__ import annotations\nfrom dataclasses import dataclass\n@dataclass\nclass"
        " A:\n    x: int = 3"
    )
    assert load_definitions(notebook(tmp_path / "a.ipynb", cell)).A().x == 3


@pytest.mark.parametrize(
    "cells, message",
    [
        (["x = 1", "def f(:\n    pass"], r"a\.ipynb, code cell 2, line 1, is not valid Python: "),
        (
            ["import no_such_module"],
            r"code cell 1 cannot be loaded, ModuleNotFoundError: .*no_such_module",
        ),
        (
            ["size = len('abc')", "def f(size=size):\n    pass"],
            r"cell 2 .*NameError: .*only imports, definitions and plain constants",
        ),
    ],
)
def test_a_cell_that_cannot_be_taken_over_is_named(cells, message, tmp_path):
    with pytest.raises(SetupError, match=message) as caught:
        load_definitions(notebook(tmp_path / "a.ipynb", *cells))
    assert_one_sentence(str(caught.value))


@pytest.mark.parametrize(
    "name, content",
    [
        ("a.ipynb", "{"),
        ("a.ipynb", "[]"),
        ("a.ipynb", '{"cells": [{}]}'),
        ("missing.py", None),
        ("a.py", b"\xff\xfe"),
    ],
)
def test_a_file_that_is_no_notebook_and_no_module_is_named(name, content, tmp_path):
    if content is not None:
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(SetupError, match=name) as caught:
        load_definitions(tmp_path / name)
    assert_one_sentence(str(caught.value))


def assert_one_sentence(text: str) -> None:
    assert "\n" not in text and text.endswith("."), text


# A run.


def test_a_notebook_gets_what_the_terminal_gets():
    config, demonstrations = (
        TrainConfig(batch_size=16, seed=5, chunk_size=6),
        small_demonstrations(),
    )
    loader, normalizer = prepare(config, demonstrations)
    dataset = PushtChunkDataset(
        demonstrations.states, demonstrations.actions, demonstrations.episode_ends, 6, normalizer
    )
    plain = DataLoader(
        dataset, 16, shuffle=True, drop_last=True, generator=torch.Generator().manual_seed(5)
    )
    for mine, theirs in zip(loader, plain, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(mine, theirs, strict=True))


def test_the_students_policy_and_loop_are_trained(whole, tmp_path):
    config, demonstrations = TrainConfig(seed=3, exp_name="mine", **SMALL), small_demonstrations()
    loggers = [
        run(load_definitions(whole), config, demonstrations, folder=tmp_path / folder)
        for folder in ("one", "two")
    ]
    steps = 2 * (136 // 16)
    assert [row["step"] for row in loggers[0].rows] == [5, 8, 10, 15, steps]
    assert loggers[0].rows == loggers[1].rows  # the seed decides
    assert loggers[0].path.name.startswith("seed_3_") and loggers[0].path.name.endswith("_mine")
    handed_in = load_checkpoint(loggers[0].path / "policy.safetensors", MOMENTS)
    assert (
        handed_in.demonstrations == demonstrations.fingerprint
        and handed_in.seed == 3
        and handed_in.num_epochs == 2
    )
    assert handed_in.config["hidden_dims"] == [32] and handed_in.config["model"] == "MSEPolicy"
    other = run(
        load_definitions(whole),
        dataclasses.replace(config, seed=4),
        demonstrations,
        folder=tmp_path,
    )
    assert other.rows != loggers[0].rows


def test_what_is_still_to_be_written_is_named(whole, tmp_path):
    with pytest.raises(SetupError, match=r"still to be written: Q4\.3\.$"):
        run(
            load_definitions(whole),
            TrainConfig(policy="flow", **SMALL),
            small_demonstrations(),
            folder=tmp_path,
        )


@pytest.mark.parametrize(
    "cells, message",
    [
        ([POLICIES], r"^train is not defined"),
        ([TRAIN], r"^MSEPolicy is not defined"),
        (
            [POLICIES, "def train(policy, loader):\n    pass"],
            r"^train is called with arguments that it does not take: .*too many positional",
        ),
        (
            [POLICIES.replace("hidden_dims=", "widths="), TRAIN],
            r"^MSEPolicy is called with arguments that it does not take: .*hidden_dims",
        ),
    ],
)
def test_definitions_that_do_not_fit_are_named(cells, message, tmp_path):
    module = load_definitions(notebook(tmp_path / "a.ipynb", IMPORTS, *cells))
    with pytest.raises(SetupError, match=message) as caught:
        run(module, TrainConfig(**SMALL), small_demonstrations(), folder=tmp_path / "exp")
    assert_one_sentence(str(caught.value))


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"chunk_size": 100}, "chunk of 100"),
        ({"batch_size": 500}, "batch of 500"),
        ({"batch_size": 0}, "batch_size"),
        ({"exp_name": "a/b"}, "plain word"),
        ({"device": "abacus"}, "abacus"),
    ],
)
def test_settings_that_do_not_fit_are_refused_before_anything_is_written(
    wrong, message, whole, tmp_path
):
    with pytest.raises(SetupError, match=message) as caught:
        run(
            load_definitions(whole),
            TrainConfig(**{**SMALL, **wrong}),
            small_demonstrations(),
            folder=tmp_path / "exp",
        )
    assert_one_sentence(str(caught.value))
    assert not (tmp_path / "exp").exists()


# The terminal.


def test_every_field_is_an_option_with_a_line_of_help(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as ended:
        training.main(["--help"])
    assert ended.value.code == 0
    shown = " ".join(capsys.readouterr().out.replace("│", " ").split())
    body = ast.parse(inspect.getsource(TrainConfig)).body[0].body[1:]
    documented = {
        field.target.id: ast.literal_eval(text.value)
        for field, text in zip(body[::2], body[1::2], strict=True)
    }
    assert documented.keys() == {field.name for field in dataclasses.fields(TrainConfig)}
    for name, text in documented.items():
        assert f"--{name.replace('_', '-')} " in shown and f"{text} (default: " in shown


def test_an_option_of_another_type_is_refused(capsys):
    with pytest.raises(SystemExit) as ended:
        training.main(["a.py", "--seed", "many"])
    assert ended.value.code == 2 and "--seed" in capsys.readouterr().err


def test_options_become_the_configuration(monkeypatch):
    seen, finished = [], SimpleNamespace(path="exp/run")
    monkeypatch.setattr(training, "load_definitions", lambda path: path)
    monkeypatch.setattr(
        training, "run", lambda definitions, config, where: seen.append((config, where)) or finished
    )
    monkeypatch.setattr(sys, "path", [*sys.path])
    training.main(["a.py"])
    training.main(
        [
            "a.py",
            "--policy",
            "flow",
            "--lr",
            "1e-3",
            "--hidden-dims",
            "8",
            "9",
            "--video-size",
            "96",
            "96",
            "--demos",
            "d",
        ]
    )
    assert seen == [
        (TrainConfig(), None),
        (TrainConfig(policy="flow", lr=1e-3, hidden_dims=(8, 9), video_size=(96, 96)), "d"),
    ]


def terminal(*arguments, cwd) -> subprocess.CompletedProcess:
    env = {"PYTHONPATH": str(Path(__file__).resolve().parents[1]), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, "-m", "pusht.train", *map(str, arguments)],
        cwd=cwd,
        env=env,
        capture_output=True,
        text=True,
    )


def test_a_run_from_a_terminal(whole, demos_path, tmp_path):
    done = terminal(
        whole.name,
        "--num-epochs",
        1,
        "--log-interval",
        100,
        "--eval-interval",
        90,
        "--num-video-episodes",
        1,
        "--video-size",
        64,
        64,
        "--demos",
        Path(demos_path).resolve(),
        cwd=tmp_path,
    )
    assert done.returncode == 0 and done.stderr == "", done.stderr
    [path] = (tmp_path / "exp").iterdir()
    assert (
        done.stdout.endswith(f"The run is in exp/{path.name}\n")
        and path.name.startswith("seed_42_")
        and path.name.endswith("_mse")
    )
    rows = list(csv.DictReader((path / "log.csv").read_text().splitlines()))
    assert [
        (row["step"], bool(row["train/loss"]), bool(row["eval/mean_reward"])) for row in rows
    ] == [("90", False, True), ("100", True, False), ("180", False, True)]
    assert {p.suffix for p in path.rglob("*") if p.is_file()} == {
        ".csv",
        ".json",
        ".mp4",
        ".safetensors",
    }


def test_a_terminal_shows_a_sentence_and_no_traceback(tmp_path):
    done = terminal(notebook(tmp_path / "a.ipynb", "def f(:"), cwd=tmp_path)
    assert done.returncode == 1 and done.stdout == ""
    assert_one_sentence(done.stderr.strip())


def test_training_needs_neither_nbformat_nor_jupytext_nor_wandb(tmp_path):
    code = (
        "import sys\nfor name in ('nbformat', 'jupytext', 'nbgrader', 'wandb', 'tyro'):"
        " sys.modules[name] = None\nimport pusht.train\n"
        "print(pusht.train.load_definitions(sys.argv[1]).A)"
    )
    path = notebook(tmp_path / "a.ipynb", "A = 3")
    done = subprocess.run(
        [sys.executable, "-c", code, path],
        cwd=Path(__file__).resolve().parents[1],
        capture_output=True,
        text=True,
    )
    assert (done.stdout, done.stderr) == ("3\n", "")
