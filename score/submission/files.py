"""The files of a submission: their names, their size limits, and the choice among copies."""

import os
import re
from collections.abc import Iterable
from typing import Any

from pusht.checkpoint import MAX_BYTES, SUFFIX
from pusht.normalisation import MOMENTS
from score import rubric
from score.submission.archive import MB, ArchiveMember, listed

CAPS = {
    ".ipynb": 20 * MB,
    SUFFIX: MAX_BYTES,
    ".csv": 5 * MB,
    ".json": 5 * MB,
    ".yaml": MB,
    ".mp4": 20 * MB,
    ".py": MB,
    ".npz": 5 * MB,
    **dict.fromkeys((".pkl", ".pickle", ".pt", ".pth", ".ckpt", ".joblib"), MAX_BYTES),
}
STUDENT_CAP = 95 * MB  # nbgrader skips folders of more than 100 MB
MANIFEST = "manifest.json"
# It is beside the notebooks in what nbgrader hands out, and says that nbgrader's Submit is the way.
BY_NBGRADER = "HAND_IN.txt"

# {method: policy} for the policies whose training writes a log in a run directory exp/METHOD.
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


# How well a path matches a name: 3 for the name or a copy of it, 2 for the name with other words,
# 1 for a run renamed to exp/METHOD, 0 for another run; then the step at which a policy was saved.
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


# {name of a file in a submission: the part that it belongs to}, in the order of packing.
TAKEN = _taken()
_LONGEST_FIRST = [os.path.splitext(name) for name in sorted(TAKEN, key=len, reverse=True)]


def cap(name: str) -> int:
    """Return the largest allowed size, in bytes, of a file with this name."""
    return CAPS[os.path.splitext(name)[1].lower()]


def taken_name(path: str) -> tuple[str, Rank] | None:
    """Return (the file's name in a submission, the rank of its path), or None for a file that does
    not belong to a submission.

    The name of a copy, such as "Copy of part1_mlp (2).ipynb", ranks as high as the name itself.
    Lower ranks are names with other words in them and, last, files of a run directory in exp/, of
    which later steps rank higher.
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
    """Return whether this file may be in a submission although the grade does not depend on it: the
    manifest, and the rest of a run directory.
    """
    return os.path.basename(path) == MANIFEST or bool(RUN.fullmatch(path))


def is_pickle(path: str) -> bool:
    """Return whether a file may be a pickle. A pickle runs code when it is opened, so it is never
    opened outside the sandbox.
    """
    return bool(_PICKLE.search(path))


def ranked(members: Iterable[ArchiveMember]) -> dict[str, list[ArchiveMember]]:
    """Return {name of a file in a submission: the members that may be it}. They are sorted by the
    attempt, the latest first, then by how well their paths match, then the newer first, then the
    larger first.
    """
    found: dict[str, list[tuple[Rank, ArchiveMember]]] = {}
    for member in members:
        if not member.rejection and (taken := taken_name(member.path)):
            found.setdefault(taken[0], []).append((taken[1], member))

    def worth(row: tuple[Rank, ArchiveMember]) -> tuple[Any, ...]:
        rank, member = row
        return member.attempt, rank, member.received, member.modified, member.size

    return {
        name: [member for _, member in sorted(found[name], key=worth, reverse=True)]
        for name in TAKEN
        if name in found
    }


def choice_sentence(name: str, chosen: ArchiveMember, candidates: list[ArchiveMember]) -> str:
    """Return one sentence on which of the candidates was used; "" if there was no choice."""
    others = [m for m in candidates if m is not chosen and not RUN.fullmatch(m.path)]
    if RUN.fullmatch(chosen.path):
        return f"{name} is {chosen.path}."
    if not others:
        return ""
    return f"{name} is {chosen.path}, the newer or else the larger one, not {listed(others)}."
