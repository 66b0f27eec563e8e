"""Part IV's hand-in as the kit writes it for one of the script assignment: the release's notebook,
and what it is graded by.
"""

import copy
import re
import tempfile
from pathlib import Path

import nbformat

from pusht import demos
from pusht.checkpoint import MOMENTS, SUFFIX, Checkpoint, CheckpointError, load_checkpoint
from score.hw1.layout import METHODS, PACKED, PART, TOLD, packed

REPAIR = f"{PART}.ipynb was written by the kit: {TOLD}; Q4.1 to Q4.4 count as not tried."

# Of the human demonstrations, which the assignment's own scripts download: what its runs normalise
# by, and do not keep.
_HUMAN = {
    "obs": {
        "mean": [229.11102, 293.31125, 246.49615, 272.36215, 1.8194934],
        "std": [101.854706, 96.48949, 63.869595, 65.88839, 1.7861023],
    },
    "action": {"mean": [228.23965, 293.98907], "std": [101.59958, 96.03929]},
}
_TOP = """## A hand-in of the script assignment

The kit wrote this notebook for it: the policies are those of `exp/mse` and `exp/flow`, with the code in `src/`."""
_LOADS = """# [part4/script] given: the policies of a hand-in of the script assignment, from its src/ and exp/
from functools import partial

from score.hw1.policy import ScriptPolicy

MSEPolicy, FlowMatchingPolicy = partial(ScriptPolicy, "part4_mse"), partial(ScriptPolicy, "part4_flow")"""
_WRITTEN = "(The report of the script assignment: see there.)"
_FIRST_ROLLOUTS = "part4-rollouts_mse"


def notebook(released):
    """The release's notebook with nothing answered, and the script assignment's policies in place
    of its own for the rollouts.
    """
    made = copy.deepcopy(released)
    for cell in made.cells:
        if cell.get("metadata", {}).get("nbgrader", {}).get("solution"):
            cell.source = re.sub(
                r"Need to implement for (Q4\.[1-4])",
                rf"Need to implement for \1, not tried: {TOLD}",
                cell.source,
            )
            cell.source += f" {_WRITTEN}" if cell.cell_type == "markdown" else ""
    at = next(i for i, cell in enumerate(made.cells) if cell.get("id") == _FIRST_ROLLOUTS)
    made.cells[at:at] = [
        nbformat.v4.new_markdown_cell(_TOP, id="part4-script_text"),
        nbformat.v4.new_code_cell(_LOADS, id="part4-script"),
    ]
    return made


def files(contents, hand_ins):
    """{name: bytes} of what a hand-in is graded by beside its notebook.

    contents: the layout's files by their names in the packed zip. hand_ins: {name: bytes} of
    hand-in files that a run directory had. For a policy that has none of the kit's one is made: the
    statistics of the human demonstrations, and no weights.
    """
    made = {PACKED: packed(contents)}
    for policy in METHODS.values():
        name = policy.name + SUFFIX
        made[name] = (
            hand_ins[name]
            if name in hand_ins and _is_checkpoint(hand_ins[name])
            else _without_weights()
        )
    return made


def _is_checkpoint(content):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"x{SUFFIX}")
        path.write_bytes(content)
        try:
            return bool(load_checkpoint(path, MOMENTS))
        except CheckpointError:
            return False


def _without_weights():
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"x{SUFFIX}")
        Checkpoint(
            {}, _HUMAN, [], 0, demos.HUMAN_FINGERPRINT, 0, {"hand_in": "script assignment"}
        ).save(path)
        return path.read_bytes()
