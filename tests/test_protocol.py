"""What crosses between kernel and grader arrives as it was sent, and nothing else is taken for a
message.
"""

import json
import math
import socket
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wire import crossed

from score.course.sandbox.watch.processor import time_left
from score.protocol import (
    _HEAD,
    MAX_BYTES,
    MAX_TEXT,
    SOCKET,
    Connection,
    ProtocolError,
    converse,
    pack,
    unpack,
)

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=20,
)


def same(one, other):
    if isinstance(one, np.ndarray):
        return (
            one.dtype == other.dtype
            and one.shape == other.shape
            and np.array_equal(one, other, equal_nan=one.dtype.kind == "f")
        )
    if isinstance(one, float) and math.isnan(one):
        return math.isnan(other)
    if isinstance(one, (list, tuple)):
        return type(one) is type(other) and len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    return type(one) is type(other) and one == other


@settings(max_examples=150, deadline=None, derandomize=True)
@given(PLAIN)
def test_plain_data_arrives_as_it_was_sent(message):
    assert same(message, crossed(message))


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((0, 3)),
        np.float32([[1, np.nan], [np.inf, -0.0]]),
        np.arange(6).reshape(2, 3).T,
        np.array(2.5),
        np.array([True, False]),
        np.int8([-1, 1]),
    ],
    ids=str,
)
def test_arrays_arrive_with_their_type_and_shape(array):
    assert same({"outputs": [array, (array,)]}, crossed({"outputs": [array, (array,)]}))


def test_numbers_of_numpy_arrive_as_plain_ones():
    assert same(crossed([np.float64(0.5), np.int64(3), np.bool_(True)]), [0.5, 3, True])


@pytest.mark.parametrize(
    "value",
    [object(), print, b"bytes", {1, 2}, np.array([None]), np.array(["text"]), {1: 2}],
    ids=["object", "function", "bytes", "set", "array of objects", "array of text", "a key"],
)
def test_nothing_else_is_sent(value):
    with pytest.raises(TypeError, match="can(not)? be sent"):
        pack({"outputs": value})


@pytest.mark.parametrize(
    "text, raw",
    [
        (b"", b""),
        (b"null", b""),
        (b"[1]", b""),
        (b"{}", b""),
        (b'{"message": 1}', b""),
        (b"\xff\xfe", b""),
        (b"[" * 100_000, b""),
        (b'{"message": {"array": 0}, "arrays": []}', b""),
        (b'{"message": {"array": -1}, "arrays": []}', b""),
        (b'{"message": {"run": "rm"}, "arrays": []}', b""),
        (b'{"message": {"dict": [[[], 1]]}, "arrays": []}', b""),
        # The hashes of such numbers are the same: a dict of thousands of them takes minutes.
        (b'{"message": {"dict": [[0, 1], [2305843009213693951, 1]]}, "arrays": []}', b""),
        (b'{"message": {}, "arrays": []}', b""),
        (b'{"message": 1, "arrays": [["|O", [1]]]}', b"x" * 8),
        (b'{"message": 1, "arrays": [["<f8", [-1]]]}', b"x" * 8),
        (b'{"message": 1, "arrays": [["<f8", [2]]]}', b"x" * 8),
        (b'{"message": 1, "arrays": [["<f8", [true]]]}', b"x" * 8),
        (b'{"message": 1, "arrays": [["<f8", [1e9, 1e9]]]}', b""),
        (b'{"message": 1, "arrays": [["<f8", [1000000, 1000000, 1000000]]]}', b""),
    ],
)
def test_what_is_no_message_is_refused(text, raw):
    with pytest.raises(ProtocolError, match="no message"):
        unpack(text, raw)


@pytest.fixture
def ends():
    one, other = socket.socketpair()
    with one, other:
        yield one, other


@pytest.mark.parametrize("text, raw", [(1, MAX_BYTES), (MAX_TEXT + 1, 0)])
def test_a_message_that_announces_too_much_is_refused_before_it_is_read(ends, text, raw):
    ends[0].sendall(_HEAD.pack(text, raw))
    with pytest.raises(ProtocolError, match="more than"):
        Connection(ends[1]).receive()


def test_who_says_nothing_in_time_or_hangs_up_is_told_apart(ends):
    ends[0].sendall(b"\x01")
    with pytest.raises(ProtocolError, match="in time"):
        Connection(ends[1], time_left(0.05, None)).receive()
    ends[0].close()
    with pytest.raises(ProtocolError, match="ended in the middle"):
        Connection(ends[1]).receive()


def test_without_a_grader_nothing_is_judged_and_nothing_earned(monkeypatch, capsys):
    monkeypatch.delenv(SOCKET, raising=False)
    verdict = converse({"question": "Q1.1"}, lambda inputs: {}, "Q1.1", 5)
    assert (
        verdict.points == 0.0
        and "without the course's configuration" in verdict.sentence
        and "There is no grader" in capsys.readouterr().out
    )


def test_a_kernel_answers_until_the_verdict_comes(tmp_path, monkeypatch, capsys):
    path = str(tmp_path / "s")
    monkeypatch.setenv(SOCKET, path)
    heard = []

    def grader():
        connection, _ = listener.accept()
        with connection:
            end = Connection(connection)
            heard.append(end.receive())
            for inputs in (np.arange(3), "last"):
                end.send({"inputs": inputs})
                heard.append(end.receive())
            end.send(
                {"verdict": {"name": "Q", "points": 1.0, "max_points": 2.0, "sentence": "So so."}}
            )

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        thread = threading.Thread(target=grader)
        thread.start()
        verdict = converse({"question": "Q"}, lambda inputs: inputs, "Q", 2)
        thread.join()
    assert same(heard, [{"question": "Q"}, {"outputs": np.arange(3)}, {"outputs": "last"}])
    assert (verdict.points, verdict.sentence) == (
        1.0,
        "So so.",
    ) and "So so." in capsys.readouterr().out


def test_the_message_is_json_that_anybody_can_read():
    text = pack({"question": "Q1.1"})[_HEAD.size :]
    assert json.loads(text) == {"message": {"dict": [["question", "Q1.1"]]}, "arrays": []}
