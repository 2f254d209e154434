"""TLS on both sides: ends of connections, our own certificates towards the environment, the world's towards servers.

The only module that imports ``ssl``, and imported when the first connection needs it: a run that needs none starts without.
"""

import contextlib
import os
import ssl
from collections.abc import Sequence

from orchestrator.egress.config import Leaf
from orchestrator.egress.hosts import Host
from orchestrator.egress.rules import host_matches
from orchestrator.wire.loop import Loop, pause
from orchestrator.wire.wires import Wire

RECORD_BYTES = 16384
_AGAIN = (ssl.SSLWantReadError, ssl.SSLWantWriteError)


class TlsWire(Wire):
    """A wire with TLS around it. The socket belongs to this object from now on."""

    __slots__ = ("_over", "_tls")
    secure = True

    def __init__(self, loop: Loop, wire: Wire, context: ssl.SSLContext, server_name: str | None) -> None:
        """``server_name``: the host whose certificate is asked for; None: we are the server. ``wire`` is over, also after an error.

        Raises:
            OSError: the other side is gone already.
        """
        try:
            self._tls = context.wrap_socket(
                wire.sock, server_side=server_name is None, server_hostname=server_name, do_handshake_on_connect=False
            )
        except BaseException:  # the end of a phase too: no descriptor is left behind, and the reason goes on
            wire.close()  # now: the number of its descriptor may be another connection's soon
            raise
        wire.closed = True  # the socket has moved
        self._over = False
        self.loop, self.sock, self.fd, self.task = loop, self._tls, self._tls.fileno(), wire.task
        self.readable = self.writable = True
        self.gone, self.broken, self.closed, self.kept = wire.gone, wire.broken, False, b""
        self.bytes_in = self.bytes_out = 0
        loop.rewatch(self.fd, self)

    async def handshake(self, deadline: float) -> None:
        """Raises OSError (ssl.SSLError is one); TimedOut."""
        while True:
            try:
                self._tls.do_handshake()
            except _AGAIN:
                await pause(deadline)
            else:
                return

    def recv(self, count: int = RECORD_BYTES) -> bytes | None:
        if self._over:
            return b""
        try:
            data = self._tls.recv(min(count, RECORD_BYTES))
        except _AGAIN:
            self.readable = False
            return None
        self.bytes_in += len(data)
        return data

    def send(self, data: bytes | memoryview) -> int:
        try:
            count = self._tls.send(data)
        except _AGAIN:
            self.writable = False
            return 0
        self.bytes_out += count
        return count

    def peek(self, count: int) -> bytes | None:
        raise OSError("what comes in TLS cannot be looked at beforehand")

    def shut_write(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._tls.unwrap()
            self._over = True  # both sides have said goodbye; what the bare socket gives now is nobody's
        super().shut_write()

    def close(self) -> None:
        if not self.closed and not self._over:
            with contextlib.suppress(OSError, ValueError):  # clients take an end without goodbye for an attack
                self._tls.unwrap()
        super().close()

    def abort(self) -> None:
        self._over = True
        super().abort()


class Unusable(Exception):
    """A certificate, key or bundle of ours cannot be read: a fault of ours, not of a connection."""


class Authorities:
    """The contexts of one run, made when they are first needed. ``upstream_ca``: a file of certificates; None: the system's."""

    def __init__(self, leaves: Sequence[Leaf], upstream_ca: str | None) -> None:
        self._leaves = leaves
        self._upstream_ca = upstream_ca
        self._servers: dict[Leaf, ssl.SSLContext] = {}
        self._client: ssl.SSLContext | None = None

    def towards_servers(self) -> ssl.SSLContext:
        """Verifies certificates and names, as the user's own programs would. Raises Unusable."""
        if self._client is None:
            try:
                self._client = ssl.create_default_context(cafile=self._upstream_ca)
            except OSError as problem:
                raise Unusable(str(problem)) from None
            self._client.set_alpn_protocols(["http/1.1"])
        return self._client

    def in_place_of(self, host: Host) -> ssl.SSLContext | None:
        """What plays ``host`` towards the environment; None where the run's authority has made no certificate for it.

        Raises:
            Unusable: it has, and that cannot be read.
        """
        leaf = next((leaf for leaf in self._leaves if any(host_matches(pattern, host) for pattern in leaf.hosts)), None)
        if leaf is None:
            return None
        if leaf not in self._servers:
            self._servers[leaf] = _server_context(leaf)
        return self._servers[leaf]


def problem_of(problem: OSError) -> str:
    """Why there is no TLS, for people."""
    if isinstance(problem, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {problem.verify_message}"
    if isinstance(problem, ssl.SSLError):
        return f"TLS failed: {(problem.reason or str(problem)).replace('_', ' ').lower()}"
    return f"TLS failed: {problem.strerror or problem}"


def _server_context(leaf: Leaf) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    # The module reads files only; this one has no name, and is gone when it is closed.
    file = os.memfd_create("leaf", os.MFD_CLOEXEC)
    try:
        os.write(file, leaf.key.encode() + b"\n" + leaf.cert.encode())
        context.load_cert_chain(f"/proc/self/fd/{file}")
    except OSError as problem:
        raise Unusable(str(problem)) from None
    finally:
        os.close(file)
    return context
