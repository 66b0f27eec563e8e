"""The program that a student's kernel is: ipykernel, listening on sockets that are open already.

    python -c PROGRAM CONNECTION_FILE [OPTION…] SOCKETS

SOCKETS: JSON, file descriptors by the paths that they are bound to. So a kernel need not be able to
write to the folder of its sockets, which is on the grader's disk. It is run as text, in a sandbox
without the grader's code.
"""

import json
import os
import sys
from typing import Any

import zmq
from ipykernel.kernelapp import IPKernelApp


def start(connection_file: str, options: list[str], sockets: dict[str, int]) -> None:
    """Be a kernel until it is told to end. options: ipykernel's own."""
    bind = zmq.Socket.bind

    def bind_or_take(self: Any, address: str) -> Any:
        given = sockets.get(address.removeprefix("ipc://"))
        if given is not None:
            self.setsockopt(zmq.USE_FD, given)
        return bind(self, address)

    setattr(zmq.Socket, "bind", bind_or_take)  # noqa: B010  # mypy takes no such assignment
    for descriptor in sockets.values():
        os.set_inheritable(descriptor, False)
    sys.argv = ["ipykernel_launcher", "-f", connection_file, *options]
    IPKernelApp.launch_instance()


if __name__ == "__main__":
    start(sys.argv[1], sys.argv[2:-1], json.loads(sys.argv[-1]))
