"""Bodies, piece by piece: the payload is the same however it is cut, and malformed framing is refused where it stands."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.wire.bodies import (
    LAST_CHUNK,
    MAX_EXTENSIONS,
    MAX_SIZE_LINE,
    MAX_TRAILERS,
    ChunkReader,
    CloseReader,
    LengthReader,
    Reader,
    chunk,
    reader_for,
)
from orchestrator.wire.http1 import BadMessage, Body


def read(reader: Reader, data: bytes, size: int) -> bytes:
    return b"".join(reader.feed(data[start : start + size]) for start in range(0, len(data), size))


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize(
    ("data", "payload"),
    [
        pytest.param(b"0\r\n\r\n", b"", id="empty"),
        pytest.param(b"5\r\nhello\r\n0\r\n\r\n", b"hello", id="one"),
        pytest.param(b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", b"abcde", id="two"),
        pytest.param(b"A\r\n0123456789\r\n00000\r\n\r\n", b"0123456789", id="hex-and-zeros"),
        pytest.param(b"2;a=b;c\r\nxy\r\n0;z\r\n\r\n", b"xy", id="extensions"),
        pytest.param(b"2 \t;a\r\nxy\r\n0\r\n\r\n", b"xy", id="blanks-behind-size"),
        pytest.param(b"2\r\nxy\r\n0\r\nX-Sum: 1\r\nY:\r\n\r\n", b"xy", id="trailers"),
        pytest.param(b"4\r\n\r\n\r\n\r\n0\r\n\r\n", b"\r\n\r\n", id="line-ends-inside"),
    ],
)
def test_chunks(data: bytes, payload: bytes, size: int) -> None:
    """Whatever the pieces; what comes behind is given back."""
    reader = ChunkReader()
    assert read(reader, data + b"GET /", size) == payload
    assert (reader.done, reader.rest) == (True, b"GET /")
    reader.end()


@pytest.mark.parametrize("size", [1, 3, 100000])
@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"\r\n0\r\n\r\n", id="no-size"),
        pytest.param(b"-1\r\n", id="negative"),
        pytest.param(b"+5\r\nhello\r\n", id="plus"),
        pytest.param(b"0x5\r\nhello\r\n", id="0x"),
        pytest.param(b"5_0\r\n", id="underscore"),
        pytest.param(b" 5\r\nhello\r\n", id="blank-before"),
        pytest.param(b"5 5\r\nhello\r\n", id="two-sizes"),
        pytest.param(b"g\r\n", id="no-hex"),
        pytest.param(b"fffffffffffffffff\r\n", id="beyond-all"),
        pytest.param(b"5\nhello\r\n0\r\n\r\n", id="bare-lf-behind-size"),
        pytest.param(b"5\rhello\r\n0\r\n\r\n", id="bare-cr-behind-size"),
        pytest.param(b"5\r\nhelloX\r\n0\r\n\r\n", id="longer-than-it-says"),
        pytest.param(b"5\r\nhello0\r\n\r\n", id="no-line-end"),
        pytest.param(b"5\r\nhello\n0\r\n\r\n", id="bare-lf-behind-data"),
        pytest.param(b"5;a\nb\r\nhello\r\n", id="bare-lf-in-extension"),
        pytest.param(b"5;a\0b\r\nhello\r\n", id="nul-in-extension"),
        pytest.param(b"5;" + b"a" * MAX_SIZE_LINE + b"\r\nhello\r\n", id="long-extension"),
        pytest.param((b"1;" + b"a" * 1000 + b"\r\nx\r\n") * (MAX_EXTENSIONS // 1000 + 1), id="many-extensions"),
        pytest.param(b"0\r\nX : y\r\n\r\n", id="blank-in-trailer"),
        pytest.param(b"0\r\nX: y\r\n z\r\n\r\n", id="folded-trailer"),
        pytest.param(b"0\r\nX: " + b"y" * MAX_TRAILERS + b"\r\n\r\n", id="long-trailers"),
        pytest.param(b"0\r\n" + b"X: y\r\n" * (MAX_TRAILERS // 6 + 1) + b"\r\n", id="many-trailers"),
        pytest.param(b"0\r\nX: y\n\r\n\r\n", id="bare-lf-in-trailer"),
    ],
)
def test_chunks_refused(data: bytes, size: int) -> None:
    """Each has a server that reads it in another way; however it is cut, no byte behind the fault is taken for payload."""
    with pytest.raises(BadMessage):
        read(ChunkReader(), data, size)


def test_bodies_that_end_too_early() -> None:
    """The end of the stream ends only a body that ends with it."""
    for reader in (ChunkReader(), LengthReader(5)):
        reader.feed(b"2\r\nx")
        with pytest.raises(BadMessage):
            reader.end()
    last = CloseReader()
    assert last.feed(b"abc") == b"abc"
    assert not last.done
    last.end()
    assert last.done


def test_length() -> None:
    """Exactly so many bytes; the rest is of the next message."""
    reader = reader_for(Body("length", 5))
    assert read(reader, b"hello, world", 3) == b"hello"
    assert (reader.done, reader.rest) == (True, b", world")
    assert reader_for(Body("none")).done


def test_our_own_chunks() -> None:
    """Nothing is no chunk: it would be the last one."""
    assert chunk(b"") == b""
    assert chunk(b"x" * 26) == b"1a\r\n" + b"x" * 26 + b"\r\n"


@settings(max_examples=100, deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=40), max_size=8), st.integers(1, 50))
def test_chunks_there_and_back(pieces: list[bytes], size: int) -> None:
    """What is put into chunks comes out of them."""
    reader = ChunkReader()
    assert read(reader, b"".join(map(chunk, pieces)) + LAST_CHUNK, size) == b"".join(pieces)
    assert reader.done


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60), st.integers(1, 8))
def test_the_same_however_it_is_cut(data: bytes, size: int) -> None:
    """Payload, end and refusal do not depend on how the network cuts the bytes."""
    outcomes = []
    for step in (size, 1000):
        reader = ChunkReader()
        try:
            outcomes.append((read(reader, data, step), reader.done, reader.rest))
        except BadMessage:
            outcomes.append((b"", False, b"refused"))
    assert outcomes[0] == outcomes[1]
