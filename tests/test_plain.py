"""What others wrote does nothing to a terminal, a table or a page: names of files and students, and
texts of exceptions.
"""

import csv
import io
import zipfile

import pytest
from exports import made_course
from hypothesis import example, given
from hypothesis import strategies as st

from score import rubric
from score.__main__ import main
from score.course.report.page import printable
from score.course.report.tables import csv_text, reasons, table
from score.plain import plain, plain_line
from score.verdict import Verdict

ESCAPES = "\x1b]0;owned\x07\x1b[2J\x1b[31mred\x1b[0m\x1bP1q\x1b\\\x9b2J\x08\x00\r\u202egnp\u2066"
PART = next(iter(rubric.PARTS.values()))


def assert_plain(text):
    forbidden = {c for c in text if not c.isprintable() and c not in "\n\t\u200c\u200d"}
    assert not forbidden, forbidden
    text.encode()  # no lone surrogates


@given(st.text() | st.text(alphabet="\x1b[]P;?m\x07\\\x9b\n\r0a"))
@example(ESCAPES)
@example("\ud800\U000e0041\u2028")
def test_any_text_becomes_plain_and_stays_so(text):
    assert_plain(plain(text))
    assert plain(plain(text)) == plain(text)
    assert "\n" not in plain_line(text) and "\t" not in plain_line(text)


@given(st.text(alphabet=st.characters(categories=("L", "N", "P", "S"))))
def test_letters_of_every_script_stay(text):
    assert plain(text) == text


def test_what_is_left_is_readable():
    assert plain("a\x1b[31mb\x1b[0m\r\nc\td") == "ab\nc\td"
    assert plain("no\x1b]8;;http://x\x07 link") == "no link"
    assert plain("never ended \x1b]0;x\nnext line") == "never ended \nnext line"
    assert plain_line("anna\nbob: 5 of 5") == "anna bob: 5 of 5"


def verdicts(student, sentence):
    cells = [(PART.name, PART.cell_id(entry)) for entry in PART.graded()]
    found = {}
    for part in rubric.PARTS.values():
        for entry in part.graded():
            verdict = Verdict(entry.name, 0.0, float(entry.points), sentence)
            found[student, part.name, part.cell_id(entry)] = verdict
    assert cells
    return found


@pytest.mark.parametrize("student", [ESCAPES, "ann\nbob  5.00", "\u202enna"])
def test_tables_and_reasons_have_a_line_each_and_no_escapes(student):
    graded = verdicts(
        student, f"loss raised ValueError: {ESCAPES}\nann, Q1.1: 5.00 of 5.00. Right."
    )
    assert_plain(table(graded))
    assert table(graded).count("\n") == 3
    assert_plain(reasons(graded))
    assert reasons(graded).count("\n") == len(rubric.PARTS) - 1
    assert_plain(printable(student))


@pytest.mark.parametrize(
    "student", ["=HYPERLINK(1)", "+1", "-1", "@SUM(1)", " =1", "\t=1", "＝1", "\x1b[31m=1", "\r=1"]
)
def test_no_field_of_grades_csv_is_a_formula(student):
    text = csv_text(rubric.PARTS, verdicts(student, "No."), {student: 0.0}, [])
    _, row = csv.reader(io.StringIO(text))
    assert_plain(text)
    assert row[0].startswith("'")
    assert row[-1] == ""  # the note
    for number in row[1:-1]:
        float(number)


def test_an_ordinary_name_stays_as_it_is():
    text = csv_text(rubric.PARTS, verdicts("ann-lee@x.org", "No."), {"ann-lee@x.org": 0.0}, [])
    assert "\nann-lee@x.org," in text


def test_names_in_an_export_do_nothing_to_the_terminal(tmp_path, capsys):
    course, export = made_course(tmp_path / "course"), tmp_path / "export.zip"
    with zipfile.ZipFile(export, "w") as archive:
        archive.writestr(f"ann/part1_mlp{ESCAPES}.ipynb", "{}")
        archive.writestr("ann/notes\nbob  2026-01-01 part1_mlp new.ipynb", "{}")
        archive.writestr(f"{ESCAPES}/part1_mlp.ipynb", "{}")
        archive.writestr("ann/part1_mlp.ipynb", "{}")
    main(["course", "collect", str(course.folder), str(export), "--preview"])
    shown = capsys.readouterr().out
    assert_plain(shown)
    assert not [line for line in shown.splitlines() if line.startswith("bob")]
    main(["course", "collect", str(course.folder), str(export)])
    assert_plain(capsys.readouterr().out)
    for record in (course.folder / "repairs").glob("*.json"):
        assert_plain(record.read_text(encoding="utf-8"))


def test_errors_are_plain_as_well(tmp_path):
    with pytest.raises(SystemExit) as ended:
        main(["course", "grade", str(tmp_path / "x\x1b[2J\u202ey")])
    assert_plain(str(ended.value.code))
