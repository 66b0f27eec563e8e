"""Run the solutions of a notebook's source, and find the checkpoints that they trained."""

import ast
import contextlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from pusht import resources
from pusht.checkpoint import SUFFIX, load_checkpoint
from pusht.normalisation import Stats
from score import rubric
from score.cells import Marker, read_marker
from score.course.notebooks.build import source_code
from score.rollouts.policies import inference_of
from score.rubric import Part, Policy

# The trained references, in half precision; no release carries them.
REFERENCE = resources.path("data/reference")
# Beginnings of the names of those practice cells that training needs. The others only show things.
_NEEDED = ("dataset", "train")


def reference_path(policy: Policy, demonstrations: str) -> Path:
    """Return the path of the kept checkpoint of a policy trained on "shipped" or "human"."""
    return REFERENCE / demonstrations / (policy.name + SUFFIX)


def run_solution(
    part: Part,
    folder: str | os.PathLike[str],
    *,
    seed: int = 1,
    train: bool = True,
    device: str | None = None,
) -> dict[str, Any]:
    """Run the solutions of a part's notebook in `folder`; return the names that they define.

    seed: of the training, in place of the notebook's. train: False to leave the training out.
    device: where to train; None for the notebook's own choice.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    names: dict[str, Any] = {}
    with contextlib.chdir(folder):
        for cell in source_code(part):
            marker = read_marker(cell.source)
            if marker and _is_run(marker, part, train):
                exec(compile(cell.source, f"<{marker.id}>", "exec"), names)
                if "seed" in names:
                    names["seed"] = seed
                if device and "device" in names:
                    names["device"] = torch.device(device)
    return names


def solution(part: Part, *, seed: int = 1) -> dict[str, Any]:
    """Return the names that the solutions of a part's notebook define, without training."""
    with tempfile.TemporaryDirectory() as folder:
        return run_solution(part, folder, seed=seed, train=False)


def run_cells(part: Part, names: dict[str, Any], *ids: str) -> None:
    """Run practice cells of a part's notebook, such as "part1/dataset", with these names; what they
    write to disk is thrown away.
    """
    cells = {cell.id: cell.source for cell in source_code(part)}
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        for name in ids:
            exec(compile(cells[name.replace("/", "-")], f"<{name}>", "exec"), names)


def _is_run(marker: Marker, part: Part, train: bool) -> bool:
    if marker.kind == "test" or {*marker.questions} & {entry.name for entry in part.written}:
        return False
    needed = marker.id.split("/")[1].startswith(_NEEDED)
    return marker.kind != "practice" or (train and needed)


def answer_of(names: dict[str, Any], policy: Policy) -> tuple[Any, ...]:
    """Return what the notebook's test cell passes to `grade_rollouts` after a policy's name.

    names: as `run_solution` returned them.
    """
    part = rubric.part_of(policy)
    key = f"part{part.number}-{policy.cell}"
    cell = next(cell for cell in source_code(part) if cell.id == key)
    call = next(
        node
        for node in ast.walk(ast.parse(cell.source))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "score.grade_rollouts"
    )
    return tuple(eval(ast.unparse(argument), names) for argument in call.args[1:])


def reference_policy(policy: Policy) -> tuple[Callable[[torch.Tensor], torch.Tensor], Stats]:
    """Return what the reference weights for the shipped demonstrations predict: a function from
    nobs (B, obs_horizon, 5) to naction (B, pred_horizon, 2); and the statistics of both.
    """
    checkpoint = load_checkpoint(reference_path(policy, "shipped"), policy.normalisation)
    names = solution(rubric.part_of(policy))
    model, infer = inference_of(policy, answer_of(names, policy))
    checkpoint.restore(model)
    return torch.no_grad()(lambda nobs: infer(nobs, len(nobs))), checkpoint.stats
