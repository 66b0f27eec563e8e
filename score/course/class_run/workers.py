"""Where notebooks are graded: processes on this machine, or the workers of a Dask cluster. Any
executor of `concurrent.futures` will do.
"""

import contextlib
import itertools
import multiprocessing
import os
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import (
    FIRST_COMPLETED,
    BrokenExecutor,
    Executor,
    Future,
    ProcessPoolExecutor,
    wait,
)
from contextlib import AbstractContextManager
from multiprocessing.connection import Connection
from typing import TypeVar

import torch

from score.course.settings import CourseError

_Task = TypeVar("_Task")
_Outcome = TypeVar("_Outcome")


def completed(
    function: Callable[[_Task], _Outcome],
    tasks: Iterable[_Task],
    open_executor: Callable[[], AbstractContextManager[Executor]],
    width: int,
) -> Iterator[tuple[_Task, _Outcome | BaseException]]:
    """Yield (task, function(task) or the exception that it raised) as tasks are done, at most
    `width` at a time.

    open_executor: makes the executor. Where its processes were killed it makes another one, which
    does again what was under way, one task after the other: a task that kills its process takes
    nothing else along. So it does where no process can be started.
    """
    left, again = iter(tasks), list[_Task]()
    running: dict[Future[_Outcome], _Task] = {}
    more = True
    while more:
        tried = len(again)
        try:
            with open_executor() as executor:
                while True:
                    for task in itertools.islice(left, width - len(running)):
                        again.append(task)  # until it is under way
                        future = executor.submit(function, task)
                        running[future] = again.pop()
                    if not running:
                        break
                    for future in wait(running, return_when=FIRST_COMPLETED).done:
                        if not isinstance(future.exception(), BrokenExecutor):
                            yield running.pop(future), future.exception() or future.result()
                        else:
                            raise BrokenExecutor
            more = False
        except (OSError, RuntimeError):  # of the executor: what tasks raise is their outcome
            again += running.values() or itertools.islice(left, 1)
            running, more = {}, len(again) > tried
    for task in again:
        yield task, _by_itself(function, task, open_executor)


def _by_itself(
    function: Callable[[_Task], _Outcome],
    task: _Task,
    open_executor: Callable[[], AbstractContextManager[Executor]],
) -> _Outcome | BaseException:
    """Return function(task) of an executor of its own, or the exception that it raised."""
    try:
        with open_executor() as executor:
            future = executor.submit(function, task)
            return future.exception() or future.result()
    except (OSError, RuntimeError) as error:
        return error


@contextlib.contextmanager
def processes(jobs: int, scratch: str | os.PathLike[str]) -> Iterator[Executor]:
    """Yield an executor of `jobs` processes with one torch thread each, which put temporary files
    into the folder `scratch`.

    They end when this process does, however it ends. A terminal's Ctrl-C reaches this process
    alone.
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


def _begin(parent: Connection, scratch: str) -> None:
    os.setsid()
    torch.set_num_threads(1)
    tempfile.tempdir = scratch
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: Connection) -> None:
    parent.poll(None)  # nothing is ever sent: it returns when the other end is closed
    os._exit(1)


@contextlib.contextmanager
def cluster(address: str) -> Iterator[tuple[Executor, int]]:
    """Yield the executor of the Dask cluster of a scheduler, and the number of its threads."""
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
