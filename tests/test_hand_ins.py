"""The catalogue of made-up hand-ins of the script assignment: what is graded, and what is said."""

import pytest
from hand_ins import HAND_INS, Code, loaded
from hw1_files import METHODS, layout_of, student_modules
from test_hw1 import LEVEL, outcome

from score.course.sandbox import levels
from score.submission.files import cap


@pytest.fixture
def code(monkeypatch):
    with student_modules(monkeypatch) as make:
        yield Code(make)


QUICK = (
    "exp/MSE, exp/FlowMatching",
    "the default names, W&B's settings",
    "exp/mse without checkpoints",
    "all at the root",
    "flat src/",
    "wandb, modal, imageio, gym_pusht",
    "einops",
    "the newest is cut off",
    "chunks of 4",
)
ALL = [
    pytest.param(name, marks=[] if name in QUICK else pytest.mark.long, id=name)
    for name in HAND_INS
]


@pytest.mark.parametrize("name", ALL)
def test_a_hand_in_is_loaded_or_the_reason_says_what_to_do(code, name):
    case = HAND_INS[name]
    files = case.files(code)
    for packed in layout_of(files).files:
        assert cap(packed) > 0  # as collecting asks
    for method in METHODS:
        said = loaded(files, method)
        assert said.startswith(getattr(case, method)), said
        assert "notebook" not in said and "safetensors" not in said and "\n" not in said
    for phrase in case.told:
        assert phrase in loaded(files, "mse")


@pytest.mark.long
@pytest.mark.parametrize("name", HAND_INS)
def test_in_a_box_the_same_is_graded(code, monkeypatch, name):
    if LEVEL is levels.LEVELS[-1]:
        pytest.skip("needs a box: bubblewrap, or root")
    monkeypatch.setattr("score.hw1.acting.SEEDS", range(4))  # the models were not trained
    case = HAND_INS[name]
    got = outcome(case.files(code), episodes=2, seconds=600)
    for method in METHODS:
        assert getattr(case, method) in got[method].sentence
        assert ("over 2 episodes" in got[method].sentence) == getattr(case, method).startswith(
            "Graded"
        )
