"""The frames between us and the launcher: any bytes end in a frame, an end, or our own error."""

import itertools
import json
import os
import socket
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.errors import EnvironmentFailed
from orchestrator.launcher.client import Canary, LauncherClient, Prelude, RunRequest, _next_frame, greet
from orchestrator.launcher.main import FRAME, Wire

FACTS = {
    "container": False, "root": [{"name": "usr", "kind": "dir", "target": ""}], "etc": [], "proc": [], "sources": {}, "visible": [],
    "python": "python3", "git": "git", "uid": 1, "gid": 1, "machine": "x86_64",
}  # fmt: skip
HELLO = {"ev": "hello", "version": 1, "pid": 7, "facts": FACTS}


class Collect:
    """A sink that keeps what it gets."""

    def __init__(self) -> None:
        self.out, self.err = b"", b""

    def stdout(self, data: bytes) -> None:
        self.out += data

    def stderr(self, data: bytes) -> None:
        self.err += data


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def frame(kind: int, number: int, payload: bytes) -> bytes:
    return struct.pack(">IBI", len(payload), kind, number) + payload


def read_all(data: bytes, cuts: list[int]) -> list[tuple[int, int, bytes]]:
    """What a reader makes of ``data`` that arrives in pieces."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
        for begin, end in itertools.pairwise(edges):
            theirs.sendall(data[begin:end])
        theirs.shutdown(socket.SHUT_WR)
        buffer, frames = bytearray(), []
        while (found := _next_frame(ours, buffer)) is not None:
            frames.append(found)
        return frames


FRAMES = st.lists(st.tuples(st.integers(0, 255), st.integers(0, 2**32 - 1), st.binary(max_size=64)), max_size=5)


@settings(max_examples=50, deadline=None)
@given(frames=FRAMES, cuts=st.lists(st.integers(0, 400), max_size=5))
def test_frames_survive_any_cut(frames: list[tuple[int, int, bytes]], cuts: list[int]) -> None:
    """However the stream is cut, the same frames come out, in order."""
    assert read_all(b"".join(frame(*one) for one in frames), cuts) == frames


@settings(max_examples=50, deadline=None)
@given(frames=FRAMES, cuts=st.lists(st.integers(0, 400), max_size=3))
def test_the_launchers_own_reader_agrees(frames: list[tuple[int, int, bytes]], cuts: list[int]) -> None:
    """Both ends of the wire read the same."""
    data = b"".join(frame(*one) for one in frames)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(data)
        theirs.shutdown(socket.SHUT_WR)
        wire, found = Wire(ours), []
        while (more := wire.receive()) is not None:
            found += more
    assert found == frames
    assert FRAME.size == 9


@settings(max_examples=60, deadline=None)
@given(data=st.binary(max_size=80))
def test_garbage_ends_in_frames_or_our_refusal(data: bytes) -> None:
    """A length that is too large is refused before anything is kept; nothing else is raised."""
    try:
        found = read_all(data, [])
    except ValueError:
        return
    assert sum(len(payload) + FRAME.size for _, _, payload in found) <= len(data)


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        pytest.param(b"", "ended before", id="nothing"),
        pytest.param(b"\0\0", "ended before", id="half-a-header"),
        pytest.param(frame(0, 0, b'{"ev": "failed", "message": "no room"}'), "no room", id="failed"),
        pytest.param(frame(0, 0, b'{"ev": "other"}'), "failed", id="other"),
        pytest.param(struct.pack(">IBI", 2**31, 0, 0), "introduce", id="too-long"),
        pytest.param(frame(0, 0, b"not json"), "introduce", id="no-json"),
        pytest.param(frame(0, 0, b"[]"), "introduce", id="no-object"),
        pytest.param(frame(0, 0, b'{"ev": "hello"}'), "introduce", id="no-facts"),
        pytest.param(frame(0, 0, json.dumps({**HELLO, "facts": {**FACTS, "root": [1]}}).encode()), "introduce", id="wrong-facts"),
        pytest.param(frame(0, 0, json.dumps({**HELLO, "pid": "x"}).encode()), "introduce", id="wrong-pid"),
    ],
)
def test_a_launcher_that_does_not_introduce_itself(pair: tuple[socket.socket, socket.socket], sent: bytes, said: str) -> None:
    """Each is an error of ours about the environment."""
    ours, theirs = pair
    theirs.sendall(sent)
    theirs.shutdown(socket.SHUT_WR)
    with pytest.raises(EnvironmentFailed, match=said):
        greet(ours, 2.0)


def greeted(pair: tuple[socket.socket, socket.socket]) -> LauncherClient:
    pair[1].sendall(frame(0, 0, json.dumps(HELLO).encode()))
    return greet(pair[0].dup(), 2.0)


REQUEST = RunRequest(("--x", ("fd", "seccomp")), {"seccomp": b"\0\xff"}, ("true",), stdin=False, tty=None, rlimits={"RLIMIT_NOFILE": 9})


def test_a_process_from_request_to_end(pair: tuple[socket.socket, socket.socket]) -> None:
    """The request goes out whole; output and end come in; the callback is called once."""
    client = greeted(pair)
    sink, called = Collect(), []
    process = client.run(REQUEST, sink)
    process.on_end(lambda: called.append(1))
    _, number, payload = _next_frame(pair[1], bytearray()) or (0, 0, b"")
    message = json.loads(payload)
    assert (message["op"], message["argv"], message["options"], message["stdin"]) == ("run", ["true"], ["--x", {"fd": "seccomp"}], "null")
    for kind, data in ((0, b'{"ev": "started", "pid": 12}'), (1, b"out"), (2, b"err"), (1, b"put"), (0, b'{"ev": "exit", "code": 3}')):
        pair[1].sendall(frame(kind, number, data))
    ended = process.wait(5.0)
    assert ended is not None
    assert (ended.code, ended.lost, ended.failure, process.pid) == (3, False, None, 12)
    assert (sink.out, sink.err) == (b"output", b"err")
    process.on_end(lambda: called.append(2))
    assert called == [1, 2]
    client.close()


@pytest.mark.parametrize(
    "broken",
    [
        b"",
        b"\xff" * 9,
        frame(0, 1, b"not json"),
        frame(0, 1, b'{"no": 1}'),
        frame(0, 1, b'{"ev": "exit", "code": "x"}'),
        frame(0, 1, b"[]"),
        frame(0, 1, b'{"ev": "started"}'),
    ],
    ids=["end", "length", "no-json", "no-event", "no-code", "no-object", "no-pid"],
)
def test_a_launcher_that_breaks_off_or_lies_loses_its_processes(pair: tuple[socket.socket, socket.socket], broken: bytes) -> None:
    """Whatever comes instead of an event: every process ends as lost, and nobody waits for ever."""
    client = greeted(pair)
    process = client.run(REQUEST, Collect())
    pair[1].sendall(broken)
    pair[1].shutdown(socket.SHUT_RDWR)
    ended = process.wait(5.0)
    assert ended is not None
    assert ended.lost
    assert client.lost.wait(5.0)
    late = client.run(REQUEST, Collect()).wait(5.0)
    assert late is not None
    assert late.lost
    client.close()


def test_frames_for_nobody_are_passed_over(pair: tuple[socket.socket, socket.socket]) -> None:
    """Output of a process that has ended harms nobody."""
    client = greeted(pair)
    sink = Collect()
    process = client.run(REQUEST, sink)
    pair[1].sendall(frame(1, 99, b"x") + frame(9, 1, b'{"ev": "other"}') + frame(1, 1, b"y") + frame(0, 1, b'{"ev": "exit", "code": 0}'))
    assert process.wait(5.0) is not None
    assert sink.out == b"y"
    client.close()


# --- what a prelude tells, and its sockets ------------------------------------------------------------------------------

PRELUDE = Prelude((("A", "1"),), (), Canary("/x", 1, "name"))
READY = {"ev": "ready", "facts": {"uid": [1]}, "place": {"namespaces": {}}, "sockets": 0}


def asking(ports: tuple[int, ...]) -> RunRequest:
    return replace(REQUEST, prelude=replace(PRELUDE, listen=ports))


def listening() -> socket.socket:
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    sock.listen(1)
    return sock


def bound() -> socket.socket:
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    return sock


def elsewhere(like: socket.socket) -> socket.socket:
    """A socket that listens on the same port of another address."""
    sock = socket.socket()
    sock.bind(("127.0.0.2", like.getsockname()[1]))
    sock.listen(1)
    return sock


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def hand_over(sock: socket.socket, descriptors: list[int], data: bytes) -> None:
    sent = socket.send_fds(sock, [data], descriptors)
    sock.sendall(data[sent:])


def test_a_prelude_tells_and_the_command_goes(pair: tuple[socket.socket, socket.socket]) -> None:
    """Facts and sockets come with one message; the request named them, and ``go`` is the answer."""
    client = greeted(pair)
    with listening() as one, listening() as two:
        ports = (one.getsockname()[1], two.getsockname()[1])
        process = client.run(asking(ports), Collect())
        buffer = bytearray()
        message = json.loads((_next_frame(pair[1], buffer) or (0, 0, b""))[2])
        assert message["prelude"] == {"env": {"A": "1"}, "listen": list(ports), "canary": {"file": "/x", "port": 1, "abstract": "name"}}
        assert process.wait_ready(0) is None
        hand_over(pair[1], [one.fileno(), two.fileno()], frame(0, 1, json.dumps({**READY, "sockets": 2}).encode()))
        ready = process.wait_ready(5.0)
        assert ready is not None
        assert (ready.facts, ready.place) == ({"uid": [1]}, {"namespaces": {}})
        assert [sock.getsockname()[1] for sock in ready.sockets] == list(ports)
        assert not any(sock.get_inheritable() for sock in ready.sockets)
        for sock in ready.sockets:
            sock.close()
        process.go()
        assert json.loads((_next_frame(pair[1], buffer) or (0, 0, b""))[2]) == {"op": "go"}
    client.close()


@pytest.mark.parametrize(
    "event",
    [
        {"ev": "failed", "message": "no room"},
        {"ev": "exit", "code": 1},
    ],
    ids=["failed", "exit"],
)
def test_a_prelude_that_ends_before_it_tells(pair: tuple[socket.socket, socket.socket], event: dict[str, object]) -> None:
    """Whoever waits for it is woken, and finds the end instead."""
    client = greeted(pair)
    process = client.run(asking(()), Collect())
    pair[1].sendall(frame(0, 1, json.dumps(event).encode()))
    assert process.wait_ready(5.0) is None
    assert process.wait(5.0) is not None
    client.close()


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param(lambda good: ([], 1), id="none"),
        pytest.param(lambda good: ([good], 0), id="not-named"),
        pytest.param(lambda good: ([good, listening()], 2), id="one-too-many-named"),
        pytest.param(lambda good: ([listening()], 1), id="another-port"),
        pytest.param(lambda good: ([elsewhere(good)], 1), id="another-address"),
        pytest.param(lambda good: ([bound()], 1), id="does-not-listen"),
        pytest.param(lambda good: ([socket.socketpair()[0]], 1), id="another-family"),
        pytest.param(lambda good: ([socket.socket(socket.AF_INET, socket.SOCK_DGRAM)], 1), id="another-type"),
        pytest.param(lambda good: ([open(os.devnull)], 1), id="no-socket"),  # noqa: SIM115 - closed below
        pytest.param(lambda good: ([good], "1"), id="count-in-words"),
        pytest.param(lambda good: ([good], None), id="no-count"),
    ],
)
def test_a_launcher_that_hands_over_something_else(
    pair: tuple[socket.socket, socket.socket], wrong: Callable[[socket.socket], tuple[list[Any], object]]
) -> None:
    """Nothing of it is taken, none of it stays open, and the launcher counts as lost."""
    client = greeted(pair)
    with listening() as good:
        process = client.run(asking((good.getsockname()[1],)), Collect())
        sent, count = wrong(good)
        before = open_descriptors()
        hand_over(pair[1], [one.fileno() for one in sent], frame(0, 1, json.dumps({**READY, "sockets": count}).encode()))
        assert process.wait_ready(5.0) is None
        ended = process.wait(5.0)
        assert ended is not None
        assert ended.lost
        assert client.lost.wait(5.0)
        assert open_descriptors() <= before
        for one in sent:
            one.close()
    client.close()


@pytest.mark.parametrize("awaited", [False, True], ids=["nobody-waits", "somebody-waits"])
def test_descriptors_that_nobody_asked_for_do_not_pile_up(pair: tuple[socket.socket, socket.socket], awaited: bool) -> None:
    """Hundreds of them, on frames of every kind: closed at once, or at most a handful is held."""
    client = greeted(pair)
    sink = Collect()
    process = client.run(asking((1,)) if awaited else REQUEST, sink)
    before = open_descriptors()
    with open(os.devnull) as nothing:
        for _ in range(100):
            hand_over(pair[1], [nothing.fileno()] * 7, frame(1, 1, b"x"))
        pair[1].sendall(frame(1, 1, b"end"))
        deadline = time.monotonic() + 5.0
        while not sink.out.endswith(b"end"):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert open_descriptors() <= before + 1 + (8 if awaited else 0)
    pair[1].sendall(frame(0, 1, b'{"ev": "exit", "code": 0}'))
    assert process.wait(5.0) is not None
    client.close()
    assert open_descriptors() <= before


def test_the_data_of_a_request_comes_in_descriptors(pair: tuple[socket.socket, socket.socket]) -> None:
    """In the order of their names, at their beginning, whatever their size; the sender keeps none."""
    client = greeted(pair)
    before = open_descriptors()
    data = {"seccomp": b"\0\xff", "empty": b"", "input0": b"x" * 3_000_000}
    client.run(replace(REQUEST, data=data), Collect())
    wire = Wire(pair[1])
    frames: list[tuple[int, int, bytes]] = []
    while not frames:
        frames = wire.receive() or []
    names = json.loads(frames[0][2])["data"]
    descriptors = wire.take(len(names))
    assert open_descriptors() == before + len(data)
    found = {}
    for name, descriptor in zip(names, descriptors, strict=True):
        assert not os.get_inheritable(descriptor)
        with os.fdopen(descriptor, "rb") as file:
            found[name] = file.read()
    assert found == data
    client.close()


@pytest.mark.parametrize("count", [64, 253])
def test_as_many_files_as_one_message_bears(pair: tuple[socket.socket, socket.socket], count: int) -> None:
    """The kernel's bound is ours, at both ends."""
    client = greeted(pair)
    client.run(replace(REQUEST, data={str(number): b"" for number in range(count)}), Collect())
    wire = Wire(pair[1])
    while not wire.receive():
        pass
    taken = wire.take(count)
    for descriptor in taken:
        os.close(descriptor)
    assert len(taken) == count
    client.close()


def test_more_files_than_one_message_bears(pair: tuple[socket.socket, socket.socket]) -> None:
    """Told at once, and the next command goes its way."""
    client = greeted(pair)
    before = open_descriptors()
    with pytest.raises(EnvironmentFailed, match="254 files, could not be handed to the launcher") as caught:
        client.run(replace(REQUEST, data={str(number): b"" for number in range(254)}), Collect())
    assert caught.value.remedy
    assert open_descriptors() == before
    client.run(REQUEST, Collect())
    wire = Wire(pair[1])
    frames: list[tuple[int, int, bytes]] = []
    while not frames:
        frames = wire.receive() or []
    assert [number for _, number, _ in frames] == [2]
    client.close()


def test_facts_without_end_are_not_taken(pair: tuple[socket.socket, socket.socket]) -> None:
    """A message ``ready`` longer than any sandbox's is passed over; one that nests without end loses the launcher, not us."""
    client = greeted(pair)
    process = client.run(asking(()), Collect())
    pair[1].sendall(frame(0, 1, json.dumps({**READY, "facts": {"x": "y" * (2 << 20)}}).encode()))
    assert process.wait_ready(0.3) is None
    pair[1].sendall(frame(0, 1, b"[" * 200_000))
    ended = process.wait(5.0)
    assert ended is not None
    assert ended.lost
    client.close()


def test_ready_twice_or_unasked_is_passed_over(pair: tuple[socket.socket, socket.socket]) -> None:
    """Only the first counts, and only where a prelude was asked for."""
    client = greeted(pair)
    plain, asked = client.run(REQUEST, Collect()), client.run(asking(()), Collect())
    for number, uid in ((1, 5), (2, 6), (2, 7)):
        pair[1].sendall(frame(0, number, json.dumps({**READY, "facts": {"uid": uid}}).encode()))
    pair[1].sendall(frame(0, 2, b'{"ev": "exit", "code": 0}') + frame(0, 1, b'{"ev": "exit", "code": 0}'))
    assert plain.wait(5.0) is not None
    assert plain.wait_ready(0) is None
    ready = asked.wait_ready(0)
    assert ready is not None
    assert ready.facts == {"uid": 6}
    client.close()
