"""The roster: as systems export it, with any name, and in one sentence where it is damaged."""

import json

import exports
import pytest
from exports import NOTEBOOK, OTHER, made_course, write_export, zipped

from score.course.collect.collect import collect, format_totals
from score.course.collect.people import open_people, read_roster
from score.course.collect.plan import plan
from score.course.report.everybody import everybody
from score.course.report.tables import csv_text, table
from score.course.settings import CourseError, open_course
from score.verdict import Verdict

CANVAS = """Student,ID,SIS User ID,SIS Login ID,Section,HW 1 (77),Final Score
,,,,,Manual Posting,(read only)
    Points Possible,,,,,10.00,(read only)
"Lee, Ann",12345,u7,annlee,01,,
"O'Brien, José",222,u8,jobrien,02,,
"Student, Test",9,,abc,01,,
"""
CANVAS_SPLIT = """LastName,FirstName,ID,SIS Login ID,Section,HW 1 (77)
,,,,,Manual Posting
    Points Possible,,,,,10.00
Lee,Ann,12345,annlee,01,
O'Brien,José,222,jobrien,02,
"""
MOODLE = """"First name","Last name","ID number","Email address","Last downloaded"
Ann,Lee,u7,annlee@uni.edu,1
José,O'Brien,u8,jobrien@uni.edu,1
"""
WORKSHEET = """Identifier,"Full name","Email address",Status,Grade,"Maximum Grade"
"Participant 12345","Ann Lee",annlee@uni.edu,"Submitted for grading",,10.00
"Participant 222","José O'Brien",jobrien@uni.edu,"Submitted for grading",,10.00
"""
BRIGHTSPACE = """OrgDefinedId,Username,Last Name,First Name,HW 1 Points Grade,End-of-Line Indicator
#u7,annlee,Lee,Ann,,#
#u8,jobrien,O'Brien,José,,#
"""
PLAIN = """id;name;email;section
u7;Lee, Ann;annlee@uni.edu;A
u8;José O'Brien;jobrien@uni.edu;B
"""


def course_with(tmp_path, roster, encoding="utf-8"):
    folder = made_course(tmp_path / "course").folder
    (folder / "roster.csv").write_bytes(roster.encode(encoding))
    return open_course(folder)


@pytest.mark.parametrize(
    "text, ids, system",
    [
        (CANVAS, ["12345", "222"], "canvas"),
        (CANVAS_SPLIT, ["12345", "222"], "canvas"),
        (MOODLE, ["u7", "u8"], "moodle"),
        (WORKSHEET, ["12345", "222"], "moodle"),
        (BRIGHTSPACE, ["u7", "u8"], "brightspace"),
        (PLAIN, ["u7", "u8"], ""),
        ("name\nLee, Ann\n".replace("Lee, Ann", '"Lee, Ann"') + "José O'Brien\n", ["", ""], ""),
    ],
    ids=[
        "canvas",
        "canvas, names split",
        "moodle",
        "worksheet",
        "brightspace",
        "plain",
        "names alone",
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_roster_is_read_as_it_is_exported(tmp_path, text, ids, system, encoding):
    path = tmp_path / "roster.csv"
    path.write_bytes(text.replace("\n", "\r\n").encode(encoding))
    roster = read_roster(path)
    assert [person.id for person in roster.people] == ids and roster.system == system
    ann, jose = (person.name for person in roster.people)
    assert ann in ("Lee, Ann", "Ann Lee") and jose in ("O'Brien, José", "José O'Brien")


@pytest.mark.parametrize(
    "content, sentence",
    [
        (b"", "line 1: no column is an id"),
        (b"a,b\n1,2\n", "line 1: no column is an id"),
        (b"id,name\n7,Ann\n\n,\n8,Lee, Ann\n", "line 5: 3 fields under 2 heads"),
        (b'id,name\n7,"Ann\n', "line 2: unexpected end of data"),
        (b"id,name,section\n7,Ann,A\n,,B\n", "line 3: neither a name nor an id"),
        (b"id,name\n7,Ann\n7,Bo\n", "line 3: '7' is on line 2 too"),
        ("id,name\n7,Zoë\n".encode("latin-1"), "line 2: no UTF-8 text"),
    ],
)
def test_a_damaged_roster_is_one_sentence_with_the_line(tmp_path, content, sentence):
    (tmp_path / "roster.csv").write_bytes(content)
    with pytest.raises(CourseError, match=sentence):
        read_roster(tmp_path / "roster.csv")


def test_everybody_has_a_row_with_the_reason(tmp_path):
    roster = "id,name\n" + "".join(f"{i},Student {i}\n" for i in range(1, 9))
    course = course_with(tmp_path, roster)
    files = {
        "1/Untitled.ipynb": NOTEBOOK,
        "2/report.pdf": b"%PDF",
        "3/work.7z": b"7z",
        "4/part1_mlp.py": b"print()",
        "5/link.html": b"<a>",
        "6/part1_mlp.ipynb": b"{",
        "7/part1_mlp.ipynb": b" " * (21 << 20),
        "stranger/part1_mlp.ipynb": NOTEBOOK,
    }
    path = write_export(tmp_path, files, folder=True)
    uploads = plan(course, path)
    assert format_totals(uploads, open_people(course)) == (
        "Students: taken 3, incomplete 0, nothing usable 5, not on the roster 1, on the roster and"
        " not here 1."
    )
    collect(course, path, uploads=uploads)
    reasons = {folder: one.reason for folder, one in everybody(course).items()}
    assert reasons.pop("1") == reasons.pop("stranger") == ""
    for folder, part in {
        "2": "report.pdf, which is no notebook",
        "3": "work.7z, which is not opened",
        "4": "part1_mlp.py, which is no notebook",
        "5": "link.html, an address or a text",
        "6": "cannot be graded. The file breaks off",
        "7": "larger than 20 MB",
        "8": "Handed in nothing.",
    }.items():
        assert part in reasons[folder]
    people = everybody(course)
    verdicts = {("1", "part1_mlp", "part1-q1_1"): Verdict("Q1.1", 1.0, 3.0, "")}
    text = table(verdicts, None, people)
    assert "\n1 Student 1 " in text and "\n8 Student 8  Handed in nothing." in text
    rows = csv_text({}, verdicts, {"1": 0.0}, [], people).splitlines()
    assert rows[0].startswith("student,id,name,") and rows[0].endswith(",to_read,note")
    assert rows[8] == "8,8,Student 8,,,0,0,Handed in nothing."
    collected = json.loads((course.folder / "collected.json").read_text())
    assert "stranger" in collected["export"]["students"]
    assert [one.folder for one in people.values() if one.on_roster is False] == ["stranger"]


def test_a_good_upload_takes_the_reason_away(tmp_path):
    course = course_with(tmp_path, "id,name\n7,Ann\n")
    collect(course, write_export(tmp_path, {"7/report.pdf": b"%PDF"}, hour=9))
    assert "report.pdf" in everybody(course)["7"].reason
    collect(course, write_export(tmp_path, {"7/part1_mlp.ipynb": NOTEBOOK}, hour=10))
    assert everybody(course)["7"].reason == ""


def test_answers_that_nobody_has_read_wait_and_are_in_no_total():
    verdicts = {
        ("ann", "part4_flow", "part4-q4_1"): Verdict("Q4.1", 2.0, 2.0, ""),
        ("ann", "part4_flow", "part4-report_curves"): Verdict("Q4.5", 0.0, 5.0, "", unread=True),
    }
    row = next(line for line in table(verdicts).splitlines() if line.startswith("ann"))
    assert row.split() == ["ann", "2.00", "…", "2.00…"]


@pytest.mark.parametrize("system", ["canvas", "moodle", "google", "folders"])
def test_a_person_keeps_the_folder_whatever_the_roster_says_later(tmp_path, system):
    people = [("Ann Lee", 12345, "annlee"), ("李雷", 333, "leilei")]
    course = made_course(tmp_path / "course")
    files = getattr(exports, system)(people)
    name = "HW 1-20260301T113005Z-001.zip"
    collect(course, write_export(tmp_path, files, name=name))
    before = course.students()
    (course.folder / "roster.csv").write_text("id,name\n7001,李雷\n7002,Ann Lee\n7003,Bo\n")
    course = open_course(course.folder)
    uploads = plan(course, write_export(tmp_path, files, name=name, hour=15))
    assert [upload.student for upload in uploads] == before
    assert all(upload.parts == {"part1_mlp": "unchanged"} for upload in uploads)


def test_two_of_one_name_and_one_in_anothers_name_are_refused_and_told(tmp_path):
    course = course_with(tmp_path, "id,name\n1,Ann Lee\n2,Ann Lee\n3,Bo\n")
    (upload,) = plan(course, write_export(tmp_path, {"Ann Lee/part1_mlp.ipynb": NOTEBOOK}))
    assert upload.student is None
    assert "may be Ann Lee (1) and Ann Lee (2) of the roster" in upload.remarks[0]
    number = {"leeann_77_900_part1_mlp.ipynb": NOTEBOOK}
    (upload,) = plan(course, write_export(tmp_path, number))
    assert "Write 77 into a column `User ID` of the roster" in upload.remarks[0]
    told = "id,name,User ID\n1,Ann Lee,\n2,Ann Lee,77\n3,Bo,\n"
    (course.folder / "roster.csv").write_text(told, encoding="utf-8")
    (upload,) = plan(course, write_export(tmp_path, number))
    assert upload.student == "2"
    bo, other = (
        {f"bo_{number}_900_part1_mlp.ipynb": content}
        for number, content in ((78, NOTEBOOK), (66, OTHER))
    )
    collect(course, write_export(tmp_path, bo))
    (upload,) = plan(course, write_export(tmp_path, other, hour=20))
    assert upload.student is None and "who came as '78' before" in upload.remarks[0]


def test_a_namesake_at_moodle_is_refused_in_one_assignment_and_told_in_another(tmp_path):
    course = course_with(tmp_path, "id,name\n3,Bo\n4,Ann Lee\n")
    mine, others, anns = (
        {f"{name}_{number}_assignsubmission_file/part1_mlp.ipynb": content}
        for name, number, content in (
            ("Bo", 77, NOTEBOOK),
            ("Bo", 66, OTHER),
            ("Ann Lee", 78, NOTEBOOK),
        )
    )
    collect(course, write_export(tmp_path, mine | anns))
    *_, nobody = plan(course, write_export(tmp_path, others | anns, hour=20))
    assert nobody.student is None and "who came as '77' before" in nobody.remarks[0]
    (upload,) = plan(course, write_export(tmp_path, others, hour=20))
    assert upload.student == "3" and "Bo had another number before" in upload.remarks[-1]


def test_a_number_of_moodles_is_not_anothers_on_the_roster(tmp_path):
    course = course_with(tmp_path, "id,name\n501,Bo\n502,Ann Lee\n")
    files = {"Ann Lee_501_assignsubmission_file/part1_mlp.ipynb": NOTEBOOK}
    (upload,) = plan(course, write_export(tmp_path, files))
    assert upload.student == "502"


def test_nobody_takes_a_folder_that_was_made_of_anothers_name(tmp_path):
    course = course_with(tmp_path, "name\nJane Doe\n")
    collect(course, write_export(tmp_path, {"Jane Doe.zip": zipped({"a.ipynb": NOTEBOOK})}))
    assert course.students() == ["Jane-Doe"]
    (upload,) = plan(course, write_export(tmp_path, {"Jane-Doe.zip": zipped({"a.ipynb": OTHER})}))
    assert upload.student != "Jane-Doe" or upload.on_roster


def test_damaged_people_are_told_with_the_file(tmp_path):
    course = made_course(tmp_path / "course")
    (course.folder / "people.json").write_text("{")
    with pytest.raises(CourseError, match=r"people\.json is damaged"):
        open_people(course)
