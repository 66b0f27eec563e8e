"""The same questions across a process boundary: a student's kernel on one side, the grader on the
other, a local socket between.

A message is plain data (None, bool, int, float, str, list, tuple, dict) with numpy arrays in it. It
crosses as a length, a JSON text in which each array is a number, and the arrays' raw bytes; nothing
that arrives is ever executed. In class the kernel opens the conversation with what it wants judged;
from then on it answers, until the verdict comes:

    kernel                                       grader
    {"question": "Q1.2"} or {"rollouts": name}
                                                 {"given": …}     inputs
    {"got": …} or {"refused": sentence}
                                                 {"verdict": {name, points, max_points, sentence}}
"""

import json
import math
import os
import socket
import struct
import time

import numpy as np

from score.verdict import AnswerError, Verdict

SOCKET = "PUSHT_GRADER"  # the environment variable that names the grader's socket
MAX_BYTES = 2**26
_MAX_ARRAYS = 10_000
_DTYPES = {
    dtype: np.dtype(dtype)
    for dtype in ("<f2", "<f4", "<f8", "<i1", "<i2", "<i4", "<i8", "|b1", "|i1", "|u1", "<u1")
}
_HEAD = struct.Struct("<IQ")  # bytes of JSON, bytes of arrays


class ProtocolError(Exception):
    """The other side sent what is no message, said nothing in time, or is gone; the message says
    which.
    """


def pack(message):
    """The bytes of a message; TypeError for what is not plain data."""
    arrays = []
    text = json.dumps(_encode(message, arrays)).encode()
    return b"".join(
        [
            _HEAD.pack(len(text), sum(array.nbytes for array in arrays)),
            text,
            *(array.tobytes() for array in arrays),
        ]
    )


def unpack(text, raw):
    """The message whose JSON and arrays these bytes are; ProtocolError when they are none."""
    try:
        whole = json.loads(text)
        arrays, start = [], 0
        for dtype, shape in whole["arrays"][:_MAX_ARRAYS]:
            dtype = _DTYPES[dtype]
            if not all(type(length) is int and 0 <= length <= MAX_BYTES for length in shape):
                raise ValueError(f"shape {shape}")
            size = math.prod(shape) * dtype.itemsize
            if start + size > len(raw):
                raise ValueError("fewer bytes than its arrays have")
            arrays.append(np.frombuffer(raw, dtype, math.prod(shape), start).reshape(shape).copy())
            start += size
        return _decode(whole["message"], arrays)
    except (
        ValueError,
        KeyError,
        TypeError,
        IndexError,
        AttributeError,
        RecursionError,
        OverflowError,
    ) as error:
        raise ProtocolError(f"sent what is no message ({type(error).__name__})") from None


def _encode(message, arrays):
    encoded = _plain(message, arrays)
    return {
        "message": encoded,
        "arrays": [[array.dtype.str, list(array.shape)] for array in arrays],
    }


def _plain(value, arrays):
    """JSON for a value: dicts, tuples and arrays are marked, so that nothing else can be taken for
    them.
    """
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, np.generic):
        return _plain(value.item(), arrays)
    if isinstance(value, np.ndarray):
        value = np.asarray(value, order="C")  # ascontiguousarray would make one dimension of none
        if value.dtype.str not in _DTYPES:
            raise TypeError(f"An array of {value.dtype} cannot cross.")
        arrays.append(value)
        return {"array": len(arrays) - 1}
    if isinstance(value, tuple):
        return {"tuple": [_plain(v, arrays) for v in value]}
    if isinstance(value, list):
        return [_plain(v, arrays) for v in value]
    if isinstance(value, dict):
        return {"dict": [[_plain(k, arrays), _plain(v, arrays)] for k, v in value.items()]}
    raise TypeError(f"A {type(value).__name__} cannot cross.")


def _decode(value, arrays):
    if isinstance(value, list):
        return [_decode(v, arrays) for v in value]
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    if kind == "array":
        return arrays[content]
    if kind == "tuple":
        return tuple(_decode(v, arrays) for v in content)
    if kind == "dict":
        return {_decode(k, arrays): _decode(v, arrays) for k, v in content}
    raise ValueError(kind)


class Line:
    """One end of a conversation over a connected socket."""

    def __init__(self, connection, deadline=None):
        self.connection, self.deadline = connection, deadline

    def send(self, message):
        """Send a message; ProtocolError when the other side is gone or does not read in time."""
        self._until_deadline(lambda: self.connection.sendall(pack(message)))

    def receive(self):
        """The next message; ProtocolError for anything else, and when the deadline has passed."""
        text_bytes, raw_bytes = _HEAD.unpack(self._exactly(_HEAD.size))
        if text_bytes + raw_bytes > MAX_BYTES:
            raise ProtocolError(
                f"sent a message of {text_bytes + raw_bytes:,} bytes, more than {MAX_BYTES:,}"
            )
        return unpack(self._exactly(text_bytes), self._exactly(raw_bytes))

    def _exactly(self, count):
        parts = []
        while count:
            part = self._until_deadline(lambda: self.connection.recv(min(count, 2**20)))
            if not part:
                raise ProtocolError("ended in the middle of the question")
            parts.append(part)
            count -= len(part)
        return b"".join(parts)

    def _until_deadline(self, act):
        left = None if self.deadline is None else self.deadline - time.monotonic()
        if left is not None and left <= 0:
            raise ProtocolError("did not answer in time")
        self.connection.settimeout(left)
        try:
            return act()
        except TimeoutError:
            raise ProtocolError("did not answer in time") from None
        except OSError as error:
            raise ProtocolError(
                f"ended in the middle of the question ({error.strerror or type(error).__name__})"
            ) from None


def converse(request, answer, name, max_points):
    """In a graded kernel: ask for a verdict, answer what the grader wants to know, show and return
    the `Verdict`.

    request: what is to be judged. answer: function from the grader's inputs to what the student's
    code makes of them. Where no grader listens nothing is judged, and nothing earned.
    """
    path = os.environ.get(SOCKET)
    if not path:
        return Verdict(
            name,
            0.0,
            float(max_points),
            "No grader listens: this notebook was run without the course's "
            "configuration, so nothing was judged.",
        ).show()
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect(path)
            line = Line(connection)
            line.send(request)
            while "verdict" not in (message := line.receive()):
                try:
                    reply = {"got": answer(message["given"])}
                except AnswerError as error:
                    reply = {"refused": str(error)}
                line.send(reply)
        except (OSError, ProtocolError) as error:
            return Verdict(name, 0.0, float(max_points), f"The grader was lost: {error}.").show()
    return Verdict(**message["verdict"]).show()
