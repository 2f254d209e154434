"""HTTP for registries: whole deadlines, sizes that are bounded, and redirects that take no credentials along.

Plain HTTP is spoken with this machine alone, and through no proxy. A redirect never leads to plain HTTP elsewhere, and where it leads to
another host, port or scheme it goes without what was meant for the first.
"""

import base64
import contextlib
import http.client
import ipaddress
import re
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import BinaryIO
from urllib.parse import SplitResult, unquote, urljoin, urlsplit

from orchestrator.devcontainer.features.references import is_loopback
from orchestrator.errors import EnvironmentFailed, PolicyRefused

CONNECT_S = 10.0
DEADLINE_S = 120.0
MAX_REDIRECTS = 5
MAX_ERROR_BODY = 64 << 10
MAX_URL = 8192
STEP = 1 << 16
_HERE = frozenset(["localhost", "localdomain", "local", "internal", "intranet", "lan", "home", "corp", "arpa"])
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_SECRET = frozenset(["authorization", "cookie", "proxy-authorization"])


class Unreachable(EnvironmentFailed):
    """Nobody answered, or only to say that it is not a good time. What a cache knows may stand in."""

    code = "feature-unreachable"


@dataclass(frozen=True, slots=True)
class Request:
    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Answer:
    """``headers``: in lower case. ``url``: where it came from in the end. ``body``: empty where it went into a file."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str


def origin(url: str) -> tuple[str, str, int]:
    parts = urlsplit(url)
    return parts.scheme, (parts.hostname or "").lower(), parts.port or (443 if parts.scheme == "https" else 80)


def redirected(request: Request, location: str) -> Request:
    """The request that follows a redirect.

    Raises:
        EnvironmentFailed: it leads where we do not go.
    """
    try:
        target = urljoin(request.url, location.strip())
    except ValueError:
        target = location
    problem = _url_problem(target)
    if problem is None and urlsplit(target).scheme == "http" and origin(target) != origin(request.url):
        problem = "is plain HTTP at another place"
    if problem is not None:
        raise EnvironmentFailed(f"{_place(request.url)} redirects to {target[:200]!r}, which {problem}", code="feature-redirect")
    headers = request.headers
    if origin(target) != origin(request.url):
        headers = {name: value for name, value in headers.items() if name.lower() not in _SECRET}
    return replace(request, url=target, headers=headers)


def _url_problem(url: str) -> str | None:
    try:
        parts = urlsplit(url)
        host, _ = (parts.hostname or "").lower(), parts.port
    except ValueError:
        return "is no address"
    if len(url) > MAX_URL or not url.isascii() or not url.isprintable() or " " in url:
        return "is no address"
    if parts.username is not None or not host:
        return "has a user in it, or no host"
    if parts.scheme == "http":
        return None if is_loopback(host) else "is plain HTTP"
    return None if parts.scheme == "https" else "is not HTTPS"


def spares(no_proxy: str, host: str) -> bool:
    """Whether ``NO_PROXY`` names the host, or a domain that it is in."""
    names = (one.strip().lstrip(".").lower() for one in no_proxy.split(","))
    return any(name == "*" or (name and (host == name or host.endswith(f".{name}"))) for name in names)


def is_outside(host: str) -> bool:
    """Whether a host, by its name or address alone, may be elsewhere than on this machine and its own network."""
    name = host.lower().rstrip(".")
    try:
        address = ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        last = name.rpartition(".")[2]
        odd = re.fullmatch(r"[0-9]+|0x[0-9a-f]*", last, re.ASCII)  # an address as only the C library reads it: 127.1
        return bool(name) and not odd and last not in _HERE and "." in name
    if isinstance(address, ipaddress.IPv6Address):
        nat64 = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF) if address in _NAT64 else None
        address = address.ipv4_mapped or address.sixtofour or nat64 or address
    return address.is_global and not address.is_multicast


class Transport:
    """``context``: whom to trust; the machine's own authorities unless a test says otherwise. ``closed``: where this machine and its own
    network are not asked, since it is not the user who names the host: what the user can do about it."""

    def __init__(
        self, environ: Mapping[str, str], *, context: ssl.SSLContext | None = None, deadline_s: float = DEADLINE_S, closed: str = ""
    ) -> None:
        self._environ = environ
        self._closed = closed
        self._context = context
        self._deadline_s = deadline_s

    def ask(self, request: Request, most_bytes: int, into: BinaryIO | None = None) -> Answer:
        """One answer, after redirects. ``into``: where the body of a success goes.

        Raises:
            Unreachable: no answer in time, or none at all.
            EnvironmentFailed: a redirect that is not followed, or more than ``most_bytes``.
            PolicyRefused: it leads to this machine, which is ``closed``.
        """
        end = time.monotonic() + self._deadline_s
        for _ in range(MAX_REDIRECTS + 1):
            if problem := _url_problem(request.url):
                raise EnvironmentFailed(f"{request.url[:200]!r} {problem}", code="feature-address")
            if self._closed and not is_outside(origin(request.url)[1]):
                raise self._refused(request.url)
            answer = self._exchange(request, most_bytes, into, end)
            location = answer.headers.get("location")
            if answer.status not in (301, 302, 303, 307, 308) or location is None or request.body is not None:
                return answer
            request = redirected(request, location)
        raise EnvironmentFailed(f"{_place(request.url)} redirects more than {MAX_REDIRECTS} times", code="feature-redirect")

    def _exchange(self, request: Request, most_bytes: int, into: BinaryIO | None, end: float) -> Answer:
        expired = threading.Event()
        try:
            with _Watch(self._connected(request.url, end), end, expired) as connection:
                parts = urlsplit(request.url)
                path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
                headers = {"User-Agent": "aienv", "Connection": "close", **request.headers}
                connection.request("POST" if request.body is not None else "GET", path, request.body, headers)
                response = connection.getresponse()
                good = 200 <= response.status < 300
                limit = most_bytes if good else min(most_bytes, MAX_ERROR_BODY)
                body = _read(response, limit, into if good else None, request.url, cut=not good)
                found = {name.lower(): value for name, value in response.getheaders()}
                answer = Answer(response.status, found, body, request.url)
        except (OSError, http.client.HTTPException, ValueError) as problem:
            raise _unreachable(request.url, None if expired.is_set() or isinstance(problem, TimeoutError) else problem) from None
        if expired.is_set():
            raise _unreachable(request.url, None)
        return answer

    def _connected(self, url: str, end: float) -> http.client.HTTPConnection:
        scheme, host, port = origin(url)
        timeout = max(0.001, min(CONNECT_S, end - time.monotonic()))
        if scheme == "http":
            plain = http.client.HTTPConnection(host, port, timeout=timeout)
            plain.connect()
            return plain
        context = self._context or ssl.create_default_context()
        proxy = self._proxy(host)
        if proxy is None:
            if self._closed and not all(is_outside(str(one[4][0])) for one in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)):
                raise self._refused(url)
            connection = http.client.HTTPSConnection(host, port, timeout=timeout, context=context)
        else:
            connection = http.client.HTTPSConnection(proxy.hostname or "", proxy.port or 3128, timeout=timeout, context=context)
            connection.set_tunnel(host, port, _proxy_headers(proxy))
        connection.connect()
        if self._closed and proxy is None and not is_outside(str(connection.sock.getpeername()[0])):  # asked again, a name may say more
            connection.close()
            raise self._refused(url)
        return connection

    def _refused(self, url: str) -> PolicyRefused:
        why = f"{_place(url)} is this machine, or of its own network, and it is the repository that names it"
        return PolicyRefused(why, remedy=self._closed, code="feature-address")

    def _proxy(self, host: str) -> SplitResult | None:
        names = ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")
        value = next((found for name in names if (found := self._environ.get(name))), None)
        spared = self._environ.get("no_proxy") or self._environ.get("NO_PROXY") or ""
        if value is None or is_loopback(host) or spares(spared, host):
            return None
        parts = urlsplit(value if "://" in value else f"http://{value}")
        if parts.scheme != "http" or not parts.hostname:
            raise EnvironmentFailed("the proxy that HTTPS_PROXY names is not http://HOST:PORT", code="feature-proxy")
        return parts


class _Watch:
    """A connection that ends at the deadline whatever it waits for, and is closed in any case."""

    def __init__(self, connection: http.client.HTTPConnection, end: float, expired: threading.Event) -> None:
        self._connection = connection
        # Taken now: the connection lets go of its socket as soon as the headers are read.
        self._socket: socket.socket = connection.sock
        self._expired = expired
        self._timer = threading.Timer(max(0.0, end - time.monotonic()), self._expire)
        self._timer.daemon = True

    def __enter__(self) -> http.client.HTTPConnection:
        self._socket.settimeout(DEADLINE_S)
        self._timer.start()
        return self._connection

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        self._connection.close()

    def _expire(self) -> None:
        self._expired.set()
        with contextlib.suppress(OSError):
            # That of the plain socket: TLS would wait for the other side to say goodbye.
            socket.socket.shutdown(self._socket, socket.SHUT_RDWR)


def _read(response: http.client.HTTPResponse, limit: int, into: BinaryIO | None, url: str, *, cut: bool) -> bytes:
    """``cut``: what is beyond the limit is left; else it is an error."""
    parts: list[bytes] = []
    total = 0
    while data := response.read(STEP):
        total += len(data)
        if total > limit:
            if cut:
                break
            raise EnvironmentFailed(f"{_place(url)} sends more than the {limit} bytes that are allowed", code="feature-size")
        if into is None:
            parts.append(data)
        else:
            into.write(data)
    if response.length and not cut:
        raise http.client.IncompleteRead(b"", response.length)
    return b"".join(parts)


def _proxy_headers(proxy: SplitResult) -> dict[str, str]:
    if proxy.username is None:
        return {}
    pair = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
    return {"Proxy-Authorization": "Basic " + base64.b64encode(pair.encode()).decode()}


def _unreachable(url: str, problem: Exception | None) -> Unreachable:
    why = "no whole answer in time" if problem is None else str(problem) or type(problem).__name__
    return Unreachable(f"{_place(url)} cannot be reached: {why}", remedy="see whether there is a network, and HTTPS_PROXY is right")


def _place(url: str) -> str:
    """Without the path's query: it may be signed."""
    scheme, host, port = origin(url)
    return f"{scheme}://{host}" + ("" if port in (80, 443) else f":{port}")
