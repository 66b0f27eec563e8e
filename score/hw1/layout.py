"""Find the files of a submission of the script assignment among a student's files.

    exp/mse/…, exp/flow/…     run directories, with models at any depth
                              (wandb/files/checkpoints/checkpoint_step_9.pkl), settings and log
    src/hw1_imitation/*.py    the student's package, which contains a model.py

That is how the assignment asks for them. Taken are also run directories with other names (see
`score.hw1.runs.choice`), models outside exp/ and code outside src/ (see `score.hw1.loose`). All are
packed under the names above.
"""

import io
import json
import re
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from score.hw1 import loose
from score.hw1.runs.choice import (
    METHODS,
    Run,
    chosen,
    other_files,
    place_in_exp,
    ranked_models,
    run_sentence,
)
from score.hw1.runs.elsewhere import completed
from score.submission.archive import MB, Archive, ArchiveMember
from score.submission.formats import Format, Found

PACKED = "part4_script.zip"
PACKED_CAP = 60 * MB  # less than the limit of a checkpoint, to leave room for the zip's index
LEFT_OUT = "left_out.json"  # in the packed zip: names of models that had no room in it
_INSIDE = re.compile(r"(?P<root>(?:.*?/)??)(?:src/(?P<code>.+)|(?i:exp)/(?P<run>.+))", re.DOTALL)
_EXTRAS = ("pyproject.toml", "uv.lock", "README.md")
_MOST_CODE = 200  # files of src/
_MOST_MODELS = _MOST_OTHERS = 20  # files of a run directory
_LONGEST = 200  # most characters of a path in the packed zip


def find(format: Format, archive: Archive, members: Sequence[ArchiveMember]) -> Found | None:
    """Return the submission among a student's files, or None. If several folders have one, that
    with both methods is preferred, then the newest.
    """
    readable = [member for member in members if not member.rejection]
    asked = _as_asked(readable, archive)
    code, runs = asked or loose.parts(readable, archive.read)
    if not code and not any(loose.is_pickled_run(run) for run in runs):
        return None
    best, unknown = chosen(runs, archive.read)
    if asked and not all(m in best and ranked_models(best[m].files) for m in METHODS):
        best = _with_models_elsewhere(best, readable, archive)
    used = {member.path for member in code.values()}
    best = completed(best, runs, readable, used, archive.read)
    taken = _taken(code, best)
    used = {member.path for member in taken.files.values()}
    used |= {member.path for member in taken.left_out}
    of_it = [m for run in runs for m in run.files.values()]
    roots = {member.path.removesuffix(name.removeprefix("src/")) for name, member in code.items()}
    unused = [m for m in readable if m.path not in used and _belongs(m.path, roots)]
    unused += [m for m in of_it if m.path not in used]
    return Found(
        format,
        describe(taken.files) + run_sentence(best, unknown),
        taken.files,
        [*{member.path: member for member in unused}.values()],
        taken.left_out,
        {method: run.path for method, run in best.items()},
    )


def is_code(path: str) -> bool:
    """Return whether a path can only belong to a submission of the script assignment."""
    match = _INSIDE.fullmatch(path)
    in_src = match is not None and bool(match["code"]) and path.endswith(".py")
    return in_src or loose.is_sure(path)


def in_run(names: Iterable[str], method: str) -> list[str]:
    """Return the names that are in the run directory of a method, exp/mse or exp/flow."""
    return [name for name in names if name.startswith(f"exp/{method}/")]


def policy_module(names: Sequence[str], read: Callable[[str], bytes]) -> str | None:
    """Return the name of the file that defines the policies: the topmost model.py in src/, or else
    another file or a notebook that does; None if there is none. read: returns a file's content.
    """
    inside = [name for name in names if name.startswith("src/")]
    code = [name for name in inside if name.endswith(".py")]
    code.sort(key=lambda name: (name.count("/"), name))
    found = [name for name in code if name.endswith("/model.py")]
    code += [name for name in inside if name.endswith(loose.NOTEBOOK)]
    found = found or [name for name in code if loose.defines_policies(name, read(name))]
    return found[0] if found else None


def no_model(method: str, names: Iterable[str]) -> str:
    """Return the sentence on a run directory without a model. names: its files."""
    inside = sorted(name.removeprefix(f"exp/{method}/") for name in names)
    if not inside:
        return (
            f"There is no run of the {method} policy: hand in its whole run directory, with"
            f" wandb/files/checkpoints, under the name exp/{method}."
        )
    there = ", ".join(inside[:3]) + (", …" if inside[3:] else "")
    return (
        f"exp/{method} has no checkpoint ({there} is there): copy the whole run directory, with"
        " wandb/files/checkpoints/checkpoint_step_….pkl, which evaluate_policy saves."
    )


def describe(files: Iterable[str]) -> str:
    """Return one sentence that describes these files of the packed zip."""
    names = [*files]
    code = [name for name in names if name.startswith("src/")]
    modules = sorted((n.count("/"), n) for n in code if n.endswith("/model.py"))
    found = [f"{modules[0][1] if modules else 'no model.py'} among {len(code)} files of src/"]
    for method in METHODS:
        models = ranked_models(in_run(names, method))
        more = f" and {len(models) - 1} more" if models[1:] else ""
        found.append(f"{models[0]}{more}" if models else f"no model in exp/{method}")
    return f"The script assignment's layout: {'; '.join(found)}."


def left_out(content: bytes | None, method: str) -> list[str]:
    """Return the names of a run's models that had no room in the packed zip.

    content: of `LEFT_OUT`, which the kit wrote, or None without it.
    """
    return in_run(json.loads(content), method) if content else []


def unpacked(packed: bytes) -> dict[str, bytes]:
    """Return {name: content} of a packed zip, which the kit wrote."""
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@dataclass
class _Taken:
    """The fields of `Found` with the same names, while they are being filled."""

    files: dict[str, ArchiveMember] = field(default_factory=dict)
    left_out: list[ArchiveMember] = field(default_factory=list)

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


def _taken(code: Mapping[str, ArchiveMember], runs: Mapping[str, Run]) -> _Taken:
    """Return what is packed: code, then settings and logs, then the likeliest models of each run
    before the others, in case there is no room for all.
    """
    taken = _Taken()
    taken.take(code, _MOST_CODE)
    models: dict[str, list[str]] = {}
    for method, run in runs.items():
        inside = {f"exp/{method}/{name}": run.files[name] for name in other_files(run)}
        taken.take(inside, _MOST_OTHERS)
        names = ranked_models(run.files)
        taken.take({f"exp/{method}/{name}": run.files[name] for name in names}, _MOST_MODELS)
        models[method] = [name for name in names if f"exp/{method}/{name}" in taken.files]
    place = {
        f"exp/{method}/{name}": at
        for method, names in models.items()
        for at, name in enumerate(names)
    }
    taken.files = dict(sorted(taken.files.items(), key=lambda file: place.get(file[0], -1)))
    return taken


def _as_asked(members: Sequence[ArchiveMember], archive: Archive) -> loose.Parts | None:
    """Return the code and the runs of the folder that has both src/ and exp/, or None."""
    roots: dict[str, list[tuple[re.Match[str], ArchiveMember]]] = {}
    for member in members:
        if match := _INSIDE.fullmatch(member.path):
            roots.setdefault(match["root"], []).append((match, member))
    found: list[tuple[int, object, str, loose.Parts]] = []
    for root, rows in roots.items():
        code = {f"src/{m['code']}": member for m, member in rows if m["code"]}
        code = {name: member for name, member in code.items() if _is_code(name)}
        code = code if any(name.endswith(".py") for name in code) else {}
        runs = loose.grouped(
            (place_in_exp(m.string[: m.start("run")], m["run"]), member)
            for m, member in rows
            if m["run"]
        )
        if code and runs:
            methods = len(chosen(runs, archive.read)[0])
            newest = max(member.received for _, member in rows)
            found.append((methods, newest, root, (code, runs)))
    return max(found, key=lambda row: row[:3])[3] if found else None


def _with_models_elsewhere(
    best: Mapping[str, Run], members: Sequence[ArchiveMember], archive: Archive
) -> dict[str, Run]:
    """Return the runs with those outside exp/ in place of the ones without a model."""
    _, runs = loose.parts(members, archive.read)
    others, _ = chosen([run for run in runs if ranked_models(run.files)], archive.read, guess=False)
    return {**others, **{m: run for m, run in best.items() if ranked_models(run.files)}} | {
        method: run for method, run in best.items() if method not in others
    }


def _is_code(name: str) -> bool:
    """Return whether a name in the packed zip is that of code or of settings that it may read."""
    return name.startswith("src/") and name.endswith(loose.CODE)


def _belongs(path: str, roots: Iterable[str]) -> bool:
    """Return whether a path is beside the code: in src/, or one of the project's own files."""
    match = _INSIDE.fullmatch(path)
    if match and match["code"]:
        return True
    return path.rpartition("/")[2] in _EXTRAS
