"""The broker's Docker side: the guard, the socket for containers that want one themselves, and its containers' way out through egress."""

import contextlib
import os
import socket
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.guard.config import parse
from orchestrator.guard.server import Guard, GuardFailed
from orchestrator.guard.usage import DockerLog

if TYPE_CHECKING:
    from orchestrator.egress.server import Egress

BACKLOG = 128

Removed = tuple[tuple[str, ...], tuple[str, ...]]


class DockerSide:
    """``write``: one event to the log."""

    def __init__(self, config: object, write: Callable[[str, dict[str, object]], object]) -> None:
        """Raises ValueError, OSError, GuardFailed."""
        self._config = parse(config)
        self._log = DockerLog(lambda kind, facts: write(kind, dict(facts)))
        self._lock = threading.Lock()
        self._proxies: list[socket.socket] = []  # of the containers' network, and of builds; egress gets copies
        self._egress: Egress | None = None
        self._guard = Guard(self._config, self._log.write, self._serve_proxy)
        stand_in = self._config.session.stand_in
        # One for all phases: a container that has it mounted keeps what it has.
        self._stand_in = None if stand_in is None else listening(Path(stand_in))

    def attach(self, egress: "Egress | None") -> None:
        """What serves the containers' way out, from now on and in the present phase; again in each phase."""
        with self._lock:
            self._egress = egress
            for proxy in self._proxies:
                self._hand_over(proxy)

    def listen(self, phase: str, sockets: Mapping[str, socket.socket]) -> None:
        """Raises OSError, KeyError: there is no listening socket."""
        listener = sockets["docker"]
        self._guard.listen(phase, listener, sockets.get("porter"))
        if self._stand_in is not None:
            self._guard.listen(phase, self._stand_in.dup(), shared=True)

    def quiet(self) -> None:
        self._guard.quiet()
        self._tell()

    def close(self) -> Removed:
        found = self._guard.close()
        if self._stand_in is not None:
            self._stand_in.close()
        self._tell()
        with self._lock:
            while self._proxies:
                self._proxies.pop().close()
        return found

    def _tell(self) -> None:
        with contextlib.suppress(OSError):  # a log that takes nothing has stopped the guard before
            self._log.tell()

    def _serve_proxy(self, listener: socket.socket) -> None:
        """Called in the guard's thread, once its containers have a network."""
        with self._lock:
            self._proxies.append(listener)
            self._hand_over(listener)

    def _hand_over(self, proxy: socket.socket) -> None:
        if self._egress is not None:
            self._egress.add(proxy.dup())


def listening(path: Path) -> socket.socket:
    """A socket that everybody who has it mounted may use: containers run as any user. What lay there is replaced."""
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        short = f"/proc/self/fd/{folder}/{path.name}"  # the path of a socket may have 107 bytes at most, a state folder may have more
        with contextlib.suppress(FileNotFoundError):
            os.unlink(short)
        sock.bind(short)
        os.chmod(short, 0o666)
        sock.listen(BACKLOG)
    except OSError:
        sock.close()
        raise
    finally:
        os.close(folder)
    return sock


__all__ = ["DockerSide", "GuardFailed", "listening"]
