"""Whose a file in an LMS export is: each layout by itself, and what is nobody's."""

import json
import re
from datetime import UTC, datetime
from functools import partial
from hashlib import sha256

import exports
import pytest
import yaml
from exports import ANSWERED, NOTEBOOK, OTHER, made_course, submitted, write_export, zipped
from journeys import page
from nbgrader.utils import parse_utc

from score.__main__ import main
from score.course.collect.collect import collect, run_collect
from score.course.collect.layouts import Layout, systems
from score.course.collect.plan import plan
from score.course.settings import CourseError, open_course


@pytest.fixture
def course(tmp_path):
    return made_course(tmp_path / "course")


@pytest.fixture
def export(tmp_path):
    return partial(write_export, tmp_path)


METADATA = {
    "submission_1": {
        ":submitters": [{":name": "Ann Lee", ":sid": 7, ":email": "ann@uni.edu"}],
        ":created_at": "2026-02-01 10:00:00.5 Z",
    },
    "submission_2": {
        ":submitters": [
            {":name": "Bo", ":sid": "8", ":email": "bo+x@uni.edu"},
            {":name": "Cy", ":sid": None, ":email": "cy@uni.edu"},
        ],
        ":created_at": datetime(2026, 2, 2, 11, tzinfo=UTC),
    },
}
GRADESCOPE = {
    "submission_metadata.yml": yaml.safe_dump(METADATA).encode(),
    "submission_1/part1_mlp.ipynb": NOTEBOOK,
    "submission_2/deep/part1_mlp.ipynb": OTHER,
}


@pytest.mark.parametrize(
    "files, students",
    [
        (
            {
                "Ann Lee_1234567_assignsubmission_file_/part1_mlp.ipynb": NOTEBOOK,
                "Zoë Ø_89_assignsubmission_file_/work.zip": zipped({"a/part1_mlp.ipynb": NOTEBOOK}),
            },
            ["1234567", "89"],
        ),
        (
            {
                "Ann Lee_1234567_assignsubmission_file/part1_mlp.ipynb": NOTEBOOK,
                "Bo_8_assignsubmission_file_part1_mlp.ipynb": NOTEBOOK,
            },
            ["1234567", "8"],
        ),
        (
            {
                "leeann_12345_678910_part1_mlp-1.ipynb": NOTEBOOK,
                "bo_LATE_777_678911_part1_mlp.ipynb": NOTEBOOK,
                "cy_778_1_all.zip": zipped({"part1_mlp.ipynb": NOTEBOOK}),
            },
            ["12345", "777", "778"],
        ),
        (
            {
                "student_ann_12345_678910_part1_mlp-1.ipynb": NOTEBOOK,
                "bo2_LATE_777_678911_part1_mlp.ipynb": NOTEBOOK,
            },
            ["12345", "777"],
        ),
        (
            {
                "anon_Xy3kP_678910_part1_mlp.ipynb": NOTEBOOK,
                "LATE_anon_a7bQ2_678911_part1_mlp.ipynb": NOTEBOOK,
            },
            ["Xy3kP", "a7bQ2"],
        ),
        (GRADESCOPE, ["8", "ann@uni.edu", "cy@uni.edu"]),
        (
            {
                "ann.zip": zipped({"part1_mlp.ipynb": NOTEBOOK}),
                "bo.ZIP": zipped({"x/y/part1_mlp.ipynb": NOTEBOOK}),
            },
            ["ann", "bo"],
        ),
        ({"ann/part1_mlp.ipynb": NOTEBOOK, "bo/pusht/part1_mlp.ipynb": NOTEBOOK}, ["ann", "bo"]),
        (
            {"ann/hand/in/part1_mlp.ipynb": NOTEBOOK, "bo/mine/part1_mlp.ipynb": NOTEBOOK},
            ["ann", "bo"],
        ),
        (
            {"ann_part1_mlp.ipynb": NOTEBOOK, "Copy of bo-part1_mlp (2).ipynb": NOTEBOOK},
            ["ann", "bo"],
        ),
    ],
    ids=[
        "moodle",
        "moodle of another version",
        "canvas",
        "canvas with underscores",
        "canvas without names",
        "gradescope",
        "zips",
        "folders",
        "deep folders",
        "files",
    ],
)
@pytest.mark.parametrize("unpacked", [False, True])
def test_the_students_of_each_kind_of_export_are_known(course, export, files, students, unpacked):
    uploads = plan(course, export(files, folder=unpacked))
    assert [upload.student for upload in uploads] == students
    assert all(
        {*upload.files} == {"part1_mlp.ipynb"} and upload.parts == {"part1_mlp": "new"}
        for upload in uploads
    )


def test_the_folder_around_all_of_gradescopes_zip_is_no_student(course, export):
    files = {f"assignment_99_export/{name}": content for name, content in GRADESCOPE.items()}
    uploads = plan(course, export(files))
    assert [upload.student for upload in uploads] == ["8", "ann@uni.edu", "cy@uni.edu"]


def test_folders_of_the_only_folder_name_nobody(course, export):
    for files in (
        {"mallory/bob/part1_mlp.ipynb": OTHER},
        {"ann/1/part1_mlp.ipynb": NOTEBOOK, "ann/2/part2_cvae.ipynb": OTHER},
        {"ann/exp/mse/policy.safetensors": b"", "ann/src/hw1/model.py": b""},
    ):
        (upload,) = plan(course, export(files))
        assert upload.student == min(files).partition("/")[0]


def test_one_folder_that_may_be_the_classs_is_nobodys_until_the_instructor_says(course, export):
    files = {"all/ann/part1_mlp.ipynb": NOTEBOOK, "all/bo/part1_mlp.ipynb": NOTEBOOK}
    (upload,) = plan(course, export(files))
    assert upload.student is None and "--pattern '(?P<student>[^/]+)/'" in upload.remarks[0]
    assert [each.student for each in plan(course, export(files), "(?P<student>[^/]+)/")] == ["all"]
    unpacked = export(files, folder=True) / "all"
    assert [upload.student for upload in plan(course, unpacked)] == ["ann", "bo"]


FLAT = "mallory_333_902_x_111_assignsubmission_file_part1_mlp.ipynb"


@pytest.mark.parametrize(
    "files, students, sentence",
    [
        # One name in Canvas's export has Moodle's pattern.
        (
            {
                "ann_111_900_part1_mlp.ipynb": NOTEBOOK,
                "bo_222_901_part1_mlp.ipynb": NOTEBOOK,
                FLAT: OTHER,
            },
            ["111", "222", "333"],
            "",
        ),
        # Alone it can be either system's.
        ({FLAT: OTHER}, [], "These can be read as different students': mallory_333"),
        # A display name in Moodle, and a file's name, with the pattern in it.
        (
            {
                "Ann_111_assignsubmission_file_/part1_mlp.ipynb": NOTEBOOK,
                "M_111_assignsubmission_file_x_66_assignsubmission_file_/part1_mlp.ipynb": OTHER,
            },
            ["111", "66"],
            "",
        ),
        (
            {
                "Ann_111_assignsubmission_file_part1_mlp.ipynb": NOTEBOOK,
                "M_66_assignsubmission_file_x_111_assignsubmission_file_part1_mlp.ipynb": OTHER,
            },
            ["111"],
            "These can be read as different students': M_66_",
        ),
        # Two entries for one student.
        (
            {
                "Ann_111_assignsubmission_file_/part1_mlp.ipynb": NOTEBOOK,
                "Mallory_111_assignsubmission_file_/part1_mlp.ipynb": OTHER,
                "Bo_222_assignsubmission_file_/part1_mlp.ipynb": OTHER,
            },
            ["222"],
            "'111' is claimed in different ways, so none of them is taken: Ann_111",
        ),
        (
            {
                "ann/part1_mlp.ipynb": NOTEBOOK,
                "ann.zip": zipped({"part1_mlp.ipynb": OTHER}),
                "bo_part1_mlp.ipynb": NOTEBOOK,
                "bo-part2_cvae.ipynb": NOTEBOOK,
            },
            ["bo"],
            "'ann' is claimed in different ways",
        ),
        # A file of Gradescope's name among files of students who choose theirs.
        (
            {
                "submission_metadata.yml": GRADESCOPE["submission_metadata.yml"],
                "ann_part1_mlp.ipynb": NOTEBOOK,
                "bo_part1_mlp.ipynb": NOTEBOOK,
            },
            ["ann", "bo"],
            "",
        ),
    ],
    ids=["canvas", "alone", "display name", "file name", "two entries", "two forms", "metadata"],
)
def test_no_name_that_a_student_chooses_takes_what_is_anothers(
    course, export, files, students, sentence
):
    uploads = plan(course, export(files))
    assert [upload.student for upload in uploads if upload.student] == students
    remarks = [remark for upload in uploads if not upload.student for remark in upload.remarks]
    assert bool(remarks) == bool(sentence) and all(sentence in remark for remark in remarks)


def test_a_name_at_gradescope_is_not_anothers_address(course, export):
    metadata = METADATA | {"submission_3": {":submitters": [{":name": "ann@uni.edu"}]}}
    files = GRADESCOPE | {
        "submission_metadata.yml": yaml.safe_dump(metadata | {"submission_4": {}}).encode(),
        "submission_3/part1_mlp.ipynb": OTHER,
        "submission_4/part1_mlp.ipynb": OTHER,
    }
    uploads = plan(course, export(files))
    assert [upload.student for upload in uploads] == ["8", "cy@uni.edu", None]
    lost, claimed = uploads[-1].remarks
    assert "submission_4/" in lost and "'ann@uni.edu' is claimed in different ways" in claimed


def test_a_pattern_of_ones_own_names_the_students(course, export):
    path = export(
        {
            f"{folder}/part1_mlp.ipynb": NOTEBOOK
            for folder in ("group A/2026 ann", "group B/2026 bo", "README")
        }
    )
    uploads = plan(course, path, r"group \w/\d+ (?P<student>\w+)/")
    assert [upload.student for upload in uploads] == ["ann", "bo", None]
    assert "README/part1_mlp.ipynb" in uploads[2].remarks[0]


@pytest.mark.parametrize(
    "pattern, sentence",
    [("(", "is no regular expression"), (r"(\w+)/", "no group for the student")],
)
def test_a_pattern_that_names_no_student_is_reported_in_one_sentence(
    course, export, pattern, sentence
):
    with pytest.raises(CourseError, match=sentence):
        plan(course, export({"ann/part1_mlp.ipynb": NOTEBOOK}), pattern)


@pytest.mark.parametrize(
    "name, folder",
    [
        ("-rf", "rf"),
        ("Jane Doe", "Jane-Doe"),
        ("Zoë", "Zoe"),
        ("O'Brien", "OBrien"),
        ("李雷", "student-[0-9a-f]{8}"),
        ("a;b", "a-b"),
        ("x" * 101, "x{60}"),
        ("con.", "con"),
        ("~", "student-[0-9a-f]{8}"),
    ],
)
def test_a_folder_is_made_of_any_name_and_stays(course, export, name, folder):
    path = export({f"{name}_part1_mlp.ipynb": NOTEBOOK, "bo_part1_mlp.ipynb": NOTEBOOK})
    collect(course, path)
    (made,) = {*course.students()} - {"bo"}
    assert re.fullmatch(folder, made)
    again = plan(course, export({f"{name}/part1_mlp.ipynb": OTHER}, name="again.zip"))
    assert [(upload.student, upload.parts) for upload in again] == [(made, {"part1_mlp": "older"})]


def test_two_students_never_share_a_folder(course, export):
    (course.folder / "submitted/Cy").mkdir(parents=True)
    uploads = plan(
        course, export({f"{name}/part1_mlp.ipynb": NOTEBOOK for name in ("ann", "Ann", "bo", "cy")})
    )
    assert [upload.student for upload in uploads] == ["bo", None]
    assert ["would share a folder" in remark for remark in uploads[1].remarks] == [True] * 2


def test_what_stands_in_a_students_folder_does_not_say_whose_it_is(course, export):
    forged = {
        "submission_metadata.yml": GRADESCOPE["submission_metadata.yml"],
        "submission_1/part1_mlp.ipynb": OTHER,
        "bo_12_34_part1_mlp.ipynb": OTHER,
        "Bo_8_assignsubmission_file_/part1_mlp.ipynb": OTHER,
    }
    for files, student in (
        ({f"mallory/{name}": content for name, content in forged.items()}, "mallory"),
        ({"mallory.zip": zipped(forged)}, "mallory"),
        (
            {f"M_66_assignsubmission_file_/{name}": content for name, content in forged.items()},
            "66",
        ),
        ({"m_66_1_work.zip": zipped(forged)}, "66"),
        ({"mallory.zip": zipped({"bo/part1_mlp.ipynb": OTHER})}, "mallory"),
        ({"M_66_assignsubmission_file_/bo/part1_mlp.ipynb": OTHER}, "66"),
    ):
        assert [upload.student for upload in plan(course, export(files))] == [student]


def test_the_time_in_gradescopes_metadata_is_written_as_nbgrader_reads_it(course, export):
    collect(course, export(GRADESCOPE))
    assert submitted(course, "ann@uni.edu")["timestamp.txt"] == b"2026-02-01 10:00:00 UTC"
    written = submitted(course, "cy@uni.edu")["timestamp.txt"].decode()
    assert parse_utc(written) == datetime(2026, 2, 2, 11)


def test_another_system_is_one_layout_more(course, export, monkeypatch):
    path = export({"Ex_7_ann_/part1_mlp.ipynb": NOTEBOOK, "Ex_7_bo_/work.zip": b"no zip"})
    assert [upload.student for upload in plan(course, path)] == ["Ex_7_ann_", "Ex_7_bo_"]
    another = Layout("Ilias", (re.compile(r"Ex_\d+_(?P<student>[a-z]+)_/"),))
    known = systems.layouts()
    monkeypatch.setattr(systems, "layouts", lambda: (*known, another))
    ann, bo = plan(course, path)
    assert (ann.student, bo.student) == ("ann", "bo") and ann.source == "Ilias: Ex_7_ann_"


PEOPLE = [("Ann Lee", 12345, "annlee"), ("José O'Brien", 222, "jobrien"), ("李雷", 333, "leilei")]
NUMBERS, LOGINS = ["12345", "222", "333"], ["annlee", "jobrien", "leilei"]
ADDRESSES = [f"{login}@uni.edu" for login in LOGINS]
MADE = ["Ann-Lee", "Jose-OBrien", "student-3a47328a"]
SAID, ENTRY = datetime(2026, 3, 1, 11, 30, 5), datetime(2026, 3, 1, 12)  # by the system, by the zip


@pytest.mark.parametrize(
    "system, students, when",
    [
        ("canvas", NUMBERS, ENTRY),
        ("moodle", NUMBERS, ENTRY),
        ("moodle_flat", NUMBERS, ENTRY),
        ("gradescope", ADDRESSES, SAID.replace(tzinfo=UTC)),
        ("blackboard", LOGINS, SAID),
        ("brightspace", NUMBERS, SAID.replace(second=0)),
        ("google", MADE, ENTRY),
        ("sakai", LOGINS, SAID.replace(tzinfo=UTC)),
        ("github", LOGINS, SAID.replace(tzinfo=UTC)),
        ("teams", MADE, ENTRY),
        ("folders", MADE, ENTRY),
    ],
)
@pytest.mark.parametrize("unpacked", [False, True])
def test_each_systems_export_says_who_and_when(course, export, system, students, when, unpacked):
    path = export(
        getattr(exports, system)(PEOPLE), name="HW 1-20260301T113005Z-001.zip", folder=unpacked
    )
    path = path / "HW 1" if unpacked and system == "google" else path
    uploads = plan(course, path)
    assert sorted(upload.student for upload in uploads) == sorted(students)
    for upload in uploads:
        assert upload.parts == {"part1_mlp": "new"}
        assert upload.timestamp.timestamp() == when.timestamp()
        assert upload.files["part1_mlp.ipynb"].sha256 == sha256(NOTEBOOK).hexdigest()
    if system != "folders":
        names = {upload.handed_in.name for upload in uploads}
        assert "李雷" in names or "李雷, 李雷" in names


def test_the_commands_help_and_the_guide_name_all_systems(capsys):
    with pytest.raises(SystemExit):
        main(["course", "collect", "--help"])
    told = " ".join(capsys.readouterr().out.split())
    guide = page("instructors.md")
    for layout in systems.layouts():
        assert layout.name in told and f"| {layout.name} |" in guide, layout.name


def test_a_group_before_everybodys_name_in_moodles_export_is_no_name(course, export):
    names = {"Lab-2-Ann Lee": "Ann Lee", "Lab-2-Jean-Luc Ó": "Jean-Luc Ó"}
    files = exports.moodle([(name, n, "") for n, name in enumerate(names, start=1)])
    uploads = plan(course, export(files))
    assert {upload.handed_in.name for upload in uploads} == {*names.values()}
    assert {name.partition("_")[0] for upload in uploads for name in upload.handed_in.sent_as} == {
        *names
    }
    alone = plan(course, export(exports.moodle([("Jean-Luc Ó", 1, "")])))
    assert [upload.handed_in.name for upload in alone] == ["Jean-Luc Ó"]


@pytest.mark.parametrize("system", ["blackboard", "brightspace"])
def test_of_several_attempts_the_last_one_counts(course, export, system):
    make = getattr(exports, system)
    times = {
        "blackboard": ("2026-03-02-09-00-00", "2026-03-01-09-00-00"),
        "brightspace": ("Mar 2, 2026 112 PM", "Mar 1, 2026 900 AM"),
    }[system]
    files = make(PEOPLE, times[0], NOTEBOOK) | make(PEOPLE, times[1], OTHER)
    uploads = plan(course, export(files))
    assert len(uploads) == 3
    for upload in uploads:
        assert upload.timestamp.astimezone().day == 2
        assert upload.files["part1_mlp.ipynb"].sha256 == sha256(NOTEBOOK).hexdigest()
        assert times[0] in upload.handed_in.sent_as[0]
    if system == "brightspace":
        assert {upload.timestamp.astimezone().hour for upload in uploads} == {13}


def test_a_note_of_blackboards_is_not_written_by_a_student(course, export):
    forged = "HW 1_mallory_attempt_2026-03-01-11-30-05_HW 1_annlee_attempt_2026-03-01-11-30-05"
    files = exports.blackboard(PEOPLE) | {
        f"{forged}.txt": b"Name: Ann Lee (annlee)\n",
        f"{forged}_part1_mlp.ipynb": OTHER,
    }
    found = {upload.student: upload for upload in plan(course, export(files))}
    assert {*found} == {*LOGINS, "mallory"}
    assert found["annlee"].files["part1_mlp.ipynb"].sha256 == sha256(NOTEBOOK).hexdigest()


def test_what_canvas_calls_late_is_late_and_nothing_else_is(course, export):
    settings = course.folder / "course.toml"
    due = '[[assignment]]\nname = "pusht"\ndue = 2026-02-27T12:00:00Z\n'
    settings.write_text(settings.read_text() + due)
    uploads = plan(open_course(course.folder), export(exports.canvas(PEOPLE, late=("annlee",))))
    late = {
        upload.student: upload.timestamp > datetime(2026, 2, 27, 12, tzinfo=UTC)
        for upload in uploads
    }
    assert late == {"12345": True, "222": False, "333": False}
    assert ["late" in " ".join(upload.remarks) for upload in uploads] == [True, False, False]


@pytest.mark.parametrize("inner", ["all_parts.zip", "Untitled.ipynb"])
def test_one_students_own_folder_or_zip_is_that_students(course, export, inner):
    content = zipped({"part1_mlp.ipynb": NOTEBOOK}) if inner.endswith(".zip") else NOTEBOOK
    folder = "Ann Lee_1234567_assignsubmission_file_"
    for path in (
        export({f"{folder}/{inner}": content}),
        export({f"{folder}/{inner}": content}, folder=True),
        export({f"{folder}/{inner}": content}, folder=True) / folder,
        export({inner: content}, name=f"{folder}.zip"),
    ):
        (upload,) = plan(course, path)
        assert (upload.student, upload.parts) == ("1234567", {"part1_mlp": "new"})


@pytest.mark.parametrize(
    "metadata", [b"a: [", b"- 1", b"submission_1: {}", b"!!python/object/apply:os.system [ls]"]
)
def test_metadata_of_gradescope_that_cannot_be_read_is_reported_in_one_sentence(
    course, export, metadata
):
    with pytest.raises(CourseError, match="submission_metadata.yml of the export cannot be read"):
        plan(course, export(GRADESCOPE | {"submission_metadata.yml": metadata}))


def moodles_assignment(first, people=PEOPLE, notebook=NOTEBOOK, part="part1_mlp"):
    """An export of one of Moodle's assignments, whose numbers of the participants are its own."""
    return {
        f"{name}_{number}_assignsubmission_file/{part}.ipynb": notebook
        for number, (name, *_) in enumerate(people, start=first)
    }


@pytest.mark.parametrize("roster", ["", "id,name\nu7,Ann Lee\nu8,José O'Brien\nu9,李雷\n"])
def test_moodles_number_of_a_participant_is_another_one_in_each_assignment(course, export, roster):
    if roster:
        (course.folder / "roster.csv").write_text(roster, encoding="utf-8")
    course = open_course(course.folder)
    second = ANSWERED["part2_cvae"].encode()
    collect(course, export(moodles_assignment(501)))
    students = course.students()
    assert len(students) == 3
    uploads = plan(course, export(moodles_assignment(801, PEOPLE[1:], second, "part2_cvae")))
    assert [upload.student for upload in uploads] == sorted(students)[-2:], uploads
    collect(course, export(moodles_assignment(801, PEOPLE[1:], second, "part2_cvae")))
    assert course.students() == students
    again = plan(course, export(moodles_assignment(501)))
    assert [upload.parts for upload in again] == [{"part1_mlp": "unchanged"}] * 3


DUE = """time_zone = "Pacific/Auckland"
[[assignment]]
name = "pusht"
due = 2026-03-01T11:00:00
late = { per_day = 0.1, grace_minutes = 15, none_after_days = 5 }
"""
WORKSHEET = (
    'Identifier,"Full name","Email address",Status,Grade,"Last modified (submission)"\n'
    '"Participant 501","Ann Lee",ann@uni.edu,x,,"Sunday, 1 March 2026, 10:59 AM"\n'
    '"Participant 502","José O\'Brien",jose@uni.edu,x,,"Tuesday, 3 March 2026, 1:05 PM"\n'
    '"Participant 503",李雷,li@uni.edu,x,,"Sunday, 1 March 2026, 11:01"\n'
    '"Participant 504",Bo,bo@uni.edu,x,,-\n'
)


@pytest.fixture
def due_course(course):
    settings = course.folder / "course.toml"
    settings.write_text(settings.read_text() + DUE)
    return open_course(course.folder)


def late(course, uploads):
    """How many seconds late each upload is."""
    due = course.assignments[0].due
    return {upload.student: (upload.timestamp - due).total_seconds() for upload in uploads}


def test_nobody_is_late_by_the_time_at_which_moodles_zip_was_downloaded(due_course, export, capsys):
    path = export(moodles_assignment(501), day=20)
    assert {*late(due_course, plan(due_course, path)).values()} == {0}
    run_collect(due_course.folder, path, preview=True)
    assert "nobody counts as late" in capsys.readouterr().out


def test_moodles_worksheet_says_when_and_who(due_course, export, tmp_path):
    roster = "id,name,email\nu1,Ann Lee,ann@uni.edu\nu2,Ann Lee,other@uni.edu\n"
    (due_course.folder / "roster.csv").write_text(roster)
    course, worksheet = open_course(due_course.folder), tmp_path / "worksheet.csv"
    worksheet.write_text(WORKSHEET, encoding="utf-8-sig")
    path = export(moodles_assignment(501), day=20)
    found = late(course, plan(course, path, worksheet=worksheet))
    assert found == {"u1": -60, "502": (2 * 24 + 2) * 3600 + 300, "503": 60}
    *_, told = plan(course, path)
    assert "may be Ann Lee (u1) and Ann Lee (u2)" in told.remarks[0]


@pytest.mark.parametrize(
    "text, files, sentence",
    [
        (WORKSHEET.replace("Last modified (", "Zuletzt ("), moodles_assignment(501), "no column"),
        (WORKSHEET.replace("Sunday", "Sonntag"), moodles_assignment(501), "line 2: 'Sonntag"),
        (WORKSHEET, moodles_assignment(601), "of another assignment"),
        (WORKSHEET, exports.canvas(PEOPLE), "for an export of Moodle's"),
    ],
)
def test_a_worksheet_that_cannot_be_used_is_one_sentence(course, export, text, files, sentence):
    worksheet = course.folder / "worksheet.csv"
    worksheet.write_text(text, encoding="utf-8")
    with pytest.raises(CourseError, match=re.escape(sentence)):
        plan(course, export(files), worksheet=worksheet)


def test_what_canvas_calls_late_is_just_late_and_comes_again(due_course, export):
    ann = PEOPLE[:1]
    path = export(exports.canvas(ann, late=("annlee",)), day=20)
    collect(due_course, path)
    (upload,) = plan(due_course, path)
    assert upload.parts == {"part1_mlp": "unchanged"}
    assert late(due_course, [upload]) == {"12345": 15 * 60 + 1}
    files = dict.fromkeys(exports.canvas(ann, late=("annlee",)), OTHER)
    states = [plan(due_course, export(files, day=day))[0].parts["part1_mlp"] for day in (19, 21)]
    assert states == ["older", "newer"]


def test_times_without_a_zone_are_those_of_the_course(due_course, export):
    uploads = plan(due_course, export(exports.brightspace(PEOPLE)))
    assert {*late(due_course, uploads).values()} == {30 * 60}


def test_what_cannot_be_used_was_sent_for_the_assignment_of_its_export(course, export):
    settings = course.folder / "course.toml"
    tables = '[[assignment]]\nname = "a"\nparts = ["part1_mlp"]\n'
    tables += '[[assignment]]\nname = "b"\nparts = ["part2_cvae"]\n'
    settings.write_text(settings.read_text() + tables)
    for name in ("part1_mlp", "part2_cvae"):
        target = course.folder / "release" / name[4].translate({49: "a", 50: "b"}) / f"{name}.ipynb"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(ANSWERED[name].encode())
    course = open_course(course.folder)
    pdf = "José O'Brien_502_assignsubmission_file/report.pdf"
    collect(course, export(moodles_assignment(501)))
    second = moodles_assignment(801, PEOPLE[:1], ANSWERED["part2_cvae"].encode(), "part2_cvae")
    pdf = pdf.replace("502", "802")
    collect(course, export(second | {pdf: b"%PDF"}))
    known = json.loads((course.folder / "people.json").read_text())
    jose = next(each for each in known.values() if each["name"].startswith("José"))
    assert jose["came_as"]["Moodle"] == {"a": "502", "b": "802"}
