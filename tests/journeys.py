"""The commands of a page of docs/, run in their order as a reader would run them.

A page's commands are the lines of its blocks without a language, and of those in sh and bash. What
a person does between them, such as handing in, a test does in place of the person: `follow`.
"""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FENCED = re.compile(r"^ *```(\w*)\n(.*?)^ *```$", re.DOTALL | re.MULTILINE)
Deed = tuple[str, Callable[[], object]]  # the beginning of a command, and what is done before it


def page(name: str, until: str = "") -> str:
    """Return a page of docs/, as far as a heading."""
    text = (ROOT / "docs" / name).read_text(encoding="utf-8")
    assert until in text, f"docs/{name} has no heading {until}"
    return text.partition(f"\n{until}\n")[0] if until else text


def steps(text: str, languages: Collection[str] = ("", "sh", "bash")) -> list[str]:
    """Return the commands of a page, in order, those joined by `&&` one by one."""
    blocks = [block for language, block in FENCED.findall(text) if language in languages]
    lines = [line.partition(" #")[0].strip() for block in blocks for line in block.splitlines()]
    return [part.strip() for line in lines if line for part in line.split("&&")]


def block(text: str, language: str, having: str = "") -> str:
    """Return the one block of a page in a language that has a text."""
    (found,) = (b for name, b in FENCED.findall(text) if name == language and having in b)
    return found


class Reader:
    """Somebody who runs commands in a folder. words: what stands for words in capitals. programs:
    the folder in which programs are found first. said: what each command printed, the last time
    that it was run.
    """

    programs = Path(sys.executable).parent

    def __init__(self, folder: Path, words: Mapping[str, object]) -> None:
        self.folder, self.words = folder, {word: str(value) for word, value in words.items()}
        self.said: dict[str, str] = {}

    def __call__(self, step: str) -> None:
        """Run a command of a page; AssertionError where it fails."""
        command = self.filled_in(step)
        if command.startswith("cd "):
            self.folder = (self.folder / command.removeprefix("cd ")).resolve()
            assert self.folder.is_dir(), f"there is no {self.folder} for: {command}"
        else:
            self.said[step] = self.run(step, command)

    def filled_in(self, step: str) -> str:
        """Return a command with what stands for the words in capitals."""
        for word, value in self.words.items():
            step = re.sub(rf"\b{word}\b", lambda _, value=value: value, step)
        return step

    def run(self, step: str, command: str) -> str:
        """Run a command that is filled in; return what it printed."""
        path = f"{self.programs}{os.pathsep}{os.environ['PATH']}"
        variables = os.environ | {"PATH": path, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            ["bash", "-ec", command], cwd=self.folder, env=variables, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
        return done.stdout + done.stderr


def follow(commands: Iterable[str], reader: Callable[[str], object], deeds: Iterable[Deed]) -> None:
    """Run a page's commands in order, and do each deed before the next command that begins so, one
    deed at most before a command. AssertionError where a deed has no command left.
    """
    left = [*deeds]
    for command in commands:
        if left and command.startswith(left[0][0]):
            left.pop(0)[1]()
        reader(command)
    assert not left, f"no command begins with {left[0][0]!r} there"
