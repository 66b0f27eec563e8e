"""The parts of a submission whose code is not in src/, or whose models are not in exp/."""

import re
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from pusht.checkpoint import SUFFIX
from pusht.train import POLICIES
from score.hw1.imports import PACKAGE
from score.hw1.runs.choice import Place, Read, Run, place_in_exp
from score.hw1.runs.methods import method_of_name
from score.hw1.runs.reward_log import LOG
from score.hw1.runs.settings import HOME, is_settings
from score.submission.archive import MB, ArchiveMember, RejectedFile
from score.submission.files import CAPS, is_pickle, taken_name
from score.submission.notebooks import code_cells, part_of

# The code by its names in the packed zip, and the run directories.
Parts = tuple[dict[str, ArchiveMember], list[Run]]

NOTEBOOK = ".ipynb"
CODE = (".py", ".yaml", ".json")  # what is packed of src/
_SURE = re.compile(rf"(?:.*/)?(?:model\.py|{PACKAGE}/[^/]+\.py|files/checkpoints/[^/]+\.pkl)")
_EXP = re.compile(r"(?:^|/)(?i:exp)/")
_CHECKPOINTS = "/files/checkpoints/"  # where the assignment's evaluate_policy saves, in W&B's run
_FOREIGN = re.compile(r"(?:^|/)(?:wandb|site-packages|\.?venv|node_modules)/")
_POLICIES = re.compile(
    rf"^(?:class (?:{'|'.join(POLICIES.values())})\b|class \w+\((?:\w+\.)?BasePolicy\)|"
    r"def build_policy\b)",
    re.MULTILINE,
)
_MOST_READ = 50  # files that are read to find the policies


def is_sure(path: str) -> bool:
    """Return whether a path can only belong to a submission of the script assignment."""
    return bool(_SURE.fullmatch(path))


def is_pickled_run(run: Run) -> bool:
    """Return whether a run has a pickled model, which the kit's own runs never have."""
    return any(is_pickle(name) for name in run.files)


def defines_policies(name: str, content: bytes) -> bool:
    """Return whether a file's code, or that in a notebook, defines one of the assignment's
    policies.
    """
    if name.endswith(NOTEBOOK):
        return any(map(_POLICIES.search, code_cells(content)))
    return bool(_POLICIES.search(content.decode("utf-8", errors="replace")))


def parts(members: Sequence[ArchiveMember], read: Read) -> Parts:
    """Return the code and the runs among a student's files, wherever they are. Without code that
    defines the policies, there are only the runs that are in exp/.
    """
    code = _code(members, read)
    homes = {HOME.sub("", m.path) for m in members if is_settings(m.path) or _is_log(m.path)}
    rows: list[tuple[Place, ArchiveMember]] = []
    for member in members:
        if exp := _EXP.search(member.path):
            rows.append((place_in_exp(member.path[: exp.end()], member.path[exp.end() :]), member))
        elif code and member.path not in {m.path for m in code.values()} and _is_model(member):
            rows.append((_place(member.path, homes), member))
    runs = grouped(rows)
    for run in runs:
        run.files.update(_beside(run, members))
    return code, runs


def grouped(rows: Iterable[tuple[Place, ArchiveMember]]) -> list[Run]:
    """Return the runs that files, each with its place, belong to."""
    runs: dict[str, Run] = {}
    for place, member in rows:
        run = runs.setdefault(place.run, Run(place.run, place.name))
        run.files[place.inside] = member
    return [*runs.values()]


def _code(members: Sequence[ArchiveMember], read: Read) -> dict[str, ArchiveMember]:
    """Return the package with the policies by its names in the packed zip; {} if there is none."""
    beside = [m for m in members if m.path.endswith(CODE) and not _FOREIGN.search(m.path)]
    sources = [m for m in beside if m.path.endswith(".py")]

    def order(member: ArchiveMember) -> tuple[Any, ...]:
        named = member.path.rpartition("/")[2] == "model.py"
        return not named, member.path.count("/"), -member.received.timestamp(), member.path

    for member in sorted(sources, key=order)[:_MOST_READ]:
        try:
            if not defines_policies(member.path, read(member, MB)):
                continue
        except RejectedFile:
            continue
        folder = member.path.rpartition("/")[0]
        before, src, _ = f"/{folder}/".rpartition("/src/")
        top = f"{before}{src}"[1:] if src else _parent(folder)
        inside = top if src or not folder else f"{folder}/"
        return {f"src/{m.path.removeprefix(top)}": m for m in beside if m.path.startswith(inside)}
    return _in_notebook(members, beside, read)


def _in_notebook(
    members: Iterable[ArchiveMember], beside: Iterable[ArchiveMember], read: Read
) -> dict[str, ArchiveMember]:
    """Return a notebook of the student's own that defines the policies, with the code beside it."""
    notebooks = [m for m in members if m.path.endswith(NOTEBOOK) and not taken_name(m.path)]
    for member in sorted(notebooks, key=lambda m: (m.path.count("/"), m.path))[:_MOST_READ]:
        try:
            content = read(member, CAPS[NOTEBOOK])
        except RejectedFile:
            continue
        if part_of(content) is None and defines_policies(member.path, content):
            folder, slash, _ = member.path.rpartition("/")
            near = [member, *(m for m in beside if m.path.startswith(folder + slash))]
            return {f"src/{m.path.removeprefix(folder + slash)}": m for m in near}
    return {}


def _parent(folder: str) -> str:
    """Return the folder, with a slash at its end, from which a package is imported: that around it,
    or its own where its name cannot be a package's.
    """
    around, _, name = folder.rpartition("/")
    if not name.isidentifier():
        return f"{folder}/" if folder else ""
    return f"{around}/" if around else ""


def _is_model(member: ArchiveMember) -> bool:
    path = member.path
    return (is_pickle(path) or path.endswith(SUFFIX)) and not taken_name(path)


def _is_log(path: str) -> bool:
    return path.rpartition("/")[2] == LOG


def _place(path: str, homes: Collection[str]) -> Place:
    """Return the place of a model outside exp/: in the folder that names a method, in that of
    W&B's run, in the nearest of `homes` around it, or beside other models of its name.

    homes: the folders with settings or a log.
    """
    *folders, file = path.split("/")
    for count, folder in enumerate(folders, 1):
        if method_of_name(folder):
            run = "/".join(folders[:count]) + "/"
            return Place(run, folder, path.removeprefix(run))
    if _CHECKPOINTS in f"/{path}":
        run = f"/{path}"[1 : f"/{path}".rindex(_CHECKPOINTS)]
        run = f"{run}/" if run else ""
        return Place(run, run.rstrip("/").rpartition("/")[2], path.removeprefix(run))
    stem = re.sub(r"\d+", "", file.rpartition(".")[0])
    if not method_of_name(stem):
        for count in range(len(folders), 0, -1):
            run = "/".join(folders[:count])
            if run in homes:
                return Place(f"{run}/", folders[count - 1], path.removeprefix(f"{run}/"))
    return Place("/".join([*folders, stem]), stem, file)


def _beside(run: Run, members: Iterable[ArchiveMember]) -> dict[str, ArchiveMember]:
    """Return the other files of a run outside exp/, by their paths in it."""
    if _EXP.search(run.path):
        return {}
    if run.path.endswith("/"):
        inside = [m for m in members if m.path.startswith(run.path)]
        return {m.path.removeprefix(run.path): m for m in inside}
    folder = run.path.rpartition("/")[0]
    near = [m for m in members if m.path.rpartition("/")[0] == folder]
    return {m.path.rpartition("/")[2]: m for m in near if m.path.endswith((".json", ".npz"))}
