"""The command that trains and scores the reference solutions."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pusht.checkpoint import load_checkpoint


@pytest.mark.long
def test_a_reference_is_trained_and_scored(tmp_path):
    """With seed 2 and a folder of its own: the command keeps in the kit what seed 1 has trained."""

    def run(*arguments: str) -> str:
        command = [sys.executable, "-m", "score.course.tools.reference", "part1_mlp", *arguments]
        environment = os.environ | {"PUSHT_MAX_EPOCHS": "1"}
        root = Path(__file__).resolve().parent.parent
        return subprocess.run(
            command, cwd=root, env=environment, capture_output=True, text=True, check=True
        ).stdout

    run("--seed", "2", "--folder", str(tmp_path))
    assert len(load_checkpoint(tmp_path / "part1_mlp.safetensors").losses) == 1
    scored = ("--demos", "shipped", "--score", "2")
    assert "MLP: 0." in run(*scored, "--seed", "2", "--folder", str(tmp_path))
    assert "MLP: 0." in run(*scored, "--folder", str(tmp_path / "nothing"))
