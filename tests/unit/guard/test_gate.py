"""The gate's two ends over a socket pair: what is handed out, what is refused, and what becomes of nonsense."""

import contextlib
import errno
import json
import os
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.guard import gate as rim
from orchestrator.guard.calls import Json, Object, PathMap, Session
from orchestrator.guard.gate import GateClient, GateLost
from orchestrator.guard.gate_body import VOID_FOLDERS, BadImage, gate_body, gate_name, void_archive
from orchestrator.guard.gate_program import MAX_LINE, Gate
from orchestrator.model.guard import GuardLimits, GuardPlan
from tests.unit.guard.looped import DEADLINE_S, Looped, gate, looped


@pytest.fixture
def place() -> Iterator[Looped]:
    with looped() as found:
        yield found


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def settled(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


# --- both ends -------------------------------------------------------------------------------------------------------------------


def test_listen_and_dial(place: Looped) -> None:
    """A listening socket comes out, and one that is connected to it."""
    with gate(place) as client:
        listener = place.run(lambda: client.listen("127.0.0.1", 0))
        port = listener.getsockname()[1]
        dialled = place.run(lambda: client.dial("127.0.0.1", port))
        with listener, dialled:
            accepted, _ = listener.accept()
            with accepted:
                dialled.setblocking(True)
                accepted.sendall(b"through nothing")
                assert dialled.recv(100) == b"through nothing"
            assert not listener.get_inheritable()
            assert not dialled.get_inheritable()


@pytest.mark.parametrize(
    ("verb", "host", "port", "code"),
    [
        pytest.param("listen", "0.0.0.0", 0, errno.EINVAL, id="other-address"),
        pytest.param("listen", "127.0.0.2", 0, errno.EINVAL, id="other-loopback"),
        pytest.param("listen", "127.0.0.1", 65536, errno.EINVAL, id="port-too-high"),
        pytest.param("listen", "127.0.0.1", -1, errno.EINVAL, id="port-negative"),
        pytest.param("listen", "localhost", 0, errno.EINVAL, id="name"),
        pytest.param("dial", "localhost", 80, errno.EINVAL, id="dial-name"),
        pytest.param("dial", "127.1", 80, errno.EINVAL, id="dial-short"),
        pytest.param("dial", "::1", 80, errno.EINVAL, id="dial-ipv6"),
        pytest.param("dial", "127.0.0.1", 0, errno.EINVAL, id="dial-0"),
        pytest.param("dial", "a\0b", 80, errno.EINVAL, id="dial-null-byte"),
    ],
)
def test_refused(place: Looped, verb: str, host: str, port: int, code: int) -> None:
    """Each with an errno, and the gate goes on."""
    with gate(place) as client:
        with pytest.raises(OSError) as problem:
            place.run(lambda: client.listen(host, port) if verb == "listen" else client.dial(host, port))
        assert problem.value.errno == code
        place.run(lambda: client.listen("127.0.0.1", 0)).close()


def test_a_port_in_use(place: Looped) -> None:
    with gate(place) as client, place.run(lambda: client.listen("127.0.0.1", 0)) as first:
        with pytest.raises(OSError) as problem:
            place.run(lambda: client.listen("127.0.0.1", first.getsockname()[1]))
        assert problem.value.errno == errno.EADDRINUSE


def test_nobody_listens(place: Looped) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        with gate(place) as client, pytest.raises(ConnectionRefusedError):
            place.run(lambda: client.dial("127.0.0.1", bound.getsockname()[1]))


def test_one_that_only_listens(place: Looped) -> None:
    with gate(place, dials=False) as client:
        with pytest.raises(OSError, match="nothing is dialled"):
            place.run(lambda: client.dial("127.0.0.1", 80))
        place.run(lambda: client.listen("127.0.0.1", 0)).close()


def test_a_slow_dial_holds_nobody_up(place: Looped) -> None:
    """A full backlog takes no connection and refuses none: others get theirs meanwhile, and it ends in an errno."""
    with socket.socket() as full, contextlib.ExitStack() as undo:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        for _ in range(4):
            waiting = undo.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(("127.0.0.1", port))
        client = undo.enter_context(gate(place))
        slow = place.begin(lambda: client.dial("127.0.0.1", port))
        for _ in range(3):
            place.run(lambda: client.listen("127.0.0.1", 0)).close()
        place.call(client.close)
        with pytest.raises(GateLost):
            slow()


def test_a_gate_that_is_gone(place: Looped) -> None:
    with gate(place) as client:
        place.call(client.close)
        with pytest.raises(GateLost):
            place.run(lambda: client.listen("127.0.0.1", 0))
        assert client.lost


def test_many_at_once_leave_nothing(place: Looped) -> None:
    """Each gets its own; descriptors are all accounted for."""
    with gate(place) as client:
        before = open_descriptors()
        place.run(lambda: client.listen("127.0.0.1", 0)).close()
        settled(lambda: open_descriptors() <= before)  # the program is a thread of ours, and closes its copies a little later
        results = [place.begin(lambda: client.listen("127.0.0.1", 0)) for _ in range(40)]
        socks = [result() for result in results]
        assert len({sock.getsockname()[1] for sock in socks}) == 40
        assert len({sock.fileno() for sock in socks}) == 40
        for sock in socks:
            sock.close()
        settled(lambda: open_descriptors() == before)


# --- our end, and a gate that lies -----------------------------------------------------------------------------------------------


@contextlib.contextmanager
def opposite(place: Looped) -> Iterator[tuple[GateClient, socket.socket]]:
    """Our end, and the far end in the test's hand."""
    ours, theirs = socket.socketpair()
    client = place.call(lambda: GateClient(place.loop, ours))
    with theirs:
        theirs.settimeout(DEADLINE_S)
        yield client, theirs
        place.call(client.close)


def listening(host: str = "127.0.0.1") -> socket.socket:
    sock = socket.socket()
    sock.bind((host, 0))
    sock.listen(1)
    return sock


def unix() -> socket.socket:
    ours, theirs = socket.socketpair()
    theirs.close()
    return ours


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda: listening("127.0.0.2"), id="other-address"),
        pytest.param(lambda: socket.socket(), id="does-not-listen"),
        pytest.param(lambda: socket.socket(type=socket.SOCK_DGRAM), id="datagrams"),
        pytest.param(unix, id="unix"),
    ],
)
def test_another_socket_is_not_taken(place: Looped, make: object) -> None:
    assert callable(make)
    with opposite(place) as (client, theirs):
        before = open_descriptors()
        result = place.begin(lambda: client.listen("127.0.0.1", 0))
        theirs.recv(4096)
        with make() as sock:
            socket.send_fds(theirs, [b'{"id": 1, "port": 1}\n'], [sock.fileno()])
            with pytest.raises(OSError):
                result()
        assert open_descriptors() <= before


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(b"", id="end"),
        pytest.param(b"no json\n", id="no-json"),
        pytest.param(b"[]\n", id="list"),
        pytest.param(b'{"id": 1}\n', id="no-socket"),
        pytest.param(b"x" * (rim.MAX_LINE + 1), id="endless"),
        pytest.param(b"[" * 4000 + b"\n", id="deep"),
        pytest.param(b"\xff\n", id="no-text"),
    ],
)
def test_a_gate_that_talks_nonsense_is_lost(place: Looped, said: bytes) -> None:
    with opposite(place) as (client, theirs):
        result = place.begin(lambda: client.listen("127.0.0.1", 0))
        theirs.recv(4096)
        theirs.sendall(said)
        if not said:
            theirs.shutdown(socket.SHUT_RDWR)
        with pytest.raises(GateLost):
            result()
        assert client.lost


def test_what_nobody_waits_for_is_closed(place: Looped) -> None:
    """Unknown ids, answers that come again, sockets nobody named."""
    with opposite(place) as (client, theirs):
        result = place.begin(lambda: client.listen("127.0.0.1", 0))
        theirs.recv(4096)
        with listening() as sock:
            theirs.sendall(b'{"ready": true}\n')
            for number in (b"7", b"true", b'"1"', b"1", b"1"):
                socket.send_fds(theirs, [b'{"id": ' + number + b"}\n"], [sock.fileno()])
            with result() as found:
                assert found.getsockname() == sock.getsockname()
            before = open_descriptors()
            socket.send_fds(theirs, [b'{"id": 9}\n'], [sock.fileno()])
            second = place.begin(lambda: client.listen("127.0.0.1", 0))
            theirs.recv(4096)
            theirs.sendall(b'{"id": 2, "error": "no", "errno": "x"}\n')
            with pytest.raises(OSError, match="no"):
                second()
            assert open_descriptors() <= before


def test_a_task_that_is_ended_while_it_waits(place: Looped) -> None:
    """Its answer comes later, for nobody."""
    with opposite(place) as (client, theirs):
        tasks = place.call(lambda: [place.loop.spawn(_listen(client))])
        theirs.recv(4096)
        place.call(lambda: place.loop.end(tasks[0]))
        with listening() as sock:
            before = open_descriptors()
            socket.send_fds(theirs, [b'{"id": 1}\n'], [sock.fileno()])
            place.call(lambda: None)
            other = place.begin(lambda: client.listen("127.0.0.1", 0))
            theirs.recv(4096)
            socket.send_fds(theirs, [b'{"id": 2}\n'], [sock.fileno()])
            other().close()
            assert open_descriptors() == before


async def _listen(client: GateClient) -> None:
    await client.listen("127.0.0.1", 0)


def test_no_answer_in_time(place: Looped, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rim, "LISTEN_S", 0.05)
    with opposite(place) as (client, _), pytest.raises(OSError) as problem:
        place.run(lambda: client.listen("127.0.0.1", 0))
    assert problem.value.errno == errno.ETIMEDOUT


SAID = [b"{", b"}", b'"id":1', b",", b'"port":1', b'"error":null', b'"errno":"x"', b"\n", b"[]", b'{"id":1}\n', b"\xff"]


@settings(max_examples=60, deadline=None)
@given(said=st.binary(max_size=40) | st.lists(st.sampled_from(SAID)).map(b"".join), sockets=st.integers(0, 2))
def test_our_end_takes_any_bytes(said: bytes, sockets: int) -> None:
    """Who waits gets a socket that was asked for, an OSError, or hears that the gate is lost; no descriptor stays."""
    before = open_descriptors()
    with looped() as place, opposite(place) as (client, theirs), listening() as sock:
        result = place.begin(lambda: client.listen("127.0.0.1", 0))
        theirs.recv(4096)
        with contextlib.suppress(OSError):
            if said:
                socket.send_fds(theirs, [said], [sock.fileno()] * sockets)
            theirs.shutdown(socket.SHUT_RDWR)
        with contextlib.suppress(OSError, GateLost), result() as found:
            assert found.getsockname() == sock.getsockname()
    assert open_descriptors() <= before


# --- the program, and an owner that lies -------------------------------------------------------------------------------------------


def answers(said: bytes) -> tuple[list[Json], int]:
    """What the program answers to these bytes and an end, and how many sockets came."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        thread = threading.Thread(target=Gate(theirs, ("127.0.0.1",), dials=False).serve, daemon=True)
        thread.start()
        with contextlib.suppress(OSError):
            ours.sendall(said)
            ours.shutdown(socket.SHUT_WR)
        thread.join(DEADLINE_S)
        assert not thread.is_alive()
        theirs.close()
        data, sockets = b"", 0
        while select.select([ours], [], [], 0)[0]:
            more, descriptors, _, _ = socket.recv_fds(ours, 65536, 8)
            sockets += len(descriptors)
            for descriptor in descriptors:
                os.close(descriptor)
            if not more:
                break
            data += more
    return [json.loads(line) for line in data.splitlines()], sockets


READY: Json = {"ready": True}


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        pytest.param(b"", None, id="nothing"),
        pytest.param(b"no json\n", None, id="no-json"),
        pytest.param(b"[]\n", None, id="list"),
        pytest.param(b"x" * (MAX_LINE + 1), None, id="endless"),
        pytest.param(b"{}\n", "neither listen nor dial", id="no-verb"),
        pytest.param(b'{"listen": []}\n', "an address and a port are needed", id="no-place"),
        pytest.param(b'{"listen": ["127.0.0.1", true]}\n', "an address and a port are needed", id="true"),
        pytest.param(b'{"listen": ["127.0.0.1", "80"]}\n', "an address and a port are needed", id="text"),
        pytest.param(b'{"listen": ["127.0.0.1", 1.5]}\n', "an address and a port are needed", id="float"),
        pytest.param(b'{"listen": [["127.0.0.1"], 80]}\n', "an address and a port are needed", id="nested"),
        pytest.param(b'{"listen": ["0x7f.1", 80]}\n', "'0x7f.1' is no IPv4 address", id="other-form"),
    ],
)
def test_the_program_refuses_or_ends(said: bytes, answer: str | None) -> None:
    found, sockets = answers(said)
    expected: list[Json] = [READY] if answer is None else [READY, {"id": None, "error": answer, "errno": errno.EINVAL}]
    assert (found, sockets) == (expected, 0)


WORDS = [b"{", b"}", b'"id":1', b",", b'"listen":["127.0.0.1",0]', b"\n", b"null"]


@settings(max_examples=60, deadline=None)
@given(said=st.binary(max_size=60) | st.lists(st.sampled_from(WORDS)).map(b"".join))
def test_the_program_takes_any_bytes(said: bytes) -> None:
    """It answers, or ends; it does nothing else."""
    found, sockets = answers(said)
    assert found[:1] == [READY]
    assert sockets == sum("port" in one for one in found if isinstance(one, dict))


# --- its container ---------------------------------------------------------------------------------------------------------------


PLAN = GuardPlan("guarded", "unix:///x", (1, 41), (), (), (), (), GuardLimits(), "descriptor", None, False, ())
SESSION = Session("r1", PLAN, (PathMap("/w", "/w"),), uid=1000, gid=1000)


def test_the_container() -> None:
    """All that matters for safety, in one place."""
    found = gate_body(SESSION, "sha256:1", "/tools", "/state/gate", "n1", {"Config": {"Env": ["LD_PRELOAD=/evil.so", "PATH=/evil"]}})
    host = found["HostConfig"]
    assert isinstance(host, dict)
    assert found["User"] == "1000:1000"
    assert found["Env"] == ["PATH=/opt/aienv/bin", "LC_ALL=C", "HOME=/", "LD_PRELOAD"]
    assert found["Labels"] == {"dev.aienv.managed": "1", "dev.aienv.run": "r1", "dev.aienv.role": "gate"}
    assert found["Entrypoint"] == ["/opt/aienv/bin/python3", "-I", "-S", "/opt/aienv/lib/aienv/gate.py", "/run/aienv/gate/gate.sock"]
    assert found["NetworkingConfig"] == {"EndpointsConfig": {"n1": {"Aliases": ["aienv-egress"]}}}
    assert (host["CapDrop"], host["CapAdd"], host["Privileged"], host["ReadonlyRootfs"]) == (["ALL"], [], False, True)
    assert host["SecurityOpt"] == ["no-new-privileges"]
    assert (host["Memory"], host["PidsLimit"], host["NetworkMode"]) == (64 << 20, 16, "n1")
    assert (host["RestartPolicy"], host["LogConfig"]) == ({"Name": "no"}, {"Type": "none", "Config": {}})
    mounts = host["Mounts"]
    assert isinstance(mounts, list)
    assert [(one["Source"], one["Target"], one["ReadOnly"]) for one in mounts if isinstance(one, dict)] == [
        ("/tools", "/opt/aienv", True),
        ("/state/gate", "/run/aienv/gate", True),
    ]
    assert "CgroupParent" not in host
    assert gate_name(SESSION) == "aienv-r1-gate"


@pytest.mark.parametrize(("uid", "gid", "user"), [(0, 0, "65534:65534"), (0, 5, "65534:65534"), (5, 0, "5:65534"), (5, 6, "5:6")])
def test_never_root(uid: int, gid: int, user: str) -> None:
    session = Session("r1", PLAN, (), uid=uid, gid=gid)
    assert gate_body(session, "i", "/t", "/f", "n", {})["User"] == user


@pytest.mark.parametrize("volume", ["/", "/opt/aienv", "/opt/aienv/lib", "opt/aienv/lib/", "/x/../opt/aienv", "/run/aienv/gate"])
def test_volumes_of_the_image_that_cover_ours(volume: str) -> None:
    with pytest.raises(BadImage, match="declares a volume"):
        gate_body(SESSION, "i", "/t", "/f", "n", {"Config": {"Volumes": {volume: {}}}})


@pytest.mark.parametrize("inspected", [{}, {"Config": None}, {"Config": {"Env": None, "Volumes": {"/data": {}, "/opt/aienv2": {}}}}])
def test_other_images(inspected: Object) -> None:
    gate_body(SESSION, "i", "/t", "/f", "n", inspected)


def test_the_empty_image() -> None:
    """The same each time, so that every import gives the same layer."""
    assert void_archive() == void_archive()
    assert all(name.encode() in void_archive() for name in VOID_FOLDERS)
