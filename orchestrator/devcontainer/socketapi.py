"""Questions to an engine on a socket of this machine, without starting ``docker`` for them: each would cost some 30 ms.

Whatever is not a plain answer is none: then the command is asked, which knows contexts, TLS and words for people.
"""

import json
import socket
import urllib.parse
from collections.abc import Mapping, Sequence

from orchestrator.backends.docker_endpoint import find_endpoint
from orchestrator.devcontainer.jsonc import Json, Object
from orchestrator.errors import AienvError

ASK_S = 30.0
MAX_ANSWER = 256 << 20
PATHS: Mapping[str, str] = {"container": "/containers/{}/json", "image": "/images/{}/json", "volume": "/volumes/{}"}


def socket_of(environ: Mapping[str, str]) -> str | None:
    """The path of the engine's socket; None if it is elsewhere, or nobody can say."""
    try:
        return find_endpoint(None, environ).socket_path
    except AienvError:
        return None


def inspect(path: str, kind: str, name: str) -> Object | None:
    """What the engine says of one thing; None: ask in another way."""
    quoted = urllib.parse.quote(name, safe="/:@" if kind == "image" else "")
    value = get(path, PATHS[kind].format(quoted))
    return value if isinstance(value, dict) else None


def containers(path: str, filters: Sequence[str]) -> list[str] | None:
    """Ids of containers, stopped ones too, the newest first. ``filters``: ``label=NAME=VALUE`` and the like."""
    table: dict[str, list[str]] = {}
    for wanted in filters:
        kind, _, what = wanted.partition("=")
        table.setdefault(kind, []).append(what)
    query = urllib.parse.urlencode({"all": "1", "filters": json.dumps(table)})
    value = get(path, f"/containers/json?{query}")
    if not isinstance(value, list):
        return None
    return [str(one["Id"]) for one in value if isinstance(one, dict) and "Id" in one]


def get(path: str, target: str) -> Json:
    """The JSON of an answer with status 200, else None. HTTP/1.0: the answer has no chunks and ends with the connection."""
    if any(one.isspace() for one in target):
        return None
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(ASK_S)
            connection.connect(path)
            connection.sendall(f"GET {target} HTTP/1.0\r\nHost: docker\r\n\r\n".encode())
            data = bytearray()
            while part := connection.recv(1 << 16):
                data += part
                if len(data) > MAX_ANSWER:
                    return None
    except (OSError, ValueError):
        return None
    head, end, body = bytes(data).partition(b"\r\n\r\n")
    status = head.split(b"\r\n", 1)[0].split(b" ")
    if not end or len(status) < 2 or status[1] != b"200" or b"transfer-encoding" in head.lower():
        return None
    try:
        value: Json = json.loads(body)
    except ValueError:
        return None
    return value
