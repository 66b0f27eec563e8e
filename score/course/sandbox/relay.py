"""Stands between a kernel's sockets and the notebook's runner, and counts what the kernel sends.

Jupyter's sockets take whatever comes, of any size, before anybody looks at it, and keep it in the
grader's memory. What goes through here is at most so many bytes.
"""

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path

from pusht.machine import is_of_machine

_AT_A_TIME = 2**16
_MOST_CONNECTIONS = 64  # the runner needs five: others are the kernel's, to itself


class Relay:
    """A thread that carries bytes between sockets in pairs, until there were too many.

    most_bytes: from the kernel, over all sockets. too_many: is called then; nothing more is
    carried. failure: what ended a connection that is not one of its ends.
    """

    def __init__(self, most_bytes: int, too_many: Callable[[], None]) -> None:
        self._left, self._too_many = most_bytes, too_many
        self._servers: list[asyncio.Server] = []
        self._open: list[asyncio.StreamWriter] = []
        self._connections = 0
        self.failure: BaseException | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> "Relay":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def listen(self, path: Path, kernel: Path) -> None:
        """Let the runner connect to a path, and carry to and from the kernel's socket there."""

        async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self._connections += 1
            if self._connections > _MOST_CONNECTIONS:
                writer.close()
                for server in self._servers:
                    server.close()
                return
            try:
                from_kernel, to_kernel = await asyncio.open_unix_connection(kernel)
                self._open += [writer, to_kernel]
                carried = (self._carry(reader, to_kernel), self._carry(from_kernel, writer, True))
                for ended in await asyncio.gather(*carried, return_exceptions=True):
                    self._look_at(ended)
            except OSError as error:  # the kernel may be gone
                self._look_at(error)

        starting = asyncio.start_unix_server(accepted, path, backlog=8)
        server = asyncio.run_coroutine_threadsafe(starting, self._loop).result()
        self._servers.append(server)

    def _look_at(self, ended: BaseException | None) -> None:
        """Keep what ended a connection, unless one of its ends has closed or is gone."""
        of_an_end = isinstance(ended, (ConnectionError, FileNotFoundError))
        if ended and is_of_machine(ended) and not of_an_end:
            self.failure = self.failure or ended

    async def _carry(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, counted: bool = False
    ) -> None:
        try:
            while self._left >= 0 and (some := await reader.read(_AT_A_TIME)):
                self._left -= len(some) * counted
                if self._left < 0:
                    self._too_many()
                    break
                writer.write(some)
                await writer.drain()
        finally:
            writer.close()

    async def _end(self) -> None:
        for server in self._servers:
            server.close()
        for writer in self._open:
            if not writer.is_closing():
                writer.transport.abort()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.gather(*others, return_exceptions=True)
