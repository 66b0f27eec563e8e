"""Choose the run directory of each method among those of a submission, and the files in it."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pusht.checkpoint import SUFFIX
from score import rubric
from score.hw1.runs.methods import (
    method_of_model,
    method_of_name,
    method_of_settings,
    method_of_values,
)
from score.hw1.runs.reward_log import LOG, SUMMARY
from score.hw1.runs.settings import is_settings, read_settings, said_of_method
from score.submission.archive import MB, ArchiveMember, RejectedFile
from score.submission.files import is_pickle

PART = "part4_flow"
METHODS = {policy.method: policy for policy in rubric.PARTS[PART].policies}

_STEP = re.compile(r"(?i:step|iter)[a-z]*[-_= ]?(\d+)")
# Not the digits of "fp16", "v2" or "0.62".
_NUMBER = re.compile(r"(?<![\da-zA-Z.])(?:[a-z]*(?:epoch|ckpt|checkpoint))?(\d+)(?!\d*\.\d|\d)")
_BESIDE = re.compile(r"normali[sz]er|stats|statistics|optim|sched", re.IGNORECASE)
_STARTED = re.compile(r"\d{8}_\d{6}")
# Bytes that are read of a file to know a run's method.
TEXT_CAP, _MODEL_CAP = 5 * MB, 100 * MB

Read = Callable[[ArchiveMember, int], bytes]  # reads so many bytes at most; RejectedFile


@dataclass(frozen=True)
class Run:
    """A run directory. path: in the archive, with a slash at its end. name: its own. files: by
    their paths in it. method: None while it is not known. why: what says the method.
    """

    path: str
    name: str
    files: dict[str, ArchiveMember] = field(default_factory=dict)
    method: str | None = None
    why: str = ""

    @property
    def is_renamed(self) -> bool:
        """Whether it has the name of its method, as the assignment asks."""
        return self.name.lower() == self.method

    def worth(self) -> tuple[Any, ...]:
        """Return a key by which the run that is graded comes last among those of a method."""
        models = bool(ranked_models(self.files))
        return models, self.is_renamed, _STARTED.findall(self.name)[-1:], self.name


@dataclass(frozen=True)
class Place:
    """Where a file of a run is: the path and the name of the run directory, its path in it."""

    run: str
    name: str
    inside: str


def place_in_exp(exp: str, path: str) -> Place:
    """Return the place of a file in exp/: in one of its folders, or in a folder further down that
    names a method where that one does not.

    exp: the path of exp/, with a slash at its end. path: that of the file in it.
    """
    *folders, file = path.split("/")
    if not folders:
        stem = file.rpartition(".")[0] or file
        return Place(exp + stem, stem, file)
    count = 1
    if not method_of_name(folders[0]) and not _STARTED.search(folders[0]):
        named = [at for at, name in enumerate(folders, 1) if method_of_name(name)]
        outside = folders.index("wandb") if "wandb" in folders else len(folders)
        count = next((at for at in named if at <= outside), 1)
    run = "/".join(folders[:count]) + "/"
    return Place(exp + run, folders[count - 1], path.removeprefix(run))


def chosen(runs: Iterable[Run], read: Read, guess: bool = True) -> tuple[dict[str, Run], list[Run]]:
    """Return (the run of each method, by method; the runs with a model of which the method is not
    known). Of several runs of a method it is one with a model, then one that is named like the
    method, then the latest by the time in its name.

    guess: whether the only run of an unknown method is taken for that of which there is no other.
    """
    known = [with_method(run, read) for run in runs]
    of_method = {method: [run for run in known if run.method == method] for method in METHODS}
    unknown = [run for run in known if run.method is None and ranked_models(run.files)]
    open_methods = [method for method, found in of_method.items() if not found]
    if guess and len(unknown) == len(open_methods) == 1:
        (method,) = open_methods
        of_method[method] = [_known(unknown[0], method, "the other run is the other method's")]
        unknown = []
    best = {method: max(found, key=Run.worth) for method, found in of_method.items() if found}
    return best, unknown


def ranked_models(names: Iterable[str]) -> list[str]:
    """Return the names of a run directory's files that may be models: safetensors before pickles,
    later steps before earlier ones, and last what is saved beside a model, such as a normaliser.
    """
    models = [
        name for name in names if name.endswith(SUFFIX) or is_pickle(name) or _is_arrays(name)
    ]

    def rank(name: str) -> tuple[Any, ...]:
        step = step_of(name)
        final = not ("/" + name).endswith(f"/policy{SUFFIX}")
        beside = bool(_BESIDE.search(name.rpartition("/")[2]))
        return beside, not name.endswith(SUFFIX), final, step is not None, -(step or 0), name

    return sorted(models, key=rank)


def _is_arrays(name: str) -> bool:
    """Return whether a file may contain a model's weights as NumPy's arrays."""
    return name.endswith(".npz") and not _BESIDE.search(name.rpartition("/")[2])


def step_of(name: str) -> int | None:
    """Return the training step, or else the epoch, in the name of a model's file, or None."""
    stem = name.rpartition("/")[2].rpartition(".")[0]
    numbers = _STEP.findall(stem) or _NUMBER.findall(stem)
    return int(numbers[-1][-12:]) if numbers else None


def other_files(run: Run) -> list[str]:
    """Return the files of a run, beside its models, that are packed: statistics, settings and the
    log.
    """
    statistics = [n for n in run.files if n.endswith((".json", ".npz")) and "wandb/" not in n]
    others = [n for n in run.files if is_settings(n) or n.endswith((LOG, SUMMARY))]
    return [*dict.fromkeys([*others, *statistics])]


def run_sentence(runs: Mapping[str, Run], unknown: Iterable[Run]) -> str:
    """Return sentences on the runs that do not have the name of their method, and on those of which
    the method is not known, or "".
    """
    renamed = [
        f"exp/{method} is {run.path.rstrip('/')} ({run.why})"
        for method, run in runs.items()
        if not run.is_renamed
    ]
    told = f" {', '.join(renamed)}." if renamed else ""
    lost = ", ".join(run.path.rstrip("/") for run in unknown)
    names = " and ".join(f"exp/{method}" for method in METHODS)
    return told + (
        f" Nothing says which method these are of: {lost}; name them {names}." * bool(lost)
    )


def with_method(run: Run, read: Read) -> Run:
    """Return a run with its method: its exact name, its settings, words in its name, or the class
    in its model, in this order.
    """
    if run.name.lower() in METHODS:
        return _known(run, run.name.lower(), "by its name")
    texts = _read(run, filter(is_settings, run.files), read, TEXT_CAP)
    said = [one for _, text in texts for one in said_of_method(text.decode(errors="replace"))]
    if method := method_of_settings(read_settings(texts)) or method_of_values(said):
        return _known(run, method, "by the settings in it")
    if method := method_of_name(run.name):
        return _known(run, method, "by its name")
    for _, content in _read(run, ranked_models(run.files)[:1], read, _MODEL_CAP):
        if method := method_of_model(content):
            return _known(run, method, "by the class of its model")
    return run


def _known(run: Run, method: str, why: str) -> Run:
    return Run(run.path, run.name, run.files, method, why)


def _read(run: Run, names: Iterable[str], read: Read, cap: int) -> Sequence[tuple[str, bytes]]:
    found = []
    for name in names:
        try:
            found.append((name, read(run.files[name], cap)))
        except RejectedFile:
            continue
    return found
