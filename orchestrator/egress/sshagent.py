"""The agent socket inside: connections, each with a session that judges, and the user's agent behind it. Off unless ``git.ssh`` is set.

Nothing of the user's agent is reached from inside: its socket stays outside, and each message is one that ``sshsession`` has judged.
"""

import contextlib
import socket
import threading
from collections.abc import Callable, Sequence

from orchestrator.egress.sshkeys import BadBlob
from orchestrator.egress.sshsession import FAILURE, MAX_MESSAGE_BYTES, SUCCESS, Forward, Refuse, Session, signature_in, without_comments

Write = Callable[[str, dict[str, object]], None]

MAX_CONNECTIONS = 16  # at once
MAX_EVENTS = 1000  # of one agent; after that they are counted
IDLE_S = 3600.0  # a client keeps its connection for as long as it may need another signature
ANSWER_S = 120.0  # the user may have to confirm, or to touch a key
CLOSE_S = 5.0

_FAILED, _DONE = bytes([FAILURE]), bytes([SUCCESS])


class SshAgent:
    """Serves ``listener`` until it is closed. ``agent_socket``: the user's; ``write``: one event to the log, from any thread."""

    def __init__(self, listener: socket.socket, host: str, host_keys: Sequence[bytes], agent_socket: str, write: Write) -> None:
        self._listener = listener
        self._host = host
        self._host_keys = tuple(host_keys)
        self._agent_socket = agent_socket
        self._write = write
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._threads: set[threading.Thread] = set()
        self._closed = False
        self._events = 0
        self._acceptor = threading.Thread(target=self._accept, name="ssh-agent", daemon=True)
        self._acceptor.start()

    def close(self) -> None:
        """End the listener and every connection; content when they are gone."""
        with self._lock:
            self._closed = True
            ending = [self._listener, *self._open]
            threads = [self._acceptor, *self._threads]
        for one in ending:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join(CLOSE_S)
        self._listener.close()
        if self._events > MAX_EVENTS:
            self._write("cred", {"name": "ssh", "host": self._host, "outcome": "not recorded", "count": self._events - MAX_EVENTS})

    def _accept(self) -> None:
        self._listener.settimeout(None)
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(client,), name="ssh-agent-connection", daemon=True)
            with self._lock:
                if self._closed or len(self._threads) >= MAX_CONNECTIONS:
                    client.close()
                    continue
                self._open.add(client)
                self._threads.add(thread)
            thread.start()

    def _serve(self, client: socket.socket) -> None:
        upstream = None
        try:
            client.settimeout(IDLE_S)
            upstream = self._connect()
            session = Session(self._host_keys)
            while (message := _receive(client)) is not None:
                _send(client, self._answer(session, message, upstream))
        except (OSError, BadBlob):
            pass  # the client left, or the user's agent did: the client sees its connection end
        finally:
            with self._lock:
                self._open.difference_update([client] if upstream is None else [client, upstream])
                self._threads.discard(threading.current_thread())
            client.close()
            if upstream is not None:
                upstream.close()

    def _connect(self) -> socket.socket:
        upstream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        with self._lock:
            self._open.add(upstream)
        try:
            upstream.settimeout(ANSWER_S)
            upstream.connect(self._agent_socket)
        except OSError as problem:
            with self._lock:
                self._open.discard(upstream)
            upstream.close()
            self._note("refused", reason=f"the user's agent does not answer: {problem.strerror}")
            raise
        return upstream

    def _answer(self, session: Session, message: bytes, upstream: socket.socket) -> bytes:
        judged = session.judge(message)
        if isinstance(judged, Refuse):
            self._note("refused", reason=judged.reason)
            return _FAILED
        _send(upstream, judged.message)
        answer = _receive(upstream)
        if answer is None:
            raise ConnectionError
        return self._passed_on(judged, answer)

    def _passed_on(self, judged: Forward, answer: bytes) -> bytes:
        """What of the user's agent's answer goes inside."""
        if judged.kind == "bind":
            return _DONE  # an agent that does not know the extension fails here; ours has judged, and its own constraints still hold
        if judged.kind == "list":
            return without_comments(answer)
        signed = signature_in(answer)
        self._note("used" if signed else "refused", reason="" if signed else "the user's agent refused", key=judged.key, user=judged.user)
        return answer if signed else _FAILED

    def _note(self, outcome: str, **facts: str) -> None:
        with self._lock:
            self._events += 1
            if self._events > MAX_EVENTS:
                return
        told = {name: text[:200] for name, text in facts.items() if text}
        self._write("cred", {"name": "ssh", "host": self._host, "outcome": outcome, **told})


def _send(sock: socket.socket, message: bytes) -> None:
    sock.sendall(len(message).to_bytes(4, "big") + message)


def _receive(sock: socket.socket) -> bytes | None:
    """One message without its length; None: the other side has ended.

    Raises:
        BadBlob: it is too long, or cut off.
    """
    head = _exactly(sock, 4)
    if not head:
        return None
    size = int.from_bytes(head, "big")
    if not 1 <= size <= MAX_MESSAGE_BYTES:
        raise BadBlob("has an impossible length")
    body = _exactly(sock, size)
    if len(head) < 4 or len(body) < size:
        raise BadBlob("ends too early")
    return body


def _exactly(sock: socket.socket, size: int) -> bytes:
    """``size`` bytes, or fewer when the other side ended before."""
    data = bytearray()
    while len(data) < size and (piece := sock.recv(min(size - len(data), 65536))):
        data += piece
    return bytes(data)
