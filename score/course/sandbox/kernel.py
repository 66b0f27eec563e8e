"""Runs a notebook's cells in a kernel in the sandbox, within limits."""

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nbformat
import zmq
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from nbclient.util import run_sync
from nbformat import NotebookNode

from pusht.machine import is_of_machine
from score.course.sandbox import levels
from score.course.sandbox.relay import Relay
from score.course.sandbox.watch import group, watchdog
from score.course.sandbox.watch.host import Host
from score.course.settings import Limits

# How much more than its outputs a kernel sends: heads of messages, and characters as six others.
_SENT = 4
LAST_OUTPUT_SECONDS = 30  # that the outputs of a cell may come after it has ended
_PARTS = 300_000  # of a message: lists and dicts, of a hundred bytes each
_PROGRAM = Path(__file__).with_name("program.py").read_text(encoding="utf-8")

_TIMEOUT = {
    "ename": "CellTimeoutError",
    "evalue": "",
    "traceback": ["CellTimeoutError: No reply from kernel before timeout"],
}


class _KernelManager(AsyncKernelManager):
    """Starts its kernel in a sandbox. Its sockets are in a folder of the run's own, and are not
    ports that other users of the machine could listen to. They are opened here and handed on, so
    that the kernel need not write to that folder; what it sends goes through a `Relay`.
    """

    def prepare(
        self, private: Path, level: levels.Level, limits: Limits, relay: Relay, own: group.Group
    ) -> None:
        self._private, self._level, self._limits = private, level, limits
        self._relay, self._group = relay, own
        self._sockets: list[socket.socket] = []
        self.transport, self.connection_file = "ipc", str(private / "s" / "kernel.json")
        # Interrupts are sent as messages: no signal reaches into the sandbox.
        self._kernel_spec = KernelSpec(
            argv=[sys.executable, "-c", _PROGRAM, "{connection_file}"],
            language="python",
            display_name="Python 3",
            interrupt_mode="message",
        )

    async def _async_launch_kernel(self, kernel_cmd: list[str], **options: Any) -> None:
        # Nobody reads what it writes past IPython, which could fill the terminal or the disk.
        options |= {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        with contextlib.ExitStack() as stack:
            descriptors = [stack.enter_context(one).fileno() for one in self._sockets]
            await super()._async_launch_kernel(kernel_cmd, **options, pass_fds=descriptors)

    def format_kernel_cmd(self, extra_arguments: list[str] | None = None) -> list[str]:
        command = super().format_kernel_cmd(extra_arguments)
        paths = [Path(f"{self.ip}-{port}") for port in self.ports]
        self._sockets = [levels.listening(path.with_suffix(".in")) for path in paths]
        given = {str(path): one.fileno() for path, one in zip(paths, self._sockets)}
        for path in paths:
            self._relay.listen(path, path.with_suffix(".in"))
        levels.let_read(self.connection_file, self._level)
        boxed = levels.sandboxed(
            [*command, json.dumps(given)],
            self._private,
            self._level,
            {"NBGRADER_EXECUTION": "autograde"},
            self._limits.memory_bytes,
        )
        return self._group.joining(boxed)


class SandboxedKernel(NotebookClient):
    """A kernel for one notebook, in the private folder that `levels.prepare` has laid out.

    A cell that raises or that takes too long does not end the run. A kernel that dies, no longer
    answers or exceeds its limits does, and `stopped` says why. See `started`. host: what the
    machine has had too little of meanwhile.
    """

    def __init__(
        self, notebook: NotebookNode, private: Path, level: levels.Level, limits: Limits
    ) -> None:
        super().__init__(
            notebook,
            timeout=limits.cell_seconds,
            interrupt_on_timeout=True,
            error_on_timeout=_TIMEOUT,
            allow_errors=True,
            raise_on_iopub_timeout=True,
            iopub_timeout=LAST_OUTPUT_SECONDS,
            on_cell_executed=_add_missing_error,
        )
        self._private, self._level, self._limits = private, level, limits
        scratch = levels.scratch(level)
        self.host = Host(bool(scratch), levels.OPEN_FILES)
        self._watchdog = watchdog.Watchdog(limits, self.pid, scratch, self.host)
        self._relay = Relay(_SENT * limits.output_bytes, self._watchdog.stop_output)

    @property
    def stopped(self) -> str:
        """Why the notebook was stopped, "" if it was not."""
        return self._watchdog.stopped

    @contextlib.contextmanager
    def started(self) -> Iterator[None]:
        """Start the kernel and end it afterwards. Its limits may stop it before it has started.

        What fails around it is raised, at the latest when the body is left.
        """
        with contextlib.ExitStack() as stack:
            bounds = group.bounded(self._limits.memory_bytes, levels.PROCESSES)
            self._watchdog.group = stack.enter_context(bounds)
            stack.enter_context(self._relay)
            stack.enter_context(self._watchdog)
            stack.callback(self._watchdog.end_processes)  # it may be started and fail after that
            try:
                stack.enter_context(self.setup_kernel(cwd=str(self._private)))
                if self.kc and (reply := self.wait_for_reply(self.kc.kernel_info())):
                    self.nb.metadata["language_info"] = reply["content"]["language_info"]
            except (DeadKernelError, RuntimeError):
                if not self.stopped:
                    raise
            yield
            # It has nothing left to do, and to leave in peace takes it seconds.
            self._watchdog.end_processes()
        for failure in (self._watchdog.failure, self._relay.failure):
            if failure:
                raise failure
        self.set_widgets_metadata()

    def prepare(self, program: str) -> None:
        """Run code of the kit's own before the first cell; RuntimeError where that fails."""
        if self.stopped:
            return
        assert self.kc is not None, "a kernel that was started has a client"
        # Not in a cell's time: the watchdog ends it with the notebook's.
        seconds, self.timeout, reply = self.timeout, None, None
        try:
            reply = self.wait_for_reply(self.kc.execute(program, silent=True))
        except (DeadKernelError, RuntimeError):
            if not self.stopped:
                raise
        self.timeout = seconds
        if not self.stopped and (not reply or reply["content"]["status"] != "ok"):
            raise RuntimeError(f"The kernel cannot be prepared: {reply and reply['content']}")

    def run(self, cell: NotebookNode, index: int) -> None:
        """Run the notebook's cell at an index, and put its outputs into it."""
        with self._stopping():
            run_sync(self._execute)(cell, index)

    @contextlib.contextmanager
    def _stopping(self) -> Iterator[None]:
        """Stop the notebook where its kernel does not do what the body asks of it."""
        try:
            yield
        except DeadKernelError:
            memory = self.host.ended_kernels() and not self._watchdog.group.out_of_memory()
            self._watchdog.stop(watchdog.ENDED if memory else watchdog.DIED)
        except CellTimeoutError:
            self._watchdog.stop(watchdog.NO_ANSWER)
        except _TooManyParts:
            self._watchdog.stop_output()
        except Exception as error:  # a student's code can send anything in the kernel's name
            if is_of_machine(error) or isinstance(error, zmq.ZMQError):
                raise
            self._watchdog.stop(f"{watchdog.NO_MESSAGE} ({type(error).__name__})")

    async def _execute(self, cell: NotebookNode, index: int) -> None:
        before = asyncio.all_tasks()
        try:
            await self.async_execute_cell(cell, index)
        finally:  # a message that cannot be read leaves tasks behind
            for task in asyncio.all_tasks() - before:
                task.cancel()

    def end(self) -> None:
        """End the kernel and all processes that it started."""
        self._watchdog.end_processes()

    def create_kernel_manager(self) -> AsyncKernelManager:
        self.km = _KernelManager(config=self.config)
        self.km.session.unpack = _guarded(self.km.session.unpack)
        own = self._watchdog.group
        self.km.prepare(self._private, self._level, self._limits, self._relay, own)
        return self.km

    def process_message(
        self, msg: dict[str, Any], cell: NotebookNode, cell_index: int
    ) -> NotebookNode | None:
        within = self._watchdog.count_output(len(str(msg["content"])))
        return super().process_message(msg, cell, cell_index) if within else None

    def pid(self) -> int | None:
        """Return the id of the process that the kernel was started in, None if there is none."""
        return getattr(getattr(self.km, "provisioner", None), "pid", None)


class _TooManyParts(Exception):
    """Raised for a message that would take many times its room in memory."""


def _guarded(unpack: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    """Return what reads the JSON of a kernel's messages, but for texts of very many lists."""

    def guarded(text: bytes) -> Any:
        if bytes(text).count(b"[") + bytes(text).count(b"{") > _PARTS:
            raise _TooManyParts
        return unpack(text)

    return guarded


def _add_missing_error(cell: NotebookNode, cell_index: int, execute_reply: dict[str, Any]) -> None:
    """Add the error that ended a cell where its outputs do not show it, as after a timeout."""
    reply = execute_reply["content"]
    if reply["status"] == "error" and not any(
        output.output_type == "error" and output.ename == reply["ename"] for output in cell.outputs
    ):
        cell.outputs.append(
            nbformat.v4.new_output(
                "error",
                ename=reply["ename"],
                evalue=reply["evalue"],
                traceback=reply["traceback"] or ["An error occurred without a traceback."],
            )
        )


def folder_for_sockets() -> str:
    """Return where to make a private folder: a socket's path may have some 100 characters."""
    folder = tempfile.gettempdir()
    return "/tmp" if len(folder) >= 50 and os.path.isdir("/tmp") else folder
