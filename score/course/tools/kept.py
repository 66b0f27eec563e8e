"""What trainings gave, kept in build/findings until a finding is complete, so that an interrupted
run goes on, and trainings can be shared out among processes.
"""

import json
from collections.abc import Callable
from typing import Any

from pusht.files import write_whole
from score.course.notebooks.build import ROOT

_FOLDER = ROOT / "build" / "findings"


def kept(
    name: str, compute: Callable[..., dict[str, Any]], *arguments: Any, **settings: Any
) -> dict[str, Any]:
    """Return what is kept under a name; where there is nothing, compute and keep it."""
    path = _FOLDER / f"{name}.json"
    if not path.exists():
        write_whole(path, json.dumps(compute(*arguments, **settings)))
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def forget(*names: str) -> None:
    """Remove what is kept under names that begin so."""
    for name in names:
        for path in _FOLDER.glob(f"{name}_*.json"):
            path.unlink()
