"""What the pages say holds: every command parses, every option, path and link is there.

The pages are README.md, CONTRIBUTING.md, data/README.md and docs/. A command of the kit is given to
its own parser, with an example for each word in capitals; test_journeys.py runs those of a term.
"""

import argparse
import importlib
import importlib.util
import re
import shlex
import sys
from pathlib import Path

import pytest
from journeys import FENCED, steps

from score import rubric

ROOT = Path(__file__).resolve().parent.parent
PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for path in (
        *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "data/README.md")),
        *sorted((ROOT / "docs").rglob("*.md")),
    )
}
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
COMMAND = re.compile(r"(?:python|make|jupyter|nbgrader|pip|pre-commit|git|pusht-kit|\.) ")
PATH = re.compile(r"[\w.…-]+/[\w./…-]*|[\w-]+\.(?:csv|html|json|md|py|toml|txt|zip)")

# No parser of ours takes these, and a person tries them; the last one is only named, not shown.
BY_HAND = re.compile(r"cd |rm |git |pip |jupyter |nbgrader |pre-commit |\. |python -m score$")
EXAMPLES = {"N": "1", "EPISODES": "1", "PART": "part1_mlp", "part5_nearest": "part1_mlp"}
# Options of other programs that a page names without their command.
OF_OTHERS = {"--force"}
# What a course, a run, a build or the guide to a fifth part makes.
MADE = re.compile(
    r"mycourse/.*|(?:source|release|bundle|results)/.*|build/.*|dist/.*|exp/(?:mse|flow)|src/"
    r"|HAND_IN\.txt|normalizer\.json|hub/\w+\.py"
    r"|(?:exp/)?logs/.*|eval/mean_reward"
    r"|src/hw1_imitation|model\.py|(?:wandb/files/)?config\.(?:json|yaml)"
    r"|course\.toml|grades\.csv|roster\.csv|export/.*|nbgrader_config\.py|timestamp\.txt|pusht-kit\.zip|report\.html"
    r"|hand_in_part1_mlp\.zip|my_demos\.zarr\.zip|\S*part5_nearest\.py|score/questions/nearest\.py"
    r"|(?:data|meta)/(?:state|action|episode_ends|start_seed|start_state|start_kind)|reference/.*|_static/.*"
)


def inline(text: str) -> list[str]:
    """Return what stands between backticks, outside of blocks."""
    return [re.sub(r"\s+", " ", code) for code in re.findall(r"`([^`]+)`", FENCED.sub("", text))]


def commands(text: str) -> list[str]:
    """Return the commands of a page: its blocks' lines, and code that begins with a program."""
    found = [part for code in inline(text) if COMMAND.match(code) for part in code.split("&&")]
    return [*steps(text, ("", "sh")), *map(str.strip, found)]


SHOWN = sorted({command for text in PAGES.values() for command in commands(text)})


class Parsed(Exception):
    """A parser has taken its arguments; the command is not run."""


@pytest.fixture
def parser_of(monkeypatch):
    """A function (module, words) -> the parser that has taken the words; it fails otherwise."""
    parse = argparse.ArgumentParser.parse_args

    def parse_args(self, args=None, namespace=None):
        parse(self, args, namespace)
        raise Parsed(self)

    def taken(module: str, *words: str) -> argparse.ArgumentParser:
        monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parse_args)
        monkeypatch.setattr(sys, "argv", [module, *words])
        package = importlib.util.find_spec(module).submodule_search_locations
        name = f"{module}.__main__" if package else module
        with pytest.raises(Parsed) as parsed:
            importlib.import_module(name).main()
        return parsed.value.args[0]

    return taken


def check(command: str, parser_of) -> None:
    """Fail unless the command would be taken by its parser, make's targets or pytest."""
    program, *words = shlex.split(command)
    words = [EXAMPLES.get(word, word) for word in words]
    if program == "make":
        assert re.search(rf"^{words[0]}:.*## ", MAKEFILE, re.MULTILINE), f"no `{command}`"
    elif words[:2] == ["-m", "pytest"] or words[0].endswith(".py"):
        files = [word for word in words if word.endswith(".py")]
        assert files and all((ROOT / file).is_file() for file in files), command
    elif program == "pusht-kit":
        parser_of("score", *words)
    else:
        assert (program, words[0]) == ("python", "-m"), f"nothing is known to take `{command}`"
        parser_of(*words[1:])


@pytest.mark.parametrize("command", [line for line in SHOWN if not BY_HAND.match(line)])
def test_a_command_is_taken_by_its_parser(command, parser_of):
    check(command, parser_of)


@pytest.mark.parametrize(
    "command",
    [
        "python -m score course burn mycourse",
        "python -m score course grade mycourse --harder",
        "python -m score.course.tools.reference part9",
        "pusht-kit course create",
        "make tea",
        "python tests/nothing.py",
        "nonsense -m score",
    ],
)
def test_a_command_that_is_not_there_is_seen(command, parser_of):
    with pytest.raises((AssertionError, SystemExit)):
        check(command, parser_of)


def options_of(parser: argparse.ArgumentParser) -> set[str]:
    """Return the options of a parser and of its commands."""
    found = {option for action in parser._actions for option in action.option_strings}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            found = found.union(*map(options_of, action.choices.values()))
    return found


def test_an_option_that_is_named_alone_is_one_of_the_kits(parser_of):
    named = {
        option
        for text in PAGES.values()
        for code in inline(text)
        if code.startswith("--")
        for option in re.findall(r"--[\w-]+", code)
    }
    known = options_of(parser_of("score", "demo"))
    known |= options_of(parser_of("score.course.tools.reference"))
    known |= options_of(parser_of("score.course.tools.demonstrations"))
    assert {"--preview", "--score"} <= named & known
    assert named - known == OF_OTHERS


@pytest.mark.parametrize("page", PAGES)
def test_every_path_is_the_kits_or_is_made(page):
    names = {code for code in inline(PAGES[page]) if PATH.fullmatch(code)}
    strange = [
        name
        for name in sorted(names)
        if not MADE.fullmatch(name)
        and not any(ROOT.glob(name.replace("N_…", "?_*").replace("…", "*")))
        and not any(ROOT.glob(f"{Path(page).parent}/{name}"))
    ]
    assert not strange, f"{page} names {', '.join(strange)}, which the kit has not"


def test_the_total_for_gradescope_is_the_rubrics():
    written = [entry for part in rubric.PARTS.values() for entry in part.written]
    total = sum(part.points for part in rubric.PARTS.values()) - sum(e.points for e in written)
    assert f"Set the autograder's points to {total:g} there" in PAGES["README.md"]


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page):
    links = re.findall(r"\]\((?!https?:)([^)#\s]*)#?([^)\s]*)\)", FENCED.sub("", PAGES[page]))
    for target, heading in links:
        there = (ROOT / page).parent / target if target else ROOT / page
        assert there.exists(), f"{page} links to {target}, which is not there"
        if heading:
            titles = re.findall(r"^#+ (.*)$", there.read_text(encoding="utf-8"), re.MULTILINE)
            known = [re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in titles]
            assert heading in known, f"{page} links to {target}#{heading}: no such heading"
