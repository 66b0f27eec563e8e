"""Setting up says what it will download, takes the CPU build where there is no card, and goes on
with PyPI's where PyTorch's index does not answer.
"""

import importlib.util
from collections import namedtuple
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / ".ci" / "environment.py"


@pytest.fixture
def setup(monkeypatch):
    """The module, on a Linux machine without torch, card and uv, and with the list of commands that
    it ran; the first fails if `index_answers` is False.
    """
    spec = importlib.util.spec_from_file_location("environment", SOURCE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.ran, module.index_answers = [], True

    def run(command):
        module.ran.append(command)
        return module.index_answers or module.CPU_INDEX not in command

    monkeypatch.delenv("TORCH", raising=False)
    monkeypatch.setattr(module, "run", run)
    monkeypatch.setattr(module.sys, "platform", "linux")
    monkeypatch.setattr(module, "has_card", lambda: False)
    monkeypatch.setattr(module, "installed_torch", lambda: None)
    monkeypatch.setattr(module.shutil, "which", lambda name: None)
    room(monkeypatch, module, 100)
    return module


def room(monkeypatch, module, gigabytes):
    usage = namedtuple("usage", "free")(gigabytes * 1e9)
    monkeypatch.setattr(module.shutil, "disk_usage", lambda place: usage)


def from_cpu_index(module):
    return [module.CPU_INDEX in command for command in module.ran]


def test_without_a_card_torch_comes_from_pytorchs_index_and_the_rest_does_not(setup, capsys):
    assert setup.main() is None
    assert from_cpu_index(setup) == [True, False, False]
    assert "About 0.5 GB are downloaded, and 2.2 GB lie in" in capsys.readouterr().out


def test_with_a_card_everything_comes_from_pypi(setup, monkeypatch, capsys):
    monkeypatch.setattr(setup, "has_card", lambda: True)
    assert setup.main() is None
    assert from_cpu_index(setup) == [False, False]
    assert "About 3.1 GB are downloaded" in capsys.readouterr().out


@pytest.mark.parametrize(("torch", "first"), [("cpu", True), ("pypi", False)])
def test_a_variable_says_otherwise(setup, monkeypatch, torch, first):
    monkeypatch.setattr(setup, "has_card", lambda: torch == "cpu")
    monkeypatch.setenv("TORCH", torch)
    assert setup.main() is None and from_cpu_index(setup)[0] == first


def test_an_index_that_does_not_answer_stops_nobody(setup, capsys):
    setup.index_answers = False
    assert setup.main() is None
    assert from_cpu_index(setup) == [True, False, False]
    said = capsys.readouterr().out
    assert "does not answer: PyPI's torch is installed instead" in said and "About 3.1 GB" in said


@pytest.mark.parametrize(("free", "index_answers", "commands"), [(1, True, 0), (4, False, 1)])
def test_a_disk_without_room_is_told_before_anything_is_downloaded(
    setup, monkeypatch, free, index_answers, commands
):
    room(monkeypatch, setup, free)
    setup.index_answers = index_answers
    assert "There is no room" in setup.main() and len(setup.ran) == commands


def test_torch_that_is_there_already_is_not_fetched_again(setup, monkeypatch):
    lock = (SOURCE.parent.parent / "requirements.lock").read_text().splitlines()
    pin = next(line for line in lock if line.startswith("torch=="))
    monkeypatch.setattr(setup, "installed_torch", lambda: pin.partition("==")[2])
    room(monkeypatch, setup, 0.1)
    assert setup.main() is None and from_cpu_index(setup) == [False, False]


def test_elsewhere_pypis_torch_is_the_cpu_build(setup, monkeypatch):
    monkeypatch.setattr(setup.sys, "platform", "darwin")
    assert setup.main() is None and from_cpu_index(setup) == [False, False]


def test_uv_installs_where_it_is(setup, monkeypatch):
    monkeypatch.setattr(setup.shutil, "which", lambda name: f"/bin/{name}" * (name == "uv"))
    assert setup.main() is None
    assert all(command[:3] == ["/bin/uv", "pip", "install"] for command in setup.ran)


def test_another_value_and_a_failure_are_one_sentence(setup, monkeypatch):
    monkeypatch.setenv("TORCH", "gpu")
    assert setup.main() == "TORCH=gpu: only cpu and pypi are known."
    monkeypatch.delenv("TORCH")
    monkeypatch.setattr(setup, "run", lambda command: False)
    assert "The same command goes on from here" in setup.main()
