"""Listening sockets on a running command's own loopback, made from outside, in both kinds of place."""

import contextlib
import json
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.errors import EnvironmentFailed
from orchestrator.launcher.client import Process, RunRequest, Sink
from orchestrator.run.commands import start
from tests.integration.sandbox.place import DEADLINE_S, Around, Collect, Place, docker, local

BACKENDS = [pytest.param("local", marks=pytest.mark.bwrap), pytest.param("docker", marks=pytest.mark.docker)]
# What a container's image may lack is in the toolbox; on the host the path is the machine's.
PYTHON = ("/bin/sh", "-c", 'PATH=$PATH:/opt/aienv/bin; exec python3 -I -S -c "$0" "$@"')


@pytest.fixture(scope="module", params=BACKENDS)
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    if request.param == "local":
        request.getfixturevalue("bwrap")
        with local() as found:
            yield found
    else:
        with docker(request.getfixturevalue("engine")) as found:
            yield found


WAIT = """
import os, time
while not os.path.exists("go"):
    time.sleep(0.02)
"""


class Running:
    """A program of the agent's that waits until it is told, through a file of the workspace, to go on."""

    def __init__(self, place: Place, program: str, *arguments: str) -> None:
        self.place = place
        self.flag = place.context.folder.workspace(place.context.plan.repo.name) / "go"
        self.flag.unlink(missing_ok=True)
        self.process, self.sink = place.start(*PYTHON, WAIT + program, *arguments)

    def go(self) -> None:
        self.flag.touch()

    def end(self) -> str:
        ended = self.process.wait(DEADLINE_S)
        assert ended is not None
        assert (ended.code, ended.failure, self.sink.err) == (0, None, b"")
        return self.sink.out.decode()


def ask(channel: socket.socket, **request: object) -> tuple[dict[str, Any], socket.socket | None]:
    channel.settimeout(DEADLINE_S)
    channel.sendall(json.dumps(request).encode() + b"\n")
    data, descriptors, _, _ = socket.recv_fds(channel, 4096, 4)
    found = json.loads(data)
    assert found["id"] == request["id"]
    return found, socket.socket(fileno=descriptors[0]) if descriptors else None


def served(channel: socket.socket, port: int = 0) -> tuple[int, socket.socket]:
    found, sock = ask(channel, id=1, listen=["127.0.0.1", port])
    assert sock is not None, found
    return found["port"], sock


def command_of(pid: int) -> bytes:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


def children_of(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def launcher_of(place: Place) -> int:
    """Its pid as we see it; an engine's init may stand above it."""
    first = int(place.environment.host_pid())
    return next(pid for pid in (first, *children_of(first)) if b"launcher" in command_of(pid) and b"docker-init" not in command_of(pid))


def porters_of(launcher: int) -> list[int]:
    """Forks of the launcher that have not become another program."""
    return [pid for pid in children_of(launcher) if command_of(pid) == command_of(launcher)]


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


CONNECT = """
import socket, sys
with socket.create_connection(("127.0.0.1", int(sys.argv[1]) if len(sys.argv) > 1 else int(open("go").read())), 20) as sock:
    sock.sendall(b"from inside")
    print(sock.recv(100).decode(), end="")
"""


def test_a_port_inside_is_served_from_outside(place: Place) -> None:
    """The agent reaches 127.0.0.1 of its own; we accept here, where that port is not open at all."""
    running = Running(place, CONNECT)
    with running.process.porter() as channel:
        port, listener = served(channel)
        with listener, pytest.raises(OSError, match="refused"):
            socket.create_connection(("127.0.0.1", port), 2).close()
        again, second = served(channel)  # another one while the first is closed
        with second:
            second.settimeout(DEADLINE_S)
            running.flag.write_text(str(again))
            client, _ = second.accept()
            with client:
                assert client.recv(100) == b"from inside"
                client.sendall(b"from outside")
    assert running.end() == "from outside"


def test_low_ports_too(place: Place) -> None:
    """``docker run -p 80:80`` works on most machines, and does here."""
    running = Running(place, CONNECT, "80")
    with running.process.porter() as channel:
        port, listener = served(channel, 80)
        with listener:
            assert port == 80
            listener.settimeout(DEADLINE_S)
            running.go()
            client, _ = listener.accept()
            with client:
                client.sendall(b"eighty")
    assert running.end() == "eighty"


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param({"dial": ["127.0.0.1", 80]}, id="dial"),
        pytest.param({"listen": ["0.0.0.0", 8080]}, id="every-address"),
        pytest.param({"listen": ["127.0.0.2", 8080]}, id="another-address"),
    ],
)
def test_it_does_nothing_else(place: Place, request_: dict[str, object]) -> None:
    """It listens on 127.0.0.1 and refuses all else, and goes on."""
    running = Running(place, "")
    with running.process.porter() as channel:
        found, sock = ask(channel, id=7, **request_)
        assert sock is None
        assert found["errno"] == 22
        served(channel)[1].close()
    running.go()
    running.end()


LOOK = """
import contextlib, json, os, signal, sys
def errors(act):
    found = set()
    for pid in range(2, 4000):
        if pid != os.getpid() and not os.path.exists(f"/proc/{pid}"):
            try:
                act(pid)
                found.add(0)
            except OSError as problem:
                found.add(problem.errno)
    return sorted(found)
found = {
    "commands": [open(f"/proc/{pid}/cmdline").read() for pid in os.listdir("/proc") if pid.isdigit()],
    "signal": errors(lambda pid: os.kill(pid, 0)),
    "memory": errors(lambda pid: open(f"/proc/{pid}/mem")),
}
for number in (signal.SIGTERM, signal.SIGKILL):
    with contextlib.suppress(OSError):
        os.kill(-1, number)
print(json.dumps(found), flush=True)
while not os.path.exists("go2"):
    time.sleep(0.02)
"""


def test_nothing_of_it_can_be_seen_inside(place: Place) -> None:
    """It has the agent's user, and no number inside: neither to look at nor to signal. A signal to all leaves it alone."""
    running = Running(place, LOOK)
    second = running.flag.with_name("go2")
    second.unlink(missing_ok=True)
    with running.process.porter() as channel:
        running.go()
        until(lambda: running.sink.out.endswith(b"\n"))
        served(channel)[1].close()
        second.touch()
        found = json.loads(running.end())
    assert not any("launcher" in command or "gate" in command for command in found["commands"])
    assert (found["signal"], found["memory"]) == ([3], [2])  # ESRCH, ENOENT


@pytest.mark.parametrize("end", ["channel", "process"])
def test_it_ends_with_its_channel_and_with_the_process(place: Place, end: str) -> None:
    """Nothing of it stays; the run's end does not wait for it."""
    running = Running(place, "")
    launcher = launcher_of(place)
    channel = running.process.porter()
    until(lambda: len(porters_of(launcher)) == 1)
    pid = porters_of(launcher)[0]
    status = Path(f"/proc/{pid}/status").read_text()
    assert "CapEff:\t0000000000000000" in status or "CapEff:\t0000000000000400" in status
    assert "NoNewPrivs:\t1" in status
    assert len(os.listdir(f"/proc/{pid}/fd")) <= 7  # null three times, its channel, the lifeline, the selector's
    with channel:
        if end == "channel":
            channel.close()
            until(lambda: porters_of(launcher) == [])
        running.go()
        running.end()
        until(lambda: porters_of(launcher) == [])
    with pytest.raises(EnvironmentFailed, match="has ended"):
        running.process.porter()


def test_a_process_that_is_killed(place: Place) -> None:
    """Its network ends with it, though we hold a socket of it; the next command finds its ports free."""
    running = Running(place, "")
    channel = running.process.porter()
    _, listener = served(channel, 8080)
    running.process.kill()
    ended = running.process.wait(DEADLINE_S)
    assert ended is not None
    listener.close()
    channel.close()
    until(lambda: porters_of(launcher_of(place)) == [])
    again = Running(place, "")
    with again.process.porter() as channel:
        served(channel, 8080)[1].close()
    again.go()
    again.end()


def test_asked_by_several_threads(place: Place) -> None:
    """Each gets one of its own."""
    running = Running(place, "")
    found: list[socket.socket] = []
    threads = [threading.Thread(target=lambda: found.append(running.process.porter())) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE_S)
    assert len(found) == 3
    for channel in found:
        with channel:
            served(channel)[1].close()
    running.go()
    running.end()


def test_no_more_than_a_few(place: Place) -> None:
    """One is used; a mistake of ours must not fork without end."""
    running = Running(place, "")
    with contextlib.ExitStack() as undo:
        for _ in range(4):
            undo.enter_context(running.process.porter())
        with pytest.raises(EnvironmentFailed, match="enough"):
            running.process.porter()
    running.go()
    running.end()


def test_not_before_the_command_starts(place: Place) -> None:
    """What is judged from inside before that has no listener of ours in it."""
    said: list[str] = []
    launcher = place.environment.launcher

    class Hasty:
        facts = launcher.facts

        def run(self, request: RunRequest, sink: Sink) -> Process:
            process: Process = launcher.run(request, sink)
            assert process.wait_ready(DEADLINE_S) is not None
            with pytest.raises(EnvironmentFailed) as problem:
                process.porter()
            said.append(problem.value.message)
            return process

    sink = Collect()
    environment: Any = Around(Hasty())
    process = start(place.context, environment, "agent", ("true",), sink, None)
    ended = process.wait(DEADLINE_S)
    assert ended is not None
    assert (ended.code, said) == (0, ["no ports can be opened inside: its command does not run"])


@pytest.mark.bwrap
def test_it_ends_with_the_launcher(bwrap: str) -> None:
    """However that ends."""
    with local() as place:
        running = Running(place, "")
        launcher = launcher_of(place)
        with running.process.porter() as channel:
            pid = porters_of(launcher)[0]
            served(channel)[1].close()
            os.kill(launcher, signal.SIGKILL)
            channel.settimeout(DEADLINE_S)
            with contextlib.suppress(ConnectionResetError):
                assert channel.recv(1) == b""
            until(lambda: not alive(pid))


def alive(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    return False
