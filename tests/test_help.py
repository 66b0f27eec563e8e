"""Help with questions: what a failing check adds, and the fold before a check."""

import ast
import itertools

import pytest

import score
from score.cells import keep_solutions
from score.course.notebooks import build
from score.questions import EXTENSIONS, QUESTIONS
from score.student.help import HELP, help_after, help_cell

SOLUTIONS = [
    ast.parse(keep_solutions(cell.source))
    for part in build.parts_with_source()
    for cell in build.source_notebook(part).cells
    if "BEGIN SOLUTION" in cell.source
]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_every_question_and_extension_has_help():
    assert set(HELP) == {*QUESTIONS, *EXTENSIONS}


@pytest.mark.parametrize("name", HELP)
def test_the_lines_are_the_solutions(name):
    written = {
        ast.dump(statement)
        for tree in SOLUTIONS
        for statement in ast.walk(tree)
        if isinstance(statement, ast.stmt)
    }
    lines = ast.parse(f"def f():\n{help_after(name, 3).partition('To write:')[2]}").body[0].body
    assert lines and {ast.dump(line) for line in lines} <= written


def test_a_check_helps_more_with_each_failure_in_a_row(capsys):
    def printed(answer):
        score.check("Q1.1", answer)
        return capsys.readouterr().out

    def wrong(*_, **__):
        return [1]

    def right(obs_horizon, obs_dim, pred_horizon, action_dim, hidden_dims):
        return [obs_horizon * obs_dim, *hidden_dims, pred_horizon * action_dim]

    first, second, third = printed(wrong), printed(wrong), printed(wrong)
    assert "The idea" not in first and HELP["Q1.1"].idea in second and "To write" not in second
    assert HELP["Q1.1"].lines in third
    assert "The idea" not in printed(right) + printed(wrong)


def test_an_answer_that_was_not_begun_is_no_failure(capsys):
    def not_begun(*_, **__):
        raise NotImplementedError

    for _ in range(3):
        score.check("Q1.1", not_begun)
    assert "The idea" not in capsys.readouterr().out


@pytest.mark.parametrize("part", build.parts_with_source(), ids=lambda part: part.name)
def test_a_fold_with_help_stands_before_each_check(part):
    cells = build.student_notebook(part).cells
    checks = {
        name: before.source
        for before, cell in itertools.pairwise(cells)
        for name in HELP
        if f'score.check("{name}"' in cell.source and cell.cell_type == "code"
    }
    asked = {entry.name for entry in (*part.questions, *part.extensions)}
    assert set(checks) == asked and all(checks[name] == help_cell(name) for name in checks)
