"""A course's secret: what follows from it, what does not, and who may read it."""

import os
import shutil
import stat
import subprocess
import sys

import nbformat
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pusht.sim import sample_start
from score import rubric
from score.course.grading.execution import execute
from score.course.nbgrader import release
from score.course.nbgrader.release import create
from score.course.notebooks import build
from score.course.sandbox import levels
from score.course.settings import (
    CourseError,
    RunSettings,
    new_secret,
    open_course,
    other_secret,
    with_secret,
)

SECRET = "0123456789abcdef0123456789abcdef"
OLD = 'bundle = ""\nfirst_seed = 20000\nepisodes = 3\n'
needs_root = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can become another user"
)


@pytest.fixture(autouse=True)
def rights_as_before():
    """Opening a course changes what rights the files of this process get."""
    before = os.umask(0o022)
    yield
    os.umask(before)


# Seeds.


@given(st.binary(min_size=16, max_size=16), st.integers(1, 120), st.integers(0, 60))
@settings(max_examples=50, deadline=None)
def test_episodes_of_a_secret_are_distinct_held_out_and_the_same_when_there_are_more(
    secret, count, more
):
    run = RunSettings(secret.hex(), count)
    seeds = run.episode_seeds(count)
    assert len(seeds) == len({*seeds}) == count
    assert seeds == run.episode_seeds(count + more)[:count]
    # Demonstrations start from seeds above (tests/test_demonstrations.py).
    first = rubric.GRADED_FIRST_SEED
    assert first <= min(seeds) and max(seeds) < first + 10**9
    assert np.isfinite([sample_start(seed) for seed in seeds[:3]]).all()


@given(st.integers(0, 127))
@settings(max_examples=30, deadline=None)
def test_every_bit_of_a_secret_changes_all_that_follows_from_it(bit):
    flipped = f"{int(SECRET, 16) ^ (1 << bit):032x}"
    one, other = (RunSettings(secret, 20) for secret in (SECRET, flipped))
    assert not {*one.episode_seeds(20)} & {*other.episode_seeds(20)}
    assert one.generator("Q1.1").random() != other.generator("Q1.1").random()
    assert other_secret(SECRET, "gradescope") != other_secret(flipped, "gradescope")


def test_what_is_drawn_under_one_name_says_nothing_of_another():
    run = RunSettings(SECRET, 100)
    assert run.generator("Q1.1").random() == run.generator("Q1.1").random()
    assert run.generator("Q1.1").random() != run.generator("Q1.2").random()
    theirs = RunSettings(other_secret(SECRET, "gradescope"), 100)
    assert not {*run.episode_seeds(100)} & {*theirs.episode_seeds(100)}
    # The seed of an episode is found from its start by trying all; the next one is not beside it.
    seeds = np.array(run.episode_seeds(100))
    assert (abs(np.diff(seeds)) > 1000).all()


def test_courses_of_earlier_versions_keep_their_episodes_and_inputs(tmp_path):
    (tmp_path / "course.toml").write_text(OLD)
    course = open_course(tmp_path)
    run = RunSettings(course.seed, course.episodes)
    assert run.episode_seeds(course.episodes) == [20_000, 20_001, 20_002]
    same = np.random.default_rng([20_000, *b"Q1.1"])
    assert run.generator("Q1.1").random() == same.random()


def test_a_course_of_an_earlier_version_gets_a_secret_once(tmp_path):
    (tmp_path / "course.toml").write_text(OLD + "[points]\n'Q1.2' = 3\n")
    course = open_course(tmp_path)
    given_one = with_secret(course)
    assert len(given_one.secret) == 32 and given_one.first_seed == 20_000
    assert open_course(tmp_path) == given_one == with_secret(given_one)


@pytest.mark.parametrize("secret", ["0123", "not hexadecimal" * 3, SECRET[:-2]])
def test_a_secret_that_is_none_is_told_in_one_sentence(tmp_path, secret):
    (tmp_path / "course.toml").write_text(f'bundle = ""\nsecret = "{secret}"\nepisodes = 3\n')
    with pytest.raises(CourseError, match=r"course.toml, line 2: the course needs a secret"):
        open_course(tmp_path)


def test_secrets_have_128_bits():
    assert len(bytes.fromhex(new_secret())) == 16 and new_secret() != new_secret()


# Who may read.


def rights(folder):
    """What others than the owner may do, by path from the folder: those with any right alone."""
    return {
        str(path.relative_to(folder)): stat.S_IMODE(path.stat().st_mode) & 0o077
        for path in [folder, *folder.rglob("*")]
        if not path.is_symlink() and stat.S_IMODE(path.stat().st_mode) & 0o077
    }


def read_by_another_user(folder):
    """The names of the files in a folder that another user can read."""
    code = (
        "import os, sys, pathlib; os.setgroups([]); os.setgid(61000); os.setuid(61000)\n"
        "for path in sys.argv[1:]:\n"
        "    try: open(path).close(); print(path)\n"
        "    except OSError: pass\n"
    )
    files = [str(path) for path in folder.rglob("*") if path.is_file()]
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code, *files], capture_output=True, text=True, check=True
    )
    return done.stdout.splitlines()


@pytest.fixture
def reachable(tmp_path):
    """A folder that every user of the machine can enter."""
    for folder in [tmp_path, *tmp_path.parents]:
        if folder.owner() == tmp_path.owner() and str(folder).count("/") > 1:
            folder.chmod(0o755)
    return tmp_path


@needs_root
def test_a_course_is_for_its_owner_alone_also_where_a_copy_of_it_was_not(reachable):
    made = create(reachable / "course", episodes=1)
    assert not rights(made.folder / "source") and not rights(made.folder / "bundle")
    assert "course.toml" not in rights(made.folder) and "." not in rights(made.folder)
    copied = reachable / "copied"
    shutil.copytree(made.folder, copied)
    for path in [copied, *copied.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)
    assert str(copied / "course.toml") in read_by_another_user(copied)
    open_course(copied)
    assert not read_by_another_user(copied) and not read_by_another_user(made.folder)


@pytest.mark.parametrize(
    "mode, then, written",
    [(0o755, 0o700, 0o600), (0o700, 0o700, 0o600), (0o2775, 0o2770, 0o660), (0o777, 0o770, 0o660)],
)
def test_opening_a_course_leaves_rights_to_its_owner_and_to_a_group_that_shares_it(
    tmp_path, monkeypatch, mode, then, written
):
    monkeypatch.setattr(release, "release", lambda course: None)
    made = create(tmp_path / "course")
    made.folder.chmod(mode)
    open_course(made.folder)
    assert stat.S_IMODE(made.folder.stat().st_mode) == then
    (made.folder / "new").write_text("")
    assert stat.S_IMODE((made.folder / "new").stat().st_mode) == written


# What a kernel looks for: files of the course, wherever a command line names its folder.
_LOOKS = """
import os, pathlib
import pusht.sim, score  # what it is to read, it can
for pid in filter(str.isdigit, os.listdir("/proc")):
    try:
        words = pathlib.Path(f"/proc/{pid}/cmdline").read_text().split(chr(0))
        words.append(os.readlink(f"/proc/{pid}/cwd"))
    except OSError:
        pass
    for word in [word for word in words if word.startswith("/")]:
        for folder in (pathlib.Path(word), *pathlib.Path(word).parents):
            for name in ("course.toml", "submitted/bob/pusht/part1_mlp.ipynb", "gradebook.db"):
                try:
                    print("LEAK", name, (folder / name).read_bytes()[:80])
                except OSError:
                    pass
print("LOOKED")
"""


@pytest.mark.parametrize("level", levels.LEVELS[:3], ids=str)
def test_a_kernel_reads_nothing_of_a_course_that_a_command_line_names(reachable, level):
    if not levels.works(level):
        pytest.skip(f"{level.name} does not work on this machine")
    folder = reachable / "course"
    files = ("course.toml", "submitted/bob/pusht/part1_mlp.ipynb", "gradebook.db")
    for name in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(OLD)
    work = folder / "autograded" / "ann" / "pusht"
    work.mkdir(parents=True)

    def looked():
        notebook = build.student_notebook(rubric.PARTS["part1_mlp"])
        notebook.cells = [nbformat.v4.new_code_cell(f"# [part1/looks] given\n{_LOOKS}")]
        execute(notebook, rubric.PARTS["part1_mlp"], work, RunSettings(SECRET, 1), level=level)
        ((output,),) = [cell.outputs for cell in notebook.cells]
        assert "LOOKED" in output.get("text", ""), output
        return {name for name in files if f"LEAK {name}" in output.text}

    # As the grader's own does. It ends with its input.
    command = [sys.executable, "-c", "input()", str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL):
        assert looked() == (set() if level.bubblewrap else {*files})
        open_course(folder)
        assert looked() == set()
