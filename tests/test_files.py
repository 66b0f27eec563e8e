"""Files are written whole or not at all."""

import io
import os
import zipfile

import pytest

from pusht import files


def test_a_file_is_replaced_whole_and_nothing_is_left_beside_it(tmp_path):
    path = tmp_path / "new" / "a.txt"
    files.write_whole(path, "first")
    files.write_whole(path, "zwei €".encode())
    assert path.read_text(encoding="utf-8") == "zwei €"
    assert [entry.name for entry in path.parent.iterdir()] == ["a.txt"]


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_where_writing_fails_the_old_file_stays(tmp_path, monkeypatch, call):
    path = tmp_path / "a.txt"
    files.write_whole(path, "old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, call, full)
    with pytest.raises(OSError, match="No space left"):
        files.write_whole(path, "new")
    assert path.read_text() == "old" and [entry.name for entry in tmp_path.iterdir()] == ["a.txt"]


def test_a_body_that_raises_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.txt"
    files.write_whole(path, "old")
    with pytest.raises(KeyboardInterrupt), files.replacing(path) as beside:
        beside.write_text("half")
        raise KeyboardInterrupt
    assert path.read_text() == "old" and [entry.name for entry in tmp_path.iterdir()] == ["a.txt"]


def test_a_zip_of_the_same_files_has_the_same_bytes_and_keeps_what_may_be_run():
    content = {"run": b"#!/bin/sh\n", "a/b.txt": b"text"}
    packed = files.zip_bytes(content, executable=("run",))
    assert packed == files.zip_bytes(dict(content), executable=("run",))
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == content
        modes = {entry.filename: entry.external_attr >> 16 & 0o777 for entry in archive.infolist()}
    assert modes == {"run": 0o755, "a/b.txt": 0o644}
