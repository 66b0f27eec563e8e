"""A catalogue of the script assignment's hand-ins, made up after real ones.

python tests/hand_ins.py [NAME…]            loads them, and prints what is graded and the sentence
python tests/hand_ins.py --graded [NAME…]   has them graded in the grader's own sandbox
"""

import io
import json
import pickle
import re
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from hw1_files import METHODS, MODEL, OWN, hand_in, layout_of, saved
from torch import nn

from pusht.checkpoint import MAX_BYTES, CheckpointError
from score import rubric
from score.hw1 import FORMAT
from score.hw1.policy import ScriptPolicy
from score.submission import formats

PACKAGE = "src/hw1_imitation"
CHECKPOINT = "wandb/files/checkpoints/checkpoint_step_{}.pkl"
LOG = b"step,eval/mean_reward\n10,0.5\n"
Files = dict[str, bytes]


class Code:
    """Makes models of classes that a student's module defines. make: of `student_modules`."""

    def __init__(self, make: Callable) -> None:
        self.make = make

    def model(self, method, source=MODEL, name="hw1_imitation.model", **sizes):
        torch.manual_seed(1)
        sizes = {"state_dim": 5, "action_dim": 2, "chunk_size": 8} | sizes
        return self.make(source, name).build_policy(method, **sizes)


def run(model, step=10, config="", log=LOG) -> Files:
    """The files of a run directory as the assignment's scripts leave it."""
    files = {CHECKPOINT.format(step): saved(model), "log.csv": log, "wandb/run-a.wandb": b"x"}
    if config:
        files["wandb/files/config.yaml"] = config.encode()
    return files


def config(**settings) -> str:
    """A config.yaml as W&B writes it."""
    lines = ["wandb_version: 1", ""]
    for key, value in settings.items():
        lines.append(f"{key}:\n    desc: null")
        if isinstance(value, tuple):
            lines += ["    value:", *(f"        - {one}" for one in value)]
        else:
            lines.append(f"    value: {value}")
    return "\n".join([*lines, ""])


def submission(code, names=METHODS, source=MODEL, package=PACKAGE, configs=("", ""), exp="exp/"):
    """The files of a hand-in with these names of the run directories."""
    files = {f"{package}/model.py": source.encode(), f"{package}/__init__.py": b""}
    for method, name, text in zip(METHODS, names, configs, strict=True):
        inside = run(code.model(method, source), config=text)
        files |= {f"{exp}{name}/{path}": content for path, content in inside.items()}
    return files


def with_source(change):
    """A hand-in whose model.py is changed after the training."""
    return lambda code: submission(code) | {f"{PACKAGE}/model.py": change(MODEL).encode()}


def only(code, files: Files, source=MODEL) -> Files:
    """A hand-in of the code, a usual flow run and these files of the MSE run."""
    usual = submission(code, source=source)
    kept = {name: x for name, x in usual.items() if not name.startswith("exp/mse/")}
    return kept | {f"exp/mse/{name}": content for name, content in files.items()}


STARTED = tuple(f"seed_42_2026011{day}_161512" for day in (8, 9))
BY_CONFIG = tuple(config(policy_type=method, chunk_size=8) for method in METHODS)
IMPORTS = """import gym_pusht
import imageio.v2 as imageio
import modal
import wandb
from wandb.sdk import wandb_run

app = modal.App("hw1")


@app.function(gpu="A10G")
def remote(video: wandb.Video | None = None): ...


class Film(wandb.Video): ...


"""
COMPILED = MODEL.replace(
    "    def velocity(", "    @torch.compile(mode='reduce-overhead')\n    def velocity("
).replace("    def sample_actions(", "    @torch.compile\n    def sample_actions(", 1)
PARSED = (
    "import argparse\nparser = argparse.ArgumentParser()\nparser.add_argument('--seed', {})\n"
    "arguments = parser.parse_args()\n"
)
NESTED = (
    MODEL
    + """
_Plain = MSEPolicy


class MSEPolicy(_Plain):
    def __init__(self, *sizes, **settings):
        super().__init__(*sizes, **settings)
        self.net = torch.compile(self.net)
"""
)


def _compiled_inside(model):
    model.net = torch.compile(model.net)
    return model


def _flat(code, prefix=""):
    return {
        f"{prefix}model.py": MODEL.encode(),
        f"{prefix}mse.pkl": saved(code.model("mse")),
        f"{prefix}flow.pkl": saved(code.model("flow")),
    }


def _renamed(files: Files, old: str, new: str) -> Files:
    return {name.replace(old, new): content for name, content in files.items()}


def _two_runs(code):
    files = submission(code, names=("seed_1_20260118_161512_mse", "flow"))
    later = run(code.model("mse"), step=30)
    return files | {f"exp/seed_1_20260119_161512_mse/{name}": x for name, x in later.items()}


def _no_model(code, method):
    files = submission(code)
    return {n: x for n, x in files.items() if not (f"exp/{method}/" in n and n.endswith(".pkl"))}


def _without(code, beginning):
    return {n: x for n, x in submission(code).items() if not n.startswith(beginning)}


def _wandb_at_the_root(code):
    runs = {
        f"wandb/run-2026011{day}_161512-abc/{name.removeprefix('wandb/')}": content
        for day, method in enumerate(METHODS, 8)
        for name, content in run(code.model(method), config=config(policy_type=method)).items()
        if name.startswith("wandb/")
    }
    return {"model.py": MODEL.encode()} | runs


def _traced(model) -> bytes:
    content = io.BytesIO()
    torch.jit.save(torch.jit.trace(model.net, torch.zeros(1, 5)), content)
    return content.getvalue()


def _notebook(*sources: str) -> bytes:
    cells = [{"cell_type": "code", "source": f"%matplotlib inline\n{one}"} for one in sources]
    return json.dumps({"cells": cells, "nbformat": 4}).encode()


def _arrays(model) -> bytes:
    content = io.BytesIO()
    np.savez(content, **{name: one.numpy() for name, one in model.state_dict().items()})
    return content.getvalue()


TRAINED = """
import zarr_of_yesterday
data = zarr_of_yesterday.open("data/pusht.zarr")
for epoch in range(400):
    build_policy("mse", state_dim=5, action_dim=2, chunk_size=8).compute_loss(*data).backward()
"""
CONFIGURED = (
    MODEL.replace(
        "(self, state_dim, action_dim, chunk_size, hidden_dims=(32,)):\n        super().__init__()",
        "(self, cfg):\n        super().__init__()\n        state_dim, action_dim = 5, 2\n"
        "        chunk_size, hidden_dims = cfg.chunk_size, cfg.hidden_dims",
    )
).partition("def build_policy")[0]
TOO_LARGE = bytes(MAX_BYTES + 1)
HYDRA = {"mse": "outputs/2026-02-09/14-33-21", "flow": "multirun/2026-02-10/10-00-05/0"}
LIGHTNING = "lightning_logs/{}/version_0/checkpoints/epoch=9-step=10.ckpt"
BESIDE = """import json
from pathlib import Path

SIZES = json.loads(Path(__file__).with_name("net.json").read_text())
"""
OTHER_NAMES = (
    MODEL.replace("MSEPolicy", "ChunkMLP").replace("FlowMatchingPolicy", "RectifiedFlow")
).replace("build_policy", "make_policy")
FIRST = "exp/{}/" + CHECKPOINT.format(10)
GRADED = {method: f"Graded: {FIRST.format(method)} (step 10)." for method in METHODS}
NEEDS = f"{PACKAGE}/model.py needs "
NO_MODEL = "There is no run of the {} policy: hand in its whole run directory"


@dataclass(frozen=True)
class HandIn:
    """A made-up hand-in.

    files: makes them. says: the beginning of the sentence on each policy, by method; that of a
    policy that is graded begins with "Graded". told: phrases that follow in what is told of MSE.
    """

    files: Callable[[Code], Files]
    mse: str = GRADED["mse"]
    flow: str = GRADED["flow"]
    told: tuple[str, ...] = ()


def under(*names: str) -> dict[str, str]:
    """The sentences on runs that have these names in exp/."""
    paths = [f"exp/{name}/{CHECKPOINT.format(10)}" for name in names]
    return {m: f"Graded: {path} (step 10)." for m, path in zip(METHODS, paths, strict=True)}


def named(*names: str, configs: tuple[str, str] = ("", "")) -> HandIn:
    """A hand-in with these names of the run directories."""
    return HandIn(lambda code: submission(code, names, configs=configs), **under(*names))


def both(sentence: str) -> dict[str, str]:
    return {method: sentence.format(method, method) for method in METHODS}


def apart(model: str, log: str) -> HandIn:
    """A hand-in whose models and logs have these paths, with {} for the method."""

    def files(code):
        made = _without(code, "exp/")
        for method in METHODS:
            made |= {model.format(method): saved(code.model(method)), log.format(method): LOG}
        return made

    return HandIn(
        files,
        **{m: f"Graded: {model.format(m)} (step 3). Its log is {log.format(m)}." for m in METHODS},
    )


HAND_INS = {
    # Names of run directories.
    "as asked": HandIn(submission),
    "capitals: exp/MSE, exp/FLOW": named("MSE", "FLOW"),
    "exp/MSE, exp/FlowMatching": named("MSE", "FlowMatching"),
    "exp/mse_best, exp/flow_matching": named("mse_best", "flow_matching"),
    "the default names, W&B's settings": named(*STARTED, configs=BY_CONFIG),
    "the default names, a config.json": HandIn(
        lambda code: (
            submission(code, STARTED)
            | {
                f"exp/{name}/config.json": json.dumps({"policy_type": method}).encode()
                for name, method in zip(STARTED, METHODS, strict=True)
            }
        ),
        **under(*STARTED),
    ),
    "the default names, the class in the pickle": named(*STARTED),
    "names that say nothing": named("run_1", "run_2"),
    "one renamed, the other by elimination": HandIn(
        lambda code: (
            {n: x for n, x in submission(code).items() if not n.startswith("exp/flow")}
            | {"exp/final/m_10.pt": saved(code.model("flow").state_dict())}
        ),
        flow="Graded: exp/final/m_10.pt (step 10).",
    ),
    "weights alone under names that say nothing": HandIn(
        lambda code: (
            _without(code, "exp/")
            | {
                f"exp/run_{i}/m.pt": saved(code.model(m).state_dict())
                for i, m in enumerate(METHODS)
            }
        ),
        **both(NO_MODEL),
    ),
    "two runs of a method": HandIn(
        _two_runs,
        mse=f"Graded: exp/seed_1_20260119_161512_mse/{CHECKPOINT.format(30)} (step 30).",
    ),
    "a folder more: exp/hw1/mse": HandIn(
        lambda code: submission(code, exp="exp/hw1/"), **under("hw1/mse", "hw1/flow")
    ),
    "several seeds: exp/mse/seed_0": HandIn(
        lambda code: (
            submission(code, ("mse/seed_0", "flow/seed_0"))
            | submission(code, ("mse/seed_1", "flow/seed_1"))
        ),
        **under("mse/seed_0", "flow/seed_0"),
    ),
    "Hydra's folders": HandIn(
        lambda code: (
            _without(code, "exp/")
            | {
                f"{HYDRA[method]}/{name}": content
                for method in METHODS
                for name, content in {
                    ".hydra/config.yaml": f"loss: mse\npolicy:\n  name: {method}\n".encode(),
                    "checkpoints/step_10.pt": saved({"policy": code.model(method).state_dict()}),
                    "log.csv": LOG,
                }.items()
            }
        ),
        **{m: f"Graded: {HYDRA[m]}/checkpoints/step_10.pt (step 10)." for m in METHODS},
    ),
    "Lightning's folders": HandIn(
        lambda code: (
            _without(code, "exp/")
            | {
                LIGHTNING.format(method): saved(
                    {
                        "hyper_parameters": {"policy_type": method},
                        "state_dict": {
                            f"policy.{name}": value
                            for name, value in code.model(method).state_dict().items()
                        },
                    }
                )
                for method in METHODS
            }
        ),
        **{m: f"Graded: {LIGHTNING.format(m)} (step 10)." for m in METHODS},
    ),
    # Layouts.
    "in a folder of its own": HandIn(
        lambda code: {f"submit/{name}": x for name, x in submission(code).items()}
    ),
    "no src/": HandIn(lambda code: _renamed(submission(code), "src/", "")),
    "all at the root": HandIn(_flat, **both("Graded: {}.pkl.")),
    "models in exp/ itself": HandIn(
        lambda code: _without(code, "exp/") | _flat(code, "exp/"), **both("Graded: exp/{}.pkl.")
    ),
    "flat src/": HandIn(lambda code: _renamed(submission(code), PACKAGE, "src")),
    "another name of the package": HandIn(
        lambda code: _renamed(submission(code), PACKAGE, "src/homework_one")
    ),
    "a pickle of another package": HandIn(
        lambda code: only(code, {"m_3.pkl": saved(code.model("mse", name="policies"))}),
        mse="Graded: exp/mse/m_3.pkl (step 3).",
    ),
    "the policies in another file": HandIn(
        lambda code: _renamed(submission(code), "model.py", "policies.py")
    ),
    "W&B's folder as it was": HandIn(_wandb_at_the_root, **both("Graded: wandb/run-2026011")),
    "no code": HandIn(lambda code: _without(code, "src/"), **both("There is no model.py: hand in")),
    "no runs": HandIn(lambda code: _without(code, "exp/"), **both(NO_MODEL)),
    "exp/mse without checkpoints": HandIn(
        lambda code: _no_model(code, "mse"),
        mse="exp/mse has no checkpoint (log.csv is there): copy the whole run directory",
    ),
    # Logs in a folder of their own.
    "logs/mse.csv": apart("checkpoints/{}/m_3.pkl", "logs/{}.csv"),
    "logs/mse/log.csv": apart("checkpoints/{}_3.pkl", "logs/{}/log.csv"),
    "exp/logs/mse.csv": apart("exp/checkpoints/{}/m_3.pkl", "exp/logs/{}.csv"),
    "exp/mse/log.csv, and models outside exp/": apart("models/{}/m_3.pkl", "exp/{}/log.csv"),
    "exp/mse/metrics.csv": apart("exp/{}/m_3.pkl", "exp/{}/metrics.csv"),
    "W&B's folder beside the models": HandIn(
        lambda code: (
            _without(code, "exp/")
            | {f"models/{method}_3.pkl": saved(code.model(method)) for method in METHODS}
            | {
                f"wandb/run-{day}/files/{name}": content
                for day, method in enumerate(METHODS, 20260118)
                for name, content in {
                    "config.yaml": config(policy_type=method, flow_num_steps=3).encode(),
                    "wandb-summary.json": b'{"eval/mean_reward": 0.5}',
                }.items()
            }
        ),
        mse="Graded: models/mse_3.pkl (step 3). Its log is wandb/run-20260118/files/wandb-summary",
        flow="Graded: models/flow_3.pkl (step 3). As in its run, with 3 denoising steps. Its log",
    ),
    "statistics for both policies": HandIn(
        lambda code: submission(code) | {"exp/normalizer.json": json.dumps(OWN).encode()},
        told=("Its normalisation is that of exp/normalizer.json.",),
    ),
    # Imports.
    "wandb, modal, imageio, gym_pusht": HandIn(with_source(lambda text: IMPORTS + text)),
    "einops": HandIn(
        with_source(
            lambda text: (
                "from einops import rearrange\n"
                + text.replace("return self.net(state)", "return rearrange(self.net(state), '')")
            )
        ),
        **both(NEEDS + "the package einops, which is not installed where this is graded"),
    ),
    "einops, which no policy uses": HandIn(
        with_source(
            lambda text: "from einops import rearrange as r, reduce\nprint(reduce)\n" + text
        )
    ),
    "a package that is tried": HandIn(
        with_source(lambda text: "try:\n    import einops\nexcept ImportError: pass\n" + text)
    ),
    "a file that is not there": HandIn(
        with_source(lambda text: "from hw1_imitation.layers import mlp\n" + text),
        **both(NEEDS + "hw1_imitation.layers, which is not in src/: hand in all its .py files"),
    ),
    "arguments parsed on import": HandIn(
        with_source(lambda text: PARSED.format("default=1") + text)
    ),
    "arguments required on import": HandIn(
        with_source(
            lambda text: (
                PARSED.format("required=True")
                + text.replace("super().__init__()", "super().__init__(); arguments.seed")
            )
        ),
        **both(f"{PACKAGE}/model.py ended the program when it was imported (SystemExit: 2)"),
    ),
    "arguments required, which no policy uses": HandIn(
        with_source(lambda text: PARSED.format("required=True") + text)
    ),
    "settings beside the code": HandIn(
        lambda code: (
            submission(code)
            | {f"{PACKAGE}/model.py": (BESIDE + MODEL).encode(), f"{PACKAGE}/net.json": b"[32]"}
        )
    ),
    "settings that are not handed in": HandIn(
        with_source(
            lambda text: BESIDE + text.replace("super().__init__()", "super().__init__(); SIZES")
        ),
        **both(
            f"{PACKAGE}/model.py raised FileNotFoundError: [Errno 2] No such file or directory:"
        ),
    ),
    "a notebook": HandIn(
        lambda code: _without(code, "src/") | {"hw1.ipynb": _notebook(MODEL, TRAINED)}
    ),
    "a notebook, exported": HandIn(
        lambda code: (
            _without(code, "src/")
            | {"hw1.py": f"import gdown\nget_ipython().system('ls')\n{MODEL}{TRAINED}".encode()}
        )
    ),
    "a package's __init__.py that trains": HandIn(
        lambda code: submission(code) | {f"{PACKAGE}/__init__.py": TRAINED.encode()}
    ),
    "a copy of the repository for each policy": HandIn(
        lambda code: {
            f"{method}/{name}": content
            for method in METHODS
            for name, content in submission(code).items()
            if name.startswith((f"exp/{method}/", "src/"))
        }
    ),
    "a configuration for the classes": HandIn(
        lambda code: (
            submission(code)
            | {f"{PACKAGE}/model.py": CONFIGURED.encode()}
            | {
                f"exp/{method}/m_30.pt": saved(
                    {
                        "model": code.model(method, hidden_dims=(16, 24)).state_dict(),
                        "config": {"hidden_dims": [16, 24], "chunk_size": 8},
                    }
                )
                for method in METHODS
            }
        ),
        **both("Graded: exp/{}/m_30.pt (step 30)."),
    ),
    "classes of other names": HandIn(
        lambda code: (
            _without(code, "exp/")
            | {f"{PACKAGE}/model.py": OTHER_NAMES.encode()}
            | {f"exp/{m}/m_3.pt": saved({"agent": code.model(m).state_dict()}) for m in METHODS}
        ),
        **both("Graded: exp/{}/m_3.pt (step 3)."),
    ),
    "a GPU's name in the code": HandIn(
        with_source(
            lambda text: text.replace("return self.net(state)", "return self.net(state.cuda())")
        )
    ),
    # Checkpoints.
    "an average of the weights": HandIn(
        lambda code: only(
            code, {"m_3.pt": saved({k: code.model("mse").state_dict() for k in ("model", "ema")})}
        ),
        mse='Graded: exp/mse/m_3.pt (step 3), the average of the weights that it keeps as "ema".',
    ),
    "half precision": HandIn(
        lambda code: only(code, {"m_fp16.pt": saved(code.model("mse").half().state_dict())}),
        mse="Graded: exp/mse/m_fp16.pt.",
    ),
    "a pointer of Git's large file storage": HandIn(
        lambda code: only(code, {"m_3.pkl": b"version https://git-lfs.github.com/spec/v1\noid x"}),
        mse="exp/mse/m_3.pkl only stands for a file in Git's large file storage: run",
    ),
    "TorchScript": HandIn(
        lambda code: only(code, {"m_3.pt": _traced(code.model("mse"))}),
        mse="Graded: exp/mse/m_3.pt (step 3).",
    ),
    "the newest is cut off": HandIn(
        lambda code: submission(code) | {f"exp/mse/{CHECKPOINT.format(20)}": b"PK\3\4"},
        mse=f"Graded: {FIRST.format('mse')} (step 10), because exp/mse/{CHECKPOINT.format(20)}"
        " cannot be loaded (is not a whole checkpoint",
    ),
    "the only one is cut off": HandIn(
        lambda code: only(code, {"m_3.pkl": b"PK\3\4"}),
        mse="exp/mse/m_3.pkl is not a whole checkpoint (UnpicklingError): copy it again",
    ),
    "the newest is too large": HandIn(
        lambda code: submission(code) | {f"exp/mse/{CHECKPOINT.format(20)}": TOO_LARGE},
        mse=f"Graded: {FIRST.format('mse')} (step 10), because exp/mse/{CHECKPOINT.format(20)}"
        " cannot be loaded (has no room in the 60 MB",
    ),
    "the only one is too large": HandIn(
        lambda code: only(code, {"m_3.pkl": TOO_LARGE}),
        mse="exp/mse/m_3.pkl has no room in the 60 MB that are taken: hand in the policy's",
    ),
    "weights with the optimiser's": HandIn(
        lambda code: only(
            code, {"m_3.pt": saved({"model": code.model("mse").state_dict(), "optimizer": {}})}
        ),
        mse="Graded: exp/mse/m_3.pt (step 3).",
    ),
    "statistics beside the model": HandIn(
        lambda code: submission(code) | {"exp/mse/normalizer.json": json.dumps(OWN).encode()},
        told=("Its normalisation is that of exp/mse/normalizer.json.",),
    ),
    "an agent that holds the policy": HandIn(
        lambda code: only(code, {"m_3.pkl": saved(nn.ModuleDict({"policy": code.model("mse")}))}),
        mse="Graded: exp/mse/m_3.pkl (step 3).",
    ),
    "a model and what it scored": HandIn(
        lambda code: only(code, {"m_3.pkl": saved((0.5, code.model("mse")))}),
        mse="Graded: exp/mse/m_3.pkl (step 3).",
    ),
    "arrays of NumPy": HandIn(
        lambda code: only(code, {"m_3.npz": _arrays(code.model("mse"))}),
        mse="Graded: exp/mse/m_3.npz (step 3).",
    ),
    "arrays of NumPy, pickled": HandIn(
        lambda code: only(
            code,
            {
                "m_3.pkl": pickle.dumps(
                    {name: one.numpy() for name, one in code.model("mse").state_dict().items()}
                )
            },
        ),
        mse="Graded: exp/mse/m_3.pkl (step 3).",
    ),
    "no policy": HandIn(
        lambda code: only(code, {"m_3.pkl": saved(nn.Linear(5, 16))}),
        mse="exp/mse/m_3.pkl holds a Linear, which has no sample_actions: hand in what",
    ),
    "an optimiser and a normaliser beside the model": HandIn(
        lambda code: only(
            code,
            {
                "a_normalizer.pkl": pickle.dumps({"state_mean": [0.0]}),
                "a_optimizer.pt": saved({"state": {}}),
                "m_3.pkl": saved(code.model("mse")),
            },
        ),
        mse="Graded: exp/mse/m_3.pkl (step 3).",
    ),
    "a pickle of pickle's own": HandIn(
        lambda code: only(code, {"m_3.pkl": pickle.dumps(code.model("mse"))}),
        mse="Graded: exp/mse/m_3.pkl (step 3).",
    ),
    # torch.compile.
    "a compiled model": HandIn(
        lambda code: only(code, {"m_3.pkl": saved(torch.compile(code.model("mse")))}),
        mse="Graded: exp/mse/m_3.pkl (step 3).",
    ),
    "a compiled submodule": HandIn(
        lambda code: only(code, {"m_3.pkl": saved(_compiled_inside(code.model("mse")))}),
        mse="Graded: exp/mse/m_3.pkl (step 3).",
    ),
    "weights of a compiled submodule": HandIn(
        lambda code: only(
            code, {"m_3.pt": saved(_compiled_inside(code.model("mse")).state_dict())}
        ),
        mse="Graded: exp/mse/m_3.pt (step 3).",
    ),
    "compiled methods": HandIn(lambda code: submission(code, source=COMPILED)),
    "compiled in __init__": HandIn(
        lambda code: (
            only(code, {"m_3.pt": saved(_compiled_inside(code.model("mse")).state_dict())})
            | {f"{PACKAGE}/model.py": NESTED.encode()}
        ),
        mse="Graded: exp/mse/m_3.pt (step 3).",
    ),
    # Chunks and steps.
    **{
        f"chunks of {size}": HandIn(
            lambda code, size=size: only(code, run(code.model("mse", chunk_size=size))),
            told=(f"As in its run, with chunks of {size} action",),
        )
        for size in (1, 4, 16, 300)
    },
    "chunks of 4, weights and settings": HandIn(
        lambda code: only(
            code,
            {
                "m_3.pt": saved(code.model("mse", chunk_size=4).state_dict()),
                "wandb/files/config.yaml": config(chunk_size=4, hidden_dims=(32,)).encode(),
            },
        ),
        mse="Graded: exp/mse/m_3.pt (step 3). As in its run, with chunks of 4 actions.",
    ),
    "three denoising steps": HandIn(
        lambda code: submission(code, configs=("", config(policy_type="flow", flow_num_steps=3))),
        flow=f"{GRADED['flow']} As in its run, with 3 denoising steps.",
    ),
}


# What comes of one.


def loaded(files: Files, method: str) -> str:
    """The sentence on a policy of a hand-in, as far as loading it in this process decides it."""
    for name in [name for name in sys.modules if re.match(r"hw1_imitation|policies$", name)]:
        del sys.modules[name]
    with tempfile.TemporaryDirectory() as place:
        folder = hand_in(Path(place), files)
        if not (folder / FORMAT.packed).is_file() or layout_of(files) is None:
            return "It is no submission of the script assignment."
        entry = rubric.POLICIES[f"part4_{method}"]
        made = ScriptPolicy(entry.name, 5, 2, 8, folder=folder)
        try:
            made.state_dict()
        except CheckpointError as error:
            return str(error)
        acting = formats.acting(entry, made.kernel_message, folder)
        assert acting is not None
        chunk = made.sample_actions(torch.zeros(3, 5))
        assert chunk.shape == (3, acting.chunk_size, 2)
        return acting.told


def main(arguments: list[str]) -> None:
    """Print the table."""
    import pytest
    from hw1_files import student_modules
    from test_hw1 import outcome

    graded = "--graded" in arguments
    names = [name for name in arguments if name != "--graded"] or [*HAND_INS]
    print("| hand-in | policy | points | sentence |\n|---|---|---|---|")
    for name in names:
        with pytest.MonkeyPatch.context() as patch, student_modules(patch) as make:
            files = HAND_INS[name].files(Code(make))
            patch.setattr("score.hw1.acting.SEEDS", range(4))  # the models were not trained
            verdicts = outcome(files, episodes=4, seconds=600) if graded else {}
            for method in METHODS:
                points, said = "", ""
                if graded:
                    verdict = verdicts[method]
                    points, said = f"{verdict.points:.2f}", verdict.sentence
                else:
                    said = loaded(files, method)
                print(f"| {name} | {method} | {points} | {said} |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
