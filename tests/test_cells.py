"""One grammar says what a notebook's cells are."""

import pytest

from score import cells
from score.cells import Marker


@pytest.mark.parametrize(
    "line, marker",
    [
        ("# [part1/setup] given", Marker("part1/setup", "given")),
        ("# [part1/bc_loss] answer Q1.2", Marker("part1/bc_loss", "answer", ("Q1.2",))),
        ("# [part4/flow] answer Q4.3 Q4.4", Marker("part4/flow", "answer", ("Q4.3", "Q4.4"))),
        ("# [part1/q1_2] test, 2 points", Marker("part1/q1_2", "test")),
        ("# [part1/encode] extension E1.1", Marker("part1/encode", "extension", ("E1.1",))),
        ("<!-- [part4/curves] written Q4.5 -->", Marker("part4/curves", "written", ("Q4.5",))),
        ("# [part1/setup] givens", None),
        ("# part1/setup given", None),
        ("print('# [part1/setup] given')", None),
    ],
)
def test_a_first_line_says_what_its_cell_is(line, marker):
    assert cells.read_marker(line) == marker


def test_a_first_line_that_is_a_little_off_still_names_its_cell():
    assert cells.read_id("  #[part1/bc_loss]  Answer") == "part1/bc_loss"
    assert cells.read_id("x = 1  # [part1/bc_loss]") is None


def test_cells_that_were_merged_come_apart_extensions_too():
    source = "x = 0\n# [part1/a] answer Q1.1\nx = 1\n# [part1/b] extension E1.1\nx = 2\n"
    assert [(marker.key, body) for marker, body in cells.split_cells(source)] == [
        ("part1-a", "x = 1"),
        ("part1-b", "x = 2"),
    ]


SOLVED = """# [part4/flow] answer Q4.3 Q4.4
def a():
    ### BEGIN SOLUTION Q4.4
    return 1
    ### END SOLUTION"""


def test_a_solution_makes_way_for_an_error_that_names_its_question_or_stays_without_its_fence():
    released = cells.clear_solutions(SOLVED)
    assert "return 1" not in released and cells.unanswered(released) == ["Q4.4"]
    filled = cells.keep_solutions(SOLVED)
    assert "return 1" in filled and "SOLUTION" not in filled and not cells.unanswered(filled)


def test_an_answer_in_words_is_empty_until_something_follows():
    assert cells.unwritten("*Your answer:* \n") and not cells.unwritten("*Your answer:* flow.")
