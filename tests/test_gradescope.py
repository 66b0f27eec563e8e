"""Gradescope's autograder: what the zip contains, and the results of good, broken and hostile
submissions.

It runs in a clean root, with the system's programs, the unpacked zip and the rights of a
container's root; it has nothing of the checkout, and no network. One thing differs from Gradescope:
setup.sh makes the environment over the network, so here it is the tests' own, without the checkout
that it points to.
"""

import json
import os
import re
import shutil
import stat
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import torch

from score import rubric
from score.__main__ import main
from score.course.gradescope import build as gradescope
from score.course.gradescope import run
from score.course.nbgrader.release import create
from score.course.notebooks import build
from score.course.notebooks.solutions import reference_path
from score.course.settings import CourseError, open_course
from score.submission.pack import pack

AS_GRADESCOPE = pytest.mark.skipif(
    shutil.which("bwrap") is None or os.geteuid() != 0,
    reason="needs bubblewrap to build a clean root, and root, as Gradescope has it",
)
# What a container's root may do unless told otherwise.
_CAPABILITIES = [
    *("CHOWN", "DAC_OVERRIDE", "FSETID", "FOWNER", "MKNOD", "NET_RAW", "SETGID", "SETUID"),
    *("SETFCAP", "SETPCAP", "NET_BIND_SERVICE", "SYS_CHROOT", "KILL", "AUDIT_WRITE"),
]
# A container has torch's CPU build, and 768 MB are enough; with CUDA's libraries they are not.
MEMORY = {"megabytes": 2048} if torch.version.cuda else {}
WRITTEN = sum(entry.points for part in rubric.PARTS.values() for entry in part.written)

# In place of an answer of Part I: the checks are replaced, and the answer says what the notebook
# could read or write.
FORGERY = """
import glob, json, os
import score
def right(name, *answer):
    return score.Verdict(name, 5.0, 5.0, "Right.").show()
score.check = score.grade_rollouts = right
got = []
for pattern in ("/autograder/*/*", "/autograder/source/course/*", "/tmp/pusht-*/course/*",
                "/tmp/pusht-*/*"):
    got += glob.glob(pattern)
for pid in filter(str.isdigit, os.listdir("/proc")):  # the grader's command line names its folders
    try: words = open(f"/proc/{pid}/cmdline").read().split(chr(0))
    except OSError: continue
    for word in words:
        for path in (word, f"{word}/course.toml", f"{word}/report.json", f"{word}/results.json"):
            if not path.startswith(("/tmp", "/autograder")) or "/s/" in path: continue
            try: got.append(open(path).read())
            except (OSError, UnicodeDecodeError): pass  # some other program's file
for path in ("/autograder/results/results.json", "results.json", "/autograder/x",
             "/autograder/source/x", "/autograder/submission/x"):
    try:
        with open(path, "w") as file: json.dump({"score": 1000, "output": "", "tests": []}, file)
        if path.startswith("/autograder"): got.append(path)
    except OSError: pass
print(json.dumps({"score": 1000, "tests": []}))
"""
TELLS = """
def mlp_dims(*sizes, **named):
    from score.questions import QUESTIONS
    raise ValueError(f"LEAK {got}" if got else "nothing")
"""
BOMB = "held = []\nwhile True: held.append(bytearray(b'x' * 2 ** 25))"


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    return create(tmp_path_factory.mktemp("gradescope") / "course", first_seed=20_000)


@pytest.fixture(scope="module")
def zipped(course):
    return gradescope.build(course, episodes=1)


# The zip.


def test_the_zip_has_what_grading_needs_and_nothing_else(course, zipped):
    with zipfile.ZipFile(zipped) as archive:
        names = archive.namelist()
        modes = {name: archive.getinfo(name).external_attr >> 16 for name in names}
        settings = archive.read("course/course.toml").decode()
    assert {name for name in names if modes[name] & 0o111} == {"setup.sh", "run_autograder"}
    assert all(stat.S_ISREG(mode) for mode in modes.values()) and len(names) == len(set(names))
    assert {re.split("[/.]", name)[0] for name in names} == {
        "setup",
        "run_autograder",
        "kit",
        "course",
    }
    assert {
        "kit/pyproject.toml",
        "kit/requirements.lock",
        "kit/data/demonstrations.zarr.zip",
        "kit/pusht/sim.py",
        "kit/score/course/gradescope/run.py",
        "kit/notebooks/source/part3_ddpm.py",
        "course/nbgrader_config.py",
    } <= {*names}
    assert {f"course/release/pusht/{part}.ipynb" for part in rubric.PARTS} <= {*names}
    assert not [
        name
        for name in names
        if re.search(
            r"tests?/|reference/|\.safetensors|__pycache__|\.git|submitted/|benchmarks|\.db", name
        )
    ]
    # Other episodes than the class's, and nothing from which these would follow.
    values = tomllib.loads(settings)
    assert {*values} == {"bundle", "secret", "episodes", "assignment", "points"} and values[
        "episodes"
    ] == 1
    assert len(values["secret"]) == 32 and values["secret"] != course.secret
    assert course.secret not in settings and "20000" not in settings
    assert zipped == course.folder / "gradescope.zip" and zipped.stat().st_size < 1.25 * 2**20


def test_the_same_course_gives_the_same_bytes(course, zipped, tmp_path, capsys):
    main(
        [
            "gradescope",
            "build",
            str(course.folder),
            "--episodes",
            "1",
            "--out",
            str(tmp_path / "again.zip"),
        ]
    )
    assert "do not show it to students" in capsys.readouterr().out
    assert (tmp_path / "again.zip").read_bytes() == zipped.read_bytes()


def test_a_pattern_that_no_file_of_the_kit_matches_is_an_error(course, tmp_path, monkeypatch):
    monkeypatch.setattr(gradescope, "_KIT", (*gradescope._KIT, "losses/*.csv"))
    with pytest.raises(CourseError, match=r"no file that matches losses/\*\.csv"):
        gradescope.build(course, tmp_path / "autograder.zip")
    assert not list(tmp_path.iterdir())


def test_the_slow_part_comes_last(zipped):
    with zipfile.ZipFile(zipped) as archive:
        steps = re.search(r"for step in collect (.*); do", archive.read("run_autograder").decode())[
            1
        ].split()
    assert (
        steps == run.ordered(rubric.PARTS)
        and steps[-1] == "part3_ddpm"
        and {*steps} == {*rubric.PARTS}
    )


# Submissions.


def graded(zipped, folder, files, **settings):
    """Return results.json of a submission.

    files: a notebook, a text or the path of a file, by name. settings: in place of the zip's, such
        as `minutes`.
    """
    here = folder / "autograder"
    lay_out(zipped, here, files, settings)
    (folder / "passwd").write_text("root:x:0:0:root:/root:/bin/bash\n")
    done = subprocess.run(
        in_clean_root(here, folder / "passwd"), capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert not list((here / "results").glob("*.part"))
    return validated(json.loads((here / "results" / "results.json").read_text()))


def lay_out(zipped, here, files, settings):
    """Unpack the zip and put the submission beside it, as Gradescope does."""
    with zipfile.ZipFile(zipped) as archive:
        for info in archive.infolist():
            path = here / "source" / info.filename
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(archive.read(info))
            path.chmod(info.external_attr >> 16 & 0o777)
    path = here / "source" / "course" / run.SETTINGS
    path.write_text(json.dumps(json.loads(path.read_text()) | MEMORY | settings))
    (here / "results").mkdir()
    (here / "submission").mkdir()
    for name, content in files.items():
        if isinstance(content, Path):
            shutil.copy(content, here / "submission" / name)
        elif isinstance(content, str):
            (here / "submission" / name).write_text(content)
        else:
            build.write(content, here / "submission" / name)


def in_clean_root(autograder_folder, passwd):
    venv, base = sys.prefix, sys.base_prefix
    command = [
        "bwrap",
        "--unshare-pid",
        "--unshare-net",
        "--unshare-ipc",
        "--unshare-uts",
        "--die-with-parent",
        "--clearenv",
    ]
    for name in _CAPABILITIES:
        command += ["--cap-add", f"CAP_{name}"]
    command += [
        "--proc",
        "/proc",
        "--dev",
        "/dev",
        "--perms",
        "1777",
        "--tmpfs",
        "/tmp",
        "--ro-bind",
        "/usr",
        "/usr",
    ]
    for name in ("bin", "lib", "lib64", "sbin"):
        command += (
            ["--symlink", f"usr/{name}", f"/{name}"]
            if Path("/", name).is_symlink()
            else ["--ro-bind-try", f"/{name}", f"/{name}"]
        )
    for path in ("/etc/alternatives", "/etc/ld.so.cache", "/etc/fonts"):
        command += ["--ro-bind-try", path, path]
    for path in sorted(
        {str(parent) for prefix in (venv, base) for parent in Path(prefix).parents} - {"/"}
    ):
        command += [
            "--perms",
            "0755",
            "--dir",
            path,
        ]  # so that other users than root get to the interpreter
    for path in (venv, base):
        command += ["--ro-bind", path, path]
    # Containers have no bubblewrap that works, so students' code is kept apart by a user of its
    # own.
    command += [
        "--ro-bind",
        "/dev/null",
        shutil.which("bwrap"),
        "--bind",
        str(autograder_folder),
        "/autograder",
        "--ro-bind",
        str(passwd),
        "/etc/passwd",
    ]
    for name, value in {
        "HOME": "/root",
        "PATH": "/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "PUSHT_PYTHON": f"{venv}/bin/python",
    }.items():
        command += ["--setenv", name, value]
    return [*command, "--chdir", "/autograder", "/autograder/source/run_autograder"]


def validated(document):
    """The document, each of whose fields is of Gradescope's kind and agrees with the rubric."""
    assert set(document) == {
        "score",
        "output",
        "execution_time",
        "visibility",
        "stdout_visibility",
        "tests",
    }
    assert (
        type(document["score"]) is float
        and type(document["execution_time"]) is int
        and type(document["output"]) is str
    )
    assert (document["visibility"], document["stdout_visibility"]) == ("visible", "hidden")
    *tests, hidden = document["tests"]
    entries = [(part, entry) for part in rubric.PARTS.values() for entry in part.graded()]
    assert len(tests) == len(entries)
    for test, (part, entry) in zip(tests, entries):
        assert {"name", "number", "output", "tags", "visibility"} <= set(test) and test[
            "visibility"
        ] == "visible"
        assert (
            type(test["name"]) is str
            and re.fullmatch(r"\d(\.\d)?", test["number"])
            and test["number"][0] == str(part.number)
        )
        assert test["tags"] == [part.name] and type(test["output"]) is str and test["output"]
        if entry in part.written:
            assert not {"score", "max_score", "status"} & set(test)
            continue
        assert (
            type(test["score"]) is float and 0 <= test["score"] <= test["max_score"] == entry.points
        )
        assert test["status"] == ("passed" if test["score"] == test["max_score"] else "failed")
    assert document["score"] == pytest.approx(sum(test.get("score", 0) for test in tests), abs=1e-4)
    assert (
        sum(test.get("max_score", 0) for test in tests)
        == sum(part.points for part in rubric.PARTS.values()) - WRITTEN
    )
    assert set(hidden) == {"name", "output", "visibility"} and hidden["visibility"] == "hidden"
    shown = json.dumps([document["output"], tests])
    assert (
        "Traceback" not in shown
        and "LEAK" not in shown
        and not re.search(r"/work|/tmp|/root|\.py\b", shown)
    )
    return document


def of(document, part):
    return {
        test["name"]: test
        for test in document["tests"][:-1]
        if test["tags"] == [part] and "score" in test
    }


def points(document, part):
    return sum(test["score"] for test in of(document, part).values())


def with_first_answer(part, source):
    """The students' notebook of a part, with other code under the first answer's marker."""
    notebook = build.student_notebook(part)
    cell = next(
        cell for cell in notebook.cells if cell.cell_type == "code" and "] answer" in cell.source
    )
    cell.source = cell.source.split("\n", 1)[0] + "\n" + source
    return notebook


@AS_GRADESCOPE
def test_a_part_that_is_good_one_that_is_broken_and_none(zipped, tmp_path):
    part = rubric.PARTS["part1_mlp"]
    document = graded(
        zipped,
        tmp_path,
        {
            "Copy of part1_mlp (1).ipynb": build.answered_notebook(part),
            "part1_mlp.safetensors": reference_path(part.policies[0], "shipped"),
            "part2_cvae.ipynb": "{not JSON",
            "model.pkl": "whatever",
        },
    )
    got = of(document, "part1_mlp")
    assert [got[name]["score"] for name in ("layer widths", "loss", "inference")] == [1, 2, 2]
    assert "over 1 episodes" in got["Part I rollouts, MLP"]["output"]
    assert all("cannot be graded" in test["output"] for test in of(document, "part2_cvae").values())
    assert all(
        "was not handed in" in test["output"] for test in of(document, "part4_flow").values()
    )
    assert points(document, "part1_mlp") == document["score"] >= 5
    assert (
        "model.pkl (a pickle, which is never opened" in document["output"]
        and "part2_cvae.ipynb" in document["output"]
    )
    hidden = document["tests"][-1]["output"]
    assert "The kit in version" in hidden and 'kept apart by "own user"' in hidden


@AS_GRADESCOPE
@pytest.mark.parametrize(
    "files",
    [
        pytest.param({}, id="nothing"),
        pytest.param({"essay.txt": "words"}, id="an essay", marks=pytest.mark.long),
        pytest.param({"all.zip": "no zip"}, id="a broken zip", marks=pytest.mark.long),
    ],
)
def test_without_a_notebook_there_is_a_result_that_says_so(zipped, tmp_path, files):
    document = graded(zipped, tmp_path, files)
    assert document["score"] == 0
    assert all(
        "was not handed in" in test["output"] for test in document["tests"][:-1] if "score" in test
    )
    assert all(name in document["output"] for name in files)


@AS_GRADESCOPE
@pytest.mark.long
def test_hostile_parts_gain_nothing_and_take_no_other_along(zipped, tmp_path):
    parts = rubric.PARTS
    document = graded(
        zipped,
        tmp_path,
        {
            "part1_mlp.ipynb": with_first_answer(parts["part1_mlp"], FORGERY + TELLS),
            "part2_cvae.ipynb": with_first_answer(parts["part2_cvae"], "import os\nos._exit(0)"),
            "part3_ddpm.ipynb": build.answered_notebook(parts["part3_ddpm"]),
            "part4_flow.ipynb": with_first_answer(parts["part4_flow"], BOMB),
        },
    )
    assert (
        points(document, "part1_mlp")
        == points(document, "part2_cvae")
        == points(document, "part4_flow")
        == 0
    )
    assert points(document, "part3_ddpm") == document["score"] == 5  # without a checkpoint
    assert "part2_cvae: the notebook was stopped: the kernel died." in document["output"]
    assert "part4_flow: the notebook was stopped: it took more memory than" in document["output"]
    assert "claims 5 points, the ledger has 0" in document["tests"][-1]["output"]


@AS_GRADESCOPE
@pytest.mark.long
def test_what_a_forgers_answer_says_is_shown(zipped, tmp_path):
    """Otherwise the test above could not see a leak."""
    document = graded(
        zipped,
        tmp_path,
        {
            "part1_mlp.ipynb": with_first_answer(
                rubric.PARTS["part1_mlp"], FORGERY.replace("score.check = ", "") + TELLS
            )
        },
    )
    assert "nothing" in of(document, "part1_mlp")["layer widths"]["output"]


@AS_GRADESCOPE
@pytest.mark.long
def test_a_zip_of_all_parts_earns_what_the_class_would_give(zipped, tmp_path):
    folder = tmp_path / "work"
    for part in rubric.PARTS.values():
        build.write(build.answered_notebook(part), folder / f"{part.name}.ipynb")
    for policy in rubric.POLICIES.values():
        shutil.copy(reference_path(policy, "shipped"), folder)
    document = graded(zipped, tmp_path, {"hand_in.zip": pack(folder, None, None)[0]})
    failed = [
        test["name"]
        for test in document["tests"]
        if test.get("status") == "failed" and "rollouts" not in test["name"]
    ]
    assert not failed and all(
        "over 1 episodes" in test["output"]
        for test in document["tests"]
        if "rollouts" in test["name"]
    )


@AS_GRADESCOPE
@pytest.mark.long
def test_where_time_runs_out_what_was_graded_stays_and_the_rest_says_so(zipped, tmp_path):
    part = rubric.PARTS["part1_mlp"]
    document = graded(
        zipped, tmp_path, {"part1_mlp.ipynb": build.answered_notebook(part)}, minutes=1
    )
    assert document["score"] == 0 and all(
        "no time left" in test["output"] for test in of(document, part.name).values()
    )


@AS_GRADESCOPE
@pytest.mark.long
def test_an_endless_notebook_is_stopped_in_time_for_the_others(zipped, tmp_path):
    parts = rubric.PARTS
    document = graded(
        zipped,
        tmp_path,
        {
            "part1_mlp.ipynb": with_first_answer(parts["part1_mlp"], "while True: pass"),
            "part2_cvae.ipynb": build.answered_notebook(parts["part2_cvae"]),
        },
        minutes=2,
    )
    assert re.search(
        r"part1_mlp: the notebook was stopped: it took longer than \d+ s", document["output"]
    )
    assert points(document, "part2_cvae") == document["score"] == 5


def test_a_failure_of_the_grader_s_own_is_one_sentence_to_students(zipped, tmp_path, monkeypatch):
    part = rubric.PARTS["part1_mlp"]
    limits = {"minutes": 10**6, "megabytes": 10**5}  # the process of all these tests is large
    lay_out(zipped, tmp_path, {"part1_mlp.ipynb": build.student_notebook(part)}, limits)
    folders = (
        tmp_path / "source" / "course",
        tmp_path / "submission",
        tmp_path / "private",
        tmp_path / "results",
    )
    run.step("collect", *folders)
    document = validated(json.loads((tmp_path / "results" / "results.json").read_text()))
    assert all("Not graded yet" in test["output"] for test in of(document, part.name).values())
    monkeypatch.setattr(run, "grade_part", lambda task: [][0])
    monkeypatch.setattr(run.levels, "strictest", lambda: run.levels.LEVELS[0])
    run.step(part.name, *folders)
    document = without_a_grade(tmp_path / "results" / "results.json")
    assert "the grader failed at part1_mlp" in document["output"].splitlines()[0]
    own, other = (
        [test["output"] for test in document["tests"] if test.get("tags") == [name]]
        for name in (part.name, "part2_cvae")
    )
    assert all("through no fault of yours" in sentence for sentence in own)
    assert all("0 of " in sentence and "not handed in" in sentence for sentence in other)
    assert "IndexError" in document["tests"][-1]["output"]


def without_a_grade(path):
    """A results.json from which Gradescope can take no points."""
    document = json.loads(path.read_text())
    assert not [one for one in (document, *document["tests"]) if {"score", "max_score"} & {*one}]
    return document


def test_where_the_files_cannot_be_collected_nobody_has_a_zero(zipped, tmp_path, monkeypatch):
    part = rubric.PARTS["part1_mlp"]
    lay_out(zipped, tmp_path, {"part1_mlp.ipynb": build.student_notebook(part)}, {"minutes": 10**6})
    monkeypatch.setattr(run, "plan", lambda *_: [][0])
    names = ("source/course", "submission", "private", "results")
    run.step("collect", *(tmp_path / name for name in names))
    document = without_a_grade(tmp_path / "results" / "results.json")
    assert "through no fault of yours" in document["output"]


def test_where_nothing_keeps_code_apart_none_is_run(zipped, tmp_path, monkeypatch):
    part = rubric.PARTS["part1_mlp"]
    lay_out(
        zipped, tmp_path, {"part1_mlp.ipynb": build.answered_notebook(part)}, {"minutes": 10**6}
    )
    folders = (
        tmp_path / "source" / "course",
        tmp_path / "submission",
        tmp_path / "private",
        tmp_path / "results",
    )
    monkeypatch.setattr(run.levels, "strictest", lambda: run.levels.LEVELS[-1])
    for name in ("collect", part.name):
        run.step(name, *folders)
    document = without_a_grade(tmp_path / "results" / "results.json")
    assert "Nothing keeps students' code" in document["tests"][-1]["output"]


def test_a_course_without_a_release_is_an_error_in_one_sentence(course, tmp_path, capsys):
    shutil.copytree(course.folder, tmp_path / "course")
    shutil.rmtree(tmp_path / "course" / "release")
    with pytest.raises(SystemExit, match="course release"):
        main(["gradescope", "build", str(open_course(tmp_path / "course").folder)])


def test_a_container_that_is_too_small_for_a_right_notebook_grades_none(zipped, tmp_path):
    with zipfile.ZipFile(zipped) as archive:
        archive.extractall(tmp_path)
    course = open_course(tmp_path / "course")
    with pytest.raises(CourseError, match="more --megabytes"):
        run._run_settings(course, seconds=60, megabytes=300)
    assert run._run_settings(course, seconds=60, megabytes=4096).limits.memory_bytes > 2**31
