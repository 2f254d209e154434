"""A plain way to an engine: small calls with a deadline, without a loop and without the SDK. For what happens when a run ends.

Calls have no version: none of those that are used has changed since the oldest engine that a guard stands before.
"""

import http.client
import json
import socket
import time
from typing import Any

from orchestrator.guard.daemon import Address, parse_address

CALL_S = 20.0  # the removal of a large container on a busy machine
LEAST_S = 1.0  # a call that is sent must have a chance to be answered
MAX_ANSWER_BYTES = 64 << 20


class Silent(Exception):
    """The engine does not answer, or not as an engine does. The text is the whole reason."""


class PlainEngine:
    """``end``: when the time is over, of ``time.monotonic``."""

    def __init__(self, address: str, end: float) -> None:
        self._address = address
        self._end = end
        self._connection: http.client.HTTPConnection | None = None

    def is_over(self) -> bool:
        return time.monotonic() >= self._end

    def call(self, method: str, path: str, body: dict[str, Any] | bytes | None = None, call_s: float = CALL_S) -> tuple[int, Any]:
        """Status and JSON (None: none). ``body``: bytes are a tar.

        Raises:
            Silent: it does not answer within the deadline. ValueError: the address is none.
        """
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        kind = "application/x-tar" if isinstance(body, bytes) else "application/json"
        try:
            return self._call(method, path, data, kind, call_s)
        except (OSError, http.client.HTTPException):
            self.close()  # a kept connection may have been closed meanwhile: once more, on a new one
        try:
            return self._call(method, path, data, kind, call_s)
        except (OSError, http.client.HTTPException) as problem:
            self.close()
            raise Silent(f"the Docker engine at {self._address} does not answer ({type(problem).__name__})") from None

    def _call(self, method: str, path: str, data: bytes | None, kind: str, call_s: float) -> tuple[int, Any]:
        timeout_s = max(LEAST_S, min(call_s, self._end - time.monotonic()))
        if self._connection is None:
            self._connection = _Connection(parse_address(self._address), timeout_s)
        if self._connection.sock is not None:
            self._connection.sock.settimeout(timeout_s)
        self._connection.request(method, path, data, {"Content-Type": kind} if data is not None else {})
        answer = self._connection.getresponse()
        text = answer.read(MAX_ANSWER_BYTES + 1)
        if len(text) > MAX_ANSWER_BYTES:
            raise http.client.HTTPException("too long an answer")
        try:
            return answer.status, json.loads(text) if text.strip() else None
        except ValueError:
            return answer.status, {"message": text[:200].decode("utf-8", "replace")}

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class _Connection(http.client.HTTPConnection):
    def __init__(self, address: Address, timeout_s: float) -> None:
        super().__init__(address.host or "docker", address.port or None, timeout=timeout_s)
        self._path = address.path

    def connect(self) -> None:
        if self._path is None:
            super().connect()
            return
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.settimeout(self.timeout)
        try:
            sock.connect(self._path)
        except OSError:
            sock.close()
            raise
        self.sock = sock


def message_of(said: object) -> str:
    return str(said.get("message", ""))[:300] if isinstance(said, dict) else ""
