"""Connections that become tunnels too early, or that should not at all."""



from collections.abc import Iterator

from tests.integration.guard.attacks.differentials import SECOND, raw
from tests.integration.guard.attacks.row import Row, V

UPGRADE = ("Connection: Upgrade", "Upgrade: tcp")


def hijacks() -> Iterator[Row]:
    def upgraded(method: str, target: str, body: bytes, after: bytes = SECOND, kind: str = "application/json") -> bytes:
        return raw(
            f"{method} {target} HTTP/1.1",
            "Host: x",
            *UPGRADE,
            f"Content-Type: {kind}",
            f"Content-Length: {len(body)}",
            body=body + after,
            ends=False,
        )

    rows = {
        "detach": upgraded("POST", f"{V}/exec/@EXEC@/start", b'{"Detach":true}'),
        "detach-fold": upgraded("POST", f"{V}/exec/@EXEC@/start", b'{"detach":true}'),
        "detach-tty": upgraded("POST", f"{V}/exec/@EXEC@/start", b'{"Detach":true,"Tty":true}'),
        "detach-twice": upgraded("POST", f"{V}/exec/@EXEC@/start", b'{"Detach":false,"Detach":true}'),
        "unknown-exec": upgraded("POST", f"{V}/exec/{'0' * 64}/start", b'{"Detach":false}'),
        "foreign-exec": upgraded("POST", f"{V}/exec/@FEXEC@/start", b'{"Detach":false}', b""),
        "ping": upgraded("GET", "/_ping", b""),
        "start": upgraded("POST", f"{V}/containers/@OWN@/start", b""),
        "start-json": upgraded("POST", f"{V}/containers/@OWN@/start", b"{}"),
        "attach-unknown": upgraded("POST", f"{V}/containers/nobody/attach?stream=1&stdin=1", b""),
        "attach-foreign": upgraded("POST", f"{V}/containers/@FOREIGN@/attach?stream=1&stdin=1&logs=1&stdout=1", b"", b""),
        "logs-upgrade": upgraded("GET", f"{V}/containers/@OWN@/logs?stdout=1", b""),
        "attach-bad-query": upgraded("POST", f"{V}/containers/@OWN@/attach?stream=x&stdin=&surprise=1", b""),
        "session": upgraded("POST", f"{V}/session", b"", b""),
        "session-h2c": raw(
            f"POST {V}/session HTTP/1.1",
            "Host: x",
            "Connection: Upgrade",
            "Upgrade: h2c",
            "X-Docker-Expose-Session-Uuid: x",
            "Content-Length: 0",
            ends=False,
        ),
        "grpc": raw(f"POST {V}/grpc HTTP/1.1", "Host: x", "Connection: Upgrade", "Upgrade: h2c", "Content-Length: 0", ends=False),
        "ws": raw(
            f"GET {V}/containers/@OWN@/attach/ws?stream=1&stdin=1 HTTP/1.1",
            "Host: x",
            "Origin: http://x",
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
            ends=False,
        ),
        "ws-foreign": raw(
            f"GET {V}/containers/@FOREIGN@/attach/ws?stream=1&stdin=1 HTTP/1.1",
            "Host: x",
            "Origin: http://x",
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
            ends=False,
        ),
        "h2c-upgrade": raw(
            "GET /_ping HTTP/1.1",
            "Host: x",
            "Connection: Upgrade, HTTP2-Settings",
            "Upgrade: h2c",
            "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA",
            ends=False,
        ),
        "query-looks-like-exec": upgraded("GET", f"{V}/containers/@FOREIGN@/json?x=/attach", b"", b""),
        "query-looks-like-start": upgraded("POST", f"{V}/containers/prune?x=/exec/a/start", b""),
    }
    tunnels = ("session", "session-h2c", "grpc", "ws", "ws-foreign", "foreign-exec", "attach-foreign", "h2c-upgrade")
    for name, data in rows.items():
        yield Row(
            f"hijack-{name}",
            "hijack",
            data,
            wins="tunnel" if name in tunnels else "leak" if name == "query-looks-like-exec" else "made",
            tamed=True,
            core=False,
        )
