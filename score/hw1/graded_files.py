"""The files from which a submission of the script assignment is graded, beside its notebook."""

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from pusht import demos
from pusht.checkpoint import SUFFIX, Checkpoint, CheckpointError, load_checkpoint
from pusht.files import zip_bytes
from pusht.normalisation import MOMENTS
from score.hw1.layout import LEFT_OUT, PACKED
from score.hw1.runs import own_paths
from score.hw1.runs.choice import METHODS, ranked_models

# Statistics of the human demonstrations, which the assignment's own scripts download. Its runs
# normalise with these statistics and do not save them.
HUMAN_STATS = {
    "obs": {
        "mean": np.array([229.11102, 293.31125, 246.49615, 272.36215, 1.8194934]),
        "std": np.array([101.854706, 96.48949, 63.869595, 65.88839, 1.7861023]),
    },
    "action": {
        "mean": np.array([228.23965, 293.98907]),
        "std": np.array([101.59958, 96.03929]),
    },
}


def graded_files(
    contents: Mapping[str, bytes], checkpoints: Mapping[str, bytes], paths: Mapping[str, str]
) -> dict[str, bytes]:
    """Return {name: content} of the packed zip and of a checkpoint for each policy.

    contents: {name in the packed zip: content}. checkpoints: {name: content} of the checkpoints in
    a run directory. paths: {name in the packed zip: path in the upload}, also of files that were
    too large; the names of such models, and paths that differ, are packed for sentences. A policy
    without a checkpoint of the kit gets one with the statistics of the human demonstrations and
    without weights.
    """
    packed = dict(contents)
    if named := own_paths.differing(paths):
        packed[own_paths.FILE] = own_paths.written(named)
    if left := ranked_models(name for name in paths if name not in contents):
        packed[LEFT_OUT] = json.dumps(left).encode()
    made = {PACKED: zip_bytes(dict(sorted(packed.items())))}
    for policy in METHODS.values():
        name = policy.name + SUFFIX
        content = checkpoints.get(name)
        made[name] = content if content and _is_checkpoint(content) else _without_weights()
    return made


def _is_checkpoint(content: bytes) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"x{SUFFIX}")
        path.write_bytes(content)
        try:
            load_checkpoint(path, MOMENTS)
        except CheckpointError:
            return False
    return True


def _without_weights() -> bytes:
    config = {"hand_in": "script assignment"}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"x{SUFFIX}")
        Checkpoint({}, HUMAN_STATS, [], 0, demos.HUMAN_FINGERPRINT, 0, config).save(path)
        return path.read_bytes()
