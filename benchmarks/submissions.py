"""Make a class's submissions: the reference ones with faults of ten kinds.

A submission is {file name: content}. A function for a fault changes a submission, using a random
generator, and returns the names of the parts whose questions now fail. Damaged notebooks and
attacks come from the tests.
"""

import contextlib
import itertools
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random

import nbformat

from pusht.checkpoint import SUFFIX
from score import rubric
from score.cells import read_marker
from score.course.notebooks.build import answered_notebook, student_notebook
from score.course.notebooks.solutions import reference_path
from score.course.sandbox.levels import Level
from score.course.tools.demo import PART3_MISTAKES

sys.path.append(str(Path(__file__).resolve().parent.parent / "tests"))
import attacks
import test_repair as manglings

# For each part: {a piece of the solution: what a student wrote instead}.
_MISTAKES = {
    "part1_mlp": {
        "[obs_horizon * obs_dim, *hidden_dims": "[obs_dim, *hidden_dims",
        "nn.functional.mse_loss(": "nn.functional.l1_loss(",
    },
    "part2_cvae": {"-0.5 * torch.sum": "-0.5 * torch.mean", "+ beta * kl": "- beta * kl"},
    "part3_ddpm": PART3_MISTAKES,
    "part4_flow": {
        "action_chunk - noise)": "noise - action_chunk)",
        "(state, chunk, tau) / num_steps": "(state, chunk, tau)",
    },
}
Files = dict[str, bytes]

_DIES = "import os; os._exit(1)"
_LOOPS = "while True: pass"


def right() -> Files:
    """Return a submission with all four parts answered, and the reference checkpoints."""
    files = {
        f"{name}.ipynb": nbformat.writes(answered_notebook(part)).encode()
        for name, part in rubric.PARTS.items()
    }
    return files | {
        name + SUFFIX: reference_path(policy, "shipped").read_bytes()
        for name, policy in rubric.POLICIES.items()
    }


def submissions(count: int, level: Level) -> Iterator[tuple[str, str, Files, set[str]]]:
    """Yield (student, kind, files, parts whose questions fail), the same each time.

    The ten kinds take turns. level: the sandbox in which these will run; what could harm the
    machine at this level is left out.
    """
    stops = [
        _DIES,
        *(
            attacks.STOPPING[name]
            for name in ("an output flood", "a memory bomb")
            if not attacks.harmful(name, level)
        ),
    ]
    stopping, mistaken = itertools.cycle(stops), itertools.cycle(_MISTAKES)
    forging = sorted(source for source in attacks.FORGING.values() if isinstance(source, str))
    kinds = {
        "right": lambda files, chance: set(),
        "endless loop": lambda files, chance: _stopped(files, chance, _LOOPS),
        "mangled": _mangled,
        "wrong answers": lambda files, chance: _wrong(files, chance, next(mistaken)),
        "a checkpoint missing": (
            lambda files, chance: files.pop(chance.choice(list(rubric.POLICIES)) + SUFFIX) and set()
        ),
        "a checkpoint cut short": _cut,
        "untouched": _untouched,
        "forging": lambda files, chance: _forging(files, attacks._WRONG + chance.choice(forging)),
        "stopped": lambda files, chance: _stopped(files, chance, next(stopping)),
        "Colab's copy": _colabs_copy,
    }
    whole = right()
    for number in range(count):
        kind = list(kinds)[number % len(kinds)]
        files = dict(whole)
        yield f"s{number:03}", kind, files, kinds[kind](files, Random(number))


def _stopped(files: Files, chance: Random, source: str) -> set[str]:
    part = chance.choice(list(rubric.PARTS))
    with _answers(files, part) as answers:
        answers[0].source += f"\n{source}"
    return {part}


def _forging(files: Files, source: str) -> set[str]:
    """Put an attack into Part I in place of the answers."""
    with _answers(files, "part1_mlp") as answers:
        for cell, text in zip(answers, [source, *["pass"] * len(answers)]):
            cell.source = f"{cell.source.partition(chr(10))[0]}\n{text}"
    return {"part1_mlp"}


def _wrong(files: Files, chance: Random, part: str) -> set[str]:
    mistakes = _MISTAKES[part]
    with _answers(files, part) as answers:
        for mistake in chance.sample(list(mistakes), chance.randint(1, len(mistakes))):
            (cell,) = [cell for cell in answers if mistake in cell.source]
            cell.source = cell.source.replace(mistake, mistakes[mistake])
    return {part}


def _untouched(files: Files, chance: Random) -> set[str]:
    files.clear()
    files |= {
        f"{name}.ipynb": nbformat.writes(student_notebook(part)).encode()
        for name, part in rubric.PARTS.items()
    }
    return set(rubric.PARTS)


def _cut(files: Files, chance: Random) -> set[str]:
    name = chance.choice(list(rubric.POLICIES)) + SUFFIX
    files[name] = files[name][: chance.randrange(len(files[name]))]
    return set()


def _mangled(files: Files, chance: Random) -> set[str]:
    """Damage every notebook as people and programs do; repair can undo all of it."""
    for name, part in rubric.PARTS.items():
        notebook = manglings.answered(part)
        for mangle in chance.choices(
            [m for m in manglings.MANGLINGS if m is not manglings.add_own_cells],
            k=chance.randint(1, 8),
        ):
            manglings._texts(notebook)
            mangle(notebook, chance, part)
        files[f"{name}.ipynb"] = json.dumps(notebook).encode()
    return set()


def _colabs_copy(files: Files, chance: Random) -> set[str]:
    name = chance.choice(list(rubric.PARTS))
    notebook = manglings.bare(json.loads(files.pop(f"{name}.ipynb")))
    manglings.as_colab_saves_it(notebook, chance, rubric.PARTS[name])
    files[f"Copy of {name} (1).ipynb"] = json.dumps(notebook).encode()
    return set()


@contextlib.contextmanager
def _answers(files: Files, part: str) -> Iterator[list[nbformat.NotebookNode]]:
    """Give the answer cells of a part's notebook, and write the notebook with their changes."""
    notebook = nbformat.reads(files[f"{part}.ipynb"].decode(), as_version=4)
    yield [
        cell
        for cell in notebook.cells
        if (marker := read_marker(cell.source)) and marker.kind == "answer"
    ]
    files[f"{part}.ipynb"] = nbformat.writes(notebook).encode()
