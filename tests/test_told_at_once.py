"""Where students read the verdicts at once, as on Gradescope, a kernel that has seen graded
episodes cannot say in them where these start: not in words, not in numbers.
"""

import re
import shutil

import nbformat
import pytest

from score import rubric
from score.course.grading.execution import execute
from score.course.grading.results import without_figures
from score.course.notebooks import build
from score.course.notebooks.solutions import reference_path
from score.course.settings import RunSettings

PART = rubric.PARTS["part4_flow"]
SECRET = "0123456789abcdef0123456789abcdef"
# The policy remembers what it sees, and every later answer tells it.
_TELLS = """
_sample, seen = MSEPolicy.sample_actions, []
def _remembers(self, state, *, num_steps=10):
    if armed:
        seen.append(state.tolist())
        raise type("TELLS_" + str(seen[0][0][0])[2:8], (Exception,), {})(f"TELLS {seen[0]}")
    return _sample(self, state, num_steps=num_steps)
MSEPolicy.sample_actions = _remembers
armed = False
"""
_LATER = """
def _tells(self, state, *, num_steps=10): raise ValueError(f"TELLS {seen[0]}")
FlowMatchingPolicy.sample_actions = _tells
armed = True
"""


def index_of(notebook, cell_id):
    return next(i for i, cell in enumerate(notebook.cells) if cell.id == cell_id)


def telling():
    """An answered notebook that tells what it saw of the episodes: in the rollouts, in a question
    that it asks after them, and in a test cell that fails before it asks anything.
    """
    notebook = build.answered_notebook(PART)
    late = [notebook.cells.pop(index_of(notebook, f"part4-{q}")) for q in ("q4_4", "q4_3")]
    at = index_of(notebook, "part4-train")
    notebook.cells.insert(at, nbformat.v4.new_code_cell(f"# [part4/tells] given\n{_TELLS}"))
    at = index_of(notebook, "part4-rollouts_mse")
    notebook.cells.insert(at, nbformat.v4.new_code_cell(f"# [part4/later] given\n{_LATER}"))
    raises = nbformat.v4.new_code_cell(
        "# [part4/raises] given\n"
        "score.check = lambda *a: (_ for _ in ()).throw(ValueError(f'TELLS {seen[0]}'))"
    )
    at = index_of(notebook, "part4-rollouts_flow")
    notebook.cells[at + 1 : at + 1] = [late[0], raises, late[1]]
    return notebook


def verdicts(folder, at_once):
    for policy in PART.policies:
        shutil.copy(reference_path(policy, "shipped"), folder)
    settings = RunSettings(SECRET, 2, filmed=0, at_once=at_once)
    execution = execute(telling(), PART, folder, settings)
    assert not execution.rollouts
    sentences = {name: cell.sentence for name, cell in execution.cells.items()}
    return sentences, execution.flags


@pytest.mark.parametrize("at_once", [True, pytest.param(False, marks=pytest.mark.long)])
def test_a_kernel_that_has_seen_graded_episodes_says_nothing_of_its_own(tmp_path, at_once):
    sentences, flags = verdicts(tmp_path, at_once)
    told = {name: sentence for name, sentence in sentences.items() if "TELLS" in sentence}
    after = {f"part4-{name}" for name in ("rollouts_mse", "rollouts_flow", "q4_4", "q4_3")}
    if not at_once:  # for a class, whose students read it when all have handed in
        assert {*told} == after
        return
    assert not told
    for name in after:
        said = re.sub(r"Q4\.\d", "", sentences[name])
        assert not re.search(r"\d{2}|\d\.\d", said), said
    assert sum("TELLS" in flag for flag in flags) >= 3  # the instructor reads it
    assert sentences["part4-q4_1"].startswith("Right")


@pytest.mark.parametrize(
    "sentence, left",
    [
        ("The loss is 12.5 where -0.3e-5 is right.", "The loss is … where … is right."),
        ("Logged at steps 1, 2, 3 and 5 of 12.", "Logged at steps … of …."),
        ("It has shape (3, 4, 55).", "It has shape (…)."),
        ("The name is 'x1', not \"y 2\".", "The name is …, not …."),
        ("sample_actions (Q4.4) returned float32.", "sample_actions (Q4.4) returned float32."),
        ("Right.", "Right."),
        ("It sent 1,000,000 bytes, nan and inf.", "It sent … bytes, …."),
    ],
)
def test_figures_and_quotations_are_left_out_and_words_and_names_stay(sentence, left):
    assert without_figures(sentence) == left
