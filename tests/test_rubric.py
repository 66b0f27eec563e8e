"""The rubric's numbers fit each other, the questions that are asked, and the notebooks that ask
them.
"""

import re
from itertools import combinations
from pathlib import Path

import pytest

from pusht import demos
from score import rubric
from score.questions import EXTENSIONS, QUESTIONS
from score.rollouts.evaluate import rollout_points

SOURCES = Path(__file__).resolve().parent.parent / "notebooks" / "source"
DEMONSTRATED = range(206)
HELD_OUT = range(rubric.GRADED_FIRST_SEED, rubric.GRADED_FIRST_SEED + rubric.GRADED_EPISODES)
WITH_SOURCE = [name for name in rubric.PARTS if (SOURCES / f"{name}.py").exists()]

parts = pytest.mark.parametrize("part", rubric.PARTS.values(), ids=list(rubric.PARTS))
policies = pytest.mark.parametrize("policy", rubric.POLICIES.values(), ids=list(rubric.POLICIES))


def test_part_1_has_a_notebook():
    assert "part1_mlp" in WITH_SOURCE


def test_part_1_is_worth_ten_points():
    assert rubric.PARTS["part1_mlp"].points == 10


@parts
def test_the_points_of_a_part_add_up(part):
    assert part.points == sum(
        entry.points for entry in (*part.questions, *part.policies, *part.written)
    )
    assert all(question.points > 0 for question in part.questions)
    assert part.policies and all(policy.points > 0 for policy in part.policies)


@parts
def test_a_part_is_filed_under_its_name(part):
    assert rubric.PARTS[part.name] is part
    assert re.fullmatch(r"part\d_[a-z]+", part.name)
    assert [rubric.POLICIES[policy.name] for policy in part.policies] == list(part.policies)
    assert all(policy.name == f"part{part.number}_{policy.method}" for policy in part.policies)


@policies
def test_the_baseline_lies_below_the_targets(policy):
    assert set(policy.targets) == {"shipped", "human"}
    assert policy.published is None or 0 < policy.published <= 1
    for target in policy.targets.values():
        assert 0 <= policy.baseline < target <= 1
        assert rollout_points(policy, policy.baseline, target) == 0
        assert rollout_points(policy, target, target) == policy.points


@policies
def test_the_target_is_that_of_the_demonstrations_and_the_lowest_for_unknown_ones(policy):
    assert policy.target(demos.HUMAN_FINGERPRINT) == policy.targets["human"]
    assert policy.target(demos.SHIPPED_FINGERPRINT) == policy.targets["shipped"]
    assert policy.target("0" * 64) == min(policy.targets.values())


@policies
def test_the_loss_band_holds_the_reference(policy):
    low, high = policy.loss_band
    assert 0 < low < 1 < high


def test_the_published_thresholds_are_kept():
    published = {
        name: policy.published
        for name, policy in rubric.POLICIES.items()
        if policy.published is not None
    }
    assert published == {
        "part1_mlp": 0.60,
        "part2_cvae": 0.70,
        "part3_ddpm": 0.80,
        "part4_mse": 0.50,
        "part4_flow": 0.70,
    }


def test_an_episode_is_practised_on_in_one_way_only():
    for one, other in combinations([rubric.PUBLISHED_SEEDS, rubric.PRACTICE_SEEDS, HELD_OUT], 2):
        assert set(one).isdisjoint(other)


def test_nobody_has_demonstrated_a_held_out_start():
    assert set(HELD_OUT).isdisjoint(DEMONSTRATED)
    assert min(HELD_OUT) > max(rubric.PRACTICE_SEEDS)


def test_practice_starts_other_than_the_published_are_not_demonstrated():
    assert set(rubric.PRACTICE_SEEDS).isdisjoint(DEMONSTRATED)


def test_a_grade_rests_on_a_hundred_episodes():
    assert len(HELD_OUT) == 100


def test_every_question_can_be_asked_and_is_worth_something():
    in_rubric = [question.name for part in rubric.PARTS.values() for question in part.questions]
    assert len(in_rubric) == len(set(in_rubric))
    assert set(in_rubric) == set(QUESTIONS)


def test_every_extension_can_be_checked_and_is_worth_nothing():
    in_rubric = [extension.name for part in rubric.PARTS.values() for extension in part.extensions]
    assert len(in_rubric) == len(set(in_rubric)) and set(in_rubric) == set(EXTENSIONS)
    for part in rubric.PARTS.values():
        assert not {extension.name for extension in part.extensions} & {
            entry.name for entry in part.graded()
        }
        assert all(extension.name.startswith(f"E{part.number}.") for extension in part.extensions)


@pytest.mark.parametrize("name", WITH_SOURCE)
def test_every_extension_has_its_cell_and_its_check_in_the_notebook(name):
    source = (SOURCES / f"{name}.py").read_text(encoding="utf-8")
    names = [extension.name for extension in rubric.PARTS[name].extensions]
    assert re.findall(r"^# \[part\d/\w+\] extension (\S+)$", source, re.M) == names
    assert re.findall(r'^score\.check\("(E\S+)", \w+\)\.right$', source, re.M) == names


def test_a_question_is_found_by_its_name():
    for part in rubric.PARTS.values():
        for question in part.questions:
            assert rubric.question(question.name) == (part, question)
            assert question.name.startswith(f"Q{part.number}.")
    with pytest.raises(KeyError, match="Q9.9"):
        rubric.question("Q9.9")


@pytest.mark.parametrize("name", WITH_SOURCE)
def test_every_question_has_its_answer_and_test_cell_in_the_notebook(name):
    part = rubric.PARTS[name]
    cells = (SOURCES / f"{name}.py").read_text(encoding="utf-8").split("\n# %%")
    tests = {
        found[1]: cell
        for cell in cells
        if (found := re.search(rf"^# \[part{part.number}/(\w+)\] test\b", cell, re.M))
    }
    answers = [
        found[1]
        for cell in cells
        if (found := re.search(r"^# \[part\d/\w+\] answer ([Q\d. ]+)$", cell, re.M))
    ]
    written = [
        found[1]
        for cell in cells
        if (
            found := re.search(
                rf"<!-- \[part{part.number}/(\w+)\] written Q[\d.]+ -->$", cell, re.M
            )
        )
    ]
    assert set(tests) == {entry.cell for entry in (*part.questions, *part.policies)}
    assert written == [entry.cell for entry in part.written]
    asked = [name for names in answers for name in names.split()]
    assert asked == [question.name for question in part.questions] + sorted(
        {entry.name for entry in part.written}
    )
    for question in part.questions:
        assert f'score.check("{question.name}", ' in tests[question.cell]
    for policy in part.policies:
        assert f'score.grade_rollouts("{policy.name}", ' in tests[policy.cell]
