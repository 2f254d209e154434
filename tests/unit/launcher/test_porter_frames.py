"""What a launcher answers to ``porter``: a channel, a reason, or nonsense."""

import json
import os
import socket
import threading
from collections.abc import Callable
from typing import Any

import pytest

from orchestrator.errors import EnvironmentFailed
from orchestrator.launcher.client import LauncherClient, Process, _next_frame
from tests.unit.launcher.test_launcher_frames import (
    REQUEST,
    Collect,
    bound,
    frame,
    greeted,
    hand_over,
    listening,
    open_descriptors,
    pair,
)

__all__ = ["pair"]
Pair = tuple[socket.socket, socket.socket]
ANSWER = frame(0, 1, b'{"ev": "porter"}')


def asked(pair: Pair, timeout_s: float = 5.0) -> tuple[LauncherClient, Process, Callable[[], socket.socket | str]]:
    """A process whose porter was asked for, by another thread; what comes of it."""
    client = greeted(pair)
    process = client.run(REQUEST, Collect())
    buffer = bytearray()
    _next_frame(pair[1], buffer)
    found: list[socket.socket | str] = []

    def ask() -> None:
        try:
            found.append(process.porter(timeout_s))
        except EnvironmentFailed as problem:
            found.append(problem.message)

    thread = threading.Thread(target=ask)
    thread.start()
    assert json.loads((_next_frame(pair[1], buffer) or (0, 0, b""))[2]) == {"op": "porter"}

    def result() -> socket.socket | str:
        thread.join(10.0)
        return found[0]

    return client, process, result


def channel(said: bytes, *, ended: bool = False) -> socket.socket:
    """The far end's socket, after it has said something (and gone, or still there)."""
    ours, theirs = socket.socketpair()
    theirs.sendall(said)
    if ended:
        theirs.close()
    else:
        KEPT.append(theirs)
    return ours


KEPT: list[socket.socket] = []


def test_a_channel(pair: Pair) -> None:
    client, _, result = asked(pair)
    with channel(b'{"ready": true}\n') as sent:
        hand_over(pair[1], [sent.fileno()], ANSWER)
        found = result()
    assert isinstance(found, socket.socket)
    with found:
        assert not found.get_inheritable()
        assert found.gettimeout() is None
        found.sendall(b"x")
        assert KEPT.pop().recv(1) == b"x"
    client.close()


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        pytest.param(b'{"ev": "porter", "error": "its network is gone"}', "its network is gone", id="refused"),
        pytest.param(b'{"ev": "exit", "code": 0}', "the command has ended", id="exit"),
        pytest.param(b'{"ev": "failed", "message": "x"}', "the command has ended", id="failed"),
    ],
)
def test_a_reason(pair: Pair, answer: bytes, said: str) -> None:
    client, process, result = asked(pair)
    pair[1].sendall(frame(0, 1, answer))
    assert result() == f"no ports can be opened inside: {said}"
    pair[1].sendall(frame(0, 1, b'{"ev": "exit", "code": 0}'))
    assert process.wait(5.0) is not None
    with pytest.raises(EnvironmentFailed, match="has ended"):
        process.porter()
    client.close()


@pytest.mark.parametrize(
    ("words", "ended", "said"),
    [
        pytest.param(b'{"error": "entering the network: no"}\n', True, "entering the network: no", id="error"),
        pytest.param(b"", True, "before it said anything", id="nothing"),
        pytest.param(b'{"ready"', True, "before it said anything", id="half"),
        pytest.param(b'{"ready": 1}\n', False, "None", id="not-true"),
        pytest.param(b"[]\n", False, "not what a porter says", id="no-object"),
        pytest.param(b"\xff\n", False, "no ports", id="no-text"),
        pytest.param(b"x" * 9000, False, "no ports", id="endless"),
    ],
)
def test_other_first_words(pair: Pair, words: bytes, ended: bool, said: str) -> None:
    """An error of ours, and nothing stays open; the launcher goes on."""
    client, _, result = asked(pair)
    before = open_descriptors()
    with channel(words, ended=ended) as sent:
        hand_over(pair[1], [sent.fileno()], ANSWER)
        found = result()
    assert isinstance(found, str)
    assert said in found
    while KEPT:
        KEPT.pop().close()
    assert open_descriptors() == before
    assert not client.lost.is_set()
    client.close()


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda: None, id="none"),
        pytest.param(listening, id="tcp"),
        pytest.param(bound, id="unconnected"),
        pytest.param(lambda: socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)[0], id="datagrams"),
        pytest.param(lambda: open(os.devnull), id="no-socket"),  # noqa: SIM115 - closed below
    ],
)
def test_something_else_than_a_channel(pair: Pair, make: Callable[[], Any]) -> None:
    """The launcher counts as lost, as with the sockets of a prelude."""
    client, process, result = asked(pair)
    sent = make()
    before = open_descriptors()
    if sent is None:
        pair[1].sendall(ANSWER)
    else:
        hand_over(pair[1], [sent.fileno()], ANSWER)
        sent.close()
    assert result() == "no ports can be opened inside: the command has ended"
    ended = process.wait(5.0)
    assert ended is not None
    assert ended.lost
    assert open_descriptors() <= before
    client.close()


def test_one_that_comes_too_late(pair: Pair) -> None:
    """It is closed: the porter ends with it."""
    client, process, result = asked(pair, 0.05)
    assert result() == "no ports can be opened inside: nothing came in time"
    ours, theirs = socket.socketpair()
    with ours, theirs:
        hand_over(pair[1], [ours.fileno()], ANSWER)
        ours.close()
        theirs.settimeout(5.0)
        assert theirs.recv(1) == b""
    assert process.wait(0) is None
    client.close()
