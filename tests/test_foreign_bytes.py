"""Whatever is in the files that students hand in, reading them ends in a result or in a sentence of
the kit's own. Every other exception is a failure of the kit.

Each reader is given files that are right but for a few bytes or values. `make test` does this for
seconds, with the same files each time; `make test-all` for minutes, with new ones.
"""

import contextlib
import copy
import io
import json
import shutil
import struct
import zipfile
from dataclasses import replace

import nbformat
import numpy as np
import pytest
import yaml
from exports import NOTEBOOK, made_course, tarred, zipped
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from pusht.checkpoint import Checkpoint, CheckpointError, load_checkpoint
from pusht.normalisation import MOMENTS, RANGE
from score import rubric
from score.course.collect.collect import collect
from score.course.collect.layouts import by_student
from score.course.collect.people import Came, Unclear, open_people
from score.course.collect.repair import RepairError, repair
from score.course.collect.stored import handed_in_at, parsed_time
from score.course.grading.results import RolloutResult
from score.course.grading.sanitise.submitted import empty_answers, read_notebook, sanitise
from score.course.notebooks import build
from score.course.report import similarity
from score.course.report.charts import loss_chart
from score.course.settings import CourseError
from score.hw1 import imports
from score.hw1.boxed.statistics import find_stats, read_arrays, read_json
from score.hw1.runs.reward_log import LOG as LOG_NAME
from score.hw1.runs.reward_log import SUMMARY, logged_reward
from score.hw1.runs.settings import read_settings
from score.rollouts.loss_curves import epoch_losses
from score.student.progress import training_extent
from score.submission.archive import MB, Archive, RejectedFile, SubmissionError
from score.submission.check import check
from score.submission.failures import Failures
from score.submission.notebooks import code_cells
from score.verdict import AnswerError, call_answer

PART, POLICY = rubric.PARTS["part1_mlp"], rubric.POLICIES["part1_mlp"]
RELEASED = build.student_notebook(PART)

# Right files.


def checkpoint_file():
    header = {
        "losses": [0.5, 0.1],
        "num_epochs": 2,
        "demonstrations": "x",
        "seed": 1,
        "config": {"loss_steps": [0, 1], "step": 1},
        "stats": {
            "obs": {"min": [0] * 5, "max": [1] * 5, "mean": [0] * 5, "std": [1] * 5},
            "action": {"min": [0] * 2, "max": [1] * 2, "mean": [0] * 2, "std": [1] * 2},
        },
    }
    weights = {"w": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}}
    return {"__metadata__": {"pusht_checkpoint": header}} | weights


METADATA = {
    "submission_1": {
        ":submitters": [{":name": "Ann", ":sid": 7, ":email": "ann@uni.edu"}],
        ":created_at": "2026-02-01 10:00:00 Z",
    },
    "submission_2": {":submitters": [{":name": "Bo", ":sid": "8"}]},
}
MANIFEST = {"parts": ["part1_mlp"], "files": {"part1_mlp.ipynb": {"sha256": "0"}}}
STATISTICS = {"state_mean": [0] * 5, "state_std": [1] * 5, "normalizer": {"action": {"mean": [0]}}}
LOG = b"step,train/loss,eval/mean_reward\n1,0.5,\n2,0.25,0.75\n"
ROSTER = '\ufeffid;name;email\r\n7;"Lee, Ann";ann@uni.edu\r\n8;李雷;\r\n'.encode()
NAMES = [
    "Ann_1_assignsubmission_file_/part1_mlp.ipynb",
    "lee_12_345_part1_mlp.ipynb",
    "ann/exp/seed_1_mse/checkpoints/step_9.safetensors",
    "ann/src/hw1_imitation/model.py",
    "Copy of bo-part1_mlp (2).ipynb",
    "submission_1/part1_mlp.ipynb",
]


def arrays_file():
    packed = io.BytesIO()
    np.savez(packed, state_mean=np.zeros(5), state_std=np.ones(5))
    return packed.getvalue()


# What is changed in them.

NUMBERS = [0, 1, -1, 5, 10**400, 2**53, 2**63, 1e308, float("inf"), float("nan"), -0.5]
TEXTS = ["", "x", "\0", "\ud800", "9" * 5000, "-" * 300 + "1", "../..", "yesterday", "part1_mlp"]


def nested(depth):
    value = []
    for _ in range(depth):
        value = [value]
    return value


VALUES = st.one_of(
    st.sampled_from([None, True, [], {}, [None], [[]], {"": None}, nested(150), nested(600)]),
    st.sampled_from(NUMBERS),
    st.sampled_from(TEXTS),
    st.text(max_size=9),
    st.lists(st.sampled_from([*NUMBERS, *TEXTS]), max_size=4),
    st.dictionaries(st.sampled_from([*TEXTS, "source", "min"]), st.sampled_from(NUMBERS)),
)


def places(value, place=()):
    """The places of the values in a document, but for what is nested absurdly deep."""
    inside = value.items() if isinstance(value, dict) else ()
    for key, inner in enumerate(value) if isinstance(value, list) else inside:
        yield (*place, key)
        if len(place) < 12:
            yield from places(inner, (*place, key))


@st.composite
def documents(draw, kind):
    """A right document in which some values are others, or gone."""
    document = json.loads(json.dumps(RIGHT[kind][0]))
    for _ in range(draw(st.integers(1, 3))):
        found = [*places(document)]
        if not found:
            break
        *way, last = draw(st.sampled_from(found))
        inside = document
        for key in way:
            inside = inside[key]
        if draw(st.integers(0, 3)):
            inside[last] = copy.deepcopy(draw(VALUES))
        else:
            del inside[last]
    return document


@st.composite
def damaged(draw, kind):
    """A right file of which some bytes are others, or gone, or new."""
    document, packed = RIGHT[kind]
    content = bytearray(packed(document))
    for _ in range(draw(st.integers(1, 4))):
        # Zips end in what says where everything is, safetensors and arrays begin with it.
        near_end = len(content) - draw(st.integers(0, 120))
        at = draw(st.sampled_from([draw(st.integers(0, max(len(content) - 1, 0))), near_end]))
        at, size = max(at, 0), draw(st.sampled_from([1, 2, 4, 8]))
        new = draw(st.sampled_from([b"", b"\0" * size, b"\xff" * size, b"\xfe" + b"\xff" * size]))
        new = draw(st.one_of(st.just(new), st.binary(max_size=8)))
        content[at : at + draw(st.sampled_from([size, len(new), 0]))] = new
    return bytes(content)


def as_json(document):
    return json.dumps(document).encode("utf-8", "surrogatepass")


def as_safetensors(document):
    """The bytes of a safetensors file, whose header is a document in a document."""
    document = document if isinstance(document, dict) else {}
    metadata = document.get("__metadata__")
    if isinstance(metadata, dict):
        metadata = {name: json.dumps(value) for name, value in metadata.items()}
    header = json.dumps(document | {"__metadata__": metadata}).encode()
    return struct.pack("<Q", len(header)) + header + struct.pack("<6f", *range(6))


# {kind: (a right document, what makes a file of one)}
RIGHT = {
    "notebook": (json.loads(NOTEBOOK), as_json),
    "checkpoint": (checkpoint_file(), as_safetensors),
    "manifest": (MANIFEST, as_json),
    "statistics": (STATISTICS, as_json),
    "metadata": (METADATA, lambda document: yaml.safe_dump(document).encode()),
    "zip": (dict.fromkeys(NAMES, NOTEBOOK[:3000]), zipped),
    "tar": (tarred(dict.fromkeys(NAMES, b"x" * 600)), bytes),
    "plain tar": (tarred(dict.fromkeys(NAMES, b"x" * 600), "w"), bytes),
    "roster": (ROSTER, bytes),
    "log": (LOG, bytes),
    "arrays": (arrays_file(), bytes),
}


def files(kind):
    """Files with other values, and files with other bytes."""
    return st.one_of(documents(kind).map(RIGHT[kind][1]), damaged(kind))


# The readers. Each returns, or raises what has a sentence of the kit's.


def read_zip(folder, content):
    for name, whole in (("a.zip", content), ("b.zip", zipped({"ann.zip": content}))):
        path = folder / name
        path.write_bytes(whole)
        read_all(path)


def read_all(path):
    try:
        with Archive(path) as archive:
            for member in archive.members:
                with contextlib.suppress(RejectedFile):
                    archive.read(member, MB)
    except SubmissionError:
        return


def read_hand_in(folder, content):
    (folder / "hand_in.zip").write_bytes(content)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        try:
            check(folder / "hand_in.zip")
        except SubmissionError:
            return


def read_notebooks(folder, content):
    try:
        notebook, _ = repair(content, RELEASED)
        build.notebook_text(notebook).encode()
    except RepairError:
        pass
    try:
        notebook = read_notebook(content)
        sanitise(notebook, RELEASED)
        empty_answers(notebook, RELEASED)
        nbformat.writes(notebook).encode()
    except ValueError:
        pass
    assert all(isinstance(source, str) for source in code_cells(content))
    read_hand_in(folder, zipped({"part1_mlp.ipynb": content}))


def read_checkpoint(folder, content):
    path = folder / "part1_mlp.safetensors"
    path.write_bytes(content)
    for normalisation in (RANGE, MOMENTS):
        try:
            checkpoint = load_checkpoint(path, normalisation)
        except CheckpointError:
            continue
        assert isinstance(checkpoint, Checkpoint) and training_extent(checkpoint)
        losses = epoch_losses(checkpoint)
        loss_chart(POLICY, RolloutResult("", [0.5], (0.4, 0.6), False, losses, "x", "", []))
    course, failures = made_course(folder / "course"), Failures()
    handed_in = course.submission("ann", course.assignments[0])
    handed_in.mkdir(parents=True, exist_ok=True)
    (handed_in / path.name).write_bytes(content)
    [*similarity.weights.similar_weights(POLICY, {"ann": handed_in}, failures)]
    assert not failures, [*failures]


def read_log(folder, content):
    read_hand_in(folder, zipped({"part4_mse_log.csv": content}))


def read_manifest(folder, content):
    read_hand_in(folder, zipped({"manifest.json": content, "part1_mlp.ipynb": b"{}"}))


def read_statistics(folder, content):
    for name, read in (("stats.json", read_json), ("stats.npz", read_arrays)):
        (folder / name).write_bytes(content)
        try:
            call_answer(name, find_stats, read(folder / name))
        except AnswerError:
            continue


def read_run(folder, content):
    for name in ("config.json", "wandb/files/config.yaml"):
        read_settings([(name, content)])
    logged_reward({LOG_NAME: content, SUMMARY: content}, 10)
    imports.missing({"src/hw1_imitation/model.py": content})


def read_metadata(folder, content):
    export = {f"{name}/part1_mlp.ipynb": NOTEBOOK for name in METADATA}
    (folder / "export.zip").write_bytes(zipped(export | {"submission_metadata.yml": content}))
    with Archive(folder / "export.zip") as archive:
        try:
            by_student(archive)
        except CourseError:
            return


def read_tar(folder, content):
    """As it came or, so that what is damaged is the tar itself, without compression."""
    inner = zipped({"a.tgz": content})
    for name, packed in (("a.tar.gz", content), ("b.tar", content), ("b.zip", inner)):
        (folder / name).write_bytes(packed)
        read_all(folder / name)


def read_people(folder, content):
    (folder / "roster.csv").write_bytes(content)
    course = made_course(folder / "people")
    try:
        course = replace(course, roster=folder / "roster.csv")
        people = open_people(course)
    except CourseError:
        return
    for member in ("Ann Lee", "7", "ann"):
        try:
            people.folder(Came("x", member))
        except Unclear:
            continue
    people.save()


def read_names(folder, names):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name in dict.fromkeys(name[:9000] for name in names):
            archive.writestr(zipfile.ZipInfo(name.encode("utf-8", "replace").decode()), b"x")
    (folder / "export.zip").write_bytes(packed.getvalue())
    with Archive(folder / "export.zip") as archive:
        by_student(archive)


def read_time(folder, text):
    (folder / "timestamp.txt").write_bytes(text.encode("utf-8", "surrogatepass"))
    handed_in_at(folder / "timestamp.txt")
    try:
        parsed_time(text)
    except ValueError:
        return


def collect_class(folder, handed_in):
    """One student's files are anything, the other's are right: the other's are collected."""
    content, name = handed_in
    path = folder / "export.zip"
    path.write_bytes(zipped({f"mallory/{name}": content, "bo/part1_mlp.ipynb": NOTEBOOK}))
    shutil.rmtree(folder / "class", ignore_errors=True)
    course, failures = made_course(folder / "class"), Failures()
    written = collect(course, path, failures=failures)
    assert not failures, [*failures]
    assert "bo" in {upload.student for upload, _ in written}


TIMES = st.one_of(
    st.sampled_from(
        [*TEXTS, "2026-02-01 10:00:00 UTC", "99999999999999999999", "10", "0001-01-01"]
    ),
    st.text("0123456789-:+.TZ UTCamp", max_size=24),
    st.text(max_size=12),
)
A_NAME = st.one_of(
    st.sampled_from([*NAMES, *TEXTS]),
    st.lists(
        st.sampled_from([*"/_ .-", "111", "exp", "mse", "src", "part1_mlp", ".zip", ".ipynb", "é"]),
        min_size=1,
        max_size=12,
    ).map("".join),
    st.text(min_size=1, max_size=20),
)
READERS = {
    "zips": (damaged("zip"), read_zip, 60),
    "notebooks": (files("notebook"), read_notebooks, 25),
    "checkpoints": (files("checkpoint"), read_checkpoint, 60),
    "logs": (st.one_of(damaged("log"), st.binary(max_size=80)), read_log, 60),
    "manifests": (files("manifest"), read_manifest, 40),
    "statistics": (st.one_of(files("statistics"), damaged("arrays")), read_statistics, 80),
    "runs": (st.one_of(files("statistics"), damaged("log"), st.binary(max_size=80)), read_run, 60),
    "metadata": (files("metadata"), read_metadata, 40),
    "tars": (st.one_of(damaged("tar"), damaged("plain tar")), read_tar, 60),
    "rosters": (st.one_of(damaged("roster"), st.binary(max_size=80)), read_people, 60),
    "names": (st.lists(A_NAME, min_size=1, max_size=5), read_names, 40),
    "times": (TIMES, read_time, 100),
    "a class": (
        st.one_of(
            st.tuples(files("notebook"), st.just("part1_mlp.ipynb")),
            st.tuples(files("checkpoint"), st.sampled_from(["part1_mlp", "exp/mse/p"])).map(
                lambda pair: (pair[0], pair[1] + ".safetensors")
            ),
            st.tuples(damaged("zip"), st.just("all.zip")),
        ),
        collect_class,
        6,
    ),
}


@pytest.mark.parametrize("times", [1, pytest.param(100, marks=pytest.mark.long)])
@pytest.mark.parametrize("reader", READERS)
def test_whatever_the_bytes_are_there_is_a_result_or_a_sentence(tmp_path, reader, times):
    strategy, read, examples = READERS[reader]

    @settings(
        max_examples=examples * times,
        deadline=None,
        derandomize=times == 1,
        database=None,
        phases=[Phase.generate],  # to shrink whole files takes minutes
        report_multiple_bugs=False,
        suppress_health_check=[*HealthCheck],
    )
    @given(strategy)
    def run(content):
        read(tmp_path, content)

    run()
