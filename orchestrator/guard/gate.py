"""Our end of a foot in a network (``guard.gate_program``), and the container that it stands in for the networks of a session."""

import contextlib
import errno
import json
import os
import socket
from array import array
from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.parse import quote, urlencode

from orchestrator.guard.calls import Json, Object, Session
from orchestrator.guard.gate_body import GATE_ROLE, GATE_SOCKET, BadImage, gate_body, gate_name, gate_user
from orchestrator.model.guard import EGRESS_NAME
from orchestrator.wire.loop import Loop, Task, TimedOut, pause

LISTEN_S, DIAL_S = 5.0, 8.0  # the gate itself gives a dial up after five
START_S = 20.0
LOOK_S = 0.5  # between two looks at a container that has not said anything yet
MAX_LINE = 4096
SOCKETS_AT_ONCE = 8
CHUNK = 65536

Ask = Callable[[str, str, Object | None], Awaitable[tuple[int, Json]]]  # method, path with query, body -> status, answer


class GateLost(Exception):
    """There is no gate any more, or none came to be. The text is the whole reason."""


class _Waiting:
    """One request under way."""

    __slots__ = ("answer", "sock", "task")

    def __init__(self, task: Task | None) -> None:
        self.task = task
        self.answer: Object | None = None
        self.sock: socket.socket | None = None


class GateClient:
    """Sockets made at another place. In the loop's thread. ``sock`` is ours from now on; ``container``: the gate's own, if it has one."""

    def __init__(self, loop: Loop, sock: socket.socket, container: str = "") -> None:
        sock.setblocking(False)
        self.container = container
        self.lost = False
        self._loop = loop
        self._sock = sock
        self._heard = bytearray()
        self._arrived: list[int] = []
        self._out = b""
        self._next = 1
        self._waiting: dict[int, _Waiting] = {}
        loop.watch(sock.fileno(), self)

    async def listen(self, host: str, port: int) -> socket.socket:
        """A socket that listens there; ``port`` 0: any free one. The caller's to close.

        Raises:
            GateLost; OSError: with the errno of the other end; ETIMEDOUT: no answer in time.
        """
        return await self._ask("listen", host, port, LISTEN_S)

    async def dial(self, address: str, port: int) -> socket.socket:
        """A socket that is connected to an IPv4 address. The caller's to close. Raises as ``listen``."""
        return await self._ask("dial", address, port, DIAL_S)

    def close(self) -> None:
        """The gate ends with its connection; whoever waits hears of it. What was handed out stays."""
        if not self.lost:
            self.lost = True
            self._loop.forget(self._sock.fileno())
            self._sock.close()
            while self._arrived:
                os.close(self._arrived.pop())
        for waiting in self._waiting.values():
            self._loop.schedule(waiting.task)

    def notice(self, events: int) -> None:
        """Called by the loop."""
        try:
            self._flush()
            while not self.lost and self._receive():
                pass
        except (OSError, ValueError, RecursionError):
            self.close()

    # --- inside

    async def _ask(self, verb: str, host: str, port: int, seconds: float) -> socket.socket:
        number, self._next = self._next, self._next + 1
        waiting = self._waiting[number] = _Waiting(self._loop.current)
        deadline = self._loop.in_seconds(seconds)
        sock: socket.socket | None = None
        try:
            self._send({"id": number, verb: [host, port]})
            while waiting.answer is None:
                if self.lost:
                    raise GateLost("the gate is gone")
                try:
                    await pause(deadline)
                except TimedOut:
                    raise OSError(errno.ETIMEDOUT, f"no socket for {host}:{port} came in time") from None
            if waiting.sock is None:
                raise _error(waiting.answer)
            _judge(waiting.sock, verb, host, port)
            sock, waiting.sock = waiting.sock, None
            return sock
        finally:  # also when the task is ended while it waits
            self._waiting.pop(number, None)
            if waiting.sock is not None:
                waiting.sock.close()

    def _send(self, request: Object) -> None:
        if self.lost:
            return
        self._out += json.dumps(request).encode() + b"\n"
        try:
            self._flush()
        except OSError:
            self.close()

    def _flush(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self._out:
                self._out = self._out[self._sock.send(self._out) :]

    def _receive(self) -> bool:
        """One read; False: there is nothing more now. Raises OSError, ValueError: it is gone, or talks nonsense."""
        try:
            data, attached, _, _ = self._sock.recvmsg(CHUNK, socket.CMSG_LEN(SOCKETS_AT_ONCE * 4), socket.MSG_CMSG_CLOEXEC)
        except BlockingIOError:
            return False
        for level, kind, payload in attached:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                numbers = array("i")
                numbers.frombytes(payload[: len(payload) - len(payload) % numbers.itemsize])
                self._arrived += numbers
        if not data:
            raise ConnectionResetError
        self._heard += data
        while (end := self._heard.find(b"\n")) >= 0:
            line = bytes(self._heard[:end])
            del self._heard[: end + 1]
            self._take(json.loads(line))
        if len(self._heard) > MAX_LINE or (self._arrived and not self._heard):
            raise ValueError("not what a gate says")
        return True

    def _take(self, answer: Json) -> None:
        if not isinstance(answer, dict):
            raise ValueError("not what a gate says")
        if "ready" in answer:
            return
        sock = None
        if "error" not in answer:
            if not self._arrived:
                raise ValueError("an answer without its socket")
            sock = _adopt(self._arrived.pop(0))
        number = answer.get("id")
        waiting = self._waiting.get(number) if type(number) is int else None
        if waiting is None or waiting.answer is not None:  # nobody waits any more
            if sock is not None:
                sock.close()
            return
        waiting.answer, waiting.sock = answer, sock
        self._loop.schedule(waiting.task)


def _adopt(descriptor: int) -> socket.socket:
    try:
        return socket.socket(fileno=descriptor)
    except OSError:
        os.close(descriptor)
        raise


def _judge(sock: socket.socket, verb: str, host: str, port: int) -> None:
    """What came is what was asked for. Raises OSError."""
    kind = (sock.family, sock.type, sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
    fits = kind == (socket.AF_INET, socket.SOCK_STREAM, int(verb == "listen"))
    if fits:
        found = sock.getsockname() if verb == "listen" else sock.getpeername()
        fits = found[0] == host and (found[1] == port or (verb == "listen" and port == 0 and found[1] > 0))
    if not fits:
        raise OSError(errno.EBADMSG, f"the gate gave something else than a socket for {host}:{port}")


def _error(answer: Object) -> OSError:
    code = answer.get("errno")
    return OSError(code if type(code) is int else 0, str(answer.get("error")))


# --- its container -------------------------------------------------------------------------------------------------------------


class _Door:
    """A listening Unix socket that one gate comes through."""

    def __init__(self, loop: Loop, folder: Path, uid: int) -> None:
        self._loop = loop
        self._task = loop.current
        handle = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        path = f"/proc/self/fd/{handle}/{GATE_SOCKET}"  # the path of a socket may have 107 bytes at most, a state folder may have more
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
            self._sock.bind(path)
            os.chmod(path, 0o600)
            if os.geteuid() == 0:  # the gate is nobody in particular; no one else comes here
                os.chown(path, uid, -1)
                os.chown(folder, uid, -1)
            os.chmod(folder, 0o700)
            self._sock.listen(1)
        except OSError:
            self._sock.close()
            raise
        finally:
            os.close(handle)
        loop.watch(self._sock.fileno(), self)

    def notice(self, events: int) -> None:
        self._loop.schedule(self._task)

    def accept(self) -> socket.socket | None:
        try:
            return self._sock.accept()[0]
        except BlockingIOError:
            return None

    def close(self) -> None:
        self._loop.forget(self._sock.fileno())
        self._sock.close()


async def start_gate(
    loop: Loop, ask: Ask, session: Session, image: str, toolbox: Path, folder: Path, network: str, part: str = GATE_ROLE
) -> GateClient:
    """Start a gate of the session in ``network`` (a full id, or ``none``) from a local image, and wait for it. ``folder`` is its own: its
    socket's. ``part``: what tells several gates of a session apart.

    The container carries the session's labels, so whoever sweeps finds it; when it does not come up it is removed here.

    Raises:
        GateLost: the engine refuses, or the gate does not come.
    """
    try:
        return await _start(loop, ask, session, image, toolbox, folder, network, part)
    except TimedOut:
        raise GateLost("the engine does not answer") from None
    except (OSError, BadImage) as problem:
        raise GateLost(str(problem)) from None


async def _start(
    loop: Loop, ask: Ask, session: Session, image: str, toolbox: Path, folder: Path, network: str, part: str
) -> GateClient:
    deadline = loop.in_seconds(START_S)
    found = await _expect(ask, "GET", f"/images/{quote(image, safe='')}/json", None, "the gate's image")
    body = gate_body(session, image, str(toolbox), str(folder), network, found)
    door = _Door(loop, folder, gate_user(session)[0])
    made = ""
    try:
        created = await _expect(ask, "POST", f"/containers/create?{urlencode({'name': gate_name(session, part)})}", body, "making the gate")
        made = str(created.get("Id"))
        await _expect(ask, "POST", f"/containers/{made}/start", None, "starting the gate")
        return GateClient(loop, await _arrival(loop, ask, door, made, deadline), made)
    except (GateLost, OSError, TimedOut):
        if made:  # and not by its name, which may be another one's
            with contextlib.suppress(OSError, TimedOut):
                await ask("DELETE", f"/containers/{made}?force=1&v=1", None)
        raise
    finally:
        door.close()
        with contextlib.suppress(OSError):
            os.unlink(folder / GATE_SOCKET)


async def _arrival(loop: Loop, ask: Ask, door: _Door, container: str, deadline: float) -> socket.socket:
    while True:
        sock = door.accept()
        if sock is not None:
            return sock
        with contextlib.suppress(TimedOut):
            await pause(min(deadline, loop.in_seconds(LOOK_S)))
            continue
        if loop.in_seconds(0) >= deadline:
            raise GateLost(f"the gate did not come within {START_S:.0f} s")
        found = await _expect(ask, "GET", f"/containers/{container}/json", None, "looking at the gate")
        state = found.get("State")
        if isinstance(state, dict) and not state.get("Running"):
            raise GateLost(f"the gate ended with code {state.get('ExitCode')}: {state.get('Error') or 'nothing said'}")


async def connect_gate(ask: Ask, container: str, network: str) -> None:
    """Let the gate stand in one more network, by the same name. In it already: fine.

    Raises:
        GateLost: the engine refuses.
    """
    body: Object = {"Container": container, "EndpointConfig": {"Aliases": [EGRESS_NAME]}}
    try:
        status, answer = await ask("POST", f"/networks/{network}/connect", body)
    except (OSError, TimedOut) as problem:
        raise GateLost(f"the engine does not answer: {problem}") from None
    if status not in (200, 204) and "already exists" not in _message(answer):
        raise GateLost(f"connecting the gate to a network failed ({status}): {_message(answer)}")


async def _expect(ask: Ask, method: str, path: str, body: Object | None, what: str) -> Object:
    status, answer = await ask(method, path, body)
    if not 200 <= status < 300:
        raise GateLost(f"{what} failed ({status}): {_message(answer)}")
    return answer if isinstance(answer, dict) else {}


def _message(answer: Json) -> str:
    return str(answer.get("message", "")) if isinstance(answer, dict) else ""
