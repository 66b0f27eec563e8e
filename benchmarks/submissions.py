"""A class's submissions, made from the reference ones with all sorts of faults.

A submission is {file name: content}. A fault changes one, with a random generator, and returns the
parts whose questions it spoils. Manglings and attacks are those of the tests.
"""

import contextlib
import itertools
import json
import random
import sys
from pathlib import Path

import nbformat

from pusht.checkpoint import SUFFIX
from score import rubric
from score.cells import read_marker
from score.course.notebooks.build import answered_notebook, student_notebook
from score.course.tools.demo import PART3_MISTAKES
from score.course.tools.reference import reference_path

sys.path.append(str(Path(__file__).resolve().parent.parent / "tests"))
import attacks  # noqa: E402
import test_repair as manglings  # noqa: E402

# By part: what stands in the solution, and what a student wrote.
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
_DIES = "import os; os._exit(1)"
_LOOPS = "while True: pass"


def right():
    """All four parts answered, with the reference checkpoints."""
    files = {
        f"{name}.ipynb": nbformat.writes(answered_notebook(part)).encode()
        for name, part in rubric.PARTS.items()
    }
    return files | {
        name + SUFFIX: reference_path(policy, "shipped").read_bytes()
        for name, policy in rubric.POLICIES.items()
    }


def submissions(count, level):
    """Yield (student, kind, files, spoilt parts); the same each time, the same kinds in every ten."""
    stopping = [
        _DIES,
        *(
            attacks.STOPPING[name]
            for name in ("an output flood", "a memory bomb")
            if not attacks.harmful(name, level)
        ),
    ]
    stopping, mistaken = itertools.cycle(stopping), itertools.cycle(_MISTAKES)
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
        yield f"s{number:03}", kind, files, kinds[kind](files, random.Random(number))


def _stopped(files, chance, source):
    part = chance.choice(list(rubric.PARTS))
    with _answers(files, part) as answers:
        answers[0].source += f"\n{source}"
    return {part}


def _forging(files, source):
    """An attack on Part I in the place of the answers."""
    with _answers(files, "part1_mlp") as answers:
        for cell, text in zip(answers, [source, *["pass"] * len(answers)]):
            cell.source = f"{cell.source.partition(chr(10))[0]}\n{text}"
    return {"part1_mlp"}


def _wrong(files, chance, part):
    mistakes = _MISTAKES[part]
    with _answers(files, part) as answers:
        for mistake in chance.sample(list(mistakes), chance.randint(1, len(mistakes))):
            (cell,) = [cell for cell in answers if mistake in cell.source]
            cell.source = cell.source.replace(mistake, mistakes[mistake])
    return {part}


def _untouched(files, chance):
    files.clear()
    files |= {
        f"{name}.ipynb": nbformat.writes(student_notebook(part)).encode()
        for name, part in rubric.PARTS.items()
    }
    return set(rubric.PARTS)


def _cut(files, chance):
    name = chance.choice(list(rubric.POLICIES)) + SUFFIX
    files[name] = files[name][: chance.randrange(len(files[name]))]
    return set()


def _mangled(files, chance):
    """Every notebook a mix of what people and programs do to them, of which nothing is lost."""
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


def _colabs_copy(files, chance):
    name = chance.choice(list(rubric.PARTS))
    notebook = manglings.bare(json.loads(files.pop(f"{name}.ipynb")))
    manglings.as_colab_saves_it(notebook, chance, rubric.PARTS[name])
    files[f"Copy of {name} (1).ipynb"] = json.dumps(notebook).encode()
    return set()


@contextlib.contextmanager
def _answers(files, part):
    """The answer cells of a part's notebook, to be changed."""
    notebook = nbformat.reads(files[f"{part}.ipynb"].decode(), as_version=4)
    yield [
        cell
        for cell in notebook.cells
        if (marker := read_marker(cell.source)) and marker.kind == "answer"
    ]
    files[f"{part}.ipynb"] = nbformat.writes(notebook).encode()
