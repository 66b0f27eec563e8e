"""Keys of what has been graded: while a key stays the same, nothing is graded again.

A key is a digest of what decides a result: the files handed in, the released notebook's code, the
course's settings, the rubric but for its points and titles, and the kit's code that is on the way
from a notebook to its result. Of code the syntax tree counts, without docstrings: comments, layout
and prose change no key. Points are left out because a result is read with the rubric's points of
the day.
"""

import ast
import functools
import hashlib
import inspect
import json
from collections.abc import Iterable, Mapping
from pathlib import Path

import pusht
from pusht import resources
from score import rubric
from score.cells import read_marker
from score.course.grading.sanitise.submitted import read_notebook
from score.course.settings import RunSettings
from score.submission import formats

# The kit's files on which the episodes of a policy depend, and those on which a result does.
ROLLOUT_CODE = (
    "pusht/**/*.py",
    "score/rollouts/given.py",
    "score/rollouts/policies.py",
    "score/rollouts/evaluate.py",
    "score/rollouts/statistics.py",
    "score/rollouts/stopping.py",
    "score/questions/ddpm/schedule.py",
    "score/cells.py",
    "score/protocol.py",
    "score/rerun/*.py",
    "score/student/rollouts.py",
    "score/student/surroundings.py",
    *formats.SOURCES,
    "score/course/collect/repair/*.py",
    "score/course/grading/company.py",
    "score/course/grading/question_server.py",
    "score/course/grading/rollouts.py",
)
GRADING_CODE = (
    *ROLLOUT_CODE,
    "score/__init__.py",
    "score/graded.py",
    "score/plain.py",
    "score/verdict.py",
    "score/questions/**/*.py",
    "score/rollouts/*.py",
    "score/student/check.py",
    "score/student/comparison.py",
    "score/student/progress.py",
    "score/student/published_api.py",
    "score/course/grading/audit.py",
    "score/course/grading/execution.py",
    "score/course/grading/judge.py",
    "score/course/grading/notebook.py",
    "score/course/grading/sanitise/*.py",
    "score/course/sandbox/*.py",
    "score/course/sandbox/watch/*.py",
    "score/course/notebooks/build.py",
    "score/course/notebooks/solutions.py",
    "notebooks/source/*.py",
)
_HORIZONS = ("obs_horizon", "pred_horizon", "action_horizon")
_SHAPES = ("name", "max_steps", "rules", *_HORIZONS, "normalisation")
_SCALE = ("baseline", "targets", "episode_seconds")  # they decide the number of episodes
# The rubric's other numbers on which rollouts depend.
_NUMBERS = (
    *("DIFFUSION_STEPS", "FLOW_STEPS", "FITS_BETTER"),
    *("BLOCK", "GROWTH", "LEVEL", "PRECISION", "KEPT_EPISODES", "KEPT_SECONDS", "ONE_BY_ONE"),
)
_WORDS = ("points", "title", "label")  # of the rubric's entries: no result depends on them
# Kinds of the released notebook's cells that a result depends on. An empty answer in words is known
# by the released text.
_DECIDING = ("given", "test", "written")


def task_key(
    part: str, released: bytes, settings: RunSettings, submission: Mapping[str, bytes]
) -> str:
    """Return the key of a part's result.

    released: the released notebook. submission: the part's files by name.
    """
    return _digest(
        _code_of_kit(GRADING_CODE),
        _rules(part).encode(),
        _released_code(released),
        repr(settings).encode(),
        *_lacking(submission),
        *_named(submission),
    )


def rollout_key(
    policy: rubric.Policy, settings: RunSettings, submission: Mapping[str, bytes]
) -> str:
    """Return the key of a policy's episodes: of its notebook only the code cells count."""
    code = {
        name: _code_cells(content) if name.endswith(".ipynb") else content
        for name, content in submission.items()
    }
    return _digest(
        _code_of_kit(ROLLOUT_CODE),
        repr([getattr(policy, name) for name in (*_SHAPES, *_SCALE)]).encode(),
        repr([getattr(rubric, name) for name in _NUMBERS]).encode(),
        f"{settings.seed} {settings.episodes} {settings.seconds}".encode(),
        *_lacking(submission),
        *_named(code),
    )


def kit_version() -> str:
    """Return the kit's version, with the beginning of a digest of all its code."""
    return f"{pusht.__version__} ({_digest_of_kit()[:8]})"


def syntax(source: str) -> str:
    """Return a text that is the same for Python code that differs in comments, layout and
    docstrings alone; of anything else, such as a cell with IPython's commands, the source.
    """
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):
        return source
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and _is_text(body[0]):
            del body[0]
    return ast.dump(tree)


def _is_text(node: ast.stmt) -> bool:
    """Say whether a statement is a text alone, as a docstring is."""
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def files_of(patterns: Iterable[str]) -> dict[str, Path]:
    """Return the kit's files that patterns name, by their names, in order of these.

    ValueError for a pattern that names no file.
    """
    found: dict[str, Path] = {}
    for pattern in patterns:
        matched = dict(resources.find(pattern))
        if not matched:
            raise ValueError(f"{pattern} names no file of the kit: a key would not depend on it.")
        found |= matched
    return dict(sorted(found.items()))


@functools.cache
def _code_of_kit(patterns: tuple[str, ...]) -> bytes:
    contents = []
    for name, path in files_of(patterns).items():
        contents += [name.encode(), syntax(path.read_text("utf-8")).encode()]
    return _digest(*contents).encode()


@functools.cache
def _digest_of_kit() -> str:
    contents = []
    for name, path in files_of(("pusht/**/*.py", "score/**/*.py")).items():
        contents += [name.encode(), path.read_bytes()]
    return _digest(*contents)


def _rules(part: str) -> str:
    """Return what a part's results depend on of the rubric."""
    entries = [
        {name: value for name, value in vars(entry).items() if name not in _WORDS}
        for entry in rubric.PARTS[part].graded()
    ]
    target = syntax(inspect.getsource(rubric.Policy))
    return repr((entries, target, [getattr(rubric, name) for name in _NUMBERS]))


def _released_code(released: bytes) -> bytes:
    """Return what a result depends on of a released notebook."""
    kept = []
    for cell in read_notebook(released).cells:
        marker = read_marker(cell.source)
        if marker and marker.kind in _DECIDING:
            content = cell.source if marker.kind == "written" else syntax(cell.source)
            kept.append([marker.id, marker.kind, content])
    return json.dumps(kept).encode()


def _code_cells(content: bytes) -> bytes:
    """Return the code cells of a notebook that was handed in."""
    try:
        cells = read_notebook(content).cells
    except ValueError:  # it will not be run
        return content
    return json.dumps([cell.source for cell in cells if cell.cell_type == "code"]).encode()


def _lacking(submission: Mapping[str, bytes]) -> list[bytes]:
    """Return the packages that a submission's code imports and that this machine lacks: where one
    is installed later, the submission is graded again.
    """
    return [name.encode() for name in formats.missing_packages(submission)]


def _named(files: Mapping[str, bytes]) -> list[bytes]:
    return [part for name, content in sorted(files.items()) for part in (name.encode(), content)]


def _digest(*contents: bytes) -> str:
    total = hashlib.sha256()
    for content in contents:
        total.update(hashlib.sha256(content).digest())
    return total.hexdigest()
