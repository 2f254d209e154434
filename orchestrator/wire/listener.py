"""A listening socket and its connections, each a task of the loop."""

import contextlib
import socket
from collections.abc import Callable, Coroutine
from typing import Any

from orchestrator.wire.loop import FOREVER, Loop, Task, TimedOut, pause

NO_DESCRIPTORS_S = 0.2

Serve = Callable[[socket.socket], Coroutine[Any, None, None]]


class Listener:
    """``serve``: one accepted connection, which does not block; it is closed when that ends. ``full``: with so many connections no more is
    taken; the rest wait in the backlog. ``shared``: somebody else keeps the listening socket, and will have it served again."""

    def __init__(self, loop: Loop, sock: socket.socket, serve: Serve, full: Callable[[int], bool], *, shared: bool = False) -> None:
        self._loop = loop
        self._sock = sock
        self._serve = serve
        self._full = full
        self._shared = shared
        self._connections: set[Task] = set()
        sock.setblocking(False)
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # each connection inherits it
        self._task = loop.spawn(self._accept())
        loop.watch(sock.fileno(), self)

    @property
    def count(self) -> int:
        return len(self._connections)

    def notice(self, events: int) -> None:
        self.look()

    def look(self) -> None:
        """There may be room again."""
        self._loop.schedule(self._task)

    def close(self) -> None:
        """With all its connections."""
        self._loop.end(self._task)
        for task in list(self._connections):
            self._loop.end(task)
        self._loop.forget(self._sock.fileno())
        if not self._shared:
            with contextlib.suppress(OSError):
                self._sock.shutdown(socket.SHUT_RDWR)  # whoever else holds this socket has no listener either
        self._sock.close()

    async def _accept(self) -> None:
        while True:
            deadline = FOREVER
            try:
                while not self._full(len(self._connections)):
                    sock, _ = self._sock.accept()
                    sock.setblocking(False)
                    self._begin(sock)
            except BlockingIOError:
                pass
            except OSError:  # no descriptors left: they come back when connections end
                deadline = self._loop.in_seconds(NO_DESCRIPTORS_S)
            with contextlib.suppress(TimedOut):
                await pause(deadline)

    def _begin(self, sock: socket.socket) -> None:
        task = self._loop.spawn(self._serve(sock))
        self._connections.add(task)
        task.ended = lambda: self._gone(task, sock)

    def _gone(self, task: Task, sock: socket.socket) -> None:
        sock.close()  # a task that was ended before its first turn has closed nothing
        self._connections.discard(task)
        self.look()
