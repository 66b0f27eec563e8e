"""The one type of outcome: how it is shown, and what it is worth when the rubric changes."""

from dataclasses import asdict, replace

import pytest

from score.verdict import MIME, Verdict


@pytest.mark.parametrize(
    "verdict, text",
    [
        (Verdict("Q1.1", 2.0, 2.0, "Right."), "✓ Q1.1: 2 of 2 points. Right."),
        (Verdict("Q1.1", 0.0, 2.0, "Wrong."), "✗ Q1.1: 0 of 2 points. Wrong."),
        (Verdict("MLP", 1.25, 5.0, "So so."), "◐ MLP: 1.25 of 5 points. So so."),
        (Verdict("E1.1", 0.0, 0.0, "Right.", right=True), "✓ E1.1: Right."),
        (Verdict("E1.1", 0.0, 0.0, "Wrong.", right=False), "✗ E1.1: Wrong."),
        (Verdict("Q4.5", 0.0, 1.0, "In words.", unread=True), "… Q4.5: 0 of 1 points. In words."),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_it_is_shown_in_one_line(verdict, text, capsys):
    assert str(verdict) == text and verdict.show() is verdict
    assert capsys.readouterr().out == f"{text}\n"


def test_what_is_worth_points_is_shown_as_data_too():
    verdict = Verdict("Q1.1", 2.0, 2.0, "Right.")
    assert verdict.display() == {"text/plain": str(verdict), MIME: asdict(verdict)}
    assert Verdict(**verdict.display()[MIME]) == verdict
    extension = Verdict("E1.1", 0.0, 0.0, "Right.", right=True)
    assert extension.display() == {"text/plain": str(extension)}


def test_its_share_stays_when_other_points_are_given():
    verdict = Verdict("MLP", 1.1, 3.3, "So so.")
    assert verdict.worth(3.3) is verdict
    assert verdict.worth(6.6) == replace(verdict, points=1.1 / 3.3 * 6.6, max_points=6.6)
    assert verdict.worth(0).points == 0
    extension = Verdict("E1.1", 0.0, 0.0, "Right.", right=True)
    assert extension.worth(0) is extension
