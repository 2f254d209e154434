"""What two readers of one request could read differently: JSON as Go reads it, and the heads and bodies of HTTP."""

# ruff: noqa: E501 - a row of a table stays one line

from collections.abc import Iterator, Mapping

from tests.integration.guard.attacks.row import CREATE, Row, V, calls, http


def raw(first: str, *fields: str, body: bytes = b"", ends: bool = True) -> bytes:
    """A request written by hand; ``Connection: close`` at its end."""
    return "\r\n".join([first, *fields, *(["Connection: close"] if ends else [])]).encode("latin-1") + b"\r\n\r\n" + body


EVIL_HOST = '{"Privileged":true,"Binds":["/:/x"]}'
EVIL_BODY = b'{"Image":"@IMAGE@","Cmd":["true"],"HostConfig":{"Privileged":true}}'
SECOND = (
    b"POST /v1.41/containers/create?name=@EVIL@ HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: @INNER@\r\nConnection: close\r\n\r\n"
    + EVIL_BODY
)


def texts(table: Mapping[str, str]) -> Iterator[Row]:
    for name, text in table.items():
        yield Row(name, "json", http("POST", CREATE, text), wins="container")


def differentials() -> Iterator[Row]:
    head = '{"Image":"@IMAGE@","Cmd":["true"],'
    yield from texts(
        {
            "key-lower": head + f'"hostconfig":{EVIL_HOST}}}',
            "key-upper": head + f'"HOSTCONFIG":{EVIL_HOST}}}',
            "key-long-s": head + f'"Ho\u017ftConfig":{EVIL_HOST}}}',
            "key-long-s-escape": head + f'"Ho\\u017ftConfig":{EVIL_HOST}}}',
            "key-kelvin": head + '"HostConfig":{"Networ\u212aMode":"host"}}',
            "key-escape": head + '"HostConfig":{"\\u0050rivileged":true}}',
            "key-binds-upper": head + '"HostConfig":{"BINDS":["/:/x"]}}',
            "key-mounts-lower": head + '"HostConfig":{"mounts":[{"type":"bind","source":"/","target":"/x"}]}}',
            "key-mount-inner": head + '"HostConfig":{"Mounts":[{"TYPE":"bind","SOURCE":"/","TARGET":"/x"}]}}',
            "key-privileged-long-s": head + '"HostConfig":{"Cap\u017fAdd":["ALL"],"CapAdd":["ALL"]}}',
            "twice-evil-first": head + f'"HostConfig":{EVIL_HOST},"HostConfig":{{}}}}',
            "twice-evil-last": head + f'"HostConfig":{{}},"HostConfig":{EVIL_HOST}}}',
            "twice-fold": head + f'"HostConfig":{{}},"hostConfig":{EVIL_HOST}}}',
            "twice-inner": head + '"HostConfig":{"Privileged":true,"Privileged":false}}',
            "twice-null": head + '"HostConfig":{"Privileged":true,"Privileged":null}}',
            "twice-image": '{"Image":"@IMAGE@","Image":"@FIMAGE@","Cmd":["true"],"HostConfig":{}}',
            "twice-image-fold": '{"Image":"@IMAGE@","image":"@FIMAGE@","Cmd":["true"],"HostConfig":{}}',
            "trailing-object": head + f'"HostConfig":{EVIL_HOST}}}{{}}',
            "trailing-bytes": head + f'"HostConfig":{EVIL_HOST}}} x',
            "trailing-nul": head + '"HostConfig":{"Privileged":true}}\u0000',
            "leading-object": "{}" + head + '"HostConfig":{"Privileged":true}}',
            "top-privileged": head + '"Privileged":true}',
            "top-binds": head + '"Binds":["/:/x"]}',
            "top-mounts": head + '"Mounts":[{"Type":"bind","Source":"/","Target":"/x"}]}',
            "top-capadd": head + '"CapAdd":["ALL"]}',
            "top-pid": head + '"PidMode":"host"}',
            "top-network": head + '"NetworkMode":"host"}',
            "top-null-host": head + '"HostConfig":null,"Privileged":true}',
            "top-fold": head + '"privileged":true}',
            "not-object": "[]",
            "string": '"x"',
            "nan": head + '"HostConfig":{"Memory":NaN}}',
            "infinity": head + '"HostConfig":{"Memory":1e999}}',
            "comment": "/*x*/" + head + '"HostConfig":{"Privileged":true}}',
            "single-quotes": "{'Image':'@IMAGE@','HostConfig':{'Privileged':true}}",
            "depth": head + '"Labels":' + '{"a":' * 500 + "1" + "}" * 500 + "}",
            "number-huge": head + '"HostConfig":{"Memory":' + "9" * 5000 + "}}",
            "surrogate": head + '"HostConfig":{"Binds":["/etc\\ud800:/x"]}}',
            "bom": "\ufeff" + head + '"HostConfig":{"Privileged":true}}',
            "truncated": head + '"HostConfig":{"Privileged":true}',
            "negative-zero-size": head + '"HostConfig":{"Memory":-9223372036854775808}}',
            "config-inner": head + '"Config":{"HostConfig":{"Privileged":true}},"HostConfig":{"Privileged":true}}',
        }
    )
    good = b'{"Image":"@IMAGE@","Cmd":["true"],"HostConfig":{}}'
    for name, kind in {
        "type-form": "application/x-www-form-urlencoded",
        "type-multipart": "multipart/form-data; boundary=x",
        "type-two": "text/plain, application/json",
        "type-upper-charset": "application/json; charset=utf-16",
    }.items():
        yield Row(name, "json", http("POST", CREATE, EVIL_BODY, kind=kind), wins="container")
    yield Row("type-charset-evil", "json", http("POST", CREATE, EVIL_BODY, kind="application/json; charset=utf-8"), wins="container")
    yield Row("ok-type-charset", "json", http("POST", CREATE, good, kind="application/json; charset=utf-8"), attack=False)
    yield Row(
        "invalid-utf8",
        "json",
        http("POST", CREATE, b'{"Image":"@IMAGE@","HostConfig":{"Privileged":true},"Labels":{"a":"\xff"}}'),
        wins="container",
    )
    yield Row(
        "invalid-utf8-key",
        "json",
        http("POST", CREATE, b'{"Image":"@IMAGE@","HostConfig":{"Privileged\xff":true}}'),
        wins="container",
        tamed=False,
    )
    yield Row(
        "large",
        "json",
        http("POST", CREATE, b'{"Image":"@IMAGE@","Labels":{"a":"' + b"x" * (1 << 21) + b'"},"HostConfig":{"Privileged":true}}'),
        wins="container",
    )
    yield Row("encoding-gzip", "json", http("POST", CREATE, EVIL_BODY, "Content-Encoding: gzip"), wins="container")
    target = {
        "path-escape": "/v1.41/%63ontainers/create",
        "path-slash-escape": "/v1.41/containers%2fcreate",
        "path-version-escape": "/%76%31.41/containers/create",
        "path-version-patch": "/v1.41.0/containers/create",
        "path-absolute": "http://docker/v1.41/containers/create",
        "path-double": "/v1.41//containers/create",
        "path-dot": "/v1.41/./containers/create",
        "path-dot-dot": "/v1.41/x/../containers/create",
        "path-dot-dot-escape": "/v1.41/%2e%2e/v1.41/containers/create",
        "path-lead": "//v1.41/containers/create",
        "path-version-old": "/v1.23/containers/create",
        "path-version-new": "/v1.99/containers/create",
        "path-version-zero": "/v1.041/containers/create",
        "path-semicolon": "/v1.41/containers/create;x",
        "path-trailing": "/v1.41/containers/create/",
        "path-nul": "/v1.41/containers/create%00",
        "path-backslash": "/v1.41\\containers\\create",
        "path-upper": "/v1.41/Containers/Create",
        "path-star": "*",
        "path-fragment": "/v1.41/containers/create#x",
        "path-two-versions": "/v1.41/v1.41/containers/create",
        "path-libpod": "/v4.0.0/libpod/containers/create",
    }
    for name, path in target.items():
        yield Row(name, "http", http("POST", path + ("" if "#" in path or path == "*" else "?name=@EVIL@"), EVIL_BODY), wins="container")
    first = "POST /v1.41/containers/create?name=@EVIL@ HTTP/1.1"
    kind = "Content-Type: application/json"
    chunked = b"@CHUNK@\r\n" + EVIL_BODY + b"\r\n0\r\n\r\n"
    yield from (
        Row(name, "http", data, wins="container" if "smuggle" not in name else "made", tamed="smuggle" in name, core="smuggle" not in name)
        for name, data in {
            "smuggle-cl-te": raw(
                "GET /_ping HTTP/1.1", "Host: x", "Content-Length: 4", "Transfer-Encoding: chunked", body=b"0\r\n\r\n" + SECOND, ends=False
            ),
            "smuggle-te-cl": raw(
                "POST /v1.41/containers/prune HTTP/1.1",
                "Host: x",
                "Transfer-Encoding: chunked",
                "Content-Length: 3",
                body=b"0\r\n\r\n" + SECOND,
                ends=False,
            ),
            "smuggle-te-space": raw(
                "GET /_ping HTTP/1.1",
                "Host: x",
                "Transfer-Encoding : chunked",
                "Content-Length: 300",
                body=b"0\r\n\r\n" + SECOND,
                ends=False,
            ),
            "smuggle-te-twice": raw(
                "GET /_ping HTTP/1.1",
                "Host: x",
                "Transfer-Encoding: identity",
                "Transfer-Encoding: chunked",
                body=b"0\r\n\r\n" + SECOND,
                ends=False,
            ),
            "smuggle-te-unknown": raw(
                "GET /_ping HTTP/1.1", "Host: x", "Transfer-Encoding: xchunked", "Content-Length: 9", body=b"0\r\n\r\n" + SECOND, ends=False
            ),
            "smuggle-get-body": raw("GET /_ping HTTP/1.1", "Host: x", "Content-Length: 0", body=SECOND, ends=False),
            "smuggle-cl-list": raw("GET /_ping HTTP/1.1", "Host: x", "Content-Length: 0, 5", body=SECOND, ends=False),
            "smuggle-cl-two": raw("GET /_ping HTTP/1.1", "Host: x", "Content-Length: 5", "Content-Length: 0", body=SECOND, ends=False),
            "smuggle-cl-equal": raw("GET /_ping HTTP/1.1", "Host: x", "Content-Length: 0", "Content-Length: 0", body=SECOND, ends=False),
            "smuggle-chunk-extension": raw(
                "POST /v1.41/containers/prune HTTP/1.1", "Host: x", "Transfer-Encoding: chunked", body=b"0;x=\r\n\r\n" + SECOND, ends=False
            ),
            "smuggle-trailer": raw(
                "POST /v1.41/containers/prune HTTP/1.1",
                "Host: x",
                "Transfer-Encoding: chunked",
                body=b"0\r\nX: y\r\n\r\n" + SECOND,
                ends=False,
            ),
            "smuggle-bare-lf": b"GET /_ping HTTP/1.1\nHost: x\n\n" + SECOND,
            "smuggle-fold": raw("GET /_ping HTTP/1.1", "Host: x", "X: y\r\n Content-Length: 500", body=SECOND, ends=False),
            "smuggle-plus": raw("GET /_ping HTTP/1.1", "Host: x", "Content-Length: +0", body=SECOND, ends=False),
            "smuggle-hex": raw("GET /_ping HTTP/1.1", "Host: x", "Content-Length: 0x0", body=SECOND, ends=False),
            "smuggle-expect": raw(
                "POST /v1.41/containers/prune HTTP/1.1", "Host: x", "Expect: 100-continue", "Content-Length: 0", body=SECOND, ends=False
            ),
            "smuggle-chunk-size": raw(
                "POST /v1.41/containers/prune HTTP/1.1",
                "Host: x",
                "Transfer-Encoding: chunked",
                body=b"00000000000000000\r\n\r\n" + SECOND,
                ends=False,
            ),
            "method-lower": raw("post" + first[4:], "Host: x", kind, "Content-Length: @LENGTH@", body=EVIL_BODY),
            "method-get": raw("GET" + first[4:], "Host: x", kind, "Content-Length: @LENGTH@", body=EVIL_BODY),
            "method-override": raw(
                "GET" + first[4:], "Host: x", "X-HTTP-Method-Override: POST", kind, "Content-Length: @LENGTH@", body=EVIL_BODY
            ),
            "http-0.9": b"POST /v1.41/containers/create\r\n\r\n" + EVIL_BODY,
            "http-2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            "host-two": raw(first, "Host: x", "Host: y", kind, "Content-Length: @LENGTH@", body=EVIL_BODY),
            "host-none": raw(first, kind, "Content-Length: @LENGTH@", body=EVIL_BODY),
            "type-twice": raw(first, "Host: x", "Content-Type: text/plain", kind, "Content-Length: @LENGTH@", body=EVIL_BODY),
            "connection-drops-type": raw(
                first, "Host: x", kind, "Connection: Content-Type", "Content-Length: @LENGTH@", body=EVIL_BODY, ends=False
            ),
            "header-nul": raw(first, "Host: x", "X: a\0b", kind, "Content-Length: @LENGTH@", body=EVIL_BODY),
            "header-space-name": raw(first, "Host: x", "Content-Type : application/json", "Content-Length: @LENGTH@", body=EVIL_BODY),
            "chunked-upper": raw(first, "Host: x", kind, "Transfer-Encoding: CHUNKED", body=chunked),
            "chunked-evil": raw(first, "Host: x", kind, "Transfer-Encoding: chunked", body=chunked),
        }.items()
    )
    yield Row(
        "ok-chunked",
        "http",
        raw(first, "Host: x", kind, "Transfer-Encoding: chunked", body=b"@CHUNK@\r\n" + good + b"\r\n0\r\n\r\n"),
        attack=False,
    )
    yield from calls(
        "http",
        {
            "start-with-host-config": ("POST", "/v1.23/containers/@OWN@/start", {"Binds": ["/:/x"], "Privileged": True}),
            "start-with-body": ("POST", f"{V}/containers/@OWN@/start", {"Binds": ["/:/x"]}),
            "copy": ("POST", "/v1.19/containers/@OWN@/copy", {"Resource": "/etc"}),
            "query-semicolon": ("GET", f"{V}/containers/json?all=1;x=2"),
            "query-twice": ("GET", f"{V}/containers/json?all=0&all=1&filters={{}}&filters={{}}"),
            "query-case": ("POST", f"{V}/containers/@OWN@/rename?name=a&NAME=b"),
            "query-bad-escape": ("GET", f"{V}/containers/json?filters=%zz"),
            "get-with-body": ("GET", f"{V}/containers/json", {"x": 1}),
        },
    )
    yield from calls(
        "http",
        {
            "ok-ping": ("GET", "/_ping"),
            "ok-head-ping": ("HEAD", "/_ping"),
            "ok-version": ("GET", f"{V}/version"),
            "ok-plain-version": ("GET", "/version"),
            "ok-low-version": ("GET", "/v1.24/version"),
            "ok-unversioned": ("GET", "/containers/json"),
            "ok-start": ("POST", f"{V}/containers/@OWN@/start", {}),
        },
        attack=False,
    )
