"""The result of checking a submission, part by part, as sentences for the student."""

from dataclasses import dataclass, field


@dataclass
class PartReport:
    """The report on one part of a submission: facts, missing things, notes, and what its rehearsal
    showed, all in sentences. differences: what differs in it from practice.
    """

    name: str
    facts: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)
    rehearsal: str = ""

    def __str__(self) -> str:
        mark, state = ("✗", _counted(self.missing)) if self.missing else ("✓", "complete")
        lines = [f"{mark} {self.name}: {state}. {' '.join(self.facts)}".rstrip()]
        lines += [f"    missing: {sentence}" for sentence in self.missing]
        lines += [f"    note: {sentence}" for sentence in self.notes]
        lines += [f"    rehearsal: {sentence}" for sentence in filter(None, [self.rehearsal])]
        lines += [f"        {sentence}" for sentence in self.differences]
        return "\n".join(lines)


@dataclass
class Report:
    """The report on a submission: a `PartReport` for each part that is handed in, and notes on the
    whole. path: path of the zip or folder, as the student gave it.
    """

    path: str
    parts: list[PartReport]
    notes: list[str] = field(default_factory=list)

    @property
    def differs(self) -> bool:
        """Whether a rehearsal has shown anything else than practice."""
        return any(part.differences for part in self.parts)

    @property
    def complete(self) -> bool:
        """Whether nothing is missing."""
        return not any(part.missing for part in self.parts)

    def __str__(self) -> str:
        missing = [sentence for part in self.parts for sentence in part.missing]
        state = f"NOT complete: {_counted(missing)}" if missing else "complete"
        notes = [f"Note: {sentence}" for sentence in self.notes]
        others = sum(len(part.differences) for part in self.parts)
        if others:
            state += f". {'1 check differs' if others == 1 else f'{others} checks differ'} in the"
            state += " rehearsal, so the grade will not be what practice said"
        return "\n".join([*map(str, self.parts), *notes, f"{self.path} is {state}."])


def _counted(missing: list[str]) -> str:
    return "1 thing is missing" if len(missing) == 1 else f"{len(missing)} things are missing"
