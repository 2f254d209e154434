"""Our end of the launcher's socket: start commands, receive their output, stop them.

One thread reads the socket and hands what comes to the sink of each process. A sink may block (a slow terminal); then
the launcher blocks, then the agent: nothing is dropped and nothing piles up in memory.
"""

import contextlib
import errno
import json
import os
import queue
import socket
import struct
import threading
import time
from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from orchestrator.errors import EnvironmentFailed
from orchestrator.launcher.command import EMPTY_FILE, LAUNCHER_SOCKET, NEUTRAL_FOLDER
from orchestrator.model.codec import from_plain
from orchestrator.sandbox.argv import Option, PlaceFacts, RootEntry

_FRAME = struct.Struct(">IBI")
_MESSAGE, _STDOUT, _STDERR = 0, 1, 2
_CHUNK = 65536

Place = int | str  # where something listens inside: a port of 127.0.0.1, or a path
_DESCRIPTORS_AT_MOST = 8  # in all that were sent and not asked for yet; more are closed
_MAX_MESSAGE = 16 << 20
_MAX_READY = 1 << 20
_POLL_S = 0.25
_PORTER_S = 20.0
_MAX_HELLO = 4096
_GONE = (errno.EPIPE, errno.ECONNRESET, errno.ENOTCONN, errno.EBADF)


class Sink(Protocol):
    """Receives a process's output, in order, from one thread."""

    def stdout(self, data: bytes) -> None: ...

    def stderr(self, data: bytes) -> None: ...


@dataclass(frozen=True, slots=True)
class TerminalSize:
    rows: int
    columns: int


@dataclass(frozen=True, slots=True)
class Canary:
    """What must not be reachable from inside: a file, a TCP port of the host's loopback (0: none could be had), an abstract socket."""

    file: str
    port: int
    abstract: str


@dataclass(frozen=True, slots=True)
class Prelude:
    """What happens inside before the command: sockets listen at these places, and the confinement is probed.

    ``env``: the command's variables, all of them; the prelude itself has none. The command starts with ``Process.go``.
    """

    env: tuple[tuple[str, str], ...]
    listen: tuple[Place, ...]
    canary: Canary

    def as_message(self) -> dict[str, object]:
        canary = {"file": self.canary.file, "port": self.canary.port, "abstract": self.canary.abstract}
        return {"env": dict(self.env), "listen": list(self.listen), "canary": canary}


@dataclass(frozen=True, slots=True)
class Ready:
    """What the prelude found (``facts``), what the launcher knows about its own place, and the listening sockets, as asked for.

    The sockets are the receiver's to close.
    """

    facts: Mapping[str, Any]
    place: Mapping[str, Any]
    sockets: tuple[socket.socket, ...]


@dataclass(frozen=True, slots=True)
class RunRequest:
    """One command. ``rlimits`` by their resource names; ``tty``: give it a terminal of this size; ``processors``: at most so many.

    Without a ``prelude`` the command starts at once, with the variables that the options set, and gets no terminal.
    """

    options: tuple[Option, ...]
    data: Mapping[str, bytes]
    argv: tuple[str, ...]
    stdin: bool
    tty: TerminalSize | None
    rlimits: Mapping[str, int]
    processors: int | None = None
    prelude: Prelude | None = None

    def as_message(self) -> dict[str, object]:
        return {
            "op": "run",
            "options": [word if isinstance(word, str) else {"fd": word[1]} for word in self.options],
            "data": list(self.data),  # the bytes come in descriptors, in this order
            "argv": list(self.argv),
            "stdin": "pipe" if self.stdin else "null",
            "tty": {"rows": self.tty.rows, "columns": self.tty.columns} if self.tty else None,
            "rlimits": dict(self.rlimits),
            "processors": self.processors,
            "prelude": self.prelude.as_message() if self.prelude else None,
        }


@dataclass(frozen=True, slots=True)
class Ended:
    """How a process ended: ``code`` as a shell shows it. ``lost``: the launcher went away first. ``failure``: it never ran."""

    code: int | None
    lost: bool
    failure: str | None


class Process:
    """A command that was started. Thread-safe."""

    def __init__(self, client: "LauncherClient", number: int, sink: Sink, places: tuple[Place, ...] | None) -> None:
        self._client = client
        self._number = number
        self.sink = sink
        self.places = places  # None: nothing is told before it starts
        self._ready: Ready | None = None
        self.pid: int | None = None
        self._ended: Ended | None = None
        self._event = threading.Event()
        self._started = threading.Event()
        self._told = threading.Event()
        self._porters: list[queue.SimpleQueue[socket.socket | str]] = []  # who waits for one, in order
        self._lock = threading.Lock()
        self._callbacks: list[Callable[[], None]] = []

    def on_end(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` once, from another thread, when the process has ended (at once if it has)."""
        with self._lock:
            if self._ended is None:
                self._callbacks.append(callback)
                return
        callback()

    def wait(self, timeout_s: float | None) -> Ended | None:
        """The end, or None when it has not come within ``timeout_s``."""
        self._event.wait(timeout_s)
        return self._ended

    def wait_started(self, timeout_s: float) -> bool:
        """Until the sandbox exists (or the attempt has failed)."""
        return self._started.wait(timeout_s)

    def wait_ready(self, timeout_s: float) -> Ready | None:
        """What its prelude found; None when it ended before that, or ``timeout_s`` seconds were over."""
        self._told.wait(timeout_s)
        return self._ready

    @property
    def awaited(self) -> bool:
        """Whether its prelude has yet to tell."""
        return self.places is not None and not self._told.is_set()

    @property
    def expects(self) -> bool:
        """Whether descriptors may come for it."""
        return self.awaited or bool(self._porters)

    def porter(self, timeout_s: float = _PORTER_S) -> socket.socket:
        """A socket that speaks with a maker of listening sockets on its sandbox's own 127.0.0.1 (``guard.gate_program``), which ends
        with that socket, and with the process. Only after ``go``.

        Raises:
            EnvironmentFailed: there is none, or none within ``timeout_s`` seconds.
        """
        deadline = time.monotonic() + timeout_s
        answer: queue.SimpleQueue[socket.socket | str] = queue.SimpleQueue()
        with self._lock:
            if self._ended is not None:
                raise EnvironmentFailed("no ports can be opened inside: the command has ended")
            self._porters.append(answer)
        self._client.message(self._number, op="porter")
        try:
            found = answer.get(timeout=timeout_s)
        except queue.Empty:
            found = "nothing came in time"
            with self._lock:  # the answer may have come in between, and its socket is nobody's then
                if answer not in self._porters and not isinstance(late := answer.get(), str):
                    late.close()
        if isinstance(found, str):
            raise EnvironmentFailed(f"no ports can be opened inside: {found}")
        return _greeted(found, deadline)

    def mark_porter(self, found: socket.socket | str) -> None:
        """One that nobody waits for any more is closed."""
        with self._lock:
            if self._porters:
                self._porters.pop(0).put(found)
            elif not isinstance(found, str):
                found.close()

    def go(self) -> None:
        """Let the prelude become the command."""
        self._client.message(self._number, op="go")

    def stop(self, grace_s: float) -> None:
        """TERM now; KILL of the whole tree after ``grace_s`` seconds."""
        self._client.message(self._number, op="stop", grace_s=grace_s)

    def kill(self) -> None:
        self._client.message(self._number, op="kill")

    def signal(self, number: int) -> None:
        self._client.message(self._number, op="signal", signal=number)

    def resize(self, size: TerminalSize) -> None:
        self._client.message(self._number, op="resize", rows=size.rows, columns=size.columns)

    def write(self, data: bytes) -> None:
        """To its standard input; an empty ``data`` closes it."""
        if data:
            self._client.send(_STDOUT, self._number, data)
        else:
            self._client.message(self._number, op="eof")

    def mark_started(self, pid: int) -> None:
        self.pid = pid
        self._started.set()

    def mark_ready(self, ready: Ready) -> None:
        self._ready = ready
        self._told.set()

    def end(self, ended: Ended) -> None:
        with self._lock:
            if self._ended is not None:
                return
            self._ended = ended
            while self._porters:
                self._porters.pop().put("the command has ended")
        self._started.set()
        self._told.set()
        self._event.set()
        for callback in self._callbacks:
            callback()


class LauncherClient:
    """One connection to one launcher. ``facts`` is what it found at the place, ``pid`` its own pid there."""

    def __init__(self, sock: socket.socket, facts: PlaceFacts, pid: int, rest: bytes = b"") -> None:
        self.facts = facts
        self.pid = pid
        self._sock = sock
        self._buffer = bytearray(rest)
        self._lock = threading.Lock()
        self._processes: dict[int, Process] = {}
        self._descriptors: list[int] = []  # that came and were not named by a message yet
        self._next = 1
        self.lost = threading.Event()
        self._reader = threading.Thread(target=self._read, name="launcher-reader", daemon=True)
        self._reader.start()

    def run(self, request: RunRequest, sink: Sink) -> Process:
        """Start one command; its output goes to ``sink`` from another thread.

        Raises:
            EnvironmentFailed: the request cannot be sent, as with more data than one message can carry. A launcher that is gone is
            another matter: then the process has ended, as lost.
        """
        with self._lock:
            process = Process(self, self._next, sink, request.prelude.listen if request.prelude else None)
            self._processes[self._next] = process
            self._next += 1
        try:
            with contextlib.ExitStack() as undo:
                descriptors = [_memory(undo, name, data) for name, data in request.data.items()]
                self._send(_MESSAGE, process._number, json.dumps(request.as_message()).encode(), descriptors)
        except OSError as problem:
            if problem.errno not in _GONE:
                self._processes.pop(process._number, None)
                message = f"the command, with {len(request.data)} files, could not be handed to the launcher: {problem.strerror}"
                raise EnvironmentFailed(message, remedy="run the task again, or aienv doctor", code="sandbox") from problem
        if self.lost.is_set():
            process.end(Ended(None, lost=True, failure=None))
        return process

    def close(self) -> None:
        """End the launcher and everything it started."""
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
        self._reader.join(5.0)
        self._sock.close()

    def message(self, number: int, **members: object) -> None:
        self.send(_MESSAGE, number, json.dumps(members).encode())

    def send(self, kind: int, number: int, payload: bytes, descriptors: Sequence[int] = ()) -> None:
        # A launcher that is gone is noticed by the reader, which ends every process as lost.
        with contextlib.suppress(OSError):
            self._send(kind, number, payload, descriptors)

    def _send(self, kind: int, number: int, payload: bytes, descriptors: Sequence[int]) -> None:
        data = _FRAME.pack(len(payload), kind, number) + payload
        with self._lock:
            sent = socket.send_fds(self._sock, [data], descriptors) if descriptors else 0
            if rest := data[sent:]:
                self._sock.sendall(rest)

    def _read(self) -> None:
        try:
            while (frame := _next_frame(self._sock, self._buffer, self._descriptors)) is not None:
                self._dispatch(*frame)
                if not any(process.expects for process in list(self._processes.values())):
                    _close(self._descriptors)
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            pass  # it went away, or what it says cannot be understood any more
        finally:
            self.lost.set()
            _close(self._descriptors)
            for process in list(self._processes.values()):
                process.end(Ended(None, lost=True, failure=None))

    def _dispatch(self, kind: int, number: int, payload: bytes) -> None:
        process = self._processes.get(number)
        if process is None:
            return
        if kind == _STDOUT:
            process.sink.stdout(payload)
        elif kind == _STDERR:
            process.sink.stderr(payload)
        else:
            self._event(process, number, payload)

    def _event(self, process: Process, number: int, payload: bytes) -> None:
        event: dict[str, Any] = json.loads(payload)
        if event["ev"] == "started":
            process.mark_started(int(event["pid"]))
        elif event["ev"] == "ready" and process.places is not None and process.awaited and len(payload) <= _MAX_READY:
            process.mark_ready(self._ready(event, process.places))
        elif event["ev"] == "porter":
            process.mark_porter(str(event["error"]) if "error" in event else _channel(self._descriptors))
        elif event["ev"] == "exit":
            process.end(Ended(int(event["code"]), lost=False, failure=None))
            self._processes.pop(number, None)
        elif event["ev"] == "failed":
            process.end(Ended(None, lost=False, failure=str(event["message"])))
            self._processes.pop(number, None)

    def _ready(self, event: dict[str, Any], places: tuple[Place, ...]) -> Ready:
        facts, place = event["facts"], event["place"]
        if not isinstance(facts, dict) or not isinstance(place, dict) or event["sockets"] != len(places):
            raise TypeError("not what a prelude tells")
        return Ready(facts, place, _listening(self._descriptors, places))


class Listener:
    """Waits for the launcher of a container on a socket in the control folder. Accepts one connection only."""

    def __init__(self, control: Path) -> None:
        self._folder = os.open(control, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        # Through the descriptor: the path of a socket may have 107 bytes at most, a run folder may have more.
        self._path = f"/proc/self/fd/{self._folder}/{LAUNCHER_SOCKET}"
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path)
        self._sock.bind(self._path)
        self._sock.listen(1)

    def chown(self, uid: int, gid: int) -> None:
        """Let the launcher's user connect."""
        os.chmod(self._path, 0o600)
        if os.geteuid() == 0:
            os.chown(self._path, uid, gid)

    def accept(self, deadline_s: float, alive: Callable[[], str | None]) -> LauncherClient:
        """Wait for the launcher. ``alive`` returns None while the place lives, else why it is gone.

        Raises:
            EnvironmentFailed: the place died, the launcher reported a failure, or the deadline passed.
        """
        end = time.monotonic() + deadline_s
        try:
            while True:
                self._sock.settimeout(_POLL_S)
                try:
                    connection, _ = self._sock.accept()
                except TimeoutError:
                    if (cause := alive()) is not None:
                        raise EnvironmentFailed(f"the environment ended before its launcher answered: {cause}") from None
                    if time.monotonic() >= end:
                        raise EnvironmentFailed(f"the launcher did not answer within {deadline_s:.0f} s") from None
                    continue
                return greet(connection, max(1.0, end - time.monotonic()))
        finally:
            self.close()

    def close(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path)
        self._sock.close()
        if self._folder >= 0:
            os.close(self._folder)
            self._folder = -1


def listen(control: Path, uid: int, gid: int) -> Listener:
    """Open the control folder's socket for a launcher that runs as ``uid``; the empty file for masks and the folder for covers go there."""
    empty = control / EMPTY_FILE
    empty.touch(mode=0o444)
    (control / NEUTRAL_FOLDER).mkdir(mode=0o755, exist_ok=True)
    listener = Listener(control)
    listener.chown(uid, gid)
    return listener


def greet(sock: socket.socket, deadline_s: float) -> LauncherClient:
    """Read the launcher's first message.

    Raises:
        EnvironmentFailed: it reports a failure, says nothing in time, or goes away.
    """
    sock.settimeout(deadline_s)
    buffer = bytearray()
    try:
        frame = _next_frame(sock, buffer)
    except (OSError, ValueError) as problem:
        raise EnvironmentFailed(f"the launcher did not introduce itself: {problem}") from problem
    if frame is None:
        raise EnvironmentFailed("the launcher ended before it introduced itself")
    try:
        hello = json.loads(frame[2])
        if hello["ev"] != "hello":
            raise EnvironmentFailed(str(hello.get("message", "the launcher failed")))
        facts, pid = _facts(hello["facts"]), int(hello["pid"])
    except (ValueError, KeyError, TypeError) as problem:
        raise EnvironmentFailed(f"the launcher did not introduce itself: {problem!r}") from problem
    sock.settimeout(None)
    return LauncherClient(sock, facts, pid, bytes(buffer))


def _facts(plain: dict[str, Any]) -> PlaceFacts:
    return PlaceFacts(
        container=bool(plain["container"]),
        root=tuple(from_plain(RootEntry, entry) for entry in plain["root"]),
        etc=tuple(from_plain(RootEntry, entry) for entry in plain["etc"]),
        proc=tuple(plain["proc"]),
        sources=dict(plain["sources"]),
        visible=tuple((source, path) for source, path in plain["visible"]),
        python=plain["python"],
        git=plain["git"],
        uid=int(plain["uid"]),
        gid=int(plain["gid"]),
        machine=plain["machine"],
    )


def _memory(undo: contextlib.ExitStack, name: str, data: bytes) -> int:
    """A descriptor that holds these bytes, closed with ``undo``."""
    descriptor = os.memfd_create(name, os.MFD_CLOEXEC)
    undo.callback(os.close, descriptor)
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def _listening(descriptors: list[int], places: tuple[Place, ...]) -> tuple[socket.socket, ...]:
    """Take one descriptor per place: each must be a TCP socket that listens on that port, or a Unix one at that path.

    Raises:
        ValueError: it is something else, or there are too few. OSError: it is no socket.
    """
    if len(descriptors) < len(places):
        raise ValueError(f"{len(descriptors)} descriptors for {len(places)} places")
    with contextlib.ExitStack() as undo:
        found = []
        for place in places:
            sock = undo.enter_context(contextlib.closing(_adopt(descriptors.pop(0))))
            kind = (sock.family, sock.type, sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
            family, name = (socket.AF_UNIX, place) if isinstance(place, str) else (socket.AF_INET, ("127.0.0.1", place))
            if kind != (family, socket.SOCK_STREAM, 1) or sock.getsockname() != name:
                raise ValueError(f"no socket that listens at {place}")
            found.append(sock)
        undo.pop_all()
    return tuple(found)


def _channel(descriptors: list[int]) -> socket.socket:
    """Take one descriptor: a connected Unix stream socket. Raises ValueError: it is something else. OSError: it is no socket."""
    if not descriptors:
        raise ValueError("a porter without its channel")
    sock = _adopt(descriptors.pop(0))
    kind = (sock.family, sock.type, sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
    if kind != (socket.AF_UNIX, socket.SOCK_STREAM, 0):
        sock.close()
        raise ValueError("a porter's channel is a stream socket")
    return sock


def _greeted(sock: socket.socket, deadline: float) -> socket.socket:
    """The same socket, after the porter's first words: it says nothing more before it is asked."""
    said = b""
    try:
        while not said.endswith(b"\n") and len(said) < _MAX_HELLO:
            sock.settimeout(max(0.01, deadline - time.monotonic()))
            data = sock.recv(_MAX_HELLO)
            if not data:
                raise ConnectionResetError("it ended before it said anything")
            said += data
        hello = json.loads(said)
        if not isinstance(hello, dict) or hello.get("ready") is not True:
            raise ValueError(hello.get("error") if isinstance(hello, dict) else "not what a porter says")
        sock.settimeout(None)
    except (OSError, ValueError, RecursionError) as problem:
        sock.close()
        raise EnvironmentFailed(f"no ports can be opened inside: {problem}") from None
    return sock


def _adopt(descriptor: int) -> socket.socket:
    try:
        return socket.socket(fileno=descriptor)
    except OSError:
        os.close(descriptor)
        raise


def _close(descriptors: list[int]) -> None:
    while descriptors:
        os.close(descriptors.pop())


def _receive(sock: socket.socket) -> tuple[bytes, list[int]]:
    """Bytes, and the descriptors on them. (``socket.recv_fds`` drops its flags: what it returns would be inherited.)"""
    data, attached, _, _ = sock.recvmsg(_CHUNK, socket.CMSG_LEN(_DESCRIPTORS_AT_MOST * 4), socket.MSG_CMSG_CLOEXEC)
    descriptors = array("i")
    for level, kind, payload in attached:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            descriptors.frombytes(payload[: len(payload) - len(payload) % descriptors.itemsize])
    return data, list(descriptors)


def _next_frame(sock: socket.socket, buffer: bytearray, descriptors: list[int] | None = None) -> tuple[int, int, bytes] | None:
    """The next frame; None at the end of the stream. ``buffer`` keeps what came too early.

    Descriptors that came with the bytes are added to ``descriptors``, up to a bound; without that list they are closed.
    """
    arrived: list[int] = [] if descriptors is None else descriptors
    while True:
        if len(buffer) >= _FRAME.size:
            length, kind, number = _FRAME.unpack_from(buffer)
            if length > _MAX_MESSAGE:
                raise ValueError(f"frame of {length} bytes")
            if len(buffer) >= _FRAME.size + length:
                payload = bytes(buffer[_FRAME.size : _FRAME.size + length])
                del buffer[: _FRAME.size + length]
                return kind, number, payload
        data, attached = _receive(sock)
        room = _DESCRIPTORS_AT_MOST - len(arrived) if descriptors is not None else 0
        arrived += attached[:room]
        _close(attached[room:])
        if not data:
            return None
        buffer += data
