"""Where notebooks are graded: processes on this machine, or a Dask cluster; anything with
`concurrent.futures`' submit.
"""

import itertools
import multiprocessing
import os
import tempfile
import threading
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, ProcessPoolExecutor, wait
from contextlib import contextmanager

import torch

from score.course.settings import CourseError


def completed(function, tasks, open_executor, width):
    """Yield (task, function(task) or the exception it ended with) as they end, at most `width` of
    them under way.

    open_executor: makes the executor, and another where its processes were killed: what was under
    way then is done again, one after the other, so that what kills its process takes nothing else
    along.
    """
    tasks, again, running = iter(tasks), [], {}
    while True:
        with open_executor() as executor:
            broken = False
            while not broken:
                for task in itertools.islice(tasks, width - len(running)):
                    running[executor.submit(function, task)] = task
                if not running:
                    break
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    if isinstance(future.exception(), BrokenExecutor):
                        broken = True
                    else:
                        yield running.pop(future), future.exception() or future.result()
        again += running.values()
        running = {}
        if not broken:
            break
    for task in again:
        with open_executor() as executor:
            future = executor.submit(function, task)
            yield task, future.exception() or future.result()


@contextmanager
def processes(jobs, scratch):
    """An executor of `jobs` processes, one torch thread each, that put temporary files into the
    folder `scratch`.

    They end when this process does, however it ends, and not when a terminal's Ctrl-C reaches all
    that runs in it.
    """
    ours, theirs = multiprocessing.Pipe()
    executor = ProcessPoolExecutor(
        jobs, multiprocessing.get_context("spawn"), _begin, (theirs, str(scratch))
    )
    try:
        yield executor
    except BaseException:
        executor.shutdown(wait=False, cancel_futures=True)
        raise
    else:
        executor.shutdown()
    finally:
        ours.close()


def _begin(line, scratch):
    os.setsid()
    torch.set_num_threads(1)
    tempfile.tempdir = scratch
    threading.Thread(target=_end_with, args=(line,), daemon=True).start()


def _end_with(line):
    line.poll(None)  # nothing is ever sent: it returns when the other end is closed
    os._exit(1)


@contextmanager
def cluster(address):
    """(executor, workers' threads) of a Dask cluster, by its scheduler's address."""
    try:
        from distributed import Client
    except ImportError:
        raise CourseError(
            "A Dask scheduler needs the extra `cluster`: pip install 'pusht-course-kit[cluster]'."
        ) from None
    try:
        client = Client(address, timeout=5)
    except (OSError, ValueError) as error:
        raise CourseError(f"There is no Dask scheduler at {address}: {error}.") from None
    with client:
        yield client.get_executor(pure=False), sum(client.nthreads().values())
