"""course.toml: what it may say, and that all else is told with its line and what is allowed."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from score import rubric
from score.course.settings import Assignment, CourseError, Late, open_course, read_course, schedule
from score.entries import points_key

SECRET = 'secret = "0123456789abcdef0123456789abcdef"\n'
PARTS = tuple(rubric.PARTS)
DAY = 86_400


def opened(folder, text):
    (folder / "course.toml").write_text(SECRET + text, encoding="utf-8")
    return open_course(folder)


def test_a_course_that_says_nothing_has_all_parts_in_one_assignment_at_the_rubrics_points(tmp_path):
    course = opened(tmp_path, "")
    assert course.assignments == (Assignment("pusht", PARTS),) and course.parts == rubric.PARTS
    assert (course.name, course.bundle, course.roster) == (tmp_path.name, "", None)
    assert course.episodes == rubric.GRADED_EPISODES


def test_a_course_is_what_its_file_says(tmp_path):
    (tmp_path / "names.csv").write_text("id,name\n")
    course = opened(
        tmp_path,
        """
name = "Robot learning, spring 2027 · 机器人"
bundle = "https://example.org/pusht-kit.zip"
episodes = 500
roster = "names.csv"
time_zone = "Europe/Zurich"
[[assignment]]
name = "imitation"
parts = ["part3_ddpm", "part1_mlp"]  # in any order
due = 2027-07-01T23:59:00
late = { per_day = 0.1, grace_minutes = 15, none_after_days = 5 }
[[assignment]]
name = "flow"
parts = ["part4_flow"]
due = 2027-07-08T23:59:00+09:00
[points]
"Q1.2" = 4
"part1_mlp rollouts" = 10
"Q4.5 curves" = 2.5
""",
    )
    imitation, flow = course.assignments
    assert course.name == "Robot learning, spring 2027 · 机器人" and course.episodes == 500
    assert course.roster == tmp_path / "names.csv"
    assert imitation.parts == ("part1_mlp", "part3_ddpm") and flow.parts == ("part4_flow",)
    assert imitation.due == datetime(2027, 7, 1, 21, 59, tzinfo=UTC)  # summer time
    assert flow.due == datetime(2027, 7, 8, 14, 59, tzinfo=UTC)
    assert imitation.late == Late(0.1, 15, 5) and flow.late is None
    assert [*course.parts] == ["part1_mlp", "part3_ddpm", "part4_flow"]
    assert course.assignment_of("part4_flow") == flow
    with pytest.raises(KeyError):
        course.assignment_of("part2_cvae")
    first, last = course.parts["part1_mlp"], course.parts["part4_flow"]
    assert [entry.points for entry in first.graded()] == [1, 4, 2, 10]
    assert last.points == rubric.PARTS["part4_flow"].points + 1.5
    assert course.submission("ann", flow) == tmp_path / "submitted/ann/flow"
    assert course.released("part3_ddpm") == tmp_path / "release/imitation/part3_ddpm.ipynb"


def test_a_kit_without_the_sources_of_some_parts_makes_a_course_without_them(tmp_path, monkeypatch):
    for name in ("part1_mlp", "part3_ddpm"):
        (tmp_path / f"{name}.py").write_text("")
    monkeypatch.setattr(schedule.resources, "path", lambda name: tmp_path)
    assert [*opened(tmp_path, "").parts] == ["part1_mlp", "part3_ddpm"]
    with pytest.raises(CourseError, match="the kit has no part 'part4_flow'"):
        opened(tmp_path, '[[assignment]]\nparts = ["part4_flow"]\n')


ONE = '[[assignment]]\nname = "one"\nparts = ["part1_mlp"]\n'


@pytest.mark.parametrize(
    "text, line, sentence",
    [
        ("episodes = 0", 2, "episodes is 0: write a whole number of 1 or more"),
        ("\nepisodes = -3", 3, "episodes is -3"),
        ('episodes = "all"', 2, "episodes is 'all': write a whole number"),
        ("episodes = true", 2, "episodes is true: write a whole number"),
        ("first_seed = -5", 2, "first_seed is -5, which no seed can be"),
        ("first_seed = 100", 2, "episodes would be those of the human demonstrations"),
        ("first_seed = 520", 2, "episodes would be those of practice"),
        ("first_seed = 1_000_005_000", 2, "those of the shipped demonstrations"),
        ("episods = 3", 2, "there is no setting 'episods'; 'episodes' may be meant"),
        ("name = 3", 2, "name is 3: write a text in quotation marks"),
        ('roster = "none.csv"', 2, "there is no file"),
        ('time_zone = "Zurich"', 2, "'Zurich' is no time zone"),
        ("assignment = 3", 2, "begin each of them with [[assignment]]"),
        ("assignment = []", 2, "there is no assignment in the list"),
        ("[assignment]\nname = 'x'", 2, "begin each of them with [[assignment]]"),
        (ONE + ONE.replace('"one"', '"two"'), 7, "part1_mlp is also a part of 'one'"),
        (ONE + ONE.replace("part1_mlp", "part2_cvae"), 6, "two assignments have the name 'one'"),
        (ONE.replace("one", "on/e"), 3, "'on/e' cannot name a folder, because of '/'"),
        (ONE.replace("one", "one."), 3, "cannot name a folder"),
        (ONE.replace("one", "on+e"), 3, "because of '+'"),
        (ONE.replace("one", "x" * 61), 3, "write 1 to 60 letters"),
        (ONE.replace("part1_mlp", "part1"), 4, "the kit has no part 'part1'; 'part1_mlp' may be"),
        (ONE.replace('["part1_mlp"]', "[]"), 4, "this assignment has no parts"),
        (ONE.replace('["part1_mlp"]', '"part1_mlp"'), 4, "parts is 'part1_mlp': write a list"),
        (ONE.replace('"]', '", "part1_mlp"]'), 4, "part1_mlp is named twice"),
        (ONE + '[[assignment]]\nname = "two"\n', 5, "this assignment has no parts"),
        (ONE + "due = 2027-03-01T23:59:00", 5, "without a time zone: write due ="),
        (ONE + "due = 2027-03-01", 5, "a day without a time"),
        (ONE + 'due = "yesterday"', 5, "due is 'yesterday', no date"),
        (ONE + "deu = 2027-03-01", 5, "there is no setting 'deu'; 'due' may be meant"),
        (ONE + "late = 0.1", 5, "late is 0.1: write late = {"),
        (ONE + "late = { per_day = 10 }", 5, "per_day is 10: write a number from 0 to 1"),
        (ONE + "late = { per_hour = 0.1 }", 5, "late has no setting 'per_hour'"),
        (ONE + "late = { grace_minutes = nan }", 5, "grace_minutes is nan"),
        (ONE + "[assignment.late]\nnone_after_days = -1", 5, "none_after_days is -1"),
        ("points = 3", 2, "points is no table"),
        ('[points]\n"Q1.2" = 0', 3, "Q1.2 is worth 0: write a number above 0"),
        ('[points]\n"Q1.2" = "3"', 3, "Q1.2 is worth '3'"),
        ('[points]\n"Q1.9" = 3', 3, "the rubric has no 'Q1.9'; 'Q1."),
        ("[points]\nQ1.2 = 3", 3, 'in quotation marks, as in "Q1.2" = 3'),
    ],
)
def test_what_is_wrong_is_one_sentence_with_its_line(tmp_path, text, line, sentence):
    with pytest.raises(CourseError) as error:
        opened(tmp_path, text)
    assert f"{tmp_path}/course.toml, line {line}: " in str(error.value)
    assert sentence in str(error.value) and "\n" not in str(error.value)


def test_all_that_is_wrong_is_told_in_the_files_order(tmp_path):
    text = 'episodes = 0\nnme = 3\n[[assignment]]\nname = "a/b"\n[points]\n"Q9.9" = 1\n'
    (tmp_path / "course.toml").write_text(SECRET + text)
    course, wrong = read_course(tmp_path)
    assert [int(each.split("line ")[1].split(":")[0]) for each in wrong] == [2, 3, 5, 7]
    assert course is not None and course.episodes  # the rest can be looked at
    with pytest.raises(CourseError, match="line 2: .*3 more: `python -m score course check"):
        open_course(tmp_path)


def test_what_is_no_toml_is_told_with_its_line(tmp_path):
    with pytest.raises(CourseError, match=r"cannot be read .*line 2.*: correct it"):
        opened(tmp_path, "episodes = = 3")
    assert read_course(tmp_path)[0] is None


def test_every_entry_of_the_rubric_can_have_points_of_its_own():
    entries = [entry for part in rubric.PARTS.values() for entry in part.graded()]
    assert len({points_key(entry) for entry in entries}) == len(entries)


@given(
    st.floats(0, 100),
    st.floats(0, 30 * DAY),
    st.builds(Late, st.floats(0, 1), st.floats(0, 100), st.none() | st.floats(0, 10)),
)
def test_late_work_never_costs_more_than_it_earned_nor_less_the_later_it_comes(
    points, seconds, late
):
    earlier, later = late.penalty(points, seconds), late.penalty(points, seconds + DAY)
    assert 0 <= earlier <= later <= points


def test_a_day_that_has_begun_counts_after_the_time_of_grace():
    late = Late(per_day=0.1, grace_minutes=15, none_after_days=5)
    taken = {hours: late.penalty(10, hours * 3600) for hours in (0.25, 0.3, 24, 24.1, 120, 120.1)}
    assert taken == pytest.approx({0.25: 0, 0.3: 1, 24: 1, 24.1: 2, 120: 5, 120.1: 10})
    assert timedelta(seconds=5 * DAY) == timedelta(hours=120)
