"""The bench of a GPU, with the CPU in its place."""

import pytest

from benchmarks import gpu
from score import rubric


def test_a_machine_without_a_gpu_is_told_so_in_one_sentence(monkeypatch, capsys):
    monkeypatch.setattr(gpu, "accelerator", lambda: None)
    monkeypatch.setattr("sys.argv", ["gpu"])
    gpu.main()
    assert capsys.readouterr().out == gpu.NONE + "\n"


@pytest.mark.long
@pytest.mark.parametrize("part", ["part1_mlp", "part4_flow"])
def test_the_bench_of_a_gpu_runs_with_the_cpu_in_its_place(part):
    rows = list(gpu.rows(rubric.PARTS[part], "cpu", "cpu", episodes=2))
    assert [row[0] for row in rows] == [policy.name for policy in rubric.PARTS[part].policies]
    for row in rows:
        assert len(row) == len(gpu.COLUMNS) and float(row[3]) > 0 and 0 <= float(row[8]) <= 1
    if part == "part1_mlp":
        assert float(rows[0][6]) < float(rows[0][3])  # the second epoch goes on from the first
