"""Exports of an LMS into a course: what is taken, what replaces what, and that nothing hostile gets
in.
"""

import hashlib
import json
import os
import random
import re
import shutil
import stat
import tarfile
import zipfile
from functools import partial

import nbformat
import pytest
import torch
from courses import create
from exports import (
    ANSWERED,
    NOTEBOOK,
    OTHER,
    laid_out,
    local,
    made_course,
    record,
    submitted,
    tarred,
    tree,
    write_export,
    zipped,
)
from test_repair import (
    MANGLINGS,
    _texts,
    as_colab_saves_it,
    delete_locked,
    foreign_metadata,
    lose_metadata,
    merge,
)

from pusht.checkpoint import Checkpoint
from pusht.dataset import get_data_stats
from pusht.networks import ResidualMLP
from score import rubric
from score.course.class_run.grade import grade_course
from score.course.collect import planner, write
from score.course.collect.collect import collect, format_plan, run_collect
from score.course.collect.plan import plan
from score.course.collect.stored import time_stamp
from score.course.notebooks import build
from score.course.settings import ASSIGNMENT, CourseError
from score.submission import archive
from score.submission import files as taken_files
from score.submission.archive import utc
from score.submission.failures import Failures

PART1 = rubric.PARTS["part1_mlp"]


@pytest.fixture
def course(tmp_path):
    return made_course(tmp_path / "course")


@pytest.fixture
def export(tmp_path):
    return partial(write_export, tmp_path)


@pytest.mark.parametrize(
    "content, sentence",
    [
        (None, "There is no "),
        (b"text", "neither a folder nor a zip"),
        (b"PK\x03\x04" + b"\0" * 99, "neither a folder nor a zip"),
    ],
)
def test_an_export_that_cannot_be_read_is_reported_in_one_sentence(
    course, tmp_path, content, sentence
):
    path = tmp_path / "export.zip"
    if content:
        path.write_bytes(content)
    with pytest.raises(CourseError, match=sentence):
        plan(course, path)


def test_a_course_without_a_release_is_reported_in_one_sentence(course, export):
    shutil.rmtree(course.folder / "release")
    with pytest.raises(CourseError, match="course release"):
        plan(course, export({"ann/part1_mlp.ipynb": NOTEBOOK}))


def test_the_preview_writes_nothing_and_says_what_would_be_done(course, export, capsys):
    files = {"ann/part1_mlp.ipynb": NOTEBOOK, "ann/numpy.py": b"evil", "bo/notes.txt": b"x"}
    path, before = export(files), tree(course.folder)
    run_collect(course.folder, path, preview=True)
    printed = capsys.readouterr().out.splitlines()
    assert tree(course.folder) == before
    assert re.match(r"ann  2026-.* UTC  part1_mlp new  \(folders and files: ann\)$", printed[0])
    assert printed[1] == "    Left out: ann/numpy.py."
    assert printed[2] == "bo   nothing usable  (folders and files: bo)"
    assert printed[3] == "    Handed in notes.txt, which is no notebook."
    assert printed[4] == "    Left out: bo/notes.txt."
    assert printed[-2] == "Students: taken 1, incomplete 0, nothing usable 1."
    assert printed[-1] == "Nothing was written: this was a preview."


def test_collecting_writes_the_repaired_notebook_its_original_and_its_repairs(
    course, export, capsys
):
    notebook = json.loads(NOTEBOOK)
    as_colab_saves_it(notebook, random.Random(0), PART1)
    came = json.dumps(notebook).encode()
    path = export(
        {
            "ann/Copy of Copy of part1_mlp (2).ipynb": came,
            "ann/part1_mlp.safetensors": b"weights",
            "ann/part4_mse_log.csv": b"step\n1\n",
        }
    )
    run_collect(course.folder, path)
    got = submitted(course, "ann")
    assert {*got} == {
        "part1_mlp.ipynb",
        "part1_mlp.safetensors",
        "part4_mse_log.csv",
        "timestamp.txt",
    }
    repaired = nbformat.reads(got["part1_mlp.ipynb"].decode(), as_version=4)
    assert repaired == build.answered_notebook(PART1)
    assert got["part1_mlp.safetensors"] == b"weights" and b"Ann Lee" not in got["part1_mlp.ipynb"]
    assert (course.folder / "originals/ann/part1_mlp.ipynb").read_bytes() == came
    parts = record(course, "ann")["parts"]
    part1 = parts["part1_mlp"]
    assert part1["files"]["part1_mlp.ipynb"]["from"] == "ann/Copy of Copy of part1_mlp (2).ipynb"
    assert part1["refused"] is None
    assert any("executionInfo" in sentence for sentence in part1["repairs"])
    assert "part4_flow.ipynb was not handed in" in parts["part4_flow"]["refused"]
    assert "ann, part1_mlp: Names and photos that Colab keeps" in capsys.readouterr().out
    assert not [name for name in tree(course.folder) if ".part" in name or ".old" in name]


@pytest.mark.parametrize("folder", [False, True])
def test_without_metadata_the_time_is_that_of_the_zips_entry_or_of_the_file(course, export, folder):
    # The dates inside are of the student's own clock, which does not count.
    inner = zipped({"part1_mlp.ipynb": NOTEBOOK}, hour=3)
    (upload,) = plan(course, export({"ann.zip": inner}, hour=15, folder=folder))
    assert upload.timestamp.timestamp() == local(15)


def test_a_zip_without_dates_has_that_of_its_file(course, export):
    path = export({zipfile.ZipInfo("ann/part1_mlp.ipynb"): NOTEBOOK})
    os.utime(path, (local(9),) * 2)
    assert plan(course, path)[0].timestamp.timestamp() == local(9)


def test_a_later_upload_replaces_and_what_it_replaces_is_kept(course, export):
    collect(course, export({"ann/part1_mlp.ipynb": OTHER}, hour=10))
    before = submitted(course, "ann")
    path = export({"ann/part1_mlp.ipynb": NOTEBOOK}, hour=11)
    assert plan(course, path)[0].parts == {"part1_mlp": "newer"}
    collect(course, path)
    assert submitted(course, "ann")["part1_mlp.ipynb"] != before["part1_mlp.ipynb"]
    assert (course.folder / "originals/ann/part1_mlp.ipynb").read_bytes() == NOTEBOOK
    (kept,) = (course.folder / "replaced/ann").iterdir()
    assert {path.name: path.read_bytes() for path in (kept / ASSIGNMENT).iterdir()} == before
    assert (kept / "originals/part1_mlp.ipynb").read_bytes() == OTHER
    assert (kept / "repairs.json").exists()


def test_an_earlier_upload_and_one_of_the_same_time_replace_nothing(course, export):
    collect(course, export({"ann/part1_mlp.ipynb": NOTEBOOK}, hour=10))
    before = tree(course.folder)
    for hour in (9, 10):
        path = export({"ann/part1_mlp.ipynb": OTHER}, hour=hour)
        assert plan(course, path)[0].parts == {"part1_mlp": "older"}
        assert collect(course, path) == []
    assert tree(course.folder) == before


def test_the_same_files_again_are_unchanged_whatever_their_date(course, export):
    collect(course, export({"ann/part1_mlp.ipynb": NOTEBOOK}, hour=10))
    path, before = export({"ann/part1_mlp.ipynb": NOTEBOOK}, hour=20), tree(course.folder)
    assert plan(course, path)[0].parts == {"part1_mlp": "unchanged"}
    assert collect(course, path) == [] and tree(course.folder) == before


def test_the_same_files_are_repaired_again_after_a_new_release(course, export):
    path = export({"ann/part1_mlp.ipynb": NOTEBOOK}, hour=10)
    collect(course, path)
    released = course.folder / "release" / ASSIGNMENT / "part1_mlp.ipynb"
    released.write_text(
        nbformat.writes(build.student_notebook(PART1, "https://example.edu/pusht-kit.zip"))
    )
    assert plan(course, path)[0].parts == {"part1_mlp": "again"}
    collect(course, path)
    assert b"https://example.edu/pusht-kit.zip" in submitted(course, "ann")["part1_mlp.ipynb"]
    assert submitted(course, "ann")["timestamp.txt"] == time_stamp(utc(local(10))).encode()


def test_parts_that_come_in_exports_of_their_own_stand_beside_each_other(course, export):
    collect(course, export({"ann/part2_cvae.ipynb": ANSWERED["part2_cvae"].encode()}, hour=12))
    collect(course, export({"ann/part1_mlp.ipynb": NOTEBOOK}, hour=10))
    assert {*submitted(course, "ann")} == {"part1_mlp.ipynb", "part2_cvae.ipynb", "timestamp.txt"}
    assert submitted(course, "ann")["timestamp.txt"] == time_stamp(utc(local(12))).encode()
    assert not (course.folder / "replaced").exists()


def test_what_a_later_upload_forgets_stays_and_is_named(course, export):
    collect(course, export({"ann/part1_mlp.ipynb": NOTEBOOK}, hour=10))
    path = export({"ann/part1_mlp.safetensors": b"weights"}, hour=11)
    assert "Stays from before: part1_mlp.ipynb." in plan(course, path)[0].remarks
    collect(course, path)
    assert {*submitted(course, "ann")} == {
        "part1_mlp.ipynb",
        "part1_mlp.safetensors",
        "timestamp.txt",
    }
    assert record(course, "ann")["parts"]["part1_mlp"]["refused"] is None


def test_a_submission_that_was_laid_out_by_hand_counts_by_its_date(course, export):
    laid_out(
        course.folder / "submitted/ann" / ASSIGNMENT,
        {"part1_mlp.ipynb": OTHER, "mine.txt": b"a note"},
        local(10),
    )
    assert plan(course, export({"ann/part1_mlp.ipynb": NOTEBOOK}, hour=9))[0].parts == {
        "part1_mlp": "older"
    }
    collect(course, export({"ann/part1_mlp.ipynb": NOTEBOOK}, hour=11))
    assert submitted(course, "ann")["mine.txt"] == b"a note"
    assert len([*(course.folder / "replaced/ann").iterdir()]) == 1


@pytest.mark.parametrize("hours, taken", [((9, 10), 1), ((10, 9), 0), ((9, 9), 1)])
def test_of_two_copies_the_newer_or_else_the_larger_is_taken_and_that_is_said(
    course, export, hours, taken
):
    names, contents = ["ann/part1_mlp.ipynb", "ann/Copy of part1_mlp.ipynb"], [OTHER, NOTEBOOK]
    files = {
        zipfile.ZipInfo(name, (2026, 3, 1, hour, 0, 0)): content
        for name, hour, content in zip(names, hours, contents, strict=True)
    }
    (upload,) = plan(course, export(files))
    assert upload.files["part1_mlp.ipynb"].sha256 == hashlib.sha256(contents[taken]).hexdigest()
    assert upload.remarks == [
        (
            f"part1_mlp.ipynb is {names[taken]}, the newer or else the larger one, not"
            f" {names[1 - taken]}."
        )
    ]


@pytest.mark.parametrize(
    "name, taken",
    [
        ("part1_mlp.ipynb", "part1_mlp.ipynb"),
        ("Copy of Copy of part1_mlp (2).ipynb", "part1_mlp.ipynb"),
        ("part1_mlp - Copy.ipynb", "part1_mlp.ipynb"),
        ("part1_mlp-Copy1.ipynb", "part1_mlp.ipynb"),
        ("Kopie von part1_mlp.ipynb", "part1_mlp.ipynb"),
        ("PART1_MLP_LATE.ipynb", "part1_mlp.ipynb"),
        ("part1_mlp.ipynb.txt", "part1_mlp.ipynb"),
        ("part1_mlp_final.ipynb", "part1_mlp.ipynb"),
        ("part4_flow (1).safetensors", "part4_flow.safetensors"),
        ("part4_flow_log-1.csv", "part4_flow_log.csv"),
        ("part4_mse_loss.json", "part4_mse_loss.json"),
        ("mlp_combined_vis.mp4", "mlp_combined_vis.mp4"),
        ("numpy.py", None),
        ("part1_mlp.py", None),
        ("part1_mlp_rollouts.mp4", None),
        ("part9_x.ipynb", None),
        ("smart1_mlp.ipynb", None),
        ("spart1_mlp.ipynb", None),
        ("part1_mlp.resume.pt", None),
        ("timestamp.txt", None),
        ("part1_mlp", None),
        (".ipynb_checkpoints/part1_mlp.ipynb", None),
        ("__MACOSX/._part1_mlp.ipynb", None),
        ("part1_mlp.ipynb.exe", None),
    ],
)
def test_only_files_of_the_release_are_taken_whatever_was_added_to_their_names(
    course, export, name, taken
):
    # Without markers in it a file is known by its name alone.
    uploads = plan(course, export({f"ann/{name}": b"{}", "ann/other.txt": b"x"}))
    assert [*uploads[0].files] == ([taken] if taken else [])


def entry(name, mode=0, flags=0):
    info = zipfile.ZipInfo(name, (2026, 3, 1, 12, 0, 0))
    info.external_attr, info.flag_bits = mode << 16, flags
    return info


@pytest.mark.parametrize(
    "files, reason",
    [
        ({"../part1_mlp.ipynb": NOTEBOOK}, "its path leads elsewhere"),
        ({"/etc/part1_mlp.ipynb": NOTEBOOK}, "its path leads elsewhere"),
        ({"C:\\part1_mlp.ipynb": NOTEBOOK}, "its path leads elsewhere"),
        ({"a/..\\..\\bo/part1_mlp.ipynb": NOTEBOOK}, "its path leads elsewhere"),
        ({entry("part1_mlp.ipynb", stat.S_IFLNK | 0o777): b"/etc/passwd"}, "a link"),
        ({entry("part1_mlp.ipynb", stat.S_IFIFO): b""}, "not a regular file"),
        ({"part1_mlp.ipynb": b" " * (21 << 20)}, "larger than 20 MB|more than 500 times"),
        ({"part1_mlp.safetensors": bytes(10 << 20)}, "more than 500 times its packed size"),
        (
            {"2.zip": zipped({"3.zip": zipped({"4.zip": zipped({"part1_mlp.ipynb": NOTEBOOK})})})},
            r"ann\.zip/2\.zip/3\.zip/4\.zip \(a zip in 3 others",
        ),
    ],
    ids=[
        "up",
        "absolute",
        "drive",
        "up in Windows",
        "link",
        "pipe",
        "spaces",
        "zeros",
        "zips in zips",
    ],
)
def test_what_is_hostile_in_a_students_zip_is_not_read_and_is_named(course, export, files, reason):
    uploads = plan(course, export({"ann.zip": zipped(files), "bo/part1_mlp.ipynb": NOTEBOOK}))
    assert [upload.student for upload in uploads] == ["ann", "bo"] and not uploads[0].files
    assert re.search(reason, uploads[0].remarks[0])
    collect(course, export({"ann.zip": zipped(files)}))
    assert not (course.folder / "submitted").exists()


def of_kind(name, kind, target=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


@pytest.mark.parametrize("name", ["work.tar.gz", "work.tgz", "work.tar"])
def test_a_tar_is_opened_as_a_zip_is(course, export, name):
    files = {"a/part1_mlp.ipynb": NOTEBOOK, "b.zip": zipped({"part1_mlp.safetensors": b"weights"})}
    packed = tarred(files, "w" if name.endswith(".tar") else "w:gz")
    for path in (
        export({f"ann/{name}": packed}),
        export({f"ann.{name.partition('.')[2]}": packed}),
    ):
        (upload,) = plan(course, path)
        assert upload.student == "ann" and {*upload.files} == {
            "part1_mlp.ipynb",
            "part1_mlp.safetensors",
        }


@pytest.mark.parametrize(
    "packed, reason",
    [
        (tarred({"../part1_mlp.ipynb": NOTEBOOK}), "its path leads elsewhere"),
        (tarred({of_kind("part1_mlp.ipynb", tarfile.SYMTYPE, "/etc/passwd"): b""}), "a link"),
        (tarred({of_kind("part1_mlp.ipynb", tarfile.LNKTYPE, "other"): b""}), "a link"),
        (tarred({of_kind("part1_mlp.ipynb", tarfile.FIFOTYPE): b""}), "not a regular file"),
        (tarred({"part1_mlp.ipynb": bytes(10 << 20)}), "more than 500 times its packed size"),
        (tarred({"part1_mlp.ipynb": NOTEBOOK})[:-200], "cannot be read"),
        (b"hello", "cannot be read"),
    ],
    ids=["up", "link", "hard link", "pipe", "zeros", "cut off", "no tar"],
)
def test_what_is_hostile_in_a_tar_is_not_read_and_is_named(course, export, packed, reason):
    uploads = plan(course, export({"ann.tar.gz": packed, "bo/part1_mlp.ipynb": NOTEBOOK}))
    assert [upload.student for upload in uploads] == ["ann", "bo"] and not uploads[0].files
    assert reason in uploads[0].nothing


def test_zips_in_a_zip_share_its_room(course, export, monkeypatch):
    inner = zipped({f"{i}.txt": b"x" for i in range(20)})
    path = export(
        {"ann.zip": zipped({"1.zip": inner, "2.zip": inner, "part1_mlp.ipynb": NOTEBOOK})}
    )
    monkeypatch.setattr(archive._Room, "__init__", _of_files(30))
    (upload,) = plan(course, path)
    assert upload.parts == {"part1_mlp": "new"}
    assert any("2.zip" in path and "files together" in reason for path, reason in upload.left)


def _of_files(count):
    def __init__(self):
        self.bytes, self.files, self.depth = archive.ZIP_CAP, count, 0

    return __init__


@pytest.mark.parametrize(
    "name", ["Untitled.ipynb", "Part 1 MLP.ipynb", "part1_mlp (2).ipynb", "part2_cvae.ipynb"]
)
def test_a_notebook_is_known_by_its_markers_whatever_it_is_called(course, export, name):
    (upload,) = plan(course, export({f"ann/{name}": NOTEBOOK}))
    assert {*upload.files} == {"part1_mlp.ipynb"} and not upload.left
    told = "part2_cvae.ipynb has the cells of part1_mlp" in " ".join(upload.remarks)
    assert told == (name == "part2_cvae.ipynb")


def test_of_two_notebooks_of_one_part_the_newest_is_taken_and_that_is_told(course, export):
    old, new = (
        zipfile.ZipInfo(f"ann/{name}", (2026, 3, 1, hour, 0, 0))
        for name, hour in (("part1_mlp.ipynb", 9), ("Untitled.ipynb", 10))
    )
    (upload,) = plan(course, export({old: OTHER, new: NOTEBOOK}))
    assert upload.files["part1_mlp.ipynb"].sha256 == hashlib.sha256(NOTEBOOK).hexdigest()
    assert "part1_mlp.ipynb is ann/Untitled.ipynb" in upload.remarks[0]


@pytest.mark.parametrize("unpacked", [False, True])
def test_a_file_larger_than_its_cap_is_left_out_and_one_of_that_size_is_taken(
    course, export, monkeypatch, unpacked
):
    monkeypatch.setitem(taken_files.CAPS, ".ipynb", len(NOTEBOOK))
    ann, bo = plan(
        course,
        export(
            {"ann/part1_mlp.ipynb": NOTEBOOK, "bo/part1_mlp.ipynb": NOTEBOOK + b" "},
            folder=unpacked,
        ),
    )
    assert ann.parts == {"part1_mlp": "new"} and not bo.files
    assert "bo/part1_mlp.ipynb (larger than" in bo.remarks[0]


def test_names_are_shown_without_what_a_terminal_would_obey(course, export):
    text = format_plan(
        plan(course, export({"ann/\x1b[2Jnumpy\u202e.py": b"x", "ann/part1_mlp.ipynb": NOTEBOOK}))
    )
    assert "ann/?[2Jnumpy?.py" in text and text.replace("\n", "").isprintable()


def test_sizes_are_counted_while_reading_and_not_believed_from_the_header(
    course, export, monkeypatch
):
    monkeypatch.setitem(taken_files.CAPS, ".ipynb", 1000)
    packed = bytearray(zipped({"part1_mlp.ipynb": NOTEBOOK}))
    directory = packed.rindex(b"PK\x01\x02")
    packed[directory + 24 : directory + 28] = (10).to_bytes(4, "little")  # "10 bytes unpacked"
    (upload,) = plan(course, export({"ann.zip": bytes(packed)}))
    assert not upload.files and "ann.zip/part1_mlp.ipynb (" in upload.remarks[0]


@pytest.mark.parametrize("damage", ["encrypted", "truncated", "flipped", "no zip"])
def test_a_damaged_zip_costs_its_student_alone_and_is_named(course, export, damage):
    whole = zipped({"part1_mlp.ipynb": NOTEBOOK})
    packed = bytearray(whole)
    if damage == "encrypted":
        packed[packed.rindex(b"PK\x01\x02") + 8] |= 1
    elif damage == "flipped":
        packed[2000] ^= 0xFF
    elif damage == "truncated":
        packed = packed[:-200]
    else:
        packed = b"hello"
    ann, bo = plan(course, export({"ann.zip": bytes(packed), "bo.zip": whole}))
    assert not ann.files and re.match(r"Left out: ann\.zip.* \(.", ann.remarks[0])
    assert bo.parts == {"part1_mlp": "new"}


def test_links_in_a_folder_are_not_followed(course, export, tmp_path):
    secret = tmp_path / "secret.ipynb"
    secret.write_bytes(NOTEBOOK)
    path = export({"ann/other.txt": b"x", "bo/part1_mlp.ipynb": NOTEBOOK}, folder=True)
    (path / "ann/part1_mlp.ipynb").symlink_to(secret)
    (path / "cy").symlink_to(path / "bo")
    uploads = plan(course, path)
    assert [(upload.student, [*upload.files]) for upload in uploads] == [
        ("ann", []),
        ("bo", ["part1_mlp.ipynb"]),
        (None, []),
    ]
    assert "ann/part1_mlp.ipynb (a link)" in uploads[0].remarks[0]
    assert "cy (a link)" in uploads[2].remarks[0]


def test_a_submission_larger_than_nbgrader_takes_is_cut_where_it_is_too_much(
    course, export, monkeypatch
):
    monkeypatch.setattr(planner, "STUDENT_CAP", len(NOTEBOOK) + 10)
    files = {
        "ann/part1_mlp.ipynb": NOTEBOOK,
        "ann/mlp_vis.mp4": b"x" * 11,
        "ann/cvae_vis.mp4": b"x" * 9,
    }
    (upload,) = plan(course, export(files))
    assert {*upload.files} == {"part1_mlp.ipynb", "cvae_vis.mp4"}
    assert "ann/mlp_vis.mp4 (the submission would be larger" in upload.remarks[0]


def test_a_notebook_that_cannot_be_repaired_is_not_submitted_and_its_reason_is_kept(
    course, export, capsys
):
    path = export(
        {
            "ann/part1_mlp.ipynb": b"<html>Sign in</html>",
            "ann/part2_cvae.ipynb": ANSWERED["part2_cvae"].encode(),
        }
    )
    run_collect(course.folder, path)
    assert {*submitted(course, "ann")} == {"part2_cvae.ipynb", "timestamp.txt"}
    assert (course.folder / "originals/ann/part1_mlp.ipynb").read_bytes() == b"<html>Sign in</html>"
    sentence = record(course, "ann")["parts"]["part1_mlp"]["refused"]
    assert re.match(
        r"part1_mlp.ipynb of 2026-.* UTC cannot be graded. The file is a web page", sentence
    )
    assert f"ann, part1_mlp: {sentence}" in capsys.readouterr().out
    assert plan(course, path)[0].parts == {"part1_mlp": "unchanged", "part2_cvae": "unchanged"}


def test_a_submission_without_a_notebook_waits_where_nbgrader_does_not_see_it(course, export):
    collect(
        course,
        export({"ann/part1_mlp.ipynb": b"{", "ann/part1_mlp.safetensors": b"weights"}, hour=10),
    )
    waiting = tree(course.folder / "incomplete/ann")
    assert course.students() == [] and {*waiting} == {"part1_mlp.safetensors", "timestamp.txt"}
    assert "breaks off" in record(course, "ann")["parts"]["part1_mlp"]["refused"]
    collect(course, export({"ann/part1_mlp.ipynb": NOTEBOOK}, hour=11))
    assert {*submitted(course, "ann")} == {
        "part1_mlp.ipynb",
        "part1_mlp.safetensors",
        "timestamp.txt",
    }
    assert not (course.folder / "incomplete/ann").exists()
    assert record(course, "ann")["parts"]["part1_mlp"]["refused"] is None


def test_a_notebook_that_cannot_be_read_replaces_none_that_can(course, export):
    collect(course, export({"ann/part1_mlp.ipynb": NOTEBOOK}, hour=10))
    before = submitted(course, "ann")["part1_mlp.ipynb"]
    path = export({"ann/part1_mlp.ipynb": b"{"}, hour=11)
    collect(course, path)
    assert submitted(course, "ann")["part1_mlp.ipynb"] == before
    assert record(course, "ann")["parts"]["part1_mlp"]["refused"].endswith(
        "download it once more. The one before it is graded."
    )
    assert plan(course, path)[0].parts == {"part1_mlp": "unchanged"}


def test_an_export_that_changes_after_the_preview_is_not_written(course, export):
    uploads = plan(course, export({"ann/part1_mlp.ipynb": NOTEBOOK}))
    path, failures = export({"ann/part1_mlp.ipynb": OTHER}), Failures()
    assert collect(course, path, uploads=uploads, failures=failures) == []
    (failure,) = failures
    assert failure.student == "ann" and "has changed since" in failure.sentence
    assert not (course.folder / "submitted/ann" / ASSIGNMENT).exists()


def test_a_write_that_fails_leaves_the_earlier_submission_whole(course, export, monkeypatch):
    collect(course, export({"ann/part1_mlp.ipynb": OTHER}, hour=10))
    before = tree(course.folder / "submitted")
    monkeypatch.setattr(write, "repair", lambda *_: 1 / 0)
    path, failures = export({"ann/part1_mlp.ipynb": NOTEBOOK}, hour=11), Failures()
    assert collect(course, path, failures=failures) == []
    assert "ZeroDivisionError" in next(iter(failures)).sentence
    after = tree(course.folder / "submitted")
    assert {name: after[name] for name in before} == before
    monkeypatch.undo()
    collect(course, export({"ann/part1_mlp.ipynb": NOTEBOOK}, hour=11))
    name = "part1_mlp.ipynb"
    assert submitted(course, "ann")[name] != before[f"ann/{ASSIGNMENT}/{name}"]


def test_a_class_is_collected_at_once(course, export):
    files = {
        f"S{i}_{1000 + i}_assignsubmission_file_/part1_mlp.ipynb": NOTEBOOK + b" " * i
        for i in range(30)
    }
    assert len(collect(course, export(files))) == 30
    assert course.students() == [str(1000 + i) for i in range(30)]


@pytest.mark.long
def test_a_mangled_submission_earns_what_the_clean_one_earns(tmp_path, export):
    """Through nbgrader for real, on two episodes."""
    course = create(tmp_path / "graded", first_seed=20_000, episodes=2)
    torch.manual_seed(0)
    stats = {
        "obs": get_data_stats([[0] * 5, [512] * 4 + [6.28]]),
        "action": get_data_stats([[0, 0], [512, 512]]),
    }
    weights = tmp_path / "part1_mlp.safetensors"
    model = ResidualMLP([10, *[256] * 5, 32], use_layernorm=True)
    Checkpoint(model.state_dict(), stats, [0.1], 300, "none", 1, {}).save(weights)
    mangled, chance = json.loads(NOTEBOOK), random.Random(3)
    for mangle in (
        _texts,
        foreign_metadata,
        delete_locked,
        merge,
        lose_metadata,
        as_colab_saves_it,
    ):
        mangle(mangled, *([chance, PART1] if mangle in MANGLINGS else []))
    files = {"clean": NOTEBOOK, "mangled": json.dumps(mangled).encode()}
    path = export(
        {f"{student}/Copy of part1_mlp.ipynb": content for student, content in files.items()}
        | {f"{student}/part1_mlp.safetensors": weights.read_bytes() for student in files}
    )
    run_collect(course.folder, path)
    assert [
        bool(record(course, student)["parts"]["part1_mlp"]["repairs"]) for student in files
    ] == [False, True]
    grades = {
        student: [
            (cell, verdict.points, verdict.sentence)
            for (_, _, cell), verdict in grade_course(course, [student]).items()
        ]
        for student in files
    }
    assert (
        grades["mangled"] == grades["clean"]
        and sum(points for _, points, _ in grades["clean"]) >= 5
    )
