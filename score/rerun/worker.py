"""The process of a rehearsal: runs a notebook as it is run when graded, and writes what its checks
said.

    python -m score.rerun.worker NOTEBOOK PART RESULT

It runs in a folder that holds what is handed in and nothing else. RESULT is a JSON file with the
verdicts by question and policy, see `score.rerun.rehearsal`.
"""

import ast
import builtins
import contextlib
import importlib.metadata
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from pusht import resources
from pusht.files import write_whole
from score import rubric
from score.cells import cut_at_markers, read_marker
from score.rerun.shell import Rerun, install
from score.rerun.statements import statements
from score.verdict import Verdict

_KIT = "pusht-course-kit"
_FIXED = Path(__file__).with_name("fixed_cells.json")
_NAME = re.compile(r"\s*([A-Za-z0-9][\w.-]*)")


def run(notebook: Path, part: str, result: Path) -> None:
    """Run a part's notebook and write what its checks said."""
    document = json.loads(notebook.read_text(encoding="utf-8-sig"))
    fixed = json.loads(_FIXED.read_text(encoding="utf-8")).get(part, {})
    handed_in = [
        "".join(cell["source"]) for cell in document["cells"] if cell.get("cell_type") == "code"
    ]
    sources = list[str]()
    for source in handed_in:
        before, after = added(source, fixed)
        sources += [text for text in (before, as_released(source, fixed), after) if text]
    config = Config()
    config.HistoryManager.enabled = False
    shell = InteractiveShell.instance(config=config)
    shell.user_ns["__name__"] = "__main__"
    changed = [source for source in handed_in if as_released(source, fixed) != source]
    rerun = install(sources, shell, changed)
    _without_other_packages()
    for source in sources:
        shell.run_cell(source, store_history=True)
    verdicts = _stopped(rerun, rubric.PARTS[part]) | rerun.verdicts
    write_whole(result, json.dumps({name: asdict(one) for name, one in verdicts.items()}))


def _stopped(rerun: Rerun, part: rubric.Part) -> dict[str, Verdict]:
    """Return the verdicts on checks that were not reached, as a test cell of theirs failed."""
    entries = {part.cell_id(entry): entry for entry in part.graded()}
    found = {}
    for (index, _), failure in rerun.failures.items():
        marker = rerun.notebook[index].marker
        if marker and marker.kind == "test" and marker.key in entries:
            entry = entries[marker.key]
            sentence = f"The check stopped with {failure}."
            found[entry.name] = Verdict(entry.name, 0.0, float(entry.points), sentence)
    return found


def as_released(source: str, fixed: dict[str, str]) -> str:
    """Return a cell's source with what students are not to change as it was released."""
    above, sections = cut_at_markers(source)
    if not any(section.id in fixed for section in sections):
        return source
    texts = [fixed.get(one.id, "\n".join([one.line, *one.lines])) for one in sections]
    return "\n".join([*above, *texts])


def added(source: str, fixed: dict[str, str]) -> tuple[str, str]:
    """Return the imports, definitions and plain values that a student added to cells that run as
    they were released, as `score.course.collect` keeps them: before test cells, and after others.
    """
    theirs = {
        name for text in fixed.values() for one in statements(ast.parse(text)) for name in one.binds
    }
    found: dict[bool, list[str]] = {True: [], False: []}
    for section in cut_at_markers(source)[1]:
        marker = read_marker(section.line)
        if marker and section.id in fixed:
            with contextlib.suppress(SyntaxError, ValueError):
                body = ast.parse("\n".join(section.lines)).body
                found[marker.kind == "test"] += [
                    ast.unparse(node)
                    for node in body
                    if _is_kept(node) and not statements(ast.Module([node], []))[0].binds & theirs
                ]
    return "\n".join(found[True]), "\n".join(found[False])


def _is_kept(node: ast.stmt) -> bool:
    if isinstance(node, (ast.Assign, ast.AnnAssign)):
        return not any(isinstance(part, ast.Call) for part in ast.walk(node))
    kinds = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return isinstance(node, kinds)


def _without_other_packages() -> None:
    """Let a notebook import only what the machine that grades it is known to have."""
    known, plain_import = _known_packages(), builtins.__import__

    def checked(name: str, globals: Any = None, *rest: Any, **options: Any) -> Any:
        top = name.partition(".")[0]
        level = rest[2] if len(rest) > 2 else options.get("level", 0)
        if level == 0 and top not in known and (globals or {}).get("__name__") == "__main__":
            raise ModuleNotFoundError(f"No module named {top!r}", name=top)
        return plain_import(name, globals, *rest, **options)

    builtins.__import__ = checked


def _known_packages() -> set[str]:
    """Return the names of the modules that come with Python, the kit, and what it requires."""
    asked, distributions = [*_requirements()], set[str]()
    while asked:
        name = re.sub(r"[-_.]+", "-", asked.pop()).lower()
        if name in distributions:
            continue
        distributions.add(name)
        try:
            required = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:
            continue
        asked += [
            match[1] for one in required if "extra ==" not in one if (match := _NAME.match(one))
        ]
    modules = {
        module
        for module, names in importlib.metadata.packages_distributions().items()
        if distributions & {re.sub(r"[-_.]+", "-", name).lower() for name in names}
    }
    return {"pusht", "score", *sys.stdlib_module_names, *modules}


def _requirements() -> Iterator[str]:
    listed = resources.path("requirements.txt")
    if listed.is_file():  # in the kit's folder
        lines = listed.read_text(encoding="utf-8").splitlines()
    else:
        lines = importlib.metadata.requires(_KIT) or []
    for line in lines:
        if (
            not line.strip().startswith("#")
            and "extra ==" not in line
            and (match := _NAME.match(line))
        ):
            yield match[1]


if __name__ == "__main__":
    run(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
