"""Hostile submissions gain nothing at any level of isolation, and in a box harm nobody."""

import shutil
import subprocess
import sys
import tempfile

import attacks
import psutil
import pytest
from sampled import sampled

from score import rubric
from score.course.notebooks.solutions import reference_path
from score.course.sandbox import levels
from score.rollouts.evaluate import score_policy
from score.rollouts.policies import guarded_inference

ATTACKS = {**attacks.FORGING, **attacks.STOPPING, **attacks.REACHING}
# In the short run, at the strictest level and at the others.
SAMPLE = [
    "AST transformer that replaces every check",
    "verdict sent to the grader",
    "the grader's socket replaced by one of its own",
    "a fork bomb",
    "the course's settings, solutions, release and gradebook",
    "a pickle under the checkpoint's name",
]
ELSEWHERE = ["secrets in the environment and in /proc"]
# What levels without bubblewrap leave open, as they say themselves.
_OPEN = {
    "own user": lambda leak: leak.endswith(" read") or leak == "a local socket of the machine",
    "same user": lambda leak: leak != "a listener on the machine's loopback",
}


def _at_each_level(names):
    """(name, level) for each of these attacks that is run there."""
    return [
        pytest.param(
            name,
            level,
            id=f"{level.name}: {name}",
            marks=(
                []
                if name in (SAMPLE if level is levels.LEVELS[0] else ELSEWHERE)
                else pytest.mark.long
            ),
        )
        for level in levels.LEVELS
        for name in names
        if not attacks.harmful(name, level)
    ]


@pytest.fixture
def level(request):
    """The level that a test is for."""
    if not levels.works(request.param):
        pytest.skip(f'the level "{request.param.name}" does not work here')
    return request.param


@pytest.fixture
def surroundings(tmp_path, monkeypatch):
    monkeypatch.setenv("SECRET_OF_GRADER", "SECRET")
    with attacks.surroundings(tmp_path) as around:
        yield around


@pytest.fixture
def private():
    """A folder that kernels of every user can reach."""
    with tempfile.TemporaryDirectory(prefix="pusht-") as folder:
        yield folder


each_level = pytest.mark.parametrize(
    "level",
    sampled(levels.LEVELS, ["bubblewrap, own user", "bubblewrap", "same user"]),
    indirect=True,
)


@each_level
def test_an_honest_submission_earns_its_points(level):
    outcome = attacks.run(attacks.HONEST, level, checkpoint=attacks.untrained)
    assert {cell: points for cell, points in outcome.points.items() if points} == {
        "part1-q1_1": 1,
        "part1-q1_2": 2,
        "part1-q1_3": 2,
    }
    assert "part1-rollouts" in outcome.points and not outcome.stopped


@pytest.mark.parametrize("name, level", _at_each_level(ATTACKS), indirect=["level"])
def test_an_attack_gains_nothing(name, level, surroundings):
    outcome = attacks.run(ATTACKS[name], level, checkpoint=attacks.untrained, **surroundings)
    assert outcome.gained == 0
    assert [
        leak for leak in outcome.leaks if level.name not in _OPEN or not _OPEN[level.name](leak)
    ] == []
    if name in attacks.STOPPING and name not in attacks.ENDURED:
        assert outcome.stopped
    if level.bubblewrap or level.own_user:
        assert (surroundings["course"] / "gradebook.db").read_bytes() == b"points"


@pytest.mark.parametrize("name, level", _at_each_level(attacks.CHECKPOINTS), indirect=["level"])
def test_a_hostile_hand_in_file_costs_the_rollouts_and_nothing_else(name, level):
    outcome = attacks.run(attacks.HONEST, level, checkpoint=attacks.CHECKPOINTS[name])
    assert outcome.gained == 5 and outcome.points["part1-rollouts"] == 0 and not outcome.stopped


@each_level
@pytest.mark.long
def test_points_earned_before_the_kernel_died_count(level):
    outcome = attacks.run(
        attacks.HONEST + "\nimport os\ndef mlp_inference(*a, **k): os._exit(1)",
        level,
        checkpoint=attacks.untrained,
    )
    assert outcome.stopped == "the kernel died"
    assert outcome.points == {
        "part1-q1_1": 1,
        "part1-q1_2": 2,
        "part1-q1_3": 0,
        "part1-rollouts": 0,  # of untrained weights
    }


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param(
            "def mlp_inference(*a, **k): return 1 / 0",
            id="a function that raises",
            marks=pytest.mark.long,
        ),
        pytest.param("import os\ndef mlp_inference(*a, **k): os._exit(1)", id="a kernel that dies"),
    ],
)
def test_the_rollouts_of_given_networks_measure_the_weights_alone(wrong):
    policy = rubric.POLICIES["part1_mlp"]
    outcome = attacks.run(
        f"{attacks.HONEST}\n{wrong}",
        levels.strictest(),
        checkpoint=lambda path: shutil.copy(reference_path(policy, "shipped"), path),
    )
    assert outcome.points["part1-q1_3"] == 0 and outcome.points["part1-q1_2"] == 2
    assert outcome.points["part1-rollouts"] > 2


def test_hard_coded_actions_are_right_for_the_practice_seeds():
    policy, names = rubric.POLICIES["part1_mlp"], {}
    exec(attacks.hard_coded(), names)
    ask = guarded_inference(
        policy, lambda nobs, batch_size: names["mlp_inference"](None, batch_size, nobs, 16, 2)
    )
    assert score_policy(policy, ask, attacks.stats(), attacks.PRACTICE_SEEDS).mean > 0.3


@each_level
def test_a_kernel_dies_with_the_process_that_started_it(level, private):
    starter = f"""
import subprocess, sys
from score.course.notebooks.solutions import reference_path
from score.course.sandbox import levels
level = levels.LEVELS[{levels.LEVELS.index(level)}]
command = [sys.executable, "-S", "-c", "import time; print('started', flush=True); time.sleep(60)"]
subprocess.run(levels.sandboxed(command, levels.prepare({private!r}, level), level))
"""
    with subprocess.Popen(
        [sys.executable, "-c", starter], stdout=subprocess.PIPE, text=True, cwd=attacks.ROOT
    ) as process:
        assert process.stdout.readline() == "started\n"
        below = psutil.Process(process.pid).children(recursive=True)
        process.kill()
    assert below and not psutil.wait_procs(below, timeout=10)[1]


@each_level
def test_a_kernel_with_a_user_of_its_own_has_so_many_processes_and_no_more(level, private):
    if not level.own_user:
        pytest.skip("the limit is one of users")
    count = """
import os, signal, time
children = []
try:
    while len(children) < 400:
        child = os.fork()
        if not child: time.sleep(60)
        children.append(child)
except OSError: pass
for child in children:
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
print(len(children))
"""
    command = levels.sandboxed(
        [sys.executable, "-S", "-c", count], levels.prepare(private, level), level
    )
    assert (
        100 < int(subprocess.run(command, capture_output=True, text=True, check=True).stdout) < 260
    )


@each_level
def test_what_a_kernel_left_behind_is_gone_before_the_next_starts(level, private):
    if not level.own_user:
        pytest.skip("what belongs to the grader's own user is not told from the rest")
    leave = (
        "import os, time\nif not os.fork():\n    os.setsid()\n    os.closerange(0, 3)\n   "
        " time.sleep(60)"
    )
    command = levels.sandboxed(
        [sys.executable, "-S", "-c", leave], levels.prepare(private, level), level
    )
    subprocess.run(command, capture_output=True, check=True)
    left = [
        process
        for process in psutil.process_iter(["uids"])
        if process.info["uids"].real == levels.user_id()
    ]
    assert left or level.bubblewrap  # which ends what is in it, if not at once
    levels.end_what_was_left(level)
    assert not psutil.wait_procs(left, timeout=10)[1]


def test_the_page_has_each_attack_and_level():
    assert len(ATTACKS) + len(attacks.CHECKPOINTS) >= 90
    page = (attacks.ROOT / "docs" / "attacks.md").read_text(encoding="utf-8")
    assert [name for name in [*ATTACKS, *attacks.CHECKPOINTS] if f"| {name} |" not in page] == []
    assert [
        level.name
        for level in levels.LEVELS
        if str(level).replace("; not", ": not") + "." not in page.replace("*", "")
    ] == []
    assert all(what in page for _, what in attacks.GROUPS.values()) and attacks.ACTING in page
