"""Imports a student's code from src/ as the assignment's own scripts do."""

import contextlib
import importlib
import importlib.abc
import importlib.machinery
import inspect
import re
import sys
import types
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from score.hw1.boxed import eager, standins
from score.hw1.boxed.definitions import of_notebook, of_policies
from score.hw1.boxed.devices import OnCPU
from score.hw1.imports import DISTRIBUTIONS, PACKAGE, top_level
from score.hw1.layout import policy_module
from score.hw1.loose import NOTEBOOK
from score.verdict import AnswerError, call_answer

_OF_NOTEBOOK = "policies_of_the_notebook.py"


class Code:
    """A student's package, of which the module with the policies is imported.

    home: the folder that contains src/. names: the files in it. AnswerError, with one sentence,
    when no file of src/ defines the policies or it cannot be imported.

    module: the imported module.
    """

    def __init__(self, home: Path, names: Sequence[str]) -> None:
        self._home = home
        self._sources = [name for name in names if name.startswith("src/") and name.endswith(".py")]
        name = policy_module(names, lambda name: (home / name).read_bytes())
        if name is None:
            raise AnswerError(
                "There is no model.py: hand in src/hw1_imitation with all its .py files."
            )
        standins.install()
        eager.compile_nothing()
        folder = (home / name).parent
        sys.path[:0] = [str(home / "src")]
        # Pickles may name modules relative to the folder from which a student ran the script.
        sys.path += [str(home), str(folder)]
        sys.meta_path.append(_Renamed(folder))
        with self.as_a_script():
            self.module: types.ModuleType = self._imported(name)

    @contextlib.contextmanager
    def as_a_script(self) -> Iterator[None]:
        """Run the body with the command line of `python src/hw1_imitation/train.py`, on the CPU."""
        before, sys.argv = sys.argv, ["train.py"]
        try:
            with OnCPU():
                yield
        finally:
            sys.argv = before

    def named(self, name: str) -> Any:
        """Return the class or function of this name from the module with the policies, or from the
        first other one that defines it; AttributeError where none does.
        """
        top, *inner = name.split(".")
        found = getattr(self.module, top, None)
        if found is None:
            found = getattr(self._defining(top), top)
        for attribute in inner:
            found = getattr(found, attribute)
        return found

    def policies(self) -> list[Callable[..., Any]]:
        """Return the classes of policies in the module with the policies, in their order there."""
        return [
            found
            for found in vars(self.module).values()
            if isinstance(found, type)
            and issubclass(found, torch.nn.Module)
            and not inspect.isabstract(found)
            and callable(getattr(found, "sample_actions", None))
        ]

    def _defining(self, name: str) -> types.ModuleType:
        pattern = re.compile(rf"^(?:class|def) {re.escape(name)}\b", re.MULTILINE)
        for path in self._sources:
            text = (self._home / path).read_text(encoding="utf-8", errors="replace")
            if pattern.search(text):
                return importlib.import_module(_module_name(path))
        raise AttributeError(name)

    def _imported(self, name: str) -> types.ModuleType:
        """Return the module with the policies: of a notebook, or where the file cannot be imported
        as a whole, only with what they need; without the package's __init__.py where that fails.
        """
        path = self._home / name
        content = path.read_bytes()
        source = content.decode("utf-8", errors="replace")
        if name.endswith(NOTEBOOK):
            source, path = of_notebook(content), path.with_name(_OF_NOTEBOOK)
            path.write_text(of_policies(source) or source, encoding="utf-8")
        module = _module_name(path.relative_to(self._home).as_posix())
        try:
            return self._called(name, importlib.import_module, module)
        except AnswerError:
            alone = of_policies(source)
            if alone is None:
                raise
            path.write_text(alone, encoding="utf-8")
            above = [folder / "__init__.py" for folder in path.relative_to(self._home).parents]
            for empty in ([], [self._home / one for one in above if (self._home / one).is_file()]):
                for one in empty:
                    one.write_text("")
                importlib.invalidate_caches()
                with contextlib.suppress(AnswerError):
                    return call_answer(name, importlib.import_module, module)
            raise

    def _called(self, what: str, function: Callable[..., Any], *args: Any) -> Any:
        """Call what runs a student's code on import; AnswerError that says what to do."""
        try:
            return call_answer(what, function, *args)
        except AnswerError as error:
            cause = error.__cause__
            if isinstance(cause, ModuleNotFoundError) and cause.name:
                raise AnswerError(self._missing(what, cause.name)) from cause
            if isinstance(cause, SystemExit) and cause.code:
                raise AnswerError(
                    f"{what} ended the program when it was imported (SystemExit: {cause.code}):"
                    " read the command line in train.py, or below `if __name__ =="
                    ' "__main__":`.'
                ) from cause
            home = f"{self._home}/"
            if home in str(error):  # the name of the folder is another one in each run
                raise AnswerError(str(error).replace(home, "")) from cause
            raise

    def _missing(self, what: str, name: str) -> str:
        top = name.partition(".")[0]
        if top == PACKAGE or top in top_level(self._sources):
            return f"{what} needs {name}, which is not in src/: hand in all its .py files."
        package = DISTRIBUTIONS.get(top, top)
        return (
            f"{what} needs the package {top}, which is not installed where this is graded: hand in"
            f" a model.py without it, or ask your instructor for `pip install {package}` there (in"
            f' course.toml, packages = ["{package}"]). If {top} is a file of yours, hand it in.'
        )


class _Renamed(importlib.abc.MetaPathFinder):
    """Finds the assignment's package under its own name where its files have another place."""

    def __init__(self, folder: Path) -> None:
        self._folder = str(folder)

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name != PACKAGE:
            return None
        spec = importlib.machinery.ModuleSpec(name, None, is_package=True)
        spec.submodule_search_locations = [self._folder]
        return spec


def _module_name(name: str) -> str:
    """Return the name under which a file of src/ is imported; its path begins with src/."""
    return ".".join(Path(name).with_suffix("").parts[1:])
