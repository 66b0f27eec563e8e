"""Find the files of a submission of the script assignment among a student's files.

    exp/mse/…, exp/flow/…     run directories, with models at any depth
                              (wandb/files/checkpoints/checkpoint_step_9.pkl) and statistics
    src/hw1_imitation/*.py    the student's package, which contains a model.py

This module looks at paths only and opens no file.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pusht.checkpoint import SUFFIX
from score import rubric
from score.submission.archive import ArchiveMember
from score.submission.files import is_pickle
from score.submission.formats import Format, Found

PART, PACKED = "part4_flow", "part4_script.zip"
METHODS = {policy.method: policy for policy in rubric.PARTS[PART].policies}

_INSIDE = re.compile(
    r"(?P<root>(?:.*?/)??)"
    rf"(?:src/(?P<code>.+)|exp/(?P<run>(?:[^/]*_)?(?P<method>{'|'.join(METHODS)}))/(?P<inside>.+))",
    re.DOTALL,
)
_EXTRAS = ("pyproject.toml", "uv.lock", "README.md")
_MOST_CODE = 200  # files of src/
_MOST_MODELS = _MOST_STATISTICS = 20  # files of a run directory
_LONGEST = 200  # most characters of a path in the packed zip
_STARTED = re.compile(r"\d{8}_\d{6}")

_Row = tuple[re.Match[str], ArchiveMember]  # a member, after the match of its path with _INSIDE


def find(format: Format, members: Sequence[ArchiveMember]) -> Found | None:
    """Return the submission among a student's files; None without src/, or without exp/mse and
    exp/flow. If several folders have one, a complete submission is preferred, then the newest.
    """
    roots: dict[str, list[_Row]] = {}
    for member in members:
        if not member.rejection and (match := _INSIDE.fullmatch(member.path)):
            roots.setdefault(match["root"], []).append((match, member))
    whole = {
        root: rows
        for root, rows in roots.items()
        if any(_is_code(match) for match, _ in rows) and any(match["run"] for match, _ in rows)
    }
    if not whole:
        return None

    def worth(root: str) -> tuple[Any, ...]:
        methods = {match["method"] for match, _ in whole[root]}
        return len(methods), max(member.received for _, member in whole[root]), root

    root = max(whole, key=worth)
    taken = _taken(whole[root])
    extras = [member for member in members if member.path in {root + name for name in _EXTRAS}]
    return Found(
        format,
        describe(taken.files),
        taken.files,
        [*extras, *taken.unused],
        taken.left_out,
        taken.runs,
    )


def is_code(path: str) -> bool:
    """Return whether a path is that of code in src/."""
    match = _INSIDE.fullmatch(path)
    return match is not None and _is_code(match)


def in_run(names: Iterable[str], method: str) -> list[str]:
    """Return the names that are in the run directory of a method, exp/mse or exp/flow."""
    return [name for name in names if name.startswith(f"exp/{method}/")]


def ranked_models(names: Iterable[str]) -> list[str]:
    """Return the names of a run directory's files that may be models: safetensors before pickles,
    and later steps before earlier ones.
    """
    models = [name for name in names if name.endswith(SUFFIX) or is_pickle(name)]

    def rank(name: str) -> tuple[Any, ...]:
        return not name.endswith(SUFFIX), not name.endswith(f"/policy{SUFFIX}"), -_step(name), name

    return sorted(models, key=rank)


def policy_module(names: Iterable[str]) -> str | None:
    """Return the name of the file that defines the policies, the topmost model.py in src/, or None
    if there is none.
    """
    found = [name for name in names if re.fullmatch(r"src/(.*/)?model\.py", name)]
    return min(found, key=lambda name: (name.count("/"), name), default=None)


def describe(files: Iterable[str]) -> str:
    """Return one sentence that describes these files of the packed zip."""
    names = [*files]
    code = [name for name in names if name.startswith("src/")]
    found = [f"{policy_module(code) or 'no model.py'} among {len(code)} files of src/"]
    for method in METHODS:
        models = ranked_models(in_run(names, method))
        more = f" and {len(models) - 1} more" if models[1:] else ""
        found.append(f"{models[0]}{more}" if models else f"no model in exp/{method}")
    return f"The script assignment's layout: {'; '.join(found)}."


@dataclass
class _Taken:
    """The fields of `Found` with the same names, while they are being filled."""

    files: dict[str, ArchiveMember] = field(default_factory=dict)
    unused: list[ArchiveMember] = field(default_factory=list)
    left_out: list[ArchiveMember] = field(default_factory=list)
    runs: dict[str, str] = field(default_factory=dict)

    def take(self, files: Mapping[str, ArchiveMember], most: int) -> None:
        """Add the first `most` of these files whose paths are not too long."""
        count = 0
        for name, member in files.items():
            if len(name) > _LONGEST:
                self.left_out.append(member.rejected("its path is too long"))
            elif count == most:
                self.left_out.append(member.rejected(f"more than {most} files of its kind"))
            else:
                self.files[name] = member
                count += 1


def _taken(rows: list[_Row]) -> _Taken:
    code = {f"src/{match['code']}": member for match, member in rows if _is_code(match)}
    taken = _Taken(unused=[m for match, m in rows if match["code"] and not _is_code(match)])
    taken.take(code, _MOST_CODE)
    for method in METHODS:
        _take_run(taken, method, [row for row in rows if row[0]["method"] == method])
    # The likeliest models of each run come first, in case there is no room for all.
    place = {
        name: at
        for method in METHODS
        for at, name in enumerate(ranked_models(in_run(taken.files, method)))
    }
    taken.files = dict(sorted(taken.files.items(), key=lambda file: place.get(file[0], -1)))
    return taken


def _take_run(taken: _Taken, method: str, rows: list[_Row]) -> None:
    """Add the models and statistics of one run directory of a method: exp/METHOD if there is one,
    else the latest by the time in its name.
    """
    runs: dict[str, dict[str, ArchiveMember]] = {}
    for match, member in rows:
        runs.setdefault(match["run"], {})[f"exp/{method}/{match['inside']}"] = member
    if not runs:
        return
    run = method if method in runs else max(runs, key=lambda run: (_STARTED.findall(run)[-1:], run))
    files = runs[run]
    statistics = [n for n in files if n.endswith((".json", ".npz")) and "/wandb/" not in n]
    taken.take({name: files[name] for name in ranked_models(files)}, _MOST_MODELS)
    taken.take({name: files[name] for name in statistics}, _MOST_STATISTICS)
    taken.unused += [member for _, member in rows]
    name, member = next(iter(files.items()))
    if in_run(taken.files, method):
        taken.runs[method] = member.path.removesuffix(name.removeprefix(f"exp/{method}/"))


def _is_code(match: re.Match[str]) -> bool:
    return bool(match["code"]) and match["code"].endswith(".py")


def _step(name: str) -> int:
    numbers = re.findall(r"\d+", name.rpartition("/")[2].rpartition(".")[0])
    return int(numbers[-1][-12:]) if numbers else 10**12
