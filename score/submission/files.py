"""Which of a student's files are taken: their names, how large they may be, which of several."""

import os
import re
from collections.abc import Iterable
from typing import Any

from pusht.checkpoint import MAX_BYTES, MOMENTS, SUFFIX
from score import rubric
from score.submission.archive import MB, ArchiveMember, listed

CAPS = {
    ".ipynb": 20 * MB,
    SUFFIX: MAX_BYTES,
    ".csv": 5 * MB,
    ".json": 5 * MB,
    ".mp4": 20 * MB,
    ".py": MB,
    ".npz": 5 * MB,
    **dict.fromkeys((".pkl", ".pickle", ".pt", ".pth", ".ckpt", ".joblib"), MAX_BYTES),
}
STUDENT_CAP = 95 * MB  # nbgrader passes over folders of more than 100 MB
MANIFEST = "manifest.json"

# Policies whose training keeps a log, in a run directory exp/METHOD, and the methods' names.
LOGGED = {p.method: p for p in rubric.POLICIES.values() if p.normalisation == MOMENTS}
RUN = re.compile(
    rf"(?P<folder>(?:|.*/)exp/(?P<run>(?:[^/]*_)?(?P<method>{'|'.join(LOGGED)}))/)"
    r"(?P<inside>(?:config|summary)\.json|log\.csv|policy\.safetensors|videos/step_\d{1,12}\.mp4|"
    r"checkpoints/step_(?P<step>\d{1,12})\.safetensors)",
    re.IGNORECASE,
)
_PICKLE = re.compile(r"(?<!\.resume)\.(pkl|pickle|pt|pth|ckpt|joblib)$", re.IGNORECASE)
# Words that computers and people add to the name of a copy, in a few languages.
_COPY_WORDS = {
    "",
    "copy",
    "of",
    "kopie",
    "von",
    "van",
    "copie",
    "copia",
    "de",
    "di",
    "late",
    "ipynb",
}


# How well a file is named: 3 the name or a copy's, 2 with other words, 1 a run that was renamed to
# exp/METHOD, 0 another run; then the step after which a run's policy was kept.
Rank = tuple[int, int]


def _taken() -> dict[str, str]:
    parts = rubric.PARTS.values()
    policies = [(policy, part.name) for part in parts for policy in part.policies]
    names = {f"{part.name}.ipynb": part.name for part in parts}
    for ending in (SUFFIX, "_log.csv", "_loss.json"):
        names |= {policy.name + ending: part for policy, part in policies}
    for ending in ("_vis.mp4", "_combined_vis.mp4"):
        names |= {policy.method + ending: part for policy, part in policies}
    return names | {"demo_vis.mp4": "part1_mlp", "four_policies.mp4": "part4_flow"}


# {name of a file that is taken: the part it belongs to}, in the order in which they are taken.
TAKEN = _taken()
_LONGEST_FIRST = [os.path.splitext(name) for name in sorted(TAKEN, key=len, reverse=True)]


def cap(name: str) -> int:
    """Return how many bytes a file of this name may have."""
    return CAPS[os.path.splitext(name)[1].lower()]


def taken_name(path: str) -> tuple[str, Rank] | None:
    """Return (name under which a file is taken, a rank of how well it is named), or None for a
    file that is not taken.

    A copy's name, such as "Copy of part1_mlp (2).ipynb", ranks as high as the name itself. After
    these come names with other words in them, then the files of a run directory in exp/, its last
    policy first.
    """
    if found := RUN.fullmatch(path):
        return _taken_of_run(found)
    stem, suffix = os.path.splitext(
        re.sub(r"\.ipynb\.(txt|json)$", ".ipynb", os.path.basename(path).lower())
    )
    words = "_" + re.sub(r"[^a-z0-9]+", "_", stem).strip("_") + "_"
    for target, kind in _LONGEST_FIRST:
        if kind == suffix and f"_{target}_" in words:
            rest = words.replace(f"_{target}_", "_", 1).split("_")
            copied = all(word.rstrip("0123456789") in _COPY_WORDS for word in rest)
            return target + kind, (3 if copied else 2, 0)
    return None


def _taken_of_run(found: re.Match[str]) -> tuple[str, Rank] | None:
    inside, method = found["inside"].lower(), found["method"].lower()
    if inside == "log.csv":
        ending = "_log.csv"
    elif inside.endswith(SUFFIX):
        ending = SUFFIX
    else:
        return None
    renamed = found["run"].lower() == method  # exp/mse, as a run is renamed to be handed in
    return LOGGED[method].name + ending, (int(renamed), int(found["step"] or 10**12))


def is_extra(path: str) -> bool:
    """Say whether a submission may hold this file although nothing is graded by it: the manifest,
    and the rest of a run directory.
    """
    return os.path.basename(path) == MANIFEST or bool(RUN.fullmatch(path))


def is_pickle(path: str) -> bool:
    """Say whether a file may be a pickle. A pickle runs code when it is opened, so nothing outside
    the sandbox opens one.
    """
    return bool(_PICKLE.search(path))


def ranked(members: Iterable[ArchiveMember]) -> dict[str, list[ArchiveMember]]:
    """Return {name of a file that is taken: the members that may be it, the best first}: the
    better named, then the newer, then the larger.
    """
    found: dict[str, list[tuple[Rank, ArchiveMember]]] = {}
    for member in members:
        if not member.rejection and (taken := taken_name(member.path)):
            found.setdefault(taken[0], []).append((taken[1], member))

    def worth(row: tuple[Rank, ArchiveMember]) -> tuple[Any, ...]:
        rank, member = row
        return rank, member.received, member.modified, member.size

    return {
        name: [member for _, member in sorted(found[name], key=worth, reverse=True)]
        for name in TAKEN
        if name in found
    }


def choice_sentence(name: str, chosen: ArchiveMember, candidates: list[ArchiveMember]) -> str:
    """Return one sentence on which of the candidates was taken; "" where there was no choice."""
    others = [m for m in candidates if m is not chosen and not RUN.fullmatch(m.path)]
    if RUN.fullmatch(chosen.path):
        return f"{name} is {chosen.path}."
    if not others:
        return ""
    return f"{name} is {chosen.path}, the newer or else the larger one, not {listed(others)}."
