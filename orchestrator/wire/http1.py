"""HTTP/1.1 heads, read strictly and written anew. Pure.

What two readers could understand differently is refused (RFC 9112 sections 2.2, 5.2, 6.3, 11.2; RFC 9110 section 7.6.1): nothing that came
is passed on as it came, only what was understood. Texts are latin-1, so that every byte has one character.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal
from urllib.parse import unquote_plus

MAX_HEAD_BYTES = 65536
MAX_FIELDS = 256

Fields = Sequence[tuple[str, str]]
BodyKind = Literal["none", "length", "chunked", "close"]
Form = Literal["absolute", "authority", "origin"]
Protocol = Literal["tls", "http", "other", "more"]

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_REQUEST_LINE = re.compile(r"([A-Z][A-Z0-9-]{0,31}) ([\x21-\x7e]+) HTTP/1\.([01])\r\n")
_STATUS_LINE = re.compile(r"HTTP/1\.([01]) ([1-9][0-9]{2})(?: ([\t\x20-\x7e\x80-\xff]*))?\r\n")
_FIELD_LINES = re.compile(rf"(?:{_TOKEN}+:[\t\x20-\x7e\x80-\xff]*+\r\n)*+\r\n")  # possessive: a failure costs no second look
_FIELD = re.compile(rf"({_TOKEN}):([^\r\n]*)\r\n")
_BARE_LF = re.compile(rb"(?<!\r)\n")
_FIRST_LINE = re.compile(rb"[A-Z][A-Z0-9-]{0,31} [\x21-\x7e]+ HTTP/1\.[01]\r?\n")
_ABSOLUTE = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/?#]*)([^?#]*)(\?[^#]*)?")
_ORIGIN = re.compile(r"(/[^?#]*)(\?[^#]*)?")
_DIGITS = re.compile(r"[0-9]{1,18}")

# What a field means to us. Hop-by-hop fields end here; "underscore": some servers take these for the name with a dash.
_HOST, _LENGTH, _CODING, _CONNECTION, _UPGRADE, _EXPECT, _HOP, _UNDERSCORE = range(8)
_MEANING = {
    "host": _HOST,
    "content-length": _LENGTH,
    "transfer-encoding": _CODING,
    "connection": _CONNECTION,
    "proxy-connection": _CONNECTION,
    "upgrade": _UPGRADE,
    "expect": _EXPECT,
    "keep-alive": _HOP,
    "te": _HOP,
    "trailer": _HOP,
    "http2-settings": _HOP,
    "proxy-authorization": _HOP,
    "proxy-authenticate": _HOP,
    "proxy-authentication-info": _HOP,
    "x-aienv-denied": _HOP,  # ours; nobody else says it
    "content_length": _UNDERSCORE,
    "transfer_encoding": _UNDERSCORE,
}


# Frameworks that heed these take a request for one with another method or another path than its first line says.
_OVERRIDES = frozenset(
    ["x-http-method-override", "x-http-method", "x-method-override", "x-original-method", "x-forwarded-method",
     "x-original-url", "x-original-uri", "x-rewrite-url", "x-override-url", "x-forwarded-uri", "x-forwarded-path"]
)  # fmt: skip
_OVERRIDING_QUERY = re.compile(r"(?:^|[&;])(?:_method|x-http-method-override)(?:=|&|;|$)")


class BadMessage(ValueError):
    """Bytes that are no HTTP/1.1 message, or could be read in two ways. ``reason`` never repeats them; ``status``: the answer to it."""

    def __init__(self, reason: str, status: int = 400) -> None:
        super().__init__(reason)
        self.reason = reason
        self.status = status


@dataclass(frozen=True, slots=True)
class Body:
    """How a body ends: after ``length`` bytes, with its last chunk, or with the connection."""

    kind: BodyKind
    length: int = 0


NO_BODY = Body("none")


@dataclass(frozen=True, slots=True)
class RequestHead:
    """``fields``: those that go further, without Host and framing. ``upgrade``: the client asks for a WebSocket."""

    method: str
    target: str
    minor: int
    fields: tuple[tuple[str, str], ...]
    host: str | None
    body: Body
    keep_alive: bool
    expects_continue: bool
    upgrade: bool


@dataclass(frozen=True, slots=True)
class ResponseHead:
    """``fields``: those that go further. ``length``: what Content-Length says, also where no body follows (HEAD, 304)."""

    status: int
    reason: str
    minor: int
    fields: tuple[tuple[str, str], ...]
    body: Body
    length: int | None
    keep_alive: bool
    upgrade: bool


@dataclass(frozen=True, slots=True)
class Target:
    """``scheme`` and ``authority`` are empty in origin form, ``path`` in authority form. ``query`` with its question mark, or empty."""

    scheme: str
    authority: str
    path: str
    query: str


# --- Where a head ends -----------------------------------------------------------------------------------------------------


def head_end(data: bytes, seen: int = 0) -> int:
    """The length of the head at the beginning of ``data``, with its empty line; 0 when more has to come.

    ``seen``: so many bytes were looked at before, when there were no more.

    Raises:
        BadMessage: what there is can never become a head.
    """
    end = data.find(b"\r\n\r\n", max(seen - 3, 0), MAX_HEAD_BYTES)
    if end >= 0:
        return end + 4
    if len(data) >= MAX_HEAD_BYTES:
        raise BadMessage(f"the head is longer than {MAX_HEAD_BYTES} bytes", 431)
    _refuse_early(data, max(seen - 1, 0))
    return 0


def _refuse_early(data: bytes, start: int) -> None:
    """What is wrong already is answered at once: a client that waits for an answer to it sends nothing more."""
    if data[:1] == b"\x16":
        raise BadMessage("TLS where plain HTTP is spoken")
    if data.find(b"\0", start) >= 0:
        raise BadMessage("a NUL byte in the head")
    if _BARE_LF.search(data, start):
        raise BadMessage("a line that ends without a carriage return")
    line = data.find(b"\r\n")
    if line >= 0 and data.find(b" HTTP/1.", 0, line) < 0 and not data.startswith(b"HTTP/1."):
        raise BadMessage("the first line is not of HTTP/1.0 or HTTP/1.1", 505)


def sniff(data: bytes) -> Protocol:
    """What a client that speaks first speaks, by its first bytes; "more" while that is open."""
    if not data:
        return "more"
    if data[0] == 0x16:
        return "tls"
    line = data.find(b"\n") + 1
    if not line:
        return "more" if len(data) < 8192 and data[:1].isalpha() and data[:1].isupper() and b"\0" not in data else "other"
    return "http" if _FIRST_LINE.fullmatch(data, 0, line) else "other"


# --- Reading ---------------------------------------------------------------------------------------------------------------


def parse_request_head(data: bytes, upgrades: str = "websocket") -> RequestHead:
    """A request's head, from its first byte through its empty line.

    ``upgrades``: the only protocol that a client may switch to: ``websocket`` (of a GET without a body), or another one (of any request).

    Raises:
        BadMessage: it is none, or has two readings.
    """
    text = data.decode("latin-1")
    line = _REQUEST_LINE.match(text)
    if line is None:
        raise _bad_request_line(text)
    method, target, minor = line[1], line[2], int(line[3])
    if method in ("TRACE", "TRACK"):
        raise BadMessage(f"{method} makes a server repeat what it was sent, credentials too", 405)
    found = _Found(_fields(text, line.end()), upgrades)
    if minor == 1 and found.host is None:
        raise BadMessage("the Host header is missing")
    if found.coding and minor == 0:
        raise BadMessage("chunks in HTTP/1.0")
    if found.expects not in (None, "100-continue"):
        raise BadMessage("an expectation other than 100-continue", 417)
    body = Body("chunked") if found.coding else Body("length", found.length) if found.length is not None else NO_BODY
    plain = method == "GET" and body.length == 0 and body.kind != "chunked"
    upgrade = found.upgrade and minor == 1 and (plain or upgrades != "websocket")
    keep_alive = minor == 1 and "close" not in found.connection
    expects = found.expects is not None and minor == 1
    return RequestHead(method, target, minor, found.kept(), found.host, body, keep_alive, expects, upgrade)


def parse_response_head(data: bytes, method: str, upgrades: str = "websocket") -> ResponseHead:
    """The head of an answer to a request with ``method``.

    Raises:
        BadMessage: it is none, or has two readings.
    """
    text = data.decode("latin-1")
    line = _STATUS_LINE.match(text)
    if line is None:
        raise BadMessage("the status line is malformed", 502)
    minor, status = int(line[1]), int(line[2])
    found = _Found(_fields(text, line.end()), upgrades)
    if found.coding and minor == 0:
        raise BadMessage("chunks in HTTP/1.0", 502)
    if method == "HEAD" or status < 200 or status in (204, 304):
        body = NO_BODY
    elif found.coding:
        body = Body("chunked")
    else:
        body = Body("close") if found.length is None else Body("length", found.length)
    length = None if status < 200 or status == 204 or found.coding else found.length
    keep_alive = "close" not in found.connection and (minor == 1 or "keep-alive" in found.connection) and body.kind != "close"
    return ResponseHead(status, line[3] or "", minor, found.kept(), body, length, keep_alive, found.upgrade)


def _fields(text: str, start: int) -> list[tuple[str, str]]:
    if not _FIELD_LINES.fullmatch(text, start):
        raise _bad_fields(text[start:])
    fields = [(name, value.strip("\t ")) for name, value in _FIELD.findall(text, start)]
    if len(fields) > MAX_FIELDS:
        raise BadMessage(f"more than {MAX_FIELDS} header fields", 431)
    return fields


class _Found:
    """The fields of one head, sorted by what they mean to us."""

    def __init__(self, fields: list[tuple[str, str]], protocol: str) -> None:
        self.host: str | None = None
        self.length: int | None = None
        self.coding = False
        self.connection: set[str] = set()
        self.upgrade = False
        self.expects: str | None = None
        self._others: list[tuple[str, str]] = []
        upgrades = False
        for field in fields:
            meaning = _MEANING.get(field[0].lower())
            if meaning is None:
                self._others.append(field)
            elif meaning == _CONNECTION:
                self.connection.update(word.strip(" \t") for word in field[1].lower().split(","))
            elif meaning == _UPGRADE:
                upgrades = field[1].lower() == protocol
            elif meaning != _HOP:
                self._once(meaning, field[1])
        if self.coding and self.length is not None:
            raise BadMessage("both Content-Length and Transfer-Encoding")
        self.upgrade = upgrades and "upgrade" in self.connection

    def _once(self, meaning: int, value: str) -> None:
        """Fields that may stand there once only."""
        if meaning == _HOST:
            if self.host is not None:
                raise BadMessage("several Host headers")
            self.host = value
        elif meaning == _LENGTH:
            if self.length is not None:
                raise BadMessage("several Content-Length headers")
            if not _DIGITS.fullmatch(value):
                raise BadMessage("Content-Length is not a number")
            self.length = int(value)
        elif meaning == _CODING:
            if self.coding:
                raise BadMessage("several Transfer-Encoding headers")
            if value.lower() != "chunked":
                raise BadMessage("a Transfer-Encoding other than 'chunked'", 501)
            self.coding = True
        elif meaning == _EXPECT:
            if self.expects is not None:
                raise BadMessage("several Expect headers")
            self.expects = value.lower()
        else:
            raise BadMessage("a header that some servers take for Content-Length or Transfer-Encoding")

    def kept(self) -> tuple[tuple[str, str], ...]:
        """Those that go further: neither hop-by-hop by themselves nor named by Connection."""
        if not self.connection - {"close", "keep-alive", "upgrade", ""}:
            return tuple(self._others)
        return tuple(field for field in self._others if field[0].lower() not in self.connection)


def _bad_request_line(text: str) -> BadMessage:
    line, ended, _ = text.partition("\r\n")
    if text.startswith("PRI * HTTP/2.0"):
        return BadMessage("HTTP/2 without TLS is not spoken here", 505)
    if "\n" in line or "\0" in line or "\r" in line or not ended:
        return BadMessage("a NUL, carriage return or line feed where none may stand")
    words = line.split(" ")
    if len(words) != 3 or not words[1]:
        return BadMessage("the request line is not METHOD TARGET VERSION")
    if not re.fullmatch(r"HTTP/1\.[01]", words[2]):
        return BadMessage("the version is not HTTP/1.0 or HTTP/1.1", 505)
    if not re.fullmatch(r"[A-Z][A-Z0-9-]{0,31}", words[0]):
        return BadMessage("the method is not a word in capital letters")
    return BadMessage("the target holds a character that is not visible ASCII")


def _bad_fields(text: str) -> BadMessage:
    """What is wrong with the first wrong line."""
    for line in text.split("\r\n"):
        if "\0" in line:
            return BadMessage("a NUL byte in a header")
        if "\n" in line or "\r" in line:
            return BadMessage("a carriage return or line feed of its own in a header")
        if line[:1] in (" ", "\t"):
            return BadMessage("a header that goes on in a second line")
        name, colon, value = line.partition(":")
        if not line or (colon and re.fullmatch(_TOKEN, name) and re.fullmatch(r"[\t\x20-\x7e\x80-\xff]*", value)):
            continue
        if not colon:
            return BadMessage("a header line without a colon")
        if name.rstrip(" \t") != name:
            return BadMessage("a blank between a header's name and its colon")
        if not re.fullmatch(_TOKEN, name):
            return BadMessage("a header name with a character that none has")
        return BadMessage("a control character in a header")
    return BadMessage("an empty line within the head")


# --- Targets ---------------------------------------------------------------------------------------------------------------


def parse_target(head: RequestHead, form: Form) -> Target:
    """What a request is for, where the listener wants ``form``. The authority is not judged here.

    Raises:
        BadMessage: another form, or a fragment.
    """
    if (head.method == "CONNECT") != (form == "authority"):
        raise BadMessage("CONNECT is for the proxy's port alone" if head.method == "CONNECT" else "only CONNECT names a host alone", 405)
    if form == "authority":
        return Target("", head.target, "", "")
    if form == "absolute":
        found = _ABSOLUTE.fullmatch(head.target)
        if found is None:
            raise BadMessage("this is a proxy: a request names the whole address, http://HOST/PATH, or is a CONNECT")
        return Target(found[1].lower(), found[2], found[3] or "/", found[4] or "")
    if head.target == "*" and head.method == "OPTIONS":
        return Target("", "", "*", "")
    found = _ORIGIN.fullmatch(head.target)
    if found is None:
        raise BadMessage("the target is not a path")
    return Target("", "", found[1], found[2] or "")


def overriding(fields: Fields, query: str) -> str | None:
    """What makes some servers act on another method or path than those of the request line; None when nothing does."""
    for name, _ in fields:
        if name.lower().replace("_", "-") in _OVERRIDES:  # gateways in front of programs make the two the same
            return f"the header {name[:40]}"
    found = _OVERRIDING_QUERY.search(unquote_plus(query.removeprefix("?")).lower())
    return None if found is None else "a parameter that names another method"


# --- Writing ---------------------------------------------------------------------------------------------------------------


def serialise_request(method: str, target: str, host: str, fields: Fields, body: Body, *, expects: bool, upgrade: bool) -> bytes:
    """A request's head as it goes to a server, with the framing of ``body``."""
    lines = [f"{method} {target} HTTP/1.1\r\nHost: {host}\r\n"]
    lines += [f"{name}: {value}\r\n" for name, value in fields]
    if body.kind == "chunked":
        lines.append("Transfer-Encoding: chunked\r\n")
    elif body.kind == "length":
        lines.append(f"Content-Length: {body.length}\r\n")
    if expects:
        lines.append("Expect: 100-continue\r\n")
    lines.append("Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n" if upgrade else "\r\n")
    return "".join(lines).encode("latin-1")


def serialise_response(head: ResponseHead, reason: str, fields: Fields, *, chunked: bool, close: bool) -> bytes:
    """A response's head as it goes to the client. ``chunked``: that is how we send the body; ``close``: the connection ends after it."""
    lines = [f"HTTP/1.1 {head.status} {reason}\r\n"]
    lines += [f"{name}: {value}\r\n" for name, value in fields]
    if chunked:
        lines.append("Transfer-Encoding: chunked\r\n")
    elif head.length is not None:
        lines.append(f"Content-Length: {head.length}\r\n")
    if head.status == 101:
        lines.append("Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
    else:
        lines.append("Connection: close\r\n\r\n" if close else "\r\n")
    return "".join(lines).encode("latin-1")
