"""Handing in: what is packed, what is reported as missing, and that collecting takes it."""

import hashlib
import io
import itertools
import json
import os
import pickle
import subprocess
import sys
import tempfile
import types
import zipfile
from pathlib import Path

import exports
import nbformat
import pytest
import torch
from exports import made_course, submitted, unzipped, zipped
from hypothesis import given, settings
from hypothesis import strategies as st

import score
from pusht import Logger, checkpoint, demos
from pusht.checkpoint import Checkpoint
from pusht.normalisation import MOMENTS
from score import rubric
from score.__main__ import main
from score.course.collect import repair
from score.course.collect.collect import collect
from score.course.collect.plan import plan
from score.course.notebooks import build
from score.course.notebooks.bundle import bundle_bytes
from score.submission import files as taken_files
from score.submission import pack as packing
from score.submission.archive import SubmissionError
from score.submission.check import check
from score.submission.files import BY_NBGRADER
from score.submission.pack import pack

PARTS = {part.name: part for part in build.parts_with_source()}
RANGES = {
    "obs": {"min": [0] * 5, "max": [512] * 4 + [6.3]},
    "action": {"min": [0, 0], "max": [512, 512]},
}
MEANS = {"obs": {"mean": [0] * 5, "std": [1] * 5}, "action": {"mean": [0, 0], "std": [1, 1]}}
LOG = "step,train/loss,eval/mean_reward\n1,0.5,\n2,0.4,0.3\n"
_STUDENT = {name: build.student_notebook(part) for name, part in PARTS.items()}


def answered(part):
    notebook = build.answered_notebook(part)
    for cell in notebook.cells:
        cell.source += "\nIt fell, then it rose." if cell.source.startswith("<!-- [") else ""
    return notebook


_ANSWERED = {name: answered(part) for name, part in PARTS.items()}
NOTEBOOKS = {
    f"{name}.ipynb": nbformat.writes(notebook).encode() for name, notebook in _ANSWERED.items()
}


def weights(policy, epochs=300, seed=0):
    """The bytes of a hand-in file that can be loaded."""
    stats = MEANS if policy.normalisation == MOMENTS else RANGES
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "w.safetensors")
        Checkpoint(
            {"w": torch.full((3,), float(seed))},
            stats,
            [0.1] * epochs,
            300,
            demos.SHIPPED_FINGERPRINT,
            seed,
            {},
        ).save(path)
        return path.read_bytes()


def whole(name="part1_mlp"):
    """{name: content} of all that a part wants."""
    files = {f"{name}.ipynb": NOTEBOOKS[f"{name}.ipynb"]}
    for policy in PARTS[name].policies:
        files[f"{policy.name}.safetensors"] = weights(policy)
        if policy.normalisation == MOMENTS:
            files[f"{policy.name}_log.csv"] = LOG.encode()
    return files


def laid_out(folder, files, age=0):
    return exports.laid_out(Path(folder), files, 1_700_000_000 - age)


def missing(report):
    return [sentence for part in report.parts for sentence in part.missing]


# Packing.


def test_a_folder_is_packed_into_one_zip_with_the_sums_of_its_files(tmp_path):
    files = {name: content for part in PARTS for name, content in whole(part).items()}
    others = (
        "part1_mlp.resume.pt",
        "notes.txt",
        "standing.json",
        ".ipynb_checkpoints/part1_mlp.ipynb",
        "deep/part1_mlp.ipynb",
    )
    folder = laid_out(tmp_path, files | dict.fromkeys(others, b"x"))
    path, report = pack(folder)
    got = unzipped(path)
    manifest = json.loads(got.pop("manifest.json"))
    assert path == folder / "hand_in.zip" and got == files
    assert report.complete and str(report).endswith("hand_in.zip is complete.")
    assert manifest["files"] == {
        name: {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
        for name, content in got.items()
    }
    assert {*manifest} == {"kit", "python", "torch", "packed", "parts", "files"}
    assert manifest["parts"] == [*PARTS]
    assert not [path for path in folder.iterdir() if path.suffix == ".part"]


@pytest.mark.parametrize(
    "name",
    [
        "Copy of part1_mlp (2).ipynb",
        "part1_mlp-Copy1.ipynb",
        "Kopie von part1_mlp.ipynb",
        "part1_mlp.ipynb.txt",
    ],
)
@pytest.mark.parametrize("newer", [True, False])
def test_the_newest_of_several_copies_is_packed_under_its_own_name_and_that_is_said(
    tmp_path, name, newer
):
    laid_out(tmp_path, whole(), age=50)
    laid_out(tmp_path, {name: b"{}"}, age=0 if newer else 100)
    path, report = pack(tmp_path, parts=["part1_mlp"])
    taken, other = (name, "part1_mlp.ipynb") if newer else ("part1_mlp.ipynb", name)
    assert path.name == "hand_in_part1_mlp.zip"
    assert (unzipped(path)["part1_mlp.ipynb"] == b"{}") == newer
    assert (
        f"part1_mlp.ipynb is {taken}, the newer or else the larger one, not {other}."
        in report.notes
    )


def test_of_part_four_the_run_that_is_handed_in_is_packed_without_wandbs_own_files(tmp_path):
    for stamp, loss in (("20260119_161512", 0.5), ("20260120_161512", 0.7)):
        logger = Logger(tmp_path / "exp" / f"seed_42_{stamp}_mse")
        logger.log({"train/loss": loss, "eval/mean_reward": 0.5}, 10)
        logger.save_checkpoint(
            Checkpoint({"w": torch.full((1,), loss)}, MEANS, [loss], 1, "", 42, {}), 10
        )
        laid_out(logger.path, {"wandb/run.wandb": b"ann@uni.edu", "videos/step_10.mp4": b"film"})
        logger.dump_for_grading()
        if loss == 0.5:
            logger.hand_in("part4_mse", tmp_path)
    got = unzipped(pack(tmp_path)[0])
    assert got["exp/mse/log.csv"] == got["part4_mse_log.csv"]
    assert b"0.5" in got["exp/mse/log.csv"]
    assert {name for name in got if name.startswith("exp/")} == {
        f"exp/mse/{name}"
        for name in (
            "log.csv",
            "config.json",
            "summary.json",
            "policy.safetensors",
            "checkpoints/step_10.safetensors",
            "videos/step_10.mp4",
        )
    }


def test_a_run_directory_alone_gives_the_files_of_part_four(tmp_path):
    laid_out(
        tmp_path,
        {
            "exp/flow/policy.safetensors": weights(rubric.POLICIES["part4_flow"]),
            "exp/flow/log.csv": LOG.encode(),
            "exp/mse/checkpoints/step_9.safetensors": b"early",
            "exp/mse/checkpoints/step_10.safetensors": b"last",
        },
    )
    got = unzipped(pack(tmp_path)[0])
    assert got["part4_flow_log.csv"] == LOG.encode()
    assert got["part4_flow.safetensors"] == weights(rubric.POLICIES["part4_flow"])
    assert got["part4_mse.safetensors"] == b"last"


def test_a_notebook_is_packed_without_what_colab_keeps_of_people_and_too_large_without_its_outputs(
    tmp_path, monkeypatch
):
    notebook = json.loads(NOTEBOOKS["part1_mlp.ipynb"])
    notebook["cells"][1]["metadata"]["executionInfo"] = {"user": {"displayName": "Ann Lee"}}
    came = json.dumps(notebook).encode()
    path, report = pack(
        laid_out(tmp_path, whole() | {"part1_mlp.ipynb": came}), parts=["part1_mlp"]
    )
    assert b"Ann Lee" not in unzipped(path)["part1_mlp.ipynb"] and report.complete
    assert "without the names and photos" in report.notes[0]
    assert (tmp_path / "part1_mlp.ipynb").read_bytes() == came
    code = next(cell for cell in notebook["cells"] if cell["cell_type"] == "code")
    code["outputs"] = [{"output_type": "stream", "name": "stdout", "text": "x" * 10_000_000}]
    monkeypatch.setitem(taken_files.CAPS, ".ipynb", 5_000_000)
    path, report = pack(
        laid_out(tmp_path, {"part1_mlp.ipynb": json.dumps(notebook).encode()}), parts=["part1_mlp"]
    )
    assert len(unzipped(path)["part1_mlp.ipynb"]) < 100_000 and report.complete
    assert "packed without its outputs" in report.notes[0]


def test_what_is_too_large_and_links_are_left_out_by_name(tmp_path, monkeypatch):
    monkeypatch.setitem(taken_files.CAPS, ".csv", 10)
    laid_out(tmp_path, whole("part4_flow"))
    (tmp_path / "part1_mlp.safetensors").symlink_to(tmp_path / "part4_mse.safetensors")
    path, report = pack(tmp_path)
    assert not {"part1_mlp.safetensors", "part4_mse_log.csv"} & {*unzipped(path)}
    assert any(
        "part1_mlp.safetensors (a link)" in note and "part4_mse_log.csv (larger than" in note
        for note in report.notes
    )


def test_a_zip_that_cannot_be_written_leaves_the_one_before_it(tmp_path, monkeypatch):
    path, _ = pack(laid_out(tmp_path, whole()))
    before = path.read_bytes()

    def refuse(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(SubmissionError, match="cannot be written .No space left"):
        pack(tmp_path)
    assert path.read_bytes() == before and not [*tmp_path.glob("*.part")]


@pytest.mark.parametrize(
    "folder, sentence",
    [("nowhere", "There is no folder"), ("empty", "contains nothing to hand in")],
)
def test_a_folder_with_nothing_to_pack_is_reported_in_one_sentence(tmp_path, folder, sentence):
    (tmp_path / "empty").mkdir()
    with pytest.raises(SubmissionError, match=sentence):
        pack(tmp_path / folder)


def test_from_the_kits_own_folder_the_notebooks_in_it_are_packed(tmp_path):
    laid_out(tmp_path / "notebooks", whole())
    assert pack(tmp_path)[0] == tmp_path / "notebooks" / "hand_in.zip"


# Checking.


def changed(change, name="part1_mlp"):
    notebook = json.loads(NOTEBOOKS[f"{name}.ipynb"])
    change({cell["id"]: cell for cell in notebook["cells"]}, notebook)
    return json.dumps(notebook).encode()


def without(key):
    return lambda cells, notebook: notebook["cells"].remove(cells[key])


POLICY = rubric.POLICIES["part1_mlp"]


@pytest.mark.parametrize(
    "files, sentence",
    [
        ({"part1_mlp.ipynb": None}, "There is no part1_mlp.ipynb: save it"),
        (
            {"part1_mlp.safetensors": None},
            "There is no part1_mlp.safetensors: run the training cell",
        ),
        ({"part1_mlp.ipynb": b"<html>"}, "part1_mlp.ipynb cannot be read: it is a web page"),
        (
            {"part1_mlp.ipynb": NOTEBOOKS["part1_mlp.ipynb"][:-99]},
            "part1_mlp.ipynb cannot be read: it is not a complete notebook",
        ),
        ({"part1_mlp.ipynb": b"{}"}, "part1_mlp.ipynb cannot be read: it has no list of cells"),
        (
            {"part1_mlp.ipynb": nbformat.writes(_STUDENT["part1_mlp"]).encode()},
            "Still to do: Q1.1, Q1.2, Q1.3.",
        ),
        (
            {
                "part1_mlp.ipynb": (
                    nbformat.writes(
                        build.answered_notebook(PARTS["part1_mlp"], ["part1-bc_loss"])
                    ).encode()
                )
            },
            "Still to do: Q1.1, Q1.3.",
        ),
        (
            {"part1_mlp.ipynb": changed(without("part1-bc_loss"))},
            "part1_mlp.ipynb has no answer cell for Q1.2: copy it, with its first line",
        ),
        (
            {"part1_mlp.ipynb": changed(without("part1-q1_3"))},
            "part1_mlp.ipynb has lost the cell that checks q1_3: copy it",
        ),
        ({"part1_mlp.safetensors": b"PK"}, "part1_mlp.safetensors is not a whole safetensors file"),
        (
            {"part1_mlp.safetensors": weights(rubric.POLICIES["part4_mse"])},
            "part1_mlp.safetensors was not written by",
        ),
    ],
)
@pytest.mark.parametrize("form", ["zip", "folder"])
def test_what_is_missing_is_reported_in_one_sentence(tmp_path, files, sentence, form):
    files = {name: content for name, content in (whole() | files).items() if content is not None}
    path = laid_out(tmp_path / "mine", files)
    if form == "zip":
        (path / "mine.zip").write_bytes(zipped(files))
        path = path / "mine.zip"
    found = check(path, ["part1_mlp"])
    (only,) = missing(found)
    assert only.startswith(sentence) and not found.complete
    assert f"{found.path} is NOT complete: 1 thing is missing." in str(found)


@pytest.mark.parametrize("name", PARTS)
def test_a_whole_part_is_complete_whatever_colab_and_people_do_to_its_form(tmp_path, name):
    def mangle(cells, notebook):
        for cell in notebook["cells"]:
            cell["metadata"] = {}
            cell["source"] = "".join(cell["source"])
        for one, two in itertools.pairwise(notebook["cells"]):
            if (
                one["source"] and one["cell_type"] == two["cell_type"] == "code"
            ):  # merged, as people do
                one["source"], two["source"] = "", one["source"] + "\n" + two["source"]

    files = whole(name) | {f"{name}.ipynb": changed(mangle, name)}
    (tmp_path / "mine.zip").write_bytes(
        zipped({f"work/{name}": content for name, content in files.items()})
    )
    found = check(tmp_path / "mine.zip", [name])
    assert missing(found) == [] and found.complete


EXTENSION = "\n\n# [part1/encode_angle] extension E1.1\ndef encode_angle(obs):\n    return obs\n"
TODO = 'raise NotImplementedError("Need to implement for Q1.3")\n'
UNANSWERED = "\n# [part1/encode_angle] extension E1.1\n" + TODO.replace("Q1.3", "E1.1")


def merged_into(key, text, body=None):
    """A change that merges a cell's text into another, which then says `body` if that is given."""

    def change(cells, notebook):
        source = "".join(cells[key]["source"])
        marker = source.partition("\n")[0] + "\n"
        cells[key]["source"] = (source if body is None else marker + body) + text

    return change


@pytest.mark.parametrize(
    "body, extension, sentences",
    [
        (None, EXTENSION, []),
        (None, UNANSWERED, []),
        ("", EXTENSION, ["Still to do: Q1.3."]),
        (
            'raise NotImplementedError("Need to implement for Q1.3")',
            EXTENSION,
            ["Still to do: Q1.3."],
        ),
    ],
    ids=["answered", "extension to do", "empty answer", "answer to do"],
)
def test_an_extension_that_was_merged_into_an_answer_is_no_part_of_it(
    tmp_path, body, extension, sentences
):
    notebook = changed(merged_into("part1-mlp_inference", extension, body))
    path = laid_out(tmp_path, whole() | {"part1_mlp.ipynb": notebook})
    assert missing(check(path, ["part1_mlp"])) == sentences


def test_the_report_and_the_logs_of_part_four_are_asked_for(tmp_path):
    files = whole("part4_flow") | {
        "part4_flow.ipynb": nbformat.writes(build.answered_notebook(PARTS["part4_flow"])).encode(),
        "part4_mse_log.csv": b"step\n1\n",
    }
    del files["part4_flow_log.csv"]
    (tmp_path / "mine.zip").write_bytes(zipped(files))
    assert [
        sentence.split(":")[0] for sentence in missing(check(tmp_path / "mine.zip", ["part4_flow"]))
    ] == [
        "Not answered in words yet",
        "part4_mse_log.csv does not contain train/loss and eval/mean_reward",
        "There is no part4_flow_log.csv",
    ]


def test_how_far_was_trained_and_personal_data_are_worth_knowing_but_nothing_is_missing(tmp_path):
    def sign(cells, notebook):
        cells["part1-setup"]["metadata"]["executionInfo"] = {"user": {"displayName": "Ann"}}
        cells["part1-setup"]["outputs"] = [
            {"output_type": "stream", "name": "stdout", "text": "/home/ann/x.py: ann@uni.edu, a@b"}
        ]

    (tmp_path / "mine.zip").write_bytes(
        zipped(
            {"part1_mlp.ipynb": changed(sign), "part1_mlp.safetensors": weights(POLICY, epochs=120)}
        )
    )
    found = check(tmp_path / "mine.zip", ["part1_mlp"])
    (part,) = found.parts
    assert found.complete
    assert part.facts == ["part1_mlp.safetensors: 120 of 300 epochs on the shipped demonstrations."]
    signed, trained = part.notes
    assert signed.endswith("Colab's record of who ran it, /home/ann, ann@uni.edu.")
    assert "trained for 120 of 300 epochs" in trained


def test_the_manifest_says_which_parts_were_meant_and_what_was_changed_but_is_not_needed(tmp_path):
    path, _ = pack(laid_out(tmp_path, whole()), parts=["part1_mlp"])
    assert check(path).complete and not check(path, [*PARTS]).complete
    files = unzipped(path)
    for manifest in (b"{", b"[]", b'{"parts": 3}', b'{"files": {"a": 1}}', b"[" * 100_000):
        path.write_bytes(zipped(files | {"manifest.json": manifest}))
        assert [part.name for part in check(path).parts] == [*PARTS]
    path.write_bytes(zipped(files | {"part1_mlp.safetensors": weights(POLICY, seed=2)}))
    assert check(path).notes == ["Changed since it was packed: part1_mlp.safetensors."]


@pytest.mark.parametrize(
    "files, reason",
    [
        ({"../part1_mlp.ipynb": b"{}"}, "its path leads elsewhere"),
        ({"/etc/passwd": b""}, "its path leads elsewhere"),
        ({"C:\\x.ipynb": b""}, "its path leads elsewhere"),
        ({"link": b"/etc/passwd"}, "a link"),
        ({"part1_mlp.safetensors": bytes(40 << 20)}, "more than 500 times its packed size"),
        ({"zeros.bin": bytes(40 << 20)}, "more than 500 times"),
        ({f"{number}": b"" for number in range(100_000)}, "a zip of more than 50000 files"),
    ],
    ids=["up", "absolute", "drive", "link", "bomb", "bomb beside", "many"],
)
def test_a_hostile_zip_is_refused_in_one_sentence(tmp_path, files, reason):
    if "link" in files:
        link = zipfile.ZipInfo("link")
        link.external_attr = 0o120777 << 16
        files = {link: files["link"]}
    (tmp_path / "mine.zip").write_bytes(zipped(whole() | files))
    before = {*tmp_path.rglob("*")}
    with pytest.raises(SubmissionError, match=reason) as error:
        check(tmp_path / "mine.zip")
    assert "\n" not in str(error.value) and len(str(error.value)) < 300
    assert {*tmp_path.rglob("*")} == before


def test_sizes_in_a_zip_are_not_believed(tmp_path):
    packed = bytearray(zipped({"part1_mlp.safetensors": bytes(40 << 20)}))
    directory = packed.rindex(b"PK\x01\x02")
    packed[directory + 24 : directory + 28] = (10).to_bytes(4, "little")
    (tmp_path / "mine.zip").write_bytes(packed)
    sentences = missing(check(tmp_path / "mine.zip", ["part1_mlp"]))
    assert any("part1_mlp.safetensors cannot be used" in sentence for sentence in sentences)


@pytest.mark.parametrize("content", [None, b"", b"no zip", b"PK\x03\x04" + bytes(99)])
def test_what_is_no_zip_is_reported_in_one_sentence(tmp_path, content):
    if content is not None:
        (tmp_path / "mine.zip").write_bytes(content)
    with pytest.raises(SubmissionError, match="There is no|neither a folder nor a zip"):
        check(tmp_path / "mine.zip")


def test_the_caps_are_those_of_what_reads_the_files():
    assert taken_files.cap("part1_mlp.ipynb") == repair.MAX_BYTES
    assert taken_files.cap("part1_mlp.safetensors") == checkpoint.MAX_BYTES


# The command line.


def test_the_commands_exit_with_0_when_all_is_there_and_else_with_1(tmp_path, capsys):
    laid_out(tmp_path, whole())
    packed = str(tmp_path / "a.zip")
    for arguments, code in (
        (["pack", str(tmp_path), "--part", "part1_mlp", "--out", packed], 0),
        (["check", "--no-run", packed], 0),
        (["check", "--no-run", str(tmp_path)], 1),
        (["pack", str(tmp_path)], 1),
        (["check", "--no-run", str(tmp_path / "hand_in.zip")], 1),
    ):
        with pytest.raises(SystemExit) as left:
            main(["submission", *arguments])
        assert left.value.code == code
    assert "There is no part2_cvae.ipynb" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="score: There is no .*gone.zip."):
        main(["submission", "check", str(tmp_path / "gone.zip")])


_STUDENTS = """
import sys
for name in ("nbgrader", "nbformat", "jupytext", "psutil", "nbclient", "nbconvert", "wandb"):
    sys.modules[name] = None
from score.__main__ import main
import score
assert score.__file__.startswith(sys.argv.pop(1)), score.__file__
main(["submission", *sys.argv[1:]])
"""


def test_packing_and_checking_need_no_more_than_the_students_bundle_and_its_packages(tmp_path):
    with zipfile.ZipFile(io.BytesIO(bundle_bytes(build.ROOT / "notebooks"))) as bundle:
        bundle.extractall(tmp_path / "kit")
    laid_out(tmp_path, whole())
    for arguments in (
        ["pack", str(tmp_path), "--part", "part1_mlp"],
        ["check", "--no-run", str(tmp_path / "hand_in_part1_mlp.zip")],
    ):
        done = subprocess.run(
            [sys.executable, "-c", _STUDENTS, str(tmp_path), *arguments],
            cwd=tmp_path / "kit",
            capture_output=True,
            text=True,
        )
        assert (done.returncode, done.stderr) == (0, "") and done.stdout.endswith(
            "hand_in_part1_mlp.zip is complete.\n"
        )


# In a notebook.


@pytest.fixture(autouse=True)
def no_rehearsal(monkeypatch):
    """The networks here are too small to act; tests/test_rehearsal.py rehearses."""
    monkeypatch.setattr("score.submission.pack.rehearse_parts", lambda *arguments: None)


@pytest.fixture
def colab(monkeypatch):
    """Colab, as far as handing in sees it: `reply` is what its browser answers, `downloads` what it
    was given.
    """
    state = types.SimpleNamespace(
        reply={"ipynb": json.loads(NOTEBOOKS["part1_mlp.ipynb"])}, downloads=[], requests=[]
    )

    def blocking_request(what, request="", timeout_sec=5, parent=None):
        state.requests.append((what, timeout_sec))
        if isinstance(state.reply, Exception):
            raise state.reply
        return state.reply

    message = types.SimpleNamespace(blocking_request=blocking_request)
    files = types.SimpleNamespace(download=state.downloads.append)
    package = types.SimpleNamespace(_message=message, files=files, __path__=[])
    for name, module in {
        "google": types.SimpleNamespace(colab=package, __path__=[]),
        "google.colab": package,
        "google.colab._message": message,
        "google.colab.files": files,
    }.items():
        monkeypatch.setitem(sys.modules, name, module)
    state.files = files
    return state


def test_in_a_folder_that_nbgrader_fetched_no_zip_is_left_and_the_way_is_named(tmp_path, capsys):
    files = {"part1_mlp.safetensors": weights(POLICY)} | NOTEBOOKS | {BY_NBGRADER: b""}
    laid_out(tmp_path, files)
    score.submit("part1_mlp", tmp_path)
    said = capsys.readouterr().out
    assert "What you hand in is complete." in said and "Assignment List" in said
    assert "zip" not in said
    assert {path.name for path in tmp_path.iterdir()} == {*files}


def test_in_colab_the_notebook_of_the_browser_is_packed_and_the_zip_downloaded(
    tmp_path, colab, capsys
):
    laid_out(tmp_path, {"part1_mlp.safetensors": weights(POLICY), "Copy of part1_mlp.ipynb": b"{}"})
    score.submit("part1_mlp", tmp_path)
    path = tmp_path / "hand_in_part1_mlp.zip"
    assert json.loads(unzipped(path)["part1_mlp.ipynb"]) == json.loads(NOTEBOOKS["part1_mlp.ipynb"])
    assert colab.downloads == [str(path)] and colab.requests == [("get_ipynb", 60)]
    assert check(path).complete and "is complete." in capsys.readouterr().out
    assert (tmp_path / "Copy of part1_mlp.ipynb").read_bytes() == b"{}"


@pytest.mark.parametrize(
    "reply",
    [
        None,
        {},
        {"ipynb": None},
        {"ipynb": {"cells": []}},
        {"ipynb": "text"},
        RuntimeError("no front end"),
    ],
)
def test_where_colab_does_not_hand_the_notebook_over_the_other_way_is_named_and_works(
    tmp_path, colab, capsys, reply
):
    colab.reply = reply
    laid_out(tmp_path, {"part1_mlp.safetensors": weights(POLICY)})
    score.submit("part1_mlp", tmp_path)
    said = capsys.readouterr().out
    assert "File > Download > Download .ipynb" in said and "Traceback" not in said
    assert "NOT complete: 1 thing is missing" in said
    laid_out(tmp_path, {"part1_mlp (1).ipynb": NOTEBOOKS["part1_mlp.ipynb"]})
    score.submit("part1_mlp", tmp_path)
    assert check(colab.downloads[-1]).complete


def test_a_download_that_does_not_start_is_reported_in_one_sentence(tmp_path, colab, capsys):
    def refuse(_):
        raise RuntimeError("blocked")

    colab.files.download = refuse
    score.submit("part1_mlp", laid_out(tmp_path, {"part1_mlp.safetensors": weights(POLICY)}))
    sentence = "The download did not start (RuntimeError): take hand_in_part1_mlp.zip from"
    assert sentence in capsys.readouterr().out


def test_elsewhere_the_saved_notebook_is_packed_and_one_that_is_not_saved_is_noticed(
    tmp_path, capsys, monkeypatch
):
    answer = next(
        cell.source for cell in _ANSWERED["part1_mlp"].cells if cell.id == "part1-bc_loss"
    )
    ran = ["", answer.replace("mse_loss", "l1_loss"), answer]
    monkeypatch.setattr(packing, "in_notebook", lambda: True)
    monkeypatch.setattr(
        packing,
        "get_ipython",
        lambda: types.SimpleNamespace(history_manager=types.SimpleNamespace(input_hist_raw=ran)),
    )
    score.submit("part1_mlp", laid_out(tmp_path, whole()))
    said = capsys.readouterr().out
    assert "hand_in_part1_mlp.zip is complete." in said and "The code that you ran last" not in said
    assert "save the notebook (Ctrl+S)" in said
    ran.append(answer.replace("mse_loss", "l1_loss"))
    score.submit("part1_mlp", tmp_path)
    sentence = "The code that you ran last in [part1/bc_loss] is not in the saved notebook: save it"
    assert sentence in capsys.readouterr().out


def test_with_nothing_to_hand_in_the_notebook_says_so_and_goes_on(tmp_path, capsys):
    score.submit("part1_mlp", tmp_path)
    assert " contains nothing to hand in: " in capsys.readouterr().out


# Collecting.

NAMES = ["{}", "Copy of {}", "{} (1)", "Kopie von {}", "{}-Copy2"]
EXPORTS = {
    "folders of zips": "ann.zip",
    "Moodle": "Ann Lee_77_assignsubmission_file_/hand_in.zip",
    "Canvas": "leeann_77_345_hand_in.zip",
}


@settings(max_examples=12, deadline=None)
@given(
    parts=st.sets(st.sampled_from([*PARTS]), min_size=1),
    name=st.sampled_from(NAMES),
    layout=st.sampled_from([*EXPORTS]),
    runs=st.booleans(),
)
def test_what_is_packed_is_what_is_collected(parts, name, layout, runs):
    with tempfile.TemporaryDirectory() as folder:
        folder, files = (
            Path(folder),
            {file: content for part in sorted(parts) for file, content in whole(part).items()},
        )
        course = made_course(folder / "course")
        mine = laid_out(
            folder / "mine",
            {
                name.format(Path(file).stem) + Path(file).suffix: content
                for file, content in files.items()
            },
        )
        if runs:
            laid_out(
                mine,
                {
                    "exp/mse/log.csv": b"step\n",
                    "exp/mse/policy.safetensors": b"x",
                    "exp/mse/config.json": b"{}",
                },
            )
        path, report = pack(mine, parts=sorted(parts))
        assert report.complete
        (folder / "export.zip").write_bytes(zipped({EXPORTS[layout]: path.read_bytes()}))
        (upload,) = plan(course, folder / "export.zip")
        assert upload.remarks == []
        collect(course, folder / "export.zip")
        got = submitted(course, upload.student)
        for part in parts:
            assert nbformat.reads(got[f"{part}.ipynb"].decode(), as_version=4) == _ANSWERED[part]
        assert {name: got[name] for name in files if not name.endswith(".ipynb")} == {
            name: content for name, content in files.items() if not name.endswith(".ipynb")
        }


def test_the_time_in_a_manifest_is_not_believed(tmp_path):
    course, path = made_course(tmp_path / "course"), pack(laid_out(tmp_path / "mine", whole()))[0]
    files = unzipped(path)
    manifest = json.loads(files["manifest.json"]) | {"packed": "1999-01-01T00:00:00Z"}
    entry = zipfile.ZipInfo("ann.zip", (2026, 3, 1, 12, 0, 0))
    (tmp_path / "export.zip").write_bytes(
        zipped({entry: zipped(files | {"manifest.json": json.dumps(manifest).encode()})})
    )
    (upload,) = plan(course, tmp_path / "export.zip")
    assert upload.timestamp.astimezone().strftime("%Y-%m-%d %H") == "2026-03-01 12"


class _Trap:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_runs_without_a_notebook_or_code_are_in_the_tables_and_nothing_is_opened(tmp_path):
    """exp/mse with the kit's files, exp/flow with a pickled model only; with src/ see
    test_hw1.
    """
    touched = tmp_path / "touched"
    files = {
        "exp/mse/log.csv": LOG.encode(),
        "exp/mse/policy.safetensors": weights(rubric.POLICIES["part4_mse"]),
        "exp/mse/wandb/run.wandb": b"x",
        "exp/mse/videos/step_9.mp4": b"film",
        "exp/flow/log.csv": LOG.encode(),
        "exp/flow/model.pkl": pickle.dumps(_Trap(touched)),
        "pyproject.toml": b"",
        "uv.lock": b"",
        "README.md": b"",
    }
    (tmp_path / "submit.zip").write_bytes(zipped(files))
    found = check(tmp_path / "submit.zip", ["part4_flow"])
    assert missing(found) == [
        "There is no model.py: hand in src/hw1_imitation with all its .py files."
    ]
    course = made_course(tmp_path / "course")
    (tmp_path / "export.zip").write_bytes(zipped({"ann.zip": zipped(files)}))
    (upload,) = plan(course, tmp_path / "export.zip")
    collect(course, tmp_path / "export.zip")
    assert course.students() == ["ann"] and upload.parts == {"part4_flow": "new"}
    got = submitted(course, "ann")
    assert got["part4_mse.safetensors"] == files["exp/mse/policy.safetensors"]
    assert "exp/flow/model.pkl" in unzipped(got["part4_script.zip"])
    assert not touched.exists()
