"""The rubric's numbers fit each other, the questions, and the notebooks."""

import re
from itertools import combinations
from pathlib import Path

import pytest

from pusht import demos
from score import rubric
from score.cells import split_cells
from score.course.report.tables import short_name
from score.questions import EXTENSIONS, QUESTIONS
from score.rollouts.stopping import rollout_points

SOURCES = Path(__file__).resolve().parent.parent / "notebooks" / "source"
DEMONSTRATED = range(206)
HELD_OUT = range(rubric.GRADED_FIRST_SEED, rubric.GRADED_FIRST_SEED + rubric.GRADED_EPISODES)

parts = pytest.mark.parametrize("part", rubric.PARTS.values(), ids=list(rubric.PARTS))
policies = pytest.mark.parametrize("policy", rubric.POLICIES.values(), ids=list(rubric.POLICIES))


def cells_of(part):
    """The marked cells of a part's notebook, as (marker, body)."""
    source = (SOURCES / f"{part.name}.py").read_text(encoding="utf-8")
    # In a percent script a text cell is a comment.
    return split_cells(re.sub("^# (<!-- .* -->)$", r"\1", source, flags=re.MULTILINE))


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
    assert {"shipped", "human"} <= set(policy.targets) <= {"shipped", "human", "earlier"}
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


@parts
def test_every_extension_has_its_cell_and_its_check_in_the_notebook(part):
    names = [extension.name for extension in part.extensions]
    answers = [marker.questions for marker, _ in cells_of(part) if marker.kind == "extension"]
    assert answers == [(name,) for name in names]
    source = "\n".join(body for _, body in cells_of(part))
    assert re.findall(r'score\.check\("(E\S+)", \w+\)\.right', source) == names


def test_a_question_is_found_by_its_name():
    for part in rubric.PARTS.values():
        for question in part.questions:
            assert rubric.question(question.name) == (part, question)
            assert question.name.startswith(f"Q{part.number}.")
    with pytest.raises(KeyError, match="Q9.9"):
        rubric.question("Q9.9")


@parts
def test_every_question_has_its_answer_and_test_cell_in_the_notebook(part):
    cells = cells_of(part)
    tests = {marker.key: body for marker, body in cells if marker.kind == "test"}
    written = [marker.key for marker, _ in cells if marker.kind == "written"]
    answers = [name for marker, _ in cells if marker.kind == "answer" for name in marker.questions]
    assert set(tests) == {part.cell_id(entry) for entry in (*part.questions, *part.policies)}
    assert written == [part.cell_id(entry) for entry in part.written]
    in_words = sorted({entry.name for entry in part.written})
    assert answers == [question.name for question in part.questions] + in_words
    for question in part.questions:
        assert f'score.check("{question.name}", ' in tests[part.cell_id(question)]
    for policy in part.policies:
        assert f'score.grade_rollouts("{policy.name}"' in tests[part.cell_id(policy)]


def test_an_answer_in_words_has_in_tables_the_title_that_course_toml_names():
    part = rubric.PARTS["part4_flow"]
    cells = [(part.cell_id(question), question.title) for question in part.written]
    assert [short_name(part.name, cell) for cell, _ in cells] == [title for _, title in cells]
