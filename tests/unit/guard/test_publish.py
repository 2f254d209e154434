"""Published ports between real sockets of one loopback: the test is client and container."""

import contextlib
import errno
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from orchestrator.guard.calls import Denied, PortAsk
from orchestrator.guard.gate import GateLost
from orchestrator.guard.publish import Published, Publisher, PublishLimits, listen_here
from orchestrator.wire.loop import FOREVER, pause
from tests.unit.guard.looped import DEADLINE_S, Looped, gate, looped


@pytest.fixture
def place() -> Iterator[Looped]:
    with looped() as found:
        yield found


def ask(port: int, host_port: int = 0, last_port: int = 0) -> PortAsk:
    return PortAsk(port, "tcp", "", host_port, last_port)


async def there(container: str) -> str | None:
    return None if container == "stopped" else "127.0.0.1"


async def nowhere(address: str, port: int) -> socket.socket:
    raise OSError(errno.ECONNREFUSED, "refused")


async def straight(address: str, port: int) -> socket.socket:
    return socket.create_connection((address, port), 5)


@contextlib.contextmanager
def publisher(place: Looped, **parts: object) -> Iterator[Publisher]:
    given = {"listen": listen_here, "dial": straight, "address_of": there, **parts}
    found = Publisher(place.loop, **given)  # type: ignore[arg-type]
    try:
        yield found
    finally:
        place.call(found.close_all)


@contextlib.contextmanager
def service() -> Iterator[socket.socket]:
    """Where the container listens."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        sock.settimeout(DEADLINE_S)
        yield sock


def connect(published: Published, port: int, index: int = 0) -> socket.socket:
    return socket.create_connection(published[port][index], DEADLINE_S)


def everything(sock: socket.socket) -> bytes:
    data = b""
    while more := sock.recv(65536):
        data += more
    return data


def send_to_the_end(sock: socket.socket, data: bytes) -> None:
    sock.sendall(data)
    sock.shutdown(socket.SHUT_WR)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_bytes_both_ways_and_each_end_by_itself(place: Looped) -> None:
    """A request that ends before its answer begins, through a real gate; megabytes of it."""
    size = 3 << 20
    with service() as behind, gate(place) as client, publisher(place, dial=client.dial) as ports:
        inside = behind.getsockname()[1]
        found = place.run(lambda: ports.open("c1", (ask(inside),)))
        assert found == place.call(lambda: ports.shown("c1"))
        with connect(found, inside) as sock:
            sender = threading.Thread(target=send_to_the_end, args=(sock, b"x" * size))
            sender.start()
            accepted, _ = behind.accept()
            with accepted:
                accepted.settimeout(DEADLINE_S)
                assert len(everything(accepted)) == size
                accepted.sendall(b"y" * size)
            sender.join(DEADLINE_S)
            assert everything(sock) == b"y" * size
        until(lambda: ports.connections == 0)


def test_all_or_none(place: Looped) -> None:
    """The second port is taken: the first is free again, and Docker's words are used."""
    with service() as taken, publisher(place) as ports:
        number = taken.getsockname()[1]
        with service() as free:
            first = free.getsockname()[1]
        with pytest.raises(Denied, match=f"Bind for 127.0.0.1:{number} failed: port is already allocated") as refused:
            place.run(lambda: ports.open("c1", (ask(80, first), ask(81, number))))
        assert (refused.value.denial.rule, refused.value.denial.status) == ("ports.in-use", 500)
        assert place.call(lambda: ports.shown("c1")) == {}
        assert place.run(lambda: ports.open("c1", (ask(80, first),))) == {80: (("127.0.0.1", first),)}


def test_a_port_of_another_container(place: Looped) -> None:
    with publisher(place) as ports:
        number = place.run(lambda: ports.open("c1", (ask(80),)))[80][0][1]
        with pytest.raises(Denied, match="already allocated"):
            place.run(lambda: ports.open("c2", (ask(80, number),)))
        place.call(lambda: ports.close("c1"))
        assert place.run(lambda: ports.open("c2", (ask(80, number),)))[80][0][1] == number


def test_several_bindings_of_one_port(place: Looped) -> None:
    with service() as behind, publisher(place) as ports:
        inside = behind.getsockname()[1]
        found = place.run(lambda: ports.open("c1", (ask(inside), ask(inside), ask(81))))
        assert {port: len(places) for port, places in found.items()} == {inside: 2, 81: 1}
        for index in range(2):
            with connect(found, inside, index), behind.accept()[0]:
                pass


def test_the_first_free_port_of_a_range(place: Looped) -> None:
    tried: list[int] = []

    async def listen(port: int) -> socket.socket:
        tried.append(port)
        if port < 8003:
            raise OSError(errno.EADDRINUSE, "in use")
        return await listen_here(0)

    with publisher(place, listen=listen) as ports:
        place.run(lambda: ports.open("c1", (ask(80, 8000, 8010),)))
        assert tried == [8000, 8001, 8002, 8003]
        tried.clear()
        with pytest.raises(Denied, match=r"127\.0\.0\.1:8002 failed"):
            place.run(lambda: ports.open("c2", (ask(80, 8000, 8002),)))
        assert tried == [8000, 8001, 8002]


@pytest.mark.parametrize(
    ("problem", "rule"),
    [
        pytest.param(OSError(errno.EADDRINUSE, ""), "ports.in-use", id="in-use"),
        pytest.param(OSError(errno.EACCES, ""), "ports.low", id="low"),
        pytest.param(OSError(errno.EMFILE, "too many"), "ports.unavailable", id="descriptors"),
        pytest.param(GateLost("the gate is gone"), "ports.unavailable", id="lost"),
    ],
)
def test_a_listener_that_cannot_be_had(place: Looped, problem: Exception, rule: str) -> None:
    async def listen(port: int) -> socket.socket:
        raise problem

    with publisher(place, listen=listen) as ports:
        with pytest.raises(Denied) as refused:
            place.run(lambda: ports.open("c1", (ask(80, 80),)))
        assert refused.value.denial.rule == rule


def test_opened_again(place: Looped) -> None:
    """A start of what runs changes nothing; after the end they are opened anew."""
    with publisher(place) as ports:
        first = place.run(lambda: ports.open("c1", (ask(80),)))
        assert place.run(lambda: ports.open("c1", (ask(80),))) == first
        place.call(lambda: ports.close("c1"))
        assert place.call(lambda: ports.shown("c1")) == {}
        with pytest.raises(ConnectionRefusedError):
            connect(first, 80)
        place.run(lambda: ports.open("c1", ()))


def test_closed_while_it_is_opened(place: Looped) -> None:
    """Nothing of it stays open."""
    began = threading.Event()
    made: list[socket.socket] = []

    async def listen(port: int) -> socket.socket:
        began.set()
        while not go.is_set():
            await place.loop.breathe()
        made.append(await listen_here(0))
        return made[-1]

    go = threading.Event()
    with publisher(place, listen=listen) as ports:
        result = place.begin(lambda: ports.open("c1", (ask(80),)))
        assert began.wait(DEADLINE_S)
        with pytest.raises(Denied, match=r"ports\.busy"):
            place.run(lambda: ports.open("c1", (ask(80),)))
        place.call(lambda: ports.close("c1"))
        go.set()
        with pytest.raises(Denied, match=r"ports\.closed"):
            result()
        assert made[0].fileno() == -1


@pytest.mark.parametrize("container", ["c1", "stopped"])
def test_a_container_that_does_not_answer(place: Looped, container: str) -> None:
    """The client sees an end, as with Docker's own proxy; the port goes on."""
    with publisher(place, dial=nowhere) as ports:
        found = place.run(lambda: ports.open(container, (ask(80),)))
        for _ in range(2):
            with connect(found, 80) as sock:
                assert sock.recv(1) == b""


def test_a_slow_dial_holds_nobody_up(place: Looped) -> None:
    first = [True]

    async def dial(address: str, port: int) -> socket.socket:
        if first:
            first.clear()
            while True:
                await pause(FOREVER)
        return await straight(address, port)

    with service() as behind, publisher(place, dial=dial) as ports:
        inside = behind.getsockname()[1]
        found = place.run(lambda: ports.open("c1", (ask(inside),)))
        with connect(found, inside):
            until(lambda: not first)
            with connect(found, inside) as sock, behind.accept()[0] as accepted:
                accepted.sendall(b"quick")
                assert sock.recv(100) == b"quick"


def test_no_more_connections_than_allowed(place: Looped) -> None:
    """More wait, and come when there is room; also at another port of the session."""
    with service() as behind, publisher(place, limits=PublishLimits(connections=2)) as ports:
        inside = behind.getsockname()[1]
        one = place.run(lambda: ports.open("c1", (ask(inside),)))
        two = place.run(lambda: ports.open("c2", (ask(inside),)))
        with connect(one, inside) as first, connect(one, inside), behind.accept()[0] as accepted, behind.accept()[0]:
            with connect(two, inside) as third:
                behind.settimeout(0.1)
                with pytest.raises(TimeoutError):
                    behind.accept()
                behind.settimeout(DEADLINE_S)
                first.close()
                accepted.close()
                with behind.accept()[0] as served:
                    served.sendall(b"room")
                    assert third.recv(100) == b"room"


def test_closing_ends_connections(place: Looped) -> None:
    with service() as behind, publisher(place) as ports:
        inside = behind.getsockname()[1]
        found = place.run(lambda: ports.open("c1", (ask(inside),)))
        with connect(found, inside) as sock, behind.accept()[0] as accepted:
            accepted.settimeout(DEADLINE_S)
            place.call(lambda: ports.close("c1"))
            for end in (sock, accepted):
                with contextlib.suppress(ConnectionResetError):
                    assert end.recv(1) == b""
        assert ports.connections == 0


def test_a_side_that_breaks_off(place: Looped) -> None:
    """A reset arrives as one on the other side."""
    with service() as behind, publisher(place) as ports:
        inside = behind.getsockname()[1]
        found = place.run(lambda: ports.open("c1", (ask(inside),)))
        with connect(found, inside) as sock, behind.accept()[0] as accepted:
            accepted.sendall(b"x")
            assert sock.recv(1) == b"x"  # connected altogether
            accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            accepted.close()
            with pytest.raises(ConnectionResetError):
                sock.recv(1)
