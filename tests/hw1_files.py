"""Submissions of the script assignment, for tests."""

import contextlib
import io
import sys
import tempfile
import types
from pathlib import Path

import torch
from exports import zipped

from pusht import Normalizer, demos
from pusht.checkpoint import Checkpoint
from score import rubric
from score.hw1 import FORMAT
from score.hw1.graded_files import HUMAN_STATS
from score.submission import formats
from score.submission.archive import Archive
from score.submission.files import cap

METHODS = ("mse", "flow")
PICKLES = (  # where the assignment's own scripts put them
    "exp/{}/wandb/files/checkpoints/checkpoint_step_{}.pkl"
)
MODEL = '''"""The policies, which need none of the kit."""
import torch
from torch import nn


def mlp(inputs, outputs, hidden_dims):
    widths = [inputs, *hidden_dims]
    layers = [layer for i, o in zip(widths, widths[1:]) for layer in (nn.Linear(i, o), nn.ReLU())]
    return nn.Sequential(*layers, nn.Linear(widths[-1], outputs))


class MSEPolicy(nn.Module):
    def __init__(self, state_dim, action_dim, chunk_size, hidden_dims=(32,)):
        super().__init__()
        self.chunk_size, self.net = chunk_size, mlp(state_dim, action_dim * chunk_size, hidden_dims)

    def compute_loss(self, state, action_chunk):
        return nn.functional.mse_loss(self.sample_actions(state), action_chunk)

    def sample_actions(self, state, *, num_steps=10):
        return self.net(state).view(-1, self.chunk_size, 2)


class FlowMatchingPolicy(nn.Module):
    def __init__(self, state_dim, action_dim, chunk_size, hidden_dims=(32,)):
        super().__init__()
        self.chunk_size = chunk_size
        inputs, outputs = state_dim + action_dim * chunk_size + 1, action_dim * chunk_size
        self.net = mlp(inputs, outputs, hidden_dims)

    def velocity(self, state, chunk, time):
        return self.net(torch.cat([state, chunk.flatten(1), time], 1)).view_as(chunk)

    def compute_loss(self, state, action_chunk):
        noise, time = torch.randn_like(action_chunk), torch.rand(len(state), 1)
        between = torch.lerp(noise, action_chunk, time[..., None])
        return nn.functional.mse_loss(self.velocity(state, between, time), action_chunk - noise)

    def sample_actions(self, state, *, num_steps=10):
        chunk = torch.randn(len(state), self.chunk_size, 2)
        for step in range(num_steps):
            time = torch.full((len(state), 1), step / num_steps)
            chunk = chunk + self.velocity(state, chunk, time) / num_steps
        return chunk


def build_policy(policy_type, *, state_dim, action_dim, chunk_size, hidden_dims=(32,)):
    kind = {"mse": MSEPolicy, "flow": FlowMatchingPolicy}[policy_type]
    return kind(state_dim, action_dim, chunk_size, hidden_dims=hidden_dims)
'''
REST = {
    "src/hw1_imitation/__init__.py": b"",
    "src/hw1_imitation/data.py": b"import zarr_of_yesterday\n",
    "src/hw1_imitation/train.py": b"import wandb_of_yesterday\n\n\nclass TrainConfig:\n    pass\n",
    "src/hw1_imitation/evaluation.py": b"",
    "src/hw1_imitation/__pycache__/model.cpython-311.pyc": b"x",
    "pyproject.toml": b"",
    "uv.lock": b"",
    "README.md": b"",
    **{
        f"exp/{method}/{name}": b"x"
        for method in METHODS
        for name in ("wandb/run-1.wandb", "wandb/files/wandb-metadata.json", "a.mp4")
    },
    **{f"exp/{method}/log.csv": b"step,eval/mean_reward\n1,1.0\n" for method in METHODS},
}
HUMAN = Normalizer(HUMAN_STATS)


@contextlib.contextmanager
def student_modules(monkeypatch):
    """Give a model.py's source the name under which the student's scripts import it; return the
    module.
    """

    def make(source=MODEL, name="hw1_imitation.model"):
        module = types.ModuleType(name)
        monkeypatch.setitem(sys.modules, name, module)
        exec(source, module.__dict__)
        return module

    monkeypatch.setitem(sys.modules, "hw1_imitation", types.ModuleType("hw1_imitation"))
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path])
    monkeypatch.setattr(torch, "compile", torch.compile)
    monkeypatch.setattr(torch.nn.Module, "compile", torch.nn.Module.compile)
    before = {*sys.modules}
    yield make
    for name in {*sys.modules} - before:
        if (getattr(sys.modules[name], "__file__", None) or "").find("/script-") >= 0:
            del sys.modules[name]


def policy(code, method, **settings):
    torch.manual_seed(1)
    return code().build_policy(method, state_dim=5, action_dim=2, chunk_size=8, **settings)


def saved(thing, **options):
    content = io.BytesIO()
    torch.save(thing, content, **options)
    return content.getvalue()


def run_files(code, runs):
    """The zip's files with the model.py above and, of each method, these files in its run
    directory.
    """
    inside = {
        f"exp/{method}/{name}": content
        for method, files in runs.items()
        for name, content in files.items()
    }
    return REST | {"src/hw1_imitation/model.py": MODEL.encode()} | inside


def whole(code, source=MODEL):
    """The files of a hand-in as the published scripts leave it: whole models, pickled."""
    pickles = {
        PICKLES.format(method, step): saved(policy(code, method))
        for method in METHODS
        for step in (9, 10)
    }
    return REST | {"src/hw1_imitation/model.py": source.encode(), **pickles}


def hand_in(folder, files):
    """Lay out in a folder what collecting makes of these files, as the kernel's folder has it."""
    found = layout_of(files)
    taken = found.files.items() if found else ()
    contents = {name: files[entry.path] for name, entry in taken}
    contents = {name: one for name, one in contents.items() if len(one) <= cap(name)}
    hand_ins = {
        f"part4_{method}.safetensors": files[f"exp/{method}/policy.safetensors"]
        for method in METHODS
        if f"exp/{method}/policy.safetensors" in files
    }
    paths = {name: entry.path for name, entry in found.files.items()} if found else {}
    for name, content in FORMAT.graded_files(contents, hand_ins, paths).items():
        (folder / name).write_bytes(content)
    return folder


def layout_of(files, root=""):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "mine.zip")
        path.write_bytes(zipped({root + name: content for name, content in files.items()}))
        with Archive(path) as opened:
            return formats.find(opened, opened.members, rubric.PARTS)


OWN = {
    "obs": {"mean": [256.0] * 4 + [3.0], "std": [100.0] * 4 + [2.0]},
    "action": {"mean": [250.0, 260.0], "std": [90.0, 110.0]},
}


def kit_checkpoint(model, demonstrations="shipped", stats=OWN):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "x.safetensors")
        known = {"shipped": demos.SHIPPED_FINGERPRINT, "human": demos.HUMAN_FINGERPRINT}
        Checkpoint(model.state_dict(), stats, [0.5, 0.4], 2, known[demonstrations], 1, {}).save(
            path
        )
        return path.read_bytes()
