"""How the graded kernel loads a submission of the script assignment."""

import copy
import io
import json
import pickle
import subprocess
import sys
import types

import numpy as np
import pytest
import safetensors.torch
import torch
from hw1_files import (
    HUMAN,
    METHODS,
    MODEL,
    OWN,
    hand_in,
    kit_checkpoint,
    policy,
    run_files,
    saved,
    student_modules,
    whole,
)

from pusht import Normalizer, demos
from pusht.normalisation import MOMENTS
from score import rubric
from score.hw1 import FORMAT
from score.hw1.policy import ScriptPolicy
from score.rollouts.policies import (
    guarded_inference,
    inference_of,
    load_submission_checkpoint,
)
from score.verdict import AnswerError


@pytest.fixture
def code(monkeypatch):
    with student_modules(monkeypatch) as make:
        yield make


# Loading, as the kernel does it.


def answers(folder, method):
    """What the policy of a hand-in in this folder answers to six states, in pixels; AnswerError
    where it cannot be loaded.
    """
    entry = rubric.POLICIES[f"part4_{method}"]
    checkpoint, (model, infer) = (
        load_submission_checkpoint(entry, folder),
        inference_of(entry, [ScriptPolicy(entry.name, 5, 2, 8, folder=folder)]),
    )
    try:
        checkpoint.restore(model)
    except Exception as error:
        raise AnswerError(str(error)) from None
    graded = Normalizer(checkpoint.stats)
    torch.manual_seed(3)
    with torch.no_grad():
        chunks = guarded_inference(entry, infer)(
            graded.normalize_state(STATES)[:, None], len(STATES)
        )
    if chunks.shape[-1] != 2:
        raise AnswerError(f"returned shape {tuple(chunks.shape)}")
    return graded.denormalize_action(chunks)


STATES = torch.from_numpy(
    np.random.default_rng(0).uniform([0] * 5, [512] * 4 + [6.28], (6, 5))
).float()


def expected(model, normalizer=HUMAN):
    torch.manual_seed(3)
    with torch.no_grad():
        chunks = model.sample_actions(normalizer.normalize_state(STATES), num_steps=10)
    return normalizer.denormalize_action(chunks)


def in_main(model):
    """The pickle of a model of a script that was run by itself."""
    kind = type(model)
    kind.__module__ = "__main__"
    sys.modules["__main__"].__dict__[kind.__name__] = kind
    try:
        return saved({"model": model, "step": 3})
    finally:
        del sys.modules["__main__"].__dict__[kind.__name__]


def compiled(model):
    return {f"_orig_mod.{name}": value for name, value in model.state_dict().items()}


FORMS = {
    "a whole model": lambda model: {"checkpoint_step_9.pkl": saved(model)},
    "a whole model where the scripts put it": lambda model: {
        "wandb/files/checkpoints/checkpoint_step_9.pkl": saved(model)
    },
    "weights, as torch wrote them once": lambda model: {
        "m.pth": saved(model.state_dict(), _use_new_zipfile_serialization=False)
    },
    "a whole model by pickle": lambda model: {"model.pkl": pickle.dumps(model)},
    "a whole model of a script that was run by itself": lambda model: {"model.pkl": in_main(model)},
    "weights": lambda model: {"m.pt": saved(model.state_dict())},
    "weights in a checkpoint": lambda model: {
        "m.pt": saved({"step": 3, "optimizer": {}, "model_state_dict": compiled(model)})
    },
    "an average of the weights beside them": lambda model: {
        "m.pt": saved({"model": _other(model), "ema": model.state_dict(), "optimizer": {}})
    },
    "weights inside a trainer's": lambda model: {
        "m.ckpt": saved({"state_dict": _inside("policy.net", model)})
    },
    "an average inside a trainer's, after the weights": lambda model: {
        "m.ckpt": saved(
            {"state_dict": _inside("a_policy.net", model, 9) | _inside("ema.net", model)}
        )
    },
    "weights under a name of its own": lambda model: {
        "m.pt": saved({"agent": model.state_dict(), "optimizer_state": {}})
    },
    "a model in double precision": lambda model: {"m.pkl": saved(copy.deepcopy(model).double())},
    "a model beside what src/ cannot import": lambda model: {
        "m.pkl": saved({"policy": model, "config": _config()})
    },
    "safetensors": lambda model: {"model.safetensors": safetensors.torch.save(model.state_dict())},
    "safetensors before a pickle that is broken": lambda model: {
        "step_1.safetensors": safetensors.torch.save(model.state_dict()),
        "step_2.pkl": b"x",
    },
    "the last of several": lambda model: {
        "step_10.pkl": saved(model),
        "step_9.pkl": b"x",
        "step_9.pt": b"x",
    },
    "a second one where the first is broken": lambda model: {
        "step_10.pkl": b"x",
        "step_9.pkl": saved(model),
    },
}


def _other(model):
    return {name: value + 9 for name, value in model.state_dict().items()}


def _inside(name, model, more=0.0):
    """The weights of a model with names that begin in another way, and something added."""
    weights = model.state_dict()
    return {name + key.removeprefix("net"): value + more for key, value in weights.items()}


def _config():
    module = types.ModuleType("hw1_imitation.train")
    module.TrainConfig = type("TrainConfig", (), {"__module__": "hw1_imitation.train"})
    sys.modules["hw1_imitation.train"] = module
    return module.TrainConfig()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("method", METHODS)
def test_a_policy_acts_as_it_did_in_whatever_form_it_was_kept(tmp_path, code, form, method):
    model = policy(code, method, hidden_dims=(24, 40))
    files, want = run_files(code, {method: FORMS[form](model)}), expected(model)
    for name in ("hw1_imitation", "hw1_imitation.model", "hw1_imitation.train"):
        sys.modules.pop(name, None)  # from now on it is src/'s
    assert torch.allclose(answers(hand_in(tmp_path, files), method), want, atol=0.05)


@pytest.mark.parametrize("size", [1, 4, 12])
@pytest.mark.parametrize("form", ["weights", "settings", "whole"])
def test_a_chunk_is_as_long_as_that_of_the_run(tmp_path, code, size, form):
    module = code()
    torch.manual_seed(0)
    model = module.MSEPolicy(5, 2, size)
    kept = {"m.pt": saved(model if form == "whole" else model.state_dict())}
    if form == "settings":
        kept["wandb/files/config.yaml"] = f"chunk_size:\n    value: {size}\n".encode()
    got = answers(hand_in(tmp_path, run_files(code, {"mse": kept})), "mse")
    assert got.shape == (6, size, 2) and torch.allclose(got, expected(model), atol=0.05)


def test_a_policy_acts_on_the_cpu_where_its_code_names_a_gpu(tmp_path, code):
    model = policy(code, "flow")
    source = MODEL.replace(
        "torch.randn(len(state), self.chunk_size, 2)",
        "torch.randn(len(state), self.chunk_size, 2, device='cuda').to(torch.device('mps')).cuda()",
    ).replace(
        "torch.full((len(state), 1), step",
        "torch.full(device='cuda:0', size=(len(state), 1), fill_value=step",
    )
    assert source.count("cuda") == 3
    files = run_files(code, {"flow": {"m.pt": saved(model.state_dict())}})
    files["src/hw1_imitation/model.py"] = source.encode()
    assert torch.allclose(answers(hand_in(tmp_path, files), "flow"), expected(model), atol=0.05)


def test_after_a_policy_has_acted_torch_keeps_its_generators_as_before():
    script = (
        "import torch\nfrom score.hw1.boxed.devices import OnCPU\n"
        "with OnCPU(), torch.random.fork_rng():\n    torch.rand(1)\n"
        "with torch.random.fork_rng():\n    torch.rand(1)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_of_a_chunk_that_is_longer_than_the_runs_the_beginning_is_executed(tmp_path, code):
    model = code().MSEPolicy(5, 2, 12)
    kept = {"m.pkl": saved(model), "config.json": b'{"chunk_size": 5}'}
    got = answers(hand_in(tmp_path, run_files(code, {"mse": kept})), "mse")
    assert torch.allclose(got, expected(model)[:, :5], atol=0.05)


FLAT = {
    f"{kind}_{name}": OWN[what][name]
    for what, kind in (("obs", "state"), ("action", "action"))
    for name in MOMENTS
}


# A normaliser to [-1, 1] that does the same.
ENDS = {
    f"{kind}_{end}": (np.array(OWN[what]["mean"]) + sign * np.array(OWN[what]["std"])).tolist()
    for what, kind in (("obs", "state"), ("action", "action"))
    for end, sign in (("min", -1), ("max", 1))
}


def _npz(values):
    content = io.BytesIO()
    np.savez(content, **values)
    return content.getvalue()


@pytest.mark.parametrize(
    "kept",
    [
        lambda model: {
            "m.pt": saved(
                {
                    "model": model.state_dict(),
                    "normalizer": {key: torch.tensor(v) for key, v in FLAT.items()},
                }
            )
        },
        lambda model: {
            "m.pt": saved(model.state_dict()),
            "normalizer.json": json.dumps(FLAT).encode(),
        },
        lambda model: {"m.pt": saved(model.state_dict()), "stats.json": json.dumps(OWN).encode()},
        lambda model: {"m.pt": saved(model.state_dict()), "stats.json": json.dumps(ENDS).encode()},
        lambda model: {"m.pt": saved(model.state_dict()), "normalizer.npz": _npz(FLAT)},
        lambda model: {
            "m.pt": saved(model.state_dict()),
            "normalizer.pkl": pickle.dumps(Normalizer(OWN)),
        },
        lambda model: {
            "m.pt": saved(model.state_dict()),
            "normalizer.pkl": pickle.dumps({k: np.array(v) for k, v in FLAT.items()}),
        },
    ],
    ids=[
        "in the checkpoint",
        "flat json",
        "nested json",
        "the least and largest values",
        "npz",
        "pickle of an object",
        "pickle of arrays",
    ],
)
def test_a_normaliser_in_the_run_directory_goes_before_that_of_the_demonstrations(
    tmp_path, code, kept
):
    model = policy(code, "mse")
    got = answers(hand_in(tmp_path, run_files(code, {"mse": kept(model)})), "mse")
    assert torch.allclose(got, expected(model, Normalizer(OWN)), atol=0.05) and not torch.allclose(
        got, expected(model), atol=5
    )


def test_the_normalisation_that_stands_for_none_is_that_of_the_human_demonstrations(human):
    stats = Normalizer.from_data(human.states, human.actions).stats
    for what, moments in HUMAN.stats.items():
        assert all(np.allclose(moments[name], stats[what][name], rtol=1e-5) for name in MOMENTS)


def test_a_file_of_the_kits_brings_its_statistics_its_losses_and_what_it_was_trained_on(
    tmp_path, code
):
    model = policy(code, "mse", hidden_dims=(24,))
    folder = hand_in(
        tmp_path, run_files(code, {"mse": {"policy.safetensors": kit_checkpoint(model)}})
    )
    assert torch.allclose(answers(folder, "mse"), expected(model, Normalizer(OWN)), atol=0.05)
    checkpoint = load_submission_checkpoint(rubric.POLICIES["part4_mse"], folder)
    assert checkpoint.losses == [0.5, 0.4] and demos.name_of(checkpoint.demonstrations) == "shipped"
    other = load_submission_checkpoint(rubric.POLICIES["part4_flow"], folder)
    assert (
        other.weights == {}
        and other.losses == []
        and demos.name_of(other.demonstrations) == "human"
    )


def _itself():
    checkpoint = {}
    checkpoint["model"] = checkpoint
    return pickle.dumps(checkpoint)


WRONG = {
    "model.py raises": (
        lambda files: files | {"src/hw1_imitation/model.py": b"raise OSError('no disk')\n"},
        "src/hw1_imitation/model.py raised OSError: no disk.",
    ),
    "model.py leaves": (
        lambda files: files | {"src/hw1_imitation/model.py": b"import sys\nsys.exit(3)\n"},
        "src/hw1_imitation/model.py ended the program when it was imported (SystemExit: 3): read",
    ),
    "model.py needs what is not there": (
        lambda files: files | {"src/hw1_imitation/model.py": b"import wandb_of_yesterday\n"},
        "src/hw1_imitation/model.py needs the package wandb_of_yesterday, which is not installed",
    ),
    "model.py is gone": (
        lambda files: {name: content for name, content in files.items() if "model.py" not in name},
        "There is no model.py: hand in src/hw1_imitation",
    ),
    "it defines nothing": (
        lambda files: files | {"src/hw1_imitation/model.py": b"x = 1\n"},
        "src/ defines neither build_policy nor MSEPolicy in its model.py.",
    ),
    "build_policy raises": (
        lambda files: (
            files
            | {"src/hw1_imitation/model.py": b"def build_policy(kind):\n    raise KeyError(kind)"}
        ),
        "build_policy raised KeyError: 'mse'.",
    ),
    "build_policy gives no policy": (
        lambda files: files | {"src/hw1_imitation/model.py": b"def build_policy(kind): return 3\n"},
        "build_policy in src/ returned a int; a policy, an nn.Module, is needed.",
    ),
    "weights of another network": (
        lambda files: files | {"exp/mse/m.pt": saved({"other": torch.zeros(3, 3)})},
        (
            "The weights in exp/mse/m.pt do not fit the policy that src/ defines: Error(s) in"
            " loading"
        ),
    ),
    "a shape": (
        lambda files: (
            files
            | {
                "src/hw1_imitation/model.py": (
                    MODEL.replace("(-1, self.chunk_size, 2)", "(-1, 4, 4)").encode()
                )
            }
        ),
        "returned shape (6, 4, 4)",
    ),
    "a file that holds itself": (
        lambda files: files | {"exp/mse/m.pt": _itself()},
        "exp/mse/m.pt holds no model and no weights.",
    ),
    "no model": (
        lambda files: files | {"exp/mse/m.pt": saved({"step": 3})},
        "exp/mse/m.pt holds no model and no weights.",
    ),
    "a model without a policy": (
        lambda files: files | {"exp/mse/m.pt": saved(torch.nn.Linear(2, 2))},
        "exp/mse/m.pt holds a Linear, which has no sample_actions: hand in what",
    ),
    "a damaged file": (
        lambda files: files | {"exp/mse/m.pt": b"PK"},
        "exp/mse/m.pt is not a whole checkpoint (UnpicklingError): copy it again",
    ),
    "no file of a model": (
        lambda files: {name: content for name, content in files.items() if name != "exp/mse/m.pt"},
        "exp/mse has no checkpoint (log.csv is there): copy the whole run directory",
    ),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_cannot_be_loaded_is_reported_in_one_sentence(tmp_path, code, wrong):
    change, sentence = WRONG[wrong]
    files = change(run_files(code, {"mse": {"m.pt": saved(policy(code, "mse").state_dict())}}))
    for name in ("hw1_imitation", "hw1_imitation.model"):
        sys.modules.pop(name, None)
    with pytest.raises(AnswerError) as error:
        answers(hand_in(tmp_path, files), "mse")
    assert str(error.value).startswith(sentence) and "\n" not in str(error.value)


def test_where_there_is_no_box_nothing_is_opened_and_it_is_nobodys_fault(tmp_path, code):
    folder = hand_in(tmp_path, whole(code))
    (folder / FORMAT.packed).unlink()
    with pytest.raises(
        AnswerError,
        match=(
            "without a sandbox, where src/ and the checkpoints in exp/flow are not opened.*not your"
            " fault"
        ),
    ):
        answers(folder, "flow")


def test_a_packed_zip_that_cannot_be_unpacked_is_reported_in_one_sentence(tmp_path, code):
    files = whole(code) | {"src/a.py": b"", "src/a.py/b.py": b""}
    with pytest.raises(
        AnswerError, match="part4_script.zip raised (NotADirectory|FileExists)Error"
    ):
        answers(hand_in(tmp_path, files), "mse")


_OUTSIDE = """
import sys
import score, score.hw1, score.submission.check, score.submission.pack
import score.course.collect.collect, score.course.class_run.grade
from score.submission import formats
assert formats.formats() == (score.hw1.FORMAT,)
print([name for name in ("policy", "loading", "pickles") if f"score.hw1.{name}" in sys.modules])
"""


def test_nothing_outside_the_kernel_imports_what_opens_pickles():
    done = subprocess.run([sys.executable, "-c", _OUTSIDE], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("[]\n", "")
