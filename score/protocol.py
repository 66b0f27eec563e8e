"""Messages between a student's kernel and the process that grades it, over a local socket.

A message is plain data (None, bool, int, float, str, list, tuple, dict with text as keys) with
numpy arrays in it. It is sent as two lengths, a JSON text in which a number stands for each array,
and the raw bytes of the arrays. The text is short, because what it becomes takes dozens of times
its room; arrays take what they say. Nothing in a message is ever executed. When a notebook is
graded, the kernel first says which check it has reached, and then answers requests until it
receives the verdict:

    kernel                                       question server
    {"question": "Q1.2"} or {"rollouts": name}
                                                 {"inputs": …}
    {"outputs": …} or {"refused": sentence}
                                                 {"verdict": the fields of a Verdict}
"""

import errno
import json
import math
import os
import socket
import struct
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, TypeVar

import numpy as np

from score.verdict import AnswerError, Verdict

SOCKET = "PUSHT_GRADER"  # the environment variable that names the question server's socket
MAX_BYTES = 2**26  # of a message
MAX_TEXT = 2**18  # bytes of its JSON; right answers need a fiftieth of them
_DTYPES = {
    dtype: np.dtype(dtype)
    for dtype in ("<f2", "<f4", "<f8", "<i1", "<i2", "<i4", "<i8", "|b1", "|i1", "|u1", "<u1")
}
_CLOSED = (errno.ENOTCONN, errno.EBADF)  # of a connection that has been closed
_HEAD = struct.Struct("<IQ")  # number of bytes of the JSON text, and of the arrays
_Result = TypeVar("_Result")


class ProtocolError(Exception):
    """Raised when the other side sent an invalid message, did not answer in time, or has closed
    the connection. The message continues a sentence that begins with "The notebook".
    """


def pack(message: Any) -> bytes:
    """Return the bytes of a message; TypeError for anything but plain data."""
    arrays: list[np.ndarray] = []
    text = json.dumps(_encode(message, arrays)).encode()
    return b"".join(
        [
            _HEAD.pack(len(text), sum(array.nbytes for array in arrays)),
            text,
            *(array.tobytes() for array in arrays),
        ]
    )


def unpack(text: bytes, raw: bytes) -> Any:
    """Return the message in a JSON text and the bytes of its arrays; ProtocolError if invalid."""
    try:
        whole = json.loads(text)
        arrays, start = [], 0
        for dtype_name, shape in whole["arrays"]:
            dtype = _DTYPES[dtype_name]
            if not all(type(length) is int and 0 <= length <= MAX_BYTES for length in shape):
                raise ValueError(f"shape {shape}")
            size = math.prod(shape) * dtype.itemsize
            if start + size > len(raw):
                raise ValueError("fewer bytes than its arrays have")
            arrays.append(np.frombuffer(raw, dtype, math.prod(shape), start).reshape(shape).copy())
            start += size
        return _from_json(whole["message"], arrays)
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


def one_line(text: object) -> str:
    """Return at most 600 characters of a text as one printable line, because the text may come
    from a student's process.
    """
    printable = "".join(c if c.isprintable() else " " for c in str(text)[:600])
    return " ".join(printable.split())


def _encode(message: Any, arrays: list[np.ndarray]) -> dict[str, Any]:
    encoded = _to_json(message, arrays)
    return {
        "message": encoded,
        "arrays": [[array.dtype.str, list(array.shape)] for array in arrays],
    }


def _to_json(value: Any, arrays: list[np.ndarray]) -> Any:
    """Return JSON for a value. Dicts, tuples and arrays are all tagged, so that a dict in the
    message cannot be mistaken for a tag.
    """
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, np.generic):
        return _to_json(value.item(), arrays)
    if isinstance(value, np.ndarray):
        value = np.asarray(value, order="C")  # ascontiguousarray would give a scalar a dimension
        if value.dtype.str not in _DTYPES:
            raise TypeError(f"An array of {value.dtype} cannot be sent.")
        arrays.append(value)
        return {"array": len(arrays) - 1}
    if isinstance(value, tuple):
        return {"tuple": [_to_json(v, arrays) for v in value]}
    if isinstance(value, list):
        return [_to_json(v, arrays) for v in value]
    if isinstance(value, dict):
        if not all(type(key) is str for key in value):
            raise TypeError("A dict can be sent if its keys are text.")
        return {"dict": [[key, _to_json(v, arrays)] for key, v in value.items()]}
    raise TypeError(f"A {type(value).__name__} cannot be sent.")


def _from_json(value: Any, arrays: list[np.ndarray]) -> Any:
    if isinstance(value, list):
        return [_from_json(v, arrays) for v in value]
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    if kind == "array":
        return arrays[content]
    if kind == "tuple":
        return tuple(_from_json(v, arrays) for v in content)
    if kind == "dict":
        if not all(type(key) is str for key, _ in content):
            raise ValueError("a key that is no text")  # hashes of numbers can be made to collide
        return {key: _from_json(v, arrays) for key, v in content}
    raise ValueError(kind)


class Connection:
    """One end of a conversation over a connected socket.

    left: returns the seconds that are left for the conversation; None where it may take any time.
    refused: whether the other side has answered with words.
    """

    def __init__(self, connected: socket.socket, left: Callable[[], float] | None = None) -> None:
        self._socket, self._left = connected, left
        self.refused = False

    def send(self, message: Any) -> None:
        """Send a message; ProtocolError when the other side has closed or does not read in time."""
        data = memoryview(pack(message))
        while data:
            data = data[self._in_time(self._socket.send, data) :]

    def receive(self, most_bytes: int = MAX_BYTES) -> Any:
        """Return the next message; ProtocolError for an invalid or larger one, or none in time."""
        text_bytes, raw_bytes = _HEAD.unpack(self._read(_HEAD.size))
        if text_bytes > MAX_TEXT:
            raise ProtocolError(
                f"sent a message with {text_bytes:,} bytes of text, more than {MAX_TEXT:,}"
            )
        if text_bytes + raw_bytes > most_bytes:
            raise ProtocolError(
                f"sent a message of {text_bytes + raw_bytes:,} bytes, more than {most_bytes:,}"
            )
        return unpack(self._read(text_bytes), self._read(raw_bytes))

    def send_verdict(self, verdict: Verdict) -> None:
        """Send the message that ends a conversation."""
        self.send({"verdict": asdict(verdict)})

    def call(self, inputs: Any, most_bytes: int = MAX_BYTES) -> Any:
        """Return the outputs of the student's code; AnswerError with the reason if it has none."""
        self.send({"inputs": inputs})
        reply = self.receive(most_bytes)
        if not isinstance(reply, dict) or reply.keys() not in ({"outputs"}, {"refused"}):
            raise ProtocolError("sent something else than an answer")
        if "refused" in reply:
            self.refused = True
            raise AnswerError(one_line(reply["refused"]) or "The answer was refused.")
        return reply["outputs"]

    def _read(self, count: int) -> bytes:
        parts = []
        while count:
            part = self._in_time(self._socket.recv, min(count, 2**20))
            if not part:
                raise ProtocolError("ended in the middle of the question")
            parts.append(part)
            count -= len(part)
        return b"".join(parts)

    def _in_time(self, act: Callable[[Any], _Result], argument: Any) -> _Result:
        left = None if self._left is None else self._left()
        while left is None or left > 0:
            self._socket.settimeout(left)
            try:
                return act(argument)
            except TimeoutError:
                left = self._left and self._left()  # which may have been prolonged
            except OSError as error:
                if not isinstance(error, ConnectionError) and error.errno not in _CLOSED:
                    raise  # the machine's
                why = error.strerror or type(error).__name__
                raise ProtocolError(f"ended in the middle of the question ({why})") from None
        raise ProtocolError("did not answer in time")


def converse(
    request: dict[str, str], answer: Callable[[Any], Any], name: str, max_points: float
) -> Verdict:
    """Let the question server judge a check of a graded kernel; show and return the `Verdict`.

    request: the check, such as {"question": "Q1.2"}. answer: function from the server's inputs to
    the outputs of the student's code. Without a server the verdict is 0 points.
    """
    path = os.environ.get(SOCKET)
    if not path:
        return Verdict(
            name,
            0.0,
            float(max_points),
            "There is no grader: this notebook was run without the course's configuration, so"
            " nothing was judged.",
        ).show()
    with socket.socket(socket.AF_UNIX) as connected:
        try:
            connected.connect(path)
            connection = Connection(connected)
            connection.send(request)
            while "verdict" not in (message := connection.receive()):
                try:
                    reply = {"outputs": answer(message["inputs"])}
                except AnswerError as error:
                    reply = {"refused": str(error)}
                connection.send(reply)
        except (OSError, ProtocolError) as error:
            return Verdict(name, 0.0, float(max_points), f"The grader was lost: {error}.").show()
    return Verdict(**message["verdict"]).show()
