"""What a kernel sends reaches the notebook's runner as it is, and no more of it than is allowed."""

import contextlib
import socket
import threading

import pytest

from score.course.sandbox.relay import Relay


@contextlib.contextmanager
def relayed(folder, most_bytes):
    """(the runner's end, the kernel's end, an event that tells that there was too much)."""
    too_many = threading.Event()
    with Relay(most_bytes, too_many.set) as relay, socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "kernel"))
        listener.listen()
        relay.listen(folder / "runner", folder / "kernel")
        with socket.socket(socket.AF_UNIX) as runner:
            runner.settimeout(20)
            runner.connect(str(folder / "runner"))
            kernel, _ = listener.accept()
            with kernel:
                yield runner, kernel, too_many


def test_bytes_pass_both_ways_and_only_the_kernels_are_counted(tmp_path):
    with relayed(tmp_path, 10) as (runner, kernel, too_many):
        runner.sendall(b"x" * 10**5)
        assert kernel.recv(10**5, socket.MSG_WAITALL) == b"x" * 10**5
        kernel.sendall(b"0123456789")
        assert runner.recv(10, socket.MSG_WAITALL) == b"0123456789"
        assert not too_many.is_set()


def test_nothing_more_comes_after_too_many_bytes(tmp_path):
    with relayed(tmp_path, 2**20) as (runner, kernel, too_many):
        flood = threading.Thread(target=_flood, args=(kernel,))
        flood.start()
        got = 0
        while some := runner.recv(2**20):
            got += len(some)
        flood.join()
    assert too_many.is_set() and got <= 2**20


def _flood(kernel):
    with pytest.raises(OSError):  # closed by the relay
        while True:
            kernel.sendall(b"x" * 2**16)


def test_it_ends_while_both_ends_are_open_and_one_does_not_read(tmp_path):
    with relayed(tmp_path, 2**30) as (_, kernel, _):
        kernel.settimeout(0.2)
        with pytest.raises(TimeoutError):
            while True:
                kernel.send(b"x" * 2**16)


@pytest.mark.long
def test_connections_are_few(tmp_path):
    with Relay(2**20, lambda: None) as relay:
        relay.listen(tmp_path / "runner", tmp_path / "nobody")
        with contextlib.ExitStack() as stack, pytest.raises(OSError):
            for _ in range(1000):
                one = stack.enter_context(socket.socket(socket.AF_UNIX))
                one.settimeout(20)
                one.connect(str(tmp_path / "runner"))
                assert one.recv(1) == b""
