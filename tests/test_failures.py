"""One student's files stop one student: the class goes on, it is told, and it is no zero."""

import contextlib
import csv
import errno
import hashlib
import io
import json
import random
import re
import sqlite3
import struct
import zipfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import replace

import pytest
from courses import create
from exports import ANSWERED, NOTEBOOK, OTHER, made_course, record, submitted, write_export, zipped
from nbgrader.api import Gradebook
from sampled import sampled

from pusht.checkpoint import CheckpointError, load_checkpoint
from pusht.machine import is_of_machine
from score.__main__ import main
from score.course.class_run import grade as class_run
from score.course.class_run import records, workers
from score.course.class_run.grade import grade_course
from score.course.collect import plan as planning
from score.course.collect import planner, write
from score.course.collect.collect import collect
from score.course.collect.layouts import HandedIn
from score.course.collect.plan import plan
from score.course.collect.repair import RepairError, repair
from score.course.collect.repair.pieces import MAX_ALL_CODE, MAX_LINES
from score.course.grading.notebook import Graded
from score.course.grading.results import entries_by_cell, ungraded
from score.course.grading.sanitise.submitted import read_notebook
from score.course.notebooks import build
from score.course.report import similarity
from score.course.report.tables import csv_text, remarks, table
from score.course.settings import ASSIGNMENT, CourseError
from score.rubric import PARTS
from score.submission.archive import MB, Archive, SubmissionError
from score.submission.failures import Failures
from score.verdict import Verdict

PART = PARTS["part1_mlp"]


@pytest.fixture
def course(tmp_path):
    return made_course(tmp_path / "course")


# The place where failures are kept.


def test_a_failure_is_kept_as_one_printable_line_and_the_next_student_comes():
    failures = Failures()
    assert not failures and failures.names() is None
    assert failures.attempt("ann", "collect", int, "x\x1b[2J\ny") is None
    assert failures.attempt("bo", "collect", int, "7") == 7
    (failure,) = failures
    assert failure.sentence.startswith("The grader failed: ValueError: invalid literal for int()")
    assert failure.sentence.isprintable() and "ann" in failures.names()
    assert failures.of("ann", "collect") == [failure] and not failures.of("ann", "similarity")
    with pytest.raises(KeyboardInterrupt):
        failures.attempt("ann", "collect", exec, "raise KeyboardInterrupt")


@pytest.mark.parametrize(
    "error, machines",
    [
        (OSError(errno.ENOSPC, "No space left on device"), True),
        (PermissionError(errno.EACCES, "Permission denied"), True),
        (MemoryError(), True),
        (OSError(errno.EINVAL, "a forged offset"), False),
        (OSError("a damaged stream"), False),
        (ValueError(), False),
    ],
)
def test_a_failure_of_the_machine_says_nothing_about_the_files(error, machines):
    assert is_of_machine(error) == machines


# Collecting.

CLASS = {"mallory/part1_mlp.ipynb": OTHER, "bo/part1_mlp.ipynb": NOTEBOOK}


def fails_at(function, content, error):
    """The function, which raises an error where it is given this content."""

    def failing(given, *others):
        if given == content:
            raise error
        return function(given, *others)

    return failing


def test_where_a_repair_fails_the_others_are_collected_and_it_is_told(
    course, tmp_path, monkeypatch, capsys
):
    export = write_export(tmp_path, CLASS)
    with monkeypatch.context() as patch:
        patch.setattr(write, "repair", fails_at(repair, OTHER, KeyError("a bug")))
        with pytest.raises(SystemExit, match="failed at files of mallory"):
            main(["course", "collect", str(course.folder), str(export)])
    assert "mallory was not collected. The grader failed: KeyError" in capsys.readouterr().out
    assert course.students() == ["bo"] and "part1_mlp.ipynb" in submitted(course, "bo")
    ((student, step, sentence),) = remarks(course)
    assert (student, step) == ("mallory", "collect") and "KeyError" in sentence
    main(["course", "collect", str(course.folder), str(export)])
    assert course.students() == ["bo", "mallory"] and not record(course, "mallory")["failed"]
    assert remarks(course) == []


def test_what_a_student_had_stays_where_the_machine_fails_at_a_new_upload(
    course, tmp_path, monkeypatch
):
    collect(course, write_export(tmp_path, {"mallory/part1_mlp.ipynb": NOTEBOOK}, hour=9))
    before, failures = submitted(course, "mallory"), Failures()
    full, read = OSError(errno.EIO, "Input/output error"), Archive.read

    def reads(archive, member, cap):
        if member.path.startswith("mallory"):
            raise full
        return read(archive, member, cap)

    monkeypatch.setattr(planning.Archive, "read", reads)
    uploads = plan(course, write_export(tmp_path, CLASS, hour=10), failures=failures)
    assert [upload.taken for upload in uploads] == [["part1_mlp"], []]
    assert [failure.student for failure in failures] == ["mallory"]
    assert "Left out" not in uploads[1].remarks[0] and submitted(course, "mallory") == before


def test_a_stream_that_the_machine_cannot_read_is_not_a_damaged_file(tmp_path, monkeypatch):
    (tmp_path / "part1_mlp.ipynb").write_bytes(NOTEBOOK)
    with Archive(tmp_path) as archive:
        (member,) = archive.members
        monkeypatch.setattr(
            archive, "_chunks", lambda *_: fails_at(None, 0, OSError(errno.EIO, ""))(0)
        )
        with pytest.raises(OSError):
            archive.read(member, MB)


# Files that stopped a class.


def with_code(code):
    """Part I's notebook with code at the end of its first answer."""
    notebook = json.loads(ANSWERED[PART.name])
    sources = [cell for cell in notebook["cells"] if cell["id"] == "part1-mlp_dims"]
    sources[0]["source"] = "".join(sources[0]["source"]) + "\n" + code
    return json.dumps(notebook).encode()


def with_offset(offset):
    """A zip whose one entry is said to begin at a 64-bit offset."""
    content = bytearray(zipped({"part1_mlp.ipynb": NOTEBOOK}))
    entry = content.rindex(b"PK\x01\x02")
    end = content.rindex(b"PK\x05\x06")
    extra = struct.pack("<HHQ", 1, 8, offset)
    content[entry + 42 : entry + 46] = b"\xff" * 4
    content[entry + 30 : entry + 32] = struct.pack("<H", len(extra))
    content[end + 12 : end + 16] = struct.pack("<I", end - entry + len(extra))
    return bytes(content[:end] + extra + content[end:])


def weights_of_shape(shape):
    moments = {"obs": {"min": [0] * 5, "max": [1] * 5}, "action": {"min": [0] * 2, "max": [1] * 2}}
    numbers = {"losses": [], "num_epochs": 1, "demonstrations": "", "seed": 1, "config": {}}
    size = 0 if 0 in shape else 4
    header = json.dumps(
        {
            "__metadata__": {"pusht_checkpoint": json.dumps(numbers | {"stats": moments})},
            "w": {"dtype": "F32", "shape": shape, "data_offsets": [0, size]},
        }
    ).encode()
    return struct.pack("<Q", len(header)) + header + b"\0" * size


SHAPES = [[1] * 70, [1] * 40, [0, 2**40, 2**40]]
HOSTILE = {
    "a number of 5,000 digits": {"part1_mlp.ipynb": with_code("x = 0x" + "f" * 5000)},
    "a zip64 offset": {"all.zip": with_offset(2**64 - 2)},
    "a second notebook without source": {
        "part1_mlp.ipynb": NOTEBOOK,
        "part2_cvae.ipynb": json.dumps({"cells": [{"cell_type": "code"}], "nbformat": 4}).encode(),
    },
    "a second notebook of nulls": {
        "part1_mlp.ipynb": NOTEBOOK,
        "part2_cvae.ipynb": b'{"cells": [null], "nbformat": 4}',
    },
    "a second notebook nested deep": {
        "part1_mlp.ipynb": NOTEBOOK,
        "part2_cvae.ipynb": b'{"cells": ' + b"[" * 10**5 + b"]" * 10**5 + b"}",
    },
} | {
    f"weights of {len(shape)} dimensions": {
        "part1_mlp.ipynb": NOTEBOOK,
        "part1_mlp.safetensors": weights_of_shape(shape),
        "src/model.py": b"",
        "exp/mse/policy.safetensors": weights_of_shape(shape),
    }
    for shape in SHAPES
}


@pytest.mark.parametrize("files", HOSTILE.values(), ids=HOSTILE)
def test_files_that_stopped_a_class_stop_nobody(course, tmp_path, files):
    export = {f"mallory/{name}": content for name, content in files.items()}
    failures = Failures()
    written = collect(
        course,
        write_export(tmp_path, export | {"bo/part1_mlp.ipynb": NOTEBOOK}),
        failures=failures,
    )
    similarity.find(course, failures=failures)
    assert not failures, [*failures]
    assert "bo" in [upload.student for upload, _ in written]


@pytest.mark.parametrize("shape", SHAPES)
def test_weights_of_an_absurd_shape_are_told_in_a_sentence(tmp_path, shape):
    (tmp_path / "x.safetensors").write_bytes(weights_of_shape(shape))
    with pytest.raises(CheckpointError, match="a shape that no network of this course has"):
        load_checkpoint(tmp_path / "x.safetensors")


def test_an_old_notebook_at_which_nbformat_fails_is_told_in_a_sentence():
    old = {"nbformat": 1, "nbformat_minor": 0, "cells": [{"cell_type": "markdown"}]}
    with pytest.raises(ValueError, match="newcell"):
        read_notebook(json.dumps(old).encode())


# What takes long, or much.


def test_a_million_entries_are_refused_before_any_is_made(tmp_path, monkeypatch):
    entry = struct.pack("<4s4B4HL2L5H2L", b"PK\x01\x02", 20, 3, 20, 0, *[0] * 7, 1, *[0] * 6) + b"x"
    count = 10**6
    size = len(entry) * count
    end64 = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, count, count, size, 0)
    end64 += struct.pack("<4sLQL", b"PK\x06\x07", 0, size, 1)
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, size, 0, 0)
    path = tmp_path / "mallory.zip"
    path.write_bytes(entry * count + end64 + end)

    def made(*_):
        raise AssertionError("an entry was made")

    monkeypatch.setattr(zipfile, "ZipInfo", made)
    with pytest.raises(SubmissionError, match=r"more than 50000 files|larger than 32 MB"):
        Archive(path).__enter__()


def test_entries_over_one_body_are_not_all_unpacked(course, tmp_path):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("part1_mlp.ipynb", b"\n".join(b"%d" % n for n in range(2_700_000)))
        (info,) = archive.infolist()
        info.CRC += 1  # none can be used
        archive.filelist += [info] * 400
    unpacked = unpacked_of(course, tmp_path, packed, 401)  # of 8 GB
    # Newer Pythons do not open entries that overlap.
    assert unpacked > 300 * MB or raises_at_overlap(packed)


def test_entries_that_cannot_be_used_are_not_all_unpacked(course, tmp_path):
    body = random.Random(0).randbytes(50_000) + bytes(20_400_000)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for n in range(40):
            archive.writestr(f"{n}/part1_mlp.ipynb", body)
        for info in archive.infolist():
            info.CRC += 1
    assert unpacked_of(course, tmp_path, packed, 40) > 300 * MB  # of 0.8 GB


def test_a_notebook_is_unpacked_once_to_be_planned(course, tmp_path):
    name = "part1_mlp.ipynb"
    with Archive(write_export(tmp_path, {f"ann/{name}": NOTEBOOK})) as archive:
        before, handed_in = archive.unpacked, HandedIn(archive.members)
        upload = planner.Planner(archive, course, "ann", {}, handed_in).upload()
    assert upload.files[name].sha256 == hashlib.sha256(NOTEBOOK).hexdigest()
    assert archive.unpacked - before == len(NOTEBOOK)


def unpacked_of(course, folder, packed, count):
    """How many bytes are unpacked of a student's zip whose entries cannot be used."""
    with Archive(write_export(folder, {"mallory.zip": packed.getvalue()})) as archive:
        handed_in = HandedIn(archive.members)
        upload = planner.Planner(archive, course, "mallory", {}, handed_in).upload()
    assert not upload.files and f"and {count - 8} more" in upload.remarks[0]
    assert archive.unpacked < 600 * MB
    return archive.unpacked


def raises_at_overlap(packed):
    """Whether this Python opens only one of entries that overlap: the first, or the last."""
    with zipfile.ZipFile(packed) as archive:
        for entry in archive.infolist()[:2]:
            try:
                archive.open(entry).close()
            except zipfile.BadZipFile as error:
                return "verlap" in str(error)
    return False


@pytest.mark.parametrize(
    "cells, beyond",
    [
        ([f"x = {[*range(20_000)]}\n"] * (MAX_ALL_CODE // 100_000), True),
        (["\n" * (MAX_LINES + 1)], True),
        ([f"x = {[*range(20_000)]}\n"], False),
    ],
)
def test_more_code_and_lines_than_a_course_has_are_not_parsed(cells, beyond):
    notebook = json.loads(NOTEBOOK)
    notebook["cells"] += [
        {"cell_type": "code", "metadata": {}, "source": source, "outputs": []} for source in cells
    ]
    with pytest.raises(RepairError, match="500 kB of code or the") if beyond else nullcontext():
        repair(json.dumps(notebook), build.student_notebook(PART))


# Grading.


@pytest.fixture
def graded(tmp_path, monkeypatch):
    """A course of three, and how it is graded: in threads, in no time, mallory's by an error."""
    made = create(tmp_path / "graded", first_seed=20_000, episodes=1)
    for student in ("ann", "bo", "mallory"):
        folder = made.submission(student, made.assignments[0])
        build.write(build.answered_notebook(PART), folder / f"{PART.name}.ipynb")
    (made.submission("bo", made.assignments[0]) / "timestamp.txt").write_text("yesterday")
    errors = {"mallory": MemoryError("none left")}

    def quick(task):
        if task.student in errors:
            raise errors[task.student]
        result = ungraded(task.student, task.part, "Quick.", task.key)
        cells = {name: replace(cell, points=1.0) for name, cell in result.cells.items()}
        return Graded(replace(result, cells=cells, missing=""), {f"{task.part}.ipynb": b"{}"})

    monkeypatch.setattr(class_run, "grade_part", quick)
    with ThreadPoolExecutor(1) as executor:
        monkeypatch.setattr(workers, "processes", lambda *_: nullcontext(executor))
        yield made, errors


def rows(course):
    text = (course.folder / "grades.csv").read_text()
    return {row["student"]: row for row in csv.DictReader(io.StringIO(text))}


def scores(course, student):
    with Gradebook(course.gradebook) as gradebook:
        notebook = gradebook.find_submission_notebook(PART.name, ASSIGNMENT, student)
        return {(grade.auto_score, grade.needs_manual_grade) for grade in notebook.grades}


def test_what_the_grader_fails_at_is_no_zero_and_the_class_goes_on(graded, capsys):
    course, errors = graded
    with pytest.raises(SystemExit, match="failed at files of mallory"):
        main(["course", "grade", str(course.folder), "--jobs", "1"])
    printed = capsys.readouterr().out
    line = next(line for line in printed.split("\n") if line.startswith("mallory "))
    assert line.split()[1] == "–" == line.split()[-1]
    assert "Look at mallory, part1_mlp: The grader failed: MemoryError: none left" in printed
    assert re.search("Look at bo, late work: .*/bo/pusht/timestamp.txt holds no time", printed)
    assert rows(course)["mallory"]["Q1.1"] == "" == rows(course)["mallory"]["total"]
    assert float(rows(course)["ann"]["Q1.1"]) == float(rows(course)["bo"]["Q1.1"]) == 1
    assert scores(course, "mallory") == {(None, True)} and scores(course, "bo") == {(1.0, False)}
    assert "The grader failed: MemoryError" in (course.folder / "report.html").read_text()
    page = course.folder / "feedback" / "mallory" / ASSIGNMENT / "feedback.html"
    assert "through no fault of yours" in page.read_text() and "none left" not in page.read_text()
    errors.clear()
    main(["course", "grade", str(course.folder), "--jobs", "1"])
    assert float(rows(course)["mallory"]["Q1.1"]) == 1


@pytest.mark.parametrize("step", ["is_stale", "task", "record", "merge", "feedback", "standing"])
def test_each_step_over_the_class_fails_for_one_student_alone(graded, monkeypatch, step):
    course, errors = graded
    errors.clear()
    owner = {
        "is_stale": class_run._Plan,
        "task": class_run._Plan,
        "merge": records.gradebook,
        "feedback": records.hand_back,
    }.get(step, records)
    function = getattr(owner, step)

    def failing(*arguments):
        if any("mallory" in (each, getattr(each, "student", 0)) for each in _flat(arguments)):
            raise RuntimeError("a bug")
        return function(*arguments)

    monkeypatch.setattr(owner, step, failing)
    failures = Failures()
    verdicts = grade_course(course, failures=failures)
    assert {failure.student for failure in failures} == {"mallory"}
    assert {student: row["Q1.1"] for student, row in rows(course).items()} == {
        "ann": "1.00",
        "bo": "1.00",
        "mallory": "1.00" if step == "feedback" else "",
    }
    assert "mallory" in table(verdicts)
    report = (course.folder / "report.html").read_text()
    assert "The grader failed: RuntimeError: a bug" in report


def _flat(arguments):
    for each in arguments:
        yield each if isinstance(each, str) else getattr(each, "result", each)


DAMAGED = {
    "half": b'{"parts"',
    "another's": b"[]",
    "bytes": b"\xff",
    "deep": b"[" * 10**5,
    "types": b'{"student": "mallory", "part": "part1_mlp", "parts": {"part1_mlp": 3}}',
}


@pytest.mark.parametrize("damage", sampled(DAMAGED, ["half", "types"]))
def test_damaged_files_are_named_and_stop_nobody(graded, capsys, damage):
    course, errors = graded
    errors.clear()
    content = DAMAGED[damage]
    grade_course(course)
    before = rows(course)
    result = course.folder / "results" / "mallory" / f"{PART.name}.json"
    record = course.folder / "repairs" / "mallory.json"
    record.parent.mkdir(exist_ok=True)
    result.write_bytes(content)
    record.write_bytes(content)
    grade_course(course, ["ann"])
    assert rows(course)["mallory"]["Q1.1"] == "" and rows(course)["ann"] == before["ann"]
    assert f"{result} is damaged" in (course.folder / "report.html").read_text()
    failures = Failures()
    grade_course(course, failures=failures)
    assert f"{result} is damaged: the notebook is graded again" in capsys.readouterr().out
    (sentence,) = {failure.sentence for failure in failures}
    assert f"{record} is damaged" in sentence and "move it away" in sentence
    assert {**rows(course)["mallory"], "look_at": ""} == {**before["mallory"], "look_at": ""}


def test_a_gradebook_that_is_lost_is_made_again_with_the_grades_by_hand(graded):
    course, errors = graded
    errors.clear()
    grade_course(course)
    with Gradebook(course.gradebook) as gradebook:
        grade = gradebook.find_grade("part1-q1_1", PART.name, ASSIGNMENT, "bo")
        grade.manual_score, grade.extra_credit = 0.5, 0.25
        comment = gradebook.find_comment("part1-bc_loss", PART.name, ASSIGNMENT, "bo")
        comment.manual_comment = "Read again."
        gradebook.db.commit()
    grade_course(course)
    before = (course.folder / "grades.csv").read_bytes()
    database = course.folder / "gradebook.db"
    for lose in (database.unlink, lambda: database.write_bytes(b"")):
        lose()
        grade_course(course, ["ann"])
        assert (course.folder / "grades.csv").read_bytes() == before
    with Gradebook(course.gradebook) as gradebook:
        comment = gradebook.find_comment("part1-bc_loss", PART.name, ASSIGNMENT, "bo")
        assert comment.manual_comment == "Read again."


def test_a_gradebook_that_cannot_be_used_is_told_in_a_sentence(graded):
    course, errors = graded
    errors.clear()
    grade_course(course)
    database, results = course.folder / "gradebook.db", course.folder / "results"
    whole, kept = database.read_bytes(), sorted(results.rglob("*.json"))
    with contextlib.closing(sqlite3.connect(database)) as other:
        other.execute("begin exclusive")
        with pytest.raises(CourseError, match="in use by another program"):
            grade_course(course)
    for damaged in (b"no database" * 1000, whole[:4096] + bytes(len(whole) - 4096)):
        database.write_bytes(damaged)
        with pytest.raises(CourseError, match="If it is damaged, move it away|if it is damaged"):
            grade_course(course)
    assert sorted(results.rglob("*.json")) == kept


@pytest.mark.parametrize("failing", [1, 3, 100])
def test_where_no_process_can_be_started_the_others_are_graded(failing):
    opened = iter(range(1000))

    @contextlib.contextmanager
    def executor():
        if next(opened) < failing:
            raise OSError(errno.EAGAIN, "Resource temporarily unavailable")
        with ThreadPoolExecutor(1) as one:
            yield one

    outcomes = dict(workers.completed(str, [1, 2, 3], executor, 2))
    if failing < 100:
        assert outcomes == {1: "1", 2: "2", 3: "3"}
    else:
        assert {*outcomes} == {1, 2, 3} and all(isinstance(o, OSError) for o in outcomes.values())


def test_a_damaged_record_of_repairs_stops_no_report(graded):
    course, errors = graded
    errors.clear()
    (course.folder / "repairs").mkdir(exist_ok=True)
    (course.folder / "repairs" / "mallory.json").write_text('{"parts"')
    failures = Failures()
    grade_course(course, failures=failures)
    assert {failure.student for failure in failures} == {"mallory"}
    assert rows(course)["mallory"]["Q1.1"] == "1.00" and {*rows(course)} == {"ann", "bo", "mallory"}


def test_a_late_penalty_is_not_known_where_points_are_not():
    cells = entries_by_cell(PARTS["part1_mlp"])
    known = {("ann", "part1_mlp", cell): Verdict("Q", 1.0, 1.0, "") for cell in cells}
    open_ = {("bo", "part1_mlp", cell): None for cell in cells}
    penalties = {"ann": 0.5, "bo": 0.0}
    text = csv_text({"part1_mlp": PARTS["part1_mlp"]}, known | open_, penalties, [])
    ann, bo = csv.DictReader(io.StringIO(text))
    assert (ann["late_penalty"], bo["late_penalty"], bo["total"]) == ("0.50", "", "")
    (row,) = (row for row in table(known | open_, penalties).splitlines() if row.startswith("bo"))
    assert row.split()[-2:] == ["–", "–"]
