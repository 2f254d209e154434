"""The broker's side of an agent's hooks: every tool call is judged before it happens, and written to the log before and after.

Clients are orchestrator/launcher/hook.py, and whatever else inside finds the socket: a line that comes here is a claim. So an event says
what was asked, a refusal refuses, and nothing that comes in has any other effect. A log that takes nothing refuses every call.
"""

import contextlib
import json
import select
import socket
import threading
import time
from collections.abc import Callable, Mapping

from orchestrator.agents.hookconfig import TELLS, HooksConfig
from orchestrator.agents.judge import Allow, Deny, ToolCall, judge_call, parse_call

MAX_LINE = 4 << 20  # as in orchestrator/launcher/hook.py
MAX_CLIENTS = 16  # at a time; a further one takes the place of the oldest that has not asked yet, or waits
QUESTION_S = 5.0  # for a whole question
GRACE_S = 0.25  # for so long after it came, a client without a question keeps its place
CLIENT_S = 15.0  # for an answer to be taken
MAX_EVENTS = 20_000
MAX_EVENT_BYTES = 64 << 20  # of all events of a run
MAX_INPUT = 2000  # characters of a call's arguments in an event
MAX_NOTICES = 10
_MAX_NOTICE = 2000
_MAX_OPEN = 1000  # calls whose beginning is known
_WRITE_LOST = "aienv: the run's event log takes nothing (is the disk full?), so the call is refused"

Write = Callable[[str, dict[str, object]], object]


class HookSide:
    """``write``: one event to the log; ``redact``: without the values of secrets."""

    def __init__(self, config: HooksConfig, write: Write, redact: Callable[[str], str]) -> None:
        self._config = config
        self._write = write
        self._redact = redact
        self._lock = threading.Lock()
        self._listener: Listener | None = None
        self._notices: list[str] = []
        self._begun: dict[str, float] = {}
        self._events = 0
        self._event_bytes = 0
        self._beyond = {"allow": 0, "deny": 0}

    def listen(self, sock: socket.socket) -> None:
        """Serve ``sock``, which is ours now, until ``quiet``; one that was served before is closed."""
        self.quiet()
        self._listener = Listener(sock, self.answer)

    def quiet(self) -> None:
        """No client is served any more; what the events do not tell is told in one."""
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.close()
        with self._lock:
            beyond, self._beyond = self._beyond, {"allow": 0, "deny": 0}
        if any(beyond.values()):
            with contextlib.suppress(OSError):
                self._write("agent.tool.more", {"agent": self._config.agent, **beyond})

    def notify(self, text: str) -> None:
        """Tell the agent's model with the next answer that can carry it. The last ones win."""
        with self._lock:
            self._notices = [*self._notices, text[:_MAX_NOTICE]][-MAX_NOTICES:]

    def answer(self, line: bytes) -> bytes:
        """The line that answers ``line``; it has been written to the log."""
        phase, document = _question(line)
        call = Deny("aienv cannot judge this call: the question is not as expected", "shape") if phase is None else self._parsed(document)
        verdict = call if isinstance(call, Deny) else Allow() if phase == "post" else judge_call(call, self._config.rules)
        try:
            self._tell(phase or "pre", call, document, verdict)
        except OSError:
            verdict = Deny(_WRITE_LOST, "log")
        words = self._take_notices(phase or "pre", verdict)
        answer: dict[str, object]
        if isinstance(verdict, Deny):
            answer = {"decision": "deny", "reason": "\n".join((verdict.reason, *words))}
        else:
            answer = {"decision": "allow", "context": "\n".join(words) or None}
        return json.dumps(answer).encode() + b"\n"

    def _parsed(self, document: object) -> ToolCall | Deny:
        return parse_call(self._config.dialect, document)

    def _take_notices(self, phase: str, verdict: Allow | Deny) -> tuple[str, ...]:
        """A refusal reaches every model; other words only where the agent passes them on."""
        if phase not in TELLS[self._config.dialect] and not (isinstance(verdict, Deny) and phase == "pre"):
            return ()
        with self._lock:
            taken, self._notices = tuple(self._notices), []
        return taken

    def _tell(self, phase: str, call: ToolCall | Deny, document: object, verdict: Allow | Deny) -> None:
        decision = "deny" if isinstance(verdict, Deny) else "allow"
        given = _arguments(document)
        with self._lock:
            duration_s = self._duration(phase, call, given)
            if self._is_full(0):
                self._beyond[decision] += 1
                return
        facts: dict[str, object] = {"agent": self._config.agent, "phase": phase, "decision": decision}
        facts["tool"] = call.tool if isinstance(call, ToolCall) else None
        facts["call"] = call.id if isinstance(call, ToolCall) else None
        if isinstance(verdict, Deny):
            facts |= {"rule": verdict.rule, "reason": self._redact(verdict.reason)[:MAX_INPUT]}
        if phase == "pre":
            facts["input"] = self._redact(given)[:MAX_INPUT]
        elif isinstance(call, ToolCall):
            facts |= {"ok": call.ok, "duration_s": duration_s}
        size = len(json.dumps(facts))
        with self._lock:
            if self._is_full(size):
                self._beyond[decision] += 1
                return
            self._events += 1
            self._event_bytes += size
        self._write("agent.tool", facts)

    def _is_full(self, size: int) -> bool:
        return self._events >= MAX_EVENTS or self._event_bytes + size > MAX_EVENT_BYTES

    def _duration(self, phase: str, call: ToolCall | Deny, given: str) -> float | None:
        """As the agent says, or from the question before to the one after. Gemini gives its calls no names."""
        if isinstance(call, Deny):
            return None
        name = call.id or f"{call.tool} {hash(given)}"
        if phase == "pre":
            if len(self._begun) < _MAX_OPEN:
                self._begun[name] = time.monotonic()
            return None
        begun = self._begun.pop(name, None)
        measured = None if begun is None else round(time.monotonic() - begun, 3)
        return measured if call.duration_s is None else call.duration_s


def _question(line: bytes) -> tuple[str | None, object]:
    """The phase and the agent's document; no phase when it is no question."""
    try:
        question = json.loads(line)
    except (ValueError, RecursionError):
        return None, None
    if not isinstance(question, dict) or question.get("phase") not in ("pre", "post"):
        return None, None
    return question["phase"], question.get("document")


def _arguments(document: object) -> str:
    """What was asked for, in JSON; long texts are cut by the caller."""
    given: object = None
    if isinstance(document, Mapping):
        given = document.get("tool_input", document.get("args"))
    try:
        return json.dumps(given, ensure_ascii=False)
    except (ValueError, RecursionError):
        return "?"


class Listener:
    """Answers lines, one per connection, with a bounded number of clients at a time. Clients that connect and say nothing do not keep
    others out."""

    def __init__(self, sock: socket.socket, answer: Callable[[bytes], bytes]) -> None:
        self._sock = sock
        self._answer = answer
        self._changed = threading.Condition()
        self._clients: dict[socket.socket, float] = {}  # each with the time when it came, in this order
        self._asked: set[socket.socket] = set()  # those of them whose question is there
        self._closed = False
        self._wake, self._woken = socket.socketpair()
        self._thread = threading.Thread(target=self._accept, name="hooks", daemon=True)
        sock.setblocking(False)
        self._thread.start()

    def close(self) -> None:
        """No new client, and none of the present ones hears any more."""
        with self._changed:
            self._closed = True
            for client in self._clients:
                with contextlib.suppress(OSError):
                    client.shutdown(socket.SHUT_RDWR)
            self._changed.notify_all()
        self._wake.send(b"x")
        self._thread.join(CLIENT_S)
        for sock in (self._sock, self._wake, self._woken):
            sock.close()

    def _accept(self) -> None:
        ready = select.poll()
        ready.register(self._sock, select.POLLIN)
        ready.register(self._woken, select.POLLIN)
        while self._woken.fileno() not in dict(ready.poll()) and self._make_room():
            with contextlib.suppress(OSError):  # a client that is gone already
                client, _ = self._sock.accept()
                with self._changed:
                    if self._closed:
                        client.close()
                        return
                    self._clients[client] = time.monotonic()
                threading.Thread(target=self._serve, args=(client,), name="hook", daemon=True).start()

    def _make_room(self) -> bool:
        """Wait for a place, or take it from the oldest client without a question; False: closed."""
        with self._changed:
            while not self._closed and len(self._clients) >= MAX_CLIENTS:
                silent = next((client for client in self._clients if client not in self._asked), None)
                left = None if silent is None else self._clients[silent] + GRACE_S - time.monotonic()
                if silent is None or (left is not None and left > 0):
                    self._changed.wait(left)
                    continue
                with contextlib.suppress(OSError):
                    silent.shutdown(socket.SHUT_RDWR)  # its own thread closes it
                del self._clients[silent]
            return not self._closed

    def _serve(self, client: socket.socket) -> None:
        try:
            line = _read_line(client, time.monotonic() + QUESTION_S)
            with self._changed:
                heard = line is not None and not self._closed and client in self._clients
                if heard:
                    self._asked.add(client)
            if line is not None and heard:
                client.settimeout(CLIENT_S)
                client.sendall(self._answer(line))
        except Exception:  # noqa: BLE001 - the outermost place of this thread; a client without an answer refuses
            pass
        finally:
            with self._changed:
                self._clients.pop(client, None)
                self._asked.discard(client)
                self._changed.notify_all()
            client.close()


def _read_line(client: socket.socket, deadline: float) -> bytes | None:
    """One line within the deadline; None: it is too long or too slow."""
    data = bytearray()
    while (end := data.find(b"\n", max(0, len(data) - 65536))) < 0:
        left = deadline - time.monotonic()
        if len(data) > MAX_LINE or left <= 0:
            return None
        client.settimeout(left)
        more = client.recv(65536)
        if not more:
            return None
        data += more
    return bytes(data[:end])
