"""Files of a run that are outside its directory: its log, the settings beside that, and the
statistics of its normalisation.

They are packed in the run's folder `FOUND`, under their own names or, for a log, as log.csv.
"""

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from score.hw1.runs.choice import TEXT_CAP, Read, Run, ranked_models, with_method
from score.hw1.runs.methods import method_of_name
from score.hw1.runs.reward_log import LOG, SUMMARY, logged_reward
from score.hw1.runs.settings import HOME, is_settings
from score.submission.archive import ArchiveMember, RejectedFile

FOUND = "elsewhere"
_MOST = 30  # files of a kind that are looked into
_MOST_STATISTICS = 5
_STATISTICS = re.compile(r"norm|stat", re.IGNORECASE)
_WORD = re.compile(r"[a-z]+|\d+")


def is_statistics(name: str) -> bool:
    """Return whether a file's name says that it may contain statistics of a normalisation."""
    file = name.rpartition("/")[2]
    return bool(_STATISTICS.search(file)) and file.endswith((".json", ".npz"))


def completed(
    runs: Mapping[str, Run],
    others: Iterable[Run],
    members: Sequence[ArchiveMember],
    code: Collection[str],
    read: Read,
) -> dict[str, Run]:
    """Return the runs by method, each with the files that it lacks and that are elsewhere.

    others: all runs, of which those with a model keep their own files. members: of the upload.
    code: the paths of those that are the submission's code.
    """
    owned = {m.path for run in others if ranked_models(run.files) for m in run.files.values()}
    free = [m for m in members if m.path not in owned and m.path not in code]
    methods = _Methods(free, read)
    return {
        method: replace(run, files=run.files | _found(run, method, free, methods, read))
        for method, run in runs.items()
        if ranked_models(run.files)
    } | {method: run for method, run in runs.items() if not ranked_models(run.files)}


class _Methods:
    """Says of which method a file outside the runs is: words in its name, else the settings in its
    folder, else words in the names of its folders, the innermost first.
    """

    def __init__(self, members: Iterable[ArchiveMember], read: Read) -> None:
        self._read = read
        self._settings: dict[str, dict[str, ArchiveMember]] = {}
        for member in members:
            if is_settings(member.path):
                home = HOME.sub("", member.path)
                inside = self._settings.setdefault(home, {})
                inside[member.path.removeprefix(f"{home}/")] = member
        self._of_home: dict[str, str | None] = {}

    def of(self, path: str) -> str | None:
        *folders, file = path.split("/")
        if said := method_of_name(file.rpartition(".")[0]):
            return said
        for count in range(len(folders), 0, -1):
            home = "/".join(folders[:count])
            if home in self._settings and home not in self._of_home:
                run = Run(f"{home}/", "", self._settings[home])
                self._of_home[home] = with_method(run, self._read).method
            if said := self._of_home.get(home) or method_of_name(folders[count - 1]):
                return said
        return None


def _found(
    run: Run, method: str, free: Sequence[ArchiveMember], methods: _Methods, read: Read
) -> dict[str, ArchiveMember]:
    """Return the files that a run lacks by their names in it."""
    model = run.files[ranked_models(run.files)[0]].path
    own = [run.files[name] for name in sorted(run.files)]
    of_method = [m for m in free if m not in own and methods.of(m.path) == method]
    found: dict[str, ArchiveMember] = {}

    def add(name: str, members: Sequence[ArchiveMember], tells: Callable[[bytes], bool]) -> None:
        if nearest := _nearest(model, _read(members, tells, read)):
            found[f"{FOUND}/{name or _file(nearest)}"] = nearest

    if not any(name.endswith(LOG) for name in run.files):
        for members in (own, of_method):
            if not found:
                add(LOG, [m for m in members if m.path.endswith(".csv")], _tells(LOG))
    if not found and not any(name.endswith((LOG, SUMMARY)) for name in run.files):
        add(SUMMARY, [m for m in of_method if m.path.endswith(SUMMARY)], _tells(SUMMARY))
    if not any(is_settings(name) for name in run.files):
        homes = {HOME.sub("", member.path) for member in found.values()}
        beside = [m for m in of_method if is_settings(m.path) and HOME.sub("", m.path) in homes]
        add("", beside, bool)
    if not any(is_statistics(name) for name in run.files):
        statistics = [m for m in free if is_statistics(m.path)]
        statistics = [m for m in statistics if methods.of(m.path) in (method, None)]
        found |= {f"{FOUND}/{_file(m)}": m for m in statistics[:_MOST_STATISTICS]}
    return found


def _file(member: ArchiveMember) -> str:
    return member.path.rpartition("/")[2]


def _tells(kind: str) -> Callable[[bytes], bool]:
    """Return a function that says whether the content of a log of this kind tells a reward."""
    return lambda content: logged_reward({kind: content}, None) is not None


def _read(
    members: Sequence[ArchiveMember], tells: Callable[[bytes], bool], read: Read
) -> list[tuple[ArchiveMember, bytes]]:
    """Return (member, content) of those whose content tells something."""
    found = []
    for member in members[:_MOST]:
        try:
            content = read(member, TEXT_CAP)
        except RejectedFile:
            continue
        if tells(content):
            found.append((member, content))
    return found


def _nearest(model: str, files: Iterable[tuple[ArchiveMember, bytes]]) -> ArchiveMember | None:
    """Return the file whose path has the most words of the model's; None where several different
    ones have as many, because another run's log would be worse than none.
    """
    words = {*_WORD.findall(model.lower())}
    rows = [(len(words & {*_WORD.findall(m.path.lower())}), m, content) for m, content in files]
    most = max((count for count, *_ in rows), default=0)
    best = {content: member for count, member, content in rows if count == most}
    return next(iter(best.values())) if len(best) == 1 else None
