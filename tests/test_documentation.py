"""What README and docs show holds: every command is run, every option is taken, every path and link
leads somewhere.
"""

import importlib
import itertools
import os
import re
import shlex
import shutil
import subprocess
import sys

import pytest

from pusht.checkpoint import load_checkpoint
from score import rubric
from score.course.notebooks.build import ROOT, answered_notebook, write
from score.course.tools.reference import reference_path

PAGES = {
    str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
    for path in [
        ROOT / "README.md",
        ROOT / "data" / "README.md",
        *sorted((ROOT / "docs").glob("*.md")),
    ]
}
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
COMMAND = re.compile(r"(?:python|make|jupyter|nbgrader|pip|git|\.) ")
FENCED = re.compile(r"^ *```(\w*)\n(.*?)^ *```$", re.DOTALL | re.MULTILINE)

# Run here, in this order, in one course.
TERM = [
    "python -m pusht demos",
    "python -m score course create mycourse",
    "python -m score course release mycourse",
    "python -m score submission pack",
    "python -m score submission check FILE",
    "python -m score course collect mycourse EXPORT --preview",
    "python -m score course collect mycourse EXPORT",
    "python -m score course grade mycourse",
    "python -m score course grade mycourse --student STUDENT --part part1_mlp",
    "nbgrader export --to nbgrader.csv",
    "python -m score gradescope build mycourse",
]
_REFERENCE = "tests/test_documentation.py::test_a_reference_is_trained_and_scored"
_FIFTH = "tests/test_fifth_part.py::test_a_reference_of_a_part_that_has_no_loss_is_its_weights"
_CHECK = "tests/test_submission.py::test_the_commands_exit_with_0_when_all_is_there_and_else_with_1"
# Run elsewhere: by this test, at this step of .ci/run, or by a person, who is told so.
ELSEWHERE = {
    "git clone <this repository> && cd <its folder>": "CI begins in a fresh clone",
    ". .venv/bin/activate": "by hand: the tests call the environment's own programs",
    "pip install -r requirements.txt jupyterlab": (
        "tests/test_requirements.py::test_requirements_txt_has_pyprojects_ranges"
    ),
    "jupyter lab notebooks": (
        "tests/test_jupyterlab.py::test_the_solutions_run_in_jupyterlab_and_its_widgets_move"
    ),
    "jupyter lab": "tests/test_formgrader.py::test_the_page_gives_the_ledgers_points_or_none",
    "nbgrader autograde pusht": (
        "tests/test_formgrader.py::test_the_command_gives_the_ledgers_points_or_none"
    ),
    "make demo": "tests/test_documentation.py::test_the_demo_grades_its_six_submissions",
    "make test": ".ci/run: make --no-print-directory test",
    "make test-all": "by hand, before a release",
    "make bench": "by hand: half an hour, and the peer's environment",
    "make bench-class": "by hand: half an hour",
    "make notebooks": "tests/test_build.py::test_the_built_notebook_is_that_of_its_source",
    "make reference": "by hand: an hour",
    "make check-wheels": ".ci/run: make check-wheels",
    "make lock": "by hand: over the network",
    "python tests/attacks.py": "tests/test_attacks.py::test_an_attack_gains_nothing",
    "python -m score.course.tools.reference --demos human": "by hand: an hour",
    "python -m score.course.tools.reference --demos shipped --score 1000": _REFERENCE,
    "python -m score.course.tools.reference --seed N": _REFERENCE,
    "python -m score.course.tools.reference part3_ddpm --demos human": "by hand: an hour",
    "python -m score.course.tools.reference part5_nearest": _FIFTH,
    "python -m score.course.tools.reference part5_nearest --score 1000": _FIFTH,
    "python -m score.course.tools.demonstrations": (
        "tests/test_demonstrations.py::test_made_again_it_is_the_same_set_byte_for_byte_and_another_seed_gives_another"
    ),
    "python -m score.course.tools.demonstrations --sheets": (
        "tests/test_demonstrations.py::test_the_sheet_shows_any_set_and_says_in_words_what_it_shows"
    ),
    "python -m pytest -m long -rP tests/test_colab.py": (
        "tests/test_colab.py::test_the_notebook_runs_and_is_handed_in"
    ),
    "python -m pytest -m '' tests/test_jupyterlab.py tests/test_play.py tests/test_player.py": (
        "tests/test_jupyterlab.py::test_the_solutions_run_in_jupyterlab_and_its_widgets_move"
    ),
    "python -m score submission check": _CHECK,
    "python -m score submission check hand_in_part1_mlp.zip": _CHECK,
    "python -m pusht demos --clear": (
        "tests/test_download.py::test_the_command_says_where_the_sets_are_fetches_and_clears"
    ),
}
# Options that are named without their command.
OPTIONS = {
    "--preview": "score course collect",
    "--pattern": "score course collect",
    "--student": "score course grade",
    "--part": "score course grade",
    "--jobs": "score course grade",
    "--scheduler": "score course grade",
    "--seed": "score.course.tools.reference",
    "--score": "score.course.tools.reference",
    "--to": "nbgrader export",
}
# Files of a course that are named without its folder.
IN_COURSE = {
    "course.toml",
    "grades.csv",
    "nbgrader_config.py",
    "pusht-kit.zip",
    "timestamp.txt",
    "source/",
    "release/",
    "bundle/",
    "results/",
    "bundle/pusht-kit.zip",
    "bundle/notebooks/",
}
# Files that the guide to a fifth part has one write, as tests/test_fifth_part.py does; what
# notebooks, tests and students' runs write.
WRITTEN = {
    "notebooks/source/part5_nearest.py",
    "score/questions/nearest.py",
    "hand_in_part1_mlp.zip",
    "my_demos.zarr.zip",
    "build/screenshots",
    "exp/mse",
    "exp/flow",
    "src/",
}
PATH = re.compile(r"[\w.…-]+/[\w./…-]*|[\w-]+\.(?:csv|html|json|md|py|toml|txt|zip)")


def inline(text):
    """What stands between backticks outside of blocks."""
    return [re.sub(r"\s+", " ", code) for code in re.findall(r"`([^`]+)`", FENCED.sub("", text))]


def commands(text):
    """The commands that a page shows: lines of blocks that name no language, and code that begins
    with a program's name.
    """
    blocks = [block for language, block in FENCED.findall(text) if language in ("", "sh")]
    lines = [line.partition(" #")[0].strip() for block in blocks for line in block.splitlines()]
    return [*filter(None, lines), *filter(COMMAND.match, inline(text))]


def unaccounted(page, text):
    return [
        f"Nothing is known to run `{command}`, which {page} shows: run it in TERM, or name in"
        " ELSEWHERE what does."
        for command in dict.fromkeys(commands(text))
        if command not in {*TERM, *ELSEWHERE}
    ]


@pytest.mark.parametrize("page", PAGES)
def test_every_command_is_accounted_for(page):
    missing = unaccounted(page, PAGES[page])
    assert not missing, "\n".join(missing)


@pytest.mark.parametrize(
    "text",
    [
        "`python -m score course burn mycourse`",
        "```\npython -m score course burn mycourse  # all\n```",
    ],
)
def test_a_command_that_nothing_runs_is_named(text):
    (sentence,) = unaccounted("README.md", text)
    assert "`python -m score course burn mycourse`, which README.md shows" in sentence


def test_no_command_is_accounted_for_that_no_page_shows():
    shown = {command for text in PAGES.values() for command in commands(text)}
    assert [command for command in [*TERM, *ELSEWHERE] if command not in shown] == []


@pytest.mark.parametrize("command, where", ELSEWHERE.items(), ids=list(ELSEWHERE))
def test_what_is_said_to_run_a_command_is_there(command, where):
    if where.startswith("tests/"):
        file, _, test = where.partition("::")
        assert f"\ndef {test}(" in (ROOT / file).read_text(encoding="utf-8"), (
            f"there is no {where}, which is to run `{command}`"
        )
    elif where.startswith(".ci/run: "):
        assert where.removeprefix(".ci/run: ") in (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    else:
        assert where.startswith(("by hand", "CI begins"))
    if command.startswith("make "):
        assert re.search(rf"^{command[5:]}:.*## ", MAKEFILE, re.MULTILINE), (
            f"there is no `{command}`"
        )


# Options.


def named_options():
    """(option, its command without arguments) for each that a page names."""
    for text in PAGES.values():
        for code in [*commands(text), *inline(text)]:
            module, *rest = code.removeprefix("python -m ").split()
            alone = code.startswith("--")
            for option in re.findall(r"(?<!\S)--[\w-]+", code):
                known = itertools.takewhile(
                    lambda word: re.fullmatch("[a-z]+", word) and word != "mycourse", rest
                )
                yield option, OPTIONS.get(option, "?") if alone else " ".join([module, *known])


@pytest.mark.parametrize("option, command", sorted(set(named_options())))
def test_every_option_is_taken_by_its_command(option, command, capsys, monkeypatch):
    assert command != "?", f"Whose is {option}? Name its command in OPTIONS."
    module, *words = command.split()
    if module == "nbgrader":
        from nbgrader.apps import ExportApp

        assert option.removeprefix("--") in ExportApp.aliases
        return
    monkeypatch.setattr(sys, "argv", [module, *words, "--help"])
    with pytest.raises(SystemExit) as ended:
        importlib.import_module(
            f"{module}.__main__" if module in ("score", "pusht") else module
        ).main()
    assert ended.value.code == 0 and re.search(rf"{option}\b", capsys.readouterr().out), (
        f"`python -m {command}` has no {option}"
    )


# Paths and links.


def paths(text):
    """(path, the files of the kit that it may mean) for each that a page names, but for those that
    the guide has one write.
    """
    for code in inline(text):
        if PATH.fullmatch(code) and code not in WRITTEN:
            yield code, [*ROOT.glob(code.replace("N_…", "?_*").replace("…", "*"))]


def of_course(path):
    return path.startswith("mycourse/") or path in IN_COURSE


def test_every_path_is_the_kits_or_a_courses():
    for page in [
        page for page in PAGES if page != "data/README.md"
    ]:  # which names arrays in an archive
        strange = [path for path, files in paths(PAGES[page]) if not files and not of_course(path)]
        assert not strange, (
            f"{page} names {', '.join(strange)}: not in the kit; what a course has stands in"
            " IN_COURSE"
        )


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page):
    for target, heading in re.findall(
        r"\]\((?!https?:)([^)#\s]*)#?([^)\s]*)\)", FENCED.sub("", PAGES[page])
    ):
        there = (ROOT / page).parent / target if target else ROOT / page
        assert there.exists(), f"{page} links to {target}, which is not there"
        if heading:
            titles = re.findall(r"^#+ (.*)$", there.read_text(encoding="utf-8"), re.MULTILINE)
            known = [title.lower().replace(" ", "-") for title in titles]
            assert heading in known, (
                f"{page} links to {target}#{heading}, which is no heading there"
            )


# The commands themselves.


@pytest.mark.long
def test_a_term_by_the_pages_commands(tmp_path):
    """TERM, from the making of a course to its tables, with an answered Part I; then the files that
    the pages name are there.
    """
    left, shown = [*TERM], {"FILE": "hand_in.zip", "EXPORT": "export", "STUDENT": "ann"}

    def run(command, code=0, **where):
        assert command == left.pop(0)
        words = [shown.get(word, word) for word in shlex.split(command)]
        words = words[1:] if words[0] == "python" else ["-m", *words]
        done = subprocess.run(
            [sys.executable, *words], capture_output=True, text=True, **{"cwd": tmp_path} | where
        )
        assert done.returncode == code and "Traceback" not in done.stderr, (
            f"{command}:\n{done.stdout}{done.stderr}"
        )
        return done.stdout

    assert "shipped: 224 episodes" in run("python -m pusht demos")
    assert "mycourse" in run("python -m score course create mycourse")
    course = tmp_path / "mycourse"
    settings = (course / "course.toml").read_text(encoding="utf-8")
    for old, new in (
        ('bundle = ""', 'bundle = "https://example.edu/pusht-kit.zip"'),
        ("episodes = 100", "episodes = 2"),
    ):
        assert old in settings
        settings = settings.replace(old, new)
    (course / "course.toml").write_text(settings, encoding="utf-8")
    run("python -m score course release mycourse")
    assert "https://example.edu/pusht-kit.zip" in (
        course / "bundle" / "notebooks" / "part1_mlp.ipynb"
    ).read_text(encoding="utf-8")

    student = tmp_path / "export" / "ann"
    write(answered_notebook(rubric.PARTS["part1_mlp"]), student / "part1_mlp.ipynb")
    shutil.copy(reference_path(rubric.POLICIES["part1_mlp"], "shipped"), student)
    assert "part1_mlp: complete" in run("python -m score submission pack", code=1, cwd=student)
    assert "part1_mlp: complete" in run(
        "python -m score submission check FILE", code=1, cwd=student
    )
    assert "ann" in run("python -m score course collect mycourse EXPORT --preview") and not any(
        (course / "submitted").iterdir()
    )
    assert (
        "ann" in run("python -m score course collect mycourse EXPORT")
        and (course / "submitted" / "ann").is_dir()
    )
    first = run("python -m score course grade mycourse")
    (course / "results" / "ann" / "part1_mlp.json").unlink()
    again = run("python -m score course grade mycourse --student STUDENT --part part1_mlp")
    (row,) = re.findall(r"^ann .*", first, re.MULTILINE)
    assert row in again and "1 notebooks to grade" in again
    table = (course / "grades.csv").read_bytes()
    run("nbgrader export --to nbgrader.csv", cwd=course)
    assert (
        "ann" in (course / "nbgrader.csv").read_text(encoding="utf-8")
        and (course / "grades.csv").read_bytes() == table
    )
    run("python -m score gradescope build mycourse")
    assert (course / "gradescope.zip").is_file() and left == []

    for path in {path for page in PAGES.values() for path, _ in paths(page) if of_course(path)}:
        name = path.removeprefix("mycourse/").replace("STUDENT", "ann").replace("PART", "part1_mlp")
        assert list(course.glob(name)) or list(course.rglob(name)), f"the course has no {path}"


@pytest.mark.long
def test_a_reference_is_trained_and_scored(tmp_path):
    """With a seed of its own, so that nothing of the kit's is written anew."""

    def run(*arguments):
        command = [sys.executable, "-m", "score.course.tools.reference", "part1_mlp", *arguments]
        environment = os.environ | {"PUSHT_MAX_EPOCHS": "1"}
        return subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True
        ).stdout

    run("--seed", "2", "--folder", str(tmp_path))
    assert len(load_checkpoint(tmp_path / "part1_mlp.safetensors").losses) == 1
    assert "MLP: 0." in run(
        "--demos", "shipped", "--score", "2", "--seed", "2", "--folder", str(tmp_path)
    )
    assert "MLP: 0." in run(
        "--demos", "shipped", "--score", "2", "--folder", str(tmp_path / "nothing")
    )


@pytest.mark.long
def test_the_demo_grades_its_six_submissions(tmp_path):
    assert re.search(r"^demo:.*\n\t\$\(RUN\) -m score demo$", MAKEFILE, re.MULTILINE)
    command = [sys.executable, "-m", "score", "demo", "--folder", str(tmp_path)]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    points = dict(re.findall(r"^(\w+) .* ([\d.]+)$", told, re.MULTILINE))
    assert {
        "all_answered",
        "untouched",
        "part3_wrong",
        "part2_no_checkpoint",
        "part4_half",
        "part1_forged",
    } <= points.keys()
    assert (
        points["untouched"] == points["part1_forged"] == "0.00"
        and float(points["all_answered"]) > 35
    )
