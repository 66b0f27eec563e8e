"""Tasks side by side: what kills its process takes nothing else along, and no process outlives the
one that started it.
"""

import functools
import os
import signal
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest
from sampled import sampled

from score.course.class_run import workers
from score.course.settings import CourseError


def double(task):
    if task == "kill":
        os._exit(9)
    if task == "raise":
        raise ValueError("no")
    return task * 2


def run(tasks, jobs, scratch):
    return dict(
        workers.completed(double, tasks, functools.partial(workers.processes, jobs, scratch), jobs)
    )


def test_what_raises_and_what_kills_its_process_fail_alone(tmp_path):
    got = run([1, "raise", 2, "kill", 3, 4, 5], 2, tmp_path)
    assert {task: value for task, value in got.items() if isinstance(task, int)} == {
        n: 2 * n for n in range(1, 6)
    }
    assert (
        isinstance(got["raise"], ValueError) and type(got["kill"]).__name__ == "BrokenProcessPool"
    )


class Refusing(ThreadPoolExecutor):
    """An executor whose first task cannot be started."""

    refused = 0

    def submit(self, *arguments):
        if not Refusing.refused:
            Refusing.refused = 1
            raise RuntimeError("can't start new thread")
        return super().submit(*arguments)


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_task_that_could_not_be_started_is_done_later(jobs):
    Refusing.refused = 0
    tasks = [1, 2, 3, 4]
    assert dict(workers.completed(double, tasks, lambda: Refusing(jobs), jobs)) == {
        task: 2 * task for task in tasks
    }


def test_nothing_to_do_starts_nothing(tmp_path):
    assert run([], 2, tmp_path) == {}


@pytest.mark.parametrize("end", sampled([signal.SIGKILL, signal.SIGINT], ["SIGKILL"]))
def test_processes_end_with_the_one_that_started_them(tmp_path, end):
    program = textwrap.dedent("""
        import os, sys, time
        from score.course.class_run import workers
        if __name__ == "__main__":
            with workers.processes(2, sys.argv[1]) as executor:
                pids = {executor.submit(os.getpid).result() for _ in range(4)}
                futures = [executor.submit(time.sleep, 600) for _ in range(4)]
                print(*pids, flush=True)
                futures[0].result()
    """)
    (tmp_path / "program.py").write_text(program)
    with subprocess.Popen(
        [sys.executable, tmp_path / "program.py", tmp_path],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=os.environ | {"PYTHONPATH": os.getcwd()},
    ) as started:
        children = [psutil.Process(int(pid)) for pid in started.stdout.readline().split()]
        children += started.pid and psutil.Process(started.pid).children()
        started.send_signal(end)
        _gone, alive = psutil.wait_procs(children, timeout=20)
    assert children and not alive


def test_no_scheduler_is_told_in_one_sentence():
    sentence = "There is no Dask scheduler at tcp://127.0.0.1:9"
    with pytest.raises(CourseError, match=sentence), workers.cluster("tcp://127.0.0.1:9"):
        pass
