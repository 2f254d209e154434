"""Heads and bodies of HTTP/1.1, against a lenient reader that sees what some server might see.

Whatever the bytes: only our own exception is raised; how they are cut changes nothing; and what we write of a request that we understood
is seen by a reader that takes every liberty (bare line feeds, folding, blanks before colons, the last or the first of several lengths) as
the same one request, for the same host, with the same length.
"""

from orchestrator.wire.bodies import ChunkReader, Reader, chunk
from orchestrator.wire.http1 import (
    BadMessage,
    RequestHead,
    ResponseHead,
    head_end,
    parse_request_head,
    parse_response_head,
    parse_target,
    serialise_request,
    serialise_response,
    sniff,
)

SEEDS = (
    b"GET http://a.example/x?y HTTP/1.1\r\nHost: a.example\r\nAccept: */*\r\n\r\n",
    b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nConnection: keep-alive, x-y\r\nX-Y: z\r\n\r\nhello",
    b"PUT /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n5;a=b\r\nhello\r\n0\r\nT: x\r\n\r\n",
    b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    b"CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    b"5\r\nhello\r\n0\r\n\r\nGET / HTTP/1.1\r\n",
)
WORDS = (
    b"Content-Length: ", b"Transfer-Encoding: chunked", b"Host: ", b"Connection: ", b"Upgrade: websocket", b"Expect: 100-continue",
    b"\r\n\r\n", b"\r\n", b"\n", b"\r", b"\0", b" :", b"\t", b"HTTP/1.1", b"HTTP/1.0", b"http://", b"0\r\n\r\n", b"Content_Length: ", b";",
)  # fmt: skip


def one_input(data: bytes) -> None:
    sniff(data)
    head = whole_head(data)
    if head:
        for parse in (request, response):
            parse(data[:head])
    body(data)


def whole_head(data: bytes) -> int:
    """Its length; 0 when there is none. A shorter piece of the same bytes never gives another one."""
    lengths = []
    for end in {len(data), len(data) // 2, max(len(data) - 1, 0)}:
        try:
            lengths.append((head_end(data[:end]), end))
        except BadMessage:
            lengths.append((-1, end))
    found = [length for length, _ in lengths if length > 0]
    assert len(set(found)) <= 1
    assert all(length <= end for length, end in lengths)
    half = len(data) // 2
    if (0, half) in lengths:
        assert again_from(data, half) == next(length for length, end in lengths if end == len(data))
    return found[0] if found else 0


def again_from(data: bytes, seen: int) -> int:
    """As a reader finds it that has looked at a part before."""
    try:
        return head_end(data, seen)
    except BadMessage:
        return -1


def request(data: bytes) -> None:
    try:
        head = parse_request_head(data)
    except BadMessage:
        return
    for form in ("absolute", "authority", "origin"):
        try:
            target = parse_target(head, form)
        except BadMessage:
            continue
        if form == "origin":
            again(head, target.path + target.query)


def again(head: RequestHead, target: str) -> None:
    written = serialise_request(
        head.method, target, "judged.example", head.fields, head.body, expects=head.expects_continue, upgrade=head.upgrade
    )
    line, hosts, lengths, codings = lenient(written)
    assert line == [head.method.encode(), target.encode(), b"HTTP/1.1"]
    assert hosts == [b"judged.example"]
    assert lengths == ([b"%d" % head.body.length] if head.body.kind == "length" else [])
    assert codings == ([b"chunked"] if head.body.kind == "chunked" else [])
    read = parse_request_head(written)
    assert (read.method, read.target, read.fields, read.body) == (head.method, target, head.fields, head.body)


def lenient(data: bytes) -> tuple[list[bytes], list[bytes], list[bytes], list[bytes]]:
    """Request line, hosts, lengths and codings as a reader sees them that forgives everything, up to the first empty line."""
    first, *lines = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    found: dict[bytes, list[bytes]] = {b"host": [], b"content-length": [], b"transfer-encoding": []}
    assert lines[-2:] == [b"", b""]
    assert b"" not in lines[:-2]
    for line in lines[:-2]:
        name, _, value = line.partition(b":")
        name = name.strip(b" \t\0\x0b\x0c").lower().replace(b"_", b"-")
        if name in found:
            found[name].append(value.strip(b" \t\0\x0b\x0c").lower())
        assert line[:1] not in (b" ", b"\t")
    return first.split(), found[b"host"], found[b"content-length"], found[b"transfer-encoding"]


def response(data: bytes) -> None:
    for method in ("GET", "HEAD"):
        try:
            head = parse_response_head(data, method)
        except BadMessage:
            continue
        written = serialise_response(head, head.reason, head.fields, chunked=head.body.kind == "chunked", close=False)
        _, _, lengths, codings = lenient(written)
        assert len(lengths) + len(codings) <= 1
        same(head, parse_response_head(written, method))


def same(head: ResponseHead, read: ResponseHead) -> None:
    assert (read.status, read.reason.strip(), read.fields, read.body) == (head.status, head.reason.strip(), head.fields, head.body)


def body(data: bytes) -> None:
    whole = outcome(ChunkReader(), data, len(data) or 1)
    for size in (1, 5):
        assert outcome(ChunkReader(), data, size) == whole
    if whole is not None:
        payload, _, rest = whole
        assert outcome(ChunkReader(), chunk(payload) + b"0\r\n\r\n" + rest, 9) == whole


def outcome(reader: Reader, data: bytes, size: int) -> tuple[bytes, bool, bytes] | None:
    """None: refused, or not whole."""
    try:
        payload = b"".join(reader.feed(data[start : start + size]) for start in range(0, len(data), size))
    except BadMessage:
        return None
    return (payload, reader.done, reader.rest) if reader.done else None
