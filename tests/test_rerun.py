"""What a graded notebook runs of the cells that are not graded, and what it says if that fails."""

import json

import nbformat
import pytest
from IPython.core.inputtransformer2 import TransformerManager

from score import rubric
from score.course.grading.execution import execute
from score.course.notebooks import build
from score.course.settings import Limits, RunSettings
from score.rerun import worker
from score.rerun.needs import WHOLE, kept, sections

PART = rubric.PARTS["part1_mlp"]
ANSWER = "# [part1/bc_loss] answer Q1.2\ndef bc_loss(a, b):\n    return {}"
TEST = "# [part1/q1_2] test\nimport score\n\nscore.check('Q1.2', bc_loss)"


def cells(*sources):
    return sections(list(sources), TransformerManager().transform_cell)


def lines_run(*sources):
    """The first lines of the statements that run, without those of whole cells."""
    notebook = cells(*sources)
    return [
        section.source.split("\n")[section.statements[number].line - 1]
        for section, numbers in zip(notebook, kept(notebook))
        if section.kind not in WHOLE
        for number in sorted(numbers)
    ]


@pytest.mark.parametrize("part", rubric.PARTS.values(), ids=rubric.PARTS)
def test_a_solved_notebook_needs_nothing_of_its_practice_cells(part):
    notebook = build.source_notebook(part)
    sources = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    assert lines_run(*sources) == []


@pytest.mark.parametrize(
    "own, run",
    [
        ("loss_of = len\nother = 3\nprint(loss_of)", ["loss_of = len"]),
        ("import math\nloss_of = math.sqrt", ["import math", "loss_of = math.sqrt"]),
        ("def loss_of(x):\n    return helper(x)\ndef helper(x):\n    return x", 2),
        ("loss_of = []\nloss_of.append(3)\nloss_of[0] = 4\nprint(loss_of)", 3),
        ("for epoch in run.epochs():\n    loss_of = 3", []),
        ("for batch in loader:\n    loss_of = batch\n    loss_of.backward()", []),
        ("for i in range(3):\n    loss_of = i", ["for i in range(3):"]),
        ("from math import *", ["from math import *"]),
        ("score = 0.93", []),
        ("def f():\n    loss_of = 3", []),
        ("f = lambda loss_of: loss_of", []),
        ("class A:\n    loss_of = 3", []),
        ("exit()\nwhile True: pass", []),
        ("def make():\n    global loss_of\n    loss_of = len\nmake()", ["def make():", "make()"]),
        ("loss_of = {}\ndef add(f):\n    loss_of[0] = f\n@add\ndef square(x):\n    return x", 3),
        ("loss_of = {}\ndef a():\n    b()\ndef b():\n    loss_of[0] = 1\na()", 4),
        ("loss_of = [1]\nrandom.shuffle(loss_of)\nprint(loss_of)", 2),
        ("loss_of = []\ndef f():\n    loss_of.append(x.backward())\nf()", ["loss_of = []"]),
        ("loss_of = 3\ndef f():\n    loss_of = {}\n    loss_of[0] = 1\nf()", ["loss_of = 3"]),
        ("from __future__ import annotations", 1),
    ],
)
def test_what_an_answer_needs_is_run_and_nothing_else(own, run):
    found = lines_run(own, ANSWER.format("loss_of(a - b)"), TEST)
    assert (len(found) if isinstance(run, int) else found) == run


@pytest.mark.parametrize(
    "own, run",
    [
        ("torch.Tensor.flat = 3", 1),
        ("os.environ['LOSS'] = 'mse'", 1),
        ("os.environ.update(LOSS='mse')", 1),
        ("torch.backends.cudnn.benchmark = True\nplt.rcParams['figure.dpi'] = 50", 0),
        ("mine = 3\nmine.flat = 3", 0),
    ],
)
def test_attributes_that_an_answer_reads_are_set(own, run):
    assert len(lines_run(own, ANSWER.format("a.flat(os.environ['LOSS'])"), TEST)) == run


def test_what_stands_below_the_last_check_is_not_run():
    assert lines_run(ANSWER.format("loss_of(a - b)"), TEST, "loss_of = 3") == []


def test_a_trial_call_in_an_answer_asks_for_nothing():
    answer = ANSWER.format("a - b") + "\n\n\nbc_loss(batch, 3)"
    assert lines_run("batch = 3", answer, TEST) == []
    assert lines_run("batch = 3", answer.replace("\nbc_loss", "\nx = bc_loss"), TEST) == [
        "batch = 3"
    ]


def test_merged_cells_are_told_apart():
    merged = f"# [part1/train] practice\nx = 1\nloss_of = 2\n{ANSWER.format('loss_of')}"
    notebook = cells(merged, TEST)
    assert [section.kind for section in notebook] == ["practice", "answer", "test"]
    assert kept(notebook)[0] == {1}


@pytest.mark.parametrize("source", ["(" * 10_000, "x = \x00", "if", "é = 1\n\tx", "x = 1" * 9])
def test_what_is_not_python_is_a_cell_without_statements(source):
    (section,) = cells(source)
    assert section.statements == [] and section.kind == "own"


def test_a_cell_is_run_as_it_was_released():
    fixed = {"part1/q1_2": TEST}
    assert worker.as_released(TEST.replace("bc_loss", "other"), fixed) == TEST
    assert worker.as_released("# [part1/x] practice\n1\n" + TEST + "x", fixed).endswith(TEST)
    assert worker.as_released("score = 3", fixed) == "score = 3"


def test_what_collecting_keeps_of_a_changed_cell_is_run_in_a_rehearsal():
    given = "# [part1/imports] given\nimport math\nseed = 1"
    fixed = {"part1/imports": given, "part1/q1_2": TEST}
    more = "import os\nhalf = 0.5\ndef f(x):\n    return x\nseed = 2\nloss = g()"
    kept = "import os\nhalf = 0.5\ndef f(x):\n    return x"
    assert worker.added(f"{given}\n{more}", fixed) == ("", kept)
    assert worker.added(f"{TEST}\nimport os", fixed) == ("import os", "")
    assert worker.added(f"{given}\n(", fixed) == worker.added(more, fixed) == ("", "")


def test_the_cells_that_a_rehearsal_takes_are_those_of_the_notebooks():
    kept = json.loads(build.FIXED.read_text())
    made = {p.name: build.fixed_cells(build.student_notebook(p)) for p in rubric.PARTS.values()}
    assert kept == made


# In the grader's sandbox.


def graded(folder, *own, answer=None, **limits):
    """The verdict on Q1.2 in a notebook with cells of one's own before its answer."""
    notebook = build.answered_notebook(PART)
    at = next(i for i, cell in enumerate(notebook.cells) if cell.id == "part1-bc_loss")
    if answer:
        notebook.cells[at].source = answer(notebook.cells[at].source)
    notebook.cells[at:at] = [nbformat.v4.new_code_cell(source) for source in own]
    settings = RunSettings(20_000, 2, filmed=0, limits=Limits(**limits))
    execution = execute(notebook, PART, folder, settings)
    assert execution.stopped == ""
    return execution.cells["part1-q1_2"]


def with_lines(lines):
    return lambda source: source.replace("answer Q1.2\n", f"answer Q1.2\n{lines}\n")


def test_an_answer_whose_cell_begins_with_what_the_grader_has_not_is_judged(tmp_path):
    lines = "from google.colab import drive\ndrive.mount('/content/drive')\nexit()"
    verdict = graded(tmp_path, "score = 0.93", "import os\nos._exit(1)", answer=with_lines(lines))
    assert verdict.sentence == "Right."


def test_a_name_that_could_not_be_made_is_explained_with_its_cell(tmp_path):
    uses = lambda source: source.replace("nn.functional.mse_loss", "criterion")  # noqa: E731
    verdict = graded(tmp_path, "import einops\ncriterion = einops.loss", answer=uses)
    assert verdict.points == 0
    assert (
        "bc_loss raised NameError: name 'criterion' is not defined. It is defined in the cell that"
        " begins with 'import einops', where this happened: NameError: name 'einops' is not"
        " defined. It is defined in the cell that begins with 'import einops', where this happened:"
        " ModuleNotFoundError: No module named 'einops'."
    ) in verdict.sentence


def test_an_answer_that_was_not_defined_says_what_its_cell_raised(tmp_path):
    wrong = lambda source: source.replace("nobs: torch.Tensor", "nobs: Tensor")  # noqa: E731
    verdict = graded(tmp_path, answer=wrong)
    assert verdict.sentence == (
        "The check stopped with NameError: name 'bc_loss' is not defined. It is defined in the cell"
        " [part1/bc_loss], where this happened: NameError: name 'Tensor' is not defined. No cell of"
        " the notebook defines `Tensor`."
    )
