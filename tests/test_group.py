"""A control group is made below the nearest one that may be divided, and is never needed."""

import subprocess
from pathlib import Path

import pytest

from score.course.sandbox.watch import group

MEMORY = 2**30


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """A folder that looks as the system's, with this process's group two levels deep."""
    root, own = tmp_path / "cgroup", tmp_path / "own"
    (root / "user" / "shell").mkdir(parents=True)
    for folder, controllers in ((root, "cpu memory"), (root / "user", "memory pids")):
        (folder / "cgroup.subtree_control").write_text(controllers)
    (root / "user" / "shell" / "cgroup.subtree_control").write_text("")
    own.write_text("8:cpu:/other\n0::/user/shell\n")
    monkeypatch.setattr(group, "_ROOT", root)
    monkeypatch.setattr(group, "_OWN", own)
    monkeypatch.setattr(group, "_TRIES", 1)
    return root


def test_it_has_limits_and_a_command_joins_it(tree):
    with group.bounded(MEMORY, 256) as own:
        assert own.folder.parent == tree / "user"
        assert (own.folder / "memory.max").read_text() == str(MEMORY)
        assert (own.folder / "pids.max").read_text() == "256"
        joined = own.joining(["/bin/sh", "-c", "echo $$"])
        done = subprocess.run(joined, capture_output=True, text=True, check=True)
        assert (own.folder / "cgroup.procs").read_text() == done.stdout  # the very process
        (own.folder / "cgroup.procs").write_text("")
        assert not own.out_of_memory()
        (own.folder / "memory.events").write_text("low 0\noom 3\noom_kill 1\n")
        assert own.out_of_memory()


@pytest.mark.parametrize("lacks", ["memory", "the right to", "cgroup v2"])
def test_without_one_a_command_is_as_it_was(tree, lacks, monkeypatch):
    if lacks == "memory":
        for file in tree.rglob("cgroup.subtree_control"):
            file.write_text("cpu")
    elif lacks == "cgroup v2":
        (tree.parent / "own").write_text("4:memory:/x\n")
    else:

        def refuse(**_):
            raise PermissionError

        monkeypatch.setattr(group.tempfile, "mkdtemp", refuse)
    with group.bounded(MEMORY, 256) as own:
        assert own.folder is None and own.joining(["true"]) == ["true"]
        assert not own.out_of_memory()


def test_what_is_left_in_it_is_ended(tree):
    with subprocess.Popen(["sleep", "60"]) as process:
        with group.bounded(MEMORY, 256) as own:
            (own.folder / "cgroup.procs").write_text(str(process.pid))
        assert process.wait(10) == -9


def test_a_command_runs_where_the_group_cannot_be_joined():
    joined = group.Group(Path("/nowhere")).joining(["/bin/echo", "run"])
    assert subprocess.run(joined, capture_output=True, text=True, check=True).stdout == "run\n"
