"""Submissions of the script assignment: what is taken of the zip, what a check reports, what it
earns in the sandbox.
"""

import functools
import json
import os
import pickle
import socket
import tempfile
import types
import zipfile
from dataclasses import replace
from functools import partial
from pathlib import Path

import nbformat
import pytest
import torch
from courses import create
from exports import laid_out, made_course, record, submitted, tree, unzipped, write_export, zipped
from hw1_files import (
    METHODS,
    MODEL,
    PICKLES,
    hand_in,
    kit_checkpoint,
    layout_of,
    policy,
    run_files,
    saved,
    student_modules,
    whole,
)
from traitlets.config import Config

from pusht import Logger, evaluate_policy
from pusht.checkpoint import load_checkpoint
from pusht.normalisation import MOMENTS
from pusht.train import TrainConfig, prepare
from score import rubric
from score.course.class_run import grade as class_run
from score.course.class_run.grade import grade_course
from score.course.collect.collect import collect
from score.course.collect.plan import plan
from score.course.collect.repair import repair
from score.course.collect.substitute import substitute
from score.course.gradescope import run
from score.course.gradescope.build import build as build_autograder
from score.course.grading import results
from score.course.grading.execution import execute
from score.course.notebooks import build
from score.course.notebooks.solutions import reference_path
from score.course.report import similarity
from score.course.sandbox import levels
from score.course.settings import ASSIGNMENT, Limits, RunSettings
from score.hw1 import FORMAT
from score.hw1.layout import LEFT_OUT
from score.submission.check import check
from score.submission.pack import pack

LEVEL = levels.strictest()


@pytest.fixture
def course(tmp_path):
    return made_course(tmp_path / "course")


@pytest.fixture
def export(tmp_path):
    return partial(write_export, tmp_path)


@pytest.fixture
def code(monkeypatch):
    with student_modules(monkeypatch) as make:
        yield make


# What is taken.


def test_models_settings_and_code_are_packed_wherever_the_zip_has_them_and_nothing_else(code):
    files = whole(code) | {
        "exp/mse/config.json": b"{}",
        "exp/seed_42_20260119_161512_mse/model.pkl": b"x",
        "exp/mse/wandb/files/code/src/train.py": b"x",
    }
    want = {
        "exp/mse/config.json",
        *(f"exp/{method}/log.csv" for method in METHODS),
        *(PICKLES.format(method, step) for method in METHODS for step in (9, 10)),
        *(
            f"src/hw1_imitation/{name}.py"
            for name in ("__init__", "data", "train", "evaluation", "model")
        ),
    }
    for root in ("", "ann.zip/", "ann/submit/"):
        found = layout_of(files, root)
        assert (
            {*found.files} == want
            and found.left_out == []
            and all(entry.path.startswith(root) for entry in found.files.values())
        )
        assert {root + name for name in files} == {
            entry.path for entry in (*found.files.values(), *found.unused)
        } - {root + "x"}


def test_a_run_that_was_not_renamed_counts_and_the_last_of_several(code):
    files = {
        name: content for name, content in whole(code).items() if not name.startswith("exp/mse")
    }
    files |= {
        f"exp/seed_{day + 1}_2026011{day}_161512_best_mse/m_{day}.pt": b"x" for day in (8, 9)
    }  # seed_9_, then seed_10_
    assert [name for name in layout_of(files).files if name.startswith("exp/mse")] == [
        "exp/mse/m_9.pt"
    ]


def test_a_log_is_taken_that_is_surely_the_runs_and_no_other(code):
    files = {name: x for name, x in whole(code).items() if not name.endswith("log.csv")}

    def taken(logs):
        reward = b"step,eval/mean_reward\n1,0.5\n"
        made = {name: reward + b"%d,0.6\n" % (n + 2) for n, name in enumerate(logs)}
        found = layout_of(files | made)
        return {name: member.path for name, member in found.files.items() if name.endswith(".csv")}

    assert taken(["logs/flow.csv"]) == {"exp/flow/elsewhere/log.csv": "logs/flow.csv"}
    assert taken(["exp/flow/log.csv"]) == {"exp/flow/log.csv": "exp/flow/log.csv"}
    assert taken(["logs/mse_1.csv", "logs/mse_2.csv"]) == {}  # either may be that of the run
    assert taken(["logs/mse_9.csv", "logs/mse_10.csv"]) == {
        "exp/mse/elsewhere/log.csv": "logs/mse_10.csv"  # which has the step of its name
    }
    assert taken(["logs/log.csv"]) == {}
    files["exp/seed_1_mse/model.pkl"] = b"x"
    assert taken(["exp/seed_1_mse/log.csv"]) == {}  # it is another run's


@pytest.mark.parametrize("gone", ["src/", "exp/"])
def test_without_code_or_without_runs_it_is_taken_and_graded_as_incomplete(code, gone):
    files = {name: x for name, x in whole(code).items() if not name.startswith(gone)}
    found = layout_of(files)
    assert found.files and not any(name.startswith(gone) for name in found.files)


def test_what_is_in_the_zip_of_a_notebook_is_no_such_hand_in(code):
    kit = {f"exp/mse/{name}": b"x" for name in ("policy.safetensors", "log.csv", "config.json")}
    for files in ({"model.py": b"x = 1"}, kit, {"mine/model.pkl": b"x", "a.py": b"import torch"}):
        assert layout_of(files) is None


def test_too_many_files_are_left_out_by_name(code):
    more = {f"exp/mse/step_{step}.pt": b"x" for step in range(30)} | {
        f"src/x{n:03}.py": b"" for n in range(250)
    }
    found = layout_of(whole(code) | more)
    assert len([name for name in found.files if name.startswith("exp/mse/")]) == 20 + 1
    assert "exp/mse/step_29.pt" in found.files and "exp/mse/step_0.pt" not in found.files
    assert len([name for name in found.files if name.startswith("src/")]) == 200
    assert (
        all(entry.rejection.startswith("more than") for entry in found.left_out)
        and len(found.left_out) == 30 + 2 - 20 + 255 - 200
    )


@pytest.mark.parametrize(
    "long", [f"src/{'x' * 300}.py", f"exp/mse/{'1' * 30_000}{'x' * 30_000}.pkl"]
)
def test_a_path_that_is_too_long_is_left_out_in_a_moment(code, long):
    left_out = layout_of(whole(code) | {long: b""}).left_out
    assert [(m.path, m.rejection) for m in left_out] == [(long, "its path is too long")]


def collected(course, export, files, hour=10, name="ann"):
    path = export({f"{name}.zip": zipped(files)}, hour=hour)
    (upload,) = plan(course, path)
    collect(course, path)
    return upload


def test_an_unchanged_upload_is_read_anew_when_the_kit_takes_more_of_it(
    course, export, code, monkeypatch
):
    files = whole(code) | {"src/hw1_imitation/settings.yaml": b"width: 256\n"}
    with monkeypatch.context() as earlier:
        earlier.setattr("score.hw1.loose.CODE", (".py",))
        collected(course, export, files)
    assert "src/hw1_imitation/settings.yaml" not in unzipped(
        submitted(course, "ann")[FORMAT.packed]
    )
    assert collected(course, export, files, hour=9).parts == {"part4_flow": "older"}
    assert collected(course, export, files).parts == {"part4_flow": "again"}
    assert "src/hw1_imitation/settings.yaml" in unzipped(submitted(course, "ann")[FORMAT.packed])
    assert collected(course, export, files).parts == {"part4_flow": "unchanged"}


def test_collecting_writes_a_notebook_and_opens_nothing(course, export, code, tmp_path):
    touched = tmp_path / "touched"
    harm = f"import pathlib; pathlib.Path({str(touched)!r}).touch()"
    files = whole(code) | {
        "src/hw1_imitation/model.py": harm.encode(),
        "exp/flow/model.pkl": pickle.dumps(_Harm(harm)),
    }
    (tmp_path / "submit.zip").write_bytes(zipped(files))
    check(tmp_path / "submit.zip")
    upload = collected(course, export, files)
    assert not touched.exists() and upload.parts == {"part4_flow": "new"}
    assert not any("Left out" in remark for remark in upload.remarks)
    assert any(
        "src/hw1_imitation/model.py among 5 files of src/" in remark for remark in upload.remarks
    )
    got = submitted(course, "ann")
    assert {*got} == {
        "part4_flow.ipynb",
        "part4_script.zip",
        "timestamp.txt",
        *(
            f"part4_{method}{ending}"
            for method in METHODS
            for ending in (".safetensors", "_log.csv")
        ),
    }
    assert unzipped(got[FORMAT.packed]) == {name: files[name] for name in layout_of(files).files}
    told = record(course, "ann")["parts"]["part4_flow"]
    assert told["refused"] is None and "Q4.1 to Q4.4 count as not tried" in told["repairs"][0]
    before = tree(course.folder)
    assert plan(course, export({"ann.zip": zipped(files)}, hour=20))[0].parts == {
        "part4_flow": "unchanged"
    }
    assert tree(course.folder) == before


class _Harm:
    def __init__(self, source):
        self.source = source

    def __reduce__(self):
        return exec, (self.source,)


def test_the_notebook_is_the_releases_with_one_cell_that_loads_before_the_rollouts(
    course,
):
    released = nbformat.read(
        course.folder / "release" / ASSIGNMENT / "part4_flow.ipynb", as_version=4
    )
    made = substitute(released, FORMAT)
    nbformat.validate(made)
    ids = [cell.id for cell in made.cells]
    assert ids[ids.index("part4-script") + 1] == "part4-rollouts_mse"
    same = {cell.id: cell for cell in made.cells}
    for cell in released.cells:
        assert same[cell.id].metadata == cell.metadata
        assert same[cell.id].source == cell.source or cell.metadata.nbgrader.solution
    assert [
        cell.id
        for cell in repair(nbformat.writes(made), released)[0].cells
        if "nbgrader" in cell.metadata
    ] == [cell.id for cell in released.cells if "nbgrader" in cell.metadata]


def test_a_newer_zip_replaces_the_earlier_one_as_a_whole_and_a_notebook_replaces_it(
    course, export, code
):
    model = policy(code, "mse")
    first = run_files(
        code, {"mse": {"policy.safetensors": kit_checkpoint(model)}, "flow": {"m.pkl": b"x"}}
    )
    collected(course, export, first, hour=10)
    assert load_checkpoint(
        course.folder / "submitted/ann/pusht/part4_mse.safetensors", MOMENTS
    ).weights
    upload = collected(course, export, whole(code), hour=11)
    assert upload.parts == {"part4_flow": "newer"} and not any(
        "Stays" in remark for remark in upload.remarks
    )
    assert not load_checkpoint(
        course.folder / "submitted/ann/pusht/part4_mse.safetensors", MOMENTS
    ).weights
    assert len([*(course.folder / "replaced/ann").iterdir()]) == 1
    fewer = {
        name: content for name, content in whole(code).items() if name != PICKLES.format("mse", 9)
    }
    assert collected(course, export, fewer, hour=12).parts == {"part4_flow": "newer"}
    assert PICKLES.format("mse", 9) not in unzipped(submitted(course, "ann")[FORMAT.packed])
    mine = nbformat.writes(build.answered_notebook(rubric.PARTS["part4_flow"])).encode()
    collected(
        course,
        export,
        {"part4_flow.ipynb": mine, "part4_flow.safetensors": kit_checkpoint(model)},
        hour=13,
    )
    got = submitted(course, "ann")
    assert (
        FORMAT.packed not in got
        and "part4_mse.safetensors" not in got
        and "part4_flow.safetensors" in got
    )
    assert (
        b"part4/script" not in got["part4_flow.ipynb"]
        and record(course, "ann")["parts"]["part4_flow"]["given"] == []
    )
    upload = collected(course, export, whole(code), hour=14)
    assert "(not used beside a notebook of Part IV)" in upload.remarks[
        -1
    ] and FORMAT.packed not in submitted(course, "ann")


def test_a_notebook_that_cannot_be_read_replaces_no_such_hand_in_and_such_a_hand_in_replaces_it(
    course, export, code
):
    collected(course, export, whole(code), hour=10)
    before = submitted(course, "ann")
    collected(course, export, {"part4_flow.ipynb": b"{"}, hour=11)
    after = submitted(course, "ann")
    assert {name: after[name] for name in before if name != "timestamp.txt"} == {
        name: before[name] for name in before if name != "timestamp.txt"
    }
    assert record(course, "ann")["parts"]["part4_flow"]["refused"].endswith(
        "The one before it is graded."
    )
    assert collected(course, export, whole(code), hour=12).parts == {"part4_flow": "unchanged"}
    collected(course, export, {"part4_flow.ipynb": b"{"}, hour=10, name="bo")
    collected(course, export, whole(code), hour=11, name="bo")
    assert (
        FORMAT.packed in submitted(course, "bo")
        and record(course, "bo")["parts"]["part4_flow"]["refused"] is None
    )


def test_beside_a_notebook_of_part_four_the_layout_is_not_used(course, export, code):
    mine = nbformat.writes(build.answered_notebook(rubric.PARTS["part4_flow"])).encode()
    files = whole(code) | {
        "part4_flow.ipynb": mine,
        "exp/mse/policy.safetensors": kit_checkpoint(policy(code, "mse")),
    }
    upload = collected(course, export, files)
    assert {*submitted(course, "ann")} == {
        "part4_flow.ipynb",
        "part4_mse.safetensors",
        "part4_mse_log.csv",
        "part4_flow_log.csv",
        "timestamp.txt",
    }
    assert (
        "src/hw1_imitation/model.py (not used beside a notebook of Part IV)" in upload.remarks[-1]
    )


def test_what_is_hostile_in_the_zip_is_not_taken_and_is_named(course, export, code, monkeypatch):
    link = zipfile.ZipInfo("src/hw1_imitation/linked.py")
    link.external_attr = 0o120777 << 16
    files = whole(code) | {
        "src/../../evil.py": b"x",
        "exp/mse/../../evil.pkl": b"x",
        link: b"/etc/passwd",
        "src/large.py": b"# " + os.urandom(2**20),
        "exp/flow/huge.pkl": bytes(10 << 20),
    }
    upload = collected(course, export, files)
    packed = unzipped(submitted(course, "ann")[FORMAT.packed])
    assert {*packed} - {LEFT_OUT} == {*layout_of(whole(code)).files}
    assert json.loads(packed[LEFT_OUT]) == ["exp/flow/huge.pkl"]
    left = next(remark for remark in upload.remarks if remark.startswith("Left out"))
    for name, reason in (
        ("evil.py", "its path leads elsewhere"),
        ("evil.pkl", "its path leads elsewhere"),
        ("linked.py", "a link"),
        ("large.py", "larger than 1 MB"),
        ("huge.pkl", "more than 500 times its packed size"),
    ):
        assert f"{name} ({reason})" in left
    monkeypatch.setattr(FORMAT, "packed_cap", 5000)
    upload = collected(course, export, whole(code), name="bo")
    assert "would be larger than 0 MB" in next(
        remark for remark in upload.remarks if remark.startswith("Left out")
    )


def test_where_there_is_not_room_for_all_models_each_run_has_its_likeliest(
    course, export, code, monkeypatch
):
    files = run_files(
        code,
        {method: {f"step_{step}.pkl": os.urandom(4000) for step in range(5)} for method in METHODS},
    )
    monkeypatch.setattr(FORMAT, "packed_cap", 20_000)
    collected(course, export, files)
    names = {*unzipped(submitted(course, "ann")[FORMAT.packed])}
    assert {
        f"exp/{method}/step_4.pkl" for method in METHODS
    } <= names and "exp/mse/step_0.pkl" not in names


def test_collecting_that_was_cut_off_before_its_record_takes_the_next_such_hand_in(
    course, export, code
):
    collected(course, export, whole(code), hour=10)
    (course.folder / "repairs/ann.json").unlink()
    assert collected(course, export, whole(code), hour=11).parts == {"part4_flow": "newer"}
    assert "part4_flow.ipynb" in record(course, "ann")["parts"]["part4_flow"]["given"]


def test_a_moodle_export_of_such_zips_is_known(course, export, code):
    files = {name: content for name, content in whole(code).items() if not name.endswith("log.csv")}
    (upload,) = plan(
        course, export({"Ann Lee_77_assignsubmission_file_/submit.zip": zipped(files)})
    )
    assert upload.student == "77" and upload.parts == {"part4_flow": "new"}


def test_an_export_of_zips_in_other_layouts_is_known_and_what_is_one_half_is_in_the_tables(
    course, export, code
):
    flat = {"model.py": MODEL.encode(), "mse.pkl": b"x", "flow.pkl": b"x", "notes.txt": b""}
    half = {"hw1/model.py": MODEL.encode()}
    path = export(
        {
            "leeann_77_1001_submit.zip": zipped(flat),
            "coebo_78_1002_submit.zip": zipped(half),
        }
    )
    uploads = plan(course, path)
    assert [(u.student, u.parts) for u in uploads] == [
        ("77", {"part4_flow": "new"}),
        ("78", {"part4_flow": "new"}),
    ]
    collect(course, path)
    assert {"exp/mse/mse.pkl", "exp/flow/flow.pkl", "src/model.py", "paths.json"} == {
        *unzipped(submitted(course, "77")[FORMAT.packed])
    }
    assert course.students() == ["77", "78"]


def test_runs_of_which_nothing_says_the_method_are_named(code):
    files = {n: x for n, x in whole(code).items() if not n.startswith("exp/")}
    found = layout_of(files | {"exp/a/m.pt": b"x", "exp/b/m.pt": b"x"})
    assert found.runs == {} and found.description.endswith(
        "Nothing says which method these are of: exp/a, exp/b; name them exp/mse and exp/flow."
    )


def test_the_settings_that_hydra_keeps_in_a_folder_of_its_own_say_the_method(course, export, code):
    files = {n: x for n, x in whole(code).items() if not n.startswith("exp/")}
    for time, method in (("10-00-05", "mse"), ("11-00-05", "flow")):
        run = f"outputs/2026-02-09/{time}"
        files[f"{run}/.hydra/config.yaml"] = f"loss: mse\npolicy:\n  name: {method}\n".encode()
        files[f"{run}/checkpoints/step_9.pt"] = saved(policy(code, method).state_dict())
    upload = collected(course, export, files)
    assert any("exp/mse is ann.zip/outputs/2026-02-09/10-00-05" in r for r in upload.remarks)
    packed = unzipped(submitted(course, "ann")[FORMAT.packed])
    assert b"outputs/2026-02-09/11-00-05/checkpoints/step_9.pt" in packed["paths.json"]


def test_the_run_that_was_not_renamed_is_named_to_the_instructor(course, export, code):
    files = {n.replace("exp/flow/", "exp/FlowMatching/"): x for n, x in whole(code).items()}
    upload = collected(course, export, files)
    assert any("exp/flow is ann.zip/exp/FlowMatching (by its name)" in r for r in upload.remarks)


def test_two_such_hand_ins_are_no_twins_for_what_the_kit_wrote(course, export, code):
    for name in ("ann", "bo"):
        collected(course, export, whole(code), name=name)
    assert similarity.find(course, ["ann", "bo"]) == []


@pytest.mark.parametrize(
    "change, sentence",
    [
        ({}, None),
        (
            {"exp/flow": None},
            "There is no run of the flow policy: hand in its whole run directory",
        ),
        ({".pkl": None}, "exp/mse has no checkpoint (log.csv is there): copy the whole run"),
        ({"model.py": None}, "There is no model.py: hand in src/hw1_imitation"),
        (
            {"model.py": b"x = ("},
            "src/hw1_imitation/model.py is not valid Python (SyntaxError, line 1)",
        ),
        (
            {"model.py": b"x = 1"},
            (
                "src/hw1_imitation/model.py defines neither build_policy nor MSEPolicy and"
                " FlowMatchingPolicy"
            ),
        ),
        ({"model.py": MODEL.split("def build_policy")[0].encode()}, None),
    ],
)
@pytest.mark.parametrize("form", ["zip", "folder"])
def test_a_check_says_what_was_found_and_what_is_missing(tmp_path, code, change, sentence, form):
    files = whole(code)
    for name, content in change.items():
        files = {
            path: content if name in path else old
            for path, old in files.items()
            if content is not None or name not in path
        }
    path = tmp_path / "submit.zip"
    path.write_bytes(zipped(files))
    if form == "folder":
        path = laid_out(tmp_path / "mine", files)
    found = check(path)
    (part,) = found.parts
    assert part.name == "part4_flow" and found.complete == (sentence is None)
    assert part.missing == [] if sentence is None else part.missing[0].startswith(sentence)
    assert (
        part.facts[0].startswith("The script assignment's layout: ")
        and "Q4.1 to Q4.4 count as not tried" in part.notes[0]
    )


def test_a_folder_is_packed_as_it_is_collected(tmp_path, code):
    files = whole(code)
    path, report = pack(laid_out(tmp_path / "mine", files))
    got = unzipped(path)
    assert report.complete
    for name in layout_of(files).files:
        assert got[name] == files[name]


def test_of_a_folder_with_several_runs_one_is_packed_and_nothing_of_another(tmp_path, code):
    runs = {
        f"exp/seed_{18 - day}_2026011{day}_161512_mse/{name}": f"{day}".encode()
        for day in (8, 9)
        for name in ("model.pkl", "config.json", "log.csv", *["policy.safetensors"] * (day == 8))
    }
    files = {
        name: content for name, content in whole(code).items() if not name.startswith("exp/mse")
    } | runs
    laid_out(tmp_path / "mine", files)
    for name in runs:  # the earlier run's files were copied later
        os.utime(tmp_path / "mine" / name, (1_800_000_000 + 99 * ("0118" in name),) * 2)
    path, _ = pack(tmp_path / "mine")
    got = {name: x for name, x in unzipped(path).items() if name.startswith("exp/mse/")}
    assert got == {f"exp/mse/{name}": b"9" for name in ("model.pkl", "config.json", "log.csv")}


def test_what_was_graded_without_a_box_is_graded_again_where_there_is_one(
    course, export, code, monkeypatch
):
    collected(course, export, whole(code))
    released = {"part4_flow": course.released("part4_flow").read_bytes()}
    plan = class_run._Plan(course, RunSettings(20_000, 1), released, Config())
    key = plan._key("part4_flow", plan._submission("ann", "part4_flow"))
    for level in (levels.LEVELS[0], levels.LEVELS[-1]):
        results.save(
            replace(results.ungraded("ann", "part4_flow", "", key), sandbox=level.name),
            course.folder / "results",
        )
        for now in (levels.LEVELS[-1], levels.LEVELS[1]):
            monkeypatch.setattr(levels, "strictest", lambda now=now: now)
            assert plan.is_stale("ann", "part4_flow") == (
                level is levels.LEVELS[-1] and now is levels.LEVELS[1]
            )


# Rollouts, in a box.


def outcome(files, level=LEVEL, episodes=2, seconds=120, at_once=False):
    """The verdicts on the rollouts of such a hand-in, by method."""
    notebook = substitute(build.student_notebook(rubric.PARTS["part4_flow"]), FORMAT)
    imports = nbformat.v4.new_code_cell(
        "# [part4/imports] given\nimport score\nstate_dim, action_dim, chunk_size = 5, 2, 8"
    )
    needed = ("part4-script", "part4-rollouts_mse", "part4-rollouts_flow")
    notebook.cells = [imports, *(cell for cell in notebook.cells if cell.id in needed)]
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o711)
        hand_in(Path(folder), files)
        limits = Limits(cell_seconds=seconds, notebook_seconds=seconds)
        settings = RunSettings(20_000, episodes, filmed=0, limits=limits, at_once=at_once)
        part = rubric.PARTS["part4_flow"]
        execution = execute(notebook, part, Path(folder), settings, level=level)
    assert execution.stopped == ""
    return {method: execution.cells[f"part4-rollouts_{method}"] for method in METHODS}


def boxed(level):
    if not levels.works(level):
        pytest.skip(f'the level "{level.name}" does not work here')
    return level


@functools.cache
def trained(method, demonstrations="human"):
    """The kit's reference, in the classes above."""
    module = types.ModuleType("hw1_imitation.model")
    exec(MODEL, module.__dict__)
    model = module.build_policy(
        method, state_dim=5, action_dim=2, chunk_size=8, hidden_dims=(256,) * 3
    )
    model.load_state_dict(
        load_checkpoint(
            reference_path(rubric.POLICIES[f"part4_{method}"], demonstrations), MOMENTS
        ).weights
    )
    return model.float()


HARM = """
import pathlib, socket, score.rollouts.evaluate
done = []
try: done += [pathlib.Path({path!r}).touch()]
except OSError: pass
try: done += [socket.create_connection(("127.0.0.1", {port}), 2)]
except OSError: pass
score.rollouts.stopping.rollout_points = lambda *given: 4.0
raise ValueError(f"it ran, and did {{len(done)}} things")
"""


def test_a_policy_earns_what_its_rollouts_show_and_a_hostile_pickle_stays_in_the_box(
    code, tmp_path
):
    if LEVEL is levels.LEVELS[-1]:
        pytest.skip("needs a box: bubblewrap, or root")
    outside = tmp_path / "outside"
    outside.mkdir(mode=0o777)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        harm = HARM.format(path=str(outside / "touched"), port=listener.getsockname()[1])
        code()
        files = run_files(
            code,
            {
                "mse": {"m.pt": saved(trained("mse").state_dict())},
                "flow": {"m.pkl": pickle.dumps(_Harm(harm))},
            },
        )
        got = outcome(files, episodes=10)
        with pytest.raises(BlockingIOError):
            listener.accept()
    assert got["mse"].points > 1 and "over 10 episodes" in got["mse"].sentence
    assert (got["flow"].points, got["flow"].sentence) == (
        0,
        "exp/flow/m.pkl raised ValueError: it ran, and did 0 things.",
    )
    assert not (outside / "touched").exists()


@pytest.mark.long
def test_without_a_box_nothing_is_loaded_and_that_is_nobodys_fault(code):
    got = outcome(whole(code), level=boxed(levels.LEVELS[-1]))
    for method in METHODS:
        assert got[method].points == 0 and "This is not your fault" in got[method].sentence


@pytest.mark.long
def test_what_is_told_at_once_is_not_chosen_by_a_kernel_that_has_seen_graded_episodes(code):
    if LEVEL is levels.LEVELS[-1]:
        pytest.skip("needs a box: bubblewrap, or root")
    got = outcome(whole(code), at_once=True)
    assert "Graded: exp/mse" in got["mse"].sentence and "over 2" in got["flow"].sentence
    assert "Graded" not in got["flow"].sentence


@pytest.mark.long
def test_the_statistics_that_fit_the_log_are_taken(code):
    if LEVEL is levels.LEVELS[-1]:
        pytest.skip("needs a box: bubblewrap, or root")
    shipped = trained("mse", "shipped")
    log = b"step,eval/mean_reward\n10,0.753\n"  # of the assignment's hundred episodes
    code()
    kept = {"m_10.pkl": saved(as_hw1(code, shipped)), "log.csv": log}
    got = outcome(run_files(code, {"mse": kept}), episodes=10)["mse"]
    assert "those of the shipped demonstrations are used, which fit its log best" in got.sentence
    assert "0.66 earns all points" in got.sentence and got.points > 1


@pytest.mark.long
@pytest.mark.parametrize("level", levels.LEVELS[:-1], ids=lambda level: level.name)
def test_at_every_level_with_a_box_whole_models_are_rolled_out(code, level):
    code()
    files = run_files(
        code,
        {
            method: {"checkpoint_step_9.pkl": saved(as_hw1(code, trained(method)))}
            for method in METHODS
        },
    )
    got = outcome(files, level=boxed(level), episodes=10)
    assert got["mse"].points > 1 and got["flow"].points > 2


def as_hw1(code, model):
    """The model as one of the class that pickle finds under the module's name."""
    module = code()
    made = getattr(module, type(model).__name__)(5, 2, 8, hidden_dims=(256,) * 3)
    made.load_state_dict(model.state_dict())
    return made


@pytest.mark.long
def test_a_run_made_with_the_kits_logger_is_graded_like_a_notebooks(
    tmp_path_factory, code, demonstrations, capsys
):
    """What the published argument lists write, in the published layout: two runs, the code, and not
    a word of a notebook.
    """
    folder = tmp_path_factory.mktemp("mine")
    (folder / "src/hw1_imitation").mkdir(parents=True)
    (folder / "src/hw1_imitation/model.py").write_text(MODEL)
    for method in METHODS:
        loader, normalizer = prepare(TrainConfig(policy=method), demonstrations)
        model, logger = (
            policy(code, method),
            Logger(folder / "exp" / method, demonstrations=demonstrations),
        )
        optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
        for step, (state, chunk) in zip(range(1, 101), loader, strict=False):
            loss = model.compute_loss(state, chunk)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            logger.log({"train/loss": loss.item()}, step=step)
        evaluate_policy(
            model=model,
            normalizer=normalizer,
            device=torch.device("cpu"),
            chunk_size=8,
            video_size=(96, 96),
            num_video_episodes=0,
            flow_num_steps=10,
            step=100,
            logger=logger,
            num_episodes=2,
        )
        logger.dump_for_grading()
    path, report = pack(folder)
    assert report.complete
    base = tmp_path_factory.mktemp("course")
    course = create(base / "course", first_seed=20_000, episodes=3)
    other = zipped(whole(code) | {"exp/mse/m.pkl": b"broken"})
    (base / "export.zip").write_bytes(zipped({"ann.zip": path.read_bytes(), "bo.zip": other}))
    collect(course, base / "export.zip")
    grades = {
        (student, cell): verdict
        for (student, _, cell), verdict in grade_course(course, parts=["part4_flow"]).items()
    }
    for student in ("ann", "bo"):
        for question in ("q4_1", "q4_2", "q4_3", "q4_4"):
            assert grades[student, f"part4-{question}"].points == 0
            assert (
                "a submission of the script assignment: its rollouts are graded"
                in grades[student, f"part4-{question}"].sentence
            )
        for method in METHODS:
            assert "over 3 episodes" in grades[student, f"part4-rollouts_{method}"].sentence
        assert "to be read by a person" in grades[student, "part4-report_curves"].sentence
    for student, of in (("ann", "shipped"), ("bo", "human")):
        bar = rubric.POLICIES["part4_mse"].targets[of]
        assert f"{bar:.2f} earns all points" in grades[student, "part4-rollouts_mse"].sentence
    page = (course.folder / "feedback/bo/pusht/feedback.html").read_text()
    assert (
        "a submission of the script assignment: its rollouts are graded here, and a person reads"
        " its report" in page
    )
    assert "part4_flow.ipynb was written by the kit" in (course.folder / "report.html").read_text()
    assert (
        "0 notebooks to grade"
        in (
            capsys.readouterr(),
            grade_course(course, parts=["part4_flow"]),
            capsys.readouterr().out,
        )[-1]
    )


@pytest.mark.long
def test_gradescope_takes_such_a_hand_in_by_the_same_road(tmp_path, code, monkeypatch):
    course = create(tmp_path / "course", first_seed=20_000, episodes=2)
    autograder = build_autograder(course, episodes=2, minutes=100, megabytes=10**5)
    with zipfile.ZipFile(autograder) as archive:
        archive.extractall(tmp_path / "source")
    laid_out(tmp_path / "submission", whole(code))
    if levels.strictest() is levels.LEVELS[-1]:
        pytest.skip("needs a box: bubblewrap, or root")
    for step in ("collect", "part4_flow"):
        run.step(
            step,
            tmp_path / "source" / "course",
            tmp_path / "submission",
            tmp_path / "private",
            tmp_path / "results",
        )
    document = json.loads((tmp_path / "results" / "results.json").read_text())
    rollouts = [
        test
        for test in document["tests"]
        if "part4_flow" in test.get("tags", ()) and "rollouts" in test["name"]
    ]
    assert len(rollouts) == 2 and all("over 2 episodes" in test["output"] for test in rollouts)
    assert "part4_flow.ipynb was written by the kit" in document["output"]
