"""Submissions in another format than notebooks, by the interface alone: one is made up here, and
packing, checking, collecting and grading take it as they take the kit's.
"""

import nbformat
import pytest
from exports import (
    NOTEBOOK,
    laid_out,
    made_course,
    record,
    submitted,
    unzipped,
    write_export,
    zipped,
)

from pusht.files import zip_bytes
from score import rubric
from score.course.collect.collect import collect
from score.course.collect.plan import plan
from score.submission import formats
from score.submission.check import check
from score.submission.formats import Found, Substitute
from score.submission.pack import pack
from score.submission.report import PartReport

FILES = {"src/poem.npz": b"roses", "src/rhymes.npz": b"violets", "notes.txt": b""}


class Poems:
    """Part I in verse: poem.npz and what else is in src/."""

    part, packed, packed_cap = "part1_mlp", "part1_poems.zip", 100
    substitute = Substitute(
        "it came in verse", "Part I came in verse.", "(Sung.)", (("part1-song", "code", "la = 1"),)
    )

    def find(self, archive, members):
        of_it = [m for m in members if not m.rejection and self.recognises(m.path)]
        names = {f"src/{m.path.rpartition('/')[2]}": m for m in of_it}
        return Found(self, f"{len(of_it)} poems.", names) if "src/poem.npz" in names else None

    def recognises(self, path):
        return "src/" in path and path.endswith(".npz")

    def report(self, archive, found, contents):
        poem = archive.read(found.files["src/poem.npz"], 100)
        return PartReport(self.part, [poem.decode()], notes=[f"{len(contents)} other files."])

    def graded_files(self, contents, checkpoints, paths):
        return {self.packed: zip_bytes(contents), "part1_mlp.safetensors": b"none"}


POEMS: formats.Format = Poems()


@pytest.fixture(autouse=True)
def known(monkeypatch):
    monkeypatch.setattr(formats, "formats", lambda: (POEMS,))


def test_a_folder_in_the_format_is_packed_and_checked_as_its_part(tmp_path):
    path, report = pack(laid_out(tmp_path, FILES))
    assert {*unzipped(path)} == {"src/poem.npz", "src/rhymes.npz", "manifest.json"}
    assert str(report) == (
        "✓ part1_mlp: complete. roses\n    note: 0 other files.\nhand_in.zip is complete."
    )
    assert str(check(path)) == str(report)
    assert check(tmp_path).parts == report.parts


def test_it_is_collected_with_a_notebook_that_the_kit_writes(tmp_path):
    course = made_course(tmp_path / "course")
    path = write_export(tmp_path, {"Ann_7_assignsubmission_file_/mine.zip": zipped(FILES)})
    (upload,) = plan(course, path)
    assert (upload.student, upload.parts) == ("7", {"part1_mlp": "new"})
    assert upload.remarks[0] == "2 poems." and upload.remarks[1].endswith("mine.zip/notes.txt.")
    collect(course, path)
    got = submitted(course, "7")
    graded = {f"{POEMS.part}.ipynb", *formats.graded_files(rubric.PARTS[POEMS.part])}
    assert {*got} == {*graded, "timestamp.txt"}
    assert unzipped(got[POEMS.packed]) == {name: FILES[name] for name in [*FILES][:2]}
    sources = [cell.source for cell in nbformat.reads(got["part1_mlp.ipynb"], 4).cells]
    assert "la = 1" in sources and "not tried: it came in verse" in "".join(sources)
    assert record(course, "7")["parts"]["part1_mlp"]["repairs"] == ["Part I came in verse."]
    assert plan(course, path)[0].parts == {"part1_mlp": "unchanged"}


def test_a_notebook_of_the_part_goes_before_it(tmp_path):
    course = made_course(tmp_path / "course")
    files = FILES | {"part1_mlp.ipynb": NOTEBOOK}
    path = write_export(tmp_path, {"ann.zip": zipped(files)})
    (upload,) = plan(course, path)
    assert {*upload.files} == {"part1_mlp.ipynb"}
    assert "ann.zip/src/poem.npz (not used beside a notebook of Part I)" in upload.remarks[0]
    assert check(laid_out(tmp_path / "mine", files), [POEMS.part]).parts[0].facts == []


def test_its_packed_files_have_a_size_together(tmp_path, monkeypatch):
    monkeypatch.setattr(POEMS, "packed_cap", 10)
    course = made_course(tmp_path / "course")
    (upload,) = plan(course, write_export(tmp_path, {"ann.zip": zipped(FILES)}))
    assert {*upload.files} == {"src/poem.npz"}
    assert "rhymes.npz (code and models would be larger than 0 MB)" in upload.remarks[-1]


def test_grading_takes_its_packed_zip_which_needs_a_sandbox():
    part1, part2 = rubric.PARTS["part1_mlp"], rubric.PARTS["part2_cvae"]
    assert formats.graded_files(part1) == ["part1_mlp.safetensors", "part1_poems.zip"]
    assert formats.graded_files(part2) == ["part2_cvae.safetensors"]
    assert formats.needs_sandbox("part1_poems.zip")
    assert not formats.needs_sandbox("part1_mlp.safetensors")
