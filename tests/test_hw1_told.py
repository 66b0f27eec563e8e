"""What a kernel says that it loaded is believed as far as the grader's own files bear it out."""

import importlib.util
import sys

import pytest
from exports import made_course

from pusht.files import zip_bytes
from score.course.class_run import machine
from score.course.grading.cache_keys import rollout_key, task_key
from score.course.settings import CourseError, RunSettings, open_course
from score.hw1 import FORMAT, imports
from score.hw1.boxed import standins
from score.hw1.loaded import Loaded, read_message, sentence_on_file, sentence_on_settings
from score.hw1.runs.methods import method_of_model, method_of_name
from score.hw1.runs.settings import read_settings
from score.rubric import POLICIES
from score.verdict import AnswerError

NAMES = ["exp/mse/m_9.pkl", "exp/mse/m_10.pkl", "exp/mse/normalizer.json"]
RIGHT = Loaded(NAMES[0], "", [(NAMES[1], f"{NAMES[1]} raised EOFError: none.")], 4, 10)


def test_a_message_says_what_was_loaded():
    assert read_message(RIGHT.message(), NAMES, 300).message() == RIGHT.message()
    assert sentence_on_file(RIGHT) == (
        "Graded: exp/mse/m_9.pkl (step 9), because exp/mse/m_10.pkl cannot be loaded (raised"
        " EOFError: none)."
    )
    assert sentence_on_settings(RIGHT, "mse", 8) == "As in its run, with chunks of 4 actions."


@pytest.mark.parametrize(
    "change",
    [
        {"file": "/etc/passwd"},
        {"file": ["exp/mse/m_9.pkl"]},
        {"statistics": "the seeds are 3, 4 and 5"},
        {"chunk_size": 0},
        {"chunk_size": 301},
        {"chunk_size": True},
        {"steps": 10**9},
        {"skipped": [["another", "why"]]},
        {"skipped": "all"},
    ],
)
def test_a_message_that_names_anything_else_is_refused(change):
    with pytest.raises(AnswerError, match="did not say what it loaded"):
        read_message(RIGHT.message() | change, NAMES, 300)
    for message in (True, None, {}, [RIGHT.message()]):
        with pytest.raises(AnswerError, match="did not say what it loaded"):
            read_message(message, NAMES, 300)


# Names and settings.


@pytest.mark.parametrize(
    "name, method",
    [
        ("mse", "mse"),
        ("MSE", "mse"),
        ("mse_best", "mse"),
        ("MSEPolicy", "mse"),
        ("FlowMatching", "flow"),
        ("flow_matching", "flow"),
        ("flow-v2", "flow"),
        ("my_fm_run", "flow"),
        ("mse_vs_flow", None),
        ("seed_42_20260119_161512", None),
        ("workflow", None),
    ],
)
def test_the_words_of_a_name_say_the_method(name, method):
    assert method_of_name(name) == method


def test_the_class_in_a_pickle_says_the_method_and_two_classes_say_nothing():
    assert method_of_model(b"..hw1_imitation.model FlowMatchingPolicy..") == "flow"
    assert method_of_model(b"MSEPolicy FlowMatchingPolicy") is method_of_model(b"") is None


OF_WANDB = """wandb_version: 1

_wandb:
    desc: null
    value:
        e: {}
chunk_size:
    value: 4
hidden_dims:
    value:
        - 256
        - 128
policy_type:
    value: flow
"""


@pytest.mark.parametrize(
    "name, text",
    [
        ("config.json", '{"policy_type": "flow", "hidden_dims": [256, 128], "chunk_size": 4}'),
        (
            "config.json",
            '{"policy_type": {"value": "flow"}, "hidden_dims": [256, 128], "chunk_size": 4}',
        ),
        ("wandb/files/config.yaml", OF_WANDB),
        ("config.yaml", "policy_type: 'flow'\nchunk_size: 4\nhidden_dims: [256, 128]\n"),
    ],
)
def test_settings_are_read_as_scripts_and_wandb_write_them(name, text):
    settings = read_settings([(name, text.encode())])
    wanted = {"policy_type": "flow", "chunk_size": 4, "hidden_dims": [256, 128]}
    assert settings | wanted == settings


def test_settings_are_numbers_words_and_truth_wherever_they_stand():
    yaml = "policy:\n  dropout: 0.1\n  lr: 3e-4\n  causal: true\n  d_model: 64\nseed: null\n"
    found = read_settings([("config.yaml", yaml.encode())])
    wanted = {"dropout": 0.1, "lr": 3e-4, "causal": True, "d_model": 64, "seed": None}
    assert found | wanted == found
    found = read_settings([("config.json", b'{"model": {"d_model": 64}, "seed": 3}')])
    assert found["d_model"] == 64 and found["seed"] == 3


@pytest.mark.parametrize("text", ["[", "[" * 100_000, "[1]", "", "\0"])
def test_settings_that_cannot_be_read_are_none(text):
    for name in ("config.json", "wandb/files/config.yaml"):
        assert read_settings([(name, text.encode())]) == {}


# Packages.


def packed(source):
    return {FORMAT.packed: zip_bytes({"src/hw1_imitation/model.py": source.encode()})}


def test_where_a_package_that_is_imported_is_installed_later_the_grade_is_made_again(
    monkeypatch, tmp_path
):
    released = b'{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}'
    files = packed("import torch\nimport einops_of_tomorrow as e\n")

    def keys(files):
        settings = RunSettings(20_000, 1)
        policy = POLICIES["part4_mse"]
        return task_key("part4_flow", released, settings, files), rollout_key(
            policy, settings, files
        )

    before, other = keys(files), keys(packed("import torch\n"))
    (tmp_path / "einops_of_tomorrow.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    after = keys(files)
    assert before[0] != after[0] and before[1] != after[1]
    assert keys(packed("import torch\n")) == other


def test_a_course_names_the_packages_of_its_grading_machine(tmp_path):
    course = made_course(tmp_path / "course")
    settings = course.folder / "course.toml"
    text = settings.read_text()
    settings.write_text('packages = ["einops_of_tomorrow", "torch"]\n' + text)
    course = open_course(course.folder)
    assert course.packages == ("einops_of_tomorrow", "torch")
    with pytest.raises(CourseError, match="does not have: `pip install einops_of_tomorrow`"):
        machine.check(course)
    for wrong in ('"einops"', '["-r x"]', "[1, '$(x)']"):
        settings.write_text(f"packages = {wrong}\n{text}")
        with pytest.raises(CourseError, match="packages is .*a list"):
            open_course(course.folder)


def test_of_imports_only_those_that_nothing_provides_are_missing():
    contents = {
        "src/hw1_imitation/model.py": b"import os, torch.nn as nn, not_there.at_all\n"
        b"    from neither_this import x\nfrom . import data\nimport layers, wandb, modal\n"
        b"from hw1_imitation.data import Normalizer\nimport __main__\n",
        "src/hw1_imitation/layers.py": b"",
    }
    assert imports.missing(contents) == ["neither_this", "not_there"]


def test_a_stand_in_takes_what_the_assignments_scripts_do_with_it(monkeypatch):
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path])
    for name in [*sys.modules]:
        if name.partition(".")[0] in ("wandb", "modal"):
            monkeypatch.delitem(sys.modules, name)
    if importlib.util.find_spec("wandb") or importlib.util.find_spec("modal"):
        pytest.skip("the package itself is installed")
    standins.install()
    namespace: dict = {}
    exec(
        "import wandb, modal, wandb.plot\nfrom wandb.sdk.wandb_run import Run\n"
        "app = modal.App('x')\n"
        "@app.function(gpu='A10', timeout=3600)\ndef train(x): return x + 1\n"
        "@app.cls()\nclass Remote: pass\n"
        "class Film(wandb.Video): pass\n"
        "with wandb.init(project='hw1') as run:\n    run.log({'loss': 1})\n"
        "run.config['lr'] = 1\nwandb.run.summary.best = 2\n"
        "answer = train(1), isinstance(3, wandb.Image), list(run.history()), Remote.__name__\n",
        namespace,
    )
    assert namespace["answer"] == (2, False, [], "Remote")
    for name in [name for name in sys.modules if name.partition(".")[0] in ("wandb", "modal")]:
        monkeypatch.delitem(sys.modules, name)
