"""Policies that other notebooks of the course saved in this folder, to experiment with."""

import os
from collections.abc import Callable
from pathlib import Path

import torch

from pusht.checkpoint import SUFFIX
from pusht.normalisation import Stats
from score import rubric
from score.graded import graded
from score.rollouts.given import NETWORKS
from score.rollouts.policies import load_policy
from score.verdict import AnswerError

Trained = tuple[Callable[[torch.Tensor], torch.Tensor], Stats]


def trained(name: str, folder: str | os.PathLike[str] = ".") -> Trained | None:
    """Return what the saved weights of a policy predict, such as "part1_mlp": a function from nobs
    (B, obs_horizon, 5) to naction (B, pred_horizon, 2), and the statistics of both.

    None, and a line that says why, where the folder has no weights of it; None when graded. Only
    the networks of Parts I to III, which the notebooks give, can be loaded by name: ValueError for
    another.
    """
    if rubric.POLICIES[name].method not in NETWORKS:
        raise ValueError(f"{name} has a network of your own: load it in its own notebook.")
    if graded():
        return None
    left_out = f"{rubric.POLICIES[name].label} is left out:"
    if not (Path(folder) / (name + SUFFIX)).exists():
        print(f"{left_out} {name}{SUFFIX} is not in this folder.")
        return None
    try:
        checkpoint, infer = load_policy(rubric.POLICIES[name], (), folder)
    except AnswerError as error:
        print(f"{left_out} {error}")
        return None
    return lambda nobs: infer(nobs, len(nobs)), checkpoint.stats
