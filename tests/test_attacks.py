"""Hostile submissions gain nothing and harm nobody, in the strictest box that the machine has."""
import attacks
import pytest

from score.course import box

ATTACKS = {**attacks.FORGING, **attacks.STOPPING, **attacks.REACHING}
SAMPLE = ["AST transformer that replaces every check", "verdict sent to the grader", "claims to have skipped what it cannot answer",
          "the grader's socket replaced by one of its own", "a fork bomb", "the course's settings, solutions and gradebook"]


@pytest.fixture(scope="module")
def level():
    if not box.strictest().bubblewrap:
        pytest.skip("needs bubblewrap, which does not work here: what holds without it stands in docs/attacks.md")
    return box.strictest()


@pytest.fixture(scope="module")
def surroundings(tmp_path_factory):
    with attacks.listener() as server:
        yield {"course": attacks.fake_course(tmp_path_factory.mktemp("around") / "course"), "port": server.getsockname()[1]}


def test_an_honest_submission_earns_its_points_in_the_box(level):
    outcome = attacks.run(attacks.HONEST, level, checkpoint=attacks.untrained)
    assert {cell: points for cell, points in outcome.points.items() if points} == {"part1-q1_1": 1, "part1-q1_2": 2, "part1-q1_3": 2}
    assert "part1-rollouts" in outcome.points and not outcome.stopped


@pytest.mark.parametrize("name", [pytest.param(name, marks=[] if name in SAMPLE else pytest.mark.long) for name in ATTACKS])
def test_an_attack_gains_nothing(name, level, surroundings, monkeypatch):
    monkeypatch.setenv("SECRET_OF_GRADER", "SECRET")
    outcome = attacks.run(ATTACKS[name], level, checkpoint=attacks.untrained, **surroundings)
    assert outcome.gained == 0 and outcome.leaks == []
    if name in attacks.STOPPING and "trickle" not in name and "SIGKILL" not in name and "sleeping" not in name:
        assert outcome.stopped
    assert (surroundings["course"] / "gradebook.db").read_bytes() == b"points"


@pytest.mark.parametrize("name", [pytest.param(name, marks=[] if "pickle" in name else pytest.mark.long) for name in attacks.CHECKPOINTS])
def test_a_hostile_hand_in_file_costs_the_rollouts_and_nothing_else(name, level):
    outcome = attacks.run(attacks.HONEST, level, checkpoint=attacks.CHECKPOINTS[name])
    assert outcome.gained == 5 and outcome.points["part1-rollouts"] == 0 and not outcome.stopped


def test_points_earned_before_the_kernel_died_count(level):
    outcome = attacks.run(attacks.HONEST + "\nimport os\ndef mlp_inference(*a, **k): os._exit(1)", level, checkpoint=attacks.untrained)
    assert outcome.points == {"part1-q1_1": 1, "part1-q1_2": 2, "part1-q1_3": 0} and outcome.stopped == "the kernel died"


def test_at_least_forty_attacks_are_tried():
    assert len(ATTACKS) + len(attacks.CHECKPOINTS) >= 40
    page = (attacks.ROOT / "docs" / "attacks.md").read_text(encoding="utf-8")
    assert [name for name in [*ATTACKS, *attacks.CHECKPOINTS] if f"| {name} |" not in page] == []
