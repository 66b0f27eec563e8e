"""Grades and feedback as an LMS takes them, with grading stood in."""

import csv
import io
import re
import shutil
import zipfile
from dataclasses import replace

import exports
import pytest
from exports import unzipped, write_export
from sqlalchemy import event

from score import rubric
from score.__main__ import main
from score.course.class_run import feedback_zips, records
from score.course.class_run.export import export
from score.course.class_run.grade import grade_course
from score.course.collect.collect import collect
from score.course.grading import results
from score.course.nbgrader import configuration, gradebook
from score.course.nbgrader.release import create
from score.course.settings import CourseError, open_course
from score.submission.failures import Failures

TABLES = r"SCAN (grade|comment|submitted_\w+)\b"  # steps of SQLite's that read every row
PEOPLE = [("Ann Lee", 12345, "annlee"), ("José O'Brien", 222, "jobrien"), ("李雷", 333, "leilei")]
ROSTERS = {
    "canvas": "Student,ID,SIS User ID,SIS Login ID,Section,pusht (77),Final\n"
    "    Points Possible,,,,,1,\n"
    '"Lee, Ann",12345,u7,annlee,01,,\n"O\'Brien, José",222,u8,jobrien,02,,\n'
    '李雷,333,u9,leilei,01,,\n"=Evil, Zed",444,u1,zed,01,,\n',
    "moodle": 'Identifier,"Full name","Email address",Status,Grade,"Maximum Grade"\n'
    'Participant 12345,Ann Lee,a@x.org,,,1\nParticipant 222,"José O\'Brien",j@x.org,,,1\n'
    "Participant 333,李雷,l@x.org,,,1\nParticipant 444,=Zed,z@x.org,,,1\n",
    "brightspace": "OrgDefinedId,Username,Last Name,First Name,pusht Points Grade <Numeric"
    " MaxPoints:1>,End-of-Line Indicator\n"
    "#12345,annlee,Lee,Ann,,#\n#222,jobrien,O'Brien,José,,#\n#333,leilei,,李雷,,#\n#444,zed,=Evil,Z,,#\n",
}


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    return create(
        tmp_path_factory.mktemp("export") / "course",
        more='[[assignment]]\nname = "pusht"\nparts = ["part1_mlp"]\n',
    )


def graded_course(released, tmp_path, system):
    """A course of which three handed in and two are graded; of the third the grader failed."""
    folder = tmp_path / "course"
    shutil.copytree(released.folder, folder)
    (folder / "roster.csv").write_text(ROSTERS[system], encoding="utf-8")
    course = open_course(folder)
    collect(course, write_export(tmp_path, getattr(exports, system)(PEOPLE)))
    failures, config = Failures(), configuration.read(course.folder)
    with gradebook.open_gradebook(course) as book:
        for points, student in zip((5.0, 7.0), course.students(), strict=False):
            result = results.ungraded(student, "part1_mlp", "Stood in.", "key")
            first = next(iter(result.cells))
            cells = {
                name: replace(cell, points=points / 10 * cell.max_points if name == first else 0.0)
                for name, cell in result.cells.items()
            }
            results.save(replace(result, cells=cells, missing=""), folder / "results")
            records.conclude(course, book, student, failures, config)
        records.write_class(course, book, failures)
    assert not failures, [*failures]
    return course


def rows(path):
    return [*csv.reader(io.StringIO(path.read_text(encoding="utf-8-sig")))]


def test_canvas_gets_its_gradebook_back_and_feedback_under_its_names(released, tmp_path):
    course = graded_course(released, tmp_path, "canvas")
    grades, feedback = export(course, "canvas").files
    head, possible, *people = rows(grades)
    assert head == ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", "pusht (77)"]
    assert possible[0] == "    Points Possible" and float(possible[-1]) > 0
    first = next(iter(rubric.PARTS["part1_mlp"].graded())).points
    points = {row[1]: row[-1] for row in people}
    assert points == {
        "12345": f"{0.5 * first:.2f}",
        "222": f"{0.7 * first:.2f}",
        "333": "",
        "444": "",
    }
    assert [row[0] for row in people] == ["Lee, Ann", "O'Brien, José", "李雷", "'=Evil, Zed"]
    names = set(unzipped(feedback))
    assert names == {"leeann_12345_13245_feedback.html", "obrienjosé_222_1122_feedback.html"}


def test_canvas_gets_last_and_first_names_where_its_gradebook_has_them(released, tmp_path):
    course = graded_course(released, tmp_path, "canvas")
    split = tmp_path / "gradebook.csv"
    split.write_text("LastName,FirstName,ID,SIS Login ID,Section,pusht (77)\nLee,Ann,12345,a,01,\n")
    head, _, *people = rows(export(course, "canvas", exported=split).files[0])
    assert head == ["LastName", "FirstName", "ID", "SIS Login ID", "Section", "pusht (77)"]
    assert people[0][:5] == ["Lee", "Ann", "12345", "a", "01"] and float(people[0][5]) > 0
    assert people[1][:3] == ["O'Brien", "José", "222"]


def test_moodle_gets_its_worksheet_and_a_folder_for_each_participant(released, tmp_path):
    course = graded_course(released, tmp_path, "moodle")
    grades, feedback = export(course, "moodle", tmp_path / "out").files
    head, *people = rows(grades)
    assert head[0] == "Identifier" and grades == tmp_path / "out/grades-pusht.csv"
    column = head.index("Grade")
    assert [row[0] for row in people] == [f"Participant {n}" for n in (12345, 222, 333, 444)]
    assert [bool(row[column]) for row in people] == [True, True, False, False]
    assert set(unzipped(feedback)) == {
        f"{name}_{number}_assignsubmission_file_/feedback.html" for name, number, _ in PEOPLE[:2]
    }


TWO = """
[[assignment]]
name = "pusht"
parts = ["part1_mlp"]

[[assignment]]
name = "next"
parts = ["part2_cvae"]
"""


def test_each_assignment_of_moodles_gets_its_own_numbers(tmp_path):
    course = graded_course(create(tmp_path / "made", more=TWO), tmp_path, "moodle")
    notebook = exports.ANSWERED["part2_cvae"].encode()
    second = {
        f"{name}_{number}_assignsubmission_file/part2_cvae.ipynb": notebook
        for number, (name, *_) in enumerate(PEOPLE, start=801)
    }
    collect(course, write_export(tmp_path, second, name="second.zip"))
    out = tmp_path / "out"
    export(course, "moodle", out)
    made = {
        name: [row[0] for row in rows(out / f"grades-{name}.csv")[1:4]]
        for name in ("pusht", "next")
    }
    assert made == {
        "pusht": [f"Participant {n}" for n in (12345, 222, 333)],
        "next": [f"Participant {n}" for n in (801, 802, 803)],
    }
    worksheet = tmp_path / "worksheet.csv"
    text = ROSTERS["moodle"].replace(",,,1", ",-,,1").partition("Participant 333")[0]
    worksheet.write_text(text, encoding="utf-8")
    with pytest.raises(CourseError, match="give --assignment too, one of pusht, next"):
        export(course, "moodle", out, worksheet)
    files = export(course, "moodle", tmp_path / "one", worksheet, assignment="pusht").files
    assert [path.name for path in files] == ["grades-pusht.csv", "feedback-pusht.zip"]
    _, ann, jose = rows(files[0])  # 李雷 is not in the worksheet
    assert ann[0] == "Participant 12345" and ann[3] == jose[3] == "-" and ann[4] and jose[4]


def test_brightspace_gets_its_ids_and_its_folders(released, tmp_path):
    course = graded_course(released, tmp_path, "brightspace")
    grades, feedback = export(course, "brightspace").files
    head, *people = rows(grades)
    assert head[:2] == ["OrgDefinedId", "Username"] and head[-1] == "End-of-Line Indicator"
    assert head[2].startswith("pusht Points Grade") and people[0][0] == "#12345"
    assert [bool(row[2]) for row in people] == [True, True, False, False]
    assert all(row[-1] == "#" for row in people)
    assert "12345-640693 - Ann Lee - Mar 1, 2026 1130 AM/feedback.html" in unzipped(feedback)
    (course.folder / "roster.csv").write_text("id,name\n12345,Ann Lee\n", encoding="utf-8")
    without = export(open_course(course.folder), "brightspace")
    assert [row[0] for row in rows(without.files[0])[1:]] == ["12345"]
    assert without.sentences[0].endswith("look whether it has them: 222, 333.")


def test_a_table_has_everybody_with_the_reason(released, tmp_path, capsys):
    course = graded_course(released, tmp_path, "canvas")
    main(["course", "export", str(course.folder), "--to", "csv"])
    said = capsys.readouterr().out
    head, *people = rows(course.folder / "export/csv/grades.csv")
    assert head == ["student", "id", "name", "email", "section", "pusht", "note"]
    assert people[3][-2:] == ["", "Handed in nothing."] and people[3][2] == "'=Evil, Zed"
    assert "pusht: left open for 333." in said
    assert "pusht: no notebook came, so no points, of 444." in said


def test_feedback_is_cut_into_zips_of_a_size(released, tmp_path, monkeypatch):
    course = graded_course(released, tmp_path, "canvas")
    monkeypatch.setattr(feedback_zips, "_ZIP_BYTES", 10)
    files = export(course, "canvas").files
    assert [path.name for path in files[1:]] == ["feedback-pusht-1.zip", "feedback-pusht-2.zip"]
    assert all(len(zipfile.ZipFile(path).namelist()) == 1 for path in files[1:])


def test_a_class_of_which_nothing_can_be_graded_has_its_report(released, tmp_path):
    shutil.copytree(released.folder, tmp_path / "course")
    (tmp_path / "course/roster.csv").write_text("id,name\n7,Ann Lee\n8,Bo\n")
    course = open_course(tmp_path / "course")
    collect(course, write_export(tmp_path, {"7/report.pdf": b"%PDF"}))
    assert grade_course(course) == {}
    page = (course.folder / "report.html").read_text()
    assert "7 Ann Lee" in page and "Handed in report.pdf, which is no notebook." in page
    assert rows(course.folder / "grades.csv")[2][-1] == "Handed in nothing."


def test_without_points_there_is_a_sentence(released):
    with pytest.raises(CourseError, match="has points yet"):
        export(open_course(released.folder), "canvas")


def test_no_students_row_in_the_gradebook_is_looked_for_among_all(released, tmp_path):
    """What is done for a student must not take longer in a larger class."""
    course, failures = graded_course(released, tmp_path, "canvas"), Failures()
    config, asked = configuration.read(course.folder), []
    with gradebook.open_gradebook(course) as book:
        gradebook.complete(book, course)
        engine = book.db.get_bind()
        event.listen(engine, "before_cursor_execute", lambda _, __, *sql: asked.append(sql[:2]))
        records.conclude(course, book, course.students()[0], failures, config)
        asked = [(sql, values) for sql, values in asked if sql.startswith(("SELECT", "UPDATE"))]
        assert asked and not failures
        connection = book.db.connection().connection
        for sql, values in asked:
            plan = connection.execute(f"EXPLAIN QUERY PLAN {sql}", values).fetchall()
            scanned = [step[-1] for step in plan if re.match(TABLES, step[-1])]
            assert not scanned, (scanned, sql)
